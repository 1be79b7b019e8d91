//! The book after each event, and a quoter replayed on the same events.

#![allow(missing_docs)] // what criterion_group! makes has none
#![allow(clippy::expect_used)] // a benchmark may end where its input is wrong

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use labkit_core::backtest::{
    best_quotes, replay, Latency, Offsets, Queue, Quoter, Settings, WORDS,
};
use std::hint::black_box;

const EVENTS: usize = 200_000;

/// Level changes and, one in eight, trades at the touch around a fixed price; a millisecond apart.
fn events() -> Vec<i64> {
    let mut state = 1_u64;
    let mut draw = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below) as i64
    };
    (0..EVENTS as i64)
        .flat_map(|row| {
            let side = 2 * draw(2) - 1;
            let trade = draw(8) == 0;
            let away = 1 + if trade { 0 } else { draw(40) };
            let (price, kind) = (10_000 - side * away, 1 + u8::from(trade));
            let size = i64::from(trade) + draw(4);
            let aggressor = if trade { -side } else { side };
            let last = [kind, aggressor as u8, 0, 0, 0, 0, 0, 0];
            let time = 1_000_000 * row;
            [
                time,
                time + 2_000_000,
                price,
                size,
                i64::from_ne_bytes(last),
            ]
        })
        .collect()
}

fn settings(interval: i64) -> Settings {
    Settings {
        feed: 0,
        latency: Latency::new(&[0, 1_000_000, 2_000_000], &[0, 1_000_000], false)
            .expect("a table of one row"),
        queue: Queue::new("power", 3.0, 1.0).expect("a known model"),
        partial_fills: true,
        interval,
        sample: 1_000_000_000,
    }
}

fn replays(c: &mut Criterion) {
    let words = events();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let mut out = vec![0; words.len() / WORDS * 4];
    group.bench_function("best_quotes", |b| {
        b.iter(|| best_quotes(black_box(&words), &mut out));
    });
    let bids = [0.5, 0.7, 0.9, 1.1, f64::NAN];
    let asks = [f64::NAN, 1.1, 0.9, 0.7, 0.5];
    let side = |values| Offsets { values, columns: 5 };
    let quoter = Quoter::new(side(&bids), side(&asks), &[0], 2, &[], 0).expect("valid offsets");
    for (name, interval) in [("each event", 0), ("each 100 ms", 100_000_000)] {
        group.bench_function(name, |b| {
            b.iter(|| replay(black_box(&words), settings(interval), &quoter));
        });
    }
    group.finish();
}

criterion_group!(benches, replays);
criterion_main!(benches);
