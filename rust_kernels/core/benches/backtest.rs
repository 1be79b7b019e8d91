//! One asset over a million bars, and a panel of a hundred.

#![allow(missing_docs)] // what criterion_group! makes has none

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use labkit_core::backtest::bars::{bars_summary, moving_average_cross, run_bars, Costs, Orders};
use labkit_core::metrics::{drawdown, return_moments};
use std::hint::black_box;

/// A random walk around 1000 in steps of up to a half.
fn walk(n: usize) -> Vec<f64> {
    let (mut state, mut price) = (1_u64, 1000.0);
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            price += (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
            price
        })
        .collect()
}

fn orders<'a>(signals: &'a [f64], prices: &'a [f64], n: usize, free: &'a [f64]) -> Orders<'a> {
    Orders {
        signals,
        prices,
        n,
        capital: 1e6,
        lag: 1,
        weights: false,
        costs: Costs {
            rates: &free[..4 * n],
            fee_unit: &free[..n],
            spread_unit: &free[..n],
            impact: &free[..n],
            elapsed: &free[..1],
        },
    }
}

fn backtests(c: &mut Criterion) {
    let (bars, free) = (1_000_000, vec![0.0; 400]);
    let prices = walk(bars);
    let signals = moving_average_cross(&prices, 20, 100).unwrap_or_default();
    let mut group = c.benchmark_group("backtest");
    group.throughput(Throughput::Elements(bars as u64));
    group.bench_function("moving_average_cross", |b| {
        b.iter(|| moving_average_cross(black_box(&prices), 20, 100));
    });
    for (name, n) in [("one asset", 1), ("100 assets", 100)] {
        group.bench_function(format!("run_bars, {name}"), |b| {
            b.iter(|| run_bars(orders(black_box(&signals), &prices, n, &free)));
        });
        group.bench_function(format!("bars_summary, {name}"), |b| {
            b.iter(|| bars_summary(orders(black_box(&signals), &prices, n, &free)));
        });
    }
    group.bench_function("drawdown", |b| b.iter(|| drawdown(black_box(&prices))));
    group.bench_function("return_moments", |b| {
        b.iter(|| return_moments(black_box(&prices), 0.0));
    });
    group.finish();
}

criterion_group!(benches, backtests);
criterion_main!(benches);
