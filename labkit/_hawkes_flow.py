"""Order flow from a Hawkes process, through the matching engine.

The public names are those of `labkit.hawkes`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labkit import _validate as validate
from labkit._backend import kernels
from labkit._events import Recording
from labkit._simulate import EPOCH_NS, SIM
from labkit.matching import KINDS, REQUEST_DTYPE, Matched, MatchingEngine, match, snapshot
from labkit.reference import _checks as check
from labkit.reference import _philox as philox

__all__ = ["ORDER_TYPES", "OrderFlow", "simulate_order_flow"]

#: The types of event, in the order of the process's components; a cancellation is of a resting
#: order of the side named.
ORDER_TYPES = (
    "market buy",
    "market sell",
    "limit buy",
    "limit sell",
    "cancel buy",
    "cancel sell",
)
_MARKET, _LIMIT = 0, 1  # half the type, 2 for a cancellation; the rest is the side

# Of the seed, beside stream 0 of the process.
_ORDERS, _OPENING = 1, 2
# Events that a path may have, and that may be expected of one.
_MOST, _EXPECTED = 20_000_000, 10_000_000
# Of a size in lots or a distance in ticks: far within what the engine takes.
_LARGEST_MEAN = 1e9


@dataclass(frozen=True, eq=False)
class OrderFlow:
    """What a simulated order flow did to the book.

    Attributes
    ----------
    times : ndarray, shape (n,)
        Seconds since the start, of every event of the process.
    types : ndarray of int64, shape (n,)
        Places in ORDER_TYPES.
    requests : DataFrame
        What the engine was asked, with the columns of `labkit.matching.REQUEST_DTYPE`. The index
        is the number of the event; a cancellation that found no order has no row.
    opening : DataFrame
        The orders that rest at the start, as in `labkit.matching.Matched.book`.
    matched : labkit.matching.Matched
        What the engine made of the requests: ``match(requests, book=opening)``.
    events : ndarray of EVENT_DTYPE
        A snapshot of the opening book, then each trade and each level changed, received when they
        happen: ``local_ns == exchange_ns``.
    dropped : Series of int64
        By ORDER_TYPES, the events that did nothing: market orders that found no counterparty, limit
        orders at a price that the engine does not take, cancellations that found no order.
    """

    times: NDArray[np.float64]
    types: NDArray[np.int64]
    requests: pd.DataFrame
    opening: pd.DataFrame
    matched: Matched
    events: NDArray
    dropped: pd.Series

    @property
    def recording(self) -> Recording:
        """The events of SIM/USD (tick 0.01, lot 0.001), for `labkit.backtest.replay`."""
        return Recording(SIM, self.events)

    def __repr__(self) -> str:
        return f"OrderFlow({len(self.times)} events, {len(self.matched.trades)} trades)"


def _process(
    baseline: ArrayLike, adjacency: ArrayLike, decay: ArrayLike, duration_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The parameters in the shapes of the kernel, of a process that is stable and not too long."""
    d = len(ORDER_TYPES)
    mu = validate.array("baseline", baseline, (d,))
    beta = validate.numbers("decay", decay)
    if beta.ndim > 1:
        raise ValueError(f"decay must be a number or have shape (m,), got shape {beta.shape}")
    beta = validate.array("decay", np.atleast_1d(beta), (None,))
    alpha = validate.numbers("adjacency", adjacency)
    shape = (d, d) if alpha.ndim == 2 and len(beta) == 1 else (len(beta), d, d)
    alpha = validate.array("adjacency", alpha, shape)
    for name, values in (("baseline", mu), ("adjacency", alpha)):
        if (values < 0).any():
            raise ValueError(f"{name} must not be negative, got {values.min()}")
    if not (beta > 0).all():
        raise ValueError(f"decay must be positive, got {beta.min()}")
    alpha = alpha.reshape(-1, d, d)
    branching = alpha.sum(axis=0)
    radius = np.abs(np.linalg.eigvals(branching)).max()
    if not radius < 1:
        raise ValueError(f"adjacency must have a spectral radius below 1, got {radius:.6g}")
    expected = duration_s * np.linalg.solve(np.eye(d) - branching, mu).sum()
    if not expected <= _EXPECTED:
        raise ValueError(
            f"duration_s must give at most {_EXPECTED} events on average, got {expected:.3g}"
        )
    return mu, alpha, beta


def _geometric(words: NDArray[np.uint64], mean: float) -> NDArray[np.int64]:
    """Numbers on 1, 2, ... of a mean, by inversion."""
    rate = -math.log1p(-1 / mean) if mean > 1 else math.inf
    return 1 + (philox.exponential(words) / rate).astype(np.int64)


