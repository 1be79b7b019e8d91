"""Backtests on bars: an account that is exact, and target positions run through one.

The public names are those of `labkit.backtest`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit import _validate as validate
from labkit import metrics
from labkit._backend import kernels
from labkit.reference import _checks as check

__all__ = [
    "Backtest",
    "Borrow",
    "Costs",
    "Fee",
    "HalfSpread",
    "Portfolio",
    "Slippage",
    "moving_average_cross",
    "run",
    "run_summary",
]

Array = NDArray[np.float64]
PerAsset = float | pd.Series

DAY_COUNT = pd.Timedelta(days=365)  # ACT/365


class Portfolio:
    """The account of several assets: cash, positions and what they are worth.

    After every event ``cash + sum(positions * marks) == equity``, and
    ``realised + unrealised - fees == equity - cash`` at the start. Positions are closed at their
    average cost: a trade towards zero realises ``(price - average) * units``, one away from zero
    moves the average, one through zero does both.

    Parameters
    ----------
    cash : float
        Money at the start.
    assets : sequence
        Distinct labels.

    Raises
    ------
    TypeError, ValueError
        Cash is no finite number; there is no asset, or one twice; assets are one str.

    Examples
    --------
    >>> account = Portfolio(100_000.0, ["X", "Y"])
    >>> account.trade("X", -10, 100.0)
    >>> account.equity
    100000.0
    >>> account.mark({"X": 150.0})
    >>> account.equity, account.unrealised
    (99500.0, -500.0)
    """

    def __init__(self, cash: float, assets: Sequence[Hashable]) -> None:
        self._cash = self._initial = validate.finite("cash", cash)
        if isinstance(assets, str) or not isinstance(assets, Iterable):
            raise TypeError(f"assets must be a sequence of labels, got {type(assets).__name__}")
        index = pd.Index(list(assets))
        if len(index) == 0 or not index.is_unique:
            raise ValueError(f"assets must be distinct labels, at least one, got {list(assets)}")
        self._assets = index
        self._place = {label: i for i, label in enumerate(index)}
        self._units = [0.0] * len(index)
        self._average = [0.0] * len(index)
        self._marks = [math.nan] * len(index)
        self._fees = self._realised = 0.0
        self._log: list[tuple[Any, ...]] = []

    def _at(self, asset: Hashable) -> int:
        if asset not in self._place:
            raise ValueError(f"asset must be one of {list(self._assets)}, got {asset!r}")
        return self._place[asset]

    def trade(
        self,
        asset: Hashable,
        quantity: float,
        price: float,
        *,
        fee: float = 0.0,
        time: Any = None,
    ) -> None:
        """Buy (quantity above 0) or sell (below); the asset is then marked at `price`.

        Parameters
        ----------
        asset : label
        quantity : float
            Signed units, not 0.
        price : float
            Money for one unit.
        fee : float
            Money paid besides; negative where it is received.
        time : optional
            Of the trade, for the log; not before that of the last trade.

        Raises
        ------
        TypeError, ValueError
            The asset is unknown, a number is not finite, the quantity is 0, time runs back.
        """
        i = self._at(asset)
        quantity, price = validate.finite("quantity", quantity), validate.finite("price", price)
        fee = validate.finite("fee", fee)
        if quantity == 0:
            raise ValueError("quantity must not be 0")
        if time is not None and self._log and self._log[-1][0] is not None:
            last = self._log[-1][0]
            if time < last:
                raise ValueError(
                    f"time must not be before that of the last trade {last}, got {time}"
                )
        realised = self._close(i, quantity, price)
        self._cash -= quantity * price + fee
        self._fees += fee
        self._realised += realised
        self._marks[i] = price
        self._log.append((time, asset, quantity, price, fee, realised))

    def _close(self, i: int, quantity: float, price: float) -> float:
        """Change position and average cost; the profit that is realised."""
        held, average = self._units[i], self._average[i]
        after = self._units[i] = held + quantity
        if held == 0 or (held > 0) == (quantity > 0):
            self._average[i] = (held * average + quantity * price) / after
            return 0.0
        through = after != 0 and (held > 0) != (after > 0)
        self._average[i] = price if through else average
        return (held if through else -quantity) * (price - average)

    def mark(self, prices: Mapping[Hashable, float] | pd.Series) -> None:
        """Value assets at `prices`; those left out keep their marks.

        Raises
        ------
        TypeError, ValueError
            An asset is unknown, a price is not finite; then no mark is changed.
        """
        marks = {
            self._at(asset): validate.finite(f"prices[{asset!r}]", price)
            for asset, price in prices.items()
        }
        for i, price in marks.items():
            self._marks[i] = price

    def _series(self, values: list[float]) -> pd.Series:
        return pd.Series(values, self._assets, dtype=np.float64)

    @property
    def cash(self) -> float:
        """Money, after all trades and fees."""
        return self._cash

    @property
    def positions(self) -> pd.Series:
        """Units of each asset, negative where it was sold short."""
        return self._series(self._units)

    @property
    def marks(self) -> pd.Series:
        """The last price of each asset, from a trade or from `mark`; NaN where there was none."""
        return self._series(self._marks)

    @property
    def average_costs(self) -> pd.Series:
        """Average price at which each position was opened; NaN where there is none."""
        costs = zip(self._average, self._units, strict=True)
        return self._series([cost if units else math.nan for cost, units in costs])

    @property
    def equity(self) -> float:
        """Cash and the value of all positions at their marks."""
        held = zip(self._units, self._marks, strict=True)
        return self._cash + sum(units * mark for units, mark in held if units)

    @property
    def fees(self) -> float:
        """All fees paid."""
        return self._fees

    @property
    def realised(self) -> float:
        """Profit of what was closed, against its average cost, before fees."""
        return self._realised

    @property
    def unrealised(self) -> float:
        """Profit of what is held, at the marks against its average cost."""
        held = zip(self._units, self._marks, self._average, strict=True)
        return float(sum(units * (mark - average) for units, mark, average in held if units))

    @property
    def trades(self) -> pd.DataFrame:
        """The log: time, asset, quantity, price, fee and realised profit of each trade."""
        columns = ["time", "asset", "quantity", "price", "fee", "realised"]
        return pd.DataFrame(self._log, columns=columns)

    def __repr__(self) -> str:
        held = {a: u for a, u in zip(self._assets, self._units, strict=True) if u}
        return f"Portfolio(equity={self.equity:g}, cash={self.cash:g}, positions={held})"


# Costs


@dataclass(frozen=True)
class Fee:
    """Commission: ``rate * |quantity * price| + per_unit * |quantity|``.

    Attributes
    ----------
    rate : float or Series
        Share of the notional, of all assets or of each by its label.
    per_unit : float or Series
        Money for each unit.
    """

    rate: PerAsset = 0.0
    per_unit: PerAsset = 0.0


@dataclass(frozen=True)
class HalfSpread:
    """Half the distance from bid to ask: ``(rate * |price| + quote) * |quantity|``.

    Attributes
    ----------
    rate : float or Series
        Share of the price, of all assets or of each by its label.
    quote : float, Series or DataFrame
        Money for each unit; a DataFrame with the rows and columns of the prices gives it bar by
        bar, and the one at the bar of the trade counts.
    """

    rate: PerAsset = 0.0
    quote: float | pd.Series | pd.DataFrame = 0.0


@dataclass(frozen=True)
class Slippage:
    """What the trade moves its own price by: ``(rate + impact |quantity| / volume)`` of it.

    The linear term is temporary impact as in Almgren & Chriss, "Optimal execution of portfolio
    transactions", Journal of Risk 3 (2001), with the bar's volume as the measure of liquidity. The
    price of later trades is not moved.

    Attributes
    ----------
    rate : float or Series
        Share of the notional, of all assets or of each by its label.
    impact : float or Series
        Share of the price by which a trade of a whole bar's volume moves it.
    volume : DataFrame or Series, optional
        Units traded in the market in each bar, positive, with the rows and columns of the prices.
        Needed by `impact`. That of the bar of the trade counts.
    """

    rate: PerAsset = 0.0
    impact: PerAsset = 0.0
    volume: pd.DataFrame | pd.Series | None = None


@dataclass(frozen=True)
class Borrow:
    """Interest on the market value of short positions, by elapsed time (ACT/365).

    From one bar to the next ``rate * max(-position * price, 0) * days / 365`` with position and
    price of the earlier bar.

    Attributes
    ----------
    rate : float or Series
        Per year, of all assets or of each by its label.
    """

    rate: PerAsset = 0.0


@dataclass(frozen=True)
class Costs:
    """What trading and holding cost; nothing by default.

    Attributes
    ----------
    fee : Fee or float
    half_spread : HalfSpread or float
    slippage : Slippage or float
    borrow : Borrow or float
        A number stands for the model with that rate.

    Raises
    ------
    TypeError
        One is neither a number nor its model.

    Examples
    --------
    >>> Costs(fee=0.001, half_spread=HalfSpread(quote=0.005)).fee
    Fee(rate=0.001, per_unit=0.0)
    """

    fee: Fee | float = field(default_factory=Fee)
    half_spread: HalfSpread | float = field(default_factory=HalfSpread)
    slippage: Slippage | float = field(default_factory=Slippage)
    borrow: Borrow | float = field(default_factory=Borrow)

    def __post_init__(self) -> None:
        kinds = {"fee": Fee, "half_spread": HalfSpread, "slippage": Slippage, "borrow": Borrow}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                object.__setattr__(self, name, kind(rate=validate.finite(name, value)))


def _per_asset(name: str, value: PerAsset, columns: pd.Index) -> Array:
    """One number, not negative, for every column."""
    if isinstance(value, pd.Series):
        validate.labels(name, value, columns)
        numbers = validate.array(name, value, (len(columns),))
    else:
        numbers = np.full(len(columns), validate.finite(name, value))
    if (numbers < 0).any():
        raise ValueError(f"{name} must not be negative, got {numbers.min()}")
    return numbers


def _table(name: str, value: Any, prices: pd.DataFrame) -> Array:
    """Values bar by bar, labelled as the prices are; a Series is the one column."""
    if isinstance(value, pd.Series) and len(prices.columns) == 1:
        value = value.to_frame(prices.columns[0])
    if not isinstance(value, pd.DataFrame):
        raise TypeError(f"{name} must be labelled as prices are, got {type(value).__name__}")
    table = validate.frame(name, value)
    _same_labels(name, table, prices)
    if (table.to_numpy() < 0).any():
        raise ValueError(f"{name} must not be negative, got {table.to_numpy().min()}")
    return table.to_numpy()


def _same_labels(name: str, table: pd.DataFrame, prices: pd.DataFrame) -> None:
    if not table.index.equals(prices.index):
        raise ValueError(f"{name} must have the index of prices")
    if not table.columns.equals(prices.columns):
        raise ValueError(f"{name} must have the columns of prices, in the same order")


def _spread_unit(spread: HalfSpread, prices: pd.DataFrame, single: bool) -> Array:
    by_bar = isinstance(spread.quote, pd.DataFrame) or (
        single and isinstance(spread.quote, pd.Series)
    )
    if by_bar:
        return _table("half_spread.quote", spread.quote, prices)
    return _per_asset("half_spread.quote", spread.quote, prices.columns)[None]


def _impact(slippage: Slippage, prices: pd.DataFrame) -> Array:
    """Money per squared unit."""
    share = _per_asset("slippage.impact", slippage.impact, prices.columns)
    if slippage.volume is None:
        if share.any():
            raise ValueError("slippage.volume must be given with an impact")
        return np.zeros((1, len(share)))
    volume = _table("slippage.volume", slippage.volume, prices)
    if (volume == 0).any():
        raise ValueError("slippage.volume must be positive, got 0")
    return share * np.abs(prices.to_numpy()) / volume


def _elapsed(index: pd.Index, needed: bool) -> Array:
    """Years (ACT/365) since the bar before; not `needed` where nothing is borrowed."""
    if not needed:
        return np.zeros(1)
    if not isinstance(index, pd.DatetimeIndex):
        raise TypeError(f"prices must have timestamps to borrow by, got {type(index).__name__}")
    return np.append(0.0, np.diff(index) / DAY_COUNT)[: len(index)]


def _cost_arrays(costs: Costs, prices: pd.DataFrame, single: bool) -> tuple[Array, ...]:
    """The cost arguments of the kernel."""
    if not isinstance(costs, Costs):
        raise TypeError(f"costs must be Costs, got {type(costs).__name__}")
    columns = prices.columns
    parts = ("fee", "half_spread", "slippage", "borrow")
    rates = [_per_asset(f"{part}.rate", getattr(costs, part).rate, columns) for part in parts]
    return (
        np.array(rates),
        _per_asset("fee.per_unit", costs.fee.per_unit, columns),
        _spread_unit(costs.half_spread, prices, single),
        _impact(costs.slippage, prices),
        _elapsed(prices.index, bool(rates[3].any())),
    )


# Target positions


@dataclass(frozen=True, eq=False)
class Backtest:
    """What a run of target positions held, paid and was worth.

    Attributes
    ----------
    equity, cash : Series, shape (T,)
        After each bar, money.
    positions : DataFrame, shape (T, n)
        Units held after each bar.
    gross : Series, shape (T,)
        What the positions of the bar before earned by the change of prices, before costs.
    costs : DataFrame, shape (T, 4)
        Columns fee, spread, slippage and borrow: money paid in each bar.
    trades : DataFrame, shape (m, 7)
        Columns time, asset, quantity, price, fee, spread, slippage. The price is that of the bar;
        what the trade costs besides stands in its own columns, in money.
    turnover : Series, shape (T,)
        Notional traded in each bar, money: ``sum(|quantity * price|)``.
    capital : float
        Cash before the first bar. ``equity[t] == capital + sum(gross[:t+1]) - sum(costs[:t+1])``.
    """

    equity: pd.Series
    cash: pd.Series
    positions: pd.DataFrame
    gross: pd.Series
    costs: pd.DataFrame
    trades: pd.DataFrame = field(repr=False)
    turnover: pd.Series
    capital: float

    @property
    def returns(self) -> pd.Series:
        """Simple returns of the equity, from the second bar on.

        Raises
        ------
        ValueError
            Equity was 0 or below: what follows has no return.
        """
        return metrics.simple_returns(self.equity)

    def summary(
        self, *, risk_free: float = 0.0, periods_per_year: float | None = None
    ) -> pd.Series:
        """`labkit.metrics.summary` of the equity, the yearly turnover and the costs.

        Besides the figures listed there: turnover (`labkit.metrics.turnover`), trades (how many),
        and cost (all of it, as a share of the capital).

        Raises
        ------
        TypeError, ValueError
            As `labkit.metrics.summary`.
        """
        figures = metrics.summary(
            equity=self.equity, risk_free=risk_free, periods_per_year=periods_per_year
        )
        a_year = figures["periods_per_year"]
        figures["turnover"] = metrics.turnover(self.turnover, self.equity, periods_per_year=a_year)
        figures["trades"] = float(len(self.trades))
        figures["cost"] = float(self.costs.to_numpy().sum()) / self.capital
        return figures


def _inputs(
    signals: pd.DataFrame | pd.Series, prices: pd.DataFrame | pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Signals and prices as tables with the same labels; signals may be NaN."""
    if type(signals) is not type(prices):
        raise TypeError("signals must be a DataFrame or a Series as prices are")
    values = validate.frame("prices", prices)
    table = signals.to_frame() if isinstance(signals, pd.Series) else signals
    numbers = validate.numbers("signals", table.to_numpy())
    if isinstance(signals, pd.DataFrame):
        _same_labels("signals", table, values)
    elif not table.index.equals(values.index):
        raise ValueError("signals must have the index of prices")
    if np.isinf(numbers).any():
        row, column = np.argwhere(np.isinf(numbers))[0]
        place = f"row {values.index[row]}, column {values.columns[column]}"
        raise ValueError(f"signals must be finite or NaN, got {numbers[row, column]} at {place}")
    validate.increasing("prices", values.index)
    return pd.DataFrame(numbers, values.index, values.columns), values


