"""Hawkes processes: events, parameters, likelihood, intensity, simulation and what follows exactly.

The public names are those of `labkit.hawkes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from statsmodels.stats.diagnostic import acorr_ljungbox

from labkit import _validate as validate
from labkit._backend import kernels
from labkit.reference import _checks as check

Array = NDArray[np.float64]
Times = ArrayLike | Sequence[ArrayLike]

_EXACT = 2**53  # integers up to here are floats of their own

TIES = "distinct, jitter and fit_binned are the ways to deal with them"


# Events


class Events(NamedTuple):
    """Events of all types in one order of time, as the kernels take them."""

    times: Array
    types: NDArray[np.int64]
    marks: Array | None
    single: bool  # one series was given, not a sequence of them

    def of_type(self, kind: int, values: Array) -> Array:
        return values[self.types == kind]


def _several(times: Any) -> bool:
    """Whether there is a sequence of series, one for each type."""
    if isinstance(times, np.ndarray):
        return times.dtype == object or times.ndim > 1
    if isinstance(times, pd.Series | pd.Index):
        return False
    if isinstance(times, str) or not isinstance(times, Sequence):
        kind = type(times).__name__
        raise TypeError(f"times must be an array of numbers or a sequence of them, got {kind}")
    return len(times) > 0 and all(np.ndim(one) == 1 for one in times)


def _series(name: str, times: Any) -> Array:
    try:
        values = np.asarray(times)
    except ValueError:
        raise ValueError(f"{name} must have shape (n,), got rows of several lengths") from None
    if values.size == 0:
        return np.zeros(0)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold numbers, got {values.dtype}")
    if values.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {values.shape}")
    if values.dtype.kind in "iu" and np.abs(values).max() > _EXACT:
        raise ValueError(f"{name} must be below 2**53 where they are integers: subtract an origin")
    result = values.astype(np.float64)
    for row in np.flatnonzero(~np.isfinite(result)):
        raise ValueError(f"{name}[{row}] must be finite, got {result[row]}")
    return result


def _in_order(name: str, times: Array) -> None:
    for row in np.flatnonzero(np.diff(times) <= 0) + 1:
        if times[row] < times[row - 1]:
            raise ValueError(f"{name}[{row}] must not be before the time in front of it: sort them")
        raise ValueError(f"{name}[{row}] must not be tied with the time in front of it: {TIES}")


def events_of(times: Times, d: int | None, marks: Any = None) -> Events:
    """Checked events; `d` types must be there where it is given."""
    single = not _several(times)
    rows = [("times", times)] if single else [(f"times[{i}]", t) for i, t in enumerate(times)]
    if d is not None and len(rows) != d:
        raise ValueError(f"times must be {d} series, one for each type, got {len(rows)}")
    columns = [_series(name, values) for name, values in rows]
    for (name, _), values in zip(rows, columns, strict=True):
        _in_order(name, values)
        if len(values) and values[0] < 0:
            raise ValueError(f"{name} must not be negative, got {values[0]}")
    types = np.repeat(np.arange(len(columns)), [len(values) for values in columns])
    merged = np.concatenate(columns)
    order = np.argsort(merged, kind="stable")
    if not single:
        for row in np.flatnonzero(np.diff(merged[order]) <= 0):
            pair = sorted(int(k) for k in types[order[row : row + 2]])
            at = merged[order[row]]
            raise ValueError(f"times of the types {pair} must not be tied, as at {at}: {TIES}")
    weights = None
    if marks is not None:
        if np.isscalar(marks):
            raise TypeError(f"marks must have the shape of times, got {marks!r}")
        given = [marks] if single else list(marks)
        if len(given) != len(columns):
            raise ValueError(f"marks must be {len(columns)} series, as times, got {len(given)}")
        checked = []
        for i, (mark, values) in enumerate(zip(given, columns, strict=True)):
            name = "marks" if single else f"marks[{i}]"
            weight = validate.array(name, mark, (len(values),))
            if (weight < 0).any():
                raise ValueError(f"{name} must not be negative, got {weight.min()}")
            checked.append(weight)
        weights = np.concatenate(checked)[order]
    return Events(merged[order], types[order].astype(np.int64), weights, single)


def horizon_of(events: Events, horizon: Any) -> float:
    end = validate.positive("horizon", horizon)
    if len(events.times) and events.times[-1] > end:
        raise ValueError(f"horizon must not be before the last time, {events.times[-1]}, got {end}")
    return end


def distinct(times: ArrayLike) -> tuple[NDArray, NDArray[np.int64]]:
    """The distinct times of a series in order of time, and how many events each has.

    One answer to a clock that is coarser than the process: what happens within a tick of the clock
    counts as one event. Counts can be passed on as marks.

    Parameters
    ----------
    times : array_like, shape (n,)
        Not decreasing.

    Returns
    -------
    times : ndarray, shape (k,)
        Integers where integers were given, such as nanoseconds.
    counts : ndarray of int64, shape (k,)

    Raises
    ------
    TypeError, ValueError
        `times` are no finite numbers or out of order.

    Examples
    --------
    >>> distinct([0.5, 1.0, 1.0, 2.0])[1].tolist()
    [1, 2, 1]
    """
    values = np.asarray(times)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        values = _series("times", times)
    for row in np.flatnonzero(values[1:] < values[:-1]) + 1:
        raise ValueError(f"times[{row}] must not be before the time in front of it: sort them")
    return np.unique(values, return_counts=True)


def jitter(times: Times, resolution: float, seed: int) -> Any:
    """Times spread at random over the tick of the clock in which they were stamped, and sorted.

    Another answer to a coarse clock. It invents an order and distances within a tick, so that
    nothing faster than `resolution` can be learned from the result: repeat it with other seeds.

    Parameters
    ----------
    times : array_like, shape (n,), or a sequence of them, one for each type
        Stamps, taken to be rounded down. Count them from an origin near the first: floats of the
        size of seconds since 1970 are 2e-7 apart, and tie again.
    resolution : float
        Length of a tick of the clock.
    seed : int

    Returns
    -------
    ndarray, shape (n,), or a list of them

    Raises
    ------
    TypeError, ValueError
        An argument is no finite number, or `resolution` is not positive.

    Examples
    --------
    >>> bool(np.all(np.diff(jitter([1.0, 1.0, 1.0], 0.5, seed=1)) > 0))
    True
    """
    length = validate.positive("resolution", resolution)
    random = np.random.default_rng(check.count("seed", seed, 0))
    if not _several(times):
        values = _series("times", times)
        return np.sort(values + length * random.random(len(values)))
    return [jitter(one, length, int(random.integers(2**32))) for one in times]


# Parameters


class Parameters(NamedTuple):
    """Parameters as the kernels take them, and how they were given."""

    baseline: Array
    adjacency: Array  # (m, d, d)
    decay: Array  # (m,)
    layout: str  # "one": one decay, "sum": several, "pairs": one for each pair
    scalar: bool  # one type, given as plain numbers

    @property
    def d(self) -> int:
        return len(self.baseline)

    def given(self, baseline: Array, adjacency: Array, decay: Array) -> tuple[Any, Any, Any]:
        """Kernel arrays, of these parameters or of derivatives by them, as these were given."""
        d = self.d
        if self.layout == "pairs":
            i, j = np.divmod(np.arange(d * d), d)
            adjacency = adjacency[np.arange(d * d), i, j].reshape(d, d)
            decay = decay.reshape(d, d)
        elif self.layout == "one":
            adjacency, decay = adjacency[0], float(decay[0])
        if not self.scalar:
            return baseline, adjacency, decay
        if self.layout == "sum":
            return float(baseline[0]), adjacency[:, 0, 0], decay
        return float(baseline[0]), float(adjacency[0, 0]), decay


def pairs_layout(adjacency: Array) -> Array:
    """A matrix spread over as many decays as it has entries."""
    d = len(adjacency)
    spread = np.zeros((d * d, d, d))
    i, j = np.divmod(np.arange(d * d), d)
    spread[np.arange(d * d), i, j] = adjacency.ravel()
    return spread


def parameters_of(baseline: Any, adjacency: Any, decay: Any) -> Parameters:
    """Checked parameters in any of the forms in which they may be given."""
    mu = np.atleast_1d(validate.numbers("baseline", baseline))
    if mu.ndim != 1 or not len(mu):
        raise ValueError(f"baseline must have shape () or (d,), got {np.shape(baseline)}")
    d, scalar = len(mu), np.ndim(baseline) == 0
    alpha, beta = validate.numbers("adjacency", adjacency), validate.numbers("decay", decay)
    if beta.ndim == 2:
        layout, wanted = "pairs", (d, d)
        if beta.shape != (d, d):
            raise ValueError(f"decay must have shape ({d}, {d}) for each pair, got {beta.shape}")
    elif beta.ndim < 2:
        layout = "sum" if beta.ndim else "one"
        wanted = (*beta.shape, *(() if scalar else (d, d)))
    else:
        raise ValueError(f"decay must have shape (), (m,) or (d, d), got {beta.shape}")
    if layout == "pairs" and scalar:
        raise ValueError(f"decay must have shape () or (m,) for one type, got {beta.shape}")
    if alpha.shape != wanted:
        raise ValueError(f"adjacency must have shape {wanted}, got {alpha.shape}")
    for name, values, least in (("baseline", mu, 0), ("adjacency", alpha, 0), ("decay", beta, 1)):
        bad = ~np.isfinite(values) | ((values <= 0) if least else (values < 0))
        if bad.any():
            word = "positive" if least else "not negative"
            raise ValueError(f"{name} must be finite and {word}, got {values[bad].flat[0]}")
    if layout == "pairs":
        return Parameters(mu, pairs_layout(alpha), beta.ravel().copy(), layout, scalar)
    terms = np.atleast_1d(beta)
    spread = np.ascontiguousarray(alpha.reshape(len(terms), d, d))
    return Parameters(mu, spread, terms.copy(), layout, scalar)


def branching_ratio(adjacency: ArrayLike) -> float:
    """Spectral radius of the branching matrix: children per event, directly, in the long run.

    Below 1 the process has a stationary regime; the share of events that are children is then the
    ratio itself, for one type.

    Parameters
    ----------
    adjacency : array_like, shape (), (m,), (d, d) or (m, d, d)
        An array of one or three axes is summed over the first.

    Raises
    ------
    TypeError, ValueError
        It holds no finite numbers, or has another shape.

    Examples
    --------
    >>> round(branching_ratio([[0.2, 0.3], [0.3, 0.2]]), 12)
    0.5
    """
    alpha = validate.numbers("adjacency", adjacency)
    if not (alpha.size and np.isfinite(alpha).all() and (alpha >= 0).all()):
        raise ValueError("adjacency must be finite and not negative, with at least one value")
    if alpha.ndim in (1, 3):
        alpha = alpha.sum(axis=0)
    if alpha.ndim == 0:
        return float(alpha)
    if alpha.ndim != 2 or alpha.shape[0] != alpha.shape[1]:
        raise ValueError(f"adjacency must be square, got the shape {alpha.shape}")
    return float(np.abs(np.linalg.eigvals(alpha)).max())


class PowerLaw(NamedTuple):
    """A power-law kernel as a sum of exponentials."""

    adjacency: Array
    decay: Array


def power_law(branching: ArrayLike, exponent: float, scale: float, *, terms: int = 40) -> PowerLaw:
    r"""The kernel ``n e c**e / (t + c)**(1 + e)`` as a sum of exponentials.

    It is a Gamma mixture of exponential kernels, ``integral of b exp(-b t) p(b) db`` with p the
    density of the Gamma law of shape e and rate c. The trapezoidal rule in ``log b`` converges
    faster than any power of its step: with 40 terms and e = 0.2 to 1.5 the sum is within 1e-4 of
    the kernel at every lag up to t = 1e4 c, with 60 within 1e-5.

    Parameters
    ----------
    branching : array_like, shape () or (d, d)
        Integral n of the kernel.
    exponent : float
        e, positive: the tail of the kernel falls like ``t**-(1 + e)``.
    scale : float
        c, the lag from which it falls like a power.
    terms : int
        At least 10; below some 20 the kernel is not smooth.

    Returns
    -------
    PowerLaw
        `adjacency` (terms,) or (terms, d, d), which sums to `branching`, and `decay` (terms,).

    Raises
    ------
    TypeError, ValueError
        An argument is out of range.

    Examples
    --------
    >>> kernel = power_law(0.5, 0.8, 0.1)
    >>> value = (kernel.adjacency * kernel.decay * np.exp(-kernel.decay * 3.0)).sum()
    >>> bool(abs(value / (0.5 * 0.8 * 0.1**0.8 / 3.1**1.8) - 1) < 1e-4)
    True
    """
    n = validate.numbers("branching", branching)
    share, rate = power_law_terms(
        validate.positive("exponent", exponent), check.count("terms", terms, 10)
    )
    c = validate.positive("scale", scale)
    return PowerLaw(share.reshape(-1, *(1,) * n.ndim) * n, rate / c)


def _power_law_shares(exponent: float, terms: int) -> tuple[Array, Array]:
    """Shares by the trapezoidal rule as they come, and the decays at scale 1."""
    # Below 1e-9 a rate matters to lags above 1e5 scales only, above 45 to none.
    nodes = np.linspace(np.log(1e-9), np.log(45.0), terms)
    rate = np.exp(nodes)
    step = nodes[1] - nodes[0]
    return step * np.exp(exponent * nodes - rate - special.gammaln(exponent)), rate


def power_law_terms(exponent: float, terms: int) -> tuple[Array, Array]:
    """Shares of the exponentials, which sum to 1, and their decays at scale 1."""
    raw, rate = _power_law_shares(exponent, terms)
    share = raw / max(raw.sum(), 1.0)
    share[0] += max(1 - share.sum(), 0.0)  # what is slower still
    return share, rate


def power_law_slope(exponent: float, terms: int) -> Array:
    """Derivatives of the shares by the exponent."""
    raw, rate = _power_law_shares(exponent, terms)
    slope = raw * (np.log(rate) - special.digamma(exponent))
    total = raw.sum()
    if total > 1:
        return (slope - raw / total * slope.sum()) / total
    slope[0] -= slope.sum()
    return slope


# Likelihood, intensity, residuals


class Likelihood(NamedTuple):
    """A log-likelihood and its derivatives in the shapes of the parameters."""

    value: float
    baseline: Any
    adjacency: Any
    decay: Any


def log_likelihood(
    times: Times,
    baseline: ArrayLike,
    adjacency: ArrayLike,
    decay: ArrayLike,
    horizon: float,
    *,
    marks: Any = None,
) -> Likelihood:
    r"""Log-likelihood of the events on (0, horizon] from an empty history, with its gradient.

    The intensity of type i is

        baseline_i + sum over events k before t of mark_k adjacency_ij decay exp(-decay (t - t_k))

    with j the type of event k, so that `adjacency` is the branching matrix. Cost O(n) by Ozaki's
    recursion (Annals of the Institute of Statistical Mathematics 31 (1979) 145-155).

    Parameters
    ----------
    times : array_like, shape (n,), or a sequence of d of them, one for each type
        Strictly increasing, in any unit of time.
    baseline : float or array_like, shape (d,)
        Events per unit of time.
    adjacency : float or array_like, shape (d, d); (m,) or (m, d, d) for a sum of exponentials
        [i, j]: events of type i that one of type j has as direct children.
    decay : float, or array_like, shape (m,), or (d, d) for one of each pair
        Per unit of time.
    horizon : float
        End of the observation, in the unit of `times`.
    marks : array_like, or a sequence of them, in the shape of `times`, optional
        What the excitation by each event is multiplied by.

    Returns
    -------
    Likelihood
        `value`, and the derivatives `baseline`, `adjacency`, `decay`.

    Raises
    ------
    TypeError, ValueError
        Times are tied, out of order, negative or after the horizon; a parameter is negative, a
        decay zero, or the shapes do not fit.

    Examples
    --------
    >>> round(log_likelihood([0.5, 0.75], 1.0, 2 / 3, 3.0, 1.0).value, 12)
    -1.204544111251
    """
    model = parameters_of(baseline, adjacency, decay)
    events = events_of(times, model.d, marks)
    value, *gradient = kernels.hawkes_likelihood(
        *events[:3], horizon_of(events, horizon), *model[:3]
    )
    return Likelihood(value, *model.given(*gradient))


def intensity(
    times: Times,
    baseline: ArrayLike,
    adjacency: ArrayLike,
    decay: ArrayLike,
    at: ArrayLike,
    *,
    marks: Any = None,
) -> Array:
    """Intensity just before given times: events at the very time do not count.

    Parameters
    ----------
    times, baseline, adjacency, decay, marks
        As in `log_likelihood`.
    at : array_like, shape (q,)
        Not negative and not decreasing.

    Returns
    -------
    ndarray, shape (q,), or (q, d) where several series are given

    Raises
    ------
    TypeError, ValueError
        As `log_likelihood`; `at` is out of order.

    Examples
    --------
    >>> intensity([1.0], 0.5, 0.8, 2.0, [1.0, 1.5]).round(4).tolist()
    [0.5, 1.0886]
    """
    return _path(times, baseline, adjacency, decay, at, marks)[0]


def compensator(
    times: Times,
    baseline: ArrayLike,
    adjacency: ArrayLike,
    decay: ArrayLike,
    at: ArrayLike,
    *,
    marks: Any = None,
) -> Array:
    """Integral of the intensity from 0 to given times; arguments and shapes as in `intensity`.

    Examples
    --------
    >>> compensator([1.0], 0.5, 0.8, 2.0, [1.0, 100.0]).round(4).tolist()
    [0.5, 50.8]
    """
    return _path(times, baseline, adjacency, decay, at, marks)[1]


def _path(
    times: Times, baseline: Any, adjacency: Any, decay: Any, at: Any, marks: Any
) -> tuple[Array, Array]:
    model = parameters_of(baseline, adjacency, decay)
    events = events_of(times, model.d, marks)
    points = _series("at", at)
    paths = kernels.hawkes_path(*events[:3], *model[:3], points)
    return tuple(path[:, 0] if events.single else path for path in paths)


@dataclass(frozen=True)
class Residuals:
    """Compensator between the events of each type: independent exponentials under the model.

    Attributes
    ----------
    by_type : tuple of ndarray
        For each type, the integral of its intensity from one of its events to the next, the first
        from 0 (Papangelou 1972; Ogata, Journal of the American Statistical Association 83 (1988)
        9-27).
    lags : int
        Of the Ljung-Box test.
    """

    by_type: tuple[Array, ...]
    lags: int

    @property
    def table(self) -> pd.DataFrame:
        """One row a type: n, mean, and the tests of the exponential law and of independence.

        Columns `ks` and `ks_pvalue`: Kolmogorov-Smirnov against the exponential law of mean 1;
        `ljung_box_pvalue`: correlations of the residuals at the first `lags` lags;
        `dispersion_pvalue`: variance against 1 (Engle & Russell, Econometrica 66 (1998)). With
        estimated parameters the p-values are only approximate: the fit has seen the data, so that
        those of `ks` and of the dispersion are too large. NaN with fewer than 20 residuals.
        """
        rows = []
        for values in self.by_type:
            n = len(values)
            row = dict.fromkeys(
                ["ks", "ks_pvalue", "ljung_box_pvalue", "dispersion_pvalue"], np.nan
            )
            if n >= 20:
                found = stats.kstest(values, "expon")
                lags = min(self.lags, n // 4)
                independent = acorr_ljungbox(values, lags=[lags])["lb_pvalue"].iloc[0]
                excess = np.sqrt(n / 8) * (values.var() - 1)
                row = {
                    "ks": found.statistic,
                    "ks_pvalue": found.pvalue,
                    "ljung_box_pvalue": float(independent),
                    "dispersion_pvalue": float(2 * stats.norm.sf(abs(excess))),
                }
            rows.append({"n": n, "mean": values.mean() if n else np.nan} | row)
        return pd.DataFrame(rows).rename_axis("type")

    def quantiles(self, points: int = 200, kind: int = 0) -> pd.Series:
        """Quantiles of one type's residuals by those of the exponential law, for a QQ figure."""
        if not 0 <= check.count("kind", kind, 0) < len(self.by_type):
            raise ValueError(f"kind must be below {len(self.by_type)}, got {kind}")
        points = check.count("points", points, 1)
        values = self.by_type[kind]
        if not len(values):
            return pd.Series(dtype=np.float64)
        shares = (np.arange(min(points, len(values))) + 0.5) / min(points, len(values))
        index = pd.Index(-np.log1p(-shares), name="exponential quantile")
        return pd.Series(np.quantile(values, shares), index, name="residual quantile")


