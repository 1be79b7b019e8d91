"""A limit order book with price-time priority, in plain Python.

Each level is a queue in order of arrival; a taker takes the best level first and within a level
the oldest order. Prices are whole ticks, sizes whole lots, side is 1 for bids and -1 for asks.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks as check
from labkit.reference import _philox as philox

__all__ = ["MatchingEngine", "zero_intelligence_flow"]

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
        self._lots = 0  # sizes asked for so far: no level, and no sum of an order, holds more
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
            self._lots = _more_lots(self._lots, row, lots)
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
            side or flag is none, flags do not go with the kind, or the sizes of all requests so far
            come to 2**63 lots.
        """
        n = len(check.array("time_ns", time_ns, np.int64, ("k",)))
        check.array("id", id, np.int64, (n,))
        check.array("kind", kind, np.uint8, (n,))
        check.array("side", side, np.int8, (n,))
        check.array("price", price, np.int64, (n,))
        check.array("size", size, np.int64, (n,))
        check.array("flags", flags, np.uint8, (n,))
        columns = [c.tolist() for c in (time_ns, id, kind, side, price, size, flags)]
        last, lots = self._time, self._lots
        for row, (time, _, what, way, _, amount, flag) in enumerate(zip(*columns, strict=True)):
            if last is not None and time < last:
                raise ValueError(f"time_ns[{row}] must not be before {last}, got {time}")
            last = time
            if what not in FLAGS:
                raise ValueError(f"kind[{row}] must be from 1 to 4, got {what}")
            if way not in (1, -1) and what in (LIMIT, MARKET):
                raise ValueError(f"side[{row}] must be 1 or -1, got {way}")
            if flag not in FLAGS[what]:
                raise ValueError(f"flags[{row}] must go with kind {what}, got {flag}")
            if what != CANCEL:
                lots = _more_lots(lots, row, amount)
        self._lots = lots
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


def _more_lots(lots: int, row: int, size: int) -> int:
    """The sum of the sizes asked for, with one more; sizes that are rejected do not count."""
    if not 1 <= size <= LARGEST:
        return lots
    if lots + size >= 2**63:
        raise ValueError(
            f"size[{row}] must leave less than 2**63 lots in all, got {size} after {lots}"
        )
    return lots + size


def zero_intelligence_flow(
    seed: int,
    duration_s: float,
    start_price: int,
    limit_rates: NDArray[np.float64],
    cancel_rates: NDArray[np.float64],
    market_rate: float,
    limit_size: float,
    market_size: float,
    fundamental_rate: float,
    pull: float,
) -> tuple[Columns, Columns]:
    """Order flow of a market in which orders come and go at random.

    Limit orders arrive on each side at rate ``limit_rates[d - 1]`` at d ticks from the opposite
    best quote, market orders at `market_rate` on each side, and every resting order is cancelled
    at rate ``cancel_rates[d - 1]`` (the last one from there on). This is the model of Cont, Stoikov
    and Talreja, Operations Research 58 (2010) 549-563, and with flat rates nearly that of Smith,
    Farmer, Gillemot and Krishnamurthy, Quantitative Finance 3 (2003) 481-514. Sizes follow
    geometric laws on 1, 2, ... with the means given.

    A fundamental price jumps by a tick up or down at `fundamental_rate` in all; a share
    ``(1 + tilt) / 2`` of market orders buys, where ``tilt = pull * (fundamental - mid)``, at most
    one in size. Where a side is empty, its last best quote stands in for it.

    The simulation is exact. A candidate event comes after an exponential time at the total rate,
    in which every order is taken to leave at the largest rate of cancellation; one that is slower
    is then kept with the right probability. Candidate n takes block n of stream 0 of the seed: its
    words give the time, the choice, the size, and whether a cancellation is done.

    Parameters
    ----------
    seed : int
        From 0 to 2**64 - 1.
    duration_s : float
        Seconds.
    start_price : int
        Ticks, above the number of limit rates. The book starts with one order on each side at each
        distance from here that has a limit rate.
    limit_rates, cancel_rates : ndarray, shape (k,), (m,)
        Per second, by distance from one tick on.
    market_rate, fundamental_rate : float
        Per second.
    limit_size, market_size : float
        Mean sizes, lots, from 1 to 2**32.
    pull : float
        Per tick.

    Returns
    -------
    requests : time_ns, id, kind, side, price, size
        From 1 ns on, no two at one time; ids of orders count from 1. An order that would have no
        positive price is not sent.
    fundamental : time_ns, ticks after each jump

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range, or more than 1e9 orders are
        expected.
    """
    seed = philox.seed("seed", seed)
    duration_s = check.number("duration_s", duration_s)
    start_price = _integer("start_price", start_price)
    check.array("limit_rates", limit_rates, np.float64, ("k",))
    check.array("cancel_rates", cancel_rates, np.float64, ("k",))
    market_rate = check.number("market_rate", market_rate)
    limit_size = check.number("limit_size", limit_size)
    market_size = check.number("market_size", market_size)
    fundamental_rate = check.number("fundamental_rate", fundamental_rate)
    pull = check.number("pull", pull)
    check.positive("duration_s", duration_s)
    for name, rates in (("limit_rates", limit_rates), ("cancel_rates", cancel_rates)):
        for row, rate in enumerate(rates.tolist()):
            _not_negative(f"{name}[{row}]", rate)
        if not len(rates):
            raise ValueError(f"{name} must have at least one rate")
    _not_negative("market_rate", market_rate)
    _not_negative("fundamental_rate", fundamental_rate)
    _not_negative("pull", pull)
    for name, mean in (("limit_size", limit_size), ("market_size", market_size)):
        if not 1 <= mean <= 2**32:
            raise ValueError(f"{name} must be from 1 to 2**32, got {mean}")
    depth = len(limit_rates)
    if not depth + 1 <= start_price <= LARGEST // 2:
        raise ValueError(f"start_price must be from {depth + 1} to 2**39, got {start_price}")
    cumulative = list(accumulate(limit_rates.tolist()))
    limit = cumulative[-1]
    if duration_s * (2 * (limit + market_rate) + fundamental_rate) > 1e9:
        raise ValueError(f"duration_s must give at most 1e9 orders, got {duration_s}")

    market = _Market(start_price, cancel_rates.tolist())
    for distance in range(1, depth + 1):
        for side in (1, -1):
            market.send(0.0, LIMIT, side, start_price - side * distance, int(limit_size))
    fastest = max(market.cancel_rates)
    fundamental, jumps, time = start_price, [], 0.0
    for word in _candidates(seed):
        leaving = fastest * len(market.live)
        total = 2 * limit + 2 * market_rate + leaving + fundamental_rate
        if total == 0:
            break
        time += -math.log1p(-word[0]) / total
        if time >= duration_s:
            break
        rest = word[1] * total
        if rest < 2 * limit:
            side = 1 if rest < limit else -1
            row = bisect_right(cumulative, rest if side == 1 else rest - limit)
            price = market.best[-side] - side * (min(row, depth - 1) + 1)
            market.send(time, LIMIT, side, price, _geometric(limit_size, word[2]))
            continue
        rest -= 2 * limit
        if rest < 2 * market_rate:
            gap = fundamental - 0.5 * (market.best[1] + market.best[-1])
            tilt = min(max(pull * gap, -1.0), 1.0)
            side = 1 if rest < market_rate * (1 + tilt) else -1
            market.send(time, MARKET, side, 0, _geometric(market_size, word[2]))
            continue
        rest -= 2 * market_rate
        if rest < leaving:
            id = market.live[min(int(rest / fastest), len(market.live) - 1)]
            if word[3] * fastest < market.cancel_rate(id):
                market.cancel(time, id)
            continue
        fundamental += 1 if rest - leaving < 0.5 * fundamental_rate else -1
        jumps.append((int(time * 1e9), fundamental))
    types = (np.int64, np.int64, np.uint8, np.int8, np.int64, np.int64)
    return _columns(market.requests, types), _columns(jumps, (np.int64, np.int64))


