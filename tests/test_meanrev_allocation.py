"""Allocation: first-order conditions, Bellman equations, quadrature and bookkeeping as oracles."""

import math

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp

from labkit import _allocation, ou
from labkit.errors import SolverFailed
from labkit.meanrev import (
    cara_weights,
    garleanu_pedersen,
    jurek_yang,
    multiperiod,
    profit_and_loss,
    replan,
    rolling,
    sharpe_weights,
    threshold_positions,
    trade,
)


def spd(rng, n, spread=1.0):
    """A random covariance whose assets have scales that differ."""
    root = rng.normal(size=(n, 2 * n)) / math.sqrt(2 * n)
    scale = 10.0 ** rng.uniform(-spread, spread, n)
    return np.outer(scale, scale) * (root @ root.T)


# One period


def exponential_utility(weights, mean, covariance, risk_aversion):
    """E[-exp(-gamma w'R)] by a product of two Gauss-Hermite rules."""
    nodes, masses = np.polynomial.hermite_e.hermegauss(60)
    z = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    mass = np.outer(masses, masses).ravel() / (2 * math.pi)
    payoffs = mean + z @ np.linalg.cholesky(covariance).T
    return -mass @ np.exp(-risk_aversion * payoffs @ weights)


def test_cara_weights_maximise_the_exponential_utility_under_quadrature():
    rng = np.random.default_rng(0)
    mean, covariance, gamma = rng.normal(size=2), spd(rng, 2, 0.2), 1.7
    best = cara_weights(mean, covariance, gamma)
    top = exponential_utility(best, mean, covariance, gamma)
    step = 1e-4
    for i in range(2):
        move = step * np.eye(2)[i]
        up = exponential_utility(best + move, mean, covariance, gamma)
        down = exponential_utility(best - move, mean, covariance, gamma)
        assert abs(up - down) / (2 * step) < 1e-8
        assert max(up, down) < top
    assert top == pytest.approx(-math.exp(-mean @ np.linalg.solve(covariance, mean) / 2), rel=1e-10)


@pytest.mark.parametrize("n", [1, 3, 20])
def test_gradient_of_the_mean_variance_objective_vanishes_at_cara_weights(n):
    rng = np.random.default_rng(n)
    mean, covariance = rng.normal(size=n), spd(rng, n, 3.0)
    weights = cara_weights(mean, covariance, 0.3)
    assert covariance @ weights * 0.3 == pytest.approx(mean, rel=1e-8, abs=1e-9)


def test_tangency_portfolio_beats_random_portfolios_and_reaches_the_bound():
    rng = np.random.default_rng(1)
    mean, covariance, risk_free = rng.uniform(0.01, 0.1, 6), spd(rng, 6, 0.3), 0.002
    weights = sharpe_weights(mean, covariance, risk_free)
    assert weights.sum() == pytest.approx(1, rel=1e-13)

    def ratio(w):
        return (w @ mean - risk_free) / np.sqrt(np.einsum("...i,ij,...j", w, covariance, w))

    others = weights + rng.normal(size=(10_000, 6)) * 10.0 ** rng.uniform(-3, 1, (10_000, 1))
    others /= others.sum(axis=1, keepdims=True)
    assert ratio(others).max() < ratio(weights)
    excess = mean - risk_free
    bound = math.sqrt(excess @ np.linalg.solve(covariance, excess))
    assert ratio(weights) == pytest.approx(bound, rel=1e-12)


def test_without_a_tangency_portfolio_an_error_and_not_the_least_sharpe_ratio():
    with pytest.raises(ValueError, match=r"^mean must .* no tangency portfolio"):
        sharpe_weights([0.01, 0.02], np.eye(2), risk_free=0.05)
    with pytest.raises(ValueError, match=r"^mean must .* no tangency portfolio"):
        sharpe_weights([0.1, -0.1], np.eye(2))


def test_singular_covariance_is_refused_whatever_rounding_makes_of_it():
    rng = np.random.default_rng(2)
    for _ in range(20):
        factor = rng.normal(size=(4, 3))
        with pytest.raises(ValueError, match=r"^covariance must be positive definite"):
            cara_weights(np.ones(4), factor @ factor.T, 1.0)
        with pytest.raises(ValueError, match=r"^covariance must be positive definite"):
            sharpe_weights(np.ones(4), factor @ factor.T)
    # Assets in very different units are no singularity.
    assert cara_weights([1.0, 1e-9], np.diag([1.0, 1e-18]), 1.0) == pytest.approx([1, 1e9])


def test_labels_go_in_and_come_out_and_must_agree():
    names = ["x", "y"]
    mean = pd.Series([0.1, 0.2], names)
    covariance = pd.DataFrame([[1.0, 0.1], [0.1, 2.0]], names, names)
    for function, args in [(cara_weights, (2.0,)), (sharpe_weights, ())]:
        plain = function(mean.to_numpy(), covariance.to_numpy(), *args)
        assert isinstance(plain, np.ndarray)
        labelled = function(mean, covariance, *args)
        pd.testing.assert_series_equal(labelled, pd.Series(plain, names))
        with pytest.raises(ValueError, match=r"^covariance must have the same labels"):
            function(mean[::-1], covariance, *args)


@pytest.mark.parametrize(
    ("mean", "covariance", "gamma", "error", "message"),
    [
        ([1.0], [[1.0, 0.0]], 1.0, ValueError, "covariance must have shape"),
        ([1.0, 2.0], np.eye(3), 1.0, ValueError, "mean must have shape"),
        ([1.0, math.nan], np.eye(2), 1.0, ValueError, "mean must be finite"),
        ([1.0, 2.0], [[1.0, 0.5], [0.1, 1.0]], 1.0, ValueError, "covariance must be symmetric"),
        ([1.0, 2.0], np.diag([1.0, -1.0]), 1.0, ValueError, "covariance must be positive"),
        ([1.0, 2.0], np.eye(2), 0.0, ValueError, "risk_aversion must be positive"),
        ([1.0, 2.0], np.eye(2), "a", TypeError, "risk_aversion must be a number"),
        (["a", "b"], np.eye(2), 1.0, TypeError, "mean must hold numbers"),
    ],
)
def test_bad_input_to_one_period_is_named(mean, covariance, gamma, error, message):
    with pytest.raises(error, match="^" + message):
        cara_weights(mean, covariance, gamma)


# Many periods


def problem(seed, n=3, k=2):
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(n, k))
    rotation = np.linalg.qr(rng.normal(size=(k, k)))[0]
    decay = rotation @ np.diag(rng.uniform(0.05, 0.6, k)) @ rotation.T
    return rng, loadings, decay, spd(rng, n, 0.4), spd(rng, n, 0.4)


def riccati(loadings, decay, covariance, gamma, cost, rho):
    """A_xx and A_xf by iterating Bellman's equation until it stands still."""
    n, k = loadings.shape
    a_xx, a_xf = np.zeros((n, n)), np.zeros((n, k))
    bar = cost / (1 - rho)
    for _ in range(100_000):
        inverse = np.linalg.inv(gamma * covariance + bar + a_xx)
        new_xf = cost @ inverse @ (loadings + a_xf @ (np.eye(k) - decay))
        new_xx = (1 - rho) * (bar - bar @ inverse @ bar)
        gap = max(abs(new_xx - a_xx).max(), abs(new_xf - a_xf).max())
        a_xx, a_xf = new_xx, new_xf
        if gap < 1e-15:
            break
    return a_xx, a_xf