def compensator_residuals(
    times: Times,
    baseline: ArrayLike,
    adjacency: ArrayLike,
    decay: ArrayLike,
    *,
    marks: Any = None,
    lags: int = 10,
) -> Residuals:
    """Residuals by the change of time: exponential of mean 1 and independent if the model holds.

    Parameters
    ----------
    times, baseline, adjacency, decay, marks
        As in `log_likelihood`.
    lags : int
        Of the Ljung-Box test, at least 1.

    Returns
    -------
    Residuals

    Raises
    ------
    TypeError, ValueError
        As `log_likelihood`.

    Examples
    --------
    >>> compensator_residuals([1.0, 2.0], 0.5, 0.0, 1.0).by_type[0].tolist()
    [0.5, 0.5]
    """
    model = parameters_of(baseline, adjacency, decay)
    events = events_of(times, model.d, marks)
    count = check.count("lags", lags, 1)
    _, integral = kernels.hawkes_path(*events[:3], *model[:3], events.times)
    own = [events.of_type(i, integral[:, i]) for i in range(model.d)]
    return Residuals(tuple(np.diff(values, prepend=0.0) for values in own), count)


# Simulation


class Simulated(NamedTuple):
    """A path: times, or a list of them by type, and the marks in the same shape."""

    times: Any
    marks: Any


