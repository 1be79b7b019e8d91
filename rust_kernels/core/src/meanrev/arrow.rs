//! Eigenvalues and eigenvectors of an arrow: a diagonal matrix bordered by one row and column.
//!
//! The eigenvalues of `[[D, r], [r', mu]]` are the roots of the secular function
//! `f(l) = mu - l - sum_j r_j^2 / (d_j - l)`, which falls from each pole to the next. Every root is
//! kept as its distance from the nearest pole, so that differences of roots and poles keep their
//! digits. The border is then computed anew from the roots, which makes the eigenvectors orthogonal
//! to rounding (Gu & Eisenstat, SIAM J. Matrix Anal. Appl. 16 (1995)):
//! `r_j^2 = -prod_i (l_i - d_j) / prod_{i != j} (d_i - d_j)`.

use pulp::{Simd, WithSimd};

/// A rotation of two rows, after which the border has no entry at `idle`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Turn {
    pub idle: usize,
    pub kept: usize,
    pub cos: f64,
    pub sin: f64,
}

/// How the eigenvectors of an arrow follow from the unit vectors.
///
/// First the turns; then the rows `kept` and the new one, in this order, are multiplied by
/// `vectors`, whose rows are eigenvectors; the rows `idle` are eigenvectors as they are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spectrum {
    pub turns: Vec<Turn>,
    pub idle: Vec<(usize, f64)>,
    pub kept: Vec<usize>,
    pub values: Vec<f64>,
    pub vectors: Vec<f64>,
}

/// The spectrum of an arrow whose diagonal does not fall.
pub(super) fn spectrum(diagonal: &[f64], border: &[f64], corner: f64) -> Spectrum {
    let (mut d, mut r) = (diagonal.to_vec(), border.to_vec());
    let (turns, idle, kept) = deflated(&mut d, &mut r, corner);
    let pick = |from: &[f64]| kept.iter().map(|&j| from[j]).collect::<Vec<_>>();
    let arrow = Arrow {
        poles: &pick(&d),
        border: &pick(&r),
        corner,
    };
    let (values, vectors) = pulp::Arch::new().dispatch(Solve(&arrow));
    let idle = idle.into_iter().map(|j| (j, d[j])).collect();
    Spectrum {
        turns,
        idle,
        kept,
        values,
        vectors,
    }
}

/// Rows whose coupling is below rounding, at once or after a turn with a row of almost the same
/// pole, leave the arrow.
fn deflated(d: &mut [f64], r: &mut [f64], corner: f64) -> (Vec<Turn>, Vec<usize>, Vec<usize>) {
    let size = d
        .iter()
        .chain(r.iter())
        .fold(corner.abs(), |x, y| x.max(y.abs()));
    let tolerance = 8.0 * f64::EPSILON * size;
    let (mut turns, mut idle, mut kept) = (Vec::new(), Vec::new(), Vec::<usize>::new());
    for j in 0..d.len() {
        if r[j].abs() <= tolerance {
            idle.push(j);
            continue;
        }
        if let Some(&i) = kept.last() {
            let length = r[i].hypot(r[j]);
            let (cos, sin) = (r[j] / length, r[i] / length);
            if ((d[j] - d[i]) * cos * sin).abs() <= tolerance {
                turns.push(Turn {
                    idle: i,
                    kept: j,
                    cos,
                    sin,
                });
                (r[i], r[j]) = (0.0, length);
                (d[i], d[j]) = (
                    cos * cos * d[i] + sin * sin * d[j],
                    sin * sin * d[i] + cos * cos * d[j],
                );
                kept.pop();
                idle.push(i);
            }
        }
        kept.push(j);
    }
    (turns, idle, kept)
}

/// A root as the pole it is measured from and the distance from it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Root {
    pole: usize,
    offset: f64,
}

/// The arrow of poles that rise and a border.
pub(super) struct Arrow<'a> {
    pub poles: &'a [f64],
    pub border: &'a [f64],
    pub corner: f64,
}

