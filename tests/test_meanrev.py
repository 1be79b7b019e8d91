"""Mean-reverting portfolios: planted weights, a published panel, enumeration and proofs."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import scipy.signal
from statsmodels.datasets import danish_data
from statsmodels.stats.diagnostic import acorr_ljungbox

from labkit import _convex, data, meanrev
from labkit.errors import SolverFailed
from labkit.meanrev import (
    VAR1,
    box_tiao,
    clusters,
    covariance_selection,
    crossing_rate,
    exhaustive,
    greedy,
    greedy_path,
    pca,
    penalized_var,
    portmanteau,
    semidefinite,
    semidefinite_components,
    var,
    variance_threshold,
)


def panel(seed, n=5, rows=300):
    """Two common walks, a small walk and noise of its own for each asset."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(rows, 2)).cumsum(axis=0) @ rng.normal(size=(2, n))
    own = 0.3 * rng.normal(size=(rows, n)).cumsum(axis=0)
    return common + own + rng.normal(size=(rows, n))


def danish():
    data = danish_data.load_pandas().data[["lrm", "lry", "lpy", "ibo", "ide"]]
    return (data - data.mean()) / data.std(ddof=1)


def stationary(seed, n=5):
    """A VAR(1) in its population: real eigenvalues phi, and Gamma = A' Gamma A + I."""
    rng = np.random.default_rng(seed)
    phi = np.sort(rng.uniform(0.2, 0.95, n))
    vectors = rng.normal(size=(n, n))
    transition = vectors @ np.diag(phi) @ np.linalg.inv(vectors)
    covariance = scipy.linalg.solve_discrete_lyapunov(transition.T, np.eye(n))
    model = VAR1(tuple(range(n)), transition, covariance, np.zeros(n), 0, 0.5, "population")
    return model, phi, vectors


def least(model, support, excluded=None):
    """Least predictability on a support, in the units of the prices."""
    at = np.ix_(support, support)
    m, g = model.predicted[at], model.covariance[at]
    if excluded is not None:
        basis = scipy.linalg.null_space(excluded[list(support)].T)
        m, g = basis.T @ m @ basis, basis.T @ g @ basis
    return scipy.linalg.eigh(m, g, eigvals_only=True)[0]


# Estimate


def test_var_is_least_squares_and_the_sample_covariance():
    prices = panel(1)
    model = var(prices, dt=0.1)
    s = prices - prices.mean(axis=0)
    np.testing.assert_allclose(
        model.transition, np.linalg.solve(s[:-1].T @ s[:-1], s[:-1].T @ s[1:]), atol=1e-9
    )
    np.testing.assert_allclose(model.covariance, np.cov(prices.T), rtol=1e-12)
    np.testing.assert_allclose(model.mean, prices.mean(axis=0))
    np.testing.assert_allclose(
        model.predicted, model.transition.T @ model.covariance @ model.transition, rtol=1e-10
    )
    assert (model.n_obs, model.dt, model.names) == (300, 0.1, (0, 1, 2, 3, 4))


def test_var_finds_the_transition_that_made_the_sample():
    transition = np.array([[0.9, 0.1, 0.0], [0.0, 0.7, 0.0], [-0.2, 0.0, 0.5]])
    rng = np.random.default_rng(2)
    rows, s = 40_000, np.zeros((40_000, 3))
    for t in range(1, rows):
        s[t] = s[t - 1] @ transition + rng.normal(size=3)
    # Standard error of one coefficient: the root of (Gamma^-1)_ii / T, at most 0.006 here.
    error = np.sqrt(np.diag(np.linalg.inv(np.cov(s.T))) / rows)[:, None]
    assert (np.abs(var(s).transition - transition) < 4 * error).all()


def test_predictability_is_the_variance_share_of_the_forecast():
    prices = panel(3)
    model = var(prices)
    x = np.array([1.0, -2, 0, 0.5, 3])
    s = prices - prices.mean(axis=0)
    forecast = s @ model.transition @ x
    assert model.predictability(x) == pytest.approx((forecast**2).sum() / ((s @ x) ** 2).sum())
    named = var(pd.DataFrame(prices, columns=list("abcde")))
    assert named.predictability(pd.Series({"b": -2.0, "a": 1, "d": 0.5, "e": 3})) == pytest.approx(
        model.predictability(x)
    )


def test_an_eigenvector_of_the_transition_is_an_ar1_of_that_half_life():
    model, phi, vectors = stationary(4)
    for root, x in zip(phi, vectors.T, strict=True):
        assert model.predictability(x) == pytest.approx(root**2, rel=1e-9)
        found = meanrev.Portfolio(model, x, model.predictability(x), "by hand")
        theta = -math.log(root) / model.dt
        assert found.half_life == pytest.approx(math.log(2) / theta, rel=1e-9)
    assert meanrev.Portfolio(model, x, 1.0, "").half_life == math.inf
    assert meanrev.Portfolio(model, x, 0.0, "").half_life == 0.0


def test_estimates_do_not_see_the_rows_after_them():
    prices = panel(5)

    def at(rows, t=200):
        model = var(rows[:t])
        return [
            *box_tiao(model),
            greedy(model, 2),
            semidefinite(model, 2),
            box_tiao(covariance_selection(penalized_var(rows[:t], 0.1), 0.1))[0],
            variance_threshold(rows[:t], "crossing", 1.0),
        ]

    shuffled = prices.copy()
    np.random.default_rng(0).shuffle(shuffled[200:])
    assert not np.array_equal(prices, shuffled)
    for before, after in zip(at(prices), at(shuffled), strict=True):
        np.testing.assert_array_equal(before.vector, after.vector)


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (np.ones(4), r"prices must have shape \(T, n\)"),
        (np.zeros((5, 4)), "prices must have at least 6 rows"),
        ([[1.0], [2.0], [np.nan], [1.0]], "prices must be finite, got nan in column 0, row 2"),
        (
            pd.DataFrame({"a": [1, np.inf, 2, 3]}, index=list("wxyz")),
            "prices must be finite, got inf in column 'a', row 'x'",
        ),
        (np.column_stack([np.arange(9) % 4, np.full(9, 0.1)]), "prices must vary, column 1"),
        (pd.DataFrame(panel(0, 2), columns=["a", "a"]), "prices must have different column names"),
    ],
)
def test_unusable_prices_are_refused(prices, message):
    with pytest.raises(ValueError, match=message):
        var(prices)