def simulate(
    baseline: ArrayLike,
    adjacency: ArrayLike,
    decay: ArrayLike,
    horizon: float,
    *,
    seed: int,
    n_paths: int | None = None,
    marks: ArrayLike | None = None,
    method: str = "auto",
    max_events: int = 10_000_000,
) -> Any:
    """Exact paths on (0, horizon] from an empty history.

    With one decay by inversion of the total intensity, whose excess over the baseline fades as a
    whole (Dassios & Zhao, Electronic Communications in Probability 18 (2013) no. 62); else by
    thinning (Ogata, IEEE Transactions on Information Theory 27 (1981) 23-31). Path p depends on
    `seed` and p alone, not on the number of threads.

    Parameters
    ----------
    baseline, adjacency, decay
        As in `log_likelihood`. A supercritical process is allowed: it explodes, up to `max_events`.
    horizon : float
        In the unit of time of the parameters.
    seed : int
        From 0 to 2**64 - 1.
    n_paths : int, optional
        Gives a list of so many paths.
    marks : array_like, shape (k,), optional
        Each event draws one of these, with equal chance, as its mark.
    method : str
        ``"auto"``, or ``"thinning"`` with one decay, too.
    max_events : int
        That a path may have.

    Returns
    -------
    Simulated, or a list of `n_paths` of them
        `times`, an array, or a list with one for each type where `baseline` is an array; `marks` in
        the same shape, None where none were given.

    Raises
    ------
    TypeError, ValueError
        An argument is out of range; a path has more than `max_events` events.

    Examples
    --------
    >>> path = simulate(1.0, 0.5, 2.0, 100.0, seed=7)
    >>> bool(path.times[-1] <= 100.0)
    True
    """
    model = parameters_of(baseline, adjacency, decay)
    if method not in ("auto", "thinning"):
        raise ValueError(f"method must be 'auto' or 'thinning', got {method!r}")
    paths = 1 if n_paths is None else check.count("n_paths", n_paths, 1)
    values = None if marks is None else validate.array("marks", marks, (None,))
    times, types, drawn, counts = kernels.hawkes_simulate(
        seed,
        paths,
        validate.positive("horizon", horizon),
        *model[:3],
        values,
        method == "thinning",
        check.count("max_events", max_events, 1),
    )
    ends = np.cumsum(counts)
    found = []
    for end, count in zip(ends.tolist(), counts.tolist(), strict=True):
        part = slice(end - count, end)
        t, w = times[part], None if values is None else drawn[part]
        if not model.scalar:
            own = [types[part] == i for i in range(model.d)]
            w = None if w is None else [w[mask] for mask in own]
            t = [t[mask] for mask in own]
        found.append(Simulated(t, w))
    return found[0] if n_paths is None else found


