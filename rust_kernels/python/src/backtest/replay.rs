//! Binding of the replay kernels.

use labkit_core::backtest as core;
use labkit_core::backtest::{Engine, Events, Latency, Offsets, Queue, Quoter, Results, Settings};
use numpy::{Ix2, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::arrays::{output, refused, vector, Input};
use crate::orderbook::number;

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<ReplayEngine>()?;
    m.add_function(wrap_pyfunction!(best_quotes, m)?)?;
    m.add_function(wrap_pyfunction!(replay, m)?)
}

type Words<'py> = PyReadonlyArray1<'py, i64>;
type Tables<'py> = (
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray2<i64>>,
);

/// Events as the words that they consist of, five each; strided ones are copied.
fn words<'py>(events: &Bound<'py, PyAny>) -> PyResult<Words<'py>> {
    let py = events.py();
    let dtype = py
        .import("labkit.reference._events")?
        .getattr("EVENT_DTYPE")?;
    let array = py.import("numpy")?.getattr("ndarray")?;
    if !events.is_instance(&array)? {
        return Err(PyTypeError::new_err(format!(
            "events must be a numpy array of {dtype}, got {}",
            events.get_type().name()?
        )));
    }
    let got = events.getattr("dtype")?;
    if !got.eq(&dtype)? {
        return Err(PyTypeError::new_err(format!(
            "events must be an array of {dtype}, got {got}"
        )));
    }
    if events.getattr("ndim")?.extract::<usize>()? != 1 {
        return Err(PyValueError::new_err(format!(
            "events must have shape (n,), got {}",
            events.getattr("shape")?
        )));
    }
    let flat = py
        .import("numpy")?
        .call_method1("ascontiguousarray", (events,))?
        .call_method1("view", ("i8",))?;
    let words = flat.cast_into::<PyArray1<i64>>().map_err(PyErr::from)?;
    words
        .try_readonly()
        .map_err(|error| PyValueError::new_err(format!("events cannot be read: {error}")))
}

fn read<'a>(words: &'a Words<'_>) -> PyResult<&'a [i64]> {
    words
        .as_slice()
        .map_err(|error| PyValueError::new_err(format!("events cannot be read: {error}")))
}

/// An integer that an argument gives.
fn integer(name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let index = value.call_method0("__index__").map_err(|_| {
        let kind = value
            .get_type()
            .name()
            .map_or_else(|_| "?".to_owned(), |n| n.to_string());
        PyTypeError::new_err(format!("{name} must be an integer, got {kind}"))
    })?;
    index
        .extract()
        .map_err(|_| PyValueError::new_err(format!("{name} must be below 2**53, got {index}")))
}

/// A table of integers with so many columns.
fn table<'py>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
    columns: usize,
) -> PyResult<Input<'py, i64, Ix2>> {
    let shape = format!("(m, {columns})");
    let input = Input::new(name, value, &shape)?;
    if input.shape()[1] != columns {
        let (rows, got) = (input.shape()[0], input.shape()[1]);
        return Err(PyValueError::new_err(format!(
            "{name} must have shape {shape}, got ({rows}, {got})"
        )));
    }
    Ok(input)
}

#[allow(clippy::too_many_arguments)]
fn settings(
    feed_ns: &Bound<'_, PyAny>,
    entry: &Bound<'_, PyAny>,
    response: &Bound<'_, PyAny>,
    interpolate: bool,
    queue: &str,
    exponent: &Bound<'_, PyAny>,
    unit: &Bound<'_, PyAny>,
    partial_fills: bool,
    interval_ns: &Bound<'_, PyAny>,
    sample_ns: &Bound<'_, PyAny>,
) -> PyResult<Settings> {
    let (exponent, unit) = (number("exponent", exponent)?, number("unit", unit)?);
    let (entry, response) = (table("entry", entry, 3)?, table("response", response, 2)?);
    Ok(Settings {
        feed: integer("feed_ns", feed_ns)?,
        interval: integer("interval_ns", interval_ns)?,
        sample: integer("sample_ns", sample_ns)?,
        queue: Queue::new(queue, exponent, unit).map_err(refused)?,
        latency: Latency::new(entry.slice()?, response.slice()?, interpolate).map_err(refused)?,
        partial_fills,
    })
}

