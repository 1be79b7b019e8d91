"""Hawkes order flow: laws of the process, conservation in the book, and its replay."""

import math

import numpy as np
import pytest
from scipy import stats

import labkit.backtest as bt
from labkit import reference
from labkit._backend import kernels
from labkit._hawkes_flow import ORDER_TYPES, simulate_order_flow
from labkit.matching import KINDS, match
from labkit.reference import _philox as philox

RATES = [0.8, 0.8, 3.0, 3.0, 1.5, 1.5]
EXCITES = np.zeros((6, 6))
EXCITES[:2, :2] = [[0.4, 0.1], [0.1, 0.4]]
EXCITES[2, 1] = EXCITES[3, 0] = 0.5  # an order that takes is followed by one that refills
EXCITES[4, 4] = EXCITES[5, 5] = 0.3


def simulate(**changes):
    settings = {"baseline": RATES, "adjacency": EXCITES, "decay": 5.0, "duration_s": 120, "seed": 3}
    return simulate_order_flow(**(settings | changes))


@pytest.fixture(scope="module")
def flow():
    return simulate(duration_s=300)


# The process


def test_times_and_types_are_those_of_the_point_process(flow):
    times, types, _, counts = kernels.hawkes_simulate(
        3, 1, 300.0, np.array(RATES), EXCITES[None], np.array([5.0]), None, False, 10**6
    )
    np.testing.assert_array_equal(flow.times, times)
    np.testing.assert_array_equal(flow.types, types)
    assert counts.item() == len(flow.times) > 3000


def test_every_event_is_a_request_of_its_type_or_was_dropped(flow):
    counts = np.bincount(flow.types, minlength=6)
    requests = flow.requests
    kinds = [KINDS[name.split()[0]] for name in ORDER_TYPES]
    for type_, (kind, side) in enumerate(zip(kinds, [1, -1] * 3, strict=True)):
        chosen = requests[(requests["kind"] == kind) & (requests["side"] == side)]
        np.testing.assert_array_equal(flow.types[chosen.index], type_)
        missing = flow.dropped.iloc[type_] if kind == KINDS["cancel"] else 0
        assert len(chosen) + missing == counts[type_]
    stamps = flow.times[requests.index] * 1e9 + 1_700_000_000_000_000_000
    np.testing.assert_allclose(requests["time_ns"], stamps, rtol=0, atol=256)
    assert requests.index.is_monotonic_increasing
    assert requests["time_ns"].is_monotonic_increasing


def test_without_excitation_the_counts_are_poisson():
    windows, width = 400, 5.0
    rates = np.array([1.0, 0.5, 1.5, 1.0, 0.4, 0.6])
    flow = simulate(baseline=rates, adjacency=np.zeros((6, 6)), duration_s=windows * width)
    place = np.minimum((flow.times / width).astype(int), windows - 1)
    counts = np.zeros((6, windows))
    np.add.at(counts, (flow.types, place), 1)
    mean = rates * width
    assert (np.abs(counts.mean(axis=1) - mean) < 4 * np.sqrt(mean / windows)).all()
    # The sample variance of Poisson counts has the standard error sqrt((2 m**2 + m) / n).
    error = np.sqrt((2 * mean**2 + mean) / windows)
    assert (np.abs(counts.var(axis=1, ddof=1) - mean) < 4 * error).all()
    # Types are independent: correlations have the standard error 1 / sqrt(n).
    correlation = np.corrcoef(counts) - np.eye(6)
    assert np.abs(correlation).max() < 4.5 / math.sqrt(windows)


def dispersion(branching, decay, width):
    """Variance to mean of counts of a stationary univariate Hawkes process over a window.

    The covariance density at a lag x > 0 is ``C exp(-c x)``, c = decay (1 - branching), and
    ``C = rate decay branching (2 - branching) / (2 (1 - branching))`` (Hawkes 1971), so that the
    variance is ``rate width + 2 C (width / c - (1 - exp(-c width)) / c**2)``. In wide windows the
    ratio is ``1 / (1 - branching)**2``.
    """
    c = decay * (1 - branching)
    density = decay * branching * (2 - branching) / (2 * (1 - branching))
    return 1 + 2 * density / width * (width / c + math.expm1(-c * width) / c**2)


