//! The Python module `labkit._kernels`: arrays in, arrays out.
//!
//! C-contiguous arrays are borrowed, strided ones are copied, results are fresh. The GIL is
//! released while a kernel runs. A refused argument is a `TypeError` or `ValueError` that names it.

use pyo3::prelude::*;

mod arbitrage;
mod arrays;
mod backtest;
mod hawkes;
mod market_making;
mod matching;
mod meanrev;
mod metrics;
mod orderbook;
mod ou;
mod signatures;
mod stopping;

#[pymodule]
fn _kernels(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    orderbook::register(m)?;
    arbitrage::register(m)?;
    hawkes::register(m)?;
    market_making::register(m)?;
    matching::register(m)?;
    meanrev::register(m)?;
    backtest::register(m)?;
    metrics::register(m)?;
    ou::register(m)?;
    signatures::register(m)?;
    stopping::register(m)
}
