"""Matching: an independent engine, conservation, priority, and the laws of the simulated market."""

import math
from collections import Counter
from itertools import groupby

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from labkit import reference
from labkit._events import CLEAR, DEPTH, EVENT_DTYPE, SNAPSHOT, TRADE, Instrument
from labkit.data import simulate_market
from labkit.matching import (
    FLAGS,
    KINDS,
    REQUEST_DTYPE,
    MatchingEngine,
    match,
    snapshot,
)

COLUMNS = ["time_ns", "id", "kind", "side", "price", "size", "flags"]


def requests(*rows):
    """Requests at times 1, 2, ...: (id, kind, side, price, size) and flags where there are any."""
    table = [(time, *row, *([""] if len(row) == 5 else [])) for time, row in enumerate(rows, 1)]
    return pd.DataFrame(table, columns=COLUMNS)


@st.composite
def flows(draw, most=40):
    """Requests on few ids and prices, so that they meet; some of them to be rejected."""
    rows = []
    for _ in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from(["limit"] * 6 + ["market", "cancel", "modify"]))
        allowed = {"limit": list(FLAGS), "modify": ["", "post-only"], "cancel": [""]}
        flags = draw(st.sampled_from(allowed.get(kind, ["", "fill-or-kill"])))
        id, size = draw(st.integers(0, 25)), draw(st.integers(-1, 9))
        rows.append(
            (id, kind, draw(st.sampled_from([1, -1])), draw(st.integers(0, 7)), size, flags)
        )
    return requests(*rows)


# An independent engine


class SlowEngine:
    """Orders in one list; the best of them is searched for each time."""

    def __init__(self):
        self.orders, self.used = [], {}
        self.trades, self.events, self.clock = [], [], 0

    def level(self, side, price):
        here = [o for o in self.orders if (o["side"], o["price"]) == (side, price)]
        return sum(o["open"] for o in here)

    def counterparts(self, side, price):
        there = [o for o in self.orders if o["side"] == -side]
        if price is not None:
            there = [o for o in there if (o["price"] - price) * side <= 0]
        return sorted(there, key=lambda o: (o["price"] * side, o["rank"]))

    def rank(self):
        self.clock += 1
        return self.clock

    def trade(self, time, order, price):
        met = []
        for maker in self.counterparts(order["side"], price):
            size = min(order["open"], maker["open"])
            if not size:
                break
            for one in (order, maker):
                one["open"] -= size
                one["filled"] += size
            met.append((time, maker["id"], order["id"], maker["price"], size, order["side"]))
        self.orders = [o for o in self.orders if o["open"]]
        self.trades += met
        for level, trades in groupby(met, key=lambda t: t[3]):
            self.events += [(time, level, t[4], TRADE, t[5]) for t in trades]
            side = -order["side"]
            self.events.append((time, level, self.level(side, level), DEPTH, side))

    def rest(self, time, order):
        order["rank"] = self.rank()
        self.orders.append(order)
        self.publish(time, order["side"], order["price"])

    def publish(self, time, side, price):
        self.events.append((time, price, self.level(side, price), DEPTH, side))

    def request(self, time, id, kind, side, price, size, flags):
        if kind in ("cancel", "modify"):
            if id not in self.used:
                return "unknown id"
            order = self.used[id]
            if not any(o is order for o in self.orders):
                return "not resting"
        if kind == "cancel":
            order["cancelled"] += order["open"]
            order["open"] = 0
            self.orders = [o for o in self.orders if o is not order]
            self.publish(time, order["side"], order["price"])
            return ""
        if size <= 0:
            return "size out of range"
        if kind != "market" and price <= 0:
            return "price out of range"
        if kind == "modify":
            if flags and self.counterparts(order["side"], price):
                return "would cross"
            old = order["open"], order["price"]
            order["submitted"] += max(size - order["open"], 0)
            order["cancelled"] += max(order["open"] - size, 0)
            order["open"], order["price"] = size, price
            if price == old[1]:
                if size > old[0]:
                    order["rank"] = self.rank()
                self.publish(time, order["side"], price)
                return ""
            self.orders = [o for o in self.orders if o is not order]
            self.publish(time, order["side"], old[1])
            self.trade(time, order, price)
            if order["open"]:
                self.rest(time, order)
            return ""
        if id in self.used:
            return "duplicate id"
        reach = self.counterparts(side, price if kind == "limit" else None)
        if flags == "post-only" and reach:
            return "would cross"
        if flags == "fill-or-kill" and sum(o["open"] for o in reach) < size:
            return "cannot fill"
        order = {"id": id, "side": side, "price": price, "open": size, "submitted": size}
        order |= {"filled": 0, "cancelled": 0}
        self.used[id] = order
        self.trade(time, order, price if kind == "limit" else None)
        if order["open"] and kind == "limit" and flags in ("", "post-only"):
            self.rest(time, order)
        elif order["open"]:
            order["cancelled"] += order["open"]
            order["open"] = 0
            return "no liquidity"
        return ""

    def book(self):
        rows = sorted(self.orders, key=lambda o: (-o["side"], -o["side"] * o["price"], o["rank"]))
        return [(o["id"], o["side"], o["price"], o["open"]) for o in rows]


