"""How often market orders reach how deep: the rate of fills that quotes are optimised against.

The public names are those of `labkit.market_making`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from labkit import _validate as validate
from labkit.reference import _checks as check

__all__ = ["FillIntensity", "fill_intensity", "trade_depth"]

_LEVELS = 20  # depths that the regression looks at, at most
_FEWEST = 10  # orders that reach the last of them
_BINS = 20  # of the goodness of fit, at most
_LARGEST_LOG = 700.0  # of A; the exponential overflows at 709.8
_EXPECTED = 10  # orders in one of them, if each were as likely


def trade_depth(
    time: ArrayLike, price: ArrayLike, side: ArrayLike, quote_time: ArrayLike, mid: ArrayLike
) -> NDArray[np.float64]:
    """How far beyond the mid trades were made, the mid being the last one before them.

    Parameters
    ----------
    time, price : array_like, shape (n,)
        Of the trades.
    side : array_like, shape (n,)
        Of the aggressor: 1 for a buyer, -1 for a seller.
    quote_time, mid : array_like, shape (m,)
        Of the quotes, in order of time, in the units of `time` and `price`. A quote is known to a
        trade only if its time is earlier: one of the same time may be what the trade left.

    Returns
    -------
    ndarray, shape (n,)
        ``side (price - mid)``; NaN where no quote is earlier.

    Raises
    ------
    TypeError, ValueError
        Lengths differ, quotes are not in order, a side is neither 1 nor -1, or one of the times is
        in integers and the other in floats.

    Examples
    --------
    >>> trade_depth([5, 10], [101.0, 99.5], [1, -1], [0, 10], [100.0, 99.0])
    array([1. , 0.5])
    """
    price, mid = validate.array("price", price, (None,)), validate.array("mid", mid, (None,))
    time, quote_time = _times("time", time, len(price)), _times("quote_time", quote_time, len(mid))
    validate.one_clock(time=time, quote_time=quote_time)
    if (quote_time[1:] < quote_time[:-1]).any():
        raise ValueError("quote_time must not decrease")
    before = np.searchsorted(quote_time, time, side="left") - 1
    known = np.append(mid, np.nan)[before]  # place -1 is the NaN
    return _sides(side, len(price)) * (price - known)


def _times(name: str, value: ArrayLike, length: int) -> NDArray:
    times = np.asarray(value)
    if times.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold numbers, got {times.dtype}")
    if times.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},), got {times.shape}")
    if not np.isfinite(times).all():
        raise ValueError(f"{name} must be finite")
    return times


def _sides(value: ArrayLike, length: int) -> NDArray[np.int64]:
    sides = np.asarray(value)
    if sides.shape != (length,) or not np.isin(sides, (1, -1)).all():
        raise ValueError(f"side must hold {length} values of 1 or -1")
    return sides.astype(np.int64)


@dataclass(frozen=True)
class FillIntensity:
    """A rate of fills ``A exp(-k depth)``, as `fill_intensity` estimates it.

    Attributes
    ----------
    A, k : float
        Of one side: orders per unit of time that would reach the mid, and the decay with depth.
    A_se, k_se : float
        Standard errors by the delta method.
    correlation : float
        Of the errors of log A and k.
    n : int
        Market orders that reached `min_depth`.
    exposure : float
        Time during which a side was looked at, both sides together.
    min_depth : float
        Where the law is taken to begin.
    method : str
        ``"maximum likelihood"`` or ``"regression"``.
    statistic, pvalue : float
        Chi-squared test of the depths against the exponential (on a grid: geometric) law at its
        maximum likelihood; NaN where there are too few orders for two bins.
    dof : int
        Its degrees of freedom.
    """

    A: float
    k: float
    A_se: float
    k_se: float
    correlation: float
    n: int
    exposure: float
    min_depth: float
    method: str
    statistic: float
    pvalue: float
    dof: int

    def rate(self, depth: ArrayLike) -> NDArray[np.float64] | float:
        """``A exp(-k depth)``, fills per unit of time of a quote at that depth."""
        rate = self.A * np.exp(-self.k * np.asarray(depth))
        return rate if np.ndim(rate) else float(rate)


def _orders(
    time: NDArray, depth: NDArray[np.float64], side: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The deepest trade of each order: trades of one time and side are of one order."""
    order = np.lexsort((time, side))
    time, depth, side = time[order], depth[order], side[order]
    first = np.ones(len(time), np.bool_)
    first[1:] = (np.diff(time) != 0) | (np.diff(side) != 0)
    return np.maximum.reduceat(depth, np.flatnonzero(first))


