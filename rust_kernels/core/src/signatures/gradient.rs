//! Gradients of signatures, backwards in time.
//!
//! The signature before a step is unrolled from that after it, so that no path of signatures is
//! kept (Reizenstein & Graham, ACM TOMS 46 (2020) 8). With the brackets `t_k[w]` of `forward`, the
//! coordinates before the step follow level by level, each bracket needing lower ones alone. The
//! derivatives by the brackets go the other way:
//! `u_k[w] = sum over i of u_k[w i] x_i / (k - j)` for a word of j letters, in which `u_k` of a word
//! of k letters is the derivative by its coordinate; the sum over k of `u_k[w]` is added to that by
//! the coordinate of w, and `t_k[w] u_k[w i] / (k - j)` to that by x_i.

use super::forward::{divide, kept, Letters, Many, Scratch};
use super::lanes::{gather, increments, numbers, Lane, Real};
use super::Paths;
use pulp::{Simd, WithSimd};

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
            (1, 3..) => self.run::<S, [T::Vector<S>; 1]>(simd),
            (2, 3..) => self.run::<S, [T::Vector<S>; 2]>(simd),
            (3, 3..) => self.run::<S, [T::Vector<S>; 3]>(simd),
            (4, 3..) => self.run::<S, [T::Vector<S>; 4]>(simd),
            _ => self.run::<S, Many>(simd),
        }
    }
}

/// State of the walk back.
struct Walk<V> {
    state: Vec<V>,
    pulled: Vec<V>,
    /// Derivatives by the brackets, where `Scratch::brackets` holds these.
    by_bracket: Vec<V>,
    /// Derivatives by x / m, for m from 1 to the depth.
    by_power: Vec<V>,
    scratch: Scratch<V>,
}

impl<T: Real> Gradient<'_, T> {
    #[inline(always)]
    fn run<S: Simd, X: Letters<T::Vector<S>>>(self, simd: S) {
        let (d, width) = (self.paths.d, T::lanes::<S>());
        let zero = T::splat(simd, T::ZERO);
        let scratch = Scratch::new(d, self.depth, zero);
        let size = scratch.levels[self.depth + 1];
        let mut walk = Walk {
            state: vec![zero; size],
            pulled: vec![zero; size],
            by_bracket: vec![zero; scratch.brackets.len()],
            by_power: vec![zero; scratch.powers.len()],
            scratch,
        };
        gather::<T, S>(self.ends, size, &mut walk.state);
        gather::<T, S>(self.pulled, size, &mut walk.pulled);
        let mut x = vec![zero; d];
        let mut by_x = vec![zero; d];
        for step in (0..self.rows).rev() {
            increments::<T, S>(&self.paths, self.lanes, step, 1, &mut x);
            divide::<T, S>(simd, &x, self.depth, &mut walk.scratch.powers);
            walk.by_power.fill(zero);
            back::<T, S, X>(simd, &mut walk);
            for (letter, sum) in by_x.iter_mut().enumerate() {
                *sum = zero;
                for m in (1..=self.depth).rev() {
                    let part = T::splat(simd, T::from_f64(1.0 / m as f64));
                    *sum = T::mul_add(simd, walk.by_power[(m - 1) * d + letter], part, *sum);
                }
            }
            let values = numbers::<T, S>(&mut by_x);
            for (lane, out) in self.out.chunks_exact_mut(self.rows * d).enumerate() {
                for (letter, out) in out[step * d..][..d].iter_mut().enumerate() {
                    *out = values[letter * width + lane];
                }
            }
        }
    }
}

/// Goes back one step.
#[inline(always)]
fn back<T: Real, S: Simd, X: Letters<T::Vector<S>>>(simd: S, walk: &mut Walk<T::Vector<S>>) {
    down::<T, S, X>(simd, walk);
    if walk.scratch.depth >= 3 {
        top::<T, S, X>(simd, walk);
    }
    up::<T, S, X>(simd, walk);
}

/// Coordinates before the step and the brackets, of the levels whose brackets are kept.
#[inline(always)]
fn down<T: Real, S: Simd, X: Letters<T::Vector<S>>>(simd: S, walk: &mut Walk<T::Vector<S>>) {
    let (state, scratch) = (&mut walk.state, &mut walk.scratch);
    let depth = scratch.depth;
    let powers = &scratch.powers[..];
    let d = X::new(powers, powers[0]).count(scratch.d);
    scratch.brackets[..depth].fill(state[0]);
    for j in 1..=kept(depth) {
        let (before, after) = scratch.brackets.split_at_mut(scratch.places[j]);
        let parents = before[scratch.places[j - 1]..].chunks_exact(depth - j + 1);
        let words = state[scratch.levels[j]..scratch.levels[j + 1]].chunks_exact_mut(d);
        let mut next = after.iter_mut();
        for (parent, words) in parents.zip(words) {
            for (letter, word) in words.iter_mut().enumerate() {
                let old = T::negate_mul_add(simd, parent[0], powers[letter], *word);
                *word = old;
                for (m, (&t, place)) in parent[1..].iter().zip(&mut next).enumerate() {
                    *place = T::mul_add(simd, t, powers[(m + 1) * d + letter], old);
                }
            }
        }
    }
}

