"""From a portfolio to a strategy: how much to hold.

Weights of one period (`cara_weights`, `sharpe_weights`); plans over many periods with trading costs
(`garleanu_pedersen`, `multiperiod`, `replan`); exposure to a mean-reverting spread in continuous
time (`jurek_yang`). The public names are those of `labkit.meanrev`.

A position is a number of units, a price change is per unit, and a Series or DataFrame that goes in
comes out with its labels. An Ornstein-Uhlenbeck process is dX = theta (mu - X) dt + sigma dW.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.integrate
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from labkit import _convex
from labkit import _validate as validate
from labkit.reference import _checks as check

__all__ = [
    "JurekYang",
    "TradingPolicy",
    "cara_weights",
    "garleanu_pedersen",
    "jurek_yang",
    "multiperiod",
    "replan",
    "sharpe_weights",
]

# A correlation matrix with a smaller ratio of extreme eigenvalues has no trustworthy inverse.
_LEAST_RECIPROCAL_CONDITION = 1e-12
# Trades of a convex programme below this, in units of risk, are rounding of the solver.
_LEAST_TRADE = 1e-6
# Of Clarabel, on a programme in units of risk.
_TOLERANCES = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}

Array = NDArray[np.float64]


def _covariance(value: ArrayLike | pd.DataFrame) -> Array:
    """A positive definite matrix, symmetrised, or the error that says what it is not."""
    matrix = validate.array("covariance", value, (None, None))
    if matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"covariance must have shape (n, n), got {matrix.shape}")
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-8 * np.abs(matrix).max()):
        raise ValueError("covariance must be symmetric")
    matrix = (matrix + matrix.T) / 2
    variances = np.diag(matrix)
    if (variances <= 0).any():
        raise ValueError(
            f"covariance must be positive definite, got variance {variances.min()} on its diagonal"
        )
    scale = np.sqrt(variances)
    spectrum = np.linalg.eigvalsh(matrix / np.outer(scale, scale))
    if spectrum[0] <= _LEAST_RECIPROCAL_CONDITION * spectrum[-1]:
        raise ValueError(
            "covariance must be positive definite, got a correlation matrix with eigenvalues from "
            f"{spectrum[0]:.3g} to {spectrum[-1]:.3g}"
        )
    return matrix


def _labels(mean: Any, covariance: Any) -> pd.Index | None:
    """The labels that the weights shall have, after a check that all inputs agree on them."""
    found = [mean.index] if isinstance(mean, pd.Series) else []
    if isinstance(covariance, pd.DataFrame):
        found += [covariance.index, covariance.columns]
    for labels in found[1:]:
        if not labels.equals(found[0]):
            raise ValueError(
                "covariance must have the same labels, in one order, in rows, columns and mean"
            )
    return found[0] if found else None


def _agreed(**given: Any) -> pd.Index | None:
    """The labels of one kind of thing, which all that has labels must share."""
    known = None
    for name, value in given.items():
        axes = value.axes if isinstance(value, pd.Series | pd.DataFrame) else [value]
        for labels in (axis for axis in axes if isinstance(axis, pd.Index)):
            if known is None:
                known = labels
            elif not labels.equals(known):
                raise ValueError(f"{name} must have the labels {list(known)}, in that order")
    return known


def _axis(table: Any, axis: int) -> pd.Index | None:
    return table.axes[axis] if isinstance(table, pd.DataFrame) else None


def _solve(covariance: Array, right: Array) -> Array:
    # Scaled to unit variances, so that assets quoted in very different units lose no digits.
    scale = np.sqrt(np.diag(covariance))
    factor = scipy.linalg.cho_factor(covariance / np.outer(scale, scale))
    shaped = scale if right.ndim == 1 else scale[:, None]
    return scipy.linalg.cho_solve(factor, right / shaped) / shaped


def cara_weights(
    mean: ArrayLike | pd.Series, covariance: ArrayLike | pd.DataFrame, risk_aversion: float
) -> Array | pd.Series:
    """Positions of an investor with constant absolute risk aversion and Gaussian payoffs.

    ``w = covariance^-1 mean / risk_aversion`` maximises ``E[-exp(-risk_aversion w'R)]`` for R
    normal with that mean and covariance: the expectation is ``-exp(-risk_aversion (w'mean -
    risk_aversion/2 w'covariance w))``, so the same w maximises the mean-variance objective
    ``w'mean - risk_aversion/2 w'covariance w`` (Merton, "Lifetime portfolio selection under
    uncertainty", 1969; Grossman, "On the efficiency of competitive stock markets", 1976).

    Parameters
    ----------
    mean : array_like or Series, shape (n,)
        Expected payoff of one unit in excess of what financing it costs.
    covariance : array_like or DataFrame, shape (n, n)
        Covariance of the payoffs.
    risk_aversion : float
        Per unit of money, positive.

    Returns
    -------
    ndarray or Series, shape (n,)
        Units of each asset; they need not add up to anything.

    Raises
    ------
    ValueError
        Shapes or labels disagree, the covariance is not positive definite (reciprocal condition
        of its correlation matrix at most 1e-12), the risk aversion is not positive.

    Examples
    --------
    >>> cara_weights([0.1, 0.2], [[1.0, 0.0], [0.0, 4.0]], risk_aversion=0.5)
    array([0.2, 0.1])
    """
    labels = _labels(mean, covariance)
    matrix = _covariance(covariance)
    vector = validate.array("mean", mean, (len(matrix),))
    weights = _solve(matrix, vector) / validate.positive("risk_aversion", risk_aversion)
    return weights if labels is None else pd.Series(weights, labels)


def sharpe_weights(
    mean: ArrayLike | pd.Series,
    covariance: ArrayLike | pd.DataFrame,
    risk_free: float = 0.0,
) -> Array | pd.Series:
    """Weights of the tangency portfolio: the largest Sharpe ratio among those that sum to one.

    ``w = covariance^-1 (mean - risk_free) / 1'covariance^-1 (mean - risk_free)`` (Tobin,
    "Liquidity preference as behavior towards risk", 1958; Sharpe, "Capital asset prices", 1964).
    Its Sharpe ratio is ``sqrt(e'covariance^-1 e)`` with ``e = mean - risk_free``.

    Parameters
    ----------
    mean : array_like or Series, shape (n,)
        Expected returns.
    covariance : array_like or DataFrame, shape (n, n)
        Covariance of the returns.
    risk_free : float
        Riskless return of the same period.

    Returns
    -------
    ndarray or Series, shape (n,)
        Weights that sum to one; short positions are allowed.

    Raises
    ------
    ValueError
        As `cara_weights`; or the minimum-variance portfolio does not earn more than `risk_free`.
        Then there is no tangency portfolio: the formula divides by zero, or by a negative number
        and gives the portfolio with the *least* Sharpe ratio, while the largest is approached
        only by ever larger positions.

    Examples
    --------
    >>> sharpe_weights([0.02, 0.04], [[1.0, 0.0], [0.0, 4.0]])
    array([0.66666667, 0.33333333])
    """
    labels = _labels(mean, covariance)
    matrix = _covariance(covariance)
    excess = validate.array("mean", mean, (len(matrix),)) - validate.finite("risk_free", risk_free)
    direction = _solve(matrix, excess)
    total = direction.sum()
    if total <= 1e-12 * np.abs(direction).sum():
        raise ValueError(
            "mean must give the minimum-variance portfolio more than risk_free, or there is no "
            f"tangency portfolio; 1'covariance^-1 (mean - risk_free) is {total:.3g}"
        )
    weights = direction / total
    return weights if labels is None else pd.Series(weights, labels)


def _discount(value: Any) -> float:
    number = check.number("discount", value)
    if not 0 <= number < 1:
        raise ValueError(f"discount must be in [0, 1), got {value}")
    return number


def _cost_matrix(value: Any, covariance: Array) -> Array | None:
    """Lambda from what `quadratic_cost` may be; None where it is infinite."""
    if np.ndim(value) == 0:
        number = check.number("quadratic_cost", value)
        if not number >= 0:
            raise ValueError(f"quadratic_cost must not be negative, got {value}")
        return None if number == math.inf else number * covariance
    matrix = validate.array("quadratic_cost", value, covariance.shape)
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-8 * np.abs(matrix).max()):
        raise ValueError("quadratic_cost must be symmetric")
    if not matrix.any():
        return matrix
    matrix = (matrix + matrix.T) / 2
    least = np.linalg.eigvalsh(matrix)
    if least[0] <= _LEAST_RECIPROCAL_CONDITION * least[-1]:
        raise ValueError(
            "quadratic_cost must be a number, zero or positive definite, got eigenvalues from "
            f"{least[0]:.3g} to {least[-1]:.3g}"
        )
    return matrix


def _persistence(decay: Any, k: int) -> Array:
    """I - Phi, under which no factor explodes."""
    persistence = np.eye(k) - validate.array("decay", decay, (k, k))
    if k and np.abs(np.linalg.eigvals(persistence)).max() > 1 + 1e-12:
        raise ValueError("decay must leave I - decay no eigenvalue outside the unit circle")
    return persistence


def _start(value: Any, n: int) -> Array:
    if value is None:
        return np.zeros(n)
    if np.ndim(value) == 0:
        return np.full(n, validate.finite("start", value))
    return validate.array("start", value, (n,))


@dataclass(frozen=True)
class TradingPolicy:
    """Trade a fixed part of the way to an aim at each step (Garleanu & Pedersen 2013).

    ``x[t] = x[t-1] + trade_rate (aim_loadings f[t] - x[t-1])``, with ``trade_rate = Lambda^-1
    a_xx`` and ``aim_loadings = a_xx^-1 a_xf``.

    Attributes
    ----------
    trade_rate : ndarray, shape (n, n)
        The part of the way; the identity without costs, 0 at infinite cost.
    aim_loadings : ndarray, shape (n, K)
        Units to aim at for each unit of a factor; NaN at infinite cost.
    a_xx, a_xf : ndarray, shapes (n, n) and (n, K)
        Of the value function before trading, ``-x'a_xx x / 2 + x'a_xf f + ...`` in the position x
        held and the factors f; NaN at infinite cost.
    assets, signals : Index or None
        Labels of the n assets and the K factors, where what the policy was made from had any.
    """

    trade_rate: Array
    aim_loadings: Array
    a_xx: Array
    a_xf: Array
    assets: pd.Index | None = None
    signals: pd.Index | None = None

    def positions(
        self,
        factors: ArrayLike | pd.DataFrame,
        start: float | ArrayLike | pd.Series | None = None,
    ) -> Array | pd.DataFrame:
        """Positions held after trading at each row.

        Parameters
        ----------
        factors : array_like or DataFrame, shape (T, K)
            Row t is what is known when x[t] is traded.
        start : float, array_like or Series, shape (n,), optional
            Position before the first row; nothing by default.

        Returns
        -------
        ndarray or DataFrame, shape (T, n)
            Row t depends on ``factors[:t + 1]`` only. A DataFrame has the index of `factors` and
            the labels of the assets.

        Raises
        ------
        ValueError
            Shapes disagree, or labels do with those of the policy.
        """
        n, k = self.aim_loadings.shape
        assets = _agreed(policy=self.assets, start=start)
        _agreed(policy=self.signals, factors=_axis(factors, 1))
        signals = validate.array("factors", factors, (None, k))
        position = _start(start, n)
        stay = np.eye(n) - self.trade_rate
        pull = self.trade_rate @ self.aim_loadings if self.trade_rate.any() else np.zeros((n, k))
        path = np.empty((len(signals), n))
        for row, signal in enumerate(signals):
            position = stay @ position + pull @ signal
            path[row] = position
        if isinstance(factors, pd.DataFrame):
            return pd.DataFrame(path, factors.index, assets)
        return path


def garleanu_pedersen(
    loadings: ArrayLike | pd.DataFrame,
    decay: ArrayLike | pd.DataFrame,
    covariance: ArrayLike | pd.DataFrame,
    *,
    risk_aversion: float,
    quadratic_cost: float | ArrayLike | pd.DataFrame,
    discount: float = 0.0,
) -> TradingPolicy:
    """Optimal trading on decaying signals against quadratic costs, in closed form.

    Price changes are ``r[t+1] = B f[t] + u[t+1]`` with ``cov(u) = Sigma``, factors decay as
    ``f[t+1] = (I - Phi) f[t] + e[t+1]``. The policy maximises (Garleanu & Pedersen, "Dynamic
    trading with predictable returns and transaction costs", Journal of Finance 68(6), 2013) ::

        E sum over t of  (1-rho)^(t+1) (x[t]'B f[t] - gamma/2 x[t]'Sigma x[t])
                       - (1-rho)^t / 2 dx[t]'Lambda dx[t],        dx[t] = x[t] - x[t-1]

    so x[t] is traded at t, with f[t] known, and earns r[t+1]. With the value function
    ``V(x[t-1], f[t]) = -x'A_xx x/2 + x'A_xf f + ...``, ``L = Lambda/(1-rho)`` and ``J = gamma Sigma
    + L + A_xx``, Bellman's equation is ``A_xx = (1-rho)(L - L J^-1 L)`` and ``A_xf = Lambda J^-1 (B
    + A_xf (I - Phi))``. In a basis V with ``V'LV = I`` and ``V' gamma Sigma V = diag(s)`` the
    first is n scalar equations ``a^2 + (s + rho) a - (1-rho) s = 0``, of which the positive root is
    taken (the matrix square root in the paper's solution), and the second n systems of K linear
    equations.

    Parameters
    ----------
    loadings : array_like or DataFrame, shape (n, K)
        B, expected price change of each asset for each unit of a factor.
    decay : array_like or DataFrame, shape (K, K)
        Phi; I - Phi must have no eigenvalue outside the unit circle.
    covariance : array_like or DataFrame, shape (n, n)
        Sigma, covariance of price changes.
    risk_aversion : float
        gamma, positive.
    quadratic_cost : float, array_like or DataFrame, shape (n, n)
        Lambda, positive definite; a number stands for that multiple of `covariance` (the paper's
        main case). 0 gives the myopic ``(gamma Sigma)^-1 B f[t]``, ``inf`` never trades.
    discount : float
        rho, in [0, 1), of one step.

    Returns
    -------
    TradingPolicy

    Raises
    ------
    ValueError
        Shapes or labels disagree, a matrix is not positive definite, a number is out of range, a
        factor explodes.

    Examples
    --------
    >>> policy = garleanu_pedersen([[1.0]], [[0.5]], [[1.0]], risk_aversion=1, quadratic_cost=2)
    >>> policy.trade_rate, policy.aim_loadings
    (array([[0.5]]), array([[0.66666667]]))
    """
    names = {
        "assets": _agreed(
            covariance=covariance, loadings=_axis(loadings, 0), quadratic_cost=quadratic_cost
        ),
        "signals": _agreed(loadings=_axis(loadings, 1), decay=decay),
    }
    sigma = _covariance(covariance)
    n = len(sigma)
    b = validate.array("loadings", loadings, (n, None))
    k = b.shape[1]
    persistence = _persistence(decay, k)
    gamma, rho = validate.positive("risk_aversion", risk_aversion), _discount(discount)
    lam = _cost_matrix(quadratic_cost, sigma)
    if lam is None:
        return TradingPolicy(
            np.zeros((n, n)),
            np.full((n, k), math.nan),
            np.full((n, n), math.nan),
            np.full((n, k), math.nan),
            **names,
        )
    if not lam.any():
        return TradingPolicy(
            np.eye(n), _solve(sigma, b) / gamma, np.zeros((n, n)), np.zeros((n, k)), **names
        )
    return replace(_closed_form(b, persistence, gamma * sigma, lam, rho), **names)


def _closed_form(
    b: Array, persistence: Array, risk: Array, lam: Array, rho: float
) -> TradingPolicy:
    keep = 1 - rho
    s, v = scipy.linalg.eigh(risk, lam / keep)
    w = lam / keep @ v  # the inverse of v'
    # The root written so that nothing cancels at small s.
    a = 2 * keep * s / (s + rho + np.sqrt((s + rho) ** 2 + 4 * keep * s))
    j = (1 + s + a) / keep
    x = np.stack(
        [
            np.linalg.solve((j_i * np.eye(len(persistence)) - persistence).T, row)
            for j_i, row in zip(j, v.T @ b, strict=True)
        ]
    )
    rate = (v * (a / keep)) @ w.T
    return TradingPolicy(rate, (v / a) @ x, (w * a) @ w.T, w @ x)


def multiperiod(
    expected: ArrayLike | pd.DataFrame,
    covariance: ArrayLike | pd.DataFrame,
    *,
    risk_aversion: float,
    cost: float | ArrayLike | pd.Series = 0.0,
    quadratic_cost: float | ArrayLike | pd.DataFrame = 0.0,
    start: float | ArrayLike | pd.Series | None = None,
    discount: float = 0.0,
) -> Array | pd.DataFrame:
    """Plan positions over a horizon of forecasts, with proportional and quadratic costs.

    The plan x maximises, with dx[h] = x[h] - x[h-1] and x[-1] = `start`, ::

        sum over h of  (1-rho)^(h+1) (x[h]'m[h] - gamma/2 x[h]'Sigma x[h])
                     - (1-rho)^h (c'|dx[h]| + dx[h]'Lambda dx[h] / 2)

    which is the objective of `garleanu_pedersen` over H steps, with proportional costs c added.
    Nothing is charged for what is held at the end. With proportional costs it is a convex quadratic
    programme (cvxpy, Clarabel), without them a block tridiagonal system of linear equations. Only
    the first row is to be traded; with new forecasts one plans anew (`replan`).

    Parameters
    ----------
    expected : array_like or DataFrame, shape (H, n)
        m[h], the change of price expected now for the step after h.
    covariance : array_like or DataFrame, shape (n, n)
        Sigma, covariance of price changes of one step.
    risk_aversion : float
        gamma, positive.
    cost : float, array_like or Series, shape (n,)
        c, money for each unit traded; ``inf`` freezes an asset at its start.
    quadratic_cost : float, array_like or DataFrame, shape (n, n)
        Lambda, as in `garleanu_pedersen`.
    start : float, array_like or Series, shape (n,), optional
        Position held before the first trade; nothing by default.
    discount : float
        rho, in [0, 1), of one step.

    Returns
    -------
    ndarray or DataFrame, shape (H, n)
        Units held after each trade. With proportional costs, trades below 1e-6 of the largest
        position in units of risk (myopic or at the start) are rounding of the solver, and are set
        to nothing.

    Raises
    ------
    ValueError
        Shapes or labels disagree, a matrix is not positive definite, a number is out of range.
    SolverFailed
        The solver does not reach its tolerance.

    Examples
    --------
    >>> multiperiod([[0.1], [0.2]], [[1.0]], risk_aversion=0.5)
    array([[0.2],
           [0.4]])
    """
    _agreed(
        expected=_axis(expected, 1),
        covariance=covariance,
        quadratic_cost=quadratic_cost,
        cost=cost,
        start=start,
    )
    sigma = _covariance(covariance)
    forecast = validate.array("expected", expected, (None, len(sigma)))
    if not len(forecast):
        raise ValueError("expected must have at least one row")
    planner = _Planner(sigma, len(forecast), risk_aversion, cost, quadratic_cost, discount)
    plan = planner.plan(forecast, _start(start, len(sigma)))
    if isinstance(expected, pd.DataFrame):
        return pd.DataFrame(plan, expected.index, expected.columns)
    return plan


def replan(
    factors: ArrayLike | pd.DataFrame,
    loadings: ArrayLike | pd.DataFrame,
    decay: ArrayLike | pd.DataFrame,
    covariance: ArrayLike | pd.DataFrame,
    *,
    horizon: int,
    risk_aversion: float,
    cost: float | ArrayLike | pd.Series = 0.0,
    quadratic_cost: float | ArrayLike | pd.DataFrame = 0.0,
    start: float | ArrayLike | pd.Series | None = None,
    discount: float = 0.0,
) -> Array | pd.DataFrame:
    """Run `multiperiod` over a sample: plan at each row, make the first trade, plan again.

    At row t the forecasts are ``m[h] = B (I - Phi)^h f[t]`` for h = 0 to horizon - 1, so nothing
    after row t is used.

    Parameters
    ----------
    factors : array_like or DataFrame, shape (T, K)
        Row t is what is known when x[t] is traded.
    loadings, decay, covariance : array_like or DataFrame
        B, Phi and Sigma, as in `garleanu_pedersen`.
    horizon : int
        Steps planned ahead, at least 1.
    risk_aversion, cost, quadratic_cost, start, discount
        As in `multiperiod`.

    Returns
    -------
    ndarray or DataFrame, shape (T, n)
        Units held after the trade of each row. A DataFrame has the index of `factors` and the
        labels of the assets.

    Raises
    ------
    ValueError, SolverFailed
        As `multiperiod`; or a factor explodes.

    Examples
    --------
    >>> b, phi, sigma = [[1.0]], [[0.5]], [[1.0]]
    >>> replan([[1.0], [0.6]], b, phi, sigma, horizon=4, risk_aversion=1, cost=0.7).round(6)
    array([[0.29375],
           [0.29375]])
    """
    assets = _agreed(
        covariance=covariance,
        loadings=_axis(loadings, 0),
        quadratic_cost=quadratic_cost,
        cost=cost,
        start=start,
    )
    _agreed(loadings=_axis(loadings, 1), decay=decay, factors=_axis(factors, 1))
    sigma = _covariance(covariance)
    b = validate.array("loadings", loadings, (len(sigma), None))
    k = b.shape[1]
    persistence = _persistence(decay, k)
    signals = validate.array("factors", factors, (None, k))
    horizon = check.count("horizon", horizon, 1)
    planner = _Planner(sigma, horizon, risk_aversion, cost, quadratic_cost, discount)
    position = _start(start, len(sigma))
    path = np.empty((len(signals), len(sigma)))
    powers = np.stack([np.linalg.matrix_power(persistence, h) for h in range(horizon)])
    for row, signal in enumerate(signals):
        position = planner.plan((powers @ signal) @ b.T, position)[0]
        path[row] = position
    return pd.DataFrame(path, factors.index, assets) if isinstance(factors, pd.DataFrame) else path


class _Planner:
    """The problem of `multiperiod`, set up once for many forecasts of one length."""

    def __init__(
        self, sigma: Array, horizon: int, risk_aversion: Any, cost: Any, quadratic: Any, rho: Any
    ):
        self.sigma, self.horizon = sigma, horizon
        self.gamma, self.keep = (
            validate.positive("risk_aversion", risk_aversion),
            1 - _discount(rho),
        )
        self.lam = _cost_matrix(quadratic, sigma)
        self.costs = _costs_or_infinite(cost, len(sigma))
        self.scale = np.sqrt(np.diag(sigma))
        self.problem = None

    def plan(self, forecast: Array, start: Array) -> Array:
        if self.lam is None or np.isinf(self.costs).all():
            return np.tile(start, (self.horizon, 1))
        if self.costs.any():
            return self._programme(forecast, start)
        if not self.lam.any():
            return _solve(self.sigma, forecast.T).T / self.gamma
        return self._linear(forecast, start)

    def _linear(self, forecast: Array, start: Array) -> Array:
        """Solve the first-order conditions, block by block from the last step."""
        risk, lam, keep = self.keep * self.gamma * self.sigma, self.lam, self.keep
        factor = scipy.linalg.cho_factor(risk + lam)
        right = keep * forecast[-1]
        stack = [(factor, right)]
        for mean in forecast[-2::-1]:
            ahead = scipy.linalg.cho_solve(factor, np.column_stack([lam, right]))
            right = keep * (mean + lam @ ahead[:, -1])
            factor = scipy.linalg.cho_factor(risk + (1 + keep) * lam - keep * lam @ ahead[:, :-1])
            stack.append((factor, right))
        path, position = np.empty_like(forecast), start
        for h, (factor, right) in enumerate(reversed(stack)):
            position = scipy.linalg.cho_solve(factor, lam @ position + right)
            path[h] = position
        return path

    def _programme(self, forecast: Array, start: Array) -> Array:
        # y = x * scale / unit are positions in units of risk, of order one, and the objective is
        # divided by gamma unit^2: the solver's tolerances then mean the same for every problem.
        target = forecast / (self.gamma * self.scale)
        unit = max(np.abs(target).max(), np.abs(start * self.scale).max())
        if unit == 0:
            return np.zeros_like(forecast)
        if self.problem is None:
            self._build()
        known = np.where(np.isinf(self.costs), 0.0, self.costs)
        self.mean.value = target / unit
        paid = self.keep ** np.arange(0.0, self.horizon)[:, None]
        self.fee.value = paid * known / (self.gamma * self.scale * unit)
        self.before.value = start * self.scale / unit
        _convex.solve(self.problem, warm_start=False, **_TOLERANCES)
        steps = np.diff(self.y.value, axis=0, prepend=self.before.value[None])
        steps[np.abs(steps) < _LEAST_TRADE] = 0.0
        return start + np.cumsum(steps, axis=0) * unit / self.scale

    def _build(self) -> None:
        import cvxpy as cp

        n, horizon = len(self.sigma), self.horizon
        earned = self.keep ** np.arange(1.0, horizon + 1)[:, None]
        paid = self.keep ** np.arange(0.0, horizon)[:, None]
        squares = np.outer(self.scale, self.scale)
        self.y = cp.Variable((horizon, n))
        self.mean, self.before = cp.Parameter((horizon, n)), cp.Parameter(n)
        self.fee = cp.Parameter((horizon, n), nonneg=True)
        steps = cp.Variable((horizon, n))
        constraints = [steps[0] == self.y[0] - self.before]
        if horizon > 1:
            constraints.append(steps[1:] == cp.diff(self.y, axis=0))
        root = np.linalg.cholesky(self.sigma / squares)
        objective = cp.sum(cp.multiply(earned * np.ones(n), cp.multiply(self.mean, self.y)))
        objective -= cp.sum_squares(cp.multiply(np.sqrt(earned) * np.ones(n), self.y @ root)) / 2
        objective -= cp.sum(cp.multiply(self.fee, cp.abs(steps)))
        if self.lam.any():
            root = np.linalg.cholesky(self.lam / (self.gamma * squares))
            objective -= cp.sum_squares(cp.multiply(np.sqrt(paid) * np.ones(n), steps @ root)) / 2
        frozen = np.flatnonzero(np.isinf(self.costs))
        if len(frozen):
            constraints.append(steps[:, frozen] == 0)
        self.problem = cp.Problem(cp.Maximize(objective), constraints)


def _costs_or_infinite(value: Any, n: int) -> Array:
    costs = np.asarray(value)
    if costs.dtype.kind not in "fiu":
        raise TypeError(f"cost must hold numbers, got {costs.dtype}")
    if costs.shape not in ((), (n,)):
        raise ValueError(f"cost must be a number or have shape ({n},), got {costs.shape}")
    if not (costs >= 0).all():
        raise ValueError(f"cost must not be negative, got {costs.min()}")
    return np.broadcast_to(costs, (n,)).astype(np.float64)


@dataclass(frozen=True)
class JurekYang:
    """Optimal exposure of a finite-horizon investor to a mean-reverting spread.

    Made by `jurek_yang`. All times are in the unit of 1/theta.

    Attributes
    ----------
    theta, mu, sigma : float
        Of the spread, dS = theta (mu - S) dt + sigma dW.
    horizon : float
        Time from the first trade to the last.
    risk_aversion, risk_free : float
        g of the utility ``W^(1-g) / (1-g)``, and the continuous riskless rate.
    """

    theta: float
    mu: float
    sigma: float
    horizon: float
    risk_aversion: float
    risk_free: float

    def _times(self, time_left: ArrayLike) -> Array:
        times = validate.numbers("time_left", time_left)
        if not ((times >= 0) & (times <= self.horizon)).all():
            raise ValueError(f"time_left must be in [0, horizon = {self.horizon}], got {time_left}")
        return times

    def _per_utility(self, times: Array) -> tuple[Array, Array]:
        """A / (1 - g) and B / (1 - g), which stay finite at g = 1."""
        g, r, pull = self.risk_aversion, self.risk_free, self.theta + self.risk_free
        cosine, sine, rise = _hyperbolic(self._discriminant, times)
        bottom = cosine - self._linear * sine
        a = 2 * pull**2 / (g * self.sigma**2) * sine / bottom
        shift = self.theta * self.mu * pull / (g * self.sigma**2)
        return a, shift * (4 * r * rise - 2 * sine) / bottom

    @property
    def _linear(self) -> float:
        g = self.risk_aversion
        return -2 * (self.theta + (1 - g) * self.risk_free) / g

    @property
    def _discriminant(self) -> float:
        g = self.risk_aversion
        return 4 / g * (self.theta**2 - (1 - g) * self.risk_free**2)

    def coefficients(self, time_left: ArrayLike) -> tuple[Array, Array]:
        """A and B of the value function, at each time left in [0, horizon]."""
        a, b = self._per_utility(self._times(time_left))
        return (1 - self.risk_aversion) * a, (1 - self.risk_aversion) * b

    def exposure(self, spread: ArrayLike, time_left: ArrayLike) -> Array:
        """Units of the spread to hold, for each unit of wealth.

        ``((theta (mu - S) - r S) / sigma^2 + A S + B) / g``; `spread` and `time_left` broadcast.
        """
        s = validate.numbers("spread", spread)
        a, b = self.coefficients(time_left)
        drift = self.theta * (self.mu - s) - self.risk_free * s
        return (drift / self.sigma**2 + a * s + b) / self.risk_aversion

    def _growth(self, times: Array) -> Array:
        """C / (1 - g), whose derivative is integrated numerically."""
        g, variance = self.risk_aversion, self.sigma**2
        level = self.theta * self.mu

        def slope(time: float) -> float:
            a, b = self._per_utility(np.float64(time))
            full = (1 - g) * b
            squares = (full + level / variance) ** 2 / g + a + full * b
            return float(self.risk_free + variance / 2 * squares + level * b)

        def integral(time: float) -> float:
            return scipy.integrate.quad(slope, 0, time, epsabs=0, epsrel=1e-10, limit=500)[0]

        return np.vectorize(integral, otypes=[np.float64])(times)

    def certainty_equivalent(
        self, wealth: ArrayLike, spread: ArrayLike, time_left: ArrayLike
    ) -> Array:
        """Riskless final wealth that is worth as much as trading optimally from here.

        ``W exp((A S^2/2 + B S + C) / (1 - g))``, at g = 1 the limit; the arguments broadcast.
        Wealth must be positive, as the utility has no other.
        """
        held, s = validate.numbers("wealth", wealth), validate.numbers("spread", spread)
        if not ((held > 0) & np.isfinite(held)).all():
            raise ValueError(f"wealth must be positive and finite, got {wealth}")
        times = self._times(time_left)
        a, b = self._per_utility(times)
        return held * np.exp(a * s**2 / 2 + b * s + self._growth(times))

    def value(self, wealth: ArrayLike, spread: ArrayLike, time_left: ArrayLike) -> Array:
        """Expected utility of final wealth: ``W^(1-g) / (1-g) exp(A S^2/2 + B S + C)``, or log."""
        equivalent = self.certainty_equivalent(wealth, spread, time_left)
        g = self.risk_aversion
        return np.log(equivalent) if g == 1 else equivalent ** (1 - g) / (1 - g)


def _hyperbolic(discriminant: float, times: Array) -> tuple[Array, Array, Array]:
    """cosh(h t/2), sinh(h t/2)/h and (cosh(h t/2) - 1)/h^2 at h^2 = `discriminant`.

    All three divided by exp(h t/2) where h is real, for only their ratios are used and those must
    not overflow.
    """
    h = math.sqrt(abs(discriminant))
    if discriminant > 0:
        one_less = -np.expm1(-h * times / 2) / h  # (1 - exp(-h t/2)) / h
        decay = np.exp(-h * times)
        return (1 + decay) / 2, -np.expm1(-h * times) / (2 * h), one_less**2 / 2
    if discriminant < 0:
        half = h * times / 2
        return np.cos(half), np.sin(half) / h, 2 * np.sin(half / 2) ** 2 / h**2
    return np.ones_like(times), times / 2, times**2 / 8


def jurek_yang(
    theta: float,
    mu: float,
    sigma: float,
    *,
    horizon: float,
    risk_aversion: float = 1.0,
    risk_free: float = 0.0,
) -> JurekYang:
    """Optimal exposure to an Ornstein-Uhlenbeck spread, over a finite horizon.

    Wealth follows ``dW = N dS + (W - N S) r dt`` and final wealth has utility ``W^(1-g)/(1-g)``,
    or log W at g = 1 (Jurek & Yang, "Dynamic portfolio selection in arbitrage", 2007). With time
    left tau and ``J = W^(1-g)/(1-g) exp(A S^2/2 + B S + C)`` the Bellman equation gives ::

        N/W = ((theta (mu - S) - r S) / sigma^2 + A S + B) / g
        A'  = (1-g)/g sigma^2 (A - q)^2 - 2 theta A + sigma^2 A^2
        B'  = (1-g)/g sigma^2 (A - q) (B + p) + theta mu A - theta B + sigma^2 A B
        C'  = (1-g) r + (1-g)/(2g) sigma^2 (B + p)^2 + theta mu B + sigma^2 (A + B^2) / 2

    with ``q = (theta + r) / sigma^2``, ``p = theta mu / sigma^2`` and zeros at tau = 0. The Riccati
    equation has constant coefficients, so A and B are solved in closed form::

        b = -2 (theta + (1-g) r) / g                h^2 = 4 (theta^2 - (1-g) r^2) / g
        w = cosh(h tau/2) - b sinh(h tau/2) / h     v   = sinh(h tau/2) / h
        A = 2 (1-g)/g sigma^2 q^2 v / w
        B = 2 (1-g)/g sigma^2 p q (2 r (cosh(h tau/2) - 1) / h^2 - v) / w

    At g = 1 both vanish: the rule of logarithmic utility looks no further than the next moment.

    Parameters
    ----------
    theta : float
        Speed of mean reversion, not negative.
    mu : float
        Level.
    sigma : float
        Volatility, per square root of time.
    horizon : float
        Longest time left, positive.
    risk_aversion : float
        g, positive. With ``theta^2 < (1-g) r^2``, so only below 1, expected utility is infinite
        from a critical time on.
    risk_free : float
        r, continuously compounded.

    Returns
    -------
    JurekYang

    Raises
    ------
    ValueError
        A number is out of range; or the horizon is not before the time at which expected utility
        becomes infinite, which the message tells.

    Examples
    --------
    >>> rule = jurek_yang(2.0, 0.0, 1.0, horizon=1.0, risk_aversion=1.0)
    >>> rule.exposure([-0.5, 0.0, 0.5], 1.0)
    array([ 1.,  0., -1.])
    """
    speed = validate.finite("theta", theta)
    if speed < 0:
        raise ValueError(f"theta must not be negative, got {theta}")
    rule = JurekYang(
        speed,
        validate.finite("mu", mu),
        validate.positive("sigma", sigma),
        validate.positive("horizon", horizon),
        validate.positive("risk_aversion", risk_aversion),
        validate.finite("risk_free", risk_free),
    )
    critical = _critical_time(rule)
    if rule.horizon >= critical:
        raise ValueError(
            f"horizon must be below {critical:.6g}, the time at which expected utility becomes "
            f"infinite, got {horizon}"
        )
    return rule


def _critical_time(rule: JurekYang) -> float:
    """The first zero of w.

    Where h is real, w has none: for g < 1 then |(1-g) r| < sqrt(1-g) |r| <= theta makes b negative,
    and for g >= 1 h is not below |b|.
    """
    square = rule._discriminant
    if square >= 0:
        return math.inf
    h = math.sqrt(-square)
    return 2 / h * math.atan2(h, rule._linear)
