"""The Rust module and the NumPy reference: the same names, signatures and results."""

import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labkit import reference

_kernels = pytest.importorskip("labkit._kernels", reason="the Rust module is not built")

NAMES = sorted(reference.__all__)

positive = st.floats(0.01, 100.0, allow_subnormal=False)
any_float = st.floats(allow_nan=True, allow_infinity=True, width=32)


def both(name, *arguments):
    """Results of both implementations, or the types of the errors they raise."""
    results = []
    for module in (_kernels, reference):
        try:
            results.append(getattr(module, name)(*arguments))
        except (ValueError, TypeError) as error:
            results.append(error)
    return results


def assert_same(name, *arguments):
    rust, python = both(name, *arguments)
    if isinstance(rust, Exception) or isinstance(python, Exception):
        assert type(rust) is type(python), (rust, python)
        # The message begins with the argument and the place in both.
        assert str(rust).split(" ")[0] == str(python).split(" ")[0], (rust, python)
        return
    rust, python = [r if isinstance(r, tuple) else (r,) for r in (rust, python)]
    assert len(rust) == len(python)
    for a, b in zip(rust, python, strict=True):
        if isinstance(a, np.ndarray):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            assert a.flags.c_contiguous and a.flags.writeable
        np.testing.assert_array_equal(a, b)


def test_names_are_the_same():
    public = [name for name in dir(_kernels) if not name.startswith("_")]
    assert sorted(public) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_the_same(name):
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (_kernels, reference))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_kernel_has_a_docstring(name):
    assert getattr(_kernels, name).__doc__ and getattr(reference, name).__doc__


# JSON: texts near valid ones, so that both accepted and refused ones are met.

numbers = st.one_of(
    st.integers(-1, 10**17).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1, max_value=9).map(
        str
    ),
    st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{0,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        ["null", "true", "NaN", "-Infinity", "1e400", "1e-320", "01", "1.", ".5", "{}"]
    ),
)
entries = st.one_of(numbers, numbers.map(lambda n: f'"{n}"'), st.just('"\\u0031"'), st.just('""'))
level_texts = st.lists(entries, max_size=3).map(lambda es: f"[{', '.join(es)}]")
good_levels = st.builds(
    lambda p, s, extra: f'["{p}", {s}{extra}]',
    st.integers(1, 99),
    st.integers(1, 9),
    st.sampled_from(["", ", 3", ', "x"', ", [1, {}]"]),
)
side_texts = st.one_of(
    st.lists(good_levels, max_size=4).map(lambda ls: f"[{','.join(ls)}]"),
    st.lists(st.one_of(good_levels, level_texts), max_size=3).map(lambda ls: f"[{','.join(ls)}]"),
    st.sampled_from(["null", "{}", "3"]),
)
keys = st.sampled_from(["bids", "asks", "bids", "asks", "b\\u0069ds", "E", "\\ud800"])
documents = st.one_of(
    st.builds(
        lambda bids, asks, space: f'{space}{{"bids":{space}{bids},"asks":{asks}}}{space}',
        side_texts,
        side_texts,
        st.sampled_from(["", " ", "\n\t", "\x0b", "\ufeff"]),
    ),
    st.lists(st.tuples(keys, side_texts), max_size=3).map(
        lambda items: "{" + ",".join(f'"{k}":{v}' for k, v in items) + "}"
    ),
    st.text(max_size=20),
)