def test_a_singular_covariance_is_named():
    prices = panel(6)
    prices[:, 3] = prices[:, 0] - 2 * prices[:, 1] + 5
    with pytest.raises(ValueError, match="prices have a singular covariance: column"):
        var(prices)
    with pytest.raises(TypeError, match="prices must hold numbers"):
        var([["a"], ["b"], ["c"]])


@pytest.mark.parametrize("scale", [1e-300, 1e-80, 1e80, 1e200, 1.7e308])
def test_prices_whose_squares_leave_float64_are_refused(scale):
    with pytest.raises(ValueError, match=r"^prices must be in units in which their ranges are"):
        var(scale * (panel(6) / np.abs(panel(6)).max()))


@pytest.mark.parametrize("scale", [1e-70, 1e70])
def test_every_search_works_in_units_just_short_of_those(scale):
    one, two = panel(6), scale * panel(6)
    assert semidefinite(var(two), 3).bound == pytest.approx(semidefinite(var(one), 3).bound)
    found = variance_threshold(one, "portmanteau", 1.0)
    scaled = variance_threshold(two, "portmanteau", scale**2)
    assert scaled.achieved == pytest.approx(found.achieved * scale**4, rel=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        box_tiao,
        pca,
        clusters,
        greedy_path,
        lambda model: covariance_selection(model, 0.1),
        lambda model: greedy(model, 2),
        lambda model: exhaustive(model, 2),
        lambda model: semidefinite(model, 2),
        lambda model: semidefinite_components(model, 2, 1),
    ],
)
def test_prices_where_a_model_belongs_are_refused(function):
    message = r"^model must be a VAR1 \(made by var\), got DataFrame$"
    with pytest.raises(TypeError, match=message):
        function(pd.DataFrame(panel(6)))


@pytest.mark.parametrize("dt", [0, -1, math.inf, math.nan])
def test_the_step_must_be_positive(dt):
    with pytest.raises(ValueError, match="dt must be positive and finite"):
        var(panel(0), dt=dt)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"weights must have shape \(5,\)"),
        (np.zeros(5), "weights must be finite and not all zero"),
        ([1, 2, 3, 4, np.nan], "weights must be finite"),
        (pd.Series({"other": 1.0}), "weights must have different labels"),
    ],
)
def test_unusable_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        var(panel(0)).predictability(weights)


@pytest.mark.parametrize("weights", [list("12345"), ["one"] * 5, pd.Series({0: "1"}), [None] * 5])
def test_weights_that_are_no_numbers_are_refused(weights):
    with pytest.raises(TypeError, match=r"^weights must hold numbers"):
        var(panel(0)).predictability(weights)


def test_prices_that_part_in_their_last_row_only_are_no_singular_sample():
    """The rows less their mean sum to zero, so that the last one adds nothing to their span."""
    prices = panel(6, 3)
    prices[:, 2] = prices[:, 0] + prices[:, 1]
    prices[-1, 2] += 1.0
    model = var(prices)
    s = prices - prices.mean(axis=0)
    assert np.linalg.matrix_rank(s[:-1]) == 3
    normal = np.linalg.solve(s[:-1].T @ s[:-1], s[:-1].T @ s[1:])
    np.testing.assert_allclose(model.transition, normal, rtol=1e-6)


# Penalised estimates


def lasso_residual(prices, penalty, toward):
    """Largest breach of the optimality conditions, in units of alpha_j, and the share of zeros.

    The gradient is alpha sign(b) where b is not 0, and at most alpha in magnitude where it is.
    """
    rows, n = len(prices) - 1, prices.shape[1]
    u = (prices - prices.mean(axis=0)) / prices.std(axis=0, ddof=1)
    origin = np.eye(n) if toward == "random walk" else np.zeros((n, n))
    cross = u[:-1].T @ (u[1:] - u[:-1] @ origin) / rows
    model = penalized_var(prices, penalty, toward=toward)
    b = model.transition * model.scale[:, None] / model.scale - origin
    # Mapping to the units of the prices and back leaves rounding where b is 0.
    b[np.abs(b) < 1e-13] = 0
    gradient = cross - u[:-1].T @ u[:-1] @ b / rows
    alpha = penalty * np.abs(cross).max(axis=0)
    breach = np.where(b == 0, np.abs(gradient) - alpha, np.abs(gradient - alpha * np.sign(b)))
    return (breach / alpha).max(), (b == 0).mean()


def selection_residual(model, penalty):
    """The same for covariance selection, in units of correlation.

    With K the inverse of the correlations W, ``W - R = penalty sign(K)`` off the diagonal where K
    is not 0, and at most the penalty in magnitude where it is.
    """
    chosen = covariance_selection(model, penalty)
    outer = np.outer(model.scale, model.scale)
    w, r = chosen.covariance / outer, model.covariance / outer
    np.testing.assert_allclose(np.diag(w), 1, rtol=1e-12)
    np.testing.assert_array_equal(chosen.transition, model.transition)
    k = np.linalg.inv(w)
    k[np.abs(k) < 1e-7 * np.diag(k)] = 0
    off = ~np.eye(len(w), dtype=bool)
    moved = w - r
    breach = np.where(k == 0, np.abs(moved) - penalty, np.abs(moved - penalty * np.sign(k)))
    return breach[off].max(), (k[off] == 0).mean()


# As the docstrings promise: of alpha_j for the lasso, of correlation for covariance selection.
LASSO, SELECTION = 1e-6, 1e-4


@pytest.mark.parametrize("toward", ["zero", "random walk"])
@pytest.mark.parametrize("n", [5, 20])
def test_penalized_var_meets_the_optimality_conditions(n, toward):
    found = [lasso_residual(panel(7, n, 600), p, toward) for p in (0.001, 0.05, 0.4)]
    assert max(breach for breach, _ in found) < LASSO
    assert found[0][1] < found[-1][1] > 0.5


@pytest.mark.parametrize("penalty", [0.01, 0.1, 0.5])
def test_covariance_selection_meets_the_optimality_conditions(penalty):
    breach, zeros = selection_residual(var(panel(11, 12, 600)), penalty)
    assert breach < SELECTION
    assert zeros > 0.4 if penalty >= 0.1 else zeros < 0.4


RECORDED = {
    "ecb_fx_reference_daily": ("rates", "USD JPY GBP SEK CHF NOK CAD AUD NZD"),
    "us_treasury_par_yields_daily": ("treasury", "1Y 2Y 3Y 5Y 7Y 10Y 20Y"),
    "fed_h15_cmt_and_swaps_daily": ("swaps", "1Y 2Y 3Y 4Y 5Y 7Y 10Y 30Y"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.real_data(name)) for name in RECORDED]
)
def test_penalties_meet_the_optimality_conditions_on_recorded_prices(name):
    table, columns = RECORDED[name]
    prices = data.load(name)[table][columns.split()].loc["1999":"2006"].dropna().to_numpy()
    for penalty in (0.01, 0.1, 0.5):
        assert lasso_residual(prices, penalty, "zero")[0] < LASSO
        assert lasso_residual(prices, penalty, "random walk")[0] < LASSO
        assert selection_residual(var(prices), penalty)[0] < SELECTION


