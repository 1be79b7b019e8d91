//! Dense linear algebra on square matrices stored row by row.

use std::ops::Range;

/// The sum of `a[k] * b[k]`, in eight partial sums so that vectors can be used.
#[inline(always)]
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(x, y)| x * y)
        .sum();
    let mut sums = [0.0; 8];
    for (x, y) in a8.zip(b8) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Replaces the lower triangle by the Cholesky factor; `false` where a pivot is not above
/// `least` of its diagonal entry.
pub(super) fn cholesky(a: &mut [f64], k: usize, least: f64) -> bool {
    for i in 0..k {
        let (above, below) = a.split_at_mut(i * k);
        let row = &mut below[..k];
        for j in 0..i {
            let other = &above[j * k..j * k + j + 1];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] - dot(&row[..i], &row[..i]);
        let definite = pivot > least * row[i].abs(); // false for NaN
        if !definite {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// Overwrites `x` with the solution y of `L y = x`, for the factor of [`cholesky`].
pub(super) fn forward(factor: &[f64], k: usize, x: &mut [f64]) {
    for i in 0..k {
        let row = &factor[i * k..i * k + i + 1];
        x[i] = (x[i] - dot(&row[..i], &x[..i])) / row[i];
    }
}

/// `L^-1 M L^-T`, made symmetric.
pub(super) fn reduced(factor: &[f64], m: &[f64], k: usize) -> Vec<f64> {
    let mut half = m.to_vec();
    half.chunks_exact_mut(k)
        .for_each(|row| forward(factor, k, row));
    let mut whole = transposed(&half, k);
    whole
        .chunks_exact_mut(k)
        .for_each(|row| forward(factor, k, row));
    let other = transposed(&whole, k);
    for (x, y) in whole.iter_mut().zip(other) {
        *x = 0.5 * (*x + y);
    }
    whole
}

fn transposed(a: &[f64], k: usize) -> Vec<f64> {
    (0..k * k).map(|at| a[at % k * k + at / k]).collect()
}

/// The smallest eigenvalue of a symmetric matrix.
pub(super) fn least_eigenvalue(a: Vec<f64>, k: usize) -> f64 {
    let (diagonal, beside) = tridiagonal(a, k);
    least_of_tridiagonal(&diagonal, &beside)
}

/// Householder's reduction: the diagonal, and beside each of its entries but the first the entry
/// that couples it to the one before.
fn tridiagonal(mut a: Vec<f64>, k: usize) -> (Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; k.saturating_sub(1)];
    for column in 0..k.saturating_sub(1) {
        let next = column + 1;
        let mut v: Vec<f64> = (next..k).map(|i| a[i * k + column]).collect();
        let length = dot(&v, &v).sqrt();
        let tail = dot(&v[1..], &v[1..]);
        if tail == 0.0 {
            beside[column] = v[0];
            continue;
        }
        beside[column] = -length.copysign(v[0]);
        v[0] -= beside[column];
        let norm = dot(&v, &v).sqrt();
        v.iter_mut().for_each(|x| *x /= norm);
        reflect(&mut a, k, next..k, &v);
    }
    ((0..k).map(|i| a[i * k + i]).collect(), beside)
}

/// `H A H` on a diagonal block, with `H = 1 - 2 v v'`.
fn reflect(a: &mut [f64], k: usize, block: Range<usize>, v: &[f64]) {
    let mut w: Vec<f64> = block
        .clone()
        .map(|i| dot(&a[i * k + block.start..(i + 1) * k], v))
        .collect();
    let along = dot(&w, v);
    for (w, v) in w.iter_mut().zip(v) {
        *w = 2.0 * (*w - along * v);
    }
    for (i, row) in block.clone().enumerate() {
        let row = &mut a[row * k + block.start..(row + 1) * k];
        for ((x, v_j), w_j) in row.iter_mut().zip(v).zip(&w) {
            *x -= v[i] * w_j + w[i] * v_j;
        }
    }
}

/// Bisection on whether the matrix less x is positive definite.
fn least_of_tridiagonal(diagonal: &[f64], beside: &[f64]) -> f64 {
    let reach = |i: usize| {
        let left = if i > 0 { beside[i - 1].abs() } else { 0.0 };
        left + beside.get(i).map_or(0.0, |x| x.abs())
    };
    let ends = || diagonal.iter().enumerate();
    let mut low = ends().fold(f64::INFINITY, |x, (i, d)| x.min(d - reach(i)));
    let mut high = diagonal.iter().fold(f64::INFINITY, |x, d| x.min(*d));
    let norm = ends().fold(0.0_f64, |x, (i, d)| x.max(d.abs() + reach(i)));
    while high - low > 0.25 * f64::EPSILON * norm {
        let middle = low + 0.5 * (high - low);
        if middle <= low || middle >= high {
            break;
        }
        if is_definite(diagonal, beside, middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low + 0.5 * (high - low)
}

fn is_definite(diagonal: &[f64], beside: &[f64], x: f64) -> bool {
    let mut pivot = diagonal[0] - x;
    for (d, b) in diagonal[1..].iter().zip(beside) {
        if pivot <= 0.0 {
            return false;
        }
        pivot = d - x - b * b / pivot;
    }
    pivot > 0.0
}

/// All eigenvalues, ascending, and eigenvectors as rows, by cyclic Jacobi rotations.
pub(super) fn jacobi(mut a: Vec<f64>, k: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors: Vec<f64> = (0..k * k)
        .map(|at| if at / k == at % k { 1.0 } else { 0.0 })
        .collect();
    let norm = dot(&a, &a).sqrt();
    // Sweeps converge quadratically; the bound is far above what any matrix needs.
    for _ in 0..60 {
        let mut largest = 0.0_f64;
        for p in 0..k {
            for q in p + 1..k {
                largest = largest.max(a[p * k + q].abs());
                annihilate(&mut a, &mut vectors, k, p, q);
            }
        }
        if largest <= 1e-3 * f64::EPSILON * norm {
            break;
        }
    }
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&i, &j| a[i * k + i].total_cmp(&a[j * k + j]));
    let rows = order.iter().flat_map(|&i| &vectors[i * k..(i + 1) * k]);
    let rows = rows.copied().collect();
    (order.iter().map(|&i| a[i * k + i]).collect(), rows)
}

/// The rotation that makes entry (p, q) zero.
fn annihilate(a: &mut [f64], vectors: &mut [f64], k: usize, p: usize, q: usize) {
    let beside = a[p * k + q];
    if beside == 0.0 {
        return;
    }
    let half = 0.5 * (a[q * k + q] - a[p * k + p]);
    let tan = beside / (half + half.hypot(beside).copysign(half));
    let cos = 1.0 / tan.hypot(1.0);
    let sin = cos * tan;
    for i in 0..k {
        let (x, y) = (a[i * k + p], a[i * k + q]);
        a[i * k + p] = cos * x - sin * y;
        a[i * k + q] = sin * x + cos * y;
    }
    for matrix in [a, vectors] {
        let (head, tail) = matrix.split_at_mut(q * k);
        for (x, y) in head[p * k..(p + 1) * k].iter_mut().zip(&mut tail[..k]) {
            (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_second_difference_has_its_closed_form() {
        for k in [1_usize, 2, 3, 10, 41] {
            let matrix = (0..k * k)
                .map(|at| match (at / k).abs_diff(at % k) {
                    0 => 2.0,
                    1 => -1.0,
                    _ => 0.0,
                })
                .collect();
            let angle = std::f64::consts::PI / (2.0 * (k + 1) as f64);
            let expected = 4.0 * angle.sin().powi(2);
            assert!((least_eigenvalue(matrix, k) - expected).abs() < 1e-15);
        }
    }

    proptest! {
        #[test]
        fn reflections_keep_the_least_eigenvalue(
            spectrum in prop::collection::vec(-1.0_f64..1.0, 9),
            entries in prop::collection::vec(-1.0_f64..1.0, 27),
        ) {
            let mut matrix: Vec<f64> = (0..81)
                .map(|at| if at % 10 == 0 { spectrum[at / 10] } else { 0.0 })
                .collect();
            for v in entries.chunks_exact(9) {
                let norm = dot(v, v).sqrt();
                let v: Vec<f64> = v.iter().map(|x| x / norm).collect();
                reflect(&mut matrix, 9, 0..9, &v);
            }
            let expected = spectrum.iter().fold(1.0_f64, |x, y| x.min(*y));
            prop_assert!((least_eigenvalue(matrix, 9) - expected).abs() < 1e-14);
        }
    }
}
