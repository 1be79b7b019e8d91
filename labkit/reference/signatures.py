"""Path signatures: iterated integrals of piecewise linear paths, and their kernel.

The signature of a path in d dimensions, truncated at depth N, is the sequence of its iterated
integrals: 1, then for each word i_1 ... i_k of at most N letters

    integral over s_1 < ... < s_k of dX^{i_1}_{s_1} ... dX^{i_k}_{s_k}.

It is laid out flat, level after level, the words of each in lexicographic order. Over a straight
piece with increment x it is exp(x) = 1 + x + x (x) x / 2 + ..., and that of two pieces in a row is
the tensor product of theirs (Chen, Annals of Mathematics 65 (1957) 163-178).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks as check

__all__ = [
    "signature",
    "signature_extend",
    "signature_gradient",
    "signature_gram",
    "signature_kernel",
    "signature_logarithm",
]

Array = NDArray[np.floating]  # float64 or float32, as the first argument

_LARGEST = 1 << 28  # coordinates of all signatures together


def sizes(d: int, depth: int) -> list[int]:
    """Coordinates of each level from 0 to `depth`."""
    return [d**k for k in range(depth + 1)]


def _precision(value: Any) -> type:
    """float32 of an array of it; anything else must be float64."""
    return np.float32 if getattr(value, "dtype", None) == np.float32 else np.float64


def _finite(name: str, values: Array) -> None:
    for place in np.argwhere(~np.isfinite(values)):
        at = ", ".join(map(str, place))
        raise ValueError(f"{name}[{at}] must be finite, got {values[tuple(place)]}")


def _paths(name: str, value: Any, dtype: type | None = None) -> Array:
    paths = check.array(name, value, dtype or _precision(value), ("b", "n", "d"))
    if 0 in paths.shape[1:]:
        raise ValueError(
            f"{name} must have at least one point and one dimension, got the shape {paths.shape}"
        )
    _finite(name, paths)
    return paths


def _depth(d: int, depth: Any, rows: int) -> int:
    most = check.count("depth", depth, 1)
    total = 0
    for level in range(most + 1):
        total += d**level
        if total * max(rows, 1) > _LARGEST:
            raise ValueError(f"depth must give at most 2**28 coordinates in all, got {most}")
    return most


def _refinement(value: Any) -> int:
    halvings = check.count("refinement", value, 0)
    if halvings > 16:
        raise ValueError(f"refinement must be at most 16, got {halvings}")
    return halvings


def _levels(flat: Array, d: int, depth: int) -> list[Array]:
    """Views of the levels of flat signatures (..., size)."""
    ends = np.cumsum([0, *sizes(d, depth)])
    return [flat[..., a:b] for a, b in itertools.pairwise(ends)]


def _outer(left: Array, right: Array) -> Array:
    """Tensor product of two levels, flat."""
    size = left.shape[-1] * right.shape[-1]
    return (left[..., :, None] * right[..., None, :]).reshape(*left.shape[:-1], size)


def _extend(levels: list[Array], x: Array) -> None:
    """Multiply by exp(x) in place, from the highest level down.

    Level k becomes ``S_k + (S_{k-1} + (S_{k-2} + ... (S_1 + S_0 x / k) x / (k-1) ...) x / 2) x``:
    Horner's scheme (Kidger & Lyons, Signatory, ICLR 2021), in which no power of x is formed.
    """
    for k in range(len(levels) - 1, 0, -1):
        product = levels[0] * x / k
        for j in range(1, k):
            product = _outer(product + levels[j], x / (k - j))
        levels[k] += product


def multiply(left: Array, right: Array, d: int, depth: int) -> Array:
    """Tensor product of flat elements of one shape, up to the depth."""
    a, b = _levels(left, d, depth), _levels(right, d, depth)
    levels = [sum(_outer(a[j], b[k - j]) for j in range(k + 1)) for k in range(depth + 1)]
    return np.concatenate(levels, axis=-1)


def signature(paths: Array, depth: int, prefixes: bool) -> Array:
    """Signatures of piecewise linear paths.

    Parameters
    ----------
    paths : ndarray, shape (b, n, d)
        Points, n and d at least 1.
    depth : int
        At least 1.
    prefixes : bool
        Whether the signatures of all initial segments are wanted.

    Returns
    -------
    ndarray, shape (b, size), or (b, n, size) with `prefixes`
        ``size = 1 + d + ... + d**depth``.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range; a point is not finite; there
        are more than 2**28 coordinates in all.
    """
    points = _paths("paths", paths)
    b, n, d = points.shape
    if not isinstance(prefixes, bool | np.bool_):
        raise TypeError(f"prefixes must be a bool, got {type(prefixes).__name__}")
    most = _depth(d, depth, max(b, 1) * (n if prefixes else 1))
    flat = np.zeros((b, sum(sizes(d, most))), points.dtype)
    flat[:, 0] = 1.0
    levels = _levels(flat, d, most)
    seen = np.empty((b, n, flat.shape[1]), points.dtype) if prefixes else None
    for step in range(n):
        if step:
            _extend(levels, points[:, step] - points[:, step - 1])
        if seen is not None:
            seen[:, step] = flat
    return flat if seen is None else seen


def signature_extend(signatures: Array, increments: Array, depth: int) -> Array:
    """Signatures of paths that go on in a straight line: times exp of the increment.

    Parameters
    ----------
    signatures : ndarray, shape (b, size)
        Any elements of the tensor algebra.
    increments : ndarray, shape (b, d)
    depth : int
        At least 1.

    Returns
    -------
    ndarray, shape (b, size)

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range, or a number is not finite.
    """
    steps = check.array("increments", increments, _precision(increments), ("b", "d"))
    b, d = steps.shape
    if not d:
        raise ValueError(
            f"increments must have at least one dimension, got the shape {steps.shape}"
        )
    _finite("increments", steps)
    most = _depth(d, depth, b)
    size = sum(sizes(d, most))
    flat = check.array("signatures", signatures, steps.dtype.type, (b, size)).copy()
    _finite("signatures", flat)
    _extend(_levels(flat, d, most), steps)
    return flat


def signature_logarithm(signatures: Array, dim: int, depth: int) -> Array:
    """Logarithms of elements of the tensor algebra with the constant term 1.

    ``log(1 + x) = x - x x / 2 + x x x / 3 - ...``, by Horner's scheme.

    Parameters
    ----------
    signatures : ndarray, shape (b, size)
    dim, depth : int
        At least 1.

    Returns
    -------
    ndarray, shape (b, size)

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range, a number is not finite, or a
        constant term is not 1.
    """
    d = check.count("dim", dim, 1)
    most = _depth(d, depth, 1)
    dtype, size = _precision(signatures), sum(sizes(d, most))
    x = check.array("signatures", signatures, dtype, ("b", size)).copy()
    _finite("signatures", x)
    for (row,) in np.argwhere(x[:, 0] != 1):
        raise ValueError(
            f"signatures[{row}, 0] must be 1, the constant term, got {float(x[row, 0])}"
        )
    x[:, 0] = 0
    total = np.zeros_like(x)
    total[:, 0] = (-1) ** (most + 1) / most
    for s in range(most - 1, -1, -1):
        total = multiply(x, total, d, most)
        total[:, 0] = (-1) ** (s + 1) / s if s else 0
    return total


def signature_gradient(paths: Array, depth: int, weights: Array) -> Array:
    """Derivatives by the points of a weighted sum of the coordinates of each signature.

    The signature is unrolled from its end: before a step it is what it is after, times exp(-x), so
    that no path of signatures is kept (Reizenstein & Graham, ACM Transactions on Mathematical
    Software 46 (2020) 8).

    Parameters
    ----------
    paths, depth
        As in `signature`.
    weights : ndarray, shape (b, size)
        Of the coordinates.

    Returns
    -------
    ndarray, shape (b, n, d)

    Raises
    ------
    TypeError, ValueError
        As in `signature`.
    """
    points = _paths("paths", paths)
    b, n, d = points.shape
    most = _depth(d, depth, b)
    size = sum(sizes(d, most))
    given = check.array("weights", weights, points.dtype.type, (b, size))
    _finite("weights", given)
    levels = _levels(signature(points, most, False), d, most)
    pulled = _levels(given.copy(), d, most)
    steps = np.zeros((b, n, d), points.dtype)  # derivatives by the increment before each point
    for step in range(n - 1, 0, -1):
        x = points[:, step] - points[:, step - 1]
        _extend(levels, -x)
        steps[:, step] = _pull_back(levels, pulled, x)
    after = np.concatenate([steps[:, 1:], np.zeros_like(steps[:, :1])], axis=1)
    return steps - after


def _pull_back(levels: list[Array], pulled: list[Array], x: Array) -> Array:
    """Derivatives by x of the step ``levels exp(x)``; `pulled` goes from after it to before it."""
    d = x.shape[-1]
    by_x = np.zeros_like(x)
    before = [np.zeros_like(level) for level in pulled]
    before[0] += pulled[0]
    for k in range(1, len(levels)):
        # Forwards, as in `_extend`; then backwards through the same products.
        products, sums = [levels[0] * x / k], []
        for j in range(1, k):
            sums.append(products[-1] + levels[j])
            products.append(_outer(sums[-1], x / (k - j)))
        back = pulled[k]
        before[k] += back
        for j in range(k - 1, 0, -1):
            table = back.reshape(*back.shape[:-1], back.shape[-1] // d, d)
            by_x += np.einsum("...i,...ij->...j", sums[j - 1], table) / (k - j)
            back = np.einsum("...ij,...j->...i", table, x) / (k - j)
            before[j] += back
        by_x += levels[0] * back / k
        before[0] += (back * x).sum(axis=-1, keepdims=True) / k
    for level, value in zip(pulled, before, strict=True):
        level[...] = value
    return by_x


def signature_kernel(left: Array, right: Array, refinement: int) -> Array:
    """Inner products of the untruncated signatures of pairs of paths.

    The kernel of two paths up to s and t solves the Goursat equation ``d2 k / ds dt = <dx, dy> k``
    with k = 1 on the axes (Salvi, Cass, Foster, Lyons & Yang, SIAM Journal on Mathematics of Data
    Science 3 (2021) 873-899). On a grid whose cells are the segments, each halved `refinement`
    times, with c the inner product of the increments of a cell::

        k[i+1, j+1] = (k[i+1, j] + k[i, j+1]) (1 + c / 2 + c**2 / 12) - k[i, j] (1 - c**2 / 12)

    of second order in the length of the pieces.

    Parameters
    ----------
    left : ndarray, shape (b, n, d)
    right : ndarray, shape (b, m, d)
    refinement : int
        From 0 to 16.

    Returns
    -------
    ndarray, shape (b,)

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range, or a point is not finite.
    """
    first = _paths("left", left)
    second = _paths("right", right, first.dtype.type)
    if first.shape[0] != second.shape[0] or first.shape[2] != second.shape[2]:
        b, d = first.shape[0], first.shape[2]
        raise ValueError(f"right must have shape ({b}, m, {d}), got {second.shape}")
    pieces = 2 ** _refinement(refinement)
    inner = np.einsum("bid,bjd->bij", np.diff(first, axis=1), np.diff(second, axis=1)) / pieces**2
    b, rows, columns = inner.shape
    row = np.ones((b, columns * pieces + 1), inner.dtype)
    for i in range(rows * pieces):
        below, row = row, np.ones_like(row)
        for j in range(columns * pieces):
            c = inner[:, i // pieces, j // pieces]
            square = c * c / 12
            row[:, j + 1] = (row[:, j] + below[:, j + 1]) * (1 + c / 2 + square) - below[:, j] * (
                1 - square
            )
    return row[:, -1].copy()


def signature_gram(left: Array, right: Array | None, refinement: int) -> Array:
    """Signature kernels of all pairs of paths, or of one batch with itself.

    Parameters
    ----------
    left : ndarray, shape (b, n, d)
    right : ndarray, shape (c, m, d), or None
        None stands for `left`: the kernel is symmetric, and half of the pairs are enough.
    refinement : int
        As in `signature_kernel`.

    Returns
    -------
    ndarray, shape (b, c)

    Raises
    ------
    TypeError, ValueError
        As in `signature_kernel`.
    """
    first = _paths("left", left)
    second = first if right is None else _paths("right", right, first.dtype.type)
    if first.shape[2] != second.shape[2]:
        raise ValueError(f"right must have shape (c, m, {first.shape[2]}), got {second.shape}")
    _refinement(refinement)
    b, c = len(first), len(second)
    table = np.empty((b, c), first.dtype)
    for i in range(b):
        last = i + 1 if right is None else c
        others = second[:last]
        table[i, :last] = signature_kernel(
            np.repeat(first[i : i + 1], last, axis=0), others, refinement
        )
        if right is None:
            table[:last, i] = table[i, :last]
    return table
