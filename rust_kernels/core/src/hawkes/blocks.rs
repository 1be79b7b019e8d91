//! With one decay, the sums over events block by block.
//!
//! At x lifetimes from the first event of a block, `R_j = exp(-x) P_j`, where `P_j` only grows, by
//! `mark exp(x)` at each event. So an event takes one exponential, which waits for no other, and
//! one division, by `D = exp(x) rate`: `R_j / rate` is `P_j / D`. With each term times its lag in
//! lifetimes, the sum is `exp(-x) (x P_j - Q_j)`, where `Q_j` grows by `x mark exp(x)`.

use super::functions::{exp, fused, split};
use super::likelihood::Sums;
use super::{History, Model, CHUNK};
use pulp::{Simd, WithSimd};
use std::f64::consts::LN_2;

/// Segments of a block whose sums are made side by side.
const SIDES: usize = 8;

/// Events of a segment at most.
const ROWS: usize = 64;

/// Events of a block at most. Below 1023, so that the product of their mantissas is a number.
const MOST: usize = SIDES * ROWS;

/// Events from which a block is worth its overhead.
const LEAST: usize = 2 * SIDES;

/// Lifetimes of a block: its sums lose as many multiples of the last bit, and exp(512) is 1e222.
const LIFETIMES: f64 = 512.0;

/// Where `D` is normal, and so are its sums.
const NORMAL: std::ops::Range<f64> = 1e-280..1e280;

/// Adds all events to the sums.
pub(super) fn extend(sums: &mut Sums, model: &Model, history: &History) {
    pulp::Arch::new().dispatch(Extend {
        sums,
        model,
        history,
    });
}

struct Extend<'a> {
    sums: &'a mut Sums,
    model: &'a Model<'a>,
    history: &'a History<'a>,
}

impl WithSimd for Extend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            sums,
            model,
            history,
        } = self;
        let d = model.types();
        match d.div_ceil(S::F64_LANES) {
            _ if d == 1 => {
                let mut work = Box::new(Segments {
                    lifetimes: EMPTY,
                    grown: EMPTY,
                    level: EMPTY,
                    moment: EMPTY,
                });
                by_blocks(sums, model, history, |sums, part| {
                    one_type::<S>(sums, model, part, &mut work)
                });
            }
            1 => several_types::<S, 1>(simd, sums, model, history),
            2 => several_types::<S, 2>(simd, sums, model, history),
            3 => several_types::<S, 3>(simd, sums, model, history),
            4 => several_types::<S, 4>(simd, sums, model, history),
            5 => several_types::<S, 5>(simd, sums, model, history),
            6 => several_types::<S, 6>(simd, sums, model, history),
            7 => several_types::<S, 7>(simd, sums, model, history),
            8 => several_types::<S, 8>(simd, sums, model, history),
            _ => sums.extend(model, history),
        }
    }
}

/// Cuts the events into blocks; those for which `add` returns false are added one by one.
#[inline(always)]
fn by_blocks(
    sums: &mut Sums,
    model: &Model,
    history: &History,
    mut add: impl FnMut(&mut Sums, &History) -> bool,
) {
    let mut at = 0;
    while at < history.times.len() {
        let n = reach(&history.times[at..], model.decay[0]);
        let part = history.part(at..at + n);
        if n < LEAST {
            sums.extend(model, &part);
        } else {
            sums.state.fade(part.times[0], model.decay);
            if !add(sums, &part) {
                sums.extend(model, &part);
            }
        }
        at += n;
    }
}

/// Events of the next block: a multiple of `SIDES`, or one where they are few.
#[inline(always)]
fn reach(times: &[f64], decay: f64) -> usize {
    let last = times[0] + LIFETIMES / decay;
    if times.get(LEAST - 1).is_none_or(|&time| time > last) {
        return 1;
    }
    let mut n = 0;
    for times in times[..times.len().min(MOST)].chunks(CHUNK) {
        let near: u64 = times.iter().map(|&time| u64::from(time <= last)).sum();
        n += near as usize;
        if (near as usize) < times.len() {
            break;
        }
    }
    n / SIDES * SIDES
}

/// Numbers of a block.
type Grid = [[f64; SIDES]; ROWS];

const EMPTY: Grid = [[0.0; SIDES]; ROWS];

/// The sum of the logarithms of `D`, in `SIDES` parts.
struct Logs {
    low: [f64; SIDES],
    product: [f64; SIDES],
    exponents: [u64; SIDES],
}

