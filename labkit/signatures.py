"""Path signatures: iterated integrals of a path, their logarithm, their algebra and their kernel.

A path is an array of points, shape (n, d), read as piecewise linear; a batch has shape (b, n, d).
Its signature up to depth N has one coordinate for each word of at most N letters from 0 to d - 1,
the empty word first (its coordinate is 1), then by length and in lexicographic order: `words` names
them. The coordinate of a word is the iterated integral of its letters in that order (Chen 1957;
Lyons 1998).

- of paths: `signature`, `log_signature`, `extend`, `signature_gradient`, `signature_kernel`,
  `gram`;
- the algebra: `words`, `lyndon_words`, `product` (Chen's identity: of two pieces in a row),
  `inverse` (of the path run backwards), `exponential`, `logarithm`, `shuffle`;
- what is done to a path first: `with_time`, `with_basepoint`, `lead_lag`.

Arrays of float32 are worked on in float32, all others in float64.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labkit import _validate as validate
from labkit._backend import kernels
from labkit.reference import _checks as check
from labkit.reference import signatures as reference

__all__ = [
    "exponential",
    "extend",
    "gram",
    "inverse",
    "lead_lag",
    "log_signature",
    "logarithm",
    "lyndon_words",
    "product",
    "shuffle",
    "signature",
    "signature_gradient",
    "signature_kernel",
    "size",
    "with_basepoint",
    "with_time",
    "words",
]

Array = NDArray[np.floating]  # float64 or float32
Word = tuple[int, ...]

_LARGEST = 1 << 28  # coordinates of a signature


# Words


def size(dim: int, depth: int) -> int:
    """Number of coordinates, ``1 + dim + ... + dim**depth``.

    Raises
    ------
    TypeError, ValueError
        An argument is no integer or too small, or there are more than 2**28 coordinates.

    Examples
    --------
    >>> size(3, 4)
    121
    """
    d, most = check.count("dim", dim, 1), check.count("depth", depth, 0)
    total = most + 1 if d == 1 else 0
    for k in range(most + 1 if d > 1 else 0):
        total += d**k
        if total > _LARGEST:
            break
    if total > _LARGEST:
        raise ValueError(f"depth must give at most 2**28 coordinates, got {most}")
    return total


def words(dim: int, depth: int) -> list[Word]:
    """The words that the coordinates of a signature stand for, in their order.

    Examples
    --------
    >>> words(2, 2)
    [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)]
    """
    size(dim, depth)
    d, most = check.count("dim", dim, 1), check.count("depth", depth, 0)
    return [word for k in range(most + 1) for word in itertools.product(range(d), repeat=k)]


def lyndon_words(dim: int, depth: int) -> tuple[Word, ...]:
    """Words that are smaller than all their proper ends, by length and then in order.

    One for each coordinate of a log-signature (Reutenauer, Free Lie Algebras, 1993), made by
    Duval's algorithm.

    Examples
    --------
    >>> lyndon_words(2, 3)
    ((0,), (1,), (0, 1), (0, 0, 1), (0, 1, 1))
    """
    return _lyndon_words(check.count("dim", dim, 1), check.count("depth", depth, 1))


@cache
def _lyndon_words(d: int, most: int) -> tuple[Word, ...]:
    found: list[Word] = []
    word = [-1]
    while word:
        word[-1] += 1
        found.append(tuple(word))
        word = list(itertools.islice(itertools.cycle(word), most))
        while word and word[-1] == d - 1:
            word.pop()
    return tuple(sorted(found, key=lambda w: (len(w), w)))


def shuffle(first: Sequence[int], second: Sequence[int]) -> Counter[Word]:
    """All ways to merge two words, with how often each comes about.

    The product of the coordinates of two words is the sum of those of their shuffles (Ree 1958).

    Examples
    --------
    >>> dict(shuffle((0,), (1,)))
    {(0, 1): 1, (1, 0): 1}
    """
    u, v = tuple(first), tuple(second)
    found: Counter[Word] = Counter()
    for places in itertools.combinations(range(len(u) + len(v)), len(u)):
        letters: list[int] = []
        left, right, chosen = iter(u), iter(v), set(places)
        for place in range(len(u) + len(v)):
            letters.append(next(left) if place in chosen else next(right))
        found[tuple(letters)] += 1
    return found


# The tensor algebra


def _numbers(name: str, value: ArrayLike) -> Array:
    """An array of float32 or float64 as it is, of other numbers as float64."""
    values = np.asarray(value)
    return values if values.dtype in (np.float32, np.float64) else validate.numbers(name, values)


def _flat(name: str, value: ArrayLike, dim: int, depth: int) -> Array:
    values = _numbers(name, value)
    expected = size(dim, check.count("depth", depth, 1))
    if values.ndim < 1 or values.shape[-1] != expected:
        raise ValueError(f"{name} must have {expected} coordinates, got the shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite")
    return values


def _common_shape(name: str, first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(first, second)
    except ValueError:
        raise ValueError(f"{name} must broadcast: {second} does not with {first}") from None


def product(first: ArrayLike, second: ArrayLike, *, dim: int, depth: int) -> Array:
    """Truncated tensor product: the signature of one path followed by another (Chen 1957).

    Parameters
    ----------
    first, second : array_like, shape (..., size)
        Of shapes that broadcast.
    dim, depth : int

    Returns
    -------
    ndarray, shape (..., size)

    Raises
    ------
    TypeError, ValueError
        The numbers of coordinates are not those of `dim` and `depth`, or not finite, or the shapes
        do not broadcast.

    Examples
    --------
    >>> ahead, back = signature([[0.0], [2.0]], 2), signature([[2.0], [0.0]], 2)
    >>> product(ahead, back, dim=1, depth=2).tolist()
    [1.0, 0.0, 0.0]
    """
    left, right = _flat("first", first, dim, depth), _flat("second", second, dim, depth)
    _common_shape("second", left.shape, right.shape)
    left, right = np.broadcast_arrays(left, right)
    return reference.multiply(left, right, dim, depth)


def _series(x: Array, d: int, depth: int, coefficients: Sequence[float]) -> Array:
    """``c_0 + c_1 x + c_2 x x + ...`` for an x without constant term, by Horner's scheme."""
    one = np.zeros_like(x)
    one[..., 0] = 1.0
    total = x.dtype.type(coefficients[depth]) * one
    for c in reversed(coefficients[:depth]):
        total = reference.multiply(x, total, d, depth) + x.dtype.type(c) * one
    return total


