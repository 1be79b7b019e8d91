//! Log-likelihood and its gradient in O(n), by the recursion of Ozaki (1979).

use super::{blocks, end, shown, History, Model};
use crate::Error;

/// Log-likelihood and its derivatives, in the shapes of the parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Likelihood {
    /// `-inf` where the intensity is zero at an event; the gradient is then NaN.
    pub value: f64,
    /// By the baseline of each type.
    pub by_baseline: Vec<f64>,
    /// By the adjacency.
    pub by_adjacency: Vec<f64>,
    /// By each decay.
    pub by_decay: Vec<f64>,
}

/// Log-likelihood of the events on (0, horizon], and its gradient.
pub fn hawkes_likelihood(
    model: &Model,
    history: &History,
    horizon: f64,
) -> Result<Likelihood, Error> {
    let horizon = end(horizon)?;
    if history.times.last().is_some_and(|&last| last > horizon) {
        let problem = format!("must not be before the last time, got {}", shown(horizon));
        return Err(Error::new("horizon", problem));
    }
    let mut sums = Sums::new(model);
    if model.decay.len() == 1 {
        blocks::extend(&mut sums, model, history);
    } else {
        sums.extend(model, history);
    }
    Ok(sums.finish(model, history, horizon))
}

/// The sums over events that the likelihood and its gradient are made of.
pub(super) struct Sums {
    /// Sum of the logarithms of the intensities, `-inf` once one is zero.
    pub(super) log: f64,
    /// Of each type, sum of 1 / rate over its events.
    pub(super) inverse: Vec<f64>,
    /// [m, i, j]: sum of R_mj / rate over the events of type i.
    pub(super) level: Vec<f64>,
    /// Sum of the derivative of the rate by decay m over the rate.
    pub(super) slope: Vec<f64>,
    pub(super) state: State,
}

/// R_mj just after the last event, and the same sum with each term times its lag.
pub(super) struct State {
    pub(super) time: f64,
    pub(super) level: Vec<f64>,
    pub(super) lagged: Vec<f64>,
}

impl State {
    pub(super) fn fade(&mut self, time: f64, decay: &[f64]) {
        let gap = time - self.time;
        let d = self.level.len().checked_div(decay.len()).unwrap_or(1);
        let rows = self.level.chunks_mut(d).zip(self.lagged.chunks_mut(d));
        for ((level, lagged), b) in rows.zip(decay) {
            let fade = (-b * gap).exp();
            for (level, lagged) in level.iter_mut().zip(lagged) {
                *lagged = fade * (*lagged + gap * *level);
                *level *= fade;
            }
        }
        self.time = time;
    }
}

impl Sums {
    fn new(model: &Model) -> Self {
        let (d, terms) = (model.types(), model.decay.len());
        Self {
            log: 0.0,
            inverse: vec![0.0; d],
            level: vec![0.0; terms * d * d],
            slope: vec![0.0; terms],
            state: State {
                time: 0.0,
                level: vec![0.0; terms * d],
                lagged: vec![0.0; terms * d],
            },
        }
    }

    /// Adds events one after the other.
    pub(super) fn extend(&mut self, model: &Model, history: &History) {
        let mut slopes = vec![0.0; model.decay.len()];
        for (row, (&time, &kind)) in history.times.iter().zip(history.types).enumerate() {
            self.state.fade(time, model.decay);
            let inverse = 1.0 / self.rate(model, kind as usize, &mut slopes);
            self.add(kind as usize, inverse, &slopes);
            let d = model.types();
            for level in self.state.level.iter_mut().skip(kind as usize).step_by(d) {
                *level += history.mark(row);
            }
        }
    }

    /// The intensity of a type, and its derivative by each decay.
    fn rate(&mut self, model: &Model, kind: usize, slopes: &mut [f64]) -> f64 {
        let d = model.types();
        let mut rate = model.baseline[kind];
        for (m, (&b, slope)) in model.decay.iter().zip(slopes).enumerate() {
            let (mut level, mut lagged) = (0.0, 0.0);
            for (j, effect) in model.row(m, kind).iter().enumerate() {
                level += effect * self.state.level[m * d + j];
                lagged += effect * self.state.lagged[m * d + j];
            }
            rate += b * level;
            *slope = level - b * lagged;
        }
        self.log += rate.ln();
        rate
    }

    fn add(&mut self, kind: usize, inverse: f64, slopes: &[f64]) {
        let d = self.inverse.len();
        self.inverse[kind] += inverse;
        for (m, slope) in slopes.iter().enumerate() {
            self.slope[m] += slope * inverse;
            let sums = &mut self.level[(m * d + kind) * d..][..d];
            for (sum, level) in sums.iter_mut().zip(&self.state.level[m * d..]) {
                *sum += level * inverse;
            }
        }
    }

    /// The likelihood, with what happened between the events.
    fn finish(mut self, model: &Model, history: &History, horizon: f64) -> Likelihood {
        let (d, terms) = (model.types(), model.decay.len());
        if self.log == f64::NEG_INFINITY {
            return Likelihood {
                value: self.log,
                by_baseline: vec![f64::NAN; d],
                by_adjacency: vec![f64::NAN; terms * d * d],
                by_decay: vec![f64::NAN; terms],
            };
        }
        let mut total = vec![0.0; d];
        for (row, &kind) in history.types.iter().enumerate() {
            total[kind as usize] += history.mark(row);
        }
        self.state.fade(horizon, model.decay);
        let mut value = self.log - model.baseline.iter().sum::<f64>() * horizon;
        let mut by_adjacency = self.level;
        let mut by_decay = self.slope;
        for (m, b) in model.decay.iter().enumerate() {
            for i in 0..d {
                let cells = &mut by_adjacency[(m * d + i) * d..][..d];
                for (j, (cell, effect)) in cells.iter_mut().zip(model.row(m, i)).enumerate() {
                    let spent = total[j] - self.state.level[m * d + j];
                    value -= effect * spent;
                    *cell = b * *cell - spent;
                    by_decay[m] -= effect * self.state.lagged[m * d + j];
                }
            }
        }
        Likelihood {
            value,
            by_baseline: self.inverse.iter().map(|sum| sum - horizon).collect(),
            by_adjacency,
            by_decay,
        }
    }
}
