"""Order books: hand-computed values, a dict as the oracle, bad input, no look-ahead."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import CrossedBook
from labkit.orderbook import BookStates, OrderBook, Top, book_states, parse_orderbook

BOOK = OrderBook(bids=[[98, 5], [99, 3]], asks=[[102, 4], [101, 1]])
EMPTY = np.empty((0, 2))


def test_sides_are_best_first_and_read_only():
    assert BOOK.bids.tolist() == [[99, 3], [98, 5]]
    assert BOOK.asks.tolist() == [[101, 1], [102, 4]]
    with pytest.raises(ValueError, match="read-only"):
        BOOK.bids[0, 0] = 1.0
    with pytest.raises(AttributeError):
        BOOK.bids = BOOK.asks


def test_hand_computed_quotes():
    assert BOOK.top() == Top(99, 3, 101, 1)
    assert (BOOK.mid, BOOK.spread) == (100, 2)
    assert BOOK.microprice == 0.75 * 101 + 0.25 * 99
    assert BOOK.imbalance() == (3 - 1) / 4
    assert BOOK.imbalance(2) == BOOK.imbalance(9) == (8 - 5) / 13


def test_stoikov_2018_weighted_mid():
    # Section 1: 9 at the bid of 10.00 and 1 at the ask of 10.01 give 10.009.
    assert OrderBook([[10.00, 9]], [[10.01, 1]]).microprice == pytest.approx(10.009, abs=1e-12)
    assert OrderBook([[10.00, 5]], [[10.01, 5]]).microprice == pytest.approx(10.005, abs=1e-12)


@pytest.mark.parametrize(
    "book", [OrderBook(EMPTY, [[1, 1]]), OrderBook([[1, 1]], []), OrderBook([], [])]
)
def test_an_empty_side_gives_nan(book):
    values = [book.mid, book.spread, book.microprice, book.imbalance(), book.imbalance(3)]
    assert all(map(math.isnan, values))


def test_walk_by_hand():
    walk = BOOK.walk("buy", 2.0)
    assert (walk.filled, walk.notional, walk.average_price) == (2, 203, 101.5)
    assert (walk.worst_price, walk.levels, walk.complete) == (102, 2, True)
    short = BOOK.walk("sell", 10.0)
    assert (short.filled, short.notional, short.worst_price) == (8, 3 * 99 + 5 * 98, 98)
    assert not short.complete
    assert BOOK.walk("sell", math.inf).filled == 8
    nothing = BOOK.walk("buy", 0.0)
    assert (nothing.filled, nothing.levels, nothing.complete) == (0, 0, True)
    assert math.isnan(nothing.average_price) and math.isnan(nothing.worst_price)


sides = st.dictionaries(st.integers(1, 50), st.integers(1, 9), max_size=8)


@given(sides, st.integers(0, 40), st.sampled_from(["buy", "sell"]))
def test_walk_equals_taking_units_one_by_one(levels, size, side):
    pairs = np.array(list(levels.items()), dtype=float).reshape(-1, 2)
    book = OrderBook([], pairs) if side == "buy" else OrderBook(pairs, [])
    units = sorted(levels.items(), reverse=side == "sell")
    prices = [price for price, available in units for _ in range(available)][:size]
    walk = book.walk(side, size)
    assert (walk.filled, walk.notional, walk.levels) == (len(prices), sum(prices), len(set(prices)))
    if prices:
        assert walk.worst_price == prices[-1]


@given(sides, sides, st.integers(1, 9))
def test_swapping_the_sides_turns_imbalance_and_mirrors_the_microprice(low, high, levels):
    bids = np.array([[-price, size] for price, size in low.items()], dtype=float).reshape(-1, 2)
    asks = np.array(list(high.items()), dtype=float).reshape(-1, 2)
    shift = np.array([100, 0])
    book = OrderBook(bids + shift, asks + shift)
    mirrored = OrderBook(shift - asks * [1, -1], shift + bids * [-1, 1])
    np.testing.assert_allclose(book.imbalance(levels), -mirrored.imbalance(levels))
    if len(bids) and len(asks):
        assert book.microprice + mirrored.microprice == pytest.approx(200)
        assert -1 <= book.imbalance(levels) <= 1
        assert book.top().bid <= book.microprice <= book.top().ask


@pytest.mark.parametrize(
    ("bids", "asks", "error", "words"),
    [
        ([[1, np.nan]], [], ValueError, r"bids\[0\] size"),
        ([[1, 1], [np.inf, 1]], [], ValueError, r"bids\[1\] price"),
        ([], [[0, 1]], ValueError, r"asks\[0\] price"),
        ([], [[1, -1]], ValueError, r"asks\[0\] size"),
        ([], [[1, 0]], ValueError, r"asks\[0\] size"),
        ([[1, 1], [2, 1], [1, 3]], [], ValueError, r"bids has the price 1(\.0)? twice"),
        ([1, 2], [], ValueError, r"bids must have shape \(n, 2\)"),
        ([], [[1, 2, 3]], ValueError, r"asks must have shape \(n, 2\)"),
        (np.empty((0, 3)), [], ValueError, r"bids must have shape \(n, 2\)"),
        ([["1", "2"]], [], TypeError, "bids must hold numbers"),
        ([[2, 1]], [[2, 1]], CrossedBook, "best bid 2.0 is not below best ask 2.0"),
        ([[3, 1]], [[2, 1]], CrossedBook, "best bid 3.0"),
    ],
)
def test_bad_books_are_refused(bids, asks, error, words):
    with pytest.raises(error, match=words):
        OrderBook(bids, asks)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="side must be 'buy' or 'sell'"):
        BOOK.walk("bid", 1.0)
    for size in (-1.0, math.nan):
        with pytest.raises(ValueError, match="size"):
            BOOK.walk("buy", size)
    with pytest.raises(ValueError, match="levels must be at least 1"):
        BOOK.imbalance(0)


def test_equality_repr_and_pickle():
    same = OrderBook([[99, 3], [98, 5]], [[101, 1], [102, 4]])
    assert same == BOOK and OrderBook([], []) != BOOK and BOOK != 3
    assert pickle.loads(pickle.dumps(BOOK)) == BOOK
    assert repr(BOOK) == "OrderBook(2 bids, 2 asks, 3 @ 99 | 1 @ 101)"
    with pytest.raises(TypeError):
        hash(BOOK)


def test_parse_orderbook_reads_what_venues_send():
    text = (
        '{"lastUpdateId": 7, "bids": [["0.0024", "10"], ["0.0026", 1e2]], "asks": [[0.003, 5, 9]]}'
    )
    expected = OrderBook([[0.0026, 100], [0.0024, 10]], [[0.003, 5]])
    assert parse_orderbook(text) == parse_orderbook(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"bids": []}', "asks is missing"),
        ('{"bids": [], "asks": [["1", "2"], ["2", "2"], ["3", "2"], ["x", 1]]}', r"asks\[3\]\[0\]"),
        ('{"bids": [], "asks": [[1, 0]]}', r"asks\[0\]\[1\] must be positive"),
        ('{"bids": [], "asks": [[1, NaN]]}', "text"),
        ('{"bids": [], "bids": [], "asks": []}', "bids is given twice"),
        ('{"bids": [], "asks": [["1.23456789012345678", 1]]}', "18 significant digits"),
        ("", "text"),
    ],
)
def test_bad_json_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_orderbook(text)


def test_parse_orderbook_refuses_crossed_books():
    with pytest.raises(CrossedBook):
        parse_orderbook('{"bids": [[2, 1]], "asks": [[1, 1]]}')


def events_of(rows, symbol="BTC/USDT"):
    """Changes (message, snapshot, side, price, size); message k: sent at 10 k, received 3 later."""
    events = pd.DataFrame(rows, columns=["message", "snapshot", "side", "price", "size"])
    events = events.astype({"message": "int64", "price": float, "size": float, "snapshot": bool})
    return events.assign(
        exchange_ns=events.message * 10, local_ns=events.message * 10 + 3, symbol=symbol
    )


ROWS = [
    (1, True, "bid", 99, 1),
    (1, True, "ask", 101, 2),
    (1, True, "bid", 98, 4),
    (2, False, "bid", 99, 0),
    (2, False, "ask", 100, 7),
    (4, False, "bid", 97, 0),  # an absent level
    (5, True, "bid", 50, 1),
    (5, True, "ask", 51, 1),
]


def test_book_states_by_hand():
    states = book_states(events_of(ROWS), "BTC/USDT", depth=3)
    assert len(states) == 4
    assert states.message.tolist() == [1, 2, 4, 5]
    assert states.exchange_ns.tolist() == [10, 20, 40, 50]
    assert states.book(0) == OrderBook([[99, 1], [98, 4]], [[101, 2]])
    assert states.book(1) == states.book(2) == OrderBook([[98, 4]], [[100, 7], [101, 2]])
    assert states.book(3) == OrderBook([[50, 1]], [[51, 1]])
    assert states.mid.tolist() == [100, 99, 99, 50.5]
    assert states.spread.tolist() == [2, 2, 2, 1]
    assert states.top.bid_size.tolist() == [1, 4, 4, 1]
    assert states.microprice.tolist() == [states.book(i).microprice for i in range(4)]
    assert states.imbalance(2).tolist() == [states.book(i).imbalance(2) for i in range(4)]
    for index in (-1, 4):
        with pytest.raises(IndexError):
            states.book(index)


def test_levels_below_the_reported_depth_come_back():
    rows = [(1, True, "bid", price, 1) for price in (5, 4, 3)] + [(2, False, "bid", 5, 0)]
    states = book_states(events_of(rows), "BTC/USDT", depth=1)
    assert states.top.bid.tolist() == [5, 4]
    assert np.isnan(states.top.ask).all()


@given(
    st.lists(
        st.tuples(
            st.integers(1, 9),
            st.sampled_from(["bid", "ask"]),
            st.integers(1, 6),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sets(st.integers(1, 9)),
)
def test_book_states_equal_a_dict_of_levels(changes, snapshots):
    changes = sorted(changes, key=lambda change: change[0])
    snapshots |= {changes[0][0]}
    rows = [
        (message, message in snapshots, side, price + (10 if side == "ask" else 0), size)
        for message, side, price, size in changes
    ]
    states = book_states(events_of(rows), "BTC/USDT", depth=4)
    for index, message in enumerate(states.message):
        last = max(m for m in snapshots if m <= message and m in {row[0] for row in rows})
        book = {"bid": {}, "ask": {}}
        for m, _, side, price, size in rows:
            if last <= m <= message:
                book[side][price] = size
        expected = {
            side: sorted(((p, s) for p, s in levels.items() if s), reverse=side == "bid")[:4]
            for side, levels in book.items()
        }
        assert states.book(index) == OrderBook(expected["bid"], expected["ask"])


def test_symbols_are_kept_apart():
    both = pd.concat([events_of(ROWS), events_of(ROWS[:3], symbol="ETH/USDT")])
    both = both.sort_values("message", kind="stable")
    assert len(book_states(both, "ETH/USDT")) == 1
    assert len(book_states(both, "BTC/USDT")) == 4


@given(
    st.lists(st.integers(-5, 60), min_size=1, max_size=5), st.sampled_from(["local", "exchange"])
)
def test_at_never_looks_ahead(times, clock):
    states = book_states(events_of(ROWS), "BTC/USDT")
    ticks = states.local_ns if clock == "local" else states.exchange_ns
    index = states.at(np.array(times), clock)
    for time, i in zip(times, index, strict=True):
        assert i == states.at(time, clock)
        assert i == -1 or ticks[i] <= time
        assert i == len(states) - 1 or ticks[i + 1] > time


def test_at_refuses_what_it_cannot_answer():
    states = book_states(events_of(ROWS), "BTC/USDT")
    with pytest.raises(ValueError, match="clock"):
        states.at(3, clock="wall")
    with pytest.raises(TypeError, match="time_ns"):
        states.at(3.0)
    back = events_of(ROWS)
    back.loc[back.message == 4, "exchange_ns"] = 15
    states = book_states(back, "BTC/USDT")
    assert states.at(43) == 2
    with pytest.raises(ValueError, match="'exchange' goes back at message 4"):
        states.at(43, clock="exchange")


def test_a_crossed_state_names_symbol_and_message():
    with pytest.raises(CrossedBook, match=r"BTC/USDT: best bid 101\.0 .* after message 2 "):
        book_states(events_of([*ROWS[:3], (2, False, "bid", 101, 1)]), "BTC/USDT")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.drop(columns="side"), "no column side"),
        (lambda e: e.astype({"message": float}), "'message'. must be int64"),
        (lambda e: e.astype({"snapshot": int}), "'snapshot'. must be bool"),
        (lambda e: e.assign(side="buy"), "'side'. must be 'bid' or 'ask', got 'buy'"),
        (lambda e: e.assign(snapshot=False), "message 1 changes a book that is not known"),
        (lambda e: e.assign(message=e.message[::-1].to_numpy(), snapshot=True), "message"),
        (lambda e: e.assign(local_ns=np.arange(len(e))), "'local_ns'. must be the same"),
        (lambda e: e.assign(price=np.nan), r"price\[0\]"),
        (lambda e: e.assign(size=-1.0), r"size\[0\]"),
        (lambda e: e.assign(snapshot=[True] + [False] * 7), r"reset\[1\]"),
        (lambda e: e.iloc[:0], "no rows of symbol"),
    ],
)
def test_bad_events_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        book_states(change(events_of(ROWS)), "BTC/USDT")


def test_bad_book_states_are_refused():
    states = book_states(events_of(ROWS), "BTC/USDT")
    fields = ["message", "exchange_ns", "local_ns", "bids", "asks"]
    for name in fields:
        values = {field: getattr(states, field) for field in fields}
        values[name] = values[name][:-1]
        with pytest.raises(ValueError, match="shape"):
            BookStates("BTC/USDT", **values)
    with pytest.raises(ValueError, match="read-only"):
        states.bids[0] = 1.0
