//! Ornstein-Uhlenbeck processes fitted to evenly sampled series, many at a time.
//!
//! Sampled every dt, the process is an AR(1), and its likelihood given the first value that of a
//! regression. With `y[t] = x[t] - x[0]` and `d[t] = x[t+1] - x[t]` the increments d are regressed
//! on the levels y, so that `beta = phi - 1` keeps its digits near a unit root.
//!
//! One pass takes three sums, of y, y^2 and d^2. The fourth that a regression needs follows from
//! them, for `y[t+1]^2 - y[t]^2 = 2 y[t] d[t] + d[t]^2` telescopes: `sum y d = (y[n]^2 - sum d^2) / 2`.
//!
//! Measuring levels from the first one is enough against cancellation: as y[0] = 0 is itself a
//! regressor, `sum (y - mean)^2 >= n / (n - 1) * mean^2`, while `n * mean^2` is what is subtracted
//! from `sum y^2`. So at worst an error of one rounding is magnified n times.

use crate::Error;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Numbers that the fit of one series gives.
pub const COLUMNS: usize = 8;

/// Vectors of independent partial sums for each of the three: an addition takes about four cycles.
const UNROLLED: usize = 4;

/// Values from which threads are worth starting: about two milliseconds of work.
const PARALLEL: usize = 1 << 22;

/// The sums over one series of n transitions.
#[derive(Debug, Clone, Copy)]
struct Sums {
    y: f64,
    yy: f64,
    dd: f64,
}

/// Fits each row of the matrix `x` with `columns` columns.
///
/// A row of the result holds theta, mu, sigma (with the innovation variance `rss / n`), beta, the
/// mean of the regressor, the mean increment, `sxx` (squares of the regressor around its mean) and
/// `rss` (squares of the residuals). The result is the same for any number of threads.
pub fn ou_fit(x: &[f64], columns: usize, dt: f64) -> Result<Vec<f64>, Error> {
    if columns < 4 {
        return Err(Error::new(
            "x",
            format!("must have at least 4 columns (3 transitions), got {columns}"),
        ));
    }
    if !(dt > 0.0 && dt < f64::INFINITY) {
        let problem = format!("must be positive and finite, got {dt}");
        // Bad values are named first, as in the reference.
        return Err(refused_value(x, columns).unwrap_or(Error::new("dt", problem)));
    }
    let mut result = vec![0.0; x.len() / columns * COLUMNS];
    // Every row is fitted even after one was refused, so that the error does not depend on threads.
    let failed = |(out, series): (&mut [f64], &[f64])| !fit_into(out, series, dt);
    // The threads end with the call: a lasting pool would not survive a fork of the process.
    let pool = (x.len() >= PARALLEL && x.len() > columns)
        .then(|| rayon::ThreadPoolBuilder::new().build().ok())
        .flatten()
        .filter(|pool| pool.current_num_threads() > 1);
    let refused = match pool {
        None => {
            let outs = result.chunks_exact_mut(COLUMNS);
            let pairs = outs.zip(x.chunks_exact(columns));
            pairs.map(failed).filter(|&no| no).count()
        }
        Some(pool) => pool.install(|| {
            let outs = result.par_chunks_exact_mut(COLUMNS);
            let pairs = outs.zip(x.par_chunks_exact(columns)).with_min_len(16);
            pairs.map(failed).filter(|&no| no).count()
        }),
    };
    if refused == 0 {
        return Ok(result);
    }
    Err(refused_value(x, columns).unwrap_or_else(|| refused_series(&result)))
}

