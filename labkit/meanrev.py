"""Mean-reverting portfolios: estimate a VAR(1), then search the least predictable weights.

Prices are rows of a panel, one column an asset: levels or logarithms, whichever the portfolio is to
be linear in. With the model ``S[t] = S[t-1] @ A + Z[t]`` on demeaned rows and the covariance Gamma
of S[t], the portfolio x is forecast to vary by ``x' M x``, ``M = A' Gamma A``, of its variance
``x' Gamma x``. The ratio nu is its predictability (Box & Tiao, "A canonical analysis of multiple
time series", Biometrika 64 (1977)): near 1 a portfolio wanders, near 0 it reverts at once.

From prices to a strategy, all under this one name:

- estimate: `var`, `penalized_var`, `covariance_selection`, `clusters` (written in `_var`);
- search by predictability: `box_tiao`, `pca`, `greedy_path`, `greedy`, `exhaustive`,
  `semidefinite`, `semidefinite_components` (here);
- other measures of reversion, and a floor on the variance: `portmanteau`, `crossing_rate`,
  `variance_threshold` (in `_threshold`);
- how much to hold: `cara_weights`, `sharpe_weights`, `garleanu_pedersen`, `multiperiod`, `replan`,
  `jurek_yang` (in `_allocation`);
- when to trade and what it earned: `rolling`, `threshold_positions`, `trade`, `profit_and_loss`
  (in `_rolling`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

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
from labkit._threshold import (
    ThresholdPortfolio,
    crossing_rate,
    portmanteau,
    variance_threshold,
)
from labkit._var import (
    VAR1,
    Matrix,
    Portfolio,
    aligned,
    clusters,
    covariance_selection,
    penalized_var,
    required,
    symmetric,
    unit_columns,
    var,
)
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

# Two values that differ by less, of the largest predictability of a single asset, count as equal
# and the first asset goes, as in the kernels.
_TIE = 1e-12


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
    values, vectors = scipy.linalg.eigh(*required(model).pencil, check_finite=False)
    rows = np.ascontiguousarray(unit_columns(vectors / model.scale[:, None]).T)
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
    _, vectors = scipy.linalg.eigh(required(model).covariance)
    rows = np.ascontiguousarray(unit_columns(vectors[:, ::-1]).T)
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
    return unit_columns(weights[:, None])[:, 0], max(float(values[0]), 0.0)


def _cardinality(model: VAR1, cardinality: int, name: str = "cardinality") -> int:
    n, k = len(required(model).names), check.count(name, cardinality, 1)
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
    longest = len(required(model).names)
    if max_cardinality is not None:
        longest = _cardinality(model, max_cardinality, "max_cardinality")
    order, _ = kernels.greedy_path(*model.pencil)
    return tuple(
        Portfolio(model, *_on_support(model, order[:k]), "greedy") for k in range(1, longest + 1)
    )


def greedy(
    model: VAR1, cardinality: int, *, direction: str = "forward", swaps: bool = False
) -> Portfolio:
    """A sparse portfolio by adding assets one at a time, or by removing them.

    Forward is `greedy_path`. Backward elimination begins with all assets and removes, each time,
    the one without which the least predictability on the support rises least. Neither need be the
    best of its size. Where a reverting portfolio has no part that reverts, the first steps forward
    are blind, while backward elimination starts from the whole: on 50 panels of
    `labkit.data.simulate_basket` (seeds 0 to 49; 3 of 5 assets, 2000 days) backward finds the
    planted weights each time, with a cosine of 0.9986 or more, forward misses them (cosine below
    0.99) in 13 and forward with swaps in 2. On 20 panels of independent random walks forward
    gave the lower predictability in 19 for 2 of 60 assets, backward in 18 for 5 of 10.

    Parameters
    ----------
    model : VAR1
    cardinality : int
        Assets to hold, 1..n.
    direction : str
        ``"forward"`` or ``"backward"``. Backward solves one eigenproblem a step: under a second
        for 200 assets.
    swaps : bool
        Afterwards, exchange one asset held for one that is not, the best exchange first, for as
        long as that lowers the predictability.

    Raises
    ------
    ValueError
        `cardinality` is not in 1..n, `direction` is neither, or the covariance is not positive
        definite.

    Examples
    --------
    >>> from labkit import data
    >>> panel = data.simulate_basket(1)
    >>> found = greedy(var(panel["prices"]), 3, direction="backward")
    >>> set(found.support) == set(panel["planted"].query("weight != 0").index)
    True
    """
    if direction not in ("forward", "backward"):
        raise ValueError(f"direction must be 'forward' or 'backward', got {direction!r}")
    k = _cardinality(model, cardinality)
    if direction == "backward":
        support = _backward(model, k)
    else:
        support = np.sort(kernels.greedy_path(*model.pencil)[0][:k])
    if swaps:
        support, _ = kernels.swap_subset(*model.pencil, support)
    method = "greedy" + " backward" * (direction == "backward") + " with swaps" * swaps
    return Portfolio(model, *_on_support(model, support), method)


def _backward(model: VAR1, cardinality: int) -> NDArray[np.int64]:
    """The support left when the asset that is missed least goes, again and again."""
    predicted, covariance = model.pencil
    _require_definite(covariance)
    support, tie = np.arange(len(predicted)), _TIE * np.abs(predicted).max()
    while len(support) > cardinality:
        at = np.ix_(support, support)
        least = _least_without(*scipy.linalg.eigh(predicted[at], covariance[at]))
        support = np.delete(support, np.argmax(least <= least.min() + tie))
    return support


def _require_definite(covariance: Matrix) -> None:
    """Of correlations, as the kernels do for the other searches."""
    try:
        pivots = np.diag(np.linalg.cholesky(covariance)) ** 2
        definite = pivots.min() > len(covariance) * np.finfo(float).eps
    except np.linalg.LinAlgError:
        definite = False
    if not definite:
        raise ValueError("covariance must be positive definite")


def _least_without(values: Matrix, vectors: Matrix) -> Matrix:
    """Least predictability without each of the assets (n,), from all of the pencil with them.

    Interlacing puts it between the two least `values`.
    """
    # With x = X c, X' Gamma X = I and X' M X = diag(d), weights without asset i have sum_j X_ij c_j
    # = 0; nu = sum d_j c_j^2 / sum c_j^2 is stationary there at the zeros of sum_j X_ij^2/(d_j-nu).
    first, others, gaps = vectors[:, 0] ** 2, vectors[:, 1:] ** 2, values[1:] - values[0]
    # In s = nu - d_1, sum_{j>1} X_ij^2 s / (d_j - d_1 - s) - X_i1^2 is convex and rises, so that
    # Newton's method falls to its zero from above; it begins where one term makes up for X_i1^2.
    both = first[:, None] + others
    share = np.divide(first[:, None], both, out=np.ones_like(both), where=others > 0)
    shift = (share * gaps).min(axis=1)
    while True:
        # Where rounding has put the start on a pole, it stays there: d_2 is the answer.
        left = gaps - shift[:, None]
        terms = np.divide(others, left, out=np.zeros_like(others), where=left > 0)
        slope = np.divide(terms * gaps, left, out=np.zeros_like(others), where=left > 0).sum(axis=1)
        excess = shift * terms.sum(axis=1) - first
        step = np.divide(excess, slope, out=np.zeros_like(shift), where=slope > 0)
        moving = step > 4 * np.finfo(float).eps * shift
        if not moving.any():
            return values[0] + shift
        shift = np.where(moving, shift - step, shift)


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
    columns = [model.pencil[1] @ (aligned(model.names, row) * model.scale) for row in rows]
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
    return optimum, bound, basis @ symmetric(slack.dual_value) @ basis.T


def _metric_basis(covariance: Matrix, excluded: Matrix) -> Matrix:
    """Columns Z with ``Z' excluded = 0`` that span the rest, and ``Z' covariance Z = I``."""
    free = np.eye(len(covariance))
    if excluded.shape[1]:
        free = scipy.linalg.null_space(excluded.T)
    factor = np.linalg.cholesky(symmetric(free.T @ covariance @ free))
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