@pytest.mark.parametrize("rho", [0.0, 0.03, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_closed_form_solves_the_riccati_equation(seed, rho):
    _, loadings, decay, covariance, cost = problem(seed, n=1 + seed)
    policy = garleanu_pedersen(
        loadings, decay, covariance, risk_aversion=0.8, quadratic_cost=cost, discount=rho
    )
    a_xx, a_xf = riccati(loadings, decay, covariance, 0.8, cost, rho)
    assert policy.a_xx == pytest.approx(a_xx, rel=1e-10, abs=1e-10 * abs(a_xx).max())
    assert policy.a_xf == pytest.approx(a_xf, rel=1e-10, abs=1e-10 * abs(a_xf).max())
    assert cost @ policy.trade_rate == pytest.approx(a_xx, abs=1e-10 * abs(a_xx).max())
    assert a_xx @ policy.aim_loadings == pytest.approx(a_xf, abs=1e-10 * abs(a_xf).max())


def test_cost_proportional_to_risk_gives_the_scalar_trade_rate_of_the_paper():
    _, loadings, decay, covariance, _ = problem(5)
    gamma, lam, rho = 1.3, 7.0, 0.02
    policy = garleanu_pedersen(
        loadings, decay, covariance, risk_aversion=gamma, quadratic_cost=lam, discount=rho
    )
    keep = 1 - rho
    linear = gamma * keep + lam * rho
    a = (-linear + math.sqrt(linear**2 + 4 * gamma * lam * keep**2)) / (2 * keep)
    assert policy.trade_rate == pytest.approx(a / lam * np.eye(3), abs=1e-12)
    # With a diagonal decay each factor is weighted down by how fast it fades: 1/(1 + phi a/gamma).
    decay = np.diag([0.1, 0.5])
    policy = garleanu_pedersen(
        loadings, decay, covariance, risk_aversion=gamma, quadratic_cost=lam, discount=rho
    )
    faded = loadings / (1 + np.diag(decay) * a / gamma)
    assert policy.aim_loadings == pytest.approx(np.linalg.solve(gamma * covariance, faded))


def planned_by_cvxpy(expected, covariance, gamma, cost, quadratic, start, rho):
    """The objective of `multiperiod` written term by term."""
    horizon, n = expected.shape
    x = cp.Variable((horizon, n))
    total, before = 0, start
    for h in range(horizon):
        step = x[h] - before
        earned = x[h] @ expected[h] - gamma / 2 * cp.quad_form(x[h], covariance)
        paid = cost @ cp.abs(step) + cp.quad_form(step, cp.psd_wrap(quadratic)) / 2
        total += (1 - rho) ** (h + 1) * earned - (1 - rho) ** h * paid
        before = x[h]
    tight = {f"tol_{name}": 1e-12 for name in ("gap_abs", "gap_rel", "feas")}
    cp.Problem(cp.Maximize(total)).solve(solver=cp.CLARABEL, **tight)
    return x.value


def test_policy_and_plan_follow_a_long_quadratic_programme_on_a_deterministic_path():
    rng, loadings, decay, covariance, cost = problem(7)
    gamma, rho, start = 0.9, 0.05, rng.normal(size=3)
    factors = [rng.normal(size=2)]
    for _ in range(119):
        factors.append((np.eye(2) - decay) @ factors[-1])
    factors = np.array(factors)
    by_solver = planned_by_cvxpy(
        factors @ loadings.T, covariance, gamma, np.zeros(3), cost, start, rho
    )
    given = {"risk_aversion": gamma, "quadratic_cost": cost, "discount": rho}
    policy = garleanu_pedersen(loadings, decay, covariance, **given)
    assert policy.positions(factors, start)[:60] == pytest.approx(by_solver[:60], abs=1e-6)
    plan = multiperiod(factors @ loadings.T, covariance, start=start, **given)
    assert plan == pytest.approx(by_solver, abs=1e-6)
    assert plan[0] == pytest.approx(policy.positions(factors, start)[0], rel=1e-9)


def test_without_costs_every_position_is_exactly_the_myopic_one():
    rng, loadings, decay, covariance, _ = problem(8)
    factors, start = rng.normal(size=(9, 2)), rng.normal(size=3)
    myopic = np.array([cara_weights(loadings @ f, covariance, 2.0) for f in factors])
    policy = garleanu_pedersen(loadings, decay, covariance, risk_aversion=2.0, quadratic_cost=0)
    assert np.array_equal(policy.trade_rate, np.eye(3))
    assert policy.positions(factors, start) == pytest.approx(myopic, rel=1e-13)
    # Nothing of the start is left, not even in the last digit.
    assert np.array_equal(policy.positions(factors, start), policy.positions(factors))
    plan = multiperiod(factors @ loadings.T, covariance, risk_aversion=2.0, start=start)
    assert plan == pytest.approx(myopic, rel=1e-13)
    run = replan(factors, loadings, decay, covariance, horizon=5, risk_aversion=2.0)
    assert run == pytest.approx(myopic, rel=1e-13)
    errors = []
    for cost in (1e-2, 1e-4, 1e-6):
        near = garleanu_pedersen(
            loadings, decay, covariance, risk_aversion=2.0, quadratic_cost=cost, discount=0.1
        )
        errors.append(abs(near.positions(factors, start) - myopic).max())
    assert errors[2] < 1e-5 * abs(myopic).max()
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.1)  # an error of the order of the cost


def test_infinite_cost_never_trades_and_large_cost_hardly():
    rng, loadings, decay, covariance, _ = problem(9)
    factors, start = rng.normal(size=(9, 2)), rng.normal(size=3)
    held = np.tile(start, (9, 1))
    frozen = garleanu_pedersen(
        loadings, decay, covariance, risk_aversion=1.0, quadratic_cost=math.inf
    )
    assert np.array_equal(frozen.positions(factors, start), held)
    forecasts = factors @ loadings.T
    for cost in ({"cost": math.inf}, {"quadratic_cost": math.inf}):
        plan = multiperiod(forecasts, covariance, risk_aversion=1.0, start=start, **cost)
        assert np.array_equal(plan, held)
    finite = multiperiod(forecasts, covariance, risk_aversion=1.0, start=start, cost=1e4)
    assert np.array_equal(finite, held)
    moves = [
        abs(
            garleanu_pedersen(
                loadings, decay, covariance, risk_aversion=1.0, quadratic_cost=cost, discount=0.1
            ).positions(factors, start)
            - held
        ).max()
        for cost in (1e6, 1e8)
    ]
    assert moves[1] < 1e-4
    assert moves[0] / moves[1] == pytest.approx(100, rel=0.1)


def test_an_asset_of_infinite_cost_stays_where_it_is_while_others_trade():
    rng, _, _, covariance, _ = problem(10)
    expected, start = rng.normal(size=(6, 3)), np.array([0.5, -0.2, 0.1])
    cost = np.array([0.01, math.inf, 0.01])
    plan = multiperiod(expected, covariance, risk_aversion=1.0, cost=cost, start=start)
    assert (plan[:, 1] == -0.2).all()
    assert abs(plan[:, [0, 2]] - start[[0, 2]]).min() > 1e-3


# The edges are at 0.0556 and 0.2778: two starts are less than 1e-4 away from one of them.
@pytest.mark.parametrize("start", [-3.0, -0.4, 0.0, 0.0555, 0.2, 0.2779, 0.3, 2.0])
def test_one_step_one_asset_trades_to_the_nearest_edge_of_the_no_trade_region(start):
    mean, variance, gamma, cost, rho = 0.5, 2.0, 1.5, 0.3, 0.1
    low, high = (((1 - rho) * mean + s * cost) / ((1 - rho) * gamma * variance) for s in (-1, 1))
    plan = multiperiod(
        [[mean]], [[variance]], risk_aversion=gamma, cost=cost, start=start, discount=rho
    )
    want = min(max(start, low), high)
    assert plan[0, 0] == pytest.approx(want, abs=1e-7)
    if low <= start <= high:
        assert plan[0, 0] == start  # exactly: no trade


def kkt_residual(plan, expected, covariance, gamma, cost, quadratic, start, rho):
    """Largest breach of the optimality conditions of `multiperiod`, relative to the cost."""
    keep, horizon = 1 - rho, len(plan)
    steps = np.diff(plan, axis=0, prepend=start[None])
    weight = keep ** np.arange(horizon)[:, None]
    inner = keep * weight * (expected - gamma * plan @ covariance)
    gain = np.cumsum(inner[::-1], axis=0)[::-1] - weight * (steps @ quadratic)
    fee = weight * cost
    moved = np.abs(gain - fee * np.sign(steps))
    still = np.maximum(np.abs(gain) - fee, 0)
    return (np.where(steps != 0, moved, still) / fee).max(), np.mean(steps != 0)


@pytest.mark.parametrize("seed", range(8))
def test_plan_with_proportional_costs_satisfies_the_optimality_conditions(seed):
    rng = np.random.default_rng(seed)
    n, horizon = int(rng.integers(1, 6)), int(rng.integers(2, 40))
    covariance = spd(rng, n, 2.0)
    scale, gamma = np.sqrt(np.diag(covariance)), 10.0 ** rng.uniform(-2, 2)
    expected = 0.3 * rng.normal(size=(horizon, n)) * scale
    cost, start = rng.uniform(0.02, 0.3, n) * scale, 0.2 * rng.normal(size=n) / gamma / scale
    rho, quadratic = rng.choice([0.0, 0.05]), rng.choice([0.0, 2.0])
    plan = multiperiod(
        expected,
        covariance,
        risk_aversion=gamma,
        cost=cost,
        quadratic_cost=quadratic,
        start=start,
        discount=rho,
    )
    residual, traded = kkt_residual(
        plan, expected, covariance, gamma, cost, quadratic * covariance, start, rho
    )
    assert residual < 1e-5
    assert 0 < traded < 1


def test_no_perturbed_plan_is_worth_more():
    rng, _, _, covariance, quadratic = problem(11)
    expected, start, cost = 0.4 * rng.normal(size=(12, 3)), rng.normal(size=3), np.full(3, 0.2)

    def worth(x):
        steps = np.diff(x, axis=0, prepend=start[None])
        risk = np.einsum("hi,ij,hj->h", x, covariance, x)
        paid = np.abs(steps) @ cost + np.einsum("hi,ij,hj->h", steps, quadratic, steps) / 2
        ahead = 0.9 ** np.arange(12)
        return ahead @ (0.9 * ((x * expected).sum(axis=1) - 0.75 * risk) - paid)

    plan = multiperiod(
        expected,
        covariance,
        risk_aversion=1.5,
        cost=cost,
        quadratic_cost=quadratic,
        start=start,
        discount=0.1,
    )
    best = worth(plan)
    for size in 10.0 ** rng.uniform(-4, 0, 2_000):
        move = size * rng.normal(size=plan.shape) * (rng.random(plan.shape) < 0.2)
        assert worth(plan + move) <= best + 1e-9
    by_solver = planned_by_cvxpy(expected, covariance, 1.5, cost, quadratic, start, 0.1)
    assert plan == pytest.approx(by_solver, abs=1e-5)


def test_signals_too_small_for_their_cost_give_exactly_no_trade():
    _, loadings, decay, covariance, _ = problem(12)
    rng = np.random.default_rng(12)
    factors = 1e-3 * rng.uniform(-1, 1, (10, 2))
    # No position earns more, before costs, than the sum of all forecasts without their signs.
    powers = np.stack([np.linalg.matrix_power(np.eye(2) - decay, h) for h in range(20)])
    sums = np.abs(np.einsum("nk,hkl,tl->htn", loadings, powers, factors)).sum(axis=0).max()
    given = {"horizon": 20, "risk_aversion": 1.0, "cost": 1.001 * sums}
    assert (replan(factors, loadings, decay, covariance, **given) == 0).all()
    assert (replan(10 * factors, loadings, decay, covariance, **given) != 0).any()


def test_replanning_on_quadratic_costs_follows_the_closed_form():
    rng, loadings, decay, covariance, cost = problem(13)
    factors, start = pd.DataFrame(rng.normal(size=(15, 2))), rng.normal(size=3)
    given = {"risk_aversion": 1.1, "quadratic_cost": cost, "discount": 0.05}
    want = garleanu_pedersen(loadings, decay, covariance, **given).positions(factors, start)
    got = replan(factors, loadings, decay, covariance, horizon=150, start=start, **given)
    pd.testing.assert_frame_equal(got, want, rtol=1e-8)


def test_altered_future_factors_leave_past_positions_bit_for_bit():
    rng, loadings, decay, covariance, cost = problem(14)
    factors = rng.normal(size=(24, 2))
    other = factors.copy()
    other[12:] = 100 * rng.normal(size=(12, 2))

    def runs(signal):
        given = {"risk_aversion": 1.0, "quadratic_cost": cost}
        policy = garleanu_pedersen(loadings, decay, covariance, **given)
        return (
            policy.positions(signal),
            replan(signal, loadings, decay, covariance, horizon=10, cost=0.1, **given),
        )

    for one, two in zip(runs(factors), runs(other), strict=True):
        assert np.array_equal(one[:12], two[:12])
        assert not np.isclose(one[12:], two[12:]).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"risk_aversion": -1}, "risk_aversion must be positive"),
        ({"discount": 1.0}, "discount must be in"),
        ({"quadratic_cost": -1.0}, "quadratic_cost must not be negative"),
        ({"quadratic_cost": np.diag([1.0, 0.0])}, "quadratic_cost must be a number, zero or pos"),
        ({"quadratic_cost": [[1.0, 2.0], [0.0, 1.0]]}, "quadratic_cost must be symmetric"),
        ({"decay": [[-0.2]]}, "decay must leave"),
        ({"loadings": np.ones((3, 1))}, "loadings must have shape"),
    ],
)
def test_bad_input_to_the_policy_is_named(changed, message):
    given = {
        "loadings": np.ones((2, 1)),
        "decay": [[0.2]],
        "covariance": np.eye(2),
        "risk_aversion": 1.0,
        "quadratic_cost": 1.0,
    }
    with pytest.raises(ValueError, match="^" + message):
        garleanu_pedersen(**(given | changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"expected": np.ones((4, 3))}, "expected must have shape"),
        ({"expected": np.ones((0, 2))}, "expected must have at least one row"),
        ({"cost": [0.1, -0.1]}, "cost must not be negative"),
        ({"cost": [0.1] * 3}, "cost must be a number or have shape"),
        ({"start": [1.0]}, "start must have shape"),
    ],
)
def test_bad_input_to_the_plan_is_named(changed, message):
    given = {"expected": np.ones((4, 2)), "covariance": np.eye(2), "risk_aversion": 1.0}
    with pytest.raises(ValueError, match="^" + message):
        multiperiod(**(given | changed))