# What follows exactly


def stationary_rate(baseline: ArrayLike, adjacency: ArrayLike) -> Any:
    """Mean number of events per unit of time in the stationary regime.

    ``(I - B)**-1 baseline`` with B the branching matrix (Hawkes 1971).

    Parameters
    ----------
    baseline : float or array_like, shape (d,)
    adjacency : array_like
        As in `branching_ratio`.

    Returns
    -------
    float, or ndarray, shape (d,)

    Raises
    ------
    TypeError, ValueError
        The branching ratio is 1 or more, a parameter negative, or the shapes do not fit.

    Examples
    --------
    >>> round(stationary_rate(0.5, 0.6), 12)
    1.25
    """
    alpha = validate.numbers("adjacency", adjacency)
    alpha = alpha.sum(axis=0) if alpha.ndim in (1, 3) else alpha
    mu = np.atleast_1d(validate.numbers("baseline", baseline))
    matrix = np.atleast_2d(alpha)
    if mu.ndim != 1 or matrix.shape != (len(mu), len(mu)):
        raise ValueError(f"adjacency must have {len(mu)} rows and columns, got {alpha.shape}")
    if not (np.isfinite(mu).all() and (mu >= 0).all()):
        raise ValueError("baseline must be finite and not negative")
    _subcritical(matrix)
    rate = np.linalg.solve(np.eye(len(mu)) - matrix, mu)
    return float(rate[0]) if np.ndim(baseline) == 0 else rate


