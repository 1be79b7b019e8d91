from typing import SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "__version__",
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

__version__: str

def parse_orderbook(text: str | bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def sort_levels(levels: NDArray[np.float64], side: str) -> NDArray[np.float64]: ...
def walk_levels(
    levels: NDArray[np.float64], size: SupportsFloat
) -> tuple[float, float, float, int]: ...
def microprice(bids: NDArray[np.float64], asks: NDArray[np.float64]) -> NDArray[np.float64]: ...
def imbalance(
    bids: NDArray[np.float64], asks: NDArray[np.float64], levels: SupportsIndex
) -> NDArray[np.float64]: ...
def rebuild_books(
    message: NDArray[np.int64],
    side: NDArray[np.int8],
    price: NDArray[np.float64],
    size: NDArray[np.float64],
    reset: NDArray[np.bool_],
    depth: SupportsIndex,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def find_cycle(
    rates: NDArray[np.float64], tolerance: SupportsFloat
) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
def best_cycle(
    rates: NDArray[np.float64], max_length: SupportsIndex
) -> tuple[NDArray[np.int64], float]: ...
def route_outcome(
    levels1: NDArray[np.float64],
    levels2: NDArray[np.float64],
    levels3: NDArray[np.float64],
    buys: NDArray[np.bool_],
    fees: NDArray[np.float64],
    lots: NDArray[np.float64],
    sizes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def triangular_route(
    levels1: NDArray[np.float64],
    levels2: NDArray[np.float64],
    levels3: NDArray[np.float64],
    buys: NDArray[np.bool_],
    fees: NDArray[np.float64],
    lots: NDArray[np.float64],
    max_size: SupportsFloat,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def ou_fit(x: NDArray[np.float64], dt: SupportsFloat) -> NDArray[np.float64]: ...
def greedy_path(
    predicted: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
def best_subset(
    predicted: NDArray[np.float64],
    covariance: NDArray[np.float64],
    cardinality: SupportsIndex,
) -> tuple[NDArray[np.int64], float]: ...
def swap_subset(
    predicted: NDArray[np.float64],
    covariance: NDArray[np.float64],
    support: NDArray[np.int64],
) -> tuple[NDArray[np.int64], float]: ...
def run_bars(
    signals: NDArray[np.float64],
    prices: NDArray[np.float64],
    capital: SupportsFloat,
    lag: SupportsIndex,
    weights: bool,
    rates: NDArray[np.float64],
    fee_unit: NDArray[np.float64],
    spread_unit: NDArray[np.float64],
    impact: NDArray[np.float64],
    elapsed: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]: ...
def bars_summary(
    signals: NDArray[np.float64],
    prices: NDArray[np.float64],
    capital: SupportsFloat,
    lag: SupportsIndex,
    weights: bool,
    rates: NDArray[np.float64],
    fee_unit: NDArray[np.float64],
    spread_unit: NDArray[np.float64],
    impact: NDArray[np.float64],
    elapsed: NDArray[np.float64],
) -> tuple[float, float, float, float]: ...
def moving_average_cross(
    prices: NDArray[np.float64], fast: SupportsIndex, slow: SupportsIndex
) -> NDArray[np.float64]: ...
def return_moments(
    returns: NDArray[np.float64], target: SupportsFloat
) -> tuple[float, float, float, float, float, int, int]: ...
def drawdown(equity: NDArray[np.float64]) -> tuple[float, int, int, int]: ...
def return_drawdown(returns: NDArray[np.float64]) -> tuple[float, float, int, int, int]: ...
