//! Least squares of several targets on the same, possibly collinear, regressors.

use super::threads;
use crate::hawkes::shown;
use crate::Error;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use rayon::ThreadPool;

/// Largest size of a value: squares and their sums stay finite.
const LARGEST: f64 = 1e100;

/// Share of its square below which a column is taken to depend on the others.
const DROPPED: f64 = 1e-10;

/// Of the largest pivot: near ties are decided by the order of columns, not by rounding.
const NEAR: f64 = 0.9;

/// Rows of one task. Products are summed task after task, on any number of threads.
pub(super) const CHUNK: usize = 1 << 12;

/// Rows that are laid out by columns at once.
const BLOCK: usize = 64;

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
    let pool = threads(rows.saturating_mul(k * (k + m)) >= PARALLEL && rows > CHUNK);
    let table = Table {
        features,
        k,
        targets,
        m,
        chosen: None,
    };
    match table.products(pool.as_ref()) {
        Some((gram, moments)) => Ok(solve(&gram, k, &moments, m)),
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
    values
        .iter()
        .fold(true, |good, value| good & (value.abs() <= LARGEST))
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

/// Regressors and targets, row by row, and which rows count.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub features: &'a [f64],
    pub k: usize,
    pub targets: &'a [f64],
    pub m: usize,
    /// Rows with a positive value here, all where there is none.
    pub chosen: Option<&'a [f64]>,
}

impl Table<'_> {
    /// Products of the columns with each other (k, k) and with the targets (k, m), or nothing where
    /// a feature is not bounded.
    pub(super) fn products(&self, pool: Option<&ThreadPool>) -> Option<(Vec<f64>, Vec<f64>)> {
        let rows = self.features.len() / self.k;
        let task = |first: usize| {
            let last = rows.min(first + CHUNK);
            pulp::Arch::new().dispatch(Table {
                features: &self.features[first * self.k..last * self.k],
                targets: &self.targets[first * self.m..last * self.m],
                chosen: self.chosen.map(|values| &values[first..last]),
                ..*self
            })
        };
        let mut total = vec![0.0; TILE * TILE * self.tiles().count()];
        let mut add = |sums: Option<Vec<f64>>| {
            let pairs = total.iter_mut().zip(sums?);
            pairs.for_each(|(total, sum)| *total += sum);
            Some(())
        };
        match pool {
            None => (0..rows)
                .step_by(CHUNK)
                .try_for_each(|first| add(task(first)))?,
            Some(pool) => {
                let parts: Vec<_> = pool.install(|| {
                    let chunks = (0..rows.div_ceil(CHUNK)).into_par_iter();
                    chunks.map(|chunk| task(chunk * CHUNK)).collect()
                });
                parts.into_iter().try_for_each(add)?;
            }
        }
        Some(self.unpacked(&total))
    }

    /// Pairs of groups of columns, targets after features, whose products are wanted.
    fn tiles(&self) -> impl Iterator<Item = (usize, usize)> {
        let (k, groups) = (self.k, (self.k + self.m).div_ceil(TILE));
        (0..groups).flat_map(move |a| (0..=a).map(move |b| (a, b)).filter(move |t| TILE * t.1 < k))
    }

    fn unpacked(&self, total: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (k, m) = (self.k, self.m);
        let (mut gram, mut moments) = (vec![0.0; k * k], vec![0.0; k * m]);
        for ((a, b), sums) in self.tiles().zip(total.chunks_exact(TILE * TILE)) {
            for (at, &sum) in sums.iter().enumerate() {
                let (row, column) = (TILE * a + at / TILE, TILE * b + at % TILE);
                if column >= k || row >= k + m {
                    continue;
                }
                match row.checked_sub(k) {
                    Some(target) => moments[column * m + target] = sum,
                    None => {
                        gram[row * k + column] = sum;
                        gram[column * k + row] = sum;
                    }
                }
            }
        }
        (gram, moments)
    }
}

impl WithSimd for Table<'_> {
    type Output = Option<Vec<f64>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<Vec<f64>> {
        let tiles: Vec<(usize, usize)> = self.tiles().collect();
        let width = (self.k + self.m).next_multiple_of(TILE);
        let mut sums = vec![[[simd.splat_f64s(0.0); TILE]; TILE]; tiles.len()];
        let mut columns = vec![[0.0; BLOCK]; width];
        let mut used = 0;
        let blocks = self.features.chunks(BLOCK * self.k);
        for (block, features) in blocks.enumerate() {
            if !bounded(features) {
                return None;
            }
            for (row, features) in (block * BLOCK..).zip(features.chunks_exact(self.k)) {
                // Written in any case: a row that does not count is overwritten.
                let (feature_columns, target_columns) = columns.split_at_mut(self.k);
                for (column, &value) in feature_columns.iter_mut().zip(features) {
                    column[used] = value;
                }
                let targets = &self.targets[row * self.m..][..self.m];
                for (column, &value) in target_columns.iter_mut().zip(targets) {
                    column[used] = value;
                }
                used += self
                    .chosen
                    .map_or(1, |values| usize::from(values[row] > 0.0));
                if used == BLOCK {
                    multiply(simd, &columns, &tiles, &mut sums);
                    used = 0;
                }
            }
        }
        for column in &mut columns {
            column[used..].fill(0.0);
        }
        multiply(simd, &columns, &tiles, &mut sums);
        let sums = sums.into_iter().flatten().flatten();
        Some(sums.map(|sum| simd.reduce_sum_f64s(sum)).collect())
    }
}

/// Adds the products of columns.
#[inline(always)]
fn multiply<S: Simd>(
    simd: S,
    columns: &[[f64; BLOCK]],
    tiles: &[(usize, usize)],
    sums: &mut [[[S::f64s; TILE]; TILE]],
) {
    let group = |at: usize| -> [&[S::f64s]; TILE] {
        std::array::from_fn(|n| &S::as_simd_f64s(&columns[TILE * at + n]).0[..BLOCK / S::F64_LANES])
    };
    for (&(a, b), sums) in tiles.iter().zip(sums) {
        let (rows, columns) = (group(a), group(b));
        let mut near = *sums;
        for at in 0..BLOCK / S::F64_LANES {
            let others = columns.map(|column| column[at]);
            for (sums, row) in near.iter_mut().zip(rows) {
                for (sum, other) in sums.iter_mut().zip(others) {
                    *sum = simd.mul_add_e_f64s(row[at], other, *sum);
                }
            }
        }
        *sums = near;
    }
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
