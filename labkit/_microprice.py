"""What the best quotes say about the next mid: weighted mid, micro-price and order-flow imbalance.

The public names are those of `labkit.market_making`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labkit import _validate as validate
from labkit._backend import kernels
from labkit.reference import _checks as check

__all__ = ["MicroPriceModel", "order_flow_imbalance", "sum_by_time", "weighted_mid"]


@dataclass(frozen=True)
class _Tops:
    """Best quotes of one shape, each bid below its ask, each size positive."""

    bid: NDArray[np.float64]
    bid_size: NDArray[np.float64]
    ask: NDArray[np.float64]
    ask_size: NDArray[np.float64]

    @classmethod
    def of(cls, *values: ArrayLike) -> _Tops:
        names = ("bid", "bid_size", "ask", "ask_size")
        arrays = [validate.numbers(name, v) for name, v in zip(names, values, strict=True)]
        for name, array in zip(names, arrays, strict=True):
            if array.shape != arrays[0].shape:
                raise ValueError(f"{name} must have the shape of bid, got {array.shape}")
            wrong = ~np.isfinite(array) | (array <= 0 if "size" in name else False)
            if wrong.any():
                sort = "positive and finite" if "size" in name else "finite"
                raise ValueError(f"{name} must be {sort}, got {array[wrong].flat[0]}")
        crossed = arrays[0] >= arrays[2]
        if crossed.any():
            bid, ask = arrays[0][crossed].flat[0], arrays[2][crossed].flat[0]
            raise ValueError(f"bid must be below ask, got {bid} and {ask}")
        return cls(*arrays)

    @property
    def imbalance(self) -> NDArray[np.float64]:
        """Share of the bid in both sizes."""
        return self.bid_size / (self.bid_size + self.ask_size)

    @property
    def mid(self) -> NDArray[np.float64]:
        return (self.bid + self.ask) / 2


def weighted_mid(
    bid: ArrayLike, bid_size: ArrayLike, ask: ArrayLike, ask_size: ArrayLike
) -> NDArray[np.float64] | float:
    """The mid weighted by the sizes at the best quotes.

    ``I ask + (1 - I) bid`` with the imbalance ``I = bid_size / (bid_size + ask_size)``. It is no
    martingale, and a small order to sell, placed inside the spread, may raise it (Stoikov, "The
    micro-price", Quantitative Finance 18 (2018) 1959-1966; the example is his). It is what
    `labkit.orderbook` calls `microprice`.

    Parameters
    ----------
    bid, bid_size, ask, ask_size : array_like, one shape
        Best quotes.

    Returns
    -------
    ndarray or float
        Of that shape.

    Raises
    ------
    ValueError
        A bid is not below its ask, or a size is not positive.

    Examples
    --------
    >>> round(weighted_mid(10.00, 9, 10.02, 27), 4), round(weighted_mid(10.00, 9, 10.01, 1), 4)
    (10.005, 10.009)
    """
    tops = _Tops.of(bid, bid_size, ask, ask_size)
    result = tops.bid + tops.imbalance * (tops.ask - tops.bid)
    return result if result.ndim else float(result)


# Micro-price


def _first_adjustment(
    stay: NDArray[np.float64], leave: NDArray[np.float64], change: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """G1 = (1 - Q)^-1 r and B = (1 - Q)^-1 T, with Q, T and the mean change r of the mid."""
    solved = np.linalg.solve(np.eye(len(stay)) - stay, np.column_stack((change, leave)))
    return solved[:, 0], solved[:, 1:]


def _stationary(chain: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distribution that the chain keeps; least squares, should there be more than one."""
    n = len(chain)
    system = np.vstack((chain.T - np.eye(n), np.ones(n)))
    return np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0]


def _series(
    first: NDArray[np.float64], chain: NDArray[np.float64], tolerance: float, most: int
) -> tuple[NDArray[np.float64], int, bool]:
    """The sum of ``chain^i first`` to a term below the tolerance; its terms; whether it ended."""
    total, term = first.copy(), first
    for count in range(1, most + 1):
        if np.abs(term).max() <= tolerance:
            return total, count, True
        term = chain @ term
        total += term
    return total, most, False