def _lag(lag: int) -> int:
    bars = check.count("lag", lag, 0)
    if bars == 0:
        raise ValueError(
            "lag must be at least 1, got 0: no price can be traded that was decided on"
        )
    return bars


def run(
    signals: pd.DataFrame | pd.Series,
    prices: pd.DataFrame | pd.Series,
    costs: Costs | None = None,
    *,
    capital: float,
    lag: int = 1,
    unit: str = "units",
) -> Backtest:
    """Trade towards target positions and keep the accounts.

    What is decided at bar t is traded at ``prices[t + lag]``, whole, and held from there. At each
    bar, in this order: interest on what is short since the bar before; trades; the marking of
    every asset at its own price of the bar. Costs are paid from cash at once.

    Parameters
    ----------
    signals : DataFrame or Series, shape (T, n) or (T,)
        Targets, in `unit`. NaN is no order: the units held stay.
    prices : DataFrame or Series
        Prices of one unit, same index and columns, rows in order of time.
    costs : Costs, optional
        None by default.
    capital : float
        Cash before the first bar, positive.
    lag : int
        Bars from a decision to its trade, at least 1.
    unit : str
        Of `signals`: ``"units"`` of the asset; ``"notional"``, money, made units at the price of
        bar t; ``"weight"``, share of equity, made units at price and equity of bar t. So the size
        of an order is known when it is sent, and nothing later enters it; at the trade the
        notional or weight is off by what prices did in between. A constant weight is rebalanced
        at every bar, a weight followed by NaN is bought once.

    Returns
    -------
    Backtest

    Raises
    ------
    TypeError, ValueError
        Index or columns differ, rows are out of order, a price is not finite, a signal infinite, a
        cost negative; lag is below 1; there are no timestamps to borrow by; with notional or
        weight a price is not positive, or equity is not when a weight is decided.

    Examples
    --------
    >>> days = pd.date_range("2024-01-01", periods=4)
    >>> prices = pd.Series([10.0, 10.0, 12.0, 11.0], days)
    >>> result = run(pd.Series([5.0, 5.0, 0.0, 0.0], days), prices, Costs(fee=0.01), capital=100.0)
    >>> result.equity.tolist()
    [100.0, 99.5, 109.5, 103.95]
    >>> result.trades[["quantity", "price", "fee"]].to_numpy().tolist()
    [[5.0, 10.0, 0.5], [-5.0, 11.0, 0.55]]
    """
    arrays, table = _arguments(signals, prices, costs, capital, lag, unit)
    return _backtest(table, arrays[2], kernels.run_bars(*arrays))


