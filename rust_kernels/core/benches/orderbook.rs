//! Parsing one snapshot, and a feed of level changes.

#![allow(missing_docs)] // what criterion_group! makes has none

use criterion::{criterion_group, criterion_main, Criterion};
use labkit_core::orderbook::{parse_orderbook, rebuild_books, walk_levels, Changes};
use std::hint::black_box;

fn snapshot(levels: usize) -> String {
    let side = |sign: i64| {
        let level = |row: i64| format!("[\"{}.25\",\"{}.5\"]", 10_000 + sign * row, row);
        (1..=levels as i64).map(level).collect::<Vec<_>>().join(",")
    };
    format!(
        "{{\"lastUpdateId\":1,\"bids\":[{}],\"asks\":[{}]}}",
        side(-1),
        side(1)
    )
}

fn books(c: &mut Criterion) {
    let text = snapshot(100);
    c.bench_function("parse_orderbook/100", |b| {
        b.iter(|| parse_orderbook(black_box(&text)))
    });

    let levels: Vec<f64> = (0..1000)
        .flat_map(|row| [100.0 + f64::from(row), 1.0])
        .collect();
    c.bench_function("walk_levels/1000", |b| {
        b.iter(|| walk_levels(black_box(&levels), 300.5))
    });

    let rows = 100_000;
    let mut state = 1_u64;
    let mut draw = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let message: Vec<i64> = (0..rows).collect();
    let side: Vec<i8> = (0..rows).map(|_| i8::from(draw(2) == 1)).collect();
    let price: Vec<f64> = side
        .iter()
        .map(|&side| {
            let away = 1.0 + draw(40) as f64;
            if side == 0 {
                10_000.0 - away
            } else {
                10_000.0 + away
            }
        })
        .collect();
    let size: Vec<f64> = (0..rows).map(|_| draw(4) as f64).collect();
    let reset = vec![false; rows as usize];
    let changes = Changes {
        message: &message,
        side: &side,
        price: &price,
        size: &size,
        reset: &reset,
    };
    c.bench_function("rebuild_books/100000", |b| {
        b.iter(|| rebuild_books(black_box(changes), 10))
    });
}

criterion_group!(benches, books);
criterion_main!(benches);
