"""Arbitrage: enumeration, exact fractions and published tables as the oracles."""

import itertools
import math
from fractions import Fraction

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labkit._backend import kernels
from labkit.arbitrage import best_cycle, cycle_products, find_cycle, triangular
from labkit.orderbook import OrderBook

# Sedgewick & Wayne, Algorithms, 4th edition, section 4.4, rates.txt.
NAMES = ["USD", "EUR", "GBP", "CHF", "CAD"]
RATES = pd.DataFrame(
    [
        [1, 0.741, 0.657, 1.061, 1.005],
        [1.349, 1, 0.888, 1.433, 1.366],
        [1.521, 1.126, 1, 1.614, 1.538],
        [0.942, 0.698, 0.619, 1, 0.953],
        [0.995, 0.732, 0.650, 1.049, 1],
    ],
    index=NAMES,
    columns=NAMES,
)


def products(rates, length=None):
    """Product of every simple cycle, by networkx, keyed by its nodes from the smallest on."""
    graph = nx.DiGraph((i, j) for i, j in np.argwhere(rates > 0).tolist() if i != j)
    result = {}
    for nodes in nx.simple_cycles(graph, length_bound=length):
        first = nodes.index(min(nodes))
        cycle = (*nodes[first:], *nodes[:first])
        result[cycle] = math.prod(
            rates[a, b] for a, b in zip(cycle, cycle[1:] + cycle[:1], strict=True)
        )
    return result


def test_sedgewick_wayne_table():
    every = products(RATES.to_numpy())
    assert len(every) == 84
    assert sum(product > 1 for product in every.values()) == 30
    best = best_cycle(RATES)
    assert best.nodes == ("USD", "EUR", "CAD")
    assert best.product == pytest.approx(1.0071449700, rel=1e-12)
    assert best.product == max(every.values())
    assert best.profitable and best.prices is None
    found = find_cycle(RATES)
    assert found.profitable and found.product > 1
    key = tuple(NAMES.index(name) for name in found.nodes)
    assert every[key] == pytest.approx(found.product, rel=1e-15)


matrices = st.integers(2, 6).flatmap(
    lambda n: hnp.arrays(
        np.float64, (n, n), elements=st.one_of(st.just(0.0), st.just(1.0), st.floats(0.5, 2.0))
    )
)


@settings(max_examples=200, deadline=None)
@given(matrices, st.integers(2, 6))
def test_best_cycle_equals_enumeration(rates, length):
    every = products(rates, length)
    cycle = best_cycle(rates, length)
    assert cycle.product == pytest.approx(max(every.values(), default=0.0), rel=1e-12)
    if every:
        assert every[cycle.nodes] == pytest.approx(cycle.product, rel=1e-12)
    else:
        assert cycle.nodes == ()


def certifies(rates, prices, tolerance):
    p = np.array(list(prices.values()))
    bound = (1 + tolerance) * p[:, None]
    off = ~np.eye(len(p), dtype=bool)
    return (p > 0).all() and (rates * p <= bound)[off].all()


@settings(max_examples=300, deadline=None)
@given(matrices, st.sampled_from([1e-14, 1e-12, 1e-2]))
def test_find_cycle_answers_once_and_verifiably(rates, tolerance):
    cycle = find_cycle(rates, tolerance)
    every = products(rates)
    if cycle.profitable:
        assert cycle.prices is None
        assert every[cycle.nodes] > 1 + tolerance
    else:
        assert cycle.nodes == () and certifies(rates, cycle.prices, tolerance)
        for nodes, product in every.items():
            assert product <= (1 + tolerance) ** len(nodes) * (1 + 1e-14)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=40))
def test_consistent_rates_never_give_a_cycle(values):
    values = np.array(values)
    rates = values[:, None] / values
    cycle = find_cycle(rates, tolerance=1e-14)
    assert not cycle.profitable and certifies(rates, cycle.prices, 1e-14)
    assert best_cycle(rates, max_length=3).prices is not None


