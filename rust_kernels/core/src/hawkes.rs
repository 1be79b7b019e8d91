//! Hawkes processes with exponential kernels: likelihood with gradient, intensity, simulation.
//!
//! Type i has the intensity `baseline_i + sum over m, j of adjacency[m, i, j] decay_m R_mj(t)`,
//! where `R_mj(t)` sums `mark exp(-decay_m (t - t_k))` over the events of type j before t. Hawkes,
//! Biometrika 58 (1971) 83-90.

mod blocks;
pub(crate) mod functions;
mod invert;
mod likelihood;
mod path;
mod simulate;

pub use likelihood::{hawkes_likelihood, Likelihood};
pub use path::hawkes_path;
pub use simulate::{hawkes_simulate, Paths, Simulation};

use crate::Error;
use std::ops::Range;

/// Values that are checked together, without a branch for each.
const CHUNK: usize = 64;

/// Baseline of d types, and M decays with the adjacency of each: M matrices of order d.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    baseline: &'a [f64],
    adjacency: &'a [f64],
    decay: &'a [f64],
}

impl<'a> Model<'a> {
    /// The model, checked. `adjacency[m, i, j]` is the effect of type j on type i.
    pub fn new(baseline: &'a [f64], adjacency: &'a [f64], decay: &'a [f64]) -> Result<Self, Error> {
        let (d, terms) = (baseline.len(), decay.len());
        if d == 0 {
            return Err(Error::new("baseline", "must have at least one value"));
        }
        let cells = d.checked_mul(d).and_then(|cells| cells.checked_mul(terms));
        if cells != Some(adjacency.len()) {
            let problem = format!("must have {terms} x {d} x {d} values");
            return Err(Error::new("adjacency", problem));
        }
        check("baseline", baseline, not_negative)?;
        if let Some(at) = adjacency.iter().position(|&value| !not_negative(value)) {
            let (m, i, j) = (at / (d * d), at / d % d, at % d);
            let problem = format!(
                "must be finite and not negative, got {}",
                shown(adjacency[at])
            );
            return Err(Error::new(format!("adjacency[{m}, {i}, {j}]"), problem));
        }
        if let Some(at) = decay.iter().position(|&value| !positive(value)) {
            let problem = format!("must be finite and positive, got {}", shown(decay[at]));
            return Err(Error::new(format!("decay[{at}]"), problem));
        }
        Ok(Self {
            baseline,
            adjacency,
            decay,
        })
    }

    fn types(&self) -> usize {
        self.baseline.len()
    }

    /// Effect on type i of each type, under decay m.
    fn row(&self, m: usize, i: usize) -> &'a [f64] {
        let d = self.types();
        &self.adjacency[(m * d + i) * d..][..d]
    }
}

/// Events in order of their times.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    times: &'a [f64],
    types: &'a [i64],
    marks: Option<&'a [f64]>,
}

impl<'a> History<'a> {
    /// The events of `d` types, checked. Without marks, each is 1.
    pub fn new(
        times: &'a [f64],
        types: &'a [i64],
        marks: Option<&'a [f64]>,
        d: usize,
    ) -> Result<Self, Error> {
        let lengths = [
            ("types", types.len()),
            ("marks", marks.map_or(types.len(), <[f64]>::len)),
        ];
        if let Some((name, got)) = lengths.into_iter().find(|&(_, n)| n != times.len()) {
            let problem = format!("must have {} values, as times, got {got}", times.len());
            return Err(Error::new(name, problem));
        }
        if let Some(row) = misplaced(times) {
            let problem = format!(
                "must be finite, not negative and after the one before it, got {}",
                shown(times[row])
            );
            return Err(Error::new(format!("times[{row}]"), problem));
        }
        let known = |&kind: &i64| (kind as u64) < d as u64;
        if !every(types, types, |kind, _| known(kind)) {
            let row = types.iter().position(|kind| !known(kind)).unwrap_or(0);
            let problem = format!("must be from 0 to {}, got {}", d - 1, types[row]);
            return Err(Error::new(format!("types[{row}]"), problem));
        }
        check("marks", marks.unwrap_or(&[]), not_negative)?;
        Ok(Self {
            times,
            types,
            marks,
        })
    }

    fn part(&self, rows: Range<usize>) -> Self {
        Self {
            times: &self.times[rows.clone()],
            types: &self.types[rows.clone()],
            marks: self.marks.map(|marks| &marks[rows]),
        }
    }