def test_trades_of_market_orders_that_excite_one_another_are_overdispersed():
    own, cross, decay, width, windows = 0.4, 0.2, 4.0, 8.0, 1000
    excites = np.zeros((6, 6))
    excites[:2, :2] = [[own, cross], [cross, own]]
    # Orders of one lot meet orders of many: every market order is one trade.
    flow = simulate(
        baseline=[0.3, 0.3, 0.1, 0.1, 0, 0],
        adjacency=excites,
        decay=decay,
        duration_s=windows * width,
        market_size=1,
        limit_size=10_000,
    )
    trades = flow.matched.trades
    assert len(trades) == (flow.types < 2).sum()
    seconds = (trades["time_ns"].to_numpy() - 1_700_000_000_000_000_000) / 1e9
    counts = np.zeros((2, windows))
    place = np.minimum((seconds / width).astype(int), windows - 1)
    np.add.at(counts, ((trades["side"] == -1).to_numpy(np.int64), place), 1)
    # The sum of both is one process of branching ratio own + cross. The difference has the same
    # covariance density with own - cross: d(N+ - N-) excites l+ - l- by it, and fades alike.
    for values, branching in (
        (counts[0] + counts[1], own + cross),
        (counts[0] - counts[1], own - cross),
    ):
        rate = 0.6 / (1 - own - cross) * width
        centred = (values - values.mean()) ** 2
        ratio, error = centred.mean() / rate, centred.std() / math.sqrt(windows) / rate
        theory = dispersion(branching, decay, width)
        assert abs(ratio - theory) < 4 * error
        assert theory == pytest.approx(1 / (1 - branching) ** 2, rel=0.15)
        assert ratio > 1 + 4 * error


# The book


def test_lots_are_conserved(flow):
    orders, trades, book = flow.matched.orders, flow.matched.trades, flow.matched.book
    kind, side = flow.requests["kind"].to_numpy(), flow.requests["side"].to_numpy()
    parts = orders[["filled", "resting", "cancelled", "rejected"]].sum(axis=1)
    np.testing.assert_array_equal(orders["submitted"], parts)
    entered = kind != KINDS["cancel"]
    np.testing.assert_array_equal(orders["submitted"][entered], flow.requests["size"][entered])
    for way in (1, -1):
        came = flow.opening.loc[flow.opening["side"] == way, "size"].sum()
        came += flow.requests["size"][(kind == KINDS["limit"]) & (side == way)].sum()
        traded = trades.loc[trades["side"] == -way, "size"].sum()
        left = book.loc[book["side"] == way, "size"].sum()
        assert came == traded + left + _lots_cancelled(flow, way)
        takers = (kind == KINDS["market"]) & (side == -way)
        assert orders["filled"][takers].sum() == traded > 0


def _lots_cancelled(flow, side):
    """From the requests alone: what each cancelled order had left."""
    taken = flow.matched.trades.groupby("maker")["size"].sum()
    sizes = dict(zip(flow.opening["id"], flow.opening["size"], strict=True))
    limits = flow.requests[flow.requests["kind"] == KINDS["limit"]]
    sizes |= dict(zip(limits["id"], limits["size"], strict=True))
    cancels = flow.requests[
        (flow.requests["kind"] == KINDS["cancel"]) & (flow.requests["side"] == side)
    ]
    return sum(sizes[id] - taken.get(id, 0) for id in cancels["id"])


def test_the_book_is_never_crossed_and_limit_orders_rest(flow):
    quotes = bt.best_quotes(flow.recording)
    both = (quotes["bid"] > 0) & (quotes["ask"] > 0)
    assert both.mean() > 0.9
    assert (quotes["bid"] < quotes["ask"])[both].all()
    limits = (flow.requests["kind"] == KINDS["limit"]).to_numpy()
    assert not np.isin(flow.requests["id"][limits], flow.matched.trades["taker"]).any()


def test_every_cancellation_is_of_an_order_that_rests_on_its_side(flow):
    orders = flow.matched.orders
    cancels = (flow.requests["kind"] == KINDS["cancel"]).to_numpy()
    assert cancels.any()
    assert (orders["state"][cancels] == "accepted").all()
    sides = dict(zip(flow.opening["id"], flow.opening["side"], strict=True))
    limits = flow.requests[flow.requests["kind"] == KINDS["limit"]]
    sides |= dict(zip(limits["id"], limits["side"], strict=True))
    asked = flow.requests[cancels]
    assert [sides[id] for id in asked["id"]] == asked["side"].to_list()


def test_every_resting_order_is_cancelled_with_the_same_chance():
    # Nothing but cancellations on a book of 5 orders a side: the first one hits each of the 5.
    hits = np.zeros((2, 5))
    for seed in range(300):
        rates = [0, 0, 0, 0, 2.0, 2.0]
        flow = simulate(
            baseline=rates, adjacency=np.zeros((6, 6)), duration_s=2, depth=5, seed=seed
        )
        for row, side in enumerate((1, -1)):
            ids = flow.requests["id"][flow.requests["side"] == side].to_list()
            assert len(set(ids)) == len(ids) <= 5
            if ids:
                first = flow.opening["id"][flow.opening["side"] == side].to_list().index(ids[0])
                hits[row, first] += 1
    for side in hits:
        expected = side.sum() / 5
        assert ((side - expected) ** 2 / expected).sum() < 18.5  # chi-squared(4), 0.1 %