struct Solve<'a>(&'a Arrow<'a>);

impl WithSimd for Solve<'_> {
    type Output = (Vec<f64>, Vec<f64>);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        self.0.solve(simd)
    }
}

struct LeastRoot<'a>(&'a Arrow<'a>, f64);

impl WithSimd for LeastRoot<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self(arrow, from) = self;
        let (low, _) = arrow.ends();
        let offset = from - arrow.poles[0];
        arrow.poles[0] + arrow.refine(simd, 0, 0, offset, (low, 0.0))
    }
}

/// The secular function at a point.
struct At {
    value: f64,
    /// Sum of `(r_j / (d_j - l))^2` over the poles below, and over those above.
    below: f64,
    above: f64,
    /// Sum of the sizes of the terms, of which `value` has the rounding.
    size: f64,
}

/// Iterations after which bisection takes turns with the rational step.
const PATIENCE: usize = 12;

impl Arrow<'_> {
    /// The root below all poles, looked for from a point between it and them.
    pub fn least_root(&self, from: f64) -> f64 {
        pulp::Arch::new().dispatch(LeastRoot(self, from))
    }

    /// Eigenvalues, ascending, and eigenvectors as rows.
    #[inline(always)]
    fn solve<S: Simd>(&self, simd: S) -> (Vec<f64>, Vec<f64>) {
        if self.poles.is_empty() {
            return (vec![self.corner], vec![1.0]);
        }
        let (mut roots, mut values) = (Vec::new(), Vec::new());
        for i in 0..=self.poles.len() {
            let root = self.root(simd, i);
            values.push(self.poles[root.pole] + root.offset);
            roots.push(root);
        }
        let vectors = self.vectors(&roots);
        (values, vectors)
    }

    /// Bounds of the first root from the first pole and of the last root from the last one.
    #[inline(always)]
    fn ends(&self) -> (f64, f64) {
        let (first, last) = (self.poles[0], self.poles[self.poles.len() - 1]);
        let reach = self.border.iter().map(|r| r * r).sum::<f64>().sqrt();
        (
            (self.corner - first).min(0.0) - 2.0 * reach,
            (self.corner - last).max(0.0) + 2.0 * reach,
        )
    }

    /// The root that has i poles below it.
    #[inline(always)]
    fn root<S: Simd>(&self, simd: S, i: usize) -> Root {
        let m = self.poles.len();
        let (pole, start, bracket) = if i == 0 {
            let start = -beside(self.border[0], self.corner - self.poles[0]);
            (0, start, (self.ends().0, 0.0))
        } else if i == m {
            let start = beside(self.border[m - 1], self.poles[m - 1] - self.corner);
            (m - 1, start, (0.0, self.ends().1))
        } else {
            let half = 0.5 * (self.poles[i] - self.poles[i - 1]);
            match self.at(simd, i, i - 1, half).value > 0.0 {
                true => (i, -half, (-half, 0.0)),
                false => (i - 1, half, (0.0, half)),
            }
        };
        Root {
            pole,
            offset: self.refine(simd, i, pole, start, bracket),
        }
    }

    /// The offset from `pole` of the root with i poles below it.
    #[inline(always)]
    fn refine<S: Simd>(
        &self,
        simd: S,
        i: usize,
        pole: usize,
        mut offset: f64,
        bracket: (f64, f64),
    ) -> f64 {
        let (mut low, mut high) = bracket;
        for round in 0..100 {
            let at = self.at(simd, i, pole, offset);
            if at.value.abs() <= 2.0 * f64::EPSILON * at.size {
                break;
            }
            if at.value > 0.0 {
                low = offset;
            } else {
                high = offset;
            }
            let mut next = offset + self.step(i, pole, offset, &at);
            let inside = next > low && next < high;
            if !inside || (round > PATIENCE && round % 2 == 0) {
                next = 0.5 * (low + high);
            }
            if (next - offset).abs() <= f64::EPSILON * offset.abs() {
                offset = next;
                break;
            }
            offset = next;
        }
        offset
    }

    #[inline(always)]
    fn at<S: Simd>(&self, simd: S, i: usize, pole: usize, offset: f64) -> At {
        let base = self.poles[pole];
        let (low, high) = self.poles.split_at(i);
        let (r_low, r_high) = self.border.split_at(i);
        let (left, below) = terms(simd, low, r_low, base, offset);
        let (right, above) = terms(simd, high, r_high, base, offset);
        let corner = self.corner - base;
        At {
            value: corner - offset - left - right,
            below,
            above,
            size: corner.abs() + offset.abs() + left.abs() + right.abs(),
        }
    }

    /// The step to the root of a function with the poles next to it, and with the value of f and
    /// the slopes of the sums below and above: `c + q / (h - a) + v / (h - b)` between two poles,
    /// `c - h + v / (h - b)` below the first and `c - h + q / (h - a)` above the last.
    #[inline(always)]
    fn step(&self, i: usize, pole: usize, offset: f64, at: &At) -> f64 {
        let base = self.poles[pole];
        let away = |j: usize| (self.poles[j] - base) - offset;
        let f = at.value;
        if i == 0 {
            let b = away(0);
            let c = f + at.above * b;
            let (sum, root) = (c + b, (c - b).hypot(2.0 * at.above.sqrt() * b));
            return match sum > 0.0 {
                true => 2.0 * b * f / (sum + root),
                false => 0.5 * (sum - root),
            };
        }
        let a = away(i - 1);
        if i == self.poles.len() {
            let c = f + at.below * a;
            let (sum, root) = (c + a, (c - a).hypot(2.0 * at.below.sqrt() * a));
            return match sum < 0.0 {
                true => 2.0 * a * f / (sum - root),
                false => 0.5 * (sum + root),
            };
        }
        let b = away(i);
        let below = at.below + 1.0;
        let c = f + below * a + at.above * b;
        let linear = -f * (a + b) - a * b * (below + at.above);
        let root = (linear * linear - 4.0 * c * a * b * f).max(0.0).sqrt();
        match linear > 0.0 {
            true => -2.0 * a * b * f / (linear + root),
            false => (root - linear) / (2.0 * c),
        }
    }

    /// Orthonormal eigenvectors as rows; the last column belongs to the corner.
    #[inline(always)]
    fn vectors(&self, roots: &[Root]) -> Vec<f64> {
        let m = self.poles.len();
        let width = m + 1;
        let mut rows = vec![1.0; width * width];
        for (row, root) in rows.chunks_exact_mut(width).zip(roots) {
            let base = self.poles[root.pole];
            for (x, pole) in row.iter_mut().zip(self.poles) {
                *x = (base - pole) + root.offset;
            }
        }
        let border = self.border_of_roots(&rows);
        for row in rows.chunks_exact_mut(width) {
            let mut square = 1.0;
            for (x, r) in row.iter_mut().zip(&border) {
                *x = r / *x;
            }
            square += super::dense::dot(&row[..m], &row[..m]);
            let scale = 1.0 / square.sqrt();
            row.iter_mut().for_each(|x| *x *= scale);
        }
        rows
    }

    /// The border whose arrow has exactly these roots, from the differences of roots and poles.
    #[inline(always)]
    fn border_of_roots(&self, differences: &[f64]) -> Vec<f64> {
        let m = self.poles.len();
        let width = m + 1;
        // The roots next to pole j are j and j + 1.
        let mut squares = Vec::with_capacity(m);
        for j in 0..m {
            squares.push(-differences[j * width + j] * differences[(j + 1) * width + j]);
        }
        for i in 0..m {
            let pole = self.poles[i];
            let lower = &differences[i * width..i * width + m];
            let upper = &differences[(i + 1) * width..(i + 1) * width + m];
            times_ratio(&mut squares[..i], &upper[..i], pole, &self.poles[..i]);
            let after = i + 1..m;
            let poles = &self.poles[after.clone()];
            times_ratio(&mut squares[after.clone()], &lower[after], pole, poles);
        }
        for (square, r) in squares.iter_mut().zip(self.border) {
            *square = square.max(0.0).sqrt().copysign(*r);
        }
        squares
    }
}