@settings(max_examples=400)
@given(documents)
@example('{"bids":[],"asks":[],"x":' + "[" * 127 + "]" * 127 + "}")
@example('{"bids":[],"asks":[],"x":' + "[" * 128 + "]" * 128 + "}")
@example('{"bids":[],"asks":[],"bids":[]}')
@example('{"bids":[],"asks":[],"x":"\\ud800"}')
@example('{"bids":[],"asks":[],"x":NaN}')
@example('{"bids":[["0.1234567890123456","1"]],"asks":[]}')
@example('{"bids":[["100000000000000000000","1"]],"asks":[]}')
@example('{"bids":[],"asks":[]} x')
@example('{"bids":[["1\\n","1"]],"asks":[]}')
@example('{"bids":[["1",1]],"asks":[],"x":"\x01"}')
def test_parse_orderbook(text):
    rust, python = both("parse_orderbook", text)
    assert isinstance(rust, ValueError) == isinstance(python, ValueError), (rust, python)
    if not isinstance(rust, ValueError):
        for a, b in zip(rust, python, strict=True):
            np.testing.assert_array_equal(a, b)
    assert_same("parse_orderbook", text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("bids", "place"),
    [
        ('[["1", "2"], ["x", "2"]]', "bids[1][0]"),
        ('[["1", null]]', "bids[0][1]"),
        ('[["1", 0]]', "bids[0][1]"),
        ('[["1", true]]', "bids[0][1]"),
        ("[[-1, 2]]", "bids[0][0]"),
        ("[[1, 1234567890.123456]]", "bids[0][1]"),
        ("[[1]]", "bids[0]"),
        ("[1]", "bids[0]"),
        ("{}", "bids"),
    ],
)
def test_parse_orderbook_names_the_place(bids, place):
    for error in both("parse_orderbook", f'{{"bids": {bids}, "asks": []}}'):
        assert isinstance(error, ValueError)
        assert place in str(error)


def test_parse_orderbook_keeps_what_json_would_spell():
    rng = np.random.default_rng(0)
    cents = rng.integers(1, 10**14, (50, 2))
    text = json.dumps(
        {"bids": [[f"{p / 100:.2f}", f"{s / 100:.2f}"] for p, s in cents], "asks": []}
    )
    for sides in both("parse_orderbook", text):
        np.testing.assert_array_equal(sides[0], cents / 100)


level_arrays = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 6), st.just(2)),
    elements=st.one_of(st.integers(1, 9).map(float), positive, any_float),
)


@given(level_arrays, st.sampled_from(["bids", "asks", "bid"]))
def test_sort_levels(levels, side):
    assert_same("sort_levels", levels, side)
    assert_same("sort_levels", np.repeat(levels, 2, axis=1)[:, ::2], side)  # strided


@given(level_arrays, st.one_of(st.floats(0, 30), any_float), st.sampled_from(["bids", "asks"]))
def test_walk_levels(levels, size, side):
    assert_same("walk_levels", levels, size)
    sorted_levels = both("sort_levels", levels, side)[0]
    if not isinstance(sorted_levels, Exception):
        assert_same("walk_levels", sorted_levels, size)


@st.composite
def stacks(draw):
    m, depth = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    sides = draw(hnp.arrays(np.float64, (2, m, depth, 2), elements=positive))
    for side in sides:
        for state in side:
            state[draw(st.integers(0, depth)) :] = np.nan
    if sides.size and draw(st.booleans()):
        sides.flat[draw(st.integers(0, sides.size - 1))] = draw(any_float)
    return sides[0], sides[1]


@given(stacks(), st.integers(0, 5))
def test_microprice_and_imbalance(books, levels):
    assert_same("microprice", *books)
    assert_same("imbalance", *books, levels)


@st.composite
def changes(draw):
    k = draw(st.integers(0, 25))
    message = np.sort(draw(hnp.arrays(np.int64, k, elements=st.integers(0, 12))))
    snapshots = draw(st.sets(st.integers(0, 12), max_size=3))
    columns = [
        message,
        draw(hnp.arrays(np.int8, k, elements=st.integers(0, 1))),
        draw(hnp.arrays(np.float64, k, elements=st.integers(1, 6).map(float))),
        draw(hnp.arrays(np.float64, k, elements=st.sampled_from([0.0, 1.0, 2.5]))),
        np.isin(message, list(snapshots)),
    ]
    if k and draw(st.booleans()):
        bad = draw(st.sampled_from([(0, -1), (1, 2), (2, np.nan), (3, -1.0), (4, None)]))
        row = draw(st.integers(0, k - 1))
        columns[bad[0]][row] = not columns[4][row] if bad[1] is None else bad[1]
    return columns


