"""The replay on small scenes by hand and on a random market: queue, venue, clocks, accounts."""

import numpy as np
import pytest
from random_market import zero_intelligence

import labkit.backtest as bt

# Scenes: the book stands at 1 s, orders are sent at 1.5 s, the market goes on from 2 s

QUEUES = [bt.RiskAverseQueue()] + [
    bt.ProbabilityQueue(kind, exponent)
    for kind in ("power", "power2", "power3", "log", "log2")
    for exponent in ([0.5, 1.0, 3.0] if kind.startswith("power") else [1.0])
]
SECOND = 10**9
BOOK = [(bt.DEPTH, 1, 100, 10), (bt.DEPTH, -1, 101, 5), (bt.DEPTH, -1, 102, 5)]


def scene(*market, book=BOOK, delays=0):
    """Events (kind, side, ticks, lots): the book's at 1 s, the market's from 2 s each second."""
    events = np.zeros(len(book) + len(market), bt.EVENT_DTYPE)
    times = [1] * len(book) + list(range(2, 2 + len(market)))
    events["exchange_ns"] = np.array(times) * SECOND
    events["local_ns"] = events["exchange_ns"] + delays
    for at, name in enumerate(("kind", "side", "price", "size")):
        events[name] = [row[at] for row in (*book, *market)]
    return bt.Recording(bt.Instrument("A/B", 1.0, 1.0), events)


def run(recording, strategy, **changes):
    """A replay without latency and fees, in the manner of the scenes."""
    settings = {
        "latency": bt.ConstantLatency(0, 0),
        "queue": bt.RiskAverseQueue(),
        "fees": bt.Fees(0.0, 0.0),
    }
    if not isinstance(strategy, bt.InventoryQuoter):
        settings["interval_ns"] = SECOND // 2
    return bt.replay(recording, strategy, **{**settings, **changes})


