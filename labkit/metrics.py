r"""What a strategy earned and risked, from returns or from equity.

Returns are simple ones, ``r[t] = E[t] / E[t-1] - 1``, at the end of each period. Ratios are given
per year of 365.25 days. How many periods a year has follows from the timestamps (`annualization`)
or is said (`periods_per_year`); it is never assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labkit import _validate as validate
from labkit._backend import kernels
from labkit.reference import _checks as check

__all__ = [
    "YEAR",
    "Drawdown",
    "annual_return",
    "annualization",
    "hit_rate",
    "max_drawdown",
    "sharpe",
    "sharpe_standard_error",
    "simple_returns",
    "sortino",
    "summary",
    "total_return",
    "turnover",
    "volatility",
]

YEAR = pd.Timedelta(days=365.25)

Values = ArrayLike | pd.Series


def _vector(name: str, value: Values, least: int) -> NDArray[np.float64]:
    """A vector of at least `least` values, the caller's own where it is float64."""
    values = np.asarray(value)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold numbers, got {values.dtype}")
    if values.ndim != 1:
        raise ValueError(f"{name} must be one series, got shape {values.shape}")
    if len(values) < least:
        raise ValueError(f"{name} must have at least {least} values, got {len(values)}")
    return np.ascontiguousarray(values, dtype=np.float64)


def _values(name: str, value: Values, least: int) -> NDArray[np.float64]:
    """The same, finite; where a kernel takes the values it checks them."""
    values = _vector(name, value, least)
    finite = np.isfinite(values)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"{name} must be finite, got {values[row]} at [{row}]")
    return values


def annualization(index: pd.Index) -> float:
    """Periods in a year of 365.25 days, as far apart as these timestamps are on average.

    ``(len(index) - 1) / (index[-1] - index[0])``, by elapsed time. Nights, weekends and other gaps
    count as time in which nothing happened: 390 minutes on each of 5 days a week are 390 * 5 * 52.2
    periods a year. So it is right for what is earned bar by bar; of bars of unequal length it is
    the average number.

    Parameters
    ----------
    index : DatetimeIndex
        Increasing, at least two.

    Raises
    ------
    TypeError
        The index holds no timestamps: nothing says how long a period is.
    ValueError
        There are fewer than two, one is missing, or they do not increase.

    Examples
    --------
    >>> annualization(pd.date_range("2024-01-01", periods=49, freq="h"))
    8766.0
    """
    return _frequency("index", index)


def _frequency(name: str, index: Any) -> float:
    if not isinstance(index, pd.DatetimeIndex):
        raise TypeError(
            f"{name} must have timestamps (a DatetimeIndex), or periods_per_year must be given, "
            f"got {type(index).__name__}"
        )
    if len(index) < 2:
        raise ValueError(f"{name} must have at least 2 timestamps, got {len(index)}")
    if index.hasnans or not index.is_monotonic_increasing or not index.is_unique:
        raise ValueError(f"{name} must have timestamps that increase, each once")
    return float((len(index) - 1) / ((index[-1] - index[0]) / YEAR))


def _periods(name: str, value: Values, periods_per_year: float | None) -> float:
    if periods_per_year is not None:
        return validate.positive("periods_per_year", periods_per_year)
    return _frequency(name, getattr(value, "index", value))


def simple_returns(equity: Values) -> NDArray[np.float64] | pd.Series:
    """``equity[t] / equity[t-1] - 1``, one less than the levels, at the end of each period.

    Parameters
    ----------
    equity : array_like or Series, shape (n + 1,)
        Positive.

    Raises
    ------
    ValueError
        A level is not positive: what follows it has no return.

    Examples
    --------
    >>> simple_returns([100.0, 110.0, 99.0]).round(12)
    array([ 0.1, -0.1])
    """
    levels = _levels(equity)
    result = levels[1:] / levels[:-1] - 1
    if not isinstance(equity, pd.Series):
        return result
    return pd.Series(result, equity.index[1:], name=equity.name)


