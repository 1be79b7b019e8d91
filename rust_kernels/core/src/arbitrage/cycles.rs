//! The simple cycle of bounded length with the largest product, by branch and bound.
//!
//! A cycle is written from its smallest node on and its product is taken from left to right. Among
//! equal products the shorter cycle wins, then the lexicographically smaller one.
//!
//! Bound: with `reach[m][v]` the largest product of a walk of at most m trades from v to the start,
//! a path of product P that ends in v with m trades left cannot be completed to more than
//! `P * reach[m][v]`. Walks include paths, so nothing better is cut off. Bounds are compared with
//! a margin of 1e-12, far more than they can be off by rounding.

use super::{check_rates, max_product, rough_prices};
use crate::Error;

/// What rounding may take from a bound, relatively; ample for cycles of a thousand trades.
const SLACK: f64 = 1e-12;

/// The best cycle so far. No nodes and product 0 stand for none.
#[derive(Debug, Clone, Default, PartialEq)]
struct Best {
    nodes: Vec<usize>,
    product: f64,
}

impl Best {
    /// Below this no bound is worth following.
    fn cut(&self) -> f64 {
        self.product * (1.0 - SLACK)
    }

    #[inline(always)]
    fn offer(&mut self, product: f64, nodes: &[usize]) {
        let order = (nodes.len(), nodes);
        let wins = product > self.product
            || (product == self.product
                && product > 0.0
                && order < (self.nodes.len(), &self.nodes));
        if wins {
            self.product = product;
            self.nodes = nodes.to_vec();
        }
    }
}

/// The simple cycle of 2 to `max_length` nodes with the largest product, and that product.
///
/// Where the matrix has no cycle, no nodes and 0.
pub fn best_cycle(rates: &[f64], n: usize, max_length: usize) -> Result<(Vec<usize>, f64), Error> {
    if max_length < 2 {
        return Err(Error::new(
            "max_length",
            format!("must be at least 2, got {max_length}"),
        ));
    }
    let length = max_length.min(n);
    let best = pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            check_rates(rates, n)?;
            check_range(rates, n, length)?;
            let columns = transposed(rates, n);
            let mut best = pairs(rates, &columns, n);
            if length >= 3 {
                triangles(rates, &columns, n, &mut best);
            }
            Ok(best)
        },
    );
    let mut best = best?;
    if length >= 4 {
        for start in 0..n {
            Search::new(rates, n, length, start).run(&mut best);
        }
    }
    Ok((best.nodes, best.product))
}

/// Products of `length` rates must stay within float64.
#[inline(always)]
fn check_range(rates: &[f64], n: usize, length: usize) -> Result<(), Error> {
    let (mut low, mut high) = (1.0_f64, 1.0_f64);
    for i in 0..n {
        let row = &rates[i * n..(i + 1) * n];
        for part in [&row[..i], &row[i + 1..]] {
            for &rate in part {
                high = if rate > high { rate } else { high };
                low = if (rate > 0.0) & (rate < low) {
                    rate
                } else {
                    low
                };
            }
        }
    }
    let limit = 300.0 / length.max(1) as f64;
    if high.log10() <= limit && low.log10() >= -limit {
        return Ok(());
    }
    Err(Error::new(
        "rates",
        format!("go from {low:e} to {high:e}: products of {length} leave the range of float64"),
    ))
}

/// The transposed matrix, in tiles that stay in the cache.
#[inline(always)]
fn transposed(rates: &[f64], n: usize) -> Vec<f64> {
    const TILE: usize = 16;
    let mut columns = vec![0.0; n * n];
    for top in (0..n).step_by(TILE) {
        for left in (0..n).step_by(TILE) {
            for j in left..n.min(left + TILE) {
                for i in top..n.min(top + TILE) {
                    columns[j * n + i] = rates[i * n + j];
                }
            }
        }
    }
    columns
}

#[inline(always)]
fn pairs(rates: &[f64], columns: &[f64], n: usize) -> Best {
    let mut best = Best::default();
    for i in 0..n {
        let later = i * n + i + 1..(i + 1) * n;
        let (out, back) = (&rates[later.clone()], &columns[later]);
        let product = max_product(out, back);
        if product > best.product {
            if let Some(k) = (0..out.len()).find(|&k| out[k] * back[k] == product) {
                best.offer(product, &[i, i + 1 + k]);
            }
        }
    }
    best
}

