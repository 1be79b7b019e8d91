//! Numerical kernels, free of Python: slices in, vectors out.

mod error;

pub mod arbitrage;
pub mod backtest;
pub mod hawkes;
pub mod market_making;
pub mod matching;
pub mod meanrev;
pub mod metrics;
pub mod orderbook;
pub mod ou;
pub mod philox;
pub mod signatures;
pub mod stopping;

pub use error::Error;
