//! Binding of the kernels of backtests: on bars, and replayed event by event.

use pyo3::prelude::*;

mod bars;
mod replay;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    bars::register(m)?;
    replay::register(m)
}
