"""The replay held against hftbacktest: the same quotes, latencies and queues, the same fills."""

import numpy as np
import pytest
from hftbacktest import (
    BUY,
    FILLED,
    GTC,
    GTX,
    LIMIT,
    NONE,
    SELL,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
)
from numba import njit
from random_market import zero_intelligence
from test_replay import trades_at_fills

import labkit.backtest as bt
from labkit import data

SPOT = "binance_spot_btcusdt_20240808"


@njit
def quote(hbt, bid_offset, ask_offset, size, interval, fills):
    """The quoter on its interface: numbers of fills and orders, and the code that ended it."""
    tick, lot = hbt.depth(0).tick_size, hbt.depth(0).lot_size
    most = len(bid_offset) // 2
    found, sent, code = 0, 0, 0
    while True:
        code = hbt.elapse(interval)
        values = hbt.orders(0).values()
        while values.has_next():
            order = values.get()
            if order.status == FILLED:
                fills[found, 0] = order.exch_timestamp
                fills[found, 1] = order.side
                fills[found, 2] = order.exec_price_tick
                fills[found, 3] = round(order.exec_qty / lot)
                found += 1
        if code != 0:
            break
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        both = depth.best_bid > 0 and depth.best_ask > 0  # NaN where a side is empty
        position = round(hbt.position(0) / lot)
        missing = np.zeros(2, np.int64)  # prices, cancellations of both sides go first
        for row, side in enumerate((BUY, SELL)):
            units = position // size
            price = 0
            if both and abs(units) <= most:
                offset = bid_offset[units + most] if side == BUY else ask_offset[units + most]
                if not np.isnan(offset):
                    if side == BUY:
                        price = min(int(np.floor((bid + ask) / 2 - offset)), ask - 1)
                    else:
                        price = max(int(np.ceil((bid + ask) / 2 + offset)), bid + 1)
            exposure = side * position
            quoted = False
            cancel = np.zeros(100, np.uint64)
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
                missing[row] = price
        for row, side in enumerate((BUY, SELL)):
            price = missing[row]
            if price > 0:
                sent += 1
                if side == BUY:
                    hbt.submit_buy_order(0, sent, price * tick, size * lot, GTX, LIMIT, False)
                else:
                    hbt.submit_sell_order(0, sent, price * tick, size * lot, GTX, LIMIT, False)
    return found, sent, code


def peer(recording, offsets, size, interval, latency, queue, exchange, fees):
    """Fills, number of orders, final equity and end of hftbacktest's run."""
    instrument = recording.instrument
    prices = instrument.price(recording.events["price"][recording.events["kind"] != bt.CLEAR])
    middle = np.median(prices)
    rows = bt.to_hftbacktest(recording)  # only borrowed by the asset
    asset = (
        BacktestAsset()
        .data([rows])
        .linear_asset(1.0)
        .tick_size(instrument.tick_size)
        .lot_size(instrument.lot_size)
        .roi_lb(max(prices.min(), middle * 0.8))
        .roi_ub(min(prices.max(), middle * 1.2))
        .trading_value_fee_model(fees.maker, fees.taker)
    )
    for name, arguments in (latency, queue, (exchange, ())):
        asset = getattr(asset, name)(*arguments)
    hbt = ROIVectorMarketDepthBacktest([asset])
    fills = np.zeros((100_000, 4), np.int64)
    found, sent, code = quote(hbt, *offsets, size, interval, fills)
    values, depth = hbt.state_values(0), hbt.depth(0)
    mid = (depth.best_bid + depth.best_ask) / 2
    equity = values.balance + values.position * mid - values.fee
    hbt.close()
    return fills[:found], sent, equity, code


QUEUES = {
    "risk averse": (("risk_adverse_queue_model", ()), bt.RiskAverseQueue()),
    "power": (("power_prob_queue_model", (3.0,)), bt.ProbabilityQueue("power", 3.0)),
    "power2": (("power_prob_queue_model2", (2.0,)), bt.ProbabilityQueue("power2", 2.0)),
    "power3": (("power_prob_queue_model3", (3.0,)), bt.ProbabilityQueue("power3", 3.0)),
    "log": (("log_prob_queue_model", ()), bt.ProbabilityQueue("log")),
    "log2": (("log_prob_queue_model2", ()), bt.ProbabilityQueue("log2")),
}
CONSTANT = (("constant_order_latency", (2_000_000, 3_000_000)), (2_000_000, 3_000_000))
FEES = bt.Fees(-0.0001, 0.0005)