def _subcritical(matrix: Array) -> None:
    ratio = branching_ratio(matrix)
    if ratio >= 1:
        raise ValueError(
            f"adjacency must have a branching ratio below 1 for a stationary regime, got {ratio}"
        )


def _linear(model: Parameters) -> tuple[Array, Array, Array]:
    """F, G, H of the Markov state x, the excess by decay and type: dx = F x dt + G (dN - rate dt).

    The intensity is ``baseline + H x``, and F takes in what the mean of dN adds.
    """
    d, terms = model.d, len(model.decay)
    jump = (model.adjacency * model.decay[:, None, None]).reshape(terms * d, d)
    read = np.tile(np.eye(d), terms)
    fade = np.diag(np.repeat(model.decay, d))
    return jump @ read - fade, jump, read


def mean_count(baseline: ArrayLike, adjacency: ArrayLike, decay: ArrayLike, horizon: float) -> Any:
    """Expected number of events on (0, horizon] from an empty history, also where it explodes.

    The mean intensity solves a linear equation, whose integral is one matrix exponential. For one
    type and decay: ``mu b / g T - mu a / g**2 (1 - exp(-g T))`` with jump a = adjacency b and
    ``g = b - a``.

    Parameters
    ----------
    baseline, adjacency, decay
        As in `log_likelihood`.
    horizon : float

    Returns
    -------
    float, or ndarray, shape (d,)

    Raises
    ------
    TypeError, ValueError
        As `log_likelihood`; the mean count is beyond the range of floats.

    Examples
    --------
    >>> round(mean_count(1.0, 2 / 3, 3.0, 100.0), 9)
    298.0
    """
    model = parameters_of(baseline, adjacency, decay)
    end = validate.positive("horizon", horizon)
    drift, jump, read = _linear(model)
    n, d = len(drift), model.d
    # State, constant 1, integrals of the intensity.
    system = np.zeros((n + 1 + d, n + 1 + d))
    system[:n, :n], system[:n, n] = drift, jump @ model.baseline
    system[n + 1 :, :n], system[n + 1 :, n] = read, model.baseline
    with np.errstate(all="ignore"):
        counts = scipy.linalg.expm(system * end)[n + 1 :, n]
    if not np.isfinite(counts).all():
        raise ValueError(f"horizon must leave the mean count in the range of floats, got {end}")
    return float(counts[0]) if model.scalar else counts