@dataclass(frozen=True, eq=False)
class MicroPriceModel:
    r"""Stoikov's micro-price: the mid that is expected in the long run, given spread and imbalance.

    The state of the best quotes is their spread in ticks, 1 to S, and the bucket of the imbalance
    ``bid_size / (bid_size + ask_size)``. From one row of quotes to the next the chain either keeps
    its mid (matrix Q of probabilities between states) or changes it (matrix T; r is the mean change
    of the mid from each state). The expected change of the mid when it next changes is
    ``G1 = (1 - Q)^-1 r``, that to the time after ``B G1`` with ``B = (1 - Q)^-1 T``, and the
    micro-price is the mid and the adjustment::

        G* = G1 + B G1 + B^2 G1 + ...

    (Quantitative Finance 18 (2018) 1959-1966, Theorem 3.1). It exists where the stationary
    distribution of B is orthogonal to G1. Every transition is counted once more as it looks with
    bids and asks exchanged, which makes it so.

    Make one with `fit`.

    Attributes
    ----------
    tick_size : float
    edges : ndarray, shape (n_buckets + 1,)
        Of the buckets of the imbalance, from 0 to 1. `fit` counts an imbalance on an edge in the
        upper one, and in the lower one of the exchanged book.
    adjustment : ndarray, shape (S, n_buckets)
        G* in ticks; a row for each spread from 1 tick.
    first_adjustment : ndarray, shape (S, n_buckets)
        G1 in ticks.
    chain : ndarray, shape (S n_buckets, S n_buckets)
        B, from the state in its row to that in its column; spread by spread.
    counts : ndarray, shape (S, n_buckets), int64
        Transitions from each state, with those exchanged.
    residual : float
        ``|pi G1|`` in ticks with the stationary distribution pi of B: rounding, or no series
        converges.
    iterations : int
        Terms of the series that were summed.
    converged : bool
        Whether the last one was below the tolerance.
    """

    tick_size: float
    edges: NDArray[np.float64]
    adjustment: NDArray[np.float64]
    first_adjustment: NDArray[np.float64]
    chain: NDArray[np.float64]
    counts: NDArray[np.int64]
    residual: float
    iterations: int
    converged: bool

    @classmethod
    def fit(
        cls,
        bid: ArrayLike,
        bid_size: ArrayLike,
        ask: ArrayLike,
        ask_size: ArrayLike,
        *,
        tick_size: float,
        n_buckets: int = 10,
        max_spread: int = 2,
        buckets: str = "equal width",
        tolerance: float = 1e-12,
        max_iterations: int = 100_000,
    ) -> MicroPriceModel:
        """Estimate the chain from best quotes in order of time and sum the series.

        Parameters
        ----------
        bid, bid_size, ask, ask_size : array_like, shape (n,)
            Best quotes of one unbroken stretch, one row an update.
        tick_size : float
            Every spread is a whole number of ticks.
        n_buckets : int
            Buckets of the imbalance, at least 2.
        max_spread : int
            S in ticks, at least 1. A wider spread counts as S.
        buckets : str
            ``"equal width"``, or ``"equal counts"``: quantiles of the imbalances and of what they
            are with bids and asks exchanged.
        tolerance : float
            In ticks, of the last term of the series.
        max_iterations : int
            Terms after which the series is given up, with `converged` false.

        Raises
        ------
        ValueError
            A quote is crossed, a size not positive, a spread off the grid; a state was never left,
            or the mid never changes from it on: ask for fewer buckets or a lower `max_spread`.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> bid_size, ask_size = rng.integers(1, 9, (2, 5000))
        >>> up = rng.random(4999) < (bid_size / (bid_size + ask_size))[:-1]
        >>> bid = 100 + np.append(0, np.cumsum(np.where(up, 1, -1)))
        >>> model = MicroPriceModel.fit(bid, bid_size, bid + 1, ask_size,
        ...                             tick_size=1, n_buckets=4, max_spread=1)
        >>> model.adjustment.round(1), model.converged
        (array([[-0.7, -0.2,  0.2,  0.7]]), True)
        """
        tick_size = validate.positive("tick_size", tick_size)
        n_buckets = check.count("n_buckets", n_buckets, 2)
        max_spread = check.count("max_spread", max_spread, 1)
        tolerance = validate.positive("tolerance", tolerance)
        max_iterations = check.count("max_iterations", max_iterations, 1)
        tops = _Tops.of(bid, bid_size, ask, ask_size)
        if tops.bid.ndim != 1 or len(tops.bid) < 2:
            raise ValueError(f"bid must have shape (n,) with n at least 2, got {tops.bid.shape}")
        edges = _edges(tops.imbalance, n_buckets, buckets)
        spread = _spread_place(tops, tick_size, max_spread)
        bucket = _bucket(edges, tops.imbalance)
        half_ticks = np.rint((tops.bid + tops.ask) / tick_size)
        change = np.diff(half_ticks) / 2
        states = max_spread * n_buckets
        # A transition and the same with bids and asks exchanged.
        there = spread * n_buckets + bucket
        back = spread * n_buckets + n_buckets - 1 - bucket
        source, target = (np.concatenate((there[s], back[s])) for s in (np.s_[:-1], np.s_[1:]))
        change = np.concatenate((change, -change))
        counts = np.bincount(source, minlength=states)
        if (counts == 0).any():
            empty = divmod(int(np.argmin(counts)), n_buckets)
            raise ValueError(
                f"n_buckets and max_spread must leave no state empty: none of the quotes has a "
                f"spread of {empty[0] + 1} ticks and an imbalance in bucket {empty[1]} of "
                f"{n_buckets}"
            )
        jump = np.zeros((2, states, states))
        np.add.at(jump, ((change != 0).astype(np.int64), source, target), 1.0)
        stay, leave = jump / counts[:, None]
        drift = np.bincount(source, weights=change, minlength=states) / counts
        if not _always_leaves(stay, leave):
            raise ValueError(
                "n_buckets and max_spread must leave a way from every state to a change of the mid"
            )
        first, chain = _first_adjustment(stay, leave, drift)
        total, iterations, converged = _series(first, chain, tolerance, max_iterations)
        return cls(
            tick_size=tick_size,
            edges=edges,
            adjustment=total.reshape(max_spread, n_buckets),
            first_adjustment=first.reshape(max_spread, n_buckets),
            chain=chain,
            counts=counts.reshape(max_spread, n_buckets),
            residual=float(abs(_stationary(chain) @ first)),
            iterations=iterations,
            converged=converged,
        )

    def predict(
        self, bid: ArrayLike, bid_size: ArrayLike, ask: ArrayLike, ask_size: ArrayLike
    ) -> NDArray[np.float64] | float:
        """The micro-price of best quotes: the mid and the adjustment of their state.

        An imbalance on an edge between two buckets has the mean of their adjustments, so that the
        micro-price of the book with bids and asks exchanged is the exchanged one.

        Parameters
        ----------
        bid, bid_size, ask, ask_size : array_like, one shape
            Best quotes; a spread wider than those of the table has the adjustment of the widest.

        Returns
        -------
        ndarray or float
            In the units of the quotes.

        Raises
        ------
        ValueError
            A quote is crossed, a size not positive, a spread off the grid.
        """
        tops = _Tops.of(bid, bid_size, ask, ask_size)
        spread = _spread_place(tops, self.tick_size, len(self.adjustment))
        # An edge and its mirror image, each rounded, may differ in the last digit.
        lower, upper = (_bucket(self.edges, tops.imbalance + slack) for slack in (-1e-12, 1e-12))
        adjustment = (self.adjustment[spread, lower] + self.adjustment[spread, upper]) / 2
        result = tops.mid + self.tick_size * adjustment
        return result if result.ndim else float(result)

    def __repr__(self) -> str:
        spreads, buckets = self.adjustment.shape
        return f"MicroPriceModel({spreads} spreads, {buckets} buckets, converged={self.converged})"


