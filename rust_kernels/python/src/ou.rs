//! Binding of the Ornstein-Uhlenbeck kernel.

use labkit_core::ou::{self as core, COLUMNS};
use numpy::{Ix2, PyArray2};
use pyo3::prelude::*;

use crate::arrays::{output, refused, Input};
use crate::orderbook::number;

/// Adds the kernel to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(ou_fit, m)?)
}

/// Conditional maximum likelihood of an Ornstein-Uhlenbeck process for each row of `x`.
///
/// Returns (m, 8): theta, mu, sigma, phi - 1, mean regressor, mean increment, sum of squares of the
/// regressor, of the residuals. A strided array is copied first.
#[pyfunction]
#[pyo3(signature = (x, dt))]
fn ou_fit<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    dt: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let dt = number("dt", dt)?;
    let x = Input::<f64, Ix2>::new("x", x, "(m, n + 1)")?;
    let (rows, columns) = (x.shape()[0], x.shape()[1]);
    let x = x.slice()?;
    let result = py
        .detach(|| core::ou_fit(x, columns, dt))
        .map_err(refused)?;
    output(py, result, (rows, COLUMNS))
}