@given(changes(), st.integers(0, 4))
def test_rebuild_books(columns, depth):
    assert_same("rebuild_books", *columns, depth)


@st.composite
def rate_matrices(draw, most=6):
    n = draw(st.integers(0, most))
    elements = st.one_of(
        st.just(0.0), st.just(1.0), st.floats(0.5, 2.0), st.floats(1e-9, 1e9), any_float
    )
    tame = st.one_of(st.just(0.0), st.floats(0.9, 1.1))
    return draw(hnp.arrays(np.float64, (n, n), elements=draw(st.sampled_from([elements, tame]))))


@settings(max_examples=300)
@given(rate_matrices(), st.sampled_from([1e-14, 1e-12, 1e-3, 0.0, math.nan]))
def test_find_cycle(rates, tolerance):
    assert_same("find_cycle", rates, tolerance)


@settings(max_examples=300)
@given(rate_matrices(), st.integers(0, 7))
def test_best_cycle(rates, max_length):
    assert_same("best_cycle", rates, max_length)


@st.composite
def routes(draw):
    books, buys = [], draw(hnp.arrays(np.bool_, 3))
    for k in range(3):
        n = draw(st.integers(0, 4))
        steps = draw(hnp.arrays(np.int64, n, elements=st.integers(1, 30)))
        sign = 1 if buys[k] else -1
        start = 1 - sign * draw(st.sampled_from([0.1, 0.03, 0.01, 0.0]))
        price = start + sign * np.cumsum(steps) / 1000
        size = draw(hnp.arrays(np.int64, n, elements=st.integers(1, 500))) / 10
        books.append(np.column_stack([price, size]))
    fees = draw(hnp.arrays(np.float64, 3, elements=st.sampled_from([0.0, 0.001, 0.01])))
    lots = draw(hnp.arrays(np.float64, 3, elements=st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.0])))
    return [*books, buys, fees, lots]


@settings(max_examples=300)
@given(routes(), st.one_of(st.just(math.inf), st.floats(0, 9)))
def test_triangular_route(route, max_size):
    assert_same("triangular_route", *route, max_size)


@given(routes(), hnp.arrays(np.float64, st.integers(0, 4), elements=st.floats(0, 20)))
def test_route_outcome(route, sizes):
    assert_same("route_outcome", *route, sizes)


BOOK = np.array([[1.0, 2.0]])
STACK = np.ones((1, 1, 2))
ROUTE = [BOOK, BOOK, BOOK, np.zeros(3, bool), np.zeros(3), np.zeros(3)]
CHANGES = [np.zeros(1, np.int64), np.zeros(1, np.int8), np.ones(1), np.ones(1), np.ones(1, bool)]


def replaced(arguments, position, value):
    return [value if k == position else a for k, a in enumerate(arguments)]