def _levels(equity: Values) -> NDArray[np.float64]:
    levels = _values("equity", equity, 1)
    if levels.min() <= 0:
        row = int(np.argmax(levels <= 0))
        raise ValueError(f"equity must be positive, got {levels[row]} at [{row}]")
    return levels


def total_return(returns: Values) -> float:
    """All returns compounded, ``prod(1 + r) - 1``.

    Raises
    ------
    ValueError
        There is no return, one is not finite or below -1. At -1 all is lost.

    Examples
    --------
    >>> round(total_return([0.1, -0.1]), 12)
    -0.01
    """
    return kernels.return_drawdown(_vector("returns", returns, 1))[0] - 1


def annual_return(returns: Values, *, periods_per_year: float | None = None) -> float:
    """The constant yearly return that compounds to the same, ``growth**(1 / years) - 1``.

    With n returns the sample lasts ``n / periods_per_year`` years.

    Parameters
    ----------
    returns : array_like or Series, shape (n,)
    periods_per_year : float, optional
        By default from the timestamps of `returns`.

    Raises
    ------
    TypeError, ValueError
        As `total_return` and `annualization`.
    """
    a_year = _periods("returns", returns, periods_per_year)
    return annual_growth(1 + total_return(returns), len(np.asarray(returns)) / a_year)


def annual_growth(growth: float, years: float) -> float:
    """The return of one year that, compounded over `years`, makes `growth`."""
    if growth == 0:
        return -1.0
    exponent = math.log(growth) / years
    return math.expm1(exponent) if exponent < 700 else math.inf


@dataclass(frozen=True)
class _Moments:
    """The sums of `labkit.reference.return_moments`, and the ratios that follow from them."""

    n: int
    mean: float
    second: float
    third: float
    fourth: float
    downside: float
    positive: int
    negative: int

    @classmethod
    def of(cls, returns: Values, least: int, target: float = 0.0) -> _Moments:
        values = _vector("returns", returns, least)
        return cls(len(values), *kernels.return_moments(values, target))

    @property
    def deviation(self) -> float:
        """Standard deviation of the sample."""
        return math.sqrt(self.second / (self.n - 1))

    @property
    def skewness(self) -> float:
        return _ratio(self.third / self.n, (self.second / self.n) ** 1.5)

    @property
    def kurtosis(self) -> float:
        return _ratio(self.fourth / self.n, (self.second / self.n) ** 2)

    @property
    def hit_rate(self) -> float:
        return _ratio(self.positive, self.positive + self.negative)

    def sharpe(self, rate: float) -> float:
        return _ratio(self.mean - rate, self.deviation)

    def sortino(self, rate: float) -> float:
        return _ratio(self.mean - rate, math.sqrt(self.downside / self.n))

    def error(self, rate: float, normal: bool) -> float:
        """Standard error of `sharpe`, of independent returns."""
        ratio = self.sharpe(rate)
        variance = 1 + ratio**2 / 2
        if not normal:
            variance += -ratio * self.skewness + ratio**2 * (self.kurtosis - 3) / 4
        # Of a sample the variance of an influence function: not negative, but for rounding.
        return math.sqrt(max(variance, 0.0) / self.n)


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def volatility(returns: Values, *, periods_per_year: float | None = None) -> float:
    """Standard deviation of the sample (``n - 1``), times the root of the periods in a year.

    Raises
    ------
    TypeError, ValueError
        There are fewer than two returns, one is not finite; as `annualization`.

    Examples
    --------
    >>> round(volatility([0.01, -0.01, 0.01, -0.01], periods_per_year=252), 6)
    0.183303
    """
    a_year = _periods("returns", returns, periods_per_year)
    return _Moments.of(returns, 2).deviation * math.sqrt(a_year)


def _per_period(name: str, rate: float, a_year: float) -> float:
    return validate.finite(name, rate) / a_year


