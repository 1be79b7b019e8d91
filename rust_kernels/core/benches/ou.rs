//! One long series, and many short ones.

#![allow(missing_docs)] // what criterion_group! makes has none

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use labkit_core::ou::ou_fit;
use std::hint::black_box;

/// Rows of an AR(1) with coefficient 0.99 and uniform innovations.
fn series(rows: usize, columns: usize) -> Vec<f64> {
    let (mut state, mut value) = (1_u64, 0.0);
    (0..rows * columns)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            value = 0.99 * value + (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
            value
        })
        .collect()
}

fn fits(c: &mut Criterion) {
    let mut group = c.benchmark_group("ou_fit");
    for (rows, columns) in [(1, 1001), (1, 1_000_001), (10_000, 1_001)] {
        let x = series(rows, columns);
        group.throughput(Throughput::Bytes(8 * x.len() as u64));
        group.bench_function(BenchmarkId::new(rows.to_string(), columns), |b| {
            b.iter(|| ou_fit(black_box(&x), columns, 0.01));
        });
    }
    group.finish();
}

criterion_group!(benches, fits);
criterion_main!(benches);