/// The last three levels, there and back.
#[inline(always)]
fn top<T: Real, S: Simd, X: Letters<T::Vector<S>>>(simd: S, walk: &mut Walk<T::Vector<S>>) {
    let scratch = &walk.scratch;
    let depth = scratch.depth;
    let zero = T::splat(simd, T::ZERO);
    let powers = &scratch.powers[..];
    let first = X::new(powers, zero);
    let d = first.count(scratch.d);
    let (x, x2, x3) = (powers, &powers[d..2 * d], &powers[2 * d..3 * d]);
    let (by_x, rest) = walk.by_power.split_at_mut(d);
    let (by_x2, by_x3) = rest.split_at_mut(d);
    let by_x3 = &mut by_x3[..d];
    let level = |k: usize| scratch.levels[k]..scratch.levels[k + 1];
    let (state_low, state_middle) =
        walk.state[scratch.levels[depth - 2]..].split_at_mut(level(depth - 2).len());
    let state_middle = &mut state_middle[..level(depth - 1).len()];
    let (pulled_low, pulled) =
        walk.pulled[scratch.levels[depth - 2]..].split_at_mut(level(depth - 2).len());
    let (pulled_middle, pulled_top) = pulled.split_at_mut(level(depth - 1).len());
    let place = scratch.places[kept(depth)];
    let parents = scratch.brackets[place..].chunks_exact(3);
    let by_parents = walk.by_bracket[place..].chunks_exact_mut(3);
    let low = state_low
        .chunks_exact_mut(d)
        .zip(pulled_low.chunks_exact_mut(d));
    let middle = state_middle
        .chunks_exact_mut(d * d)
        .zip(pulled_middle.chunks_exact_mut(d * d));
    let tops = pulled_top.chunks_exact(d * d * d);
    for ((((t, u), low), middle), top) in parents.zip(by_parents).zip(low).zip(middle).zip(tops) {
        let mut by_parent = [zero; 3];
        for i in 0..d {
            let old = T::negate_mul_add(simd, t[0], first.at(x, i), low.0[i]);
            low.0[i] = old;
            let b = T::mul_add(simd, t[1], x2[i], old);
            let c = T::mul_add(simd, t[2], x3[i], old);
            let (mut by_b, mut by_c) = (zero, zero);
            let state = &mut middle.0[i * d..][..d];
            let pulled = &mut middle.1[i * d..][..d];
            let top = top[i * d * d..][..d * d].chunks_exact(d);
            for (j, ((state, pulled), top)) in state.iter_mut().zip(pulled).zip(top).enumerate() {
                let old = T::negate_mul_add(simd, b, first.at(x, j), *state);
                *state = old;
                let cc = T::mul_add(simd, c, x2[j], old);
                let mut by_cc = zero;
                for (l, &top) in top.iter().enumerate() {
                    by_cc = T::mul_add(simd, top, first.at(x, l), by_cc);
                    by_x[l] = T::mul_add(simd, top, cc, by_x[l]);
                }
                by_b = T::mul_add(simd, *pulled, first.at(x, j), by_b);
                by_x[j] = T::mul_add(simd, *pulled, b, by_x[j]);
                by_c = T::mul_add(simd, by_cc, x2[j], by_c);
                by_x2[j] = T::mul_add(simd, by_cc, c, by_x2[j]);
                *pulled = T::plus(simd, *pulled, by_cc);
            }
            let pulled = low.1[i];
            by_parent[0] = T::mul_add(simd, pulled, first.at(x, i), by_parent[0]);
            by_x[i] = T::mul_add(simd, pulled, t[0], by_x[i]);
            by_parent[1] = T::mul_add(simd, by_b, x2[i], by_parent[1]);
            by_x2[i] = T::mul_add(simd, by_b, t[1], by_x2[i]);
            by_parent[2] = T::mul_add(simd, by_c, x3[i], by_parent[2]);
            by_x3[i] = T::mul_add(simd, by_c, t[2], by_x3[i]);
            low.1[i] = T::plus(simd, pulled, T::plus(simd, by_b, by_c));
        }
        u.copy_from_slice(&by_parent);
    }
}

/// Derivatives of the levels whose brackets are kept, from the highest to the lowest.
#[inline(always)]
fn up<T: Real, S: Simd, X: Letters<T::Vector<S>>>(simd: S, walk: &mut Walk<T::Vector<S>>) {
    let scratch = &walk.scratch;
    let depth = scratch.depth;
    let powers = &scratch.powers[..];
    let d = X::new(powers, powers[0]).count(scratch.d);
    for j in (1..=kept(depth)).rev() {
        let (before, after) = walk.by_bracket.split_at_mut(scratch.places[j]);
        let parents = scratch.brackets[scratch.places[j - 1]..].chunks_exact(depth - j + 1);
        let by_parents = before[scratch.places[j - 1]..].chunks_exact_mut(depth - j + 1);
        let words = walk.pulled[scratch.levels[j]..scratch.levels[j + 1]].chunks_exact_mut(d);
        let mut next = after.iter();
        for ((parent, by_parent), words) in parents.zip(by_parents).zip(words) {
            by_parent.fill(T::splat(simd, T::ZERO));
            for (letter, word) in words.iter_mut().enumerate() {
                let pulled = *word;
                let mut sum = pulled;
                for m in 0..=depth - j {
                    let u = if m == 0 {
                        pulled
                    } else if let Some(&u) = next.next() {
                        sum = T::plus(simd, sum, u);
                        u
                    } else {
                        break;
                    };
                    let place = m * d + letter;
                    by_parent[m] = T::mul_add(simd, u, powers[place], by_parent[m]);
                    walk.by_power[place] = T::mul_add(simd, u, parent[m], walk.by_power[place]);
                }
                *word = sum;
            }
        }
    }
}
