//! Forward selection with the pencil of the support kept diagonal.
//!
//! In a Gamma-orthonormal basis of the support in which M is diagonal, a candidate i that was made
//! Gamma-orthogonal to the support, of residual variance g, borders that diagonal by `r_i` and
//! `mu_i`, and nu of the support with i is the least root of its arrow (see [`super::arrow`]).
//! `f_i(l) < 0` exactly if that root is below l, so that all candidates are compared at one l in a
//! pass over their borders. Adding an asset is a step of a Cholesky factorisation of Gamma, the
//! same elimination on M from both sides, and a rotation of the borders by the eigenvectors of
//! its arrow. The rotations are all that is of order n^4, n^4 / 6 operations in total.

use super::arrow::{spectrum, Arrow, Spectrum};
use super::dense::jacobi;
use super::pencil::{indefinite, Pencil};
use super::rotate::{multiply, PAD};
use crate::Error;

/// Largest relative change of a border's length that a rotation may make by rounding.
const DRIFT: f64 = 1e-12;

/// The order in which assets enter, and nu of each of its beginnings.
///
/// Among assets that tie, see [`super::TIE`], the one of lowest index enters.
pub fn greedy_path(
    predicted: &[f64],
    covariance: &[f64],
    n: usize,
) -> Result<(Vec<usize>, Vec<f64>), Error> {
    path(&Pencil::new(predicted, covariance, n)?, n)
}

/// The first `size` assets of the path.
pub(super) fn path(pencil: &Pencil, size: usize) -> Result<(Vec<usize>, Vec<f64>), Error> {
    let mut front = Front::new(pencil);
    let mut values = Vec::with_capacity(size);
    let mut least = f64::INFINITY;
    for _ in 0..size {
        let chosen = front.next();
        let (border, corner) = front.eliminate(chosen)?;
        if !front.rotate(&spectrum(&front.diagonal, &border, corner)) {
            front = Front::anew(pencil, &front.order)?;
        }
        // nu falls along the path; where it seems to rise, that is rounding.
        least = front.diagonal[0].min(least);
        values.push(least);
    }
    Ok((front.order, values))
}

/// The support and the candidates, with what couples them.
struct Front {
    order: Vec<usize>,
    /// M in the basis of the support, ascending.
    diagonal: Vec<f64>,
    candidates: Vec<usize>,
    /// Distance of rows: all matrices below have a column for each candidate, then padding.
    stride: usize,
    /// Row j couples basis vector j and the candidates in M.
    borders: Vec<f64>,
    /// M and Gamma of the candidates' residuals.
    m: Vec<f64>,
    gamma: Vec<f64>,
    tie: f64,
    /// Residual variances at most this are rounding.
    least_variance: f64,
    /// Scratch: rows before and after a rotation.
    rows: Vec<f64>,
    product: Vec<f64>,
}

impl Front {
    fn new(pencil: &Pencil) -> Self {
        let n = pencil.n;
        let stride = n.next_multiple_of(PAD);
        let padded = |matrix: &[f64]| {
            let mut wide = vec![0.0; n * stride];
            for (to, from) in wide.chunks_exact_mut(stride).zip(matrix.chunks_exact(n)) {
                to[..n].copy_from_slice(from);
            }
            wide
        };
        Self {
            order: Vec::with_capacity(n),
            diagonal: Vec::with_capacity(n),
            candidates: (0..n).collect(),
            stride,
            borders: Vec::new(),
            m: padded(&pencil.m),
            gamma: padded(&pencil.gamma),
            tie: pencil.tie,
            least_variance: n as f64 * f64::EPSILON,
            rows: Vec::new(),
            product: Vec::new(),
        }
    }

