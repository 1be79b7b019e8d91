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
        let total = totals(history, d);
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

/// Sum of the marks of each type.
fn totals(history: &History, d: usize) -> Vec<f64> {
    match (history.marks, d) {
        (None, 1) => vec![history.times.len() as f64],
        (Some(marks), 1) => vec![marks.iter().sum()],
        _ => {
            // In parts, as an addition waits for the one before it at the same place.
            let mut parts = vec![[0.0; 4]; d];
            for (row, &kind) in history.types.iter().enumerate() {
                parts[kind as usize][row % 4] += history.mark(row);
            }
            parts.iter().map(|parts| parts.iter().sum()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Stream;
    use proptest::prelude::*;

    /// Parameters, and events with bursts and silences; without marks each is 1.
    struct Case {
        parameters: [Vec<f64>; 3],
        times: Vec<f64>,
        types: Vec<i64>,
        marks: Option<Vec<f64>>,
    }

    impl Case {
        fn new(d: usize, terms: usize, n: usize, marked: bool, spread: i32, seed: u64) -> Self {
            let mut stream = Stream::new(seed, 0);
            let mut draw = |n: usize, low: f64, high: f64| -> Vec<f64> {
                let mut one = || low + (high - low) * stream.uniform();
                (0..n).map(|_| one()).collect()
            };
            let parameters = [
                draw(d, 0.1, 1.0),
                draw(terms * d * d, 0.0, 0.8 / (terms * d) as f64),
                draw(terms, 0.2, 5.0),
            ];
            let marks = marked.then(|| draw(n, 0.0, 2.0));
            let types = draw(n, 0.0, d as f64);
            let (sizes, shares) = (draw(n, -1.0, 1.0), draw(n, 0.01, 1.0));
            let mut time = 0.0;
            let gaps = sizes.iter().zip(shares);
            let times = gaps.map(|(size, share)| {
                time += share * 10.0_f64.powf(f64::from(spread) * size);
                time
            });
            Self {
                parameters,
                times: times.collect(),
                types: types.iter().map(|&kind| kind as i64).collect(),
                marks,
            }
        }

        fn types(&self) -> usize {
            self.parameters[0].len()
        }

        fn horizon(&self) -> f64 {
            self.times.last().map_or(1.0, |last| last * 1.001)
        }

        fn mark(&self, row: usize) -> f64 {
            self.marks.as_ref().map_or(1.0, |marks| marks[row])
        }

        fn run(&self, parameters: &[Vec<f64>; 3]) -> Likelihood {
            let [baseline, adjacency, decay] = parameters;
            let model = Model::new(baseline, adjacency, decay).unwrap();
            let marks = self.marks.as_deref();
            let history = History::new(&self.times, &self.types, marks, self.types()).unwrap();
            hawkes_likelihood(&model, &history, self.horizon()).unwrap()
        }

        /// The definition, with all pairs of events.
        fn pairs(&self) -> f64 {
            let [baseline, adjacency, decay] = &self.parameters;
            let (d, horizon) = (self.types(), self.horizon());
            let effect = |m: usize, i: usize, j: usize| adjacency[(m * d + i) * d + j];
            let mut value = -horizon * baseline.iter().sum::<f64>();
            for (row, (&time, &kind)) in self.times.iter().zip(&self.types).enumerate() {
                let mut rate = baseline[kind as usize];
                for before in 0..row {
                    for (m, b) in decay.iter().enumerate() {
                        let faded = (-b * (time - self.times[before])).exp();
                        let effect = effect(m, kind as usize, self.types[before] as usize);
                        rate += effect * b * self.mark(before) * faded;
                    }
                }
                value += rate.ln();
                for (m, b) in decay.iter().enumerate() {
                    let all: f64 = (0..d).map(|i| effect(m, i, kind as usize)).sum();
                    value += all * self.mark(row) * (-b * (horizon - time)).exp_m1();
                }
            }
            value
        }

        /// Sum of the sizes of what is added and subtracted.
        fn scale(&self) -> f64 {
            2.0 * self.times.len() as f64 + self.types() as f64 * self.horizon() + 1.0
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn one_pass_gives_what_all_pairs_give(
            d in prop::sample::select(vec![1_usize, 2, 3, 9, 40]),
            terms in 1_usize..3,
            n in 0_usize..800,
            marked in any::<bool>(),
            spread in 0_i32..4,
            seed in any::<u64>(),
        ) {
            let case = Case::new(d, terms, n, marked, spread, seed);
            let (got, want) = (case.run(&case.parameters).value, case.pairs());
            prop_assert!((got - want).abs() < 1e-10 * want.abs() + 1e-13 * case.scale(), "{got} {want}");
        }

        #[test]
        fn the_gradient_is_that_of_the_value(
            d in prop::sample::select(vec![1_usize, 2, 5]),
            terms in 1_usize..3,
            n in 0_usize..300,
            marked in any::<bool>(),
            spread in 0_i32..3,
            seed in any::<u64>(),
        ) {
            let case = Case::new(d, terms, n, marked, spread, seed);
            let at = case.run(&case.parameters);
            let gradients = [&at.by_baseline, &at.by_adjacency, &at.by_decay];
            for (which, gradient) in gradients.into_iter().enumerate() {
                for (place, slope) in gradient.iter().enumerate() {
                    let step = 1e-5 * (case.parameters[which][place] + 1e-3);
                    let moved = |step: f64| {
                        let mut parameters = case.parameters.clone();
                        parameters[which][place] = (parameters[which][place] + step).max(0.0);
                        (case.run(&parameters).value, parameters[which][place])
                    };
                    let ((high, up), (low, down)) = (moved(step), moved(-step));
                    let want = (high - low) / (up - down);
                    let size = case.scale() + at.value.abs();
                    let error = 1e-6 * (slope.abs() + case.scale()) + 1e-14 * size / step;
                    prop_assert!(
                        (slope - want).abs() < error,
                        "{which} {place}: {slope} {want}"
                    );
                }
            }
        }

        #[test]
        fn blocks_give_what_single_events_give(
            d in 1_usize..12,
            n in 0_usize..3000,
            marked in any::<bool>(),
            spread in 0_i32..4,
            seed in any::<u64>(),
        ) {
            let case = Case::new(d, 1, n, marked, spread, seed);
            let [baseline, adjacency, decay] = &case.parameters;
            let model = Model::new(baseline, adjacency, decay).unwrap();
            let history = History::new(&case.times, &case.types, case.marks.as_deref(), d).unwrap();
            let (mut one, mut many) = (Sums::new(&model), Sums::new(&model));
            one.extend(&model, &history);
            blocks::extend(&mut many, &model, &history);
            prop_assert!((one.log - many.log).abs() < 1e-12 * case.scale() + 1e-12 * one.log.abs());
            let near = |a: &[f64], b: &[f64]| {
                let largest = a.iter().copied().fold(0.0, f64::max);
                a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * largest)
            };
            prop_assert!(near(&one.inverse, &many.inverse));
            prop_assert!(near(&one.level, &many.level));
            prop_assert!((one.slope[0] - many.slope[0]).abs() <= 1e-12 * (n as f64 + 1.0));
        }
    }

    #[test]
    fn an_event_without_intensity_has_no_likelihood() {
        for d in [1, 2] {
            for at in [0, 600] {
                // Effects of a type on itself alone; the last type has no baseline.
                let mut baseline = vec![1.0; d];
                baseline[d - 1] = 0.0;
                let mut adjacency = vec![0.0; d * d];
                (0..d).for_each(|i| adjacency[i * d + i] = 0.5);
                let model = Model::new(&baseline, &adjacency, &[1.0]).unwrap();
                let times: Vec<f64> = (1..1000).map(f64::from).collect();
                let mut types = vec![0; 999];
                types[at] = d as i64 - 1;
                let history = History::new(&times, &types, None, d).unwrap();
                let result = hawkes_likelihood(&model, &history, 1e3).unwrap();
                assert_eq!(result.value, f64::NEG_INFINITY);
                assert!(result.by_adjacency.iter().all(|slope| slope.is_nan()));
            }
        }
    }

    #[test]
    fn marks_beyond_the_range_of_blocks_are_summed() {
        for d in [1, 3] {
            let mut case = Case::new(d, 1, 2000, true, 0, 5);
            let marks = case.marks.as_mut().unwrap();
            marks[700] = 1e200;
            let (got, want) = (case.run(&case.parameters), case.pairs());
            assert!(
                (got.value - want).abs() < 1e-10 * want.abs(),
                "{} {want}",
                got.value
            );
        }
    }

    #[test]
    fn a_horizon_before_the_last_time_is_refused() {
        let model = Model::new(&[1.0], &[0.5], &[1.0]).unwrap();
        let history = History::new(&[1.0, 2.0], &[0, 0], None, 1).unwrap();
        for (horizon, text) in [
            (1.5, "horizon must not be before the last time, got 1.5"),
            (0.0, "horizon must be positive and finite, got 0.0"),
            (f64::NAN, "horizon must be positive and finite, got nan"),
        ] {
            let error = hawkes_likelihood(&model, &history, horizon).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
    }
}
