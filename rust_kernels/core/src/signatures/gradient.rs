//! Gradients of signatures, backwards in time.
//!
//! The signature before a step is unrolled from that after it, so that no path of signatures is
//! kept (Reizenstein & Graham, ACM TOMS 46 (2020) 8). With the brackets `t_k[w]` of `forward`, the
//! coordinates before the step follow level by level, each bracket needing lower ones alone. The
//! derivatives by the brackets go the other way:
//! `u_k[w] = sum over i of u_k[w i] x_i / (k - j)` for a word of j letters, in which `u_k` of a word
//! of k letters is the derivative by its coordinate; the sum over k of `u_k[w]` is added to that by
//! the coordinate of w, and `t_k[w] u_k[w i] / (k - j)` to that by x_i.

use super::forward::{carried, divide, Scratch};
use super::lanes::{gather, increments, numbers, zeros, Lane, Real};
use super::tree::{Alphabet, Below, Few, Letters, Many, Step, Sums};
use super::tree::{Levels1, Levels2, Levels3};
use super::Paths;
use pulp::{bytemuck, Simd, WithSimd};

/// Derivatives by the increments of each lane, (rows, d), into `out`.
pub struct Gradient<'a, T> {
    pub paths: Paths<'a, T>,
    pub depth: usize,
    pub lanes: &'a [Lane],
    /// Signatures of the paths up to the end of each lane.
    pub ends: &'a [T],
    /// Derivatives by these.
    pub pulled: &'a [T],
    pub rows: usize,
    pub out: &'a mut [T],
}

impl<T: Real> WithSimd for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.paths.d, self.depth) {
            (2, 3..) => self.run::<S, Few<2>, Levels3>(simd),
            (3, 3..) => self.run::<S, Few<3>, Levels3>(simd),
            (4, 3..) => self.run::<S, Few<4>, Levels3>(simd),
            (_, 3..) => self.run::<S, Many, Levels3>(simd),
            (_, 2) => self.run::<S, Many, Levels2>(simd),
            _ => self.run::<S, Many, Levels1>(simd),
        }
    }
}

/// State of the walk back.
struct Walk<'a, V> {
    state: &'a mut [V],
    pulled: &'a mut [V],
    /// Derivatives by the brackets, where `Scratch::brackets` holds these.
    by_bracket: &'a mut [V],
    /// Derivatives by the parts of the step.
    by_part: &'a mut [V],
    scratch: Scratch<'a, V>,
}

impl<T: Real> Gradient<'_, T> {
    #[inline(always)]
    fn run<S: Simd, A: Alphabet, B: Below>(self, simd: S) {
        let (d, width) = (self.paths.d, T::lanes::<S>());
        let zero = T::splat(simd, T::ZERO);
        let mut parts = Vec::new();
        let parts = zeros::<T, S>(&mut parts, d * self.depth);
        let scratch = Scratch::new::<B>(d, self.depth, zero, parts);
        let (size, brackets) = (scratch.order.len(), scratch.brackets.len());
        let [mut own, mut x, mut by_x] = [const { Vec::new() }; 3];
        let all = zeros::<T, S>(&mut own, 2 * size + brackets + scratch.parts.len());
        let (state, rest) = all.split_at_mut(size);
        let (pulled, rest) = rest.split_at_mut(size);
        let (by_bracket, by_part) = rest.split_at_mut(brackets);
        let mut walk = Walk {
            state,
            pulled,
            by_bracket,
            by_part,
            scratch,
        };
        gather::<T, S>(self.ends, &walk.scratch.order, walk.state);
        gather::<T, S>(self.pulled, &walk.scratch.order, walk.pulled);
        let x = zeros::<T, S>(&mut x, d);
        let by_x = zeros::<T, S>(&mut by_x, d);
        for step in (0..self.rows).rev() {
            increments::<T, S>(&self.paths, self.lanes, step, 1, x);
            divide::<T, S, 1>(simd, x, d, bytemuck::cast_slice_mut(walk.scratch.parts));
            walk.by_part.fill(zero);
            down::<T, S>(simd, &mut walk);
            lowest::<T, S, A, B>(simd, &mut walk);
            up::<T, S>(simd, &mut walk);
            for (letter, sum) in by_x.iter_mut().enumerate() {
                *sum = zero;
                for m in (1..=self.depth).rev() {
                    let part = T::splat(simd, T::from_f64(1.0 / m as f64));
                    *sum = T::mul_add(simd, walk.by_part[(m - 1) * d + letter], part, *sum);
                }
            }
            let values = numbers::<T, S>(by_x);
            for (lane, out) in self.out.chunks_exact_mut(self.rows * d).enumerate() {
                for (letter, out) in out[step * d..][..d].iter_mut().enumerate() {
                    *out = values[letter * width + lane];
                }
            }
        }
    }
}