@pytest.mark.parametrize(
    ("name", "arguments", "error", "argument"),
    [
        ("parse_orderbook", [3], TypeError, "text"),
        ("parse_orderbook", [b"\xff"], ValueError, "text"),
        ("parse_orderbook", ["\ud800"], ValueError, "text"),
        ("sort_levels", [[[1.0, 2.0]], "bids"], TypeError, "bids"),
        ("sort_levels", [BOOK.astype(int), "bids"], TypeError, "bids"),
        ("sort_levels", [BOOK.astype(np.float32), "asks"], TypeError, "asks"),
        ("sort_levels", [BOOK[0], "asks"], ValueError, "asks"),
        ("sort_levels", [np.ones((2, 3)), "asks"], ValueError, "asks"),
        ("sort_levels", [np.ones((2, 2)), "asks"], ValueError, "asks"),
        ("sort_levels", [-BOOK, "asks"], ValueError, "asks[0]"),
        ("walk_levels", [BOOK, "1"], TypeError, "size"),
        ("walk_levels", [BOOK, -1.0], ValueError, "size"),
        ("walk_levels", [np.array([[1.0, 1], [2, 1], [1.5, 1]]), 1.0], ValueError, "levels[2]"),
        ("microprice", [STACK, STACK[0]], ValueError, "asks"),
        ("microprice", [STACK[0], STACK], ValueError, "bids"),
        ("microprice", [-STACK, STACK], ValueError, "bids[0,"),
        ("imbalance", [STACK, STACK, 0], ValueError, "levels"),
        ("imbalance", [STACK, STACK, 2], ValueError, "levels"),
        ("imbalance", [STACK, STACK, 1.0], TypeError, "levels"),
        ("rebuild_books", [*CHANGES, 0], ValueError, "depth"),
        *[
            ("rebuild_books", [*replaced(CHANGES, k, c[:0]), 1], ValueError, "")
            for k, c in enumerate(CHANGES)
        ],
        *[
            ("rebuild_books", [*replaced(CHANGES, k, c.astype("f4")), 1], TypeError, "")
            for k, c in enumerate(CHANGES)
        ],
        ("find_cycle", [np.ones((2, 3)), 1e-9], ValueError, "rates"),
        ("find_cycle", [np.ones(4), 1e-9], ValueError, "rates"),
        ("find_cycle", [np.array([[1, -1.0], [1, 1]]), 1e-9], ValueError, "rates[0,"),
        ("find_cycle", [np.ones((2, 2)), 1e-15], ValueError, "tolerance"),
        ("find_cycle", [np.ones((2, 2)), None], TypeError, "tolerance"),
        ("best_cycle", [np.ones((2, 2)), 1], ValueError, "max_length"),
        ("best_cycle", [np.full((3, 3), 1e200), 3], ValueError, "rates"),
        ("best_cycle", [np.full((2, 2), np.inf), 2], ValueError, "rates[0,"),
        *[("triangular_route", [*ROUTE, size], ValueError, "max_size") for size in (0, -1, np.nan)],
        *[
            (
                "triangular_route",
                [*replaced(ROUTE, k, np.ones(3)), 1.0],
                ValueError,
                f"levels{k + 1}",
            )
            for k in range(3)
        ],
        ("triangular_route", [*replaced(ROUTE, 3, np.zeros(3)), 1.0], TypeError, "buys"),
        ("triangular_route", [*replaced(ROUTE, 4, np.ones(3)), 1.0], ValueError, "fees[0]"),
        ("triangular_route", [*replaced(ROUTE, 5, -np.ones(3)), 1.0], ValueError, "lots[0]"),
        ("triangular_route", [*replaced(ROUTE, 5, np.full(3, 1e-300)), 1.0], ValueError, "lots[0]"),
        ("triangular_route", [*replaced(ROUTE, 5, np.ones(2)), 1.0], ValueError, "lots"),
        ("route_outcome", [*ROUTE, np.array([-1.0])], ValueError, "sizes[0]"),
        ("route_outcome", [*ROUTE, np.array([np.inf])], ValueError, "sizes[0]"),
        ("route_outcome", [*ROUTE, 1.0], TypeError, "sizes"),
    ],
)
def test_bad_input_is_refused_alike(name, arguments, error, argument):
    for raised in both(name, *arguments):
        assert type(raised) is error, raised
        assert str(raised).startswith(argument)
    assert_same(name, *arguments)


def test_fortran_order_is_read_by_index_and_not_by_memory():
    rates = np.asfortranarray([[1.0, 3.0], [0.25, 1.0]])
    assert_same("best_cycle", rates, 2)
    assert _kernels.best_cycle(rates, 2)[1] == 0.75
    assert_same("find_cycle", np.asfortranarray(np.random.default_rng(1).random((5, 5))), 1e-9)


def test_unaligned_input_is_copied():
    raw = np.zeros(33, np.uint8)
    levels = raw[1:].view(np.float64).reshape(2, 2)
    levels[:] = [[1.0, 2.0], [2.0, 3.0]]
    assert not levels.flags.aligned
    assert_same("walk_levels", levels, 3.0)


