"""A matching engine: limit order books with price-time priority.

Prices are whole ticks, sizes whole lots, times UTC nanoseconds; side is 1 to buy, -1 to sell. What
comes out are the events that a venue publishes, so that a book made here can be replayed as a
recorded one is. Orders have no owner: what trades with itself is not prevented.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labkit._backend import kernels
from labkit._events import CLEAR, EVENT_DTYPE, SNAPSHOT, Instrument, Recording
from labkit.reference import matching as codes

__all__ = [
    "FLAGS",
    "KINDS",
    "REASONS",
    "REQUEST_DTYPE",
    "STATES",
    "Answer",
    "Matched",
    "MatchingEngine",
    "Order",
    "Trade",
    "match",
    "snapshot",
]

#: Words for what a request asks, and their codes.
KINDS = {
    "limit": codes.LIMIT,
    "market": codes.MARKET,
    "cancel": codes.CANCEL,
    "modify": codes.MODIFY,
}
#: Words for what an order must not do, and their codes.
FLAGS = {
    "": 0,
    "post-only": codes.POST_ONLY,
    "immediate-or-cancel": codes.IMMEDIATE_OR_CANCEL,
    "fill-or-kill": codes.FILL_OR_KILL,
}
#: What can become of a request.
STATES = ("accepted", "filled", "resting", "cancelled", "rejected")
#: Why all or the rest of a request was not done.
REASONS = (
    "",
    "duplicate id",
    "unknown id",
    "not resting",
    "price out of range",
    "size out of range",
    "would cross",
    "cannot fill",
    "no liquidity",
)

#: One request.
REQUEST_DTYPE = np.dtype(
    [
        ("time_ns", "i8"),  # arrival at the engine, never falling
        ("id", "i8"),  # of the order, chosen by the sender, used once
        ("price", "i8"),  # ticks; not read of a market order or cancel
        ("size", "i8"),  # lots; of a modify the new open size; not read of a cancel
        ("kind", "u1"),  # a value of KINDS
        ("side", "i1"),  # 1 buy, -1 sell; not read of a cancel or modify
        ("flags", "u1"),  # a value of FLAGS
    ],
    align=True,
)
REQUEST_COLUMNS = ("time_ns", "id", "kind", "side", "price", "size", "flags")
BOOK_COLUMNS = ("id", "side", "price", "size")
BOOK_TYPES = {"id": np.int64, "side": np.int8, "price": np.int64, "size": np.int64}
TRADE_COLUMNS = ("time_ns", "maker", "taker", "price", "size", "side")
SUMS = ("submitted", "filled", "resting", "cancelled")


class Trade(NamedTuple):
    """A trade: the resting order's id, the taker's id, and the taker's side."""

    time_ns: int
    maker: int
    taker: int
    price: int
    size: int
    side: int


class Order(NamedTuple):
    """What has become of an order; ``submitted == filled + resting + cancelled``."""

    id: int
    side: int
    price: int
    state: str
    reason: str
    submitted: int
    filled: int
    resting: int
    cancelled: int


class Answer(NamedTuple):
    """What one request led to.

    `state` is that of the order entered, or ``"accepted"`` or ``"rejected"`` for a cancel or
    modify; `reason` says why all or the rest of it was not done; `events` is what is published.
    """

    id: int
    state: str
    reason: str
    trades: list[Trade]
    events: NDArray


@dataclass(frozen=True, eq=False)
class Matched:
    """What a matching engine makes of requests.

    Attributes
    ----------
    trades : DataFrame
        `time_ns`, ids `maker` and `taker`, `price` (of the maker, ticks), `size` (lots), `side`
        (of the taker), in order.
    orders : DataFrame
        One row for each request, in the same order: `id`, `kind`, `state`, `reason`, and in lots
        ``submitted == filled + resting + cancelled + rejected`` of the order that it entered, at
        the end. The numbers are 0 for a cancel or modify, whose state is ``"accepted"`` or
        ``"rejected"``; what these change is booked on the order. `submitted` grows where an order
        was modified to a larger size, `cancelled` where to a smaller one.
    events : ndarray of EVENT_DTYPE
        What a venue publishes: for each level that a taker meets its trades, then its new size;
        then the level in which the rest of the order stays. There is no feed latency:
        ``local_ns == exchange_ns``.
    book : DataFrame
        The orders that rest at the end, `id`, `side`, `price`, `size` (open): bids from the best
        level on, then asks, each level in order of priority. `match` takes it as `book`.
    instrument : Instrument or None
    """

    trades: pd.DataFrame
    orders: pd.DataFrame
    events: NDArray
    book: pd.DataFrame
    instrument: Instrument | None = None

    @property
    def recording(self) -> Recording:
        """The events with their instrument.

        Raises
        ------
        ValueError
            `match` was given no instrument.
        """
        if self.instrument is None:
            raise ValueError("instrument must be given to match for a recording of its events")
        return Recording(self.instrument, self.events)


