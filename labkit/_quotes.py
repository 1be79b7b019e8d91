"""Optimal quotes in closed form: Avellaneda-Stoikov, and Gueant, Lehalle and Fernandez-Tapia.

The public names are those of `labkit.market_making`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigvalsh_tridiagonal

from labkit import _validate as validate
from labkit.reference import _checks as check

__all__ = [
    "AvellanedaStoikovQuotes",
    "GLFTQuotes",
    "avellaneda_stoikov_quotes",
    "glft_closed_form",
    "glft_quotes",
    "not_negative",
    "risk_premium",
]

# Values of holdings whose ratio to the best is less have lost digits, or will.
_SMALLEST = 1e-290
# A substep of the evolution covers this much of the time that the fastest rate sets.
_SUBSTEP = 8.0
# Units on either side that are quoted for at most.
_MOST = 100_000


def not_negative(name: str, value: Any) -> float:
    """A finite float of zero or more."""
    number = check.number(name, value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be finite and not negative, got {value}")
    return number


def _finite(name: str, value: ArrayLike) -> NDArray[np.float64]:
    values = validate.numbers(name, value)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)].flat[0]}")
    return values


def risk_rate(gamma: float, sigma: float, k: float) -> float:
    """``gamma sigma**2``, of which the premium and its halves must be numbers too."""
    risk = gamma * sigma * sigma
    if not (math.isfinite(risk) and math.isfinite(risk * k) and math.isfinite(gamma / k)):
        raise ValueError(
            f"gamma, sigma and k must keep gamma sigma**2, its multiple by k and gamma / k in the "
            f"range of float64, got {gamma:g}, {sigma:g} and {k:g}"
        )
    return risk


def risk_premium(gamma: float, k: float) -> float:
    """``log(1 + gamma / k) / gamma``, and its limit ``1 / k`` where gamma is 0."""
    return math.log1p(gamma / k) / gamma if gamma > 0 else 1 / k


@dataclass(frozen=True)
class AvellanedaStoikovQuotes:
    """Quotes of `avellaneda_stoikov_quotes`, in units of the mid, all of one shape.

    Attributes
    ----------
    bid, ask : ndarray or float
        ``reservation - spread / 2`` and ``reservation + spread / 2``.
    reservation : ndarray or float
        The price at which one unit more or less leaves the market maker indifferent.
    spread : ndarray or float
        Ask less bid.
    """

    bid: NDArray[np.float64] | float
    ask: NDArray[np.float64] | float
    reservation: NDArray[np.float64] | float
    spread: NDArray[np.float64] | float


def avellaneda_stoikov_quotes(
    mid: ArrayLike,
    inventory: ArrayLike,
    *,
    gamma: float,
    sigma: float,
    k: float,
    time_left: ArrayLike,
) -> AvellanedaStoikovQuotes:
    """Bid and ask of Avellaneda & Stoikov, around a price that leans against the inventory.

    With the mid ``dS = sigma dW``, orders that fill a quote at distance delta at rate
    ``A exp(-k delta)`` and exponential utility of the wealth at T (Quantitative Finance 8(3)
    (2008) 217-224, section 3.2)::

        reservation = mid - inventory gamma sigma**2 (T - t)
        spread      = gamma sigma**2 (T - t) + (2 / gamma) log(1 + gamma / k)

    The paper comes to them by expanding the exponent theta of the value function to second order in
    the inventory and taking the terms of the arrivals to first order.

    Where the inventory is large, a quote lies on the far side of the mid: so the paper has it.

    Parameters
    ----------
    mid : array_like
        Price units.
    inventory : array_like
        Units held, negative where short.
    gamma : float
        Risk aversion, 1 / (price unit), zero or more; 0 is the limit without it, ``mid -+ 1 / k``.
    sigma : float
        Price units per square root of time, positive.
    k : float
        Decay of the rate of fills, 1 / (price unit), positive.
    time_left : array_like
        ``T - t``, not negative.

    Returns
    -------
    AvellanedaStoikovQuotes
        Arrays of the shape to which `mid`, `inventory` and `time_left` broadcast.

    Raises
    ------
    ValueError
        A parameter is out of range or not finite, so large that the quotes would not be, or the
        shapes do not broadcast.

    Examples
    --------
    >>> quotes = avellaneda_stoikov_quotes(100.0, 2, gamma=0.1, sigma=2.0, k=1.5, time_left=0.5)
    >>> round(quotes.reservation, 4), round(quotes.spread, 4)
    (99.6, 1.4908)
    """
    mid, inventory = _finite("mid", mid), _finite("inventory", inventory)
    gamma, k = not_negative("gamma", gamma), validate.positive("k", k)
    time_left = _finite("time_left", time_left)
    if (time_left < 0).any():
        raise ValueError(f"time_left must not be negative, got {time_left.min()}")
    rate = risk_rate(gamma, validate.positive("sigma", sigma), k)
    try:
        mid, inventory, time_left = np.broadcast_arrays(mid, inventory, time_left)
    except ValueError:
        shapes = f"{mid.shape}, {inventory.shape} and {time_left.shape}"
        raise ValueError(f"mid, inventory and time_left must broadcast, got {shapes}") from None
    with np.errstate(over="ignore"):
        risk = rate * time_left
        reservation = mid - inventory * risk
        spread = risk + 2 * risk_premium(gamma, k)
    if not (np.isfinite(reservation).all() and np.isfinite(spread).all()):
        raise ValueError(
            "mid, inventory, gamma, sigma and time_left must keep the quotes in the range of "
            "float64"
        )
    values = (reservation - spread / 2, reservation + spread / 2, reservation, spread)
    return AvellanedaStoikovQuotes(*(v if np.ndim(v) else float(v) for v in values))


@dataclass(frozen=True)
class GLFTQuotes:
    """How far from the mid to quote at each inventory.

    Attributes
    ----------
    inventory : ndarray, shape (2 max_inventory + 1,), int64
        ``-max_inventory`` to ``max_inventory``.
    bid_offset, ask_offset : ndarray, shape (..., 2 max_inventory + 1)
        Mid less bid, and ask less mid, for each time left, in price units. NaN where a side is not
        quoted: the bid at the largest inventory, the ask at the least.
    """

    inventory: NDArray[np.int64]
    bid_offset: NDArray[np.float64]
    ask_offset: NDArray[np.float64]


def _rates(gamma: float, sigma: float, A: float, k: float) -> tuple[float, float]:
    """Alpha and eta of the linear system."""
    risk = risk_rate(gamma, sigma, k)
    ratio = gamma / k
    # (1 + gamma / k) ** (1 + k / gamma), which has the limit e.
    growth = math.exp(math.log1p(ratio) + k * risk_premium(gamma, k))
    alpha, eta = k * risk / 2, A / growth
    if not (eta > 0 and math.isfinite(alpha / eta)):
        raise ValueError(
            f"gamma, sigma, A and k must keep alpha / eta in the range of float64, "
            f"got alpha = {alpha:g} and eta = {eta:g}"
        )
    return alpha, eta


def _evolve(
    value: NDArray[np.float64], diagonal: NDArray[np.float64], eta: float, time: float
) -> NDArray[np.float64]:
    """``exp(-M time) value`` up to a factor, M tridiagonal with -eta beside the diagonal.

    M less the largest entry of its diagonal has no positive entry, so that every term of the series
    is positive and each value keeps its digits, however small it is beside the others.
    """
    rest = diagonal.max() - diagonal
    substeps = math.ceil((diagonal.max() + 2 * eta) * time / _SUBSTEP)
    for _ in range(substeps):
        term, total, n = value, value, 0
        while (term > 1e-17 * total).any():
            n += 1
            product = rest * term
            product[1:] += eta * term[:-1]
            product[:-1] += eta * term[1:]
            term = product * (time / substeps / n)
            total = total + term
        before, value = value, total / total.max()
        if not value.min() > _SMALLEST:
            raise ValueError(
                f"max_inventory must be less: holding {len(value) // 2} is worth less than "
                f"{_SMALLEST:g} of holding nothing"
            )
        if np.allclose(value, before, rtol=1e-14, atol=0):
            break
    return value


def _stationary_steps(alpha: float, eta: float, q: int) -> NDArray[np.float64]:
    """``log(f[j - 1] / f[j])`` for j = 1..q, f the eigenvector of the least eigenvalue.

    Row j of ``M f = lambda f`` gives the ratio at j from that at j + 1; from the edge inwards the
    ratios grow less and errors with them.
    """
    diagonal = alpha * np.arange(-q, q + 1.0) ** 2
    least = eigvalsh_tridiagonal(
        diagonal, np.full(2 * q, -eta), select="i", select_range=(0, 0)
    ).item()
    ratios, inverse = np.empty(q), 0.0
    for j in range(q, 0, -1):
        ratios[j - 1] = (alpha * j**2 - least) / eta - inverse
        inverse = 1 / ratios[j - 1]
    return np.log(ratios)


def _log_ratios(
    alpha: float, eta: float, q: int, time_left: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``log(v[j] / v[j + 1])`` for j = -q..q-1, a row for each time left."""
    result = np.empty((len(time_left), 2 * q))
    diagonal = alpha * np.arange(-q, q + 1.0) ** 2
    value, now = np.ones(2 * q + 1), 0.0
    for row in np.argsort(time_left, kind="stable"):
        if math.isinf(time_left[row]):
            steps = _stationary_steps(alpha, eta, q)
            result[row] = np.concatenate((-steps[::-1], steps))
            continue
        value = _evolve(value, diagonal, eta, time_left[row] - now)
        now = time_left[row]
        result[row] = -np.diff(np.log(value))
    return result