def test_a_plan_that_the_solver_does_not_finish_is_an_error(monkeypatch):
    solve = cp.Problem.solve
    monkeypatch.setattr(
        cp.Problem, "solve", lambda self, **settings: solve(self, **settings, max_iter=1)
    )
    problem = {"risk_aversion": 1.0, "cost": 0.1}
    with pytest.raises(SolverFailed, match="Clarabel"):
        multiperiod([[1.0], [2.0]], [[1.0]], **problem)
    with pytest.raises(RuntimeError, match="Clarabel"):
        replan([[1.0]], [[1.0]], [[0.5]], [[1.0]], horizon=3, **problem)


def test_a_plan_that_the_solver_calls_inaccurate_is_an_error(monkeypatch):
    """Clarabel meets its reduced tolerances only, and cvxpy does no more than warn of that."""
    beyond = dict.fromkeys(_allocation._TOLERANCES, 1e-30)
    monkeypatch.setattr(_allocation, "_TOLERANCES", beyond)
    expected = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(SolverFailed, match="tolerance, status 'optimal_inaccurate'"):
        multiperiod(expected, np.eye(3), risk_aversion=1.0, cost=0.1)


NAMES, OTHERS = ["x", "y"], ["y", "x"]
LABELLED = {
    "covariance": lambda names: pd.DataFrame([[1.0, 0.3], [0.3, 2.0]], names, names),
    "quadratic_cost": lambda names: pd.DataFrame([[0.5, 0.1], [0.1, 0.3]], names, names),
    "cost": lambda names: pd.Series([0.1, 0.2], names),
    "start": lambda names: pd.Series([1.0, -1.0], names),
    "loadings": lambda names: pd.DataFrame([[0.4], [0.9]], names, ["f"]),
}