def test_arguments_are_not_changed():
    rng = np.random.default_rng(2)
    rates = rng.random((6, 6)) + 0.5
    before = rates.copy()
    for module in (_kernels, reference):
        module.best_cycle(rates, 4)
        module.find_cycle(rates, 1e-9)
    np.testing.assert_array_equal(rates, before)


# Ornstein-Uhlenbeck: the sums are taken in another order, so the last digits may differ.


def assert_same_fit(x, dt):
    rust, python = both("ou_fit", x, dt)
    if isinstance(rust, Exception) or isinstance(python, Exception):
        assert_same("ou_fit", x, dt)
        return
    assert (rust.dtype, rust.shape) == (python.dtype, python.shape)
    assert rust.flags.c_contiguous and rust.flags.writeable
    n = x.shape[1] - 1
    _, _, _, beta, mean, drift, sxx, rss = python.T
    # What one rounding of the data moves each number by, times the terms in a sum.
    spread = np.sqrt(sxx / n) + np.abs(drift)
    total = rss + beta**2 * sxx + n * drift**2
    slope = np.sqrt(total / sxx) + np.abs(beta)
    for column, scale in ((3, slope), (4, spread + np.abs(mean)), (6, sxx), (7, total)):
        assert (np.abs(rust[:, column] - python[:, column]) <= 1e-9 * scale).all(), column
    np.testing.assert_allclose(rust[:, 5], drift, rtol=1e-15)
    # theta, mu and sigma follow from those; where beta is rounding, so are they.
    clear = (np.abs(beta) > 1e-3 * slope) & (rss > 1e-3 * total) & (beta > -0.99)
    np.testing.assert_allclose(rust[clear, 0], python[clear, 0], rtol=1e-5, atol=0)
    np.testing.assert_allclose(rust[clear, 2], python[clear, 2], rtol=1e-5, atol=0)
    offset = np.abs(rust[clear, 1] - python[clear, 1])
    assert (offset <= 1e-5 * (spread + np.abs(drift / beta) + np.abs(mean))[clear]).all()


values = st.one_of(st.floats(-100, 100, width=32), st.sampled_from([0.0, 1.0]))
series = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9).flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=values)
)


@settings(max_examples=300, deadline=None)
@given(series, st.floats(1e-3, 10))
@example(np.ones((2, 5)), 1.0)
@example(np.array([[1.0, 1, 1, 2], [1, np.nan, 1, 2]]), 1.0)
@example(np.array([[1.0, 1, 1, 2], [1e200, -1e200, 1e200, 0]]), 1.0)
@example(np.array([[0.0, 1, 0, 1, 0]]), 1.0)
@example(np.zeros((0, 4)), 1.0)
def test_ou_fit(x, dt):
    assert_same_fit(x, dt)


@pytest.mark.parametrize("phi", [0.5, 0.99, 1.0])
@pytest.mark.parametrize("columns", [4, 17, 1000])
def test_ou_fit_of_paths(phi, columns):
    x = np.random.default_rng(columns).normal(size=(50, columns))
    for t in range(1, columns):
        x[:, t] += phi * x[:, t - 1]
    assert_same_fit(x + np.arange(50)[:, None] * 1e3, 0.1)


@pytest.mark.parametrize(
    ("x", "dt", "error", "argument"),
    [
        (np.ones(5), 1.0, ValueError, "x must have shape"),
        (np.ones((2, 3)), 1.0, ValueError, "x must have at least 4 columns"),
        (np.ones((2, 5), np.float32), 1.0, TypeError, "x"),
        ([[1.0, 2, 1, 3]], 1.0, TypeError, "x"),
        (np.array([[1.0, 2, 1, 3], [1, np.inf, 2, 1]]), 1.0, ValueError, "x[1, 1] must be finite"),
        (np.array([[1.0, 2, 1, 3], [1, 1, 1, 2]]), 1.0, ValueError, "x[1] must vary before"),
        (np.array([[1.0, 2, 1, 1e200]]), 1.0, ValueError, "x[0] must vary by less"),
        *[(np.eye(4), dt, ValueError, "dt") for dt in (0.0, -1.0, np.nan, np.inf)],
        (np.eye(4), None, TypeError, "dt"),
    ],
)
def test_ou_fit_refuses_alike(x, dt, error, argument):
    for raised in both("ou_fit", x, dt):
        assert type(raised) is error, raised
        assert str(raised).startswith(argument), raised


