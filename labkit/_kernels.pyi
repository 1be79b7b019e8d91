from typing import Self, SupportsFloat, SupportsIndex, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MatchingEngine",
    "__version__",
    "best_cycle",
    "best_subset",
    "find_cycle",
    "greedy_path",
    "imbalance",
    "microprice",
    "ou_fit",
    "parse_orderbook",
    "rebuild_books",
    "route_outcome",
    "sort_levels",
    "swap_subset",
    "triangular_route",
    "walk_levels",
    "zero_intelligence_flow",
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