def _mean(name: str, value: Any) -> float:
    number = validate.finite(name, value)
    if not 1 <= number <= _LARGEST_MEAN:
        raise ValueError(f"{name} must be from 1 to {_LARGEST_MEAN:g}, got {value}")
    return number


def _opening(seed: int, start_price: int, depth: int, mean_size: float) -> pd.DataFrame:
    """One order at each of `depth` levels a side, the best a tick from the start price."""
    away = np.tile(np.arange(1, depth + 1), 2)
    side = np.repeat(np.array([1, -1], np.int8), depth)
    return pd.DataFrame(
        {
            "id": np.arange(1, 2 * depth + 1),
            "side": side,
            "price": start_price - side * away,
            "size": _geometric(philox.raw(seed, _OPENING, 0, 2 * depth), mean_size),
        }
    )


class _Side:
    """The resting orders of one side, such that one can be drawn and any one leave at once."""

    def __init__(self, orders: pd.DataFrame) -> None:
        self.ids = orders["id"].tolist()
        self.open = dict(zip(self.ids, orders["size"].tolist(), strict=True))
        self.place = {id: at for at, id in enumerate(self.ids)}

    def add(self, id: int, size: int) -> None:
        self.place[id] = len(self.ids)
        self.ids.append(id)
        self.open[id] = size

    def reduce(self, id: int, size: int) -> None:
        """Take lots off an order; the last one takes the place of an order that has none left."""
        self.open[id] -= size
        if self.open[id]:
            return
        last, at = self.ids.pop(), self.place.pop(id)
        if last != id:
            self.ids[at], self.place[last] = last, at
        del self.open[id]


class _Venue:
    """The engine, and what a trader needs to know of its book."""

    def __init__(self, opening: pd.DataFrame) -> None:
        self.engine = MatchingEngine(opening)
        self.sides = {side: _Side(opening[opening["side"] == side]) for side in (1, -1)}
        self.best = {side: self.engine.levels(side)[0][0] for side in (1, -1)}
        self.rows: list[tuple[int, ...]] = []

    def market(self, event: int, time_ns: int, side: int, size: int) -> bool:
        answer = self.engine.submit(side, size, time_ns=time_ns)
        for trade in answer.trades:
            self.sides[-side].reduce(trade.maker, trade.size)
        self._done(event, time_ns, answer.id, "market", side, 0, size, changed=-side)
        return bool(answer.trades)

    def limit(self, event: int, time_ns: int, side: int, size: int, distance: int) -> bool:
        """Behind the opposite best quote, or the last one of a side that is empty."""
        price = self.best[-side] - side * distance
        answer = self.engine.submit(side, size, price, time_ns=time_ns)
        rests = answer.state == "resting"
        if rests:
            self.sides[side].add(answer.id, size)
        self._done(event, time_ns, answer.id, "limit", side, price, size, changed=side)
        return rests

    def cancel(self, event: int, time_ns: int, side: int, u: float) -> bool:
        """The order that a uniform number points to."""
        ids = self.sides[side].ids
        if not ids:
            return False
        id = ids[int(u * len(ids))]
        self.engine.cancel(id, time_ns=time_ns)
        self.sides[side].reduce(id, self.sides[side].open[id])
        self._done(event, time_ns, id, "cancel", side, 0, 0, changed=side)
        return True

    def _done(
        self,
        event: int,
        time_ns: int,
        id: int,
        kind: str,
        side: int,
        price: int,
        size: int,
        changed: int,
    ) -> None:
        levels = self.engine.levels(changed)
        if levels:
            self.best[changed] = levels[0][0]
        self.rows.append((event, time_ns, id, price, size, KINDS[kind], side, 0))

    def requests(self) -> pd.DataFrame:
        table = np.array(self.rows, np.int64).reshape(-1, 1 + len(REQUEST_DTYPE))
        columns = {
            name: table[:, at].astype(REQUEST_DTYPE[name])
            for at, name in enumerate(REQUEST_DTYPE.names, 1)
        }
        return pd.DataFrame(columns, index=pd.Index(table[:, 0], name="event"))


