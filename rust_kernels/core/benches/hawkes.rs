//! The likelihood of a million events of one type and of many, and paths as long.

#![allow(missing_docs)] // what criterion_group! makes has none
#![allow(clippy::unwrap_used)]

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use labkit_core::hawkes::{
    hawkes_likelihood, hawkes_path, hawkes_simulate, History, Model, Simulation,
};
use std::hint::black_box;

/// Baseline, adjacency and decay of `d` types, each with 0.6 children.
fn parameters(d: usize, terms: usize) -> [Vec<f64>; 3] {
    let cells = terms * d * d;
    let decay = (0..terms).map(|m| 4.0_f64.powi(m as i32)).collect();
    [
        vec![0.5 / d as f64; d],
        vec![0.6 * d as f64 / cells as f64; cells],
        decay,
    ]
}

fn simulation<'a>(parameters: &'a [Vec<f64>; 3], thinning: bool, events: f64) -> Simulation<'a> {
    let [baseline, adjacency, decay] = parameters;
    Simulation {
        model: Model::new(baseline, adjacency, decay).unwrap(),
        horizon: events * 0.8,
        marks: None,
        thinning,
        most: usize::MAX,
    }
}

fn likelihood(c: &mut Criterion) {
    let mut group = c.benchmark_group("hawkes_likelihood");
    for (d, terms, events) in [(1, 1, 1e6), (2, 1, 1e5), (10, 1, 1e5), (10, 3, 1e4)] {
        let parameters = parameters(d, terms);
        let simulation = simulation(&parameters, false, events);
        let paths = hawkes_simulate(&simulation, 1, 1).unwrap();
        group.throughput(Throughput::Elements(paths.times.len() as u64));
        group.bench_function(BenchmarkId::new(format!("{d} types"), terms), |b| {
            b.iter(|| {
                let history = History::new(black_box(&paths.times), &paths.types, None, d);
                hawkes_likelihood(&simulation.model, &history.unwrap(), simulation.horizon)
            });
        });
    }
    group.finish();
}

fn path(c: &mut Criterion) {
    let parameters = parameters(2, 1);
    let simulation = simulation(&parameters, false, 1e5);
    let paths = hawkes_simulate(&simulation, 1, 1).unwrap();
    let history = History::new(&paths.times, &paths.types, None, 2).unwrap();
    c.bench_function("hawkes_path", |b| {
        b.iter(|| hawkes_path(&simulation.model, &history, black_box(&paths.times)));
    });
}

fn simulate(c: &mut Criterion) {
    let mut group = c.benchmark_group("hawkes_simulate");
    group.sample_size(20);
    for (d, thinning) in [(1, false), (10, false), (1, true), (10, true)] {
        let parameters = parameters(d, 1);
        let simulation = simulation(&parameters, thinning, 1e5);
        group.throughput(Throughput::Elements(100_000));
        let name = if thinning { "thinned" } else { "inverted" };
        group.bench_function(BenchmarkId::new(name, d), |b| {
            b.iter(|| hawkes_simulate(black_box(&simulation), 1, 1));
        });
    }
    group.finish();
}

criterion_group!(benches, likelihood, path, simulate);
criterion_main!(benches);
