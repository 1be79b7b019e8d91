//! Supports of a given size: the best of all, and the best within one exchange.

use super::greedy::path;
use super::pencil::{Pencil, Shifted};
use crate::Error;

/// Most supports that [`best_subset`] looks through.
pub const MOST_SUPPORTS: u128 = 200_000_000;

/// The support of `cardinality` assets with the least nu, ascending, and its nu.
///
/// nu is the least of all to [`super::TIE`]. Among supports that tie exactly, the
/// lexicographically smallest is returned.
pub fn best_subset(
    predicted: &[f64],
    covariance: &[f64],
    n: usize,
    cardinality: usize,
) -> Result<(Vec<usize>, f64), Error> {
    let pencil = Pencil::new(predicted, covariance, n)?;
    check_cardinality(n, cardinality)?;
    let (mut start, _) = path(&pencil, cardinality)?;
    start.sort_unstable();
    let (start, value) = exchanged(&pencil, start)?;
    let mut search = Search::new(&pencil, start, value);
    search.shift(0);
    search.descend(0)?;
    Ok((search.support, search.best))
}

fn check_cardinality(n: usize, k: usize) -> Result<(), Error> {
    if k < 1 || k > n {
        let bound = if k < 1 {
            "least 1"
        } else {
            &format!("most {n}")
        };
        return Err(Error::new(
            "cardinality",
            format!("must be at {bound}, got {k}"),
        ));
    }
    match choose(n, k) {
        Some(count) if count <= MOST_SUPPORTS => Ok(()),
        count => {
            let count = count.map_or("over 10^38".to_owned(), |count| count.to_string());
            Err(Error::new(
                "cardinality",
                format!("{k} of {n} gives {count} supports, over {MOST_SUPPORTS}"),
            ))
        }
    }
}

/// The number of subsets of size k, `None` where it or a step to it leaves u128.
fn choose(n: usize, k: usize) -> Option<u128> {
    (0..k.min(n - k)).try_fold(1_u128, |count, i| {
        Some(count.checked_mul((n - i) as u128)? / (i + 1) as u128)
    })
}

/// Whether a pivot is above 0; NaN is not.
fn is_positive(pivot: f64) -> bool {
    pivot > 0.0
}

/// Depth-first search in lexicographic order.
///
/// Level d keeps the Schur complement of the d chosen assets in `M - l * Gamma`, for the assets
/// after them. A support is better than l only if its matrix is not positive definite, which the
/// determinant of the last two assets' complement shows.
struct Search<'a> {
    pencil: &'a Pencil,
    size: usize,
    chosen: Vec<usize>,
    /// Row-major, of which the rows and columns after the last chosen asset count.
    levels: Vec<Vec<f64>>,
    /// Levels from here on have no complement: what is chosen is not positive definite.
    broken: usize,
    support: Vec<usize>,
    best: f64,
    /// Whether the support was met by the search itself, so that a tie no longer replaces it.
    met: bool,
}

impl<'a> Search<'a> {
    fn new(pencil: &'a Pencil, support: Vec<usize>, best: f64) -> Self {
        let size = support.len();
        Self {
            pencil,
            size,
            chosen: Vec::with_capacity(size),
            levels: vec![vec![0.0; pencil.n * pencil.n]; size.saturating_sub(1).max(1)],
            broken: usize::MAX,
            support,
            best,
            met: false,
        }
    }

    /// The value below which a support replaces the one at hand.
    fn bound(&self) -> f64 {
        let tie = self.pencil.tie;
        self.best + if self.met { -tie } else { tie }
    }

    /// Makes all levels up to `depth` for the bound of now.
    fn shift(&mut self, depth: usize) {
        let shift = self.bound();
        let Pencil { m, gamma, .. } = self.pencil;
        for ((c, m), gamma) in self.levels[0].iter_mut().zip(m).zip(gamma) {
            *c = m - shift * gamma;
        }
        self.broken = usize::MAX;
        for level in 1..=depth {
            self.eliminate(level);
        }
    }

