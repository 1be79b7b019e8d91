"""Mean-reverting portfolios: estimate a VAR(1), then search the least predictable weights.

Prices are rows of a panel, one column an asset: levels or logarithms, whichever the portfolio is to
be linear in. With the model ``S[t] = S[t-1] @ A + Z[t]`` on demeaned rows and the covariance Gamma
of S[t], the portfolio x is forecast to vary by ``x' M x``, ``M = A' Gamma A``, of its variance
``x' Gamma x``. The ratio nu is its predictability (Box & Tiao, "A canonical analysis of multiple
time series", Biometrika 64 (1977)): near 1 a portfolio wanders, near 0 it reverts at once.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.optimize
import scipy.sparse
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from labkit import _convex
from labkit._allocation import (
    JurekYang,
    TradingPolicy,
    cara_weights,
    garleanu_pedersen,
    jurek_yang,
    multiperiod,
    replan,
    sharpe_weights,
)
from labkit._backend import kernels
from labkit._rolling import (
    Rolling,
    Traded,
    profit_and_loss,
    rolling,
    threshold_positions,
    trade,
)
from labkit.errors import SolverFailed
from labkit.reference import _checks as check

__all__ = [
    "VAR1",
    "JurekYang",
    "Portfolio",
    "Rolling",
    "SemidefinitePortfolio",
    "ThresholdPortfolio",
    "Traded",
    "TradingPolicy",
    "box_tiao",
    "cara_weights",
    "clusters",
    "covariance_selection",
    "crossing_rate",
    "exhaustive",
    "garleanu_pedersen",
    "greedy",
    "greedy_path",
    "jurek_yang",
    "multiperiod",
    "pca",
    "penalized_var",
    "portmanteau",
    "profit_and_loss",
    "replan",
    "rolling",
    "semidefinite",
    "semidefinite_components",
    "sharpe_weights",
    "threshold_positions",
    "trade",
    "var",
    "variance_threshold",
]

Matrix = NDArray[np.float64]

# A column whose range is below this share of its level holds rounding only; a covariance whose
# correlation matrix has an eigenvalue below it (times n) is singular to rounding.
_ROUNDING = 1e-13


def _symmetric(matrix: Matrix) -> Matrix:
    return (matrix + matrix.T) / 2


@dataclass(frozen=True, eq=False)
class VAR1:
    """A VAR(1) in rows, ``S[t] = S[t-1] @ A + Z[t]``: what every search below starts from.

    Attributes
    ----------
    names : tuple
        The n assets.
    transition : ndarray (n, n)
        A. Column j forecasts asset j.
    covariance : ndarray (n, n)
        Gamma, the covariance of S[t], in squared units of the prices.
    mean : ndarray (n,)
        What was subtracted from the prices.
    n_obs : int
        Rows of the sample.
    dt : float
        Time from one row to the next.
    method : str
        How it was estimated, penalties included.
    """

    names: tuple[Hashable, ...]
    transition: Matrix
    covariance: Matrix
    mean: Matrix
    n_obs: int
    dt: float
    method: str

    @cached_property
    def predicted(self) -> Matrix:
        """``M = A' Gamma A`` (n, n), the covariance of the forecasts."""
        return _symmetric(self.transition.T @ self.covariance @ self.transition)

    @cached_property
    def scale(self) -> Matrix:
        """Standard deviation of each asset (n,)."""
        return np.sqrt(np.diag(self.covariance))

    @cached_property
    def pencil(self) -> tuple[Matrix, Matrix]:
        """M and Gamma of the assets scaled to unit variance, which leaves predictability as is."""
        outer = self.scale[:, None] * self.scale
        predicted, covariance = self.predicted / outer, self.covariance / outer
        np.fill_diagonal(covariance, 1.0)
        return np.ascontiguousarray(predicted), np.ascontiguousarray(covariance)

    def predictability(self, weights: ArrayLike | pd.Series) -> float:
        """``nu = x' M x / x' Gamma x`` (Box & Tiao 1977).

        Parameters
        ----------
        weights : array_like (n,) or Series
            Units of each asset; a Series is aligned by its labels, absent assets weigh nothing.

        Raises
        ------
        ValueError
            The shape or a label does not fit, a weight is not finite, or all are zero.
        """
        x = _weights(self.names, weights) * self.scale
        predicted, covariance = self.pencil
        return float(x @ predicted @ x / (x @ covariance @ x))


def _weights(names: tuple[Hashable, ...], weights: ArrayLike | pd.Series) -> Matrix:
    if isinstance(weights, pd.Series):
        unknown = [name for name in weights.index if name not in names]
        if unknown or not weights.index.is_unique:
            raise ValueError(f"weights must have different labels among {names}, got {unknown}")
        weights = weights.reindex(list(names), fill_value=0.0)
    x = np.asarray(weights, dtype=np.float64)
    if x.shape != (len(names),):
        raise ValueError(f"weights must have shape ({len(names)},), got {x.shape}")
    if not np.isfinite(x).all() or not x.any():
        raise ValueError("weights must be finite and not all zero")
    return x