def assert_as_slow(flow):
    matched, slow = match(flow), SlowEngine()
    reasons = [slow.request(*row) for row in flow.itertuples(index=False)]
    assert matched.orders["reason"].to_list() == reasons
    assert list(matched.trades.itertuples(index=False, name=None)) == slow.trades
    fields = ["exchange_ns", "price", "size", "kind", "side"]
    assert [tuple(row) for row in matched.events[fields].tolist()] == slow.events
    assert list(matched.book.itertuples(index=False, name=None)) == slow.book()
    for row, reason in zip(matched.orders.itertuples(), reasons, strict=True):
        sums = (row.submitted, row.filled, row.resting, row.cancelled)
        if row.kind in ("cancel", "modify"):
            assert sums == (0, 0, 0, 0)
        elif row.state != "rejected":
            order = slow.used[row.id]
            assert sums == tuple(order[n] for n in ("submitted", "filled", "open", "cancelled"))
        assert (row.state == "rejected") == (reason not in ("", "no liquidity"))


@settings(max_examples=200, deadline=None)
@given(flows())
def test_the_engine_does_what_an_independent_one_does(flow):
    assert_as_slow(flow)


@pytest.mark.parametrize("width", [4, 60, 2000])
def test_long_flows_on_narrow_and_wide_books_agree_with_the_independent_engine(width):
    rng = np.random.default_rng(width)
    n = 800
    kind = rng.choice(["limit", "market", "cancel", "modify"], n, p=[0.65, 0.05, 0.2, 0.1])
    new = np.isin(kind, ["limit", "market"])
    flow = pd.DataFrame(
        {
            "time_ns": np.sort(rng.integers(0, 10**6, n)),
            "id": np.where(new, np.arange(n), rng.integers(0, np.arange(n) + 1)) * 2**20,
            "kind": kind,
            "side": rng.choice([1, -1], n),
            "price": 5000 + rng.integers(-width, width + 1, n),
            "size": rng.integers(1, 50, n),
            "flags": "",
        }
    )
    assert_as_slow(flow)


# What holds of any flow


@settings(max_examples=100, deadline=None)
@given(flows())
def test_every_lot_is_filled_resting_cancelled_or_rejected(flow):
    matched = match(flow)
    orders, trades = matched.orders, matched.trades
    parts = orders[["filled", "resting", "cancelled", "rejected"]]
    assert (orders["submitted"] == parts.sum(axis=1)).all()
    assert (parts[["filled", "resting", "cancelled"]] >= 0).all(axis=None)
    taken = orders[orders["kind"].isin(["limit", "market"]) & (orders["state"] != "rejected")]
    traded = Counter()
    for trade in trades.itertuples():
        traded[trade.maker] += trade.size
        traded[trade.taker] += trade.size
    assert taken.set_index("id")["filled"].to_dict() == {id: traded[id] for id in taken["id"]}
    assert orders["filled"].sum() == 2 * trades["size"].sum()
    assert orders["resting"].sum() == matched.book["size"].sum()


@settings(max_examples=60, deadline=None)
@given(flows())
def test_the_book_is_never_crossed_and_each_event_keeps_it_so(flow):
    books = {1: {}, -1: {}}
    for event in match(flow).events:
        if event["kind"] == TRADE:
            continue
        levels, price, size = books[int(event["side"])], int(event["price"]), int(event["size"])
        assert levels.get(price, 0) != size or size, "a level that is not there is removed"
        levels.pop(price, None)
        if size:
            levels[price] = size
        assert max(books[1], default=0) < min(books[-1], default=10**9)


@settings(max_examples=60, deadline=None)
@given(flows())
def test_the_events_alone_rebuild_the_book(flow):
    matched = match(flow)
    levels = {}
    for event in matched.events[matched.events["kind"] == DEPTH]:
        levels[int(event["side"]), int(event["price"])] = int(event["size"])
    there = matched.book.groupby(["side", "price"])["size"].sum().to_dict()
    assert {level: size for level, size in levels.items() if size} == there
    prints = matched.events[matched.events["kind"] == TRADE]
    for column in ("price", "size", "side"):
        assert prints[column].tolist() == matched.trades[column].to_list()


