"""Fractional Brownian motion: paths of the exact law, and the innovations behind their steps.

Part of `labkit.stopping`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, special

from labkit import _validate as validate
from labkit._backend import kernels
from labkit.reference import _checks as check
from labkit.reference.stopping import noise_covariance

__all__ = [
    "fractional_brownian_motion",
    "fractional_covariance",
    "fractional_innovations",
    "hermite_innovations",
]

Array = NDArray[np.float64]


def fractional_brownian_motion(
    n_paths: int, n_steps: int, hurst: float, seed: int, *, method: str = "davies_harte"
) -> Array:
    """Paths of fractional Brownian motion on [0, 1], of the exact law on the grid.

    Parameters
    ----------
    n_paths, n_steps : int
        At least 1, and at most 2**30 values in all.
    hurst : float
        Index H: above 0, at most 0.999999, or 1. 0.5 is Brownian motion; below, increments are
        negatively correlated and paths rougher; 1 is a straight line of random slope.
    seed : int
        From 0 to 2**64 - 1. Path p is the same whatever the number of paths.
    method : str
        ``"davies_harte"``: circulant embedding by the fast Fourier transform (Davies & Harte,
        Biometrika 74 (1987) 95-101); ``"cholesky"``: a factor of the covariance, for 4096 steps
        at most. They give different paths of one law.

    Returns
    -------
    ndarray, shape (n_paths, n_steps + 1)
        Values at the times 0, 1 / n_steps, ..., 1; the first is 0.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    Examples
    --------
    >>> fractional_brownian_motion(2, 3, 0.3, 7).shape
    (2, 4)
    """
    return kernels.fractional_brownian_motion(n_paths, n_steps, hurst, seed, method)


def _hurst(value: Any) -> float:
    index = check.number("hurst", value)
    if not 0 < index <= 1:
        raise ValueError(f"hurst must be in (0, 1], got {value}")
    return index


def fractional_covariance(n_steps: int, hurst: float) -> Array:
    """Covariance of fractional Brownian motion at the times 1 / n_steps, ..., 1.

    ``(t**2H + s**2H - |t - s|**2H) / 2`` (Mandelbrot & Van Ness 1968).

    Parameters
    ----------
    n_steps : int
    hurst : float
        In (0, 1].

    Returns
    -------
    ndarray, shape (n_steps, n_steps)

    Examples
    --------
    >>> fractional_covariance(2, 0.5).tolist()
    [[0.5, 0.5], [0.5, 1.0]]
    """
    n, index = check.count("n_steps", n_steps, 1), _hurst(hurst)
    times = np.arange(1, n + 1) / n
    power = times ** (2 * index)
    return (power[:, None] + power - abs(times[:, None] - times) ** (2 * index)) / 2


def fractional_innovations(paths: ArrayLike, hurst: float, *, degree: int = 1) -> Array:
    """What each step of fractional Brownian motion adds to what its past foretold.

    The error of the best forecast from all earlier values, over its standard deviation: the
    independent standard normal numbers that a Cholesky factor turns into the path. Their Hermite
    polynomials, of mean 0 given the past, are the `innovations` of `signature_stopping`.

    Parameters
    ----------
    paths : array_like, shape (b, n + 1)
        Values at equally spaced times from 0 to 1, as `fractional_brownian_motion` gives them.
    hurst : float
        Above 0, at most 0.999999, or 1. Of hurst 1 only the first step is random; the others are 0.
    degree : int
        Highest degree of the polynomials, from 1 to 20.

    Returns
    -------
    ndarray, shape (b, n, degree)
        At [:, j, m - 1] polynomial m, of variance 1, of the step from point j to j + 1.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range.

    Examples
    --------
    >>> fractional_innovations([[0.0, 1.0, 3.0]], 0.5)[0, :, 0].round(6).tolist()
    [1.414214, 2.828427]
    """
    points = validate.array("paths", paths, (None, None))
    index, most = _hurst(hurst), _degree(degree)
    if 0.999999 < index < 1:
        raise ValueError(f"hurst must be at most 0.999999, or 1, got {hurst}")
    n = points.shape[1] - 1
    if n < 1:
        raise ValueError(f"paths must have at least two points, got {points.shape[1]}")
    if index == 1:
        found = np.zeros((len(points), n, most))
        found[:, :1] = hermite_innovations(n * points[:, 1:2], degree=most)
        return found
    lags = np.arange(n)
    factor = np.linalg.cholesky(noise_covariance(n, index)[abs(lags[:, None] - lags)])
    noise = np.diff(points, axis=1) * float(n) ** index
    normal = linalg.solve_triangular(factor, noise.T, lower=True).T
    return hermite_innovations(normal, degree=most)


def _degree(value: Any) -> int:
    most = check.count("degree", value, 1)
    if most > 20:
        raise ValueError(f"degree must be at most 20, got {most}")
    return most


def hermite_innovations(normal: ArrayLike, *, degree: int = 1) -> Array:
    """Hermite polynomials of standard normal numbers, each of mean 0 and variance 1.

    Parameters
    ----------
    normal : array_like, shape (b, n)
        Independent of all before them on their path.
    degree : int
        From 1 to 20.

    Returns
    -------
    ndarray, shape (b, n, degree)
        ``He_m / sqrt(m!)`` at [..., m - 1].

    Examples
    --------
    >>> hermite_innovations([[2.0]], degree=2).round(6).tolist()
    [[[2.0, 2.12132]]]
    """
    values = validate.array("normal", normal, (None, None))
    most = _degree(degree)
    orders = np.arange(1, most + 1)
    return special.eval_hermitenorm(orders, values[..., None]) / np.sqrt(special.factorial(orders))
