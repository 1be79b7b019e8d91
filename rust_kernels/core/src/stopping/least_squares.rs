//! Least squares of several targets on the same, possibly collinear, regressors.

use super::{threads, turn, SQUARE};
use crate::hawkes::shown;
use crate::Error;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Largest size of a value: squares and their sums stay finite.
const LARGEST: f64 = 1e100;

/// Share of its square below which a column is taken to depend on the others.
const DROPPED: f64 = 1e-10;

/// Of the largest pivot: near ties are decided by the order of columns, not by rounding.
const NEAR: f64 = 0.9;

/// Rows of one task. Products are summed task after task, on any number of threads.
pub(super) const CHUNK: usize = 1 << 12;

/// Rows that are laid out by columns at once.
pub(super) const BLOCK: usize = 128;

/// Values that a vector holds at most.
const WIDEST: usize = 8;

/// Vectors of fitted values that are summed side by side.
const SUMS: usize = 4;

/// Columns that one loop multiplies by as many: nine sums stay in registers.
const TILE: usize = 3;

/// Products from which threads are worth starting: about a millisecond of work.
const PARALLEL: usize = 1 << 22;

/// Coefficients (k, m) of the targets (b, m) on the features (b, k), by normal equations.
///
/// A regressor that others explain but for 1e-10 of its square is left out: its coefficients are 0.
pub fn regression(
    features: &[f64],
    [rows, k]: [usize; 2],
    targets: &[f64],
    m: usize,
) -> Result<Vec<f64>, Error> {
    not_empty(features, &[rows, k])?;
    check("targets", targets, &[rows, m])?;
    let chunks = features.chunks(CHUNK * k).zip(0..);
    let task = |(features, chunk): (&[f64], usize)| {
        let first = chunk * CHUNK * m;
        let table = Table {
            features,
            k,
            targets: &targets[first..][..features.len() / k * m],
            m,
            chosen: None,
            blocks: &mut [Block::new(k + m)],
        };
        table.products()
    };
    let parts: Option<Vec<_>> =
        match threads(rows.saturating_mul(k * (k + m)) >= PARALLEL && rows > CHUNK) {
            None => chunks.map(task).collect(),
            Some(pool) => {
                let chunks: Vec<_> = chunks.collect();
                pool.install(|| chunks.into_par_iter().map(task).collect())
            }
        };
    match parts {
        Some(parts) => Ok(fit(parts, k, m)),
        None => check("features", features, &[rows, k]).map(|()| Vec::new()),
    }
}

/// Refuses features of which there are none.
pub(super) fn not_empty(features: &[f64], shape: &[usize]) -> Result<(), Error> {
    if !features.is_empty() {
        return Ok(());
    }
    let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let problem = format!("must not be empty, got the shape ({})", shape.join(", "));
    Err(Error::new("features", problem))
}

/// Whether every value and its square are finite.
#[inline(always)]
pub(super) fn bounded(values: &[f64]) -> bool {
    // Counted, so that vectors of values need no packing into bits.
    let good = |value: &f64| u64::from(value.abs() <= LARGEST);
    values.iter().map(good).sum::<u64>() == values.len() as u64
}

/// Refuses an array with a value that is not bounded.
pub(super) fn check(name: &str, values: &[f64], shape: &[usize]) -> Result<(), Error> {
    let good = pulp::Arch::new().dispatch(
        #[inline(always)]
        || values.chunks(CHUNK).all(bounded),
    );
    if good {
        return Ok(());
    }
    let at = values.iter().position(|v| !bounded(&[*v])).unwrap_or(0);
    let mut place = Vec::new();
    let mut rest = at;
    for &length in shape.iter().rev() {
        place.insert(0, (rest % length).to_string());
        rest /= length;
    }
    let problem = format!(
        "must be finite and at most 1e100 in size, got {}",
        shown(values[at])
    );
    Err(Error::new(format!("{name}[{}]", place.join(", ")), problem))
}

/// Some rows of features and targets, by columns.
#[derive(Clone)]
pub(super) struct Block {
    /// The rows that count.
    rows: [usize; BLOCK],
    used: usize,
    columns: Vec<[f64; BLOCK]>,
}

impl Block {
    /// Room for so many columns.
    pub(super) fn new(width: usize) -> Self {
        Self {
            rows: [0; BLOCK],
            used: 0,
            columns: vec![[0.0; BLOCK]; width.next_multiple_of(TILE)],
        }
    }

    /// The rows that count.
    #[inline(always)]
    pub(super) fn rows(&self) -> &[usize] {
        &self.rows[..self.used]
    }

    /// Lets those of the first `n` rows count that are chosen.
    #[inline(always)]
    pub(super) fn choose(&mut self, n: usize, chosen: impl Fn(usize) -> bool) {
        self.used = 0;
        for row in 0..n.min(BLOCK) {
            // Written in any case, and overwritten where the row does not count.
            self.rows[self.used] = row;
            self.used += usize::from(chosen(row));
        }
    }