def test_penalties_of_one_and_of_two_assets_have_closed_forms():
    """One: soft thresholding keeps 1 - penalty of the coefficient; two: of the correlation."""
    one, two = var(panel(26, 1)), var(panel(26, 2))
    shrunk = penalized_var(panel(26, 1), 0.3).transition
    np.testing.assert_allclose(shrunk, 0.7 * one.transition, rtol=1e-6)
    walk = penalized_var(panel(26, 1), 0.3, toward="random walk").transition
    np.testing.assert_allclose(walk - 1, 0.7 * (one.transition - 1), rtol=1e-6)
    np.testing.assert_allclose(covariance_selection(one, 0.3).covariance, one.covariance)
    correlation = two.pencil[1][0, 1]
    for penalty in (0.1, 0.9):
        kept = np.sign(correlation) * max(abs(correlation) - penalty, 0)
        chosen = covariance_selection(two, penalty).pencil[1][0, 1]
        assert chosen == pytest.approx(kept, abs=SELECTION)
    assert abs(correlation) > 0.2


def test_fifty_assets_are_penalised():
    rng = np.random.default_rng(1)
    prices = rng.normal(size=(1000, 3)).cumsum(axis=0) @ rng.normal(size=(3, 50))
    prices += rng.normal(size=prices.shape)
    assert lasso_residual(prices, 0.1, "zero")[0] < LASSO
    assert selection_residual(var(prices), 0.3)[0] < SELECTION


def test_prices_too_nearly_collinear_for_a_penalty_are_an_error_that_says_so():
    with pytest.raises(SolverFailed, match=r"penalty 0\.001.*raise the penalty"):
        covariance_selection(var(panel(11, 12, 600)), 0.001)
    rng = np.random.default_rng(0)
    common, own = (rng.normal(size=(200, n)).cumsum(axis=0) for n in (1, 3))
    with pytest.raises(SolverFailed, match=r"penalty 1e-06.*raise the penalty"):
        penalized_var(common + 1e-3 * own, 1e-6, toward="random walk")


def test_penalized_var_without_penalty_is_least_squares():
    prices = panel(8)
    for toward in ("zero", "random walk"):
        model = penalized_var(prices, 0, toward=toward)
        np.testing.assert_allclose(model.transition, var(prices).transition, atol=1e-8)
    near = penalized_var(prices, 1e-9)
    np.testing.assert_allclose(near.transition, var(prices).transition, atol=1e-5)


def test_shrinking_to_zero_makes_random_walks_look_mean_reverting():
    walks = np.random.default_rng(10).normal(size=(1000, 4)).cumsum(axis=0)
    zero = box_tiao(penalized_var(walks, 0.5))[-1].predictability
    walk = box_tiao(penalized_var(walks, 0.5, toward="random walk"))[0].predictability
    assert zero < 0.3 and walk > 0.95
    extreme = penalized_var(walks, 1 - 1e-12, toward="random walk")
    np.testing.assert_allclose(extreme.transition, np.eye(4), atol=1e-9)


def test_covariance_selection_has_its_limits():
    model = var(panel(12))
    unchanged = covariance_selection(model, 0)
    np.testing.assert_allclose(unchanged.covariance, model.covariance, rtol=1e-15)
    largest = np.abs(model.pencil[1] - np.eye(5)).max()
    alone = covariance_selection(model, largest + 1e-6).covariance
    np.testing.assert_allclose(alone, np.diag(np.diag(model.covariance)), atol=1e-12)
    assert "least squares" in unchanged.method
    assert "penalty 0.2" in covariance_selection(model, 0.2).method


def test_portfolios_of_a_clustered_model_live_in_one_cluster():
    one, two = stationary(13, 3)[0], stationary(14, 4)[0]
    order = np.random.default_rng(0).permutation(7)
    names = tuple("abcdefg"[i] for i in order)
    a, g = (
        scipy.linalg.block_diag(getattr(one, key), getattr(two, key))[np.ix_(order, order)]
        for key in ("transition", "covariance")
    )
    model = VAR1(names, a, g, np.zeros(7), 0, 1.0, "population")
    groups = clusters(model)
    assert [set(group) for group in groups] == [set("defg"), set("abc")]
    for k in range(1, 8):
        best = exhaustive(model, k).predictability
        parts = [
            least(block, support)
            for block in (one, two)
            for support in itertools.combinations(range(len(block.names)), min(k, len(block.names)))
        ]
        assert best == pytest.approx(min(parts), rel=1e-9)


def test_clusters_are_linked_by_the_transition_or_the_precision():
    precision = np.array([[1, 0, 0, 0], [0, 1, 0.4, 0], [0, 0.4, 1, 0], [0, 0, 0, 1.0]])
    transition = 0.5 * np.eye(4)
    transition[3, 0] = 1e-3

    def groups(a, k):
        return clusters(VAR1(tuple("abcd"), a, np.linalg.inv(k), np.zeros(4), 0, 1.0, "by hand"))

    assert groups(transition, precision) == [("a", "d"), ("b", "c")]
    assert groups(transition, np.eye(4)) == [("a", "d"), ("b",), ("c",)]
    assert groups(0.5 * np.eye(4), precision) == [("b", "c"), ("a",), ("d",)]


def test_penalties_separate_two_unrelated_markets():
    rng = np.random.default_rng(15)
    left, right = (rng.normal(size=3000).cumsum() for _ in range(2))
    noise = rng.normal(size=(3000, 4))
    prices = np.column_stack([left, left, right, right]) + noise
    correlation = abs(np.corrcoef(left, right)[0, 1])
    model = penalized_var(prices, 0.2)
    assert len(clusters(model)) == 1
    assert clusters(covariance_selection(model, correlation + 0.05)) == [(0, 1), (2, 3)]


@pytest.mark.parametrize("penalty", [-0.1, 1.0, math.nan])
def test_penalties_outside_their_range_are_refused(penalty):
    with pytest.raises(ValueError, match="penalty must be"):
        penalized_var(panel(0), penalty)
    with pytest.raises(ValueError, match="penalty must be"):
        covariance_selection(var(panel(0)), penalty)
    with pytest.raises(ValueError, match="toward must be"):
        penalized_var(panel(0), 0.1, toward="one")
    with pytest.raises(ValueError, match="tolerance must be"):
        clusters(var(panel(0)), tolerance=-1)


