//! Backtests.

pub mod bars;
