"""Limit order books: parsing, order, depth, and the state after each message of a feed."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks

__all__ = [
    "imbalance",
    "microprice",
    "parse_orderbook",
    "rebuild_books",
    "sort_levels",
    "walk_levels",
]

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_EXACT_DIGITS = 15  # that every float64 carries
_MAX_NESTING = 128


class _Number(str):
    """A JSON number, as its text."""


class _Object(list):
    """A JSON object, as its (key, value) pairs, so that a key given twice is seen."""


def _no_constant(name: str) -> None:
    raise ValueError(f"text: {name} is not JSON")


def parse_orderbook(text: str | bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sides of a JSON order book, in the order of the text: two arrays of shape (n, 2)."""
    if not isinstance(text, str | bytes):
        raise TypeError(f"text must be str or bytes, got {type(text).__name__}")
    try:
        text = text.decode() if isinstance(text, bytes) else text.encode().decode()
    except UnicodeError:
        raise ValueError("text must be valid Unicode (bytes: UTF-8)") from None
    brackets = re.findall(r"[\[\]{}]", _STRING.sub("", text))
    if len(brackets) > _MAX_NESTING:
        steps = np.where(np.isin(brackets, ["[", "{"]), 1, -1)
        if np.cumsum(steps).max() > _MAX_NESTING:
            raise ValueError(f"text nests deeper than {_MAX_NESTING} levels")
    try:
        document = json.loads(
            text,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_no_constant,
            object_pairs_hook=_Object,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"text: {error}") from None
    if not isinstance(document, _Object):
        raise ValueError('text: expected an object with "bids" and "asks"')
    sides: dict[str, NDArray[np.float64]] = {}
    for key, value in document:
        if any("\ud800" <= letter <= "\udfff" for letter in key):
            raise ValueError("text: a key holds half a surrogate pair")
        if key in sides:
            raise ValueError(f"text: {key} is given twice")
        if key in ("bids", "asks"):
            sides[key] = _parse_side(key, value)
    for name in ("bids", "asks"):
        if name not in sides:
            raise ValueError(f"text: {name} is missing")
    return sides["bids"], sides["asks"]


def _is_array(value: Any) -> bool:
    return isinstance(value, list) and not isinstance(value, _Object)


def _parse_side(name: str, value: Any) -> NDArray[np.float64]:
    if not _is_array(value):
        raise ValueError(f"text: expected an array of levels at {name}")
    pairs = np.empty((len(value), 2))
    for row, level in enumerate(value):
        if not _is_array(level):
            raise ValueError(f"text: expected an array of price and size at {name}[{row}]")
        if len(level) < 2:
            raise ValueError(f"text: {name}[{row}] must hold a price and a size")
        pairs[row] = [_decimal(f"{name}[{row}][{column}]", level[column]) for column in (0, 1)]
    return pairs


def _decimal(place: str, text: Any) -> float:
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"text: {place} must be a decimal number, got {str(text)[:40]}")
    digits = (match[1] + (match[2] or "")).replace(".", "").strip("0")
    if len(digits) > _EXACT_DIGITS:
        raise ValueError(
            f"text: {place} has {len(digits)} significant digits, float64 carries {_EXACT_DIGITS}"
        )
    if not digits or text.startswith("-"):
        raise ValueError(f"text: {place} must be positive, got {text[:40]}")
    value = float(text)
    if not sys.float_info.min <= value <= sys.float_info.max:
        raise ValueError(f"text: {place} is outside the range of float64, got {text[:40]}")
    return value


def sort_levels(levels: NDArray[np.float64], side: str) -> NDArray[np.float64]:
    """The levels of `side` ("bids" or "asks"), best first."""
    if side not in ("bids", "asks"):
        raise ValueError(f"side must be 'bids' or 'asks', got '{side}'")
    pairs = _checks.levels(side, levels)
    order = np.argsort(-pairs[:, 0] if side == "bids" else pairs[:, 0], kind="stable")
    for row in np.flatnonzero(np.diff(pairs[order, 0]) == 0):
        raise ValueError(
            f"{side} has the price {pairs[order[row], 0]} twice, "
            f"in rows {order[row]} and {order[row + 1]}"
        )
    return pairs[order]


def walk_levels(levels: NDArray[np.float64], size: float) -> tuple[float, float, float, int]:
    """Takes `size` base units: (filled, notional, worst price, number of levels)."""
    _checks.array("levels", levels, np.float64, ("n", 2))
    size = _checks.number("size", size)
    if not size >= 0:
        raise ValueError(f"size must not be negative or NaN, got {size}")
    pairs = _checks.levels("levels", levels)
    falling = len(pairs) > 1 and pairs[1, 0] < pairs[0, 0]
    _checks.best_first("levels", levels, "bids" if falling else "asks")

    left, filled, notional, worst_price, touched = size, 0.0, 0.0, math.nan, 0
    for price, available in pairs.tolist():
        if left == 0:
            break
        taken = min(left, available)
        left -= taken
        filled += taken
        notional += taken * price
        worst_price = price
        touched += 1
    return (size if left == 0 else filled), notional, worst_price, touched