    /// The state after `order`, by one full diagonalisation.
    fn anew(pencil: &Pencil, order: &[usize]) -> Result<Self, Error> {
        let mut front = Self::new(pencil);
        let k = order.len();
        let mut matrix = vec![0.0; k * k];
        for (row, asset) in order.iter().enumerate() {
            let place = front.candidates.iter().position(|i| i == asset);
            let (border, corner) = front.eliminate(place.ok_or_else(indefinite)?)?;
            for (column, x) in border.into_iter().chain([corner]).enumerate() {
                matrix[row * k + column] = x;
                matrix[column * k + row] = x;
            }
        }
        let (values, vectors) = jacobi(matrix, k);
        let (stride, width) = (front.stride, front.candidates.len());
        multiply(&vectors, &front.borders, stride, width, &mut front.product);
        std::mem::swap(&mut front.borders, &mut front.product);
        front.diagonal = values;
        Ok(front)
    }

    /// The candidate, by its place, with which nu is least.
    fn next(&self) -> usize {
        let Some(&top) = self.diagonal.first() else {
            let single: Vec<f64> = (0..self.candidates.len())
                .map(|i| self.corner(i).0)
                .collect();
            let least = single.iter().fold(f64::INFINITY, |x, y| x.min(*y));
            return self.first(|i| single[i] <= least + self.tie);
        };
        let mut level = self.start().min(top - self.tie);
        let mut lowest = 0;
        // Each round lowers the level to a root; a handful is the rule.
        for _ in 0..self.candidates.len() {
            let signs = self.secular(level);
            lowest = (0..signs.len()).fold(lowest, |x, i| if signs[i] < signs[x] { i } else { x });
            if signs[lowest].is_nan() || signs[lowest] >= 0.0 {
                break;
            }
            let root = self.root(lowest, level);
            if root >= level {
                break;
            }
            level = root;
        }
        if level + self.tie >= top {
            return self.first(|_| true);
        }
        let signs = self.secular(level + self.tie);
        self.first(|i| signs[i] <= 0.0 || i == lowest)
    }

    /// The place of the lowest asset that satisfies a condition.
    fn first(&self, holds: impl Fn(usize) -> bool) -> usize {
        let places = (0..self.candidates.len()).filter(|&i| holds(i));
        places.min_by_key(|&i| self.candidates[i]).unwrap_or(0)
    }

    /// mu of a candidate, and its residual variance.
    fn corner(&self, i: usize) -> (f64, f64) {
        let variance = self.gamma[i * self.stride + i];
        (self.m[i * self.stride + i] / variance, variance)
    }

    /// The least root with the first pole alone, an upper bound of the least root.
    fn start(&self) -> f64 {
        let roots = (0..self.candidates.len()).map(|i| {
            let (corner, variance) = self.corner(i);
            let half = 0.5 * (corner - self.diagonal[0]);
            let square = self.borders[i] * self.borders[i] / variance;
            self.diagonal[0] + half - (half * half + square).sqrt()
        });
        roots.fold(f64::INFINITY, f64::min)
    }

    /// `f_i(level)` of all candidates.
    fn secular(&self, level: f64) -> Vec<f64> {
        let width = self.candidates.len();
        let weights = self.diagonal.iter().map(|d| 1.0 / (d - level));
        let sums = weighted_squares(&self.borders, self.stride, width, weights);
        (0..width)
            .map(|i| {
                let (corner, variance) = self.corner(i);
                corner - level - sums[i] / variance
            })
            .collect()
    }

    /// nu of the support with a candidate whose secular function is negative at `from`.
    fn root(&self, i: usize, from: f64) -> f64 {
        let (corner, variance) = self.corner(i);
        let scale = 1.0 / variance.sqrt();
        let rows = self.borders.chunks_exact(self.stride);
        let border: Vec<f64> = rows.map(|row| row[i] * scale).collect();
        let arrow = Arrow {
            poles: &self.diagonal,
            border: &border,
            corner,
        };
        arrow.least_root(from)
    }