    fn mark(&self, row: usize) -> f64 {
        self.marks.map_or(1.0, |marks| marks[row])
    }
}

/// The first time that is not after the one before it.
fn misplaced(times: &[f64]) -> Option<usize> {
    let (&first, &last) = (times.first()?, times.last()?);
    if !not_negative(first) {
        return Some(0);
    }
    if last < f64::INFINITY && every(times, &times[1..], |before, after| before < after) {
        return None;
    }
    let good = |pair: &[f64]| pair[0] < pair[1] && pair[1] < f64::INFINITY;
    times
        .windows(2)
        .position(|pair| !good(pair))
        .map(|at| at + 1)
}

/// Whether all pairs, as many as the second ones, pass.
fn every<T>(first: &[T], second: &[T], pass: impl Fn(&T, &T) -> bool) -> bool {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut chunks = first.chunks(CHUNK).zip(second.chunks(CHUNK));
            chunks.all(|(first, second)| {
                let pairs = first.iter().zip(second);
                let passed: u64 = pairs.map(|(a, b)| u64::from(pass(a, b))).sum();
                passed == second.len() as u64
            })
        },
    )
}

fn check(name: &str, values: &[f64], good: fn(f64) -> bool) -> Result<(), Error> {
    if crate::metrics::all(values, good) {
        return Ok(());
    }
    let at = values.iter().position(|&value| !good(value)).unwrap_or(0);
    let problem = format!("must be finite and not negative, got {}", shown(values[at]));
    Err(Error::new(format!("{name}[{at}]"), problem))
}

fn not_negative(value: f64) -> bool {
    (0.0..f64::INFINITY).contains(&value)
}

fn positive(value: f64) -> bool {
    value > 0.0 && value < f64::INFINITY
}

/// The end of the observation, checked.
fn end(horizon: f64) -> Result<f64, Error> {
    if positive(horizon) {
        return Ok(horizon);
    }
    let problem = format!("must be positive and finite, got {}", shown(horizon));
    Err(Error::new("horizon", problem))
}

/// A number as Python writes it.
pub(crate) fn shown(value: f64) -> String {
    let text = format!("{value:?}").to_lowercase();
    match text.split_once('e') {
        None => text,
        Some((digits, power)) => {
            let (sign, power) = power.strip_prefix('-').map_or(('+', power), |p| ('-', p));
            format!("{digits}e{sign}{power:0>2}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_python() {
        let cases = [
            (-1.0, "-1.0"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e16, "1.5e+16"),
            (1e15, "1000000000000000.0"),
            (-2.5e-300, "-2.5e-300"),
        ];
        for (value, text) in cases {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn models_out_of_range_are_refused() {
        let refused = |mu: &[f64], alpha: &[f64], beta: &[f64]| {
            Model::new(mu, alpha, beta).unwrap_err().to_string()
        };
        assert!(refused(&[], &[], &[]).starts_with("baseline must have"));
        assert!(refused(&[-1.0], &[1.0], &[1.0]).starts_with("baseline[0] must"));
        assert!(refused(&[1.0; 2], &[1.0; 2], &[1.0]).starts_with("adjacency must"));
        let cells = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, f64::NAN, 1.0];
        assert!(refused(&[1.0; 2], &cells, &[1.0; 2]).starts_with("adjacency[1, 1, 0] must"));
        assert!(refused(&[1.0], &[1.0], &[0.0]).starts_with("decay[0] must be finite and positive"));
    }

    #[test]
    fn times_out_of_order_are_found_wherever_they_are() {
        let times: Vec<f64> = (0..200).map(f64::from).collect();
        assert!(History::new(&times, &[0; 200], None, 1).is_ok());
        for row in [0, 1, 63, 64, 65, 127, 128, 199] {
            for bad in [f64::NAN, f64::INFINITY, -1.0] {
                let mut times = times.clone();
                times[row] = bad;
                let error = History::new(&times, &[0; 200], None, 1).unwrap_err();
                assert!(
                    error.to_string().starts_with(&format!("times[{row}] ")),
                    "{error}"
                );
            }
            let mut types = [0; 200];
            types[row] = -1;
            let error = History::new(&times, &types, None, 1).unwrap_err();
            let text = format!("types[{row}] must be from 0 to 0, got -1");
            assert_eq!(error.to_string(), text);
        }
        assert!(History::new(&[1.0, 1.0], &[0; 2], None, 1).is_err());
        assert!(History::new(&[1.0], &[0], Some(&[-1.0]), 1).is_err());
    }
}