def offsets(most, half_spread, skew):
    inventory = np.arange(-most, most + 1)
    bids, asks = half_spread + skew * inventory, half_spread - skew * inventory
    bids[-1] = asks[0] = np.nan
    return bids, asks


def interpolated(recording, seed):
    """Recorded latencies of one request each 50 ms, as hftbacktest and as labkit read them."""
    rng = np.random.default_rng(seed)
    start, end = recording.events["exchange_ns"][0], recording.events["local_ns"][-1]
    request = np.arange(start + 10_000_000, end, 50_000_000)
    exchange = np.maximum.accumulate(request + rng.integers(10**6, 10**7, len(request)))
    response = np.maximum.accumulate(exchange + rng.integers(10**6, 10**7, len(request)))
    names = [("req_ts", "i8"), ("exch_ts", "i8"), ("resp_ts", "i8"), ("_padding", "i8")]
    rows = np.zeros(len(request), np.dtype(names, align=True))
    rows["req_ts"], rows["exch_ts"], rows["resp_ts"] = request, exchange, response
    table = np.column_stack([request, exchange, response])
    return ("intp_order_latency", (rows,)), bt.RecordedLatency(table, interpolate=True)


def assert_same(recording, quotes, size, interval, latency, queue, partial):
    """Both engines: the same fills and equity; returns ours."""
    (theirs, ours), (their_queue, our_queue) = latency, queue
    exchange = "partial_fill_exchange" if partial else "no_partial_fill_exchange"
    fills, sent, equity, code = peer(
        recording, quotes, size, interval, theirs, their_queue, exchange, FEES
    )
    assert code == 1  # the end of the data, no error
    result = bt.replay(
        recording,
        bt.InventoryQuoter(*quotes, size, interval),
        latency=ours,
        queue=our_queue,
        fees=FEES,
        partial_fills=partial,
    )
    table = result.fills[["exchange_ns", "side", "ticks", "lots"]].to_numpy()
    # Fills of one moment have no order of their own there.
    assert sorted(map(tuple, table)) == sorted(map(tuple, fills))
    assert len(result.orders) == sent
    assert result.final_equity == pytest.approx(equity, abs=1e-6)
    return result


@pytest.fixture(scope="module")
def market():
    return zero_intelligence(40_000, seed=3)


def queue_fills(recording, result):
    """Number of fills by a trade at the price, not by a price that went through."""
    return (trades_at_fills(recording, result.fills) > 0).sum()


@pytest.mark.parametrize("queue", QUEUES)
def test_whole_fills_agree(market, queue):
    latency = (CONSTANT[0], bt.ConstantLatency(*CONSTANT[1]))
    quotes = offsets(4, 0.7, 0.3)
    result = assert_same(market, quotes, 25, 100_000_000, latency, QUEUES[queue], False)
    assert len(result.fills) > 300
    assert queue_fills(market, result) > 30


def test_partial_fills_of_one_lot_agree(market):
    # Sizes of the market are tens of lots: what reaches an order is never just its one lot, which
    # would leave hftbacktest with a filled order in its book (see below).
    latency = (CONSTANT[0], bt.ConstantLatency(*CONSTANT[1]))
    quotes = offsets(4, 0.7, 0.3)
    result = assert_same(market, quotes, 1, 100_000_000, latency, QUEUES["risk averse"], True)
    assert queue_fills(market, result) > 30


@pytest.mark.parametrize("queue", ["risk averse", "power", "log"])
def test_interpolated_latency_agrees(market, queue):
    latency = interpolated(market, 1)
    quotes = offsets(3, 0.7, 0.3)
    result = assert_same(market, quotes, 25, 70_000_000, latency, QUEUES[queue], False)
    assert len(result.fills) > 300


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("queue", ["risk averse", "power3", "log2"])
@pytest.mark.real_data(SPOT)
def test_the_recorded_session_agrees(spot, queue, partial):
    latency = (("constant_order_latency", (2 * 10**7, 10**7)), bt.ConstantLatency(2 * 10**7, 10**7))
    quotes = offsets(5, 30.0, 8.0)
    size = 1 if partial else 1000
    result = assert_same(spot, quotes, size, 100_000_000, latency, QUEUES[queue], partial)
    assert len(result.fills) > 50