def test_ou_fit_copies_what_is_strided():
    x = np.random.default_rng(3).normal(size=(20, 6))
    assert_same_fit(np.asfortranarray(x), 1.0)
    assert_same_fit(x[::3, ::-1], 1.0)
    np.testing.assert_array_equal(
        _kernels.ou_fit(x[::3], 1.0), _kernels.ou_fit(np.ascontiguousarray(x[::3]), 1.0)
    )


# Sparse mean-reverting portfolios: equal supports, values to rounding.


@st.composite
def pencils(draw, most=8):
    """M and Gamma of an order up to `most`, random, M of a random rank in one case of four."""
    n = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rank = draw(st.sampled_from([n, n, n, max(1, n // 2)]))
    b, c = rng.normal(size=(n, rank)), rng.normal(size=(n, 2 * n))
    return b @ b.T / n, c @ c.T / n


def assert_same_search(name, predicted, covariance, *arguments):
    rust, python = both(name, predicted, covariance, *arguments)
    np.testing.assert_array_equal(rust[0], python[0])
    assert rust[0].dtype == python[0].dtype == np.int64
    # Zeros of a matrix of low rank have no digits.
    scale = (np.diag(predicted) / np.diag(covariance)).max()
    np.testing.assert_allclose(rust[1], python[1], rtol=1e-9, atol=1e-12 * scale)


@settings(max_examples=150, deadline=None)
@given(pencils())
def test_greedy_path(pencil):
    assert_same_search("greedy_path", *pencil)


@settings(max_examples=100, deadline=None)
@given(pencils(7), st.integers(0, 6))
def test_best_subset(pencil, k):
    assert_same_search("best_subset", *pencil, 1 + k % len(pencil[0]))


@settings(max_examples=100, deadline=None)
@given(pencils(), st.integers(1, 255))
def test_swap_subset(pencil, bits):
    n = len(pencil[0])
    support = np.array([i for i in range(n) if bits >> i & 1] or [0])
    assert_same_search("swap_subset", *pencil, support)


PENCIL = [np.diag([2.0, 1.0, 3.0]), np.eye(3)]


@pytest.mark.parametrize(
    ("name", "more"),
    [("greedy_path", []), ("best_subset", [2]), ("swap_subset", [np.array([0, 1])])],
)
@pytest.mark.parametrize(
    ("predicted", "covariance", "error", "argument"),
    [
        ([[1.0]], np.eye(1), TypeError, "predicted"),
        (np.eye(3), np.eye(3, dtype=int), TypeError, "covariance"),
        (np.ones(3), np.eye(3), ValueError, "predicted"),
        (np.eye(3), np.ones((3, 2)), ValueError, "covariance"),
        (np.eye(3), np.eye(2), ValueError, "covariance"),
        (np.empty((0, 0)), np.empty((0, 0)), ValueError, "predicted"),
        (np.diag([1.0, np.nan]), np.eye(2), ValueError, "predicted[1,"),
        (np.eye(2), np.diag([np.inf, 1.0]), ValueError, "covariance[0,"),
        (np.array([[1.0, 0.1], [0.2, 1.0]]), np.eye(2), ValueError, "predicted must be symmetric"),
        (np.eye(2), np.array([[1.0, 0.1], [0.2, 1.0]]), ValueError, "covariance must be symmetric"),
        (np.eye(2), np.ones((2, 2)), ValueError, "covariance must be positive definite"),
        (np.eye(2), np.diag([1.0, 0.0]), ValueError, "covariance must be positive definite"),
        (np.eye(2), -np.eye(2), ValueError, "covariance must be positive definite"),
    ],
)
def test_bad_pencils_are_refused_alike(name, more, predicted, covariance, error, argument):
    for raised in both(name, predicted, covariance, *more):
        assert type(raised) is error, raised
        assert str(raised).startswith(argument)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("best_subset", 0, ValueError),
        ("best_subset", -1, ValueError),
        ("best_subset", 4, ValueError),
        ("best_subset", 1.0, TypeError),
        ("swap_subset", [0, 1], TypeError),
        ("swap_subset", np.array([0, 1], np.int32), TypeError),
        ("swap_subset", np.array([[0, 1]]), ValueError),
        ("swap_subset", np.array([], np.int64), ValueError),
        ("swap_subset", np.array([0, 3]), ValueError),
        ("swap_subset", np.array([-1, 0]), ValueError),
        ("swap_subset", np.array([1, 0]), ValueError),
        ("swap_subset", np.array([1, 1]), ValueError),
    ],
)
def test_bad_choices_are_refused_alike(name, value, error):
    argument = "cardinality" if name == "best_subset" else "support"
    for raised in both(name, *PENCIL, value):
        assert type(raised) is error, raised
        assert str(raised).startswith(argument)


def test_strided_pencils_are_read_by_index():
    rng = np.random.default_rng(3)
    wide = rng.normal(size=(8, 8))
    predicted, covariance = wide @ wide.T, np.eye(8) * 2
    assert_same_search("greedy_path", predicted[::2, ::2], np.asfortranarray(covariance[::2, ::2]))


# Market making: equal to the last bit.


def quote_tables(rng, rows, limit, gaps):
    """Offsets and probabilities of both sides, some of them not quoted."""
    shape = (rows, 2 * limit + 1)
    bid, ask = rng.normal(0.5, 1.0, (2, *shape))
    for side, edge in ((bid, -1), (ask, 0)):
        side[rng.random(shape) < gaps] = np.nan
        side[:, edge] = np.nan
    probabilities = rng.choice([0.0, 0.3, 0.7, 1.0, np.nan], (2, *shape))
    probabilities[:, rng.random(shape) < 0.7] = rng.random()
    for side, probability in ((bid, probabilities[0]), (ask, probabilities[1])):
        probability[np.isnan(probability) & ~np.isnan(side)] = 0.5
    return bid, ask, *probabilities


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 20),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from([0.0, 0.3]),
    st.integers(1, 300),
    st.integers(0, 2**64 - 1),
)
def test_simulate_market_making(draw, n_steps, limit, constant, gaps, n_paths, seed):
    rng = np.random.default_rng(draw)
    tables = quote_tables(rng, 1 if constant else n_steps, limit, gaps)
    start = int(rng.integers(-limit, limit + 1))
    move = float(rng.choice([0.0, 0.141, 1.0]))
    assert_same("simulate_market_making", *tables, n_steps, start, move, n_paths, seed)


