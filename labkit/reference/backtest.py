"""Backtests: on bars, and replayed event by event."""

from labkit.reference._bars import bars_summary, moving_average_cross, run_bars
from labkit.reference._replay import ReplayEngine, best_quotes, replay

__all__ = [
    "ReplayEngine",
    "bars_summary",
    "best_quotes",
    "moving_average_cross",
    "replay",
    "run_bars",
]
