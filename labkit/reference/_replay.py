"""Event-driven replay in plain Python: the book, the venue, the queue, the two clocks.

Four sources are merged by time: feed received, responses received, events at the venue, requests
at the venue; at one time in that order. What the strategy knows comes from the first two alone.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks as check
from labkit.reference._events import CLEAR, DEPTH, EVENT_DTYPE, SNAPSHOT, TRADE

LIMIT, POST_ONLY, IMMEDIATE, MARKET = range(4)
PENDING, OPEN, PARTIAL, FILLED, CANCELLED, REJECTED, EXPIRED = range(7)
NO_REASON, CROSSES, TECHNICAL, NO_DEPTH = range(4)
QUEUES = ("risk_averse", "power", "power2", "power3", "log", "log2")
NEVER = -1
NOTHING = -(2**63)  # the rank of a best price where there is none
FOREVER = 2**63 - 1
_LARGEST = 2**53  # prices, sizes, latencies: what a float64 still counts one by one
_LATEST = 2**62


# The book


class Book:
    """Sizes by level of both sides, and the best of each as the feed shows it.

    A side ranks its prices: a bid by its price, an ask by minus its price, so that the greater is
    the better. A new best that reaches the other side's best moves that one behind it; the levels
    passed over stay, hidden, until the best price comes back to them. A side that has run empty
    looks no deeper than what is put in afterwards.
    """

    def __init__(self) -> None:
        self.sizes: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self.best = {1: NOTHING, -1: NOTHING}
        self.worst = {1: FOREVER, -1: FOREVER}

    def price(self, side: int) -> int:
        """The best price; 0 where there is none."""
        return 0 if self.best[side] == NOTHING else side * self.best[side]

    def size(self, side: int, price: int) -> int:
        """Lots at a level."""
        return self.sizes[side].get(side * price, 0)

    def _next(self, side: int, rank: int) -> int:
        """The best level worse than `rank`."""
        levels = (r for r in self.sizes[side] if self.worst[side] <= r < rank)
        return max(levels, default=NOTHING)

    def update(self, side: int, price: int, size: int) -> int:
        """Give a level its new size; returns the size before."""
        rank = side * price
        before = self.sizes[side].pop(rank, 0)
        if size:
            self.sizes[side][rank] = size
            if rank > self.best[side]:
                self.best[side] = rank
                other = self.best[-side]
                if other != NOTHING and other >= -rank:
                    self.best[-side] = self._next(-side, -rank)
            self.worst[side] = min(self.worst[side], rank)
        elif rank == self.best[side]:
            self.best[side] = self._next(side, rank)
            self._if_empty(side)
        return before

    def _if_empty(self, side: int) -> None:
        if self.best[side] == NOTHING:
            self.worst[side] = FOREVER

    def clear(self, side: int, price: int) -> None:
        """Empty a side (0: both), of one side and a positive price the levels up to there."""
        if side == 0:
            self.clear(1, 0)
            self.clear(-1, 0)
            return
        if price <= 0:
            self.sizes[side].clear()
            self.best[side] = NOTHING
        else:
            rank = side * price
            self.sizes[side] = {r: size for r, size in self.sizes[side].items() if r < rank}
            if self.best[side] >= rank:
                self.best[side] = self._next(side, rank)
        self._if_empty(side)

    def apply(self, kind: int, side: int, price: int, size: int) -> None:
        """What an event does to the book."""
        if kind == CLEAR:
            self.clear(side, price)
        elif kind != TRADE:
            self.update(side, price, size)


def _events(value: Any) -> list[tuple[int, ...]]:
    """Checked events as tuples: exchange_ns, local_ns, price, size, kind, side."""
    events = check.array("events", value, EVENT_DTYPE, ("n",)).tolist()
    last = 0
    for row, (exchange, local, price, size, kind, side) in enumerate(events):
        for name, fits in (
            ("exchange_ns", 0 <= exchange < _LATEST),
            ("local_ns", last <= local < _LATEST),
            ("kind", DEPTH <= kind <= SNAPSHOT),
            ("side", abs(side) == 1 or (side == 0 and kind == CLEAR)),
            ("size", (0 if kind != TRADE else 1) <= size < _LARGEST),
            ("price", 0 < price < _LARGEST or kind == CLEAR),
        ):
            if not fits:
                raise ValueError(f"events[{row}] must have a {name} that fits its kind and place")
        last = local
    return events


def best_quotes(events: NDArray) -> NDArray[np.int64]:
    """Best bid, its size, best ask, its size after each event in order of receipt, (n, 4).

    Ticks and lots; zeros where a side is empty.
    """
    book = Book()
    rows = _events(events)
    out = np.zeros((len(rows), 4), np.int64)
    for row, (_, _, price, size, kind, side) in enumerate(rows):
        book.apply(kind, side, price, size)
        bid, ask = book.price(1), book.price(-1)
        out[row] = bid, book.size(1, bid), ask, book.size(-1, ask)
    return out


# Latency


def _interpolate(x: int, x1: int, y1: int, x2: int, y2: int) -> int:
    return int(float(y2 - y1) / float(x2 - x1) * float(x - x1)) + y1


def _last_row(times: list[int], now: int) -> int:
    """The last row at or before `now`; the first one before all."""
    return max(bisect.bisect_right(times, now) - 1, 0)


class Latency:
    """Latency of a request sent, and of a response sent, at a time."""

    def __init__(self, entry: Any, response: Any, interpolate: bool) -> None:
        self.entry_rows = _table("entry", entry, 3).tolist()
        self.response_rows = _table("response", response, 2).tolist()
        self.entry_times = [row[0] for row in self.entry_rows]
        self.response_times = [row[0] for row in self.response_rows]
        self.smooth = interpolate

    def _between(self, times: list[int], row: int, now: int) -> bool:
        return self.smooth and row + 1 < len(times) and times[row] <= now

    def entry(self, now: int) -> tuple[int, bool]:
        """Time to the venue; or to the news that the request never got there, and True."""
        row = _last_row(self.entry_times, now)
        time, entry, round_trip = self.entry_rows[row]
        if not self._between(self.entry_times, row, now):
            return (round_trip, True) if entry < 0 else (entry, False)
        next_time, next_entry, next_trip = self.entry_rows[row + 1]
        if entry < 0 or next_entry < 0:
            return _interpolate(now, time, round_trip, next_time, next_trip), True
        return _interpolate(now, time, entry, next_time, next_entry), False

    def response(self, now: int) -> int:
        """Time back to the strategy."""
        row = _last_row(self.response_times, now)
        time, latency = self.response_rows[row]
        if not self._between(self.response_times, row, now):
            return latency
        return _interpolate(now, time, latency, *self.response_rows[row + 1])


def _table(name: str, value: Any, columns: int) -> NDArray[np.int64]:
    rows = check.array(name, value, np.int64, ("m", columns))
    if not len(rows):
        raise ValueError(f"{name} must have at least one row")
    last = 0
    for row, (time, *latencies) in enumerate(rows.tolist()):
        if not last <= time < _LATEST:
            raise ValueError(f"{name}[{row}] must have a time not before the row in front of it")
        least = [0] if columns == 2 else [-1, 0]
        for low, latency in zip(least, latencies, strict=True):
            if not low <= latency < _LARGEST:
                raise ValueError(f"{name}[{row}] must have latencies of at least {low} ns")
        last = time
    return rows


# The queue


@dataclass
class Resting:
    """An order in the venue's book."""

    order: Order
    rank: int
    ahead: float  # lots in front of it, as estimated
    traded: int = 0  # traded at the level since its size last changed