def _panel(prices: ArrayLike | pd.DataFrame) -> tuple[Matrix, tuple[Hashable, ...]]:
    array = np.asarray(prices)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"prices must hold numbers, got {array.dtype}")
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"prices must have shape (T, n), got {array.shape}")
    names = tuple(prices.columns) if isinstance(prices, pd.DataFrame) else range(array.shape[1])
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise ValueError(f"prices must have different column names, got {twice!r} twice")
    if len(array) < array.shape[1] + 2:
        least = array.shape[1] + 2
        raise ValueError(f"prices must have at least {least} rows, got {len(array)}")
    labels = prices.index if isinstance(prices, pd.DataFrame) else range(len(array))
    for row, column in np.argwhere(~np.isfinite(array))[:1]:
        raise ValueError(
            f"prices must be finite, got {array[row, column]} "
            f"in column {names[column]!r}, row {labels[row]!r}"
        )
    return array.astype(np.float64), tuple(names)


@dataclass(frozen=True)
class _Sample:
    """A panel with zero means and unit variances, and what it was scaled by."""

    names: tuple[Hashable, ...]
    mean: Matrix
    scale: Matrix
    scaled: Matrix
    correlation: Matrix


def _sample(prices: ArrayLike | pd.DataFrame) -> _Sample:
    array, names = _panel(prices)
    for column in np.flatnonzero(np.ptp(array, axis=0) <= _ROUNDING * np.abs(array).max(axis=0)):
        raise ValueError(f"prices must vary, column {names[column]!r} is constant")
    mean = array.mean(axis=0)
    centred = array - mean
    scale = np.sqrt((centred**2).sum(axis=0) / (len(array) - 1))
    scaled = centred / scale
    correlation = scaled.T @ scaled / (len(array) - 1)
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < _ROUNDING * len(names):
        worst = names[int(np.argmax(np.abs(vectors[:, 0])))]
        raise ValueError(
            f"prices have a singular covariance: column {worst!r} is a linear combination of others"
        )
    return _Sample(names, mean, scale, scaled, correlation)


def _model(sample: _Sample, transition: Matrix, dt: float, method: str) -> VAR1:
    """VAR1 in the units of the prices, from the transition matrix of the scaled ones.

    With ``S = U D``, D the diagonal of scales, ``U[t] = U[t-1] B`` is ``S[t] = S[t-1] D^-1 B D``.
    """
    return VAR1(
        names=sample.names,
        transition=transition * sample.scale / sample.scale[:, None],
        covariance=_symmetric(sample.correlation) * (sample.scale * sample.scale[:, None]),
        mean=sample.mean,
        n_obs=len(sample.scaled),
        dt=dt,
        method=method,
    )


def _step(dt: float) -> float:
    dt = check.number("dt", dt)
    check.positive("dt", dt)
    return dt


def var(prices: ArrayLike | pd.DataFrame, *, dt: float = 1.0) -> VAR1:
    """Estimate a VAR(1) by least squares, without an intercept on prices less their sample mean.

    ``A = argmin ||S[1:] - S[:-1] A||`` and ``Gamma = S' S / (T - 1)`` (d'Aspremont, "Identifying
    small mean-reverting portfolios", Quantitative Finance 11 (2011)).

    Parameters
    ----------
    prices : DataFrame or array_like, shape (T, n)
        Levels or logarithms, at least n + 2 rows. The labels of a DataFrame name the assets.
    dt : float
        Time from one row to the next; half-lives are in its unit.

    Returns
    -------
    VAR1

    Raises
    ------
    ValueError
        A price is not finite, a column is constant or a linear combination of others, a name
        occurs twice, or there are fewer than n + 2 rows.

    Examples
    --------
    >>> model = var([[0.0], [2.0], [1.0], [1.0]])
    >>> model.mean.tolist(), model.transition.round(12).tolist()
    ([1.0], [[-0.5]])
    """
    step, sample = _step(dt), _sample(prices)
    return _model(sample, _least_squares(sample), step, "least squares")


def _least_squares(sample: _Sample) -> Matrix:
    transition, _, rank, _ = np.linalg.lstsq(sample.scaled[:-1], sample.scaled[1:], rcond=None)
    if rank < len(sample.names):
        raise ValueError("prices have a singular covariance without their last row")
    return transition


