import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from labkit import published
from labkit import signatures as sig

STREAM = [[1, 1], [3, 4], [5, 2], [8, 6]]
EXAMPLES = "signature_worked_examples"


def random_path(seed, n=8, d=2, batch=None):
    shape = (n, d) if batch is None else (batch, n, d)
    return np.random.default_rng(seed).normal(size=shape).cumsum(axis=-2)


def by_definition(path, word):
    """The iterated integral of a piecewise linear path by nested sums over its pieces.

    Over pieces p_1 <= ... <= p_k, each run of r equal pieces gives 1 / r!.
    """
    steps = np.diff(np.asarray(path, float), axis=0)
    total = 0.0

    def add(place, piece, run, value):
        nonlocal total
        if place == len(word):
            total += value
            return
        for other in range(piece, len(steps)):
            repeated = run + 1 if other == piece else 1
            add(place + 1, other, repeated, value * steps[other, word[place]] / repeated)

    add(0, 0, 0, 1.0)
    return total


# Worked examples


def coordinates(prefix, signature):
    """Of two letters up to depth 2, by the names of the published values."""
    names = [f"{prefix}_{''.join(str(i + 1) for i in word)}" for word in sig.words(2, 2)[1:]]
    return dict(zip(names, signature[1:].tolist(), strict=True))


def test_worked_examples_have_their_published_signatures():
    inputs = published.inputs(EXAMPLES)
    stream, shift, end = inputs["stream"], inputs["curve"]["shift"], inputs["curve"]["end"]

    def curve(pieces):
        x = shift + np.linspace(0, end, pieces + 1)
        return sig.signature(np.stack([x, x**2], axis=1), 2)

    # The error of pieces of a parabola is a multiple of their length squared, nothing else.
    extrapolated = (4 * curve(512) - curve(256)) / 3
    ours = coordinates("stream", sig.signature(stream, 2)) | coordinates("curve", extrapolated)
    *_, bracket = sig.log_signature(stream, 2)
    checked = published.check(EXAMPLES, **ours, stream_log_12=bracket)
    assert checked.matches, checked.table


def test_a_stream_has_its_log_signature():
    np.testing.assert_allclose(sig.log_signature(STREAM, 2), [7.0, 5.0, 1.5], rtol=0, atol=1e-12)


def test_pieces_of_a_curve_converge_at_second_order():
    x = [3 + np.linspace(0, 5, n + 1) for n in (16, 32, 64)]
    errors = [sig.signature(np.stack([x, x**2], axis=1), 2)[4] - 475 / 3 for x in x]
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 4, rtol=1e-6)


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_line_has_the_powers_of_its_increment(pieces):
    step = np.array([0.3, -1.2, 0.7])
    path = np.linspace(0, 1, pieces + 1)[:, None] * step
    found = sig.signature(path, 5)
    level = np.ones(1)
    expected = [level]
    for k in range(1, 6):
        level = np.outer(level, step).ravel() / k
        expected.append(level)
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("n", [3, 100, 20_000])
def test_a_circle_of_chords_has_the_levy_area_of_its_polygon(n):
    angle = np.linspace(0, 2 * math.pi, n + 1)
    path = 1.7 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    _, _, _, _, forth, back, _ = sig.signature(path, 2)
    polygon = n / 2 * math.sin(2 * math.pi / n) * 1.7**2
    assert (forth - back) / 2 == pytest.approx(polygon, rel=1e-12)
    if n > 10_000:
        assert polygon == pytest.approx(math.pi * 1.7**2, rel=1e-7)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 3))
def test_coordinates_are_iterated_integrals(seed, d):
    path = random_path(seed, n=5, d=d)
    found = sig.signature(path, 4)
    for word, value in zip(sig.words(d, 4), found, strict=True):
        assert value == pytest.approx(by_definition(path, word), rel=1e-9, abs=1e-9)


# The algebra


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 5), st.integers(1, 6))
def test_chen_two_pieces_in_a_row_multiply(seed, d, depth, cut):
    path = random_path(seed, n=8, d=d)
    whole = sig.signature(path, depth)
    parts = sig.signature(path[: cut + 1], depth), sig.signature(path[cut:], depth)
    np.testing.assert_allclose(
        sig.product(*parts, dim=d, depth=depth), whole, rtol=1e-10, atol=1e-10
    )


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 5))
def test_the_path_run_backwards_has_the_inverse(seed, d, depth):
    path = random_path(seed, d=d)
    forth, back = sig.signature(path, depth), sig.signature(path[::-1], depth)
    np.testing.assert_allclose(sig.inverse(forth, dim=d, depth=depth), back, rtol=1e-9, atol=1e-8)
    unit = np.eye(1, sig.size(d, depth))[0]
    np.testing.assert_allclose(sig.product(forth, back, dim=d, depth=depth), unit, atol=1e-8)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.data())