def run_summary(
    signals: pd.DataFrame | pd.Series,
    prices: pd.DataFrame | pd.Series,
    costs: Costs | None = None,
    *,
    capital: float,
    lag: int = 1,
    unit: str = "units",
    periods_per_year: float | None = None,
) -> pd.Series:
    """What comes of `run`, in one pass that keeps no account of the bars: for sweeps.

    Parameters
    ----------
    signals, prices, costs, capital, lag, unit
        As in `run`.
    periods_per_year : float, optional
        By default from the timestamps.

    Returns
    -------
    Series of float
        final_equity; total_return, annual_return, volatility, sharpe and max_drawdown as in
        `labkit.metrics.summary`.

    Raises
    ------
    TypeError, ValueError
        As `run`; equity falls to 0 or below; there are fewer than 3 bars, or no timestamps and no
        `periods_per_year`.

    Examples
    --------
    >>> days = pd.date_range("2024-01-01", periods=4)
    >>> prices = pd.Series([10.0, 10.0, 12.0, 11.0], days)
    >>> figures = run_summary(pd.Series([5.0, 5.0, 0.0, 0.0], days), prices, capital=100.0)
    >>> figures[["final_equity", "total_return", "max_drawdown"]].round(4).tolist()
    [105.0, 0.05, 0.0455]
    """
    arrays, table = _arguments(signals, prices, costs, capital, lag, unit)
    if periods_per_year is None:
        a_year = metrics.annualization(table.index)
    else:
        a_year = validate.positive("periods_per_year", periods_per_year)
    equity, mean, variance, depth = kernels.bars_summary(*arrays)
    growth, deviation = equity / capital, math.sqrt(variance)
    return pd.Series(
        {
            "final_equity": equity,
            "total_return": growth - 1,
            "annual_return": metrics.annual_growth(growth, (len(table) - 1) / a_year),
            "volatility": deviation * math.sqrt(a_year),
            "sharpe": mean / deviation * math.sqrt(a_year) if deviation > 0 else math.nan,
            "max_drawdown": depth,
        }
    )


