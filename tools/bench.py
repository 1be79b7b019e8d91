"""Our kernels against the strongest installable peers, on the same arrays.

    python tools/bench.py [--update] [WORD ...]

Each case runs both sides interleaved in one process (A B A B), on one thread, after a warm-up that
takes in a peer's JIT compilation, at least seven times, each repetition long enough to be timed.
The ratio ours / peer of the medians is what counts, with the quartiles of the ratios of neighbours.
Both results must agree, or the row is void. WORDs pick the cases whose kernel contains one of them;
without, all run and book/benchmarks.json is written. With --update, the rows of the kernels that
ran replace theirs in the file, and the others stay. A peer that is not installed (pysiglib, which
needs PyTorch, is in no list of requirements) has a row that says so.

A topic adds cases with a function under `@topic` that yields `Case`s.
"""

# ruff: noqa: E402 (the threads are set before NumPy is imported)

from __future__ import annotations

import os

for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

import importlib
import importlib.metadata
import inspect
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import bench_sweep
import numpy as np
from rich.console import Console
from rich.table import Table

import labkit
from labkit import backtest, hawkes, market_making, meanrev, metrics, ou, reference, signatures
from labkit._backend import kernels
from labkit.backtest import DEPTH, EVENT_DTYPE

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "book" / "benchmarks.json"
REPETITIONS = 9
SHORTEST = 5e-3  # seconds that a repetition takes at least


@dataclass(frozen=True)
class Case:
    """One row: our kernel and a peer on one workload."""

    kernel: str
    workload: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any] | Exception  # an exception says why the peer cannot run
    agree: Callable[[Any, Any], bool]
    target: float | None = None


TOPICS: list[Callable[[], Iterator[Case]]] = []


def topic(cases: Callable[[], Iterator[Case]]) -> Callable[[], Iterator[Case]]:
    """Register a function that yields cases."""
    TOPICS.append(cases)
    return cases


def using(module: str, build: Callable[[ModuleType], Callable[[], Any]]):
    """What `build` makes with a module, or the error that its import raises."""
    try:
        return build(importlib.import_module(module))
    except ImportError as error:
        return error


def _loops(function: Callable[[], Any]) -> int:
    """Calls that take at least SHORTEST together."""
    loops = 1
    while _seconds(function, loops) < SHORTEST:
        loops *= 2
    return loops


def _seconds(function: Callable[[], Any], loops: int) -> float:
    start = time.perf_counter()
    for _ in range(loops):
        function()
    return time.perf_counter() - start


def run(case: Case) -> dict[str, Any]:
    """The row of one case."""
    row: dict[str, Any] = {
        "kernel": case.kernel,
        "workload": case.workload,
        "peer": case.peer,
        "ratio": None,
        "spread": None,
        "target": case.target,
        "reached": None,
        "agree": None,
    }
    if isinstance(case.theirs, Exception):
        return row | {"error": f"{type(case.theirs).__name__}: {case.theirs}"}
    if not case.agree(case.ours(), case.theirs()):
        return row | {"agree": False}
    sides = [(function, _loops(function)) for function in (case.ours, case.theirs)]
    pairs = [
        [_seconds(function, loops) / loops for function, loops in sides] for _ in range(REPETITIONS)
    ]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    low, _, high = statistics.quantiles([a / b for a, b in pairs], n=4)
    ratio = float(f"{ours / theirs:.3g}")
    reached = None if case.target is None else ratio <= case.target
    spread = [float(f"{low:.3g}"), float(f"{high:.3g}")]
    return row | {"ratio": ratio, "spread": spread, "reached": reached, "agree": True}


# Arbitrage


def market(n: int, seed: int, noise: float, spread: float) -> np.ndarray:
    """Complete rates around consistent ones; profitable where noise outweighs the spread."""
    rng = np.random.default_rng(seed)
    value = np.exp(rng.normal(0, 2, n))
    rates = value[:, None] / value * np.exp(rng.normal(-spread, noise, (n, n)))
    np.fill_diagonal(rates, 1.0)
    return rates


def numba_each_round(numba: ModuleType, rates: np.ndarray):
    """Bellman-Ford on products, pointers checked after each round."""

    @numba.njit
    def search(rates, tolerance):
        n = len(rates)
        price = np.ones(n)
        after = np.full(n, -1)
        mark = np.empty(n, np.int64)
        for _ in range(n):
            changed = False
            for i in range(n):
                best = price[i] * (1 + tolerance)
                for j in range(n):
                    gain = rates[i, j] * price[j]
                    if gain > best and i != j:
                        best = gain
                        price[i] = gain
                        after[i] = j
                        changed = True
            if not changed:
                return -1
            mark[:] = -1
            for i in range(n):
                node = i
                while node >= 0 and mark[node] < 0:
                    mark[node] = i
                    node = after[node]
                if node >= 0 and mark[node] == i:
                    return node
        return n

    return lambda: search(rates, 1e-12)


def numba_each_row(numba: ModuleType, rates: np.ndarray):
    """With the validation, the start prices and the check at each row that our kernel has."""

    @numba.njit
    def search(rates, tolerance):
        n = len(rates)
        for i in range(n):
            for j in range(n):
                if i != j and not (rates[i, j] >= 0 and rates[i, j] < np.inf):
                    return -2
        price = 1 / rates[0]
        after = np.full(n, -1)
        while True:
            changed = False
            for i in range(n):
                best, at = 0.0, -1
                for j in range(n):
                    gain = rates[i, j] * price[j]
                    if gain > best and i != j:
                        best, at = gain, j
                if best > price[i] * (1 + tolerance):
                    node = at
                    while node >= 0 and node != i:
                        node = after[node]
                    if node == i:
                        return node
                    after[i] = at
                    price[i] = best / (1 + tolerance)
                    changed = True
            if not changed:
                return -1

    return lambda: search(rates, 1e-12)


def scipy_finds(csgraph: ModuleType, weights: np.ndarray):
    def search() -> int:
        try:
            csgraph.bellman_ford(weights, indices=0)
        except csgraph.NegativeCycleError:
            return 0
        return -1

    return search


def rustworkx_finds(rustworkx: ModuleType, weights: np.ndarray):
    graph = rustworkx.PyDiGraph.from_adjacency_matrix(weights)
    return lambda: 0 if rustworkx.negative_edge_cycle(graph, float) else -1


def networkx_finds(networkx: ModuleType, weights: np.ndarray):
    graph = networkx.from_numpy_array(weights, create_using=networkx.DiGraph)
    return lambda: 0 if networkx.negative_edge_cycle(graph) else -1


@topic
def negative_cycle() -> Iterator[Case]:
    for n in (50, 200, 500):
        for name, noise, spread in (("a cycle exists", 2e-3, 1e-3), ("none exists", 1e-4, 1e-3)):
            rates = market(n, seed=n, noise=noise, spread=spread)
            weights = -np.log(rates)
            peers = {
                "numba Bellman-Ford, check each round": using(
                    "numba", lambda m, r=rates: numba_each_round(m, r)
                ),
                "numba Bellman-Ford, check each row": using(
                    "numba", lambda m, r=rates: numba_each_row(m, r)
                ),
                "rustworkx": using("rustworkx", lambda m, w=weights: rustworkx_finds(m, w)),
                "scipy": using("scipy.sparse.csgraph", lambda m, w=weights: scipy_finds(m, w)),
            }
            if n == 50:
                peers["networkx"] = using("networkx", lambda m, w=weights: networkx_finds(m, w))
            for peer, theirs in peers.items():
                yield Case(
                    kernel="negative cycle",
                    workload=f"complete rate matrix, {n} currencies, {name}",
                    peer=peer,
                    ours=lambda r=rates: kernels.find_cycle(r, 1e-12),
                    theirs=theirs,
                    agree=lambda a, b: (len(a[0]) > 0) == (b >= 0),
                    target=0.5,
                )


def numba_triangles(numba: ModuleType, rates: np.ndarray):
    """Every triangle, from its smallest node."""

    @numba.njit
    def search(rates):
        n = len(rates)
        best = 0.0
        columns = np.ascontiguousarray(rates.T)
        for i in range(n):
            for j in range(i + 1, n):
                best = max(best, rates[i, j] * rates[j, i])
                for k in range(i + 1, n):
                    product = rates[i, j] * rates[j, k] * columns[i, k]
                    if product > best and k != j:
                        best = product
        return best

    return lambda: search(rates)


@topic
def best_triangle() -> Iterator[Case]:
    for n in (200, 500):
        for name, noise in (("0.2% noise", 2e-3), ("rates far from consistent", 1.0)):
            rates = market(n, seed=n, noise=noise, spread=1e-3)
            yield Case(
                kernel="best triangle",
                workload=f"complete rate matrix, {n} currencies, {name}",
                peer="numba brute force",
                ours=lambda r=rates: kernels.best_cycle(r, 3),
                theirs=using("numba", lambda m, r=rates: numba_triangles(m, r)),
                agree=lambda a, b: math.isclose(a[1], b, rel_tol=1e-14),
                target=0.33,
            )


