//! Signatures forwards in time, step by step.
//!
//! A step x multiplies by exp(x): level k becomes
//! `S_k + (S_{k-1} + (S_{k-2} + ... (S_1 + S_0 x / k) x / (k-1) ...) x / 2) x`, Horner's scheme
//! (Kidger & Lyons, Signatory, ICLR 2021). For a word w of j letters and each level k > j, the
//! bracket after j letters is `t_k[w] = S[w] + t_k[w without its last letter i] x_i / (k - j + 1)`,
//! one multiplication and addition, and so is the coordinate itself with k = j. The words of the
//! last three levels are gone through depth first, so that their brackets stay in registers.

use super::lanes::{gather, increments, scatter, Lane, Real};
use super::Paths;
use pulp::{Simd, WithSimd};

/// Steps whose increments are put into lanes together.
const TILE: usize = 32;

/// An increment, one vector for each letter: in registers where their number is known.
pub trait Letters<V: Copy>: Copy {
    fn new(values: &[V], none: V) -> Self;
    fn count(&self, d: usize) -> usize;
    fn at(&self, values: &[V], letter: usize) -> V;
}

impl<V: Copy, const D: usize> Letters<V> for [V; D] {
    #[inline(always)]
    fn new(values: &[V], none: V) -> Self {
        let mut own = [none; D];
        own.copy_from_slice(&values[..D]);
        own
    }
    #[inline(always)]
    fn count(&self, _: usize) -> usize {
        D
    }
    #[inline(always)]
    fn at(&self, _: &[V], letter: usize) -> V {
        self[letter]
    }
}

/// Any number of letters, read where they are.
#[derive(Clone, Copy)]
pub struct Many;

impl<V: Copy> Letters<V> for Many {
    #[inline(always)]
    fn new(_: &[V], _: V) -> Self {
        Self
    }
    #[inline(always)]
    fn count(&self, d: usize) -> usize {
        d
    }
    #[inline(always)]
    fn at(&self, values: &[V], letter: usize) -> V {
        values[letter]
    }
}

/// Where the levels of a flat signature begin, and one place more.
pub fn offsets(d: usize, depth: usize) -> Vec<usize> {
    let mut ends = vec![0];
    let mut level = 1;
    for _ in 0..=depth {
        ends.push(ends[ends.len() - 1] + level);
        level *= d;
    }
    ends
}

/// Levels whose brackets are kept in memory, one list of them for each word: all but the last three.
pub fn kept(depth: usize) -> usize {
    if depth < 3 {
        depth
    } else {
        depth - 3
    }
}

/// Where the brackets of the levels up to `kept` begin, and one place more.
pub fn brackets(d: usize, depth: usize) -> Vec<usize> {
    let mut ends = vec![0];
    let mut level = 1;
    for j in 0..=kept(depth) {
        ends.push(ends[j] + level * (depth - j));
        level *= d;
    }
    ends
}

/// Fills `powers` (depth, d) with x, x / 2, x / 3, ...
#[inline(always)]
pub fn divide<T: Real, S: Simd>(
    simd: S,
    x: &[T::Vector<S>],
    depth: usize,
    powers: &mut [T::Vector<S>],
) {
    let d = x.len();
    powers[..d].copy_from_slice(x);
    for m in 2..=depth {
        let part = T::splat(simd, T::from_f64(1.0 / m as f64));
        for (power, &x) in powers[(m - 1) * d..m * d].iter_mut().zip(x) {
            *power = T::times(simd, x, part);
        }
    }
}

/// What a step needs besides the state.
pub struct Scratch<V> {
    pub d: usize,
    pub depth: usize,
    pub levels: Vec<usize>,
    pub places: Vec<usize>,
    pub brackets: Vec<V>,
    pub powers: Vec<V>,
}

impl<V: Copy> Scratch<V> {
    pub fn new(d: usize, depth: usize, zero: V) -> Self {
        let places = brackets(d, depth);
        Self {
            d,
            depth,
            levels: offsets(d, depth),
            brackets: vec![zero; places[places.len() - 1]],
            places,
            powers: vec![zero; d * depth],
        }
    }
}

