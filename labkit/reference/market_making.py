"""Market making: a Monte Carlo of quotes that market orders fill, and order-flow imbalance."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks, _philox

__all__ = ["fills", "half_words", "order_flow_imbalance", "simulate_market_making"]

# A half word holds one of that many numbers above its lowest bit.
_GRID = 2.0**31
# Paths that are simulated at most.
MOST_PATHS = 100_000_000


def half_words(
    seed: int, streams: NDArray[np.uint64], n_steps: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each step, a number below 2**31 of each stream, and the direction in its lowest bit."""
    for step in range(n_steps):
        if step % 8 == 0:
            words = _philox.blocks(seed, streams, step // 8)
        half = (words[step // 2 % 4] >> np.uint64(32 * (step % 2))).astype(np.uint32)
        direction = (half & np.uint32(1)).astype(np.int64) * 2 - 1
        yield (half >> np.uint32(1)).astype(np.int64), direction


def fills(
    number: NDArray[np.int64],
    bid_probability: NDArray[np.float64],
    ask_probability: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the bid and the ask are filled, independently, by one number; NaN is not quoted.

    The numbers are dealt out in this order: both are filled, the bid alone, the ask alone, none.
    """
    buys, sells = (np.nan_to_num(p, nan=0.0) for p in (bid_probability, ask_probability))
    both = buys * sells
    below_both, below_bid, below_any = (
        np.rint(p * _GRID) for p in (both, buys, buys + sells - both)
    )
    bought = number < below_bid
    return bought, (number < below_both) | (~bought & (number < below_any))


def _quotes(name: str, offset: Any, probability: Any, shape: tuple) -> tuple[NDArray, NDArray]:
    offset = _checks.array(f"{name}_offset", offset, np.float64, shape)
    probability = _checks.array(f"{name}_probability", probability, np.float64, offset.shape)
    for row, column in np.argwhere(np.isinf(offset)):
        place = f"{name}_offset[{row}, {column}]"
        raise ValueError(f"{place} must be finite, or NaN, got {offset[row, column]}")
    quoted = ~np.isnan(offset)
    edge = offset.shape[1] - 1 if name == "bid" else 0
    for row in np.flatnonzero(quoted[:, edge]):
        place = f"{name}_offset[{row}, {edge}]"
        raise ValueError(f"{place} must be NaN at the limit of the inventory")
    for row, column in np.argwhere(quoted & ~((probability >= 0) & (probability <= 1))):
        place, value = f"{name}_probability[{row}, {column}]", probability[row, column]
        raise ValueError(f"{place} must be from 0 to 1, got {value}")
    return offset, np.where(quoted, probability, np.nan)


def _start(inventory: Any, limit: int) -> int:
    try:
        start = operator.index(inventory)
    except TypeError:
        kind = type(inventory).__name__
        raise TypeError(f"inventory must be an integer, got {kind}") from None
    if abs(start) > limit:
        raise ValueError(f"inventory must be from {-limit} to {limit}, got {start}")
    return start


def simulate_market_making(
    bid_offset: NDArray[np.float64],
    ask_offset: NDArray[np.float64],
    bid_probability: NDArray[np.float64],
    ask_probability: NDArray[np.float64],
    n_steps: int,
    inventory: int,
    move: float,
    n_paths: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray]:
    """Paths of a market maker whose quotes depend on the step and on the inventory.

    In each step either side of the quote is filled or not, with the probabilities of the tables and
    independently; then the mid goes up or down by `move`. A fill earns the offset of its quote, and
    the inventory after the fills earns the move of the mid.

    Half word t of Philox stream p of the seed, the low half of a word first, decides step t of path
    p. Bit 0 is set where the mid goes up; bits 1-31 are a number below ``2**31 = g``. With the
    probabilities b of the bid and a of the ask, both are filled below ``g a b``, the bid alone from
    there to ``g b``, the ask alone from there to ``g (a + b - a b)``, each bound rounded.

    Parameters
    ----------
    bid_offset, ask_offset : ndarray, shape (n_steps, 2 Q + 1) or (1, 2 Q + 1), float64
        Mid less bid and ask less mid at each step (one row: at all of them) and inventory -Q..Q.
        NaN where a side is not quoted, as it must be at the limit: bids at Q, asks at -Q.
    bid_probability, ask_probability : ndarray of the same shape, float64
        Of a fill in the step, 0 to 1; not looked at where the side is not quoted.
    n_steps : int
        At least 1.
    inventory : int
        At the start, -Q to Q.
    move : float
        Of the mid in a step, finite and not negative.
    n_paths : int
        From 1 to 1e8.
    seed : int
        0 to 2**64 - 1.

    Returns
    -------
    profit : ndarray, shape (n_paths,), float64
        Change of cash and of the inventory's value at the mid together.
    inventory : ndarray, shape (n_paths,), int64
        At the end.
    moves : ndarray, shape (n_paths,), int64
        Moves of the mid up less moves down.
    spread : ndarray, shape (n_paths,), float64
        Mean of ask less bid over the steps in which both were quoted, NaN where there were none.
    fills : ndarray, shape (n_paths, 2), int64
        Of bids and of asks.

    Raises
    ------
    ValueError, TypeError
        An argument is not what is said above.
    """
    n_steps = _checks.count("n_steps", n_steps, 1)
    shape = ("n_steps", "2 * max_inventory + 1")
    rows, columns = _checks.array("bid_offset", bid_offset, np.float64, shape).shape
    if rows not in (1, n_steps) or columns % 2 == 0:
        raise ValueError(
            f"bid_offset must have 1 or n_steps = {n_steps} rows and an odd number of columns, "
            f"got {bid_offset.shape}"
        )
    bid_offset, bid_probability = _quotes("bid", bid_offset, bid_probability, (rows, columns))
    ask_offset, ask_probability = _quotes("ask", ask_offset, ask_probability, (rows, columns))
    limit = columns // 2
    start = _start(inventory, limit)
    move = _checks.number("move", move)
    if not 0 <= move < math.inf:
        raise ValueError(f"move must be finite and not negative, got {move}")
    n_paths = _checks.count("n_paths", n_paths, 1)
    seed = _philox.seed("seed", seed)
    if n_paths > MOST_PATHS:
        raise ValueError(f"n_paths must be at most {MOST_PATHS}, got {n_paths}")

    streams = np.arange(n_paths, dtype=np.uint64)
    held = np.full(n_paths, start)
    carried = np.zeros(n_paths, np.int64)  # sum over steps of inventory times direction
    moves, filled = np.zeros(n_paths, np.int64), np.zeros((n_paths, 2), np.int64)
    earned, spread, both = np.zeros(n_paths), np.zeros(n_paths), np.zeros(n_paths, np.int64)
    for step, (number, direction) in enumerate(half_words(seed, streams, n_steps)):
        row, at = step if rows > 1 else 0, held + limit
        bid, ask = bid_offset[row, at], ask_offset[row, at]
        bought, sold = fills(number, bid_probability[row, at], ask_probability[row, at])
        earned += np.where(bought, bid, 0.0) + np.where(sold, ask, 0.0)
        quoted = ~np.isnan(bid + ask)
        spread += np.where(quoted, bid + ask, 0.0)
        both += quoted
        filled += np.column_stack((bought, sold))
        held += bought.astype(np.int64) - sold
        moves += direction
        carried += held * direction
    with np.errstate(invalid="ignore"):
        return earned + move * carried, held, moves, spread / both, filled


def _quote(name: str, value: Any, shape: tuple) -> NDArray[np.float64]:
    values = _checks.array(name, value, np.float64, shape)
    for row in np.flatnonzero(~np.isfinite(values)):
        raise ValueError(f"{name}[{row}] must be finite, got {values[row]}")
    return values


def order_flow_imbalance(
    bid: NDArray[np.float64],
    bid_size: NDArray[np.float64],
    ask: NDArray[np.float64],
    ask_size: NDArray[np.float64],
) -> NDArray[np.float64]:
    """What each change of the best quotes adds to demand less supply.

    Cont, Kukanov & Stoikov (Journal of Financial Econometrics 12 (2014) 47-88), with the bid P at
    size q and the ask P' at size q', and 1{.} one where the condition holds, zero elsewhere::

        e_n = 1{P_n >= P_{n-1}} q_n - 1{P_n <= P_{n-1}} q_{n-1}
            - 1{P'_n <= P'_{n-1}} q'_n + 1{P'_n >= P'_{n-1}} q'_{n-1}

    Parameters
    ----------
    bid, bid_size, ask, ask_size : ndarray, shape (n,), float64, n at least 1
        Best quotes in order of time.

    Returns
    -------
    ndarray, shape (n - 1,), float64
        In the units of the sizes; the first entry is that of the change from row 0 to row 1.

    Raises
    ------
    ValueError, TypeError
        A value is not finite, the arrays are not of one length, or empty.
    """
    bid = _quote("bid", bid, ("n",))
    if len(bid) == 0:
        raise ValueError("bid must have at least one row")
    bid_size, ask, ask_size = (
        _quote(name, value, bid.shape)
        for name, value in (("bid_size", bid_size), ("ask", ask), ("ask_size", ask_size))
    )
    demand = np.where(bid[1:] >= bid[:-1], bid_size[1:], 0.0)
    demand -= np.where(bid[1:] <= bid[:-1], bid_size[:-1], 0.0)
    supply = np.where(ask[1:] <= ask[:-1], ask_size[1:], 0.0)
    supply -= np.where(ask[1:] >= ask[:-1], ask_size[:-1], 0.0)
    return demand - supply