def sharpe(
    returns: Values, risk_free: float = 0.0, *, periods_per_year: float | None = None
) -> float:
    """Annual Sharpe ratio, ``(mean(r) - risk_free / P) / std(r) * sqrt(P)``, P periods a year.

    The root of time is right for returns without autocorrelation (Lo, "The statistics of Sharpe
    ratios", Financial Analysts Journal 58(4) (2002)). Where the bounce between bid and ask or a
    slow position correlates them, sum them to longer periods first.

    Parameters
    ----------
    returns : array_like or Series, shape (n,)
        Any finite values: simple returns, or profits in money, of which the ratio is the same at
        every constant capital.
    risk_free : float
        Rate per year, without compounding, in the units of `returns`.
    periods_per_year : float, optional
        By default from the timestamps of `returns`.

    Returns
    -------
    float
        NaN where the returns do not vary.

    Raises
    ------
    TypeError, ValueError
        There are fewer than two returns, one is not finite; as `annualization`.

    Examples
    --------
    >>> round(sharpe([0.02, -0.01, 0.03, 0.0], periods_per_year=12), 4)
    1.8974
    """
    a_year = _periods("returns", returns, periods_per_year)
    rate = _per_period("risk_free", risk_free, a_year)
    return _Moments.of(returns, 2).sharpe(rate) * math.sqrt(a_year)


def sharpe_standard_error(
    returns: Values,
    risk_free: float = 0.0,
    *,
    method: str = "mertens",
    lags: int | None = None,
    periods_per_year: float | None = None,
) -> float:
    r"""Standard error of `sharpe`, by the delta method.

    With S the ratio of one period, g3 the skewness and g4 the kurtosis of the returns:

    - ``"lo"``: ``sqrt((1 + S**2 / 2) / n)``, independent normal returns (Lo 2002, equation 9);
    - ``"mertens"``: ``sqrt((1 + S**2 / 2 - S g3 + S**2 (g4 - 3) / 4) / n)``, independent returns of
      any distribution with four moments (Mertens, "Comments on variance of the IID estimator in
      Lo (2002)", 2002);
    - ``"newey-west"``: ``sqrt(v / n)`` with v the long-run variance of the ratio's influence
      ``z[t] - S (z[t]**2 - 1) / 2``, z the returns less their mean in units of the root of
      the mean square of that: stationary returns (Lo 2002, by generalised moments), v by Bartlett's
      weights over `lags` autocovariances (Newey & West 1987). Without lags it is ``"mertens"``.

    Each is multiplied by ``sqrt(P)``, as the ratio is.

    Parameters
    ----------
    returns, risk_free, periods_per_year
        As in `sharpe`.
    method : str
        ``"lo"``, ``"mertens"`` or ``"newey-west"``.
    lags : int, optional
        Of ``"newey-west"``; by default ``floor(4 (n / 100)**(2 / 9))`` (Newey & West 1994).

    Returns
    -------
    float
        NaN where the returns do not vary.

    Raises
    ------
    TypeError, ValueError
        As `sharpe`; the method is unknown; `lags` are given to another method, negative, or not
        below n.

    Examples
    --------
    >>> returns = np.random.default_rng(0).normal(0.001, 0.01, 1000)
    >>> round(sharpe_standard_error(returns, periods_per_year=250), 2)
    0.5
    """
    a_year = _periods("returns", returns, periods_per_year)
    rate = _per_period("risk_free", risk_free, a_year)
    if method not in ("lo", "mertens", "newey-west"):
        raise ValueError(f"method must be 'lo', 'mertens' or 'newey-west', got {method!r}")
    if lags is not None and method != "newey-west":
        raise ValueError(f"lags must be None with the method {method!r}, got {lags}")
    moments = _Moments.of(returns, 2)
    if method != "newey-west":
        return moments.error(rate, method == "lo") * math.sqrt(a_year)
    if lags is None:
        lags = min(int(4 * (moments.n / 100) ** (2 / 9)), moments.n - 1)
    if check.count("lags", lags, 0) >= moments.n:
        raise ValueError(f"lags must be below the {moments.n} returns, got {lags}")
    variance = _long_run_variance(_influence(_values("returns", returns, 2), rate), lags)
    return math.sqrt(max(variance, 0.0) / moments.n * a_year)