def match(
    orders: pd.DataFrame | NDArray,
    *,
    instrument: Instrument | None = None,
    book: pd.DataFrame | NDArray | None = None,
) -> Matched:
    """Match requests with price-time priority, in the order given.

    A taker trades with the best opposite level first, at the price of the resting order, and
    within a level with the oldest order first. What a limit order leaves rests; what a market or
    immediate-or-cancel order leaves is cancelled (reason ``"no liquidity"``). A modify that keeps
    the price and does not raise the size keeps its place in the queue; any other is a cancel and a
    new limit order under the same id, which may trade. No book is ever crossed.

    What a venue rejects is rejected with a reason in `Matched.orders`, and changes nothing: an id
    that an accepted order had before; a cancel or modify of an unknown or finished order; a price
    or size that is not from 1 to 2**40; a post-only order that would trade; a fill-or-kill order
    that would not trade in full.

    Parameters
    ----------
    orders : DataFrame or structured ndarray, shape (n,)
        Requests with the columns of REQUEST_DTYPE. In a DataFrame `kind` and `flags` may be words
        (the keys of KINDS and FLAGS), and `flags` may be absent. Post-only goes with limit and
        modify, immediate-or-cancel and fill-or-kill with limit and market.
    instrument : Instrument, optional
        Goes into `Matched.recording`.
    book : DataFrame or structured ndarray, optional
        Orders that rest at the start, as in `Matched.book`. Their ids count as used; they have no
        row in `Matched.orders`.

    Returns
    -------
    Matched

    Raises
    ------
    TypeError, ValueError
        The table is malformed: a column is absent or holds no whole numbers, times fall, a kind,
        side or flag does not exist, flags do not go with the kind, or `book` is crossed, names an
        id twice, or holds a price or size out of range; sizes come to 2**63 lots in all; or
        `instrument` is no Instrument. Then no request is worked through.

    Examples
    --------
    >>> requests = pd.DataFrame(
    ...     [
    ...         (1, 10, "limit", -1, 101, 5),
    ...         (2, 11, "limit", -1, 101, 3),
    ...         (3, 12, "limit", 1, 102, 6),
    ...     ],
    ...     columns=["time_ns", "id", "kind", "side", "price", "size"],
    ... )
    >>> matched = match(requests)
    >>> matched.trades[["maker", "price", "size"]].to_numpy().tolist()
    [[10, 101, 5], [11, 101, 1]]
    >>> matched.orders["state"].to_list()
    ['filled', 'resting', 'filled']
    """
    if instrument is not None and not isinstance(instrument, Instrument):
        raise TypeError(f"instrument must be an Instrument, got {type(instrument).__name__}")
    columns = _requests(orders)
    engine = _engine(book)
    trades, events, status = engine.process(*columns.values())
    return Matched(
        trades=pd.DataFrame(dict(zip(TRADE_COLUMNS, trades, strict=True)), copy=False),
        orders=_orders(columns, status),
        events=_events(events),
        book=_resting(engine),
        instrument=instrument,
    )


def snapshot(book: pd.DataFrame | NDArray, time_ns: int) -> NDArray:
    """The events that publish a whole book: CLEAR, then a SNAPSHOT row for each level.

    Parameters
    ----------
    book : DataFrame or structured ndarray
        As in `Matched.book`.
    time_ns : int
        Stamp of every row.

    Returns
    -------
    ndarray of EVENT_DTYPE
        Bids from the best level on, then asks.

    Raises
    ------
    TypeError, ValueError
        As `match` of its `book`; `time_ns` is no integer.
    """
    return _snapshot(_engine(book), _integer("time_ns", time_ns))