def test_products_of_coordinates_are_sums_over_shuffles(seed, data):
    path = random_path(seed, n=6, d=2)
    depth = 5
    value = dict(zip(sig.words(2, depth), sig.signature(path, depth), strict=True))
    letters = st.lists(st.integers(0, 1), min_size=1, max_size=3).map(tuple)
    first = data.draw(letters)
    second = data.draw(letters.filter(lambda word: len(word) + len(first) <= depth))
    merged = sum(count * value[word] for word, count in sig.shuffle(first, second).items())
    assert merged == pytest.approx(value[first] * value[second], rel=1e-9, abs=1e-8)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.lists(st.integers(0, 6), min_size=1, max_size=8))
def test_more_points_on_the_way_change_nothing(seed, repeats):
    path = random_path(seed)
    slow = np.insert(path, [r + 1 for r in repeats], 0.0, axis=0)
    where = np.sort(np.concatenate([np.arange(8.0), np.array(repeats) + 0.4]))
    slow = np.stack([np.interp(where, np.arange(8), column) for column in path.T], axis=1)
    np.testing.assert_allclose(sig.signature(slow, 4), sig.signature(path, 4), rtol=1e-9, atol=1e-9)


def test_only_increments_count_unless_there_is_a_basepoint():
    path = random_path(3)
    moved = path + np.array([5.0, -2.0])
    np.testing.assert_allclose(sig.signature(path, 3), sig.signature(moved, 3), atol=1e-10)
    based = sig.signature(sig.with_basepoint(path), 3)
    assert not np.allclose(based, sig.signature(sig.with_basepoint(moved), 3))
    np.testing.assert_allclose(based[1:3], path[-1], atol=1e-12)


def test_prefixes_are_the_signatures_of_the_initial_segments():
    paths = random_path(1, batch=3)
    found = sig.signature(paths, 3, prefixes=True)
    for n in range(1, 9):
        np.testing.assert_allclose(
            found[:, n - 1], sig.signature(paths[:, :n], 3), rtol=1e-12, atol=1e-12
        )
    alone = sig.signature(paths[1], 3, prefixes=True)
    np.testing.assert_array_equal(alone, found[1])


def test_streams_are_extended_point_by_point():
    paths = random_path(2, batch=3)
    stream = sig.signature(paths[:, :1], 4)
    for n in range(1, 8):
        stream = sig.extend(stream, paths[:, n] - paths[:, n - 1], depth=4)
        np.testing.assert_allclose(stream, sig.signature(paths[:, : n + 1], 4), rtol=1e-12)


def test_many_futures_of_one_past_broadcast():
    past = sig.signature(random_path(2, d=3), 3)
    steps = np.random.default_rng(0).normal(size=(2, 5, 3))
    found = sig.extend(past, steps, depth=3)
    assert found.shape == (2, 5, 40)
    alone = sig.extend(past, steps[1, 2], depth=3)
    np.testing.assert_array_equal(found[1, 2], alone)
    line = sig.signature([np.zeros(3), steps[1, 2]], 3)
    np.testing.assert_allclose(sig.product(past, line, dim=3, depth=3), alone, atol=1e-12)


@pytest.mark.parametrize("n", [300, 1_100])
def test_a_path_is_the_same_alone_and_in_a_batch(n):
    paths = random_path(1, n=n, d=3, batch=11) / math.sqrt(n)
    weights = np.random.default_rng(1).normal(size=sig.size(3, 4))
    together = sig.signature(paths, 4)
    gradient = sig.signature_gradient(paths, 4, weights)
    for k in (0, 7, 10):
        np.testing.assert_array_equal(sig.signature(paths[k], 4), together[k])
        np.testing.assert_array_equal(sig.signature_gradient(paths[k], 4, weights), gradient[k])


