//! Sums over returns, and the largest fall of a path.

use crate::Error;
use pulp::{Simd, WithSimd};

/// Values summed together before they are added to the rest: they stay in the nearest cache while
/// their mean is taken and then subtracted, and their sums lose no digits to a far mean.
const BLOCK: usize = 1024;

/// Levels that are looked at together for whether they matter.
const CHUNK: usize = 32;

/// Sums over returns from which their ratios follow.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// How many returns there are.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Sums of the second, third and fourth power of the distance from the mean.
    pub powers: [f64; 3],
    /// Sum of the squares of `min(r - target, 0)`.
    pub downside: f64,
    /// Returns above zero.
    pub positive: usize,
    /// Returns below zero.
    pub negative: usize,
}

impl Moments {
    /// Adds returns, at most `BLOCK` of them for the sake of rounding.
    ///
    /// Without `ALL` only their mean and squares are taken, the other sums stay 0.
    pub(crate) fn add<const ALL: bool>(&mut self, values: &[f64], target: f64) {
        if !values.is_empty() {
            let block = pulp::Arch::new().dispatch(Summing::<ALL> { values, target });
            self.merge(&block);
        }
    }

    /// Pébay (2008), equations 3.1 for the powers 2, 3 and 4 of two sets.
    fn merge(&mut self, other: &Self) {
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.n as f64, other.n as f64);
        let n = a + b;
        let step = (other.mean - self.mean) / n;
        let ([a2, a3, a4], [b2, b3, b4]) = (self.powers, other.powers);
        let square = a * b * step * step;
        self.powers = [
            a2 + b2 + square * n,
            a3 + b3 + square * step * n * (a - b) + 3.0 * step * (a * b2 - b * a2),
            a4 + b4
                + square * step * step * n * (a * a - a * b + b * b)
                + 6.0 * step * step * (a * a * b2 + b * b * a2)
                + 4.0 * step * (a * b3 - b * a3),
        ];
        self.mean += b * step;
        self.n += other.n;
        self.downside += other.downside;
        self.positive += other.positive;
        self.negative += other.negative;
    }

    /// Of the sample, by n - 1.
    pub(crate) fn variance(&self) -> f64 {
        self.powers[0] / (self.n as f64 - 1.0)
    }
}

/// The sums over one block.
struct Summing<'a, const ALL: bool> {
    values: &'a [f64],
    target: f64,
}

impl<const ALL: bool> WithSimd for Summing<'_, ALL> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Moments {
        let Self { values, target } = self;
        let n = values.len() as f64;
        let first = values[0];
        // From the first value: equal returns have no spread, to the last digit.
        let shift = simd.splat_f64s(first);
        let level = |x| [simd.sub_f64s(x, shift)];
        let [sum] = total::<S, 1, 8>(simd, values, level, |x| [x - first]);
        let away = sum / n;
        let (zero, mean) = (simd.splat_f64s(0.0), simd.splat_f64s(away));
        if !ALL {
            let square = |x| {
                let d = simd.sub_f64s(simd.sub_f64s(x, shift), mean);
                [simd.mul_f64s(d, d)]
            };
            let [squares] = total::<S, 1, 8>(simd, values, square, |x| {
                let d = x - first - away;
                [d * d]
            });
            return Moments {
                n: values.len(),
                mean: first + away,
                powers: [squares, 0.0, 0.0],
                ..Moments::default()
            };
        }
        let goal = simd.splat_f64s(target);
        let powers = total::<S, 4, 2>(
            simd,
            values,
            |x| {
                let d = simd.sub_f64s(simd.sub_f64s(x, shift), mean);
                let square = simd.mul_f64s(d, d);
                let below = simd.min_f64s(simd.sub_f64s(x, goal), zero);
                [
                    square,
                    simd.mul_f64s(square, d),
                    simd.mul_f64s(square, square),
                    simd.mul_f64s(below, below),
                ]
            },
            |x| {
                let d = x - first - away;
                let below = (x - target).min(0.0);
                [d * d, d * d * d, d * d * (d * d), below * below]
            },
        );
        Moments {
            n: values.len(),
            mean: first + away,
            powers: [powers[0], powers[1], powers[2]],
            downside: powers[3],
            positive: values.iter().filter(|&&x| x > 0.0).count(),
            negative: values.iter().filter(|&&x| x < 0.0).count(),
        }
    }
}