def _influence(values: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """What each return adds to the error of the ratio; NaN where the returns do not vary."""
    away = values - values.mean()
    deviation = math.sqrt(away @ away / len(values)) if np.ptp(values) else math.nan
    # The ratio is that of `sharpe`, of the deviation of the sample.
    ratio = (values.mean() - rate) / deviation * math.sqrt(1 - 1 / len(values))
    z = away / deviation
    return z - ratio / 2 * (z**2 - 1)


def _long_run_variance(values: NDArray[np.float64], lags: int) -> float:
    """Bartlett's weighted sum of autocovariances; not negative."""
    n = len(values)
    total = values @ values
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * (values[lag:] @ values[:-lag])
    return float(total / n)


def sortino(
    returns: Values, target: float = 0.0, *, periods_per_year: float | None = None
) -> float:
    """Annual ratio of the excess over a target to the deviation below it.

    ``(mean(r) - target / P) / sqrt(mean(min(r - target / P, 0)**2)) * sqrt(P)``: the mean square is
    over all returns, those above the target count with 0 (Sortino & Price, "Performance measurement
    in a downside risk framework", Journal of Investing 3(3) (1994)).

    Parameters
    ----------
    returns, periods_per_year
        As in `sharpe`.
    target : float
        Rate per year, without compounding.

    Returns
    -------
    float
        NaN where no return is below the target.

    Raises
    ------
    TypeError, ValueError
        As `sharpe`.
    """
    a_year = _periods("returns", returns, periods_per_year)
    rate = _per_period("target", target, a_year)
    return _Moments.of(returns, 2, rate).sortino(rate) * math.sqrt(a_year)


def hit_rate(returns: Values) -> float:
    """Share of positive returns among those that are not zero; NaN where all are.

    Raises
    ------
    ValueError
        There is no return, or one is not finite.

    Examples
    --------
    >>> hit_rate([0.1, -0.1, 0.0, 0.2, 0.0])
    0.6666666666666666
    """
    return _Moments.of(returns, 1).hit_rate


@dataclass(frozen=True)
class Drawdown:
    """The largest fall of an equity curve.

    Attributes
    ----------
    depth : float
        Share of the high that was lost, 0..1; 0 where the curve never falls, and then there are no
        labels.
    peak, trough, recovery : label or None
        Of the last time at the high, of the low, of the return to the high; None where it has not
        returned by the end.
    duration : Timedelta or int or None
        From the peak to the recovery, or to the end of the curve where there is none: elapsed time
        with timestamps, else rows.
    """

    depth: float
    peak: Any
    trough: Any
    recovery: Any
    duration: Any


def max_drawdown(equity: Values) -> Drawdown:
    """The largest fall from a high, ``max(1 - E[t] / max(E[:t + 1]))``, and when it was.

    Parameters
    ----------
    equity : array_like or Series, shape (n,)
        Positive levels.

    Raises
    ------
    ValueError
        There is no level, or one is not positive and finite.

    Examples
    --------
    >>> days = pd.date_range("2024-01-01", periods=5)
    >>> fall = max_drawdown(pd.Series([100.0, 120.0, 90.0, 110.0, 125.0], days))
    >>> fall.depth, fall.duration
    (0.25, Timedelta('3 days 00:00:00'))
    """
    levels = _levels(equity)
    depth, peak, trough, recovery = kernels.drawdown(levels)
    index = equity.index if isinstance(equity, pd.Series) else pd.RangeIndex(len(levels))
    if depth == 0:
        return Drawdown(0.0, None, None, None, None)
    end = recovery if recovery >= 0 else len(levels) - 1
    timed = isinstance(index, pd.DatetimeIndex)
    return Drawdown(
        depth,
        index[peak],
        index[trough],
        index[recovery] if recovery >= 0 else None,
        index[end] - index[peak] if timed else end - peak,
    )


def turnover(traded: Values, equity: Values, *, periods_per_year: float | None = None) -> float:
    """How often the capital is traded in a year: ``sum(traded) / mean(equity) / years``.

    Purchases and sales both count. The n periods last ``n / periods_per_year`` years.

    Parameters
    ----------
    traded : array_like or Series, shape (n,)
        Notional traded in each period, in money, not negative.
    equity : array_like or Series, shape (n,)
        Capital in each, in money, positive on average; the index of `traded`.
    periods_per_year : float, optional
        By default from the timestamps of `equity`.

    Raises
    ------
    TypeError, ValueError
        Lengths or indices differ, a value is not finite, a notional is negative; as
        `annualization`.

    Examples
    --------
    >>> turnover([100.0, 0.0, 50.0, 0.0], [100.0] * 4, periods_per_year=2)
    0.75
    """
    notional, capital = _values("traded", traded, 1), _values("equity", equity, 1)
    both = isinstance(traded, pd.Series) and isinstance(equity, pd.Series)
    if len(notional) != len(capital) or (both and not traded.index.equals(equity.index)):
        raise ValueError("traded must have the index of equity")
    if (notional < 0).any():
        raise ValueError(f"traded must not be negative, got {notional.min()}")
    if capital.mean() <= 0:
        raise ValueError(f"equity must be positive on average, got {capital.mean()}")
    a_year = _periods("equity", equity, periods_per_year)
    return float(notional.mean() / capital.mean() * a_year)


def summary(
    returns: Values | None = None,
    *,
    equity: Values | None = None,
    risk_free: float = 0.0,
    periods_per_year: float | None = None,
) -> pd.Series:
    """The figures of this module in one Series, in one pass over the returns.

    Give `returns` or `equity`. With equity the periods in a year follow from all its timestamps, so
    that the annual return is that of the elapsed time.

    Parameters
    ----------
    returns : array_like or Series, shape (n,), optional
        Simple returns.
    equity : array_like or Series, shape (n + 1,), optional
        Positive levels.
    risk_free : float
        Rate per year of the Sharpe ratio, and target of the Sortino ratio.
    periods_per_year : float, optional
        By default from the timestamps.

    Returns
    -------
    Series of float
        total_return, annual_return, volatility, sharpe, sharpe_standard_error (Mertens), sortino,
        max_drawdown (depth), hit_rate, skewness, kurtosis (3 for a normal distribution), periods,
        periods_per_year. NaN where one is not defined.

    Raises
    ------
    TypeError, ValueError
        Both or none are given; there are fewer than two returns; as `annualization`, `sharpe` and
        `total_return`.

    Examples
    --------
    >>> days = pd.date_range("2024-01-01", periods=367)
    >>> figures = summary(equity=pd.Series(1.0002 ** np.arange(367.0), days))
    >>> figures[["total_return", "annual_return", "max_drawdown"]].round(4).tolist()
    [0.0759, 0.0758, 0.0]
    """
    if (returns is None) == (equity is None):
        raise TypeError("returns or equity must be given, and not both")
    if returns is not None:
        a_year = _periods("returns", returns, periods_per_year)
        values = _vector("returns", returns, 2)
        growth, depth, *_ = kernels.return_drawdown(values)
    else:
        a_year = _periods("equity", equity, periods_per_year)
        levels = _levels(equity)
        if len(levels) < 3:
            raise ValueError(f"equity must have at least 3 values, got {len(levels)}")
        values = levels[1:] / levels[:-1] - 1
        growth, depth = levels[-1] / levels[0], kernels.drawdown(levels)[0]
    rate = _per_period("risk_free", risk_free, a_year)
    moments = _Moments(len(values), *kernels.return_moments(values, rate))
    root = math.sqrt(a_year)
    return pd.Series(
        {
            "total_return": growth - 1,
            "annual_return": annual_growth(growth, moments.n / a_year),
            "volatility": moments.deviation * root,
            "sharpe": moments.sharpe(rate) * root,
            "sharpe_standard_error": moments.error(rate, normal=False) * root,
            "sortino": moments.sortino(rate) * root,
            "max_drawdown": depth,
            "hit_rate": moments.hit_rate,
            "skewness": moments.skewness,
            "kurtosis": moments.kurtosis,
            "periods": float(moments.n),
            "periods_per_year": a_year,
        }
    )
