"""What the public functions ask of numbers and arrays, in one set of words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit.reference import _checks as check

__all__ = [
    "array",
    "finite",
    "flag",
    "frame",
    "increasing",
    "labels",
    "numbers",
    "one_clock",
    "positive",
]


def positive(name: str, value: Any) -> float:
    """A positive finite float."""
    number = check.number(name, value)
    check.positive(name, number)
    return number


def flag(name: str, value: Any) -> bool:
    """True or False, and nothing that only counts as one of them."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")
    return bool(value)


def finite(name: str, value: Any) -> float:
    """A finite float."""
    number = check.number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    return number


def numbers(name: str, value: Any) -> NDArray[np.float64]:
    """A float array of any shape and values."""
    try:
        values = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must have rows of one length") from None
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold numbers, got {values.dtype}")
    return values.astype(np.float64)


def one_clock(**times: NDArray) -> None:
    """Times that are compared must all be integers of one sign, or all floats.

    Of nanoseconds, float64 loses the last two or three digits.
    """
    filled = {name: array.dtype for name, array in times.items() if array.size}
    if not filled or np.result_type(*filled.values()).kind != "f":
        return
    if any(dtype.kind != "f" for dtype in filled.values()):
        names, kinds = " and ".join(times), " and ".join(map(str, filled.values()))
        raise TypeError(f"{names} must be all integers or all floats, got {kinds}")


def array(name: str, value: Any, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """A finite float array of `shape`, in which None stands for any length."""
    values = numbers(name, value)
    if values.ndim != len(shape) or any(
        want is not None and want != got for want, got in zip(shape, values.shape, strict=True)
    ):
        words = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} must have shape ({words}), got {values.shape}")
    if not np.isfinite(values).all():
        place = tuple(np.argwhere(~np.isfinite(values))[0].tolist())
        raise ValueError(f"{name} must be finite, got {values[place]} at {list(place)}")
    return values


def frame(name: str, value: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """A finite numeric DataFrame of float64 with distinct columns; a Series is one column."""
    if not isinstance(value, pd.DataFrame | pd.Series):
        raise TypeError(f"{name} must be a DataFrame or Series, got {type(value).__name__}")
    table = value.to_frame() if isinstance(value, pd.Series) else value
    if not table.columns.is_unique:
        raise ValueError(f"{name} must have distinct columns, got {list(table.columns)}")
    values = table.to_numpy()
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold numbers, got {values.dtype}")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        place = f"row {table.index[row]}, column {table.columns[column]}"
        raise ValueError(f"{name} must be finite, got {values[row, column]} at {place}")
    return table.astype(np.float64)


def increasing(name: str, index: pd.Index) -> None:
    """Labels of rows in order of time, as far as they have an order, and each once."""
    if not index.is_unique:
        raise ValueError(
            f"{name} must have distinct rows, got {index[index.duplicated()][0]} twice"
        )
    if index.is_monotonic_increasing:
        return
    try:
        sorted(index)
    except TypeError:
        return  # labels such as 1 and "a" have no order
    raise ValueError(f"{name} must have rows in increasing order of their labels")


def labels(name: str, series: pd.Series, columns: pd.Index) -> None:
    """A series labelled as the columns are."""
    if not series.index.equals(columns):
        raise ValueError(f"{name} must have the labels {list(columns)}, in that order")
