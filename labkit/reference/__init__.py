"""Every kernel in readable NumPy: the explanation, the oracle and the fallback.

The names and signatures are those of the Rust module `labkit._kernels`.
"""

from labkit.reference.arbitrage import best_cycle, find_cycle, route_outcome, triangular_route
from labkit.reference.backtest import (
    ReplayEngine,
    bars_summary,
    best_quotes,
    moving_average_cross,
    replay,
    run_bars,
)
from labkit.reference.hawkes import hawkes_likelihood, hawkes_path, hawkes_simulate
from labkit.reference.market_making import order_flow_imbalance, simulate_market_making
from labkit.reference.matching import MatchingEngine, zero_intelligence_flow
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
from labkit.reference.signatures import (
    signature,
    signature_extend,
    signature_gradient,
    signature_gram,
    signature_kernel,
    signature_logarithm,
)
from labkit.reference.stopping import (
    apply_policy,
    backward_regression,
    fractional_brownian_motion,
    regression,
)

__all__ = [
    "MatchingEngine",
    "ReplayEngine",
    "apply_policy",
    "backward_regression",
    "bars_summary",
    "best_cycle",
    "best_quotes",
    "best_subset",
    "drawdown",
    "find_cycle",
    "fractional_brownian_motion",
    "greedy_path",
    "hawkes_likelihood",
    "hawkes_path",
    "hawkes_simulate",
    "imbalance",
    "microprice",
    "moving_average_cross",
    "order_flow_imbalance",
    "ou_fit",
    "parse_orderbook",
    "rebuild_books",
    "regression",
    "replay",
    "return_drawdown",
    "return_moments",
    "route_outcome",
    "run_bars",
    "signature",
    "signature_extend",
    "signature_gradient",
    "signature_gram",
    "signature_kernel",
    "signature_logarithm",
    "simulate_market_making",
    "sort_levels",
    "swap_subset",
    "triangular_route",
    "walk_levels",
    "zero_intelligence_flow",
]