def test_a_long_cycle_is_found_and_short_search_does_not_deny_it():
    n = 30
    rates = np.zeros((n, n))
    for i in range(n):
        rates[i, (i + 1) % n] = 1.001
        rates[(i + 1) % n, i] = 0.9
    assert find_cycle(rates).nodes == tuple(range(n))
    short = best_cycle(rates, max_length=3)
    assert not short.profitable and short.prices is None
    assert best_cycle(rates, max_length=n).product == pytest.approx(1.001**n)


@pytest.mark.parametrize("n", [50, 120])
def test_best_triangle_equals_numpy_on_wide_matrices(n):
    rng = np.random.default_rng(n)
    values = np.exp(rng.normal(size=n))
    rates = values[:, None] / values * np.exp(rng.normal(-1e-3, 2e-3, (n, n)))
    np.fill_diagonal(rates, 0)
    best = max((rates[i, :, None] * rates * rates[:, i]).max() for i in range(n))
    assert best_cycle(rates, 3).product == pytest.approx(best, rel=1e-14)
    assert best_cycle(rates, 3).product > (rates * rates.T).max()


def test_no_market_has_no_cycle():
    cycle = best_cycle(np.zeros((3, 3)))
    assert (cycle.nodes, cycle.product, cycle.profitable) == ((), 0.0, False)
    assert cycle.prices == {0: 1.0, 1: 1.0, 2: 1.0}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"rates": [[1, -1], [1, 1]]}, ValueError, r"rates\[0, 1\]"),
        ({"rates": [[1, np.nan], [1, 1]]}, ValueError, r"rates\[0, 1\]"),
        ({"rates": [[1, 1]]}, ValueError, "shape"),
        ({"rates": [["1"]]}, TypeError, "numbers"),
        ({"rates": RATES.iloc[::-1]}, ValueError, "same labels"),
        ({"rates": RATES, "names": NAMES}, ValueError, "names"),
        ({"rates": np.ones((2, 2)), "names": ["a", "a"]}, ValueError, "2 different names"),
        ({"rates": np.ones((2, 2)), "names": ["a"]}, ValueError, "2 different names"),
        ({"rates": np.ones((2, 2)), "tolerance": 0.0}, ValueError, "tolerance"),
    ],
)
def test_bad_rates_are_refused(arguments, error, words):
    for function in (best_cycle, find_cycle):
        with pytest.raises(error, match=words):
            function(**arguments)


def test_best_cycle_asks_for_a_length_where_all_are_too_many():
    with pytest.raises(ValueError, match="max_length"):
        best_cycle(np.ones((13, 13)))
    with pytest.raises(ValueError, match="max_length"):
        best_cycle(np.ones((3, 3)), max_length=1)


# Triangles of books


def triangle(btc=(99, 100), cross=(0.49, 0.50), bch=(51, 52), size=10.0):
    return {
        "BTC/USDT": OrderBook([[btc[0], size]], [[btc[1], size]]),
        "BCH/BTC": OrderBook([[cross[0], size]], [[cross[1], size]]),
        "BCH/USDT": OrderBook([[bch[0], size]], [[bch[1], size]]),
    }


def test_triangle_by_hand():
    best = triangular(triangle(), fees=0.0, start="USDT").best
    assert best.path == ("USDT", "BTC", "BCH", "USDT")
    assert best.gross_product == best.net_product == pytest.approx(1 / 100 / 0.5 * 51)
    # The last leg limits: 10 BCH at 51, bought with 5 BTC, bought with 500 USDT.
    assert [leg.symbol for leg in best.legs] == ["BTC/USDT", "BCH/BTC", "BCH/USDT"]
    assert [leg.side for leg in best.legs] == ["buy", "buy", "sell"]
    assert [leg.quantity for leg in best.legs] == pytest.approx([5, 10, 10])
    assert [leg.notional for leg in best.legs] == pytest.approx([500, 5, 510])
    assert [leg.limit_price for leg in best.legs] == [100, 0.5, 51]
    assert (best.spent, best.received, best.profit) == pytest.approx((500, 510, 10))
    assert best.dust == {"BTC": 0.0, "BCH": 0.0}


