//! Exercise policies by backward regression.

use super::least_squares::{bounded, check, fit, not_empty, Block, Table, BLOCK, CHUNK};
use super::threads;
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
    let chunks = cash.chunks_mut(CHUNK).zip(stops.chunks_mut(CHUNK));
    let mut parts: Vec<Part> = chunks
        .map(|(cash, stops)| Part {
            blocks: vec![Block::new(k + 1); cash.len().div_ceil(BLOCK)],
            cash,
            stops,
        })
        .collect();
    for date in (0..last).rev() {
        let features_now = &features[date * b * k..][..b * k];
        let rewards_now = &rewards[date * b..][..b];
        let regress = |(number, part): (usize, &mut Part)| {
            let (first, rows) = (number * CHUNK, part.cash.len());
            let gains = &rewards_now[first..][..rows];
            let table = Table {
                features: &features_now[first * k..][..rows * k],
                k,
                targets: part.cash,
                m: 1,
                chosen: positive.then_some(gains),
                blocks: &mut part.blocks,
            };
            table.products()
        };
        let products: Option<Vec<_>> = match &pool {
            None => parts.iter_mut().enumerate().map(regress).collect(),
            Some(pool) => pool.install(|| parts.par_iter_mut().enumerate().map(regress).collect()),
        };
        let Some(products) = products else {
            check("features", features, &shape)?;
            break;
        };
        let weights = &mut coefficients[date * k..][..k];
        weights.copy_from_slice(&fit(products, k, 1));
        let stop = |(number, part): (usize, &mut Part)| {
            let gains = &rewards_now[number * CHUNK..][..part.cash.len()];
            part.stop(weights, gains, date as i64);
        };
        match &pool {
            None => parts.iter_mut().enumerate().rev().for_each(stop),
            Some(pool) => pool.install(|| parts.par_iter_mut().enumerate().for_each(stop)),
        }
    }
    Ok((coefficients, stops))
}

/// Some paths: what they will pay, where they stop, and the features of a date.
struct Part<'a> {
    cash: &'a mut [f64],
    stops: &'a mut [i64],
    blocks: Vec<Block>,
}

impl Part<'_> {
    /// Stops those of the chosen paths whose gain is not below the fitted one.
    fn stop(&mut self, weights: &[f64], gains: &[f64], date: i64) {
        let gains = gains.chunks(BLOCK);
        // The last blocks were filled last, and are still near.
        let paths = self
            .cash
            .chunks_mut(BLOCK)
            .zip(self.stops.chunks_mut(BLOCK));
        for ((block, gains), (cash, stops)) in self.blocks.iter().zip(gains).zip(paths).rev() {
            pulp::Arch::new().dispatch(Stopping {
                block,
                weights,
                gains,
                date,
                cash,
                stops,
            });
        }
    }
}

/// Paths of one block at one date.
struct Stopping<'a> {
    block: &'a Block,
    weights: &'a [f64],
    gains: &'a [f64],
    date: i64,
    cash: &'a mut [f64],
    stops: &'a mut [i64],
}

impl WithSimd for Stopping<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.block.rows();
        let (mut fitted, mut gains) = ([0.0; BLOCK], [0.0; BLOCK]);
        let (mut cash, mut stops) = (*self.block.column(self.weights.len()), [0; BLOCK]);
        self.block.fit(simd, self.weights, &mut fitted);
        for ((gain, stop), &row) in gains.iter_mut().zip(&mut stops).zip(rows) {
            (*gain, *stop) = (self.gains[row], self.stops[row]);
        }
        let (fitted, gains) = (S::as_simd_f64s(&fitted).0, S::as_simd_f64s(&gains).0);
        let now = simd.splat_i64s(self.date);
        let paths = S::as_mut_simd_f64s(&mut cash).0.iter_mut();
        let paths = paths.zip(S::as_mut_simd_i64s(&mut stops).0);
        // Half of the paths stop, and no branch would foresee which.
        for ((&fitted, &gain), (cash, stop)) in fitted.iter().zip(gains).zip(paths) {
            let stopping = simd.less_than_or_equal_f64s(fitted, gain);
            *cash = simd.select_f64s(stopping, gain, *cash);
            *stop = simd.select_i64s(stopping, now, *stop);
        }
        for ((&cash, &stop), &row) in cash.iter().zip(&stops).zip(rows) {
            (self.cash[row], self.stops[row]) = (cash, stop);
        }
    }
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
    check_rewards(features, shape, rewards)?;
    check("coefficients", coefficients, &[n, k])?;
    let mut stops = vec![n as i64 - 1; b];
    let good = pulp::Arch::new().dispatch(Applying {
        features,
        shape,
        rewards,
        coefficients,
        positive,
        stops: &mut stops,
    });
    if !good {
        check("features", features, &shape)?;
    }
    Ok(stops)
}

/// A policy on paths. False where a feature is not bounded.
struct Applying<'a> {
    features: &'a [f64],
    shape: [usize; 3],
    rewards: &'a [f64],
    coefficients: &'a [f64],
    positive: bool,
    stops: &'a mut [i64],
}

impl WithSimd for Applying<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let [n, _, k] = self.shape;
        let mut block = Block::new(k);
        let mut fitted = [0.0; BLOCK];
        let last = n as i64 - 1;
        let dates = self
            .features
            .chunks(self.stops.len() * k)
            .zip(self.rewards.chunks(self.stops.len()));
        for ((features, rewards), (date, weights)) in
            dates.zip((0..).zip(self.coefficients.chunks(k)))
        {
            let rows = features.chunks(BLOCK * k).zip(rewards.chunks(BLOCK));
            for ((features, gains), stops) in rows.zip(self.stops.chunks_mut(BLOCK)) {
                if !bounded(features) {
                    return false;
                }
                if date == last {
                    continue;
                }
                block.choose(gains.len(), |row| {
                    (stops[row] == last) & (!self.positive | (gains[row] > 0.0))
                });
                block.take(features, k, 0);
                block.fit(simd, weights, &mut fitted);
                for (&row, fitted) in block.rows().iter().zip(&fitted) {
                    if gains[row] >= *fitted {
                        stops[row] = date;
                    }
                }
            }
        }
        true
    }
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
