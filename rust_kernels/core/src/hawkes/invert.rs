//! Paths with one decay: the next event of the baseline and that of the excess, both inverted.
//!
//! Excess over the baseline fades as a whole, by `exp(-b w)` in a wait w, so that the sum of all
//! types leaves an event at `max(above - b e, above exp(-b w))` with e an exponential number and w
//! the wait for the baseline's: whichever comes first has let the excess fade less. What depends on
//! random numbers alone is made for many steps at once, and the waits once the excess is known.

use super::functions::{exp, ln};
use super::simulate::{Paths, Simulation};
use super::Model;
use crate::philox;
use crate::Error;
use pulp::{Simd, WithSimd};

/// Steps that are prepared at once.
const STEPS: usize = 256;

/// Types that there may be.
pub(super) const MOST_TYPES: usize = 32;

/// Adds a path, of a model with one decay and at most `MOST_TYPES` types.
pub(super) fn path(
    simulation: &Simulation,
    seed: u64,
    path: u64,
    out: &mut Paths,
) -> Result<(), Error> {
    pulp::Arch::new().dispatch(Path {
        simulation,
        seed,
        path,
        out,
    })
}

struct Path<'a> {
    simulation: &'a Simulation<'a>,
    seed: u64,
    path: u64,
    out: &'a mut Paths,
}

impl WithSimd for Path<'_> {
    type Output = Result<(), Error>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let model = &self.simulation.model;
        match model.types() {
            1 => self.run::<S>(&mut OneType::new(model)),
            2..=4 => self.run::<S>(&mut Types::<4>::new(model)),
            5..=8 => self.run::<S>(&mut Types::<8>::new(model)),
            9..=12 => self.run::<S>(&mut Types::<12>::new(model)),
            13..=16 => self.run::<S>(&mut Types::<16>::new(model)),
            _ => self.run::<S>(&mut Types::<MOST_TYPES>::new(model)),
        }
    }
}

/// The excess over the baseline, from step to step.
trait Excess {
    /// Takes the steps; writes the excess of all types before each, and the type of its event.
    fn follow(&mut self, steps: &Steps, above: &mut [f64; STEPS], types: &mut [i64; STEPS]);
}

impl Path<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, excess: &mut impl Excess) -> Result<(), Error> {
        let simulation = self.simulation;
        let first = self.out.times.len();
        let mut steps = Steps::new();
        let (mut above, mut types) = ([0.0; STEPS], [0; STEPS]);
        let (mut time, mut times) = (0.0, [0.0; STEPS]);
        for chunk in 0.. {
            steps.draw::<S>(simulation, self.seed, self.path, chunk);
            excess.follow(&steps, &mut above, &mut types);
            steps.wait::<S>(simulation.model.decay[0], &above, &mut times);
            for wait in &mut times {
                time += *wait;
                *wait = time;
            }
            let n = times.partition_point(|&time| time <= simulation.horizon);
            self.out.times.extend_from_slice(&times[..n]);
            self.out.types.extend_from_slice(&types[..n]);
            self.out.marks.extend_from_slice(&steps.mark[..n]);
            if self.out.times.len() - first > simulation.most {
                return Err(simulation.too_many());
            }
            if n < STEPS {
                break;
            }
        }
        self.out.counts.push((self.out.times.len() - first) as i64);
        Ok(())
    }
}

/// What random numbers alone decide.
struct Steps {
    words: [[u64; STEPS]; philox::WORDS],
    /// Wait for the next event of the baseline.
    wait: [f64; STEPS],
    /// What is left of the excess after it.
    left: [f64; STEPS],
    /// What the excess loses before an event of its own.
    loss: [f64; STEPS],
    /// The share of the rates below the one that the event is of.
    share: [f64; STEPS],
    mark: [f64; STEPS],
}

impl Steps {
    fn new() -> Box<Self> {
        Box::new(Self {
            words: [[0; STEPS]; philox::WORDS],
            wait: [0.0; STEPS],
            left: [0.0; STEPS],
            loss: [0.0; STEPS],
            share: [0.0; STEPS],
            mark: [1.0; STEPS],
        })
    }