def test_fees_are_taken_from_what_each_leg_receives():
    fees = {"BTC/USDT": 0.001, "BCH/BTC": 0.002, "BCH/USDT": 0.003}
    best = triangular(triangle(), fees, start="USDT").best
    assert best.net_product == pytest.approx(1.02 * 0.999 * 0.998 * 0.997)
    first, second, third = best.legs
    assert first.fee == pytest.approx(0.001 * first.quantity)
    assert second.fee == pytest.approx(0.002 * second.quantity)
    assert third.fee == pytest.approx(0.003 * third.notional)
    assert first.quantity - first.fee == pytest.approx(second.notional)
    assert second.quantity - second.fee == pytest.approx(third.quantity)
    assert best.received == pytest.approx(third.notional - third.fee)


@pytest.mark.parametrize("start", ["USDT", "BTC", "BCH"])
def test_either_direction_and_any_start(start):
    reverse = triangle(cross=(0.51, 0.52), bch=(49, 50))
    for books in (triangle(), reverse):
        result = triangular(books, 0.0, start=start)
        assert {route.path[0] for route in result.routes} == {start}
        assert result.best.profit > 0
        assert sorted(route.profit > 0 for route in result.routes) == [False, True]


@pytest.mark.parametrize("lot", [0.0, 0.1])
def test_books_without_arbitrage_give_no_trade(lot):
    fair = triangle(btc=(100, 100.5), cross=(0.5, 0.501), bch=(50, 50.1))
    result = triangular(fair, 0.001, start="USDT", lot_sizes=lot)
    for route in result.routes:
        assert route.net_product < 1
        assert (route.spent, route.received, route.profit) == (0, 0, 0)
        assert all(leg.quantity == 0 and math.isnan(leg.limit_price) for leg in route.legs)
    assert result.best.net_product == max(route.net_product for route in result.routes)


def test_break_even_is_no_profit():
    # 1 / 0.1 * 0.3 / 3 is 1, and above 1 in float64 in some orders.
    even = {
        "A/S": OrderBook([], [[0.1, 5]]),
        "A/B": OrderBook([[0.3, 5]], []),
        "B/S": OrderBook([[1 / 3, 5]], []),
    }
    assert triangular(even, 0.0, start="S").best.spent == 0


def test_an_empty_side_closes_one_direction():
    books = triangle()
    books["BCH/BTC"] = OrderBook(books["BCH/BTC"].bids, [])
    first, second = triangular(books, 0.0, start="USDT").routes
    assert not math.isnan(first.gross_product)
    assert math.isnan(second.gross_product) and second.spent == 0
    assert triangular(books, 0.0, start="USDT").best.path == first.path


def random_books(rng, edge=0.01, depth=4):
    """Books around a consistent triangle, the cross rate off by about `edge`."""
    mids = {"BTC/USDT": 100.0, "BCH/BTC": 0.5 * (1 + rng.normal(0, edge)), "BCH/USDT": 50.0}
    books = {}
    for symbol, mid in mids.items():
        steps = rng.integers(1, 8, (2, depth)).cumsum(axis=1) * 1e-3 * mid
        sizes = rng.integers(1, 60, (2, depth)) / 10
        books[symbol] = OrderBook(
            np.column_stack([mid - steps[0], sizes[0]]),
            np.column_stack([mid + steps[1], sizes[1]]),
        )
    return books


@pytest.mark.parametrize("lot", [0.0, {"BTC/USDT": 0.01, "BCH/BTC": 0.1, "BCH/USDT": 0.3}])
@pytest.mark.parametrize("seed", range(8))
def test_no_size_on_a_grid_beats_the_optimum(seed, lot):
    books = random_books(np.random.default_rng(seed), edge=0.02)
    for start in ("USDT", "BCH"):
        for route in triangular(books, 0.0005, start=start, lot_sizes=lot).routes:
            sizes = np.linspace(0, 2 * route.spent + 100, 4001)
            grid = route.outcome(books, sizes)
            assert grid["profit"].max() <= route.profit + 1e-9
            (own,) = route.outcome(books, [route.spent]).itertuples(index=False)
            assert own.spent == pytest.approx(route.spent, rel=1e-9)
            assert own.profit == pytest.approx(route.profit, abs=1e-9)