/// Triangles `i, j, k` with i the smallest node.
///
/// For any positive prices p, `rates[j, k] * rates[k, i] <= out[j] * into[i]` with
/// `out[j] = max_k rates[j, k] p[k]` and `into[i] = max_k rates[k, i] / p[k]`. With p close to the
/// value of each node the bound is close, and few pairs (i, j) have to be looked at.
#[inline(always)]
fn triangles(rates: &[f64], columns: &[f64], n: usize, best: &mut Best) {
    let price = mean_prices(rates, n);
    let inverse: Vec<f64> = price.iter().map(|p| 1.0 / p).collect();
    let out: Vec<f64> = (0..n).map(|j| max_off(rates, n, j, &price)).collect();
    let into: Vec<f64> = (0..n).map(|i| max_off(columns, n, i, &inverse)).collect();

    for (a, &best_out) in out.iter().enumerate() {
        seed(rates, columns, n, a, &price, best_out, best);
    }
    for i in 0..n {
        let from_i = &rates[i * n..(i + 1) * n];
        if max_product(&from_i[i + 1..], &out[i + 1..]) * into[i] < best.cut() {
            continue;
        }
        let to_i = &columns[i * n..(i + 1) * n];
        for j in i + 1..n {
            let first = from_i[j];
            if first * out[j] * into[i] < best.cut() {
                continue;
            }
            let from_j = &rates[j * n..(j + 1) * n];
            for (low, high) in [(i + 1, j), (j + 1, n)] {
                let product = max_triple(first, &from_j[low..high], &to_i[low..high]);
                if product < best.product || product == 0.0 {
                    continue;
                }
                if let Some(k) = (low..high).find(|&k| first * from_j[k] * to_i[k] == product) {
                    best.offer(product, &[i, j, k]);
                }
            }
        }
    }
}

/// Value of each node in the rates' own terms: the mean of what its markets say.
#[inline(always)]
fn mean_prices(rates: &[f64], n: usize) -> Vec<f64> {
    let rough = rough_prices(rates, n);
    (0..n)
        .map(|i| {
            let row = &rates[i * n..(i + 1) * n];
            let (mut sum, mut markets) = (0.0, 0.0);
            for j in (0..n).filter(|&j| j != i) {
                sum += row[j] * rough[j];
                markets += f64::from(u8::from(row[j] > 0.0));
            }
            let mean = sum / markets;
            if (1e-50..1e50).contains(&mean) {
                mean
            } else {
                rough[i]
            }
        })
        .collect()
}

/// Largest `matrix[i, k] * weight[k]` off the diagonal.
#[inline(always)]
fn max_off(matrix: &[f64], n: usize, i: usize, weight: &[f64]) -> f64 {
    let row = &matrix[i * n..(i + 1) * n];
    max_product(&row[..i], &weight[..i]).max(max_product(&row[i + 1..], &weight[i + 1..]))
}

/// Offers the best triangle over the best trade out of node a: a good cut from the beginning.
#[inline(always)]
fn seed(
    rates: &[f64],
    columns: &[f64],
    n: usize,
    a: usize,
    price: &[f64],
    best_out: f64,
    best: &mut Best,
) {
    let from_a = &rates[a * n..(a + 1) * n];
    let Some(b) = (0..n).find(|&b| b != a && from_a[b] > 0.0 && from_a[b] * price[b] == best_out)
    else {
        return;
    };
    let (from_b, to_a) = (&rates[b * n..(b + 1) * n], &columns[a * n..(a + 1) * n]);
    let (low, high) = (a.min(b), a.max(b));
    for part in [0..low, low + 1..high, high + 1..n] {
        let top = max_product(&from_b[part.clone()], &to_a[part.clone()]);
        if top == 0.0 || top * from_a[b] < best.cut() {
            continue;
        }
        for c in part.filter(|&c| from_b[c] * to_a[c] == top) {
            let mut nodes = [a, b, c];
            let first = if a < b && a < c {
                0
            } else {
                1 + usize::from(c < b)
            };
            nodes.rotate_left(first);
            let [x, y, z] = nodes;
            let product = rates[x * n + y] * rates[y * n + z] * rates[z * n + x];
            best.offer(product, &nodes);
        }
    }
}

/// Largest `first * a[k] * b[k]`, multiplied in this order; 0 for none.
#[inline(always)]
fn max_triple(first: f64, a: &[f64], b: &[f64]) -> f64 {
    let (wide_a, wide_b) = (a.chunks_exact(32), b.chunks_exact(32));
    let (rest_a, rest_b) = (wide_a.remainder(), wide_b.remainder());
    let mut best = [0.0; 32];
    for (x, y) in wide_a.zip(wide_b) {
        for ((m, x), y) in best.iter_mut().zip(x).zip(y) {
            let product = first * x * y;
            *m = if product > *m { product } else { *m };
        }
    }
    let rest = rest_a.iter().zip(rest_b).map(|(x, y)| first * x * y);
    best.into_iter()
        .chain(rest)
        .fold(0.0, |m, v| if v > m { v } else { m })
}