/// Coordinates before the step and the brackets, of the upper levels.
#[inline(always)]
fn down<T: Real, S: Simd>(simd: S, walk: &mut Walk<'_, T::Vector<S>>) {
    let (state, scratch) = (&mut walk.state, &mut walk.scratch);
    let (d, depth) = (scratch.d, scratch.depth);
    let parts = &*scratch.parts;
    scratch.brackets[..depth].fill(state[0]);
    for j in 1..=scratch.upper {
        let (before, after) = scratch.brackets.split_at_mut(scratch.places[j]);
        let parents = before[scratch.places[j - 1]..].chunks_exact(depth - j + 1);
        let own = scratch.order[scratch.levels[j]..].chunks_exact(d);
        let lists = after.chunks_exact_mut((depth - j) * d);
        for ((parent, own), lists) in parents.zip(own).zip(lists) {
            let lists = lists.chunks_exact_mut(depth - j);
            for ((letter, &place), list) in own.iter().enumerate().zip(lists) {
                let old = T::negate_mul_add(simd, parent[0], parts[letter], state[place]);
                state[place] = old;
                let others = parts[letter..].iter().step_by(d).skip(1);
                for ((next, &t), &part) in list.iter_mut().zip(&parent[1..]).zip(others) {
                    *next = T::mul_add(simd, t, part, old);
                }
            }
        }
    }
}

/// The lowest levels, there and back.
#[inline(always)]
fn lowest<T: Real, S: Simd, A: Alphabet, B: Below>(simd: S, walk: &mut Walk<'_, T::Vector<S>>) {
    let scratch = &walk.scratch;
    let upper = scratch.upper;
    let step = Step::new::<_, A>(scratch.parts, scratch.d);
    let size = step.below[B::LEVELS];
    let zero = T::splat(simd, T::ZERO);
    let mut by_parts = step.parts.map(|x| x.sums(zero));
    let roots = &scratch.order[scratch.levels[upper]..scratch.levels[upper + 1]];
    let place = scratch.places[upper];
    let lists = scratch.brackets[place..].chunks_exact(B::LEVELS);
    let by_lists = walk.by_bracket[place..].chunks_exact_mut(B::LEVELS);
    for ((&root, list), by_list) in roots.iter().zip(lists).zip(by_lists) {
        let words = &mut walk.state[root + 1..][..size];
        let pulled = &mut walk.pulled[root + 1..][..size];
        let t = carried(list);
        let by_t = B::back::<T, S, A::Letters<'_, _>>(simd, &step, t, words, pulled, &mut by_parts);
        by_list.copy_from_slice(&by_t[..B::LEVELS]);
    }
    let rows = walk.by_part.chunks_exact_mut(scratch.d);
    for (by_part, sums) in rows.zip(&mut by_parts).take(B::LEVELS) {
        for (letter, by) in by_part.iter_mut().enumerate() {
            *by = *sums.at(letter);
        }
    }
}

/// Derivatives of the upper levels, from the longest words to the shortest.
#[inline(always)]
fn up<T: Real, S: Simd>(simd: S, walk: &mut Walk<'_, T::Vector<S>>) {
    let scratch = &walk.scratch;
    let (d, depth) = (scratch.d, scratch.depth);
    for j in (1..=scratch.upper).rev() {
        let (before, after) = walk.by_bracket.split_at_mut(scratch.places[j]);
        let parents = scratch.brackets[scratch.places[j - 1]..].chunks_exact(depth - j + 1);
        let by_parents = before[scratch.places[j - 1]..].chunks_exact_mut(depth - j + 1);
        let own = scratch.order[scratch.levels[j]..].chunks_exact(d);
        let lists = after.chunks_exact((depth - j) * d);
        for (((parent, by_parent), own), lists) in parents.zip(by_parents).zip(own).zip(lists) {
            by_parent.fill(T::splat(simd, T::ZERO));
            let lists = lists.chunks_exact(depth - j);
            for ((letter, &place), list) in own.iter().enumerate().zip(lists) {
                let mut by_word = walk.pulled[place];
                for (m, by_parent) in by_parent.iter_mut().enumerate() {
                    let by = if m == 0 {
                        walk.pulled[place]
                    } else {
                        list[m - 1]
                    };
                    if m > 0 {
                        by_word = T::plus(simd, by_word, by);
                    }
                    let part = m * d + letter;
                    *by_parent = T::mul_add(simd, by, scratch.parts[part], *by_parent);
                    let sum = &mut walk.by_part[part];
                    *sum = T::mul_add(simd, by, parent[m], *sum);
                }
                walk.pulled[place] = by_word;
            }
        }
    }
}