def test_what_finds_no_order_is_counted():
    flow = simulate(
        baseline=[2.0, 0, 0, 0, 0, 2.0], adjacency=np.zeros((6, 6)), duration_s=60, depth=3
    )
    counts = np.bincount(flow.types, minlength=6)
    left = flow.matched.orders["state"].to_numpy()
    market = (flow.requests["kind"] == KINDS["market"]).to_numpy()
    no_trade = ~np.isin(flow.requests["id"][market], flow.matched.trades["taker"])
    assert flow.dropped["market buy"] == no_trade.sum() > 0
    assert (left[market][no_trade] == "cancelled").all()
    cancels = (~market).sum()
    assert flow.dropped["cancel sell"] == counts[5] - cancels > 0
    # The three asks are all that there was to take, by a trade or a cancellation.
    makers = set(flow.matched.trades["maker"])
    assert makers | set(flow.requests["id"][~market]) == {4, 5, 6}
    assert (flow.matched.book["side"] == 1).all()
    assert flow.dropped.drop(["market buy", "cancel sell"]).eq(0).all()


def test_limit_orders_below_the_least_price_are_counted():
    rates = [0, 0, 3.0, 0, 0, 0]
    flow = simulate(
        baseline=rates, adjacency=np.zeros((6, 6)), start_price=6, depth=5, mean_distance=10
    )
    rejected = flow.matched.orders["state"] == "rejected"
    assert 0 < flow.dropped["limit buy"] == rejected.sum() < len(rejected)
    assert (flow.matched.orders["reason"][rejected] == "price out of range").all()


def test_distances_and_sizes_are_geometric():
    rates = [0, 0, 3.0, 0, 0, 0]  # the asks stand still at 10 001
    flow = simulate(
        baseline=rates,
        adjacency=np.zeros((6, 6)),
        duration_s=1000,
        mean_distance=4.0,
        limit_size=3.0,
    )
    distance, size = 10_001 - flow.requests["price"], flow.requests["size"]
    n = len(size)
    for values, mean in ((distance, 4.0), (size, 3.0)):
        assert values.min() == 1
        deviation = math.sqrt(mean * (mean - 1))
        assert abs(values.mean() - mean) < 4 * deviation / math.sqrt(n)
        for most in (1, 2, 5):
            p = 1 - (1 - 1 / mean) ** most
            assert abs((values <= most).mean() - p) < 4 * math.sqrt(p * (1 - p) / n)
    assert abs(np.corrcoef(distance, size)[0, 1]) < 4 / math.sqrt(n)
    assert (flow.opening["price"] == [*range(9999, 9979, -1), *range(10_001, 10_021)]).all()


def test_a_limit_order_is_its_distance_behind_the_opposite_best_quote(flow):
    limits = flow.requests[flow.requests["kind"] == KINDS["limit"]]
    quotes = bt.best_quotes(flow.recording)
    before = np.searchsorted(quotes["local_ns"], limits["time_ns"], side="left") - 1
    buys = (limits["side"] == 1).to_numpy()
    opposite = np.where(buys, quotes["ask"].iloc[before], quotes["bid"].iloc[before])
    distance = limits["side"] * (opposite - limits["price"])
    u = philox.uniform(philox.blocks(3, 1, limits.index.to_numpy(np.uint64)))
    there = opposite > 0
    assert there.mean() > 0.9
    np.testing.assert_array_equal(distance[there], stats.geom.ppf(u[1], 1 / 5)[there])
    np.testing.assert_array_equal(limits["size"], stats.geom.ppf(u[0], 1 / 10))


def test_an_empty_side_keeps_its_last_price():
    # All asks go at the start, then buyers must still be able to quote.
    flow = simulate(
        baseline=[0, 0, 1.0, 0, 0, 5.0],
        adjacency=np.zeros((6, 6)),
        depth=2,
        duration_s=60,
        mean_distance=1,
    )
    assert (flow.matched.book["side"] == 1).all()
    bids = flow.requests[flow.requests["kind"] == KINDS["limit"]]
    cancels = flow.requests[flow.requests["kind"] == KINDS["cancel"]]
    assert len(cancels) == 2
    last = flow.opening.set_index("id")["price"][cancels["id"].iloc[-1]]
    after = bids[bids.index > cancels.index[-1]]
    assert len(after) > 10
    assert (after["price"] == last - 1).all()


# What comes out