def _lasso(gram: Matrix, cross: Matrix, penalty: float, start: Matrix | None = None) -> Matrix:
    """Minimise ``b' gram b / 2 - cross' b + penalty sum|b|``, to rounding.

    Active sets: the quadratic is solved exactly for the signs held, a coefficient that would
    change its sign leaves, the one whose gradient breaks the penalty most enters (Lee et al.,
    "Efficient sparse coding algorithms", NIPS 2006). The objective falls at every step, so no set
    comes twice. Coordinate descent is much slower on prices, which are all nearly collinear.
    """
    b = np.zeros(len(cross)) if start is None else start.copy()
    signs = np.sign(b)
    allowed = penalty * (1 + 1e-10) + 1e-12 * np.abs(cross).max()
    for _ in range(100 * len(cross) + 100):
        active = np.flatnonzero(signs)
        if len(active):
            target = np.linalg.solve(
                gram[np.ix_(active, active)], cross[active] - penalty * signs[active]
            )
            leaving = np.flatnonzero(signs[active] * target <= 0)
            if len(leaving):
                share = b[active[leaving]] / (b[active[leaving]] - target[leaving])
                first = int(np.argmin(share))
                b[active] += share[first] * (target - b[active])
                b[active[leaving[first]]] = signs[active[leaving[first]]] = 0.0
                continue
            b[active] = target
        gradient = cross - gram @ b
        gradient[active] = 0.0
        entering = int(np.argmax(np.abs(gradient)))
        if abs(gradient[entering]) <= allowed:
            return b
        signs[entering] = np.sign(gradient[entering])
    raise SolverFailed("the lasso did not settle on a set of coefficients")


def _penalty(penalty: float) -> float:
    share = check.number("penalty", penalty)
    if not 0 <= share < 1:
        raise ValueError(f"penalty must be at least 0 and below 1, got {share}")
    return share


def penalized_var(
    prices: ArrayLike | pd.DataFrame,
    penalty: float,
    *,
    dt: float = 1.0,
    toward: str = "zero",
) -> VAR1:
    """Estimate a VAR(1) whose transition matrix is sparse: the lasso, column by column.

    With ``U = S D^-1`` of unit variances and target B0, column j of ``B = D A D^-1`` minimises
    ``||U[1:, j] - U[:-1] b||^2 / (2 (T - 1)) + alpha_j sum|b - b0|`` (Tibshirani, "Regression
    shrinkage and selection via the lasso", JRSS B 58 (1996); d'Aspremont 2011).
    ``alpha_j`` is `penalty` times the least one at which that column equals its target.

    Parameters
    ----------
    prices : DataFrame or array_like, shape (T, n)
        As in `var`.
    penalty : float
        In [0, 1); 0 is `var`.
    dt : float
        Time from one row to the next.
    toward : str
        ``"zero"`` shrinks A to 0, as d'Aspremont does. Beware: a coefficient that is too small
        on the diagonal makes every asset look more mean-reverting than it is (A = 0 has
        predictability 0). ``"random walk"`` shrinks A to the identity, under which nothing reverts:
        what is then left of reversion, the data insist on.

    Returns
    -------
    VAR1
        Its covariance is that of the sample; `covariance_selection` makes it sparse too.

    Raises
    ------
    ValueError
        As `var`; `penalty` or `toward` is not one of those above.
    SolverFailed
        Rounding kept a column from being solved.

    Examples
    --------
    >>> steps = np.random.default_rng(0).normal(size=(500, 3))
    >>> penalized_var(steps.cumsum(axis=0), 0.5, toward="random walk").transition[0, 0] <= 1
    np.True_
    """
    step, share = _step(dt), _penalty(penalty)
    if toward not in ("zero", "random walk"):
        raise ValueError(f"toward must be 'zero' or 'random walk', got {toward!r}")
    sample = _sample(prices)
    method = f"lasso toward {toward}, penalty {share:g}"
    if share == 0:
        return _model(sample, _least_squares(sample), step, method)
    past, rows = sample.scaled[:-1], len(sample.scaled) - 1
    origin = float(toward == "random walk") * np.eye(len(sample.names))
    gram, cross = past.T @ past / rows, past.T @ (sample.scaled[1:] - past @ origin) / rows
    columns = [_lasso(gram, column, share * np.abs(column).max()) for column in cross.T]
    return _model(sample, origin + np.column_stack(columns), step, method)


