//! Signatures forwards in time, step by step.
//!
//! A step x multiplies by exp(x): level k becomes
//! `S_k + (S_{k-1} + (S_{k-2} + ... (S_1 + S_0 x / k) x / (k-1) ...) x / 2) x`, Horner's scheme
//! (Kidger & Lyons, Signatory, ICLR 2021). For a word w of j letters and each level k > j, the
//! bracket after j letters is `t_k[w] = S[w] + t_k[w without its last letter i] x_i / (k - j + 1)`,
//! one multiplication and addition, and so is the coordinate itself with k = j.

use super::lanes::{gather, increments, scatter, zeros, Lane, Real};
use super::tree::{each_mul_add, offsets, order, passed};
use super::tree::{Alphabet, Below, Few, Many, Step, MOST};
use super::tree::{Levels1, Levels2, Levels3, Levels4, Levels5, Levels6};
use super::Paths;
use pulp::{Simd, WithSimd};

/// Steps whose increments are put into lanes together.
const TILE: usize = 32;

/// Steps that are taken together: each coordinate is read and written once.
const TOGETHER: usize = 2;

/// What a step, or a few, need besides the state; E is a vector, or one for each step.
pub struct Scratch<'a, E> {
    pub d: usize,
    pub depth: usize,
    /// Levels above those of `Below`.
    pub upper: usize,
    pub levels: Vec<usize>,
    pub order: Vec<usize>,
    /// Where the brackets of the upper levels begin, and one place more: a list for each word.
    pub places: Vec<usize>,
    pub brackets: Vec<E>,
    /// The step in parts x, x / 2, x / 3, ..., (depth, d).
    pub parts: &'a mut [E],
}

impl<'a, E: Copy> Scratch<'a, E> {
    /// With room for the parts.
    pub fn new<B: Below>(d: usize, depth: usize, zero: E, parts: &'a mut [E]) -> Self {
        let upper = depth - B::LEVELS;
        let levels = offsets(d, depth);
        let mut places = vec![0];
        for j in 0..=upper {
            places.push(places[j] + (levels[j + 1] - levels[j]) * (depth - j));
        }
        Self {
            d,
            depth,
            upper,
            order: order(d, depth),
            levels,
            brackets: vec![zero; places[upper + 1]],
            places,
            parts,
        }
    }
}