def test_long_paths_are_put_together_from_their_pieces():
    path = random_path(9, n=3_000) / math.sqrt(3_000)
    *_, last = sig.signature(path, 5, prefixes=True)
    np.testing.assert_allclose(sig.signature(path, 5), last, rtol=1e-10, atol=1e-12)


# Single precision


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 5))
def test_float32_stays_and_is_close_to_float64(seed, d, depth):
    paths = random_path(seed, n=6, d=d, batch=3) / 3
    other = random_path(seed + 1, n=4, d=d, batch=3) / 3
    weights = np.random.default_rng(seed).normal(size=sig.size(d, depth))

    def results(dtype):
        x, y = paths.astype(dtype), other.astype(dtype)
        signature = sig.signature(x, depth)
        yield from (signature, sig.signature(x, depth, prefixes=True))
        yield from (sig.log_signature(x, depth, basis=b) for b in ("lyndon", "words", "expanded"))
        yield sig.extend(signature, y[:, 0], depth=depth)
        yield sig.signature_gradient(x, depth, weights)
        yield from (sig.signature_kernel(x, y, refinement=1), sig.gram(x, y), sig.gram(x))
        given = {"dim": d, "depth": depth}
        yield from (sig.product(signature, signature, **given), sig.inverse(signature, **given))
        yield sig.exponential(sig.logarithm(signature, **given), **given)
        yield from (sig.with_time(x), sig.with_basepoint(x), sig.lead_lag(x))

    for single, double in zip(results(np.float32), results(np.float64), strict=True):
        assert (single.dtype, double.dtype) == (np.float32, np.float64)
        scale = 1 + np.abs(double).max()
        np.testing.assert_allclose(single, double, rtol=0, atol=3e-4 * scale)


def test_integers_become_float64():
    assert sig.signature(np.array(STREAM, np.int32), 2).dtype == np.float64
    mixed = sig.gram(np.ones((2, 3, 1), np.float32), np.ones((2, 3, 1)))
    assert mixed.dtype == np.float64


# Against RoughPy


@pytest.mark.parametrize(("d", "depth"), [(1, 3), (2, 2), (2, 6), (3, 4), (5, 3)])
def test_signatures_and_their_logarithms_equal_those_of_roughpy(d, depth):
    roughpy = pytest.importorskip("roughpy")
    path = random_path(d, n=40, d=d) / 4
    context = roughpy.get_context(d, depth, roughpy.DPReal)
    stream = roughpy.LieIncrementStream.from_increments(
        np.diff(path, axis=0), indices=np.arange(1.0, 40.0), ctx=context
    )
    whole = roughpy.RealInterval(0.0, 41.0)
    theirs = np.asarray(stream.signature(whole, ctx=context))
    np.testing.assert_allclose(sig.signature(path, depth), theirs, rtol=0, atol=1e-10)
    # The Lie algebra has another basis there: it is compared in the tensor algebra.
    lie = stream.log_signature(whole, ctx=context)
    theirs = np.asarray(context.lie_to_tensor(lie))
    ours = sig.log_signature(path, depth, basis="expanded")
    np.testing.assert_allclose(ours[: len(theirs)], theirs, rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours[len(theirs) :], 0, atol=1e-10)


