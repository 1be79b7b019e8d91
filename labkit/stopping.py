r"""Optimal stopping: when to take a reward, with bounds on what the best answer is worth.

``sup E[reward at tau]`` over all rules tau that use only what is known when they stop. Any rule,
applied to paths it was not made on, bounds it from below; the mean of the largest
``reward - martingale`` bounds it from above for any martingale that starts at 0 (Rogers,
Mathematical Finance 12 (2002) 271-286; Haugh & Kogan, Operations Research 52 (2004) 258-270). Both
bounds come with standard errors, and the distance between them says what is left to find.

- rules by regression: `longstaff_schwartz` on the present state, `signature_stopping` on the whole
  path, whose bounds are a `StoppingBounds` and whose rule is a `SignaturePolicy`;
- processes: `fractional_brownian_motion`, `fractional_covariance`, `fractional_innovations`;
- references: `binomial_tree`, `black_scholes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, special

from labkit import _validate as validate
from labkit import signatures
from labkit._backend import kernels
from labkit.reference import _checks as check
from labkit.reference.stopping import noise_covariance

__all__ = [
    "LongstaffSchwartz",
    "SignaturePolicy",
    "StoppingBounds",
    "binomial_tree",
    "black_scholes",
    "fractional_brownian_motion",
    "fractional_covariance",
    "fractional_innovations",
    "hermite_innovations",
    "longstaff_schwartz",
    "signature_policy",
    "signature_stopping",
]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


def _mean(values: Array, antithetic: bool = False) -> tuple[float, float]:
    """Mean and its standard error; antithetic values are independent pair by pair only."""
    independent = values
    if antithetic:
        half = len(values) // 2
        independent = (values[:half] + values[half:]) / 2
    if len(independent) < 2:
        return float(values.mean()), math.nan
    error = independent.std(ddof=1) / math.sqrt(len(independent))
    return float(values.mean()), float(error)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")
    return bool(value)


# Fractional Brownian motion


def fractional_brownian_motion(
    n_paths: int, n_steps: int, hurst: float, seed: int, *, method: str = "davies_harte"
) -> Array:
    """Paths of fractional Brownian motion on [0, 1], of the exact law on the grid.

    Parameters
    ----------
    n_paths, n_steps : int
        At least 1, and at most 2**30 values in all.
    hurst : float
        Index H: above 0, at most 0.999999, or 1. 0.5 is Brownian motion; below, increments are
        negatively correlated and paths rougher; 1 is a straight line of random slope.
    seed : int
        From 0 to 2**64 - 1. Path p is the same whatever the number of paths.
    method : str
        ``"davies_harte"``: circulant embedding by the fast Fourier transform (Davies & Harte,
        Biometrika 74 (1987) 95-101); ``"cholesky"``: a factor of the covariance, for 4096 steps
        at most. They give different paths of one law.

    Returns
    -------
    ndarray, shape (n_paths, n_steps + 1)
        Values at the times 0, 1 / n_steps, ..., 1; the first is 0.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    Examples
    --------
    >>> fractional_brownian_motion(2, 3, 0.3, 7).shape
    (2, 4)
    """
    return kernels.fractional_brownian_motion(n_paths, n_steps, hurst, seed, method)


def _hurst(value: Any) -> float:
    index = check.number("hurst", value)
    if not 0 < index <= 1:
        raise ValueError(f"hurst must be in (0, 1], got {value}")
    return index


def fractional_covariance(n_steps: int, hurst: float) -> Array:
    """Covariance of fractional Brownian motion at the times 1 / n_steps, ..., 1.

    ``(t**2H + s**2H - |t - s|**2H) / 2`` (Mandelbrot & Van Ness 1968).

    Parameters
    ----------
    n_steps : int
    hurst : float
        In (0, 1].

    Returns
    -------
    ndarray, shape (n_steps, n_steps)

    Examples
    --------
    >>> fractional_covariance(2, 0.5).tolist()
    [[0.5, 0.5], [0.5, 1.0]]
    """
    n, index = check.count("n_steps", n_steps, 1), _hurst(hurst)
    times = np.arange(1, n + 1) / n
    power = times ** (2 * index)
    return (power[:, None] + power - abs(times[:, None] - times) ** (2 * index)) / 2


def fractional_innovations(paths: ArrayLike, hurst: float, *, degree: int = 1) -> Array:
    """What each step of fractional Brownian motion adds to what its past foretold.

    The error of the best forecast from all earlier values, over its standard deviation: the
    independent standard normal numbers that a Cholesky factor turns into the path. Their Hermite
    polynomials, of mean 0 given the past, are the `innovations` of `signature_stopping`.

    Parameters
    ----------
    paths : array_like, shape (b, n + 1)
        Values at equally spaced times from 0 to 1, as `fractional_brownian_motion` gives them.
    hurst : float
        Above 0, at most 0.999999, or 1. Of hurst 1 only the first step is random; the others are 0.
    degree : int
        Highest degree of the polynomials, from 1 to 20.

    Returns
    -------
    ndarray, shape (b, n, degree)
        At [:, j, m - 1] polynomial m, of variance 1, of the step from point j to j + 1.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range.

    Examples
    --------
    >>> fractional_innovations([[0.0, 1.0, 3.0]], 0.5)[0, :, 0].round(6).tolist()
    [1.414214, 2.828427]
    """
    points = validate.array("paths", paths, (None, None))
    index, most = _hurst(hurst), _degree(degree)
    if 0.999999 < index < 1:
        raise ValueError(f"hurst must be at most 0.999999, or 1, got {hurst}")
    n = points.shape[1] - 1
    if n < 1:
        raise ValueError(f"paths must have at least two points, got {points.shape[1]}")
    if index == 1:
        found = np.zeros((len(points), n, most))
        found[:, :1] = hermite_innovations(n * points[:, 1:2], degree=most)
        return found
    lags = np.arange(n)
    factor = np.linalg.cholesky(noise_covariance(n, index)[abs(lags[:, None] - lags)])
    noise = np.diff(points, axis=1) * float(n) ** index
    normal = linalg.solve_triangular(factor, noise.T, lower=True).T
    return hermite_innovations(normal, degree=most)


def _degree(value: Any) -> int:
    most = check.count("degree", value, 1)
    if most > 20:
        raise ValueError(f"degree must be at most 20, got {most}")
    return most


def hermite_innovations(normal: ArrayLike, *, degree: int = 1) -> Array:
    """Hermite polynomials of standard normal numbers, each of mean 0 and variance 1.

    Parameters
    ----------
    normal : array_like, shape (b, n)
        Independent of all before them on their path.
    degree : int
        From 1 to 20.

    Returns
    -------
    ndarray, shape (b, n, degree)
        ``He_m / sqrt(m!)`` at [..., m - 1].

    Examples
    --------
    >>> hermite_innovations([[2.0]], degree=2).round(6).tolist()
    [[[2.0, 2.12132]]]
    """
    values = validate.array("normal", normal, (None, None))
    most = _degree(degree)
    orders = np.arange(1, most + 1)
    return special.eval_hermitenorm(orders, values[..., None]) / np.sqrt(special.factorial(orders))


# Regression on the present state


@dataclass(frozen=True)
class LongstaffSchwartz:
    """A rule by regression on the present state, and what it is worth.

    Attributes
    ----------
    value, standard_error : float
        Mean reward on the paths that the rule was made on, which is biased in its favour.
    stops : ndarray, shape (b,), int64
        Date at which each of them stops.
    coefficients : ndarray, shape (n, k)
        Of the regressors at each date, for the value of going on.
    fresh_value, fresh_standard_error : float
        Mean reward on paths the rule has not seen: a lower bound. NaN where none were given.
    fresh_stops : ndarray or None
    """

    value: float
    standard_error: float
    stops: Integers
    coefficients: Array
    fresh_value: float
    fresh_standard_error: float
    fresh_stops: Integers | None


Basis = str | Callable[[Array], Array]
_BASES: dict[str, Callable[[int, Array], Array]] = {
    "laguerre": lambda k, x: np.exp(-x / 2) * special.eval_laguerre(k, x),
    "power": lambda k, x: x**k,
    "hermite": lambda k, x: special.eval_hermitenorm(k, x),
    "chebyshev": lambda k, x: special.eval_chebyt(k, x),
}


def _state_features(states: Array, basis: Basis, degree: int, scale: float) -> Array:
    """Regressors (n, b, k) of the states (b, n)."""
    x = np.ascontiguousarray(states.T) / scale
    if callable(basis):
        features = np.asarray(basis(x), dtype=np.float64)
        if features.ndim != 3 or features.shape[:2] != x.shape:
            raise ValueError(
                f"basis must turn an array of shape {x.shape} into one of shape "
                f"({x.shape[0]}, {x.shape[1]}, k), got {features.shape}"
            )
        if not np.isfinite(features).all():
            raise ValueError("basis must give finite numbers")
        return np.ascontiguousarray(features)
    term = _BASES[basis]
    # Laguerre's weight makes its first function no constant, so that one stands beside it.
    orders = range(degree) if basis == "laguerre" else range(1, degree + 1)
    return np.stack([np.ones_like(x), *(term(k, x) for k in orders)], axis=-1)


def _states(prefix: str, paths: ArrayLike, rewards: ArrayLike) -> tuple[Array, Array]:
    states = validate.array(f"{prefix}paths", paths, (None, None))
    if 0 in states.shape:
        raise ValueError(f"{prefix}paths must not be empty, got the shape {states.shape}")
    return states, validate.array(f"{prefix}rewards", rewards, states.shape)


def longstaff_schwartz(
    paths: ArrayLike,
    rewards: ArrayLike,
    *,
    basis: Basis = "laguerre",
    degree: int = 3,
    scale: float | None = None,
    in_the_money: bool = True,
    antithetic: bool = False,
    fresh: tuple[ArrayLike, ArrayLike] | None = None,
) -> LongstaffSchwartz:
    """Optimal stopping by regression on the present state (Longstaff & Schwartz 2001).

    From the last date back, what a path earns later is regressed on functions of its state, over
    the paths that are in the money; it stops where its reward is not below the fitted value.

    Parameters
    ----------
    paths : array_like, shape (b, n)
        State at each of n dates.
    rewards : array_like, shape (b, n)
        For stopping at each date, discounted to one time. At the last date it is paid whatever it
        is.
    basis : str or callable
        ``"laguerre"``: a constant and `degree` Laguerre polynomials times ``exp(-x / 2)``, as in
        the paper; ``"power"``, ``"hermite"``, ``"chebyshev"``: polynomials up to `degree`; or a
        function that turns states (n, b), divided by `scale`, into regressors (n, b, k).
    degree : int
        At least 1.
    scale : float, optional
        Positive; states are divided by it. The strike is a good one for an option; by default it is
        the mean size of the states of `paths`, or 1 for a function.
    in_the_money : bool
        Whether paths with no positive reward at a date neither stop there nor enter its regression.
    antithetic : bool
        Whether path ``b / 2 + i`` is the antithetic of path i, so that errors are of pairs; in
        `fresh` too.
    fresh : (paths, rewards), optional
        Independent ones on which the rule is valued, of any number.

    Returns
    -------
    LongstaffSchwartz

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range, or a number is not finite.

    Examples
    --------
    >>> up, down = [1.0, 1.2, 1.44], [1.0, 0.8, 0.64]
    >>> put = [[max(1.0 - x, 0.0) for x in path] for path in (up, down)]
    >>> longstaff_schwartz([up, down], put, basis="power", degree=1).value
    0.18
    """
    if not callable(basis) and not (isinstance(basis, str) and basis in _BASES):
        raise ValueError(f"basis must be one of {sorted(_BASES)} or a function, got {basis!r}")
    most = check.count("degree", degree, 1)
    only, pairs = _flag("in_the_money", in_the_money), _flag("antithetic", antithetic)
    states, gains = _states("", paths, rewards)
    unit = 1.0 if callable(basis) else float(abs(states).mean()) or 1.0
    if scale is not None:
        unit = validate.positive("scale", scale)
    if pairs and len(states) % 2:
        raise ValueError(f"paths must be even in number where antithetic, got {len(states)}")
    features = _state_features(states, basis, most, unit)
    coefficients, stops = kernels.backward_regression(features, np.ascontiguousarray(gains.T), only)
    value, error = _mean(gains[np.arange(len(gains)), stops], pairs)
    fresh_value, fresh_error, fresh_stops = math.nan, math.nan, None
    if fresh is not None:
        if not isinstance(fresh, tuple | list) or len(fresh) != 2:
            raise TypeError("fresh must be a pair of paths and rewards")
        states, gains = _states("fresh_", *fresh)
        if states.shape[1] != len(coefficients):
            raise ValueError(f"fresh must have {len(coefficients)} dates, got {states.shape[1]}")
        if pairs and len(states) % 2:
            raise ValueError(f"fresh must be even in number where antithetic, got {len(states)}")
        features = _state_features(states, basis, most, unit)
        fresh_stops = kernels.apply_policy(
            features, np.ascontiguousarray(gains.T), coefficients, only
        )
        fresh_value, fresh_error = _mean(gains[np.arange(len(gains)), fresh_stops], pairs)
    return LongstaffSchwartz(
        value, error, stops, coefficients, fresh_value, fresh_error, fresh_stops
    )


# Regression on the signature of the path


@dataclass(frozen=True)
class StoppingBounds:
    """Bounds on the value of stopping optimally.

    Attributes
    ----------
    lower, lower_error : float
        Mean of ``reward - martingale`` where the rule stops fresh paths, and its standard error.
        The martingale has mean 0 there and only takes away noise; without one it is 0.
    upper, upper_error : float
        Mean of the largest ``reward - martingale`` of fresh paths; NaN without a martingale.
    plain, plain_error : float
        Mean reward where the rule stops fresh paths, without the martingale.
    in_sample : float
        The lower bound's formula on the paths the rule was made on: what optimism adds.
    stops : ndarray, shape (b,), int64
        Date, counted from 0 in `dates`, at which each fresh path stops.
    policy : SignaturePolicy
    """

    lower: float
    lower_error: float
    upper: float
    upper_error: float
    plain: float
    plain_error: float
    in_sample: float
    stops: Integers
    policy: SignaturePolicy

    @property
    def gap(self) -> float:
        """Distance of the bounds."""
        return self.upper - self.lower


@dataclass(frozen=True)
class SignaturePolicy:
    """A rule that stops where a linear functional of the signature says so.

    Attributes
    ----------
    depth, dual_depth : int
        Of the signatures in the value of going on, and in the martingale.
    times : ndarray, shape (n + 1,)
        Of the points of a path.
    dates : ndarray, shape (m,), int64
        Points at which one may stop.
    observed : bool
        Whether a reward is known at its date.
    continuation : ndarray, shape (n, k)
        Coefficients of the value of going on (of that value less the reward where this is not
        observed) at each point: of the signature in the order of `labkit.signatures.words`, then of
        the reward where it is observed. 0 at points that are no date.
    integrand : ndarray, shape (n, q, l)
        Coefficients of the martingale's step from each point to the next: what innovation q is
        multiplied with is linear in the signature up to `dual_depth`, and the observed reward.
    in_sample : float
        See `StoppingBounds`.
    """

    depth: int
    dual_depth: int
    times: Array
    dates: Integers
    observed: bool
    continuation: Array
    integrand: Array
    in_sample: float

    def stops(self, paths: ArrayLike, rewards: ArrayLike) -> Integers:
        """First date, counted from 0 in `dates`, at which the rule stops each path.

        Parameters
        ----------
        paths : array_like, shape (b, n + 1) or (b, n + 1, d)
        rewards : array_like, shape (b, m)
            Not looked at where they are not observed.

        Returns
        -------
        ndarray, shape (b,), int64
        """
        return self._walk(*self._given(paths, rewards), None)[0]

    def martingale(self, paths: ArrayLike, rewards: ArrayLike, innovations: ArrayLike) -> Array:
        """The martingale at each date: 0 in the mean wherever any rule stops.

        Taken away from the rewards of another rule on the same paths, it takes their noise away.

        Parameters
        ----------
        paths, rewards
            As in `stops`.
        innovations : array_like, shape (b, n, q)
            As in `signature_stopping`.

        Returns
        -------
        ndarray, shape (b, m)
        """
        points, gains = self._given(paths, rewards)
        return self._walk(points, gains, self._noise(points, innovations))[1]

    def bounds(
        self, paths: ArrayLike, rewards: ArrayLike, innovations: ArrayLike | None = None
    ) -> StoppingBounds:
        """Lower and upper bound from paths that the rule was not made on.

        Parameters
        ----------
        paths, rewards
            As in `stops`.
        innovations : array_like, shape (b, n, q), optional
            As in `signature_stopping`.

        Returns
        -------
        StoppingBounds
        """
        return self._bounds(paths, rewards, innovations, "")

    def _bounds(
        self, paths: ArrayLike, rewards: ArrayLike, innovations: ArrayLike | None, prefix: str
    ) -> StoppingBounds:
        points, gains = self._given(paths, rewards, prefix)
        noise = None if innovations is None else self._noise(points, innovations, prefix)
        stops, martingale = self._walk(points, gains, noise)
        rows = np.arange(len(gains))
        taken = gains[rows, stops]
        upper = (math.nan, math.nan)
        if noise is not None:
            upper = _mean((gains - martingale).max(axis=1))
        return StoppingBounds(
            *_mean(taken - martingale[rows, stops]),
            *upper,
            *_mean(taken),
            self.in_sample,
            stops,
            self,
        )

    def _given(self, paths: ArrayLike, rewards: ArrayLike, prefix: str = "") -> tuple[Array, Array]:
        shape = np.shape(paths)
        dim = shape[2] if len(shape) == 3 else 1
        size = self.continuation.shape[1] - self.observed
        if (
            len(shape) not in (2, 3)
            or shape[1] != len(self.times)
            or signatures.size(dim + 1, self.depth) != size
        ):
            raise ValueError(
                f"{prefix}paths must have {len(self.times)} points in the dimensions of the "
                f"policy, got the shape {shape}"
            )
        points = _timed(paths, self.times, f"{prefix}paths")
        return points, validate.array(f"{prefix}rewards", rewards, (len(points), len(self.dates)))

    def _noise(self, points: Array, innovations: ArrayLike, prefix: str = "") -> Array:
        shape = (len(points), len(self.times) - 1, self.integrand.shape[1])
        return validate.array(f"{prefix}innovations", innovations, shape)

    def _walk(self, points: Array, gains: Array, noise: Array | None) -> tuple[Integers, Array]:
        """Stops, and the martingale at each date, going forward in time."""
        b, last = len(points), len(self.times) - 1
        stops = np.full(b, len(self.dates) - 1)
        running = np.ones(b, bool)
        total, martingale = np.zeros(b), np.zeros(gains.shape)
        place = {int(date): i for i, date in enumerate(self.dates)}
        for point, signature in enumerate(_forwards(points, self.depth)):
            date = place.get(point)
            reward = _reward(gains, date, self.observed)
            if date is not None:
                martingale[:, date] = total
            if point == last:
                break
            if date is not None:
                going_on = _beside(signature, reward) @ self.continuation[point]
                level = gains[:, date] if self.observed else 0.0
                stopping = running & (level >= going_on)
                stops[stopping] = date
                running &= ~stopping
            if noise is not None:
                dual = _beside(_cut(signature, points.shape[2], self.dual_depth), reward)
                factors = dual @ self.integrand[point].T
                total = total + (factors * noise[:, point]).sum(axis=1)
        return stops, martingale


def _reward(gains: Array, date: int | None, observed: bool) -> Array | None:
    """The reward as a regressor: nothing where it is not known, 0 where one cannot stop."""
    if not observed:
        return None
    return np.zeros(len(gains)) if date is None else gains[:, date]


def _timed(paths: ArrayLike, times: ArrayLike | None, name: str = "paths") -> Array:
    """Paths with time in front; one coordinate may be given without an axis."""
    points = validate.numbers(name, paths)
    if points.ndim == 2:
        points = points[..., None]
    if points.ndim != 3 or points.shape[1] < 2 or 0 in points.shape:
        raise ValueError(
            f"{name} must have shape (b, n + 1) or (b, n + 1, d) with at least two points, "
            f"got {np.shape(paths)}"
        )
    if not np.isfinite(points).all():
        raise ValueError(f"{name} must be finite")
    return signatures.with_time(points, times)


def _unit(points: Array, depth: int) -> Array:
    """Signatures of the first points alone."""
    signature = np.zeros((len(points), signatures.size(points.shape[2], depth)))
    signature[:, 0] = 1.0
    return signature


def _extended(signature: Array, points: Array, step: int, depth: int) -> Array:
    """Signatures up to point `step` from those up to the point before (Chen's identity)."""
    return kernels.signature_extend(signature, points[:, step] - points[:, step - 1], depth)


def _forwards(points: Array, depth: int) -> Iterator[Array]:
    """Signatures of the paths up to each point, one after the other."""
    signature = _unit(points, depth)
    yield signature
    for step in range(1, points.shape[1]):
        signature = _extended(signature, points, step, depth)
        yield signature


def _backwards(points: Array, depth: int) -> Iterator[Array]:
    """The same from the last point to the first, digit by digit.

    Some are kept on the way there and the others made again from them: the square root of the
    memory that all would take, and none of the rounding of running the path back.
    """
    n = points.shape[1]
    block = max(math.isqrt(n - 1), 1)
    starts = {step: s for step, s in enumerate(_forwards(points, depth)) if step % block == 0}
    for first in reversed(starts):
        some = [starts[first]]
        for step in range(first + 1, min(first + block, n)):
            some.append(_extended(some[-1], points, step, depth))
        yield from reversed(some)


def _cut(signature: Array, dim: int, depth: int) -> Array:
    return signature[:, : signatures.size(dim, depth)]


def _beside(signature: Array, reward: Array | None) -> Array:
    return signature if reward is None else np.column_stack([signature, reward])


def _dates(dates: ArrayLike | None, n: int) -> Integers:
    if dates is None:
        return np.arange(n + 1)
    values = np.asarray(dates)
    if values.ndim != 1 or values.dtype.kind not in "iu" or not len(values):
        raise ValueError(f"dates must be a list of integers, got {dates!r}")
    values = values.astype(np.int64)  # of unsigned ones a difference is never negative
    if (np.diff(values) <= 0).any() or values[0] < 0 or values[-1] != n:
        raise ValueError(f"dates must increase from at least 0 to {n}, got {dates!r}")
    return values


def signature_policy(
    paths: ArrayLike,
    rewards: ArrayLike,
    *,
    depth: int = 4,
    innovations: ArrayLike | None = None,
    dual_depth: int | None = None,
    times: ArrayLike | None = None,
    dates: ArrayLike | None = None,
    observed: bool = True,
) -> SignaturePolicy:
    """The rule and the martingale of `signature_stopping`, without valuing them.

    Parameters, errors
        As in `signature_stopping`.
    """
    points = _timed(paths, times)
    b, n, d = points.shape[0], points.shape[1] - 1, points.shape[2]
    most = check.count("depth", depth, 1)
    dual = max(most - 1, 1) if dual_depth is None else check.count("dual_depth", dual_depth, 0)
    if dual > most:
        raise ValueError(f"dual_depth must be at most depth, got {dual} and {most}")
    allowed = _dates(dates, n)
    gains = validate.array("rewards", rewards, (b, len(allowed)))
    known = _flag("observed", observed)
    noise = np.zeros((b, n, 0))
    if innovations is not None:
        noise = validate.array("innovations", innovations, (b, n, None))
    place = {int(date): i for i, date in enumerate(allowed)}
    continuation = np.zeros((n, signatures.size(d, most) + known))
    integrand = np.zeros((n, noise.shape[2], signatures.size(d, dual) + known))
    cash = gains[:, -1].copy()
    known_signatures = _backwards(points, most)
    next(known_signatures)  # at the last point there is nothing to decide
    for point, signature in zip(range(n - 1, -1, -1), known_signatures, strict=True):
        date = place.get(point)
        reward = _reward(gains, date, known)
        now = _beside(signature, reward)
        later = _beside(_cut(signature, d, dual), reward)
        steps = (noise[:, point, :, None] * later[:, None]).reshape(b, -1)
        fitted = kernels.regression(np.hstack([now, steps]), cash[:, None])[:, 0]
        integrand[point] = fitted[now.shape[1] :].reshape(integrand.shape[1:])
        cash -= steps @ fitted[now.shape[1] :]
        if date is None:
            continue
        continuation[point] = fitted[: now.shape[1]]
        if not known:
            regressed = kernels.regression(now, gains[:, date, None])[:, 0]
            continuation[point] -= regressed
        level = gains[:, date] if known else 0.0
        cash = np.where(level >= now @ continuation[point], gains[:, date], cash)
    clock = points[0, :, 0].copy()
    return SignaturePolicy(
        most, dual, clock, allowed, known, continuation, integrand, float(cash.mean())
    )


def signature_stopping(
    paths: ArrayLike,
    rewards: ArrayLike,
    fresh_paths: ArrayLike,
    fresh_rewards: ArrayLike,
    *,
    depth: int = 4,
    innovations: ArrayLike | None = None,
    fresh_innovations: ArrayLike | None = None,
    dual_depth: int | None = None,
    times: ArrayLike | None = None,
    dates: ArrayLike | None = None,
    observed: bool = True,
) -> StoppingBounds:
    r"""Optimal stopping of a process that need not be Markov, with bounds from both sides.

    The value of going on is taken as linear in the signature of the time-augmented path so far,
    which comes near any continuous function of it, on compact sets of paths, once the depth is
    large (Bayer, Hager, Riedel & Schoenmakers, Annals of Applied Probability 33 (2023) 238-273, for
    stopping times; Bayer, Pelizzari & Schoenmakers, arXiv:2312.03444, for this regression and for
    the dual). From the last point back, one regression finds it together with the martingale's next
    step,

    .. math:: \text{cash}_{j+1} \approx \langle c_j, S_j \rangle
              + \sum_q \langle z_{j,q}, S_j \rangle\, \xi_{j+1,q},

    where the innovations :math:`\xi` have mean 0 given the past: the second part is a martingale
    increment, exactly so in discrete time, and is taken from the cash before the next regression,
    whose noise it was (Belomestny, Bender & Schoenmakers, Mathematical Finance 19 (2009) 53-71, fit
    martingales without nested simulation). Bounds are then taken from fresh paths only, so that
    both hold for any depth and any number of paths, up to their standard errors.

    Parameters
    ----------
    paths : array_like, shape (b, n + 1) or (b, n + 1, d)
        All that is known, at n + 1 points of time.
    rewards : array_like, shape (b, m)
        For stopping at each of the m `dates`, discounted to one time. The last one is paid
        whatever it is to paths that have not stopped.
    fresh_paths, fresh_rewards : array_like
        Independent of the others, of any number.
    depth : int
        Of the signatures, at least 1.
    innovations, fresh_innovations : array_like, shape (b, n, q), optional
        At [:, j] numbers that are known at point j + 1 and have mean 0 given all that is known at
        point j. Without them there is a lower bound only.
    dual_depth : int, optional
        Of the signatures in the martingale, from 0 to `depth`; by default one less than `depth`.
    times : array_like, shape (n + 1,), optional
        Of the points, strictly increasing; by default from 0 to 1 in equal steps.
    dates : array_like of int, shape (m,), optional
        Points at which one may stop, the last one among them; by default all.
    observed : bool
        Whether the reward of a date is known at that date, and so may be compared and regressed
        on. Otherwise the rule compares what the path foretells of it.

    Returns
    -------
    StoppingBounds

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range, or a number is not finite.

    Examples
    --------
    >>> train = fractional_brownian_motion(2000, 10, 0.5, 1)
    >>> fresh = fractional_brownian_motion(2000, 10, 0.5, 2)
    >>> bounds = signature_stopping(
    ...     train, train, fresh, fresh, depth=2,
    ...     innovations=fractional_innovations(train, 0.5),
    ...     fresh_innovations=fractional_innovations(fresh, 0.5),
    ... )
    >>> round(abs(bounds.lower), 9), round(bounds.upper, 9)
    (0.0, 0.0)
    """
    if (innovations is None) != (fresh_innovations is None):
        raise ValueError("fresh_innovations must be given with innovations, and only with them")
    policy = signature_policy(
        paths,
        rewards,
        depth=depth,
        innovations=innovations,
        dual_depth=dual_depth,
        times=times,
        dates=dates,
        observed=observed,
    )
    return policy._bounds(fresh_paths, fresh_rewards, fresh_innovations, "fresh_")


# References with one state


def _option(spot: Any, strike: Any, rate: Any, volatility: Any, maturity: Any) -> tuple[float, ...]:
    s, k, r, sigma, t = (
        validate.positive("spot", spot),
        validate.positive("strike", strike),
        validate.finite("rate", rate),
        validate.positive("volatility", volatility),
        validate.positive("maturity", maturity),
    )
    if not 1e-8 <= sigma * math.sqrt(t) <= 40:
        raise ValueError(
            f"volatility must be from 1e-8 to 40 over the whole maturity, got {volatility}"
        )
    if abs(r * t) > 100:
        raise ValueError(f"rate must be within 100 over the whole maturity, got {rate}")
    return s, k, r, sigma, t


def _sign(kind: Any) -> int:
    if kind not in ("put", "call"):
        raise ValueError(f"kind must be 'put' or 'call', got {kind!r}")
    return -1 if kind == "put" else 1


def black_scholes(
    spot: float, strike: float, rate: float, volatility: float, maturity: float, kind: str = "put"
) -> float:
    """Value of a European option on a stock without dividends (Black & Scholes 1973).

    Parameters
    ----------
    spot, strike : float
        Prices, positive.
    rate, volatility : float
        Per year, the rate continuously compounded.
    maturity : float
        Years.
    kind : str
        ``"put"`` or ``"call"``.

    Examples
    --------
    >>> round(black_scholes(36.0, 40.0, 0.06, 0.2, 1.0), 3)
    3.844
    """
    s, k, r, sigma, t = _option(spot, strike, rate, volatility, maturity)
    sign, width = _sign(kind), sigma * math.sqrt(t)
    high = (math.log(s / k) + (r + sigma**2 / 2) * t) / width
    value = sign * (
        s * special.ndtr(sign * high) - k * math.exp(-r * t) * special.ndtr(sign * (high - width))
    )
    return float(value)


def binomial_tree(
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    maturity: float,
    kind: str = "put",
    *,
    dates: int,
    steps: int = 2000,
) -> float:
    """Value of an option that may be exercised at equally spaced dates (Cox, Ross & Rubinstein).

    Journal of Financial Economics 7 (1979) 229-263. One date is the European option, as many dates
    as steps the American one but for exercise today.

    Parameters
    ----------
    spot, strike, rate, volatility, maturity, kind
        As in `black_scholes`.
    dates : int
        Exercise dates after today, the last one at maturity; a divisor of `steps`.
    steps : int
        Of the tree.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range; the tree is too coarse for its rate.

    Examples
    --------
    >>> round(binomial_tree(36.0, 40.0, 0.06, 0.2, 1.0, dates=50), 3)
    4.478
    """
    s, k, r, sigma, t = _option(spot, strike, rate, volatility, maturity)
    sign, n = _sign(kind), check.count("steps", steps, 1)
    many = check.count("dates", dates, 1)
    if n % many:
        raise ValueError(f"dates must divide the steps, {n}, got {many}")
    dt = t / n
    if sigma * math.sqrt(t * n) > 600:
        raise ValueError(f"steps must be fewer for this volatility, got {n}")
    up = math.exp(sigma * math.sqrt(dt))
    rise = (math.exp(r * dt) - 1 / up) / (up - 1 / up)
    if not 0 < rise < 1:
        raise ValueError(f"steps must be more for this rate and volatility, got {n}")
    discount = math.exp(-r * dt)
    prices = s * up ** np.arange(-n, n + 1.0)  # of all levels; every other one at a step
    payoff = np.maximum(sign * (prices - k), 0.0)
    value = payoff[::2]
    for step in range(n - 1, 0, -1):
        value = discount * ((1 - rise) * value[:-1] + rise * value[1:])
        if step % (n // many) == 0:
            value = np.maximum(value, payoff[n - step : n + step + 1 : 2])
    return float(discount * ((1 - rise) * value[0] + rise * value[1]))