def test_the_engine_makes_the_same_of_the_requests_at_once(flow):
    again = match(flow.requests, book=flow.opening)
    np.testing.assert_array_equal(again.events, flow.matched.events)
    assert (flow.events["exchange_ns"] == flow.events["local_ns"]).all()
    assert flow.events["kind"][0] == bt.CLEAR
    np.testing.assert_array_equal(flow.events[len(flow.opening) + 1 :], flow.matched.events)


def test_the_recording_replays(flow):
    offset = np.full(21, 1.5)
    bid, ask = offset.copy(), offset.copy()
    bid[-1] = ask[0] = np.nan
    quoter = bt.InventoryQuoter(bid, ask, order_size=1, interval_ns=500_000_000)
    settings = {
        "latency": bt.ConstantLatency(1_000_000, 1_000_000),
        "queue": bt.RiskAverseQueue(),
        "fees": bt.Fees(0.0, 0.0),
    }
    result = bt.replay(flow.recording, quoter, **settings)
    assert len(result.fills) > 10
    assert bt.replay(flow.recording, quoter, **settings).fills.equals(result.fills)


def test_a_seed_gives_one_flow(flow):
    again, other = simulate(duration_s=300), simulate(duration_s=300, seed=4)
    np.testing.assert_array_equal(again.events, flow.events)
    assert again.requests.equals(flow.requests)
    assert again.dropped.equals(flow.dropped)
    assert len(other.times) != len(flow.times) or (other.times != flow.times).any()


def test_a_shorter_session_is_the_beginning_of_a_longer_one(flow):
    short = simulate(duration_s=100)
    n = len(short.times)
    np.testing.assert_array_equal(short.times, flow.times[:n])
    np.testing.assert_array_equal(short.events, flow.events[: len(short.events)])
    assert flow.times[n] > 100


def test_both_backends_make_the_same_flow(monkeypatch):
    import labkit._hawkes_flow as module
    import labkit.matching as matching

    first = simulate(duration_s=60)
    for place in (module, matching):
        monkeypatch.setattr(place, "kernels", reference)
    second = simulate(duration_s=60)
    np.testing.assert_array_equal(first.types, second.types)
    np.testing.assert_allclose(first.times, second.times, rtol=1e-13)
    for name in ("id", "price", "size", "kind", "side"):
        np.testing.assert_array_equal(first.requests[name], second.requests[name])


def test_several_decays_are_taken():
    split = np.stack([0.25 * EXCITES, 0.75 * EXCITES])
    flow = simulate(adjacency=split, decay=[1.0, 20.0])
    assert len(flow.times) > 500
    one = simulate(adjacency=EXCITES[None], decay=[5.0])
    np.testing.assert_array_equal(one.times, simulate().times)


# Bad input


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"baseline": [1.0] * 5}, ValueError, r"baseline must have shape \(6\)"),
        ({"baseline": [-1.0] * 6}, ValueError, "baseline must not be negative"),
        ({"baseline": ["1"] * 6}, TypeError, "baseline must hold numbers"),
        ({"adjacency": np.zeros((5, 6))}, ValueError, "adjacency must have shape"),
        ({"adjacency": np.zeros((2, 6, 6))}, ValueError, r"adjacency must have shape \(1, 6, 6\)"),
        ({"adjacency": -EXCITES}, ValueError, "adjacency must not be negative"),
        ({"adjacency": np.full((6, 6), 1 / 6)}, ValueError, "adjacency must have a spectral"),
        ({"adjacency": np.full((6, 6), math.nan)}, ValueError, "adjacency must be finite"),
        ({"decay": 0.0}, ValueError, "decay must be positive"),
        ({"decay": [1.0, 2.0]}, ValueError, r"adjacency must have shape \(2, 6, 6\)"),
        ({"decay": [[1.0]]}, ValueError, "decay must be a number or have shape"),
        ({"duration_s": 0.0}, ValueError, "duration_s must be positive"),
        ({"duration_s": 1e9}, ValueError, "duration_s must give at most"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"start_price": 20}, ValueError, "start_price must be at least 21"),
        ({"start_price": 2**40}, ValueError, "start_price must be at most"),
        ({"start_price": 100.0}, TypeError, "start_price must be an integer"),
        ({"mean_distance": 0.5}, ValueError, "mean_distance must be from 1"),
        ({"limit_size": math.inf}, ValueError, "limit_size must be finite"),
        ({"market_size": 0}, ValueError, "market_size must be from 1"),
        ({"depth": 0}, ValueError, "depth must be at least 1"),
        ({"depth": 10**6}, ValueError, "depth must be at most"),
    ],
)
def test_bad_input_is_refused_by_name(changes, error, words):
    with pytest.raises(error, match=f"^{words}"):
        simulate(**changes)
