"""Backtests: recorded events, and strategies replayed on them.

- events: `Instrument`, `Recording`, `best_quotes`, `align_clock`, `from_hftbacktest`,
  `to_hftbacktest` (written in `_events`);
- event-driven replay with latency and queues: `replay` and what it takes and gives (in `_replay`).
"""

from __future__ import annotations

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
    "Cancel",
    "ConstantLatency",
    "FeedLatency",
    "Fees",
    "Instrument",
    "InventoryQuoter",
    "LiveOrder",
    "ProbabilityQueue",
    "RecordedLatency",
    "Recording",
    "Replay",
    "RiskAverseQueue",
    "State",
    "Submit",
    "align_clock",
    "best_quotes",
    "from_hftbacktest",
    "recording",
    "replay",
    "to_hftbacktest",
]