def at(plan):
    """A strategy of actions by the half second after the first event at which they are sent."""

    def act(state):
        return plan.get((state.time_ns - SECOND) // (SECOND // 2))

    return act


def filled(result, *names):
    """Columns of the fills as a list of rows."""
    return result.fills[list(names or ("order_id", "ticks", "lots"))].to_numpy().tolist()


END = [(bt.DEPTH, 1, 1, 1)]


# The queue


@pytest.mark.parametrize("queue", QUEUES, ids=str)
def test_a_trade_fills_at_most_its_own_lots_after_a_level_has_grown_and_shrunk(queue):
    market = [(bt.DEPTH, 1, 100, size) for size in (1000, 10)] + [(bt.TRADE, -1, 100, 1), *END]
    book = [(bt.DEPTH, 1, 100, 100), (bt.DEPTH, -1, 101, 5)]
    result = run(scene(*market, book=book), at({1: [bt.Submit(1, 100, 50)]}), queue=queue)
    assert result.orders["ahead"].tolist() == [100]
    assert result.fills["lots"].sum() <= 1


def trades_at_fills(recording, fills):
    """Size of the trade at the price of each fill at its moment, 0 where there was none."""
    rows = recording.events[recording.events["kind"] == bt.TRADE]
    keys = zip(rows["exchange_ns"].tolist(), rows["price"].tolist(), strict=True)
    sizes = dict(zip(keys, rows["size"].tolist(), strict=True))
    keys = zip(fills["exchange_ns"].tolist(), fills["ticks"].tolist(), strict=True)
    return np.array([sizes.get(key, 0) for key in keys])


@pytest.mark.parametrize("queue", QUEUES, ids=str)
def test_fills_by_a_trade_at_the_price_are_together_at_most_its_size(queue):
    recording = zero_intelligence(3_000, seed=5)

    def join(state):
        if len(state.orders) < 6:
            sides = ((1, state.bid), (-1, state.ask))
            return [bt.Submit(side, price, 40, "post_only") for side, price in sides]

    result = run(recording, join, queue=queue, interval_ns=50_000_000)
    fills = result.fills.assign(trade=trades_at_fills(recording, result.fills))
    by_trade = fills[fills["trade"] > 0].groupby(["exchange_ns", "ticks"])
    assert len(by_trade) > 20
    assert (by_trade["lots"].sum() <= by_trade["trade"].first()).all()
    assert (result.fills["ahead"] >= 0).all()


# The end


@pytest.mark.parametrize("interval_ns", [None, SECOND // 2, 3 * SECOND])
def test_a_strategy_that_never_stops_sending_is_not_woken_after_the_last_event(interval_ns):
    woken = []

    def send(state):
        woken.append(state.time_ns)
        return [bt.Submit(1, 101, 1, "immediate_or_cancel")]

    recording = scene(*END * 4)
    latency = bt.ConstantLatency(SECOND // 3, SECOND // 3)
    result = run(recording, send, interval_ns=interval_ns, latency=latency)
    assert woken and max(woken) < recording.events["local_ns"][-1]
    # What was under way arrived: nothing stays open.
    assert len(result.orders) == len(woken) == len(result.fills)
    assert (result.orders["closed_local_ns"] > 0).all()


# The venue


def test_a_post_only_order_that_would_take_is_rejected():
    result = run(scene(*END), at({1: [bt.Submit(1, 101, 1, "post_only"), bt.Submit(-1, 101, 1)]}))
    assert result.orders["state"].tolist() == ["rejected", "open"]
    assert result.orders["reason"].tolist() == ["would_cross", ""]
    assert len(result.fills) == 0


@pytest.mark.parametrize(
    ("order", "fills"),
    [
        (bt.Submit(1, 101, 9, "immediate_or_cancel"), [[101, 5]]),
        (bt.Submit(1, 105, 9, "immediate_or_cancel"), [[101, 5], [102, 4]]),
        (bt.Submit(1, 105, 99), [[101, 5], [102, 5]]),
        (bt.Submit(1, 100, 9, "immediate_or_cancel"), []),
        (bt.Submit(1, 0, 8, "market"), [[101, 5], [102, 3]]),
        (bt.Submit(1, 0, 99, "market"), [[101, 5], [102, 5]]),
        (bt.Submit(-1, 0, 99, "market"), [[100, 10]]),
    ],
)
def test_takers_walk_the_book_and_never_get_more_than_it_shows(order, fills):
    result = run(scene(*END), at({1: [order]}))
    assert filled(result, "ticks", "lots") == fills
    whole = sum(lots for _, lots in fills) == order.size
    assert result.orders["state"].tolist() == ["filled" if whole else "expired"]
    assert not result.fills["maker"].any()


@pytest.mark.parametrize(
    ("step", "state", "lots"), [(4, "cancelled", 0), (5, "filled", 3), (6, "filled", 3)]
)
def test_a_cancellation_that_comes_after_the_fill_is_rejected(step, state, lots):
    # The trade of 4 s fills the order; a request takes 0.7 s, so that of 3.5 s comes too late, and
    # so does that of 4 s, when the fill is not yet known.
    result = run(
        scene(*END * 2, (bt.TRADE, -1, 100, 99), *END * 3),
        at({1: [bt.Submit(1, 100, 3)], step: [bt.Cancel(1)]}),
        latency=bt.ConstantLatency(7 * SECOND // 10, SECOND),
    )
    assert result.orders["state"].tolist() == [state]
    assert result.fills["lots"].sum() == lots
    assert result.orders["cancels_rejected"].tolist() == [int(state == "filled")]


def test_own_quotes_of_the_series_are_those_of_orders_that_can_rest():
    orders = [
        bt.Submit(1, 0, 1, "market"),
        bt.Submit(1, 105, 1, "immediate_or_cancel"),
        bt.Submit(1, 98, 1),
        bt.Submit(1, 99, 1, "post_only"),
    ]
    latency = bt.ConstantLatency(9 * SECOND, 0)
    result = run(scene(*END * 3), at({1: orders}), latency=latency)
    assert result.series["bid"].dropna().unique().tolist() == [99.0]
    assert result.series["ask"].isna().all()


# The clocks


def takers(recording, latency, **changes):
    """Orders of a strategy that takes a lot at each half second."""

    def take(state):
        return [bt.Submit(1, 0, 1, "market")]

    return run(recording, take, latency=latency, **changes).orders


@pytest.mark.parametrize("feed_ns", [0, 50])
def test_feed_latency_is_that_of_the_last_event_times_the_factors(feed_ns):
    recording = scene(*END * 3, delays=np.array([100, 100, 100, 200, 300, 400]))
    orders = takers(recording, bt.FeedLatency(2.0, 3.0), feed_ns=feed_ns)
    # Sent at 1.5 s, 2 s, ...: an event that has just happened is not received yet.
    entry = 2 * (np.array([100, 100, 200, 200, 300]) + feed_ns)
    # At the venue the event of a whole second is there when the order of that second arrives.
    back = 3 * (np.array([100, 200, 200, 300, 300]) + feed_ns)
    got = orders.iloc[:5]
    assert (got["arrived_ns"] - got["submitted_ns"]).tolist() == entry.tolist()
    assert (got["closed_local_ns"] - got["closed_ns"]).tolist() == back.tolist()


def shuffled(recording, since, seed):
    """The recording with what happened from a time on in another order of levels and sizes."""
    events = recording.events.copy()
    late = np.flatnonzero(events["exchange_ns"] >= since)
    mixed = np.random.default_rng(seed).permutation(late)
    for name in ("price", "size", "kind", "side"):
        events[name][late] = events[name][mixed]
    return bt.Recording(recording.instrument, events)


OFFSETS = (np.array([0.2, 0.5, 0.8, 1.1, np.nan]), np.array([np.nan, 1.1, 0.8, 0.5, 0.2]))


@pytest.mark.parametrize("seed", range(4))
def test_another_future_leaves_the_past_as_it_was(seed):
    recording = zero_intelligence(3_000, seed)
    quoter = bt.InventoryQuoter(*OFFSETS, 15, None)
    settings = {
        "latency": bt.FeedLatency(1.0, 1.0),
        "queue": bt.ProbabilityQueue("log"),
        "fees": bt.Fees(-0.0001, 0.0005),
    }
    since = int(np.sort(recording.events["exchange_ns"])[1_800])
    before, after = (
        run(market, quoter, **settings) for market in (recording, shuffled(recording, since, seed))
    )
    columns = ["exchange_ns", "order_id", "side", "ticks", "lots", "left", "ahead"]
    tables = [r.fills.loc[r.fills["exchange_ns"] < since, columns] for r in (before, after)]
    assert len(tables[0]) > 20
    assert tables[0].equals(tables[1])
    series = [r.series[r.series.index.asi8 < since] for r in (before, after)]
    assert series[0].equals(series[1])
    assert not before.fills.equals(after.fills)


# The accounts


@pytest.mark.parametrize("partial_fills", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_accounts_follow_from_the_fills_and_keep_the_limit(seed, partial_fills):
    recording = zero_intelligence(3_000, seed)
    fees = bt.Fees(-0.0001, 0.0005)
    result = run(
        recording,
        bt.InventoryQuoter(*OFFSETS, 15, 20_000_000),
        partial_fills=partial_fills,
        latency=bt.ConstantLatency(3_000_000, 5_000_000),
        fees=fees,
    )
    fills, unit = result.fills, recording.instrument
    assert len(fills) > 30
    signed = fills["side"] * fills["lots"]
    assert signed.cumsum().abs().max() <= 2 * 15
    assert result.cash_units == -(fills["ticks"] * signed).sum()
    # Each row of the series again from the fills known by then.
    known = np.searchsorted(fills["local_ns"], result.series.index.asi8, side="right")
    value = fills["price"] * fills["size"]
    rate = np.where(fills["maker"], fees.maker, fees.taker)
    paid, position, cost = (
        np.append(0.0, np.cumsum(flow))[known]
        for flow in (rate * value, unit.size(signed), fills["side"] * value)
    )
    series = result.series
    held = np.where(position == 0, 0.0, position * series["mid"])
    np.testing.assert_allclose(series["position"], position, atol=1e-12)
    np.testing.assert_allclose(series["fees"], paid, atol=1e-9)
    np.testing.assert_allclose(series["equity"], held - cost - paid, atol=1e-9)
    if partial_fills:
        assert (fills["left"] > 0).any()


# The quoter


def as_callable(quoter, order_size):
    """The quoter again, from its documentation, without `times` and `adjustment`."""
    bids, asks = quoter.bid_offset[0], quoter.ask_offset[0]
    most = len(bids) // 2

    def act(state):
        cancels, orders = [], []
        for side, offsets in ((1, bids), (-1, asks)):
            held = side * state.position
            units = side * int(np.ceil(held / order_size))
            price = 0
            if state.bid and state.ask and abs(units) <= most:
                fair = (state.bid + state.ask) / 2
                offset = offsets[units + most]
                if not np.isnan(offset):
                    away = side * np.floor(side * (fair - side * offset))
                    price = int(min(away, state.ask - 1) if side == 1 else max(away, state.bid + 1))
            own = [order for order in state.orders if order.side == side]
            active = [order for order in own if not order.cancelling]
            cancels += [
                bt.Cancel(order.order_id)
                for order in active
                if order.price != price and order.state != "pending"
            ]
            could = held + sum(order.size - order.filled for order in own) + order_size
            quoted = any(order.price == price for order in active)
            if price > 0 and not quoted and could <= most * order_size:
                orders.append(bt.Submit(side, price, order_size, "post_only"))
        return cancels + orders

    return act


@pytest.mark.parametrize("interval_ns", [None, 30_000_000])
def test_the_quoter_does_what_a_callable_of_its_rules_does(interval_ns):
    recording = zero_intelligence(2_000, 8)
    quoter = bt.InventoryQuoter(*OFFSETS, 15, interval_ns)
    settings = {"latency": bt.ConstantLatency(3_000_000, 5_000_000)}
    built_in = run(recording, quoter, **settings)
    again = run(recording, as_callable(quoter, 15), interval_ns=interval_ns, **settings)
    assert len(built_in.fills) > 20
    for name in ("fills", "orders", "series"):
        assert getattr(built_in, name).equals(getattr(again, name)), name


def first_quotes(recording, **changes):
    """Own quotes after each wake of a quoter one tick around its fair price."""
    offset = np.array([np.nan, 1.0, 1.0])
    rows = len(changes.get("times", [0]))
    bids, asks = np.tile(offset[::-1], (rows, 1)), np.tile(offset, (rows, 1))
    bids[1:] += 2.0
    quoter = bt.InventoryQuoter(bids, asks, 1, SECOND // 2, **changes)
    return run(recording, quoter).series[["bid", "ask"]]


def test_rows_of_offsets_hold_from_their_times():
    quotes = first_quotes(scene(*END * 3), times=[0, 3 * SECOND])
    bids = quotes["bid"].groupby(quotes.index.asi8).last()
    assert set(bids[bids.index < 3 * SECOND]) == {99.0}
    # The order there is cancelled first: two would break the limit.
    assert np.isnan(bids[3 * SECOND])
    assert bids[7 * SECOND // 2] == 97.0


@pytest.mark.parametrize(
    ("table", "bid", "ask"),
    [
        # Half of 100 + 101 is 100.5; the bid shows 10 of 15 lots, the last of three buckets.
        ([[0.0, 0.0, 0.0]], 99.0, 102.0),
        ([[0.0, 0.0, 1.0]], 100.0, 103.0),
        ([[9.0, 9.0, -1.0], [9.0, 9.0, 9.0]], 98.0, 101.0),
    ],
)
def test_the_adjustment_is_that_of_the_spread_and_of_the_bids_share(table, bid, ask):
    quotes = first_quotes(scene(*END * 2), adjustment=table).iloc[0]
    assert quotes.tolist() == [bid, ask]


# Events


def test_best_quotes_are_those_of_a_dict():
    recording = zero_intelligence(2_000, 4)
    books, expected = {1: {}, -1: {}}, []
    for _, _, price, size, kind, side in recording.events.tolist():
        if kind != bt.TRADE:
            books[side][price] = size
        shown = [[p for p, lots in books[s].items() if lots] for s in (1, -1)]
        bid, ask = max(shown[0], default=0), min(shown[1], default=0)
        expected.append([bid, books[1].get(bid, 0), ask, books[-1].get(ask, 0)])
    quotes = bt.best_quotes(recording)[["bid", "bid_size", "ask", "ask_size"]]
    assert quotes.to_numpy().tolist() == expected


@pytest.mark.parametrize("seed", range(3))
def test_events_come_back_from_hftbacktest_as_they_went(seed):
    recording = zero_intelligence(500, seed)
    rng = np.random.default_rng(seed)
    happened = recording.events["exchange_ns"] - rng.integers(0, 30_000_000, 500)
    for exchange in (recording.events["exchange_ns"].copy(), happened):
        events = recording.events.copy()
        events["exchange_ns"] = exchange
        mixed = bt.Recording(recording.instrument, events)
        again = bt.from_hftbacktest(bt.to_hftbacktest(mixed), recording.instrument)
        assert np.array_equal(again.events, events)
    assert (np.diff(happened) < 0).any()


# Bad input

GOOD_QUOTER = ([0.5, 0.5, np.nan], [np.nan, 0.5, 0.5])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("latency", 5, TypeError),
        ("queue", "power", TypeError),
        ("queue", bt.RiskAverseQueue, TypeError),
        ("fees", 0.1, TypeError),
        ("partial_fills", 1, TypeError),
        ("feed_ns", -1, ValueError),
        ("sample_ns", -1, ValueError),
        ("interval_ns", 0, ValueError),
    ],
)
def test_bad_arguments_are_refused_by_name(name, value, error):
    with pytest.raises(error, match=f"^{name} must") as raised:
        run(scene(*END), at({}), **{name: value})
    if name in ("feed_ns", "sample_ns"):
        assert "must not be negative" in str(raised.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bt.ConstantLatency(-1, 0), "entry_ns must"),
        (lambda: bt.ConstantLatency(2**53, 0), "entry_ns must be below"),
        (lambda: bt.ConstantLatency(2**52, 2**52), "response_ns must"),
        (lambda: bt.RecordedLatency([[0, 1, 2**53]]), r"table\[0\] must"),
        (lambda: bt.RecordedLatency([[1, 2, 3], [-1, 4, 5]]), "table must be in order"),
        (lambda: bt.RecordedLatency([[-1, 4, 5]]), r"table\[0\] must"),
        (lambda: bt.FeedLatency(0.0), "entry_factor must"),
        (lambda: bt.InventoryQuoter(*GOOD_QUOTER, 0, None), "order_size must"),
        (lambda: takers(scene(*END), bt.FeedLatency(1.0, 1e9), feed_ns=10**9), "response_factor"),
    ],
)
def test_bad_settings_are_refused_by_the_names_of_their_fields(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_a_market_order_has_no_price():
    with pytest.raises(ValueError, match=r"^price must be 0"):
        run(scene(*END), at({1: [bt.Submit(1, 101, 1, "market")]}))


def test_a_flag_that_is_no_bool_is_refused():
    with pytest.raises(TypeError, match=r"^interpolate must be a bool"):
        bt.RecordedLatency([[0, 1, 2]], interpolate=1)
