//! Paths of fractional Brownian motion by both methods, and backward regression.

#![allow(missing_docs)] // what criterion_group! makes has none
#![allow(clippy::unwrap_used)]

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use labkit_core::philox::Stream;
use labkit_core::stopping::{apply_policy, backward_regression, Method, Motion};
use std::hint::black_box;

fn motion(c: &mut Criterion) {
    let mut group = c.benchmark_group("fractional_brownian_motion");
    for n_steps in [10, 100, 1000] {
        let n_paths = 400_000 / n_steps;
        let mut out = vec![0.0; n_paths * (n_steps + 1)];
        group.throughput(Throughput::Elements((n_paths * n_steps) as u64));
        for method in [Method::DaviesHarte, Method::Cholesky] {
            let motion = Motion::new(n_paths, n_steps, 0.3, method).unwrap();
            let id = BenchmarkId::new(format!("{method:?}"), n_steps);
            group.bench_function(id, |b| b.iter(|| motion.fill(1, black_box(&mut out))));
        }
    }
    group.finish();
}

fn policy(c: &mut Criterion) {
    let mut group = c.benchmark_group("backward_regression");
    let mut stream = Stream::new(1, 0);
    for k in [3, 10, 31] {
        let shape = [20, 1 << 12, k];
        let [n, b, _] = shape;
        let features: Vec<f64> = (0..n * b * k).map(|_| stream.uniform() - 0.5).collect();
        let rewards: Vec<f64> = (0..n * b).map(|_| stream.uniform() - 0.5).collect();
        group.throughput(Throughput::Elements((n * b) as u64));
        for positive in [false, true] {
            let id = BenchmarkId::new(if positive { "positive" } else { "all" }, k);
            group.bench_function(id, |b| {
                b.iter(|| backward_regression(&features, shape, &rewards, positive).unwrap());
            });
        }
        let (weights, _) = backward_regression(&features, shape, &rewards, true).unwrap();
        group.bench_function(BenchmarkId::new("apply", k), |b| {
            b.iter(|| apply_policy(&features, shape, &rewards, &weights, true).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, motion, policy);
criterion_main!(benches);
