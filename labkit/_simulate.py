"""Simulated sessions and panels with known truth.

A panel of prices hides one mean-reverting portfolio among random walks; it is returned with the
panel, so that an estimate can be held against it.

A triangle of three books is quoted around two efficient prices that follow random walks. No
quote may open a profitable round trip (it is pulled back to break-even first), except where one
is planted: then one order stands in the cross book, for an exponential time, at which a taker's
round trip at the best quotes earns a chosen edge after three fees. What is planted is returned
with the events, so that a detector can be held against it: all of it must be found, and nothing
else.

A market of one instrument lives from orders that come and go at random, through a matching engine;
every rate is known, and every order that made the book.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labkit import _validate as validate
from labkit._backend import kernels
from labkit._events import Instrument, Recording
from labkit.matching import REQUEST_DTYPE, Matched, match, snapshot
from labkit.reference import _checks as check
from labkit.reference import _philox as philox

__all__ = ["SimulatedMarket", "simulate_basket", "simulate_market", "simulate_triangle"]

EPOCH_NS = 1_700_000_000_000_000_000  # start of every simulated session, UTC
BOOKS = ("BTC/USDT", "ETH/USDT", "ETH/BTC")
MARKETS = pd.DataFrame(
    {"tick_size": [0.01, 0.01, 1e-6], "lot_size": [1e-5, 1e-4, 1e-4]},
    index=pd.Index(BOOKS, name="symbol"),
)
TICK, LOT = MARKETS["tick_size"].to_dict(), MARKETS["lot_size"].to_dict()
PRICE = {"BTC/USDT": 20_000.0, "ETH/USDT": 1_500.0}  # at the start
DEPTH_USDT = 4_000.0  # mean size at the best quote
# The two round trips from USDT: at which side of each book a taker trades.
ROUTES = {
    "USDT>BTC>ETH>USDT": {"BTC/USDT": "ask", "ETH/BTC": "ask", "ETH/USDT": "bid"},
    "USDT>ETH>BTC>USDT": {"ETH/USDT": "ask", "ETH/BTC": "bid", "BTC/USDT": "bid"},
}


@dataclass
class _Side:
    """Prices in ticks and sizes in lots, best first."""

    ticks: np.ndarray
    lots: np.ndarray


def _product(route: dict[str, str], quotes: dict[tuple[str, str], float]) -> float:
    """Gross product of a round trip at best quotes: buy at the ask, sell at the bid."""
    product = 1.0
    for symbol, side in route.items():
        price = quotes[symbol, side]
        product *= 1.0 / price if side == "ask" else price
    return product


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite, got {value!r}")


def simulate_triangle(
    seed: int | np.random.Generator,
    *,
    duration_s: float = 120.0,
    n_planted: int = 16,
    fee_bps: float = 10.0,
    edge_bps: tuple[float, float] = (1.0, 8.0),
    mean_life_ms: float = 150.0,
    half_spread_bps: float = 1.0,
    volatility_bps: float = 0.8,
    quote_rate: float = 2.5,
    levels: int = 5,
) -> dict[str, pd.DataFrame]:
    """Simulate the books of BTC/USDT, ETH/USDT and ETH/BTC with planted round trips.

    Parameters
    ----------
    seed : int or numpy.random.Generator
        Source of randomness; one generator, drawn from in order of time.
    duration_s : float
        Length of the session, seconds.
    n_planted : int
        Number of planted opportunities.
    fee_bps : float
        Taker fee of each leg, basis points of what the leg receives, that the edges are net of.
    edge_bps : (float, float)
        Range of the uniform law of the planted net edge, basis points.
    mean_life_ms : float
        Mean of the exponential life of an opportunity, milliseconds.
    half_spread_bps : float
        Half-spread that each book aims at, basis points.
    volatility_bps : float
        Volatility of the efficient log prices, basis points per square root of a second.
    quote_rate : float
        Quote updates of each book, per second.
    levels : int
        Levels on each side.

    Returns
    -------
    dict of str to DataFrame
        `events` (a row for each changed level, as in `labkit.data.load`), `markets` (tick and
        lot sizes by symbol) and `planted`: message, end_message, start_ns, end_ns (venue's
        clock), route, gross_product and net_product at the quotes as rounded to ticks.

    Raises
    ------
    ValueError
        A parameter is not positive, a fee, half-spread or edge is above 1000 basis points, or the
        planted opportunities do not fit into the session.

    Examples
    --------
    >>> session = simulate_triangle(7, duration_s=20, n_planted=3)
    >>> len(session["planted"])
    3
    """
    _positive(
        duration_s=duration_s,
        mean_life_ms=mean_life_ms,
        half_spread_bps=half_spread_bps,
        volatility_bps=volatility_bps,
        quote_rate=quote_rate,
    )
    for name, value, least in (("n_planted", n_planted, 0), ("levels", levels, 1)):
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if not 0 <= fee_bps <= 1e3:
        raise ValueError(f"fee_bps must be in [0, 1000], got {fee_bps!r}")
    if not half_spread_bps <= 1e3:
        raise ValueError(f"half_spread_bps must be at most 1000, got {half_spread_bps!r}")
    if not 0 < edge_bps[0] <= edge_bps[1] <= 1e3:
        raise ValueError(f"edge_bps must be an increasing pair in (0, 1000], got {edge_bps}")
    random = np.random.default_rng(seed)
    session = _Session(random, half_spread_bps / 1e4, levels)
    kept = (1 - fee_bps / 1e4) ** 3

    lives = np.maximum(random.exponential(mean_life_ms / 1e3, n_planted), 0.02)
    starts, ends = _planting_times(random, lives, duration_s)
    quoting = np.sort(random.uniform(0, duration_s, random.poisson(3 * quote_rate * duration_s)))
    busy = np.searchsorted(starts, quoting, side="right") - 1
    quiet = (
        (busy < 0) | (quoting > ends[np.maximum(busy, 0)])
        if n_planted
        else np.full(len(quoting), True)
    )
    # While an opportunity is open the books stand still: its edge is the planted one.
    agenda = sorted(
        [(t, "quote", -1) for t in quoting[quiet]]
        + [(t, "plant", i) for i, t in enumerate(starts)]
        + [(t, "end", i) for i, t in enumerate(ends)]
    )
    planted: list[dict] = []
    clock = 0.0
    for time, action, index in agenda:
        session.drift(volatility_bps / 1e4 * math.sqrt(time - clock))
        clock = time
        if action == "quote":
            session.requote(BOOKS[random.integers(3)], time)
        elif action == "plant":
            route = list(ROUTES)[random.integers(2)]
            net = 1 + random.uniform(*edge_bps) / 1e4
            message, gross = session.plant(ROUTES[route], net / kept, time)
            planted.append(
                {
                    "message": message,
                    "end_message": -1,
                    "start_ns": session.stamp(time),
                    "end_ns": -1,
                    "route": route,
                    "gross_product": gross,
                    "net_product": gross * kept,
                }
            )
        else:
            planted[index]["end_message"] = session.requote("ETH/BTC", time)
            planted[index]["end_ns"] = session.stamp(time)
    columns = [
        "message",
        "end_message",
        "start_ns",
        "end_ns",
        "route",
        "gross_product",
        "net_product",
    ]
    return {
        "events": session.events(),
        "markets": MARKETS.copy(),
        "planted": pd.DataFrame(planted, columns=columns),
    }


def _planting_times(
    random: np.random.Generator, lives: np.ndarray, duration_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Start and end times that never overlap: the free time is split uniformly between them."""
    gap = 0.25  # seconds at least between two opportunities
    free = duration_s - lives.sum() - gap * (len(lives) + 1)
    if free <= 0 and len(lives):
        raise ValueError(f"n_planted: {len(lives)} opportunities do not fit into {duration_s} s")
    waits = np.diff(np.sort(random.uniform(0, free, len(lives))), prepend=0.0) + gap
    starts = np.cumsum(waits) + np.concatenate([[0.0], np.cumsum(lives)[:-1]])[: len(lives)]
    return starts, starts + lives