def _arguments(
    signals: pd.DataFrame | pd.Series,
    prices: pd.DataFrame | pd.Series,
    costs: Costs | None,
    capital: float,
    lag: int,
    unit: str,
) -> tuple[tuple[Any, ...], pd.DataFrame]:
    """What the kernels take, and the prices as a table."""
    targets, values = _inputs(signals, prices)
    capital, lag = validate.positive("capital", capital), _lag(lag)
    if unit not in ("units", "notional", "weight"):
        raise ValueError(f"unit must be 'units', 'notional' or 'weight', got {unit!r}")
    paid = _cost_arrays(Costs() if costs is None else costs, values, isinstance(prices, pd.Series))
    wanted, array = np.ascontiguousarray(targets), np.ascontiguousarray(values)
    if unit != "units" and (array <= 0).any():
        raise ValueError(f"prices must be positive with the unit {unit!r}, got {array.min()}")
    if unit == "notional":
        wanted = wanted / array
    return (wanted, array, capital, lag, unit == "weight", *paid), values


def _backtest(prices: pd.DataFrame, capital: float, result: tuple[Array, ...]) -> Backtest:
    positions, accounts, places, trades = result
    index, rows = prices.index, places[:, 0]
    cash, equity, gross, borrow = accounts.T
    price = prices.to_numpy()[rows, places[:, 1]]
    quantity, *paid = trades.T
    names = ["fee", "spread", "slippage"]

    def by_bar(values: Array) -> Array:
        return np.bincount(rows, values, len(index))

    costs = {name: by_bar(values) for name, values in zip(names, paid, strict=True)}
    return Backtest(
        equity=pd.Series(equity, index, name="equity"),
        cash=pd.Series(cash, index, name="cash"),
        positions=pd.DataFrame(positions, index, prices.columns),
        gross=pd.Series(gross, index, name="gross"),
        costs=pd.DataFrame(costs | {"borrow": borrow}, index),
        trades=pd.DataFrame(
            {"time": index[rows], "asset": prices.columns[places[:, 1]]}
            | {"quantity": quantity, "price": price}
            | dict(zip(names, paid, strict=True))
        ),
        turnover=pd.Series(by_bar(np.abs(quantity * price)), index, name="turnover"),
        capital=capital,
    )


def moving_average_cross(prices: pd.Series, fast: int, slow: int) -> pd.Series:
    """+1 where the mean of the last `fast` prices is above that of the last `slow`, -1 below.

    The textbook trend rule, as signals for `run`: bar t uses ``prices[:t + 1]`` only.

    Parameters
    ----------
    prices : Series, shape (T,)
    fast, slow : int
        Bars in each mean, ``1 <= fast < slow``.

    Returns
    -------
    Series, shape (T,)
        +1, -1, or 0 where the means are equal; NaN before there are `slow` prices.

    Raises
    ------
    TypeError, ValueError
        `prices` is no Series of finite numbers, a window is out of range.

    Examples
    --------
    >>> moving_average_cross(pd.Series([1.0, 2.0, 3.0, 2.0, 1.0]), 1, 2).tolist()
    [nan, 1.0, 1.0, -1.0, -1.0]
    """
    if not isinstance(prices, pd.Series):
        raise TypeError(f"prices must be a Series, got {type(prices).__name__}")
    values = np.ascontiguousarray(validate.frame("prices", prices).to_numpy()[:, 0])
    return pd.Series(kernels.moving_average_cross(values, fast, slow), prices.index)