#[inline(always)]
fn times_ratio(products: &mut [f64], differences: &[f64], pole: f64, poles: &[f64]) {
    for ((product, difference), other) in products.iter_mut().zip(differences).zip(poles) {
        *product *= difference / (pole - other);
    }
}

/// How far below its pole the least root of a pole alone is, with the corner `away` above it.
#[inline(always)]
fn beside(r: f64, away: f64) -> f64 {
    let (half, r) = (0.5 * away, r.abs());
    match half > 0.0 {
        true => r * (r / (half + half.hypot(r))),
        false => half.hypot(r) - half,
    }
}

/// Sums of `r^2 / (d - l)` and of `(r / (d - l))^2`, with `d - l = (d - base) - offset`.
#[inline(always)]
fn terms<S: Simd>(simd: S, poles: &[f64], border: &[f64], base: f64, offset: f64) -> (f64, f64) {
    let (bases, offsets) = (simd.splat_f64s(base), simd.splat_f64s(offset));
    let (p, p_rest) = S::as_simd_f64s(poles);
    let (r, r_rest) = S::as_simd_f64s(border);
    let (mut sums, mut slopes) = (simd.splat_f64s(0.0), simd.splat_f64s(0.0));
    for (p, r) in p.iter().zip(r) {
        let away = simd.sub_f64s(simd.sub_f64s(*p, bases), offsets);
        let part = simd.div_f64s(*r, away);
        sums = simd.mul_add_e_f64s(*r, part, sums);
        slopes = simd.mul_add_e_f64s(part, part, slopes);
    }
    let (mut sum, mut slope) = (simd.reduce_sum_f64s(sums), simd.reduce_sum_f64s(slopes));
    for (p, r) in p_rest.iter().zip(r_rest) {
        let part = r / ((p - base) - offset);
        sum += r * part;
        slope += part * part;
    }
    (sum, slope)
}