def _decay(excess: NDArray[np.float64], tick: float) -> tuple[float, float]:
    """Maximum likelihood of k from depths beyond the least, and the information of one order."""
    mean = excess.mean()
    if mean == 0:
        raise ValueError("depth must vary above min_depth: k would be infinite")
    if tick == 0:
        return float(1 / mean), float(mean**2)
    k = math.log1p(tick / mean) / tick
    reaches = math.exp(-k * tick)  # the next level
    return k, tick**2 * reaches / (1 - reaches) ** 2


def _goodness(
    excess: NDArray[np.float64], tick: float, k: float, information: float
) -> tuple[float, float, int]:
    """Statistic of Rao, Robson and Nikulin, its p-value and its degrees of freedom.

    The chi-squared statistic of Pearson is too large on average where k is estimated from the
    depths themselves and not from the bins; the second term mends that exactly.
    """
    n = len(excess)
    bins = min(_BINS, n // _EXPECTED)
    below = -np.log1p(-np.arange(1, max(bins, 1)) / max(bins, 1)) / k
    if tick > 0:
        # Half a tick below the level, where no depth is.
        below = np.unique(np.maximum(np.ceil(below / tick - 1e-9), 1)) * tick
    if len(below) == 0:
        return math.nan, math.nan, 0
    inside = below - tick / 2
    observed = np.bincount(np.searchsorted(inside, excess, side="right"), minlength=len(below) + 1)
    survival = np.concatenate(([1.0], np.exp(-k * below), [0.0]))
    slope = np.concatenate(([0.0], -below * np.exp(-k * below), [0.0]))  # by k
    p, dp = -np.diff(survival), -np.diff(slope)
    pearson = ((observed - n * p) ** 2 / (n * p)).sum()
    lost = information - (dp**2 / p).sum()
    statistic = pearson + (observed * dp / p).sum() ** 2 / (n * lost)
    return float(statistic), float(chi2.sf(statistic, len(below))), len(below)


def _regression(
    depth: NDArray[np.float64], exposure: float, levels: NDArray[np.float64]
) -> tuple[float, float, NDArray[np.float64]]:
    """Intercept, minus slope and covariance of the line through logarithms of rates."""
    depth = np.sort(depth)
    reached = len(depth) - np.searchsorted(depth, levels, side="left")
    if (reached == 0).any():
        raise ValueError(f"levels must be reached, got {levels[reached == 0][0]}")
    if reached[0] == reached[-1]:
        raise ValueError("levels must not all be reached by the same orders: k would be 0")
    design = np.column_stack((np.ones(len(levels)), -levels))
    weights = np.linalg.pinv(design)
    log_a, k = weights @ np.log(reached / exposure)
    # Who reaches the deeper level reached the other: the covariance of two logarithms of counts is
    # the relative variance of the larger count.
    covariance = 1 / np.maximum(reached[:, None], reached)
    return float(log_a), float(k), weights @ covariance @ weights.T


def _default_levels(depth: NDArray[np.float64], least: float, tick: float) -> NDArray[np.float64]:
    """From the least depth to what the last few orders reach, evenly."""
    if len(depth) < _FEWEST:
        raise ValueError(f"depth must hold at least {_FEWEST} orders, got {len(depth)}")
    far = np.sort(depth)[-_FEWEST]
    if tick == 0:
        return np.linspace(least, far, _LEVELS)
    steps = round((far - least) / tick)
    return least + tick * np.unique(np.rint(np.linspace(0, steps, min(_LEVELS, steps + 1))))


def fill_intensity(
    time: ArrayLike,
    depth: ArrayLike,
    side: ArrayLike,
    duration: float,
    *,
    min_depth: float,
    tick: float = 0.0,
    sides: int = 2,
    method: str = "maximum likelihood",
    levels: ArrayLike | None = None,
) -> FillIntensity:
    r"""Estimate the rate ``A exp(-k depth)`` of fills from trades.

    An order of no size at a depth beyond the mid is filled by every market order that reaches its
    price. Let market orders of one side arrive as a Poisson process, and the depths that they reach
    beyond `min_depth` be exponential with parameter k. Then the rate at which a depth is reached
    is ``rate exp(-k (depth - min_depth))``, so that ``A = rate exp(k min_depth)``.

    Maximum likelihood is in closed form, with n orders of mean excess m over `min_depth` during the
    exposure E: ``rate = n / E`` and ``k = 1 / m``, or ``k = log(1 + tick / m) / tick`` where depths
    are on a grid. The two estimates are independent; the information on k of one order is
    ``1 / k**2``, or ``tick**2 r / (1 - r)**2`` with ``r = exp(-k tick)``, and
    ``var(log A) = 1 / n + min_depth**2 var(k)``.

    The regression is that of the literature: the logarithms of the rates at which levels are
    reached, on their depths, by least squares. Its standard errors allow for what the levels have
    in common (who reaches the deeper one reached the other), which those of least squares do not.

    Standard errors are those of a Poisson process: where orders cluster, that of A is too small.

    Parameters
    ----------
    time : array_like, shape (n,)
        Of the trades, any order. Trades of one time and side are of one market order, which reached
        the deepest of them.
    depth : array_like, shape (n,)
        ``side (price - mid)`` with the mid before the order, see `trade_depth`.
    side : array_like, shape (n,)
        Of the aggressor: 1 or -1.
    duration : float
        Time that was recorded, in units of `time`.
    min_depth : float
        Where the law begins, for instance half the usual spread; orders that reach less are left
        out. Not negative.
    tick : float
        Spacing of the depths that can be reached, from `min_depth` on; 0, the default, for any.
    sides : int
        2 where both sides are in the data, which are then pooled (the exposure is twice the
        duration); 1 where only one side is.
    method : str
        ``"maximum likelihood"`` or ``"regression"``.
    levels : array_like, optional
        Depths for the regression, increasing, none below `min_depth`. By default up to 20, evenly
        from there to what ten orders reach.

    Returns
    -------
    FillIntensity

    Raises
    ------
    ValueError, TypeError
        A parameter is out of range, no order reaches `min_depth`, all reach the same depth, a depth
        is off the grid, `sides` contradicts the data, `levels` are given to maximum likelihood or
        all reached by the same orders, or A is beyond float64.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> n = rng.poisson(2 * 0.9 * 5000)
    >>> fit = fill_intensity(rng.uniform(0, 5000, n), rng.exponential(1 / 0.3, n),
    ...                      rng.choice([-1, 1], n), 5000.0, min_depth=0.0)
    >>> abs(fit.A - 0.9) < 3 * fit.A_se, abs(fit.k - 0.3) < 3 * fit.k_se, fit.pvalue > 0.001
    (True, True, True)
    """
    depth = validate.array("depth", depth, (None,))
    time, side = _times("time", time, len(depth)), _sides(side, len(depth))
    duration = validate.positive("duration", duration)
    least, tick = validate.finite("min_depth", min_depth), validate.finite("tick", tick)
    for name, value in (("min_depth", least), ("tick", tick)):
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
    sides = check.count("sides", sides, 1)
    if sides > 2 or (sides == 1 and len(np.unique(side)) > 1):
        raise ValueError(f"sides must be the number of sides in the data, 1 or 2, got {sides}")
    if method not in ("maximum likelihood", "regression"):
        raise ValueError(f"method must be 'maximum likelihood' or 'regression', got {method!r}")
    if levels is not None and method != "regression":
        raise ValueError(f"levels must be None with the method {method!r}")
    if len(time) and np.ptp(time) > duration:
        raise ValueError(f"duration must span the times of the trades, got {duration}")
    if len(depth) == 0:
        raise ValueError("depth must hold at least one trade")
    reached = _orders(time, depth, side)
    reached = reached[reached >= least - 1e-9 * tick]
    if len(reached) == 0:
        raise ValueError(f"min_depth must be reached by an order, got {least}")
    excess, exposure, n = reached - least, sides * duration, len(reached)
    if tick > 0:
        whole = np.rint(excess / tick)
        off = np.abs(excess / tick - whole) > 1e-6
        if off.any():
            raise ValueError(
                f"depth must be min_depth and whole ticks of {tick:g}, got {reached[off][0]}"
            )
        excess = whole * tick
    k, information = _decay(excess, tick)
    test = _goodness(excess, tick, k, information)
    if method == "regression":
        if levels is None:
            at = _default_levels(reached, least, tick)
        else:
            at = validate.array("levels", levels, (None,))
            if (np.diff(at) <= 0).any() or (at < least).any():
                raise ValueError("levels must increase from min_depth or above")
        if len(at) < 2:
            raise ValueError(f"levels must be at least two, got {len(at)}")
        # A little room, so that rounding does not decide who reached a level.
        log_a, k, covariance = _regression(reached + 1e-6 * tick, exposure, at)
    else:
        k_variance = 1 / (n * information)
        log_a = math.log(n / exposure) + k * least
        shared = least * k_variance
        covariance = np.array([[1 / n + least * shared, shared], [shared, k_variance]])
    log_se, k_se = np.sqrt(np.diag(covariance)).tolist()
    if log_a > _LARGEST_LOG:
        raise ValueError(
            f"min_depth must be less: A = rate exp(k min_depth) is beyond float64 with k = {k:g}"
        )
    A = math.exp(log_a)
    correlation = float(covariance[0, 1] / (log_se * k_se))
    return FillIntensity(A, k, A * log_se, k_se, correlation, n, exposure, least, method, *test)
