//! The signature kernel: the Goursat equation on a grid, row by row.
//!
//! Rows are taken a few together: what a column needs of them stays in registers, and the machine
//! works on the next columns while it waits for a sum, for a cell needs its left and lower
//! neighbours alone.

use super::lanes::{increments, Lane, Real};
use super::Paths;
use pulp::{Simd, WithSimd};

/// Rows that are taken together.
const ROWS: usize = 4;

/// Kernels of pairs, one in each lane.
pub struct Kernel<'a, T> {
    pub left: Paths<'a, T>,
    pub right: Paths<'a, T>,
    pub pairs: &'a [(usize, usize)],
    pub refinement: usize,
    pub out: &'a mut [T],
}

impl<T: Real> WithSimd for Kernel<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let d = self.left.d;
        let pieces = 1_usize << self.refinement;
        let mut x = steps::<T, S>(simd, &self.left, self.pairs.iter().map(|pair| pair.0));
        let y = steps::<T, S>(simd, &self.right, self.pairs.iter().map(|pair| pair.1));
        // A power of two, so that nothing is rounded.
        let scale = T::splat(simd, T::from_f64(1.0 / (pieces * pieces) as f64));
        for value in &mut x {
            *value = T::times(simd, *value, scale);
        }
        let one = T::splat(simd, T::ONE);
        let mut line = vec![one; (self.right.n - 1) * pieces + 1];
        let rows = (self.left.n - 1) * pieces;
        let mut row = 0;
        while row < rows {
            let own = &x[row / pieces * d..];
            if row + ROWS > rows {
                strip::<T, S, 1, 1>(simd, &mut line, own, &y, d, pieces);
                row += 1;
                continue;
            }
            match pieces {
                1 => strip::<T, S, 4, ROWS>(simd, &mut line, own, &y, d, pieces),
                2 => strip::<T, S, 2, ROWS>(simd, &mut line, own, &y, d, pieces),
                _ => strip::<T, S, 1, ROWS>(simd, &mut line, own, &y, d, pieces),
            }
            row += ROWS;
        }
        let last = &mut line[(self.right.n - 1) * pieces..];
        let values = super::lanes::numbers::<T, S>(last);
        self.out.copy_from_slice(&values[..self.out.len()]);
    }
}

/// Increments of one path in each lane, (n - 1, d).
#[inline(always)]
fn steps<T: Real, S: Simd>(
    simd: S,
    paths: &Paths<T>,
    numbers: impl Iterator<Item = usize>,
) -> Vec<T::Vector<S>> {
    let steps = paths.n - 1;
    let lanes: Vec<Lane> = numbers
        .map(|path| Lane {
            path,
            first: 0,
            steps,
        })
        .collect();
    let mut found = vec![T::splat(simd, T::ZERO); steps * paths.d];
    increments::<T, S>(paths, &lanes, 0, steps, &mut found);
    found
}

/// Takes the line of values below R rows of cells, which have C increments, to the one above them.
#[inline(always)]
fn strip<T: Real, S: Simd, const C: usize, const R: usize>(
    simd: S,
    line: &mut [T::Vector<S>],
    x: &[T::Vector<S>],
    y: &[T::Vector<S>],
    d: usize,
    pieces: usize,
) {
    let splat = |value: f64| T::splat(simd, T::from_f64(value));
    let (zero, one, half, twelfth) = (splat(0.0), splat(1.0), splat(0.5), splat(1.0 / 12.0));
    let x = &x[..C * d];
    let mut left = [one; R];
    let mut corner = one; // the line to the left of the column
    for (y, line) in y.chunks_exact(d).zip(line[1..].chunks_exact_mut(pieces)) {
        let mut inner = [zero; C];
        for (k, &y) in y.iter().enumerate() {
            for (row, inner) in inner.iter_mut().enumerate() {
                *inner = T::mul_add(simd, x[row * d + k], y, *inner);
            }
        }
        let mut plus = [one; C];
        let mut minus = [one; C];
        for row in 0..C {
            let c = inner[row];
            let part = T::times(simd, c, twelfth);
            plus[row] = T::mul_add(simd, c, T::plus(simd, part, half), one);
            minus[row] = T::negate_mul_add(simd, c, part, one);
        }
        for place in line {
            let mut below = *place;
            let mut diagonal = corner;
            corner = below;
            for row in 0..R {
                let (plus, minus) = (plus[row * C / R], minus[row * C / R]);
                let rest = T::times(simd, below, plus);
                let rest = T::negate_mul_add(simd, minus, diagonal, rest);
                diagonal = left[row];
                below = T::mul_add(simd, diagonal, plus, rest);
                left[row] = below;
            }
            *place = below;
        }
    }
}
