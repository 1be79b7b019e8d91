//! Exact paths of fractional Brownian motion on a grid of [0, 1].

use super::{threads, turn, SQUARE};
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
const MOST_STEPS: usize = 1 << 12;

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

/// What makes paths at the times 0, 1 / n_steps, ..., 1 of the exact law.
pub struct Motion {
    n_paths: usize,
    columns: usize,
    maker: Maker,
}

enum Maker {
    Line(Line),
    Halves(Halves),
    Circle(Circle),
}

impl Motion {
    /// Checks the arguments and prepares what all paths have in common.
    pub fn new(n_paths: usize, n_steps: usize, hurst: f64, method: Method) -> Result<Self, Error> {
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
            let problem = format!("must be at most 4096 for cholesky, got {n_steps}");
            return Err(Error::new("n_steps", problem));
        }
        let maker = match method {
            _ if hurst == 1.0 => Maker::Line(Line(n_steps)),
            Method::Cholesky => Maker::Halves(Halves::new(n_steps, hurst)),
            Method::DaviesHarte => Maker::Circle(Circle::new(n_steps, hurst)?),
        };
        Ok(Self {
            n_paths,
            columns,
            maker,
        })
    }

    /// Paths and values of each.
    pub fn shape(&self) -> [usize; 2] {
        [self.n_paths, self.columns]
    }

    /// Fills `out`, which is 0, with the paths, one after the other.
    ///
    /// Path p takes the words of Philox stream p of the seed in order, two for a pair of normal
    /// numbers (`philox::normals`): `n_steps` pairs for Davies-Harte, half as many for Cholesky. Of
    /// hurst 1, a path is a line through the first number.
    pub fn fill(&self, seed: u64, out: &mut [f64]) {
        match &self.maker {
            Maker::Line(maker) => run(maker, self.columns, seed, out),
            Maker::Halves(maker) => run(maker, self.columns, seed, out),
            Maker::Circle(maker) => run(maker, self.columns, seed, out),
        }
    }
}

/// What makes paths from the words of their streams.
trait Paths: Sync {
    /// Fills `out` with the paths from number `first` on, 0 at the start of each.
    fn fill<S: Simd>(&self, simd: S, seed: u64, first: u64, out: &mut [f64]);
}