# Search


def test_danish_data():
    model = var(danish())
    np.testing.assert_allclose(
        [p.predictability for p in box_tiao(model)],
        [0.19677095, 0.55367889, 0.77363555, 0.93559110, 1.01688008],
        atol=5e-9,
    )
    path = greedy_path(model)
    np.testing.assert_allclose(
        [p.predictability for p in path],
        [0.860127, 0.557307, 0.468255, 0.391317, 0.196771],
        atol=1e-6,
    )
    added = ["ide", "ibo", "lpy", "lry", "lrm"]
    assert [set(p.support) for p in path] == [set(added[:k]) for k in range(1, 6)]
    three, four = exhaustive(model, 3), exhaustive(model, 4)
    assert (three.support, four.support) == (("lrm", "lry", "ibo"), ("lrm", "lry", "ibo", "ide"))
    assert three.predictability == pytest.approx(0.418941, abs=1e-6)
    assert four.predictability == pytest.approx(0.375103, abs=1e-6)
    for k in range(1, 6):
        found = semidefinite(model, k)
        assert found.bound <= exhaustive(model, k).predictability * (1 + 1e-12)


def test_box_tiao_solves_the_pencil():
    model = var(panel(16))
    portfolios = box_tiao(model)
    x = np.column_stack([p.vector for p in portfolios])
    nu = np.array([p.predictability for p in portfolios])
    assert (np.diff(nu) > 0).all()
    np.testing.assert_allclose(
        model.predicted @ x, model.covariance @ x * nu, atol=1e-9 * np.abs(model.covariance).max()
    )
    metric = x.T @ model.covariance @ x
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    np.testing.assert_allclose(metric / scale, np.eye(5), atol=1e-10)
    rng = np.random.default_rng(0)
    assert min(model.predictability(w) for w in rng.normal(size=(2000, 5))) >= nu[0]


def test_weights_have_norm_one_and_their_largest_entry_positive():
    model = var(pd.DataFrame(panel(17), columns=list("abcde")))
    for p in (*box_tiao(model), *pca(model), *greedy_path(model), semidefinite(model, 2)):
        assert np.linalg.norm(p.vector) == pytest.approx(1, rel=1e-12)
        assert p.vector[np.abs(p.vector).argmax()] > 0
        assert p.cardinality == len(p.support) == (p.weights != 0).sum()
        assert model.predictability(p.weights) == pytest.approx(p.predictability, rel=1e-8)


def test_value_is_linear_in_prices_and_aligned_by_name():
    prices = pd.DataFrame(panel(18), columns=list("abcde"))
    found = greedy(var(prices), 2)
    expected = prices.to_numpy() @ found.vector
    np.testing.assert_allclose(found.value(prices[list("edcba")]), expected, atol=1e-12)
    np.testing.assert_allclose(found.value(prices.to_numpy()), expected, atol=1e-12)
    assert found.value(prices[list(found.support)]).index.equals(prices.index)
    with pytest.raises(ValueError, match="prices have no column"):
        found.value(prices.drop(columns=found.support[0]))
    with pytest.raises(ValueError, match="prices must have shape"):
        found.value(prices.to_numpy()[:, :3])
    text = repr(found)
    assert found.support[0] in text and "half-life" in text and "greedy" in text


