"""A limit order book with price-time priority, in plain Python.

Each level is a queue in order of arrival; a taker takes the best level first and within a level
the oldest order. Prices are whole ticks, sizes whole lots, side is 1 for bids and -1 for asks.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks as check

LIMIT, MARKET, CANCEL, MODIFY = 1, 2, 3, 4  # kinds of request
POST_ONLY, IMMEDIATE_OR_CANCEL, FILL_OR_KILL = 1, 2, 4  # flags, one at most
ACCEPTED, FILLED, RESTING, CANCELLED, REJECTED = range(5)  # states
(
    NO_REASON,
    DUPLICATE_ID,
    UNKNOWN_ID,
    NOT_RESTING,
    BAD_PRICE,
    BAD_SIZE,
    WOULD_CROSS,
    CANNOT_FILL,
    NO_LIQUIDITY,
) = range(9)
DEPTH, TRADE = 1, 2  # kinds of event, those of EVENT_DTYPE

LARGEST = 1 << 40  # ticks or lots of one order
FLAGS = {
    LIMIT: {0, POST_ONLY, IMMEDIATE_OR_CANCEL, FILL_OR_KILL},
    MARKET: {0, IMMEDIATE_OR_CANCEL, FILL_OR_KILL},
    CANCEL: {0},
    MODIFY: {0, POST_ONLY},
}
TRADE_TYPES = (np.int64, np.int64, np.int64, np.int64, np.int64, np.int8)
EVENT_TYPES = (np.int64, np.int64, np.int64, np.uint8, np.int8)
ORDER_TYPES = (np.uint8, np.uint8, np.int64, np.int64, np.int64, np.int64)

Columns = tuple[NDArray, ...]


@dataclass(eq=False)
class _Order:
    id: int
    side: int
    price: int
    submitted: int
    left: int = 0
    filled: int = 0
    cancelled: int = 0
    state: int = RESTING
    reason: int = NO_REASON


class _Side:
    """Levels of one side: an ascending list of keys, the best one last, and a queue for each."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.keys: list[int] = []  # side * price
        self.queues: dict[int, list[_Order]] = {}

    def total(self, price: int) -> int:
        return sum(order.left for order in self.queues.get(self.side * price, ()))

    def append(self, order: _Order) -> None:
        key = self.side * order.price
        if key not in self.queues:
            insort(self.keys, key)
            self.queues[key] = []
        self.queues[key].append(order)

    def remove(self, order: _Order) -> None:
        key = self.side * order.price
        self.queues[key].remove(order)
        if not self.queues[key]:
            del self.queues[key]
            del self.keys[bisect_left(self.keys, key)]


