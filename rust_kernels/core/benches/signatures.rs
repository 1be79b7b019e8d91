//! Many short paths and one long one; kernels of pairs and of all pairs.

#![allow(missing_docs)] // what criterion_group! makes has none
#![allow(clippy::expect_used)] // a benchmark may end where its input is wrong

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use labkit_core::signatures::{
    signature, signature_gradient, signature_gram, signature_kernel, size, Paths,
};
use std::hint::black_box;

/// Walks with uniform steps, of a size that depends little on their number.
fn walks(b: usize, n: usize, d: usize) -> Vec<f64> {
    let mut state = 1_u64;
    let mut values = Vec::with_capacity(b * n * d);
    for place in 0..b * n * d {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let step = ((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) / (n as f64).sqrt();
        let before = if place % (n * d) < d {
            0.0
        } else {
            values[place - d]
        };
        values.push(before + step);
    }
    values
}

fn of_paths(c: &mut Criterion) {
    for (b, n, d, depth) in [(128, 1_000, 3, 5), (1_000, 100, 2, 6), (1, 100_000, 4, 4)] {
        let values = walks(b, n, d);
        let paths = Paths::new("paths", &values, [b, n, d]).expect("finite");
        let weights = vec![1.0; b * size(d, depth, b).expect("few")];
        let mut group = c.benchmark_group(format!("{b} paths of {n} points, depth {depth}"));
        group.sample_size(20);
        group.throughput(Throughput::Elements((b * n) as u64));
        group.bench_function("signature", |b| {
            b.iter(|| signature(black_box(&paths), depth, false));
        });
        group.bench_function("gradient", |b| {
            b.iter(|| signature_gradient(black_box(&paths), depth, &weights));
        });
        group.finish();
    }
}

fn of_pairs(c: &mut Criterion) {
    let mut group = c.benchmark_group("signature_kernel");
    group.sample_size(20);
    for (b, n) in [(128, 100), (16, 1_000)] {
        let values = walks(b, n, 3);
        let paths = Paths::new("paths", &values, [b, n, 3]).expect("finite");
        group.bench_function(BenchmarkId::new("pairs", b), |b| {
            b.iter(|| signature_kernel(black_box(&paths), &paths, 0));
        });
        if b == 128 {
            group.bench_function(BenchmarkId::new("gram", b), |b| {
                b.iter(|| signature_gram(black_box(&paths), None, 1));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, of_paths, of_pairs);
criterion_main!(benches);
