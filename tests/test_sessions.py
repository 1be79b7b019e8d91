"""Triangles through a recorded session: known truth is found, and nothing looks ahead."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from labkit import data
from labkit.arbitrage import (
    late_edges,
    realised_edges,
    triangle_history,
    triangles,
    triangular,
)

FEE = 1e-3
NET = (1 - FEE) ** -3
BOOKS = ("BTC/USDT", "ETH/BTC", "ETH/USDT")


@pytest.fixture(scope="module")
def session():
    return data.simulate_triangle(11, duration_s=40, n_planted=8, fee_bps=FEE * 1e4)


@pytest.fixture(scope="module")
def history(session):
    return triangle_history(session["events"], BOOKS, "USDT")


def test_triangles_of_a_venue():
    symbols = ["BTC/USDT", "ETH/USDT", "ETH/BTC", "XRP/BTC", "XRP/USDT", "DOGE/USDT"]
    assert triangles(symbols, "USDT") == [
        ("BTC/USDT", "ETH/BTC", "ETH/USDT"),
        ("BTC/USDT", "XRP/BTC", "XRP/USDT"),
    ]
    assert triangles(symbols, "DOGE") == []
    with pytest.raises(ValueError, match="symbol must read BASE/QUOTE, got 'BTCUSDT'"):
        triangles(["BTCUSDT"], "USDT")


@pytest.mark.parametrize("seed", range(5))
def test_all_planted_opportunities_are_found_and_only_those(seed):
    session = data.simulate_triangle(seed, duration_s=40, n_planted=10, fee_bps=FEE * 1e4)
    history = triangle_history(session["events"], BOOKS, "USDT")
    arrival = session["events"].groupby("message")["local_ns"].first()
    planted = session["planted"]
    for above in (1.0, NET):  # before fees there is nothing else either
        found = history.episodes(above)
        assert found["route"].to_list() == planted["route"].to_list()
        assert found["start_ns"].to_list() == planted["message"].map(arrival).to_list()
        assert found["end_ns"].to_list() == planted["end_message"].map(arrival).to_list()
        np.testing.assert_allclose(found["best"], planted["gross_product"], rtol=1e-12)


def test_products_are_those_of_the_books_at_each_time(history):
    for position in np.linspace(0, len(history.local_ns) - 1, 40).astype(int):
        books = history.books(history.local_ns[position])
        for route in triangular(books, 0.0, start="USDT").routes:
            ours = history.products[">".join(route.path)].iloc[position]
            assert ours == pytest.approx(route.gross_product, rel=1e-12)


def test_positions_are_the_last_state_received(history):
    times = history.local_ns
    assert history.positions(times[5]) == 5
    assert history.positions(times[5] - 1) == 4
    assert history.positions(times[0] - 1) == -1
    with pytest.raises(ValueError, match="not all books are known"):
        history.books(times[0] - 1)


def permuted_future(events, history, after, seed):
    """The session up to a time; later, the books that really came, but in another order."""
    random = np.random.default_rng(seed)
    rows = [events[events["local_ns"] <= after]]
    for symbol, states in history.states.items():
        future = np.flatnonzero(states.local_ns > after)
        for now, then in zip(future, random.permutation(future), strict=True):
            book = states.book(then)
            levels = np.concatenate([book.bids, book.asks])
            rows.append(
                pd.DataFrame(
                    {
                        "message": states.message[now],
                        "exchange_ns": states.exchange_ns[now],
                        "local_ns": states.local_ns[now],
                        "symbol": symbol,
                        "snapshot": True,
                        "side": ["bid"] * len(book.bids) + ["ask"] * len(book.asks),
                        "price": levels[:, 0],
                        "size": levels[:, 1],
                    }
                )
            )
    return pd.concat(rows).sort_values("message", kind="stable", ignore_index=True)


@pytest.mark.parametrize("seed", range(3))
def test_permuting_the_future_leaves_the_past_unchanged(session, history, seed):
    middle = int(history.local_ns[len(history.local_ns) // 2])
    changed = permuted_future(session["events"], history, middle, seed)
    again = triangle_history(changed, BOOKS, "USDT")
    past = history.local_ns <= middle
    assert not np.allclose(again.products[~past], history.products[~past], rtol=1e-9)
    pd.testing.assert_frame_equal(again.products[past], history.products[past])
    done = history.episodes().query("end_ns <= @middle")
    assert len(done) > 1
    pd.testing.assert_frame_equal(again.episodes().head(len(done)), done)
    delays = [0.0, 20.0]
    done = done[done["start_ns"] + 20_000_000 <= middle]
    before, after = (late_edges(h, done, delays, fee=FEE, clock="local") for h in (history, again))
    pd.testing.assert_frame_equal(before, after)


def test_traded_at_once_an_opportunity_earns_its_planted_edge(session, history):
    table = history.episodes(NET)
    planted = (session["planted"]["net_product"] - 1).to_numpy()
    for row, edge in zip(table.itertuples(), planted, strict=True):
        routes = triangular(history.books(row.start_ns), FEE, start="USDT").routes
        (route,) = [route for route in routes if ">".join(route.path) == row.route]
        small = route.outcome(history.books(row.start_ns), [1.0]).iloc[0]
        assert small["profit"] == pytest.approx(edge, rel=1e-9)
    at_best_size = late_edges(history, table, [0.0], fee=FEE, clock="local")["net_bps"] / 1e4
    assert ((at_best_size > 0) & (at_best_size <= planted + 1e-12)).all()


def test_after_its_life_an_opportunity_loses(session, history):
    table = history.episodes(NET)
    life = (table["end_ns"] - table["start_ns"]).max() / 1e6
    edges = late_edges(history, table, [life + 1.0], fee=FEE).dropna()
    assert len(edges) > 3
    assert (edges["gross_bps"] < 0).all()


def test_fees_lower_every_edge_by_their_product(history):
    table = history.episodes(NET)
    edges = late_edges(history, table, [0.0, 30.0], fee=FEE).dropna()
    expected = (1 + edges["gross_bps"] / 1e4) * (1 - FEE) ** 3 - 1
    np.testing.assert_allclose(edges["net_bps"] / 1e4, expected, atol=2e-5)


def test_a_session_that_ends_first_gives_no_value(history):
    table = history.episodes(NET).tail(1)
    edges = late_edges(history, table, [1e6], fee=FEE)
    assert edges[["spent", "gross_bps", "net_bps", "gross", "profit"]].isna().all(axis=None)


@pytest.mark.parametrize("latency", [[-1.0], [np.nan], [np.inf], [[1.0]]])
def test_bad_latencies_are_refused(history, latency):
    with pytest.raises(ValueError, match="latencies_ms"):
        late_edges(history, history.episodes(), latency, fee=FEE)


def test_symbols_that_do_not_close_are_refused(session):
    with pytest.raises(ValueError, match="do not close a triangle"):
        triangle_history(session["events"], ("BTC/USDT", "ETH/USDT", "XRP/USDT"), "USDT")


@pytest.mark.real_data("poloniex_triangle_20220821")
def test_the_recording_gives_the_published_gross_products():
    recording = data.load("poloniex_triangle_20220821")
    (symbols,) = triangles(recording["markets"].index, "USDT")
    history = triangle_history(recording["events"], symbols, "USDT")
    best = history.products.max()
    assert best["USDT>BTC>BCH>USDT"] == pytest.approx(1.00168, abs=5e-6)
    assert best["USDT>BCH>BTC>USDT"] == pytest.approx(0.99585, abs=5e-6)
    assert history.episodes(NET).empty  # gone after three taker fees of 10 bp
    lots = recording["markets"]["lot_size"].to_dict()
    for seen in history.local_ns[::10]:
        assert triangular(history.books(seen), FEE, start="USDT", lot_sizes=lots).best.profit == 0


def test_at_the_venue_an_opportunity_is_older_by_the_delay_of_the_feed(session, history):
    """With the venue's clock an opportunity dies a feed delay earlier than on the observer's."""
    table = history.episodes(NET)
    planted = session["planted"]
    lives_ms = (planted["end_ns"].to_numpy() - table["start_ns"].to_numpy()) / 1e6
    reachable = lives_ms > 1.0
    assert 0 < reachable.sum() < len(table)  # some are gone before the first message is received
    for row in np.flatnonzero(reachable):
        around = [lives_ms[row] - 0.5, lives_ms[row] + 0.5]
        edges = late_edges(history, table.iloc[[row]], around, fee=FEE)
        assert edges["net_bps"].iloc[0] > 0 > edges["net_bps"].iloc[1]
    gone = late_edges(history, table[~reachable], [0.5], fee=FEE)
    assert (gone["net_bps"] < 0).all()


def test_bad_arguments_of_a_history_are_refused(history):
    with pytest.raises(TypeError, match="time_ns must hold integers"):
        history.positions([float("nan")])
    with pytest.raises(ValueError, match="above must be positive, got nan"):
        history.episodes(float("nan"))
    stranger = history.episodes().assign(route="USDT>XRP>BTC>USDT")
    with pytest.raises(ValueError, match="opportunities: no route 'USDT>XRP>BTC>USDT'; there are"):
        late_edges(history, stranger, [0.0], fee=FEE)
    empty = late_edges(history, history.episodes().head(0), [0.0], fee=FEE)
    assert empty["net_bps"].dtype == np.float64
    with pytest.raises(ValueError, match="BTC/USDT and USDT/BTC trade the same two currencies"):
        triangles(["BTC/USDT", "USDT/BTC"], "USDT")


@pytest.mark.parametrize("fee", [FEE, 0.005])
def test_a_trade_is_sized_after_fees_or_before_them_where_nothing_is_left(history, fee):
    table = history.episodes()
    edges = late_edges(history, table, [0.0], fee=fee, clock="local")
    differ = False
    for row, spent in zip(table.itertuples(), edges["spent"], strict=True):
        sizes = []
        for rate in (fee, 0.0):
            routes = triangular(history.books(row.start_ns), rate, start="USDT").routes
            sizes += [route.spent for route in routes if ">".join(route.path) == row.route]
        assert spent == pytest.approx(sizes[0] or sizes[1], rel=1e-12)
        differ |= sizes[0] != sizes[1]
    assert differ


@pytest.fixture(scope="module")
def thin():
    """One level on each side, so that what was known does not fit into what stands later."""
    session = data.simulate_triangle(5, duration_s=20, n_planted=6, fee_bps=1.0, levels=1)
    return triangle_history(session["events"], BOOKS, "USDT")


@pytest.mark.parametrize("latency_ms", [0.0, 40.0])
@pytest.mark.parametrize("depth", ["history", "thin"])
def test_realised_edges_are_those_of_the_displayed_size_on_the_later_books(
    request, depth, latency_ms
):
    history = request.getfixturevalue(depth)
    route = "USDT>ETH>BTC>USDT"
    sent = history.local_ns[20:200:9] + 1
    found = realised_edges(history, route, sent.reshape(-1, 1), latency_ms, fee=FEE)
    assert found.shape == (len(sent), 1)
    arrival = sent + round(latency_ms * 1e6)
    for seen, late, value in zip(sent.tolist(), arrival.tolist(), found[:, 0], strict=True):
        known, later = history.books(seen), history.books(late, "exchange")
        (same,) = [r for r in triangular(known, FEE, start="USDT").routes if r.path[1] == "ETH"]
        kept = 1 - FEE
        eth, btc = known["ETH/USDT"].top(), known["ETH/BTC"].top()
        size = min(
            eth.ask * eth.ask_size,
            btc.bid_size * eth.ask / kept,
            known["BTC/USDT"].top().bid_size * eth.ask / btc.bid / kept**2,
        )
        traded = same.outcome(later, [size]).iloc[0]
        assert value == pytest.approx(1e4 * traded["profit"] / traded["spent"], abs=1e-7)


def test_realised_edges_do_not_exist_before_the_books_nor_after_the_session(history):
    first, last = int(history.local_ns[0]), int(history.local_ns[-1])
    found = realised_edges(history, "USDT>BTC>ETH>USDT", [first - 1, first, last], 0.0, fee=FEE)
    np.testing.assert_array_equal(np.isnan(found), [True, False, True])


def test_realised_edges_end_when_the_orders_would_arrive_after_the_session(history):
    last = max(int(state.exchange_ns[-1]) for state in history.states.values())
    sent = [last - 50_000_000, last - 30_000_000]
    found = realised_edges(history, "USDT>BTC>ETH>USDT", sent, 40.0, fee=FEE)
    np.testing.assert_array_equal(np.isnan(found), [False, True])


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_leg_that_finds_an_empty_side_has_no_realised_edge(history, empty):
    """The first state sent on is as it was; on arrival one side of one book is empty."""
    route = "USDT>ETH>BTC>USDT"
    symbol, side = (("ETH/USDT", "asks"), ("ETH/BTC", "bids"), ("BTC/USDT", "bids"))[empty]
    sent = history.local_ns[100:101] + 1
    assert np.isfinite(realised_edges(history, route, sent, 0.0, fee=FEE)).all()
    state = history.states[symbol]
    known, later = state.at(sent)[0], state.at(sent, "exchange")[0]
    delay_ms = 0.0
    while later == known:  # until the venue's book is another one than the one that was known
        delay_ms += 20.0
        later = state.at(sent + round(delay_ms * 1e6), "exchange")[0]
    levels = getattr(state, side).copy()
    levels[later] = np.nan
    states = history.states | {symbol: dataclasses.replace(state, **{side: levels})}
    emptied = dataclasses.replace(history, states=states)
    assert np.isnan(realised_edges(emptied, route, sent, delay_ms, fee=FEE)).all()


def test_the_size_of_realised_edges_does_not_see_what_comes_later(session, history):
    middle = int(history.local_ns[len(history.local_ns) // 2])
    events = session["events"]
    past = triangle_history(events[events["local_ns"] <= middle], BOOKS, "USDT")
    last = max(int(state.exchange_ns[-1]) for state in past.states.values())
    sent = np.arange(past.local_ns[0], last, 400_000_000)
    whole, cut = (
        realised_edges(h, "USDT>BTC>ETH>USDT", sent, 0.0, fee=FEE) for h in (history, past)
    )
    assert not np.isnan(whole).any()
    np.testing.assert_array_equal(whole, cut)


def test_bad_arguments_of_realised_edges_are_refused(history):
    route = "USDT>BTC>ETH>USDT"
    sent = history.local_ns[:3]
    with pytest.raises(ValueError, match="route must be one of USDT>BTC>ETH>USDT, "):
        realised_edges(history, "USDT>XRP>BTC>USDT", sent, 0.0, fee=FEE)
    with pytest.raises(ValueError, match="latency_ms must be from 0 to a day, got -1"):
        realised_edges(history, route, sent, -1, fee=FEE)
    with pytest.raises(ValueError, match=r"fee must be in \[0, 1\), got 1"):
        realised_edges(history, route, sent, 0.0, fee=1)
    with pytest.raises(TypeError, match="sent_ns must hold integers"):
        realised_edges(history, route, [0.5], 0.0, fee=FEE)
    with pytest.raises(TypeError, match="latency_ms must be a number, got str"):
        realised_edges(history, route, sent, "1", fee=FEE)
    with pytest.raises(ValueError, match="latency_ms must be from 0 to a day"):
        realised_edges(history, route, sent, 1e300, fee=FEE)
    with pytest.raises(ValueError, match="route must be one of"):
        realised_edges(history, ["USDT"], sent, 0.0, fee=FEE)
    assert realised_edges(history, route, [], 0.0, fee=FEE).shape == (0,)