def test_pca_orders_by_variance():
    model = var(panel(19))
    variance = [p.vector @ model.covariance @ p.vector for p in pca(model)]
    np.testing.assert_allclose(variance, np.linalg.eigvalsh(model.covariance)[::-1], rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_searches_equal_enumeration_and_are_ordered(seed):
    model = var(panel(seed, 6))
    path = greedy_path(model)
    support: list[int] = []
    for k in range(1, 7):
        best = min(least(model, s) for s in itertools.combinations(range(6), k))
        steps = {i: least(model, sorted([*support, i])) for i in set(range(6)) - set(support)}
        support.append(min(steps, key=steps.get))
        plain, swapped, exact = greedy(model, k), greedy(model, k, swaps=True), exhaustive(model, k)
        assert exact.predictability == pytest.approx(best, rel=1e-9)
        assert plain.predictability == pytest.approx(steps[support[-1]], rel=1e-9)
        assert set(plain.support) == set(path[k - 1].support) == set(support)
        slack = 1 + 1e-10
        assert best <= swapped.predictability * slack
        assert swapped.predictability <= plain.predictability * slack
        for direction, swaps in itertools.product(("forward", "backward"), (False, True)):
            found = greedy(model, k, direction=direction, swaps=swaps)
            assert best <= found.predictability * slack and found.cardinality == k
    values = [p.predictability for p in path]
    assert (np.diff(values) <= 1e-12).all()
    assert len(greedy_path(model, 2)) == 2
    assert values[-1] == pytest.approx(box_tiao(model)[0].predictability, rel=1e-9)


def missed_least(model, support):
    """The asset without which the least predictability rises least, by direct eigenvalues."""
    rises = {i: least(model, [j for j in support if j != i]) for i in support}
    lowest = min(rises.values())
    return next(i for i, value in rises.items() if value <= lowest + 1e-12)


@pytest.mark.parametrize("n", [2, 6, 15])
def test_backward_elimination_removes_the_asset_that_is_missed_least(n):
    for seed in range(5):
        model, support = var(panel(300 + seed, n)), list(range(n))
        for k in range(n, 0, -1):
            found = greedy(model, k, direction="backward")
            assert found.support == tuple(support)
            assert found.predictability == pytest.approx(least(model, support), rel=1e-9)
            if k > 1:
                support.remove(missed_least(model, support))


@pytest.mark.parametrize("n", [2, 3, 8, 40])
def test_predictability_without_each_asset_is_that_of_the_submatrix(n):
    for seed in range(5):
        model = var(panel(320 + seed, n))
        values, vectors = scipy.linalg.eigh(*model.pencil)
        direct = [least(model, np.delete(np.arange(n), i)) for i in range(n)]
        np.testing.assert_allclose(meanrev._least_without(values, vectors), direct, atol=1e-12)


def diagonal(nu):
    """Independent assets, each an AR(1) of that predictability."""
    transition = np.diag(np.sqrt(nu))
    names = tuple(range(len(nu)))
    return VAR1(names, transition, np.eye(len(nu)), np.zeros(len(nu)), 0, 1.0, "by hand")


@pytest.mark.parametrize(
    ("nu", "kept"),
    [
        ([0.4, 0.3, 0.2, 0.1], [(3,), (2, 3), (1, 2, 3)]),
        ([0.1, 0.2, 0.3, 0.4], [(0,), (0, 3), (0, 2, 3)]),
        ([0.1, 0.1, 0.5, 0.9], [(1,), (1, 3), (1, 2, 3)]),
        ([0.3, 0.3 + 1e-14, 0.9, 0.9], [(1,), (1, 3), (1, 2, 3)]),
        ([0.5, 0.5, 0.5, 0.5], [(3,), (2, 3), (1, 2, 3)]),
        ([0.0, 0.0, 0.0, 0.7], [(2,), (2, 3), (1, 2, 3)]),
    ],
)
def test_backward_elimination_of_independent_assets(nu, kept):
    """Most are no part of the least predictable portfolio: of equal losses the first one goes."""
    model = diagonal(nu)
    direct = [min(np.delete(nu, i)) for i in range(4)]
    without = meanrev._least_without(*scipy.linalg.eigh(*model.pencil))
    np.testing.assert_allclose(without, direct, rtol=0, atol=1e-15)
    assert [tuple(meanrev._backward(model, k).tolist()) for k in (1, 2, 3)] == kept


def test_backward_elimination_starts_from_many_assets():
    found = greedy(var(panel(330, 200, 2000)), 5, direction="backward")
    assert found.cardinality == 5


def test_directions_are_two_and_a_singular_covariance_is_refused_in_both():
    with pytest.raises(ValueError, match="direction must be 'forward' or 'backward'"):
        greedy(var(panel(0)), 2, direction="up")
    twins = VAR1(("a", "b", "c"), np.eye(3) / 2, np.ones((3, 3)), np.zeros(3), 0, 1.0, "by hand")
    for direction in ("forward", "backward"):
        with pytest.raises(ValueError, match="covariance must be positive definite"):
            greedy(twins, 2, direction=direction)
    assert greedy(var(panel(0)), 2, direction="backward").method == "greedy backward"


def test_rescaling_assets_changes_no_predictability():
    prices, scale = panel(20), np.array([1e-4, 1.0, 30.0, 1e5, 0.2])
    one, two = var(prices), var(prices * scale)

    def found(model):
        return [
            *box_tiao(model),
            *greedy_path(model),
            exhaustive(model, 3),
            semidefinite(model, 3),
            box_tiao(covariance_selection(model, 0.1))[0],
        ]

    for a, b in zip(found(one), found(two), strict=True):
        assert b.predictability == pytest.approx(a.predictability, rel=1e-7)
        back = b.vector * scale
        assert abs(back @ a.vector) / np.linalg.norm(back) == pytest.approx(1, abs=1e-6)
        assert a.support == b.support


def planted(seed, weights, hedge):
    """``S = w z + W r``: z an AR(1), r four unit walks, the columns of W orthogonal to w.

    `hedge` projects four of the axes on the orthogonal complement, one of the support left out,
    so that this asset wanders only with its hedges; otherwise W is an orthonormal basis.
    """
    rng = np.random.default_rng(seed)
    support = rng.permutation(5)[:3]
    w = np.zeros(5)
    w[support] = weights(rng) * rng.choice([-1, 1], 3)
    w /= np.linalg.norm(w)
    phi = rng.uniform(0.8, 0.9)
    z = scipy.signal.lfilter([1], [1, -phi], rng.normal(size=2500))[500:]
    basis = scipy.linalg.null_space(w[None])
    if hedge:
        basis = np.delete(np.eye(5) - np.outer(w, w), support[0], axis=1)
    walks = rng.normal(size=(2000, 4)).cumsum(axis=0)
    return var(np.outer(z, w) + walks @ basis.T), w


def cosines(search, weights, hedge):
    found = []
    for seed in range(50):
        model, w = planted(seed, weights, hedge)
        found.append(abs(search(model).vector @ w))
    return np.array(found)


GENERIC = (lambda rng: rng.uniform(0.5, 1, 3), False)
HEDGED = (lambda rng: np.array([1, 0.3, 0.2]), True)


@pytest.mark.parametrize("design", [GENERIC, HEDGED], ids=["generic", "hedged"])
@pytest.mark.parametrize(
    ("search", "weakest"),
    [
        (lambda model: box_tiao(model)[0], 0.996),
        (lambda model: semidefinite(model, 3), 0.9975),
        (lambda model: exhaustive(model, 3), 0.9975),
        (lambda model: greedy(model, 3, direction="backward"), 0.9975),
    ],
    ids=["box_tiao", "semidefinite", "exhaustive", "backward"],
)
def test_planted_weights_are_found_on_every_seed(search, weakest, design):
    assert cosines(search, *design).min() > weakest > 0.99


def test_the_planted_basket_is_found_on_every_seed_except_by_forward_selection():
    searches = {
        "box_tiao": lambda model: box_tiao(model)[0],
        "backward": lambda model: greedy(model, 3, direction="backward"),
        "semidefinite": lambda model: semidefinite(model, 3),
        "forward": lambda model: greedy(model, 3),
        "forward, swaps": lambda model: greedy(model, 3, swaps=True),
    }
    cosine = pd.DataFrame(index=range(50), columns=list(searches), dtype=float)
    for seed in range(50):
        basket = data.simulate_basket(seed)
        model, planted_weights = var(basket["prices"]), basket["planted"]["weight"]
        for name, search in searches.items():
            cosine.loc[seed, name] = abs(search(model).weights @ planted_weights)
    assert (cosine[["box_tiao", "backward", "semidefinite"]].min() > 0.996).all()
    missed = (cosine < 0.99).sum()
    assert 5 <= missed["forward"] <= 25
    assert missed["forward, swaps"] < missed["forward"] / 2


def test_greedy_with_swaps_finds_an_asset_and_its_hedges_on_every_seed():
    assert cosines(lambda model: greedy(model, 3, swaps=True), *HEDGED).min() > 0.9975


def test_forward_selection_misses_weights_of_which_no_part_reverts():
    """Where one or two of the three assets still wander, the first steps are chosen by chance."""
    plain = cosines(lambda model: greedy(model, 3), *GENERIC)
    swapped = cosines(lambda model: greedy(model, 3, swaps=True), *GENERIC)
    assert 10 <= (plain < 0.99).sum() <= 30
    assert (swapped < 0.99).sum() < (plain < 0.99).sum() / 2
    assert cosines(lambda model: greedy(model, 3), *HEDGED).min() < 0.99


def test_the_first_principal_component_of_the_planted_panel_wanders():
    for seed in range(50):
        model, w = planted(seed, *GENERIC)
        first = pca(model)[0]
        assert first.predictability > 0.99 > 0.9 > model.predictability(w)


@pytest.mark.parametrize("cardinality", [0, 6, -1])
def test_cardinality_outside_its_range_is_refused(cardinality):
    model = var(panel(0))
    for search in (greedy, exhaustive, semidefinite):
        with pytest.raises(ValueError, match="cardinality must be at"):
            search(model, cardinality)
    with pytest.raises(ValueError, match="max_cardinality must be at"):
        greedy_path(model, cardinality)
    with pytest.raises(TypeError, match="cardinality must be an integer"):
        greedy(model, 2.5)


# Semidefinite relaxation


@pytest.mark.parametrize("n", [5, 6, 7])
def test_the_bound_is_below_the_best_of_every_support(n):
    tight = 0
    for seed in range(17):
        model = var(panel(100 + seed, n))
        for k in range(1, n + 1):
            found, best = semidefinite(model, k), exhaustive(model, k).predictability
            assert found.bound <= best * (1 + 1e-12)
            assert found.bound == pytest.approx(found.relaxation, abs=1e-5)
            assert best <= found.predictability * (1 + 1e-9)
            assert found.cardinality == k and 0 < found.rank_one <= 1 + 1e-9
            tight += found.bound > best - 1e-6
            if k in (1, n):
                assert found.bound == pytest.approx(best, abs=1e-6)
                assert found.predictability == pytest.approx(best, rel=1e-9)
    assert tight >= 2 * 17


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3])
def test_the_bound_holds_however_inaccurate_the_solver(monkeypatch, tolerance):
    import cvxpy

    def sloppy(problem):
        names = ("tol_gap_abs", "tol_gap_rel", "tol_feas")
        problem.solve(solver=cvxpy.CLARABEL, **dict.fromkeys(names, tolerance))
        return float(problem.value)

    monkeypatch.setattr(_convex, "solve", sloppy)
    exceeded = 0
    for seed in range(10):
        model = var(panel(200 + seed))
        for k in range(1, 6):
            found, best = semidefinite(model, k), exhaustive(model, k).predictability
            assert found.bound <= best * (1 + 1e-12)
            # Box and Tiao's least predictability is a bound without any solver.
            assert found.bound >= box_tiao(model)[0].predictability - 1e-9
            exceeded += found.relaxation > best
    # The value that the solver reports proves nothing.
    assert exceeded > 0


