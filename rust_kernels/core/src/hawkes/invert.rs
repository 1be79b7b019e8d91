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

/// Adds a path of a model with one decay.
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
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let model = &self.simulation.model;
        match model.types().div_ceil(S::F64_LANES) {
            _ if model.types() == 1 => self.run::<S>(&mut OneType::new(model)),
            1 => self.run::<S>(&mut Types::<S, 1>::new(simd, model)),
            2 => self.run::<S>(&mut Types::<S, 2>::new(simd, model)),
            3 => self.run::<S>(&mut Types::<S, 3>::new(simd, model)),
            4 => self.run::<S>(&mut Types::<S, 4>::new(simd, model)),
            5..=8 => self.run::<S>(&mut Types::<S, 8>::new(simd, model)),
            _ => self.simulation.step_by_step(self.seed, self.path, self.out),
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
            if simulation.model.types() > 1 {
                self.out.types.extend_from_slice(&types[..n]);
            }
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

/// Where the excess is too small for products with it.
const TINY: f64 = 1e-100;

/// Scale and factor of the excess that is not to be scaled: rare, and no reason to wait for `share`.
#[cold]
#[inline(never)]
fn unscaled(share: f64) -> (f64, f64) {
    (1.0, share)
}

/// The excess of each type together with the types before it, in K vectors.
struct Types<S: Simd, const K: usize> {
    simd: S,
    types: usize,
    /// Of all types.
    above: f64,
    excess: [S::f64s; K],
    /// The baseline of each type and of those before it; infinite where there is no type.
    baseline: [S::f64s; K],
    /// The baseline of all types.
    base: f64,
    /// What an event of each type adds to the excess, and to that of all types.
    jumps: Vec<([S::f64s; K], f64)>,
}

impl<S: Simd, const K: usize> Types<S, K> {
    #[inline(always)]
    fn new(simd: S, model: &Model) -> Self {
        let d = model.types();
        // Sums of the first, of the first two and so on, and of all.
        let sums = |rates: &dyn Fn(usize) -> f64, beyond: f64| {
            let (mut vectors, mut sum) = ([simd.splat_f64s(beyond); K], 0.0);
            let places: &mut [f64] = pulp::bytemuck::cast_slice_mut(&mut vectors);
            for (i, place) in places[..d].iter_mut().enumerate() {
                sum += rates(i);
                *place = sum;
            }
            (vectors, sum)
        };
        let (baseline, base) = sums(&|i| model.baseline[i], f64::INFINITY);
        let jump = |kind| sums(&|i| model.row(0, i)[kind] * model.decay[0], 0.0);
        Self {
            simd,
            types: d,
            above: 0.0,
            excess: [simd.splat_f64s(0.0); K],
            baseline,
            base,
            jumps: (0..d).map(jump).collect(),
        }
    }

    /// The last type that can be, where rounding goes beyond them.
    #[cold]
    fn last(&self, excess: [S::f64s; K]) -> usize {
        let excess: &[f64] = pulp::bytemuck::cast_slice(&excess);
        let baseline: &[f64] = pulp::bytemuck::cast_slice(&self.baseline);
        let rate = |i: usize| baseline[i] + excess[i];
        (1..self.types)
            .rfind(|&i| rate(i) > rate(i - 1))
            .unwrap_or(0)
    }
}

impl<S: Simd, const K: usize> Excess for Types<S, K> {
    #[inline(always)]
    fn follow(&mut self, steps: &Steps, before: &mut [f64; STEPS], types: &mut [i64; STEPS]) {
        let simd = self.simd;
        let (zero, one) = (simd.splat_u64s(0), simd.splat_u64s(1));
        let (baseline, base) = (self.baseline, self.base);
        let (mut excess, mut above) = (self.excess, self.above);
        #[allow(clippy::needless_range_loop)] // several arrays at once
        for step in 0..STEPS {
            before[step] = above;
            let (loss, left) = (steps.loss[step], steps.left[step]);
            let share = (1.0 - loss / above).max(left);
            let rest = (above - loss).max(above * left);
            // Rates times the excess before, as the share of it that is left comes late.
            let (mut scale, mut factor) = (above, rest);
            if above < TINY {
                (scale, factor) = unscaled(share);
            }
            let limit = simd.splat_f64s(steps.share[step] * scale * (base + rest));
            let (scale, factor) = (simd.splat_f64s(scale), simd.splat_f64s(factor));
            let share = simd.splat_f64s(share);
            let mut below = zero;
            for k in 0..K {
                let rate =
                    simd.mul_add_e_f64s(excess[k], factor, simd.mul_f64s(baseline[k], scale));
                let passed = simd.less_than_or_equal_f64s(rate, limit);
                below = simd.add_u64s(below, simd.select_u64s(passed, one, zero));
                excess[k] = simd.mul_f64s(excess[k], share);
            }
            above = rest;
            let lanes: &[u64] = pulp::bytemuck::cast_slice(std::slice::from_ref(&below));
            let mut kind = lanes.iter().sum::<u64>() as usize;
            if kind >= self.types {
                kind = self.last(excess);
            }
            let (jumps, jump) = &self.jumps[kind];
            let mark = simd.splat_f64s(steps.mark[step]);
            for k in 0..K {
                excess[k] = simd.mul_add_e_f64s(jumps[k], mark, excess[k]);
            }
            above += jump * steps.mark[step];
            types[step] = kind as i64;
        }
        (self.excess, self.above) = (excess, above);
    }
}