def _edges(imbalance: NDArray[np.float64], n: int, buckets: str) -> NDArray[np.float64]:
    if buckets == "equal width":
        return np.arange(n + 1) / n
    if buckets != "equal counts":
        raise ValueError(f"buckets must be 'equal width' or 'equal counts', got {buckets!r}")
    edges = np.quantile(np.concatenate((imbalance, 1 - imbalance)), np.arange(n + 1) / n)
    # Exactly symmetric about one half, which they are up to ties and rounding.
    edges = (edges + (1 - edges[::-1])) / 2
    edges[-1] = 1.0
    edges[: (n + 1) // 2] = 1 - edges[: n // 2 : -1]
    if not (np.diff(edges) > 0).all():
        raise ValueError(f"n_buckets must be less than {n}: two quantiles of the imbalance are one")
    return edges


def _spread_place(tops: _Tops, tick_size: float, max_spread: int) -> NDArray[np.int64]:
    """Row of the spread, from 0."""
    exact = (tops.ask - tops.bid) / tick_size
    ticks = np.rint(exact)
    # Differences of decimal prices carry the rounding of the prices.
    slack = 1e-6 + 1e-15 * np.abs(tops.ask) / tick_size
    off = (np.abs(exact - ticks) > slack) | (ticks < 1)
    if off.any():
        wrong = (tops.ask - tops.bid)[off].flat[0]
        raise ValueError(f"ask must be whole ticks of {tick_size:g} above bid, got {wrong} above")
    return np.minimum(ticks, max_spread).astype(np.int64) - 1


def _bucket(edges: NDArray[np.float64], imbalance: NDArray[np.float64]) -> Any:
    """Bucket of the imbalance, on an edge the upper one."""
    return np.searchsorted(edges[1:-1], imbalance, side="right")


def _always_leaves(stay: NDArray[np.float64], leave: NDArray[np.float64]) -> bool:
    """Whether a change of the mid can be reached from every state."""
    reached = leave.sum(axis=1) > 0
    for _ in range(len(stay)):
        wider = reached | ((stay > 0) & reached).any(axis=1)
        if (wider == reached).all():
            break
        reached = wider
    return bool(reached.all())


# Order-flow imbalance


def order_flow_imbalance(
    bid: ArrayLike, bid_size: ArrayLike, ask: ArrayLike, ask_size: ArrayLike
) -> NDArray[np.float64]:
    """What each change of the best quotes adds to demand less supply.

    Cont, Kukanov & Stoikov ("The price impact of order book events", Journal of Financial
    Econometrics 12 (2014) 47-88), with bid P at size q and ask P' at size q'::

        e_n = 1{P_n >= P_{n-1}} q_n - 1{P_n <= P_{n-1}} q_{n-1}
            - 1{P'_n <= P'_{n-1}} q'_n + 1{P'_n >= P'_{n-1}} q'_{n-1}

    In a book that holds D at every price, the sum over a stretch of time is ``2 D`` times the
    change of the mid in ticks, up to what is left in the queues.

    Parameters
    ----------
    bid, bid_size, ask, ask_size : array_like, shape (n,)
        Best quotes in order of time, n at least 1.

    Returns
    -------
    ndarray, shape (n - 1,)
        In the units of the sizes; the first entry is that of the change from row 0 to row 1.

    Raises
    ------
    ValueError, TypeError
        A value is not finite or no number, or the arrays are not of one length.

    Examples
    --------
    >>> order_flow_imbalance([10, 10, 11, 11], [5, 7, 2, 2], [12, 12, 12, 13], [4, 4, 4, 6])
    array([2., 2., 4.])
    """
    names = ("bid", "bid_size", "ask", "ask_size")
    values = (bid, bid_size, ask, ask_size)
    arrays = (validate.numbers(name, value) for name, value in zip(names, values, strict=True))
    return kernels.order_flow_imbalance(*arrays)


def sum_by_time(time: ArrayLike, values: ArrayLike, edges: ArrayLike) -> NDArray[np.float64]:
    """Sums over intervals of time, each open at its beginning and closed at its end.

    What happens at the end of an interval is known then. The sums of order-flow imbalances, with
    the times ``time[1:]`` of their changes, span the quotes at the two ends.

    Parameters
    ----------
    time : array_like, shape (n,)
        Not decreasing.
    values : array_like, shape (n,)
    edges : array_like, shape (m + 1,)
        Increasing, in the units of `time`.

    Returns
    -------
    ndarray, shape (m,)
        Sum of the values with ``edges[i] < time <= edges[i + 1]``; 0 where there are none.

    Raises
    ------
    TypeError, ValueError
        The times decrease, the edges do not increase, the lengths differ, or one of `time` and
        `edges` is in integers and the other in floats.

    Examples
    --------
    >>> sum_by_time([1, 2, 2, 3], [1.0, 2.0, 4.0, 8.0], [0, 2, 3, 9])
    array([7., 8., 0.])
    """
    time, edges = np.asarray(time), np.asarray(edges)
    values = validate.array("values", values, (None,))
    for name, array in (("time", time), ("edges", edges)):
        if array.ndim != 1 or array.dtype.kind not in "fiu":
            raise ValueError(f"{name} must be a vector of numbers, got {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")
    if len(time) != len(values):
        raise ValueError(f"time must have the {len(values)} entries of values, got {len(time)}")
    validate.one_clock(time=time, edges=edges)
    if (time[1:] < time[:-1]).any():
        raise ValueError("time must not decrease")
    if len(edges) < 2 or (edges[1:] <= edges[:-1]).any():
        raise ValueError("edges must be at least two and increase")
    bin_ = np.searchsorted(edges, time, side="left") - 1
    inside = (bin_ >= 0) & (bin_ < len(edges) - 1)
    return np.bincount(bin_[inside], weights=values[inside], minlength=len(edges) - 1)