fn tables<'py>(py: Python<'py>, results: Results) -> PyResult<Tables<'py>> {
    let rows = |values: Vec<i64>, columns: usize| {
        let rows = values.len() / columns;
        output(py, values, (rows, columns))
    };
    let fills = results.aheads.len();
    Ok((
        rows(results.fills, core::FILL_COLUMNS)?,
        output(py, results.aheads, fills)?,
        rows(results.orders, core::ORDER_COLUMNS)?,
        rows(results.series, core::SERIES_COLUMNS)?,
    ))
}

/// Best bid, its size, best ask, its size after each event, (n, 4).
#[pyfunction]
#[pyo3(signature = (events))]
fn best_quotes<'py>(
    py: Python<'py>,
    events: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let events = words(events)?;
    let events = read(&events)?;
    // Memory of NumPy, which asks for large pages: most of the time would go into small ones.
    let quotes = PyArray2::zeros(py, (events.len() / core::WORDS, 4), false);
    {
        let mut writable = quotes.readwrite();
        let out = writable
            .as_slice_mut()
            .map_err(|error| PyValueError::new_err(format!("result cannot be written: {error}")))?;
        py.detach(|| core::best_quotes(events, out))
            .map_err(refused)?;
    }
    Ok(quotes)
}

/// A replay of the quoter: fills, lots ahead at each, orders and series.
#[pyfunction]
#[pyo3(signature = (
    events, feed_ns, entry, response, interpolate, queue, exponent, unit, partial_fills,
    interval_ns, sample_ns, bid_offset, ask_offset, times, order_size, adjustment
))]
#[allow(clippy::too_many_arguments)]
fn replay<'py>(
    py: Python<'py>,
    events: &Bound<'py, PyAny>,
    feed_ns: &Bound<'py, PyAny>,
    entry: &Bound<'py, PyAny>,
    response: &Bound<'py, PyAny>,
    interpolate: bool,
    queue: &str,
    exponent: &Bound<'py, PyAny>,
    unit: &Bound<'py, PyAny>,
    partial_fills: bool,
    interval_ns: &Bound<'py, PyAny>,
    sample_ns: &Bound<'py, PyAny>,
    bid_offset: &Bound<'py, PyAny>,
    ask_offset: &Bound<'py, PyAny>,
    times: &Bound<'py, PyAny>,
    order_size: &Bound<'py, PyAny>,
    adjustment: &Bound<'py, PyAny>,
) -> PyResult<Tables<'py>> {
    let bids = Input::<f64, Ix2>::new("bid_offset", bid_offset, "(t, 2Q + 1)")?;
    let (rows, columns) = (bids.shape()[0], bids.shape()[1]);
    let shape = format!("({rows}, {columns})");
    let asks = Input::<f64, Ix2>::new("ask_offset", ask_offset, &shape)?;
    if asks.shape() != bids.shape() {
        return Err(PyValueError::new_err(format!(
            "ask_offset must have shape {shape}, got {:?}",
            asks.shape()
        )));
    }
    let times = vector::<i64>("times", times, Some(rows))?;
    let adjustment = Input::<f64, Ix2>::new("adjustment", adjustment, "(spreads, buckets)")?;
    let (bids, asks, times) = (bids.slice()?, asks.slice()?, times.slice()?);
    let buckets = adjustment.shape()[1];
    let quoter = Quoter::new(
        Offsets {
            values: bids,
            columns,
        },
        Offsets {
            values: asks,
            columns,
        },
        times,
        integer("order_size", order_size)?,
        adjustment.slice()?,
        buckets,
    )
    .map_err(refused)?;
    let settings = settings(
        feed_ns,
        entry,
        response,
        interpolate,
        queue,
        exponent,
        unit,
        partial_fills,
        interval_ns,
        sample_ns,
    )?;
    let events = words(events)?;
    let events = read(&events)?;
    let results = py
        .detach(|| core::replay(events, settings, &quoter))
        .map_err(refused)?;
    tables(py, results)
}