@settings(max_examples=60, deadline=None)
@given(flows(), st.integers(0, 40))
def test_later_requests_do_not_change_what_was(flow, cut):
    whole, part = match(flow), match(flow.iloc[:cut])
    np.testing.assert_array_equal(part.events, whole.events[: len(part.events)])
    pd.testing.assert_frame_equal(part.trades, whole.trades.iloc[: len(part.trades)])


@settings(max_examples=60, deadline=None)
@given(flows(), st.integers(0, 40))
def test_a_flow_may_be_matched_in_two_pieces(flow, cut):
    flow = flow[~flow["id"].duplicated() | flow["kind"].isin(["cancel", "modify"])]
    first = match(flow.iloc[:cut])
    second = match(flow.iloc[cut:], book=first.book)
    whole = match(flow)
    pd.testing.assert_frame_equal(second.book, whole.book)
    np.testing.assert_array_equal(np.append(first.events, second.events), whole.events)


@settings(max_examples=60, deadline=None)
@given(flows(most=25))
def test_one_request_at_a_time_gives_what_the_batch_gives(flow):
    engine, matched = MatchingEngine(), match(flow)
    trades, events = [], [np.empty(0, EVENT_DTYPE)]
    for row, expected in zip(flow.itertuples(), matched.orders.itertuples(), strict=True):
        if row.kind == "cancel":
            answer = engine.cancel(row.id, time_ns=row.time_ns)
        elif row.kind == "modify":
            more = {"flags": row.flags, "time_ns": row.time_ns}
            answer = engine.modify(row.id, row.size, row.price, **more)
        else:
            price = row.price if row.kind == "limit" else None
            more = {"id": row.id, "flags": row.flags, "time_ns": row.time_ns}
            answer = engine.submit(row.side, row.size, price, **more)
        assert answer.reason == expected.reason
        trades += answer.trades
        events.append(answer.events)
    np.testing.assert_array_equal(np.concatenate(events), matched.events)
    assert trades == list(matched.trades.itertuples(index=False, name=None))
    pd.testing.assert_frame_equal(engine.book, matched.book)
    taken = matched.orders["kind"].isin(["limit", "market"]) & (
        matched.orders["state"] != "rejected"
    )
    for row in matched.orders[taken].itertuples():
        order = engine.order(row.id)
        assert (order.state, order.submitted) == (row.state, row.submitted)
        assert (order.filled, order.resting, order.cancelled) == (
            row.filled,
            row.resting,
            row.cancelled,
        )


# Rules one by one


def test_the_best_price_trades_first_and_then_the_oldest_order():
    flow = requests(
        (1, "limit", -1, 102, 4),
        (2, "limit", -1, 101, 3),
        (3, "limit", -1, 101, 2),
        (4, "limit", 1, 102, 6),
    )
    matched = match(flow)
    assert matched.trades[["maker", "price", "size"]].to_numpy().tolist() == [
        [2, 101, 3],
        [3, 101, 2],
        [1, 102, 1],
    ]
    assert (matched.trades["taker"] == 4).all() and (matched.trades["side"] == 1).all()
    rows = matched.events[matched.events["exchange_ns"] == 4]
    assert rows[["price", "size", "kind", "side"]].tolist() == [
        (101, 3, TRADE, 1),
        (101, 2, TRADE, 1),
        (101, 0, DEPTH, -1),
        (102, 1, TRADE, 1),
        (102, 3, DEPTH, -1),
    ]


def test_a_marketable_limit_order_stops_at_its_price_and_the_rest_rests():
    matched = match(
        requests((1, "limit", -1, 101, 2), (2, "limit", -1, 103, 5), (3, "limit", 1, 102, 5))
    )
    assert matched.orders.iloc[2][["state", "filled", "resting"]].tolist() == ["resting", 2, 3]
    assert matched.book[["id", "price", "size"]].to_numpy().tolist() == [[3, 102, 3], [2, 103, 5]]


@pytest.mark.parametrize(
    ("kind", "flags", "size", "state", "reason", "filled", "cancelled"),
    [
        ("market", "", 3, "filled", "", 3, 0),
        ("market", "", 9, "cancelled", "no liquidity", 7, 2),
        ("market", "fill-or-kill", 9, "rejected", "cannot fill", 0, 0),
        ("market", "fill-or-kill", 7, "filled", "", 7, 0),
        ("limit", "immediate-or-cancel", 4, "cancelled", "no liquidity", 2, 2),
        ("limit", "immediate-or-cancel", 1, "filled", "", 1, 0),
        ("limit", "fill-or-kill", 3, "rejected", "cannot fill", 0, 0),
        ("limit", "fill-or-kill", 2, "filled", "", 2, 0),
        ("limit", "post-only", 1, "rejected", "would cross", 0, 0),
    ],
)
def test_orders_that_must_not_rest_do_not(kind, flags, size, state, reason, filled, cancelled):
    flow = requests(
        (1, "limit", -1, 101, 2), (2, "limit", -1, 103, 5), (3, kind, 1, 101, size, flags)
    )
    row = match(flow).orders.iloc[2]
    columns = ["state", "reason", "filled", "cancelled", "resting"]
    assert row[columns].tolist() == [state, reason, filled, cancelled, 0]
    assert row["rejected"] == (size if state == "rejected" else 0)