def _sparse_precision(correlation: Matrix, penalty: float) -> Matrix:
    """Graphical lasso: maximise ``log det K - Tr(R K) - penalty sum_{i != j} |K_ij|``.

    Block coordinate ascent on the dual (Friedman et al., Biostatistics 9 (2008)): with W the
    inverse of K, the off-diagonal column of W is ``W_11 b`` and b solves a lasso. Begun inside the
    dual's box at the regularised ``(1 - penalty) R + penalty I``, not at R, W stays well
    conditioned where R is nearly singular, as that of cointegrated prices is.
    """
    n = len(correlation)
    covariance = (1 - penalty) * correlation + penalty * np.eye(n)
    slopes, others = np.zeros((n, n)), [np.delete(np.arange(n), j) for j in range(n)]
    for _ in range(2000):
        before = covariance.copy()
        for j, rest in enumerate(others):
            block = covariance[np.ix_(rest, rest)]
            slopes[rest, j] = _lasso(block, correlation[rest, j], penalty, slopes[rest, j])
            covariance[rest, j] = covariance[j, rest] = block @ slopes[rest, j]
        if np.abs(covariance - before).max() < 1e-11:
            break
    else:
        raise SolverFailed("the graphical lasso did not converge in 2000 sweeps")
    precision = np.diag(1 / (1 - np.einsum("ij,ij->j", covariance, slopes)))
    precision -= slopes * np.diag(precision)
    zero = (slopes == 0) & (slopes.T == 0) & ~np.eye(n, dtype=bool)
    return np.where(zero, 0.0, _symmetric(precision))


def covariance_selection(model: VAR1, penalty: float) -> VAR1:
    """Make the inverse of a model's covariance sparse: the graphical lasso.

    On the correlations R, ``K = argmax log det K - Tr(R K) - penalty sum_{i != j} |K_ij|``, and
    the inverse of K, scaled back, is the new covariance (Banerjee et al., JMLR 9 (2008); Friedman
    et al., Biostatistics 9 (2008); d'Aspremont 2011). Variances stay as they are.

    Parameters
    ----------
    model : VAR1
    penalty : float
        In [0, 1), in units of correlation: no correlation is changed by more, and where none is
        larger all become 0.

    Returns
    -------
    VAR1
        The same transition with the new covariance.

    Raises
    ------
    ValueError
        `penalty` is out of range.
    SolverFailed
        The iteration did not converge.
    """
    share = _penalty(penalty)
    method = f"{model.method}; covariance selection, penalty {share:g}"
    if share == 0:
        return replace(model, method=method)
    inverse = _symmetric(np.linalg.inv(_sparse_precision(model.pencil[1], share)))
    outer = model.scale / np.sqrt(np.diag(inverse))
    return replace(model, covariance=inverse * outer[:, None] * outer, method=method)


def clusters(model: VAR1, *, tolerance: float = 1e-8) -> list[tuple[Hashable, ...]]:
    """Groups of assets among which sparse portfolios can be searched one group at a time.

    The groups are the connected components of the graph with an edge i - j wherever
    ``(Gamma^-1)_ij``, ``A_ij`` or ``A_ji`` is not zero (after d'Aspremont 2011). Sorted by
    group, Gamma^-1 and A are block diagonal. The inverse of a block diagonal matrix and products
    of such matrices are block diagonal, so Gamma and ``M = A' Gamma A`` are too. For a support I
    that meets the groups in I_1, I_2, ..., with weights x_1, x_2, ... there,

    ``nu(x) = sum_g x_g' M x_g / sum_g x_g' Gamma x_g >= min_g nu(x_g)``,

    a mean of the groups' own predictabilities, weighted with their variances: the least
    predictable portfolio on I may as well be taken inside one group.

    Parameters
    ----------
    model : VAR1
        From `penalized_var` and `covariance_selection`, else there is one group as a rule.
    tolerance : float
        What counts as zero: a partial correlation, or a coefficient between assets of unit
        variance, of at most this size.

    Returns
    -------
    list of tuple
        Names, each once; the largest group first, equal ones in the order of the assets.

    Raises
    ------
    ValueError
        `tolerance` is negative or not finite.
    """
    limit = check.number("tolerance", tolerance)
    if not 0 <= limit < math.inf:
        raise ValueError(f"tolerance must be zero or positive and finite, got {limit}")
    precision = np.linalg.inv(model.pencil[1])
    root = np.sqrt(np.diag(precision))
    scaled = model.transition * model.scale[:, None] / model.scale
    linked = (np.abs(precision / (root * root[:, None])) > limit) | (np.abs(scaled) > limit)
    count, label = connected_components(linked, directed=False)
    groups = [
        tuple(model.names[i] for i in np.flatnonzero(label == group)) for group in range(count)
    ]
    return sorted(groups, key=lambda group: (-len(group), model.names.index(group[0])))


