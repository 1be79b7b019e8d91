"""Limit order books: one snapshot, what a market order meets in it, and the states of a feed.

Prices are in quote units for one base unit, sizes in base units, times in UTC nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labkit._backend import kernels
from labkit.errors import CrossedBook

__all__ = ["BookStates", "OrderBook", "Top", "Walk", "book_states", "parse_orderbook"]


T = TypeVar("T", float, NDArray[np.float64])


class Top(NamedTuple, Generic[T]):
    """Best quotes: floats for one book, arrays of shape (m,) for many. NaN on an empty side."""

    bid: T
    bid_size: T
    ask: T
    ask_size: T


@dataclass(frozen=True)
class Walk:
    """What a market order meets in a book.

    Attributes
    ----------
    side : str
        The taker's side, ``"buy"`` (takes asks) or ``"sell"`` (takes bids).
    requested, filled : float
        Base units asked for and done; `filled` is less where the depth is short.
    notional : float
        Quote units that change hands, before fees.
    average_price, worst_price : float
        Quote units for one base unit; NaN where nothing is filled.
    levels : int
        Number of price levels touched.
    """

    side: str
    requested: float
    filled: float
    notional: float
    average_price: float
    worst_price: float
    levels: int

    @property
    def complete(self) -> bool:
        """Whether all that was asked for is filled."""
        return self.filled == self.requested


def _read_only(array: NDArray) -> NDArray:
    view = array.view()
    view.flags.writeable = False
    return view


def _side(levels: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(levels)
    if array.shape == (0,):
        array = np.empty((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{name} must have shape (n, 2), got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold numbers, got {array.dtype}")
    return _read_only(kernels.sort_levels(np.ascontiguousarray(array, dtype=np.float64), name))


class OrderBook:
    """A limit order book at one instant.

    Parameters
    ----------
    bids, asks : array_like, shape (n, 2)
        Price (quote units) and size (base units) of each level, in any order. Either may be
        empty, and they need not be of one length.

    Attributes
    ----------
    bids, asks : ndarray, shape (n, 2), float64, read-only
        The levels, best first: bids by falling, asks by rising price.

    Raises
    ------
    ValueError
        A price or size is not positive and finite, a price occurs twice on one side, or the
        shape is wrong.
    CrossedBook
        The best bid is not below the best ask.

    Examples
    --------
    >>> book = OrderBook(bids=[[99.0, 3.0], [98.0, 5.0]], asks=[[101.0, 1.0], [102.0, 4.0]])
    >>> book.mid, book.spread, book.microprice
    (100.0, 2.0, 100.5)
    >>> book.walk("buy", 2.0).average_price
    101.5
    """

    __slots__ = ("asks", "bids")

    bids: NDArray[np.float64]
    asks: NDArray[np.float64]

    def __init__(self, bids: ArrayLike, asks: ArrayLike) -> None:
        object.__setattr__(self, "bids", _side(bids, "bids"))
        object.__setattr__(self, "asks", _side(asks, "asks"))
        top = self.top()
        if top.bid >= top.ask:
            raise CrossedBook(f"best bid {top.bid} is not below best ask {top.ask}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an OrderBook does not change: {name} cannot be set")

    def __reduce__(self) -> tuple:
        return OrderBook, (np.array(self.bids), np.array(self.asks))

    def top(self) -> Top[float]:
        """Best quotes and their sizes, NaN where a side is empty."""
        nothing = (float("nan"), float("nan"))
        bid, bid_size = self.bids[0].tolist() if len(self.bids) else nothing
        ask, ask_size = self.asks[0].tolist() if len(self.asks) else nothing
        return Top(bid, bid_size, ask, ask_size)

    @property
    def mid(self) -> float:
        """Mean of best bid and best ask, NaN when a side is empty."""
        top = self.top()
        return (top.bid + top.ask) / 2

    @property
    def spread(self) -> float:
        """Best ask less best bid, in quote units, NaN when a side is empty."""
        top = self.top()
        return top.ask - top.bid

    @property
    def microprice(self) -> float:
        """The size-weighted mid, NaN when a side is empty.

        ``I * ask + (1 - I) * bid`` with ``I = bid_size / (bid_size + ask_size)`` at the best
        quotes. Stoikov, "The micro-price", Quantitative Finance 18 (2018), calls this the
        weighted mid; the micro-price fitted there is another thing.
        """
        return float(kernels.microprice(*self._stacked(1))[0])

    def imbalance(self, levels: int = 1) -> float:
        """Share of bids less share of asks in the size of the first levels, from -1 to 1.

        Parameters
        ----------
        levels : int
            Levels of each side to count; a side with fewer counts whole.

        Returns
        -------
        float
            NaN when a side is empty.

        Raises
        ------
        ValueError
            `levels` is less than 1.
        """
        depth = max(len(self.bids), len(self.asks), 1)
        return float(kernels.imbalance(*self._stacked(depth), min(levels, depth))[0])

    def walk(self, side: str, size: float) -> Walk:
        """What a market order of `size` base units meets.

        Parameters
        ----------
        side : str
            The taker's side: ``"buy"`` takes asks, ``"sell"`` takes bids.
        size : float
            Base units, zero or more; infinity takes the whole side.

        Raises
        ------
        ValueError
            `side` is something else, or `size` is negative or NaN.
        """
        if side not in ("buy", "sell"):
            raise ValueError(f"side must be 'buy' or 'sell', got {side!r}")
        levels = self.asks if side == "buy" else self.bids
        filled, notional, worst_price, touched = kernels.walk_levels(levels, size)
        average_price = notional / filled if filled > 0 else float("nan")
        return Walk(side, float(size), filled, notional, average_price, worst_price, touched)

    def _stacked(self, depth: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        stacks = np.full((2, 1, depth, 2), np.nan)
        for stack, side in zip(stacks, (self.bids, self.asks), strict=True):
            stack[0, : len(side)] = side[:depth]
        return stacks[0], stacks[1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OrderBook):
            return NotImplemented
        return np.array_equal(self.bids, other.bids) and np.array_equal(self.asks, other.asks)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        top = self.top()
        return (
            f"OrderBook({len(self.bids)} bids, {len(self.asks)} asks, "
            f"{top.bid_size:g} @ {top.bid:.10g} | {top.ask_size:g} @ {top.ask:.10g})"
        )


def parse_orderbook(json: str | bytes) -> OrderBook:
    """Read an order book from JSON, strictly.

    Parameters
    ----------
    json : str or bytes
        An object with ``"bids"`` and ``"asks"``, each an array of levels; a level is an array
        whose first two entries are price and size, as decimal strings or numbers. Further
        entries of a level (an order count, a time) and other keys are ignored.

    Raises
    ------
    ValueError
        The text is not JSON, a side is missing or given twice, or an entry is not a positive
        decimal number that float64 carries exactly (15 significant digits); the message names
        the place, for instance ``asks[3][0]``.
    CrossedBook
        The best bid is not below the best ask.

    Examples
    --------
    >>> parse_orderbook('{"bids": [["0.99", "3"]], "asks": [["1.01", "1", 1700000000]]}')
    OrderBook(1 bids, 1 asks, 3 @ 0.99 | 1 @ 1.01)
    """
    return OrderBook(*kernels.parse_orderbook(json))


@dataclass(frozen=True, eq=False)
class BookStates:
    """The book of one symbol after each message of a feed.

    Attributes
    ----------
    symbol : str
    message : ndarray, shape (m,), int64
        Identifier of the wire message after which each state holds.
    exchange_ns, local_ns : ndarray, shape (m,), int64
        When the venue sent it and when it was received, UTC nanoseconds.
    bids, asks : ndarray, shape (m, depth, 2), float64
        Price and size of the best levels, best first, NaN past the last level.

    Raises
    ------
    ValueError
        The arrays do not fit together.
    CrossedBook
        A best bid is not below its best ask; the message names symbol and message.
    """

    symbol: str
    message: NDArray[np.int64]
    exchange_ns: NDArray[np.int64]
    local_ns: NDArray[np.int64]
    bids: NDArray[np.float64]
    asks: NDArray[np.float64]

    def __post_init__(self) -> None:
        m = len(self.message)
        for name in ("message", "exchange_ns", "local_ns"):
            array = getattr(self, name)
            if array.shape != (m,) or array.dtype != np.int64:
                raise ValueError(
                    f"{name} must be int64 of shape ({m},), got {array.dtype} {array.shape}"
                )
        for name in ("bids", "asks"):
            array = getattr(self, name)
            if array.ndim != 3 or array.shape[0] != m or array.shape[2] != 2:
                raise ValueError(f"{name} must have shape ({m}, depth, 2), got {array.shape}")
        if self.bids.shape != self.asks.shape or self.bids.shape[1] == 0:
            raise ValueError(
                f"bids and asks must have one shape, got {self.bids.shape} and {self.asks.shape}"
            )
        for name in ("message", "exchange_ns", "local_ns", "bids", "asks"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))
        crossed = np.flatnonzero(self.bids[:, 0, 0] >= self.asks[:, 0, 0])
        if crossed.size:
            i = crossed[0]
            raise CrossedBook(
                f"{self.symbol}: best bid {self.bids[i, 0, 0]} is not below best ask "
                f"{self.asks[i, 0, 0]} after message {self.message[i]} "
                f"({crossed.size} of {m} states are crossed)"
            )

    def __len__(self) -> int:
        return len(self.message)

    def book(self, index: int) -> OrderBook:
        """The state at an index, counted from 0; negative ones are refused, as -1 means none."""
        if not 0 <= index < len(self):
            raise IndexError(f"index must be between 0 and {len(self) - 1}, got {index}")
        bids, asks = self.bids[index], self.asks[index]
        return OrderBook(bids[~np.isnan(bids[:, 0])], asks[~np.isnan(asks[:, 0])])

    def at(self, time_ns: ArrayLike, clock: str = "local") -> int | NDArray[np.int64]:
        """Index of the last state known at a time, -1 where there is none yet.

        Parameters
        ----------
        time_ns : int or array of int, shape (k,)
            UTC nanoseconds.
        clock : str
            ``"local"``: what had been received by then. ``"exchange"``: what the venue had sent.

        Returns
        -------
        int or ndarray of int64
            A state at the very time counts; a later one never does.

        Raises
        ------
        ValueError
            `clock` is something else, or that clock goes back somewhere.
        TypeError
            `time_ns` does not hold integers.
        """
        if clock not in ("local", "exchange"):
            raise ValueError(f"clock must be 'local' or 'exchange', got {clock!r}")
        times = np.asarray(time_ns)
        if times.dtype.kind not in "iu":
            raise TypeError(f"time_ns must hold integers (UTC nanoseconds), got {times.dtype}")
        ticks = self.local_ns if clock == "local" else self.exchange_ns
        back = np.flatnonzero(np.diff(ticks) < 0)
        if back.size:
            raise ValueError(
                f"clock {clock!r} goes back at message {self.message[back[0] + 1]} of {self.symbol}"
            )
        index = np.searchsorted(ticks, times, side="right") - 1
        return int(index) if times.ndim == 0 else index.astype(np.int64)

    @property
    def top(self) -> Top[NDArray[np.float64]]:
        """Best quotes and their sizes, arrays of shape (m,)."""
        bids, asks = self.bids[:, 0], self.asks[:, 0]
        return Top(bids[:, 0], bids[:, 1], asks[:, 0], asks[:, 1])

    @property
    def mid(self) -> NDArray[np.float64]:
        """Mean of best bid and best ask, shape (m,), NaN when a side is empty."""
        return (self.bids[:, 0, 0] + self.asks[:, 0, 0]) / 2

    @property
    def spread(self) -> NDArray[np.float64]:
        """Best ask less best bid, shape (m,), in quote units."""
        return self.asks[:, 0, 0] - self.bids[:, 0, 0]

    @property
    def microprice(self) -> NDArray[np.float64]:
        """The size-weighted mid, shape (m,); see `OrderBook.microprice`."""
        return kernels.microprice(self.bids, self.asks)

    def imbalance(self, levels: int = 1) -> NDArray[np.float64]:
        """Imbalance over the first levels, shape (m,); see `OrderBook.imbalance`.

        Raises
        ------
        ValueError
            `levels` is less than 1 or more than the depth of the states.
        """
        return kernels.imbalance(self.bids, self.asks, levels)

    def __repr__(self) -> str:
        return f"BookStates({self.symbol!r}, {len(self)} states, depth {self.bids.shape[1]})"


_DTYPES = {
    "message": "i8",
    "exchange_ns": "i8",
    "local_ns": "i8",
    "snapshot": "b1",
    "price": "f8",
    "size": "f8",
}


def book_states(events: pd.DataFrame, symbol: str, depth: int = 20) -> BookStates:
    """Rebuild the book of one symbol after each message of a recording.

    Parameters
    ----------
    events : DataFrame
        One row per level change: ``message`` (int64, identifier of the wire message, not
        decreasing), ``exchange_ns`` and ``local_ns`` (int64, UTC), ``symbol`` (str), ``snapshot``
        (bool, a message that replaces the whole book), ``side`` (``"bid"`` or ``"ask"``),
        ``price`` and ``size`` (float64; the new size of the level, 0 removes it).
    symbol : str
        Whose rows to use.
    depth : int
        Levels of each side to report. All levels are kept while rebuilding.

    Raises
    ------
    ValueError
        A column is missing, has another type or holds something else than said above; the
        symbol does not occur; the first message is no snapshot.
    CrossedBook
        A state is crossed; the message names symbol and message.

    Examples
    --------
    >>> events = pd.DataFrame({
    ...     "message": [1, 1, 2], "exchange_ns": [10, 10, 20], "local_ns": [15, 15, 25],
    ...     "symbol": "BTC/USDT", "snapshot": [True, True, False], "side": ["bid", "ask", "bid"],
    ...     "price": [99.0, 101.0, 100.0], "size": [1.0, 2.0, 3.0]})
    >>> states = book_states(events, "BTC/USDT")
    >>> states.mid.tolist(), states.at(24), states.at(25)
    ([100.0, 100.5], 0, 1)
    """
    missing = [name for name in (*_DTYPES, "symbol", "side") if name not in events.columns]
    if missing:
        raise ValueError(f"events has no column {', '.join(missing)}")
    for name, dtype in _DTYPES.items():
        if events[name].dtype != np.dtype(dtype):
            raise ValueError(
                f"events[{name!r}] must be {np.dtype(dtype)}, got {events[name].dtype}"
            )
    rows = events[events["symbol"] == symbol]
    if rows.empty:
        raise ValueError(f"events has no rows of symbol {symbol!r}")
    sides = rows["side"].to_numpy(dtype=object)
    unknown = ~np.isin(sides, ["bid", "ask"])
    if unknown.any():
        raise ValueError(f"events['side'] must be 'bid' or 'ask', got {sides[unknown][0]!r}")
    columns = {name: np.ascontiguousarray(rows[name].to_numpy()) for name in _DTYPES}
    message = columns["message"]
    if not columns["snapshot"][0]:
        raise ValueError(
            f"{symbol}: message {message[0]} changes a book that is not known; "
            "the first message must be a snapshot"
        )
    first = np.flatnonzero(np.diff(message, prepend=message[0] - 1))
    for clock in ("exchange_ns", "local_ns"):
        times = columns[clock]
        if (np.repeat(times[first], np.diff(first, append=len(message))) != times).any():
            raise ValueError(f"events[{clock!r}] must be the same for all rows of a message")
    bids, asks = kernels.rebuild_books(
        message,
        (sides == "ask").astype(np.int8),
        columns["price"],
        columns["size"],
        columns["snapshot"],
        depth,
    )
    exchange_ns, local_ns = columns["exchange_ns"][first], columns["local_ns"][first]
    return BookStates(symbol, message[first], exchange_ns, local_ns, bids, asks)