def test_a_smaller_order_keeps_its_place_and_a_larger_or_moved_one_loses_it():
    start = [(1, "limit", 1, 100, 5), (2, "limit", 1, 100, 5)]
    sell = (9, "market", -1, 0, 1)
    for change, first in (
        ((1, "modify", 0, 100, 3), 1),
        ((1, "modify", 0, 100, 5), 1),
        ((1, "modify", 0, 100, 6), 2),
        ((1, "modify", 0, 99, 5), 2),
        ((1, "modify", 0, 101, 5), 1),
    ):
        assert match(requests(*start, change, sell)).trades["maker"].to_list() == [first]


def test_a_modify_is_one_event_at_a_level_and_may_trade_at_another():
    flow = requests(
        (1, "limit", 1, 100, 5),
        (2, "limit", -1, 102, 4),
        (1, "modify", 0, 100, 8),
        (1, "modify", 0, 103, 6),
    )
    matched = match(flow)
    assert matched.events[["price", "size", "kind"]].tolist()[2:] == [
        (100, 8, DEPTH),
        (100, 0, DEPTH),
        (102, 4, TRADE),
        (102, 0, DEPTH),
        (103, 2, DEPTH),
    ]
    sums = ["submitted", "filled", "resting", "cancelled"]
    assert matched.orders.iloc[0][sums].tolist() == [8, 4, 2, 2]
    post_only = (1, "modify", 0, 102, 5, "post-only")
    refused = match(requests((1, "limit", 1, 100, 5), (2, "limit", -1, 102, 4), post_only))
    assert refused.orders["reason"].iloc[2] == "would cross"
    assert refused.book["price"].to_list() == [100, 102]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ((1, "limit", 1, 90, 1), "duplicate id"),
        ((2, "limit", 1, 90, 1), "duplicate id"),
        ((3, "limit", 1, 90, 1), ""),
        ((8, "cancel", 0, 0, 0), "unknown id"),
        ((2, "cancel", 0, 0, 0), "not resting"),
        ((3, "cancel", 0, 0, 0), "unknown id"),
        ((1, "cancel", 0, 0, 0), ""),
        ((8, "modify", 0, 90, 1), "unknown id"),
        ((2, "modify", 0, 90, 1), "not resting"),
        ((1, "modify", 0, 90, 0), "size out of range"),
        ((1, "modify", 0, 0, 1), "price out of range"),
        ((4, "limit", 1, 90, 0), "size out of range"),
        ((4, "market", 1, 0, -3), "size out of range"),
        ((4, "limit", 1, 90, 2**40 + 1), "size out of range"),
        ((4, "limit", 1, 90, 2**40), ""),
        ((4, "limit", 1, 0, 1), "price out of range"),
        ((4, "limit", 1, 2**40 + 1, 1), "price out of range"),
        ((4, "limit", -1, 2**40, 1), ""),
    ],
)
def test_what_a_venue_rejects_has_its_reason_and_changes_nothing(request_, reason):
    before = [(1, "limit", 1, 95, 2), (2, "limit", -1, 95, 1), (3, "limit", 1, 95, 0)]
    matched, without = match(requests(*before, request_)), match(requests(*before))
    row = matched.orders.iloc[3]
    assert row["reason"] == reason
    assert (row["state"] == "rejected") == bool(reason)
    if reason:
        pd.testing.assert_frame_equal(matched.book, without.book)
        assert len(matched.events) == len(without.events)


@pytest.mark.parametrize(
    ("column", "value", "error", "message"),
    [
        ("time_ns", 0, ValueError, r"time_ns\[1\] must not be before 1, got 0"),
        ("kind", "stop", ValueError, r"orders\['kind'\] must be one of .*, got 'stop'"),
        ("kind", 7, ValueError, r"kind\[1\] must be from 1 to 4, got 7"),
        ("side", 0, ValueError, r"side\[1\] must be 1 or -1, got 0"),
        ("side", 300, ValueError, r"orders\['side'\] must be of int8, got 300"),
        ("flags", "hidden", ValueError, r"orders\['flags'\] must be one of"),
        ("flags", 3, ValueError, r"flags\[1\] must go with kind 1, got 3"),
        ("price", 1.5, TypeError, r"orders\['price'\] must hold whole numbers, got float64"),
        ("size", "1", TypeError, r"orders\['size'\] must hold whole numbers"),
    ],
)
def test_a_malformed_table_is_refused(column, value, error, message):
    flow = requests((1, "limit", 1, 100, 5), (2, "limit", -1, 102, 4)).astype(object)
    flow["kind"] = pd.Series([1, 1], dtype=object)
    flow["flags"] = pd.Series([0, 0], dtype=object)
    flow.loc[1, column] = value
    if column in ("kind", "flags") and isinstance(value, str):
        flow.loc[0, column] = "limit" if column == "kind" else ""
    with pytest.raises(error, match=f"^{message}"):
        match(flow.infer_objects())


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("market", "post-only"),
        ("cancel", "post-only"),
        ("modify", "fill-or-kill"),
        ("modify", "immediate-or-cancel"),
    ],
)
def test_a_flag_that_does_not_go_with_the_kind_is_refused(kind, flags):
    with pytest.raises(ValueError, match=r"^flags\[0\] must go with kind"):
        match(requests((1, kind, 1, 100, 1, flags)))