@dataclass(frozen=True, eq=False, repr=False)
class Portfolio:
    """Weights, and how fast their portfolio reverts under a model.

    Attributes
    ----------
    model : VAR1
        The model under which it was found.
    vector : ndarray (n,)
        Units of each asset of `model.names`, of Euclidean norm 1; the largest in magnitude is
        positive. `weights` is the same with names.
    predictability : float
        ``nu = x' M x / x' Gamma x``.
    method : str
        The search that found it.
    """

    model: VAR1
    vector: Matrix
    predictability: float
    method: str

    @cached_property
    def weights(self) -> pd.Series:
        """`vector`, labelled with all the assets' names."""
        return pd.Series(self.vector, index=list(self.model.names), name="weight")

    @property
    def support(self) -> tuple[Hashable, ...]:
        """Names of the assets held."""
        names = self.model.names
        return tuple(names[i] for i in np.flatnonzero(self.vector))

    @property
    def cardinality(self) -> int:
        """Number of assets held."""
        return int(np.count_nonzero(self.vector))

    @property
    def half_life(self) -> float:
        """Time in which an AR(1) of this predictability halves its distance, in the unit of dt.

        ``dt ln 2 / (-ln(nu) / 2)``: an AR(1) with coefficient phi has predictability phi**2. For
        weights with ``A x = phi x``, phi > 0, the portfolio is one, and this is the half-life
        ``ln 2 / theta`` of the Ornstein-Uhlenbeck process sampled every dt. Infinite where the
        predictability is 1 or above.
        """
        if self.predictability >= 1:
            return math.inf
        if self.predictability <= 0:
            return 0.0
        return -2 * self.model.dt * math.log(2) / math.log(self.predictability)

    def value(self, prices: ArrayLike | pd.DataFrame) -> pd.Series | Matrix:
        """Level of the portfolio on each row of prices: a Series where they are a DataFrame.

        Parameters
        ----------
        prices : DataFrame or array_like, shape (T, n)
            In the units of the estimate. A DataFrame is aligned by name.

        Raises
        ------
        ValueError
            An asset of the portfolio is missing, or the shape does not fit.
        """
        if isinstance(prices, pd.DataFrame):
            held = self.weights[list(self.support)]
            missing = [name for name in held.index if name not in prices.columns]
            if missing:
                raise ValueError(f"prices have no column {missing[0]!r}")
            return (prices[list(held.index)] @ held).rename("value")
        array = np.asarray(prices, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != len(self.vector):
            raise ValueError(f"prices must have shape (T, {len(self.vector)}), got {array.shape}")
        return array @ self.vector

    def __repr__(self) -> str:
        held = ", ".join(
            f"{self.model.names[i]}: {self.vector[i]:+.4f}" for i in np.flatnonzero(self.vector)
        )
        return (
            f"{type(self).__name__}({held}; predictability {self.predictability:.6g}, "
            f"half-life {self.half_life:.4g}, by {self.method})"
        )


def _unit(vectors: Matrix) -> Matrix:
    """Columns of norm 1 whose largest entry in magnitude is positive."""
    vectors = vectors / np.sqrt(np.einsum("ij,ij->j", vectors, vectors))
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return vectors * np.sign(largest)


def box_tiao(model: VAR1) -> tuple[Portfolio, ...]:
    """All n canonical portfolios, from the least predictable to the most.

    The generalised eigenvectors of ``M x = nu Gamma x`` (Box & Tiao 1977): the first is the least
    predictable portfolio there is, and each next one the least predictable of those uncorrelated
    with the ones before it (``x' Gamma y = 0``).

    Parameters
    ----------
    model : VAR1

    Returns
    -------
    tuple of Portfolio
        In ascending predictability.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> walk = rng.normal(size=2000).cumsum()
    >>> model = var(pd.DataFrame({"spot": walk, "future": walk + rng.normal(size=2000)}))
    >>> [round(p.predictability, 2) for p in box_tiao(model)]
    [0.0, 1.0]
    >>> box_tiao(model)[0].weights.round(2).to_dict()
    {'spot': -0.71, 'future': 0.71}
    """
    values, vectors = scipy.linalg.eigh(*model.pencil, check_finite=False)
    rows = np.ascontiguousarray(_unit(vectors / model.scale[:, None]).T)
    # M is positive semidefinite; an eigenvalue below 0 is 0 and rounding.
    found = zip(rows, np.maximum(values, 0.0).tolist(), strict=True)
    return tuple(_light(model, row, value, "Box-Tiao") for row, value in found)


def _light(model: VAR1, vector: Matrix, predictability: float, method: str) -> Portfolio:
    """A Portfolio without its __init__, which would be a quarter of the time of `box_tiao`."""
    portfolio = object.__new__(Portfolio)
    portfolio.__dict__.update(
        model=model, vector=vector, predictability=predictability, method=method
    )
    return portfolio


def pca(model: VAR1) -> tuple[Portfolio, ...]:
    """Principal components of the covariance, from the largest variance to the least.

    Weights ``Gamma x = lambda x``. They say nothing about the dynamics: the predictability that is
    given with each shows what a search by variance alone finds.

    Parameters
    ----------
    model : VAR1

    Returns
    -------
    tuple of Portfolio
        In descending variance.
    """
    _, vectors = scipy.linalg.eigh(model.covariance)
    rows = np.ascontiguousarray(_unit(vectors[:, ::-1]).T)
    return tuple(Portfolio(model, row, model.predictability(row), "PCA") for row in rows)


def _on_support(
    model: VAR1, support: Sequence[int] | NDArray[np.int64], excluded: Matrix | None = None
) -> tuple[Matrix, float]:
    """Least predictable weights on a support (n,), and their predictability.

    `excluded` (n, m), in scaled units: the scaled weights y must have ``excluded' y = 0``.
    """
    index = np.sort(np.asarray(support, dtype=np.int64))
    predicted, covariance = (matrix[np.ix_(index, index)] for matrix in model.pencil)
    basis = np.eye(len(index))
    if excluded is not None and excluded.shape[1]:
        basis = scipy.linalg.null_space(excluded[index].T)
        predicted, covariance = (basis.T @ matrix @ basis for matrix in (predicted, covariance))
    values, vectors = scipy.linalg.eigh(
        predicted, covariance, subset_by_index=[0, 0], check_finite=False
    )
    weights = np.zeros(len(model.names))
    weights[index] = (basis @ vectors[:, 0]) / model.scale[index]
    return _unit(weights[:, None])[:, 0], max(float(values[0]), 0.0)


def _cardinality(model: VAR1, cardinality: int, name: str = "cardinality") -> int:
    k, n = check.count(name, cardinality, 1), len(model.names)
    if k > n:
        raise ValueError(f"{name} must be at most {n}, got {k}")
    return k


def greedy_path(model: VAR1, max_cardinality: int | None = None) -> tuple[Portfolio, ...]:
    """Sparse portfolios by forward selection, one for every number of assets.

    Begins with the least predictable asset and adds, each time, the one with which the least
    predictability on the support falls most (d'Aspremont 2011, section 3). Each step is the
    best next one, the result need not be the best of its size: compare `exhaustive`, and the bound
    of `semidefinite`.

    Parameters
    ----------
    model : VAR1
    max_cardinality : int, optional
        Length of the path; all n assets by default.

    Returns
    -------
    tuple of Portfolio
        The k-th is chosen from supports of k assets. Predictability never rises along it.

    Raises
    ------
    ValueError
        `max_cardinality` is not in 1..n, or the covariance is not positive definite.
    """
    longest = len(model.names)
    if max_cardinality is not None:
        longest = _cardinality(model, max_cardinality, "max_cardinality")
    order, _ = kernels.greedy_path(*model.pencil)
    return tuple(
        Portfolio(model, *_on_support(model, order[:k]), "greedy") for k in range(1, longest + 1)
    )


def greedy(model: VAR1, cardinality: int, *, swaps: bool = False) -> Portfolio:
    """A sparse portfolio by forward selection, as `greedy_path` explains.

    Parameters
    ----------
    model : VAR1
    cardinality : int
        Assets to hold, 1..n.
    swaps : bool
        Afterwards, exchange one asset held for one that is not, the best exchange first, for as
        long as that lowers the predictability.

    Raises
    ------
    ValueError
        `cardinality` is not in 1..n, or the covariance is not positive definite.
    """
    k = _cardinality(model, cardinality)
    order, _ = kernels.greedy_path(*model.pencil)
    support = np.sort(order[:k])
    if swaps:
        support, _ = kernels.swap_subset(*model.pencil, support)
    method = "greedy with swaps" if swaps else "greedy"
    return Portfolio(model, *_on_support(model, support), method)


def exhaustive(model: VAR1, cardinality: int) -> Portfolio:
    """The least predictable portfolio of all with that many assets: every support is searched.

    The sparse generalised eigenvalue problem of d'Aspremont (2011), which is NP-hard: the number
    of supports, n over k, sets the limit.

    Parameters
    ----------
    model : VAR1
    cardinality : int
        Assets to hold, 1..n.

    Raises
    ------
    ValueError
        `cardinality` is not in 1..n, there are too many supports, or the covariance is not
        positive definite.
    """
    k = _cardinality(model, cardinality)
    support, _ = kernels.best_subset(*model.pencil, k)
    return Portfolio(model, *_on_support(model, support), "exhaustive search")


@dataclass(frozen=True, eq=False, repr=False)
class SemidefinitePortfolio(Portfolio):
    """A sparse portfolio from the semidefinite relaxation, and what the relaxation proves.

    Attributes
    ----------
    bound : float
        No portfolio of that many assets (uncorrelated with those excluded) is less predictable.
        It is the least eigenvalue of a matrix built from the solver's answer, less its rounding,
        and holds whatever the solver's tolerance.
    relaxation : float
        Optimal value of the relaxation, to the solver's tolerance; `bound` proves nearly that.
    rank_one : float
        Share of the largest eigenvalue in the trace of the optimal Y; at 1 the relaxation is
        exact.
    """

    bound: float
    relaxation: float
    rank_one: float


def _excluded(model: VAR1, portfolios: Sequence[Portfolio | ArrayLike | pd.Series]) -> Matrix:
    """Orthonormal columns (n, m) that scaled weights must be orthogonal to."""
    if not len(portfolios):
        return np.empty((len(model.names), 0))
    rows = [p.weights if isinstance(p, Portfolio) else p for p in portfolios]
    columns = [model.pencil[1] @ (_weights(model.names, row) * model.scale) for row in rows]
    return scipy.linalg.orth(np.column_stack([c / np.linalg.norm(c) for c in columns]))


def _pairs(n: int) -> scipy.sparse.csr_array:
    """Map from the n (n - 1) / 2 entries above the diagonal to the symmetric matrix, flat."""
    row, column = np.triu_indices(n, 1)
    entry = np.arange(len(row))
    at = np.concatenate([row * n + column, column * n + row])
    return scipy.sparse.csr_array(
        (np.ones(2 * len(row)), (at, np.concatenate([entry, entry]))), shape=(n * n, len(row))
    )


def _relaxation(
    predicted: Matrix, covariance: Matrix, k: int, basis: Matrix
) -> tuple[float, float, Matrix]:
    """Value, certified bound and Y of the relaxation for weights in the span of `basis`.

    `basis` is orthonormal in the metric of the covariance, which keeps the programme well scaled
    where the covariance is nearly singular. Solved is the dual, for the matrix it asks to be
    semidefinite is the certificate.
    """
    import cvxpy as cp

    n = len(predicted)
    if k == 1:
        # Y is diagonal, and U = nu Gamma - M off the diagonal proves its value.
        ratio = np.diag(predicted) / np.diag(covariance)
        best = int(np.argmin(ratio))
        return float(ratio[best]), float(ratio[best]), np.diag(np.arange(n) == best).astype(float)
    pairs, above = _pairs(n), cp.Variable(n * (n - 1) // 2)
    value, rho = cp.Variable(), cp.Variable(nonneg=True)
    proof = predicted + cp.reshape(pairs @ above, (n, n), order="C") - (k - 1) * rho * np.eye(n)
    slack = basis.T @ proof @ basis - value * np.eye(basis.shape[1]) >> 0
    optimum = _convex.solve(cp.Problem(cp.Maximize(value), [slack, above <= rho, -rho <= above]))
    multiplier = (pairs @ above.value).reshape(n, n)
    exact = predicted + multiplier - (k - 1) * np.abs(multiplier).max() * np.eye(n)
    # U = 0 proves the least predictability of all; M is positive semidefinite.
    bound = max(_convex.proved(exact, basis), _convex.proved(predicted, basis), 0.0)
    return optimum, bound, basis @ _symmetric(slack.dual_value) @ basis.T


def _metric_basis(covariance: Matrix, excluded: Matrix) -> Matrix:
    """Columns Z with ``Z' excluded = 0`` that span the rest, and ``Z' covariance Z = I``."""
    free = np.eye(len(covariance))
    if excluded.shape[1]:
        free = scipy.linalg.null_space(excluded.T)
    factor = np.linalg.cholesky(_symmetric(free.T @ covariance @ free))
    return scipy.linalg.solve_triangular(factor, free.T, lower=True).T


def semidefinite(
    model: VAR1,
    cardinality: int,
    *,
    orthogonal_to: Sequence[Portfolio | ArrayLike | pd.Series] = (),
) -> SemidefinitePortfolio:
    """A sparse portfolio from a semidefinite relaxation, with a bound on all that are as sparse.

    Assets are scaled to unit variance. For weights x with k nonzeros let
    ``Y = x x' / x' Gamma x``. Then ``Tr(Gamma Y) = 1``, ``Tr(M Y) = nu(x)``, and by Cauchy-Schwarz
    ``sum_ij |Y_ij| = (sum_i |x_i|)^2 / x' Gamma x <= k Tr(Y)``. Keeping these and ``Y >= 0``, but
    not that Y has rank one, is the relaxation (d'Aspremont 2011, section 3; his
    ``X = Y / Tr(Y)``, made homogeneous)::

        minimise Tr(M Y)  subject to  Tr(Gamma Y) = 1,  sum_ij |Y_ij| <= k Tr(Y),  Y >= 0.

    Its dual has a symmetric U with ``|U_ij| <= rho`` for the absolute values. U_ii = rho is best,
    so U has zeros on the diagonal below, and ``k - 1`` is left of ``k``::

        maximise nu  subject to  M + U - rho (k - 1) I - nu Gamma >= 0,  |U_ij| <= rho.

    Any U with rho = max |U_ij| proves a bound: let nu be the least generalised eigenvalue of
    ``M + U - rho (k - 1) I`` and Gamma. For each x with k nonzeros
    ``x' M x >= nu x' Gamma x + rho (k - 1) x' x - x' U x``, where ``x' U x`` is at most
    ``rho ((sum |x_i|)^2 - x' x) <= rho (k - 1) x' x``. So ``nu(x) >= nu``.

    The portfolio: the k largest entries of the leading eigenvector of Y are the support, and the
    weights there the least predictable ones. It may be worse than `greedy`; the bound counts.

    Parameters
    ----------
    model : VAR1
    cardinality : int
        Assets to hold, 1..n.
    orthogonal_to : sequence of Portfolio or of weights
        Portfolios p that the result must be uncorrelated with, ``x' Gamma p = 0``: the
        programme is restricted to such weights, and so is the search on the support.

    Returns
    -------
    SemidefinitePortfolio

    Raises
    ------
    ValueError
        `cardinality` is not in 1..n, or not above the number of portfolios to be uncorrelated
        with: so few weights could not all be.
    SolverFailed
        Clarabel does not solve the programme to its tolerance.

    Notes
    -----
    The time grows with about n**6: 1 s for 30 assets, half a minute for 50. Where the correlation
    matrix has a condition number above some 1e8, the relaxation is accurate to 0.01 only and the
    bound little more than Box & Tiao's least predictability.
    """
    k = _cardinality(model, cardinality)
    predicted, covariance = model.pencil
    excluded = _excluded(model, orthogonal_to)
    if k <= excluded.shape[1]:
        taken = excluded.shape[1]
        raise ValueError(f"cardinality must be above {taken}, the size of orthogonal_to, got {k}")
    optimum, bound, relaxed = _relaxation(
        predicted, covariance, k, _metric_basis(covariance, excluded)
    )
    values, vectors = np.linalg.eigh(relaxed)
    support = np.argsort(-np.abs(vectors[:, -1]), kind="stable")[:k]
    weights, least = _on_support(model, support, excluded)
    share = float(values[-1] / values.sum())
    return SemidefinitePortfolio(
        model, weights, least, "semidefinite relaxation", bound, optimum, share
    )


def semidefinite_components(
    model: VAR1, cardinality: int, n_portfolios: int
) -> tuple[SemidefinitePortfolio, ...]:
    """Sparse portfolios one after another, each uncorrelated with the ones before it.

    `semidefinite` with `orthogonal_to` the portfolios found so far: the way in which the
    canonical portfolios of `box_tiao` follow from one another, kept sparse. With k = n it gives
    those.

    Parameters
    ----------
    model : VAR1
    cardinality : int
        Assets of each portfolio.
    n_portfolios : int
        At most `cardinality`.

    Raises
    ------
    ValueError, SolverFailed
        As `semidefinite`.
    """
    k = _cardinality(model, cardinality)
    if check.count("n_portfolios", n_portfolios, 1) > k:
        raise ValueError(f"n_portfolios must be at most the cardinality {k}, got {n_portfolios}")
    found: list[SemidefinitePortfolio] = []
    for _ in range(n_portfolios):
        found.append(semidefinite(model, k, orthogonal_to=found))
    return tuple(found)


def _series(values: ArrayLike, least: int) -> Matrix:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < least:
        raise ValueError(f"values must have shape (T,) with T at least {least}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"values[{int(np.argmin(np.isfinite(array)))}] must be finite")
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
        _symmetric(centred[:-i].T @ centred[i:]) / (len(centred) - 1) / unit
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
    """A local minimum over unit vectors with at least that variance; never worse than the start."""
    constraints = [
        {"type": "eq", "fun": lambda y: y @ y - 1, "jac": lambda y: 2 * y},
        {
            "type": "ineq",
            "fun": lambda y: y @ covariance @ y - least,
            "jac": lambda y: 2 * covariance @ y,
        },
    ]
    start = _lift(start, covariance, least)
    found = scipy.optimize.minimize(
        objective,
        start,
        jac=objective.gradient,
        method="SLSQP",
        constraints=constraints,
        options={"ftol": 1e-15, "maxiter": 500},
    )
    if not np.isfinite(found.x).all() or not found.x.any():
        return start
    return min(start, _lift(found.x, covariance, least), key=objective)


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
    the nonconvex problem itself is minimised locally from the leading eigenvector of Y and from
    vectors drawn with covariance Y.

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
        _unit(y[:, None])[:, 0],
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
    return _Relaxed(value, _symmetric(y.value), max(float(enough.dual_value), 0.0), signs)


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
    """The best local minimum from a start, Y's leading eigenvector and eight draws of N(0, Y)."""
    values, vectors = np.linalg.eigh(relaxed)
    noise = np.random.default_rng(0).normal(size=(8, len(relaxed)))
    starts = [start, vectors[:, -1], *(noise * np.sqrt(values.clip(0)) @ vectors.T)]
    return min((_refine(objective, covariance, least, x) for x in starts), key=objective)