def test_simulate_market_making_with_many_paths():
    rng = np.random.default_rng(0)
    tables = quote_tables(rng, 40, 9, 0.0)
    assert_same("simulate_market_making", *tables, 40, 0, 0.1, 30_001, 5)
    strided = [np.asfortranarray(table) for table in tables]
    assert_same("simulate_market_making", *strided, 40, 0, 0.1, 10, 5)


MAKER = {
    "bid_offset": np.array([[1.0, 1.0, np.nan]]),
    "ask_offset": np.array([[np.nan, 1.0, 1.0]]),
    "bid_probability": np.full((1, 3), 0.5),
    "ask_probability": np.full((1, 3), 0.5),
    "n_steps": 4,
    "inventory": 0,
    "move": 0.1,
    "n_paths": 2,
    "seed": 1,
}


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("bid_offset", [[1.0, 1.0, np.nan]], TypeError, "bid_offset"),
        ("bid_offset", np.ones(3), ValueError, "bid_offset must have shape"),
        ("bid_offset", np.ones((1, 3)), ValueError, "bid_offset[0, 2] must be NaN"),
        ("bid_offset", np.array([[1.0, np.inf, np.nan]]), ValueError, "bid_offset[0, 1]"),
        ("ask_offset", np.ones((1, 3)), ValueError, "ask_offset[0, 0] must be NaN"),
        ("ask_offset", np.full((2, 3), np.nan), ValueError, "ask_offset must have shape"),
        ("bid_probability", np.full((1, 3), 1.1), ValueError, "bid_probability[0, 0] must be from"),
        ("bid_probability", np.full((1, 5), 0.5), ValueError, "bid_probability must have shape"),
        ("ask_probability", np.full((1, 3), np.nan), ValueError, "ask_probability[0, 1] must be"),
        ("ask_probability", np.full((1, 3), -0.1), ValueError, "ask_probability[0, 1] must be"),
        ("n_steps", 0, ValueError, "n_steps"),
        ("n_steps", 1.0, TypeError, "n_steps"),
        ("inventory", 2, ValueError, "inventory"),
        ("inventory", -2, ValueError, "inventory"),
        ("inventory", -(2**63), ValueError, "inventory"),
        ("inventory", 2**70, ValueError, "inventory"),
        ("inventory", 0.0, TypeError, "inventory"),
        ("move", -1.0, ValueError, "move"),
        ("move", np.inf, ValueError, "move"),
        ("move", np.nan, ValueError, "move"),
        ("move", None, TypeError, "move"),
        ("n_paths", 0, ValueError, "n_paths"),
        ("seed", -1, ValueError, "seed"),
        ("seed", 2**64, ValueError, "seed"),
        ("seed", 0.5, TypeError, "seed"),
    ],
)
def test_simulate_market_making_refuses_alike(name, value, error, message):
    for raised in both("simulate_market_making", *(MAKER | {name: value}).values()):
        assert type(raised) is error, raised
        assert str(raised).startswith(message), raised


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (4, 4), (1, 2), (0, 3), (4, 0)])
def test_market_making_tables_of_a_wrong_shape_are_refused_alike(rows, columns):
    nothing = {name: np.full((rows, columns), np.nan) for name in list(MAKER)[:4]}
    for raised in both("simulate_market_making", *(MAKER | nothing).values()):
        assert type(raised) is ValueError, raised
        assert str(raised).startswith("bid_offset must have"), raised


