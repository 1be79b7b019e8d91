"""The replay in cases worked out by hand: books, clocks, queue, venue, accounts, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_market import zero_intelligence

import labkit.backtest as bt

GRID = bt.Instrument("A/B", 0.01, 0.001)
SECOND = 10**9


def recorded(*rows, delay=0, instrument=GRID):
    """Events (second, kind, side, ticks, lots), received `delay` later."""
    events = np.zeros(len(rows), bt.EVENT_DTYPE)
    table = np.array(rows, float).reshape(-1, 5)
    for at, name in enumerate(("kind", "side", "price", "size"), start=1):
        events[name] = table[:, at]
    events["exchange_ns"] = np.rint(table[:, 0] * SECOND)
    events["local_ns"] = events["exchange_ns"] + delay
    return bt.Recording(instrument, events)


BOOK = [(0, bt.DEPTH, 1, 100, 10), (0, bt.DEPTH, -1, 102, 10), (0, bt.DEPTH, -1, 103, 4)]
END = [(9, bt.DEPTH, 1, 50, 1)]


def once(*actions, at=1):
    """A strategy that acts at one second only; a list of lists acts from there on, wake by wake."""
    steps = actions if actions and isinstance(actions[0], list) else [list(actions)]

    def strategy(state):
        step = (state.time_ns - at * SECOND) // SECOND
        return steps[step] if 0 <= step < len(steps) else None

    return strategy


def run(recording, strategy, **changes):
    arguments = {
        "latency": bt.ConstantLatency(1000, 500),
        "queue": bt.RiskAverseQueue(),
        "fees": bt.Fees(-0.0001, 0.0005),
    }
    if not isinstance(strategy, bt.InventoryQuoter):
        arguments["interval_ns"] = SECOND
    return bt.replay(recording, strategy, **{**arguments, **changes})


def filled(result, *columns):
    return result.fills[list(columns or ("order_id", "ticks", "lots"))].to_numpy().tolist()


# Events


def test_quotes_follow_the_book():
    rng = np.random.default_rng(5)
    rows, books, expected = [], {1: {}, -1: {}}, []
    for _ in range(2000):
        side = int(rng.choice([1, -1]))
        price, size = 1000 - side * int(rng.geometric(0.1)), int(rng.integers(0, 4))
        rows.append((0, bt.DEPTH, side, price, size))
        books[side].pop(price, None)
        if size:
            books[side][price] = size
        bid, ask = max(books[1], default=0), min(books[-1], default=0)
        expected.append([bid, books[1].get(bid, 0), ask, books[-1].get(ask, 0)])
    quotes = bt.best_quotes(recorded(*rows))
    assert quotes[["bid", "bid_size", "ask", "ask_size"]].to_numpy().tolist() == expected


def test_a_new_best_hides_the_levels_that_it_crosses():
    rows = [(0, bt.DEPTH, -1, 102, 5), (0, bt.DEPTH, -1, 104, 6), (0, bt.DEPTH, 1, 103, 7)]
    back = [(0, bt.DEPTH, 1, 103, 0), (0, bt.DEPTH, -1, 101, 1), (0, bt.DEPTH, -1, 101, 0)]
    quotes = bt.best_quotes(recorded(*rows, *back))
    assert quotes["ask"].tolist() == [102, 102, 104, 104, 101, 102]
    assert quotes["ask_size"].tolist() == [5, 5, 6, 6, 1, 5]
    assert quotes["bid"].tolist() == [0, 0, 103, 0, 0, 0]


def test_a_best_that_meets_the_other_side_hides_it_too():
    rows = [(0, bt.DEPTH, -1, 102, 5), (0, bt.DEPTH, -1, 104, 6), (0, bt.DEPTH, 1, 102, 7)]
    quotes = bt.best_quotes(recorded(*rows, (0, bt.DEPTH, -1, 102, 3)))
    assert quotes[["bid", "ask"]].to_numpy().tolist()[2:] == [[102, 104], [0, 102]]


@pytest.mark.parametrize(
    ("side", "price", "left"),
    [(0, 0, (0, 0)), (1, 0, (0, 102)), (1, 99, (98, 102)), (-1, 102, (100, 103))],
)
def test_a_clear_empties_what_it_names(side, price, left):
    below = [(0, bt.DEPTH, 1, 98, 1), (0, bt.DEPTH, 1, 99, 1)]
    quotes = bt.best_quotes(recorded(*BOOK, *below, (0, bt.CLEAR, side, price, 0)))
    assert tuple(quotes[["bid", "ask"]].iloc[-1]) == left


def test_a_clear_of_hidden_levels_leaves_the_best():
    crossed = [(0, bt.DEPTH, 1, price, 1) for price in (100, 101, 102)] + [
        (0, bt.DEPTH, -1, 101, 1)
    ]
    quotes = bt.best_quotes(recorded(*crossed, (0, bt.CLEAR, 1, 102, 0)))
    assert quotes["bid"].tolist() == [100, 101, 102, 100, 100]


def test_alignment_shifts_all_receipts_by_one_constant():
    market = zero_intelligence(100, seed=1)
    early = market.events.copy()
    early["local_ns"] -= 10**9
    aligned = bt.align_clock(bt.Recording(GRID, early), 1000)
    latency = aligned.events["local_ns"] - aligned.events["exchange_ns"]
    assert latency.min() == 1000
    assert len(np.unique(aligned.events["local_ns"] - early["local_ns"])) == 1
    with pytest.raises(ValueError, match="align_clock"):
        run(bt.Recording(GRID, early), once())


@pytest.mark.parametrize("value", [-1, 1.5])
def test_bad_alignments_are_refused(value):
    with pytest.raises((TypeError, ValueError), match=r"^minimum_latency_ns"):
        bt.align_clock(zero_intelligence(100, seed=1), value)
    with pytest.raises(ValueError, match=r"^recording"):
        bt.align_clock(recorded(), 0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.integers(0, 9),
            st.sampled_from([1, 2, 3, 4]),
            st.sampled_from([1, -1]),
        ),
        max_size=30,
    )
)
def test_the_format_of_hftbacktest_takes_all_events_and_gives_them_back(rows):
    events = np.zeros(len(rows), bt.EVENT_DTYPE)
    table = np.array(rows, np.int64).reshape(-1, 4)
    events["local_ns"] = np.sort(table[:, 0]) + 10
    events["exchange_ns"] = table[:, 1]
    events["kind"], events["side"] = table[:, 2], table[:, 3]
    events["price"], events["size"] = 100 + np.arange(len(rows)), 1 + np.arange(len(rows))
    events["size"][events["kind"] == bt.CLEAR] = 0
    recording = bt.Recording(GRID, events)
    array = bt.to_hftbacktest(recording)
    seen = [array[array["ev"] & (1 << flag) != 0] for flag in (30, 31)]
    for side, clock in zip(seen, ("local_ts", "exch_ts"), strict=True):
        assert len(side) == len(events)
        assert (np.diff(side[clock]) >= 0).all()
    expected = np.argsort(events["exchange_ns"], kind="stable")
    assert seen[1]["px"].tolist() == GRID.price(events["price"][expected]).tolist()
    again = bt.from_hftbacktest(array, GRID)
    assert again.events.tolist() == events.tolist()


def test_events_in_the_same_order_on_both_clocks_are_one_row_each():
    market = zero_intelligence(500, seed=2)
    assert len(bt.to_hftbacktest(market)) == 500


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda rows: rows["px"], TypeError),
        (lambda rows: rows[1:].tolist(), TypeError),
        (lambda rows: rows["ev"].__setitem__(0, 1 << 31 | 1 << 29 | 1), ValueError),
        (lambda rows: rows["ev"].__setitem__(0, 3 << 30 | 1 << 29 | 10), ValueError),
        (lambda rows: rows["px"].__setitem__(0, 1.005), ValueError),
        (lambda rows: rows["qty"].__setitem__(0, -0.001), ValueError),
    ],
)
def test_bad_arrays_of_hftbacktest_are_refused(change, error):
    rows = bt.to_hftbacktest(recorded(*BOOK))
    changed = change(rows)
    with pytest.raises(error):
        bt.from_hftbacktest(rows if changed is None else changed, GRID)


# Latency


def test_requests_and_responses_take_their_time():
    cancel = [[bt.Submit(1, 100, 3)], [bt.Cancel(1)]]
    (order,) = run(recorded(*BOOK, *END), once(*cancel)).orders.itertuples()
    assert (order.submitted_ns, order.arrived_ns) == (SECOND, SECOND + 1000)
    assert order.acknowledged_ns == SECOND + 1500
    assert order.cancel_requested_ns == 2 * SECOND
    assert (order.closed_ns, order.closed_local_ns) == (2 * SECOND + 1000, 2 * SECOND + 1500)
    assert (order.state, order.reason, order.ahead) == ("cancelled", "", 10)


def test_a_later_message_never_overtakes_an_earlier_one():
    # The feed is slow at first: requests of 1 s and 2 s would take 3 s and 0.3 s.
    market = recorded(*BOOK, *END)
    events = market.events.copy()
    events["local_ns"][:3] = SECOND
    more = np.repeat(events[:1], 1)
    more["exchange_ns"], more["local_ns"] = 19 * SECOND // 10, 2 * SECOND
    market = bt.Recording(GRID, np.concatenate([events[:3], more, events[3:]]))
    orders = [[bt.Submit(1, 100, 1)], [bt.Submit(1, 99, 1)]]
    result = run(market, once(*orders), latency=bt.FeedLatency(3.0, 1.0))
    assert result.orders["arrived_ns"].tolist() == [4 * SECOND, 4 * SECOND]
    slow = bt.RecordedLatency(
        np.array([[SECOND, SECOND + 1, 5 * SECOND], [SECOND + 2, SECOND + 3, SECOND + 4]])
    )
    result = run(recorded(*BOOK, *END), once(*orders), latency=slow)
    assert result.orders["arrived_ns"].tolist() == [SECOND + 1, 2 * SECOND + 1]
    assert result.orders["acknowledged_ns"].tolist() == [5 * SECOND, 5 * SECOND]


def test_recorded_latencies_hold_until_the_next_row_or_are_interpolated():
    rows = np.array([[0, 100, 150], [4, 204, 264]]) * SECOND // 100 + [[SECOND], [2 * SECOND]]
    for interpolate, expected in ((False, 1.0), (True, 1.5)):
        latency = bt.RecordedLatency(rows, interpolate=interpolate)
        entry, _, flag = latency.tables(recorded(*BOOK), 0)
        assert flag is interpolate
        middle = (rows[0, 0] + rows[1, 0]) // 2

        def strategy(state, middle=middle):
            return [bt.Submit(1, 100, 1)] if state.time_ns == middle else None

        market = recorded(*BOOK, *END)
        result = run(market, strategy, latency=latency, interval_ns=int(middle))
        arrived = result.orders["arrived_ns"].iloc[0]
        assert arrived - middle == pytest.approx(expected * SECOND, abs=2)
        assert entry[:, 1].tolist() == [SECOND, 2 * SECOND]


def test_a_lost_request_is_known_after_its_round_trip():
    lost = bt.RecordedLatency(np.array([[0, SECOND, SECOND], [SECOND // 2, 0, 2 * SECOND]]))
    (order,) = run(
        recorded(*BOOK, *END), once(bt.Submit(1, 100, 1)), latency=lost
    ).orders.itertuples()
    assert (order.state, order.reason) == ("rejected", "technical")
    assert (order.arrived_ns, order.closed_ns) == (-1, -1)
    assert order.closed_local_ns == SECOND + 3 * SECOND // 2


def test_a_lost_cancellation_leaves_the_order_and_can_be_repeated():
    table = np.array(
        [[0, 1, 2], [2 * SECOND, 0, 2 * SECOND + 5], [3 * SECOND, 3 * SECOND + 1, 3 * SECOND + 2]]
    )
    steps = [[bt.Submit(1, 100, 1)], [bt.Cancel(1)], [], [bt.Cancel(1)]]
    for times, state, rejected in ((2, "open", 1), (4, "cancelled", 1)):
        market, strategy = recorded(*BOOK, *END), once(*steps[:times])
        result = run(market, strategy, latency=bt.RecordedLatency(table))
        (order,) = result.orders.itertuples()
        assert (order.state, order.cancels_rejected) == (state, rejected)
        assert order.cancel_requested_ns == 2 * SECOND


def test_between_an_order_that_came_through_and_a_lost_one_orders_are_lost():
    rows = [
        [0, 1, 2],
        [2 * SECOND, 0, 2 * SECOND + 1002],
        [4 * SECOND, 4 * SECOND + 1, 4 * SECOND + 2],
    ]
    latency = bt.RecordedLatency(np.array(rows), interpolate=True)
    steps = [[bt.Submit(1, 100, 1)], [], [bt.Submit(1, 100, 1)], [bt.Submit(1, 100, 1)]]
    orders = run(recorded(*BOOK, *END), once(*steps), latency=latency).orders
    assert orders["state"].tolist() == ["rejected", "rejected", "open"]
    assert (orders["closed_local_ns"] - orders["submitted_ns"]).tolist()[:2] == [502, 502]


def test_latencies_of_the_feed_are_those_known_at_the_time():
    market = zero_intelligence(300, seed=4)
    entry, response, interpolate = bt.FeedLatency(2.0, 0.5).tables(market, 0)
    events = market.events
    latency = events["local_ns"] - events["exchange_ns"]
    assert not interpolate
    assert entry[:, 0].tolist() == events["local_ns"].tolist()
    assert entry[:, 1].tolist() == (2 * latency).tolist()
    assert response[:, 0].tolist() == np.sort(events["exchange_ns"]).tolist()
    result = run(market, once(at=10**6 + 1), latency=bt.FeedLatency(), interval_ns=10**7)
    assert len(result.series) > 10


# The venue


@pytest.mark.parametrize(("trade", "lots"), [(9, None), (10, None), (11, 1), (12, 2), (20, 3)])
def test_a_trade_fills_what_it_has_left_behind_the_queue(trade, lots):
    rows = [(3, bt.TRADE, -1, 100, trade)]
    result = run(recorded(*BOOK, *rows, *END), once(bt.Submit(1, 100, 3)))
    assert filled(result, "lots") == ([] if lots is None else [[lots]])
    whole = run(recorded(*BOOK, *rows, *END), once(bt.Submit(1, 100, 3)), partial_fills=False)
    assert filled(whole, "lots") == ([] if lots is None else [[3]])


def test_a_level_that_shrinks_below_the_queue_in_front_moves_a_cautious_order_up():
    rows = [(2, bt.DEPTH, 1, 100, 30), (3, bt.DEPTH, 1, 100, 4), (4, bt.TRADE, -1, 100, 6)]
    result = run(recorded(*BOOK, *rows, *END), once(bt.Submit(1, 100, 3)))
    assert filled(result, "lots", "left") == [[2, 1]]


def odds(kind, exponent, front, back):
    """The table in the documentation, in lots."""
    f = (lambda x: x**exponent) if kind.startswith("power") else (lambda x: math.log(1 + x * 0.001))
    return {
        "power": lambda: f(back) / (f(back) + f(front)),
        "log": lambda: f(back) / (f(back) + f(front)),
        "power2": lambda: f(back) / f(back + front),
        "log2": lambda: f(back) / f(back + front),
        "power3": lambda: 1 - f(front / (front + back)),
    }[kind]()


@pytest.mark.parametrize("kind", ["power", "power2", "power3", "log", "log2"])
@pytest.mark.parametrize("exponent", [1.0, 2.5])
def test_what_leaves_a_level_is_shared_by_the_odds_of_the_model(kind, exponent):
    # 400 in front, 300 join behind, 200 leave without a trade, 350 trade.
    depth = [(0, bt.DEPTH, 1, 100, 400), (2, bt.DEPTH, 1, 100, 700), (3, bt.DEPTH, 1, 100, 500)]
    rows = [BOOK[1], depth[0], *depth[1:], (4, bt.TRADE, -1, 100, 350)]
    queue = bt.ProbabilityQueue(kind, exponent)
    result = run(recorded(*rows, *END), once(bt.Submit(1, 100, 1000)), queue=queue)
    front = 400 - (1 - odds(kind, exponent, 400, 300)) * 200
    assert filled(result, "lots") == ([[round(350 - front)]] if front < 349.5 else [])


def test_a_trade_is_counted_once_when_the_level_shrinks_by_it():
    # 10 in front, 20 join; 4 trade and the level shows it; 13 of 26 leave: 3 in front; 6 trade.
    rows = [(2, bt.DEPTH, 1, 100, 30), (3, bt.TRADE, -1, 100, 4), (3, bt.DEPTH, 1, 100, 26)]
    rows += [(4, bt.DEPTH, 1, 100, 13), (5, bt.TRADE, -1, 100, 6)]
    queue = bt.ProbabilityQueue("power", 1.0)
    result = run(recorded(*BOOK, *rows, *END), once(bt.Submit(1, 100, 9)), queue=queue)
    assert filled(result, "lots") == [[3]]


def test_an_order_that_a_part_of_a_lot_has_reached_stays_in_front():
    # 9.85 in front of it when 10 trade: less than half a lot has reached it.
    rows = [(2, bt.DEPTH, 1, 100, 30), (3, bt.DEPTH, 1, 100, 29), (4, bt.TRADE, -1, 100, 10)]
    rows += [(5, bt.DEPTH, 1, 100, 12), (6, bt.TRADE, -1, 100, 1)]
    queue = bt.ProbabilityQueue("power", 2.5)
    result = run(recorded(*BOOK, *rows, *END), once(bt.Submit(1, 100, 9)), queue=queue)
    assert filled(result, "exchange_ns", "lots") == [[6 * SECOND, 1]]


def test_own_orders_at_a_price_share_a_trade_in_turn():
    # 10 in front of both: of 14 traded the first order gets 3, and 1 is left for the second.
    orders = [bt.Submit(1, 100, 3), bt.Submit(1, 100, 3)]
    result = run(recorded(*BOOK, (3, bt.TRADE, -1, 100, 14), *END), once(*orders))
    assert filled(result) == [[1, 100, 3], [2, 100, 1]]


def test_what_an_own_order_took_is_no_cancellation_to_the_next_one():
    # The second order has 50 in front; of 12 traded the first takes 2. The level shows 12 less:
    # all of them traded, none cancelled, so that 40 stay in front of the second.
    rows = [(1.5, bt.DEPTH, 1, 100, 50), (3, bt.DEPTH, 1, 100, 80), (4, bt.TRADE, -1, 100, 12)]
    rows += [(5, bt.DEPTH, 1, 100, 68), (6, bt.TRADE, -1, 100, 40), (7, bt.TRADE, -1, 100, 1)]
    steps = [[bt.Submit(1, 100, 2)], [bt.Submit(1, 100, 3)]]
    queue = bt.ProbabilityQueue("power", 1.0)
    result = run(recorded(*BOOK, *rows, *END), once(*steps), queue=queue)
    assert filled(result, "exchange_ns", "order_id", "lots") == [
        [4 * SECOND, 1, 2],
        [7 * SECOND, 2, 1],
    ]


@pytest.mark.parametrize(
    "row", [(3, bt.TRADE, -1, 99, 1), (3, bt.DEPTH, -1, 100, 1), (3, bt.DEPTH, -1, 99, 1)]
)
def test_a_price_that_goes_through_fills_the_order_whole_at_its_price(row):
    result = run(recorded(*BOOK, row, *END), once(bt.Submit(1, 100, 3)))
    assert filled(result, "exchange_ns", "ticks", "lots", "maker") == [[3 * SECOND, 100, 3, True]]
    assert result.fills["ahead"].tolist() == [10.0]


def test_a_trade_that_comes_with_an_order_comes_first():
    rows = [(2, bt.TRADE, -1, 99, 1)]
    latency = bt.ConstantLatency(SECOND, 0)
    result = run(recorded(*BOOK, *rows, *END), once(bt.Submit(1, 100, 3)), latency=latency)
    assert filled(result) == []


def test_orders_at_better_prices_are_filled_first():
    orders = [bt.Submit(-1, 103, 1), bt.Submit(-1, 102, 1), bt.Submit(-1, 102, 1)]
    result = run(recorded(*BOOK, (3, bt.TRADE, 1, 110, 1), *END), once(*orders))
    assert result.fills["order_id"].tolist() == [2, 3, 1]


@pytest.mark.parametrize(
    ("kind", "price", "size", "fills", "state", "reason"),
    [
        ("market", 0, 12, [(102, 10), (103, 2)], "filled", ""),
        ("market", 0, 20, [(102, 10), (103, 4)], "expired", "no_depth"),
        ("immediate_or_cancel", 102, 12, [(102, 10)], "expired", "no_depth"),
        ("immediate_or_cancel", 101, 1, [], "expired", "no_depth"),
        ("limit", 102, 12, [(102, 10)], "expired", "no_depth"),
        ("limit", 105, 3, [(102, 3)], "filled", ""),
        ("post_only", 102, 1, [], "rejected", "would_cross"),
        ("post_only", 101, 1, [], "open", ""),
        ("limit", 101, 1, [], "open", ""),
    ],
)
def test_orders_take_what_the_book_shows_as_their_kind_allows(
    kind, price, size, fills, state, reason
):
    result = run(recorded(*BOOK, *END), once(bt.Submit(1, price, size, kind)))
    assert filled(result, "ticks", "lots") == [list(fill) for fill in fills]
    assert not result.fills["maker"].any()
    (order,) = result.orders.itertuples()
    assert (order.kind, order.state, order.reason) == (kind, state, reason)
    assert order.filled == sum(lots for _, lots in fills)


def test_a_market_order_expires_without_a_book():
    only_bids = [(0, bt.DEPTH, 1, 100, 10)]
    result = run(recorded(*only_bids, *END), once(bt.Submit(1, 0, 1, "market")))
    assert result.orders["state"].tolist() == ["expired"]


def test_taking_leaves_the_book_as_it_is():
    steps = [[bt.Submit(-1, 0, 10, "market")], [bt.Submit(-1, 0, 10, "market")]]
    result = run(recorded(*BOOK, *END), once(*steps))
    assert filled(result) == [[1, 100, 10], [2, 100, 10]]


def test_a_cancellation_that_comes_too_late_is_rejected():
    steps = [[bt.Submit(1, 100, 3)], [bt.Cancel(1)]]
    rows = [(2, bt.TRADE, -1, 99, 1)]
    latency = bt.ConstantLatency(1000, SECOND // 2)
    (order,) = run(recorded(*BOOK, *rows, *END), once(*steps), latency=latency).orders.itertuples()
    assert (order.state, order.cancels_rejected, order.filled) == ("filled", 1, 3)


# Accounts


def quoter(most=3, half_spread=0.8, skew=0.3, size=20, interval=10**8, **more):
    inventory = np.arange(-most, most + 1)
    bids, asks = half_spread + skew * inventory, half_spread - skew * inventory
    bids[-1] = asks[0] = np.nan
    return bt.InventoryQuoter(bids, asks, size, interval, **more)


@pytest.fixture(scope="module")
def market():
    return zero_intelligence(3000, seed=7)


@pytest.fixture(scope="module")
def quoted(market):
    return run(market, quoter())


def test_equity_is_cash_and_position_less_fees_at_every_row(quoted):
    series = quoted.series
    value = series["cash"] + series["position"] * series["mid"].fillna(0.0) - series["fees"]
    np.testing.assert_allclose(series["equity"], value, rtol=0, atol=1e-9)
    assert quoted.final_equity == series["equity"].iloc[-1]
    assert series.index.is_monotonic_increasing and series.index.is_unique


def test_cash_fees_and_position_are_the_sums_of_the_fills(quoted):
    fills = quoted.fills
    assert len(fills) > 20
    assert quoted.cash_units == -(fills["side"] * fills["ticks"] * fills["lots"]).sum()
    assert quoted.fees == pytest.approx(fills["fee"].sum(), rel=1e-12)
    assert quoted.fees == pytest.approx(-0.0001 * quoted.turnover, rel=1e-12)
    assert quoted.position.iloc[-1] == pytest.approx((fills["side"] * fills["size"]).sum())
    known = fills.groupby("local_ns")[["side", "lots"]].apply(lambda f: (f.side * f.lots).sum())
    for time, position in quoted.position.iloc[::50].items():
        lots = known[known.index <= time.value].sum()
        assert position == pytest.approx(lots * 0.001)


def test_orders_and_fills_tell_the_same(quoted):
    orders, fills = quoted.orders, quoted.fills
    by_order = fills.groupby("order_id")["lots"].sum().reindex(orders.index, fill_value=0)
    assert by_order.tolist() == orders["filled"].tolist()
    assert ((orders["filled"] == orders["lots"]) == (orders["state"] == "filled")).all()
    assert (fills["local_ns"] >= fills["exchange_ns"]).all()
    assert (np.diff(fills["exchange_ns"]) >= 0).all()


def test_taker_and_maker_pay_their_rates():
    steps = [[bt.Submit(1, 0, 2, "market"), bt.Submit(1, 100, 3)]]
    result = run(recorded(*BOOK, (3, bt.TRADE, -1, 99, 1), *END), once(*steps))
    unit = 0.01 * 0.001
    expected = [0.0005 * 102 * 2 * unit, -0.0001 * 100 * 3 * unit]
    assert result.fills["fee"].tolist() == pytest.approx(expected, rel=1e-12)


# Strategies


class Twin:
    """The built-in quoter, written against the view that a strategy has."""

    def __init__(self, quoter):
        self.quoter = quoter

    def wish(self, state, side):
        bids, asks = np.asarray(self.quoter.bid_offset), np.asarray(self.quoter.ask_offset)
        size, most = self.quoter.order_size, bids.shape[1] // 2
        if not state.bid or not state.ask:
            return 0
        units = math.ceil(side * state.position / size) * side
        row = max(np.searchsorted(self.quoter.times, state.time_ns, "right") - 1, 0)
        offset = (bids if side == 1 else asks)[row, units + most] if abs(units) <= most else np.nan
        if np.isnan(offset):
            return 0
        fair = (state.bid + state.ask) / 2
        table = np.asarray(self.quoter.adjustment)
        if table.size:
            share = state.bid_size / (state.bid_size + state.ask_size)
            bucket = min(int(share * table.shape[1]), table.shape[1] - 1)
            fair += table[min(state.ask - state.bid, len(table)) - 1, bucket]
        if side == 1:
            return max(min(math.floor(fair - offset), state.ask - 1), 0)
        return max(math.ceil(fair + offset), state.bid + 1)

    def __call__(self, state):
        limit = self.quoter.order_size * (np.asarray(self.quoter.bid_offset).shape[1] // 2)
        actions = []
        for side in (1, -1):
            price = self.wish(state, side)
            orders = [order for order in state.orders if order.side == side]
            exposure = side * state.position + sum(order.size - order.filled for order in orders)
            quoted = False
            for order in orders:
                if order.cancelling:
                    continue
                if price and order.price == price:
                    quoted = True
                elif order.state != "pending":
                    actions.append(bt.Cancel(order.order_id))
            if price and not quoted and exposure + self.quoter.order_size <= limit:
                actions.append(bt.Submit(side, price, self.quoter.order_size, "post_only"))
        return actions


@pytest.mark.parametrize("interval", [10**8, None])
def test_the_quoter_and_the_same_rules_in_python_do_the_same(market, interval):
    rng = np.random.default_rng(1)
    rows = quoter(interval=interval)
    start = int(market.events["local_ns"][0])
    ours = bt.InventoryQuoter(
        np.vstack([rows.bid_offset, rows.bid_offset + 0.5]),
        np.vstack([rows.ask_offset, rows.ask_offset + 0.2]),
        20,
        interval,
        times=[start, start + 5 * SECOND],
        adjustment=rng.uniform(-1, 1, (3, 4)),
    )
    built_in = run(market, ours)
    twin = run(market, Twin(ours), interval_ns=interval)
    assert len(built_in.fills) > 20
    for name in ("fills", "orders", "series"):
        assert getattr(built_in, name).equals(getattr(twin, name))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 4),
    st.sampled_from([0, 10**6, 10**8, 3 * 10**8]),
    st.booleans(),
    st.sampled_from([3, 20, 45]),
)
def test_the_limits_of_inventory_hold_at_every_moment(seed, most, latency, partial, size):
    market = zero_intelligence(400, seed=seed)
    strategy = quoter(most, 0.3, 0.1, size=size, interval=2 * 10**7)
    result = run(
        market, strategy, latency=bt.ConstantLatency(latency, latency), partial_fills=partial
    )
    held = (result.fills["side"] * result.fills["lots"]).cumsum()
    assert (held.abs() <= most * size).all()


def test_quotes_keep_their_distance_and_never_take(market):
    result = run(market, quoter(half_spread=0.05, skew=0.0), latency=bt.ConstantLatency(0, 0))
    assert result.fills["maker"].all()
    quotes = bt.best_quotes(market)
    at = np.searchsorted(quotes["local_ns"], result.orders["submitted_ns"], side="right") - 1
    seen = quotes.iloc[at]
    ticks, side = result.orders["ticks"].to_numpy(), result.orders["side"].to_numpy()
    assert (ticks[side == 1] < seen["ask"].to_numpy()[side == 1]).all()
    assert (ticks[side == -1] > seen["bid"].to_numpy()[side == -1]).all()


def test_the_fair_price_follows_the_table():
    table = [[0.0, 0.0], [-5.0, 7.0]]  # the spread is two ticks, the bid holds half of the touch
    flat = np.array([[np.nan], [0.5], [0.5]]).T
    strategy = bt.InventoryQuoter(flat[:, ::-1], flat, 1, SECOND, adjustment=table)
    result = run(recorded(*BOOK, *END), strategy)
    assert sorted(result.orders["ticks"].head(2)) == [101, 109]  # fair 108, the bid kept off 102


def test_offsets_hold_from_their_time_on():
    rows = np.array([[1.0] * 4 + [np.nan], [3.0] * 4 + [np.nan]])
    strategy = bt.InventoryQuoter(rows, rows[:, ::-1], 1, SECOND, times=[2 * SECOND, 4 * SECOND])
    bids = run(recorded(*BOOK, *END), strategy).series["bid"]
    expected = [1.00, 1.00, 1.00, 0.98]  # from the first row until 4 s, then from the second
    assert bids.iloc[:4].tolist() == expected


def test_without_a_bid_or_an_ask_all_orders_are_cancelled():
    rows = [(3, bt.CLEAR, -1, 0, 0)]
    strategy = quoter(interval=SECOND)
    result = run(recorded(*BOOK, *rows, *END), strategy)
    assert (result.orders["state"] == "cancelled").all()
    assert result.series["bid"].iloc[-2:].isna().all()


def test_the_future_does_not_change_the_past(market, quoted):
    events = market.events.copy()
    half = len(events) // 2
    moment = events["exchange_ns"][half]
    rng = np.random.default_rng(0)
    later = events[half:]
    later["price"] = rng.permutation(later["price"])
    later["size"] = rng.permutation(later["size"]) + 1
    other = run(bt.Recording(market.instrument, events), quoter())
    for table, column in (("fills", "exchange_ns"), ("orders", "submitted_ns")):
        past, past_other = (
            getattr(result, table)[getattr(result, table)[column] < moment]
            for result in (quoted, other)
        )
        assert len(past) > 5
        columns = ["side", "ticks", "lots", column]
        assert past[columns].equals(past_other[columns])
    series = [result.series[result.series.index.asi8 < moment] for result in (quoted, other)]
    assert series[0].equals(series[1])
    assert not quoted.series.equals(other.series)


def test_wakes_come_at_the_interval_while_events_are_left():
    times = []
    run(recorded(*BOOK, *END, delay=SECOND // 2), lambda state: times.append(state.time_ns))
    assert times == [SECOND * k for k in range(1, 10)]


def test_wakes_come_with_what_is_received():
    times = []

    def strategy(state):
        times.append(state.time_ns)
        return [bt.Submit(1, 99, 1)] if len(times) == 2 else None

    rows = [(1, bt.DEPTH, 1, 99, 1), (1, bt.DEPTH, 1, 98, 1), (2, bt.DEPTH, 1, 97, 1)]
    run(recorded(*BOOK, *rows, *END, delay=100), strategy, interval_ns=None)
    assert times == [100, SECOND + 100, SECOND + 1600, 2 * SECOND + 100]


def test_answers_without_latency_do_not_stop_the_clock():
    latency = bt.ConstantLatency(0, 0)
    sent = [bt.Submit(1, 102, 1, "post_only")]
    rows = recorded(*BOOK, (1, bt.DEPTH, 1, 99, 1), *END)
    result = run(rows, lambda state: sent, latency=latency, interval_ns=None)
    assert len(result.orders) == 2


def test_a_strategy_sees_what_it_has_received_and_nothing_more():
    seen = {}

    def strategy(state):
        seen[state.time_ns // SECOND] = (
            (state.bid, state.bid_size, state.ask, state.ask_size),
            (state.depth(-1, 103), state.depth(1, 103)),
            state.trades["size"].tolist(),
            (state.position, state.cash),
            [(order.state, order.filled, order.cancelling) for order in state.orders],
        )
        if state.time_ns == SECOND:
            return [bt.Submit(1, 100, 3)]
        return [bt.Cancel(1)] if state.time_ns == 4 * SECOND else None

    trade = [(2, bt.TRADE, -1, 100, 12), (5, bt.TRADE, 1, 102, 7), (6, bt.TRADE, 1, 102, 8)]
    market = recorded(*BOOK, *trade, *END)
    run(market, strategy, feed_ns=SECOND // 2, latency=bt.ConstantLatency(1000, SECOND * 3 // 2))
    quotes, deep = (100, 10, 102, 10), (4, 0)
    assert seen[1] == (quotes, deep, [], (0, 0), [])
    assert seen[2] == (quotes, deep, [], (0, 0), [("pending", 0, False)])
    assert seen[3] == (quotes, deep, [12], (0, 0), [("open", 0, False)])
    assert seen[4] == (quotes, deep, [], (2, -200), [("partially_filled", 2, False)])
    assert seen[5] == (quotes, deep, [], (2, -200), [("partially_filled", 2, True)])
    assert seen[6] == (quotes, deep, [7], (2, -200), [])
    assert seen[7][2] == [8]


def test_a_state_cannot_be_written():
    def strategy(state):
        state.position = 5

    with pytest.raises(AttributeError):
        run(recorded(*BOOK, *END), strategy)


def test_an_exception_of_the_strategy_comes_out_as_it_is():
    class Special(Exception):
        pass

    def strategy(state):
        raise Special("mine")

    with pytest.raises(Special, match="mine"):
        run(recorded(*BOOK, *END), strategy)


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ((1, 100, 1), TypeError),
        (bt.Cancel(1), ValueError),
        (bt.Submit(1, 100, 1, "stop"), ValueError),
        (bt.Submit(2, 100, 1), ValueError),
        (bt.Submit(1, 0, 1), ValueError),
        (bt.Submit(1, 100.5, 1), TypeError),
        (bt.Submit(1, 100, 0), ValueError),
    ],
)
def test_bad_actions_are_refused(action, error):
    with pytest.raises(error):
        run(recorded(*BOOK, *END), once(action))


def test_a_second_cancellation_of_an_order_under_way_is_refused():
    with pytest.raises(ValueError, match=r"^order_id"):
        run(recorded(*BOOK, *END), once([bt.Submit(1, 100, 1)], [bt.Cancel(1), bt.Cancel(1)]))


def test_the_series_is_sampled_on_the_grid_and_at_the_end(market, quoted):
    coarse = run(market, quoter(), sample_ns=SECOND)
    assert coarse.fills.equals(quoted.fills)
    start = market.events["exchange_ns"][0]
    cells = (coarse.series.index.asi8[:-1] - start) // SECOND
    assert (np.diff(cells) == 1).all()
    assert coarse.series.iloc[-1].equals(quoted.series.iloc[-1])


def test_a_recording_without_events_gives_nothing():
    result = run(recorded(), once(bt.Submit(1, 100, 1)))
    assert (len(result.fills), len(result.orders), len(result.series)) == (0, 0, 1)
    assert result.final_equity == 0.0


def test_equity_is_unknown_only_with_a_position_and_no_price():
    one_sided = [(0, bt.DEPTH, -1, 102, 10)]
    result = run(recorded(*one_sided, *END[:0], (9, bt.DEPTH, -1, 200, 1)), once())
    assert result.equity.tolist()[-1] == 0.0
    bought = run(
        recorded(*one_sided, (9, bt.DEPTH, -1, 200, 1)), once(bt.Submit(1, 0, 1, "market"))
    )
    assert math.isnan(bought.final_equity)


# Bad input


@pytest.mark.parametrize(
    ("name", "make", "error"),
    [
        ("entry_ns", lambda: bt.ConstantLatency(-1, 0), ValueError),
        ("response_ns", lambda: bt.ConstantLatency(0, 1.5), TypeError),
        ("entry_factor", lambda: bt.FeedLatency(0.0, 1.0), ValueError),
        ("response_factor", lambda: bt.FeedLatency(1.0, np.inf), ValueError),
        ("table", lambda: bt.RecordedLatency([[1.0, 2.0, 3.0]]), TypeError),
        ("table", lambda: bt.RecordedLatency([[1, 2]]), ValueError),
        ("table", lambda: bt.RecordedLatency([[1, 0, 3]]), ValueError),
        ("table", lambda: bt.RecordedLatency([[2, 3, 4], [1, 3, 4]]), ValueError),
        ("table", lambda: bt.RecordedLatency([[1, 4, 5], [2, 3, 5]]), ValueError),
        ("table[0]", lambda: bt.RecordedLatency([[2, 1, 5]]), ValueError),
        ("table[1]", lambda: bt.RecordedLatency([[1, 1, 5], [2, 3, 2]]), ValueError),
        ("kind", lambda: bt.ProbabilityQueue("fifo"), ValueError),
        ("exponent", lambda: bt.ProbabilityQueue("power", 0.0), ValueError),
        ("maker", lambda: bt.Fees(math.nan, 0.0), ValueError),
        ("taker", lambda: bt.Fees(0.0, "1"), TypeError),
        ("ask_offset", lambda: bt.InventoryQuoter([1.0, 1.0], [1.0], 1, 1), ValueError),
        ("bid_offset", lambda: bt.InventoryQuoter(["a"], [1.0], 1, 1), TypeError),
        ("times", lambda: bt.InventoryQuoter([[1.0], [1.0]], [[1.0], [1.0]], 1, 1), ValueError),
        ("times", lambda: bt.InventoryQuoter([1.0], [1.0], 1, 1, times=[0.5]), TypeError),
        (
            "adjustment",
            lambda: bt.InventoryQuoter([1.0], [1.0], 1, 1, adjustment=[1.0]),
            ValueError,
        ),
    ],
)
def test_bad_models_are_refused(name, make, error):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value).startswith(name)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"recording": 5}, TypeError),
        ({"strategy": 5}, TypeError),
        ({"interval_ns": 0}, ValueError),
        ({"feed_ns": -1}, ValueError),
        ({"sample_ns": 0.5}, TypeError),
        ({"strategy": quoter(), "interval_ns": 5}, ValueError),
    ],
)
def test_bad_replays_are_refused(changes, error):
    arguments = {"recording": recorded(*BOOK), "strategy": once(), **changes}
    with pytest.raises(error) as raised:
        run(**arguments)
    assert any(str(raised.value).startswith(name) for name in changes)
