"""Market making: optimal quotes, their Monte Carlo, and what they are calibrated with.

A market maker quotes a bid and an ask at offsets from the mid. The mid is a random walk of
volatility sigma (price units per square root of time), and market orders fill a quote at distance
delta at rate ``A exp(-k delta)``. Prices are in any one unit, inventories in units of one fill, and
time in any one unit.

From a model to quotes and back:

- quotes in closed form: `avellaneda_stoikov_quotes`, `glft_quotes`, `glft_closed_form`
  (written in `_quotes`);
- Monte Carlo: `simulate` with `AvellanedaStoikov`, `Symmetric`, `GLFT`, `Offsets` or a function,
  and `symmetric_moments`, which it must agree with (here);
- calibration to recorded trades: `trade_depth`, `fill_intensity` (in `_intensity`);
- what the best quotes say about the next price: `weighted_mid`, `MicroPriceModel`,
  `order_flow_imbalance`, `sum_by_time` (in `_microprice`);
- market orders that excite one another: `MarketOrders`, `hawkes_quotes`, and their own Monte Carlo
  `simulate_quotes` (in `_hawkes_quotes`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from labkit import _validate as validate
from labkit._backend import kernels
from labkit._hawkes_quotes import (
    AvellanedaStoikovQuoter,
    CertaintyEquivalentGain,
    HawkesQuoter,
    HawkesQuotes,
    MarketOrders,
    QuoteSimulation,
    certainty_equivalent_gain,
    hawkes_quotes,
    simulate_quotes,
)
from labkit._intensity import FillIntensity, fill_intensity, trade_depth
from labkit._microprice import (
    MicroPriceModel,
    order_flow_imbalance,
    sum_by_time,
    weighted_mid,
)
from labkit._quotes import (
    AvellanedaStoikovQuotes,
    GLFTQuotes,
    avellaneda_stoikov_quotes,
    glft_closed_form,
    glft_quotes,
    not_negative,
    risk_premium,
    risk_rate,
)
from labkit.reference import _checks as check
from labkit.reference import _philox as philox
from labkit.reference.market_making import MOST_PATHS, fills, half_words

__all__ = [
    "GLFT",
    "AvellanedaStoikov",
    "AvellanedaStoikovQuoter",
    "AvellanedaStoikovQuotes",
    "CertaintyEquivalentGain",
    "FillIntensity",
    "GLFTQuotes",
    "HawkesQuoter",
    "HawkesQuotes",
    "Market",
    "MarketOrders",
    "MicroPriceModel",
    "Offsets",
    "Paths",
    "QuoteSimulation",
    "Simulation",
    "Symmetric",
    "SymmetricMoments",
    "avellaneda_stoikov_quotes",
    "certainty_equivalent_gain",
    "fill_intensity",
    "glft_closed_form",
    "glft_quotes",
    "hawkes_quotes",
    "order_flow_imbalance",
    "simulate",
    "simulate_quotes",
    "sum_by_time",
    "symmetric_moments",
    "trade_depth",
    "weighted_mid",
]

# Cells of a table of quotes that a strategy without a limit may ask for: 0.4 GB at most.
_CELLS = 1 << 22

# Units that may be held at the start.
_FARTHEST = 1 << 31

# The first block of words that normal numbers are made of: word 2**34.
_NORMALS = 1 << 32

QuoteFunction = Callable[
    [float, NDArray[np.int64], NDArray[np.float64]], tuple[ArrayLike, ArrayLike]
]


@dataclass(frozen=True)
class Market:
    """The market that a strategy is simulated in.

    Parameters
    ----------
    sigma : float
        Volatility of the mid, price units per square root of time, not negative.
    A, k : float
        A quote at distance delta from the mid is filled at rate ``A exp(-k delta)``: A in fills per
        unit of time, k per price unit, both positive.
    horizon : float
        T, positive.
    n_steps : int
        Steps of ``dt = horizon / n_steps``, at least 1. In one, a quote is filled at most once,
        with probability ``min(1, A exp(-k delta) dt)``.

    Raises
    ------
    TypeError, ValueError
        A parameter is out of range.
    """

    sigma: float
    A: float
    k: float
    horizon: float
    n_steps: int

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "sigma", not_negative("sigma", self.sigma))
        for name in ("A", "k", "horizon"):
            set_(self, name, validate.positive(name, getattr(self, name)))
        set_(self, "n_steps", check.count("n_steps", self.n_steps, 1))

    @property
    def dt(self) -> float:
        """Time of one step."""
        return self.horizon / self.n_steps

    @property
    def times(self) -> NDArray[np.float64]:
        """The middle of each step, at which strategies take the time, shape (n_steps,)."""
        return (np.arange(self.n_steps) + 0.5) * self.dt

    def fill_probability(self, offset: ArrayLike) -> NDArray[np.float64]:
        """Of a fill in one step at these offsets, NaN where an offset is NaN."""
        with np.errstate(over="ignore"):
            return np.minimum(1.0, self.A * self.dt * np.exp(-self.k * np.asarray(offset)))


class Strategy(Protocol):
    """What `simulate` takes besides a function: anything that knows its offsets beforehand."""

    def offsets(self, market: Market, reach: int) -> Offsets:
        """Offsets at every step and inventory; none is met beyond `reach`."""


@dataclass(frozen=True)
class Offsets:
    """A strategy given as tables of offsets from the mid, in price units.

    Parameters
    ----------
    bid, ask : array_like, shape (n_steps, 2 Q + 1) or (2 Q + 1,)
        Mid less bid, and ask less mid, at each step (or at all of them) and inventory -Q..Q; NaN
        where a side is not quoted. What is given for the bid at Q and the ask at -Q is dropped: the
        inventory stays within its limit Q.

    Raises
    ------
    TypeError, ValueError
        The tables are not of one such shape, or hold an infinity.
    """

    bid: NDArray[np.float64]
    ask: NDArray[np.float64]

    def __post_init__(self) -> None:
        tables = {
            name: np.atleast_2d(validate.numbers(name, getattr(self, name)).copy())
            for name in ("bid", "ask")
        }
        shape = tables["bid"].shape
        for name, table in tables.items():
            if table.ndim != 2 or table.shape != shape or shape[1] % 2 == 0:
                raise ValueError(
                    f"{name} must have shape (n_steps, 2 Q + 1), the same as bid, got {table.shape}"
                )
            if np.isinf(table).any():
                raise ValueError(f"{name} must be finite, or NaN where it is not quoted")
        tables["bid"][:, -1] = np.nan
        tables["ask"][:, 0] = np.nan
        for name, table in tables.items():
            object.__setattr__(self, name, table)

    def offsets(self, market: Market, reach: int) -> Offsets:
        """These tables."""
        return self


def _limit(max_inventory: int | None, reach: int, rows: int) -> int:
    """The limit of a table: the one asked for, or one that no path can get to."""
    if max_inventory is not None:
        limit = check.count("max_inventory", max_inventory, 1)
        if rows * (2 * limit + 1) > _CELLS:
            raise ValueError(f"max_inventory must be less for {rows} steps, got {limit}")
        return limit
    if rows * (2 * reach + 1) > _CELLS:
        raise ValueError(
            f"max_inventory must be given for {rows} steps: without a limit, a table of all "
            f"inventories up to {reach} would be needed"
        )
    return reach


@dataclass(frozen=True)
class AvellanedaStoikov:
    """Quotes of `avellaneda_stoikov_quotes`, with the sigma and k of the market.

    Parameters
    ----------
    gamma : float
        Risk aversion, zero or more.
    max_inventory : int, optional
        Beyond which nothing is quoted; the paper has no limit, and that is the default.
    """

    gamma: float
    max_inventory: int | None = None

    def offsets(self, market: Market, reach: int) -> Offsets:
        """Offsets at every step; the inventory shifts both sides."""
        q = _limit(self.max_inventory, reach, market.n_steps)
        risk = risk_rate(not_negative("gamma", self.gamma), market.sigma, market.k)
        if not math.isfinite(risk * market.horizon * (q + 1)):
            raise ValueError(
                "gamma, sigma and horizon must keep the quotes in the range of float64, "
                f"got {self.gamma:g}, {market.sigma:g} and {market.horizon:g}"
            )
        risk_left = risk * (market.horizon - market.times)[:, None]
        lean = np.arange(-q, q + 1) * risk_left
        half = risk_left / 2 + risk_premium(self.gamma, market.k)
        return Offsets(half + lean, half - lean)


@dataclass(frozen=True)
class Symmetric:
    """A constant spread centred on the mid.

    Parameters
    ----------
    spread : float
        Ask less bid, price units, finite.
    max_inventory : int, optional
        Beyond which nothing is quoted; by default there is no limit.
    """

    spread: float
    max_inventory: int | None = None

    def offsets(self, market: Market, reach: int) -> Offsets:
        """One row for all steps."""
        q = _limit(self.max_inventory, reach, 1)
        half = np.full(2 * q + 1, validate.finite("spread", self.spread) / 2)
        return Offsets(half, half)


@dataclass(frozen=True)
class GLFT:
    """Quotes of `glft_quotes`, with the parameters of the market.

    Parameters
    ----------
    gamma : float
        Risk aversion, zero or more.
    max_inventory : int
        Q, at least 1.
    far_from_end : bool
        Quote at every step as if T were infinitely far away.
    """

    gamma: float
    max_inventory: int
    far_from_end: bool = False

    def offsets(self, market: Market, reach: int) -> Offsets:
        """The exact solution at every step, or its limit far from T."""
        quotes = glft_quotes(
            self.max_inventory,
            gamma=self.gamma,
            sigma=market.sigma,
            A=market.A,
            k=market.k,
            time_left=math.inf if self.far_from_end else market.horizon - market.times,
        )
        return Offsets(quotes.bid_offset, quotes.ask_offset)


@dataclass(frozen=True, eq=False)
class Paths:
    """Whole paths of a simulation, a row each.

    Attributes
    ----------
    time : ndarray, shape (n_steps + 1,)
        Ends of the steps, from 0.
    mid, inventory, cash : ndarray, shape (m, n_steps + 1)
        At those times; cash starts at 0.
    bid, ask : ndarray, shape (m, n_steps)
        Quotes in each step, NaN where there is none.
    bought, sold : ndarray, shape (m, n_steps), bool
        Fills in each step.
    """

    time: NDArray[np.float64]
    mid: NDArray[np.float64]
    inventory: NDArray[np.int64]
    cash: NDArray[np.float64]
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]
    bought: NDArray[np.bool_]
    sold: NDArray[np.bool_]

    @property
    def wealth(self) -> NDArray[np.float64]:
        """Cash and the inventory at the mid, shape (m, n_steps + 1)."""
        return self.cash + self.inventory * self.mid


@dataclass(frozen=True, eq=False)
class Simulation:
    """What the paths of `simulate` came to, one entry a path.

    Attributes
    ----------
    profit : ndarray, shape (n_paths,)
        Wealth at the end less at the start, price units; wealth is cash and the inventory at the
        mid.
    inventory : ndarray, shape (n_paths,), int64
        At the end.
    cash : ndarray, shape (n_paths,)
        At the end, from 0.
    mid : ndarray, shape (n_paths,)
        At the end.
    spread : ndarray, shape (n_paths,)
        Mean over the steps in which both sides were quoted of ask less bid; NaN without any.
    bids_filled, asks_filled : ndarray, shape (n_paths,), int64
    paths : Paths
        The first paths as a whole, as many as were asked for.
    """

    profit: NDArray[np.float64]
    inventory: NDArray[np.int64]
    cash: NDArray[np.float64]
    mid: NDArray[np.float64]
    spread: NDArray[np.float64]
    bids_filled: NDArray[np.int64]
    asks_filled: NDArray[np.int64]
    paths: Paths

    def __repr__(self) -> str:
        return f"Simulation({len(self.profit)} paths, mean profit {self.profit.mean():.6g})"


@dataclass
class _Walk:
    """The state of the simulated paths, and what each step adds to it."""

    market: Market
    mid: float
    seed: int
    gaussian: bool
    held: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.held)
        self.streams = np.arange(n, dtype=np.uint64)
        self.draws = half_words(self.seed, self.streams, self.market.n_steps)
        self.moved = np.zeros(n)  # the mid less that at the start, in units of sigma sqrt(dt)
        self.carried, self.earned = np.zeros(n), np.zeros(n)
        self.spread, self.both = np.zeros(n), np.zeros(n, np.int64)
        self.filled = np.zeros((n, 2), np.int64)
        self.size = self.market.sigma * math.sqrt(self.market.dt)

    def price(self) -> NDArray[np.float64]:
        return self.mid + self.size * self.moved

    def profit(self) -> NDArray[np.float64]:
        return self.earned + self.size * self.carried

    def step(
        self, number: int, bid: NDArray[np.float64], ask: NDArray[np.float64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Fill the quotes at these offsets or not, then move the mid."""
        drawn, direction = next(self.draws)
        probability = self.market.fill_probability
        bought, sold = fills(drawn, probability(bid), probability(ask))
        self.earned += np.where(bought, bid, 0.0) + np.where(sold, ask, 0.0)
        quoted = ~np.isnan(bid + ask)
        self.spread += np.where(quoted, bid + ask, 0.0)
        self.both += quoted
        self.filled += np.column_stack((bought, sold))
        self.held = self.held + bought - sold
        move = self._normal(number) if self.gaussian else direction
        self.moved += move
        self.carried += self.held * move
        return bought, sold

    def _normal(self, number: int) -> NDArray[np.float64]:
        """By inversion of a word, of blocks that are far behind those of the fills."""
        word = philox.blocks(self.seed, self.streams, _NORMALS + number // 4)[number % 4]
        # The middles of 2**52 equal parts of [0, 1]: never 0 or 1.
        return ndtri(((word >> np.uint64(12)) + 0.5) * 2.0**-52)


def _table_quotes(table: Offsets, n_steps: int) -> Callable[..., tuple[NDArray, NDArray]]:
    """The table as a function of the step, the inventory and the mid."""
    rows, limit = len(table.bid), table.bid.shape[1] // 2

    def quotes(step: int, held: NDArray[np.int64], mid: Any) -> tuple[NDArray, NDArray]:
        row = step if rows > 1 else 0
        return table.bid[row, held + limit], table.ask[row, held + limit]

    return quotes


def _asked(function: QuoteFunction, times: NDArray[np.float64]) -> Callable[..., Any]:
    """The answers of a function, checked."""

    def quotes(step: int, held: NDArray[np.int64], mid: Any) -> tuple[NDArray, NDArray]:
        answers = function(float(times[step]), held.copy(), mid)
        if not isinstance(answers, tuple) or len(answers) != 2:
            raise TypeError("strategy must return a tuple of bid and ask offsets")
        bid, ask = (validate.numbers("strategy", answer) for answer in answers)
        if not {bid.shape, ask.shape} <= {(), held.shape}:
            raise ValueError(f"strategy must return offsets of shape {held.shape} or one for all")
        bid, ask = (np.broadcast_to(side, held.shape) for side in (bid, ask))
        if np.isinf(bid).any() or np.isinf(ask).any():
            raise ValueError("strategy must return offsets that are finite, or NaN for no quote")
        return bid, ask

    return quotes


def _walked(walk: _Walk, quotes: Callable[..., Any], recorded: int) -> Paths:
    """Take every step, and keep the first paths as a whole."""
    n_steps = walk.market.n_steps
    mid, held, wealth = (np.zeros((recorded, n_steps + 1), t) for t in (float, np.int64, float))
    bid, ask = np.zeros((recorded, n_steps)), np.zeros((recorded, n_steps))
    bought, sold = (np.zeros((recorded, n_steps), np.bool_) for _ in range(2))
    mid[:, 0], held[:, 0] = walk.mid, walk.held[:recorded]
    for step in range(n_steps if len(walk.held) else 0):
        price = walk.price()
        bid_offset, ask_offset = quotes(step, walk.held, price)
        filled = walk.step(step, bid_offset, ask_offset)
        bid[:, step], ask[:, step] = (
            (price - bid_offset)[:recorded],
            (price + ask_offset)[:recorded],
        )
        bought[:, step], sold[:, step] = (side[:recorded] for side in filled)
        mid[:, step + 1], held[:, step + 1] = walk.price()[:recorded], walk.held[:recorded]
        wealth[:, step + 1] = walk.profit()[:recorded]
    cash = wealth + held[:, :1] * mid[:, :1] - held * mid
    time = np.arange(n_steps + 1) * walk.market.dt
    return Paths(time, mid, held, cash, bid, ask, bought, sold)


def _summary(walk: _Walk, inventory: int, paths: Paths) -> Simulation:
    with np.errstate(invalid="ignore"):
        spread = walk.spread / walk.both
    mid, profit = walk.price(), walk.profit()
    cash = profit + inventory * walk.mid - walk.held * mid
    return Simulation(profit, walk.held, cash, mid, spread, *walk.filled.T.copy(), paths)


def simulate(
    strategy: Strategy | QuoteFunction,
    *,
    sigma: float,
    A: float,
    k: float,
    horizon: float,
    n_steps: int,
    n_paths: int,
    seed: int,
    mid: float = 100.0,
    inventory: int = 0,
    moves: str = "binary",
    n_recorded: int = 0,
) -> Simulation:
    r"""Monte Carlo of a market maker in the model of Avellaneda & Stoikov.

    In each step of ``dt = horizon / n_steps`` both sides of the quote are filled or not,
    independently, with probability ``min(1, A exp(-k offset) dt)``, where an offset may be
    negative; then the mid moves by ``+-sigma sqrt(dt)`` with equal chances. A strategy that depends
    on the time takes it in the middle of the step, so that the mean of the time left over the steps
    is half the horizon, as it is in the paper's averages.

    Path p takes its random numbers from Philox stream p of the seed, so that it is the same
    however many paths there are, and on any number of threads; see
    `labkit.reference.market_making.simulate_market_making` for what each bit decides. Probabilities
    of fills are rounded to multiples of 2**-31. The normal number of step t is word ``2**34 + t``
    of the stream, inverted.

    Parameters
    ----------
    strategy : AvellanedaStoikov, Symmetric, GLFT, Offsets or callable
        A callable is asked at each step in order, ``strategy(time, inventory, mid)`` with arrays of
        shape (n_paths,), for the pair of bid and ask offsets from the mid, NaN where it does not
        quote. It runs in NumPy, as Gaussian moves do.
    sigma, A, k, horizon, n_steps : float
        The market, see `Market`.
    n_paths : int
        From 1 to 1e8.
    seed : int
        0 to 2**64 - 1.
    mid, inventory : float, int
        At the start, the inventory within 2**31. Cash starts at 0.
    moves : str
        ``"binary"``, or ``"gaussian"`` for ``sigma sqrt(dt)`` times a normal number.
    n_recorded : int
        How many of the first paths to keep as a whole, in `Simulation.paths`.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError, TypeError
        A parameter is out of range, or the strategy answers with something else than offsets.

    Examples
    --------
    >>> run = simulate(AvellanedaStoikov(gamma=0.1), sigma=2.0, A=140.0, k=1.5, horizon=1.0,
    ...                n_steps=200, n_paths=1000, seed=1)
    >>> round(run.spread.mean().item(), 2)
    1.49
    >>> bool(abs(run.profit.mean() - 65.0) < 1.0)
    True
    """
    market = Market(sigma, A, k, horizon, n_steps)
    n_paths = check.count("n_paths", n_paths, 1)
    if n_paths > MOST_PATHS:
        raise ValueError(f"n_paths must be at most {MOST_PATHS}, got {n_paths}")
    recorded = check.count("n_recorded", n_recorded, 0)
    if recorded > n_paths:
        raise ValueError(f"n_recorded must be at most n_paths = {n_paths}, got {recorded}")
    seed, mid = philox.seed("seed", seed), validate.finite("mid", mid)
    start = _whole("inventory", inventory)
    if abs(start) > _FARTHEST:
        raise ValueError(f"inventory must be from -2**31 to 2**31, got {start}")
    if moves not in ("binary", "gaussian"):
        raise ValueError(f"moves must be 'binary' or 'gaussian', got {moves!r}")

    def walk(paths: int) -> _Walk:
        return _Walk(market, mid, seed, moves == "gaussian", np.full(paths, start))

    if isinstance(strategy, type):
        raise TypeError(f"strategy must be an instance, got the class {strategy.__name__}")
    if not hasattr(strategy, "offsets"):
        if not callable(strategy):
            kind = type(strategy).__name__
            raise TypeError(f"strategy must have offsets or be a function, got {kind}")
        return _run(walk(n_paths), _asked(strategy, market.times), start, recorded)
    table = strategy.offsets(market, market.n_steps + abs(start))
    rows, limit = len(table.bid), table.bid.shape[1] // 2
    if rows not in (1, market.n_steps):
        raise ValueError(f"strategy must have offsets for 1 or {n_steps} steps, got {rows}")
    if abs(start) > limit:
        raise ValueError(f"inventory must be from {-limit} to {limit}, got {start}")
    quotes = _table_quotes(table, market.n_steps)
    if moves == "gaussian":
        return _run(walk(n_paths), quotes, start, recorded)
    size = market.sigma * math.sqrt(market.dt)
    profit, held, moved, spread, filled = kernels.simulate_market_making(
        table.bid,
        table.ask,
        market.fill_probability(table.bid),
        market.fill_probability(table.ask),
        market.n_steps,
        start,
        size,
        n_paths,
        seed,
    )
    end = mid + size * moved
    cash = profit + start * mid - held * end
    paths = _walked(walk(recorded), quotes, recorded)
    return Simulation(profit, held, cash, end, spread, *filled.T.copy(), paths)


def _run(walk: _Walk, quotes: Callable[..., Any], inventory: int, recorded: int) -> Simulation:
    paths = _walked(walk, quotes, recorded)
    return _summary(walk, inventory, paths)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    return int(value)


@dataclass(frozen=True)
class SymmetricMoments:
    """Exact moments of `Symmetric` in `simulate`.

    Attributes
    ----------
    fill_probability : float
        Of one side in one step.
    profit_mean, profit_std : float
        Of the profit, price units.
    inventory_std : float
        Of the inventory at the end; its mean is 0.
    """

    fill_probability: float
    profit_mean: float
    profit_std: float
    inventory_std: float


def symmetric_moments(
    spread: float, *, sigma: float, A: float, k: float, horizon: float, n_steps: int
) -> SymmetricMoments:
    """What a constant spread centred on the mid earns, and its risk, without simulation.

    With ``d = spread / 2``, N steps of dt and ``p = min(1, A exp(-k d) dt)``, the fills of all
    steps and sides are independent of each other and of the moves. Hence::

        mean(profit)   = 2 N p d
        var(inventory) = 2 N p (1 - p)
        var(profit)    = 2 N p (1 - p) d**2 + sigma**2 dt 2 p (1 - p) N (N + 1) / 2

    the last because the inventory held through the move of step n is a sum of n independent steps,
    and earnings and moves are uncorrelated. The inventory starts at 0 and has no limit.

    Parameters
    ----------
    spread : float
        Ask less bid, price units.
    sigma, A, k, horizon, n_steps
        The market, see `Market`.

    Returns
    -------
    SymmetricMoments

    Raises
    ------
    ValueError, TypeError
        A parameter is out of range, or so large that a moment would not be finite.

    Examples
    --------
    >>> moments = symmetric_moments(1.4908, sigma=2.0, A=140.0, k=1.5, horizon=1.0, n_steps=200)
    >>> round(moments.profit_mean, 2), round(moments.profit_std, 2)
    (68.23, 13.46)
    """
    market = Market(sigma, A, k, horizon, n_steps)
    half, n = validate.finite("spread", spread) / 2, market.n_steps
    p = market.fill_probability(half).item()
    step = 2 * p * (1 - p)  # variance of the change of the inventory in one step
    earned = n * step * half * half
    carried = market.sigma * market.sigma * market.dt * step * n * (n + 1) / 2
    if not math.isfinite(earned + carried):
        raise ValueError(
            "spread, sigma, horizon and n_steps must keep the variance of the profit in the range "
            f"of float64, got {spread:g}, {market.sigma:g}, {market.horizon:g} and {n}"
        )
    return SymmetricMoments(p, 2 * n * p * half, math.sqrt(earned + carried), math.sqrt(n * step))
