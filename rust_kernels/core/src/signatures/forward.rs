//! Signatures forwards in time, step by step.
//!
//! A step x multiplies by exp(x): level k becomes
//! `S_k + (S_{k-1} + (S_{k-2} + ... (S_1 + S_0 x / k) x / (k-1) ...) x / 2) x`, Horner's scheme
//! (Kidger & Lyons, Signatory, ICLR 2021). For a word w of j letters and each level k > j, the
//! bracket after j letters is `t_k[w] = S[w] + t_k[w without its last letter i] x_i / (k - j + 1)`,
//! one multiplication and addition, and so is the coordinate itself with k = j.

use super::lanes::{gather, increments, scatter, zeros, Lane, Real};
use super::tree::{fitting, offsets, order, Alphabet, Below, Few, Many, Step, MOST};
use super::tree::{Levels1, Levels2, Levels3, Levels5};
use super::Paths;
use pulp::{Simd, WithSimd};

/// Steps whose increments are put into lanes together.
const TILE: usize = 32;

/// What a step needs besides the state.
pub struct Scratch<'a, V> {
    pub d: usize,
    pub depth: usize,
    /// Levels above those of `Below`.
    pub upper: usize,
    pub levels: Vec<usize>,
    pub order: Vec<usize>,
    /// Where the brackets of the upper levels begin, and one place more: a list for each word.
    pub places: Vec<usize>,
    pub brackets: &'a mut [V],
    /// The step in parts x, x / 2, x / 3, ..., (depth, d).
    pub parts: &'a mut [V],
}

impl<'a, V: Copy> Scratch<'a, V> {
    /// In `memory`, which holds the brackets and the parts.
    pub fn new<T: Real<Vector<S> = V>, S: Simd, B: Below>(
        d: usize,
        depth: usize,
        memory: &'a mut Vec<T>,
    ) -> Self {
        let upper = depth - B::LEVELS;
        let levels = offsets(d, depth);
        let mut places = vec![0];
        for j in 0..=upper {
            places.push(places[j] + (levels[j + 1] - levels[j]) * (depth - j));
        }
        let all = zeros::<T, S>(memory, places[upper + 1] + d * depth);
        let (brackets, parts) = all.split_at_mut(places[upper + 1]);
        Self {
            d,
            depth,
            upper,
            order: order(d, depth),
            levels,
            brackets,
            places,
            parts,
        }
    }

    /// Fills the parts of a step.
    #[inline(always)]
    pub fn divide<T: Real<Vector<S> = V>, S: Simd>(&mut self, simd: S, x: &[V]) {
        let d = x.len();
        self.parts[..d].copy_from_slice(x);
        for (m, parts) in self.parts.chunks_exact_mut(d).enumerate().skip(1) {
            let share = T::splat(simd, T::from_f64(1.0 / (m + 1) as f64));
            for (part, &x) in parts.iter_mut().zip(x) {
                *part = T::times(simd, x, share);
            }
        }
    }
}

/// The brackets of a word above the lowest levels.
#[inline(always)]
pub fn carried<V: Copy>(list: &[V]) -> [V; MOST] {
    let mut t = [list[0]; MOST];
    for (t, &value) in t.iter_mut().zip(list) {
        *t = value;
    }
    t
}