@pytest.mark.parametrize("cardinality", [1, 2, 3, 4])
def test_rounding_does_not_make_a_bound_negative(cardinality):
    assert semidefinite(diagonal([0.0, 0.3, 0.5, 0.7]), cardinality).bound == 0


def primal(model, k):
    """Y of the relaxation as its docstring states it, with `predictability` as the value."""
    import cvxpy as cp

    (m, g), n = model.pencil, len(model.names)
    y = cp.Variable((n, n), PSD=True)
    held = [cp.trace(g @ y) == 1, cp.sum(cp.abs(y)) <= k * cp.trace(y)]
    value = cp.Problem(cp.Minimize(cp.trace(m @ y)), held).solve(solver=cp.CLARABEL)
    return value, y.value


@pytest.mark.parametrize(("seed", "k"), [(100, 3), (101, 3), (105, 3), (106, 3), (125, 3)])
def test_the_support_is_that_of_the_leading_eigenvector_of_the_relaxed_solution(seed, k):
    """On these panels the diagonal of Y would choose other assets."""
    model = var(panel(seed, 6))
    found, (value, y) = semidefinite(model, k), primal(model, k)
    assert found.relaxation == pytest.approx(value, abs=1e-6)
    leading = np.abs(np.linalg.eigh(y)[1][:, -1])
    assert set(found.support) == set(np.argsort(leading)[-k:])
    assert set(found.support) != set(np.argsort(np.diag(y))[-k:])
    weights = np.linalg.eigvalsh(y)
    assert found.rank_one == pytest.approx(weights[-1] / weights.sum(), abs=1e-4)


def test_one_asset_has_one_portfolio():
    model = var(panel(21, 1))
    found = semidefinite(model, 1)
    assert found.vector.tolist() == [1.0]
    assert found.bound == pytest.approx(model.transition[0, 0] ** 2, abs=1e-9)
    assert found.predictability == pytest.approx(greedy(model, 1).predictability)


@pytest.mark.parametrize("seed", range(4))
def test_components_with_all_assets_are_the_canonical_portfolios(seed):
    model = var(panel(seed))
    for ours, canonical in zip(semidefinite_components(model, 5, 5), box_tiao(model), strict=True):
        assert ours.predictability == pytest.approx(canonical.predictability, rel=1e-8)
        assert ours.vector @ canonical.vector == pytest.approx(1, abs=1e-7)
        assert ours.bound == pytest.approx(canonical.predictability, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_sparse_components_are_uncorrelated_and_bounded(seed):
    model = var(panel(seed, 6))
    components = semidefinite_components(model, 3, 3)
    for m, found in enumerate(components):
        assert found.cardinality <= 3
        earlier = [p.vector for p in components[:m]]
        for p in earlier:
            spread = math.sqrt(
                (p @ model.covariance @ p) * (found.vector @ model.covariance @ found.vector)
            )
            assert abs(found.vector @ model.covariance @ p) < 1e-9 * spread
        excluded = model.covariance @ np.column_stack(earlier) if earlier else None
        best = min(least(model, s, excluded) for s in itertools.combinations(range(6), 3))
        assert found.bound <= best * (1 + 1e-9)
        assert found.predictability >= best * (1 - 1e-9)
    by_hand = semidefinite(model, 3, orthogonal_to=[components[0].weights, components[1].vector])
    np.testing.assert_allclose(by_hand.vector, components[2].vector, atol=1e-6)


def test_too_few_assets_cannot_be_uncorrelated_with_many():
    model = var(panel(22))
    first = box_tiao(model)[:2]
    with pytest.raises(ValueError, match="cardinality must be above 2"):
        semidefinite(model, 2, orthogonal_to=first)
    with pytest.raises(ValueError, match="n_portfolios must be at most"):
        semidefinite_components(model, 2, 3)


def test_a_solver_that_stops_early_is_an_error(monkeypatch):
    import cvxpy

    solve = cvxpy.Problem.solve
    monkeypatch.setattr(
        cvxpy.Problem, "solve", lambda self, solver: solve(self, solver=solver, max_iter=1)
    )
    with pytest.raises(SolverFailed, match="Clarabel"):
        semidefinite(var(panel(23)), 2)
    with pytest.raises(RuntimeError, match="Clarabel"):
        variance_threshold(panel(23), "portmanteau", 1.0)


# Proxies


def test_portmanteau_is_box_pierce():
    values = panel(24)[:, 0]
    statistic = acorr_ljungbox(values, lags=[7], boxpierce=True)["bp_stat"].iloc[0]
    assert portmanteau(values, 7) == pytest.approx(statistic / 300 / 7, rel=1e-12)
    noise = np.random.default_rng(0).normal(size=50_000)
    # Under white noise T p times it is chi-squared with p degrees of freedom.
    assert abs(portmanteau(noise, 8) * 50_000 * 8 - 8) < 4 * math.sqrt(16)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, -0.7])