def count_covariance(
    baseline: ArrayLike, adjacency: ArrayLike, decay: ArrayLike, window: float
) -> Any:
    """Covariance of the numbers of events in a window of the stationary regime.

    From the stationary covariance of the Markov state (a Lyapunov equation) and the integral of the
    covariance density over the window. For one type and decay: ``L (t k**2 + (1 - k**2)
    (1 - exp(-g t)) / g)`` with ``L = mu k``, ``k = 1 / (1 - adjacency)``, ``g = decay / k``
    (Hawkes 1971; Da Fonseca & Zaatour, Journal of Futures Markets 34 (2014) 548-579).

    Parameters
    ----------
    baseline, adjacency, decay
        As in `log_likelihood`, with a branching ratio below 1.
    window : float

    Returns
    -------
    float, or ndarray, shape (d, d)

    Raises
    ------
    TypeError, ValueError
        As `stationary_rate`.

    Examples
    --------
    >>> round(count_covariance(0.5, 0.6, 1.0, 5.0), 6)
    24.876594
    """
    model = parameters_of(baseline, adjacency, decay)
    length = validate.positive("window", window)
    rate = np.atleast_1d(stationary_rate(model.baseline, model.adjacency))
    drift, jump, read = _linear(model)
    noise = jump * rate @ jump.T
    state = scipy.linalg.solve_continuous_lyapunov(drift, -noise)
    start = state @ read.T + jump * rate  # covariance of the state with the events just before
    # Van Loan: the integral of (window - u) exp(drift u) over the window.
    n = len(drift)
    block = np.zeros((3 * n, 3 * n))
    block[:n, :n] = drift
    block[:n, n : 2 * n] = block[n : 2 * n, 2 * n :] = np.eye(n)
    twice = scipy.linalg.expm(block * length)[:n, 2 * n :]
    lagged = read @ twice @ start
    result = np.diag(rate) * length + lagged + lagged.T
    return float(result[0, 0]) if model.scalar else result