class _Market:
    """The book of a simulation, its resting orders in one list, and the requests sent."""

    def __init__(self, start_price: int, cancel_rates: list[float]) -> None:
        none = (np.empty(0, dtype) for dtype in (np.int64, np.int8, np.int64, np.int64))
        self.engine = MatchingEngine(*none)
        self.cancel_rates = cancel_rates
        self.best = {1: start_price, -1: start_price}  # of an empty side the last one there was
        self.live: list[int] = []  # ids, in no order
        self.place: dict[int, int] = {}  # of an id in `live`
        self.requests: list[tuple[int, int, int, int, int, int]] = []
        self.time_ns = 0
        self.sent = 0

    def send(self, time: float, kind: int, side: int, price: int, size: int) -> None:
        if kind == LIMIT and price < 1:
            return
        self.sent += 1
        self._pass(time, self.sent, kind, side, price, size)

    def cancel(self, time: float, id: int) -> None:
        self._leave(id)
        self._pass(time, id, CANCEL, self.engine._orders[id].side, 0, 0)

    def cancel_rate(self, id: int) -> float:
        order = self.engine._orders[id]
        distance = order.side * (self.best[-order.side] - order.price)
        return self.cancel_rates[min(max(distance, 1), len(self.cancel_rates)) - 1]

    def _pass(self, time: float, id: int, kind: int, side: int, price: int, size: int) -> None:
        self.time_ns = max(int(time * 1e9), self.time_ns + 1)
        request = (self.time_ns, id, kind, side, price, size)
        self.requests.append(request)
        self.engine._trades.clear()
        self.engine._request(*request, 0)
        if kind == LIMIT:
            self.place[id] = len(self.live)
            self.live.append(id)
        for _, maker, *_ in self.engine._trades:
            if self.engine._orders[maker].state == FILLED:
                self._leave(maker)
        for way, levels in self.engine._sides.items():
            if levels.keys:
                self.best[way] = way * levels.keys[-1]

    def _leave(self, id: int) -> None:
        """The last of the living takes the place of the one that leaves."""
        row, last = self.place.pop(id), self.live.pop()
        if last != id:
            self.live[row], self.place[last] = last, row


def _candidates(seed: int) -> Iterator[list[float]]:
    """Four uniform numbers for each candidate event."""
    for first in count(0, 4096):
        yield from philox.uniform(philox.blocks(seed, 0, np.arange(first, first + 4096))).T.tolist()


def _geometric(mean: float, uniform: float) -> int:
    if mean == 1:
        return 1
    return 1 + int(math.log1p(-uniform) / math.log1p(-1 / mean))


def _not_negative(place: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{place} must be finite and not negative, got {value}")


def _columns(rows: list[tuple], types: tuple[type, ...]) -> Columns:
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    return tuple(np.array(column, dtype) for column, dtype in zip(columns, types, strict=True))


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