def test_crossing_rate_of_a_gaussian_ar1(phi):
    rng = np.random.default_rng(25)
    series = scipy.signal.lfilter([1], [1, -phi], rng.normal(size=(200, 2500)))[:, 500:]
    rates = np.array([crossing_rate(row) for row in series])
    error = rates.std(ddof=1) / math.sqrt(len(rates))
    assert error < 0.001
    assert abs(rates.mean() - math.acos(phi) / math.pi) < 4 * error


@pytest.mark.parametrize(
    ("values", "crossings"),
    [([1, 0, 1, -2], 1), ([0, -1, 1], 2), ([-1, 0, 1], 1), ([-1, 0, 0, -1, 2], 3)],
)
def test_a_value_on_the_mean_counts_as_above_it(values, crossings):
    assert crossing_rate(values) == crossings / (len(values) - 1)


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0, 2.0], [1.0, math.nan, 2.0], np.ones((3, 3))])
def test_proxies_refuse_what_is_no_series(values):
    with pytest.raises(ValueError, match="values"):
        crossing_rate(values)
    with pytest.raises(ValueError, match="values"):
        portmanteau(values, 1)


def objective(prices, proxy, y, lags=5, balance=1.0, penalty=0.0):
    """The objective of each row of y, from the series of its portfolio, not from matrices."""
    y = np.atleast_2d(y)
    model = var(prices)
    centred = prices - prices.mean(axis=0)
    s, forecast = centred @ y.T, centred @ model.transition @ y.T
    gamma = [(s[: len(s) - i] * s[i:]).sum(axis=0) / (len(s) - 1) for i in range(lags + 1)]
    unit = centred.var(axis=0, ddof=1).mean()
    if proxy == "predictability":
        value, scale = (forecast**2).sum(axis=0) / (len(s) - 1), unit
    elif proxy == "portmanteau":
        value, scale = sum(g**2 for g in gamma[1:]), unit**2
    else:
        value, scale = gamma[1] + balance / unit * sum(g**2 for g in gamma[2:]), unit
    return value + penalty * scale * np.abs(y).sum(axis=1) ** 2


