//! Words in the order of a walk through their tree: each before the longer ones it begins.
//!
//! What a walk does at the lowest levels is laid out at compile time (`Below`), so that the numbers
//! it carries stay in registers; above them it goes level by level.

use super::lanes::Real;
use pulp::Simd;

/// Levels that are laid out at compile time, at most.
pub const MOST: usize = 6;

/// One vector for each letter: in an array where their number is known, or where they are.
pub trait Letters<V: Copy>: Copy {
    /// Vectors of the same kind that can be changed.
    fn sums(self, zero: V) -> impl Sums<V>;
    fn count(&self) -> usize;
    fn at(&self, letter: usize) -> V;
}

/// One sum for each letter.
pub trait Sums<V: Copy> {
    fn at(&mut self, letter: usize) -> &mut V;
}

impl<V: Copy, const D: usize> Letters<V> for &[V; D] {
    #[inline(always)]
    fn sums(self, zero: V) -> impl Sums<V> {
        [zero; D]
    }
    #[inline(always)]
    fn count(&self) -> usize {
        D
    }
    #[inline(always)]
    fn at(&self, letter: usize) -> V {
        self[letter]
    }
}

impl<V: Copy, const D: usize> Sums<V> for [V; D] {
    #[inline(always)]
    fn at(&mut self, letter: usize) -> &mut V {
        &mut self[letter]
    }
}

impl<V: Copy> Letters<V> for &[V] {
    #[inline(always)]
    fn sums(self, zero: V) -> impl Sums<V> {
        vec![zero; self.len()]
    }
    #[inline(always)]
    fn count(&self) -> usize {
        self.len()
    }
    #[inline(always)]
    fn at(&self, letter: usize) -> V {
        self[letter]
    }
}

impl<V: Copy> Sums<V> for Vec<V> {
    #[inline(always)]
    fn at(&mut self, letter: usize) -> &mut V {
        &mut self[letter]
    }
}

/// How many letters there are: known when this is compiled, or not.
pub trait Alphabet {
    type Letters<'a, V: Copy + 'a>: Letters<V>;
    fn letters<V: Copy>(values: &[V]) -> Self::Letters<'_, V>;
}

pub struct Few<const D: usize>;
pub struct Many;

impl<const D: usize> Alphabet for Few<D> {
    type Letters<'a, V: Copy + 'a> = &'a [V; D];
    #[inline(always)]
    fn letters<V: Copy>(values: &[V]) -> &[V; D] {
        &pulp::as_arrays(values).0[0]
    }
}

impl Alphabet for Many {
    type Letters<'a, V: Copy + 'a> = &'a [V];
    #[inline(always)]
    fn letters<V: Copy>(values: &[V]) -> &[V] {
        values
    }
}

/// The parts x / m of a step for m from 1 on, and how many words are below one, by levels.
pub struct Step<X> {
    pub parts: [X; MOST],
    pub below: [usize; MOST + 1],
}

impl<X> Step<X> {
    /// From the parts (m, d); those beyond the given ones are not used.
    #[inline(always)]
    pub fn new<'a, V: Copy, A: Alphabet<Letters<'a, V> = X>>(parts: &'a [V], d: usize) -> Self
    where
        X: Letters<V>,
    {
        let rows = parts.len() / d;
        let row = |m: usize| A::letters(&parts[m.min(rows - 1) * d..][..d]);
        let parts = std::array::from_fn(row);
        let d = parts[0].count();
        let mut below = [0_usize; MOST + 1];
        for levels in 1..=MOST {
            below[levels] = below[levels - 1].wrapping_add(1).wrapping_mul(d);
        }
        Self { parts, below }
    }
}

/// The levels below a word.
///
/// `t[m]` of a word of j letters is the bracket `t_k` with k = j + 1 + m, as `forward` explains.
pub trait Below {
    const LEVELS: usize;

    /// Takes the coordinates of the words to those after K steps, each read and written once.
    fn forward<T: Real, S: Simd, X: Letters<[T::Vector<S>; K]>, const K: usize>(
        simd: S,
        step: &Step<X>,
        t: [[T::Vector<S>; K]; MOST],
        words: &mut [T::Vector<S>],
    );

    /// Takes the coordinates to those before the step and derivatives by them likewise.
    ///
    /// Adds to the derivatives by the parts of the step; returns those by `t`, as `gradient`
    /// explains.
    fn back<T: Real, S: Simd, X: Letters<T::Vector<S>>>(
        simd: S,
        step: &Step<X>,
        t: [T::Vector<S>; MOST],
        words: &mut [T::Vector<S>],
        pulled: &mut [T::Vector<S>],
        by_parts: &mut [impl Sums<T::Vector<S>>; MOST],
    ) -> [T::Vector<S>; MOST];
}

/// Takes a coordinate through K steps, and returns what it was before each of them.
#[inline(always)]
pub fn passed<T: Real, S: Simd, const K: usize>(
    simd: S,
    t: [T::Vector<S>; K],
    x: [T::Vector<S>; K],
    word: &mut T::Vector<S>,
) -> [T::Vector<S>; K] {
    let mut old = [*word; K];
    for k in 0..K {
        old[k] = *word;
        *word = T::mul_add(simd, t[k], x[k], old[k]);
    }
    old
}

/// `a b + c` for each step.
#[inline(always)]
pub fn each_mul_add<T: Real, S: Simd, const K: usize>(
    simd: S,
    a: [T::Vector<S>; K],
    b: [T::Vector<S>; K],
    mut c: [T::Vector<S>; K],
) -> [T::Vector<S>; K] {
    for k in 0..K {
        c[k] = T::mul_add(simd, a[k], b[k], c[k]);
    }
    c
}

/// No levels.
pub struct End;

/// One level, and those below it.
pub struct Level<B>(B);

impl Below for End {
    const LEVELS: usize = 0;