class MatchingEngine:
    """The engine of `match`, one request at a time.

    Parameters
    ----------
    book : DataFrame or structured ndarray, optional
        Orders that rest at the start, as in `Matched.book`.

    Raises
    ------
    TypeError, ValueError
        As `match` of its `book`.

    Examples
    --------
    >>> engine = MatchingEngine()
    >>> engine.submit(-1, 5, 101).state
    'resting'
    >>> [trade.price for trade in engine.submit(1, 2).trades], engine.levels(-1)
    ([101], [(101, 3)])
    """

    def __init__(self, book: pd.DataFrame | NDArray | None = None) -> None:
        self._engine = _engine(book)
        self._time_ns = 0
        self._next_id = int(max(self._engine.resting()[0], default=0)) + 1

    @property
    def time_ns(self) -> int:
        """Time of the last request, 0 before the first."""
        return self._time_ns

    @property
    def book(self) -> pd.DataFrame:
        """The resting orders, as `Matched.book`."""
        return _resting(self._engine)

    def submit(
        self,
        side: int,
        size: int,
        price: int | None = None,
        *,
        flags: str = "",
        id: int | None = None,
        time_ns: int | None = None,
    ) -> Answer:
        """Enter a limit order, or a market order where there is no `price`.

        Parameters
        ----------
        side : int
            1 to buy, -1 to sell.
        size, price : int
            Lots and ticks.
        flags : str
            A key of FLAGS.
        id : int, optional
            One above the largest id so far.
        time_ns : int, optional
            The time of the last request.

        Raises
        ------
        TypeError, ValueError
            An argument is no integer, the side or flag does not exist, the flag does not go with
            the order, the time is before that of the last request, or no id is above the largest.
        """
        kind = "limit" if price is not None else "market"
        if id is None and self._next_id == 2**63:
            raise ValueError("id must be given: none is above the largest so far, 2**63 - 1")
        name = self._next_id if id is None else _integer("id", id)
        price = 0 if price is None else _integer("price", price)
        sizes = _integer("side", side), price, _integer("size", size)
        return self._request(kind, name, *sizes, flags, time_ns)

    def cancel(self, id: int, *, time_ns: int | None = None) -> Answer:
        """Take a resting order out; errors as in `submit`."""
        return self._request("cancel", _integer("id", id), 0, 0, 0, "", time_ns)

    def modify(
        self, id: int, size: int, price: int, *, flags: str = "", time_ns: int | None = None
    ) -> Answer:
        """Give a resting order a new open size and price; errors as in `submit`."""
        sizes = 0, _integer("price", price), _integer("size", size)
        return self._request("modify", _integer("id", id), *sizes, flags, time_ns)

    def order(self, id: int) -> Order:
        """What has become of an order.

        Raises
        ------
        ValueError
            No order was taken under that id.
        """
        side, price, state, reason, *sums = self._engine.order(id)
        return Order(operator.index(id), side, price, STATES[state], REASONS[reason], *sums)

    def levels(self, side: int, depth: int = 1) -> list[tuple[int, int]]:
        """Price and size of the best `depth` levels of a side, best first.

        Raises
        ------
        TypeError, ValueError
            `side` is not 1 or -1, or `depth` no integer that is not negative.
        """
        prices, sizes = self._engine.levels(side, depth)
        return list(zip(prices.tolist(), sizes.tolist(), strict=True))

    def snapshot(self) -> NDArray:
        """The events that publish the whole book, stamped with the time of the last request."""
        return _snapshot(self._engine, self._time_ns)

    def _request(
        self, kind: str, id: int, side: int, price: int, size: int, flags: str, time_ns: int | None
    ) -> Answer:
        time_ns = self._time_ns if time_ns is None else _integer("time_ns", time_ns)
        if time_ns < self._time_ns:
            raise ValueError(f"time_ns must not be before {self._time_ns}, got {time_ns}")
        if flags not in FLAGS:
            raise ValueError(f"flags must be one of {list(FLAGS)}, got {flags!r}")
        if kind in ("limit", "market") and side not in (1, -1):
            raise ValueError(f"side must be 1 or -1, got {side}")
        fields = (time_ns, id, KINDS[kind], side, price, size, FLAGS[flags])
        row = {
            name: np.array([field], REQUEST_DTYPE[name])
            for name, field in zip(REQUEST_COLUMNS, fields, strict=True)
        }
        trades, events, status = self._engine.process(*row.values())
        self._time_ns = time_ns
        self._next_id = max(self._next_id, id + 1)
        rows = zip(*(column.tolist() for column in trades), strict=True)
        return Answer(
            id,
            STATES[status[0][0]],
            REASONS[status[1][0]],
            [Trade(*row) for row in rows],
            _events(events),
        )