def best_of_random(prices, proxy, threshold, n, draws=10_000, **terms):
    rng = np.random.default_rng(0)
    covariance = np.cov(prices.T)
    # Half of the draws are near the directions of small and of large variance.
    y = rng.normal(size=(draws, n))
    y[::2] *= rng.exponential(size=(draws // 2, n)) ** 3
    y[::2] = y[::2] @ np.linalg.eigh(covariance)[1].T
    y /= np.linalg.norm(y, axis=1)[:, None]
    allowed = y[np.einsum("ij,jk,ik->i", y, covariance, y) >= threshold]
    assert len(allowed) > 100
    return objective(prices, proxy, allowed, **terms).min()


@pytest.mark.parametrize("penalty", [0.0, 0.05])
@pytest.mark.parametrize("proxy", ["predictability", "portmanteau", "crossing"])
@pytest.mark.parametrize("n", [4, 6])
def test_threshold_portfolio_lies_between_its_bound_and_random_search(n, proxy, penalty):
    prices = panel(30 + n, n)
    spectrum = np.linalg.eigvalsh(np.cov(prices.T))
    for threshold in (0.0, 2 * spectrum[0], spectrum.mean()):
        found = variance_threshold(prices, proxy, threshold, penalty=penalty)
        terms = {"penalty": penalty}
        assert found.achieved == pytest.approx(objective(prices, proxy, found.vector, **terms)[0])
        slack = 1e-9 * abs(found.achieved)
        assert found.bound <= found.achieved + slack
        assert found.bound == pytest.approx(found.relaxation, rel=1e-4)
        assert found.achieved <= best_of_random(prices, proxy, threshold, n, **terms) + slack
        assert found.holds and found.variance >= threshold * (1 - 1e-9)
        assert found.variance == pytest.approx(found.value(prices).var(ddof=1))
        assert np.linalg.norm(found.vector) == pytest.approx(1)
        if penalty == 0:
            # Proved to be the best there is, for all three proxies on these panels.
            assert found.bound == pytest.approx(found.achieved, rel=1e-6)
            assert found.rank_one == pytest.approx(1, abs=1e-4)


def test_the_bound_of_a_threshold_portfolio_is_below_every_portfolio_allowed():
    prices = panel(40, 4)
    threshold = np.linalg.eigvalsh(np.cov(prices.T)).mean()
    for proxy in ("predictability", "portmanteau", "crossing"):
        for penalty in (0.0, 0.3):
            found = variance_threshold(prices, proxy, threshold, penalty=penalty)
            random = best_of_random(prices, proxy, threshold, 4, penalty=penalty)
            assert found.bound <= random
            assert found.bound >= 0.8 * found.achieved


def test_threshold_of_predictability_has_known_ends():
    """0: the last eigenvector of M; Box & Tiao's variance: their portfolio; the most: PCA's."""
    prices = panel(41)
    model = var(prices)
    values, vectors = np.linalg.eigh(model.predicted)
    zero = variance_threshold(prices, "predictability", 0.0)
    assert zero.achieved == pytest.approx(values[0], rel=1e-6)
    assert abs(zero.vector @ vectors[:, 0]) == pytest.approx(1, abs=1e-6)

    canonical = box_tiao(model)[0]
    variance = canonical.vector @ model.covariance @ canonical.vector
    same = variance_threshold(prices, "predictability", variance)
    assert same.vector @ canonical.vector == pytest.approx(1, abs=1e-6)
    assert same.predictability == pytest.approx(canonical.predictability, rel=1e-5)
    assert abs(zero.vector @ canonical.vector) < 1 - 1e-6

    most = np.linalg.eigvalsh(model.covariance)[-1]
    top = variance_threshold(prices, "predictability", most)
    assert top.vector @ pca(model)[0].vector == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="min_variance must be at most"):
        variance_threshold(prices, "predictability", most * 1.001)


@pytest.mark.parametrize("proxy", ["predictability", "portmanteau", "crossing"])
def test_an_active_threshold_changes_the_portfolio_and_costs_reversion(proxy):
    prices = panel(42)
    free = variance_threshold(prices, proxy, 0.0)
    bound = variance_threshold(prices, proxy, 5 * free.variance)
    assert bound.variance == pytest.approx(5 * free.variance, rel=1e-6)
    assert abs(free.vector @ bound.vector) < 0.99
    assert bound.achieved > free.achieved
    assert bound.predictability > free.predictability


def test_threshold_objectives_are_the_proxies_of_the_portfolio():
    prices = panel(43)
    found = variance_threshold(prices, "portmanteau", 3.0, lags=4)
    value = found.value(prices)
    assert found.achieved / found.variance**2 / 4 == pytest.approx(portmanteau(value, 4), rel=1e-9)
    found = variance_threshold(prices, "crossing", 3.0, balance=0.0)
    value = found.value(prices) - found.value(prices).mean()
    first = value[:-1] @ value[1:] / (value @ value)
    assert found.achieved / found.variance == pytest.approx(first, rel=1e-9)
    assert crossing_rate(value) > crossing_rate(pca(found.model)[0].value(prices))


def test_a_penalty_makes_threshold_portfolios_sparse():
    prices = panel(44, 6)
    counts = [
        variance_threshold(prices, "predictability", 2.0, penalty=p).cardinality
        for p in (0.0, 0.05, 1.0)
    ]
    assert counts[0] == 6 > counts[1] >= counts[2] and counts[2] <= 2


@pytest.mark.parametrize("seed", range(4))
def test_a_penalty_leaves_no_negligible_weights(seed):
    for proxy in ("predictability", "crossing"):
        y = variance_threshold(panel(seed), proxy, 0.0, penalty=0.05).vector
        assert np.abs(y[y != 0]).min() > 1e-3 * np.abs(y).max()


def best_on_supports(prices, proxy, threshold, n, penalty):
    """The least objective of many unit vectors on each support, near its best ones the most."""
    rng, covariance = np.random.default_rng(0), np.cov(prices.T)
    least = math.inf
    for k in range(1, n + 1):
        for support in itertools.combinations(range(n), k):
            y, spread = np.zeros((400, n)), 1.0
            y[:, support] = rng.normal(size=(400, k))
            for _ in range(10):
                y /= np.linalg.norm(y, axis=1)[:, None]
                value = objective(prices, proxy, y, penalty=penalty)
                value[np.einsum("ij,jk,ik->i", y, covariance, y) < threshold] = math.inf
                least, spread = min(least, value.min()), spread / 2
                y = y[np.argsort(value)[:20]].repeat(20, axis=0)
                y[:, support] += spread * rng.normal(size=(400, k))
    return least


@pytest.mark.parametrize(
    ("seed", "proxy"),
    [(501, "crossing"), *((seed, "predictability") for seed in (500, 501, 505, 506, 507, 508))],
)
def test_several_starts_find_what_a_search_of_every_support_finds(seed, proxy):
    """Each of these panels defeats any one start, or all that are not of a small support."""
    prices, n = panel(seed, 4), 4
    threshold = np.linalg.eigvalsh(np.cov(prices.T)).mean()
    found = variance_threshold(prices, proxy, threshold, penalty=0.5)
    best = best_on_supports(prices, proxy, threshold, n, 0.5)
    assert found.bound <= best
    assert found.achieved <= best * (1 + 1e-3)


@pytest.mark.parametrize(("ratio", "held"), [(200, 2), (500, 2), (2000, 1)])
def test_a_penalty_drops_weights_below_a_thousandth_and_no_others(ratio, held):
    """The walk of the first asset is hedged by 1 / ratio of the second, whose units are large."""
    rng = np.random.default_rng(0)
    walk = rng.normal(size=1000).cumsum()
    prices = np.column_stack([walk + rng.normal(size=1000), ratio * walk])
    free = variance_threshold(prices, "predictability", 0.0, penalty=0.0)
    assert abs(free.vector[1] / free.vector[0]) == pytest.approx(1 / ratio, rel=0.01)
    found = variance_threshold(prices, "predictability", 0.0, penalty=1e-6)
    assert found.cardinality == held
    assert found.vector[1] == pytest.approx(free.vector[1] if held == 2 else 0, rel=0.01)


def test_units_of_the_prices_carry_through():
    prices = panel(45, 4)
    for proxy, power in (("predictability", 2), ("portmanteau", 4), ("crossing", 2)):
        one = variance_threshold(prices, proxy, 3.0, penalty=0.01)
        two = variance_threshold(prices * 10, proxy, 300.0, penalty=0.01)
        assert two.achieved == pytest.approx(one.achieved * 10**power, rel=1e-6)
        assert two.vector @ one.vector == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"proxy": "speed"}, "proxy must be"),
        ({"min_variance": -1.0}, "min_variance must be zero or positive"),
        ({"penalty": math.inf}, "penalty must be zero or positive"),
        ({"balance": -1}, "balance must be zero or positive"),
        ({"lags": 0}, "lags must be at least 1"),
        ({"lags": 300}, "lags must be below"),
        ({"dt": 0}, "dt must be positive"),
    ],
)
def test_unusable_thresholds_are_refused(arguments, message):
    given = {"proxy": "portmanteau", "min_variance": 1.0} | arguments
    with pytest.raises(ValueError, match=message):
        variance_threshold(panel(0), **given)


@pytest.mark.parametrize("seed", [500, 504, 506])
def test_one_refinement_with_a_penalty_ends_where_no_small_change_helps(seed):
    """From each start alone; to a thousandth, for negligible weights are cut only afterwards."""
    from labkit import _threshold

    prices = panel(seed, 4)
    covariance, rng = np.cov(prices.T), np.random.default_rng(seed)
    least = 0.5 * np.linalg.eigvalsh(covariance).mean()
    goal = _threshold._Objective(var(prices).predicted, (), 0.5 * np.trace(covariance) / 4)
    for start in rng.normal(size=(6, 4)):
        found = _threshold._refine(goal, covariance, least, start)
        assert found @ covariance @ found >= least * (1 - 1e-9)
        for size in (1e-3, 1e-2):
            near = found + size * rng.normal(size=(2000, 4))
            near /= np.linalg.norm(near, axis=1)[:, None]
            allowed = near[np.einsum("ij,jk,ik->i", near, covariance, near) >= least]
            assert min(map(goal, allowed)) >= goal(found) * (1 - 1e-3)
