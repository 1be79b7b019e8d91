"""Backtests: accounts, target positions on bars, and strategies replayed on market events.

- on bars (written in `_bars`): `Portfolio` keeps an exact account of several assets, trade by
  trade; `run` trades target positions with costs (`Costs`) and gives a `Backtest`, `run_summary`
  only its figures;
- market events (in `_events`): `Recording` holds those of one `Instrument` in whole ticks and lots;
  `recording`, `best_quotes`, `align_clock`, `from_hftbacktest`, `to_hftbacktest`;
- event by event (in `_replay`): `replay` with latency, queues and fees, of an `InventoryQuoter` or
  of any function.

A decision is traded later than it is made: at a later bar, or when the order has reached the venue.
`labkit.metrics` says what came of it.
"""

from __future__ import annotations

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
    run_summary,
)
from labkit._events import (
    CLEAR,
    DEPTH,
    EVENT_DTYPE,
    SNAPSHOT,
    TRADE,
    Instrument,
    Recording,
    align_clock,
    best_quotes,
    from_hftbacktest,
    recording,
    to_hftbacktest,
)
from labkit._replay import (
    Cancel,
    ConstantLatency,
    FeedLatency,
    Fees,
    InventoryQuoter,
    LiveOrder,
    ProbabilityQueue,
    RecordedLatency,
    Replay,
    RiskAverseQueue,
    State,
    Submit,
    replay,
)

__all__ = [
    "CLEAR",
    "DEPTH",
    "EVENT_DTYPE",
    "SNAPSHOT",
    "TRADE",
    "Backtest",
    "Borrow",
    "Cancel",
    "ConstantLatency",
    "Costs",
    "Fee",
    "FeedLatency",
    "Fees",
    "HalfSpread",
    "Instrument",
    "InventoryQuoter",
    "LiveOrder",
    "Portfolio",
    "ProbabilityQueue",
    "RecordedLatency",
    "Recording",
    "Replay",
    "RiskAverseQueue",
    "Slippage",
    "State",
    "Submit",
    "align_clock",
    "best_quotes",
    "from_hftbacktest",
    "moving_average_cross",
    "recording",
    "replay",
    "run",
    "run_summary",
    "to_hftbacktest",
]