    /// Moves a candidate to the support, and makes the others orthogonal to it.
    ///
    /// Returns the border and the corner of its arrow; the last row of `borders` is the one of the
    /// new basis vector.
    fn eliminate(&mut self, place: usize) -> Result<(Vec<f64>, f64), Error> {
        let (corner, variance) = self.corner(place);
        if variance <= self.least_variance {
            return Err(indefinite());
        }
        let scale = 1.0 / variance.sqrt();
        let stride = self.stride;
        let rows = self.borders.chunks_exact(stride);
        let border: Vec<f64> = rows.map(|row| row[place] * scale).collect();
        self.take_out(place);
        let width = self.candidates.len();
        // The row of the asset that left lies behind those of the candidates.
        let scaled = |matrix: &[f64]| -> Vec<f64> {
            let row = &matrix[width * stride..width * stride + width];
            row.iter().map(|x| x * scale).collect()
        };
        let (along, coupled) = (scaled(&self.gamma), scaled(&self.m));
        let mut new = vec![0.0; stride];
        for ((new, w), c) in new.iter_mut().zip(&coupled).zip(&along) {
            *new = w - c * corner;
        }
        for (row, r) in self.borders.chunks_exact_mut(stride).zip(&border) {
            subtract(row, *r, &along);
        }
        for i in 0..width {
            let row = i * stride..i * stride + width;
            subtract(&mut self.gamma[row.clone()], along[i], &along);
            subtract(&mut self.m[row.clone()], along[i], &new);
            subtract(&mut self.m[row], coupled[i], &along);
        }
        self.borders.extend_from_slice(&new);
        Ok((border, corner))
    }

    /// Takes a candidate off the list; its rows of M and Gamma are left behind the last.
    fn take_out(&mut self, place: usize) {
        let last = self.candidates.len() - 1;
        self.order.push(self.candidates.swap_remove(place));
        for matrix in [&mut self.borders, &mut self.m, &mut self.gamma] {
            for row in matrix.chunks_exact_mut(self.stride) {
                row.swap(place, last);
            }
        }
        for matrix in [&mut self.m, &mut self.gamma] {
            let (upper, lower) = matrix.split_at_mut(last * self.stride);
            if place < last {
                let row = place * self.stride..(place + 1) * self.stride;
                upper[row].swap_with_slice(&mut lower[..self.stride]);
            }
        }
    }

    /// Turns the basis to the eigenvectors of an arrow; whether all lengths survived.
    fn rotate(&mut self, spectrum: &Spectrum) -> bool {
        let (stride, width) = (self.stride, self.candidates.len());
        let before = squares(&self.borders, stride, width);
        for turn in &spectrum.turns {
            let (head, tail) = self.borders.split_at_mut(turn.kept * stride);
            let idle = &mut head[turn.idle * stride..turn.idle * stride + width];
            for (x, y) in idle.iter_mut().zip(&mut tail[..width]) {
                (*x, *y) = (turn.cos * *x - turn.sin * *y, turn.sin * *x + turn.cos * *y);
            }
        }
        let last = self.order.len() - 1;
        self.rows.clear();
        for j in spectrum.kept.iter().chain([&last]) {
            let row = &self.borders[j * stride..(j + 1) * stride];
            self.rows.extend_from_slice(row);
        }
        multiply(
            &spectrum.vectors,
            &self.rows,
            stride,
            width,
            &mut self.product,
        );
        self.sort(spectrum);
        let after = squares(&self.borders, stride, width);
        let kept = |(x, y): (&f64, &f64)| (x - y).abs() <= DRIFT * x;
        before.iter().zip(&after).all(kept)
    }

