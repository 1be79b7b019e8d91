"""What every kernel asks of its arguments, in the words that the Rust module uses."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def array(name: str, value: Any, dtype: type, shape: tuple[int | str, ...]) -> NDArray:
    """`value`, an array of `dtype` and `shape`, in which a str stands for any length."""
    expected = np.dtype(dtype)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a numpy array of {expected}, got {type(value).__name__}")
    if value.dtype != expected:
        raise TypeError(f"{name} must be an array of {expected}, got {value.dtype}")
    fits = value.ndim == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, value.shape, strict=True)
    )
    if not fits:
        words = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} must have shape ({words}), got {value.shape}")
    return value


def square(name: str, value: Any) -> NDArray[np.float64]:
    """A square matrix of float64."""
    matrix = array(name, value, np.float64, ("n", "n"))
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must have shape (n, n), got {matrix.shape}")
    return matrix


def rates(value: Any) -> NDArray[np.float64]:
    """A copy of a matrix of rates, with zeros on the diagonal."""
    matrix = square("rates", value).copy()
    np.fill_diagonal(matrix, 0.0)
    for i, j in np.argwhere(~((matrix >= 0) & np.isfinite(matrix))):
        raise ValueError(f"rates[{i}, {j}] must be finite and not negative, got {matrix[i, j]}")
    return matrix


def number(name: str, value: Any) -> float:
    """A float."""
    if not isinstance(value, str | bytes):
        try:
            return float(value)
        except TypeError:
            pass
    raise TypeError(f"{name} must be a number, got {type(value).__name__}")


def count(name: str, value: Any, least: int) -> int:
    """An integer of at least `least`, and no bool."""
    try:
        if isinstance(value, bool):
            raise TypeError
        result = operator.index(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"{name} must be an integer, got {kind}") from None
    if result < least:
        raise ValueError(f"{name} must be at least {least}, got {result}")
    return result


def positive(place: str, value: float) -> None:
    """A positive finite number."""
    if not 0 < value < math.inf:
        raise ValueError(f"{place} must be positive and finite, got {value}")


def levels(name: str, value: Any) -> NDArray[np.float64]:
    """Levels of one side, price and size of each positive and finite."""
    pairs = array(name, value, np.float64, ("n", 2))
    for row, (price, size) in enumerate(pairs.tolist()):
        positive(f"{name}[{row}] price", price)
        positive(f"{name}[{row}] size", size)
    return pairs


def best_first(name: str, value: Any, side: str) -> NDArray[np.float64]:
    """Levels of one side, sorted strictly from the best price."""
    pairs = levels(name, value)
    step = np.diff(pairs[:, 0])
    worse = step < 0 if side == "bids" else step > 0
    if not worse.all():
        row = int(np.argmin(worse)) + 1
        raise ValueError(
            f"{name}[{row}] must be worse than the level before it ({side} best first)"
        )
    return pairs
