"""Hawkes processes with exponential kernels: likelihood, intensity, exact simulation.

Type i of d has the intensity::

    rate_i(t) = baseline_i + sum over m, j of adjacency[m, i, j] decay_m R_mj(t)
    R_mj(t) = sum over events k of type j before t of mark_k exp(-decay_m (t - t_k))

so that ``adjacency.sum(axis=0)`` is the branching matrix: events of type i that one of type j, of
mark 1, has as its children. The history before 0 is empty. Hawkes, Biometrika 58 (1971) 83-90.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labkit.reference import _checks as check
from labkit.reference import _philox as philox

__all__ = ["hawkes_likelihood", "hawkes_path", "hawkes_simulate"]

Array = NDArray[np.float64]

_MOST_PATHS = 100_000_000


class _Model(NamedTuple):
    baseline: Array
    adjacency: Array
    decay: Array


class _History(NamedTuple):
    times: Array
    types: NDArray[np.int64]
    marks: Array


def _values(name: str, values: Array, *, zero: bool) -> None:
    good = np.isfinite(values) & ((values >= 0) if zero else (values > 0))
    for place in np.argwhere(~good):
        at = ", ".join(map(str, place))
        what = "not negative" if zero else "positive"
        raise ValueError(f"{name}[{at}] must be finite and {what}, got {values[tuple(place)]}")


def _model(baseline: Any, adjacency: Any, decay: Any) -> _Model:
    mu = check.array("baseline", baseline, np.float64, ("d",))
    if not len(mu):
        raise ValueError("baseline must have at least one value")
    beta = check.array("decay", decay, np.float64, ("m",))
    alpha = check.array("adjacency", adjacency, np.float64, (len(beta), len(mu), len(mu)))
    _values("baseline", mu, zero=True)
    _values("adjacency", alpha, zero=True)
    _values("decay", beta, zero=False)
    return _Model(mu, alpha, beta)


def _history(times: Any, types: Any, marks: Any, d: int) -> _History:
    t = check.array("times", times, np.float64, ("n",))
    u = check.array("types", types, np.int64, (len(t),))
    w = np.ones(len(t)) if marks is None else check.array("marks", marks, np.float64, (len(t),))
    last = 0.0
    for row, time in enumerate(t.tolist()):
        if not (last < time < math.inf or (row == 0 and time == 0)):
            raise ValueError(
                f"times[{row}] must be finite, not negative and after the one before it, got {time}"
            )
        last = time
    for row in np.flatnonzero((u < 0) | (u >= d)):
        raise ValueError(f"types[{row}] must be from 0 to {d - 1}, got {u[row]}")
    _values("marks", w, zero=True)
    return _History(t, u, w)


def _excitation(history: _History, decay: Array, d: int) -> tuple[Array, Array]:
    """R_mj just before each event, and the same sum with each term times its lag, (n, m, d).

    From one event to the next, over a gap g with f = exp(-b g) and the event's own mark o, R
    becomes f (R + o) and the lagged sum L becomes f (L + g (R + o)): maps whose products from the
    first event on are taken for all events at once, over spans of 1, 2, 4 ... of them.
    """
    n = len(history.times)
    own = np.zeros((n, 1, d))
    own[np.arange(n), 0, history.types] = history.marks
    gap = np.diff(history.times, prepend=history.times[:1])[:, None, None]
    before = np.concatenate([np.zeros((min(n, 1), 1, d)), own[:-1]])
    fade = np.exp(-decay[:, None] * gap)
    drag = fade * gap
    level, lagged = fade * before, drag * before
    span = 1
    while span < n and fade.any():
        now, past = slice(span, None), slice(None, -span)
        lagged[now] += drag[now] * level[past] + fade[now] * lagged[past]
        level[now] += fade[now] * level[past]
        drag[now] = drag[now] * fade[past] + fade[now] * drag[past]
        fade[now] = fade[now] * fade[past]
        span *= 2
    return level, lagged


def hawkes_likelihood(
    times: Array,
    types: NDArray[np.int64],
    marks: Array | None,
    horizon: float,
    baseline: Array,
    adjacency: Array,
    decay: Array,
) -> tuple[float, Array, Array, Array]:
    """Log-likelihood of the events on (0, horizon], and its gradient, in O(n) (Ozaki 1979).

    Parameters
    ----------
    times : ndarray, shape (n,)
        Strictly increasing, not after the horizon.
    types : ndarray of int64, shape (n,)
        From 0 to d - 1.
    marks : ndarray, shape (n,), or None
        What an event's excitation is multiplied by; None: 1.
    horizon : float
        End of the observation.
    baseline : ndarray, shape (d,)
    adjacency : ndarray, shape (m, d, d)
        [., i, j]: from j to i.
    decay : ndarray, shape (m,)

    Returns
    -------
    value : float
        -inf where the intensity is zero at an event; the gradient is then NaN.
    by_baseline, by_adjacency, by_decay : ndarray
        Its derivatives, in the shapes of the parameters.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range.
    """
    model = _model(baseline, adjacency, decay)
    mu, alpha, beta = model
    d, terms = len(mu), len(beta)
    history = _history(times, types, marks, d)
    n, end = len(history.times), check.number("horizon", horizon)
    check.positive("horizon", end)
    if n and history.times[-1] > end:
        raise ValueError(f"horizon must not be before the last time, got {end}")
    level, lagged = _excitation(history, beta, d)
    u = history.types
    rate = mu[u] + np.einsum("kmj,kmj,m->k", alpha[:, u].swapaxes(0, 1), level, beta)
    # Of each type the marks that have come, and what of their effect is still to come at the end.
    total = np.bincount(u, history.marks, d)
    to_go = end - history.times
    left, left_lag = np.zeros((terms, d)), np.zeros((terms, d))
    for m, b in enumerate(beta):
        fading = history.marks * np.exp(-b * to_go)
        left[m] = np.bincount(u, fading, d)
        left_lag[m] = np.bincount(u, fading * to_go, d)
    spent = total - left
    if (rate <= 0).any():
        shapes = (mu, alpha, beta)
        return (-math.inf, *(np.full_like(values, math.nan) for values in shapes))
    value = np.log(rate).sum() - mu.sum() * end - (alpha.sum(axis=1) * spent).sum()
    by_baseline, by_adjacency = np.zeros(d), np.zeros((terms, d, d))
    for i in range(d):
        inverse = 1 / rate[u == i]
        by_baseline[i] = inverse.sum() - end
        by_adjacency[:, i] = beta[:, None] * np.tensordot(inverse, level[u == i], 1) - spent
    slope = level - beta[:, None] * lagged  # d(beta R) / d beta
    ours = alpha[:, u].swapaxes(0, 1)
    by_decay = np.einsum("kmj,kmj,k->m", ours, slope, 1 / rate)
    by_decay -= (alpha.sum(axis=1) * left_lag).sum(axis=1)
    return float(value), by_baseline, by_adjacency, by_decay


def hawkes_path(
    times: Array,
    types: NDArray[np.int64],
    marks: Array | None,
    baseline: Array,
    adjacency: Array,
    decay: Array,
    at: Array,
) -> tuple[Array, Array]:
    """Intensity of each type just before given times, and its integral from 0 to there.

    Parameters
    ----------
    times, types, marks, baseline, adjacency, decay
        As in `hawkes_likelihood`.
    at : ndarray, shape (q,)
        Not negative and not decreasing. Events at the very time do not count.

    Returns
    -------
    intensity, compensator : ndarray, shape (q, d)

    Raises
    ------
    TypeError, ValueError
        As in `hawkes_likelihood`; `at` is out of order.
    """
    mu, alpha, beta = _model(baseline, adjacency, decay)
    d = len(mu)
    history = _history(times, types, marks, d)
    points = check.array("at", at, np.float64, ("q",))
    last = 0.0
    for row, time in enumerate(points.tolist()):
        if not last <= time < math.inf:
            raise ValueError(
                f"at[{row}] must be finite, not negative and not before the time in front of it, "
                f"got {time}"
            )
        last = time
    own = np.zeros((len(history.times), d))
    own[np.arange(len(own)), history.types] = history.marks
    level, _ = _excitation(history, beta, d)
    seen = np.searchsorted(history.times, points, side="left")
    some = seen > 0
    gap = points[some] - history.times[seen[some] - 1]
    state, arrived = np.zeros((len(points), len(beta), d)), np.zeros((len(points), d))
    after = level[seen[some] - 1] + own[seen[some] - 1][:, None]
    state[some] = np.exp(-beta * gap[:, None])[:, :, None] * after
    arrived[some] = np.cumsum(own, axis=0)[seen[some] - 1]
    intensity = mu + np.einsum("mij,m,qmj->qi", alpha, beta, state)
    spent = arrived[:, None] - state
    return intensity, mu * points[:, None] + np.einsum("mij,qmj->qi", alpha, spent)


def hawkes_simulate(
    seed: int,
    n_paths: int,
    horizon: float,
    baseline: Array,
    adjacency: Array,
    decay: Array,
    marks: Array | None,
    thinning: bool,
    most: int,
) -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    """Exact paths on (0, horizon].

    With one decay, the construction of Dassios and Zhao, Electronic Communications in Probability
    18 (2013) no. 62, on the sum of all types, whose excess over the baseline fades as a whole: the
    next event is the earlier of one of the baseline and one of the excess, both inverted exactly.
    With several decays or `thinning`, that of Ogata, IEEE Transactions on Information Theory 27
    (1981) 23-31: a candidate at the present intensity, kept with the share of it that is left.

    Step n of path p takes block n of stream p of the seed: without thinning its words give the
    times of baseline and excess, the type and the mark; with it the time, type or rejection,
    nothing, and the mark.

    Parameters
    ----------
    seed : int
        From 0 to 2**64 - 1.
    n_paths : int
        At least 1.
    horizon : float
    baseline, adjacency, decay
        As in `hawkes_likelihood`.
    marks : ndarray, shape (k,), or None
        Each event draws one of these with equal chance; None: 1.
    thinning : bool
        Whether Ogata's construction is taken with one decay, too.
    most : int
        Events that a path may have.

    Returns
    -------
    times, types, marks : ndarray, shape (n,)
        One path after the other.
    counts : ndarray of int64, shape (n_paths,)

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or shape or is out of range; a path has more than `most`
        events.
    """
    key = philox.seed("seed", seed)
    paths = check.count("n_paths", n_paths, 1)
    if paths > _MOST_PATHS:
        raise ValueError(f"n_paths must be at most {_MOST_PATHS}, got {paths}")
    end = check.number("horizon", horizon)
    check.positive("horizon", end)
    model = _model(baseline, adjacency, decay)
    if marks is not None:
        drawn = check.array("marks", marks, np.float64, ("k",))
        _values("marks", drawn, zero=True)
        if not len(drawn):
            raise ValueError("marks must have at least one value")
    else:
        drawn = np.ones(1)
    if not isinstance(thinning, bool | np.bool_):
        raise TypeError(f"thinning must be a bool, got {type(thinning).__name__}")
    limit = check.count("most", most, 1)
    step = _thin if thinning or len(model.decay) != 1 else _invert
    rows: list[tuple[float, int, float]] = []
    counts = np.zeros(paths, np.int64)
    for path in range(paths):
        found = _path(key, path, end, model, drawn, step, limit)
        rows += found
        counts[path] = len(found)
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    columns = np.ascontiguousarray(table.T)
    return columns[0], columns[1].astype(np.int64), columns[2], counts


def _path(
    seed: int, path: int, end: float, model: _Model, marks: Array, step: Any, most: int
) -> list[tuple[float, int, float]]:
    excess = np.zeros((len(model.decay), len(model.baseline)))  # by decay and type
    jump = model.adjacency * model.decay[:, None, None]
    time, rows, n, chunk = 0.0, [], 0, 256
    while True:
        if n % chunk == 0:
            words = philox.blocks(seed, path, np.arange(n, n + chunk, dtype=np.uint64))
            uniform, exponential = philox.uniform(words), philox.exponential(words)
        u, e = uniform[:, n % chunk], exponential[:, n % chunk]
        n += 1
        wait, fade, kind = step(model, excess, u, e)
        time += wait
        if not time <= end:
            return rows
        excess *= fade[:, None]
        if kind is None:
            continue
        if kind < 0:
            kind = _choice(model.baseline + excess.sum(axis=0), u[2])
        mark = marks[min(int(u[3] * len(marks)), len(marks) - 1)]
        if len(rows) == most or not np.isfinite(jump[:, :, kind] * mark + excess).all():
            raise ValueError(f"horizon must give at most {most} events in a path, got {end}")
        rows.append((time, kind, mark))
        excess += mark * jump[:, :, kind]


def _choice(rates: Array, u: float) -> int:
    """The type whose turn it is; the last one that can be where rounding goes beyond them."""
    rest, kind = u * math.fsum(rates), 0
    for i, rate in enumerate(rates):
        if rate > 0:
            kind = i
            if rest < rate:
                break
            rest -= rate
    return kind


def _invert(model: _Model, excess: Array, u: Array, e: Array) -> tuple[float, Array, int | None]:
    """Wait for the next event, what is then left of the excess, and -1: the type is yet to draw."""
    b = model.decay[0]
    base, above = model.baseline.sum(), excess.sum()
    by_base = e[0] / base if base > 0 else math.inf
    left = 1 - b * e[1] / above if above > 0 else 0.0
    by_excess = -math.log(left) / b if left > 0 else math.inf
    if by_excess < by_base:
        return by_excess, np.array([left]), -1
    return by_base, np.exp(-model.decay * by_base), -1


def _thin(model: _Model, excess: Array, u: Array, e: Array) -> tuple[float, Array, int | None]:
    """Wait for the next candidate, what is then left of the excess, and its type or None."""
    bound = model.baseline.sum() + excess.sum()
    if bound <= 0:
        return math.inf, np.zeros(len(model.decay)), None
    wait = e[0] / bound
    fade = np.exp(-model.decay * wait)
    rest = u[1] * bound
    for kind, rate in enumerate(model.baseline + (excess * fade[:, None]).sum(axis=0)):
        if rest < rate:
            return wait, fade, kind
        rest -= rate
    return wait, fade, None