class MatchingEngine:
    """A book, every order that it has taken, and the time of the last request.

    The arguments are the orders that rest at the start, in order of arrival.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape, an id occurs twice, a side is not 1 or -1, a price
        or size is not from 1 to 2**40, or the book is crossed.
    """

    def __init__(self, id: NDArray, side: NDArray, price: NDArray, size: NDArray) -> None:
        n = len(check.array("id", id, np.int64, ("k",)))
        check.array("side", side, np.int8, (n,))
        check.array("price", price, np.int64, (n,))
        check.array("size", size, np.int64, (n,))
        self._orders: dict[int, _Order] = {}
        self._sides = {1: _Side(1), -1: _Side(-1)}
        self._time: int | None = None
        self._trades: list[tuple] = []
        self._events: list[tuple] = []
        rows = zip(id.tolist(), side.tolist(), price.tolist(), size.tolist(), strict=True)
        for row, (name, way, ticks, lots) in enumerate(rows):
            if name in self._orders:
                raise ValueError(f"id[{row}] must be new, got {name} twice")
            if way not in (1, -1):
                raise ValueError(f"side[{row}] must be 1 or -1, got {way}")
            for what, value in (("price", ticks), ("size", lots)):
                if not 1 <= value <= LARGEST:
                    raise ValueError(f"{what}[{row}] must be from 1 to 2**40, got {value}")
            if self._marketable(way, ticks):
                raise ValueError(f"price[{row}] must not cross the book, got {ticks}")
            order = self._orders[name] = _Order(name, way, ticks, lots, left=lots)
            self._sides[way].append(order)

    def process(
        self,
        time_ns: NDArray[np.int64],
        id: NDArray[np.int64],
        kind: NDArray[np.uint8],
        side: NDArray[np.int8],
        price: NDArray[np.int64],
        size: NDArray[np.int64],
        flags: NDArray[np.uint8],
    ) -> tuple[Columns, Columns, Columns]:
        """Work through requests in the order given; none is when one of them is malformed.

        Returns
        -------
        trades : time_ns, maker, taker, price, size, side of the taker
        events : time_ns, price, size, kind, side
        orders : state, reason, submitted, filled, resting, cancelled of each request at the end

        Raises
        ------
        TypeError, ValueError
            A column has the wrong type or length, a time is before the one in front of it, a kind,
            side or flag is none, or flags do not go with the kind.
        """
        n = len(check.array("time_ns", time_ns, np.int64, ("k",)))
        check.array("id", id, np.int64, (n,))
        check.array("kind", kind, np.uint8, (n,))
        check.array("side", side, np.int8, (n,))
        check.array("price", price, np.int64, (n,))
        check.array("size", size, np.int64, (n,))
        check.array("flags", flags, np.uint8, (n,))
        columns = [c.tolist() for c in (time_ns, id, kind, side, price, size, flags)]
        last = self._time
        for row, (time, _, what, way, _, _, flag) in enumerate(zip(*columns, strict=True)):
            if last is not None and time < last:
                raise ValueError(f"time_ns[{row}] must not be before {last}, got {time}")
            last = time
            if what not in FLAGS:
                raise ValueError(f"kind[{row}] must be from 1 to 4, got {what}")
            if way not in (1, -1) and what in (LIMIT, MARKET):
                raise ValueError(f"side[{row}] must be 1 or -1, got {way}")
            if flag not in FLAGS[what]:
                raise ValueError(f"flags[{row}] must go with kind {what}, got {flag}")
        self._trades, self._events = [], []
        answers = [self._request(*request) for request in zip(*columns, strict=True)]
        orders = [
            answer
            if isinstance(answer, tuple)
            else (
                answer.state,
                answer.reason,
                answer.submitted,
                answer.filled,
                answer.left,
                answer.cancelled,
            )
            for answer in answers
        ]
        return (
            _columns(self._trades, TRADE_TYPES),
            _columns(self._events, EVENT_TYPES),
            _columns(orders, ORDER_TYPES),
        )

    def order(self, id: int) -> tuple[int, int, int, int, int, int, int, int]:
        """Side, price, state, reason, submitted, filled, resting, cancelled of an order.

        Raises
        ------
        ValueError
            No order was ever taken under that id.
        """
        order = self._orders.get(_integer("id", id))
        if order is None:
            raise ValueError(f"id must be one of an order taken, got {id}")
        return (
            order.side,
            order.price,
            order.state,
            order.reason,
            order.submitted,
            order.filled,
            order.left,
            order.cancelled,
        )

    def levels(self, side: int, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Prices and sizes of the best `depth` levels of a side, best first."""
        if _integer("side", side) not in (1, -1):
            raise ValueError(f"side must be 1 or -1, got {side}")
        depth = check.count("depth", depth, 0)
        book = self._sides[side]
        prices = [side * key for key in book.keys[::-1][:depth]]
        sizes = [book.total(price) for price in prices]
        return np.array(prices, np.int64), np.array(sizes, np.int64)

    def resting(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Id, side, price and size of every resting order: bids best first, then asks."""
        rows = [
            (order.id, order.side, order.price, order.left)
            for side in (1, -1)
            for key in self._sides[side].keys[::-1]
            for order in self._sides[side].queues[key]
        ]
        return _columns(rows, (np.int64, np.int8, np.int64, np.int64))

    def _request(
        self, time: int, id: int, kind: int, side: int, price: int, size: int, flags: int
    ) -> _Order | tuple[int, ...]:
        """The order that a request enters, or what becomes of the request itself."""
        self._time = time
        if kind == CANCEL:
            return self._changed(id, lambda order: self._cancel(order))
        if kind == MODIFY:
            return self._changed(id, lambda order: self._modify(order, price, size, flags))
        reason = self._refusal(id, kind, side, price, size, flags)
        if reason:
            return (REJECTED, reason, size, 0, 0, 0)
        order = self._orders[id] = _Order(id, side, price, size, left=size)
        self._enter(
            order, keeps=kind == LIMIT and flags in (0, POST_ONLY), any_price=kind == MARKET
        )
        return order

    def _refusal(self, id: int, kind: int, side: int, price: int, size: int, flags: int) -> int:
        if not 1 <= size <= LARGEST:
            return BAD_SIZE
        if kind == LIMIT and not 1 <= price <= LARGEST:
            return BAD_PRICE
        if id in self._orders:
            return DUPLICATE_ID
        if flags == POST_ONLY and self._marketable(side, price):
            return WOULD_CROSS
        if flags == FILL_OR_KILL and self._within_reach(kind, side, price) < size:
            return CANNOT_FILL
        return NO_REASON

    def _marketable(self, side: int, price: int) -> bool:
        keys = self._sides[-side].keys
        return bool(keys) and keys[-1] >= -side * price

    def _within_reach(self, kind: int, side: int, price: int) -> int:
        book = self._sides[-side]
        return sum(
            book.total(-side * key) for key in book.keys if kind == MARKET or key >= -side * price
        )

    def _enter(self, order: _Order, *, keeps: bool, any_price: bool) -> None:
        """Trade what can be traded; the rest rests or is cancelled."""
        opposite = self._sides[-order.side]
        while order.left and opposite.keys:
            key = opposite.keys[-1]
            if not any_price and key < -order.side * order.price:
                break
            self._take(order, opposite, key)
        if not order.left:
            order.state = FILLED
        elif keeps:
            order.state = RESTING
            self._sides[order.side].append(order)
            self._publish(order.side, order.price)
        else:
            order.state, order.reason = CANCELLED, NO_LIQUIDITY
            order.cancelled += order.left
            order.left = 0

    def _take(self, taker: _Order, opposite: _Side, key: int) -> None:
        """Trade with one level, the oldest order first."""
        price = opposite.side * key
        while taker.left and key in opposite.queues:
            maker = opposite.queues[key][0]
            size = min(taker.left, maker.left)
            for order in (taker, maker):
                order.left -= size
                order.filled += size
            self._trades.append((self._time, maker.id, taker.id, price, size, taker.side))
            self._events.append((self._time, price, size, TRADE, taker.side))
            if not maker.left:
                maker.state = FILLED
                opposite.remove(maker)
        self._publish(opposite.side, price)

    def _changed(self, id: int, change: Callable[[_Order], int]) -> tuple[int, ...]:
        order = self._orders.get(id)
        if order is None:
            reason = UNKNOWN_ID
        elif order.state != RESTING:
            reason = NOT_RESTING
        else:
            reason = change(order)
        return (REJECTED if reason else ACCEPTED, reason, 0, 0, 0, 0)

    def _cancel(self, order: _Order) -> int:
        self._sides[order.side].remove(order)
        order.state = CANCELLED
        order.cancelled += order.left
        order.left = 0
        self._publish(order.side, order.price)
        return NO_REASON

    def _modify(self, order: _Order, price: int, size: int, flags: int) -> int:
        if not 1 <= size <= LARGEST:
            return BAD_SIZE
        if not 1 <= price <= LARGEST:
            return BAD_PRICE
        if flags == POST_ONLY and self._marketable(order.side, price):
            return WOULD_CROSS
        if price != order.price or size > order.left:
            self._sides[order.side].remove(order)
        order.submitted += max(size - order.left, 0)
        order.cancelled += max(order.left - size, 0)
        grows, order.left = size > order.left, size
        if price != order.price:
            self._publish(order.side, order.price)
            order.price = price
            self._enter(order, keeps=True, any_price=False)
            return NO_REASON
        if grows:
            self._sides[order.side].append(order)
        self._publish(order.side, order.price)
        return NO_REASON

    def _publish(self, side: int, price: int) -> None:
        self._events.append((self._time, price, self._sides[side].total(price), DEPTH, side))


def _columns(rows: list[tuple], types: tuple[type, ...]) -> Columns:
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    return tuple(np.array(column, dtype) for column, dtype in zip(columns, types, strict=True))


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