    /// Makes a level from the one before it and the asset chosen there.
    fn eliminate(&mut self, level: usize) {
        let (n, p) = (self.pencil.n, self.chosen[level - 1]);
        if self.broken < level {
            return;
        }
        self.broken = usize::MAX;
        let (before, after) = self.levels.split_at_mut(level);
        let (from, to) = (&before[level - 1], &mut after[0]);
        let pivot_row = &from[p * n..(p + 1) * n];
        if !is_positive(pivot_row[p]) {
            self.broken = level;
            return;
        }
        for i in p + 1..n {
            let part = pivot_row[i] / pivot_row[p];
            let row = i * n + i..(i + 1) * n;
            for ((x, y), z) in to[row.clone()]
                .iter_mut()
                .zip(&from[row])
                .zip(&pivot_row[i..])
            {
                *x = y - part * z;
            }
        }
    }

    fn descend(&mut self, depth: usize) -> Result<(), Error> {
        let first = self.chosen.last().map_or(0, |last| last + 1);
        let left = self.size - depth;
        if self.is_hopeless(depth, first) {
            return Ok(());
        }
        match left {
            1 => return self.last(depth, first),
            2 => return self.pairs(depth, first),
            _ => {}
        }
        for i in first..=self.pencil.n - left {
            self.chosen.push(i);
            self.eliminate(depth + 1);
            self.descend(depth + 1)?;
            self.chosen.pop();
        }
        Ok(())
    }

    /// Whether even all assets that are left together are not better: nu falls with each asset.
    fn is_hopeless(&self, depth: usize, first: usize) -> bool {
        let (n, left) = (self.pencil.n, self.size - depth);
        let width = n - first;
        let pays = choose(width, left).is_none_or(|count| count > (width as u128).pow(3));
        if !pays || self.broken <= depth {
            return false;
        }
        // The upper triangle is kept, the factorisation reads the lower one.
        let level = &self.levels[depth];
        let mut rest: Vec<f64> = (0..width * width)
            .map(|at| level[(first + at % width) * n + first + at / width])
            .collect();
        super::dense::cholesky(&mut rest, width, 0.0)
    }

    fn last(&mut self, depth: usize, first: usize) -> Result<(), Error> {
        let n = self.pencil.n;
        for i in first..n {
            if self.broken <= depth || !is_positive(self.levels[depth][i * n + i]) {
                self.offer(depth, &[i])?;
            }
        }
        Ok(())
    }

    fn pairs(&mut self, depth: usize, first: usize) -> Result<(), Error> {
        let n = self.pencil.n;
        let mut diagonal = self.diagonal(depth);
        for i in first..n - 1 {
            let mut from = i + 1;
            while let Some(j) = self.suspect(depth, &diagonal, i, from) {
                if self.offer(depth, &[i, j])? {
                    diagonal = self.diagonal(depth);
                }
                from = j + 1;
            }
        }
        Ok(())
    }

    fn diagonal(&self, depth: usize) -> Vec<f64> {
        let n = self.pencil.n;
        (0..n).map(|i| self.levels[depth][i * n + i]).collect()
    }

    /// The first j from `from` on whose pair with i is not positive definite.
    fn suspect(&self, depth: usize, diagonal: &[f64], i: usize, from: usize) -> Option<usize> {
        let n = self.pencil.n;
        if self.broken <= depth || !is_positive(diagonal[i]) {
            return (from < n).then_some(from);
        }
        let row = &self.levels[depth][i * n + from..(i + 1) * n];
        let fails = |(x, d): (&f64, &f64)| !is_positive(diagonal[i] * d - x * x);
        let pairs = || row.iter().zip(&diagonal[from..]);
        // Without a branch, as almost no row has one.
        let any = pairs().fold(false, |any, pair| any | fails(pair));
        match any {
            true => pairs().position(fails).map(|at| from + at),
            false => None,
        }
    }

    /// Takes a support if its nu, computed in full, is below the bound; whether it did.
    fn offer(&mut self, depth: usize, rest: &[usize]) -> Result<bool, Error> {
        let support = [&self.chosen[..], rest].concat();
        let value = self.pencil.least(&support)?;
        if value >= self.bound() {
            return Ok(false);
        }
        self.met = true;
        self.best = value;
        self.support = support;
        self.shift(depth);
        Ok(true)
    }
}

