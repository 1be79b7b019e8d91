"""Options on one stock: closed form and tree, to hold other methods against.

Part of `labkit.stopping`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from labkit import _validate as validate
from labkit.reference import _checks as check

__all__ = ["binomial_tree", "black_scholes"]


def _option(spot: Any, strike: Any, rate: Any, volatility: Any, maturity: Any) -> tuple[float, ...]:
    s, k, r, sigma, t = (
        validate.positive("spot", spot),
        validate.positive("strike", strike),
        validate.finite("rate", rate),
        validate.positive("volatility", volatility),
        validate.positive("maturity", maturity),
    )
    if not 1e-8 <= sigma * math.sqrt(t) <= 40:
        raise ValueError(
            f"volatility must be from 1e-8 to 40 over the whole maturity, got {volatility}"
        )
    if abs(r * t) > 100:
        raise ValueError(f"rate must be within 100 over the whole maturity, got {rate}")
    return s, k, r, sigma, t


def _sign(kind: Any) -> int:
    if kind not in ("put", "call"):
        raise ValueError(f"kind must be 'put' or 'call', got {kind!r}")
    return -1 if kind == "put" else 1


def black_scholes(
    spot: float, strike: float, rate: float, volatility: float, maturity: float, kind: str = "put"
) -> float:
    """Value of a European option on a stock without dividends (Black & Scholes 1973).

    Parameters
    ----------
    spot, strike : float
        Prices, positive.
    rate, volatility : float
        Per year, the rate continuously compounded.
    maturity : float
        Years.
    kind : str
        ``"put"`` or ``"call"``.

    Examples
    --------
    >>> round(black_scholes(36.0, 40.0, 0.06, 0.2, 1.0), 3)
    3.844
    """
    s, k, r, sigma, t = _option(spot, strike, rate, volatility, maturity)
    sign, width = _sign(kind), sigma * math.sqrt(t)
    high = (math.log(s / k) + (r + sigma**2 / 2) * t) / width
    value = sign * (
        s * special.ndtr(sign * high) - k * math.exp(-r * t) * special.ndtr(sign * (high - width))
    )
    return float(value)


def binomial_tree(
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    maturity: float,
    kind: str = "put",
    *,
    dates: int,
    steps: int = 2000,
) -> float:
    """Value of an option that may be exercised at equally spaced dates (Cox, Ross & Rubinstein).

    Journal of Financial Economics 7 (1979) 229-263. One date is the European option, as many dates
    as steps the American one but for exercise today.

    Parameters
    ----------
    spot, strike, rate, volatility, maturity, kind
        As in `black_scholes`.
    dates : int
        Exercise dates after today, the last one at maturity; a divisor of `steps`.
    steps : int
        Of the tree.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range; the tree is too coarse for its rate.

    Examples
    --------
    >>> round(binomial_tree(36.0, 40.0, 0.06, 0.2, 1.0, dates=50), 3)
    4.478
    """
    s, k, r, sigma, t = _option(spot, strike, rate, volatility, maturity)
    sign, n = _sign(kind), check.count("steps", steps, 1)
    many = check.count("dates", dates, 1)
    if n % many:
        raise ValueError(f"dates must divide the steps, {n}, got {many}")
    dt = t / n
    if sigma * math.sqrt(t * n) > 600:
        raise ValueError(f"steps must be fewer for this volatility, got {n}")
    up = math.exp(sigma * math.sqrt(dt))
    rise = (math.exp(r * dt) - 1 / up) / (up - 1 / up)
    if not 0 < rise < 1:
        raise ValueError(f"steps must be more for this rate and volatility, got {n}")
    discount = math.exp(-r * dt)
    prices = s * up ** np.arange(-n, n + 1.0)  # of all levels; every other one at a step
    payoff = np.maximum(sign * (prices - k), 0.0)
    value = payoff[::2]
    for step in range(n - 1, 0, -1):
        value = discount * ((1 - rise) * value[:-1] + rise * value[1:])
        if step % (n // many) == 0:
            value = np.maximum(value, payoff[n - step : n + step + 1 : 2])
    return float(discount * ((1 - rise) * value[0] + rise * value[1]))
