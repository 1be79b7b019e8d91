"""Searches for sparse mean-reverting portfolios: SciPy, enumeration and public data as oracles."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from statsmodels.datasets import danish_data

from labkit import backend, reference
from labkit._backend import kernels

MODULES = [kernels] if backend() == "reference" else [kernels, reference]
BOTH = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
FAST = pytest.mark.skipif(backend() == "reference", reason="too large for the reference")


def var_pencil(levels):
    """M and Gamma of d'Aspremont's VAR(1) in rows, by least squares on demeaned levels."""
    s = levels - levels.mean(axis=0)
    a = np.linalg.lstsq(s[:-1], s[1:], rcond=None)[0]
    gamma = s.T @ s / (len(s) - 1)
    m = a.T @ gamma @ a
    return (m + m.T) / 2, gamma


def panel(n, rows, seed):
    """Random walks in common, and AR(1) deviations of various speeds."""
    rng = np.random.default_rng(seed)
    walks = rng.normal(size=(rows, max(1, n // 8))).cumsum(axis=0)
    keep = rng.uniform(0.3, 0.97, n)
    deviation = rng.normal(size=(rows, n))
    for t in range(1, rows):
        deviation[t] += keep * deviation[t - 1]
    return walks @ rng.normal(size=(walks.shape[1], n)) + deviation


def spd(n, rng, rank=None):
    """A random pencil, M of the rank asked for."""
    b, c = rng.normal(size=(n, rank or n)), rng.normal(size=(n, 2 * n))
    return b @ b.T / n, c @ c.T / n


def least(m, gamma, support):
    at = np.ix_(support, support)
    return eigh(m[at], gamma[at], eigvals_only=True)[0]


def block_diagonal(*blocks):
    n = sum(map(len, blocks))
    matrix, start = np.zeros((n, n)), 0
    for block in blocks:
        matrix[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return matrix


@pytest.fixture(scope="module")
def danish():
    """Money, income, prices and two interest rates of Denmark, quarterly, standardised."""
    table = danish_data.load().data[["lrm", "lry", "lpy", "ibo", "ide"]]
    return var_pencil(((table - table.mean()) / table.std()).to_numpy())


@BOTH
def test_danish_data_by_forward_selection(module, danish):
    order, values = module.greedy_path(*danish)
    assert order.tolist() == [4, 3, 2, 1, 0]
    assert values == pytest.approx([0.860127, 0.557307, 0.468255, 0.391317, 0.196771], abs=6e-7)


@BOTH
@pytest.mark.parametrize(
    ("cardinality", "support", "value"),
    [
        (1, [4], 0.860127),
        (3, [0, 1, 3], 0.418941),
        (4, [0, 1, 3, 4], 0.375103),
        (5, [0, 1, 2, 3, 4], 0.196771),
    ],
)
def test_danish_data_by_exhaustion(module, danish, cardinality, support, value):
    found, least_of_all = module.best_subset(*danish, cardinality)
    assert found.tolist() == support
    assert least_of_all == pytest.approx(value, abs=6e-7)


@BOTH
def test_one_exchange_leads_from_the_greedy_support_to_a_better_one(module, danish):
    support, value = module.swap_subset(*danish, np.array([2, 3, 4]))
    assert value <= 0.468255
    assert value == pytest.approx(least(*danish, support), rel=1e-12)


@BOTH
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_each_asset_of_the_path_is_the_best_to_add(module, n):
    m, gamma = var_pencil(panel(n, 400, seed=n))
    order, values = module.greedy_path(m, gamma)
    assert sorted(order.tolist()) == list(range(n))
    for k in range(n):
        rest = [i for i in range(n) if i not in order[:k]]
        added = {i: least(m, gamma, [*order[:k], i]) for i in rest}
        assert order[k] == min(added, key=added.get)
        assert values[k] == pytest.approx(added[order[k]], rel=1e-10)


@FAST
@pytest.mark.parametrize("n", [60, 200])
def test_values_of_a_long_path_are_those_of_scipy(n):
    m, gamma = var_pencil(panel(n, 2000, seed=n))
    order, values = kernels.greedy_path(m, gamma)
    assert sorted(order.tolist()) == list(range(n))
    assert (np.diff(values) <= 0).all()
    for k in {1, 2, 3, n // 4, n // 2, n - 1, n}:
        assert values[k - 1] == pytest.approx(least(m, gamma, order[:k]), rel=1e-9)


@FAST
def test_no_other_asset_is_better_far_along_a_long_path():
    m, gamma = var_pencil(panel(90, 1000, seed=7))
    order, _ = kernels.greedy_path(m, gamma)
    for k in (20, 50, 80):
        added = {i: least(m, gamma, [*order[:k], i]) for i in order[k:]}
        assert order[k] == min(added, key=added.get)


@BOTH
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_exhaustive_is_below_exchanges_is_below_greedy(module, n, seed):
    m, gamma = spd(n, np.random.default_rng(seed))
    order, values = module.greedy_path(m, gamma)
    assert (np.diff(values) <= 0).all()
    for k in range(1, n + 1):
        support, exchanged = module.swap_subset(m, gamma, np.sort(order[:k]))
        best, value = module.best_subset(m, gamma, k)
        every = {c: least(m, gamma, c) for c in itertools.combinations(range(n), k)}
        assert value == pytest.approx(min(every.values()), rel=1e-9, abs=1e-13)
        assert every[tuple(best)] == pytest.approx(value, rel=1e-9, abs=1e-13)
        assert every[tuple(support)] == pytest.approx(exchanged, rel=1e-9, abs=1e-13)
        assert value <= exchanged + 1e-13 and exchanged <= values[k - 1] + 1e-13
        one_away = [v for c, v in every.items() if len(set(c) - set(support)) == 1]
        assert all(v >= exchanged - 1e-10 for v in one_away)


@FAST
def test_the_best_of_many_supports_is_the_best_of_all_that_scipy_sees():
    m, gamma = var_pencil(panel(24, 800, seed=3))
    found, value = kernels.best_subset(m, gamma, 4)
    assert found.dtype == np.int64
    supports = np.array(list(itertools.combinations(range(24), 4)))
    at = supports[:, :, None], supports[:, None, :]
    inverse = np.linalg.inv(np.linalg.cholesky(gamma[at]))
    values = np.linalg.eigvalsh(inverse @ m[at] @ inverse.transpose(0, 2, 1))[:, 0]
    assert found.tolist() == supports[np.argmin(values)].tolist()
    assert value == pytest.approx(values.min(), rel=1e-10)


@FAST
def test_millions_of_supports_are_ruled_out_as_the_planted_one_is_found():
    n, planted = 40, [3, 11, 12, 25, 31, 38]
    rng = np.random.default_rng(5)
    x = np.zeros(n)
    x[planted] = rng.uniform(0.5, 1.5, 6) * rng.choice([-1, 1], 6)
    c = rng.normal(size=(n, 3 * n))
    gamma = c @ c.T / (3 * n)
    # M = Gamma - a g g' with g = Gamma x is 1 on all that is orthogonal to x.
    g = gamma @ x
    m = gamma - 0.9 * np.outer(g, g) / (x @ g)
    support, value = kernels.best_subset(m, gamma, 6)
    assert support.tolist() == planted
    assert value == pytest.approx(0.1, abs=1e-12)


@BOTH
def test_units_do_not_matter(module):
    rng = np.random.default_rng(11)
    m, gamma = spd(8, rng)
    unit = 10.0 ** rng.uniform(-8, 8, 8)
    scaled = m * np.outer(unit, unit), gamma * np.outer(unit, unit)
    plain, other = module.greedy_path(m, gamma), module.greedy_path(*scaled)
    assert plain[0].tolist() == other[0].tolist()
    np.testing.assert_allclose(plain[1], other[1], rtol=1e-11, atol=1e-14)
    for name, argument in (("best_subset", 3), ("swap_subset", np.array([0, 1, 2]))):
        plain, other = (getattr(module, name)(*p, argument) for p in ((m, gamma), scaled))
        assert plain[0].tolist() == other[0].tolist()
        assert plain[1] == pytest.approx(other[1], rel=1e-11)


@BOTH
def test_renamed_assets_are_found_under_their_new_names(module):
    rng = np.random.default_rng(12)
    m, gamma = spd(8, rng)
    new = rng.permutation(8)
    at = np.ix_(new, new)
    assert new[module.greedy_path(m[at], gamma[at])[0]].tolist() == (
        module.greedy_path(m, gamma)[0].tolist()
    )
    found = module.best_subset(m[at], gamma[at], 4)[0]
    assert sorted(new[found].tolist()) == module.best_subset(m, gamma, 4)[0].tolist()


@BOTH
@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_where_all_portfolios_are_equal_the_first_assets_are_taken(module, scale):
    _, gamma = spd(6, np.random.default_rng(13))
    order, values = module.greedy_path(scale * gamma, gamma)
    assert order.tolist() == list(range(6))
    assert values == pytest.approx([scale] * 6, rel=1e-12)
    assert module.best_subset(scale * gamma, gamma, 3)[0].tolist() == [0, 1, 2]
    assert module.swap_subset(scale * gamma, gamma, np.array([1, 3, 5]))[0].tolist() == [1, 3, 5]


@BOTH
def test_repeated_eigenvalues_and_blocks(module):
    one, other = spd(4, np.random.default_rng(14)), spd(4, np.random.default_rng(15))
    m, gamma = (block_diagonal(a, b, a) for a, b in zip(one, other, strict=True))
    order, values = module.greedy_path(m, gamma)
    assert sorted(order.tolist()) == list(range(12))
    expected = [least(m, gamma, order[:k]) for k in range(1, 13)]
    assert values == pytest.approx(expected, rel=1e-10)
    best = min(least(*one, range(4)), least(*other, range(4)))
    assert values[-1] == pytest.approx(best, rel=1e-10)


@BOTH
@pytest.mark.parametrize("rank", [1, 3])
def test_what_is_not_predicted_at_all_is_found(module, rank):
    m, gamma = spd(9, np.random.default_rng(16), rank)
    order, values = module.greedy_path(m, gamma)
    assert sorted(order.tolist()) == list(range(9))
    assert values[:rank].min() > 1e-6
    np.testing.assert_allclose(values[rank:], 0, atol=1e-13)
    support, value = module.best_subset(m, gamma, rank + 1)
    assert value == pytest.approx(0, abs=1e-13)
    assert support.tolist() == list(range(rank + 1))


@BOTH
def test_a_covariance_of_condition_1e8_keeps_what_its_condition_leaves(module):
    n = 12
    rng = np.random.default_rng(17)
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    gamma = (q * np.logspace(0, -8, n)) @ q.T
    gamma = (gamma + gamma.T) / 2
    a = rng.normal(size=(n, n)) / n
    m = a.T @ gamma @ a
    m = (m + m.T) / 2
    order, values = module.greedy_path(m, gamma)
    spread = np.sqrt(np.diag(gamma))
    condition = np.linalg.cond(gamma / np.outer(spread, spread))
    assert condition > 1e6
    allowed = n * np.finfo(float).eps * condition * (np.diag(m) / np.diag(gamma)).max()
    expected = np.array([least(m, gamma, order[:k]) for k in range(1, n + 1)])
    assert np.abs(values - expected).max() < allowed
    assert (np.diff(values) <= 0).all()
    # The worst conditioned directions enter late: the first half has its usual digits.
    np.testing.assert_allclose(values[: n // 2], expected[: n // 2], rtol=1e-6)


@BOTH
def test_a_single_asset(module):
    m, gamma = np.array([[1.0]]), np.array([[4.0]])
    order, values = module.greedy_path(m, gamma)
    assert (order.tolist(), values.tolist()) == ([0], [0.25])
    assert module.best_subset(m, gamma, 1)[1] == 0.25
    assert module.swap_subset(m, gamma, np.array([0]))[1] == 0.25


@BOTH
def test_rounding_in_the_symmetry_is_taken_out(module):
    m, gamma = spd(5, np.random.default_rng(18))
    skew = np.triu(np.ones((5, 5)), 1)
    skew = 1e-10 * (skew - skew.T)
    expected, found = module.greedy_path(m, gamma), module.greedy_path(m + skew, gamma - skew)
    assert expected[0].tolist() == found[0].tolist()
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-13)


@BOTH
def test_a_copy_of_an_asset_is_refused(module):
    levels = panel(4, 200, seed=19)
    m, gamma = var_pencil(np.column_stack([levels, levels[:, 1]]))
    with pytest.raises(ValueError, match=r"^covariance must be positive definite"):
        module.greedy_path(m, gamma)


@BOTH
def test_more_supports_than_can_be_looked_through_are_refused(module):
    with pytest.raises(
        ValueError, match=r"^cardinality 30 of 60 gives 118264581564861424 supports"
    ):
        module.best_subset(np.eye(60), np.eye(60), 30)


@FAST
def test_other_threads_run_during_a_search():
    m, gamma = var_pencil(panel(34, 400, seed=20))
    started, done = threading.Event(), threading.Event()

    def search():
        started.set()
        kernels.best_subset(m, gamma, 8)
        done.set()

    thread = threading.Thread(target=search)
    thread.start()
    started.wait()
    steps = 0
    while not done.is_set():
        steps += 1
    thread.join()
    assert steps > 1000