def best_quotes(n):
    return hnp.arrays(
        np.float64, (4, n), elements=st.one_of(st.integers(1, 3).map(float), st.floats(-1e3, 1e3))
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40).flatmap(best_quotes))
@example(np.ones((4, 0)))
@example(np.array([[1.0, 1, np.nan], [1, 1, 1], [1, 1, 1], [1, 1, 1]]))
@example(np.array([[1.0, 1, 1], [1, 1, 1], [1, 1, 1], [1, -np.inf, 1]]))
def test_order_flow_imbalance(quotes):
    assert_same("order_flow_imbalance", *quotes)
    assert_same("order_flow_imbalance", *np.asfortranarray(quotes))


@pytest.mark.parametrize(
    ("place", "value", "error", "message"),
    [
        (0, [1.0, 1.0], TypeError, "bid"),
        (0, np.ones((2, 1)), ValueError, "bid must have shape"),
        (1, np.ones(3), ValueError, "bid_size must have shape"),
        (2, np.ones(2, int), TypeError, "ask"),
        (3, np.ones(1), ValueError, "ask_size must have shape"),
        (3, np.array([1.0, np.nan]), ValueError, "ask_size[1] must be finite"),
    ],
)
def test_order_flow_imbalance_refuses_alike(place, value, error, message):
    arguments = [np.ones(2) for _ in range(4)]
    arguments[place] = value
    for raised in both("order_flow_imbalance", *arguments):
        assert type(raised) is error, raised
        assert str(raised).startswith(message), raised
