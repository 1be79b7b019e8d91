//! Binding of the order-book kernels.

use labkit_core::orderbook::{self as core, Changes, Side};
use numpy::{PyArray1, PyArray2, PyArray3};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyString};

use crate::arrays::{levels as levels_argument, output, refused, stacks, vector};

type Pair<'py, T> = (Bound<'py, T>, Bound<'py, T>);

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(parse_orderbook, m)?)?;
    m.add_function(wrap_pyfunction!(sort_levels, m)?)?;
    m.add_function(wrap_pyfunction!(walk_levels, m)?)?;
    m.add_function(wrap_pyfunction!(microprice, m)?)?;
    m.add_function(wrap_pyfunction!(imbalance, m)?)?;
    m.add_function(wrap_pyfunction!(rebuild_books, m)?)
}

/// A count that an argument gives; `least` is the smallest that makes sense.
pub fn count(name: &str, value: &Bound<'_, PyAny>, least: usize) -> PyResult<usize> {
    let wrong = || {
        let kind = value
            .get_type()
            .name()
            .map_or_else(|_| "?".to_owned(), |n| n.to_string());
        PyTypeError::new_err(format!("{name} must be an integer, got {kind}"))
    };
    if value.is_instance_of::<PyBool>() {
        return Err(wrong());
    }
    let number = value.call_method0("__index__").map_err(|_| wrong())?;
    match number.extract::<usize>() {
        Ok(count) if count >= least => Ok(count),
        _ => Err(PyValueError::new_err(format!(
            "{name} must be at least {least}, got {number}"
        ))),
    }
}

/// A float that an argument gives.
pub fn number(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.extract::<f64>().map_err(|_| {
        let kind = value
            .get_type()
            .name()
            .map_or_else(|_| "?".to_owned(), |n| n.to_string());
        PyTypeError::new_err(format!("{name} must be a number, got {kind}"))
    })
}

/// Both sides of a JSON order book, in the order of the text: two arrays of shape (n, 2).
///
/// `text` is a str, or bytes in UTF-8.
#[pyfunction]
#[pyo3(signature = (text))]
fn parse_orderbook<'py>(
    py: Python<'py>,
    text: &Bound<'py, PyAny>,
) -> PyResult<Pair<'py, PyArray2<f64>>> {
    let text = if let Ok(text) = text.cast::<PyString>() {
        text.to_str().ok()
    } else if let Ok(bytes) = text.cast::<PyBytes>() {
        std::str::from_utf8(bytes.as_bytes()).ok()
    } else {
        let kind = text.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "text must be str or bytes, got {kind}"
        )));
    };
    let text =
        text.ok_or_else(|| PyValueError::new_err("text must be valid Unicode (bytes: UTF-8)"))?;
    let (bids, asks) = py.detach(|| core::parse_orderbook(text)).map_err(refused)?;
    let (n, m) = (bids.len() / 2, asks.len() / 2);
    Ok((output(py, bids, (n, 2))?, output(py, asks, (m, 2))?))
}

/// The levels of `side` ("bids" or "asks"), best first. A strided array is copied first.
#[pyfunction]
#[pyo3(signature = (levels, side))]
fn sort_levels<'py>(
    py: Python<'py>,
    levels: &Bound<'py, PyAny>,
    side: &str,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let side = Side::from_name(side).map_err(refused)?;
    let input = levels_argument(side.name(), levels)?;
    let pairs = input.slice()?;
    let sorted = py
        .detach(|| core::sort_levels(pairs, side))
        .map_err(refused)?;
    output(py, sorted, (pairs.len() / 2, 2))
}

/// Takes `size` base units from `levels`: (filled, notional, worst price, number of levels).
///
/// A strided array is copied first.
#[pyfunction]
#[pyo3(signature = (levels, size))]
fn walk_levels(
    levels: &Bound<'_, PyAny>,
    size: &Bound<'_, PyAny>,
) -> PyResult<(f64, f64, f64, usize)> {
    let input = levels_argument("levels", levels)?;
    let walk = core::walk_levels(input.slice()?, number("size", size)?).map_err(refused)?;
    Ok((walk.filled, walk.notional, walk.worst_price, walk.levels))
}

/// Size-weighted mid of stacked books, shape (m,). A strided array is copied first.
#[pyfunction]
#[pyo3(signature = (bids, asks))]
fn microprice<'py>(
    py: Python<'py>,
    bids: &Bound<'py, PyAny>,
    asks: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (bids, asks, m, depth) = stacks(bids, asks)?;
    let (bids, asks) = (bids.slice()?, asks.slice()?);
    output(
        py,
        py.detach(|| core::microprice(bids, asks, m, depth))
            .map_err(refused)?,
        m,
    )
}

/// Imbalance of stacked books over their first `levels` levels, shape (m,), in [-1, 1].
///
/// A strided array is copied first.
#[pyfunction]
#[pyo3(signature = (bids, asks, levels))]
fn imbalance<'py>(
    py: Python<'py>,
    bids: &Bound<'py, PyAny>,
    asks: &Bound<'py, PyAny>,
    levels: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let levels = count("levels", levels, 1)?;
    let (bids, asks, m, depth) = stacks(bids, asks)?;
    let (bids, asks) = (bids.slice()?, asks.slice()?);
    output(
        py,
        py.detach(|| core::imbalance(bids, asks, m, depth, levels))
            .map_err(refused)?,
        m,
    )
}

/// The best `depth` levels after each message: bids and asks of shape (m, depth, 2).
///
/// Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (message, side, price, size, reset, depth))]
fn rebuild_books<'py>(
    py: Python<'py>,
    message: &Bound<'py, PyAny>,
    side: &Bound<'py, PyAny>,
    price: &Bound<'py, PyAny>,
    size: &Bound<'py, PyAny>,
    reset: &Bound<'py, PyAny>,
    depth: &Bound<'py, PyAny>,
) -> PyResult<Pair<'py, PyArray3<f64>>> {
    let depth = count("depth", depth, 1)?;
    let message = vector::<i64>("message", message, None)?;
    let rows = Some(message.shape()[0]);
    let side = vector::<i8>("side", side, rows)?;
    let price = vector::<f64>("price", price, rows)?;
    let size = vector::<f64>("size", size, rows)?;
    let reset = vector::<bool>("reset", reset, rows)?;
    let changes = Changes {
        message: message.slice()?,
        side: side.slice()?,
        price: price.slice()?,
        size: size.slice()?,
        reset: reset.slice()?,
    };
    let (m, bids, asks) = py
        .detach(|| core::rebuild_books(changes, depth))
        .map_err(refused)?;
    Ok((
        output(py, bids, (m, depth, 2))?,
        output(py, asks, (m, depth, 2))?,
    ))
}