def inverse(element: ArrayLike, *, dim: int, depth: int) -> Array:
    """The inverse for `product`: of a signature, that of the path run backwards.

    Parameters
    ----------
    element : array_like, shape (..., size)
        With a constant term that is not zero.
    dim, depth : int

    Raises
    ------
    TypeError, ValueError
        As `product`; the constant term is zero.

    Examples
    --------
    >>> inverse([1.0, 2.0, 2.0], dim=1, depth=2).tolist()
    [1.0, -2.0, 2.0]
    """
    values = _flat("element", element, dim, depth)
    if (values[..., 0] == 0).any():
        raise ValueError("element must have a constant term that is not zero")
    scale = values[..., :1].copy()
    x = values / scale
    x[..., 0] = 0.0
    return _series(-x, dim, depth, [1.0] * (depth + 1)) / scale


def logarithm(element: ArrayLike, *, dim: int, depth: int) -> Array:
    """``log(1 + x) = x - x x / 2 + x x x / 3 - ...`` of an element with the constant term 1.

    Raises
    ------
    TypeError, ValueError
        As `product`; the constant term is not 1.

    Examples
    --------
    >>> logarithm([1.0, 2.0, 2.0], dim=1, depth=2).tolist()
    [0.0, 2.0, 0.0]
    """
    values = _flat("element", element, dim, depth)
    if (values[..., 0] != 1).any():
        raise ValueError("element must have the constant term 1")
    found = kernels.signature_logarithm(values.reshape(-1, values.shape[-1]), dim, depth)
    return found.reshape(values.shape)


def exponential(element: ArrayLike, *, dim: int, depth: int) -> Array:
    """``1 + x + x x / 2! + ...`` of an element without a constant term.

    Raises
    ------
    TypeError, ValueError
        As `product`; the constant term is not 0.

    Examples
    --------
    >>> exponential([0.0, 2.0, 0.0], dim=1, depth=2).tolist()
    [1.0, 2.0, 2.0]
    """
    values = _flat("element", element, dim, depth)
    if (values[..., 0] != 0).any():
        raise ValueError("element must have the constant term 0")
    coefficients = [1.0]
    for k in range(1, depth + 1):
        coefficients.append(coefficients[-1] / k)
    return _series(values, dim, depth, coefficients)