@pytest.mark.real_data(SPOT)
def test_the_recorded_session_with_interpolated_latency_agrees(spot):
    quotes = offsets(5, 0.5, 20.0)
    latency = interpolated(spot, 2)
    result = assert_same(spot, quotes, 1000, 100_000_000, latency, QUEUES["power2"], False)
    assert len(result.fills) > 50


@pytest.fixture(scope="module")
def spot():
    return bt.align_clock(bt.recording(data.load(SPOT)), 1_000_000)


# Where we differ by intent: the faults there, and what happens here


def scene(*rows):
    """Events at one second each: kind, side, ticks, lots; bids from 100, asks from 101."""
    events = np.zeros(len(rows), bt.EVENT_DTYPE)
    events["exchange_ns"] = events["local_ns"] = (np.arange(len(rows)) + 1) * 10**9
    for name, column in zip(
        ("kind", "side", "price", "size"), zip(*rows, strict=True), strict=True
    ):
        events[name] = column
    return bt.Recording(bt.Instrument("A/B", 1.0, 1.0), events)


BOOK = [(bt.DEPTH, 1, 100, 10), (bt.DEPTH, -1, 101, 5), (bt.DEPTH, -1, 102, 5)]
END = [(bt.DEPTH, 1, 90, 1)]


def both_engines(recording, orders):
    """Both engines with buy orders (limit, price, lots) sent when the book stands.

    Returns the position there (without the error that ended it), the error, and our replay.
    """
    rows = bt.to_hftbacktest(recording)
    asset = (
        BacktestAsset()
        .data([rows])
        .linear_asset(1.0)
        .tick_size(1.0)
        .lot_size(1.0)
        .roi_lb(80.0)
        .roi_ub(120.0)
        .trading_value_fee_model(0.0, 0.0)
        .constant_order_latency(1000, 1000)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
    )
    hbt = ROIVectorMarketDepthBacktest([asset])
    hbt.elapse(int(2.5e9))
    for order_id, (price, size) in enumerate(orders, start=1):
        hbt.submit_buy_order(0, order_id, price, size, GTC, LIMIT, False)
    code = hbt.elapse(10**11)
    position = hbt.position(0)
    hbt.close()

    def buy(state):
        if state.time_ns == int(3.5e9):
            return [bt.Submit(1, price, size) for price, size in orders]

    ours = bt.replay(
        recording,
        buy,
        interval_ns=int(2.5e9),
        latency=bt.ConstantLatency(1000, 1000),
        queue=bt.RiskAverseQueue(),
        fees=bt.Fees(0.0, 0.0),
    )
    return position, code, ours


def sell(*lots):
    return [(bt.TRADE, -1, 100, size) for size in lots]


def test_a_fill_in_two_parts_counts_there_with_its_last_part_alone():
    position, code, ours = both_engines(scene(*BOOK, *sell(11, 3), *END), [(100, 3)])
    assert (position, code) == (2, 1)
    assert ours.fills["lots"].tolist() == [1, 2]
    assert ours.position.iloc[-1] == 3


def test_a_fill_in_part_alone_is_never_known_there():
    position, code, ours = both_engines(scene(*BOOK, *sell(11), *END), [(100, 3)])
    assert (position, code) == (0, 1)
    assert ours.position.iloc[-1] == 1


def test_an_order_filled_to_the_last_lot_stays_in_the_book_there_and_ends_the_run():
    position, code, ours = both_engines(scene(*BOOK, *sell(11, 4), *END), [(100, 1)])
    assert (position, code) == (1, 14)
    assert ours.fills["lots"].tolist() == [1]
    assert ours.orders["state"].tolist() == ["filled"]


def test_two_orders_at_a_level_share_a_trade_that_each_gets_whole_there():
    position, code, ours = both_engines(scene(*BOOK, *sell(14), *END), [(100, 3), (100, 3)])
    assert (position, code) == (6, 1)
    assert ours.fills[["order_id", "lots"]].to_numpy().tolist() == [[1, 3], [2, 1]]


def test_a_large_taker_gets_what_the_book_shows_and_all_at_its_limit_there():
    position, code, ours = both_engines(scene(*BOOK, *END), [(102, 50)])
    assert (position, code) == (45, 1)  # the last part of 50: 5 at 101, 45 at 102
    assert ours.fills[["ticks", "lots"]].to_numpy().tolist() == [[101, 5], [102, 5]]
    assert ours.orders["state"].tolist() == ["expired"]
