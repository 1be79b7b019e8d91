//! Exact paths of fractional Brownian motion on a grid of [0, 1].

use super::threads;
use crate::hawkes::shown;
use crate::philox::{self, WORDS};
use crate::Error;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// Values of all paths that there are at most.
const MOST_VALUES: usize = 1 << 30;

/// Steps that a covariance matrix is made for at most.
const MOST_STEPS: usize = 1 << 13;

/// Nearer to 1, the covariance is singular up to rounding.
const NEAREST: f64 = 0.999_999;

/// Terms of the series in 1 / 4: rest 1e-17.
const TERMS: usize = 27;

/// Paths of one task.
const CHUNK: usize = 64;

/// Values of all paths from which threads are worth starting: about a millisecond of work.
const PARALLEL: usize = 1 << 17;

/// Vectors of paths that one product takes, and its rows: twelve sums stay in registers.
const VECTORS: usize = 2;
const ROWS: usize = 6;

/// How paths are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Circulant embedding: a Fourier transform for two paths.
    DaviesHarte,
    /// The lower factor of the covariance times normal numbers.
    Cholesky,
}

/// Paths at the times 0, 1 / n_steps, ..., 1, one after the other, of the exact law.
///
/// Path p takes the words of Philox stream p of the seed in order, two for two normal numbers
/// (`philox::normals`): `n_steps` numbers for Cholesky, twice as many for Davies-Harte. Of hurst 1,
/// a path is a line through the first number.
pub fn fractional_brownian_motion(
    n_paths: usize,
    n_steps: usize,
    hurst: f64,
    seed: u64,
    method: Method,
) -> Result<Vec<f64>, Error> {
    if !(hurst > 0.0 && hurst <= NEAREST || hurst == 1.0) {
        let problem = format!(
            "must be above 0 and at most 0.999999, or 1, got {}",
            shown(hurst)
        );
        return Err(Error::new("hurst", problem));
    }
    let columns = n_steps.saturating_add(1);
    if n_paths.saturating_mul(columns) > MOST_VALUES {
        let problem = format!("must give at most 2**30 values in all, got {n_paths}");
        return Err(Error::new("n_paths", problem));
    }
    if method == Method::Cholesky && n_steps > MOST_STEPS {
        let problem = format!("must be at most 8192 for cholesky, got {n_steps}");
        return Err(Error::new("n_steps", problem));
    }
    if hurst == 1.0 {
        return Ok(run(&Line(n_steps), n_paths, columns, seed));
    }
    match method {
        Method::Cholesky => Ok(run(&Factor::new(n_steps, hurst), n_paths, columns, seed)),
        Method::DaviesHarte => Ok(run(&Circle::new(n_steps, hurst)?, n_paths, columns, seed)),
    }
}

/// What makes paths from the words of their streams.
trait Paths: Sync {
    /// Fills `out` with the paths from number `first` on, 0 at the start of each.
    fn fill<S: Simd>(&self, simd: S, seed: u64, first: u64, out: &mut [f64]);
}

fn run<P: Paths>(paths: &P, n_paths: usize, columns: usize, seed: u64) -> Vec<f64> {
    let mut result = vec![0.0; n_paths * columns];
    let size = CHUNK * columns;
    let task = |(chunk, out): (usize, &mut [f64])| {
        let first = (chunk * CHUNK) as u64;
        pulp::Arch::new().dispatch(Task {
            paths,
            seed,
            first,
            out,
        });
    };
    match threads(result.len() >= PARALLEL && n_paths > CHUNK) {
        None => result.chunks_mut(size).enumerate().for_each(task),
        Some(pool) => pool.install(|| result.par_chunks_mut(size).enumerate().for_each(task)),
    }
    result
}

struct Task<'a, P> {
    paths: &'a P,
    seed: u64,
    first: u64,
    out: &'a mut [f64],
}

impl<P: Paths> WithSimd for Task<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.paths.fill(simd, self.seed, self.first, self.out);
    }
}

/// Covariance of fractional Gaussian noise at lags 0 to n: increments over steps of length 1.
///
/// `(|k + 1|^2H - 2 |k|^2H + |k - 1|^2H) / 2` in powers of 1 / k, all terms of one sign: `k^2H` times
/// the sum over j of `binomial(2H, 2j) / k^2j`.
fn noise_covariance(n: usize, hurst: f64) -> Vec<f64> {
    let power = 2.0 * hurst;
    let mut binomials = [1.0; 2 * TERMS + 1];
    for j in 1..binomials.len() {
        binomials[j] = binomials[j - 1] * (power - (j - 1) as f64) / j as f64;
    }
    let far = |k: usize| {
        let lag = k as f64;
        let terms = binomials[2..].iter().step_by(2).rev();
        lag.powf(power) * terms.fold(0.0, |sum, term| (sum + term) / (lag * lag))
    };
    let near = [1.0, 0.5 * power.exp2() - 1.0];
    near.into_iter().chain((2..).map(far)).take(n + 1).collect()
}

/// Lines through the first normal number.
struct Line(usize);