impl Logs {
    fn new() -> Self {
        Self {
            low: [f64::INFINITY; SIDES],
            product: [1.0; SIDES],
            exponents: [0; SIDES],
        }
    }

    #[inline(always)]
    fn add(&mut self, side: usize, scaled: f64) {
        let low = self.low[side];
        self.low[side] = if scaled < low { scaled } else { low };
        let (mantissa, exponent) = split(scaled);
        self.product[side] *= mantissa;
        self.exponents[side] += exponent;
    }

    /// The sum over n events; none where one of them is beyond the numbers, or may be by a bound.
    fn sum(&self, n: usize, bound: f64) -> Option<f64> {
        let low = self.low.into_iter().fold(f64::INFINITY, f64::min);
        let exponent = self.exponents.iter().sum::<u64>() as f64 - (1023 * n) as f64;
        let product: f64 = self.product.iter().product();
        (low > NORMAL.start && bound < NORMAL.end).then(|| exponent * LN_2 + product.ln())
    }
}

fn total(sides: [f64; SIDES]) -> f64 {
    sides.iter().sum()
}

/// What the segments of a block of one type come to, side by side.
struct Segments {
    lifetimes: Grid,
    grown: Grid,
    level: Grid,
    moment: Grid,
}

/// Adds a block of the only type, or nothing where its intensity is beyond the numbers.
#[inline(always)]
fn one_type<S: Simd>(sums: &mut Sums, model: &Model, part: &History, work: &mut Segments) -> bool {
    let (mu, b) = (model.baseline[0], model.decay[0]);
    let jump = model.adjacency[0] * b;
    let rows = part.times.len() / SIDES;
    let first = part.times[0];
    let (lifetimes, grown) = (&mut work.lifetimes[..rows], &mut work.grown[..rows]);
    let (levels, moments) = (&mut work.level[..rows], &mut work.moment[..rows]);
    for (side, times) in part.times.chunks_exact(rows).enumerate() {
        for (time, lifetimes) in times.iter().zip(&mut *lifetimes) {
            lifetimes[side] = b * (time - first);
        }
    }
    let numbers = lifetimes.as_flattened();
    for (x, grown) in numbers.iter().zip(grown.as_flattened_mut()) {
        *grown = exp::<S>(*x);
    }
    let (mut p, mut q) = ([0.0; SIDES], [0.0; SIDES]);
    for row in 0..rows {
        levels[row] = p;
        moments[row] = q;
        for side in 0..SIDES {
            let mark = part.marks.map_or(1.0, |marks| marks[side * rows + row]);
            let step = mark * grown[row][side];
            p[side] += step;
            q[side] = fused::<S>(lifetimes[row][side], step, q[side]);
        }
    }
    // Each segment goes on from where the one before it ends.
    let (mut p_end, mut q_end) = (sums.state.level[0], -b * sums.state.lagged[0]);
    for side in 0..SIDES {
        (p[side], p_end) = (p_end, p_end + p[side]);
        (q[side], q_end) = (q_end, q_end + q[side]);
    }
    let mut logs = Logs::new();
    let (mut inverse, mut elapsed) = ([0.0; SIDES], [0.0; SIDES]);
    let (mut by_level, mut by_lag) = ([0.0; SIDES], [0.0; SIDES]);
    for row in 0..rows {
        for side in 0..SIDES {
            let (x, e) = (lifetimes[row][side], grown[row][side]);
            let level = levels[row][side] + p[side];
            let moment = moments[row][side] + q[side];
            let scaled = fused::<S>(jump, level, mu * e);
            logs.add(side, scaled);
            elapsed[side] += x;
            let over = 1.0 / scaled;
            inverse[side] = fused::<S>(e, over, inverse[side]);
            by_level[side] = fused::<S>(level, over, by_level[side]);
            by_lag[side] = fused::<S>(fused::<S>(x, level, -moment), over, by_lag[side]);
        }
    }
    let (x, e) = (lifetimes[rows - 1][SIDES - 1], grown[rows - 1][SIDES - 1]);
    let bound = mu * e + jump * p_end + p_end + q_end;
    let Some(log) = logs.sum(part.times.len(), bound) else {
        return false;
    };
    sums.log += log - total(elapsed);
    sums.inverse[0] += total(inverse);
    sums.level[0] += total(by_level);
    sums.slope[0] += model.adjacency[0] * (total(by_level) - total(by_lag));
    sums.state.time = part.times[part.times.len() - 1];
    sums.state.level[0] = p_end / e;
    sums.state.lagged[0] = (x * p_end - q_end) / e / b;
    true
}