# Of paths


def _batch(name: str, value: ArrayLike) -> tuple[Array, bool]:
    """Paths (b, n, d), and whether one path was given."""
    values = value.to_numpy() if isinstance(value, pd.DataFrame) else value
    points = _numbers(name, values)
    if points.ndim not in (2, 3):
        raise ValueError(f"{name} must have shape (n, d) or (b, n, d), got {points.shape}")
    return np.ascontiguousarray(points if points.ndim == 3 else points[None]), points.ndim == 2


def signature(paths: ArrayLike | pd.DataFrame, depth: int, *, prefixes: bool = False) -> Array:
    """Signatures of piecewise linear paths up to a depth.

    The cost is about ``size`` multiplications a point, a few more at low depths. In memory there is
    one signature for each path; with `prefixes` one for each point, 2**28 coordinates at most.

    Parameters
    ----------
    paths : array_like, shape (n, d) or (b, n, d)
        Points; the first one is where the path begins, and does not matter unless `with_basepoint`.
    depth : int
        Longest word, at least 1.
    prefixes : bool
        Whether the signatures of all initial segments are wanted, that of one point first: what
        `extend` gives from point to point.

    Returns
    -------
    ndarray, shape (size,), (b, size), (n, size) or (b, n, size)
        Infinite or NaN where a coordinate leaves the range of the floats.

    Raises
    ------
    TypeError, ValueError
        The paths are no finite numbers or have another shape, the depth is below 1, or there are
        more than 2**28 coordinates in all.

    Examples
    --------
    >>> signature([[1, 1], [3, 4], [5, 2], [8, 6]], 2).tolist()
    [1.0, 7.0, 5.0, 24.5, 19.0, 16.0, 12.5]
    """
    points, single = _batch("paths", paths)
    found = kernels.signature(points, depth, prefixes)
    return found[0] if single else found


def extend(element: ArrayLike, increment: ArrayLike, *, depth: int) -> Array:
    """Signatures of paths that go on in a straight line: the stream, one point at a time.

    By Chen's identity ``S exp(x)``, at the cost of one step of `signature`, however long the path
    was, and with its state alone in memory.

    Parameters
    ----------
    element : array_like, shape (..., size)
        Signatures so far; that of one point is 1, 0, 0, ...
    increment : array_like, shape (..., d)
        New point less last point; the leading shapes broadcast.
    depth : int

    Returns
    -------
    ndarray, shape (..., size)

    Raises
    ------
    TypeError, ValueError
        The numbers of coordinates are not those of d and `depth`, a number is not finite, or the
        shapes do not broadcast.

    Examples
    --------
    >>> extend(signature([[1, 1], [3, 4]], 2), [2, -2], depth=2).tolist()
    [1.0, 4.0, 1.0, 8.0, -3.0, 7.0, 0.5]
    """
    steps = _numbers("increment", increment)
    if steps.ndim < 1 or not steps.shape[-1]:
        raise ValueError(f"increment must have shape (..., d), got {steps.shape}")
    if not np.isfinite(steps).all():
        raise ValueError("increment must be finite")
    before, steps = _alike(_flat("element", element, steps.shape[-1], depth), steps)
    shape = _common_shape("increment", before.shape[:-1], steps.shape[:-1])
    rows = [
        np.broadcast_to(values, (*shape, values.shape[-1])).reshape(-1, values.shape[-1])
        for values in (before, steps)
    ]
    return kernels.signature_extend(*rows, depth).reshape(*shape, before.shape[-1])


def log_signature(paths: ArrayLike | pd.DataFrame, depth: int, *, basis: str = "lyndon") -> Array:
    """Logarithms of signatures: the same information without its redundancy.

    Taken of the whole path's signature, once; so the cost is that of `signature`.

    Parameters
    ----------
    paths, depth
        As in `signature`.
    basis : str
        ``"lyndon"``: coordinates by the brackets of the Lyndon words; ``"words"``: the coefficients
        of the Lyndon words themselves, cheaper and equivalent; ``"expanded"``: all coordinates of
        the tensor algebra, in the order of `words`.

    Returns
    -------
    ndarray, shape (m,) or (b, m)
        One value for each of `lyndon_words`, or for each of `words` where expanded.

    Raises
    ------
    TypeError, ValueError
        As `signature`, or there is no such basis.

    Examples
    --------
    >>> log_signature([[1, 1], [3, 4], [5, 2], [8, 6]], 2).tolist()
    [7.0, 5.0, 1.5]
    """
    if basis not in ("lyndon", "words", "expanded"):
        raise ValueError(f"basis must be 'lyndon', 'words' or 'expanded', got {basis!r}")
    points, single = _batch("paths", paths)
    d = points.shape[2]
    found = kernels.signature_logarithm(kernels.signature(points, depth, False), d, depth)
    if basis != "expanded":
        found = found[:, _places(d, depth)]
    if basis == "lyndon":
        found = found @ _from_words(d, depth, found.dtype.type)
    return found[0] if single else found