impl Paths for Line {
    #[inline(always)]
    fn fill<S: Simd>(&self, _: S, seed: u64, first: u64, out: &mut [f64]) {
        for (path, values) in (first..).zip(out.chunks_mut(self.0 + 1)) {
            let words = philox::block(seed, path, 0);
            let (mut slope, mut other) = ([0.0], [0.0]);
            philox::normals::<S>([&words[..1], &words[1..2]], [&mut slope, &mut other]);
            for (step, value) in values.iter_mut().enumerate() {
                *value = slope[0] * (step as f64 / self.0 as f64);
            }
        }
    }
}

/// The lower factor of the covariance of paths, in bands of `ROWS` rows, each by columns.
struct Factor {
    steps: usize,
    bands: Vec<f64>,
}

impl Factor {
    /// Schur's algorithm for a Toeplitz matrix, in the square of its order, in which the rotations
    /// are hyperbolic and in the mixed form that is stable: Bojanczyk, Brent, de Hoog & Sweet, SIAM
    /// Journal on Matrix Analysis and Applications 16 (1995) 40-57.
    fn new(steps: usize, hurst: f64) -> Self {
        let scale = (steps as f64).powf(-hurst);
        let n_bands = steps.div_ceil(ROWS);
        let mut bands = vec![0.0; ROWS * ROWS * n_bands * (n_bands + 1) / 2];
        let mut column = noise_covariance(steps, hurst);
        column.truncate(steps);
        let mut rest = column.clone();
        rest[0] = 0.0;
        for j in 0..steps {
            // A path sums the increments.
            let mut sum = 0.0;
            for (i, value) in (j..).zip(&column) {
                sum += value * scale;
                bands[Self::start(i / ROWS) + j * ROWS + i % ROWS] = sum;
            }
            if j + 1 == steps {
                break;
            }
            column.pop();
            rest.remove(0);
            let rho = rest[0] / column[0];
            let cosine = ((1.0 - rho) * (1.0 + rho)).sqrt();
            for (a, b) in column.iter_mut().zip(&mut rest) {
                *a = (*a - rho * *b) / cosine;
                *b = cosine * *b - rho * *a;
            }
        }
        Self { steps, bands }
    }

    /// Where a band starts: those before it are as long as their rows reach.
    fn start(band: usize) -> usize {
        ROWS * ROWS * band * (band + 1) / 2
    }
}

impl Paths for Factor {
    #[inline(always)]
    fn fill<S: Simd>(&self, simd: S, seed: u64, first: u64, out: &mut [f64]) {
        let columns = self.steps + 1;
        let lanes = VECTORS * S::F64_LANES;
        let blocks = self.steps.div_ceil(WORDS);
        let n_bands = self.steps.div_ceil(ROWS);
        let pairs = blocks * WORDS / 2 * lanes;
        let (mut radii, mut angles) = (vec![0; pairs], vec![0; pairs]);
        let (mut cosines, mut sines) = (vec![0.0; pairs], vec![0.0; pairs]);
        let mut normals = vec![0.0; (2 * pairs).max(n_bands * ROWS * lanes)];
        let mut values = vec![0.0; n_bands * ROWS * lanes];
        for (tile, out) in out.chunks_mut(lanes * columns).enumerate() {
            let first = first + (tile * lanes) as u64;
            for block in 0..blocks {
                for lane in 0..lanes {
                    let words = philox::block(seed, first + lane as u64, block as u64);
                    let at = block * 2 * lanes + lane;
                    (radii[at], angles[at]) = (words[0], words[1]);
                    (radii[at + lanes], angles[at + lanes]) = (words[2], words[3]);
                }
            }
            philox::normals::<S>([&radii, &angles], [&mut cosines, &mut sines]);
            let pairs = cosines.chunks_exact(lanes).zip(sines.chunks_exact(lanes));
            for ((cosines, sines), out) in pairs.zip(normals.chunks_exact_mut(2 * lanes)) {
                out[..lanes].copy_from_slice(cosines);
                out[lanes..].copy_from_slice(sines);
            }
            self.product(simd, &normals, &mut values);
            for (lane, path) in out.chunks_mut(columns).enumerate() {
                let column = values[lane..].iter().step_by(lanes);
                for (value, &sum) in path[1..].iter_mut().zip(column) {
                    *value = sum;
                }
            }
        }
    }
}

impl Factor {
    /// The factor times the numbers of some paths, one step after the other.
    #[inline(always)]
    fn product<S: Simd>(&self, simd: S, normals: &[f64], values: &mut [f64]) {
        let (normals, _) = pulp::as_arrays::<VECTORS, _>(S::as_simd_f64s(normals).0);
        let (values, _) = pulp::as_arrays_mut::<VECTORS, _>(S::as_mut_simd_f64s(values).0);
        for (band, values) in values.chunks_exact_mut(ROWS).enumerate() {
            let factor = &self.bands[Self::start(band)..Self::start(band + 1)];
            let mut sums = [[simd.splat_f64s(0.0); VECTORS]; ROWS];
            for (column, normals) in factor.chunks_exact(ROWS).zip(normals) {
                for (row, sums) in sums.iter_mut().enumerate() {
                    let weight = simd.splat_f64s(column[row]);
                    for (sum, &normal) in sums.iter_mut().zip(normals) {
                        *sum = simd.mul_add_e_f64s(weight, normal, *sum);
                    }
                }
            }
            values.copy_from_slice(&sums);
        }
    }
}