/// Fills the parts of K steps, `x` (K, d).
#[inline(always)]
pub fn divide<T: Real, S: Simd, const K: usize>(
    simd: S,
    x: &[T::Vector<S>],
    d: usize,
    parts: &mut [[T::Vector<S>; K]],
) {
    for (m, parts) in parts.chunks_exact_mut(d).enumerate() {
        let share = T::splat(simd, T::from_f64(1.0 / (m + 1) as f64));
        for (letter, part) in parts.iter_mut().enumerate() {
            for k in 0..K {
                part[k] = T::times(simd, x[k * d + letter], share);
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

/// Multiplies the state by exp of the first step in `scratch`, then by exp of the next.
#[inline(always)]
fn advance<T: Real, S: Simd, A: Alphabet, B: Below, const K: usize>(
    simd: S,
    state: &mut [T::Vector<S>],
    scratch: &mut Scratch<'_, [T::Vector<S>; K]>,
) {
    let (depth, upper) = (scratch.depth, scratch.upper);
    let parts = &*scratch.parts;
    let step = Step::new::<_, A>(parts, scratch.d);
    scratch.brackets[..depth].fill([state[0]; K]);
    for j in 1..=upper {
        let (before, after) = scratch.brackets.split_at_mut(scratch.places[j]);
        let parents = before[scratch.places[j - 1]..].chunks_exact(depth - j + 1);
        let own = scratch.order[scratch.levels[j]..].chunks_exact(scratch.d);
        let lists = after.chunks_exact_mut((depth - j) * scratch.d);
        for ((parent, own), lists) in parents.zip(own).zip(lists) {
            let lists = lists.chunks_exact_mut(depth - j);
            for ((letter, &place), list) in own.iter().enumerate().zip(lists) {
                let old = passed::<T, S, K>(simd, parent[0], parts[letter], &mut state[place]);
                let others = parts[letter..].iter().step_by(scratch.d).skip(1);
                for ((next, &t), &part) in list.iter_mut().zip(&parent[1..]).zip(others) {
                    *next = each_mul_add::<T, S, K>(simd, t, part, old);
                }
            }
        }
    }
    let size = step.below[B::LEVELS];
    let roots = &scratch.order[scratch.levels[upper]..scratch.levels[upper + 1]];
    let lists = scratch.brackets[scratch.places[upper]..].chunks_exact(B::LEVELS);
    for (&root, list) in roots.iter().zip(lists) {
        let words = &mut state[root + 1..][..size];
        B::forward::<T, S, A::Letters<'_, _>, K>(simd, &step, carried(list), words);
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
        if self.prefixes {
            match self.depth {
                1 => self.run::<S, Many, Levels1, 1>(simd),
                2 => self.run::<S, Many, Levels2, 1>(simd),
                _ => self.run::<S, Many, Levels3, 1>(simd),
            }
            return;
        }
        // The loops that are worth laying out, by how often they are wanted.
        match (self.paths.d, self.depth) {
            (2, 6..) => self.run::<S, Few<2>, Levels6, TOGETHER>(simd),
            (2, 5..) => self.run::<S, Few<2>, Levels5, TOGETHER>(simd),
            (3, 5..) => self.run::<S, Few<3>, Levels5, TOGETHER>(simd),
            (4, 5..) => self.run::<S, Few<4>, Levels5, TOGETHER>(simd),
            (2, 4) => self.run::<S, Few<2>, Levels4, TOGETHER>(simd),
            (3, 4) => self.run::<S, Few<3>, Levels4, TOGETHER>(simd),
            (4, 4) => self.run::<S, Few<4>, Levels4, TOGETHER>(simd),
            (2, 3..) => self.run::<S, Few<2>, Levels3, TOGETHER>(simd),
            (3, 3..) => self.run::<S, Few<3>, Levels3, TOGETHER>(simd),
            (4, 3..) => self.run::<S, Few<4>, Levels3, TOGETHER>(simd),
            (_, 3..) => self.run::<S, Many, Levels3, TOGETHER>(simd),
            (_, 2) => self.run::<S, Many, Levels2, TOGETHER>(simd),
            _ => self.run::<S, Many, Levels1, TOGETHER>(simd),
        }
    }
}

impl<T: Real> Forward<'_, T> {
    #[inline(always)]
    fn run<S: Simd, A: Alphabet, B: Below, const K: usize>(self, simd: S) {
        let d = self.paths.d;
        let [mut parts, mut memory, mut tile] = [const { Vec::new() }; 3];
        let parts = zeros::<T, S>(&mut parts, K * d * self.depth);
        let parts = pulp::as_arrays_mut(parts).0;
        let mut scratch = Scratch::new::<B>(d, self.depth, [T::splat(simd, T::ZERO); K], parts);
        let state = zeros::<T, S>(&mut memory, scratch.order.len());
        let tile = zeros::<T, S>(&mut tile, TILE * d);
        let width = T::lanes::<S>();
        let length = self.out.len() / self.lanes.len();
        let groups = self.lanes.chunks(width);
        for (lanes, out) in groups.zip(self.out.chunks_mut(width * length)) {
            let group = Group {
                paths: self.paths,
                lanes,
                prefixes: self.prefixes,
                out,
            };
            group.run::<S, A, B, K>(simd, state, tile, &mut scratch);
        }
    }
}

/// As many lanes as a vector has, or fewer.
struct Group<'a, T> {
    paths: Paths<'a, T>,
    lanes: &'a [Lane],
    prefixes: bool,
    out: &'a mut [T],
}

impl<T: Real> Group<'_, T> {
    #[inline(always)]
    fn run<S: Simd, A: Alphabet, B: Below, const K: usize>(
        self,
        simd: S,
        state: &mut [T::Vector<S>],
        tile: &mut [T::Vector<S>],
        scratch: &mut Scratch<'_, [T::Vector<S>; K]>,
    ) {
        let (d, size) = (scratch.d, state.len());
        let length = self.out.len() / self.lanes.len();
        state.fill(T::splat(simd, T::ZERO));
        state[0] = T::splat(simd, T::ONE);
        if self.prefixes {
            scatter::<T, S>(state, &scratch.order, self.out, 0, length);
        }
        let steps = self.lanes.iter().map(|lane| lane.steps).max().unwrap_or(0);
        for from in (0..steps).step_by(TILE) {
            // Steps beyond the last one are zero, and change nothing.
            let count = TILE.min((steps - from).next_multiple_of(K));
            increments::<T, S>(&self.paths, self.lanes, from, count, tile);
            for (step, x) in tile[..count * d].chunks_exact(K * d).enumerate() {
                divide::<T, S, K>(simd, x, d, scratch.parts);
                advance::<T, S, A, B, K>(simd, state, scratch);
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
        let [mut parts, mut memory, mut x] = [const { Vec::new() }; 3];
        let parts = zeros::<T, S>(&mut parts, self.d * self.depth);
        let parts = pulp::as_arrays_mut(parts).0;
        let mut scratch = Scratch::new::<B>(self.d, self.depth, [T::splat(simd, T::ZERO)], parts);
        let state = zeros::<T, S>(&mut memory, scratch.order.len());
        let x = zeros::<T, S>(&mut x, self.d);
        let letters: Vec<usize> = (0..self.d).collect();
        gather::<T, S>(self.out, &scratch.order, state);
        gather::<T, S>(self.increments, &letters, x);
        divide::<T, S, 1>(simd, x, self.d, scratch.parts);
        advance::<T, S, Many, B, 1>(simd, state, &mut scratch);
        let size = state.len();
        scatter::<T, S>(state, &scratch.order, self.out, 0, size);
    }
}
