"""Search for the support of a sparse mean-reverting portfolio, in NumPy.

With a VAR(1) in rows, ``S[t] = S[t-1] @ A + Z[t]``, the predictability of the weights x is
``x' M x / x' Gamma x`` with ``M = A' Gamma A`` (Box & Tiao, "A canonical analysis of multiple time
series", Biometrika 64 (1977)). The least predictability on a support is the smallest generalised
eigenvalue of the two matrices restricted to it; finding the best support of a given size is the
sparse generalised eigenvalue problem of d'Aspremont, "Identifying small mean-reverting
portfolios", Quantitative Finance 11 (2011).

Accuracy. A value is off by the rounding of ``L^-1 M L^-T``, with ``Gamma = L L'``: up to about
``n * eps * condition(Gamma) * max(diag(M) / diag(Gamma))``, both in units of unit variances. What
is smaller than that has no digits.

Ties. Two values within ``1e-12 * max(diag(M) / diag(Gamma))`` of each other count as equal:
rounding of the matrices' entries alone moves them by that much. Of equal choices the first counts,
by index.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks as check

__all__ = ["best_subset", "greedy_path", "swap_subset"]

TIE = 1e-12  # of the largest predictability of a single asset
MOST_SUPPORTS = 200_000_000

Matrix = NDArray[np.float64]


def _symmetric(name: str, matrix: Matrix) -> Matrix:
    """The symmetric part of a finite matrix that is symmetric but for rounding."""
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise ValueError(f"{name}[{i}, {j}] must be finite, got {matrix[i, j]}")
    if np.abs(matrix - matrix.T).max() > 1e-8 * np.abs(matrix).max():
        raise ValueError(f"{name} must be symmetric")
    return matrix / 2 + matrix.T / 2


def _factor(covariance: Matrix) -> Matrix:
    """The Cholesky factor of a covariance whose correlations are not singular to rounding."""
    try:
        factor = np.linalg.cholesky(covariance)
        left = np.diag(factor) ** 2 / np.diag(covariance)
        definite = left.min() > len(left) * np.finfo(float).eps
    except np.linalg.LinAlgError:
        definite = False
    if not definite:
        raise ValueError("covariance must be positive definite")
    return factor


def _pencil(predicted: Any, covariance: Any) -> tuple[Matrix, Matrix, float]:
    """Both matrices, checked, and the difference below which two values are equal."""
    m, gamma = check.square("predicted", predicted), check.square("covariance", covariance)
    if len(m) == 0:
        raise ValueError(f"predicted must have at least one row, got {m.shape}")
    if m.shape != gamma.shape:
        raise ValueError(f"covariance must have shape {m.shape}, got {gamma.shape}")
    m, gamma = _symmetric("predicted", m), _symmetric("covariance", gamma)
    _factor(gamma)
    spread = np.sqrt(np.diag(gamma))
    return m, gamma, TIE * float(np.abs(m / np.outer(spread, spread)).max())


def _least(predicted: Matrix, covariance: Matrix, support: Iterable[int]) -> float:
    """Smallest generalised eigenvalue on a support: that of L^-1 M L^-T, with Gamma = L L'."""
    members = list(support)
    at = np.ix_(members, members)
    factor = _factor(covariance[at])
    half = np.linalg.solve(factor, predicted[at])
    whole = np.linalg.solve(factor, half.T)
    return float(np.linalg.eigvalsh((whole + whole.T) / 2)[0])


def greedy_path(
    predicted: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Forward selection: add the asset that lowers the least predictability most, until all are in.

    The first k of the returned order are the support of size k, the k-th value its least
    predictability (d'Aspremont 2011, section 3).
    """
    m, gamma, tie = _pencil(predicted, covariance)
    order: list[int] = []
    values: list[float] = []
    rest = list(range(len(m)))
    while rest:
        least = np.array([_least(m, gamma, [*order, i]) for i in rest])
        first = int(np.argmax(least <= least.min() + tie))
        # Eigenvalues interlace: where the value seems to rise, that is rounding.
        values.append(min([float(least[first]), *values[-1:]]))
        order.append(rest.pop(first))
    return np.array(order, dtype=np.int64), np.array(values)


def best_subset(
    predicted: NDArray[np.float64], covariance: NDArray[np.float64], cardinality: int
) -> tuple[NDArray[np.int64], float]:
    """The support of `cardinality` assets with the least predictability: every one is tried."""
    k = check.count("cardinality", cardinality, 1)
    m, gamma, tie = _pencil(predicted, covariance)
    n = len(m)
    if k > n:
        raise ValueError(f"cardinality must be at most {n}, got {k}")
    supports = math.comb(n, k)
    if supports > MOST_SUPPORTS:
        raise ValueError(f"cardinality {k} of {n} gives {supports} supports, over {MOST_SUPPORTS}")
    best, support = math.inf, ()
    for candidate in itertools.combinations(range(n), k):
        value = _least(m, gamma, candidate)
        if value < best - tie:
            best, support = value, candidate
    return np.array(support, dtype=np.int64), best


def swap_subset(
    predicted: NDArray[np.float64],
    covariance: NDArray[np.float64],
    support: NDArray[np.int64],
) -> tuple[NDArray[np.int64], float]:
    """Exchange a member for an outsider, the best exchange first, until none lowers the value."""
    members = check.array("support", support, np.int64, ("k",)).tolist()
    m, gamma, tie = _pencil(predicted, covariance)
    n = len(m)
    if not members or members != sorted(set(members)) or members[0] < 0 or members[-1] >= n:
        raise ValueError(f"support must be ascending different numbers below {n}, got {members}")
    value = _least(m, gamma, members)
    while True:
        best, chosen = value, members
        for old, new in itertools.product(members, sorted(set(range(n)) - set(members))):
            trial = sorted({*members, new} - {old})
            least = _least(m, gamma, trial)
            if least < best - tie:
                best, chosen = least, trial
        if chosen == members:
            return np.array(members, dtype=np.int64), value
        members, value = chosen, best
