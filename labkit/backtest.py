"""Backtests: accounts, target positions on bars, and market events to replay.

- `Portfolio` keeps an exact account of several assets, trade by trade;
- `run` trades target positions on bars, with costs (`Costs`), and gives a `Backtest`;
- `Recording` holds the events of one `Instrument` in whole ticks and lots (written in `_events`).

A decision made at one bar is traded at a later one: nothing can be traded at the price that was
decided on. `labkit.metrics` says what came of it.
"""

from labkit._bars import (
    Backtest,
    Borrow,
    Costs,
    Fee,
    HalfSpread,
    Portfolio,
    Slippage,
    moving_average_cross,
    run,
)
from labkit._events import (
    CLEAR,
    DEPTH,
    EVENT_DTYPE,
    SNAPSHOT,
    TRADE,
    Instrument,
    Recording,
)

__all__ = [
    "CLEAR",
    "DEPTH",
    "EVENT_DTYPE",
    "SNAPSHOT",
    "TRADE",
    "Backtest",
    "Borrow",
    "Costs",
    "Fee",
    "HalfSpread",
    "Instrument",
    "Portfolio",
    "Recording",
    "Slippage",
    "moving_average_cross",
    "run",
]