/// Fits one series; false where it cannot be, with the reason in sxx.
fn fit_into(out: &mut [f64], series: &[f64], dt: f64) -> bool {
    let n = (series.len() - 1) as f64;
    let sums = pulp::Arch::new().dispatch(Summing(series));
    let last = series[series.len() - 1] - series[0];
    let (mean, drift) = (sums.y / n, last / n);
    let sxx = sums.yy - n * mean * mean;
    let sdd = sums.dd - n * drift * drift;
    let sxd = 0.5 * (last * last - sums.dd) - mean * last;
    let beta = sxd / sxx;
    let rss = (sdd - beta * sxd).max(0.0);
    let log_phi = if beta > -1.0 { beta.ln_1p() } else { f64::NAN };
    let ratio = if beta == 0.0 {
        1.0
    } else {
        2.0 * log_phi / (beta * (2.0 + beta))
    };
    let level = series[0] + mean;
    out.copy_from_slice(&[
        -log_phi / dt,
        level - drift / beta,
        (rss / n * ratio / dt).sqrt(),
        beta,
        level,
        drift,
        if (sxx + sdd).is_finite() {
            sxx
        } else {
            f64::NAN
        },
        rss,
    ]);
    (sxx + sdd).is_finite() && sxx > 0.0
}

/// The three sums over a series, in vectors of the machine's width.
struct Summing<'a>(&'a [f64]);

impl WithSimd for Summing<'_> {
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Sums {
        let n = self.0.len() - 1;
        let (now, tail) = S::as_simd_f64s(&self.0[..n]);
        let (next, _) = S::as_simd_f64s(&self.0[1..]);
        let first = simd.splat_f64s(self.0[0]);
        let mut sums = [[simd.splat_f64s(0.0); 3]; UNROLLED];
        let (now, now_rest) = pulp::as_arrays::<UNROLLED, _>(now);
        let (next, next_rest) = pulp::as_arrays::<UNROLLED, _>(&next[..n / S::F64_LANES]);
        for (now, next) in now.iter().zip(next) {
            for k in 0..UNROLLED {
                sums[k] = add(simd, sums[k], first, now[k], next[k]);
            }
        }
        for (&now, &next) in now_rest.iter().zip(next_rest) {
            sums[0] = add(simd, sums[0], first, now, next);
        }
        let total = |which: usize| {
            let lanes = sums.map(|partial| partial[which]);
            simd.reduce_sum_f64s(
                lanes
                    .into_iter()
                    .reduce(|a, b| simd.add_f64s(a, b))
                    .unwrap_or(first),
            )
        };
        let mut result = Sums {
            y: total(0),
            yy: total(1),
            dd: total(2),
        };
        for pair in self.0[n - tail.len()..].windows(2) {
            let (level, step) = (pair[0] - self.0[0], pair[1] - pair[0]);
            result.y += level;
            result.yy += level * level;
            result.dd += step * step;
        }
        result
    }
}

/// Adds the levels, their squares and the squared steps of one vector of transitions.
#[inline(always)]
fn add<S: Simd>(
    simd: S,
    [y, yy, dd]: [S::f64s; 3],
    first: S::f64s,
    now: S::f64s,
    next: S::f64s,
) -> [S::f64s; 3] {
    let level = simd.sub_f64s(now, first);
    let step = simd.sub_f64s(next, now);
    [
        simd.add_f64s(y, level),
        simd.mul_add_e_f64s(level, level, yy),
        simd.mul_add_e_f64s(step, step, dd),
    ]
}

/// The first value that is not finite.
fn refused_value(x: &[f64], columns: usize) -> Option<Error> {
    let place = x.iter().position(|value| !value.is_finite())?;
    Some(Error::new(
        format!("x[{}, {}]", place / columns, place % columns),
        format!("must be finite, got {}", x[place]),
    ))
}

