"""Our kernels against the strongest installable peers, on the same arrays.

    python tools/bench.py [WORD ...]

Each case runs both sides interleaved in one process (A B A B), on one thread, after a warm-up that
takes in a peer's JIT compilation, at least seven times, each repetition long enough to be timed.
The ratio ours / peer of the medians is what counts, with the quartiles of the ratios of neighbours.
Both results must agree, or the row is void. WORDs pick the cases whose kernel contains one of them;
without, all run and book/benchmarks.json is written.

A topic adds cases with a function under `@topic` that yields `Case`s.
"""

# ruff: noqa: E402 (the threads are set before NumPy is imported)

from __future__ import annotations

import os

for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

import importlib
import importlib.metadata
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

import numpy as np
from rich.console import Console
from rich.table import Table

import labkit
from labkit import market_making, meanrev, ou, reference
from labkit._backend import kernels

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


def feed(k: int, seed: int) -> tuple[np.ndarray, ...]:
    """Level changes in ticks around 10,000, one a message, never crossed."""
    rng = np.random.default_rng(seed)
    side = rng.integers(0, 2, k).astype(np.int8)
    away = 1 + rng.geometric(0.05, k)
    tick = np.where(side == 0, 10_000 - away, 10_000 + away)
    size = rng.integers(0, 4, k).astype(np.float64)
    return np.arange(k), side, tick.astype(np.float64), size, np.zeros(k, bool)


def numba_books(numba: ModuleType, events: tuple[np.ndarray, ...]):
    """Sizes in an array over all ticks, best quotes followed; the best of each side after each."""

    @numba.njit
    def replay(side, price, size):
        sizes = np.zeros((2, 20_001))
        best = np.array([0, 20_000])
        out = np.full((2, len(side), 2), np.nan)
        for row in range(len(side)):
            s, tick = side[row], int(price[row])
            sizes[s, tick] = size[row]
            if s == 0:
                if size[row] > 0 and tick > best[0]:
                    best[0] = tick
                while best[0] > 0 and sizes[0, best[0]] == 0:
                    best[0] -= 1
            else:
                if size[row] > 0 and tick < best[1]:
                    best[1] = tick
                while best[1] < 20_000 and sizes[1, best[1]] == 0:
                    best[1] += 1
            for other in range(2):
                if sizes[other, best[other]] > 0:
                    out[other, row, 0] = best[other]
                    out[other, row, 1] = sizes[other, best[other]]
        return out

    return lambda: replay(*events[1:4])


@topic
def rebuild_books() -> Iterator[Case]:
    events = feed(2_000_000, seed=1)
    yield Case(
        kernel="book maintenance",
        workload="2,000,000 depth events, best quotes after each",
        peer="numba dense tick array (grid known, no check of input)",
        ours=lambda: kernels.rebuild_books(*events, 1),
        theirs=using("numba", lambda m: numba_books(m, events)),
        agree=lambda a, b: all(
            np.array_equal(x[:, 0], y, equal_nan=True) for x, y in zip(a, b, strict=True)
        ),
        target=0.67,
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


def best_quotes(n: int) -> tuple[np.ndarray, ...]:
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
    quotes = best_quotes(n)
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


def _cpu_flags() -> list[str]:
    """The instruction sets that matter, where the system tells them."""
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.exists() else set()
    return sorted(words & {"sse4_2", "avx", "avx2", "fma", "avx512f", "asimd", "sve"})


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "labkit": labkit.__version__}
    for package in ("numpy", "numba", "scipy", "networkx", "rustworkx"):
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
    cases = [case for cases in TOPICS for case in cases()]
    cases = [case for case in cases if not words or any(word in case.kernel for word in words)]
    rows = []
    with Console(stderr=True).status("") as status:
        for number, case in enumerate(cases, 1):
            status.update(f"{number}/{len(cases)} {case.kernel}, {case.workload}, {case.peer}")
            rows.append(run(case))
    rows.sort(key=lambda row: (row["kernel"], row["workload"], row["peer"]))
    _show(rows)
    if not words:
        meta = {
            "versions": _versions(),
            "machine": platform.machine(),
            "cpu_flags": _cpu_flags(),
            "command": "python tools/bench.py",
            "threads": 1,
            "repetitions": REPETITIONS,
        }
        OUTPUT.parent.mkdir(exist_ok=True)
        text = json.dumps({"meta": meta, "rows": rows}, indent=2)
        OUTPUT.write_text(text + "\n", encoding="utf-8")
    return int(any(row["agree"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