def labelled(*names, **changed):
    return {name: changed.get(name, LABELLED[name](NAMES)) for name in names}


@pytest.mark.parametrize("odd", ["covariance", "quadratic_cost", "cost", "start"])
def test_plan_keeps_labels_and_refuses_those_of_other_assets(odd):
    expected = pd.DataFrame([[0.5, 0.4], [0.2, 0.9], [0.1, 0.1]], columns=NAMES)
    given = labelled("covariance", "quadratic_cost", "cost", "start")
    plan = multiperiod(expected, risk_aversion=1.0, **given)
    plain = {name: value.to_numpy() for name, value in given.items()}
    by_position = multiperiod(expected.to_numpy(), risk_aversion=1.0, **plain)
    pd.testing.assert_frame_equal(plan, pd.DataFrame(by_position, columns=NAMES))
    with pytest.raises(ValueError, match=rf"^{odd} must have the labels \['x', 'y'\]"):
        multiperiod(expected, risk_aversion=1.0, **(given | {odd: LABELLED[odd](OTHERS)}))


@pytest.mark.parametrize("odd", ["loadings", "quadratic_cost", "cost", "start"])
def test_replanning_keeps_labels_and_refuses_those_of_other_assets(odd):
    factors = pd.DataFrame({"f": [1.0, 0.4, -0.7]}, index=list("abc"))
    given = {"decay": [[0.3]], "horizon": 3, "risk_aversion": 1.0}
    given |= labelled("loadings", "covariance", "quadratic_cost", "cost", "start")
    run = replan(factors, **given)
    assert list(run.columns) == NAMES and list(run.index) == list("abc")
    plain = {k: v.to_numpy() if k in LABELLED else v for k, v in given.items()}
    assert np.array_equal(run, replan(factors.to_numpy(), **plain))
    with pytest.raises(ValueError, match=rf"^{odd} must have the labels \['x', 'y'\]"):
        replan(factors, **(given | {odd: LABELLED[odd](OTHERS)}))
    with pytest.raises(ValueError, match=r"^factors must have the labels \['f'\]"):
        replan(factors.set_axis(["g"], axis=1), **given)


@pytest.mark.parametrize("cost", [0.0, None, math.inf])
def test_a_policy_keeps_labels_and_refuses_those_of_other_assets(cost):
    given = labelled("loadings", "covariance", "quadratic_cost")
    if cost is not None:
        given["quadratic_cost"] = cost
    policy = garleanu_pedersen(decay=[[0.3]], risk_aversion=1.0, **given)
    factors, start = pd.DataFrame({"f": [1.0, 0.4]}), LABELLED["start"](NAMES)
    held = policy.positions(factors, start)
    assert list(held.columns) == NAMES
    assert np.array_equal(held, policy.positions(factors.to_numpy(), start.to_numpy()))
    with pytest.raises(ValueError, match=r"^start must have the labels \['x', 'y'\]"):
        policy.positions(factors, start[::-1])
    with pytest.raises(ValueError, match=r"^factors must have the labels \['f'\]"):
        policy.positions(factors.set_axis(["g"], axis=1), start)
    with pytest.raises(ValueError, match=r"^loadings must have the labels \['x', 'y'\]"):
        garleanu_pedersen(
            decay=[[0.3]],
            risk_aversion=1.0,
            **(given | {"loadings": LABELLED["loadings"](OTHERS)}),
        )


@pytest.mark.parametrize("decay", [[[-0.2]], [[2.5]], [[-2.0]]])
def test_replanning_refuses_factors_that_explode(decay):
    with pytest.raises(ValueError, match=r"^decay must leave I - decay no eigenvalue outside"):
        replan([[1.0]], [[1.0]], decay, [[1.0]], horizon=3, risk_aversion=1.0)


# Jurek and Yang

RULES = [
    {"risk_aversion": 3.0},
    {"risk_aversion": 0.6},
    {"risk_aversion": 1.0, "risk_free": 0.3},
    {"risk_aversion": 4.0, "risk_free": 0.5},
    {"risk_aversion": 0.7, "risk_free": -0.4},
    {"risk_aversion": 0.3, "risk_free": 2.0, "horizon": 0.7},  # trigonometric
    {"risk_aversion": 0.75, "risk_free": 3.0},  # h = 0
]


def rule_of(changed):
    return jurek_yang(**({"theta": 1.5, "mu": 0.4, "sigma": 0.6, "horizon": 1.0} | changed))