def test_max_size_caps_what_is_spent():
    free = triangular(triangle(), 0.0, start="USDT").best
    capped = triangular(triangle(), 0.0, start="USDT", max_size=123.0).best
    assert capped.spent == pytest.approx(123) and capped.profit < free.profit
    lots = triangular(triangle(), 0.0, start="USDT", max_size=123.0, lot_sizes=0.25).best
    assert lots.spent == pytest.approx(100) and lots.legs[0].quantity == 1.0


class ExactLeg:
    """A leg in exact fractions."""

    def __init__(self, levels, buy, fee, lot):
        self.levels = levels
        self.buy, self.keep, self.lot = buy, 1 - Fraction(str(fee)), Fraction(str(lot))

    def counts(self):
        return range(1, int(sum(size for _, size in self.levels) / self.lot) + 1)

    def flows(self, count):
        """What `count` lots spend and receive."""
        left, notional = count * self.lot, Fraction(0)
        for price, size in self.levels:
            taken = min(left, size)
            notional += taken * price
            left -= taken
        quantity = count * self.lot
        spent, gross = (notional, quantity) if self.buy else (quantity, notional)
        return spent, gross * self.keep


def enumerated_profit(legs, max_size):
    """Largest profit over all whole lots of the three legs, one by one."""
    flows = [[leg.flows(count) for count in leg.counts()] for leg in legs]
    best = Fraction(0)
    for (spent1, got1), (spent2, got2), (spent3, got3) in itertools.product(*flows):
        if spent1 <= max_size and spent2 <= got1 and spent3 <= got2:
            best = max(best, got3 - spent1)
    return best


@st.composite
def small_routes(draw):
    """Three short books in exact decimals, of either side; most are open by some levels."""
    buys = draw(st.tuples(*[st.booleans()] * 3))
    books = []
    for k, buy in enumerate(buys):
        sign = 1 if buy else -1
        edge = draw(st.sampled_from([20, 5, 10, 40, 1, 0])) if k == 2 else 0
        mid = 1 - sign * Fraction(edge, 100)
        steps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
        ticks = [sum(steps[:i]) for i in range(len(steps))]
        sizes = draw(st.lists(st.integers(1, 20), min_size=len(ticks), max_size=len(ticks)))
        books.append(
            [
                (mid + sign * Fraction(tick, 200), Fraction(size, 10))
                for tick, size in zip(ticks, sizes, strict=True)
            ]
        )
    lots = draw(st.tuples(*[st.sampled_from(["0.1", "0.2", "0.3", "0.5"])] * 3))
    return books, buys, draw(st.sampled_from(["0", "0.001"])), lots


@settings(max_examples=120, deadline=None)
@given(small_routes(), st.sampled_from([math.inf, 1.0, 0.7]))
def test_lots_equal_exact_enumeration(route, max_size):
    books, buys, fee, lots = route
    terms = zip(books, buys, lots, strict=True)
    exact = enumerated_profit([ExactLeg(book, buy, fee, lot) for book, buy, lot in terms], max_size)
    legs, spent, received = kernels.triangular_route(
        *(np.array([[float(p), float(s)] for p, s in book]) for book in books),
        np.array(buys),
        np.full(3, float(fee)),
        np.array([float(lot) for lot in lots]),
        max_size,
    )
    assert received[2] - spent[0] == pytest.approx(float(exact), abs=1e-9)
    counts = legs[:, 0] / np.array([float(lot) for lot in lots])
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-9)
    assert (spent[1:] <= received[:2] * (1 + 1e-11)).all()
    assert spent[0] <= max_size * (1 + 1e-11)


