"""The replay on small scenes by hand and on a random market: queue, venue, clocks, accounts."""

import numpy as np
import pytest

import labkit.backtest as bt


def zero_intelligence(n, seed, tick_size=0.01, lot_size=0.001, scale=10):
    """Random orders, cancellations and trades on a consistent book, received 1 to 3 ms later.

    Sizes are multiples of `scale` lots.
    """
    rng = np.random.default_rng(seed)
    books = {1: {}, -1: {}}
    rows = []

    def touch(side):
        return side * max(side * price for price in books[side])

    def show(side, price, size, kind=bt.DEPTH):
        if kind == bt.DEPTH:
            books[side].pop(price, None)
            if size:
                books[side][price] = size
        rows.append((price, size, kind, side))

    for away in range(1, 30):
        for side in (1, -1):
            show(side, 10_000 - side * away, scale * int(rng.integers(1, 20)))
    while len(rows) < n:
        side = 1 if rng.random() < 0.5 else -1
        best, other = touch(side), touch(-side)
        what = rng.random()
        if what < 0.5 or min(len(books[1]), len(books[-1])) < 5:
            price = other - side * int(rng.geometric(0.25))
            show(side, price, books[side].get(price, 0) + scale * int(rng.integers(1, 8)))
        elif what < 0.8:
            price = sorted(books[side], key=lambda p: -side * p)[
                min(int(rng.geometric(0.2)) - 1, len(books[side]) - 1)
            ]
            left = books[side][price] - scale * int(rng.integers(1, 12))
            show(side, price, max(left, 0))
        else:
            size = min(books[side][best], scale * int(rng.integers(1, 10)))
            show(-side, best, size, bt.TRADE)
            show(side, best, books[side][best] - size)
    events = np.zeros(n, bt.EVENT_DTYPE)
    table = np.array(rows[:n])
    for at, name in enumerate(("price", "size", "kind", "side")):
        events[name] = table[:, at]
    happened = 10**15 + np.cumsum(rng.exponential(5e6, n)).astype(np.int64)
    events["exchange_ns"] = happened
    delayed = happened + 1_000_000 + rng.exponential(1e6, n).astype(np.int64)
    events["local_ns"] = np.maximum.accumulate(delayed)
    return bt.Recording(bt.Instrument("A/B", tick_size, lot_size), events)


# Scenes: the book stands at 1 s, orders are sent at 1.5 s, the market goes on from 2 s

QUEUES = [bt.RiskAverseQueue()] + [
    bt.ProbabilityQueue(kind, exponent)
    for kind in ("power", "power2", "power3", "log", "log2")
    for exponent in ([0.5, 1.0, 3.0] if kind.startswith("power") else [1.0])
]
SECOND = 10**9
BOOK = [(bt.DEPTH, 1, 100, 10), (bt.DEPTH, -1, 101, 5), (bt.DEPTH, -1, 102, 5)]


def scene(*market, book=BOOK):
    """Events (kind, side, ticks, lots): the book's at 1 s, the market's from 2 s each second."""
    events = np.zeros(len(book) + len(market), bt.EVENT_DTYPE)
    times = [1] * len(book) + list(range(2, 2 + len(market)))
    events["exchange_ns"] = events["local_ns"] = np.array(times) * SECOND
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