@pytest.mark.parametrize("changed", RULES)
def test_coefficients_solve_their_differential_equations(changed):
    rule = rule_of(changed)
    g, r, theta, variance = rule.risk_aversion, rule.risk_free, rule.theta, rule.sigma**2
    q, p = (theta + r) / variance, theta * rule.mu / variance

    def slope(_, y):
        a, b = y
        return [
            (1 - g) / g * variance * (a - q) ** 2 - 2 * theta * a + variance * a**2,
            (1 - g) / g * variance * (a - q) * (b + p)
            + theta * rule.mu * a
            - theta * b
            + variance * a * b,
        ]

    times = np.linspace(0, rule.horizon, 7)
    path = solve_ivp(slope, (0, rule.horizon), [0.0, 0.0], t_eval=times, rtol=1e-11, atol=1e-13)
    a, b = rule.coefficients(times)
    assert a == pytest.approx(path.y[0], rel=1e-8, abs=1e-10)
    assert b == pytest.approx(path.y[1], rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("changed", RULES)
def test_value_satisfies_the_bellman_equation_by_finite_differences(changed):
    """Nothing of the derivation is used: only the dynamics, `value` and `exposure`."""
    rule = rule_of(changed)
    r, h = rule.risk_free, 2e-3
    for w, s, t in [(1.0, 0.1, 0.3), (1.3, 0.7, 0.6), (0.8, -0.3, 0.5)]:

        def j(dw=0.0, ds=0.0, dt=0.0, point=(w, s, t)):
            return float(rule.value(point[0] + dw, point[1] + ds, point[2] + dt))

        j_w, j_s, j_t = (
            (8 * (j(*h * e) - j(*-h * e)) - j(*2 * h * e) + j(*-2 * h * e)) / (12 * h)
            for e in np.eye(3)
        )
        j_ww, j_ss = (
            (16 * (j(*h * e) + j(*-h * e)) - j(*2 * h * e) - j(*-2 * h * e) - 30 * j())
            / (12 * h * h)
            for e in np.eye(3)[:2]
        )
        j_ws = (j(h, h) - j(h, -h) - j(-h, h) + j(-h, -h)) / (4 * h * h)
        drift, variance = rule.theta * (rule.mu - s), rule.sigma**2

        def generator(n, w=w, s=s, drift=drift, variance=variance, d=(j_t, j_w, j_s, j_ww, j_ss)):
            wealth = n * drift + (w - n * s) * r
            second = n * n * d[3] + d[4]
            return -d[0] + wealth * d[1] + drift * d[2] + variance / 2 * second

        def bellman(n, variance=variance, j_ws=j_ws, generator=generator):
            return generator(n) + n * variance * j_ws

        best = w * float(rule.exposure(s, t))
        scale = abs(j_t) + abs(j_w * drift) + variance * abs(j_ww) + abs(j_w)
        assert abs(bellman(best)) < 1e-4 * scale
        assert max(bellman(best + 0.5), bellman(best - 0.5)) < bellman(best) - 1e-4 * scale


def test_logarithmic_utility_is_the_limit_and_looks_at_the_moment_only():
    at = rule_of({"risk_aversion": 1.0, "risk_free": 0.2})
    spread = np.linspace(-1, 1, 5)
    want = (1.5 * (0.4 - spread) - 0.2 * spread) / 0.36
    assert at.exposure(spread, 0.8) == pytest.approx(want, rel=1e-14)
    assert np.array_equal(at.exposure(spread, 0.8), at.exposure(spread, 0.0))
    for g in (1 - 1e-7, 1 + 1e-7):
        near = rule_of({"risk_aversion": g, "risk_free": 0.2})
        assert near.exposure(spread, 0.8) == pytest.approx(want, rel=1e-5)
        assert near.certainty_equivalent(1.0, spread, 0.8) == pytest.approx(
            at.certainty_equivalent(1.0, spread, 0.8), rel=1e-5
        )


def test_a_spread_without_pull_or_interest_is_not_held_whatever_its_level():
    for mu in (-3.0, 0.0, 50.0):
        for g in (0.5, 1.0, 4.0):
            rule = rule_of({"theta": 0.0, "mu": mu, "risk_aversion": g})
            assert (rule.exposure([-1.0, 0.0, 2.0], 0.5) == 0).all()
            assert rule.certainty_equivalent(2.0, 1.0, 1.0) == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize(
    ("theta", "risk_free", "g"),
    [(0.5, 1.0, 0.5), (0.2, -1.0, 0.95), (1.0, -1.9, 0.4), (1.0, 1.9, 0.8), (1.0, 0.0, 0.01)],
)
def test_horizon_beyond_the_critical_time_is_refused_and_the_time_is_right(theta, risk_free, g):
    given = {"mu": 0.3, "sigma": 0.7, "risk_aversion": g, "risk_free": risk_free}
    variance = 0.49

    def slope(_, a):
        q = (theta + risk_free) / variance
        return (1 - g) / g * variance * (a - q) ** 2 - 2 * theta * a + variance * a**2

    def blown(_, a):
        return a[0] - 1e7

    blown.terminal = True
    path = solve_ivp(slope, (0, 50), [0.0], events=blown, rtol=1e-10, atol=1e-12)
    assert bool(path.t_events[0].size) == (theta**2 < (1 - g) * risk_free**2)
    if path.t_events[0].size:
        critical = path.t_events[0][0]
        with pytest.raises(ValueError, match=r"^horizon must be below") as caught:
            jurek_yang(theta, horizon=1.0001 * critical, **given)
        assert float(str(caught.value).split()[4].rstrip(",")) == pytest.approx(critical, rel=1e-5)
        jurek_yang(theta, horizon=0.9999 * critical, **given)
    else:
        jurek_yang(theta, horizon=50.0, **given)


def test_some_of_those_horizons_do_explode_and_more_averse_investors_never():
    with pytest.raises(ValueError, match=r"^horizon must be below"):
        jurek_yang(0.5, 0.0, 1.0, horizon=100, risk_aversion=0.5, risk_free=1.0)
    for risk_free in (-5.0, 0.0, 5.0):
        rule = jurek_yang(0.5, 0.3, 1.0, horizon=1e4, risk_aversion=2.0, risk_free=risk_free)
        assert np.isfinite(rule.exposure(0.1, 1e4))


def terminal_log_wealth(rule, start, increments, factor):
    """Log wealth of trading `factor` times the optimal exposure, all paths at once."""
    n_steps = len(increments)
    dt = rule.horizon / n_steps
    phi = math.exp(-rule.theta * dt)
    scale = rule.sigma * math.sqrt((1 - phi**2) / (2 * rule.theta))
    spread, growth = np.full(increments.shape[1], start), 0.0
    for k, normal in enumerate(increments):
        held = factor * rule.exposure(spread, rule.horizon - k * dt)
        after = rule.mu + phi * (spread - rule.mu) + scale * normal
        growth = growth + held * (after - spread) + (1 - held * spread) * rule.risk_free * dt
        growth = growth - held**2 * rule.sigma**2 * dt / 2
        spread = after
    return growth


def test_trading_more_or_less_lowers_expected_utility_in_common_random_numbers():
    """Differences of mean utility are below zero by more than 4 standard errors."""
    rule = jurek_yang(2.0, 0.1, 0.5, horizon=1.0, risk_aversion=3.0, risk_free=0.05)
    half = np.random.default_rng(3).normal(size=(200, 20_000))
    normals = np.hstack([half, -half])

    def utilities(factor):
        paths = np.exp(-2 * terminal_log_wealth(rule, 0.0, normals, factor)) / -2
        return paths.reshape(2, -1).mean(axis=0)  # antithetic pairs are one observation

    best = utilities(1.0)
    error = best.std(ddof=1) / math.sqrt(len(best))
    assert error < 2e-3
    # 200 steps are biased by a few thousandths.
    assert best.mean() == pytest.approx(float(rule.value(1.0, 0.0, 1.0)), abs=4 * error + 3e-3)
    for factor in (0.7, 1.3):
        gap = utilities(factor) - best
        assert gap.mean() < -4 * gap.std(ddof=1) / math.sqrt(len(gap))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"theta": -1.0}, "theta must not be negative"),
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"horizon": math.inf}, "horizon must be positive and finite"),
        ({"risk_aversion": 0.0}, "risk_aversion must be positive"),
        ({"mu": math.nan}, "mu must be finite"),
    ],
)
def test_bad_input_to_jurek_yang_is_named(changed, message):
    with pytest.raises(ValueError, match="^" + message):
        rule_of(changed)
    with pytest.raises(ValueError, match=r"^time_left must be in"):
        rule_of({}).exposure(0.0, 1.5)