class _Session:
    """The three books, their messages, and the efficient prices behind them."""

    def __init__(self, random: np.random.Generator, half_spread: float, levels: int) -> None:
        self.random, self.half_spread, self.levels = random, half_spread, levels
        self.log_price = {symbol: math.log(price) for symbol, price in PRICE.items()}
        self.books: dict[tuple[str, str], _Side] = {}
        self.rows: list[tuple] = []
        self.message = 0
        self.last_local = 0
        for symbol in BOOKS:
            self._send(symbol, self._sides(symbol, *self._quotes(symbol)), 0.0, snapshot=True)

    def stamp(self, time: float) -> int:
        return EPOCH_NS + round(time * 1e6) * 1_000  # the venue stamps microseconds

    def drift(self, deviation: float) -> None:
        for symbol in self.log_price:
            self.log_price[symbol] += deviation * self.random.standard_normal()

    def _mid(self, symbol: str) -> float:
        if symbol == "ETH/BTC":
            return math.exp(self.log_price["ETH/USDT"] - self.log_price["BTC/USDT"])
        return math.exp(self.log_price[symbol])

    def _best(self) -> dict[tuple[str, str], float]:
        return {
            (symbol, side): book.ticks[0] * TICK[symbol]
            for (symbol, side), book in self.books.items()
        }

    def _quotes(self, symbol: str) -> tuple[int, int]:
        """Best bid and ask in ticks, pulled back until no round trip through them gains."""
        tick = TICK[symbol]
        mid = self._mid(symbol)
        bid = math.floor(mid * (1 - self.half_spread) / tick)
        ask = math.ceil(mid * (1 + self.half_spread) / tick)
        if len(self.books) == 6:
            quotes = self._best()
            quotes[symbol, "bid"], quotes[symbol, "ask"] = bid * tick, ask * tick
            for route in ROUTES.values():
                excess = _product(route, quotes)
                if excess > 1 and route[symbol] == "bid":
                    bid = math.floor(bid / excess)
                elif excess > 1:
                    ask = math.ceil(ask * excess)
        return bid, ask

    def _side(self, symbol: str, best: int, step: int) -> _Side:
        tick, lot = TICK[symbol], LOT[symbol]
        gaps = self.random.integers(1, 1 + max(1, round(best * 1e-4)), self.levels - 1)
        ticks = best + step * np.concatenate([[0], np.cumsum(gaps)])
        quote = PRICE["BTC/USDT"] if symbol == "ETH/BTC" else 1.0  # USDT of one quote unit
        mean = DEPTH_USDT / (best * tick * quote) / lot
        mean *= np.arange(1, self.levels + 1)  # deeper levels are larger
        lots = np.ceil(mean * self.random.lognormal(-0.125, 0.5, self.levels)).astype(int)
        return _Side(ticks, lots)

    def _sides(self, symbol: str, bid: int, ask: int) -> dict[str, _Side]:
        return {"bid": self._side(symbol, bid, -1), "ask": self._side(symbol, ask, 1)}

    def _send(
        self, symbol: str, sides: dict[str, _Side], time: float, *, snapshot: bool = False
    ) -> int:
        """Replace the given sides of a book and write the differences as one message."""
        tick, lot = TICK[symbol], LOT[symbol]
        exchange = self.stamp(time)
        delay = 20_000_000 + round(self.random.gamma(2.0, 1_000_000))
        self.last_local = max(self.last_local + 1_000, exchange + delay)  # one connection, in order
        for side, new in sides.items():
            old = self.books.get((symbol, side))
            before = {} if old is None else dict(zip(old.ticks, old.lots, strict=True))
            after = dict(zip(new.ticks, new.lots, strict=True))
            changed = {t: 0 for t in before if t not in after}
            changed |= {t: n for t, n in after.items() if before.get(t) != n}
            for ticks, lots in changed.items():
                self.rows.append(
                    (
                        self.message,
                        exchange,
                        self.last_local,
                        symbol,
                        snapshot,
                        side,
                        round(ticks * tick, 6),
                        round(lots * lot, 6),
                    )
                )
            self.books[symbol, side] = new
        self.message += 1
        return self.message - 1

    def requote(self, symbol: str, time: float) -> int:
        return self._send(symbol, self._sides(symbol, *self._quotes(symbol)), time)

    def plant(self, route: dict[str, str], gross: float, time: float) -> tuple[int, float]:
        """Put one order into the cross book at which the round trip multiplies by `gross`."""
        symbol, side = "ETH/BTC", route["ETH/BTC"]
        quotes = self._best()
        factor = gross / _product(route, quotes)
        bid, ask = (self.books[symbol, name].ticks[0] for name in ("bid", "ask"))
        if side == "bid":  # sold at a higher bid; the asks make room for it
            bid = math.ceil(bid * factor)
            ask = max(bid + 1, ask)
        else:  # bought at a lower ask
            ask = math.floor(ask / factor)
            bid = min(ask - 1, bid)
        sides = self._sides(symbol, bid, ask)
        behind = self.books[symbol, side]
        sides[side] = _Side(
            np.concatenate([sides[side].ticks[:1], behind.ticks]),
            np.concatenate([sides[side].lots[:1], behind.lots]),
        )
        message = self._send(symbol, sides, time)
        return message, _product(route, self._best())

    def events(self) -> pd.DataFrame:
        from labkit._readers import EVENT_COLUMNS

        return pd.DataFrame(self.rows, columns=EVENT_COLUMNS)


