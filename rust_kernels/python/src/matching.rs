//! Binding of the matching engine.

use labkit_core::matching::{self as core, Requests};
use numpy::{Element, PyArray1};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::arrays::{output, refused, vector};
use crate::orderbook::{count, number};

type Column<'py, T> = Bound<'py, PyArray1<T>>;
type Trades<'py> = (
    Column<'py, i64>,
    Column<'py, i64>,
    Column<'py, i64>,
    Column<'py, i64>,
    Column<'py, i64>,
    Column<'py, i8>,
);
type Events<'py> = (
    Column<'py, i64>,
    Column<'py, i64>,
    Column<'py, i64>,
    Column<'py, u8>,
    Column<'py, i8>,
);
type Orders<'py> = (
    Column<'py, u8>,
    Column<'py, u8>,
    Column<'py, i64>,
    Column<'py, i64>,
    Column<'py, i64>,
    Column<'py, i64>,
);
type Flow<'py> = (
    Column<'py, i64>,
    Column<'py, i64>,
    Column<'py, u8>,
    Column<'py, i8>,
    Column<'py, i64>,
    Column<'py, i64>,
);
type Path<'py> = (Column<'py, i64>, Column<'py, i64>);
type Resting<'py> = (
    Column<'py, i64>,
    Column<'py, i8>,
    Column<'py, i64>,
    Column<'py, i64>,
);

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<MatchingEngine>()?;
    m.add_function(wrap_pyfunction!(zero_intelligence_flow, m)?)
}

/// One field of each row as an array.
fn column<'py, R, T: Element>(
    py: Python<'py>,
    rows: &[R],
    field: impl Fn(&R) -> T,
) -> PyResult<Column<'py, T>> {
    output(py, rows.iter().map(field).collect(), rows.len())
}

fn integer(name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let number = index(name, value)?;
    number
        .extract()
        .map_err(|_| PyValueError::new_err(format!("{name} must be below 2**63, got {number}")))
}

/// A book with price-time priority, every order that it has taken, and the time of the last request.
///
/// The arguments are the orders that rest at the start, in order of arrival.
#[pyclass(module = "labkit._kernels")]
struct MatchingEngine(core::Engine);

#[pymethods]
impl MatchingEngine {
    #[new]
    #[pyo3(signature = (id, side, price, size))]
    fn new(
        id: &Bound<'_, PyAny>,
        side: &Bound<'_, PyAny>,
        price: &Bound<'_, PyAny>,
        size: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let id = vector::<i64>("id", id, None)?;
        let rows = Some(id.shape()[0]);
        let side = vector::<i8>("side", side, rows)?;
        let price = vector::<i64>("price", price, rows)?;
        let size = vector::<i64>("size", size, rows)?;
        core::Engine::new(id.slice()?, side.slice()?, price.slice()?, size.slice()?)
            .map(Self)
            .map_err(refused)
    }

    /// Works through requests in the order given: columns of trades, events and orders.
    ///
    /// Strided arrays are copied first.
    #[pyo3(signature = (time_ns, id, kind, side, price, size, flags))]
    #[allow(clippy::too_many_arguments)]
    fn process<'py>(
        &mut self,
        py: Python<'py>,
        time_ns: &Bound<'py, PyAny>,
        id: &Bound<'py, PyAny>,
        kind: &Bound<'py, PyAny>,
        side: &Bound<'py, PyAny>,
        price: &Bound<'py, PyAny>,
        size: &Bound<'py, PyAny>,
        flags: &Bound<'py, PyAny>,
    ) -> PyResult<(Trades<'py>, Events<'py>, Orders<'py>)> {
        let time_ns = vector::<i64>("time_ns", time_ns, None)?;
        let rows = Some(time_ns.shape()[0]);
        let id = vector::<i64>("id", id, rows)?;
        let kind = vector::<u8>("kind", kind, rows)?;
        let side = vector::<i8>("side", side, rows)?;
        let price = vector::<i64>("price", price, rows)?;
        let size = vector::<i64>("size", size, rows)?;
        let flags = vector::<u8>("flags", flags, rows)?;
        let requests = Requests {
            time_ns: time_ns.slice()?,
            id: id.slice()?,
            kind: kind.slice()?,
            side: side.slice()?,
            price: price.slice()?,
            size: size.slice()?,
            flags: flags.slice()?,
        };
        let engine = &mut self.0;
        let (tape, orders) = py.detach(|| engine.process(requests)).map_err(refused)?;
        let (trades, events) = (tape.trades, tape.events);
        Ok((
            (
                whole(py, trades.time_ns)?,
                whole(py, trades.maker)?,
                whole(py, trades.taker)?,
                whole(py, trades.price)?,
                whole(py, trades.size)?,
                whole(py, trades.side)?,
            ),
            (
                whole(py, events.time_ns)?,
                whole(py, events.price)?,
                whole(py, events.size)?,
                whole(py, events.kind)?,
                whole(py, events.side)?,
            ),
            (
                whole(py, orders.state)?,
                whole(py, orders.reason)?,
                whole(py, orders.submitted)?,
                whole(py, orders.filled)?,
                whole(py, orders.resting)?,
                whole(py, orders.cancelled)?,
            ),
        ))
    }

    /// Side, price, state, reason, submitted, filled, resting and cancelled of an order.
    #[pyo3(signature = (id))]
    #[allow(clippy::type_complexity)]
    fn order(&self, id: &Bound<'_, PyAny>) -> PyResult<(i8, i64, u8, u8, i64, i64, i64, i64)> {
        let id = integer("id", id)?;
        let order = self.0.order(id).ok_or_else(|| {
            PyValueError::new_err(format!("id must be one of an order taken, got {id}"))
        })?;
        Ok((
            order.side,
            order.price,
            order.state,
            order.reason,
            order.submitted,
            order.filled,
            order.resting,
            order.cancelled,
        ))
    }

    /// Prices and sizes of the best `depth` levels of a side, best first.
    #[pyo3(signature = (side, depth))]
    fn levels<'py>(
        &self,
        py: Python<'py>,
        side: &Bound<'py, PyAny>,
        depth: &Bound<'py, PyAny>,
    ) -> PyResult<(Column<'py, i64>, Column<'py, i64>)> {
        let side = match integer("side", side)? {
            1 => 1,
            -1 => -1,
            side => {
                return Err(PyValueError::new_err(format!(
                    "side must be 1 or -1, got {side}"
                )))
            }
        };
        let levels: Vec<_> = self.0.levels(side, count("depth", depth, 0)?).collect();
        Ok((
            column(py, &levels, |level| level.0)?,
            column(py, &levels, |level| level.1)?,
        ))
    }

    /// Id, side, price and open size of every resting order: bids best first, then asks.
    fn resting<'py>(&self, py: Python<'py>) -> PyResult<Resting<'py>> {
        let orders = self.0.resting();
        Ok((
            column(py, &orders, |o| o.0)?,
            column(py, &orders, |o| o.1)?,
            column(py, &orders, |o| o.2)?,
            column(py, &orders, |o| o.3)?,
        ))
    }
}

