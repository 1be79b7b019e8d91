"""Estimation of Hawkes processes: maximum likelihood, EM, binned counts, and a first look.

The public names are those of `labkit.hawkes`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, signal, special

from labkit import _validate as validate
from labkit._backend import kernels
from labkit._hawkes_model import (
    Events,
    Parameters,
    Residuals,
    Times,
    branching_ratio,
    compensator_residuals,
    events_of,
    horizon_of,
    pairs_layout,
    power_law_slope,
    power_law_terms,
)
from labkit.reference import _checks as check

Array = NDArray[np.float64]

KERNELS = ("exponential", "pairs", "sum", "power law")

_SMALLEST = 1e-10  # share of the mean rate that a baseline has at least
_ZERO = 1e-7  # an adjacency below lies at its bound
_EXPONENTS = (0.02, 5.0)  # of a power law
_FLAT = 1e-9  # of the largest curvature: below, the sample does not tell a direction
_STEP = 1e-4  # share of a parameter by which the information matrix steps
_EARLY = 5_000  # events by which starts are compared
_STARTS = {"branching": (0.3, 0.7), "decay": (0.1, 1.0, 10.0, 100.0, 1000.0)}


# Forms: a vector of free parameters, and what the kernels make of it


class Form(ABC):
    """A family of models: named parameters in one vector and their kernel arrays."""

    names: list[str]
    positive: NDArray[np.bool_]  # estimated by their logarithm
    scalar: bool

    @abstractmethod
    def expand(self, theta: Array) -> Parameters:
        """The kernel arrays of a vector."""

    @abstractmethod
    def pull(self, theta: Array, baseline: Array, adjacency: Array, decay: Array) -> Array:
        """Derivatives by the vector, from those by the kernel arrays."""

    @abstractmethod
    def start(self, rate: Array, branching: float, speed: float) -> Array:
        """A vector with this branching ratio, this rate of events, and decays around `speed`."""

    def bounds(self, theta: Array, rate: Array) -> tuple[Array, Array]:
        """Least and largest vector in a search from `theta`; very wide where nothing forbids."""
        low = np.where(self.positive, theta * 1e-15, 0.0)
        low[: len(rate)] = _SMALLEST * rate
        return low, np.where(self.positive, theta * 1e15, np.inf)


def _places(name: str, shape: tuple[int, ...], scalar: bool) -> list[str]:
    if scalar or not shape:
        return [name]
    return [f"{name}[{', '.join(map(str, place))}]" for place in np.ndindex(shape)]


class Exponentials(Form):
    """Exponential kernels: one decay, one for each pair, or a sum; decays free or given."""

    def __init__(self, d: int, scalar: bool, layout: str, terms: int, decay: Array | None) -> None:
        self.d, self.scalar, self.layout, self.terms = d, scalar, layout, terms
        self.fixed = decay
        self.shape = (d, d) if layout != "sum" else (terms, d, d)
        self.decays = {"one": (), "pairs": (d, d), "sum": (terms,)}[layout]
        self.n_decays = 0 if decay is not None else int(np.prod(self.decays))
        shown = (terms,) if layout == "sum" and scalar else () if scalar else self.shape
        self.names = _places("baseline", (d,), scalar)
        self.names += _places("adjacency", shown, False)
        if not self.n_decays:
            self.positive = np.array([True] * d + [False] * int(np.prod(self.shape)))
            return
        self.names += _places("decay", self.decays, False)
        free = [True] * d + [False] * int(np.prod(self.shape)) + [True] * self.n_decays
        self.positive = np.array(free)

    def _split(self, theta: Array) -> tuple[Array, Array, Array]:
        size = int(np.prod(self.shape))
        decay = theta[self.d + size :] if self.fixed is None else self.fixed
        return theta[: self.d], theta[self.d : self.d + size].reshape(self.shape), decay

    def expand(self, theta: Array) -> Parameters:
        mu, alpha, beta = self._split(theta)
        if self.layout == "pairs":
            alpha = pairs_layout(alpha)
        elif self.layout == "one":
            alpha = alpha[None]
        return Parameters(
            mu, np.ascontiguousarray(alpha), np.ravel(beta).copy(), self.layout, self.scalar
        )

    def pull(self, theta: Array, baseline: Array, adjacency: Array, decay: Array) -> Array:
        if self.layout == "pairs":
            i, j = np.divmod(np.arange(self.d**2), self.d)
            adjacency = adjacency[np.arange(self.d**2), i, j]
        parts = [baseline, adjacency.ravel()]
        if self.n_decays:
            parts.append(decay)
        return np.concatenate(parts)

    def start(self, rate: Array, branching: float, speed: float) -> Array:
        each = branching / (self.d * (self.terms if self.layout == "sum" else 1))
        parts = [(1 - branching) * rate, np.full(int(np.prod(self.shape)), each)]
        if self.n_decays:
            middle = (np.arange(self.terms) - (self.terms - 1) / 2) if self.layout == "sum" else 0
            parts.append(np.full(self.n_decays, speed) * np.exp(2.5 * middle))
        return np.concatenate(parts)


class PowerLaws(Form):
    """Power-law kernels of one exponent and scale, as sums of exponentials."""

    def __init__(self, d: int, scalar: bool, terms: int) -> None:
        self.d, self.scalar, self.terms = d, scalar, terms
        self.names = _places("baseline", (d,), scalar)
        self.names += _places("branching", () if scalar else (d, d), False)
        self.names += ["exponent", "scale"]
        self.positive = np.array([True] * d + [False] * d**2 + [True, True])

    def _split(self, theta: Array) -> tuple[Array, Array, float, float]:
        d = self.d
        return theta[:d], theta[d : d + d * d].reshape(d, d), float(theta[-2]), float(theta[-1])

    def expand(self, theta: Array) -> Parameters:
        mu, branching, exponent, scale = self._split(theta)
        share, rate = power_law_terms(exponent, self.terms)
        alpha = np.ascontiguousarray(share[:, None, None] * branching)
        return Parameters(mu, alpha, rate / scale, "sum", self.scalar)

    def pull(self, theta: Array, baseline: Array, adjacency: Array, decay: Array) -> Array:
        _, branching, exponent, scale = self._split(theta)
        share, rate = power_law_terms(exponent, self.terms)
        slope = power_law_slope(exponent, self.terms)
        by_share = np.einsum("mij,ij->m", adjacency, branching)
        return np.concatenate(
            [
                baseline,
                np.einsum("m,mij->ij", share, adjacency).ravel(),
                [by_share @ slope, -(decay @ rate) / scale**2],
            ]
        )

    def start(self, rate: Array, branching: float, speed: float) -> Array:
        each = np.full(self.d**2, branching / self.d)
        return np.concatenate([(1 - branching) * rate, each, [0.5, 0.3 / speed]])

    def bounds(self, theta: Array, rate: Array) -> tuple[Array, Array]:
        low, high = super().bounds(theta, rate)
        low[-2], high[-2] = _EXPONENTS  # beyond, one term or the slowest is all there is
        return low, high


def _form(d: int, scalar: bool, kernel: str, terms: int | None, decay: Any) -> Form:
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, got {kernel!r}")
    if terms is not None and kernel not in ("sum", "power law"):
        raise ValueError(f"terms must not be given with the kernel {kernel!r}")
    if kernel == "power law":
        if decay is not None:
            raise ValueError("decay must not be given with the kernel 'power law'")
        return PowerLaws(d, scalar, 40 if terms is None else check.count("terms", terms, 10))
    layout = {"exponential": "one", "pairs": "pairs", "sum": "sum"}[kernel]
    if decay is None:
        count = 2 if terms is None else check.count("terms", terms, 1)
        return Exponentials(d, scalar, layout, count if layout == "sum" else 1, None)
    if terms is not None:
        raise ValueError("terms must not be given together with decay")
    shape = {"one": (), "pairs": (d, d), "sum": (None,)}[layout]
    fixed = validate.array("decay", decay, shape)
    if not fixed.size or (fixed <= 0).any():
        raise ValueError("decay must be positive and have at least one value")
    return Exponentials(d, scalar, layout, fixed.size if layout == "sum" else 1, np.ravel(fixed))


# The result


@dataclass(frozen=True)
class HawkesFit:
    """A Hawkes process fitted to events.

    Attributes
    ----------
    baseline, adjacency, decay
        Estimates in the shapes of `log_likelihood`; `adjacency`, with several terms their sum, is
        the branching matrix of events of mark 1.
    parameters : Series
        The free parameters by name.
    log_likelihood : float
    n_events : int
    horizon : float
    kernel : str
    method : str
        ``"likelihood"``, ``"em"`` or ``"binned"``.
    converged : bool
        Whether the optimiser says so, for the best start.
    message : str
        Its words.
    starts : Series
        Log-likelihood reached from each start, best first.
    """

    baseline: Any
    adjacency: Any
    decay: Any
    parameters: pd.Series
    log_likelihood: float
    n_events: int
    horizon: float
    kernel: str
    method: str
    converged: bool
    message: str
    starts: pd.Series
    _problem: _Problem | _Binned = field(repr=False)

    @cached_property
    def covariance(self) -> pd.DataFrame:
        """Inverse of the observed information, computed when it is first asked for.

        NaN for a parameter at its bound of zero, which the others take as known, for a decay whose
        adjacencies are all there, and for all where
        the information is not positive definite: in a short sample a slow decay and a large
        adjacency may not be told from a drifting baseline.
        """
        index = self.parameters.index
        return pd.DataFrame(_covariance(self._problem, self.parameters.to_numpy()), index, index)

    @property
    def standard_errors(self) -> pd.Series:
        """Of the parameters, by name."""
        return pd.Series(np.sqrt(np.diag(self.covariance)), self.parameters.index)

    @property
    def branching_ratio(self) -> float:
        """Spectral radius of the branching matrix: children of an event of the mean mark."""
        return _ratio(self._problem, self.parameters.to_numpy())

    @property
    def branching_ratio_se(self) -> float:
        """Its standard error by the delta method; NaN where no adjacency is above zero."""
        slope = _ratio_slope(self._problem, self.parameters.to_numpy())
        used = slope != 0
        if not used.any():
            return math.nan
        block = self.covariance.to_numpy()[np.ix_(used, used)]
        with np.errstate(invalid="ignore"):
            return float(np.sqrt(slope[used] @ block @ slope[used]))

    @property
    def stationary(self) -> bool:
        """Whether the branching ratio is below 1: the fit does not impose it."""
        return self.branching_ratio < 1

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``2 p - 2 log-likelihood``."""
        return 2 * len(self.parameters) - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``p log(n) - 2 log-likelihood``."""
        return len(self.parameters) * math.log(max(self.n_events, 1)) - 2 * self.log_likelihood

    def intervals(self, level: float = 0.95) -> pd.DataFrame:
        """Estimates with standard errors and Wald confidence intervals.

        The intervals of baselines, decays, exponents and scales, which are positive, are those of
        their logarithms; those of adjacencies and branchings are cut at zero.
        """
        if not 0 < check.number("level", level) < 1:
            raise ValueError(f"level must be between 0 and 1, got {level}")
        value, error = self.parameters.to_numpy(), self.standard_errors.to_numpy()
        logs = self._problem.form.positive
        reach = special.ndtri((1 + level) / 2)
        with np.errstate(over="ignore"):
            factor = np.exp(reach * error / np.where(logs, value, 1.0))
        table = {
            "estimate": value,
            "standard error": error,
            "lower": np.where(logs, value / factor, np.maximum(value - reach * error, 0)),
            "upper": np.where(logs, value * factor, value + reach * error),
        }
        return pd.DataFrame(table, index=self.parameters.index)

    def residuals(self, times: Times, *, marks: Any = None, lags: int = 10) -> Residuals:
        """`compensator_residuals` of events under this fit."""
        return compensator_residuals(
            times, self.baseline, self.adjacency, self.decay, marks=marks, lags=lags
        )


# Maximum likelihood


class _Problem(NamedTuple):
    events: Events
    end: float
    form: Form

    @property
    def n_events(self) -> int:
        return len(self.events.times)

    @property
    def mean_marks(self) -> Array:
        """Of the events of each type."""
        counts = np.bincount(self.events.types)
        return np.bincount(self.events.types, self.events.marks) / counts

    def part(self, most: int) -> _Problem:
        """The first `most` events."""
        times, types, marks, single = self.events
        if len(times) <= most:
            return self
        marks = None if marks is None else marks[:most]
        events = Events(times[:most], types[:most], marks, single)
        return self._replace(events=events, end=float(times[most - 1]))

    def value(self, theta: Array) -> tuple[float, Array]:
        """Log-likelihood and derivatives by the natural parameters."""
        value, *gradient = kernels.hawkes_likelihood(
            *self.events[:3], self.end, *self.form.expand(theta)[:3]
        )
        return value, self.form.pull(theta, *gradient)


def fit(
    times: Times,
    horizon: float,
    *,
    kernel: str = "exponential",
    terms: int | None = None,
    decay: ArrayLike | None = None,
    marks: Any = None,
    method: str = "likelihood",
    n_starts: int = 3,
    max_iterations: int = 2_000,
) -> HawkesFit:
    """Fit a Hawkes process to events on (0, horizon] by maximum likelihood.

    The exact log-likelihood and its gradient (`log_likelihood`) go to L-BFGS-B in the logarithms of
    all that is positive, from the best points of a grid of branching ratios and decays: with free
    decays there may be several maxima. ``"em"`` climbs the same likelihood by the expectations of
    who is whose child (Veen & Schoenberg, Journal of the American Statistical Association 103
    (2008) 614-624): slower, and never outside the bounds.

    Standard errors are those of the observed information, central differences of the exact
    gradient at the estimate.

    Parameters
    ----------
    times : array_like, shape (n,), or a sequence of d of them, one for each type
        Strictly increasing. Tied times are refused: `distinct`, `jitter` and `fit_binned` are the
        choices there are.
    horizon : float
        End of the observation, in the unit of `times`.
    kernel : str
        ``"exponential"``: one decay for all pairs; ``"pairs"``: a decay for each pair; ``"sum"``:
        `terms` exponentials for each pair with common decays; ``"power law"``: `power_law` with
        one exponent and scale.
    terms : int, optional
        Exponentials: 2 for ``"sum"``; 40 for ``"power law"``, which needs some 20 to be smooth and
        takes no fewer than 10.
    decay : float, or array_like, shape (d, d) or (m,) as the kernel asks, optional
        Known decays, which are not estimated.
    marks : array_like, or a sequence of them, optional
        As in `log_likelihood`. The branching ratio of the fit is that at their mean.
    method : str
        ``"likelihood"`` or ``"em"``; not for the power law.
    n_starts : int
        Points of the grid from which the search begins, at least 1.
    max_iterations : int
        Of each search.

    Returns
    -------
    HawkesFit

    Raises
    ------
    TypeError, ValueError
        Times are tied or out of order, there are fewer events of a type than 2, or an argument is
        out of range.

    Examples
    --------
    >>> from labkit.hawkes import simulate
    >>> result = fit(simulate(1.0, 0.5, 4.0, 2_000.0, seed=5).times, 2_000.0)
    >>> z = (result.parameters - [1.0, 0.5, 4.0]) / result.standard_errors
    >>> result.stationary, bool(z.abs().max() < 4)
    (True, True)
    """
    events = events_of(times, None, marks)
    d = 1 if events.single else len(times)
    counts = np.bincount(events.types, minlength=d)
    for i in np.flatnonzero(counts < 2):
        name = "times" if events.single else f"times[{i}]"
        raise ValueError(f"{name} must have at least 2 events to fit, got {counts[i]}")
    if method not in ("likelihood", "em"):
        raise ValueError(f"method must be 'likelihood' or 'em', got {method!r}")
    if method == "em" and kernel == "power law":
        raise ValueError("method must be 'likelihood' with the kernel 'power law', got 'em'")
    form = _form(d, events.single, kernel, terms, decay)
    problem = _Problem(events, horizon_of(events, horizon), form)
    rate = counts / problem.end
    starts = _starts(problem, rate, check.count("n_starts", n_starts, 1))
    most = check.count("max_iterations", max_iterations, 1)
    climb = _em if method == "em" else _maximise
    reached = sorted(
        (climb(problem, start, rate, most) for start in starts), key=lambda found: -found.value
    )
    return _result(reached, problem, kernel, method)


def _starts(problem: _Problem | _Binned, rate: Array, n: int) -> list[Array]:
    """The best points of the grid for the first events, the best one of each decay."""
    early, found = problem.part(_EARLY), []
    for speed in _STARTS["decay"]:
        row = []
        for branching in _STARTS["branching"]:
            theta = problem.form.start(rate, branching, speed * float(rate.sum()))
            row.append((early.value(theta)[0], theta))
        found.append(max(row, key=lambda pair: pair[0]))
    found.sort(key=lambda pair: -pair[0])
    return [theta for _, theta in found[:n]]


class _Reached(NamedTuple):
    value: float
    theta: Array
    converged: bool
    message: str


def _maximise(problem: _Problem, start: Array, rate: Array, most: int) -> _Reached:
    """L-BFGS-B in logarithms where a parameter is positive, and per event."""
    return _search(problem.value, problem.form, start, rate, problem.n_events, most)


def _search(
    value: Callable[[Array], tuple[float, Array]],
    form: Form,
    start: Array,
    rate: Array,
    n: int,
    most: int,
) -> _Reached:
    logs = form.positive

    def natural(x: Array) -> Array:
        return np.where(logs, np.exp(np.where(logs, x, 0.0)), x)

    def loss(x: Array) -> tuple[float, Array]:
        theta = natural(x)
        found, gradient = value(theta)
        if not math.isfinite(found):
            return math.inf, np.zeros_like(x)
        return -found / n, -gradient * np.where(logs, theta, 1.0) / n

    def searched(theta: Array) -> Array:
        return np.where(logs, np.log(np.where(logs, theta, 1.0)), theta)

    x = searched(start)
    low, high = map(searched, form.bounds(start, rate))
    options = {"maxiter": most, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 20}
    found = optimize.minimize(
        loss,
        x,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)),
        options=options,
    )
    theta = natural(found.x)
    # At the accuracy of the sum L-BFGS-B may find no further decrease: that is the maximum, too.
    flat = bool(np.abs(_free(form, theta, found.jac)).max(initial=0.0) < 1e-6)
    return _Reached(-found.fun * n, theta, bool(found.success or flat), str(found.message))


def _free(form: Form, theta: Array, gradient: Array) -> Array:
    """The gradient of the loss but for parameters that lie at their bound of zero."""
    bound = ~form.positive & (theta < _ZERO) & (gradient > 0)
    return np.where(bound, 0.0, gradient)


def _em(problem: _Problem, start: Array, rate: Array, most: int) -> _Reached:
    """Expectation and maximisation, by the gradient: by Fisher's identity it has the expectations.

    With the expected number of children P of a term, ``d/d adjacency = P / adjacency - C``, C the
    marks' effect that has come by the end, and likewise for the others.
    """
    form: Any = problem.form
    events, end = problem.events, problem.end
    weights = np.ones(len(events.times)) if events.marks is None else events.marks
    to_go = end - events.times
    theta, before = start.copy(), -math.inf
    for _ in range(most):
        mu, alpha, beta, *_ = form.expand(theta)
        value, g_mu, g_alpha, g_beta = kernels.hawkes_likelihood(*events[:3], end, mu, alpha, beta)
        if value - before <= 1e-12 * abs(value):
            return _Reached(value, theta, True, "the likelihood has stopped growing")
        before = value
        spent = np.array(
            [np.bincount(events.types, weights * -np.expm1(-b * to_go), form.d) for b in beta]
        )[:, None, :]
        children = alpha * (g_alpha + spent)
        alpha = np.divide(children, spent, out=np.zeros_like(children), where=spent > 0)
        total = children.sum(axis=(1, 2))
        delay = total / beta - g_beta
        beta = np.divide(total, delay, out=beta.copy(), where=delay > 0)
        theta = _packed(form, mu * (1 + g_mu / end), alpha, beta)
    return _Reached(before, theta, False, f"stopped after {most} iterations")


def _packed(form: Exponentials, mu: Array, alpha: Array, beta: Array) -> Array:
    """The vector of kernel arrays: where they lie is where their derivatives do."""
    return form.pull(np.empty(0), mu, alpha, beta)


def _result(
    reached: list[_Reached], problem: _Problem | _Binned, kernel: str, method: str
) -> HawkesFit:
    best = reached[0]
    model = problem.form.expand(best.theta)
    baseline, adjacency, decay = model.given(*model[:3])
    index = pd.Index(problem.form.names, name="parameter")
    return HawkesFit(
        baseline=baseline,
        adjacency=adjacency,
        decay=decay,
        parameters=pd.Series(best.theta, index),
        log_likelihood=best.value,
        n_events=problem.n_events,
        horizon=problem.end,
        kernel=kernel,
        method=method,
        converged=best.converged,
        message=best.message,
        starts=pd.Series([found.value for found in reached], name="log-likelihood"),
        _problem=problem,
    )


def _covariance(problem: _Problem | _Binned, theta: Array) -> Array:
    """Inverse of minus the second derivatives, of the parameters that are inside their bounds."""
    value = problem.value
    inside = np.flatnonzero(problem.form.positive | (theta > _ZERO))
    steps = _STEP * theta[inside]
    second = np.empty((len(inside), len(inside)))
    for row, (i, step) in enumerate(zip(inside, steps, strict=True)):
        shift = np.zeros_like(theta)
        shift[i] = step
        up, down = value(theta + shift)[1], value(theta - shift)[1]
        second[row] = (up - down)[inside] / (2 * step)
    result = np.full((len(theta), len(theta)), math.nan)
    # In units of the parameters, so that no scale makes the matrix look singular.
    scale = theta[inside]
    information = -(second + second.T) / 2 * np.outer(scale, scale)
    if not np.isfinite(information).all():
        return result
    # A decay that nothing fades by, for its adjacencies are zero, takes no part.
    strength = np.abs(information).max(axis=1)
    used = strength > _FLAT * strength.max(initial=0.0)
    inside, scale = inside[used], scale[used]
    values, vectors = np.linalg.eigh(information[np.ix_(used, used)])
    if len(values) and values[0] > _FLAT * values[-1]:
        block = (vectors / values) @ vectors.T
        result[np.ix_(inside, inside)] = block * np.outer(scale, scale)
    return result


def _ratio(problem: _Problem | _Binned, theta: Array) -> float:
    """Spectral radius of the branching matrix at the mean marks."""
    matrix = problem.form.expand(theta).adjacency.sum(axis=0)
    return branching_ratio(matrix * problem.mean_marks)


def _ratio_slope(problem: _Problem | _Binned, theta: Array) -> Array:
    """Derivative of the spectral radius by the parameters; zero at the bound."""
    slope = np.zeros_like(theta)
    for i in np.flatnonzero(~problem.form.positive & (theta > _ZERO)):
        step = _STEP * theta[i]
        shift = np.zeros_like(theta)
        shift[i] = step
        up, down = (_ratio(problem, theta + s * shift) for s in (1, -1))
        slope[i] = (up - down) / (2 * step)
    return slope


# Binned counts


class _Binned(NamedTuple):
    counts: Array  # (k, d)
    width: float
    form: Form

    @property
    def mean_marks(self) -> Array:
        return np.ones(self.counts.shape[1])

    def part(self, most: int) -> _Binned:
        """The first `most` bins."""
        return self._replace(counts=self.counts[:most])

    @property
    def end(self) -> float:
        return len(self.counts) * self.width

    @property
    def n_events(self) -> int:
        return int(self.counts.sum())

    def value(self, theta: Array) -> tuple[float, Array]:
        """Poisson log-likelihood of the counts, and its derivatives."""
        mu, alpha, beta, *_ = self.form.expand(theta)
        mean = np.tile(mu * self.width, (len(self.counts), 1))
        parts = []
        for a, b in zip(alpha, beta, strict=True):
            keep, take = math.exp(-b * self.width), -math.expm1(-b * self.width)
            # S_k = keep S_{k-1} + N_{k-1}, and its derivative by `keep`
            past = signal.lfilter([0.0, 1.0], [1.0, -keep], self.counts, axis=0)
            slope = signal.lfilter([0.0, 1.0], [1.0, -keep], past, axis=0)
            mean = mean + take * past @ a.T
            parts.append((keep, take, past, slope))
        if (mean <= 0).any():
            return -math.inf, np.full_like(theta, math.nan)
        logs = special.xlogy(self.counts, mean) - special.gammaln(self.counts + 1)
        pull = self.counts / mean - 1
        g_alpha = np.array([take * pull.T @ past for _, take, past, _ in parts])
        g_beta = np.array(
            [
                -self.width * keep * (pull * ((take * slope - past) @ a.T)).sum()
                for a, (keep, take, past, slope) in zip(alpha, parts, strict=True)
            ]
        )
        gradient = self.form.pull(theta, self.width * pull.sum(axis=0), g_alpha, g_beta)
        return float((logs - mean).sum()), gradient


def fit_binned(
    counts: ArrayLike,
    width: float,
    *,
    kernel: str = "exponential",
    terms: int | None = None,
    decay: ArrayLike | None = None,
    n_starts: int = 3,
    max_iterations: int = 2_000,
) -> HawkesFit:
    r"""Fit a Hawkes process to numbers of events in bins of one width.

    For clocks that do not tell the order of events within a bin. Given the past the counts of a bin
    are taken to be independent Poisson numbers of mean

        baseline width + sum over bins l before of adjacency (exp(-decay (k - l - 1) width)
        - exp(-decay (k - l) width)) N_l

    the mean of the process whose events happen at the end of their bin, so that `adjacency` keeps
    its meaning of children per event (an integer-valued autoregression: Kirchner, Stochastic
    Processes and their Applications 126 (2016) 2494-2525). Excitation faster than a bin is lost:
    it shows as counts that vary more than their mean.

    Parameters
    ----------
    counts : array_like of int, shape (k,) or (k, d)
    width : float
        Length of a bin.
    kernel, terms, decay, n_starts, max_iterations
        As in `fit`, without the power law.

    Returns
    -------
    HawkesFit
        With `method` ``"binned"``.

    Raises
    ------
    TypeError, ValueError
        `counts` are no integers of 0 or more, a type has fewer than 2 events, or an argument is out
        of range.

    Examples
    --------
    >>> result = fit_binned(np.random.default_rng(1).poisson(3.0, 2_000), 0.5, decay=1.0)
    >>> bool(abs(result.adjacency) < 0.1)
    True
    """
    table = np.asarray(counts)
    if table.dtype.kind not in "iu":
        raise TypeError(f"counts must be integers, got {table.dtype}")
    if table.ndim not in (1, 2) or not table.size:
        raise ValueError(f"counts must have shape (k,) or (k, d), got {table.shape}")
    if (table < 0).any():
        raise ValueError(f"counts must not be negative, got {table.min()}")
    rows = table.reshape(len(table), -1).astype(np.float64)
    for i in np.flatnonzero(rows.sum(axis=0) < 2):
        raise ValueError(f"counts must have at least 2 events of each type, got {rows[:, i].sum()}")
    if kernel == "power law":
        raise ValueError("kernel must be one of exponential, pairs, sum, got 'power law'")
    form = _form(rows.shape[1], table.ndim == 1, kernel, terms, decay)
    problem = _Binned(rows, validate.positive("width", width), form)
    rate = rows.sum(axis=0) / problem.end
    starts = _starts(problem, rate, check.count("n_starts", n_starts, 1))
    most = check.count("max_iterations", max_iterations, 1)
    reached = sorted(
        (_search(problem.value, form, s, rate, problem.n_events, most) for s in starts),
        key=lambda found: -found.value,
    )
    return _result(reached, problem, kernel, "binned")


# A first look without a model


def estimate_kernel(times: Times, horizon: float, *, width: float, bins: int) -> pd.DataFrame:
    r"""Estimate the kernels without a form, from second-order statistics.

    Bacry and Muzy (IEEE Transactions on Information Theory 62 (2016) 2184-2202): the mean rate of
    type i at a lag t after an event of type j, less its mean, g_ij(t), solves the Wiener-Hopf
    equation ``g(t) = phi(t) + integral over s > 0 of phi(s) g(t - s) ds`` for t > 0, with
    ``g_ij(-t) = rate_i / rate_j g_ji(t)``. Here g is counted in bins and the equation solved at
    their middles. It stands on stationarity alone; noise and drift of the rates go into it
    unfiltered, so that it is a first look and no estimate to test with.

    Parameters
    ----------
    times : array_like, shape (n,), or a sequence of d of them, one for each type
        Strictly increasing.
    horizon : float
        End of the observation.
    width : float
        Of a bin of lags.
    bins : int
        Number of them; `width` times `bins` must be less than half of the horizon.

    Returns
    -------
    DataFrame
        Index `lag`, the middles; one column for each pair, ``"phi"`` or (i, j), i excited by j.

    Raises
    ------
    TypeError, ValueError
        As `log_likelihood` of its times; a type has no events, or an argument is out of range.

    Examples
    --------
    >>> from labkit.hawkes import simulate
    >>> path = simulate(1.0, 0.5, 4.0, 20_000.0, seed=2)
    >>> kernel = estimate_kernel(path.times, 20_000.0, width=0.05, bins=60)["phi"]
    >>> bool(abs(kernel.sum() * 0.05 - 0.5) < 0.05)
    True
    """
    step, count = validate.positive("width", width), check.count("bins", bins, 1)
    end, reach = validate.positive("horizon", horizon), step * count
    if 2 * reach >= end:
        raise ValueError(f"width times bins must be below half of the horizon, got {reach}")
    several = events_of(times, None)
    d = 1 if several.single else len(times)
    series = [several.of_type(i, several.times) for i in range(d)]
    for i, one in enumerate(series):
        if not len(one) or one[-1] > end:
            name = "times" if several.single else f"times[{i}]"
            raise ValueError(f"{name} must have events, and none after the horizon")
    rates = np.array([len(one) for one in series]) / end
    edges = step * np.arange(count + 1)
    g = np.array(
        [[_lagged(series[j], series[i], edges, end) - rates[i] for j in range(d)] for i in range(d)]
    )
    phi = _wiener_hopf(g, rates, step)
    middles = pd.Index((edges[1:] + edges[:-1]) / 2, name="lag")
    if several.single:
        return pd.DataFrame({"phi": phi[0, 0]}, middles)
    return pd.DataFrame({(i, j): phi[i, j] for i in range(d) for j in range(d)}, middles)


def _lagged(source: Array, target: Array, edges: Array, end: float) -> Array:
    """Mean rate of `target` at the lags after an event of `source` that is seen to the last lag."""
    early = source[source <= end - edges[-1]]
    if not len(early):
        return np.zeros(len(edges) - 1)
    upto = [np.searchsorted(target, early + edge, side="right").sum() for edge in edges]
    return np.diff(upto) / (len(early) * np.diff(edges))


def _wiener_hopf(g: Array, rates: Array, step: float) -> Array:
    """phi (d, d, bins) from g in bins: one linear system for all rows."""
    d, _, bins = g.shape
    lags = np.arange(bins)[:, None] - np.arange(bins)[None, :]
    # g_kj(t - s) at the middles: at lag zero the mean of both sides, which may jump there.
    at = np.empty((d, d, bins, bins))
    for k in range(d):
        for j in range(d):
            ahead = g[k, j][np.abs(lags)]
            behind = rates[k] / rates[j] * g[j, k][np.abs(lags)]
            at[k, j] = np.where(lags > 0, ahead, np.where(lags < 0, behind, (ahead + behind) / 2))
    # For each j and t: g_ij(t) = phi_ij(t) + sum over k, s of phi_ik(s) step g_kj(t - s).
    system = step * at.transpose(1, 2, 0, 3).reshape(d * bins, d * bins) + np.eye(d * bins)
    return np.stack([np.linalg.solve(system, g[i].ravel()).reshape(d, bins) for i in range(d)])
