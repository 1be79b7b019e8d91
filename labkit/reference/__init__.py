"""Every kernel in readable NumPy: the explanation, the oracle and the fallback.

The names and signatures are those of the Rust module `labkit._kernels`.
"""

from labkit.reference.arbitrage import best_cycle, find_cycle, route_outcome, triangular_route
from labkit.reference.backtest import bars_summary, moving_average_cross, run_bars
from labkit.reference.meanrev import best_subset, greedy_path, swap_subset
from labkit.reference.metrics import drawdown, return_drawdown, return_moments
from labkit.reference.orderbook import (
    imbalance,
    microprice,
    parse_orderbook,
    rebuild_books,
    sort_levels,
    walk_levels,
)
from labkit.reference.ou import ou_fit

__all__ = [
    "bars_summary",
    "best_cycle",
    "best_subset",
    "drawdown",
    "find_cycle",
    "greedy_path",
    "imbalance",
    "microprice",
    "moving_average_cross",
    "ou_fit",
    "parse_orderbook",
    "rebuild_books",
    "return_drawdown",
    "return_moments",
    "route_outcome",
    "run_bars",
    "sort_levels",
    "swap_subset",
    "triangular_route",
    "walk_levels",
]