@settings(max_examples=60, deadline=None)
@given(small_routes(), st.sets(st.integers(0, 2), min_size=1, max_size=2))
def test_some_continuous_legs_equal_the_limit_of_fine_lots(route, continuous):
    books, buys, fee, lots = route
    arrays = [np.array([[float(p), float(s)] for p, s in book]) for book in books]
    profits = []
    for fine in (0.0, 1e-6):
        sizes = np.array([fine if k in continuous else float(lots[k]) for k in range(3)])
        _, spent, received = kernels.triangular_route(
            *arrays, np.array(buys), np.full(3, float(fee)), sizes, math.inf
        )
        profits.append(received[2] - spent[0])
    assert profits[0] >= profits[1] - 1e-12
    assert profits[0] == pytest.approx(profits[1], abs=1e-4)


def test_lots_may_pay_beyond_the_continuous_optimum():
    flat = np.array([[1.0, 100.0]])
    last = np.array([[1.1, 1.9], [0.99, 5.0]])  # worth selling up to 1.9, in lots up to 2
    buys, none = np.array([True, False, False]), np.zeros(3)
    books = (flat, flat, last)
    continuous, *_ = kernels.triangular_route(*books, buys, none, none, math.inf)
    assert continuous[2, 0] == pytest.approx(1.9)
    legs, spent, received = kernels.triangular_route(
        *books, buys, none, np.array([0.0, 0.0, 1.0]), math.inf
    )
    assert legs[2].tolist() == pytest.approx([2.0, 1.9 * 1.1 + 0.1 * 0.99, 0.99])
    assert received[2] - spent[0] == pytest.approx(0.189)


def test_the_thinnest_edge_is_taken():
    thin = triangle(bch=(50 * (1 + 1e-9), 52))
    assert triangular(thin, 0.0, start="USDT").best.spent == pytest.approx(500)
    below = triangle(bch=(50 * (1 - 1e-9), 52))
    assert triangular(below, 0.0, start="USDT").best.spent == 0


def test_a_loose_end_of_lots_is_dust():
    best = triangular(
        triangle(), 0.0, start="USDT", lot_sizes={"BTC/USDT": 1, "BCH/BTC": 0.7, "BCH/USDT": 0.5}
    ).best
    first, second, third = best.legs
    assert best.dust["BTC"] == pytest.approx(first.quantity - second.notional)
    assert best.dust["BCH"] == pytest.approx(second.quantity - third.quantity)
    assert best.profit == pytest.approx(third.notional - first.notional)


def test_outcome_on_a_later_book():
    best = triangular(triangle(), 0.0, start="USDT").best
    later = best.outcome(triangle(bch=(49, 50)), [best.spent])
    assert later["profit"].item() == pytest.approx(best.spent * (0.98 - 1))
    assert best.outcome(triangle(size=1.0), [1e6])["spent"].item() == pytest.approx(100)
    assert list(later.columns) == ["size", "spent", "received", "profit"]
    with pytest.raises(ValueError, match="BCH/BTC"):
        best.outcome({"BTC/USDT": triangle()["BTC/USDT"]}, [1.0])
    with pytest.raises(ValueError, match=r"sizes\[0\]"):
        best.outcome(triangle(), [-1.0])
    with pytest.raises(ValueError, match="sizes"):
        best.outcome(triangle(), [[1.0]])


