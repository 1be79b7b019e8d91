"""Replay of a strategy on recorded events: latency, queue, fills, accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labkit import _validate as valid
from labkit._backend import kernels
from labkit._events import TRADE, Instrument, Recording
from labkit.reference import _checks as check
from labkit.reference._replay import duration

__all__ = [
    "Cancel",
    "ConstantLatency",
    "FeedLatency",
    "Fees",
    "InventoryQuoter",
    "LiveOrder",
    "ProbabilityQueue",
    "RecordedLatency",
    "Replay",
    "RiskAverseQueue",
    "State",
    "Submit",
    "replay",
]

KINDS = ("limit", "post_only", "immediate_or_cancel", "market")
STATES = ("pending", "open", "partially_filled", "filled", "cancelled", "rejected", "expired")
REASONS = ("", "would_cross", "technical", "no_depth")


# Latency of orders


_Tables = tuple[NDArray[np.int64], NDArray[np.int64], bool]
_LARGEST = 2**53  # latencies: what the kernel counts in float64
_LATEST = 2**62


@dataclass(frozen=True)
class ConstantLatency:
    """The same latency for every order.

    Attributes
    ----------
    entry_ns : int
        From the request to the venue.
    response_ns : int
        From the venue to the response's receipt.

    Raises
    ------
    TypeError, ValueError
        A latency is no integer, negative, or both together are 2**53 ns or more.
    """

    entry_ns: int
    response_ns: int

    def __post_init__(self) -> None:
        for name in ("entry_ns", "response_ns"):
            value = check.count(name, getattr(self, name), 0)
            if value >= _LARGEST:
                raise ValueError(f"{name} must be below 2**53, got {value}")
            object.__setattr__(self, name, value)
        if self.entry_ns + self.response_ns >= _LARGEST:
            raise ValueError(
                f"response_ns must keep the round trip below 2**53, got {self.response_ns}"
            )

    def tables(self, recording: Recording, feed_ns: int) -> _Tables:
        """Latency of requests and of responses over time, as the kernel reads them."""
        entry = [[0, self.entry_ns, self.entry_ns + self.response_ns]]
        return np.array(entry), np.array([[0, self.response_ns]]), False


@dataclass(frozen=True, eq=False)
class RecordedLatency:
    """Latencies of orders that were really sent.

    A request at time t has the entry latency of the last row requested at or before t, a response
    the response latency of the last row that the venue processed at or before its time; before the
    first row that of the first. With `interpolate` latencies between two rows change linearly,
    which looks ahead to the later row. A row that the venue never processed stands for a technical
    rejection: requests that it speaks for (interpolating: those between it and a neighbour) are
    lost, which is known after its time to the response.

    Attributes
    ----------
    table : ndarray of int64, shape (m, 3)
        Request, exchange and response time of each order, UTC nanoseconds, by request time; an
        exchange time that is not positive marks a lost one.
    interpolate : bool

    Raises
    ------
    TypeError, ValueError
        The table has not this shape and order, no order reached the venue, a latency is negative
        or 2**53 ns or more, a request is before 1970, or `interpolate` is no bool.
    """

    table: ArrayLike
    interpolate: bool = False

    def __post_init__(self) -> None:
        rows = np.asarray(self.table)
        if rows.dtype.kind not in "iu":
            raise TypeError(f"table must hold integers, got {rows.dtype}")
        rows = rows.astype(np.int64)
        if rows.ndim != 2 or rows.shape[1] != 3:
            raise ValueError(f"table must have shape (m, 3), got {rows.shape}")
        request, exchange, response = rows.T
        reached = exchange > 0
        if not reached.any():
            raise ValueError("table must have an order that reached the venue")
        if (np.diff(request) < 0).any() or (np.diff(exchange[reached]) < 0).any():
            raise ValueError("table must be in order of request and of exchange time")
        late = np.where(reached, (exchange < request) | (response < exchange), response < request)
        if late.any():
            row = int(np.flatnonzero(late)[0])
            raise ValueError(f"table[{row}] must have no negative latency, got {rows[row]}")
        fits = (request >= 0) & (rows < _LATEST).all(axis=1) & (response - request < _LARGEST)
        if not fits.all():
            row = int(np.argmin(fits))
            raise ValueError(
                f"table[{row}] must have times from 0 to 2**62 and latencies below 2**53, "
                f"got {rows[row]}"
            )
        object.__setattr__(self, "interpolate", valid.flag("interpolate", self.interpolate))
        rows.flags.writeable = False
        object.__setattr__(self, "table", rows)

    def tables(self, recording: Recording, feed_ns: int) -> _Tables:
        """Latency of requests and of responses over time, as the kernel reads them."""
        request, exchange, response = np.asarray(self.table).T
        reached = exchange > 0
        entry = np.where(reached, exchange - request, -1)
        return (
            np.column_stack([request, entry, response - request]),
            np.column_stack([exchange, response - exchange])[reached],
            self.interpolate,
        )


@dataclass(frozen=True)
class FeedLatency:
    """Latencies of orders in proportion to those of the feed.

    A request takes `entry_factor` times the latency of the last event received when it is sent, a
    response `response_factor` times that of the last event at the venue; `feed_ns` of the replay
    is part of it. Delays of a feed and of
    orders have common causes; that they are proportional is an assumption.

    Attributes
    ----------
    entry_factor, response_factor : float

    Raises
    ------
    TypeError, ValueError
        A factor is not positive and finite.
    """

    entry_factor: float = 1.0
    response_factor: float = 1.0

    def __post_init__(self) -> None:
        for name in ("entry_factor", "response_factor"):
            object.__setattr__(self, name, valid.positive(name, getattr(self, name)))

    def tables(self, recording: Recording, feed_ns: int) -> _Tables:
        """Latency of requests and of responses over time, as the kernel reads them."""
        exchange = recording.events["exchange_ns"]
        received = recording.events["local_ns"] + feed_ns
        # The kernel refuses events received before they happened, by their row.
        delay = np.maximum(received - exchange, 0)
        longest = int(delay.max(initial=0))
        for name in ("entry_factor", "response_factor"):
            if 2 * getattr(self, name) * longest >= _LARGEST:
                raise ValueError(
                    f"{name} must keep latencies below 2**52 ns, got {getattr(self, name)} "
                    f"times {longest} ns"
                )
        order = np.argsort(exchange, kind="stable")
        entry, response = (
            np.rint(factor * delay).astype(np.int64)
            for factor in (self.entry_factor, self.response_factor)
        )
        return (
            np.column_stack([received, entry, entry + response]),
            np.column_stack([exchange, response])[order],
            False,
        )


# The queue


@dataclass(frozen=True)
class RiskAverseQueue:
    """Only trades at its price move an order up, and a level smaller than what was in front."""

    kind = "risk_averse"
    exponent = 1.0


@dataclass(frozen=True)
class ProbabilityQueue:
    """Other decreases of the level move an order up too, by its place in the queue.

    Of what left the level without a trade, the share p left it behind the order. With the lots in
    front and behind, F and B, and ``f(x) = x**exponent`` or ``f(x) = log(1 + x)`` (x in base
    units):

    ========  ================================  =====
    kind      p                                 f
    ========  ================================  =====
    power     ``f(B) / (f(B) + f(F))``          power
    power2    ``f(B) / f(B + F)``               power
    power3    ``1 - f(F / (F + B))``            power
    log       ``f(B) / (f(B) + f(F))``          log
    log2      ``f(B) / f(B + F)``               log
    ========  ================================  =====

    Trades since the level last changed are not counted again when it does. What would be taken
    from behind beyond B is taken from the front. After E. Rigtorp, "Estimating order queue
    position" (2013), and the models of hftbacktest.

    Attributes
    ----------
    kind : str
    exponent : float
        Of the power models.

    Raises
    ------
    TypeError, ValueError
        The kind is unknown or the exponent not positive and finite.
    """

    kind: Literal["power", "power2", "power3", "log", "log2"] = "power"
    exponent: float = 1.0

    def __post_init__(self) -> None:
        kinds = ("power", "power2", "power3", "log", "log2")
        if self.kind not in kinds:
            raise ValueError(f"kind must be one of {', '.join(kinds)}, got {self.kind!r}")
        object.__setattr__(self, "exponent", valid.positive("exponent", self.exponent))


@dataclass(frozen=True)
class Fees:
    """Fees on the value traded.

    Attributes
    ----------
    maker, taker : float
        Rates; a rebate is negative.

    Raises
    ------
    TypeError, ValueError
        A rate is not finite.
    """

    maker: float
    taker: float

    def __post_init__(self) -> None:
        for name in ("maker", "taker"):
            object.__setattr__(self, name, valid.finite(name, getattr(self, name)))


# Strategies


@dataclass(frozen=True, eq=False)
class InventoryQuoter:
    """A bid and an ask at offsets from a fair price that depend on the inventory.

    At each wake, with the book as received and the position q as known, in units of `order_size`::

        fair = (best bid + best ask) / 2 + adjustment[spread - 1, bucket]
        bid  = floor(fair - bid_offset[q]),  at most one tick below the best ask
        ask  = ceil(fair + ask_offset[q]),   at least one tick above the best bid

    A unit held in part counts as whole on the side that would add to it. An order at the wished
    price stays; the side's others that are acknowledged are cancelled; a new one, post-only, is
    sent unless the position and all own orders of the side not known to be closed could then
    break the limit of Q units. Cancellations of both sides go out before new orders. Without a bid
    or an ask in the book all orders are cancelled.

    Avellaneda-Stoikov and Gueant-Lehalle-Fernandez-Tapia quotes, a fixed spread and quotes around
    a micro-price are all of this form.

    Attributes
    ----------
    bid_offset, ask_offset : ndarray, shape (2Q + 1,) or (t, 2Q + 1)
        Ticks, by inventory -Q..Q; NaN for no quote. The last bid and the first ask are NaN, and
        their sum is positive where both are numbers.
    order_size : int
        Lots.
    interval_ns : int or None
        Between wakes; None: at each event or response received.
    times : ndarray of int64, shape (t,), optional
        Needed with rows of offsets: UTC nanoseconds from which each row holds. The first one holds
        before, too.
    adjustment : ndarray, shape (spreads, buckets), optional
        Ticks. The last row holds for wider spreads, too. Bucket k of K is where the bid's share of
        the size at the touch is in [k / K, (k + 1) / K).

    Raises
    ------
    TypeError, ValueError
        Here for wrong types and shapes and an `order_size` below 1; other values that do not fit
        are refused by `replay`.
    """

    bid_offset: ArrayLike
    ask_offset: ArrayLike
    order_size: int
    interval_ns: int | None
    times: ArrayLike | None = None
    adjustment: ArrayLike | None = None

    def __post_init__(self) -> None:
        for name in ("bid_offset", "ask_offset"):
            object.__setattr__(self, name, np.atleast_2d(valid.numbers(name, getattr(self, name))))
        object.__setattr__(self, "order_size", check.count("order_size", self.order_size, 1))
        bids, asks = self.bid_offset, self.ask_offset
        if bids.shape != asks.shape or bids.ndim != 2:
            raise ValueError(f"ask_offset must have the shape {bids.shape}, got {asks.shape}")
        if self.times is None and len(bids) != 1:
            raise ValueError(f"times must say when each of {len(bids)} rows holds, got None")
        times = np.array([0]) if self.times is None else np.asarray(self.times)
        if times.dtype.kind not in "iu":
            raise TypeError(f"times must hold integers, got {times.dtype}")
        object.__setattr__(self, "times", times.astype(np.int64))
        table = np.empty((0, 0)) if self.adjustment is None else self.adjustment
        object.__setattr__(self, "adjustment", valid.array("adjustment", table, (None, None)))

    def arguments(self) -> tuple[Any, ...]:
        """What the kernel reads."""
        return self.bid_offset, self.ask_offset, self.times, self.order_size, self.adjustment


class LiveOrder(NamedTuple):
    """An own order not known to be closed."""

    order_id: int
    side: int
    price: int
    size: int
    filled: int
    state: str
    cancelling: bool
    submitted_ns: int


class Submit(NamedTuple):
    """Send a new order: side 1 or -1, ticks (0 for a market order, and only there), lots."""

    side: int
    price: int
    size: int
    kind: Literal["limit", "post_only", "immediate_or_cancel", "market"] = "limit"


class Cancel(NamedTuple):
    """Ask for the cancellation of a live order."""

    order_id: int


class State:
    """What a strategy knows at a wake; valid during the call.

    Attributes
    ----------
    time_ns : int
        Now, on the clock of receipt.
    position : int
        Lots.
    cash : int
        Ticks x lots, before fees.
    bid, bid_size, ask, ask_size : int
        Best quotes in ticks and lots; 0 where a side is empty.
    orders : list of LiveOrder
        Own orders not known to be closed, oldest first.
    trades : ndarray of EVENT_DTYPE
        Trades received since the previous wake.
    """

    def __init__(self, engine: Any, recording: Recording) -> None:
        self._engine = engine
        self._recording = recording

    @property
    def time_ns(self) -> int:
        return self._engine.time_ns

    @property
    def position(self) -> int:
        return self._engine.position

    @property
    def cash(self) -> int:
        return self._engine.cash

    @property
    def bid(self) -> int:
        return self._engine.quotes[0]

    @property
    def bid_size(self) -> int:
        return self._engine.quotes[1]

    @property
    def ask(self) -> int:
        return self._engine.quotes[2]

    @property
    def ask_size(self) -> int:
        return self._engine.quotes[3]

    @property
    def orders(self) -> list[LiveOrder]:
        return [
            LiveOrder(order, side, price, size, filled, STATES[state], bool(cancelling), time)
            for order, side, price, size, filled, state, cancelling, time in (
                self._engine.live_orders().tolist()
            )
        ]

    @property
    def trades(self) -> NDArray:
        first, end = self._engine.received
        events = self._recording.events[first:end]
        return events[events["kind"] == TRADE]

    def depth(self, side: int, price: int) -> int:
        """Lots at a level of the book as received."""
        return self._engine.size_at(side, price)


Action = Submit | Cancel
Strategy = InventoryQuoter | Callable[[State], Iterable[Action] | None]


# The result


@dataclass(frozen=True, eq=False, repr=False)
class Replay:
    """What a strategy did and what came of it.

    Attributes
    ----------
    instrument : Instrument
    fills : DataFrame
        In order of the venue: `exchange_ns`, `local_ns` (when it was known), `order_id`, `side`,
        `ticks`, `lots`, `price`, `size` (quote and base units), `maker`, `fee` (quote units),
        `left` (lots of the order) and `ahead` (lots still estimated in front of it: 0 for a taker
        and where a trade at its price filled it; where the price went through it 0 or more).
    orders : DataFrame, by order id
        `side`, `ticks`, `lots`, `kind`; the times `submitted_ns`, `arrived_ns` (at the venue),
        `acknowledged_ns` (first response known), `cancel_requested_ns` (first), `closed_ns` (at
        the venue) and `closed_local_ns` (known), -1 for never; `filled` (lots), `ahead` (lots at
        its level when it was accepted, -1 if it never rested), `state`, `reason` of a rejection or
        expiry, `cancels_rejected`.
    series : DataFrame, by time of receipt
        After each wake (or those on the grid of `sample_ns`) and at the end: own best `bid` and
        `ask` of limit and post-only orders not asked to be cancelled (NaN: none), `mid` (the last
        one known), and as known `position`, `cash` before fees, `fees` and
        ``equity = cash + position * mid - fees``.
    cash_units : int
        Cash at the end before fees in ticks x lots, exact.
    """

    instrument: Instrument
    fills: pd.DataFrame
    orders: pd.DataFrame
    series: pd.DataFrame
    cash_units: int

    @property
    def equity(self) -> pd.Series:
        """Value of cash and position, less fees, quote units."""
        return self.series["equity"]

    @property
    def position(self) -> pd.Series:
        """Base units held, as known."""
        return self.series["position"]

    @property
    def final_equity(self) -> float:
        """Equity when all is known, at the last mid."""
        return float(self.equity.iloc[-1])

    @property
    def fees(self) -> float:
        """Fees paid, less rebates, quote units."""
        return float(self.series["fees"].iloc[-1])

    @property
    def turnover(self) -> float:
        """Value traded, quote units."""
        return float((self.fills["price"] * self.fills["size"]).sum())

    def __repr__(self) -> str:
        return (
            f"Replay({self.instrument.symbol}, {len(self.orders)} orders, {len(self.fills)} fills, "
            f"equity {self.final_equity:.6g})"
        )


def _value(instrument: Instrument, units: NDArray[np.int64]) -> NDArray[np.float64]:
    """Ticks x lots in quote units."""
    return np.asarray(instrument.size(instrument.price(units)))


def _fills(rows: NDArray[np.int64], ahead: NDArray, instrument: Instrument, fees: Fees):
    exchange, local, order, side, ticks, lots, maker, left = rows.T
    rate = np.where(maker == 1, fees.maker, fees.taker)
    return pd.DataFrame(
        {
            "exchange_ns": exchange,
            "local_ns": local,
            "order_id": order,
            "side": side,
            "ticks": ticks,
            "lots": lots,
            "price": instrument.price(ticks),
            "size": instrument.size(lots),
            "maker": maker == 1,
            "fee": rate * _value(instrument, ticks * lots),
            "left": left,
            "ahead": ahead,
        }
    )


_ORDER_NAMES = [
    "order_id",
    "side",
    "ticks",
    "lots",
    "kind",
    "submitted_ns",
    "arrived_ns",
    "acknowledged_ns",
    "cancel_requested_ns",
    "closed_ns",
    "closed_local_ns",
    "filled",
    "ahead",
    "state",
    "reason",
    "cancels_rejected",
]


def _orders(rows: NDArray[np.int64]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=_ORDER_NAMES).set_index("order_id")
    for name, words in (("kind", KINDS), ("state", STATES), ("reason", REASONS)):
        table[name] = pd.Categorical.from_codes(table[name], words)
    return table


def _series(rows: NDArray[np.int64], instrument: Instrument, fees: Fees) -> pd.DataFrame:
    time, bid, ask, mid2, position, cash, maker, taker = rows.T
    table = pd.DataFrame(
        {
            "bid": np.where(bid > 0, instrument.price(bid), np.nan),
            "ask": np.where(ask > 0, instrument.price(ask), np.nan),
            "mid": np.where(mid2 > 0, np.asarray(instrument.price(mid2)) / 2, np.nan),
            "position": instrument.size(position),
            "cash": _value(instrument, cash),
            "fees": fees.maker * _value(instrument, maker) + fees.taker * _value(instrument, taker),
        },
        index=pd.DatetimeIndex(time, tz="UTC", name="time"),
    )
    held = np.where(position == 0, 0.0, table["position"] * table["mid"])
    table["equity"] = table["cash"] + held - table["fees"]
    return table


def replay(
    recording: Recording,
    strategy: Strategy,
    *,
    latency: ConstantLatency | RecordedLatency | FeedLatency,
    queue: RiskAverseQueue | ProbabilityQueue,
    fees: Fees,
    partial_fills: bool = True,
    interval_ns: int | None = None,
    feed_ns: int = 0,
    sample_ns: int = 0,
) -> Replay:
    """Trade a recording: what would the strategy's orders have done, had the market not noticed?

    The venue sees the events at their exchange time, the strategy at their receipt. Its requests
    take `latency` to the venue and the responses back; neither overtakes an earlier one. A request
    that arrives with an event comes after it, and what is received at one time is known before the
    strategy acts at that time.

    At the venue a resting order is filled whole once the other side's best price reaches its price
    or a trade prints beyond it. A trade at its price fills it when the queue in front, as `queue`
    estimates it, is used up: by the lots that reach it, or whole without `partial_fills`. Of
    several own orders at a price the first is served first, and the trade's rest goes on to the
    next. A limit order at or through the other side's best (immediate-or-cancel, market or plain)
    takes the lots that the book shows, up to its price, and does not change the book; what is left
    expires, as the replayed book would offer it the same lots again. A post-only order that would
    take is rejected. A cancellation that arrives after the end of its order is rejected.

    Recorded events do not react to the orders: replay sizes small against the market's. Orders that
    take one after the other meet the same lots again until the recording changes them.

    Parameters
    ----------
    recording : Recording
    strategy : InventoryQuoter or callable
        A callable gets a `State` at each wake and returns `Submit` and `Cancel` actions, or None.
        It is called every `interval_ns` after the first event, or, where that is None, whenever
        events or responses have been received; once at one time, and not once the last event has
        been received. What is under way then still arrives and meets the last book. An exception
        in it ends the replay.
    latency : ConstantLatency, RecordedLatency or FeedLatency
    queue : RiskAverseQueue or ProbabilityQueue
    fees : Fees
    partial_fills : bool
    interval_ns : int, optional
        For a callable; an `InventoryQuoter` has its own.
    feed_ns : int
        Added to every receipt of an event.
    sample_ns : int
        Least time between rows of the series; 0: a row for each wake.

    Raises
    ------
    TypeError, ValueError
        An argument or an action does not fit. An event received before it happened is refused:
        `align_clock` mends a clock that is off.

    Examples
    --------
    >>> import labkit.backtest as bt
    >>> events = np.zeros(4, bt.EVENT_DTYPE)
    >>> events["exchange_ns"] = events["local_ns"] = [0, 0, 1000, 3000]
    >>> events["kind"] = [bt.DEPTH, bt.DEPTH, bt.TRADE, bt.TRADE]
    >>> events["side"], events["price"] = [1, -1, -1, -1], [99, 101, 99, 99]
    >>> events["size"] = [5, 5, 2, 4]
    >>> recording = bt.Recording(bt.Instrument("A/B", 1.0, 1.0), events)
    >>> def buy_once(state):
    ...     if not state.orders and state.position == 0:
    ...         return [bt.Submit(1, state.bid, 3)]
    >>> result = bt.replay(
    ...     recording,
    ...     buy_once,
    ...     interval_ns=100,
    ...     latency=bt.ConstantLatency(10, 10),
    ...     queue=bt.RiskAverseQueue(),
    ...     fees=bt.Fees(0.0, 0.0),
    ... )
    >>> result.fills[["exchange_ns", "ticks", "lots", "left"]].to_numpy().tolist()
    [[3000, 99, 1, 2]]
    """
    if not isinstance(recording, Recording):
        raise TypeError(f"recording must be a Recording, got {type(recording).__name__}")
    quoter = isinstance(strategy, InventoryQuoter)
    if quoter and interval_ns is not None:
        raise ValueError(f"interval_ns must be left to the quoter, got {interval_ns}")
    if not quoter and not callable(strategy):
        kind = type(strategy).__name__
        raise TypeError(f"strategy must be an InventoryQuoter or a callable, got {kind}")
    for name, value, kinds in (
        ("latency", latency, (ConstantLatency, RecordedLatency, FeedLatency)),
        ("queue", queue, (RiskAverseQueue, ProbabilityQueue)),
        ("fees", fees, (Fees,)),
    ):
        if not isinstance(value, kinds):
            words = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"{name} must be a {words}, got {type(value).__name__}")
    feed_ns = duration("feed_ns", feed_ns)
    interval = strategy.interval_ns if quoter else interval_ns
    entry, response, interpolate = latency.tables(recording, feed_ns)
    settings = (
        recording.events,
        feed_ns,
        entry,
        response,
        interpolate,
        queue.kind,
        queue.exponent,
        recording.instrument.lot_size,
        valid.flag("partial_fills", partial_fills),
        0 if interval is None else check.count("interval_ns", interval, 1),
        sample_ns,
    )
    if quoter:
        results = kernels.replay(*settings, *strategy.arguments())
    else:
        results = _run(kernels.ReplayEngine(*settings), recording, strategy)
    fills, ahead, orders, series = results
    instrument = recording.instrument
    return Replay(
        instrument=instrument,
        fills=_fills(fills, ahead, instrument, fees),
        orders=_orders(orders),
        series=_series(series, instrument, fees),
        cash_units=int(series[-1, 5]),
    )


def _run(engine: Any, recording: Recording, strategy: Callable[[State], Any]) -> tuple[Any, ...]:
    state = State(engine, recording)
    while engine.advance():
        for action in strategy(state) or ():
            if isinstance(action, Submit):
                if action.kind not in KINDS:
                    words = ", ".join(KINDS)
                    raise ValueError(f"kind must be one of {words}, got {action.kind!r}")
                side, price, size, kind = action
                engine.submit(side, price, size, KINDS.index(kind))
            elif isinstance(action, Cancel):
                engine.cancel(action.order_id)
            else:
                raise TypeError(f"strategy must return Submit or Cancel actions, got {action!r}")
    return engine.results()