/// A replay that stops at each wake for a strategy to act.
#[pyclass(module = "labkit._kernels")]
struct ReplayEngine {
    engine: Engine,
    events: Vec<i64>,
}

#[pymethods]
impl ReplayEngine {
    #[new]
    #[pyo3(signature = (
        events, feed_ns, entry, response, interpolate, queue, exponent, unit, partial_fills,
        interval_ns, sample_ns
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        events: &Bound<'_, PyAny>,
        feed_ns: &Bound<'_, PyAny>,
        entry: &Bound<'_, PyAny>,
        response: &Bound<'_, PyAny>,
        interpolate: bool,
        queue: &str,
        exponent: &Bound<'_, PyAny>,
        unit: &Bound<'_, PyAny>,
        partial_fills: bool,
        interval_ns: &Bound<'_, PyAny>,
        sample_ns: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let settings = settings(
            feed_ns,
            entry,
            response,
            interpolate,
            queue,
            exponent,
            unit,
            partial_fills,
            interval_ns,
            sample_ns,
        )?;
        let events = words(events)?;
        let rows = Events::unchecked(read(&events)?).map_err(refused)?;
        let engine = Engine::new(settings, rows).map_err(refused)?;
        // Its own copy: the replay reads them again later, as they were checked.
        let events = read(&events)?.to_vec();
        Ok(Self { engine, events })
    }

    /// Goes to the next wake; False, without one, once no event is left.
    fn advance(&mut self, py: Python<'_>) -> PyResult<bool> {
        let Self { engine, events } = self;
        py.detach(|| engine.advance(Events::unchecked(events)?))
            .map_err(refused)
    }

    /// Time on the strategy's clock.
    #[getter]
    fn time_ns(&self) -> i64 {
        self.engine.now()
    }

    /// Lots held, as known.
    #[getter]
    fn position(&self) -> i64 {
        self.engine.position()
    }

    /// Cash before fees, ticks x lots.
    #[getter]
    fn cash(&self) -> i64 {
        self.engine.cash()
    }

    /// Value of fills as maker and as taker, ticks x lots.
    #[getter]
    fn traded(&self) -> (i64, i64) {
        self.engine.traded()
    }

    /// Best bid, its size, best ask, its size; zeros where a side is empty.
    #[getter]
    fn quotes(&self) -> (i64, i64, i64, i64) {
        self.engine.quotes()
    }

    /// First event received since the previous wake, and the one after the last.
    #[getter]
    fn received(&self) -> (usize, usize) {
        self.engine.received()
    }

    /// Size of a level in the book as received.
    fn size_at(&self, side: &Bound<'_, PyAny>, price: &Bound<'_, PyAny>) -> PyResult<i64> {
        let (side, price) = (integer("side", side)?, integer("price", price)?);
        self.engine.size_at(side, price).map_err(refused)
    }

    /// Own orders not known to be closed, (k, 8).
    fn live_orders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let rows = self.engine.live_orders();
        let shape = (rows.len() / core::LIVE_COLUMNS, core::LIVE_COLUMNS);
        output(py, rows, shape)
    }

    /// Sends a new order; returns its id.
    fn submit(
        &mut self,
        side: &Bound<'_, PyAny>,
        price: &Bound<'_, PyAny>,
        size: &Bound<'_, PyAny>,
        kind: &Bound<'_, PyAny>,
    ) -> PyResult<i64> {
        let (side, size) = (integer("side", side)?, integer("size", size)?);
        let (kind, price) = (integer("kind", kind)?, integer("price", price)?);
        self.engine.submit(side, price, size, kind).map_err(refused)
    }

    /// Sends a request to cancel an order not known to be closed.
    fn cancel(&mut self, order_id: &Bound<'_, PyAny>) -> PyResult<()> {
        let id = integer("order_id", order_id)?;
        self.engine.cancel(id).map_err(refused)
    }

    /// Fills, lots ahead at each, orders and series.
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Tables<'py>> {
        tables(py, self.engine.results())
    }
}