def glft_quotes(
    max_inventory: int,
    *,
    gamma: float,
    sigma: float,
    A: float,
    k: float,
    time_left: ArrayLike = math.inf,
) -> GLFTQuotes:
    r"""Optimal quotes of Gueant, Lehalle and Fernandez-Tapia under a limit on the inventory.

    The model of Avellaneda and Stoikov, solved exactly ("Dealing with the inventory risk",
    Mathematics and Financial Economics 7 (2013) 477-507). With ``alpha = k gamma sigma**2 / 2`` and
    ``eta = A (1 + gamma / k)**-(1 + k / gamma)``, the value of holding q at t is
    ``-exp(-gamma (cash + q mid)) v_q(t)**(-gamma / k)``, where::

        v_q' = alpha q**2 v_q - eta (v_{q-1} + v_{q+1}),   v_q(T) = 1,   |q| <= max_inventory,

    and the quotes are::

        bid offset = log(v_q / v_{q+1}) / k + log(1 + gamma / k) / gamma
        ask offset = log(v_q / v_{q-1}) / k + log(1 + gamma / k) / gamma.

    Far from T, v is the eigenvector of the least eigenvalue. An offset may be negative.

    Parameters
    ----------
    max_inventory : int
        Q, from 1 to 100 000: no bid at Q, no ask at -Q.
    gamma : float
        Risk aversion, 1 / (price unit), zero or more; at 0 (its limit, eta = A / e) only the limit
        on the inventory makes the quotes lean.
    sigma : float
        Price units per square root of time, positive.
    A, k : float
        A quote at distance delta is filled at rate ``A exp(-k delta)``; positive.
    time_left : array_like, shape () or (n,)
        ``T - t``, zero or more; infinity, the default, is the limit far from T.

    Returns
    -------
    GLFTQuotes
        Offsets of shape (2 Q + 1,), or (n, 2 Q + 1) for n times.

    Raises
    ------
    ValueError
        A parameter is out of range, or the limit is so far out that float64 holds no value of
        holding it at a finite `time_left`.

    Examples
    --------
    >>> quotes = glft_quotes(30, gamma=0.01, sigma=0.3, A=0.9, k=0.3, time_left=600.0)
    >>> quotes.inventory[[25, 30, 35]]
    array([-5,  0,  5])
    >>> quotes.bid_offset[[25, 30, 35]].round(3)
    array([2.973, 3.313, 3.653])
    """
    q = check.count("max_inventory", max_inventory, 1)
    if q > _MOST:
        raise ValueError(f"max_inventory must be at most {_MOST}, got {q}")
    gamma, sigma = not_negative("gamma", gamma), validate.positive("sigma", sigma)
    A, k = validate.positive("A", A), validate.positive("k", k)
    times = validate.numbers("time_left", time_left)
    if times.ndim > 1:
        raise ValueError(f"time_left must have at most one axis, got shape {times.shape}")
    if not (times >= 0).all():
        raise ValueError(f"time_left must not be negative, got {times[~(times >= 0)].flat[0]}")
    alpha, eta = _rates(gamma, sigma, A, k)
    finite = times[np.isfinite(times)]
    fastest = alpha * q**2 + 2 * eta
    if not math.isfinite(fastest * max(finite.max(initial=0.0), 1.0) + fastest / eta):
        raise ValueError(
            "max_inventory, gamma, sigma, A and time_left must keep the rates of the linear system "
            "in the range of float64"
        )
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        steps = _log_ratios(alpha, eta, q, times.reshape(-1)) / k
    if not np.isfinite(steps).all():
        raise ValueError("gamma, sigma, A and k must keep the quotes in the range of float64")
    offsets = np.full((2, len(steps), 2 * q + 1), np.nan)
    offsets[0, :, :-1] = risk_premium(gamma, k) + steps
    offsets[1, :, 1:] = risk_premium(gamma, k) - steps
    bid, ask = offsets.reshape(2, *times.shape, 2 * q + 1)
    return GLFTQuotes(np.arange(-q, q + 1), bid, ask)