def renamed(old, new):
    return {new if symbol == old else symbol: book for symbol, book in triangle().items()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"books": dict(list(triangle().items())[:2])}, "three symbols"),
        ({"books": renamed("BCH/BTC", "BCHBTC")}, "BASE/QUOTE"),
        ({"books": renamed("BCH/BTC", "BCH/ETH")}, "do not close"),
        ({"books": renamed("BCH/BTC", "USDT/BTC")}, "do not close"),
        ({"start": "EUR"}, "start"),
        ({"fees": 1.0}, "fees of BTC/USDT"),
        ({"fees": -0.001}, "fees of BTC/USDT"),
        ({"fees": math.nan}, "fees of BTC/USDT"),
        ({"fees": {"BTC/USDT": 0.001}}, "fees has no BCH/BTC, BCH/USDT"),
        ({"lot_sizes": -1.0}, "lot_sizes of BTC/USDT"),
        ({"lot_sizes": {}}, "lot_sizes has no"),
        ({"tick_sizes": 0.0}, "tick_sizes of BTC/USDT"),
        ({"tick_sizes": 0.3}, "BTC/USDT: price 99.99 is off the grid"),
        ({"max_size": 0.0}, "max_size"),
        ({"max_size": math.nan}, "max_size"),
    ],
)
def test_bad_triangles_are_refused(arguments, words):
    books = triangle(btc=(99.99, 100))
    with pytest.raises(ValueError, match=words):
        triangular(**{"books": books, "fees": 0.0, "start": "USDT", **arguments})


def test_books_must_be_books():
    with pytest.raises(TypeError, match="BTC/USDT"):
        triangular({**triangle(), "BTC/USDT": None}, 0.0, start="USDT")


def test_ticks_that_fit_are_accepted():
    ticks = {"BTC/USDT": 0.01, "BCH/BTC": 1e-8, "BCH/USDT": 0.1}
    assert (
        triangular(triangle(btc=(99.99, 100)), 0.0, start="USDT", tick_sizes=ticks).best.spent > 0
    )


def test_cycle_products_equal_the_routes():
    rng = np.random.default_rng(5)
    many = [random_books(rng) for _ in range(5)]
    tops = {s: [books[s].top() for books in many] for s in many[0]}
    bid = {s: [top.bid for top in t] for s, t in tops.items()}
    ask = {s: [top.ask for top in t] for s, t in tops.items()}
    table = cycle_products(bid, ask, "USDT")
    for row, books in zip(table.to_dict("records"), many, strict=True):
        for route in triangular(books, 0.0, start="USDT").routes:
            assert row[">".join(route.path)] == pytest.approx(route.gross_product, rel=1e-14)
    bid["BTC/USDT"][0] = math.nan
    assert cycle_products(bid, ask, "USDT").isna().sum().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda bid: bid.pop("BTC/USDT"), "same symbols"),
        (lambda bid: bid.update({"BTC/USDT": [0.0]}), r"bid\['BTC/USDT'\] must be positive"),
        (lambda bid: bid.update({"BTC/USDT": [1.0, 2.0]}), "one length"),
        (lambda bid: bid.update({"BTC/USDT": 1.0}), "shape"),
    ],
)
def test_bad_quotes_are_refused(change, words):
    bid = {"BTC/USDT": [99.0], "BCH/BTC": [0.49], "BCH/USDT": [51.0]}
    ask = {symbol: list(values) for symbol, values in bid.items()}
    change(bid)
    with pytest.raises(ValueError, match=words):
        cycle_products(bid, ask, "USDT")


def test_an_amount_that_is_a_whole_lot_in_decimals_counts_as_whole():
    """0.3 / 0.1 is 2.9999999999999996 in float64, and still three lots."""
    books = {
        "A/B": OrderBook([[2.0, 10.0]], [[2.1, 10.0]]),
        "B/C": OrderBook([[3.0, 10.0]], [[3.1, 10.0]]),
        "A/C": OrderBook([[5.0, 10.0]], [[5.5, 10.0]]),
    }
    lots = {"A/B": 0.1, "B/C": 0.0, "A/C": 0.0}
    assert 0.3 / 0.1 < 3
    routes = triangular(books, 0.0, start="A", lot_sizes=lots).routes
    (route,) = [route for route in routes if route.path == ("A", "B", "C", "A")]
    outcome = route.outcome(books, [0.3]).iloc[0]
    assert outcome["spent"] == pytest.approx(0.3, rel=1e-12)
    assert outcome["received"] == pytest.approx(0.3 * 2 * 3 / 5.5, rel=1e-12)
