"""The VAR(1) that every search starts from, and the portfolio that every search returns.

Estimation (`var`, `penalized_var`, `covariance_selection`, `clusters`) and `Portfolio`. The public
names are those of `labkit.meanrev`, which says what they are for.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from labkit import _validate as validate
from labkit.errors import SolverFailed
from labkit.reference import _checks as check

__all__ = ["VAR1", "Portfolio", "clusters", "covariance_selection", "penalized_var", "var"]

Matrix = NDArray[np.float64]

# Ranges of a column between these have fourth powers, as in `variance_threshold`, within float64.
_RANGES = (1e-75, 1e75)
# A column whose range is below this share of its level holds rounding only; a covariance whose
# correlation matrix has an eigenvalue below it (times n) is singular to rounding.
_ROUNDING = 1e-13
# Tight enough for what the docstrings promise of the optimality conditions.
_LASSO = {"max_iter": 1_000_000, "tol": 1e-12}
_GRAPHICAL_LASSO = {"max_iter": 2000, "tol": 1e-6, "enet_tol": 1e-8}


def symmetric(matrix: Matrix) -> Matrix:
    """The symmetric part."""
    return (matrix + matrix.T) / 2


@dataclass(frozen=True, eq=False)
class VAR1:
    """A VAR(1) in rows, ``S[t] = S[t-1] @ A + Z[t]``: what every search starts from.

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
        return symmetric(self.transition.T @ self.covariance @ self.transition)

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
        TypeError
            `weights` does not hold numbers.
        """
        x = aligned(self.names, weights) * self.scale
        predicted, covariance = self.pencil
        return float(x @ predicted @ x / (x @ covariance @ x))


def required(model: object) -> VAR1:
    """The model, where it is one."""
    if not isinstance(model, VAR1):
        raise TypeError(f"model must be a VAR1 (made by var), got {type(model).__name__}")
    return model


def aligned(names: tuple[Hashable, ...], weights: ArrayLike | pd.Series) -> Matrix:
    """Finite weights in the order of `names`, not all zero."""
    x = validate.numbers("weights", weights)
    if isinstance(weights, pd.Series):
        unknown = [name for name in weights.index if name not in names]
        if unknown or not weights.index.is_unique:
            raise ValueError(f"weights must have different labels among {names}, got {unknown}")
        x = pd.Series(x, weights.index).reindex(list(names), fill_value=0.0).to_numpy()
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
    with np.errstate(over="ignore"):
        ranges = np.ptp(array, axis=0)
    for column in np.flatnonzero(ranges <= _ROUNDING * np.abs(array).max(axis=0)):
        raise ValueError(f"prices must vary, column {names[column]!r} is constant")
    for column in np.flatnonzero((ranges < _RANGES[0]) | (ranges > _RANGES[1])):
        raise ValueError(
            f"prices must be in units in which their ranges are from {_RANGES[0]:g} to "
            f"{_RANGES[1]:g}, got {ranges[column]:g} in column {names[column]!r}"
        )
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
        covariance=symmetric(sample.correlation) * (sample.scale * sample.scale[:, None]),
        mean=sample.mean,
        n_obs=len(sample.scaled),
        dt=dt,
        method=method,
    )


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
        A price is not finite, a column is constant or a linear combination of others, its range
        is below 1e-75 or above 1e75, a name occurs twice, or there are fewer than n + 2 rows.

    Examples
    --------
    >>> model = var([[0.0], [2.0], [1.0], [1.0]])
    >>> model.mean.tolist(), model.transition.round(12).tolist()
    ([1.0], [[-0.5]])
    """
    step, sample = validate.positive("dt", dt), _sample(prices)
    return _model(sample, _least_squares(sample), step, "least squares")


def _least_squares(sample: _Sample) -> Matrix:
    # Rows that sum to zero span without the last one what they span with it: no rank to check.
    return np.linalg.lstsq(sample.scaled[:-1], sample.scaled[1:], rcond=None)[0]


@contextmanager
def _converging(penalty: float) -> Iterator[None]:
    """Take no answer that scikit-learn itself calls inaccurate."""
    from sklearn.exceptions import ConvergenceWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            yield
    except (ConvergenceWarning, FloatingPointError) as error:
        raise SolverFailed(
            f"scikit-learn did not converge at penalty {penalty:g}: the prices are too nearly "
            "collinear for it; raise the penalty"
        ) from error


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
        Coordinate descent did not converge: the penalty is too small for prices so collinear.

    Notes
    -----
    scikit-learn's `Lasso`, to a duality gap of 1e-12 of a column's squares. On a dozen panels of
    rates, yields and simulated prices every gradient was then within 1e-6 of its ``alpha_j``.
    With assets nearly collinear it takes long where the penalty is small: 50 simulated assets, a
    second at 0.1 and up to half a minute at 0.001.

    Examples
    --------
    >>> steps = np.random.default_rng(0).normal(size=(500, 3))
    >>> penalized_var(steps.cumsum(axis=0), 0.5, toward="random walk").transition[0, 0] <= 1
    np.True_
    """
    step, share = validate.positive("dt", dt), _penalty(penalty)
    if toward not in ("zero", "random walk"):
        raise ValueError(f"toward must be 'zero' or 'random walk', got {toward!r}")
    sample = _sample(prices)
    method = f"lasso toward {toward}, penalty {share:g}"
    if share == 0:
        return _model(sample, _least_squares(sample), step, method)
    from sklearn.linear_model import Lasso

    past, rows = sample.scaled[:-1], len(sample.scaled) - 1
    origin = float(toward == "random walk") * np.eye(len(sample.names))
    gram, targets = past.T @ past, sample.scaled[1:] - past @ origin
    emptying = np.abs(past.T @ targets).max(axis=0) / rows
    with _converging(share):
        columns = [
            Lasso(alpha, fit_intercept=False, precompute=gram, **_LASSO).fit(past, target).coef_
            for alpha, target in zip(share * emptying, targets.T, strict=True)
        ]
    return _model(sample, origin + np.column_stack(columns), step, method)


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
        The iteration did not converge: the penalty is too small for prices so collinear.

    Notes
    -----
    scikit-learn's `graphical_lasso` by coordinate descent, to a duality gap of 1e-6. On the panels
    tried the correlations then met the optimality conditions to 1e-4, and 50 assets took up to
    some 20 s. Panels of 20 or more wandering assets, with condition numbers of the correlations
    above some 1e4, fail at penalties of 0.01 to 0.1.
    """
    required(model)
    share = _penalty(penalty)
    method = f"{model.method}; covariance selection, penalty {share:g}"
    if share == 0 or len(model.names) == 1:
        return replace(model, method=method)
    from sklearn.covariance import graphical_lasso

    with _converging(share):
        _, precision = graphical_lasso(model.pencil[1], share, mode="cd", **_GRAPHICAL_LASSO)
    inverse = symmetric(np.linalg.inv(precision))
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
    required(model)
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


def unit_columns(vectors: Matrix) -> Matrix:
    """Columns of norm 1 whose largest entry in magnitude is positive."""
    vectors = vectors / np.sqrt(np.einsum("ij,ij->j", vectors, vectors))
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return vectors * np.sign(largest)