/// Adds blocks of several types, whose sums by type fill K vectors.
#[inline(always)]
fn several_types<S: Simd, const K: usize>(
    simd: S,
    sums: &mut Sums,
    model: &Model,
    history: &History,
) {
    let d = model.types();
    let mut work = Work::new(model, K * S::F64_LANES);
    by_blocks(sums, model, history, |sums, part| {
        work.measure::<S>(part, model.decay[0]);
        work.excite::<S, K>(simd, sums, model, part);
        let Some((log, slope)) = work.divide::<S>(part) else {
            return false;
        };
        sums.log += log;
        sums.slope[0] += slope / model.decay[0];
        work.collect::<S, K>(simd, sums, part);
        work.close(sums, model, part);
        true
    });
    for (sums, cells) in sums
        .level
        .chunks_mut(d)
        .zip(work.by_level.chunks(work.width))
    {
        sums.iter_mut()
            .zip(cells)
            .for_each(|(sum, cell)| *sum += cell);
    }
}

/// What a block of several types takes; rows have `width` places, of which the first d are used.
struct Work {
    width: usize,
    /// Of the baseline and the effects; at least 1.
    largest: f64,
    /// Adjacency times decay.
    effects: Vec<f64>,
    /// Of each type, 1 at its place.
    places: Vec<f64>,
    /// Of each type, sums of `P_j / D` over its events.
    by_level: Vec<f64>,
    /// `P_j` at the start of the block and at its end.
    start: Vec<f64>,
    end: Vec<f64>,
    /// `Q_j` at the end.
    moments: Vec<f64>,
    lifetimes: Grid,
    grown: Grid,
    /// `exp(x)` times the baseline of the type of each event.
    base: Grid,
    /// Of `P` and `Q`, what acts on the type of each event.
    level: Grid,
    moment: Grid,
    /// `1 / D`.
    over: Grid,
}

impl Work {
    fn new(model: &Model, width: usize) -> Box<Self> {
        let d = model.types();
        let mut work = Box::new(Self {
            width,
            largest: model.baseline.iter().copied().fold(1.0, f64::max),
            effects: vec![0.0; d * width],
            places: vec![0.0; d * width],
            by_level: vec![0.0; d * width],
            start: vec![0.0; width],
            end: vec![0.0; width],
            moments: vec![0.0; width],
            lifetimes: EMPTY,
            grown: EMPTY,
            base: EMPTY,
            level: EMPTY,
            moment: EMPTY,
            over: EMPTY,
        });
        for i in 0..d {
            work.places[i * width + i] = 1.0;
            let row = work.effects[i * width..].iter_mut().zip(model.row(0, i));
            row.for_each(|(effect, alpha)| *effect = alpha * model.decay[0]);
        }
        work.largest = work.effects.iter().copied().fold(work.largest, f64::max);
        work
    }

    /// Lifetimes from the first event to each, and their exponentials.
    #[inline(always)]
    fn measure<S: Simd>(&mut self, part: &History, decay: f64) {
        let first = part.times[0];
        let (lifetimes, grown) = (
            self.lifetimes.as_flattened_mut(),
            self.grown.as_flattened_mut(),
        );
        for ((x, grown), time) in lifetimes.iter_mut().zip(grown).zip(part.times) {
            *x = decay * (time - first);
            *grown = exp::<S>(*x);
        }
    }

