//! Exact simulation.

use super::{check, end, invert, not_negative, shown, Model};
use crate::philox;
use crate::Error;
use rayon::prelude::*;

/// Paths that are simulated at most: a gigabyte of counts.
const MOST_PATHS: usize = 100_000_000;

/// Paths of one task.
const CHUNK: usize = 16;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Simulation<'a> {
    /// The process.
    pub model: Model<'a>,
    /// End of each path.
    pub horizon: f64,
    /// Each event draws one of these; without, its mark is 1.
    pub marks: Option<&'a [f64]>,
    /// Whether candidates are thinned with one decay, too.
    pub thinning: bool,
    /// Events that a path may have.
    pub most: usize,
}

/// Events of some paths, one path after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Paths {
    /// Times of the events.
    pub times: Vec<f64>,
    /// Their types.
    pub types: Vec<i64>,
    /// Their marks.
    pub marks: Vec<f64>,
    /// Events of each path.
    pub counts: Vec<i64>,
}

impl Paths {
    fn append(&mut self, other: &mut Self) {
        if self.counts.is_empty() {
            std::mem::swap(self, other);
        } else {
            self.times.append(&mut other.times);
            self.types.append(&mut other.types);
            self.marks.append(&mut other.marks);
            self.counts.append(&mut other.counts);
        }
    }
}

/// Exact paths on (0, horizon].
///
/// Step n of path p takes block n of Philox stream p of the seed, so that the result is the same for
/// any number of threads. With one decay and without `thinning` the construction is that of Dassios
/// and Zhao (2013), otherwise that of Ogata (1981).
pub fn hawkes_simulate(simulation: &Simulation, n_paths: usize, seed: u64) -> Result<Paths, Error> {
    end(simulation.horizon)?;
    check("marks", simulation.marks.unwrap_or(&[]), not_negative)?;
    if simulation.marks.is_some_and(<[f64]>::is_empty) {
        return Err(Error::new("marks", "must have at least one value"));
    }
    if n_paths > MOST_PATHS {
        let problem = format!("must be at most {MOST_PATHS}, got {n_paths}");
        return Err(Error::new("n_paths", problem));
    }
    let chunk = |number: usize| {
        let paths = number * CHUNK..((number + 1) * CHUNK).min(n_paths);
        let mut result = Paths::default();
        for path in paths {
            simulation.path(seed, path as u64, &mut result)?;
        }
        Ok(result)
    };
    let chunks = n_paths.div_ceil(CHUNK);
    // The threads end with the call: a lasting pool would not survive a fork of the process.
    let pool = (chunks > 1)
        .then(|| rayon::ThreadPoolBuilder::new().build().ok())
        .flatten()
        .filter(|pool| pool.current_num_threads() > 1);
    let parts: Result<Vec<Paths>, Error> = match pool {
        None => (0..chunks).map(chunk).collect(),
        Some(pool) => pool.install(|| (0..chunks).into_par_iter().map(chunk).collect()),
    };
    let mut result = Paths::default();
    for mut part in parts? {
        result.append(&mut part);
    }
    if simulation.model.types() == 1 {
        // Memory that the system has set to zero need not be written.
        result.types = vec![0; result.times.len()];
    }
    Ok(result)
}

