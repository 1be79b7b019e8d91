"""Optimal stopping by regression on the signature, with bounds. Part of `labkit.stopping`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labkit import _validate as validate
from labkit import signatures
from labkit._backend import kernels
from labkit._longstaff_schwartz import mean_and_error
from labkit.reference import _checks as check

__all__ = ["SignaturePolicy", "StoppingBounds", "signature_policy", "signature_stopping"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


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
            upper = mean_and_error((gains - martingale).max(axis=1))
        return StoppingBounds(
            *mean_and_error(taken - martingale[rows, stops]),
            *upper,
            *mean_and_error(taken),
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
    known = validate.flag("observed", observed)
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
    >>> from labkit.stopping import fractional_brownian_motion, fractional_innovations
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
