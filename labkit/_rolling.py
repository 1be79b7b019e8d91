"""From a portfolio to a strategy: when to trade, and the accounts of it.

Re-estimation through time (`rolling`), rules that turn a spread into positions
(`threshold_positions`, `trade`), and what they earned (`profit_and_loss`), all without look-ahead.
The public names are those of `labkit.meanrev`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labkit import _validate as validate
from labkit._backend import kernels
from labkit.reference import _checks as check

__all__ = [
    "Rolling",
    "Traded",
    "profit_and_loss",
    "rolling",
    "threshold_positions",
    "trade",
]

Array = NDArray[np.float64]

# A portfolio whose range is below this share of its parts holds their rounding only.
_ROUNDING = 1e-13


def _unit_costs(cost: float | pd.Series, columns: pd.Index) -> Array:
    """The proportional cost of one unit of every column."""
    if isinstance(cost, pd.Series):
        validate.labels("cost", cost, columns)
        costs = validate.array("cost", cost, (len(columns),))
    else:
        costs = np.full(len(columns), validate.finite("cost", cost))
    if (costs < 0).any():
        raise ValueError(f"cost must not be negative, got {costs.min()}")
    return costs


def profit_and_loss(
    positions: pd.DataFrame | pd.Series,
    prices: pd.DataFrame | pd.Series,
    *,
    cost: float | pd.Series = 0.0,
    lag: int = 1,
) -> pd.DataFrame:
    """Account for positions: what they earn, what trading them costs.

    ``positions[t]``, decided with what is known at row t, is traded at ``prices[t + lag]`` and
    earns from there on. With ``h[t] = positions[t - lag]`` (flat before), row t has::

        gross    = h[t-1] . (prices[t] - prices[t-1])
        turnover = sum over assets of |h[t] - h[t-1]|
        cost     = sum over assets of cost |h[t] - h[t-1]|
        net      = gross - cost

    An account that starts with no cash and no position, pays for what it buys and pays the costs
    is worth ``cash + h[t] . prices[t] = net[0] + ... + net[t]`` after row t.

    Parameters
    ----------
    positions : DataFrame or Series, shape (T, n) or (T,)
        Units to hold.
    prices : DataFrame or Series, same index and columns
        Prices of one unit, in money; of a portfolio also its value, which may be negative. In order
        of time: the labels of the rows rise.
    cost : float or Series
        Money paid for each unit traded, on either side: of all assets, or of each by its label.
    lag : int
        Rows between a decision and its trade. 0 trades at the very price that was decided upon.

    Returns
    -------
    DataFrame
        Columns gross, cost, net (money) and turnover (units), the index of `prices`.

    Raises
    ------
    ValueError
        Indices or columns differ, rows are out of order, a value is not finite, a cost is
        negative, `lag` is negative.

    Examples
    --------
    >>> prices = pd.Series([10.0, 11.0, 13.0, 12.0])
    >>> profit_and_loss(pd.Series([1, 1, 0, 0]), prices, cost=0.1)
       gross  cost  net  turnover
    0    0.0   0.0  0.0       0.0
    1    0.0   0.1 -0.1       1.0
    2    2.0   0.0  2.0       0.0
    3   -1.0   0.1 -1.1       1.0
    """
    if type(positions) is not type(prices):
        raise TypeError("positions must be a DataFrame or a Series as prices are")
    units, values = validate.frame("positions", positions), validate.frame("prices", prices)
    if not units.index.equals(values.index):
        raise ValueError("positions must have the index of prices")
    if isinstance(prices, pd.DataFrame) and not units.columns.equals(values.columns):
        raise ValueError("positions must have the columns of prices, in the same order")
    validate.increasing("prices", values.index)
    costs = _unit_costs(cost, values.columns)
    lag = check.count("lag", lag, 0)
    targets, array = np.ascontiguousarray(units), np.ascontiguousarray(values)
    zeros = np.zeros((1, len(costs)))
    _, accounts, places, trades = kernels.run_bars(
        targets,
        array,
        0.0,
        lag,
        False,
        np.zeros((4, len(costs))),
        costs,
        zeros,
        zeros,
        zeros[0, :1],
    )
    gross, rows = accounts[:, 2].copy(), places[:, 0]
    paid, traded = (
        np.bincount(rows, amounts, len(array)) for amounts in (trades[:, 1], np.abs(trades[:, 0]))
    )
    return pd.DataFrame(
        {"gross": gross, "cost": paid, "net": gross - paid, "turnover": traded}, index=values.index
    )


def threshold_positions(
    values: ArrayLike | pd.Series,
    entry: float,
    exit: float,
    *,
    level: float = 0.0,
    symmetric: bool = True,
) -> NDArray[np.int64] | pd.Series:
    """Long from `entry` to `exit`, and short between their mirror images; else nothing.

    At each value, in this order: a long position ends at ``values >= exit``, a short one at
    ``values <= 2 level - exit``; then, where nothing is held, a long one begins at ``values <=
    entry``, a short one at ``values >= 2 level - entry``. So where `exit` is the mirror image of
    `entry`, as at Bertram's (2010) optimum, a position is turned over at once and never closed.

    Parameters
    ----------
    values : array_like or Series, shape (T,)
        The spread, in order of time. Position t depends on ``values[:t + 1]`` only.
    entry, exit : float
        Where a long position begins and ends, ``entry < exit``, in the units of `values`.
    level : float
        The centre of reflection: mu of the process.
    symmetric : bool
        Whether to trade the short side also; then ``entry < level``.

    Returns
    -------
    ndarray of int64 or Series, shape (T,)
        -1, 0 or +1 from each value on.

    Raises
    ------
    ValueError
        `entry` is not below `exit`, or not below `level` with `symmetric`; a value is not finite.

    Examples
    --------
    >>> threshold_positions([0, -2, -1, 1, 3, 0, -1], entry=-2, exit=0)
    array([ 0,  1,  1,  0, -1,  0,  0])
    >>> threshold_positions([0, -2, -1, 1, 3, 0, -2], entry=-2, exit=2)
    array([ 0,  1,  1,  1, -1, -1,  1])
    """
    entry, exit, level = (
        validate.finite("entry", entry),
        validate.finite("exit", exit),
        validate.finite("level", level),
    )
    if not entry < exit:
        raise ValueError(f"entry must be below exit = {exit}, got {entry}")
    if symmetric and not entry < level:
        raise ValueError(f"entry must be below level = {level}, got {entry}")
    array = validate.array("values", values, (None,))
    short_entry = 2 * level - entry if symmetric else math.inf
    short_exit = 2 * level - exit
    states, state = [], 0
    for value in array.tolist():
        if (state == 1 and value >= exit) or (state == -1 and value <= short_exit):
            state = 0
        if state == 0:
            state = 1 if value <= entry else -1 if value >= short_entry else 0
        states.append(state)
    result = np.array(states, dtype=np.int64)
    return pd.Series(result, values.index) if isinstance(values, pd.Series) else result


@dataclass(frozen=True)
class Rolling:
    """Weights that were estimated again and again, each time from the past.

    Attributes
    ----------
    weights : DataFrame, shape (T, n)
        Weights known at each row; NaN before the first estimate.
    decisions : Index
        Labels of the rows at which weights were estimated.
    choices : list
        What the estimator returned at each of them.
    window, every : int
        Rows an estimate sees, and rows from one to the next.
    """

    weights: pd.DataFrame
    decisions: pd.Index
    choices: list[Any] = field(repr=False)
    window: int
    every: int

    @property
    def rows(self) -> range:
        """Row numbers of the decisions."""
        return range(self.window - 1, len(self.weights), self.every)


def _weights(choice: Any, columns: pd.Index) -> Array:
    """Weights over all columns from what an estimator returned."""
    if choice is None:
        return np.zeros(len(columns))
    weights = getattr(choice, "weights", choice)
    if not isinstance(weights, pd.Series):
        raise TypeError(
            "select must return a Series, an object with .weights or None, "
            f"got {type(choice).__name__}"
        )
    if not weights.index.is_unique or not weights.index.isin(columns).all():
        raise ValueError(f"select must return weights of columns of prices, got {weights.index}")
    return validate.array("select", weights.reindex(columns, fill_value=0.0), (len(columns),))


def rolling(
    prices: pd.DataFrame,
    select: Callable[[pd.DataFrame], Any],
    *,
    window: int,
    every: int,
) -> Rolling:
    """Estimate weights on a moving window and hold them until the next estimate.

    At rows ``t = window - 1, window - 1 + every, ...`` the estimator sees a copy of rows
    ``t - window + 1`` to t and nothing else, so no weight depends on a later price.

    Parameters
    ----------
    prices : DataFrame, shape (T, n)
        In order of time: the labels of the rows rise.
    select : callable
        Takes the window and returns a Series of weights over columns (those left out get 0), an
        object with such `.weights`, or None for no position.
    window : int
        Rows an estimate sees, at least 2.
    every : int
        Rows from one estimate to the next, at least 1.

    Returns
    -------
    Rolling

    Raises
    ------
    ValueError
        Rows of `prices` are out of order or fewer than the window, a price or a weight is not
        finite, a weight belongs to no column.

    Examples
    --------
    >>> prices = pd.DataFrame({"a": [1.0, 2.0, 4.0, 3.0], "b": [1.0, 1.0, 2.0, 2.0]})
    >>> result = rolling(prices, lambda seen: seen.iloc[-1], window=2, every=2)
    >>> list(result.decisions), result.weights["a"].tolist()
    ([1, 3], [nan, 2.0, 2.0, 3.0])
    """
    if not isinstance(prices, pd.DataFrame):
        raise TypeError(f"prices must be a DataFrame, got {type(prices).__name__}")
    prices = validate.frame("prices", prices)
    validate.increasing("prices", prices.index)
    window, every = check.count("window", window, 2), check.count("every", every, 1)
    if window > len(prices):
        raise ValueError(f"window must be at most the {len(prices)} rows of prices, got {window}")
    weights = np.full(prices.shape, math.nan)
    choices = []
    rows = range(window - 1, len(prices), every)
    for row in rows:
        choice = select(prices.iloc[row - window + 1 : row + 1].copy())
        choices.append(choice)
        weights[row : row + every] = _weights(choice, prices.columns)
    frame = pd.DataFrame(weights, index=prices.index, columns=prices.columns)
    return Rolling(frame, prices.index[list(rows)], choices, window, every)


@dataclass(frozen=True)
class Traded:
    """A strategy that was run over a sample.

    Attributes
    ----------
    positions : DataFrame, shape (T, n)
        Units of each asset, decided at each row; 0 before the first estimate.
    exposure : Series, shape (T,)
        Units of the portfolio of the time; `positions` are its weights times this.
    pnl : DataFrame
        As `profit_and_loss` gives it.
    fits : list
        The Ornstein-Uhlenbeck fit of each decision, None where the weights were zero.
    """

    positions: pd.DataFrame
    exposure: pd.Series
    pnl: pd.DataFrame
    fits: list[Any] = field(repr=False)


def _fit(spread: Array, size: float, dt: float, label: Any) -> Any:
    """The process of a portfolio in its window; `size` is what its parts add up to unsigned."""
    from labkit.ou import fit

    place = f"in the window up to {label}"
    if np.ptp(spread[:-1]) <= _ROUNDING * size:
        raise ValueError(
            f"prices must vary in the portfolio of rolling.weights, which is constant {place}"
        )
    try:
        return fit(spread, dt)
    except ValueError as error:
        raise ValueError(
            "prices must give the portfolio of rolling.weights a value x that can be fitted; "
            f"{place}, {error}"
        ) from error


def _log_exposure(values: Array, fit: Any, limit: float) -> Array:
    exposure = fit.theta * (fit.mu - values) / fit.sigma**2
    return np.clip(exposure, -limit, limit)


def _threshold_exposure(values: Array, fit: Any, unit: float, round_trip: float) -> Array:
    from labkit.ou import bertram_thresholds

    if round_trip <= 0:
        raise ValueError("cost must be positive for the rule 'thresholds', got 0 for a portfolio")
    try:
        best = bertram_thresholds(fit.theta, fit.mu, fit.sigma, round_trip)
    except ValueError:
        # The parameters are a fit's, so what is refused is a cost that no cycle would ever earn.
        return np.zeros_like(values)
    return unit * threshold_positions(values, best.entry, best.exit, level=fit.mu)


def trade(
    prices: pd.DataFrame,
    rolling: Rolling,
    rule: str = "log",
    *,
    cost: float | pd.Series = 0.0,
    dt: float = 1.0,
    max_exposure: float | None = None,
    lag: int = 1,
) -> Traded:
    """Trade the portfolios of `rolling` as if each were an Ornstein-Uhlenbeck process.

    At each decision the process is fitted (`labkit.ou.fit`) to the portfolio's value x in the
    window; from that row until the next decision the exposure follows from x, theta, mu and sigma.
    A fit whose status is not "mean reverting" holds nothing, and neither does the rule "thresholds"
    where a round trip costs more than any cycle would ever earn.

    rule "log": ``theta (mu - x) / sigma**2`` units, what `jurek_yang` gives for logarithmic utility
    at no interest, with a capital that stays 1 (gains are not reinvested).

    rule "thresholds": ``1 / (sigma sqrt(dt))`` units long or short, so that profit is counted in
    standard deviations of one row, by `threshold_positions` at the thresholds of Bertram (2010)
    that earn most per time when a round trip costs ``2 sum(cost |weights|)``. The state
    at the decision is the one that the same thresholds would have reached in the window.

    Parameters
    ----------
    prices : DataFrame, shape (T, n)
        As given to `rolling`.
    rolling : Rolling
        Weights; their scale does not matter to the rules, save for rounding.
    rule : {"log", "thresholds"}
        How exposure follows from the spread.
    cost : float or Series
        As in `profit_and_loss`. The rule "thresholds" takes it into account, and needs it positive.
    dt : float
        Time between rows, in the unit of time that theta shall have.
    max_exposure : float, optional
        Cap on the rule "log", in units of ``1 / (sigma sqrt(dt))``: the largest standard deviation
        of one row's profit, as a fraction of the capital. Without it there is none.
    lag : int
        As in `profit_and_loss`.

    Returns
    -------
    Traded

    Raises
    ------
    ValueError
        The index or columns are not those of `rolling`, whose window is below 4; the rule is
        unknown, or lacks a positive cost, or is given a cap that it does not use; a portfolio's
        value is constant in its window, or follows a recursion without innovations.
    """
    values = _check_trade(prices, rolling, rule, max_exposure)
    costs, dt = _unit_costs(cost, values.columns), validate.positive("dt", dt)
    cap = math.inf if max_exposure is None else validate.positive("max_exposure", max_exposure)
    weights, array = rolling.weights.fillna(0.0).to_numpy(), np.ascontiguousarray(values)
    exposure, fits = np.zeros(len(values)), []
    for row in rolling.rows:
        first, last = row - rolling.window + 1, min(row + rolling.every, len(values))
        chosen = weights[row]
        if not chosen.any():
            fits.append(None)
            continue
        # Row by row: a matrix product may round a row by how many rows come after it.
        spread = np.sum(array[first:last] * chosen, axis=1)
        size = np.abs(array[first : row + 1]) @ np.abs(chosen)
        fitted = _fit(spread[: rolling.window], size.max(), dt, values.index[row])
        fits.append(fitted)
        if fitted.status != "mean reverting":
            continue
        unit = 1 / (fitted.sigma * math.sqrt(dt))
        if rule == "log":
            path = _log_exposure(spread, fitted, cap * unit)
        else:
            path = _threshold_exposure(spread, fitted, unit, 2 * float(costs @ np.abs(chosen)))
        exposure[row:last] = path[rolling.window - 1 :]
    positions = pd.DataFrame(
        weights * exposure[:, None], index=values.index, columns=values.columns
    )
    pnl = profit_and_loss(positions, values, cost=cost, lag=lag)
    return Traded(positions, pd.Series(exposure, values.index), pnl, fits)


def _check_trade(
    prices: pd.DataFrame, rolling: Rolling, rule: str, max_exposure: float | None
) -> pd.DataFrame:
    if not isinstance(prices, pd.DataFrame):
        raise TypeError(f"prices must be a DataFrame, got {type(prices).__name__}")
    if not isinstance(rolling, Rolling):
        raise TypeError(f"rolling must be a Rolling, got {type(rolling).__name__}")
    if not prices.index.equals(rolling.weights.index):
        raise ValueError("prices must have the index of rolling.weights")
    if not prices.columns.equals(rolling.weights.columns):
        raise ValueError("prices must have the columns of rolling.weights, in the same order")
    if rolling.window < 4:
        raise ValueError(f"rolling must have a window of at least 4 rows, got {rolling.window}")
    if rule not in ("log", "thresholds"):
        raise ValueError(f"rule must be 'log' or 'thresholds', got {rule!r}")
    if rule == "thresholds" and max_exposure is not None:
        raise ValueError("max_exposure must be None with the rule 'thresholds', which has one size")
    return validate.frame("prices", prices)