    #[inline(always)]
    fn draw<S: Simd>(&mut self, simulation: &Simulation, seed: u64, path: u64, chunk: u64) {
        for step in 0..STEPS {
            let words = philox::block(seed, path, chunk * STEPS as u64 + step as u64);
            for (column, word) in self.words.iter_mut().zip(words) {
                column[step] = word;
            }
        }
        let b = simulation.model.decay[0];
        let base: f64 = simulation.model.baseline.iter().sum();
        for step in 0..STEPS {
            let wait = -ln::<S>(1.0 - philox::uniform(self.words[0][step])) / base;
            self.wait[step] = if base > 0.0 { wait } else { f64::INFINITY };
            self.left[step] = exp::<S>(-b * self.wait[step]);
            self.loss[step] = -b * ln::<S>(1.0 - philox::uniform(self.words[1][step]));
        }
        if simulation.model.types() > 1 {
            let words = self.share.iter_mut().zip(&self.words[2]);
            words.for_each(|(share, &word)| *share = philox::uniform(word));
        }
        if simulation.marks.is_some() {
            let words = self.mark.iter_mut().zip(&self.words[3]);
            words.for_each(|(mark, &word)| *mark = simulation.mark(word));
        }
    }

    /// Waits for the event of each step, from the excess before it.
    #[inline(always)]
    fn wait<S: Simd>(&self, decay: f64, above: &[f64; STEPS], waits: &mut [f64; STEPS]) {
        for step in 0..STEPS {
            let left = 1.0 - self.loss[step] / above[step];
            let own = -ln::<S>(if left > 0.0 { left } else { 1.0 }) / decay;
            waits[step] = if left > self.left[step] {
                own
            } else {
                self.wait[step]
            };
        }
    }
}

/// The excess of the only type.
struct OneType {
    above: f64,
    jump: f64,
}

impl OneType {
    fn new(model: &Model) -> Self {
        Self {
            above: 0.0,
            jump: model.adjacency[0] * model.decay[0],
        }
    }
}

impl Excess for OneType {
    #[inline(always)]
    fn follow(&mut self, steps: &Steps, above: &mut [f64; STEPS], _: &mut [i64; STEPS]) {
        for (step, above) in above.iter_mut().enumerate() {
            *above = self.above;
            let (own, base) = (self.above - steps.loss[step], self.above * steps.left[step]);
            let left = if own > base { own } else { base };
            self.above = left + self.jump * steps.mark[step];
        }
    }
}

/// The excess of each type together with the types before it, in W places.
struct Types<const W: usize> {
    types: usize,
    /// Of all types.
    above: f64,
    excess: [f64; W],
    /// The baseline of each type and of those before it; infinite where there is no type.
    baseline: [f64; W],
    /// What an event of each type adds to the excess, and to that of all types.
    jumps: Vec<([f64; W], f64)>,
}

impl<const W: usize> Types<W> {
    fn new(model: &Model) -> Self {
        let d = model.types();
        let mut baseline = [f64::INFINITY; W];
        let mut sum = 0.0;
        for (below, mu) in baseline.iter_mut().zip(model.baseline) {
            sum += mu;
            *below = sum;
        }
        let jumps = (0..d).map(|kind| {
            let (mut jumps, mut sum) = ([0.0; W], 0.0);
            for (i, jump) in jumps[..d].iter_mut().enumerate() {
                sum += model.row(0, i)[kind] * model.decay[0];
                *jump = sum;
            }
            (jumps, sum)
        });
        Self {
            types: d,
            above: 0.0,
            excess: [0.0; W],
            baseline,
            jumps: jumps.collect(),
        }
    }

    /// The last type that can be, where rounding goes beyond them.
    #[cold]
    fn last(&self, excess: &[f64; W]) -> usize {
        let rate = |i: usize| self.baseline[i] + excess[i];
        (1..self.types)
            .rfind(|&i| rate(i) > rate(i - 1))
            .unwrap_or(0)
    }
}

impl<const W: usize> Excess for Types<W> {
    #[inline(always)]
    fn follow(&mut self, steps: &Steps, before: &mut [f64; STEPS], types: &mut [i64; STEPS]) {
        let base = self.baseline[self.types - 1];
        let (baseline, mut excess, mut above) = (self.baseline, self.excess, self.above);
        for step in 0..STEPS {
            before[step] = above;
            let own = 1.0 - steps.loss[step] / above;
            let left = if own > steps.left[step] {
                own
            } else {
                steps.left[step]
            };
            above *= left;
            let rest = steps.share[step] * (base + above);
            let mut kind = 0;
            for place in 0..W {
                excess[place] *= left;
                kind += usize::from(baseline[place] + excess[place] <= rest);
            }
            if kind >= self.types {
                kind = self.last(&excess);
            }
            let (jumps, jump) = &self.jumps[kind];
            let mark = steps.mark[step];
            for (excess, jump) in excess.iter_mut().zip(jumps) {
                *excess += jump * mark;
            }
            above += jump * mark;
            types[step] = kind as i64;
        }
        (self.excess, self.above) = (excess, above);
    }
}