def simulate_basket(
    seed: int,
    *,
    n_assets: int = 5,
    n_days: int = 2000,
    cardinality: int = 3,
    half_life: float = 5.0,
    spread: float = 2.0,
) -> dict[str, pd.DataFrame]:
    """Simulate prices that hide exactly one mean-reverting portfolio.

    The price vector is ``100 + w z[t] + (I - w w') r[t]``: a stationary AR(1) process z along the
    planted weights w, and n - 1 independent random walks in every other direction. No other
    combination of the prices reverts to a mean.

    Parameters
    ----------
    seed : int
        Of numpy's default generator, zero or more; the same seed gives the same tables.
    n_assets, n_days : int
        Columns and rows of the panel.
    cardinality : int
        Assets with a planted weight other than zero, from 2 to `n_assets`. Their magnitudes differ
        by at most a factor of three before w is scaled to unit length.
    half_life : float
        Of z, in days.
    spread : float
        Stationary standard deviation of z, in daily standard deviations of the random walks.

    Returns
    -------
    dict of str to DataFrame
        `prices` (n_days x n_assets, business days from 2000-01-03) and `planted` (one column
        `weight` of unit Euclidean length, the entry of largest magnitude positive).

    Raises
    ------
    ValueError
        A parameter is out of range.
    TypeError
        A parameter is no number; the seed or a count is no integer.

    Examples
    --------
    >>> panel = simulate_basket(1)
    >>> panel["prices"].shape, int((panel["planted"]["weight"] != 0).sum())
    ((2000, 5), 3)
    """
    half_life = validate.positive("half_life", half_life)
    spread = validate.positive("spread", spread)
    check.count("n_days", n_days, 2)
    check.count("n_assets", n_assets, 2)
    if check.count("cardinality", cardinality, 2) > n_assets:
        raise ValueError(f"cardinality must be at most n_assets = {n_assets}, got {cardinality}")
    random = np.random.default_rng(check.count("seed", seed, 0))
    members = random.choice(n_assets, cardinality, replace=False)
    weights = np.zeros(n_assets)
    weights[members] = random.uniform(1, 3, cardinality) * random.choice([-1, 1], cardinality)
    weights /= np.linalg.norm(weights)
    weights = weights * np.sign(weights[np.abs(weights).argmax()]) + 0.0  # no minus zero
    phi = 0.5 ** (1 / half_life)
    shocks = random.normal(0, spread * math.sqrt(1 - phi**2), n_days)
    shocks[0] = random.normal(0, spread)
    from scipy.signal import lfilter  # two seconds, and every import of labkit.data would pay them

    reverting = lfilter([1.0], [1.0, -phi], shocks)
    walks = random.normal(size=(n_days, n_assets)).cumsum(axis=0)
    prices = 100 + np.outer(reverting, weights) + walks - np.outer(walks @ weights, weights)
    names = pd.Index([f"asset {i + 1}" for i in range(n_assets)])
    days = pd.bdate_range("2000-01-03", periods=n_days, name="date")
    return {
        "prices": pd.DataFrame(prices, days, names),
        "planted": pd.DataFrame({"weight": weights}, names),
    }