    /// Merges rotated and idle rows in the order of their eigenvalues.
    fn sort(&mut self, spectrum: &Spectrum) {
        let stride = self.stride;
        let idle = spectrum.idle.iter().map(|&(j, value)| (value, true, j));
        let turned = spectrum.values.iter().enumerate();
        let mut places: Vec<_> = turned
            .map(|(j, &value)| (value, false, j))
            .chain(idle)
            .collect();
        places.sort_by(|x, y| x.0.total_cmp(&y.0));
        self.rows.clear();
        for &(_, is_idle, j) in &places {
            let from = if is_idle {
                &self.borders
            } else {
                &self.product
            };
            self.rows
                .extend_from_slice(&from[j * stride..(j + 1) * stride]);
        }
        std::mem::swap(&mut self.borders, &mut self.rows);
        self.diagonal = places.into_iter().map(|place| place.0).collect();
    }
}

fn subtract(row: &mut [f64], factor: f64, other: &[f64]) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (x, y) in row.iter_mut().zip(other) {
                *x -= factor * y;
            }
        },
    );
}

/// The squared length of each column.
fn squares(rows: &[f64], stride: usize, width: usize) -> Vec<f64> {
    weighted_squares(rows, stride, width, std::iter::repeat(1.0))
}

/// The sum of `weight * x^2` over the rows, for each column.
fn weighted_squares(
    rows: &[f64],
    stride: usize,
    width: usize,
    weights: impl Iterator<Item = f64>,
) -> Vec<f64> {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut sums = vec![0.0; width];
            for (row, weight) in rows.chunks_exact(stride).zip(weights) {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum += weight * x * x;
                }
            }
            sums
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::pencil::{tests::random, Shifted};
    use super::*;
    use proptest::prelude::*;

    /// One full eigenvalue of one support after another, but for those that a sign rejects.
    fn plain(pencil: &Pencil) -> (Vec<usize>, Vec<f64>) {
        let (mut order, mut values) = (Vec::new(), Vec::new());
        for _ in 0..pencil.n {
            let mut best: Option<(f64, usize)> = None;
            for i in (0..pencil.n).filter(|i| !order.contains(i)) {
                let rejected = best.is_some_and(|(value, _)| {
                    Shifted::new(pencil, &order, value - pencil.tie)
                        .is_some_and(|shifted| shifted.corner(i) >= 0.0)
                });
                if !rejected {
                    let value = pencil.least(&[&order[..], &[i]].concat()).unwrap();
                    if best.is_none_or(|(least, _)| value < least - pencil.tie) {
                        best = Some((value, i));
                    }
                }
            }
            let (value, i) = best.unwrap();
            order.push(i);
            values.push(value);
        }
        (order, values)
    }

    fn identity(n: usize, scale: f64) -> Vec<f64> {
        let diagonal = |at| if at % (n + 1) == 0 { scale } else { 0.0 };
        (0..n * n).map(diagonal).collect()
    }

    #[test]
    fn ties_are_taken_in_order() {
        for scale in [0.0, 0.3] {
            let (order, values) = greedy_path(&identity(9, scale), &identity(9, 1.0), 9).unwrap();
            assert_eq!(order, (0..9).collect::<Vec<_>>());
            assert_eq!(values, vec![scale; 9]);
        }
    }

    #[test]
    fn ties_up_to_rounding_are_taken_in_order() {
        let entries: Vec<f64> = (0..128)
            .map(|i| f64::from(i * i % 31) / 31.0 - 0.5)
            .collect();
        let pencil = random(8, 8, &entries);
        let m: Vec<f64> = pencil.gamma.iter().map(|x| 0.3 * x).collect();
        let (order, values) = greedy_path(&m, &pencil.gamma, 8).unwrap();
        assert_eq!(order, (0..8).collect::<Vec<_>>());
        assert!(values.iter().all(|x| (x - 0.3).abs() < 1e-13));
        // One entry away from a tie, on either side of what counts as one.
        for (gain, first) in [(1e-13, 0), (1e-11, 5)] {
            let mut m = identity(8, 1.0);
            m[5 * 9] = 1.0 - gain;
            let (order, _) = greedy_path(&m, &identity(8, 1.0), 8).unwrap();
            assert_eq!(order[0], first);
        }
    }

    #[test]
    fn ties_of_later_assets_are_taken_in_order() {
        for (gain, second) in [(1e-13, 1), (1e-11, 2)] {
            let far = 0.1 + gain;
            let m = [0.2, 0.1, far, 0.1, 0.5, 0.0, far, 0.0, 0.5];
            let (order, _) = greedy_path(&m, &identity(3, 1.0), 3).unwrap();
            assert_eq!(order[..2], [0, second]);
        }
    }

    #[test]
    fn repeated_values_are_found_in_blocks() {
        let mut m = identity(6, 0.0);
        for (i, value) in [0.5, 0.2, 0.4, 0.2, 0.5, 0.4].into_iter().enumerate() {
            m[i * 7] = value;
        }
        let (order, values) = greedy_path(&m, &identity(6, 1.0), 6).unwrap();
        assert_eq!(order, [1, 0, 2, 3, 4, 5]);
        assert_eq!(values, [0.2; 6]);
    }

    #[test]
    fn a_covariance_that_is_singular_is_refused() {
        let mut gamma = identity(3, 1.0);
        (gamma[1], gamma[3]) = (1.0, 1.0);
        assert!(greedy_path(&identity(3, 1.0), &gamma, 3).is_err());
    }

    fn entries(n: usize) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1.0_f64..1.0, 2 * n * n)
    }

    proptest! {
        #[test]
        fn equals_one_eigenvalue_after_another(
            n in 1_usize..13,
            entries in entries(12),
        ) {
            let pencil = random(n, n, &entries);
            let (order, values) = path(&pencil, n).unwrap();
            let (expected, least) = plain(&pencil);
            prop_assert_eq!(order, expected);
            for (x, y) in values.iter().zip(&least) {
                prop_assert!((x - y).abs() < 1e-11, "{:?} {:?}", values, least);
            }
        }

        #[test]
        fn a_predicted_part_of_low_rank_ends_at_zero(rank in 1_usize..4, entries in entries(12)) {
            let pencil = random(12, rank, &entries);
            let (order, values) = path(&pencil, 12).unwrap();
            for k in 1..=12 {
                prop_assert!((values[k - 1] - pencil.least(&order[..k]).unwrap()).abs() < 1e-11);
            }
            prop_assert!(values[rank].abs() < 1e-11);
        }

        #[test]
        fn the_front_made_anew_is_the_front(entries in entries(12)) {
            let pencil = random(12, 12, &entries);
            let mut front = Front::new(&pencil);
            for _ in 0..9 {
                let (border, corner) = front.eliminate(front.next()).unwrap();
                prop_assert!(front.rotate(&spectrum(&front.diagonal, &border, corner)));
            }
            let anew = Front::anew(&pencil, &front.order).unwrap();
            prop_assert_eq!(&anew.candidates, &front.candidates);
            for (x, y) in anew.diagonal.iter().zip(&front.diagonal) {
                prop_assert!((x - y).abs() <= 1e-11 * front.diagonal[8]);
            }
            // Basis vectors are free in their signs, and where values are close in their turn.
            let level = front.diagonal[0] - 0.1 * front.diagonal[8];
            for (x, y) in anew.secular(level).iter().zip(front.secular(level)) {
                prop_assert!((x - y).abs() <= 1e-9 * (1.0 + y.abs()));
            }
        }
    }

    #[test]
    fn a_rotation_that_is_none_is_noticed() {
        let entries: Vec<f64> = (0..72)
            .map(|i| f64::from(i * i % 17) / 17.0 - 0.5)
            .collect();
        let pencil = random(6, 6, &entries);
        let mut front = Front::new(&pencil);
        let (border, corner) = front.eliminate(0).unwrap();
        let mut wrong = spectrum(&front.diagonal, &border, corner);
        wrong.vectors[0] *= 1.0 + 1e-9;
        assert!(!front.rotate(&wrong));
    }
}
