//! Binding of the searches for sparse mean-reverting portfolios.

use labkit_core::meanrev as core;
use numpy::PyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::{refused, short, square, vector, Input};
use crate::orderbook::count;

type Matrix<'py> = Input<'py, f64, numpy::Ix2>;

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(greedy_path, m)?)?;
    m.add_function(wrap_pyfunction!(best_subset, m)?)?;
    m.add_function(wrap_pyfunction!(swap_subset, m)?)
}

/// Two square matrices of one order, and that order.
fn pencil<'py>(
    predicted: &Bound<'py, PyAny>,
    covariance: &Bound<'py, PyAny>,
) -> PyResult<(Matrix<'py>, Matrix<'py>, usize)> {
    let (predicted, n) = square("predicted", predicted)?;
    let (covariance, order) = square("covariance", covariance)?;
    if n > 0 && order != n {
        return Err(PyValueError::new_err(format!(
            "covariance must have shape ({n}, {n}), got ({order}, {order})"
        )));
    }
    Ok((predicted, covariance, n))
}

fn indices<'py>(py: Python<'py>, indices: &[usize]) -> Bound<'py, PyArray1<i64>> {
    // An index into a matrix in memory, far below 2^63.
    let indices: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
    short(py, &indices)
}

/// Forward selection of the assets of least predictability: (order, values), each of shape (n,).
///
/// The first k of the order are the support of size k, the k-th value its least predictability.
/// Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (predicted, covariance))]
#[allow(clippy::type_complexity)]
fn greedy_path<'py>(
    py: Python<'py>,
    predicted: &Bound<'py, PyAny>,
    covariance: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>)> {
    let (predicted, covariance, n) = pencil(predicted, covariance)?;
    let (predicted, covariance) = (predicted.slice()?, covariance.slice()?);
    let (order, values) = py
        .detach(|| core::greedy_path(predicted, covariance, n))
        .map_err(refused)?;
    Ok((indices(py, &order), short(py, &values)))
}

/// The support of `cardinality` assets with the least predictability, ascending, and its value.
///
/// Exact. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (predicted, covariance, cardinality))]
fn best_subset<'py>(
    py: Python<'py>,
    predicted: &Bound<'py, PyAny>,
    covariance: &Bound<'py, PyAny>,
    cardinality: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray1<i64>>, f64)> {
    let cardinality = count("cardinality", cardinality, 1)?;
    let (predicted, covariance, n) = pencil(predicted, covariance)?;
    let (predicted, covariance) = (predicted.slice()?, covariance.slice()?);
    let (support, value) = py
        .detach(|| core::best_subset(predicted, covariance, n, cardinality))
        .map_err(refused)?;
    Ok((indices(py, &support), value))
}

/// Exchanges a member for an outsider, the best exchange first, until none lowers the value.
///
/// Returns the support, ascending, and its value. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (predicted, covariance, support))]
fn swap_subset<'py>(
    py: Python<'py>,
    predicted: &Bound<'py, PyAny>,
    covariance: &Bound<'py, PyAny>,
    support: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray1<i64>>, f64)> {
    let support = vector::<i64>("support", support, None)?;
    let (predicted, covariance, n) = pencil(predicted, covariance)?;
    let (predicted, covariance) = (predicted.slice()?, covariance.slice()?);
    let support = support.slice()?;
    let (support, value) = py
        .detach(|| core::swap_subset(predicted, covariance, n, support))
        .map_err(refused)?;
    Ok((indices(py, &support), value))
}
