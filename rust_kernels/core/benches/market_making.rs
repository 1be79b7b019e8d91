//! Paths of a market maker, on one thread and on many, and the imbalance of long streams of quotes.

#![allow(missing_docs)] // what criterion_group! makes has none

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use labkit_core::market_making::{order_flow_imbalance, simulate_market_making, Quotes};
use labkit_core::philox::Stream;
use std::hint::black_box;

const STEPS: usize = 200;
const COLUMNS: usize = 2 * STEPS + 1;

/// Avellaneda-Stoikov quotes with gamma = 0.1 in the market of their paper: offsets of bids and of
/// asks, and the probabilities of fills.
fn tables() -> [Vec<f64>; 4] {
    let mut tables: [Vec<f64>; 4] = std::array::from_fn(|_| vec![f64::NAN; STEPS * COLUMNS]);
    let probability = |offset: f64| (0.7 * (-1.5 * offset).exp()).min(1.0);
    let cells = (0..STEPS).flat_map(|step| (0..COLUMNS).map(move |column| (step, column)));
    for (step, column) in cells {
        let left = 1.0 - (step as f64 + 0.5) / STEPS as f64;
        let half = 0.2 * left + 10.0 * (0.1_f64 / 1.5).ln_1p();
        let lean = 0.4 * left * (column as f64 - STEPS as f64);
        for (side, edge, offset) in [(0, COLUMNS - 1, half + lean), (1, 0, half - lean)] {
            if column != edge {
                tables[side][step * COLUMNS + column] = offset;
                tables[side + 2][step * COLUMNS + column] = probability(offset);
            }
        }
    }
    tables
}

fn paths(c: &mut Criterion) {
    let [bid_offset, ask_offset, bid_probability, ask_probability] = &tables();
    let quotes = Quotes {
        bid_offset,
        ask_offset,
        bid_probability,
        ask_probability,
        columns: COLUMNS,
    };
    let mut group = c.benchmark_group("simulate_market_making");
    group.sample_size(20);
    for n_paths in [1_000, 100_000] {
        group.throughput(Throughput::Elements((n_paths * STEPS) as u64));
        group.bench_function(BenchmarkId::from_parameter(n_paths), |b| {
            b.iter(|| simulate_market_making(black_box(&quotes), STEPS, 0, 0.14, n_paths, 1));
        });
    }
    group.finish();
}

fn flow(c: &mut Criterion) {
    let mut group = c.benchmark_group("order_flow_imbalance");
    for n in [1_000, 1_000_000] {
        let mut stream = Stream::new(1, 0);
        let mut column = |levels: f64| -> Vec<f64> {
            (0..n).map(|_| (levels * stream.uniform()).ceil()).collect()
        };
        let (bid, bid_size, ask, ask_size) = (column(3.0), column(99.0), column(3.0), column(99.0));
        group.throughput(Throughput::Elements(n));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| order_flow_imbalance(black_box(&bid), &bid_size, &ask, &ask_size));
        });
    }
    group.finish();
}

criterion_group!(benches, paths, flow);
criterion_main!(benches);
