from typing import Self, SupportsFloat, SupportsIndex, TypeVar, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MatchingEngine",
    "ReplayEngine",
    "__version__",
    "bars_summary",
    "best_cycle",
    "best_quotes",
    "best_subset",
    "drawdown",
    "find_cycle",
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

_Real = TypeVar("_Real", np.float64, np.float32)

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
def simulate_market_making(
    bid_offset: NDArray[np.float64],
    ask_offset: NDArray[np.float64],
    bid_probability: NDArray[np.float64],
    ask_probability: NDArray[np.float64],
    n_steps: SupportsIndex,
    inventory: SupportsIndex,
    move: SupportsFloat,
    n_paths: SupportsIndex,
    seed: SupportsIndex,
) -> tuple[
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int64],
]: ...
def order_flow_imbalance(
    bid: NDArray[np.float64],
    bid_size: NDArray[np.float64],
    ask: NDArray[np.float64],
    ask_size: NDArray[np.float64],
) -> NDArray[np.float64]: ...

@final
class MatchingEngine:
    def __new__(
        cls,
        id: NDArray[np.int64],
        side: NDArray[np.int8],
        price: NDArray[np.int64],
        size: NDArray[np.int64],
    ) -> Self: ...
    def process(
        self,
        time_ns: NDArray[np.int64],
        id: NDArray[np.int64],
        kind: NDArray[np.uint8],
        side: NDArray[np.int8],
        price: NDArray[np.int64],
        size: NDArray[np.int64],
        flags: NDArray[np.uint8],
    ) -> tuple[
        tuple[
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int8],
        ],
        tuple[
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.uint8],
            NDArray[np.int8],
        ],
        tuple[
            NDArray[np.uint8],
            NDArray[np.uint8],
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int64],
            NDArray[np.int64],
        ],
    ]: ...
    def order(self, id: SupportsIndex) -> tuple[int, int, int, int, int, int, int, int]: ...
    def levels(
        self, side: SupportsIndex, depth: SupportsIndex
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
    def resting(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]: ...

def zero_intelligence_flow(
    seed: SupportsIndex,
    duration_s: SupportsFloat,
    start_price: SupportsIndex,
    limit_rates: NDArray[np.float64],
    cancel_rates: NDArray[np.float64],
    market_rate: SupportsFloat,
    limit_size: SupportsFloat,
    market_size: SupportsFloat,
    fundamental_rate: SupportsFloat,
    pull: SupportsFloat,
) -> tuple[
    tuple[
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.uint8],
        NDArray[np.int8],
        NDArray[np.int64],
        NDArray[np.int64],
    ],
    tuple[NDArray[np.int64], NDArray[np.int64]],
]: ...

@final
class ReplayEngine:
    def __new__(
        cls,
        events: NDArray[np.void],
        feed_ns: SupportsIndex,
        entry: NDArray[np.int64],
        response: NDArray[np.int64],
        interpolate: bool,
        queue: str,
        exponent: SupportsFloat,
        unit: SupportsFloat,
        partial_fills: bool,
        interval_ns: SupportsIndex,
        sample_ns: SupportsIndex,
    ) -> Self: ...
    @property
    def time_ns(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def cash(self) -> int: ...
    @property
    def traded(self) -> tuple[int, int]: ...
    @property
    def quotes(self) -> tuple[int, int, int, int]: ...
    @property
    def received(self) -> tuple[int, int]: ...
    def advance(self) -> bool: ...
    def size_at(self, side: SupportsIndex, price: SupportsIndex) -> int: ...
    def live_orders(self) -> NDArray[np.int64]: ...
    def submit(
        self, side: SupportsIndex, price: SupportsIndex, size: SupportsIndex, kind: SupportsIndex
    ) -> int: ...
    def cancel(self, order_id: SupportsIndex) -> None: ...
    def results(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]: ...

def best_quotes(events: NDArray[np.void]) -> NDArray[np.int64]: ...
def replay(
    events: NDArray[np.void],
    feed_ns: SupportsIndex,
    entry: NDArray[np.int64],
    response: NDArray[np.int64],
    interpolate: bool,
    queue: str,
    exponent: SupportsFloat,
    unit: SupportsFloat,
    partial_fills: bool,
    interval_ns: SupportsIndex,
    sample_ns: SupportsIndex,
    bid_offset: NDArray[np.float64],
    ask_offset: NDArray[np.float64],
    times: NDArray[np.int64],
    order_size: SupportsIndex,
    adjustment: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]: ...
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
def hawkes_likelihood(
    times: NDArray[np.float64],
    types: NDArray[np.int64],
    marks: NDArray[np.float64] | None,
    horizon: SupportsFloat,
    baseline: NDArray[np.float64],
    adjacency: NDArray[np.float64],
    decay: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def hawkes_path(
    times: NDArray[np.float64],
    types: NDArray[np.int64],
    marks: NDArray[np.float64] | None,
    baseline: NDArray[np.float64],
    adjacency: NDArray[np.float64],
    decay: NDArray[np.float64],
    at: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def hawkes_simulate(
    seed: SupportsIndex,
    n_paths: SupportsIndex,
    horizon: SupportsFloat,
    baseline: NDArray[np.float64],
    adjacency: NDArray[np.float64],
    decay: NDArray[np.float64],
    marks: NDArray[np.float64] | None,
    thinning: bool,
    most: SupportsIndex,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]: ...
def signature(paths: NDArray[_Real], depth: SupportsIndex, prefixes: bool) -> NDArray[_Real]: ...
def signature_extend(
    signatures: NDArray[_Real], increments: NDArray[_Real], depth: SupportsIndex
) -> NDArray[_Real]: ...
def signature_gradient(
    paths: NDArray[_Real], depth: SupportsIndex, weights: NDArray[_Real]
) -> NDArray[_Real]: ...
def signature_gram(
    left: NDArray[_Real], right: NDArray[_Real] | None, refinement: SupportsIndex
) -> NDArray[_Real]: ...
def signature_kernel(
    left: NDArray[_Real], right: NDArray[_Real], refinement: SupportsIndex
) -> NDArray[_Real]: ...
def signature_logarithm(
    signatures: NDArray[_Real], dim: SupportsIndex, depth: SupportsIndex
) -> NDArray[_Real]: ...
def fractional_brownian_motion(
    n_paths: SupportsIndex,
    n_steps: SupportsIndex,
    hurst: SupportsFloat,
    seed: SupportsIndex,
    method: str,
) -> NDArray[np.float64]: ...
def regression(
    features: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]: ...
def backward_regression(
    features: NDArray[np.float64], rewards: NDArray[np.float64], positive: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
def apply_policy(
    features: NDArray[np.float64],
    rewards: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    positive: bool,
) -> NDArray[np.int64]: ...
