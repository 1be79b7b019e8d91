"""Optimal stopping: paths of fractional Brownian motion, and backward regression on paths.

Fractional Brownian motion with Hurst index H starts at 0 and is Gaussian, of covariance
``(t**2H + s**2H - |t - s|**2H) / 2`` (Mandelbrot & Van Ness, SIAM Review 10 (1968) 422-437). The
value of an option with several exercise dates is found from its last date back, by regressing what
a path pays on what is known at each date (Longstaff & Schwartz, Review of Financial Studies 14
(2001) 113-147).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from labkit.reference import _checks as check
from labkit.reference import _philox as philox

__all__ = ["apply_policy", "backward_regression", "fractional_brownian_motion", "regression"]

Array = NDArray[np.float64]

METHODS = ("davies_harte", "cholesky")
_MOST_VALUES = 1 << 30  # of all paths
_MOST_STEPS = 1 << 12  # of a covariance matrix
_NEAREST = 0.999999  # nearer to 1, the covariance is singular up to rounding
_CHUNK = 1 << 12  # paths whose words are made at once
_TERMS = 27  # of the series in 1 / 4: rest 1e-17
_LARGEST = 1e100  # squares and their sums stay finite
_DROPPED = 1e-10  # share of its square below which a column is taken to depend on the others
_NEAR = 0.9  # of the largest: near ties are decided by the order of columns, not by rounding


def noise_covariance(n: int, hurst: float) -> Array:
    """Covariance of fractional Gaussian noise at lags 0 to n: increments over steps of length 1.

    ``(|k + 1|**2H - 2 |k|**2H + |k - 1|**2H) / 2`` in powers of 1 / k, all terms of one sign:
    ``k**2H`` times the sum over j of ``binomial(2H, 2j) / k**2j``.
    """
    power = 2 * hurst
    binomials = [1.0]
    for j in range(1, 2 * _TERMS + 1):
        binomials.append(binomials[-1] * (power - (j - 1)) / j)
    lags = np.arange(2.0, n + 1)
    terms = np.zeros_like(lags)
    for binomial in binomials[:0:-2]:
        terms = (terms + binomial) / (lags * lags)
    return np.concatenate([[1.0, 0.5 * 2**power - 1], lags**power * terms])[: n + 1]


def davies_harte(pairs: Array, hurst: float) -> Array:
    """Fractional Gaussian noise (..., n) from n pairs of normal numbers, by circulant embedding.

    The covariance, reflected to a circle of 2n points, has the spectrum s_k, which is not negative
    (Dietrich & Newsam, SIAM Journal on Scientific Computing 18 (1997) 1088-1107; Craigmile, Journal
    of Time Series Analysis 24 (2003) 505-511). The noise is the Fourier transform of
    ``sqrt(s_k / 2n) w_k``: w_0 and w_n are the real and the imaginary part of pair 0; between, w_k
    is pair k over ``sqrt(2)`` and ``w_{2n-k}`` its conjugate.
    """
    n = pairs.shape[-1]
    covariance = noise_covariance(n, hurst)
    spectrum = np.fft.hfft(covariance, 2 * n)[: n + 1]
    if spectrum.min() < -1e-12 * 2 * n:
        raise ValueError(f"hurst must give a spectrum that is not negative, got {hurst}")
    scale = np.sqrt(np.maximum(spectrum, 0.0) / (2 * n))
    half = np.concatenate([pairs * math.sqrt(0.5), pairs[..., :1].imag], axis=-1)
    half[..., 0] = pairs[..., 0].real
    return np.fft.hfft(scale * half, 2 * n, axis=-1)[..., :n]


def cholesky(pairs: Array, n: int, hurst: float) -> Array:
    """Fractional Gaussian noise (..., n) from (n + 1) // 2 pairs of normal numbers.

    Its law is the same backwards in time, so that its even and its odd part, the sums and the
    differences of increments as far from the start as from the end, are independent: two lower
    factors of half the order, of which the first takes the real and the other the imaginary parts.
    """
    odd = n // 2
    even = n - odd
    lags = np.arange(n)
    ahead = noise_covariance(n, hurst)[abs(lags[:, None] - lags)]
    mirrored = ahead[:, ::-1]
    sums = pairs.real @ np.linalg.cholesky((ahead + mirrored)[:even, :even]).T
    differences = pairs.imag[..., :odd] @ np.linalg.cholesky((ahead - mirrored)[:odd, :odd]).T
    noise = np.concatenate([sums, (sums[..., :odd] - differences)[..., ::-1]], axis=-1)
    noise[..., :odd] += differences
    return noise * math.sqrt(0.5)


def fractional_brownian_motion(
    n_paths: int, n_steps: int, hurst: float, seed: int, method: str
) -> Array:
    """Paths of fractional Brownian motion at the times 0, 1 / n_steps, ..., 1, of the exact law.

    Path p takes the words of Philox stream p of the seed in order, two for a pair of normal numbers
    (`labkit.reference._philox.normal`): n_steps pairs for `davies_harte`, half as many for
    `cholesky`. Of hurst 1, a path is a line through the first number.

    Parameters
    ----------
    n_paths, n_steps : int
        At least 1; at most 2**30 values in all, and 2**12 steps for "cholesky".
    hurst : float
        Above 0, at most 0.999999, or 1; 0.5 is Brownian motion.
    seed : int
        From 0 to 2**64 - 1.
    method : {"davies_harte", "cholesky"}

    Returns
    -------
    ndarray, shape (n_paths, n_steps + 1)
        0 in the first column.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.
    """
    paths = check.count("n_paths", n_paths, 1)
    steps = check.count("n_steps", n_steps, 1)
    index = check.number("hurst", hurst)
    number = philox.seed("seed", seed)
    if not isinstance(method, str):
        raise TypeError(f"method must be a str, got {type(method).__name__}")
    if method not in METHODS:
        raise ValueError(f"method must be 'davies_harte' or 'cholesky', got {method!r}")
    if not (0 < index <= _NEAREST or index == 1):
        raise ValueError(f"hurst must be above 0 and at most 0.999999, or 1, got {index}")
    if paths * (steps + 1) > _MOST_VALUES:
        raise ValueError(f"n_paths must give at most 2**30 values in all, got {paths}")
    if method == "cholesky" and steps > _MOST_STEPS:
        raise ValueError(f"n_steps must be at most 4096 for cholesky, got {steps}")
    needed = steps if method == "davies_harte" else (steps + 1) // 2
    result = np.zeros((paths, steps + 1))
    for first in range(0, paths, _CHUNK):
        rows = result[first : first + _CHUNK]
        streams = np.arange(first, first + len(rows), dtype=np.uint64)
        pairs = philox.normal(philox.raw(number, streams, 0, 2 * needed))
        if index == 1:
            rows[:] = pairs[:, :1].real * (np.arange(steps + 1) / steps)
            continue
        if method == "davies_harte":
            noise = davies_harte(pairs, index)
        else:
            noise = cholesky(pairs, steps, index)
        np.cumsum(noise, axis=1, out=rows[:, 1:])
        rows *= float(steps) ** -index
    return result


def _bounded(name: str, value: Any, shape: tuple[int | str, ...]) -> Array:
    """Finite numbers whose squares are finite too."""
    values = check.array(name, value, np.float64, shape)
    good = np.abs(values) <= _LARGEST
    if not good.all():
        place = tuple(int(i) for i in np.unravel_index(np.argmin(good), good.shape))
        at = ", ".join(map(str, place))
        raise ValueError(
            f"{name}[{at}] must be finite and at most 1e100 in size, got {values[place]}"
        )
    return values


def _features(value: Any, shape: tuple[str, ...]) -> Array:
    features = _bounded("features", value, shape)
    if features.size == 0:
        raise ValueError(f"features must not be empty, got the shape {features.shape}")
    return features


def _positive(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"positive must be a bool, got {type(value).__name__}")
    return bool(value)


def solve(gram: Array, moments: Array) -> Array:
    """Coefficients from the products of columns with each other (k, k) and with targets (k, m).

    Columns are scaled to length 1 and taken into a Cholesky factor one after the other: always the
    first whose square outside the span of those taken is near the largest, until that is below
    1e-10. The coefficients of the others are 0.
    """
    k = len(gram)
    length = np.sqrt(np.diagonal(gram))
    inverse = np.divide(1.0, length, out=np.zeros(k), where=length > 0)
    cosines = gram * inverse[:, None] * inverse
    outside = np.where(length > 0, 1.0, 0.0)
    factor = np.zeros((k, k))
    taken: list[int] = []
    while len(taken) < k and outside.max() >= _DROPPED:
        n, pivot = len(taken), int(np.argmax(outside >= _NEAR * outside.max()))
        root = math.sqrt(outside[pivot])
        factor[:, n] = (cosines[:, pivot] - factor[:, :n] @ factor[pivot, :n]) / root
        factor[pivot, n] = root
        outside -= factor[:, n] ** 2
        taken.append(pivot)
        outside[taken] = 0.0
    lower = np.tril(factor[taken, : len(taken)])
    scaled = (moments * inverse[:, None])[taken]
    result = np.zeros_like(moments)
    result[taken] = solve_triangular(lower.T, solve_triangular(lower, scaled, lower=True))
    return result * inverse[:, None]


def regression(features: Array, targets: Array) -> Array:
    """Least squares of several targets on the same regressors, by normal equations.

    Regressors may be collinear: one that others explain but for 1e-10 of its square is left out.

    Parameters
    ----------
    features : ndarray, shape (b, k)
        At least one row and one column.
    targets : ndarray, shape (b, m)

    Returns
    -------
    ndarray, shape (k, m)
        0 for regressors that are left out.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape, or a value is above 1e100 in size or not finite.
    """
    x = _features(features, ("b", "k"))
    y = _bounded("targets", targets, (x.shape[0], "m"))
    return solve(x.T @ x, x.T @ y)


def backward_regression(features: Array, rewards: Array, positive: bool) -> tuple[Array, NDArray]:
    """Exercise policy of Longstaff & Schwartz (2001), and where it stops the paths it was made on.

    Every path stops at the last date at the latest. From the date before it back, the rewards that
    paths would get later are regressed on the features of the date, and a path stops whose reward
    is not below the fitted one.

    Parameters
    ----------
    features : ndarray, shape (n, b, k)
        Regressors at n dates on b paths; those of the last date are not used.
    rewards : ndarray, shape (n, b)
        For stopping at each date, discounted to one time.
    positive : bool
        Whether paths without a positive reward at a date neither stop there nor are regressed on.

    Returns
    -------
    coefficients : ndarray, shape (n, k)
        0 at the last date, and where there is no path to regress on.
    stops : ndarray, shape (b,), int64
        The date at which each path stops.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape, or a value is above 1e100 in size or not finite.
    """
    x = _features(features, ("n", "b", "k"))
    n, b, k = x.shape
    gains = _bounded("rewards", rewards, (n, b))
    only = _positive(positive)
    coefficients = np.zeros((n, k))
    stops = np.full(b, n - 1)
    cash = gains[-1].copy()
    for date in range(n - 2, -1, -1):
        chosen = np.flatnonzero(gains[date] > 0) if only else np.arange(b)
        rows = x[date, chosen]
        coefficients[date] = solve(rows.T @ rows, rows.T @ cash[chosen, None])[:, 0]
        stopping = chosen[gains[date, chosen] >= rows @ coefficients[date]]
        cash[stopping] = gains[date, stopping]
        stops[stopping] = date
    return coefficients, stops


def apply_policy(
    features: Array, rewards: Array, coefficients: Array, positive: bool
) -> NDArray[np.int64]:
    """First date at which a policy stops each path, from what is known at that date alone.

    Parameters
    ----------
    features, rewards, positive
        As in `backward_regression`, of any paths.
    coefficients : ndarray, shape (n, k)
        Of the policy; those of the last date are not used.

    Returns
    -------
    ndarray, shape (b,), int64

    Raises
    ------
    TypeError, ValueError
        As in `backward_regression`.
    """
    x = _features(features, ("n", "b", "k"))
    n, b, k = x.shape
    gains = _bounded("rewards", rewards, (n, b))
    weights = _bounded("coefficients", coefficients, (n, k))
    stopping = gains >= np.einsum("jik,jk->ji", x, weights)
    if _positive(positive):
        stopping &= gains > 0
    stopping[-1] = True
    return np.argmax(stopping, axis=0)
