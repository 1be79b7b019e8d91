"""The record of a market event, as kernels read it."""

from __future__ import annotations

import numpy as np

DEPTH = 1  # a level has a new size; 0 removes it
TRADE = 2  # an aggressive order met a resting one
CLEAR = 3  # a side (0: both) is emptied; at a positive price its levels from the best up to there
SNAPSHOT = 4  # a level of a book sent whole; in the book it acts like DEPTH

EVENT_DTYPE = np.dtype(
    [
        ("exchange_ns", "i8"),  # when it happened at the venue, UTC
        ("local_ns", "i8"),  # when it was received
        ("price", "i8"),  # ticks
        ("size", "i8"),  # lots
        ("kind", "u1"),  # DEPTH, TRADE, CLEAR or SNAPSHOT
        ("side", "i1"),  # 1 bid, -1 ask; of a trade 1 where the buyer was the aggressor; 0 both
    ],
    align=True,
)