/// The support after exchanges of one member for one outsider, the best first, until none lowers
/// nu; and its nu.
pub fn swap_subset(
    predicted: &[f64],
    covariance: &[f64],
    n: usize,
    support: &[i64],
) -> Result<(Vec<usize>, f64), Error> {
    let pencil = Pencil::new(predicted, covariance, n)?;
    let refused = || {
        Error::new(
            "support",
            format!("must be ascending different numbers below {n}, got {support:?}"),
        )
    };
    let indices: Result<Vec<usize>, _> = support.iter().map(|&i| usize::try_from(i)).collect();
    let members = indices.map_err(|_| refused())?;
    let rises = members.windows(2).all(|pair| pair[0] < pair[1]);
    if !rises || members.last().is_none_or(|&last| last >= n) {
        return Err(refused());
    }
    exchanged(&pencil, members)
}

fn exchanged(pencil: &Pencil, mut members: Vec<usize>) -> Result<(Vec<usize>, f64), Error> {
    let mut value = pencil.least(&members)?;
    while let Some((better, lower)) = best_exchange(pencil, &members, value)? {
        (members, value) = (better, lower);
    }
    Ok((members, value))
}

/// The single exchange that lowers nu most, if one does.
///
/// One factorisation for each member that leaves serves all outsiders that may take its place.
fn best_exchange(
    pencil: &Pencil,
    members: &[usize],
    value: f64,
) -> Result<Option<(Vec<usize>, f64)>, Error> {
    let outside: Vec<usize> = (0..pencil.n).filter(|i| !members.contains(i)).collect();
    let (mut best, mut chosen) = (value, None);
    for old in members {
        let kept: Vec<usize> = members.iter().copied().filter(|i| i != old).collect();
        let mut shifted = Shifted::new(pencil, &kept, best - pencil.tie);
        for &new in &outside {
            if shifted.as_ref().is_some_and(|s| s.corner(new) >= 0.0) {
                continue;
            }
            let mut trial = [&kept[..], &[new]].concat();
            trial.sort_unstable();
            let least = pencil.least(&trial)?;
            if least < best - pencil.tie {
                (best, chosen) = (least, Some(trial));
                shifted = Shifted::new(pencil, &kept, best - pencil.tie);
            }
        }
    }
    Ok(chosen.map(|support| (support, best)))
}

#[cfg(test)]
mod tests {
    use super::super::pencil::tests::random;
    use super::*;
    use proptest::prelude::*;

    /// Every support of k of n assets, in lexicographic order.
    fn supports(n: usize, k: usize) -> Vec<Vec<usize>> {
        fn grow(n: usize, k: usize, chosen: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
            if chosen.len() == k {
                all.push(chosen.clone());
                return;
            }
            for i in chosen.last().map_or(0, |last| last + 1)..n {
                chosen.push(i);
                grow(n, k, chosen, all);
                chosen.pop();
            }
        }
        let mut all = Vec::new();
        grow(n, k, &mut Vec::new(), &mut all);
        all
    }

    #[test]
    fn supports_are_counted() {
        for (n, k) in [(1, 1), (7, 3), (8, 8), (9, 1)] {
            assert_eq!(choose(n, k), Some(supports(n, k).len() as u128));
        }
        assert_eq!(choose(1000, 500), None);
    }

    #[test]
    fn of_ties_the_first_support_is_returned() {
        let matrix = |scale: f64| -> Vec<f64> {
            let diagonal = |at| if at % 10 == 0 { scale } else { 0.0 };
            (0..81).map(diagonal).collect()
        };
        for k in 1..=9 {
            let (support, value) = best_subset(&matrix(0.3), &matrix(1.0), 9, k).unwrap();
            assert_eq!(support, (0..k).collect::<Vec<_>>());
            assert!((value - 0.3).abs() < 1e-15);
        }
    }

    #[test]
    fn the_first_of_equal_supports_is_not_always_the_one_that_greed_finds() {
        // The pair 0, 1 has the eigenvalues 0.2 and 0.8; asset 2 alone has 0.2.
        let m = [0.5, 0.3, 0.0, 0.3, 0.5, 0.0, 0.0, 0.0, 0.2];
        let gamma = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let pencil = Pencil::new(&m, &gamma, 3).unwrap();
        assert_eq!(path(&pencil, 2).unwrap().0, [2, 0]);
        let (support, value) = best_subset(&m, &gamma, 3, 2).unwrap();
        assert_eq!(support, [0, 1]);
        assert!((value - 0.2).abs() < 1e-15);
    }

