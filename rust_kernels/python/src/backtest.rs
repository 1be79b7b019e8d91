//! Binding of the kernels of backtests: on bars, and replayed event by event.

use pyo3::prelude::*;

mod replay;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    replay::register(m)
}