    #[inline(always)]
    fn forward<T: Real, S: Simd, X: Letters<[T::Vector<S>; K]>, const K: usize>(
        _: S,
        _: &Step<X>,
        _: [[T::Vector<S>; K]; MOST],
        _: &mut [T::Vector<S>],
    ) {
    }

    #[inline(always)]
    fn back<T: Real, S: Simd, X: Letters<T::Vector<S>>>(
        simd: S,
        _: &Step<X>,
        _: [T::Vector<S>; MOST],
        _: &mut [T::Vector<S>],
        _: &mut [T::Vector<S>],
        _: &mut [impl Sums<T::Vector<S>>; MOST],
    ) -> [T::Vector<S>; MOST] {
        [T::splat(simd, T::ZERO); MOST]
    }
}

impl<B: Below> Below for Level<B> {
    const LEVELS: usize = B::LEVELS + 1;

    #[inline(always)]
    fn forward<T: Real, S: Simd, X: Letters<[T::Vector<S>; K]>, const K: usize>(
        simd: S,
        step: &Step<X>,
        t: [[T::Vector<S>; K]; MOST],
        words: &mut [T::Vector<S>],
    ) {
        let own = words.chunks_exact_mut(step.below[B::LEVELS] + 1);
        for (letter, words) in own.take(step.parts[0].count()).enumerate() {
            let old = passed::<T, S, K>(simd, t[0], step.parts[0].at(letter), &mut words[0]);
            let mut next = t;
            for m in 1..Self::LEVELS {
                next[m - 1] = each_mul_add::<T, S, K>(simd, t[m], step.parts[m].at(letter), old);
            }
            B::forward::<T, S, X, K>(simd, step, next, &mut words[1..]);
        }
    }

    #[inline(always)]
    fn back<T: Real, S: Simd, X: Letters<T::Vector<S>>>(
        simd: S,
        step: &Step<X>,
        t: [T::Vector<S>; MOST],
        words: &mut [T::Vector<S>],
        pulled: &mut [T::Vector<S>],
        by_parts: &mut [impl Sums<T::Vector<S>>; MOST],
    ) -> [T::Vector<S>; MOST] {
        let mut by_t = [T::splat(simd, T::ZERO); MOST];
        let size = step.below[B::LEVELS] + 1;
        let own = words
            .chunks_exact_mut(size)
            .zip(pulled.chunks_exact_mut(size));
        for (letter, (words, pulled)) in own.take(step.parts[0].count()).enumerate() {
            let mut next = t;
            // No bracket needs the longest words.
            if B::LEVELS > 0 {
                let old = T::negate_mul_add(simd, t[0], step.parts[0].at(letter), words[0]);
                words[0] = old;
                for m in 1..Self::LEVELS {
                    next[m - 1] = T::mul_add(simd, t[m], step.parts[m].at(letter), old);
                }
            }
            let (words, rest) = (&mut words[1..], &mut pulled[1..]);
            let by_next = B::back::<T, S, X>(simd, step, next, words, rest, by_parts);
            let mut by_word = pulled[0];
            for m in 0..Self::LEVELS {
                let by = if m == 0 { pulled[0] } else { by_next[m - 1] };
                by_t[m] = T::mul_add(simd, by, step.parts[m].at(letter), by_t[m]);
                let sum = by_parts[m].at(letter);
                *sum = T::mul_add(simd, by, t[m], *sum);
                if m > 0 {
                    by_word = T::plus(simd, by_word, by);
                }
            }
            if B::LEVELS > 0 {
                pulled[0] = by_word;
            }
        }
        by_t
    }
}

pub type Levels1 = Level<End>;
pub type Levels2 = Level<Levels1>;
pub type Levels3 = Level<Levels2>;
pub type Levels4 = Level<Levels3>;
pub type Levels5 = Level<Levels4>;
pub type Levels6 = Level<Levels5>;

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

/// The place in the walk of each word of the flat order.
pub fn order(d: usize, depth: usize) -> Vec<usize> {
    let levels = offsets(d, depth);
    let mut places = vec![0];
    for j in 1..=depth {
        // Words that begin with one of j letters, itself among them.
        let own = levels[depth - j + 1];
        for parent in levels[j - 1]..levels[j] {
            let first = places[parent] + 1;
            places.extend((0..d).map(|letter| first + letter * own));
        }
    }
    places
}
