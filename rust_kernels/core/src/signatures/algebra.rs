//! The tensor algebra: products of flat elements, and logarithms.

use super::lanes::{gather, scatter, Real};
use super::tree::offsets;
use pulp::{Simd, WithSimd};

/// `left` becomes left times right.
pub fn multiply<T: Real>(left: &mut [T], right: &[T], d: usize, depth: usize) {
    let levels = offsets(d, depth);
    for k in (0..=depth).rev() {
        let (below, own) = left.split_at_mut(levels[k]);
        let own = &mut own[..levels[k + 1] - levels[k]];
        for value in own.iter_mut() {
            *value *= right[0];
        }
        for j in 0..k {
            let tail = &right[levels[k - j]..levels[k - j + 1]];
            let heads = &below[levels[j]..levels[j + 1]];
            for (own, &head) in own.chunks_exact_mut(tail.len()).zip(heads) {
                for (value, &tail) in own.iter_mut().zip(tail) {
                    *value += head * tail;
                }
            }
        }
    }
}

/// Derivatives by the left factor, from those by the product and the right factor.
pub fn pull<T: Real>(before: &mut [T], after: &[T], right: &[T], d: usize, depth: usize) {
    let levels = offsets(d, depth);
    before.fill(T::ZERO);
    for k in 0..=depth {
        for j in 0..=k {
            let tail = &right[levels[k - j]..levels[k - j + 1]];
            let given = after[levels[k]..levels[k + 1]].chunks_exact(tail.len());
            for (own, given) in before[levels[j]..levels[j + 1]].iter_mut().zip(given) {
                let products = given.iter().zip(tail).map(|(&a, &b)| a * b);
                *own += products.fold(T::ZERO, |sum, product| sum + product);
            }
        }
    }
}

/// Logarithms of the rows of `out`, whose constant term is 1.
///
/// `log(1 + x) = x (1 - x (1/2 - x (1/3 - ...)))` by Horner's scheme: as x begins with its first
/// level, the innermost bracket is needed up to the lowest level alone, the next one up to the
/// second, and so on.
pub struct Logarithm<'a, T> {
    pub d: usize,
    pub depth: usize,
    pub out: &'a mut [T],
}

impl<T: Real> WithSimd for Logarithm<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { d, depth, out } = self;
        let levels = offsets(d, depth);
        let size = levels[depth + 1];
        let zero = T::splat(simd, T::ZERO);
        let mut x = vec![zero; size];
        let mut total = vec![zero; size];
        let flat: Vec<usize> = (0..size).collect();
        let coefficient = |s: usize| {
            let sign = if s % 2 == 1 { 1.0 } else { -1.0 };
            T::splat(simd, T::from_f64(sign / s as f64))
        };
        for rows in out.chunks_mut(T::lanes::<S>() * size) {
            gather::<T, S>(rows, &flat, &mut x);
            total[0] = coefficient(depth);
            for s in (0..depth).rev() {
                for k in (1..=depth - s).rev() {
                    let (below, own) = total.split_at_mut(levels[k]);
                    let own = &mut own[..levels[k + 1] - levels[k]];
                    for (own, &x) in own.iter_mut().zip(&x[levels[k]..]) {
                        *own = T::times(simd, x, below[0]);
                    }
                    for j in 1..k {
                        let tails = &below[levels[k - j]..levels[k - j + 1]];
                        let heads = &x[levels[j]..levels[j + 1]];
                        for (own, &head) in own.chunks_exact_mut(tails.len()).zip(heads) {
                            for (own, &tail) in own.iter_mut().zip(tails) {
                                *own = T::mul_add(simd, head, tail, *own);
                            }
                        }
                    }
                }
                total[0] = if s > 0 { coefficient(s) } else { zero };
            }
            scatter::<T, S>(&mut total, &flat, rows, 0, size);
        }
    }
}
