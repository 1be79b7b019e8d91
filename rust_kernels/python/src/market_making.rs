//! Binding of the market-making kernels.

use labkit_core::market_making::{self as core, Quotes};
use numpy::{Ix2, PyArray1, PyArray2};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::arrays::{output, refused, vector, Input};
use crate::orderbook::{count, number};

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(simulate_market_making, m)?)?;
    m.add_function(wrap_pyfunction!(order_flow_imbalance, m)?)
}

type Paths<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<i64>>,
);

/// An integer that an argument gives, of those that `T` holds.
pub fn integer<'py, T: FromPyObjectOwned<'py>>(
    name: &str,
    value: &Bound<'py, PyAny>,
    range: &str,
) -> PyResult<T> {
    let index = value.call_method0("__index__").map_err(|_| {
        let kind = value
            .get_type()
            .name()
            .map_or_else(|_| "?".to_owned(), |n| n.to_string());
        PyTypeError::new_err(format!("{name} must be an integer, got {kind}"))
    })?;
    index
        .extract::<T>()
        .map_err(|_| PyValueError::new_err(format!("{name} must be {range}, got {index}")))
}

/// Paths of a market maker whose quotes depend on the step and on the inventory.
///
/// Returns profit, final inventory, moves of the mid up less down, mean spread, and fills of bids
/// and asks. Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (bid_offset, ask_offset, bid_probability, ask_probability, n_steps, inventory, r#move, n_paths, seed))]
#[allow(clippy::too_many_arguments)] // the signature of the reference
fn simulate_market_making<'py>(
    py: Python<'py>,
    bid_offset: &Bound<'py, PyAny>,
    ask_offset: &Bound<'py, PyAny>,
    bid_probability: &Bound<'py, PyAny>,
    ask_probability: &Bound<'py, PyAny>,
    n_steps: &Bound<'py, PyAny>,
    inventory: &Bound<'py, PyAny>,
    r#move: &Bound<'py, PyAny>,
    n_paths: &Bound<'py, PyAny>,
    seed: &Bound<'py, PyAny>,
) -> PyResult<Paths<'py>> {
    let n_steps = count("n_steps", n_steps, 1)?;
    let bid_offset = table("bid_offset", bid_offset, None)?;
    let shape = Some([bid_offset.shape()[0], bid_offset.shape()[1]]);
    let bid_probability = table("bid_probability", bid_probability, shape)?;
    let ask_offset = table("ask_offset", ask_offset, shape)?;
    let ask_probability = table("ask_probability", ask_probability, shape)?;
    let inventory = integer::<i64>("inventory", inventory, "within the limits of the table")?;
    let move_size = number("move", r#move)?;
    let n_paths = count("n_paths", n_paths, 1)?;
    let seed = integer::<u64>("seed", seed, "from 0 to 2**64 - 1")?;
    let quotes = Quotes {
        bid_offset: bid_offset.slice()?,
        ask_offset: ask_offset.slice()?,
        bid_probability: bid_probability.slice()?,
        ask_probability: ask_probability.slice()?,
        columns: bid_offset.shape()[1],
    };
    let outcome = py
        .detach(|| {
            core::simulate_market_making(&quotes, n_steps, inventory, move_size, n_paths, seed)
        })
        .map_err(refused)?;
    Ok((
        output(py, outcome.profit, n_paths)?,
        output(py, outcome.inventory, n_paths)?,
        output(py, outcome.moves, n_paths)?,
        output(py, outcome.spread, n_paths)?,
        output(py, outcome.fills, (n_paths, 2))?,
    ))
}

/// A matrix, of the shape of another one where there is one.
fn table<'py>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
    shape: Option<[usize; 2]>,
) -> PyResult<Input<'py, f64, Ix2>> {
    let words = shape.map_or("(n_steps, 2 * max_inventory + 1)".to_owned(), |[n, m]| {
        format!("({n}, {m})")
    });
    let input = Input::new(name, value, &words)?;
    if shape.is_some_and(|shape| shape != input.shape()) {
        return Err(PyValueError::new_err(format!(
            "{name} must have shape {words}, got ({}, {})",
            input.shape()[0],
            input.shape()[1]
        )));
    }
    Ok(input)
}

/// What each change of the best quotes adds to demand less supply, shape (n - 1,).
///
/// Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (bid, bid_size, ask, ask_size))]
fn order_flow_imbalance<'py>(
    py: Python<'py>,
    bid: &Bound<'py, PyAny>,
    bid_size: &Bound<'py, PyAny>,
    ask: &Bound<'py, PyAny>,
    ask_size: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let bid = vector("bid", bid, None)?;
    let n = bid.shape()[0];
    let bid_size = vector("bid_size", bid_size, Some(n))?;
    let ask = vector("ask", ask, Some(n))?;
    let ask_size = vector("ask_size", ask_size, Some(n))?;
    let (bid, bid_size) = (bid.slice()?, bid_size.slice()?);
    let (ask, ask_size) = (ask.slice()?, ask_size.slice()?);
    let result = py
        .detach(|| core::order_flow_imbalance(bid, bid_size, ask, ask_size))
        .map_err(refused)?;
    output(py, result, n - 1)
}
