//! A simulated market, and the matching of its orders.

#![allow(missing_docs)] // what criterion_group! makes has none

use criterion::{criterion_group, criterion_main, Criterion};
use labkit_core::matching::{zero_intelligence_flow, Engine, Flow, Requests};
use std::hint::black_box;

fn matching(c: &mut Criterion) {
    let distances = || (1..=20).map(f64::from);
    let limit_rates: Vec<f64> = distances().map(|d| 1.6 / d.sqrt()).collect();
    let cancel_rates: Vec<f64> = distances().map(|d| 0.4 / d.powf(0.25)).collect();
    let flow = Flow {
        seed: 1,
        duration_s: 2000.0,
        start_price: 10_000,
        limit_rates: &limit_rates,
        cancel_rates: &cancel_rates,
        market_rate: 1.0,
        limit_size: 50.0,
        market_size: 80.0,
        fundamental_rate: 1.0,
        pull: 0.1,
    };
    c.bench_function("zero_intelligence_flow/2000 s", |b| {
        b.iter(|| zero_intelligence_flow(black_box(flow)))
    });

    let Ok(simulated) = zero_intelligence_flow(flow) else {
        return;
    };
    let rows = &simulated.requests;
    let time_ns: Vec<i64> = rows.iter().map(|r| r.time_ns).collect();
    let id: Vec<i64> = rows.iter().map(|r| r.id).collect();
    let kind: Vec<u8> = rows.iter().map(|r| r.kind).collect();
    let side: Vec<i8> = rows.iter().map(|r| r.side).collect();
    let price: Vec<i64> = rows.iter().map(|r| r.price).collect();
    let size: Vec<i64> = rows.iter().map(|r| r.size).collect();
    let flags = vec![0; rows.len()];
    let requests = Requests {
        time_ns: &time_ns,
        id: &id,
        kind: &kind,
        side: &side,
        price: &price,
        size: &size,
        flags: &flags,
    };
    c.bench_function(&format!("process/{}", rows.len()), |b| {
        b.iter(|| Engine::new(&[], &[], &[], &[]).map(|mut e| e.process(black_box(requests))))
    });
}

criterion_group!(benches, matching);
criterion_main!(benches);
