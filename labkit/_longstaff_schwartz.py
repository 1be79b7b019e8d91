"""Optimal stopping by regression on the present state. Part of `labkit.stopping`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from labkit import _validate as validate
from labkit._backend import kernels
from labkit.reference import _checks as check

__all__ = ["LongstaffSchwartz", "longstaff_schwartz", "mean_and_error"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


def mean_and_error(values: Array, antithetic: bool = False) -> tuple[float, float]:
    """Mean and its standard error; antithetic values are independent pair by pair only."""
    independent = values
    if antithetic:
        half = len(values) // 2
        independent = (values[:half] + values[half:]) / 2
    if len(independent) < 2:
        return float(values.mean()), math.nan
    error = independent.std(ddof=1) / math.sqrt(len(independent))
    return float(values.mean()), float(error)


@dataclass(frozen=True)
class LongstaffSchwartz:
    """A rule by regression on the present state, and what it is worth.

    Attributes
    ----------
    value, standard_error : float
        Mean reward on the paths that the rule was made on, which is biased in its favour.
    stops : ndarray, shape (b,), int64
        Date at which each of them stops.
    coefficients : ndarray, shape (n, k)
        Of the regressors at each date, for the value of going on.
    fresh_value, fresh_standard_error : float
        Mean reward on paths the rule has not seen: a lower bound. NaN where none were given.
    fresh_stops : ndarray or None
    """

    value: float
    standard_error: float
    stops: Integers
    coefficients: Array
    fresh_value: float
    fresh_standard_error: float
    fresh_stops: Integers | None


Basis = str | Callable[[Array], Array]
_BASES: dict[str, Callable[[int, Array], Array]] = {
    "laguerre": lambda k, x: np.exp(-x / 2) * special.eval_laguerre(k, x),
    "power": lambda k, x: x**k,
    "hermite": lambda k, x: special.eval_hermitenorm(k, x),
    "chebyshev": lambda k, x: special.eval_chebyt(k, x),
}


def _state_features(states: Array, basis: Basis, degree: int, scale: float) -> Array:
    """Regressors (n, b, k) of the states (b, n)."""
    x = np.ascontiguousarray(states.T) / scale
    if callable(basis):
        features = np.asarray(basis(x), dtype=np.float64)
        if features.ndim != 3 or features.shape[:2] != x.shape:
            raise ValueError(
                f"basis must turn an array of shape {x.shape} into one of shape "
                f"({x.shape[0]}, {x.shape[1]}, k), got {features.shape}"
            )
        if not np.isfinite(features).all():
            raise ValueError("basis must give finite numbers")
        return np.ascontiguousarray(features)
    term = _BASES[basis]
    # Laguerre's weight makes its first function no constant, so that one stands beside it.
    orders = range(degree) if basis == "laguerre" else range(1, degree + 1)
    return np.stack([np.ones_like(x), *(term(k, x) for k in orders)], axis=-1)


def _states(prefix: str, paths: ArrayLike, rewards: ArrayLike) -> tuple[Array, Array]:
    states = validate.array(f"{prefix}paths", paths, (None, None))
    if 0 in states.shape:
        raise ValueError(f"{prefix}paths must not be empty, got the shape {states.shape}")
    return states, validate.array(f"{prefix}rewards", rewards, states.shape)


def longstaff_schwartz(
    paths: ArrayLike,
    rewards: ArrayLike,
    *,
    basis: Basis = "laguerre",
    degree: int = 3,
    scale: float | None = None,
    in_the_money: bool = True,
    antithetic: bool = False,
    fresh: tuple[ArrayLike, ArrayLike] | None = None,
) -> LongstaffSchwartz:
    """Optimal stopping by regression on the present state (Longstaff & Schwartz 2001).

    From the last date back, what a path earns later is regressed on functions of its state, over
    the paths that are in the money; it stops where its reward is not below the fitted value.

    Parameters
    ----------
    paths : array_like, shape (b, n)
        State at each of n dates.
    rewards : array_like, shape (b, n)
        For stopping at each date, discounted to one time. At the last date it is paid whatever it
        is.
    basis : str or callable
        ``"laguerre"``: a constant and `degree` Laguerre polynomials times ``exp(-x / 2)``, as in
        the paper; ``"power"``, ``"hermite"``, ``"chebyshev"``: polynomials up to `degree`; or a
        function that turns states (n, b), divided by `scale`, into regressors (n, b, k).
    degree : int
        At least 1.
    scale : float, optional
        Positive; states are divided by it. The strike is a good one for an option; by default it is
        the mean size of the states of `paths`, or 1 for a function.
    in_the_money : bool
        Whether paths with no positive reward at a date neither stop there nor enter its regression.
    antithetic : bool
        Whether path ``b / 2 + i`` is the antithetic of path i, so that errors are of pairs; in
        `fresh` too.
    fresh : (paths, rewards), optional
        Independent ones on which the rule is valued, of any number.

    Returns
    -------
    LongstaffSchwartz

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range, or a number is not finite.

    Examples
    --------
    >>> up, down = [1.0, 1.2, 1.44], [1.0, 0.8, 0.64]
    >>> put = [[max(1.0 - x, 0.0) for x in path] for path in (up, down)]
    >>> longstaff_schwartz([up, down], put, basis="power", degree=1).value
    0.18
    """
    if not callable(basis) and not (isinstance(basis, str) and basis in _BASES):
        raise ValueError(f"basis must be one of {sorted(_BASES)} or a function, got {basis!r}")
    most = check.count("degree", degree, 1)
    only, pairs = (
        validate.flag("in_the_money", in_the_money),
        validate.flag("antithetic", antithetic),
    )
    states, gains = _states("", paths, rewards)
    unit = 1.0 if callable(basis) else float(abs(states).mean()) or 1.0
    if scale is not None:
        unit = validate.positive("scale", scale)
    if pairs and len(states) % 2:
        raise ValueError(f"paths must be even in number where antithetic, got {len(states)}")
    features = _state_features(states, basis, most, unit)
    coefficients, stops = kernels.backward_regression(features, np.ascontiguousarray(gains.T), only)
    value, error = mean_and_error(gains[np.arange(len(gains)), stops], pairs)
    fresh_value, fresh_error, fresh_stops = math.nan, math.nan, None
    if fresh is not None:
        if not isinstance(fresh, tuple | list) or len(fresh) != 2:
            raise TypeError("fresh must be a pair of paths and rewards")
        states, gains = _states("fresh_", *fresh)
        if states.shape[1] != len(coefficients):
            raise ValueError(f"fresh must have {len(coefficients)} dates, got {states.shape[1]}")
        if pairs and len(states) % 2:
            raise ValueError(f"fresh must be even in number where antithetic, got {len(states)}")
        features = _state_features(states, basis, most, unit)
        fresh_stops = kernels.apply_policy(
            features, np.ascontiguousarray(gains.T), coefficients, only
        )
        fresh_value, fresh_error = mean_and_error(gains[np.arange(len(gains)), fresh_stops], pairs)
    return LongstaffSchwartz(
        value, error, stops, coefficients, fresh_value, fresh_error, fresh_stops
    )
