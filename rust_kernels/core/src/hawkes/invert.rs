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
use std::ops::Range;

/// Steps that are prepared at once, at most.
const STEPS: usize = 256;

/// As many at the start of a path, which may be short; then twice as many each time.
const FIRST: usize = 16;

/// Adds paths of a model with one decay.
pub(super) fn paths(
    simulation: &Simulation,
    seed: u64,
    paths: Range<u64>,
    out: &mut Paths,
) -> Result<(), Error> {
    pulp::Arch::new().dispatch(Task {
        simulation,
        seed,
        paths,
        out,
    })
}

struct Task<'a> {
    simulation: &'a Simulation<'a>,
    seed: u64,
    paths: Range<u64>,
    out: &'a mut Paths,
}

impl WithSimd for Task<'_> {
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
            _ => self
                .simulation
                .step_by_step(self.seed, self.paths, self.out),
        }
    }
}

/// The excess over the baseline, from step to step.
trait Excess {
    /// At the start of a path, none.
    fn reset(&mut self);

    /// Takes the steps; writes the excess of all types before each, and the type of its event.
    fn follow(&mut self, steps: &Steps, above: &mut [f64], types: &mut [i64; STEPS]);
}

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, excess: &mut impl Excess) -> Result<(), Error> {
        let (mut steps, mut above) = (Steps::new(), [0.0; STEPS]);
        let (mut times, mut types) = ([0.0; STEPS], [0; STEPS]);
        for path in self.paths.clone() {
            let before = self.out.times.len();
            let (mut time, mut first, mut size) = (0.0, 0, FIRST);
            excess.reset();
            loop {
                let (above, times) = (&mut above[..size], &mut times[..size]);
                steps.draw::<S>(self.simulation, [self.seed, path, first], size);
                excess.follow(&steps, above, &mut types);
                steps.wait::<S>(self.simulation.model.decay[0], above, times);
                for wait in &mut *times {
                    time += *wait;
                    *wait = time;
                }
                let n = times.partition_point(|&time| time <= self.simulation.horizon);
                self.room(before, n, time);
                self.out.times.extend_from_slice(&times[..n]);
                self.out.marks.extend_from_slice(&steps.mark[..n]);
                if self.simulation.model.types() > 1 {
                    self.out.types.extend_from_slice(&types[..n]);
                }
                if self.out.times.len() - before > self.simulation.most {
                    return Err(self.simulation.too_many());
                }
                if n < size {
                    break;
                }
                first += size as u64;
                size = (2 * size).min(STEPS);
            }
            let count = self.out.times.len() - before;
            self.out.counts.push(count as i64);
        }
        Ok(())
    }

    /// Makes room for n more events of the path that began at `before` and has come to `time`: as
    /// it goes on like that, for all of it, since to move long vectors often takes its time.
    fn room(&mut self, before: usize, n: usize, time: f64) {
        let length = self.out.times.len();
        if self.out.times.capacity() - length < n {
            let ahead = 1.05 * (length - before + n) as f64 * (self.simulation.horizon / time);
            let more = (ahead as usize).clamp(n, 8 * length + 16 * STEPS);
            self.out.times.reserve(more);
            self.out.marks.reserve(more);
            if self.simulation.model.types() > 1 {
                self.out.types.reserve(more);
            }
        }
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

    /// Takes blocks of a seed's stream from the first one on.
    #[inline(always)]
    fn draw<S: Simd>(&mut self, simulation: &Simulation, from: [u64; 3], size: usize) {
        let [seed, path, first] = from;
        for step in 0..size {
            let words = philox::block(seed, path, first + step as u64);
            for (column, word) in self.words.iter_mut().zip(words) {
                column[step] = word;
            }
        }
        let [of_base, of_excess, of_type, of_mark] = &self.words;
        let b = simulation.model.decay[0];
        let base: f64 = simulation.model.baseline.iter().sum();
        for step in 0..size {
            let wait = -ln::<S>(1.0 - philox::uniform(of_base[step])) / base;
            self.wait[step] = if base > 0.0 { wait } else { f64::INFINITY };
            self.left[step] = exp::<S>(-b * self.wait[step]);
            self.loss[step] = -b * ln::<S>(1.0 - philox::uniform(of_excess[step]));
        }
        if simulation.model.types() > 1 {
            let words = self.share.iter_mut().zip(of_type).take(size);
            words.for_each(|(share, &word)| *share = philox::uniform(word));
        }
        if simulation.marks.is_some() {
            let words = self.mark.iter_mut().zip(of_mark).take(size);
            words.for_each(|(mark, &word)| *mark = simulation.mark(word));
        }
    }

    /// Waits for the event of each step, from the excess before it.
    #[inline(always)]
    fn wait<S: Simd>(&self, decay: f64, above: &[f64], waits: &mut [f64]) {
        for (step, (wait, above)) in waits.iter_mut().zip(above).enumerate() {
            let left = 1.0 - self.loss[step] / above;
            let own = -ln::<S>(if left > 0.0 { left } else { 1.0 }) / decay;
            *wait = if left > self.left[step] {
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
    fn reset(&mut self) {
        self.above = 0.0;
    }

    #[inline(always)]
    fn follow(&mut self, steps: &Steps, above: &mut [f64], _: &mut [i64; STEPS]) {
        for (step, above) in above.iter_mut().enumerate() {
            *above = self.above;
            let rest = larger(self.above - steps.loss[step], self.above * steps.left[step]);
            self.above = rest + self.jump * steps.mark[step];
        }
    }
}

/// The larger number, the second one where the first is none.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if a > b {
        a
    } else {
        b
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
    fn reset(&mut self) {
        self.above = 0.0;
        self.excess = [self.simd.splat_f64s(0.0); K];
    }

    #[inline(always)]
    fn follow(&mut self, steps: &Steps, before: &mut [f64], types: &mut [i64; STEPS]) {
        let simd = self.simd;
        let (zero, one) = (simd.splat_u64s(0), simd.splat_u64s(1));
        let (baseline, base) = (self.baseline, self.base);
        let (mut excess, mut above) = (self.excess, self.above);
        #[allow(clippy::needless_range_loop)] // several arrays at once
        for step in 0..before.len().min(STEPS) {
            before[step] = above;
            let (loss, left) = (steps.loss[step], steps.left[step]);
            let share = larger(1.0 - loss / above, left);
            let rest = larger(above - loss, above * left);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_without_vectors_give_the_same() {
        for d in [1, 3, 8, 9] {
            let (baseline, adjacency) = (vec![0.5; d], vec![0.4 / d as f64; d * d]);
            let simulation = Simulation {
                model: Model::new(&baseline, &adjacency, &[0.7]).unwrap(),
                horizon: 300.0,
                marks: None,
                thinning: false,
                most: 10_000,
            };
            let (mut out, mut scalar) = (Paths::default(), Paths::default());
            paths(&simulation, 1, 2..4, &mut out).unwrap();
            let plain = Task {
                simulation: &simulation,
                seed: 1,
                paths: 2..4,
                out: &mut scalar,
            };
            plain.with_simd(pulp::Scalar::new()).unwrap();
            assert_eq!((out.types, out.counts), (scalar.types, scalar.counts));
            for (a, b) in out.times.iter().zip(&scalar.times) {
                assert!((a - b).abs() < 1e-10);
            }
        }
    }
}