@cache
def _places(d: int, depth: int) -> NDArray[np.intp]:
    """Where the Lyndon words stand among all words."""
    order = {word: place for place, word in enumerate(words(d, depth))}
    return np.array([order[word] for word in lyndon_words(d, depth)])


@cache
def _from_words(d: int, depth: int, dtype: type) -> Array:
    """What takes rows of coefficients of the Lyndon words to coordinates by their brackets.

    The coefficient of the i-th Lyndon word in the bracket of the j-th makes a unit triangular
    matrix of integers, and so is its inverse. The bracket of a Lyndon word w = uv, v its longest
    proper end that is a Lyndon word, is ``[bracket(u), bracket(v)]``.
    """
    basis = lyndon_words(d, depth)
    known = set(basis)
    brackets: dict[Word, Counter[Word]] = {}
    for word in basis:
        if len(word) == 1:
            brackets[word] = Counter({word: 1})
            continue
        cut = next(k for k in range(1, len(word)) if word[k:] in known)
        left, right = brackets[word[:cut]], brackets[word[cut:]]
        bracket: Counter[Word] = Counter()
        for (u, a), (v, b) in itertools.product(left.items(), right.items()):
            bracket[u + v] += a * b
            bracket[v + u] -= a * b
        brackets[word] = bracket
    table = [[brackets[word].get(other, 0) for word in basis] for other in basis]
    return np.linalg.inv(np.array(table, dtype=np.float64)).round().T.astype(dtype)


def signature_gradient(paths: ArrayLike | pd.DataFrame, depth: int, weights: ArrayLike) -> Array:
    """Derivatives by the points of a weighted sum of the coordinates of the signature.

    The signature is unrolled step by step from its end, so that memory does not grow with the
    length of the paths beyond the result; the cost is a few times that of `signature`
    (Reizenstein & Graham 2020).

    Parameters
    ----------
    paths, depth
        As in `signature`.
    weights : array_like, shape (size,) or (b, size)
        Of the coordinates, in the order of `words`.

    Returns
    -------
    ndarray, in the shape of `paths`

    Raises
    ------
    TypeError, ValueError
        As `signature`; `weights` have another shape or are not finite.

    Examples
    --------
    >>> signature_gradient([[0.0], [2.0]], 2, [0.0, 0.0, 1.0]).ravel().tolist()
    [-2.0, 2.0]
    """
    points, single = _batch("paths", paths)
    given = _flat("weights", weights, points.shape[2], depth)
    if given.ndim > 2 or (given.ndim == 2 and len(given) != len(points)):
        raise ValueError(
            f"weights must have shape (size,) or ({len(points)}, size), got {given.shape}"
        )
    spread = np.broadcast_to(given.astype(points.dtype), (len(points), given.shape[-1]))
    found = kernels.signature_gradient(points, depth, np.ascontiguousarray(spread))
    return found[0] if single else found


def signature_kernel(
    left: ArrayLike | pd.DataFrame, right: ArrayLike | pd.DataFrame, *, refinement: int = 0
) -> Any:
    """Inner products of untruncated signatures, pair by pair, by the Goursat equation.

    The scheme is of second order (Salvi et al. 2021). A pair costs one cell for each two segments,
    ``4**refinement`` with them, and has one row of cells in memory.

    Parameters
    ----------
    left, right : array_like, shape (n, d) and (m, d), or (b, n, d) and (b, m, d)
    refinement : int
        How often every segment is halved, from 0 to 16: the error falls to a quarter each time.

    Returns
    -------
    float, or ndarray, shape (b,)

    Raises
    ------
    TypeError, ValueError
        The paths are no finite numbers or their shapes do not fit.

    Examples
    --------
    >>> round(signature_kernel([[0.0], [1.0]], [[0.0], [1.0]], refinement=8), 4)
    2.2796
    """
    first, single = _batch("left", left)
    second, other = _batch("right", right)
    if single != other:
        raise ValueError("right must be one path where left is one, and a batch where left is")
    found = kernels.signature_kernel(*_alike(first, second), refinement)
    return float(found[0]) if single else found