SIM = Instrument("SIM/USD", tick_size=0.01, lot_size=0.001)
LATENCY_STREAM = 1  # of the seed; the order flow takes stream 0


@dataclass(frozen=True, eq=False)
class SimulatedMarket:
    """A simulated recording, and everything that made it.

    Attributes
    ----------
    recording : Recording
        A snapshot of the book at the start, then each trade and each level changed.
    requests : ndarray of REQUEST_DTYPE (see `labkit.matching`)
        The orders behind it, in order of arrival; times as in the recording.
    opening : DataFrame
        The orders that rest at the start, as in `labkit.matching.Matched.book`.
    matched : labkit.matching.Matched
        What the engine made of the requests: ``match(requests, book=opening)``.
    fundamental : DataFrame
        `time_ns` (venue's clock) and `ticks` of the fundamental price: at the start, then after
        each jump.
    rates : DataFrame
        By `distance` in ticks from the opposite best quote: `limit_rate` of one side, and
        `cancel_rate` of one resting order, per second. The last `cancel_rate` holds from there on.
    parameters : DataFrame
        One row: the other arguments of `simulate_market`.
    """

    recording: Recording
    requests: NDArray
    opening: pd.DataFrame
    matched: Matched
    fundamental: pd.DataFrame
    rates: pd.DataFrame
    parameters: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of a data set: events, markets, fundamental, rates and parameters."""
        instrument = self.recording.instrument
        markets = pd.DataFrame(
            {"tick_size": [instrument.tick_size], "lot_size": [instrument.lot_size]},
            index=pd.Index([instrument.symbol], name="symbol"),
        )
        return {
            "events": self.recording.to_frame(),
            "markets": markets,
            "fundamental": self.fundamental,
            "rates": self.rates,
            "parameters": self.parameters,
        }


def simulate_market(
    seed: int,
    *,
    duration_s: float = 600.0,
    warm_up_s: float = 60.0,
    start_price: int = 10_000,
    limit_rates: ArrayLike | None = None,
    cancel_rates: ArrayLike | None = None,
    market_rate: float = 1.0,
    limit_size: float = 50.0,
    market_size: float = 80.0,
    fundamental_rate: float = 1.0,
    pull: float = 0.1,
    latency_ms: float = 2.0,
    jitter_ms: float = 0.5,
) -> SimulatedMarket:
    """Simulate the order book of SIM/USD (tick 0.01, lot 0.001) from random order flow.

    The model is that of Cont, Stoikov and Talreja, Operations Research 58 (2010) 549-563, with
    sizes; flat rates give nearly that of Smith, Farmer, Gillemot and Krishnamurthy, Quantitative
    Finance 3 (2003) 481-514. Limit orders arrive at each distance from the opposite best quote,
    market orders on each side, all as Poisson processes; every resting order leaves after an
    exponential time at the rate of its distance. Sizes are geometric on 1, 2, ... lots.

    So that the mid goes somewhere, a fundamental price steps a tick up or down; a share
    ``(1 + tilt) / 2`` of market orders buys, with ``tilt = pull * (fundamental - mid)`` cut to
    [-1, 1]. Market orders on both sides together remain Poisson at ``2 * market_rate``. With
    ``pull=0`` there is no such thing.

    Time is continuous and the simulation exact (no steps). The book starts with one order at each
    distance on each side; what happens in the first `warm_up_s` is not recorded. Where a side is
    empty, its last best quote stands in for it: distances are measured from there, and a market
    order finds nothing and is cancelled.

    Parameters
    ----------
    seed : int
        From 0 to 2**64 - 1; the same seed gives the same market on every machine, but for times,
        which may differ by a nanosecond where the C library's logarithm does.
    duration_s, warm_up_s : float
        Seconds; `warm_up_s` may be 0.
    start_price : int
        Ticks, of mid and fundamental price before the warm-up; above the number of limit rates.
    limit_rates : array_like, shape (k,), optional
        Of one side, per second, at 1 to k ticks from the opposite best quote; by default
        ``1.6 / sqrt(d)`` for d = 1 to 20.
    cancel_rates : array_like, shape (m,), optional
        Of one resting order, per second, at 1 to m ticks from the opposite best quote, the last one
        from there on; by default ``0.4 / d**0.25`` for d = 1 to 20.
    market_rate : float
        Of one side where nothing tilts, per second.
    limit_size, market_size : float
        Mean sizes, lots, at least 1 (which makes every order one lot).
    fundamental_rate : float
        Jumps per second; it is the variance of the fundamental price, in squared ticks a second.
    pull : float
        Per tick.
    latency_ms, jitter_ms : float
        An event is received after `latency_ms` and an exponential time of mean `jitter_ms`, one for
        all rows of a request, but never before the event in front of it. At most 1e9.

    Returns
    -------
    SimulatedMarket

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, or more than 1e9 orders are expected.

    Examples
    --------
    >>> market = simulate_market(1, duration_s=10)
    >>> market.recording.instrument.symbol, len(market.requests) > 300
    ('SIM/USD', True)
    """
    duration_s = validate.positive("duration_s", duration_s)
    waits = {"warm_up_s": warm_up_s, "latency_ms": latency_ms, "jitter_ms": jitter_ms}
    for name, value in waits.items():
        waits[name] = validate.finite(name, value)
        if waits[name] < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
        if name != "warm_up_s" and waits[name] > 1e9:
            raise ValueError(f"{name} must be at most 1e9, got {value}")
    distance = np.arange(1.0, 21.0)
    if limit_rates is None:
        limit_rates = 1.6 / np.sqrt(distance)
    if cancel_rates is None:
        cancel_rates = 0.4 / distance**0.25
    limit_rates = validate.array("limit_rates", limit_rates, (None,))
    cancel_rates = validate.array("cancel_rates", cancel_rates, (None,))
    parameters = {
        "market_rate": market_rate,
        "limit_size": limit_size,
        "market_size": market_size,
        "fundamental_rate": fundamental_rate,
        "pull": pull,
    }
    columns, path = kernels.zero_intelligence_flow(
        seed,
        waits["warm_up_s"] + duration_s,
        start_price,
        limit_rates,
        cancel_rates,
        **parameters,
    )
    requests = np.zeros(len(columns[0]), REQUEST_DTYPE)
    for name, column in zip(
        ("time_ns", "id", "kind", "side", "price", "size"), columns, strict=True
    ):
        requests[name] = column
    warm_up_ns = round(waits["warm_up_s"] * 1e9)
    # The book that is there at time zero is not an event of the session.
    first = np.searchsorted(requests["time_ns"], max(warm_up_ns, 2 * len(limit_rates)), "right")
    requests["time_ns"] += EPOCH_NS - warm_up_ns
    opening = match(requests[:first]).book
    matched = match(requests[first:], instrument=SIM, book=opening)
    events = np.concatenate([snapshot(opening, EPOCH_NS), matched.events])
    delay = 1e6 * waits["latency_ms"], 1e6 * waits["jitter_ms"]
    events["local_ns"] = _received(seed, events["exchange_ns"], *delay)
    settings = {"seed": seed, "duration_s": duration_s, "start_price": start_price}
    return SimulatedMarket(
        recording=Recording(SIM, events),
        requests=requests[first:],
        opening=opening,
        matched=matched,
        fundamental=_fundamental(start_price, path, warm_up_ns),
        rates=_rates(limit_rates, cancel_rates),
        parameters=pd.DataFrame([settings | parameters | waits]),
    )


def _received(
    seed: int, exchange_ns: NDArray[np.int64], latency_ns: float, jitter_ns: float
) -> NDArray[np.int64]:
    """Times of receipt; events of one time are one message."""
    sent, message = np.unique(exchange_ns, return_inverse=True)
    jitter = philox.exponential(philox.raw(seed, LATENCY_STREAM, 0, len(sent)))
    received = sent + (latency_ns + jitter_ns * jitter).astype(np.int64)
    return np.maximum.accumulate(received)[message]


def _fundamental(
    start: int, path: tuple[NDArray[np.int64], NDArray[np.int64]], warm_up_ns: int
) -> pd.DataFrame:
    times, ticks = path
    first = np.searchsorted(times, warm_up_ns, side="right")
    now = ticks[first - 1] if first else start
    return pd.DataFrame(
        {
            "time_ns": np.append(EPOCH_NS, times[first:] + EPOCH_NS - warm_up_ns),
            "ticks": np.append(now, ticks[first:]),
        }
    )


def _rates(limit_rates: NDArray[np.float64], cancel_rates: NDArray[np.float64]) -> pd.DataFrame:
    depth = max(len(limit_rates), len(cancel_rates))
    return pd.DataFrame(
        {
            "limit_rate": np.pad(limit_rates, (0, depth - len(limit_rates))),
            "cancel_rate": np.pad(cancel_rates, (0, depth - len(cancel_rates)), mode="edge"),
        },
        index=pd.RangeIndex(1, depth + 1, name="distance"),
    )
