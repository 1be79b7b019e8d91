"""Accounts of a bar backtest, one bar and one account at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks as check
from labkit.reference import metrics

__all__ = ["bars_summary", "moving_average_cross", "run_bars"]

Array = NDArray[np.float64]

BLOCK = 1024  # bars after which the moving sums begin anew, so that their rounding does not grow


class _Costs(NamedTuple):
    """What is paid, checked."""

    rates: Array  # (4, n) of notional: fee, half-spread, slippage; of short value per year: borrow
    fee_unit: Array  # (n,) money per unit
    spread_unit: Array  # (k, n) money per unit, k = 1 or T
    impact: Array  # (k, n) money per squared unit
    elapsed: Array  # (k,) years since the bar before

    def of(self, row: int, quantity: Array, price: Array) -> Array:
        """Fee, half-spread and slippage of every asset (3, n)."""
        size = np.abs(quantity)
        notional = size * np.abs(price)
        spread_unit, impact = (
            table[row if len(table) > 1 else 0] for table in (self.spread_unit, self.impact)
        )
        return np.array(
            [
                self.rates[0] * notional + self.fee_unit * size,
                self.rates[1] * notional + spread_unit * size,
                self.rates[2] * notional + impact * size * size,
            ]
        )


def _not_negative(name: str, values: Array) -> Array:
    for place in np.argwhere(~((values >= 0) & np.isfinite(values))):
        where = ", ".join(map(str, place))
        raise ValueError(
            f"{name}[{where}] must be finite and not negative, got {values[tuple(place)]}"
        )
    return values


def _constant_or_each(name: str, value: Any, rows: int, n: int) -> Array:
    table = check.array(name, value, np.float64, ("k", n))
    if len(table) not in (1, rows):
        raise ValueError(f"{name} must have 1 or {rows} rows, got {len(table)}")
    return _not_negative(name, table)


def _elapsed(value: Any, rows: int) -> Array:
    elapsed = check.array("elapsed", value, np.float64, ("k",))
    if len(elapsed) not in (1, rows):
        raise ValueError(f"elapsed must have 1 or {rows} values, got {len(elapsed)}")
    return _not_negative("elapsed", elapsed)


def _first_bad(signals: Array, prices: Array) -> None:
    """The error of the first price or signal that is no number of money or units."""
    for t, i in np.argwhere(~np.isfinite(prices)):
        raise ValueError(f"prices[{t}, {i}] must be finite, got {prices[t, i]}")
    for t, i in np.argwhere(np.isinf(signals)):
        raise ValueError(f"signals[{t}, {i}] must be finite or NaN, got {signals[t, i]}")


class _Bar(NamedTuple):
    row: int
    positions: Array
    cash: float
    equity: float
    gross: float
    borrow: float
    quantity: Array
    costs: Array


def _sum(values: Array) -> float:
    """From the first to the last, as a loop over the assets does."""
    total = 0.0
    for value in values.tolist():
        total += value
    return total


def _bars(
    signals: Any, prices: Any, capital: Any, lag: Any, weights: Any, costs: tuple[Any, ...]
) -> Iterator[_Bar]:
    prices = check.array("prices", prices, np.float64, ("T", "n"))
    rows, n = prices.shape
    signals = check.array("signals", signals, np.float64, (rows, n))
    capital, lag = check.number("capital", capital), check.count("lag", lag, 0)
    if not isinstance(weights, bool | np.bool_):
        raise TypeError(f"weights must be True or False, got {type(weights).__name__}")
    paid = _Costs(
        _not_negative("rates", check.array("rates", costs[0], np.float64, (4, n))),
        _not_negative("fee_unit", check.array("fee_unit", costs[1], np.float64, (n,))),
        _constant_or_each("spread_unit", costs[2], rows, n),
        _constant_or_each("impact", costs[3], rows, n),
        _elapsed(costs[4], rows),
    )
    if n == 0:
        raise ValueError("prices must have at least 1 column, got 0")
    if not math.isfinite(capital):
        raise ValueError(f"capital must be finite, got {capital}")
    if weights and lag == 0:
        raise ValueError("lag must be at least 1 for weights, got 0")
    _first_bad(signals, prices)
    return _walk(signals, prices, capital, lag, bool(weights), paid)


def _walk(
    signals: Array, prices: Array, capital: float, lag: int, weights: bool, costs: _Costs
) -> Iterator[_Bar]:
    rows, n = prices.shape
    orders = signals.copy() if weights else signals
    cash, held = capital, np.zeros(n)
    for row in range(rows):
        price, before = prices[row], prices[max(row - 1, 0)]
        gross = _sum(held * (price - before))
        short = _sum(costs.rates[3] * np.maximum(-held * before, 0.0))
        borrow = short * costs.elapsed[row if len(costs.elapsed) > 1 else 0]
        wanted = orders[row - lag] if row >= lag else held
        wanted = np.where(np.isnan(wanted), held, wanted)
        quantity = wanted - held
        paid = costs.of(row, quantity, price)
        cash -= borrow
        for i in np.flatnonzero(quantity):
            cash -= quantity[i] * price[i] + (paid[0, i] + paid[1, i] + paid[2, i])
        held = wanted
        equity = cash + _sum(held * price)
        if not math.isfinite(equity):
            raise ValueError(f"signals[{row}] and prices must keep equity finite, got {equity}")
        if weights:
            orders[row] = _units(signals[row], price, equity, row)
        yield _Bar(row, held, float(cash), float(equity), gross, borrow, quantity, paid)


def _units(weights: Array, price: Array, equity: float, row: int) -> Array:
    """Units that are worth the weights at the prices and the equity of the decision."""
    decided = ~np.isnan(weights)
    if decided.any() and equity <= 0:
        raise ValueError(f"signals[{row}] as weights need equity above 0, got {equity}")
    for i in np.flatnonzero(decided & (price <= 0)):
        raise ValueError(f"prices[{row}, {i}] must be positive for a weight, got {price[i]}")
    return np.where(decided, weights * equity / price, math.nan)


def run_bars(
    signals: Array,
    prices: Array,
    capital: float,
    lag: int,
    weights: bool,
    rates: Array,
    fee_unit: Array,
    spread_unit: Array,
    impact: Array,
    elapsed: Array,
) -> tuple[Array, Array, NDArray[np.int64], Array]:
    """Trade towards target positions, bar by bar, and keep the accounts.

    At bar t, in this order: borrowing is paid on the short value of bar t - 1; what was decided at
    bar t - lag is traded at ``prices[t]``; the account is marked at ``prices[t]``; weights
    decided at bar t become units, ``signals[t] * equity[t] / prices[t]``.

    Parameters
    ----------
    signals, prices : ndarray (T, n)
        Units to hold, or weights; NaN is no order. Prices of one unit.
    capital : float
        Cash before the first bar.
    lag : int
        Bars from decision to trade, 0 or more.
    weights : bool
        Whether `signals` are weights of equity.
    rates : ndarray (4, n)
        Fee, half-spread and slippage as shares of notional; borrowing per year of short value.
    fee_unit : ndarray (n,)
        Fee, money per unit.
    spread_unit, impact : ndarray (1, n) or (T, n)
        Half-spread, money per unit; linear impact, money per squared unit.
    elapsed : ndarray (1,) or (T,)
        Years since the bar before.

    Returns
    -------
    positions : ndarray (T, n)
        Units held after each bar.
    accounts : ndarray (T, 4)
        Cash, equity, gross (position of the bar before times the change of price), borrowing paid.
    places : ndarray of int64 (m, 2)
        Bar and asset of each trade.
    trades : ndarray (m, 4)
        Quantity, fee, half-spread and slippage of each.

    Raises
    ------
    ValueError
        A price or a cost is not finite, a cost is negative, a signal is infinite, an account
        overflows; a weight meets equity or a price that is not positive.
    """
    costs = (rates, fee_unit, spread_unit, impact, elapsed)
    with np.errstate(over="ignore", invalid="ignore"):
        bars = list(_bars(signals, prices, capital, lag, weights, costs))
    places = [(bar.row, i) for bar in bars for i in np.flatnonzero(bar.quantity)]
    trades = [[bars[row].quantity[i], *bars[row].costs[:, i]] for row, i in places]
    return (
        np.array([bar.positions for bar in bars]).reshape(prices.shape),
        np.array([[b.cash, b.equity, b.gross, b.borrow] for b in bars], float).reshape(-1, 4),
        np.array(places, dtype=np.int64).reshape(-1, 2),
        np.array(trades, dtype=np.float64).reshape(-1, 4),
    )


def bars_summary(
    signals: Array,
    prices: Array,
    capital: float,
    lag: int,
    weights: bool,
    rates: Array,
    fee_unit: Array,
    spread_unit: Array,
    impact: Array,
    elapsed: Array,
) -> tuple[float, float, float, float]:
    """What is left of `run_bars` when only the outcome counts, without a column of accounts.

    Parameters
    ----------
    signals, prices, capital, lag, weights, rates, fee_unit, spread_unit, impact, elapsed
        As in `run_bars`, with a positive capital.

    Returns
    -------
    equity : float
        After the last bar.
    mean, variance : float
        Of the simple returns from bar to bar (of the sample, n - 1).
    depth : float
        The largest drawdown, as in `labkit.reference.drawdown`.

    Raises
    ------
    ValueError
        As in `run_bars`; equity falls to 0 or below; there are fewer than 3 bars.
    """
    costs = (rates, fee_unit, spread_unit, impact, elapsed)
    bars = _bars(signals, prices, capital, lag, weights, costs)
    if len(prices) < 3:
        raise ValueError(f"prices must have at least 3 rows, got {len(prices)}")
    with np.errstate(over="ignore", invalid="ignore"):
        equity = np.array([bar.equity for bar in bars])
    for row in np.flatnonzero(equity <= 0):
        raise ValueError(f"signals[{row}] must leave equity above 0, got {equity[row]}")
    moments = metrics.return_moments(equity[1:] / equity[:-1] - 1, 0.0)
    depth = metrics.drawdown(equity)[0]
    return float(equity[-1]), moments[0], moments[1] / (len(equity) - 2), depth


def moving_average_cross(prices: Array, fast: int, slow: int) -> Array:
    """+1 where the mean of the last `fast` prices is above that of the last `slow`, -1 below.

    Parameters
    ----------
    prices : ndarray (T,)
    fast, slow : int
        Prices in each mean, ``1 <= fast < slow``.

    Returns
    -------
    ndarray (T,)
        +1, -1, or 0 where the means are equal; NaN before there are `slow` prices.

    Raises
    ------
    ValueError
        A window is out of range, a price is not finite.
    """
    prices = check.array("prices", prices, np.float64, ("T",))
    fast = check.count("fast", fast, 1)
    slow = check.count("slow", slow, fast + 1)
    for row in np.flatnonzero(~np.isfinite(prices)):
        raise ValueError(f"prices[{row}] must be finite, got {prices[row]}")
    signs = np.full(len(prices), math.nan)
    for start in range(slow - 1, len(prices), BLOCK):
        stop = min(start + BLOCK, len(prices))
        with np.errstate(over="ignore", invalid="ignore"):
            gaps = _gaps(prices[start - slow + 1 : stop], fast, slow)
        if not math.isfinite(gaps[-1]):
            raise ValueError("prices must have finite sums")
        signs[start:stop] = np.sign(gaps)
    return signs


def _gaps(prices: Array, fast: int, slow: int) -> Array:
    """The differences of the means times ``fast slow``, which is exact for whole ticks."""
    # From the first price of the block: equal prices have equal means, to the last digit.
    levels = prices - prices[slow - 1]
    first = slow * levels[slow - fast : slow].sum() - fast * levels[:slow].sum()
    steps = slow * (levels[slow:] - levels[slow - fast : -fast])
    steps -= fast * (levels[slow:] - levels[:-slow])
    return np.cumsum(np.append(first, steps))