/// Depth-first search of the cycles whose smallest node is `start`.
struct Search<'a> {
    rates: &'a [f64],
    n: usize,
    length: usize,
    start: usize,
    /// `reach[m][v]` for m trades left, from every node v after the start.
    reach: Vec<Vec<f64>>,
    path: Vec<usize>,
    used: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(rates: &'a [f64], n: usize, length: usize, start: usize) -> Self {
        let mut reach = vec![vec![0.0; n]; length];
        for v in start + 1..n {
            reach[1][v] = rates[v * n + start];
        }
        for m in 2..length {
            for v in start + 1..n {
                let through = (start + 1..n)
                    .filter(|&u| u != v)
                    .map(|u| rates[v * n + u] * reach[m - 1][u])
                    .fold(0.0, f64::max);
                reach[m][v] = through.max(reach[m - 1][v]);
            }
        }
        let used = vec![false; n];
        Self {
            rates,
            n,
            length,
            start,
            reach,
            path: vec![start],
            used,
        }
    }

    fn run(mut self, best: &mut Best) {
        self.extend(1.0, best);
    }

    fn extend(&mut self, product: f64, best: &mut Best) {
        let Some(&last) = self.path.last() else {
            return;
        };
        let row = &self.rates[last * self.n..(last + 1) * self.n];
        if self.path.len() > 1 && row[self.start] > 0.0 {
            best.offer(product * row[self.start], &self.path);
        }
        let left = self.length - self.path.len();
        if left == 0 {
            return;
        }
        for (v, &rate) in row.iter().enumerate().skip(self.start + 1) {
            let bound = product * rate * self.reach[left][v];
            if self.used[v] || bound == 0.0 || bound < best.cut() {
                continue;
            }
            self.used[v] = true;
            self.path.push(v);
            self.extend(product * rate, best);
            self.path.pop();
            self.used[v] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every simple cycle, one by one.
    fn exhaustive(rates: &[f64], n: usize, length: usize) -> Best {
        fn grow(rates: &[f64], n: usize, length: usize, path: &mut Vec<usize>, best: &mut Best) {
            let k = path.len();
            if k > 1 {
                let product = (0..k)
                    .map(|a| rates[path[a] * n + path[(a + 1) % k]])
                    .product();
                best.offer(product, path);
            }
            if k < length {
                for v in path[0] + 1..n {
                    if !path.contains(&v) {
                        path.push(v);
                        grow(rates, n, length, path, best);
                        path.pop();
                    }
                }
            }
        }
        let mut best = Best::default();
        for start in 0..n {
            grow(rates, n, length, &mut vec![start], &mut best);
        }
        best
    }

    #[test]
    fn sedgewick_wayne_table() {
        let rates = [
            1.0, 0.741, 0.657, 1.061, 1.005, 1.349, 1.0, 0.888, 1.433, 1.366, 1.521, 1.126, 1.0,
            1.614, 1.538, 0.942, 0.698, 0.619, 1.0, 0.953, 0.995, 0.732, 0.650, 1.049, 1.0,
        ];
        let (nodes, product) = best_cycle(&rates, 5, 5).unwrap();
        assert_eq!(nodes, [0, 1, 4]);
        assert!((product - 1.00714497).abs() < 1e-12);
    }

    #[test]
    fn no_market_no_cycle() {
        assert_eq!(best_cycle(&[0.0; 9], 3, 3), Ok((vec![], 0.0)));
    }

    #[test]
    fn ties_go_to_the_shorter_then_the_smaller_cycle() {
        assert_eq!(best_cycle(&[1.0; 36], 6, 6), Ok((vec![0, 1], 1.0)));
    }

    proptest! {
        #[test]
        fn equals_enumeration(
            n in 2_usize..8,
            length in 2_usize..8,
            cells in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.5_f64..2.0], 49),
        ) {
            let rates = &cells[..n * n];
            let expected = exhaustive(rates, n, length.min(n));
            let found = best_cycle(rates, n, length).unwrap();
            prop_assert_eq!(found, (expected.nodes, expected.product));
        }

        #[test]
        fn triangles_equal_enumeration_on_wide_matrices(
            cells in prop::collection::vec(0.9_f64..1.1, 70 * 70),
        ) {
            let expected = exhaustive(&cells, 70, 3);
            let found = best_cycle(&cells, 70, 3).unwrap();
            prop_assert_eq!(found, (expected.nodes, expected.product));
        }
    }
}