class Queue:
    """How an order moves up: by trades always, by other decreases as the model says."""

    def __init__(self, kind: str, exponent: float, unit: float) -> None:
        self.kind = kind
        self.exponent = exponent
        self.unit = unit

    def _f(self, lots: float) -> float:
        if self.kind.startswith("log"):
            return math.log(1.0 + lots * self.unit)
        return math.pow(lots, self.exponent)

    def behind(self, front: float, back: float) -> float:
        """Probability that what left the level left it behind the order."""
        front, back = max(front, 0.0), max(back, 0.0)
        if self.kind in ("power", "log"):
            above, below = self._f(back), self._f(back) + self._f(front)
        elif self.kind in ("power2", "log2"):
            above, below = self._f(back), self._f(back + front)
        else:
            above, below = self._f(front), self._f(front + back)
        if below == 0.0:
            return 1.0
        return 1.0 - above / below if self.kind == "power3" else above / below

    def depth(self, resting: Resting, before: int, size: int) -> None:
        """The level went from `before` to `size`."""
        if self.kind != "risk_averse":
            left = before - size - resting.traded  # without what trades have already taken
            resting.traded = 0
            if left >= 0:
                front, back = resting.ahead, float(before) - resting.ahead
                share = self.behind(front, back)
                resting.ahead = front - (1.0 - share) * left
        resting.ahead = max(min(resting.ahead, float(size)), 0.0)

    def trade(self, resting: Resting, size: int, left: int) -> int:
        """A trade, `left` of it behind own orders in front; the lots that reach this one."""
        resting.ahead -= float(left)
        resting.traded += size
        reached = math.floor(0.5 - resting.ahead)
        resting.ahead = max(resting.ahead, 0.0)
        return max(reached, 0)


