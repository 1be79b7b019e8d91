"""Solving a convex programme, and what its answer proves."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from labkit.errors import SolverFailed

__all__ = ["proved", "solve"]

Matrix = NDArray[np.float64]


def solve(problem: Any, **settings: Any) -> float:
    """Optimal value of a cvxpy problem, which no inaccurate answer passes for."""
    import cvxpy

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the status below says the same
            problem.solve(solver=cvxpy.CLARABEL, **settings)
    except cvxpy.SolverError as error:
        raise SolverFailed(f"Clarabel gave up: {error}") from error
    if problem.status != cvxpy.OPTIMAL:
        raise SolverFailed(f"Clarabel did not reach its tolerance, status {problem.status!r}")
    return float(problem.value)


def proved(matrix: Matrix, basis: Matrix | None = None) -> float:
    """Least eigenvalue of a matrix, or of the part in a basis, less what rounding may add to it."""
    size = np.linalg.norm(matrix, 2)
    if basis is not None:
        size *= np.linalg.norm(basis, 2) ** 2
        matrix = basis.T @ matrix @ basis
    symmetric = (matrix + matrix.T) / 2
    least = scipy.linalg.eigvalsh(symmetric, subset_by_index=[0, 0])[0]
    return float(least - len(matrix) * np.finfo(float).eps * size)
