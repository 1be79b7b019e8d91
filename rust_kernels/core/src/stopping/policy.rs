//! Exercise policies by backward regression.

use super::least_squares::{bounded, check, not_empty, solve, Table, CHUNK};
use super::threads;
use crate::hawkes::functions::fused;
use crate::Error;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Features from which threads are worth starting: about a millisecond of work.
const PARALLEL: usize = 1 << 19;

/// Exercise policy of Longstaff & Schwartz (2001): coefficients (n, k) and where it stops each path.
///
/// Features (n, b, k) at n dates on b paths, rewards (n, b) for stopping. Every path stops at the
/// last date at the latest. From the date before it back, the rewards that paths would get later
/// are regressed on the features of the date, and a path stops whose reward is not below the fitted
/// one; with `positive`, only paths with a positive reward count.
pub fn backward_regression(
    features: &[f64],
    shape: [usize; 3],
    rewards: &[f64],
    positive: bool,
) -> Result<(Vec<f64>, Vec<i64>), Error> {
    let [n, b, k] = shape;
    not_empty(features, &shape)?;
    check_rewards(features, shape, rewards)?;
    let last = n - 1;
    check_date(features, shape, last)?;
    let pool = threads(features.len() >= PARALLEL && b > CHUNK);
    let mut coefficients = vec![0.0; n * k];
    let mut stops = vec![last as i64; b];
    let mut cash = rewards[last * b..].to_vec();
    for date in (0..last).rev() {
        let now = &features[date * b * k..][..b * k];
        let gains = &rewards[date * b..][..b];
        let table = Table {
            features: now,
            k,
            targets: &cash,
            m: 1,
            chosen: positive.then_some(gains),
        };
        let Some((gram, moments)) = table.products(pool.as_ref()) else {
            check("features", features, &shape)?;
            break;
        };
        let weights = &mut coefficients[date * k..][..k];
        weights.copy_from_slice(&solve(&gram, k, &moments, 1));
        let weights = &*weights;
        let chunks = cash.chunks_mut(CHUNK).zip(stops.chunks_mut(CHUNK));
        let inputs = gains.chunks(CHUNK).zip(now.chunks(CHUNK * k));
        let tasks = chunks
            .zip(inputs)
            .map(|((cash, stops), (gains, features))| Stopping {
                features,
                weights,
                gains,
                positive,
                date: date as i64,
                cash,
                stops,
            });
        match &pool {
            // The last rows were read last, and are still near.
            None => tasks.rev().for_each(Stopping::run),
            Some(pool) => {
                let tasks: Vec<_> = tasks.collect();
                pool.install(|| tasks.into_par_iter().for_each(Stopping::run));
            }
        }
    }
    Ok((coefficients, stops))
}

/// First date at which a policy stops each path, from what is known at that date alone.
pub fn apply_policy(
    features: &[f64],
    shape: [usize; 3],
    rewards: &[f64],
    coefficients: &[f64],
    positive: bool,
) -> Result<Vec<i64>, Error> {
    let [n, b, k] = shape;
    not_empty(features, &shape)?;
    check("features", features, &shape)?;
    check_rewards(features, shape, rewards)?;
    check("coefficients", coefficients, &[n, k])?;
    let mut stops = vec![n as i64 - 1; b];
    let mut cash = vec![0.0; b];
    // From the last date back, an earlier stop replaces a later one.
    for date in (0..n - 1).rev() {
        let task = Stopping {
            features: &features[date * b * k..][..b * k],
            weights: &coefficients[date * k..][..k],
            gains: &rewards[date * b..][..b],
            positive,
            date: date as i64,
            cash: &mut cash,
            stops: &mut stops,
        };
        task.run();
    }
    Ok(stops)
}

fn check_rewards(features: &[f64], [n, b, k]: [usize; 3], rewards: &[f64]) -> Result<(), Error> {
    let good = pulp::Arch::new().dispatch(
        #[inline(always)]
        || rewards.chunks(CHUNK).all(bounded),
    );
    if good {
        return Ok(());
    }
    // What is wrong with the features is said first.
    check("features", features, &[n, b, k])?;
    check("rewards", rewards, &[n, b])
}

fn check_date(features: &[f64], shape: [usize; 3], date: usize) -> Result<(), Error> {
    let size = shape[1] * shape[2];
    match check("", &features[date * size..][..size], &shape[1..]) {
        Ok(()) => Ok(()),
        Err(_) => check("features", features, &shape),
    }
}

/// Paths at one date.
struct Stopping<'a> {
    features: &'a [f64],
    weights: &'a [f64],
    gains: &'a [f64],
    positive: bool,
    date: i64,
    cash: &'a mut [f64],
    stops: &'a mut [i64],
}

impl Stopping<'_> {
    fn run(self) {
        pulp::Arch::new().dispatch(self);
    }
}

impl WithSimd for Stopping<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // The smallest number above 0.
        let least = if self.positive {
            f64::from_bits(1)
        } else {
            f64::NEG_INFINITY
        };
        let rows = self.features.chunks_exact(self.weights.len());
        let paths = self.cash.iter_mut().zip(self.stops);
        for ((features, &gain), (cash, stop)) in rows.zip(self.gains).zip(paths) {
            let pairs = features.iter().zip(self.weights);
            let fitted = pairs.fold(0.0, |sum, (&x, &weight)| fused::<S>(x, weight, sum));
            let stopping = (gain >= fitted) & (gain >= least);
            *cash = if stopping { gain } else { *cash };
            *stop = if stopping { self.date } else { *stop };
        }
    }
}