def test_tables_are_taken_as_frames_or_structured_arrays():
    frame = requests((1, "limit", 1, 100, 5), (2, "limit", -1, 100, 3))
    rows = np.zeros(2, REQUEST_DTYPE)
    for name in COLUMNS:
        words = {"kind": KINDS, "flags": FLAGS}.get(name)
        rows[name] = frame[name].map(words) if words else frame[name]
    for other in (rows, frame.drop(columns="flags"), frame.astype({"kind": "category"})):
        np.testing.assert_array_equal(match(other).events, match(frame).events)
    with pytest.raises(ValueError, match=r"^orders has no column 'price'"):
        match(frame.drop(columns="price"))
    with pytest.raises(TypeError, match=r"^orders must be a DataFrame or a structured vector"):
        match([1, 2])
    assert len(match(frame.iloc[:0]).events) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 1, 90, 1), r"id\[1\] must be new"),
        ((2, 0, 90, 1), r"side\[1\] must be 1 or -1"),
        ((2, 1, 0, 1), r"price\[1\] must be from 1"),
        ((2, 1, 90, 0), r"size\[1\] must be from 1"),
        ((2, -1, 100, 1), r"price\[1\] must not cross the book"),
    ],
)
def test_a_book_that_cannot_be_is_refused(row, message):
    book = pd.DataFrame([(1, 1, 100, 5), row], columns=["id", "side", "price", "size"])
    for start in (MatchingEngine, lambda b: match(requests(), book=b), lambda b: snapshot(b, 0)):
        with pytest.raises(ValueError, match=f"^book: {message}"):
            start(book)


def test_a_recording_needs_an_instrument():
    flow = requests((1, "limit", 1, 100, 5))
    with pytest.raises(ValueError, match=r"^instrument must be given"):
        _ = match(flow).recording
    with pytest.raises(TypeError, match=r"^instrument must be an Instrument, got str"):
        match(flow, instrument="SIM/USD")
    sim = Instrument("SIM/USD", 0.01, 0.001)
    assert len(match(flow, instrument=sim).recording) == 1


def test_after_the_largest_id_one_must_be_given():
    engine = MatchingEngine()
    assert engine.submit(1, 1, 100, id=2**63 - 1).state == "resting"
    with pytest.raises(ValueError, match=r"^id must be given"):
        engine.submit(1, 1, 100)
    assert engine.submit(1, 1, 100, id=5).state == "resting"


def test_lots_that_no_sum_holds_are_refused_and_change_nothing():
    empty = (np.empty(0, dtype) for dtype in (np.int64, np.int8, np.int64, np.int64))
    engine = reference.MatchingEngine(*empty)
    engine._lots = 2**63 - 6
    columns = [np.array(c) for c in ([1, 2], [1, 2])]
    types = (np.uint8, np.int8, np.int64, np.int64, np.uint8)
    of = [
        np.array([value, value], dtype)
        for value, dtype in zip((1, 1, 10, 3, 0), types, strict=True)
    ]
    message = (
        r"^size\[1\] must leave less than 2\*\*63 lots in all, got 3 after 9223372036854775805"
    )
    with pytest.raises(ValueError, match=message):
        engine.process(*columns, *of)
    assert len(engine.resting()[0]) == 0
    of[3][1] = 2
    engine.process(*columns, *of)
    assert engine.levels(1, 1)[1].tolist() == [5]