def test_wealth_must_be_positive_and_arguments_of_the_rule_must_be_numbers():
    rule = rule_of({"risk_aversion": 2.0})
    for wealth in (-1.0, 0.0, math.nan, math.inf, [1.0, -1.0]):
        for function in (rule.value, rule.certainty_equivalent):
            with pytest.raises(ValueError, match=r"^wealth must be positive and finite"):
                function(wealth, 0.0, 1.0)
    for args, name in [(("1", 0.0, 1.0), "wealth"), ((1, "0", 1.0), "spread")]:
        with pytest.raises(TypeError, match=f"^{name} must hold numbers"):
            rule.value(*args)
    with pytest.raises(TypeError, match=r"^spread must hold numbers"):
        rule.exposure("0", 1.0)
    with pytest.raises(TypeError, match=r"^time_left must hold numbers"):
        rule.exposure(0.0, "soon")


# Accounts


def random_book(seed, t=60, n=3):
    rng = np.random.default_rng(seed)
    names = [f"a{i}" for i in range(n)]
    index = pd.date_range("2024-01-01", periods=t)
    prices = pd.DataFrame(100 + rng.normal(size=(t, n)).cumsum(axis=0), index, names)
    positions = pd.DataFrame(rng.normal(size=(t, n)), index, names)
    return positions, prices, pd.Series(rng.uniform(0, 0.2, n), names)


@pytest.mark.parametrize("lag", [0, 1, 4, 100])
def test_cash_plus_position_times_price_equals_the_sum_of_net(lag):
    positions, prices, cost = random_book(lag)
    pnl = profit_and_loss(positions, prices, cost=cost, lag=lag)
    cash, held = 0.0, np.zeros(3)
    for row in range(len(prices)):
        wanted = positions.iloc[row - lag].to_numpy() if row >= lag else np.zeros(3)
        price = prices.iloc[row].to_numpy()
        for i in range(3):
            bought = wanted[i] - held[i]
            cash -= bought * price[i] + abs(bought) * cost.iloc[i]
        held = wanted
        worth = cash + held @ price
        assert worth == pytest.approx(pnl["net"].iloc[: row + 1].sum(), abs=1e-12 * 1e3)
    assert (pnl["net"] == pnl["gross"] - pnl["cost"]).all()
    assert (pnl["cost"] >= 0).all()


def test_a_position_earns_from_the_row_it_is_traded_at_and_not_before():
    prices = pd.Series([10.0, 20.0, 21.0, 25.0])
    positions = pd.Series([1.0, 1.0, 1.0, 1.0])
    for lag, want in [(0, [0, 10, 1, 4]), (1, [0, 0, 1, 4]), (2, [0, 0, 0, 4])]:
        assert profit_and_loss(positions, prices, lag=lag)["gross"].tolist() == want


def test_cost_is_units_traded_times_the_cost_of_one():
    positions = pd.DataFrame({"x": [1.0, -1.0, -1.0], "y": [0.0, 2.0, 0.0]})
    prices = pd.DataFrame({"x": [5.0, 5.0, 5.0], "y": [-3.0, -3.0, -3.0]})
    pnl = profit_and_loss(positions, prices, cost=pd.Series({"x": 0.1, "y": 1.0}), lag=0)
    assert pnl["turnover"].tolist() == [1.0, 4.0, 2.0]
    assert pnl["cost"].tolist() == pytest.approx([0.1, 2.2, 2.0])
    assert pnl["gross"].tolist() == [0.0, 0.0, 0.0]


def test_misaligned_or_broken_accounts_are_refused():
    positions, prices, cost = random_book(1)
    refused = [
        ((positions.iloc[1:], prices), {}, ValueError, "positions must have the index"),
        ((positions[::-1], prices), {}, ValueError, "positions must have the index"),
        ((positions[["a1", "a0", "a2"]], prices), {}, ValueError, "positions must have the col"),
        ((positions["a0"], prices), {}, TypeError, "positions must be a DataFrame or a Series"),
        ((positions.where(positions < 1), prices), {}, ValueError, "positions must be finite"),
        ((positions, prices * math.inf), {}, ValueError, "prices must be finite"),
        ((positions, prices), {"cost": -1.0}, ValueError, "cost must not be negative"),
        ((positions, prices), {"cost": cost[::-1]}, ValueError, "cost must have the labels"),
        ((positions, prices), {"lag": -1}, ValueError, "lag must be at least 0"),
        ((positions, prices), {"lag": 1.5}, TypeError, "lag must be an integer"),
    ]
    for args, given, error, message in refused:
        with pytest.raises(error, match="^" + message):
            profit_and_loss(*args, **given)


DAYS = pd.date_range("2024-01-01", periods=60)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (DAYS[::-1], "prices must have rows in increasing order"),
        (DAYS[[1, 0, *range(2, 60)]], "prices must have rows in increasing order"),
        (DAYS[[0, 0, *range(2, 60)]], "prices must have distinct rows, got 2024-01-01"),
        (DAYS.date[::-1], "prices must have rows in increasing order"),
        (range(60, 0, -1), "prices must have rows in increasing order"),
        ([1, 1, *range(2, 60)], "prices must have distinct rows, got 1 twice"),
    ],
)
def test_rows_out_of_order_are_refused(index, message):
    prices = random_book(0)[1].set_axis(index)
    with pytest.raises(ValueError, match="^" + message):
        profit_and_loss(prices, prices)
    with pytest.raises(ValueError, match="^" + message):
        rolling(prices, hedge, window=20, every=10)


def test_rows_whose_labels_have_no_order_are_taken_as_they_come():
    prices = random_book(0)[1].set_axis(["first", 7, *DAYS[2:]])
    assert rolling(prices, hedge, window=2, every=58).decisions.tolist() == [7, DAYS[59]]


# Thresholds


def state_by_history(values, entry, exit, level, symmetric):
    """The position after the last value, told from the whole past: who entered last, still in?"""
    for start in range(len(values) - 1, -1, -1):
        for side in (1, -1) if symmetric else (1,):
            seen = [side * (value - level) for value in values[start:]]
            low, high = entry - level, exit - level
            if seen[0] <= low:
                return side if max(seen) < high else 0
    return 0


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("entry", "exit"), [(-1.0, 0.0), (-1.0, 0.5), (-0.5, -0.2), (-0.75, 0.75)])
def test_states_equal_what_the_history_says(entry, exit, symmetric):
    rng = np.random.default_rng(0)
    values = ou.simulate(0.3, 0.0, 0.8, dt=1.0, n_steps=300, start=0.0, seed=rng)[0]
    values[::7] = np.round(values[::7])
    states = threshold_positions(values, entry, exit, symmetric=symmetric)
    for t in range(0, 301, 3):
        want = state_by_history(values[: t + 1].tolist(), entry, exit, 0.0, symmetric)
        assert states[t] == want
    assert set(states) == ({-1, 0, 1} if symmetric else {0, 1})


