//! Cycles of exchange rates, and a triangle of order books traded at its best size.
//!
//! `rates[i, j]` is the amount of `j` got for one unit of `i`, 0 where there is no market. A
//! cycle is worth the product of its rates. Three modules answer three questions:
//!
//! - [`find_cycle`]: is any cycle profitable? Bellman-Ford on products, with prices as the proof
//!   that none is: `rates[i, j] * prices[j] <= (1 + tolerance) * prices[i]` for all i, j.
//! - [`best_cycle`]: which simple cycle of bounded length has the largest product?
//! - [`triangular_route`]: how much to push through three order books, with fees and lots?

mod cycles;
mod negative_cycle;
mod route;

pub use cycles::best_cycle;
pub use negative_cycle::{find_cycle, Answer};
pub use route::{route_outcome, triangular_route, LegInput, Trade};

use crate::Error;

/// Largest `a[k] * b[k]`, 0 for none; products that are NaN do not count.
///
/// Compiled for the widest vectors at hand by the caller. Blocks of two sizes, so that short rows
/// are not left to the remainder.
#[inline(always)]
fn max_product(a: &[f64], b: &[f64]) -> f64 {
    let (wide_a, wide_b) = (a.chunks_exact(32), b.chunks_exact(32));
    let (rest_a, rest_b) = (wide_a.remainder(), wide_b.remainder());
    let (slim_a, slim_b) = (rest_a.chunks_exact(8), rest_b.chunks_exact(8));
    let (last_a, last_b) = (slim_a.remainder(), slim_b.remainder());
    let mut best = [0.0; 32];
    for (x, y) in wide_a.zip(wide_b) {
        raise(&mut best, x, y);
    }
    let mut top = [0.0; 8];
    for eight in best.chunks_exact(8) {
        raise(&mut top, eight, &[1.0; 8]);
    }
    for (x, y) in slim_a.zip(slim_b) {
        raise(&mut top, x, y);
    }
    let last = last_a.iter().zip(last_b).map(|(x, y)| x * y);
    top.into_iter()
        .chain(last)
        .fold(0.0, |m, v| if v > m { v } else { m })
}

#[inline(always)]
fn raise(best: &mut [f64], a: &[f64], b: &[f64]) {
    for ((m, x), y) in best.iter_mut().zip(a).zip(b) {
        let product = x * y;
        *m = if product > *m { product } else { *m };
    }
}

/// Refuses a rate that is negative, infinite or NaN, off the diagonal.
#[inline(always)]
fn check_rates(rates: &[f64], n: usize) -> Result<(), Error> {
    (0..n).try_for_each(|i| check_row(rates, n, i))
}

#[inline(always)]
fn check_row(rates: &[f64], n: usize, i: usize) -> Result<(), Error> {
    let row = &rates[i * n..(i + 1) * n];
    // The bits of finite numbers that are not negative are the integers from 0 to `most`, so the
    // sign of either term below is set for all others. A sign is quicker than a comparison.
    let most = f64::MAX.to_bits() as i64;
    let suspects = row.iter().fold(0, |signs, rate| {
        let bits = rate.to_bits() as i64;
        signs | bits | most.wrapping_sub(bits)
    });
    if suspects >= 0 {
        return Ok(());
    }
    match (0..n).find(|&j| j != i && !(0.0..=f64::MAX).contains(&row[j])) {
        Some(j) => Err(Error::new(
            format!("rates[{i}, {j}]"),
            format!("must be finite and not negative, got {}", row[j]),
        )),
        None => Ok(()),
    }
}

/// Prices that fit the rates roughly: those met first on a walk from the first node.
///
/// Any positive prices are a valid start for what uses them; close ones make it fast.
#[inline(always)]
fn rough_prices(rates: &[f64], n: usize) -> Vec<f64> {
    let fits = |price: f64| (1e-50..1e50).contains(&price);
    // Where the first node trades with all others, its row has all that the walk would find.
    let direct: Vec<f64> = (0..n)
        .map(|j| if j == 0 { 1.0 } else { 1.0 / rates[j] })
        .collect();
    if direct.iter().fold(true, |all, &price| all & fits(price)) {
        return direct;
    }
    let mut prices = vec![0.0; n];
    let mut unseen = n;
    for root in 0..n {
        if prices[root] > 0.0 {
            continue;
        }
        prices[root] = 1.0;
        unseen -= 1;
        let mut queue = std::collections::VecDeque::from([root]);
        while let Some(i) = queue.pop_front() {
            for j in 0..n {
                if unseen == 0 {
                    return prices;
                }
                if prices[j] > 0.0 {
                    continue;
                }
                let there = rates[i * n + j];
                let price = match there > 0.0 {
                    true => prices[i] / there,
                    false => rates[j * n + i] * prices[i],
                };
                if price == 0.0 {
                    continue;
                }
                prices[j] = if fits(price) { price } else { 1.0 };
                unseen -= 1;
                queue.push_back(j);
            }
        }
    }
    prices
}
