//! Searches for sparse mean-reverting portfolios.

#![allow(missing_docs)] // what criterion_group! makes has none

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};
use labkit_core::meanrev::{best_subset, greedy_path, swap_subset};
use std::hint::black_box;

/// Uniform numbers in [-1, 1) from a linear congruential generator.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// `B B' / n` of a random square B, and a ridge.
fn product(n: usize, seed: u64, ridge: f64) -> Vec<f64> {
    let mut uniform = Uniform(seed);
    let b: Vec<f64> = (0..n * n).map(|_| uniform.next()).collect();
    let row = |i: usize| &b[i * n..(i + 1) * n];
    (0..n * n)
        .map(|at| {
            let (i, j) = (at / n, at % n);
            let sum: f64 = row(i).iter().zip(row(j)).map(|(x, y)| x * y).sum();
            sum / n as f64 + if i == j { ridge } else { 0.0 }
        })
        .collect()
}

fn searches(c: &mut Criterion) {
    let mut group = c.benchmark_group("greedy_path");
    for n in [10, 50, 200] {
        let (m, gamma) = (product(n, 1, 0.0), product(n, 2, 0.1));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| greedy_path(black_box(&m), &gamma, n));
        });
    }
    group.finish();
    let mut group = c.benchmark_group("best_subset");
    for (n, k) in [(20, 5), (30, 6), (60, 4)] {
        let (m, gamma) = (product(n, 1, 0.0), product(n, 2, 0.1));
        group.bench_function(BenchmarkId::new(k.to_string(), n), |b| {
            b.iter(|| best_subset(black_box(&m), &gamma, n, k));
        });
    }
    group.finish();
    let mut group = c.benchmark_group("swap_subset");
    for (n, k) in [(50, 10_i64), (200, 20)] {
        let (m, gamma) = (product(n, 1, 0.0), product(n, 2, 0.1));
        let start: Vec<i64> = (0..k).collect();
        group.bench_function(BenchmarkId::new(k.to_string(), n), |b| {
            b.iter(|| swap_subset(black_box(&m), &gamma, n, &start));
        });
    }
    group.finish();
}

criterion_group!(benches, searches);
criterion_main!(benches);