def test_the_stepwise_engine_numbers_orders_and_keeps_time():
    engine = MatchingEngine(match(requests((7, "limit", 1, 100, 5))).book)
    answer = engine.submit(-1, 2, 100, time_ns=50)
    assert (answer.id, answer.state, answer.trades[0].maker) == (8, "filled", 7)
    assert engine.submit(-1, 1, 110).id == 9
    assert engine.time_ns == 50
    assert (engine.levels(1), engine.levels(-1, 5)) == ([(100, 3)], [(110, 1)])
    rows = engine.snapshot()[["exchange_ns", "price", "size", "kind", "side"]].tolist()
    assert rows == [(50, 0, 0, CLEAR, 0), (50, 100, 3, SNAPSHOT, 1), (50, 110, 1, SNAPSHOT, -1)]
    for call, error, message in (
        (lambda: engine.submit(1, 1, time_ns=49), ValueError, "time_ns must not be before 50"),
        (lambda: engine.submit(0, 1), ValueError, "side must be 1 or -1"),
        (lambda: engine.submit(1, 1.0), TypeError, "size must be an integer"),
        (lambda: engine.submit(1, 1, 2.5), TypeError, "price must be an integer"),
        (lambda: engine.submit(1, 1, 2**63), ValueError, "price must be below"),
        (lambda: engine.submit(1, 1, 5, flags="hidden"), ValueError, "flags must be one of"),
        (lambda: engine.submit(1, 1, flags="post-only"), ValueError, r"flags\[0\] must go with"),
        (lambda: engine.cancel("7"), TypeError, "id must be an integer"),
        (lambda: engine.order(99), ValueError, "id must be one of an order taken"),
        (lambda: engine.levels(2), ValueError, "side must be 1 or -1"),
        (lambda: engine.levels(1, -1), ValueError, "depth must be at least 0"),
    ):
        with pytest.raises(error, match=f"^{message}"):
            call()
    assert engine.levels(1) == [(100, 3)]


# The simulated market. A z-score is in standard errors of the law under test.

T = 900.0


@pytest.fixture(scope="module")
def market():
    return simulate_market(11, duration_s=T)


@pytest.fixture(scope="module")
def history(market):
    """Distances, exposures and tilts, found by watching the book one request at a time."""
    rates = market.rates
    orders = {row.id: (row.side, row.price, row.size) for row in market.opening.itertuples()}
    books = {1: Counter(), -1: Counter()}
    for side, price, _ in orders.values():
        books[side][price] += 1
    jumps = market.fundamental["time_ns"].to_numpy()
    ticks = market.fundamental["ticks"].to_numpy()
    trades = {
        t: list(rows)
        for t, rows in groupby(market.matched.trades.itertuples(), key=lambda trade: trade.time_ns)
    }
    arrivals, leavings = Counter(), Counter()
    exposure = np.zeros(len(rates) + 1)
    tilts, buys, spreads = [], [], Counter()
    now = market.recording.events["exchange_ns"][0]
    for time, id, price, size, kind, side, _ in market.requests.tolist():
        best = {1: max(books[1]), -1: min(books[-1])}
        elapsed, now = (time - now) / 1e9, time
        spreads[best[-1] - best[1]] += elapsed
        for way in (1, -1):
            for level, count in books[way].items():
                far = min(way * (best[-way] - level), len(rates))
                exposure[far] += elapsed * count
        if kind == KINDS["limit"]:
            arrivals[side, side * (best[-side] - price)] += 1
            orders[id] = (side, price, size)
            books[side][price] += 1
        elif kind == KINDS["cancel"]:
            way, level, _ = orders.pop(id)
            leavings[min(way * (best[-way] - level), len(rates))] += 1
            books[way] -= Counter({level: 1})
        else:
            gap = ticks[np.searchsorted(jumps, time, "right") - 1] - (best[1] + best[-1]) / 2
            tilts.append(min(max(0.1 * gap, -1), 1))
            buys.append(side == 1)
            for trade in trades.get(time, ()):
                way, level, left = orders[trade.maker]
                orders[trade.maker] = (way, level, left - trade.size)
                if left == trade.size:
                    del orders[trade.maker]
                    books[way] -= Counter({level: 1})
    return arrivals, leavings, exposure, np.array(tilts), np.array(buys), spreads


def chi_square(observed, expected):
    return stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected))


def test_limit_orders_arrive_at_the_rate_of_their_distance_and_side(market, history):
    arrivals = history[0]
    expected = market.rates["limit_rate"].to_numpy() * T
    for side in (1, -1):
        counts = np.array([arrivals[side, d] for d in market.rates.index])
        assert chi_square(counts, expected) > 1e-3
    assert sum(arrivals.values()) == (market.requests["kind"] == KINDS["limit"]).sum()


def test_resting_orders_are_cancelled_at_the_rate_of_their_distance(market, history):
    # Counts less their compensators are orthogonal martingales with the compensators as variances.
    _, leavings, exposure, *_ = history
    counts = np.array([leavings[d] for d in market.rates.index])
    assert chi_square(counts, market.rates["cancel_rate"].to_numpy() * exposure[1:]) > 1e-3


