"""Quotes that react to the intensity of market orders, and the market to try them in.

The public names are those of `labkit.market_making`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import exprel, ndtri

from labkit import _validate as validate
from labkit._backend import kernels
from labkit._quotes import avellaneda_stoikov_quotes, not_negative, risk_premium, risk_rate
from labkit.reference import _checks as check
from labkit.reference import _philox as philox

__all__ = [
    "AvellanedaStoikovQuoter",
    "CertaintyEquivalentGain",
    "HawkesQuoter",
    "HawkesQuotes",
    "MarketOrders",
    "QuoteSimulation",
    "certainty_equivalent_gain",
    "hawkes_quotes",
    "simulate_quotes",
]

# What is nearer to explosion loses its digits in 1 - own - cross.
_LARGEST_BRANCHING = 0.9999
# Gauss's rule on [-1, 1].
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
# Market orders that a path may have, and that may be expected of all paths together.
_MOST, _EXPECTED = 20_000_000, 200_000_000
# The first block of a path's stream that fills and normal numbers are made of; the times of the
# market orders take those from 0 on.
_BLOCKS = 1 << 32
# Units that may be held at the start.
_FARTHEST = 1 << 31

Array = NDArray[np.float64]
QuoteStrategy = Callable[
    [Array, NDArray[np.int64], Array, Array],
    tuple[ArrayLike, ArrayLike],
]


def _time_left(value: ArrayLike) -> Array:
    values = validate.numbers("time_left", value)
    if not (np.isfinite(values) & (values >= 0)).all():
        wrong = values[~(np.isfinite(values) & (values >= 0))]
        raise ValueError(f"time_left must be finite and not negative, got {wrong.flat[0]}")
    return values


def _intensity(value: ArrayLike) -> tuple[Array, Array]:
    """Intensity of buys and of sells."""
    values = validate.numbers("intensity", value)
    if values.shape[-1:] != (2,):
        raise ValueError(f"intensity must have shape (..., 2), got {values.shape}")
    if not (np.isfinite(values) & (values >= 0)).all():
        wrong = values[~(np.isfinite(values) & (values >= 0))]
        raise ValueError(f"intensity must be finite and not negative, got {wrong.flat[0]}")
    return values[..., 0], values[..., 1]


def _broadcast(**values: Array) -> tuple[Array, ...]:
    try:
        return np.broadcast_arrays(*values.values())
    except ValueError:
        shapes = ", ".join(str(value.shape) for value in values.values())
        raise ValueError(f"{', '.join(values)} must broadcast, got shapes {shapes}") from None


def _scalar(values: Array) -> Array | float:
    return values if np.ndim(values) else float(values)


def _faded(rate: float, time: Array) -> Array:
    """Integral of ``exp(-rate x)`` over x from 0 to a time."""
    return time * exprel(-rate * time)


def _both_faded(rate: float, other: float, time: Array) -> Array:
    """Integral of ``exp(-rate x - other (time - x))`` over x from 0 to a time."""
    return np.exp(-min(rate, other) * time) * _faded(abs(rate - other), time)


@dataclass(frozen=True)
class MarketOrders:
    """Market orders that excite one another, and move the mid.

    Buys and sells are a symmetric Hawkes process: with R+ and R- the sums of
    ``exp(-decay (t - s))`` over the buys and the sells at times s before t::

        buy intensity  = baseline + decay (own R+ + cross R-)
        sell intensity = baseline + decay (own R- + cross R+)

    and the mid moves by ``dS = sigma dW + impact (dN+ - dN-)``, W a Brownian motion.

    Parameters
    ----------
    baseline : float
        Of one side, orders per unit of time, positive.
    own, cross : float
        Mean number of orders of the same and of the other side that an order excites directly; not
        negative, in all at most 0.9999.
    decay : float
        Rate at which excitation fades, positive.
    impact : float
        Price units, not negative.

    Raises
    ------
    TypeError, ValueError
        A parameter is out of range.

    Examples
    --------
    >>> orders = MarketOrders(baseline=0.5, own=0.5, cross=0.1, decay=2.0, impact=0.01)
    >>> orders.imbalance_decay
    1.2
    >>> round(orders.mean_shift([3.0, 1.0], time_left=1.0), 6)
    0.011647
    """

    baseline: float
    own: float
    cross: float
    decay: float
    impact: float

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in ("baseline", "decay"):
            set_(self, name, validate.positive(name, getattr(self, name)))
        for name in ("own", "cross", "impact"):
            set_(self, name, not_negative(name, getattr(self, name)))
        if not self.own + self.cross <= _LARGEST_BRANCHING:
            raise ValueError(
                f"own and cross must come to at most {_LARGEST_BRANCHING} in all, "
                f"got {self.own:g} and {self.cross:g}"
            )

    @property
    def imbalance_decay(self) -> float:
        """``decay (1 - own + cross)``: the rate at which buy less sell intensity fades."""
        return self.decay * (1 - self.own + self.cross)

    @property
    def activity_decay(self) -> float:
        """``decay (1 - own - cross)``: the rate at which the sum of both relaxes to its mean."""
        return self.decay * (1 - self.own - self.cross)

    @property
    def activity(self) -> float:
        """``2 baseline / (1 - own - cross)``: mean orders of both sides per unit of time."""
        return 2 * self.baseline / (1 - self.own - self.cross)

    @property
    def parameters(self) -> tuple[Array, Array, Array]:
        """Baseline (2,), adjacency (1, 2, 2) and decay (1,) of the process, buys first."""
        adjacency = np.array([[[self.own, self.cross], [self.cross, self.own]]])
        return np.full(2, self.baseline), adjacency, np.array([self.decay])

    def intensity(self, times: ArrayLike, signs: ArrayLike, at: ArrayLike) -> Array:
        """Intensities just before given times; a trade at the very time does not count.

        Parameters
        ----------
        times : array_like, shape (n,)
            Of the trades, strictly increasing, from 0 on; there is no history before 0.
        signs : array_like, shape (n,)
            1 where the taker bought, -1 where it sold.
        at : array_like, shape (q,)
            Not negative and not decreasing.

        Returns
        -------
        ndarray, shape (q, 2)
            Of buys and of sells.

        Raises
        ------
        TypeError, ValueError
            The arrays have other shapes or values.
        """
        times = validate.array("times", times, (None,))
        signs = validate.array("signs", signs, (len(times),))
        if (np.abs(signs) != 1).any():
            raise ValueError(f"signs must be 1 or -1, got {signs[np.abs(signs) != 1][0]:g}")
        types = (signs < 0).astype(np.int64)
        at = validate.array("at", at, (None,))
        return kernels.hawkes_path(times, types, None, *self.parameters, at)[0]

    def mean_shift(self, intensity: ArrayLike, time_left: ArrayLike) -> Array | float:
        """Expected move of the mid until T.

        With D the buy less the sell intensity, ``dD = -decay D dt + decay (own - cross) (dN+ -
        dN-)``, so that D fades on average at the rate kappa = `imbalance_decay`, and::

            E[S_T] - S_t = impact D (1 - exp(-kappa (T - t))) / kappa.

        Parameters
        ----------
        intensity : array_like, shape (..., 2)
            Of buys and of sells, not negative.
        time_left : array_like
            ``T - t``, not negative.

        Returns
        -------
        ndarray or float
            Price units, of the shape to which ``intensity[..., 0]`` and `time_left` broadcast.

        Raises
        ------
        TypeError, ValueError
            A value is out of range, or the shapes do not broadcast.
        """
        buys, sells = _intensity(intensity)
        difference, left = _broadcast(intensity=buys - sells, time_left=_time_left(time_left))
        return _scalar(self.impact * difference * _faded(self.imbalance_decay, left))

    def response(self, time_left: ArrayLike) -> Array | float:
        """What one buy does to the expected mid at T, a sell the opposite.

        ::

            g(T - t) = impact (1 + decay (own - cross) (1 - exp(-kappa (T - t))) / kappa)

        It goes from `impact` to ``impact / (1 - own + cross)``: with own above cross a buy is
        followed by more of them, with cross above own it is taken back in part.
        """
        faded = _faded(self.imbalance_decay, _time_left(time_left))
        return _scalar(self.impact * (1 + self.decay * (self.own - self.cross) * faded))

    def variance(self, intensity: ArrayLike, time_left: ArrayLike) -> Array | float:
        r"""Variance of the mid at T that market orders bring, given the intensities now.

        ``E[S_T | F_u]`` jumps by g(T - u), see `response`, with every order, so that the variance
        is that of a sum of compensated jumps (the Brownian motion adds ``sigma**2 (T - t)``)::

            integral over u from t to T of g(T - u)**2 E[L_u],
            E[L_u] = activity + (L_t - activity) exp(-activity_decay (u - t)),

        L the sum of both intensities. With kappa = `imbalance_decay`, both factors are sums of
        exponentials, ``g(x) = impact (c + (1 - c) exp(-kappa x))`` with c = 1 / (1 - own + cross),
        and so is their product, which is integrated term by term. Where ``kappa (T - t) < 1`` the
        terms may cancel, and the integral is taken by Gauss's rule, which then keeps every digit.

        Parameters
        ----------
        intensity, time_left : array_like
            As for `mean_shift`.

        Returns
        -------
        ndarray or float
            Squared price units, of the shape to which ``intensity[..., 0]`` and `time_left`
            broadcast.

        Raises
        ------
        TypeError, ValueError
            A value is out of range, or the shapes do not broadcast.
        """
        buys, sells = _intensity(intensity)
        total, left = _broadcast(intensity=buys + sells, time_left=_time_left(time_left))
        result = np.array(self._sum_of_exponentials(total, left))
        near = self.imbalance_decay * left < 1
        if near.any():
            result[near] = self._quadrature(total[near], left[near])
        return _scalar(result)

    def _sum_of_exponentials(self, total: Array, left: Array) -> Array:
        kappa, rho = self.imbalance_decay, self.activity_decay
        c = 1 / (1 - self.own + self.cross)
        at_rest, fading = np.zeros(left.shape), np.zeros(left.shape)
        for weight, rate in ((c * c, 0.0), (2 * c * (1 - c), kappa), ((1 - c) ** 2, 2 * kappa)):
            at_rest += weight * _faded(rate, left)
            fading += weight * _both_faded(rate, rho, left)
        mean = self.activity
        return self.impact**2 * (mean * at_rest + (total - mean) * fading)

    def _quadrature(self, total: Array, left: Array) -> Array:
        result = np.zeros(left.shape)
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            ahead, past = (1 + node) / 2 * left, (1 - node) / 2 * left
            expected = total * np.exp(-self.activity_decay * past)
            expected += 2 * self.baseline * self.decay * _faded(self.activity_decay, past)
            result += weight * self.response(ahead) ** 2 * expected
        return result * left / 2

    def volatility(self, sigma: float) -> float:
        """Of the mid in the long run, price units per square root of time.

        ``sqrt(sigma**2 + activity g(inf)**2)``, with ``g(inf) = impact / (1 - own + cross)``: what
        the signature plot of Bacry, Delattre, Hoffmann & Muzy, Quantitative Finance 13 (2013)
        65-77, comes down or up to.
        """
        sigma = not_negative("sigma", sigma)
        far = self.impact / (1 - self.own + self.cross)
        return math.sqrt(sigma * sigma + self.activity * far * far)


@dataclass(frozen=True)
class HawkesQuotes:
    """Quotes of `hawkes_quotes`, in units of the mid, all of one shape.

    Attributes
    ----------
    bid, ask : ndarray or float
        ``reservation - spread / 2`` and ``reservation + spread / 2``.
    reservation : ndarray or float
        The price at which one unit more or less leaves a holder who waits until T indifferent, in
        the mean and the variance of the mid.
    spread : ndarray or float
        Ask less bid.
    """

    bid: Array | float
    ask: Array | float
    reservation: Array | float
    spread: Array | float


def hawkes_quotes(
    mid: ArrayLike,
    inventory: ArrayLike,
    *,
    gamma: float,
    sigma: float,
    k: float,
    time_left: ArrayLike,
    intensity: ArrayLike,
    model: MarketOrders,
    charge_response: bool = False,
) -> HawkesQuotes:
    """Quotes of Avellaneda & Stoikov around where self-exciting market orders take the mid.

    Their construction (Quantitative Finance 8(3) (2008) 217-224) with the mean and the variance of
    the mid at T given the intensities now, in place of s and ``sigma**2 (T - t)``::

        reservation = E[S_T] - inventory gamma Var[S_T]
        spread      = gamma Var[S_T] + (2 / gamma) log(1 + gamma / k)
        E[S_T]   = mid + model.mean_shift(intensity, time_left)
        Var[S_T] = sigma**2 time_left + model.variance(intensity, time_left)

    Without excitation the intensities are the baseline, and these are the quotes of
    `labkit.market_making.avellaneda_stoikov_quotes` with ``sigma**2 + 2 baseline impact**2`` in
    place of ``sigma**2``; without impact they are those with sigma itself, to the last bit.

    Whoever fills a quote also moves the mid: a unit bought or sold costs
    ``model.response(time_left)`` on average. Avellaneda & Stoikov's market has no such cost, and
    their spread no part that pays for it; with `charge_response` both quotes move out by it, which
    makes them indifference prices given that the fill comes with an order of that side.

    Without risk aversion nothing links one fill to the next: with gamma = 0 and `charge_response`,
    each offset cut at zero where it is negative, the quotes are the optimum in the market of
    `simulate_quotes`. Otherwise this is an approximation. It leaves out that S_T is no Gaussian;
    that an order also changes the variance; that a unit need not be held until T; and that the rate
    of fills will change with the intensities: its level drops out of Avellaneda & Stoikov's quotes,
    which take arrivals to first order, but its dynamics do not drop out of the optimum. Cartea,
    Jaimungal & Ricci, SIAM Journal on Financial Mathematics 5 (2014) 415-444, treat the control
    problem itself, with self-exciting market orders that push the drift of the mid and change the
    chances of fills.

    Parameters
    ----------
    mid : array_like
        Price units.
    inventory : array_like
        Units held, negative where short.
    gamma : float
        Risk aversion, 1 / (price unit), zero or more.
    sigma : float
        Volatility of what moves the mid besides market orders, price units per square root of
        time, positive.
    k : float
        Decay of the chance of a fill, 1 / (price unit), positive.
    time_left : array_like
        ``T - t``, not negative.
    intensity : array_like, shape (..., 2)
        Of buys and of sells now, not negative; `MarketOrders.intensity` gives it.
    model : MarketOrders
    charge_response : bool
        Whether the spread is wider by ``2 model.response(time_left)``.

    Returns
    -------
    HawkesQuotes
        Arrays of the shape to which `mid`, `inventory`, `time_left` and ``intensity[..., 0]``
        broadcast.

    Raises
    ------
    TypeError, ValueError
        A parameter is out of range or not finite, so large that the quotes would not be, or the
        shapes do not broadcast.

    Examples
    --------
    >>> orders = MarketOrders(baseline=0.5, own=0.5, cross=0.1, decay=2.0, impact=0.1)
    >>> quotes = hawkes_quotes(100.0, 2, gamma=0.1, sigma=2.0, k=1.5, time_left=0.5,
    ...                        intensity=[2.5, 0.5], model=orders)
    >>> round(quotes.reservation, 4), round(quotes.spread, 4)
    (99.6712, 1.4928)
    """
    if not isinstance(model, MarketOrders):
        raise TypeError(f"model must be a MarketOrders, got {type(model).__name__}")
    mid, inventory = (
        validate.numbers(name, value) for name, value in (("mid", mid), ("inventory", inventory))
    )
    for name, values in (("mid", mid), ("inventory", inventory)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)].flat[0]}")
    gamma, k = not_negative("gamma", gamma), validate.positive("k", k)
    rate = risk_rate(gamma, validate.positive("sigma", sigma), k)
    mid, inventory, left, _ = _broadcast(
        mid=mid,
        inventory=inventory,
        time_left=_time_left(time_left),
        intensity=_intensity(intensity)[0],
    )
    with np.errstate(over="ignore", invalid="ignore"):
        risk = rate * left + gamma * model.variance(intensity, left)
        reservation = mid + model.mean_shift(intensity, left) - inventory * risk
        spread = risk + 2 * risk_premium(gamma, k)
        if charge_response:
            spread = spread + 2 * model.response(left)
    if not (np.isfinite(reservation).all() and np.isfinite(spread).all()):
        raise ValueError(
            "mid, inventory, gamma, sigma, time_left, intensity and model must keep the quotes in "
            "the range of float64"
        )
    values = (reservation - spread / 2, reservation + spread / 2, reservation, spread)
    return HawkesQuotes(*(_scalar(v) for v in values))


def _limited(
    bid: Array, ask: Array, inventory: NDArray[np.int64], limit: int | None
) -> tuple[Array, Array]:
    """Offsets without those that lead beyond the limit."""
    if limit is None:
        return bid, ask
    limit = check.count("max_inventory", limit, 1)
    return np.where(inventory < limit, bid, np.nan), np.where(inventory > -limit, ask, np.nan)


@dataclass(frozen=True)
class HawkesQuoter:
    """A strategy for `simulate_quotes`: `hawkes_quotes` at the true intensities.

    Parameters
    ----------
    model : MarketOrders
        What the strategy takes the market to be.
    gamma, sigma, k : float
        As for `hawkes_quotes`.
    horizon : float
        T.
    max_inventory : int, optional
        Beyond which nothing is quoted; by default there is no limit.
    charge_response : bool
        As for `hawkes_quotes`.
    """

    model: MarketOrders
    gamma: float
    sigma: float
    k: float
    horizon: float
    max_inventory: int | None = None
    charge_response: bool = False

    def __call__(
        self, time: Array, inventory: NDArray[np.int64], mid: Array, intensity: Array
    ) -> tuple[Array, Array]:
        """Offsets of bid and ask from the mid."""
        quotes = hawkes_quotes(
            0.0,
            inventory,
            gamma=self.gamma,
            sigma=self.sigma,
            k=self.k,
            time_left=self.horizon - time,
            intensity=intensity,
            model=self.model,
            charge_response=self.charge_response,
        )
        return _limited(-quotes.bid, quotes.ask, inventory, self.max_inventory)


@dataclass(frozen=True)
class AvellanedaStoikovQuoter:
    """A strategy for `simulate_quotes` that looks at no intensity.

    Parameters
    ----------
    gamma, sigma, k : float
        As for `labkit.market_making.avellaneda_stoikov_quotes`; sigma is that of the mid as the
        strategy takes it to be, such as `MarketOrders.volatility`.
    horizon : float
        T.
    max_inventory : int, optional
        Beyond which nothing is quoted; by default there is no limit.
    charge : float
        Added to both offsets, price units, not negative: what the order that fills a quote is
        expected to move the mid by, such as `MarketOrders.response` far from T.
    """

    gamma: float
    sigma: float
    k: float
    horizon: float
    max_inventory: int | None = None
    charge: float = 0.0

    def __call__(
        self, time: Array, inventory: NDArray[np.int64], mid: Array, intensity: Array
    ) -> tuple[Array, Array]:
        """Offsets of bid and ask from the mid."""
        quotes = avellaneda_stoikov_quotes(
            0.0,
            inventory,
            gamma=self.gamma,
            sigma=self.sigma,
            k=self.k,
            time_left=self.horizon - time,
        )
        charge = not_negative("charge", self.charge)
        return _limited(charge - quotes.bid, charge + quotes.ask, inventory, self.max_inventory)


@dataclass(frozen=True, eq=False)
class QuoteSimulation:
    """What the paths of `simulate_quotes` came to, one entry a path.

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
    bids_filled, asks_filled : ndarray, shape (n_paths,), int64
    buys, sells : ndarray, shape (n_paths,), int64
        Market orders that came.
    """

    profit: Array
    inventory: NDArray[np.int64]
    cash: Array
    mid: Array
    bids_filled: NDArray[np.int64]
    asks_filled: NDArray[np.int64]
    buys: NDArray[np.int64]
    sells: NDArray[np.int64]

    def __repr__(self) -> str:
        return f"QuoteSimulation({len(self.profit)} paths, mean profit {self.profit.mean():.6g})"


class _Walk:
    """The paths, those with the most market orders in front, and what moves them.

    The n-th orders of all paths that have so many come together: they are on the first paths.
    """

    def __init__(
        self, model: MarketOrders, sigma: float, seed: int, streams: NDArray, inventory: int
    ) -> None:
        n = len(streams)
        self.model, self.sigma, self.seed, self.streams = model, sigma, seed, streams
        self.jumps = model.parameters[1][0] * model.decay
        self.clock, self.excess = np.zeros(n), np.zeros((n, 2))
        self.held = np.full(n, inventory)
        self.moved, self.earned, self.carried = np.zeros(n), np.zeros(n), np.zeros(n)
        self.orders, self.filled = np.zeros((n, 2), np.int64), np.zeros((n, 2), np.int64)

    def advance(self, time: Array, number: ArrayLike) -> Array:
        """Go on to a time of each of the first paths; gives a uniform number for each.

        Block `number` of the numbers of the path: the first word says whether the order at its end
        fills, the second gives the move, by inversion in the middle of 2**52 equal parts of [0, 1].
        """
        m = len(time)
        words = philox.blocks(
            self.seed, self.streams[:m], np.asarray(number, np.uint64) + np.uint64(_BLOCKS)
        )
        gap = time - self.clock[:m]
        normal = ndtri(((words[1] >> np.uint64(12)) + 0.5) * 2.0**-52)
        self._move(self.sigma * np.sqrt(gap) * normal)
        self.excess[:m] *= np.exp(-self.model.decay * gap)[:, None]
        self.clock[:m] = time
        return philox.uniform(words[0])

    def order(self, types: NDArray[np.int64], offsets: Array, filled: NDArray[np.bool_]) -> None:
        """A market order on each of the first paths, which fills the quote it meets or does not."""
        m = len(types)
        sign = 1 - 2 * types
        self.earned[:m] += np.where(filled, offsets, 0.0)
        self.held[:m] -= np.where(filled, sign, 0)
        self._move(self.model.impact * sign)
        self.excess[:m] += self.jumps[:, types].T
        rows = np.arange(m)
        self.orders[rows, types] += 1
        self.filled[rows, types] += filled

    def _move(self, by: Array) -> None:
        m = len(by)
        self.moved[:m] += by
        self.carried[:m] += self.held[:m] * by


def _offsets(strategy: QuoteStrategy, walk: _Walk, mid: float, m: int) -> tuple[Array, Array]:
    """The answer of a strategy for the first paths, checked."""
    intensity = walk.model.baseline + walk.excess[:m]
    answer = strategy(walk.clock[:m].copy(), walk.held[:m].copy(), mid + walk.moved[:m], intensity)
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TypeError("strategy must return a tuple of bid and ask offsets")
    bid, ask = (validate.numbers("strategy", side) for side in answer)
    if not {bid.shape, ask.shape} <= {(), (m,)}:
        raise ValueError(f"strategy must return offsets of shape {(m,)} or one for all")
    if np.isinf(bid).any() or np.isinf(ask).any():
        raise ValueError("strategy must return offsets that are finite, or NaN for no quote")
    return bid, ask


def simulate_quotes(
    strategy: QuoteStrategy,
    model: MarketOrders,
    *,
    sigma: float,
    k: float,
    horizon: float,
    n_paths: int,
    seed: int,
    mid: float = 100.0,
    inventory: int = 0,
) -> QuoteSimulation:
    """Monte Carlo of a market maker in a market of self-exciting orders, without time steps.

    Market orders are those of `model`, from an empty history. A buy fills our ask, a sell our bid,
    with probability ``min(1, exp(-k offset))``, where an offset from the mid may be negative; then
    the mid jumps by ``impact`` in the order's direction. A fill is one unit. Between orders the mid
    is a Brownian motion. The strategy is asked at every order for what it has quoted when the order
    comes: from the mid, the inventory and the intensities just before.

    Path p takes stream p of the seed, as in `labkit.reference.hawkes_simulate`: the market is the
    same for every strategy, and so is the number that decides whether the n-th order of a path
    fills a quote, so that strategies can be compared path by path (`certainty_equivalent_gain`).
    A path is the same however many there are.

    Parameters
    ----------
    strategy : HawkesQuoter, AvellanedaStoikovQuoter or callable
        ``strategy(time, inventory, mid, intensity)`` gives the pair of bid and ask offsets from the
        mid, NaN where it does not quote. Its arguments are arrays of shape (m,), the last of shape
        (m, 2), one entry for each path on which an order comes; the times differ.
    model : MarketOrders
    sigma : float
        Volatility of the mid between orders, not negative.
    k : float
        Decay of the chance of a fill, 1 / (price unit), positive.
    horizon : float
        T, positive.
    n_paths : int
        At least 1; 2e8 market orders in all may be expected.
    seed : int
        0 to 2**64 - 1.
    mid, inventory : float, int
        At the start, the inventory within 2**31. Cash starts at 0.

    Returns
    -------
    QuoteSimulation

    Raises
    ------
    TypeError, ValueError
        A parameter is out of range, or the strategy answers with something else than offsets.

    Examples
    --------
    >>> orders = MarketOrders(baseline=5.0, own=0.6, cross=0.1, decay=20.0, impact=0.02)
    >>> ours = dict(gamma=0.1, sigma=0.5, k=10.0, horizon=1.0)
    >>> run = simulate_quotes(HawkesQuoter(orders, **ours), orders, sigma=0.5, k=10.0, horizon=1.0,
    ...                       n_paths=500, seed=1)
    >>> bool((run.bids_filled - run.asks_filled == run.inventory).all())
    True
    """
    if not isinstance(model, MarketOrders):
        raise TypeError(f"model must be a MarketOrders, got {type(model).__name__}")
    if isinstance(strategy, type) or not callable(strategy):
        kind = strategy.__name__ if isinstance(strategy, type) else type(strategy).__name__
        raise TypeError(f"strategy must be a function or a quoter, got {kind}")
    sigma, k = not_negative("sigma", sigma), validate.positive("k", k)
    horizon, mid = validate.positive("horizon", horizon), validate.finite("mid", mid)
    n_paths, seed = check.count("n_paths", n_paths, 1), philox.seed("seed", seed)
    start = check.count("inventory", inventory, -_FARTHEST)
    if start > _FARTHEST:
        raise ValueError(f"inventory must be from -2**31 to 2**31, got {start}")
    expected = n_paths * horizon * model.activity
    if not expected <= _EXPECTED:
        raise ValueError(
            f"n_paths and horizon must give at most {_EXPECTED} market orders on average, "
            f"got {expected:.3g}"
        )
    times, types, _, counts = kernels.hawkes_simulate(
        seed, n_paths, horizon, *model.parameters, None, False, _MOST
    )
    order = np.argsort(-counts, kind="stable")
    first, counts = (np.cumsum(counts) - counts)[order], counts[order]
    walk = _Walk(model, sigma, seed, order.astype(np.uint64), start)
    for number in range(counts[0]):
        rows = first[: np.searchsorted(-counts, -number)] + number
        u = walk.advance(times[rows], number)
        bid, ask = _offsets(strategy, walk, mid, len(rows))
        offsets = np.where(types[rows] == 0, ask, bid)
        with np.errstate(over="ignore"):
            filled = u < np.exp(-k * offsets)
        walk.order(types[rows], offsets, filled)
    walk.advance(np.full(n_paths, horizon), counts)
    return _summary(walk, np.argsort(order), mid, start)


def _summary(walk: _Walk, place: NDArray[np.intp], mid: float, inventory: int) -> QuoteSimulation:
    """The paths in order of their streams."""
    held, end = walk.held[place], mid + walk.moved[place]
    profit = (walk.earned + walk.carried)[place]
    asks_filled, bids_filled = walk.filled[place].T.copy()
    buys, sells = walk.orders[place].T.copy()
    return QuoteSimulation(
        profit=profit,
        inventory=held,
        cash=profit + inventory * mid - held * end,
        mid=end,
        bids_filled=bids_filled,
        asks_filled=asks_filled,
        buys=buys,
        sells=sells,
    )


class CertaintyEquivalentGain(NamedTuple):
    """How much more one strategy is worth than another, price units.

    `certainty_equivalent` and `benchmark` are the values of both, `gain` their difference and
    `standard_error` that of the difference.
    """

    gain: float
    standard_error: float
    certainty_equivalent: float
    benchmark: float


def certainty_equivalent_gain(
    profit: ArrayLike, benchmark: ArrayLike, *, gamma: float
) -> CertaintyEquivalentGain:
    """Difference of certainty equivalents of two strategies on the same paths.

    ``-log(mean(exp(-gamma profit))) / gamma`` for each, the mean profit where gamma is 0; the
    standard error of the difference is that of the delta method on the pairs.

    Parameters
    ----------
    profit, benchmark : array_like, shape (n,)
        Of the strategy and of what it is compared with, path by path; at least 2 paths.
    gamma : float
        Risk aversion, zero or more.

    Returns
    -------
    CertaintyEquivalentGain

    Raises
    ------
    TypeError, ValueError
        The arrays have other shapes, or a value is out of range.

    Examples
    --------
    >>> gain = certainty_equivalent_gain([1.0, 2.0, 4.0], [0.5, 1.5, 3.5], gamma=0.2)
    >>> round(gain.gain, 12), round(gain.standard_error, 12)
    (0.5, 0.0)
    """
    profit = validate.array("profit", profit, (None,))
    benchmark = validate.array("benchmark", benchmark, (len(profit),))
    if len(profit) < 2:
        raise ValueError(f"profit must have at least 2 paths, got {len(profit)}")
    gamma = not_negative("gamma", gamma)
    (value, slope), (other, other_slope) = (
        _certainty_equivalent(values, gamma) for values in (profit, benchmark)
    )
    error = (slope - other_slope).std(ddof=1) / math.sqrt(len(profit))
    return CertaintyEquivalentGain(value - other, float(error), value, other)


def _certainty_equivalent(profit: Array, gamma: float) -> tuple[float, Array]:
    """The value, and by how much each path moves it (up to a constant)."""
    if gamma == 0:
        return float(profit.mean()), profit
    least = profit.min()
    weight = np.exp(-gamma * (profit - least))  # at most 1
    mean = weight.mean()
    return float(least - np.log(mean) / gamma), -weight / (gamma * mean)