# Log-signatures


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 4))
def test_the_logarithm_is_undone_by_the_exponential(seed, d, depth):
    found = sig.signature(random_path(seed, d=d), depth)
    logs = sig.logarithm(found, dim=d, depth=depth)
    back = sig.exponential(logs, dim=d, depth=depth)
    np.testing.assert_allclose(back, found, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize(("d", "depth"), [(1, 4), (2, 5), (3, 4)])
def test_lyndon_words_are_as_many_as_witt_says(d, depth):
    found = sig.lyndon_words(d, depth)
    for k in range(1, depth + 1):
        mobius = {1: 1, 2: -1, 3: -1, 4: 0, 5: -1}
        witt = sum(mobius[m] * d ** (k // m) for m in range(1, k + 1) if k % m == 0) // k
        assert sum(len(word) == k for word in found) == witt
    for word in found:
        assert all(word < word[cut:] for cut in range(1, len(word)))


def test_lyndon_coordinates_put_together_give_the_expanded_logarithm():
    d, depth = 3, 4
    path = random_path(8, d=d)
    coordinates = sig.log_signature(path, depth)
    order = {word: place for place, word in enumerate(sig.words(d, depth))}
    total = np.zeros(sig.size(d, depth))

    def bracket(word):
        if len(word) == 1:
            return {word: 1.0}
        known = sig.lyndon_words(d, depth)
        cut = next(k for k in range(1, len(word)) if word[k:] in known)
        left, right = bracket(word[:cut]), bracket(word[cut:])
        found = {}
        for u, a in left.items():
            for v, b in right.items():
                found[u + v] = found.get(u + v, 0.0) + a * b
                found[v + u] = found.get(v + u, 0.0) - a * b
        return found

    for word, value in zip(sig.lyndon_words(d, depth), coordinates, strict=True):
        for other, count in bracket(word).items():
            total[order[other]] += value * count
    expanded = sig.log_signature(path, depth, basis="expanded")
    np.testing.assert_allclose(total, expanded, rtol=1e-9, atol=1e-9)
    kept = sig.log_signature(path, depth, basis="words")
    places = [order[word] for word in sig.lyndon_words(d, depth)]
    np.testing.assert_array_equal(kept, expanded[places])


# Gradient


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 4))
def test_the_gradient_is_that_of_central_differences(seed, d, depth):
    paths = random_path(seed, n=5, d=d, batch=2)
    weights = np.random.default_rng(seed).normal(size=(2, sig.size(d, depth)))
    found = sig.signature_gradient(paths, depth, weights)
    for place in np.ndindex(paths.shape):
        step = np.zeros_like(paths)
        step[place] = 1e-6
        up, down = (sig.signature(paths + s * step, depth) for s in (1, -1))
        numeric = ((up - down) * weights).sum() / 2e-6
        assert found[place] == pytest.approx(numeric, rel=1e-5, abs=1e-5)


# Kernel


@pytest.mark.parametrize(
    ("inner", "exact"),
    [(1.0, 2.2795853023360673), (0.5, 1.5660829297563506), (-1.0, 0.22389077914123562)],
)
def test_the_kernel_of_two_lines_is_a_bessel_function_at_second_order(inner, exact):
    bessel = special.iv(0, 2 * math.sqrt(inner)) if inner > 0 else special.jv(0, 2.0)
    assert exact == pytest.approx(bessel, rel=1e-14)
    left, right = [[0.0], [1.0]], [[0.0], [inner]]
    errors = [abs(sig.signature_kernel(left, right, refinement=r) - exact) for r in range(4, 9)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (abs(orders - 2) < 0.1).all()
    assert abs(sig.signature_kernel(left, right, refinement=6) - exact) < 1e-4


def test_the_kernel_is_the_inner_product_of_deep_signatures():
    left, right = 0.4 * random_path(1, n=5), 0.4 * random_path(2, n=4)
    deep = (sig.signature(left, 12) * sig.signature(right, 12)).sum()
    assert sig.signature_kernel(left, right, refinement=6) == pytest.approx(deep, rel=1e-4)


def test_a_gram_matrix_is_symmetric_positive_and_made_of_kernels():
    batch = 0.3 * random_path(5, batch=4)
    table = sig.gram(batch, refinement=2)
    np.testing.assert_array_equal(table, table.T)
    assert np.linalg.eigvalsh(table).min() > 0
    other = sig.gram(batch, batch, refinement=2)
    np.testing.assert_allclose(other, table, rtol=1e-12)
    one = sig.signature_kernel(batch[0], batch[3], refinement=2)
    assert table[0, 3] == pytest.approx(one)


# What is done to a path first


def test_lead_lag_shows_the_quadratic_variation():
    path = random_path(4, n=30, d=2)
    value = dict(zip(sig.words(4, 2), sig.signature(sig.lead_lag(path), 2), strict=True))
    variation = (np.diff(path, axis=0) ** 2).sum(axis=0)
    for i in range(2):
        assert value[i, 2 + i] - value[2 + i, i] == pytest.approx(variation[i])


def test_time_makes_the_integral_of_the_path_a_coordinate():
    path = random_path(6, n=50, d=1)
    times = np.sort(np.random.default_rng(1).uniform(0, 3, 50))
    path -= path[0]
    value = dict(zip(sig.words(2, 2), sig.signature(sig.with_time(path, times), 2), strict=True))
    assert value[1, 0] == pytest.approx(integrate.trapezoid(path[:, 0], times))
    assert value[(0,)] == pytest.approx(times[-1] - times[0])


# Bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sig.signature([1.0, 2.0], 2), ValueError, r"paths must have shape \(n, d\)"),
        (lambda: sig.signature([["a"]], 2), TypeError, "paths must hold numbers"),
        (lambda: sig.signature([[math.nan]], 2), ValueError, r"paths\[0, 0, 0\] must be finite"),
        (lambda: sig.signature(STREAM, 0), ValueError, "depth must be at least 1"),
        (lambda: sig.signature(STREAM, 40), ValueError, r"depth must give at most 2\*\*28"),
        (lambda: sig.signature(STREAM, 2, prefixes=1), TypeError, "prefixes must be a bool"),
        (lambda: sig.log_signature(STREAM, 2, basis="hall"), ValueError, "basis must be"),
        (
            lambda: sig.signature_gradient(STREAM, 2, [1.0]),
            ValueError,
            "weights must have 7 coordinates",
        ),
        (
            lambda: sig.signature_kernel(STREAM, [[1.0], [2.0]]),
            ValueError,
            r"right must have shape \(1, m, 2\)",
        ),
        (
            lambda: sig.signature_kernel(STREAM, STREAM, refinement=17),
            ValueError,
            "refinement must be at most 16",
        ),
        (lambda: sig.extend([1.0], 2.0, depth=1), ValueError, "increment must have shape"),
        (lambda: sig.extend([1.0, 0.0], [math.inf], depth=1), ValueError, "increment must be fin"),
        (lambda: sig.extend([1.0], [2.0], depth=1), ValueError, "element must have 2 coordinates"),
        (
            lambda: sig.extend(np.ones((2, 2)), np.ones((3, 1)), depth=1),
            ValueError,
            "increment must broadcast",
        ),
        (
            lambda: sig.product(np.ones((2, 2)), np.ones((3, 2)), dim=1, depth=1),
            ValueError,
            "second must broadcast",
        ),
        (lambda: sig.logarithm([1.0], dim=1, depth=0), ValueError, "depth must be at least 1"),
        (lambda: sig.gram(STREAM), ValueError, r"left and right must have shape \(b, n, d\)"),
        (
            lambda: sig.product([1.0, 2.0], [1.0], dim=1, depth=1),
            ValueError,
            "second must have 2 coordinates",
        ),
        (lambda: sig.inverse([0.0, 2.0], dim=1, depth=1), ValueError, "element must have a const"),
        (lambda: sig.logarithm([2.0, 2.0], dim=1, depth=1), ValueError, "element must have the"),
        (lambda: sig.with_time(STREAM, [0.0, 1.0, 1.0, 2.0]), ValueError, "times must be strictly"),
        (lambda: sig.words(0, 2), ValueError, "dim must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()


def test_the_inverse_of_an_element_with_another_constant_term():
    random = np.random.default_rng(0)
    element = random.normal(size=(4, sig.size(2, 3)))
    element[:, 0] = [2.0, -0.5, 1.0, 7.0]
    one = np.eye(1, sig.size(2, 3))[0]
    found = sig.inverse(element, dim=2, depth=3)
    np.testing.assert_allclose(
        sig.product(element, found, dim=2, depth=3), np.tile(one, (4, 1)), atol=1e-12
    )


def test_a_basepoint_is_the_point_that_was_given():
    assert sig.with_basepoint([[5.0, 1.0]], [2.0, 3.0]).tolist() == [[2.0, 3.0], [5.0, 1.0]]


def test_a_clock_that_float32_cannot_tell_apart_is_refused():
    paths = np.zeros((3, 1), np.float32)
    with pytest.raises(ValueError, match="times must be strictly increasing as float32"):
        sig.with_time(paths, 1.7e9 + np.arange(3.0))
    assert sig.with_time(paths, np.arange(3.0))[:, 0].tolist() == [0.0, 1.0, 2.0]


def test_lyndon_words_refuse_the_same_whether_they_are_known_or_not():
    assert len(sig.lyndon_words(2, 3)) == 5
    for dim, error in ((2.0, TypeError), ([2], TypeError), (0, ValueError)):
        with pytest.raises(error, match=r"^dim"):
            sig.lyndon_words(dim, 3)


def test_a_depth_without_end_is_refused_at_once():
    for call in (sig.size, sig.words):
        with pytest.raises(ValueError, match="depth must give at most"):
            call(2, 10**5)
    assert sig.size(1, 1000) == 1001