def test_mirrored_exit_turns_the_position_over_and_never_closes_it():
    values = ou.simulate(0.3, 5.0, 0.8, dt=1.0, n_steps=2_000, seed=1)[0]
    states = threshold_positions(values, 4.5, 5.5, level=5.0)
    first = np.flatnonzero(states)[0]
    assert (states[first:] != 0).all()
    flips = np.flatnonzero(np.diff(states[first:])) + first + 1
    assert len(flips) > 100
    assert (np.where(states[flips] == 1, values[flips] <= 4.5, values[flips] >= 5.5)).all()


def test_short_side_is_the_mirror_of_the_long_side():
    values = ou.simulate(0.1, 0.0, 0.5, dt=1.0, n_steps=1_000, seed=2)[0]
    one = threshold_positions(2.0 + values, 1.0, 1.75, level=2.0)
    two = threshold_positions(2.0 - values, 1.0, 1.75, level=2.0)
    assert np.array_equal(one, -two)


def test_states_do_not_depend_on_the_future_and_are_quick_and_labelled():
    values = pd.Series(np.random.default_rng(3).normal(size=100_000), name="spread")
    states = threshold_positions(values, -1.0, 0.0)
    assert states.index.equals(values.index)
    assert np.array_equal(threshold_positions(values[:500], -1.0, 0.0), states[:500])


def test_bad_thresholds_are_refused():
    for args, given, message in [
        (([0.0], 1.0, 1.0), {}, "entry must be below exit"),
        (([0.0], 0.5, 1.0), {}, "entry must be below level"),
        (([math.nan], -1.0, 1.0), {}, "values must be finite"),
        (([[0.0]], -1.0, 1.0), {}, "values must have shape"),
    ]:
        with pytest.raises(ValueError, match="^" + message):
            threshold_positions(*args, **given)
    assert threshold_positions([0.4], 0.5, 1.0, symmetric=False)[0] == 1


# Re-estimation and trading


def hedge(window):
    """The first asset against the others, by least squares."""
    y, x = window.iloc[:, 0], window.iloc[:, 1:]
    design = np.column_stack([np.ones(len(x)), x])
    beta = np.linalg.lstsq(design, y, rcond=None)[0][1:]
    return pd.Series([1.0, *-beta], window.columns)


def cointegrated(seed, t=1_200, phi=0.9):
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=t).cumsum()
    noise = ou.simulate(-math.log(phi), 0.0, 1.0, dt=1.0, n_steps=t - 1, seed=rng)[0]
    return pd.DataFrame({"y": 0.8 * walk + noise, "x": walk})


def walks(seed, t=1_200):
    steps = np.random.default_rng(seed).normal(size=(t, 2))
    return pd.DataFrame(steps.cumsum(axis=0), columns=["y", "x"])


def test_weights_are_estimated_on_the_window_and_held():
    prices = cointegrated(0, t=100)
    result = rolling(prices, hedge, window=30, every=20)
    assert list(result.decisions) == [29, 49, 69, 89]
    assert result.weights.iloc[:29].isna().all(axis=None)
    for number, row in enumerate(result.decisions):
        want = hedge(prices.iloc[row - 29 : row + 1])
        pd.testing.assert_series_equal(result.choices[number], want)
        block = result.weights.iloc[row : row + 20]
        assert (block == want).all(axis=None)


def test_estimators_may_return_part_of_the_columns_an_object_or_nothing():
    class Choice:
        weights = pd.Series({"x": 2.0})

    prices = cointegrated(0, t=40)
    answers = iter([Choice(), None])
    result = rolling(prices, lambda _: next(answers), window=20, every=20)
    assert result.weights.iloc[19].to_dict() == {"y": 0.0, "x": 2.0}
    assert result.weights.iloc[39].to_dict() == {"y": 0.0, "x": 0.0}
    assert trade(prices, result).fits[1] is None
    bad = [
        (pd.Series({"z": 1.0}), ValueError, "select must return weights of columns"),
        (pd.Series({"x": math.nan}), ValueError, "select must be finite"),
        ([1.0, 2.0], TypeError, "select must return a Series"),
    ]
    for answer, error, message in bad:
        with pytest.raises(error, match="^" + message):
            rolling(prices, lambda _, answer=answer: answer, window=20, every=20)


def test_an_estimator_that_writes_into_its_window_harms_nobody():
    prices = cointegrated(0, t=60)
    kept = prices.copy()

    def careless(window):
        weights = hedge(window)
        window.iloc[:, :] = 0.0
        return weights

    result = rolling(prices, careless, window=30, every=10)
    pd.testing.assert_frame_equal(prices, kept)
    pd.testing.assert_frame_equal(
        result.weights, rolling(prices, hedge, window=30, every=10).weights
    )


@pytest.mark.parametrize("rule", ["log", "thresholds"])
def test_other_future_prices_leave_past_weights_and_positions_bit_for_bit(rule):
    prices = cointegrated(1, t=600)
    full = rolling(prices, hedge, window=120, every=50)
    run = trade(prices, full, rule, cost=0.05)
    rng = np.random.default_rng(5)
    for cut in (119, 120, 301, 419, 420):
        permuted, replaced = prices.copy(), prices.copy()
        permuted.iloc[cut:] = prices.iloc[cut:].to_numpy()[rng.permutation(600 - cut)]
        replaced.iloc[cut:] = 1e6 * rng.normal(size=(600 - cut, 2))
        for other in (permuted, replaced, prices.iloc[:cut]):
            if len(other) < 120:
                continue
            again = rolling(other, hedge, window=120, every=50)
            pd.testing.assert_frame_equal(
                again.weights.iloc[:cut], full.weights.iloc[:cut], check_exact=True
            )
            traded = trade(other, again, rule, cost=0.05)
            pd.testing.assert_frame_equal(
                traded.positions.iloc[:cut], run.positions.iloc[:cut], check_exact=True
            )


def test_log_rule_is_jurek_and_yangs_and_the_cap_is_one_rows_deviation():
    prices = cointegrated(2, t=400)
    result = rolling(prices, hedge, window=200, every=100)
    free = trade(prices, result, dt=0.5)
    capped = trade(prices, result, dt=0.5, max_exposure=0.1)
    assert (free.exposure.iloc[:199] == 0).all()
    for number, row in enumerate(result.decisions):
        weights = result.weights.iloc[row].to_numpy()
        fitted = ou.fit(prices.iloc[row - 199 : row + 1].to_numpy() @ weights, 0.5)
        rule = jurek_yang(fitted.theta, fitted.mu, fitted.sigma, horizon=1.0)
        block = slice(row, min(row + 100, 400))
        spread = prices.iloc[block].to_numpy() @ weights
        want = rule.exposure(spread, 1.0)
        assert free.exposure.iloc[block].to_numpy() == pytest.approx(want, rel=1e-9, abs=1e-9)
        cap = 0.1 / (fitted.sigma * math.sqrt(0.5))
        assert capped.exposure.iloc[block].to_numpy() == pytest.approx(
            np.clip(want, -cap, cap), rel=1e-9, abs=1e-9
        )
        assert free.fits[number].theta == pytest.approx(fitted.theta, rel=1e-9)
    positions = result.weights.fillna(0.0).mul(free.exposure, axis=0)
    pd.testing.assert_frame_equal(free.positions, positions)


