"""Backtests: on bars, and replayed event by event."""

from labkit.reference._replay import ReplayEngine, best_quotes, replay

__all__ = ["ReplayEngine", "best_quotes", "replay"]
