//! Cycles in complete matrices, and a route through three books.

#![allow(missing_docs)] // what criterion_group! makes has none

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};
use labkit_core::arbitrage::{best_cycle, find_cycle, triangular_route, LegInput};
use std::hint::black_box;

/// Uniform numbers in [0, 1) from a linear congruential generator.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Complete rates, `noise` around consistent ones less a spread of 0.1%.
fn market(n: usize, noise: f64) -> Vec<f64> {
    let mut uniform = Uniform(n as u64);
    let value: Vec<f64> = (0..n).map(|_| (4.0 * uniform.next()).exp()).collect();
    (0..n * n)
        .map(|cell| {
            let (i, j) = (cell / n, cell % n);
            value[i] / value[j] * (0.999 + noise * (2.0 * uniform.next() - 1.0))
        })
        .collect()
}

fn side(mid: f64, tick: f64, levels: usize) -> Vec<f64> {
    let mut uniform = Uniform(levels as u64);
    (0..levels)
        .flat_map(|row| [mid + tick * row as f64, 0.1 + uniform.next()])
        .collect()
}

fn cycles(c: &mut Criterion) {
    let mut group = c.benchmark_group("find_cycle");
    for n in [50, 200, 500] {
        for (name, noise) in [("cycle", 4e-3), ("none", 1e-4)] {
            let rates = market(n, noise);
            group.bench_function(BenchmarkId::new(name, n), |b| {
                b.iter(|| find_cycle(black_box(&rates), n, 1e-12));
            });
        }
    }
    group.finish();
    let mut group = c.benchmark_group("best_cycle");
    for (n, length) in [(200, 3), (500, 3), (50, 5)] {
        let rates = market(n, 4e-3);
        group.bench_function(BenchmarkId::new(length.to_string(), n), |b| {
            b.iter(|| best_cycle(black_box(&rates), n, length));
        });
    }
    group.finish();
}

fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("triangular_route");
    for (name, lot) in [("continuous", 0.0), ("lots", 1e-3)] {
        let books = [
            side(100.0, 1e-3, 50),
            side(0.5, 1e-5, 50),
            side(50.5, -1e-3, 50),
        ];
        let leg = |k: usize| LegInput {
            levels: &books[k],
            buy: k < 2,
            fee: 5e-4,
            lot,
        };
        let legs = [leg(0), leg(1), leg(2)];
        group.bench_function(name, |b| {
            b.iter(|| triangular_route(black_box(&legs), f64::INFINITY));
        });
    }
    group.finish();
}

criterion_group!(benches, cycles, routes);
criterion_main!(benches);