# The engine


@dataclass(eq=False)
class Order:
    """One own order: what the venue knows of it, and what the strategy does."""

    id: int
    side: int
    price: int
    size: int
    kind: int
    submitted: int
    arrived: int = NEVER
    acknowledged: int = NEVER
    cancel_requested: int = NEVER
    closed: int = NEVER
    closed_locally: int = NEVER
    filled: int = 0
    ahead: int = NEVER
    state: int = PENDING
    reason: int = NO_REASON
    cancels_rejected: int = 0
    known_state: int = PENDING
    known_filled: int = 0
    cancelling: bool = False

    def row(self) -> list[int]:
        """What the results say of it."""
        return [
            self.id,
            self.side,
            self.price,
            self.size,
            self.kind,
            self.submitted,
            self.arrived,
            self.acknowledged,
            self.cancel_requested,
            self.closed,
            self.closed_locally,
            self.filled,
            self.ahead,
            self.state,
            self.reason,
            self.cancels_rejected,
        ]


@dataclass
class Account:
    """What the strategy knows that it holds; value in ticks x lots."""

    position: int = 0
    cash: int = 0
    maker_value: int = 0
    taker_value: int = 0
    mid2: int = 0  # bid + ask, the last time there were both


ACCEPTED, FILL, CLOSED, CANCEL_REJECTED = range(4)
ORDER_COLUMNS, FILL_COLUMNS, SERIES_COLUMNS, LIVE_COLUMNS = 16, 8, 8, 8


@dataclass
class _Clock:
    now: int = 0
    started: bool = False
    finished: bool = False
    next_sample: int = 0
    received: tuple[int, int] = field(default=(0, 0))