/// Multiplies the state by exp of the step in `scratch`.
#[inline(always)]
pub fn advance<T: Real, S: Simd, A: Alphabet, B: Below>(
    simd: S,
    state: &mut [T::Vector<S>],
    scratch: &mut Scratch<'_, T::Vector<S>>,
) {
    let (depth, upper) = (scratch.depth, scratch.upper);
    let parts = &scratch.parts[..];
    let step = Step::new::<T::Vector<S>, A>(parts, scratch.d);
    scratch.brackets[..depth].fill(state[0]);
    for j in 1..=upper {
        let (before, after) = scratch.brackets.split_at_mut(scratch.places[j]);
        let parents = before[scratch.places[j - 1]..].chunks_exact(depth - j + 1);
        let own = scratch.order[scratch.levels[j]..].chunks_exact(scratch.d);
        let lists = after.chunks_exact_mut((depth - j) * scratch.d);
        for ((parent, own), lists) in parents.zip(own).zip(lists) {
            let lists = lists.chunks_exact_mut(depth - j);
            for ((letter, &place), list) in own.iter().enumerate().zip(lists) {
                let old = state[place];
                state[place] = T::mul_add(simd, parent[0], parts[letter], old);
                let others = parts[letter..].iter().step_by(scratch.d).skip(1);
                for ((next, &t), &part) in list.iter_mut().zip(&parent[1..]).zip(others) {
                    *next = T::mul_add(simd, t, part, old);
                }
            }
        }
    }
    let size = step.below[B::LEVELS];
    let roots = &scratch.order[scratch.levels[upper]..scratch.levels[upper + 1]];
    let lists = scratch.brackets[scratch.places[upper]..].chunks_exact(B::LEVELS);
    for (&root, list) in roots.iter().zip(lists) {
        let words = &mut state[root + 1..][..size];
        B::forward::<T, S, A::Letters<'_, T::Vector<S>>>(simd, &step, carried(list), words);
    }
}

/// Signatures of the lanes, or all that they pass through, into the rows of `out`.
pub struct Forward<'a, T> {
    pub paths: Paths<'a, T>,
    pub depth: usize,
    pub lanes: &'a [Lane],
    pub prefixes: bool,
    pub out: &'a mut [T],
}

impl<T: Real> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        fitting!(self.paths.d, self.depth, self.run(simd));
    }
}

impl<T: Real> Forward<'_, T> {
    #[inline(always)]
    fn run<S: Simd, A: Alphabet, B: Below>(self, simd: S) {
        let d = self.paths.d;
        let [mut memory, mut own, mut tile] = [const { Vec::new() }; 3];
        let mut scratch = Scratch::new::<T, S, B>(d, self.depth, &mut memory);
        let size = scratch.order.len();
        let state = zeros::<T, S>(&mut own, size);
        state[0] = T::splat(simd, T::ONE);
        let length = self.out.len() / self.lanes.len();
        if self.prefixes {
            scatter::<T, S>(state, &scratch.order, self.out, 0, length);
        }
        let steps = self.lanes.iter().map(|lane| lane.steps).max().unwrap_or(0);
        let tile = zeros::<T, S>(&mut tile, TILE * d);
        for from in (0..steps).step_by(TILE) {
            let count = TILE.min(steps - from);
            increments::<T, S>(&self.paths, self.lanes, from, count, tile);
            for (step, x) in tile.chunks_exact(d).take(count).enumerate() {
                scratch.divide::<T, S>(simd, x);
                advance::<T, S, A, B>(simd, state, &mut scratch);
                if self.prefixes {
                    let place = (from + step + 1) * size;
                    scatter::<T, S>(state, &scratch.order, self.out, place, length);
                }
            }
        }
        if !self.prefixes {
            scatter::<T, S>(state, &scratch.order, self.out, 0, length);
        }
    }
}

/// One step of the signatures in the rows of `out`.
pub struct Extend<'a, T> {
    pub increments: &'a [T],
    pub d: usize,
    pub depth: usize,
    pub out: &'a mut [T],
}

impl<T: Real> WithSimd for Extend<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.depth {
            1 => self.run::<S, Levels1>(simd),
            2 => self.run::<S, Levels2>(simd),
            _ => self.run::<S, Levels3>(simd),
        }
    }
}

impl<T: Real> Extend<'_, T> {
    #[inline(always)]
    fn run<S: Simd, B: Below>(self, simd: S) {
        let [mut memory, mut own, mut x] = [const { Vec::new() }; 3];
        let mut scratch = Scratch::new::<T, S, B>(self.d, self.depth, &mut memory);
        let state = zeros::<T, S>(&mut own, scratch.order.len());
        let x = zeros::<T, S>(&mut x, self.d);
        let letters: Vec<usize> = (0..self.d).collect();
        gather::<T, S>(self.out, &scratch.order, state);
        gather::<T, S>(self.increments, &letters, x);
        scratch.divide::<T, S>(simd, x);
        advance::<T, S, Many, B>(simd, state, &mut scratch);
        let size = state.len();
        scatter::<T, S>(state, &scratch.order, self.out, 0, size);
    }
}