    #[test]
    fn below_a_choice_that_is_not_definite_no_level_counts() {
        let mut m = vec![0.0; 25];
        for (i, value) in [0.1, 0.5, 0.6, 0.7, 0.8].into_iter().enumerate() {
            m[i * 6] = value;
        }
        let gamma: Vec<f64> = (0..25)
            .map(|at| if at % 6 == 0 { 1.0 } else { 0.0 })
            .collect();
        let pencil = Pencil::new(&m, &gamma, 5).unwrap();
        let mut search = Search::new(&pencil, vec![0, 1, 2, 3], 0.3);
        search.chosen = vec![1, 2];
        search.shift(2);
        assert_eq!(search.suspect(2, &search.diagonal(2), 3, 4), None);
        search.chosen = vec![0, 1];
        search.eliminate(1);
        search.eliminate(2);
        assert_eq!(search.broken, 1);
        assert_eq!(search.suspect(2, &search.diagonal(2), 3, 4), Some(4));
        search.chosen = vec![1, 2];
        search.eliminate(1);
        search.eliminate(2);
        assert_eq!(search.broken, usize::MAX);
        assert_eq!(search.suspect(2, &search.diagonal(2), 3, 4), None);
        assert!(!search.offer(2, &[3, 4]).unwrap());
        search.chosen = vec![0, 1];
        assert!(search.offer(2, &[2, 3]).unwrap());
        assert_eq!((search.best, search.broken), (0.1, usize::MAX));
    }

    #[test]
    fn arguments_out_of_range_are_refused() {
        let one = |n: usize| -> Vec<f64> {
            (0..n * n)
                .map(|at| if at % (n + 1) == 0 { 1.0 } else { 0.0 })
                .collect()
        };
        for (n, k) in [(3, 0), (3, 4), (60, 30), (200, 100)] {
            let error = best_subset(&one(n), &one(n), n, k).unwrap_err();
            assert!(error.to_string().starts_with("cardinality "));
        }
        for support in [&[][..], &[0, 3], &[1, 0], &[1, 1], &[-1, 0]] {
            let error = swap_subset(&one(3), &one(3), 3, support).unwrap_err();
            assert!(error.to_string().starts_with("support "));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn equals_enumeration(
            n in 1_usize..11,
            rank in 1_usize..11,
            cardinality in 1_usize..11,
            entries in prop::collection::vec(-1.0_f64..1.0, 200),
        ) {
            let (pencil, k) = (random(n, rank.min(n), &entries), cardinality.min(n));
            let values: Vec<f64> = supports(n, k)
                .iter()
                .map(|support| pencil.least(support).unwrap())
                .collect();
            let least = values.iter().fold(f64::INFINITY, |x, y| x.min(*y));
            let (support, value) = best_subset(&pencil.m, &pencil.gamma, n, k).unwrap();
            prop_assert!(value <= least + 2.0 * pencil.tie);
            prop_assert_eq!(value, pencil.least(&support).unwrap());
        }

        #[test]
        fn a_branch_is_cut_only_if_all_its_assets_together_are_not_better(
            entries in prop::collection::vec(-1.0_f64..1.0, 512),
            first in 0_usize..2,
            part in 0.5_f64..1.5,
        ) {
            let pencil = random(16, 16, &entries);
            let least = pencil.least(&(first..16).collect::<Vec<_>>()).unwrap();
            let mut search = Search::new(&pencil, (0..8).collect(), least * part);
            search.chosen.push(first);
            search.shift(1);
            prop_assert_eq!(search.is_hopeless(1, first + 1), search.bound() < least);
            search.broken = 1;
            prop_assert!(!search.is_hopeless(1, first + 1));
        }

        #[test]
        fn no_exchange_is_left(
            n in 2_usize..11,
            first in 0_usize..10,
            entries in prop::collection::vec(-1.0_f64..1.0, 200),
        ) {
            let pencil = random(n, n, &entries);
            let start = (first % n) as i64..n as i64;
            let before = pencil.least(&start.clone().map(|i| i as usize).collect::<Vec<_>>());
            let start: Vec<i64> = start.collect();
            let (support, value) = swap_subset(&pencil.m, &pencil.gamma, n, &start).unwrap();
            prop_assert!(value <= before.unwrap() + pencil.tie);
            for trial in supports(n, support.len()) {
                if trial.iter().filter(|i| !support.contains(i)).count() == 1 {
                    prop_assert!(pencil.least(&trial).unwrap() >= value - 2.0 * pencil.tie);
                }
            }
        }
    }
}
