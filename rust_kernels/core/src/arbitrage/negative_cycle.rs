//! Bellman-Ford in the multiplicative domain.
//!
//! Let `g = 1 + tolerance`, the haircut of one trade. Row i is relaxed when
//! `max_j rates[i, j] * price[j] > g * price[i]`; then `price[i]` becomes that maximum over g and
//! `next[i]` the j that gave it. Hence `g * price[i] <= rates[i, next[i]] * price[next[i]]` at all
//! times, for prices only rise, and:
//!
//! - Where setting `next[i] = j` closes a cycle of k trades, multiplying these inequalities around
//!   it gives a product above `g^k`. The pointers are walked at each change, so the graph of
//!   pointers has no cycle until the one returned, which is therefore simple. The walk ends in a
//!   node without pointer; where relaxing that one with i next would close a cycle, it is returned
//!   at once, which finds most cycles within a few rows.
//! - Where no row needs relaxing, `rates[i, j] * price[j] <= g * price[i]` for all i, j, in the very
//!   arithmetic in which a reader checks it; multiplied around any cycle of k trades, its product
//!   is at most `g^k`.
//!
//! So exactly one of both is returned. It ends: each relaxation raises a price, and while the
//! pointers have no cycle every price is below a product over a simple path; in exact arithmetic
//! n rounds are enough, as for Bellman-Ford. Rounding costs less than 6 units of 1.1e-16 a trade,
//! so with a tolerance of 1e-14 or more a cycle's product, as computed, is above `1 + tolerance`.
//!
//! Logarithms are not needed, nor renormalisation: a price is a start price times a product over a
//! simple path. Where even that leaves the range of float64 an error says so.

use super::{check_row, max_product, rough_prices};
use crate::Error;

/// Smallest tolerance that rounding cannot blur.
const MIN_TOLERANCE: f64 = 1e-14;

/// The outcome of the search: exactly one of the two.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The nodes of a simple cycle of k trades with a product above `(1 + tolerance)^k`.
    Cycle(Vec<usize>),
    /// Prices that prove that there is none.
    Prices(Vec<f64>),
}

/// A profitable cycle of the `n` x `n` matrix `rates`, or prices that rule it out.
pub fn find_cycle(rates: &[f64], n: usize, tolerance: f64) -> Result<Answer, Error> {
    if !(MIN_TOLERANCE..1.0).contains(&tolerance) {
        return Err(Error::new(
            "tolerance",
            format!("must be at least {MIN_TOLERANCE:e} and below 1, got {tolerance}"),
        ));
    }
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut checked = 0;
            let answer = relax(rates, n, 1.0 + tolerance, &mut checked);
            // A cycle may be found before all rows were read; bad rates are refused all the same.
            (checked..n).try_for_each(|i| check_row(rates, n, i))?;
            answer
        },
    )
}

/// The search; rows below `checked` are known to hold valid rates.
#[inline(always)]
fn relax(rates: &[f64], n: usize, growth: f64, checked: &mut usize) -> Result<Answer, Error> {
    let mut price = rough_prices(rates, n);
    let mut next: Vec<Option<usize>> = vec![None; n];
    loop {
        let mut changed = false;
        for i in 0..n {
            if *checked == i {
                check_row(rates, n, i)?;
                *checked += 1;
            }
            let row = &rates[i * n..(i + 1) * n];
            // At price 0 the diagonal does not count, whatever stands there.
            let old = std::mem::take(&mut price[i]);
            let value = max_product(row, &price);
            if value <= old * growth {
                price[i] = old;
                continue;
            }
            next[i] = (0..n).find(|&j| row[j] * price[j] == value);
            price[i] = (value / growth).max(next_up(old));
            if !(1e-290..1e290).contains(&price[i]) {
                return Err(Error::new(
                    "rates",
                    format!("multiply along paths from node {i} beyond the range of float64"),
                ));
            }
            if let Some(cycle) = closed(rates, n, growth, &price, &next, i) {
                return Ok(Answer::Cycle(cycle));
            }
            changed = true;
        }
        if !changed {
            return Ok(Answer::Prices(price));
        }
    }
}

/// The cycle through i that its new pointer closes, or that the last node on the way would close
/// if it were relaxed with i next; from the smallest node on.
fn closed(
    rates: &[f64],
    n: usize,
    growth: f64,
    price: &[f64],
    next: &[Option<usize>],
    i: usize,
) -> Option<Vec<usize>> {
    let mut cycle = vec![i];
    let mut last = i;
    while let Some(node) = next[last].filter(|&node| node != i) {
        cycle.push(node);
        last = node;
    }
    let back = rates[last * n + i];
    if next[last].is_none() && back * price[i] <= price[last] * growth {
        return None;
    }
    let first = (0..cycle.len()).min_by_key(|&k| cycle[k])?;
    cycle.rotate_left(first);
    Some(cycle)
}

/// The float64 after a positive one.
fn next_up(value: f64) -> f64 {
    f64::from_bits(value.to_bits() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn certified(rates: &[f64], n: usize, tolerance: f64, price: &[f64]) -> bool {
        (0..n).all(|i| {
            (0..n).all(|j| i == j || rates[i * n + j] * price[j] <= (1.0 + tolerance) * price[i])
        })
    }

    #[test]
    fn two_way_profit_is_found() {
        let rates = [1.0, 2.0, 0.51, 1.0];
        assert_eq!(find_cycle(&rates, 2, 1e-12), Ok(Answer::Cycle(vec![0, 1])));
    }

    #[test]
    fn diagonal_is_ignored() {
        let rates = [f64::NAN, 2.0, 0.5, 7.0];
        assert!(matches!(
            find_cycle(&rates, 2, 1e-12),
            Ok(Answer::Prices(_))
        ));
    }

    #[test]
    fn overflow_is_an_error_and_not_an_answer() {
        let mut rates = vec![0.0; 25];
        for i in 0..4 {
            rates[i * 5 + i + 1] = 1e200;
        }
        // Start prices are clamped, so the products along the path show.
        assert!(find_cycle(&rates, 5, 1e-12).is_err());
    }

    proptest! {
        #[test]
        fn answer_is_verified(
            n in 2_usize..7,
            cells in prop::collection::vec(prop_oneof![Just(0.0), 0.3_f64..1.6], 36),
        ) {
            let rates = &cells[..n * n];
            match find_cycle(rates, n, 1e-9).unwrap() {
                Answer::Cycle(nodes) => {
                    let k = nodes.len();
                    let product: f64 =
                        (0..k).map(|a| rates[nodes[a] * n + nodes[(a + 1) % k]]).product();
                    prop_assert!(product > 1.0 + 1e-9);
                    let mut unique = nodes.clone();
                    unique.sort_unstable();
                    unique.dedup();
                    prop_assert_eq!(unique.len(), k);
                }
                Answer::Prices(price) => prop_assert!(certified(rates, n, 1e-9, &price)),
            }
        }
    }
}