#[cfg(test)]
mod tests {
    use super::super::dense::{dot, jacobi};
    use super::*;
    use proptest::prelude::*;

    /// Eigenvalues, ascending, and eigenvectors in the unit vectors, as rows.
    fn assembled(spectrum: &Spectrum, k: usize) -> Vec<(f64, Vec<f64>)> {
        let unit = |j: usize| (0..=k).map(|i| if i == j { 1.0 } else { 0.0 }).collect();
        let mut basis: Vec<Vec<f64>> = (0..=k).map(unit).collect();
        for turn in &spectrum.turns {
            let (head, tail) = basis.split_at_mut(turn.kept);
            for (x, y) in head[turn.idle].iter_mut().zip(&mut tail[0]) {
                (*x, *y) = (turn.cos * *x - turn.sin * *y, turn.sin * *x + turn.cos * *y);
            }
        }
        let rows: Vec<usize> = spectrum.kept.iter().copied().chain([k]).collect();
        let mixed = |factors: &[f64]| -> Vec<f64> {
            let sum = |i: usize| {
                rows.iter()
                    .zip(factors)
                    .map(|(&j, x)| x * basis[j][i])
                    .sum()
            };
            (0..=k).map(sum).collect()
        };
        let vectors = spectrum.vectors.chunks_exact(rows.len()).map(mixed);
        let mut pairs: Vec<_> = spectrum.values.iter().copied().zip(vectors).collect();
        pairs.extend(spectrum.idle.iter().map(|&(j, x)| (x, basis[j].clone())));
        pairs.sort_by(|x, y| x.0.total_cmp(&y.0));
        pairs
    }

