//! Bindings of the kernels on returns and equity.

use labkit_core::metrics::{self as core, Fall};
use pyo3::prelude::*;

use crate::arrays::{refused, vector};
use crate::orderbook::number;

type Moments = (f64, f64, f64, f64, f64, usize, usize);

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(return_moments, m)?)?;
    m.add_function(wrap_pyfunction!(drawdown, m)?)?;
    m.add_function(wrap_pyfunction!(return_drawdown, m)?)
}

/// Sums over returns from which their ratios follow.
///
/// Returns the mean, the sums of the second, third and fourth power of the distance from it, the
/// sum of squares below `target`, and how many returns are above and below zero.
#[pyfunction]
#[pyo3(signature = (returns, target))]
fn return_moments(
    py: Python<'_>,
    returns: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
) -> PyResult<Moments> {
    let returns = vector::<f64>("returns", returns, None)?;
    let (values, target) = (returns.slice()?, number("target", target)?);
    let found = py
        .detach(|| core::return_moments(values, target))
        .map_err(refused)?;
    let [second, third, fourth] = found.powers;
    Ok((
        found.mean,
        second,
        third,
        fourth,
        found.downside,
        found.positive,
        found.negative,
    ))
}

/// The largest fall of positive levels: depth, and places of peak, trough and recovery (-1: none).
#[pyfunction]
#[pyo3(signature = (equity))]
fn drawdown(py: Python<'_>, equity: &Bound<'_, PyAny>) -> PyResult<(f64, usize, usize, i64)> {
    let equity = vector::<f64>("equity", equity, None)?;
    let levels = equity.slice()?;
    let fall = py.detach(|| core::drawdown(levels)).map_err(refused)?;
    Ok((fall.depth, fall.peak, fall.trough, recovery(&fall)))
}

/// The growth of a unit of capital by compounding, and its largest fall as in `drawdown`.
#[pyfunction]
#[pyo3(signature = (returns))]
fn return_drawdown(
    py: Python<'_>,
    returns: &Bound<'_, PyAny>,
) -> PyResult<(f64, f64, usize, usize, i64)> {
    let returns = vector::<f64>("returns", returns, None)?;
    let values = returns.slice()?;
    let (growth, fall) = py
        .detach(|| core::return_drawdown(values))
        .map_err(refused)?;
    Ok((growth, fall.depth, fall.peak, fall.trough, recovery(&fall)))
}

fn recovery(fall: &Fall) -> i64 {
    fall.recovery.map_or(-1, |place| place as i64)
}