@pytest.mark.parametrize("rule", ["log", "thresholds"])
def test_trades_are_made_and_accounted_as_late_as_asked_for(rule):
    prices = cointegrated(2, t=400)
    result = rolling(prices, hedge, window=200, every=100)
    runs = {lag: trade(prices, result, rule, cost=0.05, lag=lag) for lag in (0, 1, 3)}
    assert trade(prices, result, rule, cost=0.05).pnl.equals(runs[1].pnl)
    for lag, run in runs.items():
        pd.testing.assert_frame_equal(run.positions, runs[1].positions)
        want = profit_and_loss(run.positions, prices, cost=0.05, lag=lag)
        pd.testing.assert_frame_equal(run.pnl, want)
        first = np.flatnonzero(run.pnl["turnover"])[0]
        assert first == np.flatnonzero(run.exposure)[0] + lag


def test_threshold_rule_trades_bertrams_levels_at_one_size():
    prices = cointegrated(3, t=500)
    result = rolling(prices, hedge, window=300, every=300)
    cost = pd.Series({"y": 0.05, "x": 0.1})
    run = trade(prices, result, "thresholds", cost=cost)
    weights = result.weights.iloc[-1].to_numpy()
    spread = prices.to_numpy() @ weights
    fitted = ou.fit(spread[:300])
    best = ou.bertram_thresholds(
        fitted.theta, fitted.mu, fitted.sigma, 2 * (0.05 + 0.1 * abs(weights[1]))
    )
    states = threshold_positions(spread, best.entry, best.exit, level=fitted.mu)
    assert run.exposure.iloc[299:].to_numpy() == pytest.approx(states[299:] / fitted.sigma)
    assert set(np.sign(run.exposure)) == {-1, 0, 1}


def test_a_portfolio_that_does_not_revert_or_never_pays_is_not_held():
    line = np.arange(300.0) ** 2
    growing = pd.DataFrame({"y": line + np.random.default_rng(0).normal(size=300), "x": line / 7})
    alone = rolling(growing, lambda w: pd.Series({"y": 1.0}), window=100, every=100)
    for rule in ("log", "thresholds"):
        run = trade(growing, alone, rule, cost=0.1)
        assert {fit.status for fit in run.fits} == {"unit root"}
        assert (run.positions == 0).all(axis=None)
    prices = cointegrated(4, t=300)
    dear = trade(prices, rolling(prices, hedge, window=200, every=50), "thresholds", cost=1e4)
    assert {fit.status for fit in dear.fits} == {"mean reverting"}
    assert (dear.positions == 0).all(axis=None)


@pytest.mark.parametrize("rule", ["log", "thresholds"])
def test_costs_only_lower_net(rule):
    prices = cointegrated(5, t=500)
    result = rolling(prices, hedge, window=200, every=50)
    runs = [trade(prices, result, rule, cost=cost).pnl for cost in (0.01, 0.02, 0.2)]
    for pnl in runs:
        assert (pnl["net"] <= pnl["gross"]).all()
        assert pnl["cost"].sum() > 0
    if rule == "log":
        assert (runs[1]["net"] <= runs[0]["net"]).all()
        assert (runs[1]["gross"] == runs[0]["gross"]).all()
        assert (trade(prices, result).pnl["net"] == runs[0]["gross"]).all()
    else:
        # Dearer trades are made further apart.
        assert runs[2]["turnover"].sum() < runs[0]["turnover"].sum()


@pytest.mark.parametrize("rule", ["log", "thresholds"])
def test_gross_profit_is_made_on_cointegrated_prices_and_not_on_random_walks(rule):
    """Mean over seeds: above 5 standard errors on the one, within 3.5 of zero on the other."""

    def profits(simulate, seeds):
        gross = []
        for seed in seeds:
            prices = simulate(seed)
            result = rolling(prices, hedge, window=250, every=125)
            cap = 1.0 if rule == "log" else None
            run = trade(prices, result, rule, cost=0.05, max_exposure=cap)
            gross.append(run.pnl["gross"].sum())
        return np.mean(gross), np.std(gross, ddof=1) / math.sqrt(len(gross))

    mean, error = profits(cointegrated, range(30))
    assert mean > 5 * error
    mean, error = profits(walks, range(100, 220))
    assert abs(mean) < 3.5 * error


def test_a_portfolio_that_cannot_be_fitted_is_named_with_its_window():
    days = pd.date_range("2024-01-01", periods=60)
    walk = np.random.default_rng(0).normal(size=60).cumsum()
    decay = 0.9 ** np.arange(60.0)
    prices = pd.DataFrame({"x": walk, "y": 3 * walk, "c": 5.0, "d": decay}, days)
    # 3 x - y is zero up to rounding, which has no level to revert to.
    for weights, message in [
        (
            {"c": 1.0},
            "prices must vary in the portfolio .* constant in the window up to 2024-01-20",
        ),
        ({"x": 3.0, "y": -1.0}, "prices must vary in the portfolio"),
        ({"d": 1.0}, "prices must give the portfolio .* up to 2024-01-20.* innovations"),
    ]:
        chosen = rolling(prices, lambda _, w=weights: pd.Series(w), window=20, every=20)
        with pytest.raises(ValueError, match="^" + message):
            trade(prices, chosen)


def test_bad_input_to_rolling_and_trade_is_named():
    prices = cointegrated(6, t=100)
    for given, error, message in [
        ({"window": 0, "every": 1}, ValueError, "window must be at least 2"),
        ({"window": 101, "every": 1}, ValueError, "window must be at most the 100 rows"),
        ({"window": 50, "every": 0}, ValueError, "every must be at least 1"),
        ({"window": 50.0, "every": 1}, TypeError, "window must be an integer"),
    ]:
        with pytest.raises(error, match="^" + message):
            rolling(prices, hedge, **given)
    with pytest.raises(TypeError, match=r"^prices must be a DataFrame"):
        rolling(prices.to_numpy(), hedge, window=50, every=10)
    with pytest.raises(ValueError, match=r"^prices must be finite"):
        rolling(prices.where(prices < prices.max()), hedge, window=50, every=10)
    result = rolling(prices, hedge, window=50, every=10)
    short = rolling(prices, hedge, window=3, every=10)
    for args, given, message in [
        ((prices, short), {}, "rolling must have a window of at least 4 rows, got 3"),
        ((prices, result, "loud"), {}, "rule must be"),
        ((prices, result, "thresholds"), {}, "cost must be positive"),
        ((prices, result, "thresholds"), {"cost": 1.0, "max_exposure": 1.0}, "max_exposure must"),
        ((prices, result), {"max_exposure": -1.0}, "max_exposure must be positive"),
        ((prices, result), {"dt": 0.0}, "dt must be positive"),
        ((prices.iloc[1:], result), {}, "prices must have the index"),
        ((prices[["x", "y"]], result), {}, "prices must have the columns"),
    ]:
        with pytest.raises(ValueError, match="^" + message):
            trade(*args, **given)