/// Sums of K functions of each value, in U vectors of partial sums.
///
/// An addition takes about four cycles, so that K U of some ten keep the machine busy and still fit
/// its registers.
#[inline(always)]
fn total<S: Simd, const K: usize, const U: usize>(
    simd: S,
    values: &[f64],
    vector: impl Fn(S::f64s) -> [S::f64s; K],
    scalar: impl Fn(f64) -> [f64; K],
) -> [f64; K] {
    let (head, tail) = S::as_simd_f64s(values);
    let (groups, rest) = pulp::as_arrays::<U, _>(head);
    let mut sums = [[simd.splat_f64s(0.0); K]; U];
    let add = |sum: &mut [S::f64s; K], x: S::f64s| {
        let terms = vector(x);
        for k in 0..K {
            sum[k] = simd.add_f64s(sum[k], terms[k]);
        }
    };
    for group in groups {
        for part in 0..U {
            add(&mut sums[part], group[part]);
        }
    }
    for &x in rest {
        add(&mut sums[0], x);
    }
    let mut result = [0.0; K];
    for k in 0..K {
        let mut lanes = sums[0][k];
        for part in &sums[1..] {
            lanes = simd.add_f64s(lanes, part[k]);
        }
        result[k] = simd.reduce_sum_f64s(lanes);
    }
    for &x in tail {
        let terms = scalar(x);
        for k in 0..K {
            result[k] += terms[k];
        }
    }
    result
}

/// Whether all values pass, without a branch for each.
pub(crate) fn all(values: &[f64], pass: impl Fn(f64) -> bool) -> bool {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || values.chunks(CHUNK).all(|chunk| none(chunk, |x| !pass(x))),
    )
}

/// Whether no value is one that `matters`.
#[inline(always)]
pub(crate) fn none(values: &[f64], matters: impl Fn(f64) -> bool) -> bool {
    values.iter().map(|&x| u64::from(matters(x))).sum::<u64>() == 0
}

fn not_finite(name: &str, values: &[f64]) -> Option<Error> {
    let place = values.iter().position(|value| !value.is_finite())?;
    let problem = format!("must be finite, got {}", values[place]);
    Some(Error::new(format!("{name}[{place}]"), problem))
}

fn at_least_one(name: &str, values: &[f64]) -> Result<(), Error> {
    if values.is_empty() {
        return Err(Error::new(name, "must have at least 1 values, got 0"));
    }
    Ok(())
}

/// Sums over `returns`; below `target` a return counts as downside.
pub fn return_moments(returns: &[f64], target: f64) -> Result<Moments, Error> {
    at_least_one("returns", returns)?;
    let mut moments = Moments::default();
    for block in returns.chunks(BLOCK) {
        moments.add::<true>(block, target);
    }
    let sums = moments.powers.iter().sum::<f64>() + moments.downside;
    let possible = sums.is_finite() && moments.mean.is_finite();
    if possible && target.is_finite() {
        return Ok(moments);
    }
    // Bad values are named first, as in the reference.
    Err(not_finite("returns", returns).unwrap_or_else(|| {
        if target.is_finite() {
            Error::new("returns", "must be below about 1e75")
        } else {
            Error::new("target", format!("must be finite, got {target}"))
        }
    }))
}

/// The largest fall from a high.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    /// Share of the high that was lost.
    pub depth: f64,
    /// Place of the last time at the high.
    pub peak: usize,
    /// Place of the first time at the low after it.
    pub trough: usize,
    /// Place of the return to the high.
    pub recovery: Option<usize>,
}

/// A path of positive levels, followed from high to high.
#[derive(Debug)]
pub(crate) struct Path {
    n: usize,
    high: f64,
    at: usize,
    /// Without its depth, which is that from `top` to `bottom`.
    fall: Fall,
    top: f64,
    bottom: f64,
    /// Whether the largest fall is that from the present high.
    falling: bool,
    /// Levels that are not below are no deeper fall.
    floor: f64,
}

impl Path {
    pub(crate) fn new(first: f64) -> Self {
        let fall = Fall {
            depth: 0.0,
            peak: 0,
            trough: 0,
            recovery: Some(0),
        };
        Self {
            n: 1,
            high: first,
            at: 0,
            fall,
            top: first,
            bottom: first,
            falling: false,
            floor: first,
        }
    }

    #[inline(always)]
    fn add(&mut self, level: f64) {
        if level >= self.high {
            self.high = level;
            self.at = self.n;
            self.fall.recovery = self.fall.recovery.or(Some(self.n));
            self.falling = false;
            // With room for the rounding of both the quotient and this product.
            self.floor = level * ((self.bottom / self.top) + 4.0 * f64::EPSILON);
        } else if level < self.floor && (self.falling || self.deeper(level)) {
            self.fall.peak = self.at;
            self.fall.trough = self.n;
            self.fall.recovery = None;
            (self.top, self.bottom) = (self.high, level);
            self.falling = true;
            self.floor = level;
        }
        self.n += 1;
    }

    fn deeper(&self, level: f64) -> bool {
        if self.high == self.top {
            return level < self.bottom;
        }
        1.0 - level / self.high > 1.0 - self.bottom / self.top
    }

    /// Adds levels; those that neither reach the high nor the floor are only counted.
    #[inline(always)]
    pub(crate) fn extend(&mut self, levels: &[f64]) {
        for chunk in levels.chunks(CHUNK) {
            let noted = chunk.iter().fold(0, |sum, &x| {
                sum + u64::from((x >= self.high) | (x <= self.floor))
            });
            if noted == 0 {
                self.n += chunk.len();
            } else {
                chunk.iter().for_each(|&level| self.add(level));
            }
        }
    }