fn run<P: Paths>(paths: &P, columns: usize, seed: u64, out: &mut [f64]) {
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
    match threads(out.len() >= PARALLEL && out.len() > size) {
        None => out.chunks_mut(size).enumerate().for_each(task),
        Some(pool) => pool.install(|| out.par_chunks_mut(size).enumerate().for_each(task)),
    }
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

/// The lower factor of a covariance, in bands of `ROWS` rows, each by columns.
struct Factor(Vec<f64>);

impl Factor {
    /// Cholesky's algorithm by rows.
    fn new(order: usize, covariance: impl Fn(usize, usize) -> f64) -> Self {
        let n_bands = order.div_ceil(ROWS);
        let mut bands = vec![0.0; Self::start(n_bands)];
        let mut rows = vec![0.0; order * order];
        for i in 0..order {
            let (above, row) = rows.split_at_mut(i * order);
            for j in 0..=i {
                let other = if j < i {
                    &above[j * order..][..j]
                } else {
                    &row[..j]
                };
                let rest = covariance(i, j) - dot(other, &row[..j]);
                row[j] = if j < i {
                    rest / above[j * order + j]
                } else {
                    rest.sqrt()
                };
                bands[Self::start(i / ROWS) + j * ROWS + i % ROWS] = row[j];
            }
        }
        Self(bands)
    }

    /// Where a band starts: those before it are as long as their rows reach.
    fn start(band: usize) -> usize {
        ROWS * ROWS * band * (band + 1) / 2
    }

    /// The factor times the numbers of some paths, one step after the other.
    #[inline(always)]
    fn product<S: Simd>(
        &self,
        simd: S,
        normals: &[[S::f64s; VECTORS]],
        out: &mut [[S::f64s; VECTORS]],
    ) {
        for (band, out) in out.chunks_mut(ROWS).enumerate() {
            let factor = &self.0[Self::start(band)..Self::start(band + 1)];
            let mut sums = [[simd.splat_f64s(0.0); VECTORS]; ROWS];
            for (column, normals) in factor.chunks_exact(ROWS).zip(normals) {
                for (row, sums) in sums.iter_mut().enumerate() {
                    let weight = simd.splat_f64s(column[row]);
                    for (sum, &normal) in sums.iter_mut().zip(normals) {
                        *sum = simd.mul_add_e_f64s(weight, normal, *sum);
                    }
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
    }
}

/// In several sums, which the compiler makes vectors of.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 16];
    let (a, a_rest) = pulp::as_arrays::<16, _>(a);
    let (b, b_rest) = pulp::as_arrays::<16, _>(b);
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Factors of the covariance of sums and of differences of increments.
///
/// The law of the noise is the same backwards in time, so that its even and its odd part, the sums
/// and the differences of increments as far from the start as from the end, are independent: two
/// factors of half the order, of which the first takes the real and the other the imaginary parts.
struct Halves {
    steps: usize,
    even: Factor,
    odd: Factor,
}

impl Halves {
    fn new(steps: usize, hurst: f64) -> Self {
        let covariance = noise_covariance(steps, hurst);
        // The increments are halves of sums and differences, and short.
        let scale = 0.5 * (steps as f64).powf(-2.0 * hurst);
        let ahead = |i: usize, j: usize| covariance[i - j];
        let mirrored = |i: usize, j: usize| covariance[steps - 1 - i - j];
        let odd = steps / 2;
        Self {
            steps,
            even: Factor::new(steps - odd, |i, j| scale * (ahead(i, j) + mirrored(i, j))),
            odd: Factor::new(odd, |i, j| scale * (ahead(i, j) - mirrored(i, j))),
        }
    }
}

impl Paths for Halves {
    #[inline(always)]
    fn fill<S: Simd>(&self, simd: S, seed: u64, first: u64, out: &mut [f64]) {
        let columns = self.steps + 1;
        let lanes = VECTORS * S::F64_LANES;
        let even = columns / 2;
        let pairs = even.next_multiple_of(WORDS / 2) * lanes;
        let (mut radii, mut angles) = (vec![0; pairs], vec![0; pairs]);
        let (mut cosines, mut sines) = (vec![0.0; pairs], vec![0.0; pairs]);
        let mut values = vec![0.0; self.steps * lanes];
        let mut differences = vec![0.0; self.steps / 2 * lanes];
        for (tile, out) in out.chunks_mut(lanes * columns).enumerate() {
            let first = first + (tile * lanes) as u64;
            let blocks = radii.chunks_exact_mut(2 * lanes);
            for (index, (radii, angles)) in
                (0..).zip(blocks.zip(angles.chunks_exact_mut(2 * lanes)))
            {
                for lane in 0..lanes {
                    let words = philox::block(seed, first + lane as u64, index);
                    (radii[lane], angles[lane]) = (words[0], words[1]);
                    (radii[lane + lanes], angles[lane + lanes]) = (words[2], words[3]);
                }
            }
            philox::normals::<S>([&radii, &angles], [&mut cosines, &mut sines]);
            self.sum(simd, [&cosines, &sines], &mut differences, &mut values);
            let mut squares = values.chunks_exact(SQUARE * lanes);
            let mut step = 1;
            for square in &mut squares {
                let row = |n: usize| &square[n * lanes..][..lanes];
                let paths = out.chunks_mut(columns).map(|path| &mut path[step..]);
                turn([row(0), row(1), row(2), row(3)], paths);
                step += SQUARE;
            }
            for (step, sums) in (step..).zip(squares.remainder().chunks_exact(lanes)) {
                for (path, &sum) in out.chunks_mut(columns).zip(sums) {
                    path[step] = sum;
                }
            }
        }
    }
}

impl Halves {
    /// Sums of increments of some paths, one step after the other.
    #[inline(always)]
    fn sum<S: Simd>(
        &self,
        simd: S,
        normals: [&[f64]; 2],
        differences: &mut [f64],
        values: &mut [f64],
    ) {
        let [cosines, sines] = normals;
        let (cosines, _) = pulp::as_arrays::<VECTORS, _>(S::as_simd_f64s(cosines).0);
        let (sines, _) = pulp::as_arrays::<VECTORS, _>(S::as_simd_f64s(sines).0);
        let (differences, _) =
            pulp::as_arrays_mut::<VECTORS, _>(S::as_mut_simd_f64s(differences).0);
        let (values, _) = pulp::as_arrays_mut::<VECTORS, _>(S::as_mut_simd_f64s(values).0);
        let (ahead, mirrored) = values.split_at_mut(self.steps - self.steps / 2);
        self.even.product(simd, &cosines[..ahead.len()], ahead);
        self.odd
            .product(simd, &sines[..mirrored.len()], differences);
        let ends = ahead.iter_mut().zip(mirrored.iter_mut().rev());
        for ((sums, others), differences) in ends.zip(differences) {
            for n in 0..VECTORS {
                others[n] = simd.sub_f64s(sums[n], differences[n]);
                sums[n] = simd.add_f64s(sums[n], differences[n]);
            }
        }
        let mut total = [simd.splat_f64s(0.0); VECTORS];
        for values in values {
            for n in 0..VECTORS {
                total[n] = simd.add_f64s(total[n], values[n]);
                values[n] = total[n];
            }
        }
    }
}

/// The square roots of the spectrum of increments on a circle twice as long.
///
/// The covariance, reflected to a circle of 2n points, has the spectrum s_k, which is not negative
/// (Dietrich & Newsam, SIAM Journal on Scientific Computing 18 (1997) 1088-1107; Craigmile, Journal
/// of Time Series Analysis 24 (2003) 505-511). The noise is the Fourier transform of
/// `sqrt(s_k / 2n) w_k`: w_0 and w_n are the real and the imaginary part of pair 0; between, w_k is
/// pair k over `sqrt(2)` and `w_{2n-k}` its conjugate.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The factor, row by row.
    fn unpacked(factor: &Factor, order: usize) -> Vec<Vec<f64>> {
        let entry =
            move |i: usize, j: usize| factor.0[Factor::start(i / ROWS) + j * ROWS + i % ROWS];
        let row = |i: usize| (0..order).map(move |j| if j <= i { entry(i, j) } else { 0.0 });
        (0..order).map(|i| row(i).collect()).collect()
    }

    proptest! {
        #[test]
        fn factors_times_themselves_are_the_covariance(order in 1_usize..40, hurst in 0.01..0.99) {
            let covariance = noise_covariance(order, hurst);
            let rows = unpacked(&Factor::new(order, |i, j| covariance[i - j]), order);
            for i in 0..order {
                for j in 0..=i {
                    prop_assert!((dot(&rows[i], &rows[j]) - covariance[i - j]).abs() < 1e-14);
                }
            }
        }

        #[test]
        fn noise_has_the_second_differences_of_powers(hurst in 0.01..0.99) {
            let power = |k: f64| k.abs().powf(2.0 * hurst);
            for (k, value) in noise_covariance(50, hurst).into_iter().enumerate() {
                let k = k as f64;
                let direct = 0.5 * (power(k + 1.0) - 2.0 * power(k) + power(k - 1.0));
                prop_assert!((value - direct).abs() < 1e-15 * power(k + 1.0));
            }
        }

        #[test]
        fn both_methods_fill_whatever_there_is(n_paths in 1_usize..150, n_steps in 1_usize..40) {
            for method in [Method::DaviesHarte, Method::Cholesky] {
                let motion = Motion::new(n_paths, n_steps, 0.3, method).unwrap();
                let [rows, columns] = motion.shape();
                let mut out = vec![0.0; rows * columns];
                motion.fill(1, &mut out);
                for path in out.chunks(columns) {
                    prop_assert_eq!(path[0], 0.0);
                    prop_assert!(path[1..].iter().all(|v| v.is_finite() && *v != 0.0));
                }
            }
        }
    }

    #[test]
    fn paths_do_not_depend_on_threads_or_on_how_many_there_are() {
        for method in [Method::DaviesHarte, Method::Cholesky] {
            let paths = |n_paths: usize| {
                let motion = Motion::new(n_paths, 100, 0.3, method).unwrap();
                let [rows, columns] = motion.shape();
                let mut out = vec![0.0; rows * columns];
                motion.fill(1, &mut out);
                out
            };
            // Many are made on all threads, few on one.
            let many = paths(PARALLEL / 50);
            for few in [1, 2, CHUNK - 1, CHUNK, CHUNK + 5] {
                assert!(few * 101 < PARALLEL && paths(few) == many[..few * 101]);
            }
        }
    }
}