def _integer(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name} must be below 2**63, got {number}")
    return number


def _column(name: str, values: Any, dtype: np.dtype) -> NDArray:
    """Whole numbers of a type, contiguous."""
    column = np.asarray(values)
    if column.size and column.dtype.kind not in "iu":  # an empty table has columns of objects
        raise TypeError(f"{name} must hold whole numbers, got {column.dtype}")
    result = np.ascontiguousarray(column, dtype)
    wrong = result != column
    if wrong.any():
        raise ValueError(f"{name} must be of {result.dtype}, got {column[wrong][0]}")
    return result


def _words(name: str, values: Any, words: Mapping[str, int]) -> Any:
    """Codes of words; what holds no words is left as it is."""
    column = pd.Series(values)
    if pd.api.types.is_numeric_dtype(column):
        return values
    numbers = column.astype(object).map(words)
    if numbers.isna().any():
        raise ValueError(
            f"{name} must be one of {list(words)}, got {column[numbers.isna()].iloc[0]!r}"
        )
    return numbers.to_numpy(np.int64)


def _field(name: str, table: Any, column: str) -> Any:
    if isinstance(table, pd.DataFrame):
        known = table.columns
    elif isinstance(table, np.ndarray) and table.dtype.names and table.ndim == 1:
        known = table.dtype.names
    else:
        raise TypeError(f"{name} must be a DataFrame or a structured vector")
    if column not in known:
        raise ValueError(f"{name} has no column {column!r}")
    return table[column].to_numpy() if isinstance(table, pd.DataFrame) else table[column]


def _requests(orders: Any) -> dict[str, NDArray]:
    if isinstance(orders, pd.DataFrame) and "flags" not in orders.columns:
        orders = orders.assign(flags=0)
    columns = {}
    for name in REQUEST_COLUMNS:
        values, place = _field("orders", orders, name), f"orders[{name!r}]"
        if name in ("kind", "flags"):
            values = _words(place, values, KINDS if name == "kind" else FLAGS)
        columns[name] = _column(place, values, REQUEST_DTYPE[name])
    return columns


def _engine(book: Any) -> Any:
    """A kernel engine that holds the orders of a book."""
    if book is None:
        return kernels.MatchingEngine(*(np.empty(0, dtype) for dtype in BOOK_TYPES.values()))
    columns = [
        _column(f"book[{name!r}]", _field("book", book, name), np.dtype(dtype))
        for name, dtype in BOOK_TYPES.items()
    ]
    try:
        return kernels.MatchingEngine(*columns)
    except ValueError as error:
        raise ValueError(f"book: {error}") from None


def _resting(engine: Any) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(BOOK_COLUMNS, engine.resting(), strict=True)), copy=False)


def _orders(columns: Mapping[str, NDArray], status: tuple[NDArray, ...]) -> pd.DataFrame:
    state, reason, *sums = status
    table = {
        "id": columns["id"],
        # The codes of KINDS begin at 1.
        "kind": pd.Categorical.from_codes(columns["kind"].astype(np.int8) - 1, list(KINDS)),
        "state": pd.Categorical.from_codes(state.astype(np.int8), STATES),
        "reason": pd.Categorical.from_codes(reason.astype(np.int8), REASONS),
        **dict(zip(SUMS, sums, strict=True)),
        "rejected": np.where(state == codes.REJECTED, sums[0], 0),
    }
    return pd.DataFrame(table, copy=False)


def _events(columns: tuple[NDArray, ...]) -> NDArray:
    events = np.zeros(len(columns[0]), EVENT_DTYPE)
    events["exchange_ns"] = events["local_ns"] = columns[0]
    for name, column in zip(("price", "size", "kind", "side"), columns[1:], strict=True):
        events[name] = column
    return events


def _snapshot(engine: Any, time_ns: int) -> NDArray:
    sides = [(side, *engine.levels(side, 2**62)) for side in (1, -1)]
    events = np.zeros(1 + sum(len(prices) for _, prices, _ in sides), EVENT_DTYPE)
    events["exchange_ns"] = events["local_ns"] = time_ns
    events["kind"] = SNAPSHOT
    events[0]["kind"] = CLEAR
    events["price"][1:] = np.concatenate([prices for _, prices, _ in sides])
    events["size"][1:] = np.concatenate([sizes for _, _, sizes in sides])
    events["side"][1:] = np.concatenate([np.full(len(p), side) for side, p, _ in sides])
    return events