/// Requests of a zero-intelligence market, and the jumps of its fundamental price.
///
/// Columns time_ns, id, kind, side, price, size; then time_ns and ticks. Strided arrays are copied
/// first.
#[pyfunction]
#[pyo3(signature = (seed, duration_s, start_price, limit_rates, cancel_rates, market_rate, limit_size, market_size, fundamental_rate, pull))]
#[allow(clippy::too_many_arguments)]
fn zero_intelligence_flow<'py>(
    py: Python<'py>,
    seed: &Bound<'py, PyAny>,
    duration_s: &Bound<'py, PyAny>,
    start_price: &Bound<'py, PyAny>,
    limit_rates: &Bound<'py, PyAny>,
    cancel_rates: &Bound<'py, PyAny>,
    market_rate: &Bound<'py, PyAny>,
    limit_size: &Bound<'py, PyAny>,
    market_size: &Bound<'py, PyAny>,
    fundamental_rate: &Bound<'py, PyAny>,
    pull: &Bound<'py, PyAny>,
) -> PyResult<(Flow<'py>, Path<'py>)> {
    let seed = word("seed", seed)?;
    let duration_s = number("duration_s", duration_s)?;
    let start_price = integer("start_price", start_price)?;
    let limit_rates = vector::<f64>("limit_rates", limit_rates, None)?;
    let cancel_rates = vector::<f64>("cancel_rates", cancel_rates, None)?;
    let flow = core::Flow {
        seed,
        duration_s,
        start_price,
        limit_rates: limit_rates.slice()?,
        cancel_rates: cancel_rates.slice()?,
        market_rate: number("market_rate", market_rate)?,
        limit_size: number("limit_size", limit_size)?,
        market_size: number("market_size", market_size)?,
        fundamental_rate: number("fundamental_rate", fundamental_rate)?,
        pull: number("pull", pull)?,
    };
    let simulated = py
        .detach(|| core::zero_intelligence_flow(flow))
        .map_err(refused)?;
    let (requests, jumps) = (&simulated.requests[..], &simulated.fundamental[..]);
    Ok((
        (
            column(py, requests, |r| r.time_ns)?,
            column(py, requests, |r| r.id)?,
            column(py, requests, |r| r.kind)?,
            column(py, requests, |r| r.side)?,
            column(py, requests, |r| r.price)?,
            column(py, requests, |r| r.size)?,
        ),
        (
            column(py, jumps, |jump| jump.0)?,
            column(py, jumps, |jump| jump.1)?,
        ),
    ))
}

/// A column that is there already.
fn whole<T: Element>(py: Python<'_>, values: Vec<T>) -> PyResult<Column<'_, T>> {
    let rows = values.len();
    output(py, values, rows)
}

fn index<'py>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    value.call_method0("__index__").map_err(|_| {
        let kind = value
            .get_type()
            .name()
            .map_or_else(|_| "?".to_owned(), |n| n.to_string());
        PyTypeError::new_err(format!("{name} must be an integer, got {kind}"))
    })
}

/// A seed: an integer that a word holds.
fn word(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    let number = index(name, value)?;
    number.extract().map_err(|_| {
        PyValueError::new_err(format!("{name} must be from 0 to 2**64 - 1, got {number}"))
    })
}