/// Multiplies the state by exp of the step whose parts are in `scratch.powers`.
#[inline(always)]
pub fn advance<T: Real, S: Simd, X: Letters<T::Vector<S>>>(
    simd: S,
    state: &mut [T::Vector<S>],
    scratch: &mut Scratch<T::Vector<S>>,
) {
    let depth = scratch.depth;
    let zero = T::splat(simd, T::ZERO);
    let powers = &scratch.powers[..];
    let first = X::new(powers, zero);
    let d = first.count(scratch.d);
    let last = kept(depth);
    scratch.brackets[..depth].fill(state[0]);
    for j in 1..=last {
        let (before, after) = scratch.brackets.split_at_mut(scratch.places[j]);
        let parents = before[scratch.places[j - 1]..].chunks_exact(depth - j + 1);
        let words = state[scratch.levels[j]..scratch.levels[j + 1]].chunks_exact_mut(d);
        let mut next = after.iter_mut();
        for (parent, words) in parents.zip(words) {
            for (letter, word) in words.iter_mut().enumerate() {
                let old = *word;
                *word = T::mul_add(simd, parent[0], powers[letter], old);
                for (m, (&t, place)) in parent[1..].iter().zip(&mut next).enumerate() {
                    *place = T::mul_add(simd, t, powers[(m + 1) * d + letter], old);
                }
            }
        }
    }
    if depth < 3 {
        return;
    }
    let second = X::new(&powers[d..], zero);
    let (x, x2, x3) = (powers, &powers[d..], &powers[2 * d..]);
    let (_, top) = state.split_at_mut(scratch.levels[depth - 2]);
    let (low, top) = top.split_at_mut(scratch.levels[depth - 1] - scratch.levels[depth - 2]);
    let (middle, top) = top.split_at_mut(scratch.levels[depth] - scratch.levels[depth - 1]);
    let parents = scratch.brackets[scratch.places[last]..].chunks_exact(3);
    let low = low.chunks_exact_mut(d);
    let middle = middle.chunks_exact_mut(d * d);
    let top = top.chunks_exact_mut(d * d * d);
    for (((t, low), middle), top) in parents.zip(low).zip(middle).zip(top) {
        let middle = middle.chunks_exact_mut(d);
        let top = top.chunks_exact_mut(d * d);
        for (i, ((low, middle), top)) in low.iter_mut().zip(middle).zip(top).enumerate() {
            let old = *low;
            *low = T::mul_add(simd, t[0], first.at(x, i), old);
            let b = T::mul_add(simd, t[1], second.at(x2, i), old);
            let c = T::mul_add(simd, t[2], x3[i], old);
            for (j, (middle, top)) in middle.iter_mut().zip(top.chunks_exact_mut(d)).enumerate() {
                let old = *middle;
                *middle = T::mul_add(simd, b, first.at(x, j), old);
                let c = T::mul_add(simd, c, second.at(x2, j), old);
                for (l, top) in top.iter_mut().enumerate() {
                    *top = T::mul_add(simd, c, first.at(x, l), *top);
                }
            }
        }
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
        match (self.paths.d, self.depth) {
            (1, 3..) => self.run::<S, [T::Vector<S>; 1]>(simd),
            (2, 3..) => self.run::<S, [T::Vector<S>; 2]>(simd),
            (3, 3..) => self.run::<S, [T::Vector<S>; 3]>(simd),
            (4, 3..) => self.run::<S, [T::Vector<S>; 4]>(simd),
            _ => self.run::<S, Many>(simd),
        }
    }
}

impl<T: Real> Forward<'_, T> {
    #[inline(always)]
    fn run<S: Simd, X: Letters<T::Vector<S>>>(self, simd: S) {
        let d = self.paths.d;
        let zero = T::splat(simd, T::ZERO);
        let mut scratch = Scratch::new(d, self.depth, zero);
        let size = scratch.levels[self.depth + 1];
        let mut state = vec![zero; size];
        state[0] = T::splat(simd, T::ONE);
        let length = self.out.len() / self.lanes.len();
        if self.prefixes {
            scatter::<T, S>(&mut state, self.out, 0, length);
        }
        let steps = self.lanes.iter().map(|lane| lane.steps).max().unwrap_or(0);
        let mut tile = vec![zero; TILE * d];
        for from in (0..steps).step_by(TILE) {
            let count = TILE.min(steps - from);
            increments::<T, S>(&self.paths, self.lanes, from, count, &mut tile);
            for (step, x) in tile.chunks_exact(d).take(count).enumerate() {
                divide::<T, S>(simd, x, self.depth, &mut scratch.powers);
                advance::<T, S, X>(simd, &mut state, &mut scratch);
                if self.prefixes {
                    scatter::<T, S>(&mut state, self.out, (from + step + 1) * size, length);
                }
            }
        }
        if !self.prefixes {
            scatter::<T, S>(&mut state, self.out, 0, length);
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
        let zero = T::splat(simd, T::ZERO);
        let mut scratch = Scratch::new(self.d, self.depth, zero);
        let size = scratch.levels[self.depth + 1];
        let mut state = vec![zero; size];
        let mut x = vec![zero; self.d];
        gather::<T, S>(self.out, size, &mut state);
        gather::<T, S>(self.increments, self.d, &mut x);
        divide::<T, S>(simd, &x, self.depth, &mut scratch.powers);
        advance::<T, S, Many>(simd, &mut state, &mut scratch);
        scatter::<T, S>(&mut state, self.out, 0, size);
    }
}