/// The first series of finite values that has no fit.
fn refused_series(result: &[f64]) -> Error {
    let sxx = || result.chunks_exact(COLUMNS).map(|row| row[6]);
    if let Some(row) = sxx().position(f64::is_nan) {
        return Error::new(format!("x[{row}]"), "must vary by less than about 1e150");
    }
    let row = sxx().position(|sxx| sxx <= 0.0).unwrap_or(0);
    Error::new(format!("x[{row}]"), "must vary before its last value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same regression in two passes, with the products summed.
    fn two_passes(series: &[f64]) -> (f64, f64, f64) {
        let n = series.len() - 1;
        let mean = series[..n].iter().sum::<f64>() / n as f64;
        let drift = (series[n] - series[0]) / n as f64;
        let (mut sxx, mut sxd, mut sdd) = (0.0, 0.0, 0.0);
        for pair in series.windows(2) {
            let (x, d) = (pair[0] - mean, pair[1] - pair[0] - drift);
            sxx += x * x;
            sxd += x * d;
            sdd += d * d;
        }
        (sxd / sxx, sxx, sdd - sxd * sxd / sxx)
    }

    fn path(n: usize, phi: f64, level: f64, seed: u64) -> Vec<f64> {
        let (mut state, mut deviation) = (seed, 0.0);
        let mut values = Vec::with_capacity(n + 1);
        for _ in 0..=n {
            values.push(level + deviation);
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            deviation = phi * deviation + (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        }
        values
    }

    #[test]
    fn an_exact_decay_gives_its_parameters() {
        let series: Vec<f64> = (0..50).map(|t| 3.0 + 0.5 * 0.9_f64.powi(t)).collect();
        let row = ou_fit(&series, 50, 0.1).unwrap();
        assert!((row[0] + 0.9_f64.ln() / 0.1).abs() < 1e-11);
        assert!((row[1] - 3.0).abs() < 1e-11);
        assert!(row[2] < 1e-6);
    }

    #[test]
    fn threads_do_not_change_the_result() {
        let (rows, columns) = (PARALLEL / 1000 + 1, 1000);
        let x: Vec<f64> = (0..rows)
            .flat_map(|row| path(columns - 1, 0.9, row as f64, row as u64))
            .collect();
        let together = ou_fit(&x, columns, 0.5).unwrap();
        for (row, series) in x.chunks_exact(columns).enumerate() {
            let alone = ou_fit(series, columns, 0.5).unwrap();
            assert_eq!(together[row * COLUMNS..(row + 1) * COLUMNS], alone);
        }
    }

    #[test]
    fn a_bad_value_far_down_is_named_by_threads_too() {
        let (rows, columns) = (PARALLEL / 1000 + 1, 1000);
        let mut x: Vec<f64> = (0..rows)
            .flat_map(|_| path(columns - 1, 0.9, 0.0, 1))
            .collect();
        x[3000 * columns..3001 * columns].fill(2.0);
        let error = ou_fit(&x, columns, 1.0).unwrap_err().to_string();
        assert!(error.starts_with("x[3000] must vary"), "{error}");
        x[3500 * columns + 17] = f64::NAN;
        let error = ou_fit(&x, columns, 1.0).unwrap_err().to_string();
        assert!(error.starts_with("x[3500, 17] must be finite"), "{error}");
    }

    #[test]
    fn squares_that_overflow_are_refused() {
        let error = ou_fit(&[0.0, 1e200, -1e200, 1e200, 0.0], 5, 1.0).unwrap_err();
        assert!(error.to_string().starts_with("x[0] must vary by less"));
    }

    proptest! {
        #[test]
        fn one_pass_equals_two(
            n in 3_usize..300,
            phi in -0.5_f64..1.0,
            level in -1e3_f64..1e3,
            seed in any::<u64>(),
        ) {
            let series = path(n, phi, level, seed);
            let row = ou_fit(&series, n + 1, 1.0).unwrap();
            let (beta, sxx, rss) = two_passes(&series);
            prop_assert!((row[6] - sxx).abs() <= 1e-10 * sxx);
            let scale = (rss / sxx).sqrt() + beta.abs();
            prop_assert!((row[3] - beta).abs() <= 1e-9 * scale);
            prop_assert!((row[7] - rss).abs() <= 1e-9 * (rss + beta * beta * sxx));
        }
    }
}