def gram(left: ArrayLike, right: ArrayLike | None = None, *, refinement: int = 0) -> Array:
    """Signature kernels of all pairs of two batches, or of one with itself.

    Without `right` half of the pairs are computed and the table is symmetric to the last digit.

    Parameters
    ----------
    left, right : array_like, shape (b, n, d) and (c, m, d)
    refinement : int
        As in `signature_kernel`.

    Returns
    -------
    ndarray, shape (b, c)

    Raises
    ------
    TypeError, ValueError
        As `signature_kernel`.

    Examples
    --------
    >>> gram([[[0.0], [0.0]], [[0.0], [1.0]]]).round(3).tolist()
    [[1.0, 1.0], [1.0, 2.25]]
    """
    first, single = _batch("left", left)
    second, other = (None, False) if right is None else _batch("right", right)
    if single or other:
        raise ValueError("left and right must have shape (b, n, d)")
    if second is not None:
        first, second = _alike(first, second)
    return kernels.signature_gram(first, second, refinement)


def _alike(*arrays: Array) -> list[Array]:
    """Arrays of one precision, the higher one."""
    dtype = np.result_type(*arrays)
    return [values.astype(dtype, copy=False) for values in arrays]


# What is done to a path first


def with_time(paths: ArrayLike | pd.DataFrame, times: ArrayLike | None = None) -> Array:
    """Paths with time as their first coordinate, by default from 0 to 1 in equal steps.

    It makes the signature tell paths apart that differ by their speed alone, or run back on
    themselves.

    Parameters
    ----------
    paths : array_like, shape (n, d) or (b, n, d)
    times : array_like, shape (n,), optional
        Strictly increasing.

    Returns
    -------
    ndarray, shape (n, d + 1) or (b, n, d + 1)

    Raises
    ------
    TypeError, ValueError
        The paths have another shape, or `times` are out of order.

    Examples
    --------
    >>> with_time([[5.0], [7.0], [6.0]]).tolist()
    [[0.0, 5.0], [0.5, 7.0], [1.0, 6.0]]
    """
    points, single = _batch("paths", paths)
    n = points.shape[1]
    clock = np.linspace(0.0, 1.0, n) if times is None else validate.array("times", times, (n,))
    clock = clock.astype(points.dtype)
    if (np.diff(clock) <= 0).any():
        raise ValueError(
            f"times must be strictly increasing as {points.dtype}; count them from the first one"
        )
    column = np.broadcast_to(clock[None, :, None], (*points.shape[:2], 1))
    found = np.concatenate([column, points], axis=2)
    return found[0] if single else found


def with_basepoint(paths: ArrayLike | pd.DataFrame, point: ArrayLike | None = None) -> Array:
    """Paths with one more point in front, by default the origin: the level then matters, too.

    Examples
    --------
    >>> with_basepoint([[5.0], [7.0]]).tolist()
    [[0.0], [5.0], [7.0]]
    """
    points, single = _batch("paths", paths)
    d = points.shape[2]
    start = np.zeros(d) if point is None else validate.array("point", point, (d,))
    first = np.broadcast_to(start.astype(points.dtype), (len(points), 1, d))
    found = np.concatenate([first, points], axis=1)
    return found[0] if single else found


def lead_lag(paths: ArrayLike | pd.DataFrame) -> Array:
    """Each path beside its own past: the lead moves first, the lag follows.

    The difference of the coordinates (i, d + i) and (d + i, i) of its signature is the quadratic
    variation of coordinate i (Gyurko, Lyons, Kontkowski & Field 2013).

    Parameters
    ----------
    paths : array_like, shape (n, d) or (b, n, d)

    Returns
    -------
    ndarray, shape (2 n - 1, 2 d) or (b, 2 n - 1, 2 d)
        Lead, then lag.

    Examples
    --------
    >>> lead_lag([[1.0], [3.0], [2.0]]).tolist()
    [[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [2.0, 3.0], [2.0, 2.0]]
    """
    points, single = _batch("paths", paths)
    twice = np.repeat(points, 2, axis=1)
    found = np.concatenate([twice[:, 1:], twice[:, :-1]], axis=2)
    return found[0] if single else found
