"""Philox4x64-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (SC 2011).

Stream s of a seed is ``numpy.random.Philox(key=[seed, s], counter=0)``, word for word. Every block
of four words follows from its index alone, so that paths can be simulated in any order; here a
block of many streams is made at once.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["blocks", "exponential", "normal", "raw", "seed", "uniform"]

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def seed(name: str, value: Any) -> int:
    """An integer that a word holds."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if not 0 <= number < 2**64:
        raise ValueError(f"{name} must be from 0 to 2**64 - 1, got {number}")
    return number


def _product(a: int, b: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """High and low word of the product, from products of half words."""
    a_high, a_low = np.uint64(a >> 32), np.uint64(a & 0xFFFFFFFF)
    b_high, b_low = b >> _HALF, b & _LOW
    middle = a_high * b_low + ((a_low * b_low) >> _HALF)
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (other >> _HALF), np.uint64(a) * b


def blocks(seed: int, stream: ArrayLike, index: ArrayLike) -> NDArray[np.uint64]:
    """Blocks of streams: words ``4 * index`` to ``4 * index + 3`` of each.

    Parameters
    ----------
    seed : int
        From 0 to 2**64 - 1.
    stream, index : array_like of int, not negative
        Of shapes that broadcast, index below 2**64 - 1.

    Returns
    -------
    ndarray, shape (4, ...), uint64
    """
    # NumPy increments the counter before it makes a block.
    stream, counter = np.broadcast_arrays(
        np.asarray(stream, np.uint64), np.asarray(index, np.uint64) + np.uint64(1)
    )
    shape = stream.shape
    stream, counter = stream.ravel(), counter.ravel()  # arrays of one value wrap without a warning
    words = [counter, np.zeros_like(counter), np.zeros_like(counter), np.zeros_like(counter)]
    for step in range(_ROUNDS):
        keys = (
            np.uint64((seed + step * _WEYL[0]) % 2**64),
            stream + np.uint64(step * _WEYL[1] % 2**64),
        )
        first_high, first_low = _product(_MULTIPLIERS[0], words[0])
        second_high, second_low = _product(_MULTIPLIERS[1], words[2])
        words = [
            second_high ^ words[1] ^ keys[0],
            second_low,
            first_high ^ words[3] ^ keys[1],
            first_low,
        ]
    return np.stack(words).reshape(4, *shape)


def raw(seed: int, stream: ArrayLike, start: int, count: int) -> NDArray[np.uint64]:
    """Words `start` to ``start + count - 1`` of each stream, shape (..., count)."""
    first, last = start // 4, -(-(start + count) // 4)
    streams = np.asarray(stream, np.uint64)[..., None]
    words = np.moveaxis(blocks(seed, streams, np.arange(first, last, dtype=np.uint64)), 0, -1)
    return words.reshape(*words.shape[:-2], -1)[..., start - 4 * first :][..., :count]


def uniform(words: ArrayLike) -> NDArray[np.float64]:
    """The uniform numbers on [0, 1) that words stand for: their high 53 bits."""
    return (np.asarray(words, np.uint64) >> np.uint64(11)) * 2.0**-53


def exponential(words: ArrayLike) -> NDArray[np.float64]:
    """The exponential numbers of mean 1 that words stand for, by inversion: ``-log1p(-u)``."""
    # Not np.log1p, whose last bit may differ from that of the C library that the Rust module calls.
    return -np.vectorize(math.log1p, otypes=[np.float64])(-uniform(words))


def normal(words: ArrayLike) -> NDArray[np.complex128]:
    """What pairs of words (..., 2n) stand for: n numbers, real and imaginary parts standard normal.

    A pair makes ``sqrt(-2 log(1 - u)) exp(2 pi i v)``, u and v the high 52 bits of its words as
    numbers in [0, 1): Box & Muller, Annals of Mathematical Statistics 29 (1958) 610-611.
    """
    numbers = (np.asarray(words, np.uint64) >> np.uint64(12)) * 2.0**-52
    radius = np.sqrt(-2 * np.log(1 - numbers[..., ::2]))
    return radius * np.exp(2j * np.pi * numbers[..., 1::2])
