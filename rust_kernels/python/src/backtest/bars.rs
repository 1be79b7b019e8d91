//! Bindings of the backtest kernels.

use labkit_core::backtest::bars::{self as core, Costs, Orders, ACCOUNTS, TRADE};
use numpy::{Ix1, Ix2, PyArray1, PyArray2};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::arrays::{output, refused, vector, Input};
use crate::orderbook::{count, number};

type Run<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray2<f64>>,
);

/// Adds the kernels to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(run_bars, m)?)?;
    m.add_function(wrap_pyfunction!(bars_summary, m)?)?;
    m.add_function(wrap_pyfunction!(moving_average_cross, m)?)
}

/// The arguments of a run, borrowed.
struct Arguments<'py> {
    signals: Input<'py, f64, Ix2>,
    prices: Input<'py, f64, Ix2>,
    capital: f64,
    lag: usize,
    weights: bool,
    rates: Input<'py, f64, Ix2>,
    fee_unit: Input<'py, f64, Ix1>,
    spread_unit: Input<'py, f64, Ix2>,
    impact: Input<'py, f64, Ix2>,
    elapsed: Input<'py, f64, Ix1>,
}

/// A table of `rows` rows (any number where it is `None`) and n columns.
fn table<'py>(
    name: &'static str,
    value: &Bound<'py, PyAny>,
    rows: Option<usize>,
    n: usize,
) -> PyResult<Input<'py, f64, Ix2>> {
    let shape = rows.map_or(format!("(k, {n})"), |rows| format!("({rows}, {n})"));
    let input = Input::<f64, Ix2>::new(name, value, &shape)?;
    let got = input.shape();
    if got[1] != n || rows.is_some_and(|rows| rows != got[0]) {
        let problem = format!(
            "{name} must have shape {shape}, got ({}, {})",
            got[0], got[1]
        );
        return Err(PyValueError::new_err(problem));
    }
    Ok(input)
}

fn flag(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.extract::<bool>().or_else(|_| {
        let kind = value.get_type().name()?;
        let problem = format!("{name} must be True or False, got {kind}");
        Err(PyTypeError::new_err(problem))
    })
}

impl<'py> Arguments<'py> {
    #[allow(clippy::too_many_arguments)]
    fn new(
        signals: &Bound<'py, PyAny>,
        prices: &Bound<'py, PyAny>,
        capital: &Bound<'py, PyAny>,
        lag: &Bound<'py, PyAny>,
        weights: &Bound<'py, PyAny>,
        rates: &Bound<'py, PyAny>,
        fee_unit: &Bound<'py, PyAny>,
        spread_unit: &Bound<'py, PyAny>,
        impact: &Bound<'py, PyAny>,
        elapsed: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let prices = Input::<f64, Ix2>::new("prices", prices, "(T, n)")?;
        let (rows, n) = (prices.shape()[0], prices.shape()[1]);
        Ok(Self {
            signals: table("signals", signals, Some(rows), n)?,
            prices,
            capital: number("capital", capital)?,
            lag: count("lag", lag, 0)?,
            weights: flag("weights", weights)?,
            rates: table("rates", rates, Some(4), n)?,
            fee_unit: vector("fee_unit", fee_unit, Some(n))?,
            spread_unit: table("spread_unit", spread_unit, None, n)?,
            impact: table("impact", impact, None, n)?,
            elapsed: vector("elapsed", elapsed, None)?,
        })
    }

    fn orders(&self) -> PyResult<Orders<'_>> {
        Ok(Orders {
            signals: self.signals.slice()?,
            prices: self.prices.slice()?,
            n: self.prices.shape()[1],
            capital: self.capital,
            lag: self.lag,
            weights: self.weights,
            costs: Costs {
                rates: self.rates.slice()?,
                fee_unit: self.fee_unit.slice()?,
                spread_unit: self.spread_unit.slice()?,
                impact: self.impact.slice()?,
                elapsed: self.elapsed.slice()?,
            },
        })
    }
}

/// Trades towards target positions, bar by bar, and keeps the accounts.
///
/// Returns the positions (T, n), the accounts (T, 4: cash, equity, gross, borrowing), bar and asset
/// of each trade (m, 2), and its quantity, fee, half-spread and slippage (m, 4).
#[pyfunction]
#[pyo3(signature = (signals, prices, capital, lag, weights, rates, fee_unit, spread_unit, impact, elapsed))]
#[allow(clippy::too_many_arguments)]
fn run_bars<'py>(
    py: Python<'py>,
    signals: &Bound<'py, PyAny>,
    prices: &Bound<'py, PyAny>,
    capital: &Bound<'py, PyAny>,
    lag: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    rates: &Bound<'py, PyAny>,
    fee_unit: &Bound<'py, PyAny>,
    spread_unit: &Bound<'py, PyAny>,
    impact: &Bound<'py, PyAny>,
    elapsed: &Bound<'py, PyAny>,
) -> PyResult<Run<'py>> {
    let given = Arguments::new(
        signals,
        prices,
        capital,
        lag,
        weights,
        rates,
        fee_unit,
        spread_unit,
        impact,
        elapsed,
    )?;
    let (rows, n) = (given.prices.shape()[0], given.prices.shape()[1]);
    let orders = given.orders()?;
    let run = py.detach(|| core::run_bars(orders)).map_err(refused)?;
    let trades = run.trades.len() / TRADE;
    Ok((
        output(py, run.positions, (rows, n))?,
        output(py, run.accounts, (rows, ACCOUNTS))?,
        output(py, run.places, (trades, 2))?,
        output(py, run.trades, (trades, TRADE))?,
    ))
}

/// The outcome of `run_bars` alone: last equity, mean and variance of returns, largest drawdown.
#[pyfunction]
#[pyo3(signature = (signals, prices, capital, lag, weights, rates, fee_unit, spread_unit, impact, elapsed))]
#[allow(clippy::too_many_arguments)]
fn bars_summary<'py>(
    py: Python<'py>,
    signals: &Bound<'py, PyAny>,
    prices: &Bound<'py, PyAny>,
    capital: &Bound<'py, PyAny>,
    lag: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    rates: &Bound<'py, PyAny>,
    fee_unit: &Bound<'py, PyAny>,
    spread_unit: &Bound<'py, PyAny>,
    impact: &Bound<'py, PyAny>,
    elapsed: &Bound<'py, PyAny>,
) -> PyResult<(f64, f64, f64, f64)> {
    let given = Arguments::new(
        signals,
        prices,
        capital,
        lag,
        weights,
        rates,
        fee_unit,
        spread_unit,
        impact,
        elapsed,
    )?;
    let orders = given.orders()?;
    let found = py.detach(|| core::bars_summary(orders)).map_err(refused)?;
    Ok((found.equity, found.mean, found.variance, found.depth))
}

/// +1 where the mean of the last `fast` prices is above that of the last `slow`, -1 below.
#[pyfunction]
#[pyo3(signature = (prices, fast, slow))]
fn moving_average_cross<'py>(
    py: Python<'py>,
    prices: &Bound<'py, PyAny>,
    fast: &Bound<'py, PyAny>,
    slow: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let prices = vector::<f64>("prices", prices, None)?;
    let fast = count("fast", fast, 1)?;
    let slow = count("slow", slow, fast.saturating_add(1))?;
    let values = prices.slice()?;
    let signs = py
        .detach(|| core::moving_average_cross(values, fast, slow))
        .map_err(refused)?;
    let length = signs.len();
    output(py, signs, length)
}