class ReplayEngine:
    """A replay that stops at each wake for a strategy to act.

    `advance` goes to the next wake, every `interval_ns` after the first event at the venue, or,
    where that is 0, whenever feed or responses have come in; once no event is left on either clock
    it brings what is under way to its end and returns False, without a wake. In between `submit`
    and `cancel` send requests.

    Parameters
    ----------
    events : ndarray of EVENT_DTYPE
    feed_ns : int
        Added to each receipt.
    entry : ndarray of int64, shape (m, 3)
        Of a request sent from a time on: the time, the latency to the venue (-1: it gets lost), the
        time until that is known.
    response : ndarray of int64, shape (k, 2)
        Of a response sent from a time on: the time, the latency.
    interpolate : bool
        Between rows, not the last one.
    queue, exponent, unit : str, float, float
        The queue model, the exponent of the power models, and what a lot is in the logarithms.
    partial_fills : bool
        A resting order that a trade reaches fills by what reached it, not whole.
    interval_ns, sample_ns : int
        Between wakes; between samples of the series (0: at each wake).
    """

    def __init__(
        self,
        events: NDArray,
        feed_ns: int,
        entry: NDArray[np.int64],
        response: NDArray[np.int64],
        interpolate: bool,
        queue: str,
        exponent: float,
        unit: float,
        partial_fills: bool,
        interval_ns: int,
        sample_ns: int,
    ) -> None:
        self._feed = duration("feed_ns", feed_ns)
        self._interval = duration("interval_ns", interval_ns)
        self._sample = duration("sample_ns", sample_ns)
        exponent, unit = check.number("exponent", exponent), check.number("unit", unit)
        if queue not in QUEUES:
            raise ValueError(f"queue must be one of {', '.join(QUEUES)}, got {queue}")
        check.positive("exponent", exponent)
        check.positive("unit", unit)
        self._latency = Latency(entry, response, interpolate)
        self._events = _events(events)
        for row, (exchange, local, *_) in enumerate(self._events):
            if exchange > local + self._feed:
                raise ValueError(
                    f"events[{row}] must not be received before it happened (see align_clock)"
                )
        self._queue = Queue(queue, exponent, unit)
        self._partial = partial_fills
        self._local = 0
        self._exchange = 0
        self._order = sorted(range(len(self._events)), key=lambda row: self._events[row][0])
        self._book = {"local": Book(), "exchange": Book()}
        self._requests: deque[tuple[int, Order, bool]] = deque()
        self._responses: deque[tuple[int, Order, int, int, int]] = deque()
        self._resting: dict[int, list[Resting]] = {1: [], -1: []}
        self._orders: list[Order] = []
        self._live: list[Order] = []
        self._account = Account()
        self._clock = _Clock()
        self._fills: list[list[int]] = []
        self._aheads: list[float] = []
        self._series: list[list[int]] = []

    # What the strategy sees

    @property
    def time_ns(self) -> int:
        """Time on the strategy's clock."""
        return self._clock.now

    @property
    def position(self) -> int:
        """Lots held, as known."""
        return self._account.position

    @property
    def cash(self) -> int:
        """Cash before fees, ticks x lots."""
        return self._account.cash

    @property
    def traded(self) -> tuple[int, int]:
        """Value of fills as maker and as taker, ticks x lots."""
        return self._account.maker_value, self._account.taker_value

    @property
    def quotes(self) -> tuple[int, int, int, int]:
        """Best bid, its size, best ask, its size; zeros where a side is empty."""
        book = self._book["local"]
        bid, ask = book.price(1), book.price(-1)
        return bid, book.size(1, bid), ask, book.size(-1, ask)

    @property
    def received(self) -> tuple[int, int]:
        """First event received since the previous wake, and the one after the last."""
        return self._clock.received

    def size_at(self, side: int, price: int) -> int:
        """Size of a level in the book as received."""
        return self._book["local"].size(_side(side), price)

    def live_orders(self) -> NDArray[np.int64]:
        """Own orders not known to be closed, (k, 8).

        Columns: id, side, price, size, filled as known, state as known, 1 where a cancel is under
        way, time of submission.
        """
        rows = [
            (
                o.id,
                o.side,
                o.price,
                o.size,
                o.known_filled,
                o.known_state,
                o.cancelling,
                o.submitted,
            )
            for o in self._live
        ]
        return np.array(rows, np.int64).reshape(-1, LIVE_COLUMNS)

    # What it can do

    def submit(self, side: int, price: int, size: int, kind: int) -> int:
        """Send a new order (price 0 for a market order); returns its id."""
        side, size, kind = _side(side), check.count("size", size, 1), check.count("kind", kind, 0)
        if kind > MARKET:
            raise ValueError(f"kind must be at most {MARKET}, got {kind}")
        price = check.count("price", price, 0 if kind == MARKET else 1)
        if kind == MARKET and price:
            raise ValueError(f"price must be 0 for a market order, got {price}")
        for name, value in (("price", price), ("size", size)):
            if value >= _LARGEST:
                raise ValueError(f"{name} must be below 2**53, got {value}")
        now = self._clock.now
        order = Order(len(self._orders) + 1, side, price, size, kind, now)
        self._orders.append(order)
        self._live.append(order)
        self._request(order, cancel=False)
        return order.id

    def cancel(self, order_id: int) -> None:
        """Send a request to cancel an order not known to be closed."""
        order = next((o for o in self._live if o.id == order_id), None)
        if order is None:
            raise ValueError(f"order_id must be that of a live order, got {order_id}")
        if order.cancelling:
            raise ValueError(f"order_id must not be under cancellation already, got {order_id}")
        order.cancelling = True
        if order.cancel_requested == NEVER:
            order.cancel_requested = self._clock.now
        self._request(order, cancel=True)

    def _request(self, order: Order, cancel: bool) -> None:
        now = self._clock.now
        latency, lost = self._latency.entry(now)
        if not lost:
            last = self._requests[-1][0] if self._requests else 0
            self._requests.append((max(now + latency, last), order, cancel))
        elif cancel:
            self._send(now + latency, order, CANCEL_REJECTED)
        else:
            order.state, order.reason = REJECTED, TECHNICAL
            self._send(now + latency, order, CLOSED)

    # Time

    def advance(self) -> bool:
        """Go to the next wake; False, without one, once no event is left.

        Requests and responses still under way then arrive before it returns.
        """
        clock, woken = self._clock, NEVER
        if clock.finished:
            return False
        if clock.started:
            woken = clock.now
            self._take_sample(last=False)
        elif self._events:
            clock.started = True
            clock.now = self._events[self._order[0]][0]
            clock.next_sample = clock.now
        first_received = self._local
        until = clock.now + self._interval if self._interval else FOREVER
        while True:
            times = self._next_times()
            time, source = min((time, source) for source, time in enumerate(times))
            if times[0] == times[2] == FOREVER:
                until = FOREVER  # answers to answers would never let the replay end
            if time == FOREVER:
                clock.finished = True
                clock.received = first_received, self._local
                self._take_sample(last=True)
                return False
            if time > until:
                clock.now = until
                clock.received = first_received, self._local
                return True
            clock.now = time
            (self._feed_in, self._response_in, self._happen, self._request_in)[source]()
            # One wake at one time: answers without latency would never let it pass.
            if source < 2 and not self._interval and time > woken:
                until = time

    def _next_times(self) -> tuple[int, int, int, int]:
        n = len(self._events)
        return (
            self._events[self._local][1] + self._feed if self._local < n else FOREVER,
            self._responses[0][0] if self._responses else FOREVER,
            self._events[self._order[self._exchange]][0] if self._exchange < n else FOREVER,
            self._requests[0][0] if self._requests else FOREVER,
        )

    def _feed_in(self) -> None:
        _, _, price, size, kind, side = self._events[self._local]
        self._local += 1
        book = self._book["local"]
        book.apply(kind, side, price, size)
        if book.price(1) and book.price(-1):
            self._account.mid2 = book.price(1) + book.price(-1)

    # The venue

    def _happen(self) -> None:
        _, _, price, size, kind, side = self._events[self._order[self._exchange]]
        self._exchange += 1
        book = self._book["exchange"]
        if kind == TRADE:
            self._trade(side, price, size)
        elif kind == CLEAR:
            book.clear(side, price)
        else:
            best = book.best[side]
            before = book.update(side, price, size)
            for resting in self._resting[side]:
                if resting.rank == side * price:
                    self._queue.depth(resting, before, size)
            if book.best[side] > best:
                self._cross(-side, -book.best[side])

    def _cross(self, side: int, rank: int) -> None:
        """The other side's best has come to `rank`: orders at it or better are filled."""
        for resting in self._resting[side]:
            if resting.rank >= rank:
                self._fill_resting(resting, resting.order.size)
        self._drop_filled(side)

    def _trade(self, aggressor: int, price: int, size: int) -> None:
        """A trade fills orders at better prices whole, and at its own by the queue."""
        side, rank = -aggressor, -aggressor * price
        left = size
        for resting in self._resting[side]:
            if resting.rank > rank:
                self._fill_resting(resting, resting.order.size)
            elif resting.rank == rank:
                # What an own order in front took was not taken from the others in the queue.
                reached = self._queue.trade(resting, size, left)
                left -= min(reached, resting.order.size - resting.order.filled)
                if reached:
                    self._fill_resting(resting, reached if self._partial else resting.order.size)
        self._drop_filled(side)

    def _fill_resting(self, resting: Resting, most: int) -> None:
        order = resting.order
        size = min(most, order.size - order.filled)
        self._fill(order, order.price, size, maker=True, ahead=resting.ahead)

    def _drop_filled(self, side: int) -> None:
        self._resting[side] = [r for r in self._resting[side] if r.order.state != FILLED]

    def _fill(self, order: Order, price: int, size: int, maker: bool, ahead: float) -> None:
        now = self._clock.now
        order.filled += size
        order.state = FILLED if order.filled == order.size else PARTIAL
        if order.state == FILLED:
            order.closed = now
        local = self._respond(order, FILL, len(self._fills))
        self._fills.append(
            [now, local, order.id, order.side, price, size, maker, order.size - order.filled]
        )
        self._aheads.append(ahead)

    def _request_in(self) -> None:
        _, order, cancel = self._requests.popleft()
        if cancel:
            self._cancel_in(order)
            return
        order.arrived = self._clock.now
        book = self._book["exchange"]
        opposite = book.best[-order.side]
        marketable = opposite != NOTHING and (
            order.kind == MARKET or order.side * order.price >= -opposite
        )
        if marketable and order.kind == POST_ONLY:
            self._close(order, REJECTED, CROSSES)
        elif marketable:
            self._take(order)
        elif order.kind in (IMMEDIATE, MARKET):
            self._close(order, EXPIRED, NO_DEPTH)
        else:
            self._rest(order)

    def _rest(self, order: Order) -> None:
        rank = order.side * order.price
        order.ahead = self._book["exchange"].size(order.side, order.price)
        order.state = OPEN
        queue = self._resting[order.side]
        queue.append(Resting(order, rank, float(order.ahead)))
        queue.sort(key=lambda resting: -resting.rank)
        self._respond(order, ACCEPTED)

    def _take(self, order: Order) -> None:
        """Walk the shown levels of the other side; they are left as they are.

        What cannot be filled expires: the book that is replayed would show again to the rest of
        the order the very lots that it has just taken.
        """
        book, side = self._book["exchange"], -order.side
        rank = book.best[side]
        while rank != NOTHING and order.filled < order.size:
            if order.kind != MARKET and order.side * order.price < -rank:
                break
            size = min(book.sizes[side][rank], order.size - order.filled)
            self._fill(order, side * rank, size, maker=False, ahead=0.0)
            rank = book._next(side, rank)
        if order.filled < order.size:
            self._close(order, EXPIRED, NO_DEPTH)

    def _cancel_in(self, order: Order) -> None:
        queue = self._resting[order.side]
        kept = [resting for resting in queue if resting.order is not order]
        if len(kept) == len(queue):
            self._respond(order, CANCEL_REJECTED)
            return
        self._resting[order.side] = kept
        self._close(order, CANCELLED, NO_REASON)

    def _close(self, order: Order, state: int, reason: int) -> None:
        order.state, order.reason, order.closed = state, reason, self._clock.now
        self._respond(order, CLOSED)

    def _respond(self, order: Order, message: int, fill: int = 0) -> int:
        now = self._clock.now
        return self._send(now + self._latency.response(now), order, message, fill)

    def _send(self, time: int, order: Order, message: int, fill: int = 0) -> int:
        last = self._responses[-1][0] if self._responses else 0
        time = max(time, last)
        self._responses.append((time, order, message, fill, order.state))
        return time

    # What comes back

    def _response_in(self) -> None:
        time, order, message, fill, state = self._responses.popleft()
        if message == CANCEL_REJECTED:
            order.cancels_rejected += 1
            order.cancelling = False
            return
        if order.acknowledged == NEVER:
            order.acknowledged = time
        if message == FILL:
            _, _, _, side, price, size, maker, _ = self._fills[fill]
            self._book_fill(side, price, size, maker)
            order.known_filled += size
        order.known_state = state
        if state in (FILLED, CANCELLED, REJECTED, EXPIRED):
            order.closed_locally = time
            self._live.remove(order)

    def _book_fill(self, side: int, price: int, size: int, maker: bool) -> None:
        account, value = self._account, price * size
        account.position += side * size
        account.cash -= side * value
        if maker:
            account.maker_value += value
        else:
            account.taker_value += value
        if max(abs(account.cash), account.maker_value, account.taker_value) > FOREVER:
            raise ValueError("events must trade less than 2**63 ticks x lots")

    # The record

    def _own_quotes(self) -> tuple[int, int]:
        quoted = {1: NOTHING, -1: NOTHING}
        for order in self._live:
            if order.kind in (LIMIT, POST_ONLY) and not order.cancelling:
                quoted[order.side] = max(quoted[order.side], order.side * order.price)
        bid, ask = quoted[1], quoted[-1]
        return 0 if bid == NOTHING else bid, 0 if ask == NOTHING else -ask

    def _take_sample(self, last: bool) -> None:
        clock, account = self._clock, self._account
        if not last:
            if clock.now < clock.next_sample:
                return
            if self._sample:
                steps = (clock.now - clock.next_sample) // self._sample + 1
                clock.next_sample += steps * self._sample
        self._series.append(
            [
                clock.now,
                *self._own_quotes(),
                account.mid2,
                account.position,
                account.cash,
                account.maker_value,
                account.taker_value,
            ]
        )

    def results(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Fills (f, 8), lots ahead at each fill (f,), orders (o, 16) and series (w, 8).

        A fill: exchange_ns, local_ns, order id, side, price, size, 1 as maker, lots left. An order:
        id, side, price, size, kind, times of submission, arrival, acknowledgement, first request to
        cancel, end at the venue, end as known (-1: never), lots filled, lots ahead when accepted,
        state, reason, cancels rejected. A row of the series: time, own bid, own ask (0: none),
        bid + ask of the book, position, cash, value traded as maker, as taker.
        """
        return (
            np.array(self._fills, np.int64).reshape(-1, FILL_COLUMNS),
            np.array(self._aheads, np.float64),
            np.array([o.row() for o in self._orders], np.int64).reshape(-1, ORDER_COLUMNS),
            np.array(self._series, np.int64).reshape(-1, SERIES_COLUMNS),
        )


def _side(value: Any) -> int:
    if check.count("side", value, -1) not in (1, -1):
        raise ValueError(f"side must be 1 or -1, got {value}")
    return value


def duration(name: str, value: Any) -> int:
    """Nanoseconds, not negative and below 2**53."""
    result = check.count(name, value, -FOREVER)
    if result < 0:
        raise ValueError(f"{name} must not be negative, got {result}")
    if result >= _LARGEST:
        raise ValueError(f"{name} must be below 2**53, got {result}")
    return result


# The quoter


class Quoter:
    """Quotes at offsets from a fair price that depend on the inventory."""

    def __init__(
        self, bid_offset: Any, ask_offset: Any, times: Any, order_size: Any, adjustment: Any
    ) -> None:
        bids = check.array("bid_offset", bid_offset, np.float64, ("t", "2Q + 1"))
        asks = check.array("ask_offset", ask_offset, np.float64, bids.shape)
        if not len(bids) or bids.shape[1] % 2 != 1:
            raise ValueError(f"bid_offset must have an odd number of columns, got {bids.shape}")
        for name, rows, limit in (("bid_offset", bids, -1), ("ask_offset", asks, 0)):
            for row, value in enumerate(rows[:, limit].tolist()):
                if not math.isnan(value):
                    raise ValueError(f"{name}[{row}] must end quoting at the limit with NaN")
            for row in np.flatnonzero(~(np.isnan(rows) | (np.abs(rows) < _LARGEST)).all(axis=1)):
                raise ValueError(f"{name}[{row}] must be finite or NaN")
        for row in np.flatnonzero((bids + asks <= 0).any(axis=1)):
            raise ValueError(f"ask_offset[{row}] must leave a positive spread")
        starts = check.array("times", times, np.int64, (len(bids),))
        for row in np.flatnonzero(np.diff(starts) <= 0):
            raise ValueError(f"times[{row + 1}] must be after the one in front of it")
        table = check.array("adjustment", adjustment, np.float64, ("spreads", "buckets"))
        if not (np.abs(table) < _LARGEST).all():
            raise ValueError("adjustment must be finite")
        self.offsets = {1: bids.tolist(), -1: asks.tolist()}
        self.times = starts.tolist()
        self.size = check.count("order_size", order_size, 1)
        self.most = bids.shape[1] // 2
        if self.most * self.size >= _LARGEST:
            raise ValueError(f"order_size must keep the limit below 2**53, got {self.size}")
        self.adjustment = table.tolist()

    def fair(self, bid: int, bid_size: int, ask: int, ask_size: int) -> float:
        """The fair price in ticks."""
        middle = float(bid + ask) / 2.0
        if not self.adjustment or not self.adjustment[0]:
            return middle
        row = self.adjustment[min(ask - bid, len(self.adjustment)) - 1]
        share = float(bid_size) / float(bid_size + ask_size)
        return middle + row[min(int(share * len(row)), len(row) - 1)]

    def wish(self, engine: ReplayEngine, side: int) -> int:
        """The price wanted on a side; 0 for none."""
        bid, bid_size, ask, ask_size = engine.quotes
        if not bid or not ask:
            return 0
        # A unit held in part counts whole against the side that would add to it.
        units = side * -(-(side * engine.position) // self.size)
        if abs(units) > self.most:
            return 0
        row = self.offsets[side][_last_row(self.times, engine.time_ns)]
        offset = row[units + self.most]
        if math.isnan(offset):
            return 0
        fair = self.fair(bid, bid_size, ask, ask_size)
        if side == 1:
            return max(min(math.floor(fair - offset), ask - 1), 0)
        return max(math.ceil(fair + offset), bid + 1)

    def act(self, engine: ReplayEngine) -> None:
        """Cancel and send orders until the quotes wanted are out."""
        missing = [(side, self._cancel(engine, side)) for side in (1, -1)]
        for side, price in missing:
            if price:
                engine.submit(side, price, self.size, POST_ONLY)

    def _cancel(self, engine: ReplayEngine, side: int) -> int:
        """Cancel what is not wanted; the price at which a quote is missing, or 0."""
        price = self.wish(engine, side)
        exposure = side * engine.position
        quoted = False
        for order in list(engine._live):
            if order.side != side:
                continue
            exposure += order.size - order.known_filled
            if order.cancelling:
                continue
            if price and order.price == price:
                quoted = True
            elif order.known_state != PENDING:
                engine.cancel(order.id)
        room = exposure + self.size <= self.most * self.size
        return price if room and not quoted else 0


def replay(
    events: NDArray,
    feed_ns: int,
    entry: NDArray[np.int64],
    response: NDArray[np.int64],
    interpolate: bool,
    queue: str,
    exponent: float,
    unit: float,
    partial_fills: bool,
    interval_ns: int,
    sample_ns: int,
    bid_offset: NDArray[np.float64],
    ask_offset: NDArray[np.float64],
    times: NDArray[np.int64],
    order_size: int,
    adjustment: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """A replay of the quoter; the results are those of `ReplayEngine`, whose arguments lead.

    Parameters
    ----------
    bid_offset, ask_offset : ndarray of float64, shape (t, 2Q + 1)
        Ticks from the fair price by inventory -Q..Q; NaN: no quote. A row holds from its time on.
    times : ndarray of int64, shape (t,)
    order_size : int
        Lots of an order and of a step of the inventory.
    adjustment : ndarray of float64, shape (spreads, buckets)
        Ticks from mid to fair price by spread in ticks (from 1; the last row beyond) and by the
        bid's share of the size at the touch, in even buckets. Empty: none.
    """
    quoter = Quoter(bid_offset, ask_offset, times, order_size, adjustment)
    engine = ReplayEngine(
        events,
        feed_ns,
        entry,
        response,
        interpolate,
        queue,
        exponent,
        unit,
        partial_fills,
        interval_ns,
        sample_ns,
    )
    while engine.advance():
        quoter.act(engine)
    return engine.results()
