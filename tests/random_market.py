"""A random market for the tests of the replay."""

import numpy as np

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