impl Simulation<'_> {
    fn path(&self, seed: u64, path: u64, out: &mut Paths) -> Result<(), Error> {
        if self.thinning || self.model.decay.len() != 1 {
            self.step_by_step(seed, path, out)
        } else {
            invert::path(self, seed, path, out)
        }
    }

    /// A path of any model.
    pub(super) fn step_by_step(&self, seed: u64, path: u64, out: &mut Paths) -> Result<(), Error> {
        let thin = self.thinning || self.model.decay.len() != 1;
        let (d, first) = (self.model.types(), out.times.len());
        let mut excess = vec![0.0; self.model.decay.len() * d];
        let mut fades = vec![0.0; self.model.decay.len()];
        let mut time = 0.0;
        for step in 0.. {
            let words = philox::block(seed, path, step);
            let (wait, mut kind) = if thin {
                self.thin(&excess, words, &mut fades)?
            } else {
                self.invert(&excess, words, &mut fades)
            };
            time += wait;
            if time > self.horizon {
                break;
            }
            for (row, fade) in excess.chunks_mut(d).zip(&fades) {
                row.iter_mut().for_each(|excess| *excess *= fade);
            }
            if !thin {
                kind = Some(self.choice(&excess, philox::uniform(words[2])));
            }
            let Some(kind) = kind else { continue };
            if out.times.len() - first == self.most {
                return Err(self.too_many());
            }
            let mark = self.mark(words[3]);
            out.times.push(time);
            out.types.push(kind as i64);
            out.marks.push(mark);
            for (row, excess) in excess.iter_mut().enumerate() {
                let jump = self.model.adjacency[row * d + kind] * self.model.decay[row / d];
                *excess += mark * jump;
            }
        }
        out.counts.push((out.times.len() - first) as i64);
        Ok(())
    }

    pub(super) fn too_many(&self) -> Error {
        let (most, horizon) = (self.most, shown(self.horizon));
        let problem = format!("must give at most {most} events in a path, got {horizon}");
        Error::new("horizon", problem)
    }

    pub(super) fn mark(&self, word: u64) -> f64 {
        let Some(marks) = self.marks else { return 1.0 };
        let place = (philox::uniform(word) * marks.len() as f64) as usize;
        marks[place.min(marks.len() - 1)]
    }

    /// Rate of each type.
    fn rates<'a>(&'a self, excess: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let d = self.model.types();
        let above = move |i| excess.iter().skip(i).step_by(d).sum::<f64>();
        self.model
            .baseline
            .iter()
            .enumerate()
            .map(move |(i, mu)| mu + above(i))
    }

    /// The type whose turn it is; the last one that can be where rounding goes beyond them.
    fn choice(&self, excess: &[f64], uniform: f64) -> usize {
        let mut rest = uniform * self.rates(excess).sum::<f64>();
        let mut kind = 0;
        for (i, rate) in self.rates(excess).enumerate() {
            if rate > 0.0 {
                kind = i;
                if rest < rate {
                    break;
                }
                rest -= rate;
            }
        }
        kind
    }

    /// Wait for the next event, the earlier of one of the baseline and one of the excess.
    fn invert(&self, excess: &[f64], words: [u64; 4], fades: &mut [f64]) -> (f64, Option<usize>) {
        let b = self.model.decay[0];
        let base: f64 = self.model.baseline.iter().sum();
        let above: f64 = excess.iter().sum();
        let by_base = if base > 0.0 {
            philox::exponential(words[0]) / base
        } else {
            f64::INFINITY
        };
        let left = if above > 0.0 {
            1.0 - b * philox::exponential(words[1]) / above
        } else {
            0.0
        };
        let by_excess = if left > 0.0 {
            -left.ln() / b
        } else {
            f64::INFINITY
        };
        if by_excess < by_base {
            fades[0] = left;
            (by_excess, None)
        } else {
            fades[0] = (-b * by_base).exp();
            (by_base, None)
        }
    }

    /// Wait for the next candidate, and its type where it is kept.
    fn thin(
        &self,
        excess: &[f64],
        words: [u64; 4],
        fades: &mut [f64],
    ) -> Result<(f64, Option<usize>), Error> {
        let bound = self.model.baseline.iter().sum::<f64>() + excess.iter().sum::<f64>();
        if bound <= 0.0 {
            return Ok((f64::INFINITY, None));
        }
        if bound == f64::INFINITY {
            return Err(self.too_many());
        }
        let wait = philox::exponential(words[0]) / bound;
        for (fade, b) in fades.iter_mut().zip(self.model.decay) {
            *fade = (-b * wait).exp();
        }
        let d = self.model.types();
        let mut rest = philox::uniform(words[1]) * bound;
        for (i, mu) in self.model.baseline.iter().enumerate() {
            let above = excess.iter().skip(i).step_by(d).zip(&*fades);
            let rate = mu + above.map(|(excess, fade)| excess * fade).sum::<f64>();
            if rest < rate {
                return Ok((wait, Some(i)));
            }
            rest -= rate;
        }
        Ok((wait, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulation<'a>(model: Model<'a>, marks: Option<&'a [f64]>) -> Simulation<'a> {
        Simulation {
            model,
            horizon: 60.0,
            marks,
            thinning: false,
            most: 100_000,
        }
    }

    /// Baseline and adjacency of `d` types: 0.7 children of each event.
    fn parameters(d: usize) -> [Vec<f64>; 2] {
        let mut baseline = vec![2.0 / d as f64; d];
        baseline[d - 1] = 0.0;
        baseline[0] += 0.1;
        let cells = (0..d * d).map(|cell| 0.7 * ((cell % 3) as f64 + 0.5) / (1.5 * d as f64));
        [baseline, cells.collect()]
    }

    #[test]
    fn many_steps_at_once_give_what_one_after_the_other_gives() {
        for d in [1, 2, 4, 5, 9, 13, 30, 40] {
            let [baseline, adjacency] = parameters(d);
            let model = Model::new(&baseline, &adjacency, &[2.0]).unwrap();
            for marks in [None, Some(&[0.0, 0.5, 2.0][..])] {
                let simulation = simulation(model, marks);
                for path in 0..20 {
                    let (mut one, mut many) = (Paths::default(), Paths::default());
                    simulation.step_by_step(5, path, &mut one).unwrap();
                    simulation.path(5, path, &mut many).unwrap();
                    if d > 1 {
                        assert_eq!(one.types, many.types);
                    }
                    assert_eq!((one.marks, one.counts), (many.marks, many.counts));
                    for (a, b) in one.times.iter().zip(&many.times) {
                        assert!((a - b).abs() < 1e-12 * 60.0);
                    }
                }
            }
        }
    }

    #[test]
    fn threads_and_other_paths_do_not_change_a_path() {
        let [baseline, adjacency] = parameters(3);
        let model = Model::new(&baseline, &adjacency, &[2.0]).unwrap();
        let simulation = simulation(model, None);
        let all = hawkes_simulate(&simulation, 5 * CHUNK + 3, 9).unwrap();
        let mut alone = Paths::default();
        for path in 0..all.counts.len() {
            simulation.path(9, path as u64, &mut alone).unwrap();
        }
        assert_eq!(all, alone);
    }

    #[test]
    fn a_single_type_is_zero() {
        let model = Model::new(&[1.0], &[0.5], &[2.0]).unwrap();
        let paths = hawkes_simulate(&simulation(model, None), 3, 9).unwrap();
        assert!(!paths.types.is_empty());
        assert_eq!(paths.types, vec![0; paths.times.len()]);
    }

    #[test]
    fn nothing_comes_of_nothing() {
        let model = Model::new(&[0.0; 2], &[0.5; 4], &[2.0]).unwrap();
        let mut simulation = simulation(model, None);
        for thinning in [false, true] {
            simulation.thinning = thinning;
            assert_eq!(hawkes_simulate(&simulation, 3, 9).unwrap().counts, [0; 3]);
        }
    }

    #[test]
    fn an_intensity_beyond_the_numbers_is_refused() {
        let model = Model::new(&[1.0; 2], &[1e308; 4], &[1.0]).unwrap();
        let mut simulation = simulation(model, None);
        for thinning in [false, true] {
            simulation.thinning = thinning;
            let error = hawkes_simulate(&simulation, 1, 9).unwrap_err().to_string();
            assert_eq!(
                error,
                "horizon must give at most 100000 events in a path, got 60.0"
            );
        }
    }
}