    fn check(diagonal: &[f64], border: &[f64], corner: f64) {
        let k = diagonal.len();
        let mut matrix = vec![0.0; (k + 1) * (k + 1)];
        for j in 0..k {
            matrix[j * (k + 2)] = diagonal[j];
            matrix[j * (k + 1) + k] = border[j];
            matrix[k * (k + 1) + j] = border[j];
        }
        matrix[(k + 1) * (k + 1) - 1] = corner;
        let norm = dot(&matrix, &matrix).sqrt();
        let (expected, _) = jacobi(matrix.clone(), k + 1);
        let pairs = assembled(&spectrum(diagonal, border, corner), k);
        for ((value, vector), expected) in pairs.iter().zip(expected) {
            assert!(
                (value - expected).abs() <= 1e-14 * norm,
                "{value} {expected}"
            );
            for (i, x) in vector.iter().enumerate() {
                let image = dot(&matrix[i * (k + 1)..(i + 1) * (k + 1)], vector);
                assert!((image - value * x).abs() <= 1e-14 * norm);
            }
            for (_, other) in &pairs {
                let product = dot(vector, other);
                let one = if vector == other { 1.0 } else { 0.0 };
                assert!((product - one).abs() <= 1e-14, "{product}");
            }
        }
    }

    #[test]
    fn arrows_that_fall_apart() {
        check(&[], &[], 2.0);
        check(&[1.0], &[0.0], 1.0);
        check(&[1.0, 1.0, 1.0, 1.0], &[0.3, 0.0, -0.2, 0.1], 1.0);
        check(&[0.0, 0.0, 0.0], &[0.0, 0.0, 0.0], 0.0);
        check(&[1.0, 1.0 + 1e-15, 2.0], &[0.5, 0.5, 1e-17], 0.0);
    }

    #[test]
    fn a_pair_close_to_parallel() {
        check(
            &[1.0, 1.0 + 1e-9, 1.0 + 2e-9],
            &[1e-6, 1e-7, 1e-8],
            1.0 + 1e-9,
        );
        check(&[1e-9, 1e-3, 1.0], &[1e-12, 1e-8, 0.9], 1.0);
        // The last pole cancels the corner at the first ones, whose roots have few digits then.
        let poles = [0.5, 0.5 + 1e-13, 0.5 + 2e-13, 0.9];
        check(&poles, &[1e-13, 2e-13, 1e-13, 0.3], 0.725);
    }

    proptest! {
        #[test]
        fn equals_jacobi(
            mut diagonal in prop::collection::vec(
                prop_oneof![0.0_f64..1.0, Just(0.25), Just(0.5), 0.5_f64..0.5000001], 0..20),
            border in prop::collection::vec(
                prop_oneof![-1.0_f64..1.0, Just(0.0), -1e-9_f64..1e-9], 20),
            corner in prop_oneof![-1.0_f64..3.0, Just(0.5)],
        ) {
            diagonal.sort_by(f64::total_cmp);
            check(&diagonal, &border[..diagonal.len()], corner);
        }

        #[test]
        fn graded_arrows_have_orthogonal_vectors(
            mut powers in prop::collection::vec(-14.0_f64..0.0, 1..30),
            border in prop::collection::vec(-12.0_f64..0.0, 30),
        ) {
            powers.sort_by(f64::total_cmp);
            let power = |x: &f64| 10.0_f64.powf(*x);
            let diagonal: Vec<f64> = powers.iter().map(power).collect();
            let border: Vec<f64> = border[..diagonal.len()].iter().map(power).collect();
            check(&diagonal, &border, 0.1);
        }

        #[test]
        fn the_least_root_is_the_first(
            mut diagonal in prop::collection::vec(0.0_f64..1.0, 1..12),
            border in prop::collection::vec(0.1_f64..1.0, 12),
            corner in -1.0_f64..3.0,
            part in 0.001_f64..0.999,
        ) {
            diagonal.sort_by(f64::total_cmp);
            let border = &border[..diagonal.len()];
            let least = spectrum(&diagonal, border, corner).values[0];
            let arrow = Arrow { poles: &diagonal, border, corner };
            let from = least + part * (diagonal[0] - least);
            prop_assert!((arrow.least_root(from) - least).abs() < 1e-14);
        }
    }
}