    /// What acts on each event, and the sums after the last one.
    #[inline(always)]
    fn excite<S: Simd, const K: usize>(
        &mut self,
        simd: S,
        sums: &Sums,
        model: &Model,
        part: &History,
    ) {
        let d = model.types();
        self.start[..d].copy_from_slice(&sums.state.level);
        let lagged = self.moments.iter_mut().zip(&sums.state.lagged);
        lagged.for_each(|(moment, lagged)| *moment = -model.decay[0] * lagged);
        let (effects, places) = (rows::<S, K>(&self.effects), rows::<S, K>(&self.places));
        let (mut p, mut q) = (rows::<S, K>(&self.start)[0], rows::<S, K>(&self.moments)[0]);
        let (lifetimes, grown) = (self.lifetimes.as_flattened(), self.grown.as_flattened());
        let (levels, moments) = (
            self.level.as_flattened_mut(),
            self.moment.as_flattened_mut(),
        );
        let base = self.base.as_flattened_mut();
        for (event, &kind) in part.types.iter().enumerate() {
            let kind = kind as usize;
            let (effects, places) = (&effects[kind], &places[kind]);
            let mut level = simd.mul_f64s(effects[0], p[0]);
            let mut moment = simd.mul_f64s(effects[0], q[0]);
            for k in 1..K {
                level = simd.mul_add_e_f64s(effects[k], p[k], level);
                moment = simd.mul_add_e_f64s(effects[k], q[k], moment);
            }
            levels[event] = simd.reduce_sum_f64s(level);
            moments[event] = simd.reduce_sum_f64s(moment);
            base[event] = model.baseline[kind] * grown[event];
            let step = part.mark(event) * grown[event];
            let lagged = simd.splat_f64s(step * lifetimes[event]);
            let step = simd.splat_f64s(step);
            for k in 0..K {
                p[k] = simd.mul_add_e_f64s(step, places[k], p[k]);
                q[k] = simd.mul_add_e_f64s(lagged, places[k], q[k]);
            }
        }
        rows_mut::<S, K>(&mut self.end)[0] = p;
        rows_mut::<S, K>(&mut self.moments)[0] = q;
    }

    /// The sums of the logarithms and of what the decay does to them, where they are numbers.
    #[inline(always)]
    fn divide<S: Simd>(&mut self, part: &History) -> Option<(f64, f64)> {
        let n = part.times.len();
        let (mut logs, mut slope, mut elapsed) = (Logs::new(), [0.0; SIDES], [0.0; SIDES]);
        #[allow(clippy::needless_range_loop)] // the sides of many arrays
        for row in 0..n / SIDES {
            for side in 0..SIDES {
                let (x, level) = (self.lifetimes[row][side], self.level[row][side]);
                let scaled = self.base[row][side] + level;
                logs.add(side, scaled);
                elapsed[side] += x;
                let over = 1.0 / scaled;
                self.over[row][side] = over;
                let lagged = fused::<S>(x, level, -self.moment[row][side]);
                slope[side] = fused::<S>(level - lagged, over, slope[side]);
            }
        }
        let grown: f64 = self.end.iter().chain(&self.moments).sum();
        let bound = self.largest * (self.grown.as_flattened()[n - 1] + grown);
        Some((logs.sum(n, bound)? - total(elapsed), total(slope)))
    }

    /// The sums of `1 / rate` and of `P_j / D` by type.
    #[inline(always)]
    fn collect<S: Simd, const K: usize>(&mut self, simd: S, sums: &mut Sums, part: &History) {
        let places = rows::<S, K>(&self.places);
        let mut p = rows::<S, K>(&self.start)[0];
        let by_level = rows_mut::<S, K>(&mut self.by_level);
        let (grown, over) = (self.grown.as_flattened(), self.over.as_flattened());
        for (event, &kind) in part.types.iter().enumerate() {
            let kind = kind as usize;
            sums.inverse[kind] += grown[event] * over[event];
            let (row, places) = (&mut by_level[kind], &places[kind]);
            let over = simd.splat_f64s(over[event]);
            let step = simd.splat_f64s(part.mark(event) * grown[event]);
            for k in 0..K {
                row[k] = simd.mul_add_e_f64s(over, p[k], row[k]);
                p[k] = simd.mul_add_e_f64s(step, places[k], p[k]);
            }
        }
    }

    /// The state after the last event.
    fn close(&self, sums: &mut Sums, model: &Model, part: &History) {
        let last = part.times.len() - 1;
        let (x, e) = (
            self.lifetimes.as_flattened()[last],
            self.grown.as_flattened()[last],
        );
        sums.state.time = part.times[last];
        for j in 0..model.types() {
            let (p, q) = (self.end[j], self.moments[j]);
            sums.state.level[j] = p / e;
            sums.state.lagged[j] = (x * p - q) / e / model.decay[0];
        }
    }
}

/// Values as rows of K vectors.
#[inline(always)]
fn rows<S: Simd, const K: usize>(values: &[f64]) -> &[[S::f64s; K]] {
    pulp::as_arrays::<K, _>(S::as_simd_f64s(values).0).0
}

#[inline(always)]
fn rows_mut<S: Simd, const K: usize>(values: &mut [f64]) -> &mut [[S::f64s; K]] {
    pulp::as_arrays_mut::<K, _>(S::as_mut_simd_f64s(values).0).0
}