/// The square roots of the spectrum of increments on a circle twice as long.
///
/// The covariance, reflected to a circle of 2n points, has the spectrum s_k, which is not negative
/// (Dietrich & Newsam, SIAM Journal on Scientific Computing 18 (1997) 1088-1107; Craigmile, Journal
/// of Time Series Analysis 24 (2003) 505-511). The noise is the Fourier transform of
/// `sqrt(s_k / 2n) w_k` with w_0 and w_n the first two numbers and, for k between,
/// `w_k = (number 2k + i number 2k+1) / sqrt(2)` and `w_{2n-k}` its conjugate.
struct Circle {
    steps: usize,
    scale: Vec<f64>,
    transform: Arc<dyn Fft<f64>>,
}

impl Circle {
    fn new(steps: usize, hurst: f64) -> Result<Self, Error> {
        let covariance = noise_covariance(steps, hurst);
        let transform = FftPlanner::new().plan_fft_forward(2 * steps);
        let reflected = covariance[1..steps].iter().rev();
        let mut circle: Vec<_> = covariance
            .iter()
            .chain(reflected)
            .map(Complex::from)
            .collect();
        transform.process(&mut circle);
        let size = (2 * steps) as f64;
        if circle.iter().any(|value| value.re < -1e-12 * size) {
            let problem = format!(
                "must give a spectrum that is not negative, got {}",
                shown(hurst)
            );
            return Err(Error::new("hurst", problem));
        }
        let unit = (steps as f64).powf(-hurst);
        let scale = (0..=steps).map(|k| {
            let share = if k % steps == 0 { 1.0 } else { 0.5 };
            (share * circle[k].re.max(0.0) / size).sqrt() * unit
        });
        Ok(Self {
            steps,
            scale: scale.collect(),
            transform,
        })
    }
}

impl Paths for Circle {
    /// Two paths at once: one is the real, one the imaginary part.
    #[inline(always)]
    fn fill<S: Simd>(&self, _: S, seed: u64, first: u64, out: &mut [f64]) {
        let n = self.steps;
        let zero = Complex::new(0.0, 0.0);
        let mut circle = vec![zero; 2 * n];
        let mut scratch = vec![zero; self.transform.get_inplace_scratch_len()];
        let mut numbers = [Numbers::new(n), Numbers::new(n)];
        for (pair, out) in out.chunks_mut(2 * (n + 1)).enumerate() {
            for (numbers, path) in numbers.iter_mut().zip(first + 2 * pair as u64..) {
                numbers.draw::<S>(seed, path);
            }
            let [a, b] = &numbers;
            circle[0] = Complex::new(a.cosines[0], b.cosines[0]) * self.scale[0];
            circle[n] = Complex::new(a.sines[0], b.sines[0]) * self.scale[n];
            let (low, high) = circle.split_at_mut(n);
            let ends = low[1..].iter_mut().zip(high[1..].iter_mut().rev());
            for (k, (low, high)) in (1..n).zip(ends) {
                let scale = self.scale[k];
                let (a, b) = (
                    [a.cosines[k] * scale, a.sines[k] * scale],
                    [b.cosines[k] * scale, b.sines[k] * scale],
                );
                *low = Complex::new(a[0] - b[1], a[1] + b[0]);
                *high = Complex::new(a[0] + b[1], b[0] - a[1]);
            }
            self.transform
                .process_with_scratch(&mut circle, &mut scratch);
            let (even, odd) = out.split_at_mut(n + 1);
            let mut sum = 0.0;
            for (value, step) in even[1..].iter_mut().zip(&circle) {
                sum += step.re;
                *value = sum;
            }
            sum = 0.0;
            for (value, step) in odd.iter_mut().skip(1).zip(&circle) {
                sum += step.im;
                *value = sum;
            }
        }
    }
}

/// Normal numbers of one stream, by pairs.
struct Numbers {
    radii: Vec<u64>,
    angles: Vec<u64>,
    cosines: Vec<f64>,
    sines: Vec<f64>,
}

impl Numbers {
    fn new(pairs: usize) -> Self {
        let size = pairs.next_multiple_of(WORDS / 2);
        Self {
            radii: vec![0; size],
            angles: vec![0; size],
            cosines: vec![0.0; size],
            sines: vec![0.0; size],
        }
    }

    #[inline(always)]
    fn draw<S: Simd>(&mut self, seed: u64, stream: u64) {
        let blocks = self
            .radii
            .chunks_exact_mut(2)
            .zip(self.angles.chunks_exact_mut(2));
        for (index, (radii, angles)) in (0..).zip(blocks) {
            let words = philox::block(seed, stream, index);
            radii.copy_from_slice(&[words[0], words[2]]);
            angles.copy_from_slice(&[words[1], words[3]]);
        }
        philox::normals::<S>(
            [&self.radii, &self.angles],
            [&mut self.cosines, &mut self.sines],
        );
    }
}
