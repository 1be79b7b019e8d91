"""Sums over returns, and the largest fall of a path."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks as check

__all__ = ["drawdown", "return_drawdown", "return_moments"]

Array = NDArray[np.float64]


def _finite(name: str, value: Any, least: int) -> Array:
    values = check.array(name, value, np.float64, ("n",))
    if len(values) < least:
        raise ValueError(f"{name} must have at least {least} values, got {len(values)}")
    for row in np.flatnonzero(~np.isfinite(values)):
        raise ValueError(f"{name}[{row}] must be finite, got {values[row]}")
    return values


def return_moments(
    returns: Array, target: float
) -> tuple[float, float, float, float, float, int, int]:
    """Sums over returns from which their ratios follow.

    Parameters
    ----------
    returns : ndarray (n,)
        Any finite values, at least one.
    target : float
        Below it a return counts as downside.

    Returns
    -------
    mean : float
    second, third, fourth : float
        Sums of powers of the distance from the mean.
    downside : float
        Sum of the squares of ``min(r - target, 0)``.
    positive, negative : int
        Returns above and below zero.

    Raises
    ------
    ValueError
        There is no return, one is not finite or too large for its fourth power, `target` is not
        finite.
    """
    values, target = _finite("returns", returns, 1), check.number("target", target)
    if not math.isfinite(target):
        raise ValueError(f"target must be finite, got {target}")
    # From the first value: equal returns have no spread, to the last digit.
    with np.errstate(over="ignore", invalid="ignore"):
        levels = values - values[0]
        shift = levels.mean()
        away = levels - shift
        powers = [float((away**k).sum()) for k in (2, 3, 4)]
        downside = float((np.minimum(values - target, 0.0) ** 2).sum())
    if not all(map(math.isfinite, (*powers, downside))):
        raise ValueError("returns must be below about 1e75")
    mean = float(values[0] + shift)
    return (mean, *powers, downside, int((values > 0).sum()), int((values < 0).sum()))


def _deepest(levels: Array) -> tuple[float, int, int, int]:
    """Depth, peak, trough and recovery (-1 where there is none) of positive levels."""
    highs = np.maximum.accumulate(levels)
    falls = 1 - levels / highs
    trough = int(np.argmax(falls))
    if falls[trough] == 0:
        return 0.0, 0, 0, 0
    high = highs[trough]
    # Falls of the same share but for rounding: the lowest level counts.
    below = np.flatnonzero(highs == high)
    trough = int(below[np.argmin(levels[below])])
    peak = int(np.flatnonzero(levels[:trough] == high)[-1])
    back = np.flatnonzero(levels[trough:] >= high)
    return float(falls[trough]), peak, trough, trough + int(back[0]) if len(back) else -1


def drawdown(equity: Array) -> tuple[float, int, int, int]:
    """The largest fall from a high, as a share of it.

    Parameters
    ----------
    equity : ndarray (n,)
        Positive levels, at least one.

    Returns
    -------
    depth : float
        ``max(1 - equity[t] / max(equity[:t + 1]))``, 0 for a path that never falls.
    peak, trough, recovery : int
        Places of the last time at the high, of the first time at the low after it, and of the
        return to the high, -1 where it is not reached again. All 0 where the depth is.

    Raises
    ------
    ValueError
        There is no level, or one is not positive and finite.
    """
    levels = _finite("equity", equity, 1)
    for row in np.flatnonzero(levels <= 0):
        raise ValueError(f"equity[{row}] must be positive, got {levels[row]}")
    return _deepest(levels)


def return_drawdown(returns: Array) -> tuple[float, float, int, int, int]:
    """The growth of a unit of capital by compounding, and its largest fall.

    Parameters
    ----------
    returns : ndarray (n,)
        At least -1, where all is lost.

    Returns
    -------
    growth : float
        The product of ``1 + returns``.
    depth, peak, trough, recovery
        As in `drawdown` of the n + 1 levels from the initial 1 on.

    Raises
    ------
    ValueError
        There is no return, one is not finite or below -1, the growth leaves the range of floats.
    """
    values = _finite("returns", returns, 1)
    for row in np.flatnonzero(values < -1):
        raise ValueError(f"returns[{row}] must be at least -1, got {values[row]}")
    with np.errstate(over="ignore"):
        levels = np.cumprod(np.append(1.0, 1 + values))
    if not math.isfinite(levels[-1]):
        raise ValueError("returns must compound to a finite growth")
    return float(levels[-1]), *_deepest(levels)
