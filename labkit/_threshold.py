"""Portfolios that revert fast and yet move enough to pay for trading.

Proxies of mean reversion (`portmanteau`, `crossing_rate`) and the search that minimises one under a
floor on the variance (`variance_threshold`). The public names are those of `labkit.meanrev`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.optimize
from numpy.typing import ArrayLike, NDArray

from labkit import _convex
from labkit import _validate as validate
from labkit._var import VAR1, Matrix, Portfolio, symmetric, unit_columns, var
from labkit.reference import _checks as check

__all__ = ["ThresholdPortfolio", "crossing_rate", "portmanteau", "variance_threshold"]


def _series(values: ArrayLike, least: int) -> Matrix:
    array = validate.array("values", values, (None,))
    if len(array) < least:
        raise ValueError(f"values must have at least {least} entries, got {len(array)}")
    if np.ptp(array) == 0:
        raise ValueError("values must vary")
    return array - array.mean()


def portmanteau(values: ArrayLike, lags: int) -> float:
    """Mean of the first squared autocorrelations, ``(rho_1^2 + ... + rho_p^2) / p``.

    ``rho_i = sum_t x_t x_{t+i} / sum_t x_t^2`` about the sample mean, so that T p times the result
    is the statistic of Box & Pierce (JASA 65, 1970). Near 0 for white noise, near 1 for a random
    walk.

    Parameters
    ----------
    values : array_like (T,)
        A series, for instance `Portfolio.value`; T above `lags`.
    lags : int
        p, at least 1.

    Raises
    ------
    ValueError
        The series is too short, constant or not finite, or `lags` is less than 1.
    """
    p = check.count("lags", lags, 1)
    x = _series(values, p + 1)
    products = np.array([x[:-i] @ x[i:] for i in range(1, p + 1)])
    return float(np.mean((products / (x @ x)) ** 2))


def crossing_rate(values: ArrayLike) -> float:
    """Share of steps that cross the mean of the series; a value on it counts as above.

    For a stationary Gaussian AR(1) with first autocorrelation rho it tends to
    ``arccos(rho) / pi`` (the cosine formula: Kedem, "Time Series Analysis by Higher Order
    Crossings" (1994)): 1/2 for white noise, 0 towards the random walk.

    Parameters
    ----------
    values : array_like (T,)
        At least two values.

    Raises
    ------
    ValueError
        The series is too short, constant or not finite.

    Examples
    --------
    >>> crossing_rate([1, -1, 1, 1, -2])
    0.75
    """
    above = _series(values, 2) >= 0
    return float(np.mean(above[1:] != above[:-1]))


@dataclass(frozen=True, eq=False, repr=False)
class ThresholdPortfolio(Portfolio):
    """Weights of norm 1 with a proxy of mean reversion least among those with enough variance.

    Attributes
    ----------
    proxy : str
        Which one was minimised.
    min_variance, variance : float
        What was asked for and what the portfolio has, squared units of the prices.
    achieved : float
        Objective of this one.
    bound : float
        None of them has a smaller objective. As in `semidefinite`, an eigenvalue proves it,
        whatever the solver's tolerance. Where `achieved` equals it, nothing is better.
    relaxation : float
        Optimal value of the semidefinite relaxation, to the solver's tolerance.
    rank_one : float
        Share of the largest eigenvalue in the trace of the optimal Y.
    """

    proxy: str
    min_variance: float
    variance: float
    achieved: float
    bound: float
    relaxation: float
    rank_one: float

    @property
    def holds(self) -> bool:
        """Whether the variance is what was asked for, to 1e-9 of it."""
        return self.variance >= self.min_variance * (1 - 1e-9)


@dataclass(frozen=True)
class _Objective:
    """``Tr(L Y) + sum_i c_i Tr(Q_i Y)^2 + penalty sum|Y_ij|``, and for ``Y = y y'`` its slope."""

    linear: Matrix
    squares: tuple[tuple[float, Matrix], ...]
    penalty: float

    def __call__(self, y: Matrix) -> float:
        squares = sum(c * (y @ q @ y) ** 2 for c, q in self.squares)
        return float(y @ self.linear @ y + squares + self.penalty * np.abs(y).sum() ** 2)

    def gradient(self, y: Matrix) -> Matrix:
        squares = sum((4 * c * (y @ q @ y) * (q @ y) for c, q in self.squares), np.zeros(len(y)))
        return 2 * self.linear @ y + squares + 2 * self.penalty * np.abs(y).sum() * np.sign(y)

    def on(self, held: NDArray[np.int64]) -> _Objective:
        at = np.ix_(held, held)
        return _Objective(self.linear[at], tuple((c, q[at]) for c, q in self.squares), self.penalty)

    def tangent(self, point: Matrix) -> tuple[Matrix, float]:
        """H, c with ``Tr(H Y) + c`` at most the part without penalty, and equal to it at `point`.

        A convex function is nowhere below its tangents: ``t^2 >= 2 t t_0 - t_0^2``.
        """
        slope, constant = self.linear.copy(), 0.0
        for c, q in self.squares:
            at = float(np.vdot(q, point))
            slope += 2 * c * at * q
            constant -= c * at * at
        return slope, constant


def _objective(
    model: VAR1, centred: Matrix, unit: float, proxy: str, lags: int, balance: float, penalty: float
) -> _Objective:
    if proxy == "predictability":
        return _Objective(model.predicted / unit, (), penalty)
    lagged = [
        symmetric(centred[:-i].T @ centred[i:]) / (len(centred) - 1) / unit
        for i in range(1, lags + 1)
    ]
    if proxy == "portmanteau":
        return _Objective(np.zeros_like(lagged[0]), tuple((1.0, a) for a in lagged), penalty)
    return _Objective(lagged[0], tuple((balance, a) for a in lagged[1:]), penalty)


def _lift(y: Matrix, covariance: Matrix, least: float) -> Matrix:
    """The unit vector nearest to y, on the arc to the top eigenvector, with that variance.

    With v that eigenvector and w a unit vector orthogonal to it, ``v' C w = 0``, so the variance of
    ``cos(a) v + sin(a) w`` is ``w'Cw + (v'Cv - w'Cw) cos(a)^2``.
    """
    y = y / np.linalg.norm(y)
    if y @ covariance @ y >= least:
        return y
    values, vectors = np.linalg.eigh(covariance)
    top = vectors[:, -1] if vectors[:, -1] @ y >= 0 else -vectors[:, -1]
    aim = least + 1e-15 * values[-1]  # the variance is known to that rounding
    if aim >= values[-1]:
        return top
    side = y - (y @ top) * top
    side /= np.linalg.norm(side)
    low = side @ covariance @ side
    share = (aim - low) / (values[-1] - low)
    return math.sqrt(share) * top + math.sqrt(1 - share) * side


def _refine(objective: _Objective, covariance: Matrix, least: float, start: Matrix) -> Matrix:
    """A local minimum over unit vectors with at least that variance; never worse than the start.

    A penalty has kinks where a weight is zero. With ``y = u - v`` and u, v at least zero it is the
    smooth ``penalty (sum(u) + sum(v))^2``, least where u or v is zero in each place.
    """
    start = _lift(start, covariance, least)
    eye = np.eye(len(start))
    split = np.hstack([eye, -eye]) if objective.penalty else eye
    smooth, total = replace(objective, penalty=0.0), objective.penalty
    constraints = [
        {
            "type": "eq",
            "fun": lambda z: (split @ z) @ (split @ z) - 1,
            "jac": lambda z: 2 * split.T @ (split @ z),
        },
        {
            "type": "ineq",
            "fun": lambda z: (split @ z) @ covariance @ (split @ z) - least,
            "jac": lambda z: 2 * split.T @ covariance @ (split @ z),
        },
    ]
    found = scipy.optimize.minimize(
        lambda z: smooth(split @ z) + total * z.sum() ** 2,
        np.maximum(split.T @ start, 0) if total else start,
        jac=lambda z: split.T @ smooth.gradient(split @ z) + 2 * total * z.sum(),
        method="SLSQP",
        bounds=[(0, None)] * split.shape[1] if total else None,
        constraints=constraints,
        options={"ftol": 1e-15, "maxiter": 500},
    )
    y = split @ found.x
    if not np.isfinite(y).all() or not y.any():
        return start
    return min(start, _lift(y, covariance, least), key=objective)


def variance_threshold(
    prices: ArrayLike | pd.DataFrame,
    proxy: str,
    min_variance: float,
    *,
    lags: int = 5,
    penalty: float = 0.0,
    balance: float = 1.0,
    dt: float = 1.0,
) -> ThresholdPortfolio:
    """Fast reversion among portfolios that move enough to pay for trading.

    Over unit weights y with ``y' A_0 y >= min_variance``, one of three proxies is minimised
    (Cuturi & d'Aspremont, "Mean reversion with a variance threshold", ICML 2013), with
    ``A_i = (C_i + C_i') / 2``, ``C_i = sum_t S_t' S_{t+i} / (T - 1)`` and ``A_0 = Gamma``:

    - ``"predictability"``: ``y' M y``, the variance of the forecast;
    - ``"portmanteau"``: ``sum_{i=1..p} (y' A_i y)^2``, see `portmanteau`;
    - ``"crossing"``: ``y' A_1 y + (b / v) sum_{i=2..p} (y' A_i y)^2``: a first
      autocorrelation low enough to make crossings frequent (see `crossing_rate`), and little after.

    Here ``v = Tr(A_0) / n`` carries the units. `penalty` adds ``penalty (sum |y_i|)^2`` times v
    (v^2 for portmanteau). Replacing y y' by Y, ``Tr(Y) = 1``, ``Y >= 0``, makes each convex; then
    the nonconvex problem itself is minimised locally from the leading eigenvector of Y, from
    vectors drawn with covariance Y and, with a penalty, from small supports.

    The bound: any slope H of a tangent to the objective, U with ``|U_ij| <= penalty`` and
    multiplier l >= 0 of the variance give, for every Y allowed,
    ``f(Y) >= Tr((H + U) Y) + c >= least eigenvalue of (H + U - l A_0) + l min_variance + c``.

    The first proxy without a penalty loses nothing: an optimal Y of least rank r under two linear
    constraints has ``r (r + 1) / 2 <= 2``, so r = 1. With min_variance 0 it is the last
    eigenvector of M alone, a portfolio that hardly moves. With that of Box & Tiao's first
    portfolio x, scaled to norm 1, it is x: all others have
    ``y' M y >= nu_1 y' Gamma y >= nu_1 min_variance = x' M x``.

    Parameters
    ----------
    prices : DataFrame or array_like, shape (T, n)
        As in `var`. They are not rescaled: the norm of the weights depends on the units.
    proxy : str
        ``"predictability"``, ``"portmanteau"`` or ``"crossing"``.
    min_variance : float
        Squared units of the prices; at most the largest eigenvalue of Gamma.
    lags : int
        p, at least 1, below T; not used by the first proxy.
    penalty : float
        Zero or more. Above zero, assets with less than 0.001 of the largest weight are dropped
        as long as the variance can do without them.
    balance : float
        b, zero or more.
    dt : float
        Time from one row to the next.

    Returns
    -------
    ThresholdPortfolio
        `achieved`, `bound` and `relaxation` include the penalty.

    Raises
    ------
    ValueError
        As `var`; `proxy` is none of the three, a number is out of its range, or no unit weights
        have that much variance.
    SolverFailed
        Clarabel does not solve the relaxation to its tolerance.
    """
    if proxy not in ("predictability", "portmanteau", "crossing"):
        raise ValueError(
            f"proxy must be 'predictability', 'portmanteau' or 'crossing', got {proxy!r}"
        )
    numbers = {"min_variance": min_variance, "penalty": penalty, "balance": balance}
    for name, value in numbers.items():
        numbers[name] = check.number(name, value)
        if not 0 <= numbers[name] < math.inf:
            raise ValueError(f"{name} must be zero or positive and finite, got {value}")
    model = var(prices, dt=dt)
    if check.count("lags", lags, 1) >= model.n_obs:
        raise ValueError(f"lags must be below the {model.n_obs} rows, got {lags}")
    most = float(np.linalg.eigvalsh(model.covariance)[-1])
    if numbers["min_variance"] > most:
        raise ValueError(f"min_variance must be at most {most:.6g}, got {min_variance}")
    unit = float(np.trace(model.covariance)) / len(model.names)
    covariance, least = model.covariance / unit, numbers["min_variance"] / unit
    centred = np.asarray(prices, dtype=np.float64) - model.mean
    objective = _objective(
        model, centred, unit, proxy, lags, numbers["balance"], numbers["penalty"]
    )
    solved = _threshold_relaxation(objective, covariance, least)
    first, start = _tangent(objective, covariance, least, solved, solved.y)
    y = _round(objective, covariance, least, solved.y, start)
    second, _ = _tangent(objective, covariance, least, solved, np.outer(y, y))
    scale = unit**2 if proxy == "portmanteau" else unit
    values = np.linalg.eigvalsh(solved.y)
    return ThresholdPortfolio(
        model,
        unit_columns(y[:, None])[:, 0],
        model.predictability(y),
        f"variance threshold, {proxy}",
        proxy,
        numbers["min_variance"],
        float((centred @ y).var(ddof=1)),
        objective(y) * scale,
        max(first, second) * scale,
        solved.value * scale,
        float(values[-1] / values.sum()),
    )


class _Relaxed(NamedTuple):
    """Optimal value and Y, and the multipliers of the variance and of the absolute values."""

    value: float
    y: Matrix
    variance: float
    signs: Matrix


def _threshold_relaxation(objective: _Objective, covariance: Matrix, least: float) -> _Relaxed:
    import cvxpy as cp

    n = len(covariance)
    y = cp.Variable((n, n), PSD=True)
    # At the largest variance one Y is left, too few for the solver; `_tangent` uses `least`.
    top = float(np.linalg.eigvalsh(covariance)[-1])
    enough = cp.trace(covariance @ y) >= min(least, top * (1 - 1e-6))
    cost = cp.trace(objective.linear @ y)
    for c, q in objective.squares:
        cost += c * cp.square(cp.trace(q @ y))
    constraints, signs = [enough, cp.trace(y) == 1], np.zeros((n, n))
    if penalised := objective.penalty > 0 and n > 1:
        above = cp.upper_tri(y)
        size = cp.Variable(above.shape)
        limits = [above <= size, -above <= size]
        constraints += limits
        cost += 2 * objective.penalty * cp.sum(size)
    value = _convex.solve(cp.Problem(cp.Minimize(cost + objective.penalty), constraints))
    if penalised:
        signs[np.triu_indices(n, 1)] = np.ravel(limits[0].dual_value - limits[1].dual_value) / 2
        signs = np.clip(signs + signs.T, -objective.penalty, objective.penalty)
    return _Relaxed(value, symmetric(y.value), max(float(enough.dual_value), 0.0), signs)


def _tangent(
    objective: _Objective, covariance: Matrix, least: float, solved: _Relaxed, point: Matrix
) -> tuple[float, Matrix]:
    """The best bound of the tangent at a point, over the multiplier l, and its eigenvector."""
    slope, constant = objective.tangent(point)
    # |Y_ii| = Y_ii, and Tr(Y) = 1: the diagonal costs the penalty itself.
    slope, constant = slope + solved.signs, constant + objective.penalty

    def bound(multiplier: float) -> float:
        return _convex.proved(slope - multiplier * covariance) + multiplier * least + constant

    best = scipy.optimize.minimize_scalar(
        lambda multiplier: -bound(multiplier),
        bounds=(0.0, 2 * solved.variance + 1e-3),
        method="bounded",
        options={"xatol": 1e-13},
    )
    multiplier = max((0.0, solved.variance, float(best.x)), key=bound)
    return bound(multiplier), np.linalg.eigh(slope - multiplier * covariance)[1][:, 0]


def _round(
    objective: _Objective, covariance: Matrix, least: float, relaxed: Matrix, start: Matrix
) -> Matrix:
    """The best local minimum found; with a penalty, without the assets it makes negligible."""
    y = _search(objective, covariance, least, relaxed, start)
    while objective.penalty > 0:
        held = np.flatnonzero(np.abs(y) > 1e-3 * np.abs(y).max())
        at = np.ix_(held, held)
        possible = np.linalg.eigvalsh(covariance[at])[-1] >= least
        if len(held) == np.count_nonzero(y) or not possible:
            return y
        rest, y = y[held], np.zeros(len(y))
        y[held] = _search(objective.on(held), covariance[at], least, relaxed[at], rest)
    return y


def _search(
    objective: _Objective, covariance: Matrix, least: float, relaxed: Matrix, start: Matrix
) -> Matrix:
    """The best local minimum from a start, Y's leading eigenvector, eight draws of N(0, Y), and,
    where a penalty makes small supports pay, those cut to their k largest entries, and each pair.
    """
    values, vectors = np.linalg.eigh(relaxed)
    noise = np.random.default_rng(0).normal(size=(8, len(relaxed)))
    starts = [start, vectors[:, -1], *(noise * np.sqrt(values.clip(0)) @ vectors.T)]
    if objective.penalty:
        starts += [cut for x in starts[:2] for cut in _cuts(x)] + _pairs(covariance, least)
    return min((_refine(objective, covariance, least, x) for x in starts), key=objective)


def _cuts(x: Matrix) -> list[Matrix]:
    """x with all but its k largest entries set to zero, for k from 1 to n - 1."""
    order = np.argsort(-np.abs(x))
    return [np.where(np.isin(np.arange(len(x)), order[:k]), x, 0.0) for k in range(1, len(x))]


def _pairs(covariance: Matrix, least: float) -> list[Matrix]:
    """The axes, and for each pair of assets the sum and the difference; those that vary enough."""
    eye = np.eye(len(covariance))
    found = [*eye]
    for i, j in itertools.combinations(range(len(eye)), 2):
        found += [(eye[i] + eye[j]) / math.sqrt(2), (eye[i] - eye[j]) / math.sqrt(2)]
    return [y for y in found if y @ covariance @ y >= least]
