//! Binding of the arbitrage kernels.

use labkit_core::arbitrage::{self as core, Answer, LegInput};
use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;

use crate::arrays::{levels, output, refused, short, square, vector};
use crate::orderbook::{count, number};

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(find_cycle, m)?)?;
    m.add_function(wrap_pyfunction!(best_cycle, m)?)?;
    m.add_function(wrap_pyfunction!(route_outcome, m)?)?;
    m.add_function(wrap_pyfunction!(triangular_route, m)?)
}

fn nodes_array(py: Python<'_>, nodes: Vec<usize>) -> Bound<'_, PyArray1<i64>> {
    // A node is an index into a matrix in memory, far below 2^63.
    let nodes: Vec<i64> = nodes.into_iter().map(|node| node as i64).collect();
    short(py, &nodes)
}

/// Nodes of a cycle worth more than (1 + tolerance) a trade, or prices that rule one out.
///
/// Exactly one of the two arrays has entries. A strided array is copied first.
#[pyfunction]
#[pyo3(signature = (rates, tolerance))]
#[allow(clippy::type_complexity)]
fn find_cycle<'py>(
    py: Python<'py>,
    rates: &Bound<'py, PyAny>,
    tolerance: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>)> {
    let tolerance = number("tolerance", tolerance)?;
    let (rates, n) = square("rates", rates)?;
    let rates = rates.slice()?;
    let answer = py
        .detach(|| core::find_cycle(rates, n, tolerance))
        .map_err(refused)?;
    let (nodes, prices) = match answer {
        Answer::Cycle(nodes) => (nodes, vec![]),
        Answer::Prices(prices) => (vec![], prices),
    };
    Ok((nodes_array(py, nodes), short(py, &prices)))
}

/// The simple cycle of 2 to `max_length` nodes with the largest product, and the product.
///
/// A strided array is copied first.
#[pyfunction]
#[pyo3(signature = (rates, max_length))]
fn best_cycle<'py>(
    py: Python<'py>,
    rates: &Bound<'py, PyAny>,
    max_length: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray1<i64>>, f64)> {
    let max_length = count("max_length", max_length, 2)?;
    let (rates, n) = square("rates", rates)?;
    let rates = rates.slice()?;
    let (nodes, product) = py
        .detach(|| core::best_cycle(rates, n, max_length))
        .map_err(refused)?;
    Ok((nodes_array(py, nodes), product))
}

/// Pushes each of `sizes` through three legs: (spent, received), each of shape (k,).
///
/// Strided arrays are copied first.
#[pyfunction]
#[pyo3(signature = (levels1, levels2, levels3, buys, fees, lots, sizes))]
#[allow(clippy::too_many_arguments, clippy::type_complexity)]
fn route_outcome<'py>(
    py: Python<'py>,
    levels1: &Bound<'py, PyAny>,
    levels2: &Bound<'py, PyAny>,
    levels3: &Bound<'py, PyAny>,
    buys: &Bound<'py, PyAny>,
    fees: &Bound<'py, PyAny>,
    lots: &Bound<'py, PyAny>,
    sizes: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>)> {
    let sizes = vector::<f64>("sizes", sizes, None)?;
    let sizes = sizes.slice()?;
    let (spent, received) = with_legs([levels1, levels2, levels3], buys, fees, lots, |legs| {
        py.detach(|| core::route_outcome(&legs, sizes))
            .map_err(refused)
    })?;
    Ok((
        output(py, spent, sizes.len())?,
        output(py, received, sizes.len())?,
    ))
}

/// The profit-maximising size of a route of three legs.
///
/// Returns legs of shape (3, 3) with base quantity, notional and worst price, and what each leg
/// spends and receives, shape (3,). All zero where nothing is profitable. Strided arrays are
/// copied first.
#[pyfunction]
#[pyo3(signature = (levels1, levels2, levels3, buys, fees, lots, max_size))]
#[allow(clippy::too_many_arguments, clippy::type_complexity)]
fn triangular_route<'py>(
    py: Python<'py>,
    levels1: &Bound<'py, PyAny>,
    levels2: &Bound<'py, PyAny>,
    levels3: &Bound<'py, PyAny>,
    buys: &Bound<'py, PyAny>,
    fees: &Bound<'py, PyAny>,
    lots: &Bound<'py, PyAny>,
    max_size: &Bound<'py, PyAny>,
) -> PyResult<(
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
)> {
    let max_size = number("max_size", max_size)?;
    let trades = with_legs([levels1, levels2, levels3], buys, fees, lots, |legs| {
        py.detach(|| core::triangular_route(&legs, max_size))
            .map_err(refused)
    })?;
    let legs = trades
        .iter()
        .flat_map(|t| [t.quantity, t.notional, t.worst_price])
        .collect();
    Ok((
        output(py, legs, (3, 3))?,
        short(py, &trades.map(|t| t.spent)),
        short(py, &trades.map(|t| t.received)),
    ))
}

fn with_legs<T>(
    books: [&Bound<'_, PyAny>; 3],
    buys: &Bound<'_, PyAny>,
    fees: &Bound<'_, PyAny>,
    lots: &Bound<'_, PyAny>,
    work: impl FnOnce([LegInput<'_>; 3]) -> PyResult<T>,
) -> PyResult<T> {
    let first = levels("levels1", books[0])?;
    let second = levels("levels2", books[1])?;
    let third = levels("levels3", books[2])?;
    let buys = vector::<bool>("buys", buys, Some(3))?;
    let fees = vector::<f64>("fees", fees, Some(3))?;
    let lots = vector::<f64>("lots", lots, Some(3))?;
    let (buys, fees, lots) = (buys.slice()?, fees.slice()?, lots.slice()?);
    let leg = |k: usize, levels| LegInput {
        levels,
        buy: buys[k],
        fee: fees[k],
        lot: lots[k],
    };
    work([
        leg(0, first.slice()?),
        leg(1, second.slice()?),
        leg(2, third.slice()?),
    ])
}