    pub(crate) fn fall(&self) -> Fall {
        let depth = 1.0 - self.bottom / self.top;
        Fall { depth, ..self.fall }
    }
}

/// The largest fall of positive levels.
pub fn drawdown(equity: &[f64]) -> Result<Fall, Error> {
    at_least_one("equity", equity)?;
    let positive = |level: f64| level > 0.0 && level < f64::INFINITY;
    if !all(equity, positive) {
        if let Some(error) = not_finite("equity", equity) {
            return Err(error);
        }
        let place = equity.iter().position(|&level| level <= 0.0).unwrap_or(0);
        let problem = format!("must be positive, got {}", equity[place]);
        return Err(Error::new(format!("equity[{place}]"), problem));
    }
    let mut path = Path::new(equity[0]);
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || path.extend(&equity[1..]),
    );
    Ok(path.fall())
}

/// Levels after each return, the first of them before all.
///
/// In four parts side by side, as each product waits for the one before it.
#[inline(always)]
fn compound(returns: &[f64], levels: &mut [f64; BLOCK + 1]) {
    let part = returns.len() / 4;
    let mut products = [1.0; 4];
    for row in 0..part {
        for (k, product) in products.iter_mut().enumerate() {
            *product *= 1.0 + returns[k * part + row];
            levels[1 + k * part + row] = *product;
        }
    }
    let mut level = levels[0];
    if part > 0 {
        for (out, product) in levels[1..].chunks_exact_mut(part).zip(products) {
            out.iter_mut().for_each(|value| *value *= level);
            level *= product;
        }
    }
    for (value, out) in returns[4 * part..].iter().zip(&mut levels[1 + 4 * part..]) {
        level *= 1.0 + value;
        *out = level;
    }
}

/// The growth of a unit of capital by compounding `returns`, and its largest fall.
pub fn return_drawdown(returns: &[f64]) -> Result<(f64, Fall), Error> {
    at_least_one("returns", returns)?;
    let (mut path, mut levels) = (Path::new(1.0), [1.0; BLOCK + 1]);
    let arch = pulp::Arch::new();
    for block in returns.chunks(BLOCK) {
        arch.dispatch(
            #[inline(always)]
            || {
                compound(block, &mut levels);
                path.extend(&levels[1..=block.len()]);
            },
        );
        levels[0] = levels[block.len()];
    }
    let possible = |value: f64| value >= -1.0;
    if levels[0].is_finite() && all(returns, possible) {
        return Ok((levels[0], path.fall()));
    }
    if let Some(error) = not_finite("returns", returns) {
        return Err(error);
    }
    Err(match returns.iter().position(|&value| value < -1.0) {
        Some(place) => {
            let problem = format!("must be at least -1, got {}", returns[place]);
            Error::new(format!("returns[{place}]"), problem)
        }
        None => Error::new("returns", "must compound to a finite growth"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn two_passes(values: &[f64]) -> (f64, [f64; 3]) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let sum = |k: i32| values.iter().map(|x| (x - mean).powi(k)).sum();
        (mean, [sum(2), sum(3), sum(4)])
    }

    #[test]
    fn equal_returns_have_no_spread() {
        let moments = return_moments(&[0.1; 5000], 0.0).unwrap();
        assert_eq!(moments.powers, [0.0; 3]);
        assert_eq!((moments.mean, moments.positive), (0.1, 5000));
    }

    #[test]
    fn a_fall_is_told_from_peak_to_recovery() {
        let fall = drawdown(&[1.0, 2.0, 2.0, 1.0, 1.5, 2.0, 3.0, 2.0]).unwrap();
        let want = Fall {
            depth: 0.5,
            peak: 2,
            trough: 3,
            recovery: Some(5),
        };
        assert_eq!(fall, want);
        assert_eq!(drawdown(&[2.0, 1.0]).unwrap().recovery, None);
    }

    #[test]
    fn a_total_loss_stays_lost() {
        let (growth, fall) = return_drawdown(&[0.5, -1.0, 3.0]).unwrap();
        assert_eq!((growth, fall.depth, fall.recovery), (0.0, 1.0, None));
        assert!(return_drawdown(&[-1.5, -1.5]).is_err());
        assert!(return_drawdown(&[0.0, f64::NAN]).is_err());
    }

    proptest! {
        #[test]
        fn blocks_add_up(values in prop::collection::vec(-1.0_f64..1.0, 1..4000)) {
            let moments = return_moments(&values, 0.1).unwrap();
            let (mean, powers) = two_passes(&values);
            prop_assert!((moments.mean - mean).abs() < 1e-13);
            for (got, want) in moments.powers.iter().zip(powers) {
                prop_assert!((got - want).abs() <= 1e-11 * values.len() as f64);
            }
        }
    }
}