def _stacks(bids: Any, asks: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    bids = _checks.array("bids", bids, np.float64, ("m", "depth", 2))
    return bids, _checks.array("asks", asks, np.float64, bids.shape)


def _filled(side: NDArray[np.float64], name: str) -> NDArray[np.bool_]:
    """Which levels of a stack are there, shape (m, depth); NaN may only follow the last."""
    price, size = side[..., 0], side[..., 1]
    there = (price > 0) & (size > 0) & np.isfinite(price) & np.isfinite(size)
    absent = np.isnan(price) & np.isnan(size)
    gap = there & (np.cumsum(absent, axis=1) > 0)
    for index, row in np.argwhere(~(there | absent) | gap):
        raise ValueError(
            f"{name}[{index}, {row}] must be a positive price and size, or NaN past the last "
            f"level, got ({price[index, row]}, {size[index, row]})"
        )
    return there


def microprice(bids: NDArray[np.float64], asks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Size-weighted mid of stacked books, shape (m,)."""
    bids, asks = _stacks(bids, asks)
    if bids.shape[1] == 0:
        return np.full(len(bids), np.nan)
    for name, side in (("bids", bids), ("asks", asks)):
        _filled(side[:, :1], name)
    bid, bid_size, ask, ask_size = *bids[:, 0].T, *asks[:, 0].T
    weight = bid_size / (bid_size + ask_size)
    return weight * ask + (1.0 - weight) * bid


def imbalance(
    bids: NDArray[np.float64], asks: NDArray[np.float64], levels: int
) -> NDArray[np.float64]:
    """Imbalance of stacked books over their first `levels` levels, shape (m,), in [-1, 1]."""
    levels = _checks.count("levels", levels, 1)
    bids, asks = _stacks(bids, asks)
    if levels > bids.shape[1]:
        raise ValueError(
            f"levels must be between 1 and the depth of the books, {bids.shape[1]}, got {levels}"
        )
    total = {}
    for name, side in (("bids", bids[:, :levels]), ("asks", asks[:, :levels])):
        sizes = np.where(_filled(side, name), side[..., 1], 0.0)
        total[name] = np.add.accumulate(sizes, axis=1)[:, -1]
    bid, ask = total["bids"], total["asks"]
    both = (bid > 0) & (ask > 0)
    return np.divide(bid - ask, bid + ask, out=np.full(len(bids), np.nan), where=both)


def rebuild_books(
    message: NDArray[np.int64],
    side: NDArray[np.int8],
    price: NDArray[np.float64],
    size: NDArray[np.float64],
    reset: NDArray[np.bool_],
    depth: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best `depth` levels after each message: bids and asks of shape (m, depth, 2)."""
    depth = _checks.count("depth", depth, 1)
    message = _checks.array("message", message, np.int64, ("k",))
    rows = (len(message),)
    side = _checks.array("side", side, np.int8, rows)
    price = _checks.array("price", price, np.float64, rows)
    size = _checks.array("size", size, np.float64, rows)
    reset = _checks.array("reset", reset, np.bool_, rows)
    for row in range(len(message)):
        if side[row] not in (0, 1):
            raise ValueError(f"side[{row}] must be 0 (bid) or 1 (ask), got {side[row]}")
        _checks.positive(f"price[{row}]", price[row])
        if not 0 <= size[row] < math.inf:
            raise ValueError(f"size[{row}] must be zero or positive and finite, got {size[row]}")
        if row and message[row] < message[row - 1]:
            raise ValueError(f"message[{row}] must not decrease")
        if row and message[row] == message[row - 1] and reset[row] != reset[row - 1]:
            raise ValueError(f"reset[{row}] must be the same for all rows of a message")

    starts = np.flatnonzero(np.r_[True, message[1:] != message[:-1]][: len(message)])
    books: tuple[dict[float, float], dict[float, float]] = ({}, {})
    stacks = np.full((2, len(starts), depth, 2), np.nan)
    for index, rows_of_message in enumerate(np.split(np.arange(len(message)), starts[1:])):
        for row in rows_of_message:
            if reset[row] and row == rows_of_message[0]:
                books[0].clear()
                books[1].clear()
            if size[row] > 0:
                books[side[row]][price[row]] = size[row]
            else:
                books[side[row]].pop(price[row], None)
        for which, book in enumerate(books):
            best = sorted(book.items(), reverse=which == 0)[:depth]
            if best:
                stacks[which, index, : len(best)] = best
    return stacks[0], stacks[1]