def route_books(levels: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Asks, asks and bids of a triangle that is 1% open at the best quotes."""
    rng = np.random.default_rng(seed)
    books = []
    for mid, sign in ((100.0, 1), (0.5, 1), (50.5, -1)):
        price = mid * (1 + sign * rng.integers(1, 5, levels).cumsum() * 1e-5)
        books.append(np.column_stack([price, rng.integers(1, 100, levels) / 10]))
    return books[0], books[1], books[2]


def numba_route(numba: ModuleType, books: tuple, fee: float):
    """The same greedy merge of levels."""

    @numba.njit
    def merge(first, second, third, keep):
        i = j = k = 0
        a, b, c = first[0, 1], second[0, 1], third[0, 1]
        spent = received = 0.0
        while i < len(first) and j < len(second) and k < len(third):
            rate1, rate2 = keep / first[i, 0], keep / second[j, 0]
            rate3 = keep * third[k, 0]
            if rate1 * rate2 * rate3 <= 1 + 1e-14:
                break
            cap1 = a * first[i, 0]
            cap2 = b * second[j, 0] / rate1
            cap3 = c / (rate1 * rate2)
            step = min(cap1, cap2, cap3)
            a -= step / first[i, 0]
            b -= step * rate1 / second[j, 0]
            c -= step * rate1 * rate2
            if cap1 <= step * (1 + 1e-12):
                i += 1
                if i < len(first):
                    a = first[i, 1]
            if cap2 <= step * (1 + 1e-12):
                j += 1
                if j < len(second):
                    b = second[j, 1]
            if cap3 <= step * (1 + 1e-12):
                k += 1
                if k < len(third):
                    c = third[k, 1]
            spent += step
            received += step * rate1 * rate2 * rate3
        return spent, received

    return lambda: merge(*books, 1 - fee)


@topic
def triangular_route() -> Iterator[Case]:
    fee, buys = 5e-4, np.array([True, True, False])
    for levels in (20, 1000):
        books = route_books(levels, seed=levels)
        arguments = (*books, buys, np.full(3, fee), np.zeros(3), math.inf)
        peers = {
            "labkit.reference": lambda a=arguments: reference.triangular_route(*a),
            "numba greedy merge (no check of input)": using(
                "numba", lambda m, b=books: numba_route(m, b, fee)
            ),
        }
        for peer, theirs in peers.items():
            yield Case(
                kernel="triangular route",
                workload=f"three books of {levels} levels, continuous sizes",
                peer=peer,
                ours=lambda a=arguments: kernels.triangular_route(*a),
                theirs=theirs,
                agree=lambda a, b: math.isclose(
                    a[2][2] - a[1][0],
                    b[2][2] - b[1][0] if len(b) == 3 else b[1] - b[0],
                    rel_tol=1e-9,
                ),
            )
    books = route_books(20, seed=20)
    arguments = (*books, buys, np.full(3, fee), np.array([1e-3, 1e-2, 1e-2]), math.inf)
    yield Case(
        kernel="triangular route",
        workload="three books of 20 levels, lots",
        peer="labkit.reference",
        ours=lambda: kernels.triangular_route(*arguments),
        theirs=lambda: reference.triangular_route(*arguments),
        agree=lambda a, b: all(np.array_equal(x, y) for x, y in zip(a, b, strict=True)),
    )


# Order books


def feed(n: int, seed: int) -> np.ndarray:
    """Level changes in ticks around 10,000, never crossed."""
    rng = np.random.default_rng(seed)
    events = np.zeros(n, EVENT_DTYPE)
    side = rng.choice([1, -1], n)
    events["kind"], events["side"] = DEPTH, side
    events["price"] = 10_000 - side * (1 + rng.geometric(0.05, n))
    events["size"] = rng.integers(0, 4, n)
    return events


def numba_books(numba: ModuleType, events: np.ndarray):
    """Sizes in an array over all ticks, best quotes followed; the best of each side after each."""

    @numba.njit
    def replay(events, out):
        sizes = np.zeros((2, 20_001), np.int64)
        best = np.array([0, 20_000])
        for row in range(len(events)):
            event = events[row]
            tick, size = event.price, event.size
            if event.side > 0:
                sizes[0, tick] = size
                if size > 0 and tick > best[0]:
                    best[0] = tick
                while best[0] > 0 and sizes[0, best[0]] == 0:
                    best[0] -= 1
            else:
                sizes[1, tick] = size
                if size > 0 and tick < best[1]:
                    best[1] = tick
                while best[1] < 20_000 and sizes[1, best[1]] == 0:
                    best[1] += 1
            for other in range(2):
                if sizes[other, best[other]] > 0:
                    out[row, 2 * other] = best[other]
                    out[row, 2 * other + 1] = sizes[other, best[other]]
        return out

    # NumPy's memory has large pages, which numba's own has not.
    return lambda: replay(events, np.zeros((len(events), 4), np.int64))


@topic
def best_quotes() -> Iterator[Case]:
    events = feed(2_000_000, seed=1)
    yield Case(
        kernel="book maintenance",
        workload="2,000,000 depth events, best quotes after each",
        peer="numba dense tick array (grid known, no check of input)",
        ours=lambda: kernels.best_quotes(events),
        theirs=using("numba", lambda m: numba_books(m, events)),
        agree=np.array_equal,
        target=0.67,
    )


# Matching


def order_flow(n: int) -> tuple[np.ndarray, ...]:
    """The first `n` requests of a simulated market: time, id, kind, side, price, size."""
    distance = np.arange(1.0, 21.0)
    limits, cancels = 1.6 / np.sqrt(distance), 0.4 / distance**0.25
    arguments = (limits, cancels, 1.0, 50.0, 80.0, 1.0, 0.1)
    requests, _ = kernels.zero_intelligence_flow(1, n / 45, 100_000, *arguments)
    assert len(requests[0]) >= n
    return tuple(column[:n].copy() for column in requests)


def numba_matching(numba: ModuleType, requests: tuple[np.ndarray, ...]):
    """A level for each tick of the range used, a table of all ids, queues linked by index."""

    @numba.njit
    def run(time, ids, kinds, sides, prices, sizes, low, width):
        n = len(ids)
        where = np.full(ids.max() + 1, -1, np.int32)
        left, price, side = np.empty(n, np.int64), np.empty(n, np.int32), np.empty(n, np.int8)
        behind, ahead, row = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
        first, last = np.full((2, width), -1, np.int32), np.full((2, width), -1, np.int32)
        total = np.zeros((2, width), np.int64)
        best = [-1, width]
        trades, takers, k = np.empty((5, 2 * n), np.int64), np.empty(2 * n, np.int8), 0
        events, m = np.empty((3, 4 * n), np.int64), 0
        codes, ways = np.empty(4 * n, np.uint8), np.empty(4 * n, np.int8)
        state, reason = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        sums, taken = np.zeros((4, n), np.int64), 0  # submitted, filled, resting, cancelled
        for i in range(n):
            way = sides[i]
            if kinds[i] == 3:
                o = where[ids[i]] if 0 <= ids[i] < len(where) else -1
                if o < 0 or left[o] == 0:
                    state[i], reason[i] = 4, 2 if o < 0 else 3
                    continue
                way, p = side[o], price[o]
                s = 0 if way == 1 else 1
                total[s, p] -= left[o]
                if ahead[o] >= 0:
                    behind[ahead[o]] = behind[o]
                else:
                    first[s, p] = behind[o]
                if behind[o] >= 0:
                    ahead[behind[o]] = ahead[o]
                else:
                    last[s, p] = ahead[o]
                sums[3, row[o]] += left[o]
                state[row[o]], left[o] = 3, 0
                while s == 0 and best[0] >= 0 and first[0, best[0]] < 0:
                    best[0] -= 1
                while s == 1 and best[1] < width and first[1, best[1]] < 0:
                    best[1] += 1
                events[0, m], events[1, m], events[2, m] = time[i], p + low, total[s, p]
                codes[m], ways[m] = 1, way
                m += 1
                continue
            sums[0, i] = sizes[i]
            if where[ids[i]] >= 0:
                state[i], reason[i] = 4, 1
                continue
            o, taken, open_ = taken, taken + 1, sizes[i]
            where[ids[i]], row[o], side[o] = o, i, way
            s = 1 if way == 1 else 0
            bound = prices[i] - low if kinds[i] == 1 else (width if way == 1 else -1)
            while open_ > 0:
                p = best[s]
                if p < 0 or p >= width or (p - bound) * way > 0:
                    break
                c = first[s, p]
                while open_ > 0 and c >= 0:
                    size = min(open_, left[c])
                    open_ -= size
                    left[c] -= size
                    total[s, p] -= size
                    sums[1, row[c]] += size
                    trades[0, k], trades[1, k], trades[2, k] = time[i], ids[row[c]], ids[i]
                    trades[3, k], trades[4, k], takers[k] = p + low, size, way
                    k += 1
                    events[0, m], events[1, m], events[2, m] = time[i], p + low, size
                    codes[m], ways[m] = 2, way
                    m += 1
                    if left[c] == 0:
                        state[row[c]] = 1
                        c = behind[c]
                first[s, p] = c
                if c >= 0:
                    ahead[c] = -1
                else:
                    last[s, p] = -1
                    while s == 0 and best[0] >= 0 and first[0, best[0]] < 0:
                        best[0] -= 1
                    while s == 1 and best[1] < width and first[1, best[1]] < 0:
                        best[1] += 1
                events[0, m], events[1, m], events[2, m] = time[i], p + low, total[s, p]
                codes[m], ways[m] = 1, -way
                m += 1
            sums[1, i] = sizes[i] - open_
            left[o] = open_
            if open_ == 0:
                state[i] = 1
            elif kinds[i] == 1:
                p, s = prices[i] - low, 1 - s
                state[i], price[o] = 2, p
                ahead[o], behind[o] = last[s, p], -1
                if last[s, p] >= 0:
                    behind[last[s, p]] = o
                else:
                    first[s, p] = o
                last[s, p] = o
                total[s, p] += open_
                best[s] = max(best[s], p) if s == 0 else min(best[s], p)
                events[0, m], events[1, m], events[2, m] = time[i], p + low, total[s, p]
                codes[m], ways[m] = 1, way
                m += 1
            else:
                state[i], reason[i], left[o] = 3, 8, 0
                sums[3, i] = open_
        for o in range(taken):
            sums[2, row[o]] = left[o]
        books = trades[:, :k], takers[:k], events[:, :m], codes[:m], ways[:m]
        return (*books, state, reason, sums)

    priced = requests[4][requests[2] == 1]
    low = int(priced.min())
    return lambda: run(*requests, low, int(priced.max()) - low + 1)


def same_matching(ours: Any, theirs: Any) -> bool:
    """Every trade, event and order, column by column."""
    trades, takers, events, codes, ways, state, reason, sums = theirs
    peer = [*trades, takers, *events, codes, ways, state, reason, *sums]
    columns = [column for part in ours for column in part]
    return all(np.array_equal(a, b) for a, b in zip(columns, peer, strict=True))


@topic
def matching() -> Iterator[Case]:
    requests = order_flow(1_000_000)
    flags = np.zeros(len(requests[0]), np.uint8)
    none = [np.empty(0, dtype) for dtype in (np.int64, np.int8, np.int64, np.int64)]
    yield Case(
        kernel="matching",
        workload="1,000,000 requests of zero-intelligence flow; trades, events and orders",
        peer="numba dense ladder (grid and ids known, no modify or flags, no check of input)",
        ours=lambda: kernels.MatchingEngine(*none).process(*requests, flags),
        theirs=using("numba", lambda m: numba_matching(m, requests)),
        agree=same_matching,
    )


# Replay


def session(numba: ModuleType, n: int, seed: int) -> backtest.Recording:
    """Random limit orders, cancellations and trades on a consistent book, received 1 to 4 ms later.

    A limit order comes 1 to some ticks behind the other side's best, a cancellation takes a part
    of a level, a trade up to what the best level holds; 1.5 ms between events.
    """

    @numba.njit
    def simulate(kind, side, price, size, rng):
        levels = np.zeros((2, 20_001), np.int64)
        best = np.array([9_999, 10_001])
        for away in range(1, 60):
            levels[0, 10_000 - away] = levels[1, 10_000 + away] = 20 * rng.integers(1, 20)
        row = 0
        for away in range(1, 60):
            for s in range(2):
                tick = 10_000 + (2 * s - 1) * away
                kind[row], side[row], price[row], size[row] = 1, 1 - 2 * s, tick, levels[s, tick]
                row += 1
        while row < len(kind) - 2:
            s = rng.integers(0, 2)
            sign = 2 * s - 1  # prices of this side get worse that way
            what = rng.random()
            if what < 0.5:
                tick = best[1 - s] + sign * rng.geometric(0.15)
                levels[s, tick] += 20 * rng.integers(1, 8)
                if sign * (tick - best[s]) < 0:
                    best[s] = tick
            elif what < 0.85:
                tick = best[s] + sign * (rng.geometric(0.1) - 1)
                levels[s, tick] = max(levels[s, tick] - 20 * rng.integers(1, 12), 0)
            else:
                tick = best[s]
                taken = min(levels[s, tick], 20 * rng.integers(1, 8))
                kind[row], side[row], price[row], size[row] = 2, sign, tick, taken
                row += 1
                levels[s, tick] -= taken
            kind[row], side[row], price[row], size[row] = 1, -sign, tick, levels[s, tick]
            row += 1
            while levels[s, best[s]] == 0:
                best[s] += sign
        return row

    columns = [np.zeros(n + 2, dtype) for dtype in ("u1", "i1", "i8", "i8")]
    rng = np.random.default_rng(seed)
    simulate(*columns, rng)
    events = np.zeros(n, EVENT_DTYPE)
    for name, column in zip(("kind", "side", "price", "size"), columns, strict=True):
        events[name] = column[:n]
    events["exchange_ns"] = 10**15 + np.cumsum(rng.exponential(1.5e6, n)).astype(np.int64)
    delay = 1_000_000 + rng.exponential(1e6, n).astype(np.int64)
    events["local_ns"] = np.maximum.accumulate(events["exchange_ns"] + delay)
    return backtest.Recording(backtest.Instrument("A/B", 0.01, 0.001), events)


def hftbacktest_run(module: ModuleType, recording: backtest.Recording, interval: int | None):
    """hftbacktest in its array depth, with a quoter of the same rules on its interface."""
    from hftbacktest.order import BUY, FILLED, GTX, LIMIT, NONE, SELL
    from numba import njit

    @njit
    def quote(hbt, half_spread, skew, most, size, interval, fills):
        tick, lot = hbt.depth(0).tick_size, hbt.depth(0).lot_size
        found, sent = 0, 0
        cancel = np.zeros(100, np.uint64)
        while True:
            if interval > 0:
                over = hbt.elapse(interval) != 0
            else:
                over = hbt.wait_next_feed(True, 10**18) == 1
            values = hbt.orders(0).values()
            while values.has_next():
                order = values.get()
                if order.status == FILLED:
                    fills[found, 0] = order.exch_timestamp
                    fills[found, 1] = order.side
                    fills[found, 2] = order.exec_price_tick
                    found += 1
            if over:
                return found, sent
            hbt.clear_inactive_orders(0)
            depth = hbt.depth(0)
            bid, ask = depth.best_bid_tick, depth.best_ask_tick
            both = depth.best_bid > 0 and depth.best_ask > 0
            position = round(hbt.position(0) / lot)
            for side in (BUY, SELL):
                units = position // size
                price = 0
                if both and side * units < most:
                    if side == BUY:
                        offset = half_spread + skew * units
                        price = min(int(np.floor((bid + ask) / 2 - offset)), ask - 1)
                    else:
                        offset = half_spread - skew * units
                        price = max(int(np.ceil((bid + ask) / 2 + offset)), bid + 1)
                exposure = side * position
                quoted = False
                count = 0
                values = hbt.orders(0).values()
                while values.has_next():
                    order = values.get()
                    if order.side != side:
                        continue
                    exposure += round(order.leaves_qty / lot)
                    if order.price_tick == price and (order.req == NONE or order.status == 0):
                        quoted = True
                    elif order.cancellable:
                        cancel[count] = order.order_id
                        count += 1
                for at in range(count):
                    hbt.cancel(0, cancel[at], False)
                if price > 0 and not quoted and exposure + size <= most * size:
                    sent += 1
                    if side == BUY:
                        hbt.submit_buy_order(0, sent, price * tick, size * lot, GTX, LIMIT, False)
                    else:
                        hbt.submit_sell_order(0, sent, price * tick, size * lot, GTX, LIMIT, False)

    rows = backtest.to_hftbacktest(recording)
    ticks = recording.events["price"]

    def run():
        asset = (
            module.BacktestAsset()
            .data([rows])
            .linear_asset(1.0)
            .tick_size(0.01)
            .lot_size(0.001)
            .roi_lb(0.01 * (ticks.min() - 10))
            .roi_ub(0.01 * (ticks.max() + 10))
            .trading_value_fee_model(-0.0001, 0.0005)
            .constant_order_latency(2_000_000, 2_000_000)
            .power_prob_queue_model(3.0)
            .no_partial_fill_exchange()
        )
        hbt = module.ROIVectorMarketDepthBacktest([asset])
        fills = np.zeros((200_000, 3), np.int64)
        found, sent = quote(hbt, *QUOTES, interval or 0, fills)
        values, depth = hbt.state_values(0), hbt.depth(0)
        mid = (depth.best_bid + depth.best_ask) / 2
        equity = values.balance + values.position * mid - values.fee
        hbt.close()
        return fills[:found], sent, equity

    return run


QUOTES = (1.2, 0.3, 5, 30)  # half spread and skew in ticks, limit in orders, lots


def quoter_run(recording: backtest.Recording, interval: int | None) -> backtest.Replay:
    half_spread, skew, most, size = QUOTES
    inventory = np.arange(-most, most + 1)
    bids, asks = half_spread + skew * inventory, half_spread - skew * inventory
    bids[-1] = asks[0] = np.nan
    return backtest.replay(
        recording,
        backtest.InventoryQuoter(bids, asks, size, interval),
        latency=backtest.ConstantLatency(2_000_000, 2_000_000),
        queue=backtest.ProbabilityQueue("power", 3.0),
        fees=backtest.Fees(-0.0001, 0.0005),
        partial_fills=False,
        sample_ns=10**9,
    )


def same_run(ours: backtest.Replay, theirs: tuple) -> bool:
    fills, sent, equity = theirs
    table = ours.fills[["exchange_ns", "side", "ticks"]].to_numpy()
    return (
        len(fills) > 1000
        and sorted(map(tuple, table)) == sorted(map(tuple, fills))
        and len(ours.orders) == sent
        and math.isclose(ours.final_equity, equity, abs_tol=1e-6)
    )


@topic
def replay() -> Iterator[Case]:
    try:
        recording = session(importlib.import_module("numba"), 2_000_000, seed=1)
    except ImportError:
        return
    for kernel, interval, woken in (
        ("order-book replay", None, "woken at each event"),
        ("market-making backtest", 100_000_000, "requoting each 100 ms"),
    ):
        yield Case(
            kernel=kernel,
            workload=f"2,000,000 depth and trade events, latency and queue, {woken}",
            peer="hftbacktest 2.4 (ROIVectorMarketDepth, strategy in numba)",
            ours=lambda interval=interval: quoter_run(recording, interval),
            theirs=using("hftbacktest", lambda m, i=interval: hftbacktest_run(m, recording, i)),
            agree=same_run,
            target=0.25,
        )


# Ornstein-Uhlenbeck


def mean_reverting(rows: int, columns: int) -> np.ndarray:
    """Sampled Ornstein-Uhlenbeck processes with phi = 0.99."""
    return ou.simulate(1.0, 3.0, 0.2, dt=0.01, n_steps=columns - 1, n_paths=rows, seed=rows)


def numba_ou(numba: ModuleType, x: np.ndarray, fastmath: bool):
    """One pass with the same three sums, and the same numbers from them."""

    @numba.njit(fastmath=fastmath)
    def fit(x, dt):
        n = x.shape[1] - 1
        out = np.empty((len(x), 8))
        for i in range(len(x)):
            y = yy = dd = 0.0
            first = x[i, 0]
            for t in range(n):
                level, step = x[i, t] - first, x[i, t + 1] - x[i, t]
                y += level
                yy += level * level
                dd += step * step
            last = x[i, n] - first
            mean, drift = y / n, last / n
            sxx = yy - n * mean * mean
            sxd = 0.5 * (last * last - dd) - mean * last
            beta = sxd / sxx
            rss = dd - n * drift * drift - beta * sxd
            theta = -math.log1p(beta) / dt
            out[i, 0] = theta
            out[i, 1] = first + mean - drift / beta
            out[i, 2] = math.sqrt(rss / n * 2 * theta / (-beta * (2 + beta)))
            out[i, 3] = beta
            out[i, 4] = first + mean
            out[i, 5] = drift
            out[i, 6] = sxx
            out[i, 7] = rss
        return out

    return lambda: fit(x, 0.01)


def statsmodels_ou(ar_model: ModuleType, x: np.ndarray):
    """Constant and coefficient of the AR(1), as phi - 1 in the place of ours."""

    def fit():
        constant, phi = ar_model.AutoReg(x[0], 1, trend="c").fit().params
        return np.array([[-math.log(phi) / 0.01, constant / (1 - phi)]])

    return fit


@topic
def ornstein_uhlenbeck() -> Iterator[Case]:
    for name, rows, columns in (
        ("1 series of 1,000,000", 1, 1_000_000),
        ("10,000 series of 1,000", 10_000, 1_000),
    ):
        x = mean_reverting(rows, columns)
        peers = {
            "numba one pass, fastmath (no check of input)": using(
                "numba", lambda m, x=x: numba_ou(m, x, True)
            ),
            "numba one pass (no check of input)": using(
                "numba", lambda m, x=x: numba_ou(m, x, False)
            ),
        }
        if rows == 1:
            peers["statsmodels AutoReg"] = using(
                "statsmodels.tsa.ar_model", lambda m, x=x: statsmodels_ou(m, x)
            )
        for peer, theirs in peers.items():
            yield Case(
                kernel="OU fit",
                workload=name,
                peer=peer,
                ours=lambda x=x: kernels.ou_fit(x, 0.01),
                theirs=theirs,
                agree=lambda a, b: np.allclose(a[:, : b.shape[1]], b, rtol=1e-7, atol=0),
                target=1.0,
            )


# Mean reversion


def cointegrated(n: int, rows: int, seed: int) -> np.ndarray:
    """Levels of n assets: common random walks, and AR(1) deviations of various speeds from them."""
    rng = np.random.default_rng(seed)
    walks = rng.normal(size=(rows, max(1, n // 10))).cumsum(axis=0)
    keep = rng.uniform(0.3, 0.98, n)
    deviation = rng.normal(size=(rows, n))
    for t in range(1, rows):
        deviation[t] += keep * deviation[t - 1]
    return walks @ rng.normal(size=(walks.shape[1], n)) + deviation


def pencil(n: int, rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """M = A' Gamma A and Gamma of a VAR(1) by least squares on demeaned levels."""
    levels = cointegrated(n, rows, seed=n)
    levels -= levels.mean(axis=0)
    a = np.linalg.lstsq(levels[:-1], levels[1:], rcond=None)[0]
    covariance = levels.T @ levels / (rows - 1)
    predicted = a.T @ covariance @ a
    return (predicted + predicted.T) / 2, covariance


def numpy_next(m, gamma, spectrum, order: list[int], rest: np.ndarray) -> int:
    """The place in `rest` of the asset with which the least eigenvalue of the pencil is least.

    The pencil on a support and one more asset is an arrow in the eigenvectors of the support.
    Newton's step on all secular functions at once: each is concave below its poles, so that no
    step from above its root goes below it, and the longest one not below the least root.
    """
    poles, basis = spectrum
    variance = np.diag(gamma)[rest]
    along = basis.T @ gamma[np.ix_(order, rest)]
    coupled = basis.T @ m[np.ix_(order, rest)]
    left = variance - np.einsum("ij,ij->j", along, along)
    turned = poles[:, None] * along
    corner = np.diag(m)[rest] + np.einsum("ij,ij->j", along, turned - 2 * coupled)
    corner /= left
    squares = (coupled - turned) ** 2 / left
    half = (corner - poles[0]) / 2
    level = (poles[0] + half - np.sqrt(half**2 + squares[0])).min()
    while True:
        weights = 1 / (poles - level)
        value = corner - level - weights @ squares
        place = int(np.argmin(value))
        if value[place] >= -1e-14:
            return place
        slope = 1 + weights**2 @ squares
        level = min(level + (value / slope).min(), np.nextafter(level, -1))


def numpy_greedy(linalg: ModuleType, m: np.ndarray, gamma: np.ndarray):
    """One eigendecomposition a step: the value of this support, and the basis for the next."""

    def search() -> tuple[np.ndarray, np.ndarray]:
        order = [int(np.argmin(np.diag(m) / np.diag(gamma)))]
        rest = np.delete(np.arange(len(m)), order)
        values = []
        while True:
            at = np.ix_(order, order)
            spectrum = linalg.eigh(m[at], gamma[at], check_finite=False)
            values.append(spectrum[0][0])
            if len(rest) == 0:
                return np.array(order), np.array(values)
            place = numpy_next(m, gamma, spectrum, order, rest)
            order.append(int(rest[place]))
            rest = np.delete(rest, place)

    return search


def same_search(ours: tuple, theirs: tuple) -> bool:
    """The same assets and values to 1e-8."""
    return np.array_equal(ours[0], theirs[0]) and np.allclose(ours[1], theirs[1], rtol=1e-8, atol=0)


@topic
def greedy_path() -> Iterator[Case]:
    for n in (50, 200):
        m, gamma = pencil(n)
        yield Case(
            kernel="greedy path",
            workload=f"{n} assets, every cardinality",
            peer="SciPy eigh once a step, NumPy secular equation over all candidates",
            ours=lambda m=m, g=gamma: kernels.greedy_path(m, g),
            theirs=using("scipy.linalg", lambda s, m=m, g=gamma: numpy_greedy(s, m, g)),
            agree=same_search,
            target=0.25,
        )


@topic
def best_subset() -> Iterator[Case]:
    n, k = 20, 5
    m, gamma = pencil(n)
    yield Case(
        kernel="best subset",
        workload=f"{k} of {n} assets, proven best of {math.comb(n, k)}",
        peer="labkit.reference",
        ours=lambda: kernels.best_subset(m, gamma, k),
        theirs=lambda: reference.best_subset(m, gamma, k),
        agree=same_search,
    )


@topic
def box_tiao() -> Iterator[Case]:
    for n in (50, 200):
        model = meanrev.var(cointegrated(n, 2000, seed=n))
        yield Case(
            kernel="Box-Tiao",
            workload=f"{n} assets, all portfolios",
            peer="scipy.linalg.eigh alone",
            ours=lambda model=model: meanrev.box_tiao(model),
            theirs=using(
                "scipy.linalg", lambda s, m=model: lambda: s.eigh(m.predicted, m.covariance)
            ),
            agree=lambda a, b: np.allclose([p.predictability for p in a], b[0], rtol=1e-8),
            target=1.0,
        )


# Backtests


FAST, SLOW, FEE_RATE, CAPITAL = 20, 100, 1e-4, 1e4


def crossing_prices(bars: int) -> np.ndarray:
    """A random walk of logarithms."""
    return 100 * np.exp(np.random.default_rng(0).normal(0, 1e-4, bars).cumsum())


def labkit_cross(prices: np.ndarray):
    """Signals, then the outcome of the run, by two kernels."""
    rates = np.zeros((4, 1))
    rates[0] = FEE_RATE
    nothing = np.zeros((1, 1))
    costs = (rates, np.zeros(1), nothing, nothing, np.zeros(1))

    def backtest() -> tuple[float, float, float]:
        signals = kernels.moving_average_cross(prices, FAST, SLOW)
        equity, mean, variance, depth = kernels.bars_summary(
            signals[:, None], prices[:, None], CAPITAL, 1, False, *costs
        )
        return equity / CAPITAL - 1, mean / math.sqrt(variance), depth

    return backtest


def numba_cross(numba: ModuleType, prices: np.ndarray):
    """Moving sums, account, returns and drawdown in one loop that stores nothing."""

    @numba.njit(fastmath=True)
    def backtest(prices, fast, slow, rate, capital):
        n = len(prices)
        sum_fast = sum_slow = 0.0
        units, target, cash = 0.0, 0.0, capital
        before, high, least = capital, capital, 1.0
        total = squares = 0.0
        for t in range(n):
            price = prices[t]
            bought = target - units
            if bought != 0.0:
                cash -= bought * price + rate * abs(bought) * price
                units = target
            equity = cash + units * price
            change = equity / before - 1
            total += change
            squares += change * change
            before = equity
            high = max(high, equity)
            least = min(least, equity / high)
            sum_fast += price
            sum_slow += price
            if t >= fast:
                sum_fast -= prices[t - fast]
            if t >= slow:
                sum_slow -= prices[t - slow]
            if t >= slow - 1:
                above, below = sum_fast * slow, sum_slow * fast
                target = 1.0 if above > below else (-1.0 if above < below else 0.0)
        mean = total / (n - 1)
        variance = (squares - (n - 1) * mean * mean) / (n - 2)
        return equity / capital - 1, mean / math.sqrt(variance), 1 - least

    return lambda: backtest(prices, FAST, SLOW, FEE_RATE, CAPITAL)


@topic
def vectorised_backtest() -> Iterator[Case]:
    prices = crossing_prices(1_000_000)
    yield Case(
        kernel="vectorised backtest",
        workload="1,000,000 bars, moving-average cross, fee: return, Sharpe ratio, drawdown",
        peer="numba one fused loop, fastmath (no check of input)",
        ours=labkit_cross(prices),
        theirs=using("numba", lambda m: numba_cross(m, prices)),
        agree=lambda a, b: np.allclose(a, b, rtol=1e-7, atol=0),
        target=0.75,
    )


def empyrical_summary(empyrical: ModuleType, returns: Any, a_year: float):
    year = {"annualization": a_year}

    def summary() -> list[float]:
        return [
            empyrical.cum_returns_final(returns),
            empyrical.annual_return(returns, **year),
            empyrical.annual_volatility(returns, **year),
            empyrical.sharpe_ratio(returns, **year),
            empyrical.sortino_ratio(returns, **year),
            -empyrical.max_drawdown(returns),
        ]

    return summary


@topic
def summaries() -> Iterator[Case]:
    import pandas as pd

    index = pd.date_range("2020-01-01", periods=1_000_000, freq="min")
    returns = pd.Series(np.random.default_rng(1).normal(1e-7, 1e-4, len(index)), index)
    a_year = metrics.annualization(index)
    names = ["total_return", "annual_return", "volatility", "sharpe", "sortino", "max_drawdown"]
    yield Case(
        kernel="metrics",
        workload="1,000,000 returns: labkit.metrics.summary against six of its figures",
        peer="empyrical-reloaded",
        ours=lambda: metrics.summary(returns),
        theirs=using("empyrical", lambda m: empyrical_summary(m, returns, a_year)),
        agree=lambda a, b: np.allclose(a[names], b, rtol=1e-7, atol=1e-12),
        target=0.1,
    )


# Market making


def maker_tables(n_steps: int) -> tuple[np.ndarray, ...]:
    """Offsets and probabilities of Avellaneda-Stoikov quotes in the market of the paper."""
    market = market_making.Market(sigma=2.0, A=140.0, k=1.5, horizon=1.0, n_steps=n_steps)
    quotes = market_making.AvellanedaStoikov(0.1).offsets(market, n_steps)
    return quotes.bid, quotes.ask, *map(market.fill_probability, (quotes.bid, quotes.ask))


def numpy_maker(tables: tuple[np.ndarray, ...], n_steps: int, n_paths: int):
    """All paths at once, a step at a time, with NumPy's fastest generator."""
    bids, asks, buys, sells = (np.nan_to_num(table) for table in tables)
    spreads = np.nan_to_num(tables[0] + tables[1])
    both = ~np.isnan(tables[0] + tables[1])
    zero = bids.shape[1] // 2

    def simulate() -> tuple[np.ndarray, ...]:
        rng = np.random.Generator(np.random.SFC64(1))
        at = np.full(n_paths, zero)
        uniform = np.empty(n_paths)
        earned, spread = np.zeros(n_paths), np.zeros(n_paths)
        carried, quoted = np.zeros(n_paths, np.int64), np.zeros(n_paths, np.int64)
        moves, fills = np.zeros(n_paths, np.int64), np.zeros((2, n_paths), np.int64)
        for step in range(n_steps):
            bought = rng.random(out=uniform) < buys[step].take(at)
            sold = rng.random(out=uniform) < sells[step].take(at)
            earned += bids[step].take(at) * bought
            earned += asks[step].take(at) * sold
            spread += spreads[step].take(at)
            quoted += both[step].take(at)
            fills[0] += bought
            fills[1] += sold
            at += bought
            at -= sold
            bits = np.frombuffer(rng.bytes(-(-n_paths // 8)), np.uint8)
            direction = np.unpackbits(bits, count=n_paths).view(np.int8) * 2 - 1
            moves += direction
            carried += (at - zero) * direction
        return earned + 2 * n_steps**-0.5 * carried, at - zero, moves, spread / quoted, fills.T

    return simulate


def numba_maker(numba: ModuleType, tables: tuple[np.ndarray, ...], n_steps: int, n_paths: int):
    """One path after the other, without branches where numba makes none."""

    @numba.njit
    def walk(bids, asks, buys, sells, n_steps, n_paths, move):
        np.random.seed(1)  # noqa: NPY002 (numba's own generator)
        zero = bids.shape[1] // 2
        profit, spread = np.empty(n_paths), np.empty(n_paths)
        held, moves = np.empty(n_paths, np.int64), np.empty(n_paths, np.int64)
        fills = np.zeros((n_paths, 2), np.int64)
        for path in range(n_paths):
            at, carried, moved, quoted, earned, width = zero, 0, 0, 0, 0.0, 0.0
            for step in range(n_steps):
                bid, ask = bids[step, at], asks[step, at]
                bought = np.random.random() < buys[step, at]  # noqa: NPY002
                sold = np.random.random() < sells[step, at]  # noqa: NPY002
                if not math.isnan(bid + ask):
                    width += bid + ask
                    quoted += 1
                if bought:
                    earned += bid
                    fills[path, 0] += 1
                    at += 1
                if sold:
                    earned += ask
                    fills[path, 1] += 1
                    at -= 1
                direction = 1 if np.random.random() < 0.5 else -1  # noqa: NPY002
                moved += direction
                carried += (at - zero) * direction
            profit[path] = earned + move * carried
            held[path], moves[path], spread[path] = at - zero, moved, width / quoted
        return profit, held, moves, spread, fills

    move = 2 * n_steps**-0.5
    return lambda: walk(*tables, n_steps, n_paths, move)


def same_law(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> bool:
    """Means and standard deviations within five standard errors, of results on other numbers."""
    for ours, theirs in zip(a, b, strict=True):
        n, std = len(ours), ours.std(axis=0)
        shift = np.abs(ours.mean(axis=0) - theirs.mean(axis=0))
        spread = np.abs(std - theirs.std(axis=0))
        if (shift > 5 * std * math.sqrt(2 / n) + 1e-9).any():
            return False
        if (spread > 5 * std * math.sqrt(2 / n) + 1e-9).any():
            return False
    return True


@topic
def market_maker() -> Iterator[Case]:
    n_steps, n_paths = 200, 100_000
    tables = maker_tables(n_steps)
    peers = {
        "NumPy, all paths at once": (numpy_maker(tables, n_steps, n_paths), 0.2),
        "numba, path by path": (
            using("numba", lambda m: numba_maker(m, tables, n_steps, n_paths)),
            0.5,
        ),
    }
    for peer, (theirs, target) in peers.items():
        yield Case(
            kernel="market-making paths",
            workload=f"{n_paths:,} paths of {n_steps} steps, Avellaneda-Stoikov quotes",
            peer=peer,
            ours=lambda: kernels.simulate_market_making(
                *tables, n_steps, 0, 2 * n_steps**-0.5, n_paths, 1
            ),
            theirs=theirs,
            agree=same_law,
            target=target,
        )


def moving_quotes(n: int) -> tuple[np.ndarray, ...]:
    """Bid, its size, ask and its size; one of the prices moves in one row of four."""
    rng = np.random.default_rng(n)
    bid = 10_000 + rng.choice([-1.0, 0, 0, 0, 0, 0, 0, 1], n).cumsum()
    ask = bid + rng.choice([1.0, 1, 1, 1, 1, 1, 1, 2], n)
    bid_size, ask_size = rng.integers(1, 100, (2, n)).astype(float)
    return bid, bid_size, ask, ask_size


def numba_flow(numba: ModuleType, quotes: tuple[np.ndarray, ...]):
    @numba.njit
    def flow(bid, bid_size, ask, ask_size):
        out = np.empty(len(bid) - 1)
        for i in range(len(out)):
            demand = bid_size[i + 1] if bid[i + 1] >= bid[i] else 0.0
            demand -= bid_size[i] if bid[i + 1] <= bid[i] else 0.0
            supply = ask_size[i + 1] if ask[i + 1] <= ask[i] else 0.0
            supply -= ask_size[i] if ask[i + 1] >= ask[i] else 0.0
            out[i] = demand - supply
        return out

    return lambda: flow(*quotes)


@topic
def flow_imbalance() -> Iterator[Case]:
    n = 1_000_000
    quotes = moving_quotes(n)
    for peer, theirs, target in (
        ("labkit.reference", lambda: reference.order_flow_imbalance(*quotes), 0.5),
        ("numba (no check of input)", using("numba", lambda m: numba_flow(m, quotes)), None),
    ):
        yield Case(
            kernel="order-flow imbalance",
            workload=f"{n:,} rows of best quotes",
            peer=peer,
            ours=lambda: kernels.order_flow_imbalance(*quotes),
            theirs=theirs,
            agree=np.array_equal,
            target=target,
        )


# Report


# Hawkes processes


def hawkes_parameters(d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Baseline, adjacency and decay; each event has 0.6 children."""
    adjacency = np.random.default_rng(d).uniform(0.2, 1, (1, d, d))
    adjacency *= 0.6 / adjacency.sum(axis=1, keepdims=True)
    return np.full(d, 0.5 / d), adjacency, np.array([1.0])


def hawkes_events(d: int, n: int) -> tuple[np.ndarray, np.ndarray, None, float]:
    """The first n events of a path, and the time of the last one."""
    times, types, _, _ = kernels.hawkes_simulate(
        d, 1, 0.9 * n, *hawkes_parameters(d), None, False, 2 * n
    )
    assert len(times) >= n
    return times[:n].copy(), types[:n].copy(), None, float(times[n - 1])


def numba_hawkes(numba: ModuleType, events: tuple, parameters: tuple, fastmath: bool):
    """Ozaki's recursion for one type."""

    @numba.njit(fastmath=fastmath)
    def run(times, end, mu, alpha, beta):
        value = level = lagged = last = 0.0
        by_mu = by_alpha = by_beta = 0.0
        for now in times:
            gap = now - last
            last = now
            fade = math.exp(-beta * gap)
            lagged = fade * (lagged + gap * level)
            level *= fade
            rate = mu + alpha * beta * level
            value += math.log(rate)
            inverse = 1 / rate
            by_mu += inverse
            by_alpha += level * inverse
            by_beta += (level - beta * lagged) * inverse
            level += 1.0
        gap = end - last
        fade = math.exp(-beta * gap)
        lagged = fade * (lagged + gap * level)
        spent = len(times) - level * fade
        value -= mu * end + alpha * spent
        return value, by_mu - end, beta * by_alpha - spent, alpha * (by_beta - lagged)

    (times, _, _, end), (mu, alpha, beta) = events, parameters
    return lambda: run(times, end, mu[0], alpha[0, 0, 0], beta[0])


def numba_hawkes_types(numba: ModuleType, events: tuple, parameters: tuple, fastmath: bool):
    """Ozaki's recursion for several types of one decay."""

    @numba.njit(fastmath=fastmath)
    def run(times, types, end, mu, alpha, beta):
        d = len(mu)
        level, lagged, count = np.zeros(d), np.zeros(d), np.zeros(d)
        by_mu, by_alpha = np.zeros(d), np.zeros((d, d))
        value = by_beta = last = 0.0
        for k in range(len(times)):
            gap, i = times[k] - last, types[k]
            last = times[k]
            fade = math.exp(-beta * gap)
            near = far = 0.0
            for j in range(d):
                lagged[j] = fade * (lagged[j] + gap * level[j])
                level[j] *= fade
                near += alpha[i, j] * level[j]
                far += alpha[i, j] * lagged[j]
            rate = mu[i] + beta * near
            value += math.log(rate)
            inverse = 1 / rate
            by_mu[i] += inverse
            by_beta += (near - beta * far) * inverse
            for j in range(d):
                by_alpha[i, j] += level[j] * inverse
            level[i] += 1.0
            count[i] += 1.0
        gap = end - last
        fade = math.exp(-beta * gap)
        for j in range(d):
            lagged[j] = fade * (lagged[j] + gap * level[j])
            level[j] *= fade
        for i in range(d):
            value -= mu[i] * end
            by_mu[i] -= end
            for j in range(d):
                spent = count[j] - level[j]
                value -= alpha[i, j] * spent
                by_alpha[i, j] = beta * by_alpha[i, j] - spent
                by_beta -= alpha[i, j] * lagged[j]
        return value, by_mu, by_alpha, by_beta

    (times, types, _, end), (mu, alpha, beta) = events, parameters
    return lambda: run(times, types, end, mu, alpha[0], beta[0])


def hawkeslib_likelihood(hawkeslib: ModuleType, events: tuple, parameters: tuple):
    """The value alone."""
    (times, _, _, end), (mu, alpha, beta) = events, parameters
    model = hawkeslib.UnivariateExpHawkesProcess()
    model.set_params(mu[0], alpha[0, 0, 0], beta[0])
    return lambda: (model.log_likelihood(times, end),)


def same_likelihood(a: tuple, b: tuple) -> bool:
    """The values to ten digits, the derivatives to as many of the sums that they are left of."""
    near = math.isclose(a[0], b[0], rel_tol=1e-10)
    pairs = zip(a[1:], b[1:], strict=False)
    return near and all(np.allclose(x, y, rtol=1e-8, atol=1e-4) for x, y in pairs)


@topic
def hawkes_likelihood() -> Iterator[Case]:
    for d, n, target in ((1, 1_000_000, 0.33), (10, 100_000, 0.4)):
        events, parameters = hawkes_events(d, n), hawkes_parameters(d)
        loop = numba_hawkes if d == 1 else numba_hawkes_types
        peers = {
            f"numba loop{word}": using(
                "numba", lambda m, f=loop, e=events, p=parameters, k=fast: f(m, e, p, k)
            )
            for word, fast in (("", False), (", fastmath", True))
        }
        if d == 1:
            peers["hawkeslib (value alone)"] = using(
                "hawkeslib", lambda m, e=events, p=parameters: hawkeslib_likelihood(m, e, p)
            )
        for peer, theirs in peers.items():
            yield Case(
                kernel="Hawkes likelihood and gradient",
                workload=f"{n:,} events of {d} type{'s' * (d > 1)}, one decay, all derivatives",
                peer=peer,
                ours=lambda e=events, p=parameters: kernels.hawkes_likelihood(*e, *p),
                theirs=theirs,
                agree=same_likelihood,
                target=target,
            )


def numba_fit(numba: ModuleType, d: int, events: tuple):
    """L-BFGS-B over the numba loop, in the same parameters, from the same kind of start."""
    from scipy import optimize

    times, types, _, end = events
    loop = numba_hawkes if d == 1 else numba_hawkes_types
    parameters = hawkes_parameters(d)
    size = d * d

    def arrays(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.exp(x[:d]), x[d : d + size].reshape(1, d, d), np.exp(x[-1:])

    rates = np.bincount(types, minlength=d) / end
    start = np.concatenate([np.log(0.3 * rates), np.full(size, 0.7 / d), np.log([rates.sum()])])
    run = loop(numba, events, parameters, False)
    compiled = inspect.getclosurevars(run).nonlocals["run"]  # the loop, for other parameters

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        mu, alpha, beta = arrays(x)
        if d == 1:
            found = compiled(times, end, mu[0], alpha[0, 0, 0], beta[0])
        else:
            found = compiled(times, types, end, mu, alpha[0], beta[0])
        value, by_mu, by_alpha, by_beta = found
        parts = [np.atleast_1d(by_mu) * mu, np.ravel(by_alpha), np.atleast_1d(by_beta) * beta]
        return -value / len(times), -np.concatenate(parts) / len(times)

    bounds = [(None, None)] * d + [(0, None)] * size + [(None, None)]
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxcor": 20, "maxiter": 2_000}

    def fit() -> float:
        found = optimize.minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        return -found.fun * len(times)

    return fit


@topic
def hawkes_fit() -> Iterator[Case]:
    for d in (1, 10):
        events = hawkes_events(d, 100_000)
        times = events[0] if d == 1 else [events[0][events[1] == i] for i in range(d)]
        yield Case(
            kernel="Hawkes fit",
            workload=f"100,000 events of {d} type{'s' * (d > 1)}, one decay, one start",
            peer="numba loop and SciPy L-BFGS-B",
            ours=lambda times=times, end=events[3]: hawkes.fit(times, end, n_starts=1),
            theirs=using("numba", lambda m, d=d, e=events: numba_fit(m, d, e)),
            agree=lambda ours, theirs: math.isclose(ours.log_likelihood, theirs, rel_tol=1e-9),
            target=0.33,
        )


def numba_ogata(numba: ModuleType, parameters: tuple, end: float, room: int):
    """Thinning, with one number for the next candidate and its type."""

    @numba.njit
    def run(end, mu, jumps, totals, beta, room):
        np.random.seed(1)  # noqa: NPY002 (numba's own generator)
        d, base, above, time, n = len(mu), mu.sum(), 0.0, 0.0, 0
        excess, times, types = np.zeros(d), np.empty(room), np.empty(room, np.int64)
        while True:
            bound = base + above
            wait = np.random.exponential() / bound  # noqa: NPY002
            time += wait
            if time > end:
                return times[:n], types[:n]
            fade = math.exp(-beta * wait)
            above *= fade
            for i in range(d):
                excess[i] *= fade
            rest = np.random.random() * bound  # noqa: NPY002
            if rest < base + above:
                kind = d - 1
                for i in range(d - 1):
                    rate = mu[i] + excess[i]
                    if rest < rate:
                        kind = i
                        break
                    rest -= rate
                times[n], types[n] = time, kind
                n += 1
                for i in range(d):
                    excess[i] += jumps[kind, i]
                above += totals[kind]

    mu, alpha, beta = parameters
    jumps = np.ascontiguousarray(alpha[0].T) * beta[0]
    return lambda: run(end, mu, jumps, jumps.sum(axis=1), beta[0], room)


def numba_inversion(numba: ModuleType, parameters: tuple, end: float, room: int):
    """The next event of the baseline or that of the excess, both inverted: our construction."""

    @numba.njit
    def run(end, mu, jumps, totals, beta, room):
        np.random.seed(1)  # noqa: NPY002 (numba's own generator)
        d, base, above, time, n = len(mu), mu.sum(), 0.0, 0.0, 0
        excess, times, types = np.zeros(d), np.empty(room), np.empty(room, np.int64)
        while True:
            wait = np.random.exponential() / base  # noqa: NPY002
            lost = beta * np.random.exponential()  # noqa: NPY002
            fade = 1 - lost / above if above > lost else 0.0
            own = -math.log(fade) / beta if fade > 0 else np.inf
            if own < wait:
                wait = own
            else:
                fade = math.exp(-beta * wait)
            time += wait
            if time > end:
                return times[:n], types[:n]
            above *= fade
            kind = 0
            if d > 1:
                rest = np.random.random() * (base + above)  # noqa: NPY002
                kind = d - 1
                for i in range(d):
                    excess[i] *= fade
                for i in range(d - 1):
                    rate = mu[i] + excess[i]
                    if rest < rate:
                        kind = i
                        break
                    rest -= rate
                for i in range(d):
                    excess[i] += jumps[kind, i]
            times[n], types[n] = time, kind
            n += 1
            above += totals[kind]

    mu, alpha, beta = parameters
    jumps = np.ascontiguousarray(alpha[0].T) * beta[0]
    return lambda: run(end, mu, jumps, jumps.sum(axis=1), beta[0], room)


def hawkespylib_path(simulation: ModuleType, parameters: tuple, end: float):
    mu, alpha, beta = parameters
    process = simulation.ExpHawkesProcessSimulation(mu[0], alpha[0, 0, 0], beta[0])
    return lambda: (process.simulate(end, seed=1),)


def same_process(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> bool:
    """Counts within five standard errors of two that have 0.6 children, and alike in bursts."""
    n, m = len(a[0]), len(b[0])
    bursts, others = (np.diff(times).std() * len(times) / times[-1] for times in (a[0], b[0]))
    return abs(n - m) < 5 * math.sqrt(2 * n) / (1 - 0.6) and math.isclose(
        bursts, others, rel_tol=0.02
    )


@topic
def hawkes_simulation() -> Iterator[Case]:
    n = 1_000_000
    end = 0.8 * n  # half a baseline event and 1.25 events a unit of time
    for d in (1, 10):
        parameters = hawkes_parameters(d)
        peers = {
            "numba thinning": using(
                "numba", lambda m, p=parameters: numba_ogata(m, p, end, 11 * n // 10)
            ),
            "numba inversion": using(
                "numba", lambda m, p=parameters: numba_inversion(m, p, end, 11 * n // 10)
            ),
        }
        if d == 1:
            peers["HawkesPyLib"] = using(
                "HawkesPyLib.simulation", lambda m, p=parameters: hawkespylib_path(m, p, end)
            )
        for peer, theirs in peers.items():
            yield Case(
                kernel="Hawkes simulation",
                workload=f"one path of about {n:,} events of {d} type{'s' * (d > 1)}, one decay",
                peer=peer,
                ours=lambda p=parameters: kernels.hawkes_simulate(
                    1, 1, end, *p, None, False, 2 * n
                ),
                theirs=theirs,
                agree=same_process,
                target=0.5,
            )


# Signatures


def walks(b: int, n: int, d: int, seed: int) -> np.ndarray:
    """Random walks of unit size at their end."""
    steps = np.random.default_rng(seed).normal(size=(b, n, d)) / math.sqrt(n)
    return np.ascontiguousarray(steps.cumsum(axis=1))


def on_threads(threads: int, function: Callable[[], Any]) -> Callable[[], Any]:
    """Ours with so many threads: the number is read at each call."""

    def run() -> Any:
        os.environ["RAYON_NUM_THREADS"] = str(threads)
        try:
            return function()
        finally:
            os.environ["RAYON_NUM_THREADS"] = "1"

    return run


def same_numbers(ours: Any, theirs: Any) -> bool:
    theirs = np.asarray(theirs)
    ours = np.asarray(ours)
    same_shape = ours.shape == theirs.shape
    return same_shape and bool(np.abs(ours - theirs).max() <= 1e-10 * (1 + np.abs(theirs).max()))


def against_pysiglib(
    kernel: str,
    workload: str,
    ours: Callable[[], Any],
    theirs: Callable[[ModuleType, int], Callable[[], Any]],
    target: float,
) -> Iterator[Case]:
    """Rows with one thread and with two; the target is that of one."""
    for threads in (1, 2):
        yield Case(
            kernel=kernel,
            workload=workload + (", two threads" if threads == 2 else ""),
            peer="pysiglib",
            ours=on_threads(threads, ours),
            theirs=using("pysiglib", lambda m, t=threads: theirs(m, t)),
            agree=same_numbers,
            target=target if threads == 1 else None,
        )


def pysiglib_log(pysiglib: ModuleType, paths: np.ndarray, depth: int, threads: int):
    """In the Lyndon basis; its tables are made before."""
    pysiglib.prepare_log_sig(paths.shape[2], depth, 2)
    return lambda: pysiglib.log_sig(paths, depth, method=2, n_jobs=threads)


def pysiglib_gradient(pysiglib: ModuleType, paths, depth: int, weights, threads: int):
    """From the paths on, as ours."""
    weights = weights[:, 1:].copy()

    def run() -> Any:
        found = pysiglib.sig(paths, depth, n_jobs=threads)
        return pysiglib.sig_backprop(paths, found, weights, depth, n_jobs=threads)

    return run


@topic
def signature_of_paths() -> Iterator[Case]:
    for b, n, d, depth, target in (
        (128, 1_000, 3, 5, 0.5),
        (1_000, 100, 2, 6, 0.4),
        (1, 100_000, 4, 4, 0.5),
    ):
        paths = walks(b, n, d, seed=1)
        weights = np.random.default_rng(2).normal(size=(b, signatures.size(d, depth)))
        word = f"{b:,} path{'s' * (b > 1)} of {n:,} points, {d} dimensions, depth {depth}"
        yield from against_pysiglib(
            "signature",
            word,
            lambda x=paths, k=depth: kernels.signature(x, k, False),
            lambda m, t, x=paths, k=depth: lambda: m.sig(x, k, scalar_term=True, n_jobs=t),
            target,
        )
        yield from against_pysiglib(
            "log-signature",
            word + ", Lyndon basis",
            lambda x=paths, k=depth: signatures.log_signature(x, k),
            lambda m, t, x=paths, k=depth: pysiglib_log(m, x, k, t),
            0.5,
        )
        yield from against_pysiglib(
            "signature gradient",
            word,
            lambda x=paths, k=depth, w=weights: kernels.signature_gradient(x, k, w),
            lambda m, t, x=paths, k=depth, w=weights: pysiglib_gradient(m, x, k, w, t),
            0.5,
        )


@topic
def signature_kernels() -> Iterator[Case]:
    for b, n, target in ((128, 100, 0.67), (16, 1_000, 0.33)):
        left, right = walks(b, n, 3, seed=1), walks(b, n, 3, seed=2)
        yield from against_pysiglib(
            "signature kernel",
            f"{b} pairs of {n:,} points, 3 dimensions",
            lambda x=left, y=right: kernels.signature_kernel(x, y, 0),
            lambda m, t, x=left, y=right: lambda: m.sig_kernel(x, y, dyadic_order=0, n_jobs=t),
            target,
        )
    left, right = walks(64, 100, 3, seed=1), walks(64, 100, 3, seed=2)
    yield from against_pysiglib(
        "signature Gram matrix",
        "64 by 64 paths of 100 points, 3 dimensions, halved once",
        lambda: kernels.signature_gram(left, right, 1),
        lambda m, t: lambda: m.sig_kernel_gram(left, right, dyadic_order=1, n_jobs=t),
        0.67,
    )


# Optimal stopping


def motion_covariance(n: int, hurst: float) -> np.ndarray:
    t = np.arange(1, n + 1) / n
    s = t[:, None]
    return (t ** (2 * hurst) + s ** (2 * hurst) - abs(t - s) ** (2 * hurst)) / 2


def numpy_cholesky(n_paths: int, n_steps: int, hurst: float) -> Callable[[], np.ndarray]:
    factor = np.linalg.cholesky(motion_covariance(n_steps, hurst))
    rng = np.random.default_rng(1)

    def run() -> np.ndarray:
        paths = np.empty((n_paths, n_steps + 1))
        paths[:, 0] = 0
        paths[:, 1:] = rng.standard_normal((n_paths, n_steps)) @ factor.T
        return paths

    return run


def numpy_davies_harte(n_paths: int, n_steps: int, hurst: float) -> Callable[[], np.ndarray]:
    """Two paths a transform, real and imaginary part."""
    k = np.arange(n_steps + 1.0)
    powers = [abs(k + shift) ** (2 * hurst) for shift in (1, 0, -1)]
    spectrum = np.fft.hfft((powers[0] - 2 * powers[1] + powers[2]) / 2, 2 * n_steps)
    scale = np.sqrt(spectrum / (2 * n_steps)) * n_steps**-hurst
    rng = np.random.default_rng(1)

    def run() -> np.ndarray:
        half = n_paths // 2
        normals = rng.standard_normal((half, 2 * n_steps, 2)).view(complex)[..., 0]
        noise = np.fft.fft(normals * scale, axis=1)[:, :n_steps]
        paths = np.zeros((n_paths, n_steps + 1))
        np.cumsum(noise.real, axis=1, out=paths[:half, 1:])
        np.cumsum(noise.imag, axis=1, out=paths[half:, 1:])
        return paths

    return run


@topic
def fractional_paths() -> Iterator[Case]:
    size = (2**15, 100, 0.3)
    workload = "32,768 paths of 100 steps, H = 0.3"
    exact = motion_covariance(100, 0.3)

    def same_motion(ours: np.ndarray, theirs: np.ndarray) -> bool:
        error = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / size[0])
        return all(
            (abs(paths[:, 1:].T @ paths[:, 1:] / size[0] - exact) < 6 * error).all()
            for paths in (ours, theirs)
        )

    def ours(method: str) -> Callable[[], np.ndarray]:
        return lambda: kernels.fractional_brownian_motion(*size, 1, method)

    for method, peer, theirs, target in (
        ("cholesky", "NumPy Cholesky, BLAS", numpy_cholesky(*size), 0.33),
        ("cholesky", "NumPy Davies-Harte", numpy_davies_harte(*size), None),
        ("davies_harte", "NumPy Davies-Harte", numpy_davies_harte(*size), None),
    ):
        yield Case(
            kernel="fractional_brownian_motion",
            workload=f"{workload}, {method.replace('_', '-')}",
            peer=peer,
            ours=ours(method),
            theirs=theirs,
            agree=same_motion,
            target=target,
        )
    yield Case(
        kernel="fractional_brownian_motion",
        workload=f"{workload}, cholesky, two threads",
        peer="labkit, one thread",
        ours=on_threads(2, ours("cholesky")),
        theirs=ours("cholesky"),
        agree=np.array_equal,
        target=0.6,
    )


def numpy_policy(features: np.ndarray, rewards: np.ndarray, positive: bool):
    n, b, k = features.shape
    coefficients, stops, cash = np.zeros((n, k)), np.full(b, n - 1), rewards[-1].copy()
    for date in range(n - 2, -1, -1):
        chosen = np.flatnonzero(rewards[date] > 0) if positive else slice(None)
        x, gains = features[date, chosen], rewards[date, chosen]
        coefficients[date] = np.linalg.solve(x.T @ x, x.T @ cash[chosen])
        stopping = gains >= x @ coefficients[date]
        where = chosen[stopping] if positive else stopping
        cash[where], stops[where] = gains[stopping], date
    return coefficients, stops


def numba_policy(numba: ModuleType, features, rewards, positive: bool, fastmath: bool):
    @numba.njit(fastmath=fastmath)
    def run(features, rewards, positive):
        n, b, k = features.shape
        coefficients, stops = np.zeros((n, k)), np.full(b, n - 1)
        cash = rewards[n - 1].copy()
        for date in range(n - 2, -1, -1):
            gram, moments = np.zeros((k, k)), np.zeros(k)
            for i in range(b):
                if positive and not rewards[date, i] > 0:
                    continue
                for p in range(k):
                    x = features[date, i, p]
                    moments[p] += x * cash[i]
                    for q in range(p + 1):
                        gram[p, q] += x * features[date, i, q]
            for p in range(k):
                for q in range(p):
                    gram[q, p] = gram[p, q]
            weights = np.linalg.solve(gram, moments)
            coefficients[date] = weights
            for i in range(b):
                if positive and not rewards[date, i] > 0:
                    continue
                fitted = 0.0
                for p in range(k):
                    fitted += features[date, i, p] * weights[p]
                if rewards[date, i] >= fitted:
                    cash[i] = rewards[date, i]
                    stops[i] = date
        return coefficients, stops

    return lambda: run(features, rewards, positive)


def same_policy(ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...]) -> bool:
    return np.allclose(ours[0], theirs[0], rtol=1e-9, atol=1e-10) and np.array_equal(
        ours[1], theirs[1]
    )


@topic
def stopping_policies() -> Iterator[Case]:
    rng = np.random.default_rng(1)
    features = rng.standard_normal((100, 2**15, 10))
    features[..., 0] = 1
    rewards = np.maximum(rng.standard_normal((100, 2**15)) + features[..., 1], 0)
    workload = "32,768 paths, 100 dates, 10 features"
    for positive in (False, True):
        which = "in the money" if positive else "all paths"
        data = (features, rewards, positive)
        peers = {
            f"numba loop{word}": using("numba", lambda m, d=data, f=fast: numba_policy(m, *d, f))
            for word, fast in (("", False), (", fastmath", True))
        }
        peers["NumPy normal equations, BLAS"] = lambda d=data: numpy_policy(*d)
        for peer, theirs in peers.items():
            yield Case(
                kernel="backward_regression",
                workload=f"{workload}, {which}",
                peer=peer,
                ours=lambda d=data: kernels.backward_regression(*d),
                theirs=theirs,
                agree=same_policy,
                target=0.33 if peer == "numba loop" else None,
            )
    data = (features, rewards, False)
    yield Case(
        kernel="backward_regression",
        workload=f"{workload}, all paths, two threads",
        peer="labkit, one thread",
        ours=on_threads(2, lambda: kernels.backward_regression(*data)),
        theirs=lambda: kernels.backward_regression(*data),
        agree=lambda ours, theirs: all(map(np.array_equal, ours, theirs)),
        target=0.6,
    )


def _cpu_flags() -> list[str]:
    """The instruction sets that matter, where the system tells them."""
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.exists() else set()
    return sorted(words & {"sse4_2", "avx", "avx2", "fma", "avx512f", "asimd", "sve"})


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "labkit": labkit.__version__}
    for package in (
        "numpy",
        "numba",
        "scipy",
        "networkx",
        "rustworkx",
        "empyrical-reloaded",
        "pysiglib",
    ):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _verdict(row: dict[str, Any]) -> str:
    if "error" in row:
        return row["error"]
    if not row["agree"]:
        return "void: the results differ"
    return {None: "", True: "reached", False: "not reached"}[row["reached"]]


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table("kernel", "workload", "peer", "ours / peer", "quartiles", "target", "")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.3g}"
        spread = "" if row["spread"] is None else "{:.3g} - {:.3g}".format(*row["spread"])
        target = "" if row["target"] is None else f"{row['target']:g}"
        cells = (row["kernel"], row["workload"], row["peer"], ratio, spread, target)
        table.add_row(*cells, _verdict(row))
    Console().print(table)


def main(words: list[str]) -> int:
    """Run the cases, print the table, write the file; 1 where results differ."""
    if labkit.backend() != "rust":
        print("bench: the Rust module is not built, there is nothing to measure", file=sys.stderr)
        return 1
    update = "--update" in words
    words = [word for word in words if word != "--update"]
    cases = [case for cases in TOPICS for case in cases()]
    cases = [case for case in cases if not words or any(word in case.kernel for word in words)]
    rows = []
    with Console(stderr=True).status("") as status:
        for number, case in enumerate(cases, 1):
            status.update(f"{number}/{len(cases)} {case.kernel}, {case.workload}, {case.peer}")
            rows.append(run(case))
        if not words or any(word in "sweep" for word in words):
            status.update("sweep")
            rows += bench_sweep.rows()
    rows.sort(key=lambda row: (row["kernel"], row["workload"], row["peer"]))
    _show(rows)
    failed = int(any(row["agree"] is False for row in rows))
    versions = _versions()
    if update:
        measured = {row["kernel"] for row in rows}
        before = json.loads(OUTPUT.read_text(encoding="utf-8"))
        rows += [row for row in before["rows"] if row["kernel"] not in measured]
        rows.sort(key=lambda row: (row["kernel"], row["workload"], row["peer"]))
        # A peer that is not here now was there for the rows that stay.
        there = {name: now for name, now in versions.items() if now != "not installed"}
        versions = before["meta"]["versions"] | there
    if update or not words:
        meta = {
            "versions": versions,
            "machine": platform.machine(),
            "cpu_flags": _cpu_flags(),
            "command": "python tools/bench.py",
            "threads": 1,
            "repetitions": REPETITIONS,
        }
        OUTPUT.parent.mkdir(exist_ok=True)
        text = json.dumps({"meta": meta, "rows": rows}, indent=2)
        OUTPUT.write_text(text + "\n", encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
