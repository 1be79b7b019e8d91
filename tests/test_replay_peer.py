"""The replay held against hftbacktest: the same quotes, latencies and queues, the same fills."""

import numpy as np
import pytest
from hftbacktest import (
    BUY,
    FILLED,
    GTX,
    LIMIT,
    NONE,
    SELL,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
)
from numba import njit
from test_replay import zero_intelligence

import labkit.backtest as bt
from labkit import data

SPOT = "binance_spot_btcusdt_20240808"


@njit
def quote(hbt, bid_offset, ask_offset, size, interval, fills):
    """The quoter on hftbacktest's interface; returns fills, orders sent and the error that ended it."""
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
        for side in (BUY, SELL):
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
