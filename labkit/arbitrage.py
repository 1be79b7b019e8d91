"""Arbitrage in a set of markets: profitable cycles of rates, and triangles of order books.

Rates are amounts of the second currency got for one unit of the first. Fees are fractions of
what a trade receives (0.001 is 10 basis points), lots are base units, ticks quote units.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labkit._backend import kernels
from labkit.orderbook import BookStates, OrderBook, book_states
from labkit.reference import _checks as check

__all__ = [
    "Cycle",
    "Leg",
    "Route",
    "Triangle",
    "TriangleHistory",
    "best_cycle",
    "cycle_products",
    "find_cycle",
    "late_edges",
    "realised_edges",
    "triangle_history",
    "triangles",
    "triangular",
]

_ALL_LENGTHS = 12


@dataclass(frozen=True)
class Cycle:
    """A cycle of trades, or the proof that none is profitable.

    Attributes
    ----------
    nodes : tuple
        The currencies in the order of trading, by name where names are known; the last is traded
        for the first. Empty where there is no cycle to show.
    product : float
        Units of the first currency got back for one unit.
    profitable : bool
        Whether `product` is above ``(1 + tolerance)`` to the number of trades.
    prices : dict or None
        A certificate: positive prices with ``rates[i, j] * prices[j] <= (1 + tolerance) *
        prices[i]`` for all i, j, so that no cycle of k trades, of whatever length, returns more
        than ``(1 + tolerance)**k``. None where a cycle is profitable.
    """

    nodes: tuple[Hashable, ...]
    product: float
    profitable: bool
    prices: dict[Hashable, float] | None


def _matrix(
    rates: ArrayLike | pd.DataFrame, names: Sequence[Hashable] | None
) -> tuple[NDArray[np.float64], list[Hashable]]:
    if isinstance(rates, pd.DataFrame):
        if names is not None:
            raise ValueError("names must not be given beside a DataFrame, which has its own")
        if list(rates.index) != list(rates.columns):
            raise ValueError("rates must have the same labels, in one order, as rows and columns")
        names = list(rates.columns)
    array = np.asarray(rates)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"rates must hold numbers, got {array.dtype}")
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"rates must have shape (n, n), got {array.shape}")
    labels: list[Hashable] = list(range(len(array)) if names is None else names)
    if len(labels) != len(array) or len(set(labels)) != len(labels):
        raise ValueError(f"names must be {len(array)} different names, got {labels}")
    return np.ascontiguousarray(array, dtype=np.float64), labels


def _product(rates: NDArray[np.float64], nodes: NDArray[np.int64]) -> float:
    return math.prod(rates[nodes, np.roll(nodes, -1)].tolist())


def find_cycle(
    rates: ArrayLike | pd.DataFrame,
    tolerance: float = 1e-12,
    names: Sequence[Hashable] | None = None,
) -> Cycle:
    """Find a profitable cycle of any length, or prove that there is none.

    Bellman-Ford on products of rates instead of sums of their negative logarithms (Cherkassky &
    Goldberg, "Negative-cycle detection algorithms", Mathematical Programming 85 (1999)). It takes
    time n**3 at worst. The cycle is a profitable one, not the most profitable: see `best_cycle`.

    Parameters
    ----------
    rates : array_like or DataFrame, shape (n, n)
        ``rates[i, j]`` units of j are got for one unit of i; 0 where there is no market. The
        diagonal is ignored. The labels of a DataFrame are the names.
    tolerance : float
        A cycle of k trades counts as profitable above ``(1 + tolerance)**k``: the loss on each
        trade that profit must survive. At least 1e-14, below which rounding would decide.
    names : sequence, optional
        Names of the n currencies.

    Returns
    -------
    Cycle
        With `nodes` and `product`, or with no nodes, product NaN and `prices`: always exactly one
        of the two.

    Raises
    ------
    ValueError
        A rate is negative or not finite, the shape is not (n, n), the tolerance is out of range.

    Examples
    --------
    >>> find_cycle([[1, 2.0], [0.51, 1]], names=["EUR", "USD"])
    Cycle(nodes=('EUR', 'USD'), product=1.02, profitable=True, prices=None)
    >>> find_cycle([[1, 2.0], [0.49, 1]]).prices
    {0: 1.0, 1: 0.5}
    """
    matrix, labels = _matrix(rates, names)
    nodes, prices = kernels.find_cycle(matrix, tolerance)
    if len(nodes):
        return Cycle(tuple(labels[node] for node in nodes), _product(matrix, nodes), True, None)
    certificate = dict(zip(labels, prices.tolist(), strict=True))
    return Cycle((), math.nan, False, certificate)


def best_cycle(
    rates: ArrayLike | pd.DataFrame,
    max_length: int | None = None,
    names: Sequence[Hashable] | None = None,
    tolerance: float = 1e-12,
) -> Cycle:
    """Find the most profitable simple cycle, and prove it where none is profitable.

    Exact, by branch and bound. Among equal products the shorter cycle is returned, then the one
    with the smaller indices; it begins at its smallest index.

    Parameters
    ----------
    rates : array_like or DataFrame, shape (n, n)
        As in `find_cycle`.
    max_length : int, optional
        Most trades in the cycle, at least 2. The default is all lengths up to 12 currencies;
        beyond that it must be said, for the time grows exponentially with it (3 is fast for
        hundreds of currencies).
    names : sequence, optional
        Names of the n currencies.
    tolerance : float
        As in `find_cycle`; it decides about `Cycle.profitable` only.

    Returns
    -------
    Cycle
        The cycle with the largest product, be it below 1; no nodes and product 0 where the
        markets have no cycle of these lengths. Where it is not profitable, `prices` proves that
        no cycle of any length is, unless a longer one than `max_length` is (then None).

    Raises
    ------
    ValueError
        As `find_cycle`; `max_length` is less than 2, or missing with more than 12 currencies;
        products of that many rates would leave the range of float64.

    Examples
    --------
    >>> rates = pd.DataFrame(
    ...     [[1, 0.741, 1.005], [1.349, 1, 1.366], [0.995, 0.732, 1]],
    ...     index=["USD", "EUR", "CAD"], columns=["USD", "EUR", "CAD"])
    >>> cycle = best_cycle(rates)
    >>> cycle.nodes, round(cycle.product, 8)
    (('USD', 'EUR', 'CAD'), 1.00714497)
    """
    matrix, labels = _matrix(rates, names)
    if max_length is None:
        if len(labels) > _ALL_LENGTHS:
            raise ValueError(f"max_length must be given for more than {_ALL_LENGTHS} currencies")
        max_length = max(len(labels), 2)
    nodes, product = kernels.best_cycle(matrix, max_length)
    named = tuple(labels[node] for node in nodes)
    proof = find_cycle(matrix, tolerance, labels)
    profitable = product > (1 + tolerance) ** max(len(nodes), 1)
    return Cycle(named, product, profitable, None if profitable else proof.prices)


@dataclass(frozen=True)
class Leg:
    """One trade of a route.

    Attributes
    ----------
    symbol : str
        The market, ``"BASE/QUOTE"``.
    side : str
        ``"buy"`` (takes asks) or ``"sell"`` (takes bids).
    quantity : float
        Base units.
    notional : float
        Quote units that change hands, before the fee.
    limit_price : float
        Price of the worst level touched: the limit that fills the quantity. NaN without a trade.
    fee : float
        Fee paid, in the currency that the leg receives.
    fee_rate, lot_size : float
        The terms of the market: fraction of what is received, and base units.
    """

    symbol: str
    side: str
    quantity: float
    notional: float
    limit_price: float
    fee: float
    fee_rate: float
    lot_size: float


@dataclass(frozen=True)
class Route:
    """Three trades from the start currency back to it, at the size that earns most.

    Attributes
    ----------
    path : tuple of str
        The currencies, for instance ``("USDT", "BTC", "BCH", "USDT")``.
    gross_product, net_product : float
        Units of the start currency got back for one, at the best quotes, before and after fees.
        NaN where a side that is needed is empty.
    legs : tuple of Leg
        The three trades; quantities are 0 where nothing is profitable.
    spent, received : float
        Start currency put in and got back, after fees.
    dust : dict
        Amounts of the two other currencies that lots leave over; worth nothing in `profit`.
    """

    path: tuple[str, ...]
    gross_product: float
    net_product: float
    legs: tuple[Leg, ...]
    spent: float
    received: float
    dust: dict[str, float]

    @property
    def profit(self) -> float:
        """Start currency earned, never negative."""
        return self.received - self.spent

    def outcome(self, books: Mapping[str, OrderBook], sizes: ArrayLike) -> pd.DataFrame:
        """What the route earns for other sizes or on other books.

        Each size is pushed through the three legs as taker orders: a leg spends what the one
        before received, as far as lots and depth allow.

        Parameters
        ----------
        books : mapping
            The three books, for instance those of a later time.
        sizes : array_like, shape (k,)
            Start currency to put in, zero or more.

        Returns
        -------
        DataFrame
            Columns ``size, spent, received, profit``, in start currency. `spent` is below `size`
            where the first leg cannot use all of it.

        Raises
        ------
        ValueError
            A book of the route is missing, or a size is negative or not finite.
        """
        amounts = np.atleast_1d(np.asarray(sizes, dtype=np.float64))
        if amounts.ndim != 1:
            raise ValueError(f"sizes must have shape (k,), got {amounts.shape}")
        missing = [leg.symbol for leg in self.legs if leg.symbol not in books]
        if missing:
            raise ValueError(f"books has no {', '.join(missing)}")
        spent, received = kernels.route_outcome(
            *_route_input(books, [(leg.symbol, leg.side == "buy") for leg in self.legs]),
            np.array([leg.fee_rate for leg in self.legs]),
            np.array([leg.lot_size for leg in self.legs]),
            np.ascontiguousarray(amounts),
        )
        return pd.DataFrame(
            {"size": amounts, "spent": spent, "received": received, "profit": received - spent}
        )


@dataclass(frozen=True)
class Triangle:
    """Both directions around a triangle of markets."""

    routes: tuple[Route, Route] = field(repr=False)

    @property
    def best(self) -> Route:
        """The route with the larger profit; where both earn nothing, the larger net product."""
        return max(
            self.routes,
            key=lambda r: (r.profit, -math.inf if math.isnan(r.net_product) else r.net_product),
        )

    def __repr__(self) -> str:
        best = self.best
        return f"Triangle({'>'.join(best.path)} earns {best.profit:g} {best.path[0]})"


def _currencies(symbol: str) -> tuple[str, str]:
    base, slash, quote = symbol.partition("/")
    if not (base and slash and quote) or "/" in quote or base == quote:
        raise ValueError(f"symbol must read BASE/QUOTE, got {symbol!r}")
    return base, quote


def _directions(symbols: Sequence[str], start: str) -> list[tuple[tuple[str, ...], list]]:
    """Both paths from `start` around three markets, each with its (symbol, whether to buy)."""
    if len(symbols) != 3:
        raise ValueError(f"a triangle needs exactly three symbols, got {list(symbols)}")
    market = {}
    for symbol in symbols:
        base, quote = _currencies(symbol)
        market[base, quote] = (symbol, False)
        market[quote, base] = (symbol, True)
    currencies = sorted({currency for pair in market for currency in pair})
    if len(market) != 6 or len(currencies) != 3:
        raise ValueError(f"the symbols {list(symbols)} do not close a triangle")
    if start not in currencies:
        raise ValueError(f"start must be one of {currencies}, got {start!r}")
    first, second = (currency for currency in currencies if currency != start)
    paths = [(start, first, second, start), (start, second, first, start)]
    return [(path, [market[pair] for pair in pairwise(path)]) for path in paths]


def _route_input(books: Mapping[str, OrderBook], markets: list[tuple[str, bool]]) -> tuple:
    levels = [books[symbol].asks if buy else books[symbol].bids for symbol, buy in markets]
    return (*levels, np.array([buy for _, buy in markets]))


def _terms(value: float | Mapping[str, float], symbols: Sequence[str], name: str) -> dict:
    if isinstance(value, Mapping):
        missing = [symbol for symbol in symbols if symbol not in value]
        if missing:
            raise ValueError(f"{name} has no {', '.join(missing)}")
        return {symbol: float(value[symbol]) for symbol in symbols}
    return dict.fromkeys(symbols, float(value))


def _check_ticks(book: OrderBook, tick: float, symbol: str) -> None:
    if not 0 < tick < math.inf:
        raise ValueError(f"tick_sizes of {symbol} must be positive and finite, got {tick}")
    prices = np.concatenate([book.bids[:, 0], book.asks[:, 0]])
    off = np.abs(prices / tick - np.rint(prices / tick)) > 1e-6
    if off.any():
        raise ValueError(f"{symbol}: price {prices[off][0]} is off the grid of tick size {tick}")


def triangular(
    books: Mapping[str, OrderBook],
    fees: float | Mapping[str, float],
    *,
    start: str,
    lot_sizes: float | Mapping[str, float] = 0.0,
    tick_sizes: float | Mapping[str, float] | None = None,
    max_size: float = math.inf,
) -> Triangle:
    """Trade a triangle of markets at the size that earns most, in both directions.

    All three legs are taker orders against the books as they stand. Without lots the profit is a
    concave, piecewise linear function of the amount put in, and its smallest maximiser is found by
    using up levels while the product of the three net rates is above 1. With lots the optimum over
    whole lots is exact; what is left over in the two other currencies counts as worth nothing.

    Parameters
    ----------
    books : mapping of str to OrderBook
        Three markets, named ``"BASE/QUOTE"``, that connect three currencies.
    fees : float or mapping
        Taker fee, a fraction of what a leg receives (0.001 is 10 basis points), in [0, 1).
    start : str
        The currency in which profit is counted.
    lot_sizes : float or mapping
        Base quantities are whole multiples of it, base units; 0 for continuous quantities.
    tick_sizes : float or mapping, optional
        Where given, every price must be a multiple of it (quote units): a check of the data.
    max_size : float
        Most start currency to put in.

    Returns
    -------
    Triangle
        `routes` in alphabetical order of the second currency, and `best`.

    Raises
    ------
    ValueError
        The symbols do not close a triangle, `start` is not part of it, a fee is outside [0, 1),
        a lot is negative, a price is off the grid, `max_size` is not positive.

    Examples
    --------
    >>> books = {
    ...     "BTC/USDT": OrderBook([[99.0, 5.0]], [[100.0, 5.0]]),
    ...     "BCH/BTC": OrderBook([[0.49, 9.0]], [[0.50, 9.0]]),
    ...     "BCH/USDT": OrderBook([[51.0, 4.0]], [[52.0, 4.0]]),
    ... }
    >>> best = triangular(books, fees=0.001, start="USDT").best
    >>> ">".join(best.path), round(best.gross_product, 6), round(best.profit, 4)
    ('USDT>BTC>BCH>USDT', 1.02, 3.3954)
    """
    directions = _directions(list(books), start)
    symbols = list(books)
    for symbol, book in books.items():
        if not isinstance(book, OrderBook):
            raise TypeError(f"books[{symbol!r}] must be an OrderBook, got {type(book).__name__}")
    fee = _terms(fees, symbols, "fees")
    lot = _terms(lot_sizes, symbols, "lot_sizes")
    for symbol in symbols:
        if not 0 <= fee[symbol] < 1:
            raise ValueError(f"fees of {symbol} must be in [0, 1), got {fee[symbol]}")
        if not 0 <= lot[symbol] < math.inf:
            raise ValueError(f"lot_sizes of {symbol} must be zero or positive, got {lot[symbol]}")
    if tick_sizes is not None:
        for symbol, tick in _terms(tick_sizes, symbols, "tick_sizes").items():
            _check_ticks(books[symbol], tick, symbol)
    first, second = (
        _route(books, path, markets, fee, lot, float(max_size)) for path, markets in directions
    )
    return Triangle((first, second))


def _route(
    books: Mapping[str, OrderBook],
    path: tuple[str, ...],
    markets: list[tuple[str, bool]],
    fee: dict[str, float],
    lot: dict[str, float],
    max_size: float,
) -> Route:
    fees = np.array([fee[symbol] for symbol, _ in markets])
    lots = np.array([lot[symbol] for symbol, _ in markets])
    amounts, spent, received = kernels.triangular_route(
        *_route_input(books, markets), fees, lots, max_size
    )
    quotes = [(books[symbol].top(), buy) for symbol, buy in markets]
    gross = math.prod(1 / top.ask if buy else top.bid for top, buy in quotes)
    legs = tuple(
        Leg(
            symbol=symbol,
            side="buy" if buy else "sell",
            quantity=quantity,
            notional=notional,
            limit_price=price if quantity > 0 else math.nan,
            fee=fee[symbol] * (quantity if buy else notional),
            fee_rate=fee[symbol],
            lot_size=lot[symbol],
        )
        for (symbol, buy), (quantity, notional, price) in zip(
            markets, amounts.tolist(), strict=True
        )
    )
    left = received[:2] - spent[1:]
    left[np.abs(left) <= 1e-11 * received[:2]] = 0.0  # rounding
    return Route(
        path=path,
        gross_product=gross,
        net_product=gross * math.prod((1 - fees).tolist()),
        legs=legs,
        spent=float(spent[0]),
        received=float(received[2]),
        dust=dict(zip(path[1:3], left.tolist(), strict=True)),
    )


def cycle_products(
    bid: Mapping[str, ArrayLike], ask: Mapping[str, ArrayLike], start: str
) -> pd.DataFrame:
    """Gross products of both directions around a triangle, for arrays of best quotes.

    Parameters
    ----------
    bid, ask : mapping of str to array_like, shape (m,)
        Best quotes of three markets ``"BASE/QUOTE"``, on one grid of times. NaN where unknown.
    start : str
        Where the paths begin and end.

    Returns
    -------
    DataFrame
        m rows and one column for each direction, named like ``"USDT>BTC>BCH>USDT"``: units of the
        start currency got back for one, before fees, NaN where a quote is.

    Raises
    ------
    ValueError
        The symbols of `bid` and `ask` differ or do not close a triangle, the arrays are not of
        one length, or a quote is not positive.

    Examples
    --------
    >>> bid = {"BTC/USDT": [99.0], "BCH/BTC": [0.49], "BCH/USDT": [51.0]}
    >>> ask = {"BTC/USDT": [100.0], "BCH/BTC": [0.50], "BCH/USDT": [52.0]}
    >>> cycle_products(bid, ask, "USDT").round(4).to_dict("list")
    {'USDT>BCH>BTC>USDT': [0.9329], 'USDT>BTC>BCH>USDT': [1.02]}
    """
    if set(bid) != set(ask):
        raise ValueError(f"bid and ask must name the same symbols, got {set(bid)} and {set(ask)}")
    directions = _directions(list(bid), start)
    quotes = {}
    for name, side in (("bid", bid), ("ask", ask)):
        for symbol, values in side.items():
            array = np.asarray(values, dtype=np.float64)
            if array.ndim != 1:
                raise ValueError(f"{name}[{symbol!r}] must have shape (m,), got {array.shape}")
            if (array <= 0).any() or np.isinf(array).any():
                raise ValueError(f"{name}[{symbol!r}] must be positive and finite, or NaN")
            quotes[name, symbol] = array
    if len({len(array) for array in quotes.values()}) > 1:
        raise ValueError("bid and ask must hold arrays of one length")
    products = {}
    for path, markets in directions:
        rates = [
            1 / quotes["ask", symbol] if buy else quotes["bid", symbol] for symbol, buy in markets
        ]
        products[">".join(path)] = rates[0] * rates[1] * rates[2]
    return pd.DataFrame(products)


def triangles(symbols: Iterable[str], start: str) -> list[tuple[str, str, str]]:
    """All triangles through a currency among a venue's markets.

    Parameters
    ----------
    symbols : iterable of str
        Markets, ``"BASE/QUOTE"``.
    start : str
        The currency from which a round trip begins.

    Returns
    -------
    list of (str, str, str)
        Sorted triples of symbols that connect `start` and two other currencies.

    Raises
    ------
    ValueError
        A symbol does not read BASE/QUOTE, or two of them trade the same two currencies.

    Examples
    --------
    >>> triangles(["BTC/USDT", "ETH/USDT", "ETH/BTC", "XRP/USDT"], "USDT")
    [('BTC/USDT', 'ETH/BTC', 'ETH/USDT')]
    """
    market: dict[frozenset[str], str] = {}
    for symbol in symbols:
        other = market.setdefault(frozenset(_currencies(symbol)), symbol)
        if other != symbol:
            raise ValueError(f"symbols: {other} and {symbol} trade the same two currencies")
    partners = sorted({c for pair in market if start in pair for c in pair if c != start})
    found = []
    for i, first in enumerate(partners):
        for second in partners[i + 1 :]:
            pairs = [frozenset(p) for p in ((start, first), (start, second), (first, second))]
            if all(pair in market for pair in pairs):
                one, two, three = sorted(market[pair] for pair in pairs)
                found.append((one, two, three))
    return sorted(found)


@dataclass(frozen=True, eq=False)
class TriangleHistory:
    """A triangle of books through a recorded session, as an observer sees it.

    Every state is known at its `local_ns`, the time of receipt, and nothing of a later message is
    in it.

    Attributes
    ----------
    states : dict of str to BookStates
        The three books.
    local_ns : ndarray, shape (m,), int64
        Times of receipt at which one of them changed, from the first at which all are known.
    products : DataFrame (m, 2)
        Gross product of both round trips at the best quotes, indexed by seconds since
        ``local_ns[0]``.
    """

    states: dict[str, BookStates]
    local_ns: NDArray[np.int64]
    products: pd.DataFrame

    def positions(self, time_ns: ArrayLike) -> NDArray[np.int64]:
        """Position in `local_ns` of the last state received by each time, -1 before the first.

        Raises
        ------
        TypeError
            `time_ns` does not hold integers.
        """
        times = np.asarray(time_ns)
        if times.dtype.kind not in "iu":
            raise TypeError(f"time_ns must hold integers (UTC nanoseconds), got {times.dtype}")
        return np.searchsorted(self.local_ns, times, side="right") - 1

    def books(self, time_ns: int, clock: str = "local") -> dict[str, OrderBook]:
        """The three books at a time.

        Parameters
        ----------
        time_ns : int
            UTC nanoseconds.
        clock : str
            ``"local"``: the books that the observer knows by then. ``"exchange"``: the books that
            stand at the venue then, of which the observer hears later.

        Raises
        ------
        ValueError
            Not all of them are known yet.
        """
        positions = {symbol: s.at(time_ns, clock) for symbol, s in self.states.items()}
        if min(positions.values()) < 0:
            raise ValueError(f"time_ns: not all books are known at {time_ns}")
        return {symbol: s.book(positions[symbol]) for symbol, s in self.states.items()}

    def episodes(self, above: float = 1.0) -> pd.DataFrame:
        """Maximal runs of states in which a round trip's gross product exceeds a level.

        Parameters
        ----------
        above : float
            1 for before fees; ``1 / (1 - fee)**3`` for after three taker fees.

        Returns
        -------
        DataFrame
            One row per run, by time: ``route``, ``first`` and ``last`` (positions in
            `local_ns`), ``start_ns`` and ``end_ns`` (receipt of the first state and of the one
            that ended it; the last state's own where the session ends before), ``best`` (the
            largest gross product in it).

        Raises
        ------
        ValueError
            `above` is not a positive number.
        """
        if not above > 0:
            raise ValueError(f"above must be positive, got {above!r}")
        rows = []
        for route in self.products.columns:
            values = self.products[route].to_numpy()
            edge = np.diff((values > above).astype(np.int8), prepend=0, append=0)
            for first, end in zip(
                np.flatnonzero(edge == 1), np.flatnonzero(edge == -1), strict=True
            ):
                end_ns = self.local_ns[min(end, len(values) - 1)]
                rows.append(
                    (route, first, end - 1, self.local_ns[first], end_ns, values[first:end].max())
                )
        columns = ["route", "first", "last", "start_ns", "end_ns", "best"]
        table = pd.DataFrame(rows, columns=columns)
        return table.sort_values("start_ns", kind="stable", ignore_index=True)


def triangle_history(
    events: pd.DataFrame, symbols: Sequence[str], start: str, depth: int = 20
) -> TriangleHistory:
    """Rebuild a triangle of books from a recording, and the products of its round trips.

    Parameters
    ----------
    events : DataFrame
        Level changes, as `labkit.orderbook.book_states` takes them.
    symbols : sequence of str
        Three markets that close a triangle.
    start : str
        The currency in which a round trip begins and ends.
    depth : int
        Levels of each side.

    Raises
    ------
    ValueError
        The symbols do not close a triangle through `start`, or `events` is not as it should be.
    CrossedBook
        A book is crossed.
    """
    _directions(list(symbols), start)
    states = {symbol: book_states(events, symbol, depth) for symbol in symbols}
    clock = np.unique(np.concatenate([s.local_ns for s in states.values()]))
    clock = clock[clock >= max(s.local_ns[0] for s in states.values())]
    now = {symbol: s.at(clock) for symbol, s in states.items()}
    products = cycle_products(
        {symbol: s.top.bid[now[symbol]] for symbol, s in states.items()},
        {symbol: s.top.ask[now[symbol]] for symbol, s in states.items()},
        start,
    )
    products.index = pd.Index((clock - clock[0]) / 1e9, name="seconds")
    return TriangleHistory(states, clock, products)


def late_edges(
    history: TriangleHistory,
    opportunities: pd.DataFrame,
    latencies_ms: ArrayLike,
    *,
    fee: float,
    lot_sizes: float | Mapping[str, float] = 0.0,
    clock: str = "exchange",
) -> pd.DataFrame:
    """What each opportunity is worth when it is seen at once and traded later.

    The trade is sized on the books known when the opportunity is first received: for the best
    profit after fees, or where nothing is left after fees, for the best profit before them. That
    amount is then put through the same route on the books that stand `latency` later.

    Parameters
    ----------
    history : TriangleHistory
        The session.
    opportunities : DataFrame
        With columns ``route`` and ``start_ns`` (time of receipt), as `TriangleHistory.episodes`
        gives them.
    latencies_ms : array_like, shape (k,)
        Delays from receipt to trade, milliseconds, zero or more.
    fee : float
        Taker fee of each leg, a fraction of what it receives.
    lot_sizes : float or mapping
        As in `triangular`.
    clock : str
        ``"exchange"``: the order meets the books that stand at the venue at that instant, so that
        the delay of the feed counts too (the two clocks must agree). ``"local"``: the books that
        the observer knows then; with latency 0, those on which the opportunity was seen.

    Returns
    -------
    DataFrame
        One row per opportunity and latency: ``opportunity`` (its index), ``latency_ms``,
        ``spent`` (start currency), ``gross_bps`` and ``net_bps`` (profit before and after fees,
        basis points of `spent`), ``gross`` and ``profit`` (the same in start currency). NaN where
        the session ends before, or lots leave nothing to trade.

    Raises
    ------
    ValueError
        A latency is negative or not finite, a route is not one of the session's, or an argument
        is not as `triangular` takes it.
    """
    delays = np.atleast_1d(np.asarray(latencies_ms, dtype=np.float64))
    if delays.ndim != 1 or not np.isfinite(delays).all() or (delays < 0).any():
        raise ValueError("latencies_ms must be zero or positive and finite, of shape (k,)")
    unknown = set(opportunities["route"]) - set(history.products.columns)
    if unknown:
        raise ValueError(
            f"opportunities: no route {sorted(unknown)[0]!r}; there are "
            f"{', '.join(history.products.columns)}"
        )
    clocks = [s.local_ns if clock == "local" else s.exchange_ns for s in history.states.values()]
    end = max(int(ticks[-1]) for ticks in clocks)
    rows = []
    for index, route, seen in zip(
        opportunities.index, opportunities["route"], opportunities["start_ns"], strict=True
    ):
        free, paid = (_sized(history.books(seen), route, rate, lot_sizes) for rate in (0.0, fee))
        size = paid.spent if paid.spent > 0 else free.spent
        for delay in delays.tolist():
            when = int(seen) + round(delay * 1e6)
            row = [index, delay, math.nan, math.nan, math.nan]
            if size > 0 and when <= end:
                later = history.books(when, clock)
                gross, net = (r.outcome(later, [size]).iloc[0] for r in (free, paid))
                if gross["spent"] > 0:
                    row[2:] = gross["spent"], gross["profit"], net["profit"]
            rows.append(row)
    table = pd.DataFrame(rows, columns=["opportunity", "latency_ms", "spent", "gross", "profit"])
    numbers = ["latency_ms", "spent", "gross", "profit"]
    table[numbers] = table[numbers].astype(np.float64)
    table.insert(3, "gross_bps", table["gross"] / table["spent"] * 1e4)
    table.insert(4, "net_bps", table["profit"] / table["spent"] * 1e4)
    return table


def realised_edges(
    history: TriangleHistory, route: str, sent_ns: ArrayLike, latency_ms: float, *, fee: float
) -> NDArray[np.float64]:
    """Profit of round trips sent at given times, whether or not they looked good.

    What goes in is what the best quotes of the three legs can carry, as known at `sent_ns`; all of
    it is pushed through the books that stand at the venue `latency_ms` later, as `late_edges` does
    with what looked profitable. It is the reward of a rule that says when to trade, and is not
    known at `sent_ns`.

    Parameters
    ----------
    history : TriangleHistory
        The session.
    route : str
        One of the columns of ``history.products``.
    sent_ns : array_like of int
        Local times, UTC nanoseconds, of any shape.
    latency_ms : float
        From there to the venue, milliseconds, zero or more. The two clocks must agree.
    fee : float
        Taker fee of each leg, a fraction of what it receives.

    Returns
    -------
    ndarray, of the shape of `sent_ns`
        Basis points of what went in. What a leg cannot trade for want of depth is worth nothing.
        NaN where not all books are known, a leg finds an empty side, or the session ends before.

    Raises
    ------
    TypeError
        `sent_ns` does not hold integers, or `latency_ms` or `fee` is no number.
    ValueError
        There is no such route, `latency_ms` is negative or longer than a day, or `fee` not in
        [0, 1).
    """
    if not isinstance(route, str) or route not in history.products.columns:
        raise ValueError(
            f"route must be one of {', '.join(history.products.columns)}, got {route!r}"
        )
    if not 0 <= (delay := check.number("latency_ms", latency_ms)) <= 86_400_000:
        raise ValueError(f"latency_ms must be from 0 to a day, got {latency_ms}")
    if not 0 <= check.number("fee", fee) < 1:
        raise ValueError(f"fee must be in [0, 1), got {fee}")
    times = np.asarray(sent_ns)
    if not times.size:
        return np.empty(times.shape)
    if times.dtype.kind not in "iu":
        raise TypeError(f"sent_ns must hold integers (UTC nanoseconds), got {times.dtype}")
    sent = times.ravel().astype(np.int64)
    arrival = sent + round(delay * 1e6)
    directions = _directions(list(history.states), route.partition(">")[0])
    markets = next(legs for path, legs in directions if ">".join(path) == route)
    legs = [(history.states[symbol], buy) for symbol, buy in markets]
    known = [state.at(sent) for state, _ in legs]
    later = [state.at(arrival, "exchange") for state, _ in legs]
    size, reach = np.full(len(sent), math.inf), np.ones(len(sent))
    for leg, index in zip(legs, known, strict=True):
        room, rate = _first_level(*leg, index)
        size, reach = np.minimum(size, room / reach), reach * rate * (1 - fee)
    spent, received = _through(*legs[0], later[0], size)
    filled = spent > 0
    for leg, index in zip(legs[1:], later[1:], strict=True):
        used, received = _through(*leg, index, received * (1 - fee))
        filled &= used > 0
    end = max(int(state.exchange_ns[-1]) for state, _ in legs)
    possible = (np.minimum.reduce([*known, *later]) >= 0) & (arrival <= end) & filled
    profit = np.full(len(sent), math.nan)
    np.divide(received * (1 - fee) - spent, spent, out=profit, where=possible)
    return (profit * 1e4).reshape(times.shape)


def _first_level(
    states: BookStates, buy: bool, index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the best quote can take, in the currency it is given, and its rate before fees."""
    price, size = (states.asks if buy else states.bids)[index, 0].T
    return (price * size, 1 / price) if buy else (size, price)


def _through(
    states: BookStates, buy: bool, index: NDArray[np.int64], amount: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What taker orders spend of an amount, and receive before fees."""
    levels = (states.asks if buy else states.bids)[index]
    price, size = np.nan_to_num(levels[..., 0], nan=1.0), np.nan_to_num(levels[..., 1])
    room = price * size if buy else size
    used = np.clip(amount[:, None] - (np.cumsum(room, axis=1) - room), 0.0, room)
    return used.sum(axis=1), (used / price if buy else used * price).sum(axis=1)


def _sized(
    books: Mapping[str, OrderBook],
    route: str,
    fee: float,
    lot_sizes: float | Mapping[str, float],
) -> Route:
    start = route.partition(">")[0]
    one, two = triangular(books, fee, start=start, lot_sizes=lot_sizes).routes
    return one if ">".join(one.path) == route else two