def test_market_orders_are_poisson_and_their_side_follows_the_fundamental(market, history):
    *_, tilts, buys, _ = history
    assert abs(len(buys) - 2 * T) < 4 * math.sqrt(2 * T)
    times = market.requests["time_ns"][market.requests["kind"] == KINDS["market"]]
    assert stats.kstest(np.diff(times) / 1e9, stats.expon(scale=0.5).cdf).pvalue > 1e-3
    share = (1 + tilts) / 2
    assert abs((buys - share).sum()) < 4 * math.sqrt((share * (1 - share)).sum())
    # The tilt explains the sides: without it the same sum weighted by the tilt is far from zero.
    z = ((buys - 0.5) * tilts).sum() / math.sqrt((tilts**2).sum() / 4)
    assert z > 4


def test_the_fundamental_price_is_a_walk_of_its_rate(market):
    steps = market.fundamental["ticks"].diff().dropna()
    assert set(steps) == {1, -1}
    assert abs(len(steps) - T) < 4 * math.sqrt(T)
    assert abs(steps.sum()) < 4 * math.sqrt(len(steps))


@pytest.mark.parametrize(("kind", "mean"), [("limit", 50), ("market", 80)])
def test_sizes_are_geometric(market, kind, mean):
    sizes = market.requests["size"][market.requests["kind"] == KINDS[kind]]
    law = stats.geom(1 / mean)
    edges = np.unique(law.ppf(np.linspace(0, 1, 21)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, sizes), minlength=len(edges) + 1)
    shares = np.diff(np.concatenate([[0], law.cdf(edges), [1]]))
    assert chi_square(counts, shares * len(sizes)) > 1e-3
    assert sizes.min() >= 1


def test_the_market_looks_like_a_liquid_one(market, history):
    spreads = history[-1]
    assert (spreads[1] + spreads[2]) / sum(spreads.values()) > 0.85
    levels = market.matched.book.groupby("side")["price"].nunique()
    assert levels.between(5, 30).all()
    assert 40 < len(market.requests) / T < 60


def test_what_a_market_is_made_of_is_conserved(market):
    orders = market.matched.orders
    assert (orders["rejected"] == 0).all()
    before, after = market.opening["size"].sum(), market.matched.book["size"].sum()
    volume = market.matched.trades["size"].sum()
    late = market.requests["kind"] == KINDS["cancel"]
    known = market.opening.set_index("id")["size"]
    fills = market.matched.trades.groupby("maker")["size"].sum()
    old = np.intersect1d(market.requests["id"][late], known.index)
    cancelled = (known[old] - fills.reindex(old).fillna(0)).sum()
    entered = orders["submitted"].sum() - orders["cancelled"].sum()
    assert before + entered - 2 * volume - cancelled == after


def test_a_second_engine_makes_the_same_market_of_the_same_orders():
    market = simulate_market(7, duration_s=120)
    slow = SlowEngine()
    for row in market.opening.itertuples():
        order = {"id": row.id, "side": row.side, "price": row.price, "open": row.size}
        order |= {"submitted": row.size, "filled": 0, "cancelled": 0, "rank": slow.rank()}
        slow.orders.append(order)
        slow.used[row.id] = order
    words = {code: word for word, code in KINDS.items()}
    for time, id, price, size, kind, side, _ in market.requests.tolist():
        slow.request(time, id, words[kind], side, price, size, "")
    fields = ["exchange_ns", "price", "size", "kind", "side"]
    events = market.recording.events[fields].tolist()
    levels = market.opening.groupby(["side", "price"])["size"].sum()
    start = events[: len(levels) + 1]
    assert {(e[4], e[1]): e[2] for e in start[1:]} == levels.to_dict()
    assert events[len(start) :] == slow.events
    assert list(market.matched.book.itertuples(index=False, name=None)) == slow.book()


def test_times_rise_at_the_venue_and_receipt_follows(market):
    events = market.recording.events
    assert (np.diff(market.requests["time_ns"]) > 0).all()
    assert (np.diff(events["exchange_ns"]) >= 0).all() and (np.diff(events["local_ns"]) >= 0).all()
    assert set(market.requests["time_ns"]) >= set(events["exchange_ns"][events["kind"] <= TRADE])
    sent, first = np.unique(events["exchange_ns"], return_index=True)
    received = events["local_ns"][first]
    assert np.array_equal(
        received[np.searchsorted(sent, events["exchange_ns"])], events["local_ns"]
    )
    # Where the message in front of it was there in time, its own jitter alone counts.
    free = np.append(True, received[:-1] <= sent[1:] + 2_000_000)
    jitter = (received - sent)[free] - 2_000_000
    assert jitter.min() >= 0 and free.mean() > 0.9
    assert stats.kstest(jitter / 5e5, "expon").pvalue > 1e-3