    /// Takes the columns from `first` on from the rows that count of a table.
    #[inline(always)]
    pub(super) fn take(&mut self, table: &[f64], width: usize, first: usize) {
        let columns = &mut self.columns[first..first + width];
        let row = |at: usize| &table[at * width..][..width];
        let (squares, rest) = pulp::as_arrays::<SQUARE, _>(&self.rows[..self.used]);
        let mut at = 0;
        for &[a, b, c, d] in squares {
            let columns = columns.iter_mut().map(|column| &mut column[at..]);
            turn([row(a), row(b), row(c), row(d)], columns);
            at += SQUARE;
        }
        for &index in rest {
            for (column, &value) in columns.iter_mut().zip(row(index)) {
                column[at] = value;
            }
            at += 1;
        }
        let end = BLOCK.min(at + WIDEST);
        for column in columns {
            column[at..end].fill(0.0);
        }
    }

    /// Adds the products of columns.
    #[inline(always)]
    fn multiply<S: Simd>(&self, simd: S, tiles: &[(usize, usize)], sums: &mut [Sums<S>]) {
        let vectors = self.used.div_ceil(S::F64_LANES);
        let column = |at: usize| &S::as_simd_f64s(&self.columns[at]).0[..vectors];
        for (&(a, b), sums) in tiles.iter().zip(sums) {
            let (a, b) = (TILE * a, TILE * b);
            let rows = [column(a), column(a + 1), column(a + 2)];
            let columns = [column(b), column(b + 1), column(b + 2)];
            let mut near = *sums;
            for at in 0..vectors {
                for (sums, row) in near.iter_mut().zip(rows) {
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = simd.mul_add_e_f64s(row[at], column[at], *sum);
                    }
                }
            }
            *sums = near;
        }
    }

    /// The first columns times the weights, of the rows that count.
    #[inline(always)]
    pub(super) fn fit<S: Simd>(&self, simd: S, weights: &[f64], out: &mut [f64; BLOCK]) {
        let (out, _) = pulp::as_arrays_mut::<SUMS, _>(S::as_mut_simd_f64s(out).0);
        let wanted = self.used.div_ceil(SUMS * S::F64_LANES);
        for (at, out) in out[..wanted].iter_mut().enumerate() {
            let mut sums = [simd.splat_f64s(0.0); SUMS];
            for (&weight, column) in weights.iter().zip(&self.columns) {
                let weight = simd.splat_f64s(weight);
                let (values, _) = pulp::as_arrays::<SUMS, _>(S::as_simd_f64s(column).0);
                for (sum, &value) in sums.iter_mut().zip(&values[at]) {
                    *sum = simd.mul_add_e_f64s(weight, value, *sum);
                }
            }
            *out = sums;
        }
    }

    /// A column, of the rows that count.
    #[inline(always)]
    pub(super) fn column(&self, at: usize) -> &[f64; BLOCK] {
        &self.columns[at]
    }
}

/// Products of three columns with three.
type Sums<S> = [[<S as Simd>::f64s; TILE]; TILE];

/// Regressors and targets, row by row, and which rows count.
pub(super) struct Table<'a> {
    pub features: &'a [f64],
    pub k: usize,
    pub targets: &'a [f64],
    pub m: usize,
    /// Rows with a positive value here, all where there is none.
    pub chosen: Option<&'a [f64]>,
    /// Filled with the rows; there may be one for all.
    pub blocks: &'a mut [Block],
}

impl Table<'_> {
    /// Products of columns, or nothing where a feature is not bounded.
    pub(super) fn products(self) -> Option<Vec<f64>> {
        pulp::Arch::new().dispatch(self)
    }
}

impl WithSimd for Table<'_> {
    type Output = Option<Vec<f64>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<Vec<f64>> {
        let (k, m) = (self.k, self.m);
        let tiles: Vec<_> = tiles(k, m).collect();
        let mut sums = vec![[[simd.splat_f64s(0.0); TILE]; TILE]; tiles.len()];
        let last = self.blocks.len() - 1;
        for (number, features) in self.features.chunks(BLOCK * k).enumerate() {
            if !bounded(features) {
                return None;
            }
            let (first, rows) = (number * BLOCK, features.len() / k);
            let block = &mut self.blocks[number.min(last)];
            match self.chosen.map(|values| &values[first..][..rows]) {
                None => block.choose(rows, |_| true),
                Some(values) => block.choose(rows, |row| values[row] > 0.0),
            }
            block.take(features, k, 0);
            block.take(&self.targets[first * m..][..rows * m], m, k);
            block.multiply(simd, &tiles, &mut sums);
        }
        let sums = sums.into_iter().flatten().flatten();
        Some(sums.map(|sum| simd.reduce_sum_f64s(sum)).collect())
    }
}

/// Pairs of groups of columns, targets after features, whose products are wanted.
fn tiles(k: usize, m: usize) -> impl Iterator<Item = (usize, usize)> {
    let pairs = (0..(k + m).div_ceil(TILE)).flat_map(|a| (0..=a).map(move |b| (a, b)));
    pairs.filter(move |&(_, b)| TILE * b < k)
}