def simulate_order_flow(
    baseline: ArrayLike,
    adjacency: ArrayLike,
    decay: ArrayLike,
    *,
    duration_s: float,
    seed: int,
    start_price: int = 10_000,
    mean_distance: float = 5.0,
    limit_size: float = 10.0,
    market_size: float = 10.0,
    depth: int = 20,
) -> OrderFlow:
    """Simulate the order book of SIM/USD (tick 0.01, lot 0.001) from a Hawkes process of orders.

    Six types of event, ORDER_TYPES, excite one another; their times and types are exact (no
    steps), as `labkit.reference.hawkes_simulate` makes them from an empty history. Limit order
    books of this kind are those of Abergel & Jedidi, SIAM Journal on Financial Mathematics 6 (2015)
    1026-1043. A limit order goes to a random distance behind the opposite best quote, and thus
    never trades at once; a market order takes what it meets, and what is left of it is cancelled; a
    cancellation takes out an order drawn from all that rest on its side. Distances and sizes are
    geometric on 1, 2, ...

    Where a side is empty, its last best quote stands in for it. Cancellations come at a rate that
    knows nothing of the book: orders pile up on a side, or run out, unless limit orders come as
    often on average as orders leave.

    Parameters
    ----------
    baseline : array_like, shape (6,)
        Events per second without any excitation, by type.
    adjacency : array_like, shape (6, 6) or (m, 6, 6)
        Mean number of events of type i (row) that one of type j (column) excites directly, for each
        decay; their sum over the decays must have a spectral radius below 1.
    decay : float or array_like, shape (m,)
        Rates at which excitation fades, per second.
    duration_s : float
        Seconds; at most 1e7 events may be expected.
    seed : int
        From 0 to 2**64 - 1. Stream 0 of it gives times and types, stream 1 sizes, distances and
        cancelled orders (block n for event n), stream 2 the opening sizes.
    start_price : int
        Ticks; above `depth`, at most 2**39.
    mean_distance : float
        Ticks from the opposite best quote, from 1 (which puts every limit order at the best price)
        to 1e9.
    limit_size, market_size : float
        Mean sizes, lots, from 1 (which makes every order one lot) to 1e9.
    depth : int
        Levels of one order on each side at the start, from one tick off the start price on; their
        sizes are drawn as those of limit orders. From 1 to 100 000.

    Returns
    -------
    OrderFlow

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range, or the process has more than
        2e7 events.

    Examples
    --------
    >>> excites = np.zeros((6, 6))
    >>> excites[:2, :2] = [[0.5, 0.1], [0.1, 0.5]]  # market orders follow market orders
    >>> rates = [0.4, 0.4, 2.0, 2.0, 1.0, 1.0]
    >>> flow = simulate_order_flow(rates, excites, 5.0, duration_s=20, seed=1)
    >>> found_none = flow.dropped[["cancel buy", "cancel sell"]].sum().item()
    >>> len(flow.times) == len(flow.requests) + found_none
    True
    >>> flow.recording.instrument.symbol
    'SIM/USD'
    """
    duration_s = validate.positive("duration_s", duration_s)
    process = _process(baseline, adjacency, decay, duration_s)
    seed = philox.seed("seed", seed)
    depth = check.count("depth", depth, 1)
    if depth > 100_000:
        raise ValueError(f"depth must be at most 100000, got {depth}")
    start_price = check.count("start_price", start_price, depth + 1)
    if start_price > 2**39:
        raise ValueError(f"start_price must be at most 2**39, got {start_price}")
    mean_distance = _mean("mean_distance", mean_distance)
    limit_size = _mean("limit_size", limit_size)
    market_size = _mean("market_size", market_size)
    try:
        times, types, _, _ = kernels.hawkes_simulate(
            seed, 1, duration_s, *process, None, False, _MOST
        )
    except ValueError as error:
        raise ValueError(f"duration_s: {error}") from None
    words = philox.blocks(seed, _ORDERS, np.arange(len(times), dtype=np.uint64))
    sizes = np.where(
        types // 2 == _MARKET, _geometric(words[0], market_size), _geometric(words[0], limit_size)
    )
    draws = zip(
        (EPOCH_NS + np.rint(times * 1e9).astype(np.int64)).tolist(),
        types.tolist(),
        sizes.tolist(),
        _geometric(words[1], mean_distance).tolist(),
        philox.uniform(words[2]).tolist(),
        strict=True,
    )
    opening = _opening(seed, start_price, depth, limit_size)
    venue, dropped = _Venue(opening), np.zeros(len(ORDER_TYPES), np.int64)
    for event, (time_ns, type_, size, distance, u) in enumerate(draws):
        kind, side = type_ // 2, 1 - 2 * (type_ % 2)
        if kind == _MARKET:
            done = venue.market(event, time_ns, side, size)
        elif kind == _LIMIT:
            done = venue.limit(event, time_ns, side, size, distance)
        else:
            done = venue.cancel(event, time_ns, side, u)
        dropped[type_] += not done
    requests = venue.requests()
    matched = match(requests, instrument=SIM, book=opening)
    return OrderFlow(
        times=times,
        types=types,
        requests=requests,
        opening=opening,
        matched=matched,
        events=np.concatenate([snapshot(opening, EPOCH_NS), matched.events]),
        dropped=pd.Series(dropped, pd.Index(ORDER_TYPES, name="type"), name="dropped"),
    )