def glft_closed_form(
    inventory: ArrayLike, *, gamma: float, sigma: float, A: float, k: float
) -> GLFTQuotes:
    """The closed form that the same paper gives far from T and from any limit::

        bid offset = log(1 + gamma / k) / gamma + (2 q + 1) / 2 * c
        ask offset = log(1 + gamma / k) / gamma - (2 q - 1) / 2 * c
        c = sqrt(sigma**2 gamma / (2 k A) * (1 + gamma / k)**(1 + k / gamma))

    It is that of a Gaussian in the place of the eigenvector.

    Parameters
    ----------
    inventory : array_like
        q, whole units.
    gamma, sigma, A, k : float
        As for `glft_quotes`.

    Returns
    -------
    GLFTQuotes
        Offsets of the shape of `inventory`, both sides quoted everywhere.

    Raises
    ------
    TypeError, ValueError
        A parameter is out of range, or an inventory is no whole number.

    Examples
    --------
    >>> glft_closed_form([-5, 0, 5], gamma=0.01, sigma=0.3, A=0.9, k=0.3).bid_offset.round(3)
    array([2.974, 3.313, 3.652])
    """
    inventory = np.asarray(inventory)
    if inventory.dtype.kind not in "iu":
        raise TypeError(f"inventory must hold whole numbers, got {inventory.dtype}")
    gamma, sigma = not_negative("gamma", gamma), validate.positive("sigma", sigma)
    A, k = validate.positive("A", A), validate.positive("k", k)
    alpha, eta = _rates(gamma, sigma, A, k)
    q, slope = inventory.astype(np.int64), math.sqrt(alpha / eta) / k
    level = risk_premium(gamma, k)
    return GLFTQuotes(q, level + (2 * q + 1) / 2 * slope, level - (2 * q - 1) / 2 * slope)