def test_a_level_far_from_the_best_is_an_infinite_server_queue():
    """Flat rates: a price that is never reached holds a Poisson number of mean rate / rate.

    Its autocovariance is mean * exp(-cancel_rate * lag), so the time average over t has variance
    2 * mean / (cancel_rate * t).
    """
    arrival, leaving, t = 0.5, 0.4, 500.0
    market = simulate_market(
        5,
        duration_s=t,
        limit_rates=np.full(60, arrival),
        cancel_rates=[leaving],
        market_rate=0.1,
        limit_size=1,
        market_size=1,
        pull=0.0,
    )
    events = market.recording.events
    start = events["exchange_ns"][0]
    prices = [*range(9960, 9980), *range(10021, 10041)]
    averages, samples = [], []
    for price in prices:
        rows = events[(events["price"] == price) & (events["kind"] != TRADE)]
        times = np.append((rows["exchange_ns"] - start) / 1e9, t)
        averages.append((rows["size"] * np.diff(times)).sum() / t)
        places = np.searchsorted(times, np.arange(15, t, 15), "right") - 1
        samples.append(np.where(places >= 0, rows["size"][places], 0))
    assert not np.isin(market.matched.trades["price"], prices).any()
    mean = arrival / leaving
    error = math.sqrt(2 * mean / (leaving * t) / len(prices))
    assert error < 0.03
    assert abs(np.mean(averages) - mean) < 4 * error
    counts = np.bincount(np.clip(np.concatenate(samples), 0, 5), minlength=6)
    law = stats.poisson(mean)
    shares = np.append(law.pmf(np.arange(5)), law.sf(4))
    assert chi_square(counts, shares * counts.sum()) > 1e-3


def test_a_longer_market_begins_as_the_shorter_one():
    short, long = (simulate_market(3, duration_s=t, warm_up_s=5) for t in (10, 30))
    n = len(short.requests)
    np.testing.assert_array_equal(short.requests, long.requests[:n])
    pd.testing.assert_frame_equal(short.opening, long.opening)
    n = len(short.recording)
    np.testing.assert_array_equal(short.recording.events, long.recording.events[:n])
    other = simulate_market(4, duration_s=10, warm_up_s=5)
    assert not np.array_equal(other.requests["size"][:50], short.requests["size"][:50])


def test_without_a_warm_up_the_book_starts_with_one_order_a_level():
    market = simulate_market(1, duration_s=5, warm_up_s=0, limit_rates=[1.0, 1.0], limit_size=3.9)
    assert market.opening[["side", "price", "size"]].to_numpy().tolist() == [
        [1, 9999, 3],
        [1, 9998, 3],
        [-1, 10001, 3],
        [-1, 10002, 3],
    ]
    assert (market.recording.events["kind"][:5] == [CLEAR] + [SNAPSHOT] * 4).all()
    assert market.requests["time_ns"][0] > market.recording.events["exchange_ns"][0]


def test_where_a_side_is_empty_its_last_quote_stands_in():
    market = simulate_market(
        2, duration_s=300, limit_rates=[0.2], cancel_rates=[0.5], market_rate=1.0, market_size=100
    )
    orders = market.matched.orders
    starved = orders[(orders["kind"] == "market") & (orders["filled"] == 0)]
    assert len(starved) > 20
    assert set(starved["reason"]) == {"no liquidity"}
    # Quotes are one tick from the opposite side, or from where it was last.
    assert (orders["rejected"] == 0).all()
    spread = market.opening.groupby("side")["price"].agg(["min", "max"])
    assert len(spread) < 2 or spread.loc[-1, "min"] > spread.loc[1, "max"]


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("seed", -1, ValueError),
        ("seed", 1.0, TypeError),
        ("seed", 2**64, ValueError),
        ("duration_s", 0.0, ValueError),
        ("duration_s", 1e9, ValueError),
        ("duration_s", "1", TypeError),
        ("warm_up_s", -1.0, ValueError),
        ("start_price", 20, ValueError),
        ("start_price", 1e4, TypeError),
        ("limit_rates", [], ValueError),
        ("limit_rates", [1.0, -1.0], ValueError),
        ("cancel_rates", [np.nan], ValueError),
        ("cancel_rates", [[1.0]], ValueError),
        ("market_rate", -1.0, ValueError),
        ("limit_size", 0.5, ValueError),
        ("market_size", np.inf, ValueError),
        ("fundamental_rate", -1.0, ValueError),
        ("pull", np.nan, ValueError),
        ("latency_ms", -1.0, ValueError),
        ("latency_ms", 1e300, ValueError),
        ("jitter_ms", 1.1e9, ValueError),
        ("jitter_ms", np.inf, ValueError),
    ],
)
def test_a_market_that_cannot_be_is_refused(argument, value, error):
    arguments = {"seed": 1, "duration_s": 1.0} | {argument: value}
    with pytest.raises(error, match=f"^{argument}"):
        simulate_market(arguments.pop("seed"), **arguments)