/// Coefficients (k, m) from the products of parts of the rows.
pub(super) fn fit(parts: impl IntoIterator<Item = Vec<f64>>, k: usize, m: usize) -> Vec<f64> {
    let mut total = vec![0.0; TILE * TILE * tiles(k, m).count()];
    for part in parts {
        let pairs = total.iter_mut().zip(part);
        pairs.for_each(|(total, sum)| *total += sum);
    }
    let (mut gram, mut moments) = (vec![0.0; k * k], vec![0.0; k * m]);
    for ((a, b), sums) in tiles(k, m).zip(total.chunks_exact(TILE * TILE)) {
        for (at, &sum) in sums.iter().enumerate() {
            let (row, column) = (TILE * a + at / TILE, TILE * b + at % TILE);
            match row.checked_sub(k) {
                _ if column >= k || row >= k + m => {}
                Some(target) => moments[column * m + target] = sum,
                None => {
                    gram[row * k + column] = sum;
                    gram[column * k + row] = sum;
                }
            }
        }
    }
    solve(&gram, k, &moments, m)
}

/// Coefficients (k, m) from the products of columns with each other and with targets.
///
/// Columns are scaled to length 1 and taken into a Cholesky factor one after the other: always the
/// first whose square outside the span of those taken is near the largest, until that is below
/// 1e-10. The coefficients of the others are 0.
pub(super) fn solve(gram: &[f64], k: usize, moments: &[f64], m: usize) -> Vec<f64> {
    let inverse: Vec<f64> = (0..k)
        .map(|i| gram[i * k + i].sqrt())
        .map(|length| if length > 0.0 { 1.0 / length } else { 0.0 })
        .collect();
    let mut outside: Vec<f64> = inverse
        .iter()
        .map(|&i| if i > 0.0 { 1.0 } else { 0.0 })
        .collect();
    let mut taken: Vec<usize> = Vec::new();
    // Row i of the factor, of the columns taken so far.
    let mut factor = vec![0.0; k * k];
    loop {
        let top = outside.iter().fold(0.0, |top: f64, &value| top.max(value));
        let found = outside.iter().position(|&value| value >= NEAR * top);
        let Some(pivot) = found.filter(|_| top >= DROPPED) else {
            break;
        };
        let n = taken.len();
        let root = outside[pivot].sqrt();
        taken.push(pivot);
        outside[pivot] = 0.0;
        for i in 0..k {
            if taken[..n].contains(&i) {
                continue;
            }
            let cosine = gram[i * k + pivot] * inverse[i] * inverse[pivot];
            let known = dot(&factor[i * k..][..n], &factor[pivot * k..][..n]);
            let entry = if i == pivot {
                root
            } else {
                (cosine - known) / root
            };
            factor[i * k + n] = entry;
            if i != pivot {
                outside[i] -= entry * entry;
            }
        }
    }
    let mut result = vec![0.0; k * m];
    for target in 0..m {
        let mut solution = Vec::with_capacity(taken.len());
        for (n, &i) in taken.iter().enumerate() {
            let row = &factor[i * k..][..=n];
            let rest = moments[i * m + target] * inverse[i] - dot(row, &solution);
            solution.push(rest / row[n]);
        }
        for (n, &i) in taken.iter().enumerate().rev() {
            solution[n] /= factor[i * k + n];
            let value = solution[n];
            for (entry, before) in factor[i * k..][..n].iter().zip(&mut solution) {
                *before -= entry * value;
            }
            result[i * m + target] = value * inverse[i];
        }
    }
    result
}

/// Of as many values as the shorter one has.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Stream;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn residuals_are_orthogonal_to_the_features(
            rows in 1_usize..400, k in 1_usize..9, m in 0_usize..5, seed: u64,
        ) {
            let mut stream = Stream::new(seed, 0);
            let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| stream.uniform() - 0.5).collect() };
            let (features, targets) = (draw(rows * k), draw(rows * m));
            let weights = regression(&features, [rows, k], &targets, m).unwrap();
            for target in 0..m {
                let column: Vec<f64> = (0..k).map(|j| weights[j * m + target]).collect();
                let size: f64 = 1.0 + column.iter().map(|weight| weight.abs()).sum::<f64>();
                for j in 0..k {
                    let product: f64 = (0..rows)
                        .map(|i| (i, &features[i * k..][..k]))
                        .map(|(i, row)| row[j] * (targets[i * m + target] - dot(row, &column)))
                        .sum();
                    // A column that is left out may keep 1e-5 of its length.
                    prop_assert!(product.abs() < 1e-5 * size * rows as f64, "{product} of {size}");
                }
            }
        }
    }

    #[test]
    fn a_column_twice_is_taken_once() {
        let features: Vec<f64> = (0..100)
            .flat_map(|i| [f64::from(i), 1.0, f64::from(-2 * i)])
            .collect();
        let targets: Vec<f64> = (0..100).map(|i| f64::from(3 * i + 4)).collect();
        let weights = regression(&features, [100, 3], &targets, 1).unwrap();
        assert!((weights[0] - 3.0).abs() < 1e-12 && (weights[1] - 4.0).abs() < 1e-10);
        assert_eq!(weights[2], 0.0);
    }
}
