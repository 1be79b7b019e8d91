"""Ornstein-Uhlenbeck processes fitted to evenly sampled series, many at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks

__all__ = ["ou_fit"]


def _series(x: Any) -> NDArray[np.float64]:
    x = _checks.array("x", x, np.float64, ("m", "n + 1"))
    if x.shape[1] < 4:
        raise ValueError(f"x must have at least 4 columns (3 transitions), got {x.shape[1]}")
    for series, place in np.argwhere(~np.isfinite(x)):
        raise ValueError(f"x[{series}, {place}] must be finite, got {x[series, place]}")
    return x


def _moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Mean regressor, mean increment, and the sums of squares and products around them."""
    n = x.shape[1] - 1
    y = x[:, :-1] - x[:, :1]
    d = np.diff(x)
    mean_y, mean_d = y.mean(axis=1), (x[:, -1] - x[:, 0]) / n
    sxx = (y * y).sum(axis=1) - n * mean_y**2
    sxd = (y * d).sum(axis=1) - n * mean_y * mean_d
    sdd = (d * d).sum(axis=1) - n * mean_d**2
    return x[:, 0] + mean_y, mean_d, sxx, sxd, sdd


def ou_fit(x: NDArray[np.float64], dt: float) -> NDArray[np.float64]:
    r"""Conditional maximum likelihood of an Ornstein-Uhlenbeck process for each row.

    Sampled every dt, the process is an AR(1) with ``phi = exp(-theta dt)`` and innovations of
    variance ``sigma**2 (1 - phi**2) / (2 theta)``, so that its likelihood given the first value is
    that of a regression. The increments ``d[t] = x[t+1] - x[t]`` are regressed, not the levels,
    and levels are measured from the first one of their series: ``beta = phi - 1`` keeps its digits
    where phi is near 1, and a large common level costs none. As the first value is itself a
    regressor, rounding in `sxx` is at most about n times that of one operation.

    Parameters
    ----------
    x : ndarray, shape (m, n + 1), float64
        One series a row, n transitions of each, at least 3.
    dt : float
        Time between two values.

    Returns
    -------
    ndarray, shape (m, 8), float64
        theta, mu, sigma (with the innovation variance ``rss / n``), beta, the mean of the
        regressor ``x[:n]``, the mean increment, `sxx` (sum of squares of the regressor around its
        mean) and `rss` (sum of squared residuals). theta and sigma are NaN where ``beta <= -1``;
        mu is not finite where beta is 0.

    Raises
    ------
    ValueError
        A value is not finite, a series does not vary before its last value or so much that squares
        overflow, there are fewer than 3 transitions, dt is not positive and finite.
    TypeError
        `x` is not an array of float64.
    """
    dt = _checks.number("dt", dt)
    x = _series(x)
    _checks.positive("dt", dt)
    n = x.shape[1] - 1
    with np.errstate(all="ignore"):
        mean, drift, sxx, sxd, sdd = _moments(x)
        for row in np.flatnonzero(~np.isfinite(sxx + sdd)):
            raise ValueError(f"x[{row}] must vary by less than about 1e150")
        for row in np.flatnonzero(~(sxx > 0)):
            raise ValueError(f"x[{row}] must vary before its last value")
        beta = sxd / sxx
        rss = np.maximum(sdd - beta * sxd, 0.0)
        phi_log = np.where(beta > -1, np.log1p(beta), np.nan)
        ratio = np.where(beta == 0, 1.0, 2 * phi_log / (beta * (2 + beta)))
        sigma = np.sqrt(rss / n * ratio / dt)
        columns = [-phi_log / dt, mean - drift / beta, sigma, beta, mean, drift, sxx, rss]
    return np.column_stack(columns)
