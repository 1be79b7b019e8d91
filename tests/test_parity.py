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
from labkit.backtest import EVENT_DTYPE

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


# Bar backtests and their figures: equal accounts, sums to rounding.


@st.composite
def bar_runs(draw):
    """Arguments of `run_bars` in which every cost is paid, some tables constant."""
    rows, n = draw(st.integers(0, 40)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = draw(st.booleans())
    prices = 100 * np.exp(rng.normal(0, 0.05, (rows, n)).cumsum(axis=0))
    signals = rng.integers(-3, 4, (rows, n)) * (0.01 if weights else 1.0)
    signals[rng.random((rows, n)) < 0.3] = math.nan
    spread_rows, impact_rows = (draw(st.sampled_from([1, rows])) for _ in range(2))
    rates = rng.uniform(0, 0.01, (4, n)) * draw(st.sampled_from([0, 1]))
    return (
        signals,
        prices,
        1e5,
        draw(st.integers(int(weights), 45)),
        weights,
        rates,
        rng.uniform(0, 0.1, n),
        rng.uniform(0, 0.1, (spread_rows, n)),
        rng.uniform(0, 0.01, (impact_rows, n)),
        rng.uniform(0, 0.1, draw(st.sampled_from([1, rows]))),
    )


@settings(max_examples=300, deadline=None)
@given(bar_runs())
def test_run_bars(arguments):
    assert_same("run_bars", *arguments)


@settings(max_examples=200, deadline=None)
@given(bar_runs())
def test_bars_summary(arguments):
    rust, python = both("bars_summary", *arguments)
    if len(arguments[1]) < 3:
        assert str(rust) == str(python)
        return
    np.testing.assert_allclose(rust, python, rtol=1e-9, atol=1e-15)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 3000), st.integers(1, 50), st.sampled_from([1, 5]))
def test_bars_summary_of_one_asset_and_long_quiet_times(seed, rows, trades, lag):
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(rng.normal(0, 0.001, (rows, 1)).cumsum(axis=0))
    signals = np.full((rows, 1), math.nan)
    signals[rng.integers(0, rows, trades)] = rng.integers(-5, 6, (trades, 1))
    if seed % 2:
        signals = np.nan_to_num(signals)
    rates = np.array([[1e-3], [1e-4], [0.0], [0.1 * (seed % 3 == 0)]])
    zeros = np.zeros((1, 1))
    costs = (rates, np.zeros(1), zeros, zeros, np.full(1, 1e-3))
    rust, python = both("bars_summary", signals, prices, 1e4, lag, False, *costs)
    np.testing.assert_allclose(rust, python, rtol=1e-9, atol=1e-15)


ONE_BAR = {
    "signals": np.ones((4, 1)),
    "prices": np.full((4, 1), 10.0),
    "capital": 100.0,
    "lag": 1,
    "weights": False,
    "rates": np.zeros((4, 1)),
    "fee_unit": np.zeros(1),
    "spread_unit": np.zeros((1, 1)),
    "impact": np.zeros((1, 1)),
    "elapsed": np.zeros(1),
}


def spoiled(name, place, value):
    array = np.full((4, 1), 10.0) if name in ("signals", "prices") else ONE_BAR[name].copy()
    array[place] = value
    return array


@pytest.mark.parametrize("kernel", ["run_bars", "bars_summary"])
@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("signals", [[1.0]], TypeError, "signals must be a numpy array"),
        ("signals", np.ones((4, 1), int), TypeError, "signals must be an array"),
        ("signals", np.ones((4, 2)), ValueError, "signals must have shape"),
        ("signals", spoiled("signals", 2, math.inf), ValueError, "signals[2, 0] must be finite or"),
        ("signals", spoiled("signals", 3, -math.inf), ValueError, "signals[3, 0] must be finite"),
        ("signals", spoiled("signals", 1, 1e308), ValueError, "signals[2] and prices must keep"),
        ("prices", np.ones(4), ValueError, "prices must have shape"),
        ("prices", np.ones((4, 0)), ValueError, "signals must have shape"),
        ("prices", spoiled("prices", 3, math.nan), ValueError, "prices[3, 0] must be finite"),
        ("prices", spoiled("prices", 0, math.inf), ValueError, "prices[0, 0] must be finite"),
        ("capital", "1", TypeError, "capital must be a number"),
        ("capital", math.nan, ValueError, "capital must be finite"),
        ("lag", 1.0, TypeError, "lag must be an integer"),
        ("lag", -1, ValueError, "lag must be at least 0"),
        ("weights", 1, TypeError, "weights must be True or False"),
        ("rates", np.zeros((3, 1)), ValueError, "rates must have shape"),
        ("rates", spoiled("rates", 2, -0.1), ValueError, "rates[2, 0] must be finite and not neg"),
        ("rates", spoiled("rates", 3, math.nan), ValueError, "rates[3, 0] must be finite"),
        ("fee_unit", np.zeros(2), ValueError, "fee_unit must have shape"),
        ("fee_unit", np.full(1, -1.0), ValueError, "fee_unit[0] must be finite and not negative"),
        ("spread_unit", np.zeros((2, 1)), ValueError, "spread_unit must have 1 or 4 rows"),
        ("spread_unit", np.full((1, 1), -1.0), ValueError, "spread_unit[0, 0] must be finite"),
        ("impact", np.zeros((0, 1)), ValueError, "impact must have 1 or 4 rows"),
        ("impact", np.full((4, 1), math.inf), ValueError, "impact[0, 0] must be finite"),
        ("elapsed", np.zeros(3), ValueError, "elapsed must have 1 or 4 values"),
        ("elapsed", np.array([0, 0, -1.0, 0]), ValueError, "elapsed[2] must be finite and not"),
    ],
)
def test_bad_bars_are_refused_alike(kernel, name, value, error, message):
    for raised in both(kernel, *(ONE_BAR | {name: value}).values()):
        assert type(raised) is error, raised
        assert str(raised).startswith(message), raised


@pytest.mark.parametrize("kernel", ["run_bars", "bars_summary"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lag": 0, "weights": True}, "lag must be at least 1 for weights"),
        ({"prices": spoiled("prices", 1, -1.0), "weights": True}, "prices[1, 0] must be positive"),
        (
            {
                "prices": spoiled("prices", [2, 3], 40.0),
                "weights": True,
                "signals": -np.ones((4, 1)),
            },
            "signals[2] as weights need equity above 0, got -200",
        ),
        ({"signals": np.ones((4, 0)), "prices": np.ones((4, 0)), "rates": np.ones((4, 0)),
          "fee_unit": np.ones(0), "spread_unit": np.ones((1, 0)), "impact": np.ones((1, 0))},
         "prices must have at least 1 column"),
    ],
)  # fmt: skip
def test_runs_that_cannot_go_on_are_refused_alike(kernel, changes, message):
    for raised in both(kernel, *(ONE_BAR | changes).values()):
        assert type(raised) is ValueError, raised
        assert str(raised).startswith(message), raised


def test_a_summary_of_ruin_is_refused_alike():
    ruin = ONE_BAR | {"signals": np.full((4, 1), -10.0), "prices": spoiled("prices", [2, 3], 40.0)}
    for raised in both("bars_summary", *ruin.values()):
        assert str(raised).startswith("signals[2] must leave equity above 0, got -200"), raised


def test_strided_bars_are_copied():
    rng = np.random.default_rng(0)
    wide = np.asfortranarray(rng.uniform(1, 2, (20, 6)))
    names = list(ONE_BAR)
    values = ONE_BAR | {"signals": wide[:, ::3], "prices": wide[::-1, 1:3]}
    values |= {
        name: np.zeros((len(ONE_BAR[name]), 2)) for name in names[-5:-1] if name != "fee_unit"
    }
    assert_same("run_bars", *(values | {"fee_unit": np.zeros(2)}).values())


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2600), st.integers(1, 30), st.integers(1, 90))
def test_moving_average_cross(seed, rows, fast, more):
    ticks = np.random.default_rng(seed).integers(-3, 4, rows).cumsum() + 1000.0
    assert_same("moving_average_cross", ticks, fast, fast + more)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], 1, 2), TypeError, "prices must be a numpy array"),
        ((np.ones((2, 2)), 1, 2), ValueError, "prices must have shape"),
        ((np.ones(9), 0, 2), ValueError, "fast must be at least 1"),
        ((np.ones(9), 2, 2), ValueError, "slow must be at least 3"),
        ((np.ones(9), 2, 3.5), TypeError, "slow must be an integer"),
        ((np.array([1.0, math.nan]), 1, 5), ValueError, "prices[1] must be finite"),
        ((np.append(np.ones(2000), [math.inf, 1]), 1, 2), ValueError, "prices[2000] must be fin"),
        ((np.append(math.nan, np.ones(2000)), 1, 2), ValueError, "prices[0] must be finite"),
        ((np.full(9, 1e308) * [1, -1, 1, -1, 1, -1, 1, -1, 1], 1, 2), ValueError, "prices must ha"),
    ],
)
def test_bad_crosses_are_refused_alike(arguments, error, message):
    for raised in both("moving_average_cross", *arguments):
        assert type(raised) is error, raised
        assert str(raised).startswith(message), raised


plain_returns = hnp.arrays(
    np.float64,
    st.integers(1, 3000).map(lambda n: (n,)),
    elements=st.floats(-1, 1, allow_subnormal=False),
    fill=st.just(0.01),
)


@settings(max_examples=200, deadline=None)
@given(plain_returns, st.floats(-0.1, 0.1))
def test_return_moments(returns, target):
    rust, python = both("return_moments", returns, target)
    assert rust[5:] == python[5:]
    np.testing.assert_allclose(rust[:5], python[:5], rtol=1e-11, atol=1e-13 * len(returns))


@settings(max_examples=200, deadline=None)
@given(plain_returns)
def test_return_drawdown(returns):
    rust, python = both("return_drawdown", returns)
    np.testing.assert_allclose(rust[:2], python[:2], rtol=1e-11, atol=1e-13)
    levels = np.cumprod(np.append(1.0, 1 + returns))
    # Of falls that are equal but for rounding each may be told; products are rounded in any order.
    for depth, peak, trough, recovery in (rust[1:], python[1:]):
        assert 1 - levels[trough] / levels[peak] == pytest.approx(depth, abs=1e-11)
        assert (levels[peak:trough] <= levels[peak] * (1 + 1e-11)).all()
        back = levels[trough : recovery if recovery >= 0 else None]
        assert (back < levels[peak] * (1 + 1e-11)).all() or depth == 0
        assert recovery < 0 or levels[recovery] >= levels[peak] * (1 - 1e-11)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000), st.sampled_from([1.0, 1e-9, 1e-15]))
def test_drawdown(seed, rows, step):
    moves = np.random.default_rng(seed).integers(-1, 2, rows)
    assert_same("drawdown", 1e-300 + np.exp(step * moves.cumsum()))


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("return_moments", ([0.1], 0.0), TypeError, "returns must be a numpy array"),
        ("return_moments", (np.empty(0), 0.0), ValueError, "returns must have at least 1"),
        ("return_moments", (np.array([0, math.nan]), 0.0), ValueError, "returns[1] must be finite"),
        ("return_moments", (np.array([0, 1e80]), 0.0), ValueError, "returns must be below"),
        ("return_moments", (np.array([0, 1e300]), 0.0), ValueError, "returns must be below"),
        ("return_moments", (np.ones(2), math.nan), ValueError, "target must be finite"),
        ("return_moments", (np.ones(2), -math.inf), ValueError, "target must be finite"),
        ("return_moments", (np.ones(2), "0"), TypeError, "target must be a number"),
        ("drawdown", (np.empty(0),), ValueError, "equity must have at least 1"),
        ("drawdown", (np.array([1.0, math.inf]),), ValueError, "equity[1] must be finite"),
        ("drawdown", (np.array([1.0, 0.0]),), ValueError, "equity[1] must be positive"),
        ("return_drawdown", (np.empty(0),), ValueError, "returns must have at least 1"),
        ("return_drawdown", (np.array([-2.0, math.nan]),), ValueError, "returns[1] must be finite"),
        ("return_drawdown", (np.array([0, -1.5]),), ValueError, "returns[1] must be at least -1"),
        ("return_drawdown", (np.full(2000, 1.0),), ValueError, "returns must compound"),
    ],
)
def test_bad_returns_are_refused_alike(name, arguments, error, message):
    for raised in both(name, *arguments):
        assert type(raised) is error, raised
        assert str(raised).startswith(message), raised


# Matching: everything equal to the last bit.

NO_ORDERS = [np.empty(0, dtype) for dtype in (np.int64, np.int8, np.int64, np.int64)]
REQUEST_TYPES = (np.int64, np.int64, np.uint8, np.int8, np.int64, np.int64, np.uint8)
FLAGS_OF = {1: (0, 0, 0, 1, 2, 4), 2: (0, 2, 4), 3: (0,), 4: (0, 0, 1)}


def assert_same_columns(rust, python):
    assert len(rust) == len(python)
    for a, b in zip(rust, python, strict=True):
        if isinstance(a, tuple):
            assert_same_columns(a, b)
            continue
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.flags.c_contiguous and a.flags.writeable
        np.testing.assert_array_equal(a, b)


def request_columns(rows):
    columns = list(zip(*rows, strict=True)) or [()] * len(REQUEST_TYPES)
    return [np.array(c, dtype) for c, dtype in zip(columns, REQUEST_TYPES, strict=True)]


@st.composite
def request_flows(draw):
    rows, time = [], draw(st.integers(-(2**62), 2**62))
    for _ in range(draw(st.integers(0, 50))):
        kind = draw(st.sampled_from([1, 1, 1, 1, 2, 3, 4]))
        time += draw(st.integers(0, 3))
        id = draw(st.one_of(st.integers(0, 20), st.sampled_from([2**63 - 1, -(2**63), -1, 2**21])))
        side, price = draw(st.sampled_from([1, -1])), draw(st.integers(0, 40))
        size = draw(st.one_of(st.integers(0, 9), st.sampled_from([2**40, 2**40 + 1, -(2**63)])))
        rows.append((time, id, kind, side, price, size, draw(st.sampled_from(FLAGS_OF[kind]))))
    return rows


@settings(max_examples=150, deadline=None)
@given(request_flows(), st.integers(0, 50))
def test_matching_engine(rows, cut):
    rust, python = (module.MatchingEngine(*NO_ORDERS) for module in (_kernels, reference))
    for piece in (rows[:cut], rows[cut:]):
        columns = request_columns(piece)
        assert_same_columns(rust.process(*columns), python.process(*columns))
        assert_same_columns(rust.resting(), python.resting())
        for side in (1, -1):
            assert_same_columns(rust.levels(side, 3), python.levels(side, 3))
    for id in {row[1] for row in rows}:
        results = []
        for engine in (rust, python):
            try:
                results.append(engine.order(id))
            except ValueError as error:
                results.append(str(error))
        assert results[0] == results[1]
    again = [module.MatchingEngine(*rust.resting()) for module in (_kernels, reference)]
    for engine in again:
        assert_same_columns(engine.resting(), rust.resting())


def test_matching_engine_on_a_deep_book():
    rng = np.random.default_rng(8)
    n = 3000
    kind = rng.choice([1, 1, 1, 2, 3, 4], n)
    ids = np.where(kind < 3, np.arange(n), rng.integers(0, np.arange(n) + 1))
    price = 5000 + rng.integers(-800, 800, n)
    side = np.where(price < 5000 + rng.integers(-50, 50, n), 1, -1)
    zeros = np.zeros(n, int)
    rows = zip(np.arange(n), ids, kind, side, price, rng.integers(1, 30, n), zeros, strict=True)
    columns = request_columns(list(rows))
    rust, python = (module.MatchingEngine(*NO_ORDERS) for module in (_kernels, reference))
    assert_same_columns(rust.process(*columns), python.process(*columns))
    assert_same_columns(rust.resting(), python.resting())
    assert len(rust.levels(1, 2**62)[0]) > 100


GOOD_REQUEST = (5, 1, 1, 1, 10, 3, 0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (0, 4, "time_ns[1] must not be before 5, got 4"),
        (2, 0, "kind[1] must be from 1 to 4, got 0"),
        (2, 5, "kind[1] must be from 1 to 4, got 5"),
        (3, 0, "side[1] must be 1 or -1, got 0"),
        (3, -128, "side[1] must be 1 or -1, got -128"),
        (6, 3, "flags[1] must go with kind 1, got 3"),
        (6, 255, "flags[1] must go with kind 1, got 255"),
    ],
)
def test_malformed_requests_are_refused_alike_and_none_is_worked_through(field, value, message):
    bad = [*GOOD_REQUEST]
    bad[field] = value
    for module in (_kernels, reference):
        engine = module.MatchingEngine(*NO_ORDERS)
        with pytest.raises(ValueError) as error:
            engine.process(*request_columns([GOOD_REQUEST, bad]))
        assert str(error.value) == message
        assert len(engine.resting()[0]) == 0
        engine.process(*request_columns([GOOD_REQUEST]))
        with pytest.raises(ValueError, match=r"^time_ns\[0\] must not be before 5"):
            engine.process(*request_columns([(4, *GOOD_REQUEST[1:])]))


@pytest.mark.parametrize("field", range(7))
def test_columns_of_requests_are_checked_alike(field):
    names = ["time_ns", "id", "kind", "side", "price", "size", "flags"]
    for wrong, error in ((np.zeros(1, np.float32), TypeError), (np.zeros((1, 1)), TypeError)):
        columns = request_columns([GOOD_REQUEST])
        columns[field] = wrong
        for module in (_kernels, reference):
            with pytest.raises(error, match=f"^{names[field]} must be"):
                module.MatchingEngine(*NO_ORDERS).process(*columns)
    columns = request_columns([GOOD_REQUEST, GOOD_REQUEST])
    columns[field] = columns[field][:1]
    name = names[field] if field else "id"
    for module in (_kernels, reference):
        with pytest.raises(ValueError, match=f"^{name} must have shape"):
            module.MatchingEngine(*NO_ORDERS).process(*columns)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 1, 90, 1), "id[1] must be new, got 1 twice"),
        ((2, 2, 90, 1), "side[1] must be 1 or -1, got 2"),
        ((2, 1, 0, 1), "price[1] must be from 1 to 2**40, got 0"),
        ((2, 1, 90, 2**40 + 1), f"size[1] must be from 1 to 2**40, got {2**40 + 1}"),
        ((2, -1, 100, 1), "price[1] must not cross the book, got 100"),
    ],
)
def test_books_that_cannot_be_are_refused_alike(row, message):
    columns = zip((1, 1, 100, 5), row, strict=True)
    types = [a.dtype for a in NO_ORDERS]
    columns = [np.array(c, dtype) for c, dtype in zip(columns, types, strict=True)]
    for raised in both("MatchingEngine", *columns):
        assert isinstance(raised, ValueError) and str(raised) == message


@pytest.mark.parametrize(
    ("method", "arguments", "error", "message"),
    [
        ("order", (1.0,), TypeError, "id must be an integer, got float"),
        ("order", (7,), ValueError, "id must be one of an order taken, got 7"),
        ("levels", (0, 1), ValueError, "side must be 1 or -1, got 0"),
        ("levels", (None, 1), TypeError, "side must be an integer, got NoneType"),
        ("levels", (1, -1), ValueError, "depth must be at least 0, got -1"),
        ("levels", (1, "2"), TypeError, "depth must be an integer, got str"),
    ],
)
def test_questions_to_an_engine_are_refused_alike(method, arguments, error, message):
    for module in (_kernels, reference):
        with pytest.raises(error) as raised:
            getattr(module.MatchingEngine(*NO_ORDERS), method)(*arguments)
        assert str(raised.value) == message


FLOW = {
    "seed": 3,
    "duration_s": 2.0,
    "start_price": 50,
    "limit_rates": np.array([3.0, 2.0, 1.0]),
    "cancel_rates": np.array([0.5, 0.2]),
    "market_rate": 1.0,
    "limit_size": 3.0,
    "market_size": 5.0,
    "fundamental_rate": 1.0,
    "pull": 0.2,
}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 3),
    hnp.arrays(float, st.integers(1, 6), elements=st.floats(0, 20)),
    hnp.arrays(float, st.integers(1, 6), elements=st.floats(0, 2)),
    hnp.arrays(float, 4, elements=st.floats(0, 10)),
    st.floats(1, 1e9),
)
def test_zero_intelligence_flow(seed, above, limits, cancels, others, size):
    market, fundamental, pull, duration = others.tolist()
    start = len(limits) + 1 + above  # so near to zero that orders without a price are met
    arguments = (seed, 0.1 + duration, start, limits, cancels, market, size, 2.0, fundamental, pull)
    assert_same_columns(*both("zero_intelligence_flow", *arguments))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("seed", -1, ValueError),
        ("seed", 2**64, ValueError),
        ("seed", 1.0, TypeError),
        ("start_price", 3, ValueError),
        ("start_price", 2**40, ValueError),
        ("start_price", 50.0, TypeError),
        ("limit_rates", np.empty(0), ValueError),
        ("limit_rates", np.array([1, -1.0]), ValueError),
        ("limit_rates", [1.0], TypeError),
        ("cancel_rates", np.empty(0), ValueError),
        ("cancel_rates", np.array([[1.0]]), ValueError),
        ("cancel_rates", np.array([np.inf]), ValueError),
        *[("duration_s", v, ValueError) for v in (0.0, -1.0, np.nan, np.inf, 1e9)],
        *[
            (name, value, ValueError)
            for name in ("market_rate", "fundamental_rate", "pull")
            for value in (-1.0, np.nan, np.inf)
        ],
        *[
            (name, value, ValueError)
            for name in ("limit_size", "market_size")
            for value in (0.99, np.nan, 2.0**32 + 1)
        ],
        *[(n, None, TypeError) for n in ("duration_s", "market_rate", "limit_size", "pull")],
    ],
)
def test_zero_intelligence_flow_refuses_alike(name, value, error):
    raised = both("zero_intelligence_flow", *(FLOW | {name: value}).values())
    for one in raised:
        assert type(one) is error, one
        assert str(one).startswith(name), one


def test_a_market_without_any_rate_stands_still():
    still = FLOW | {"limit_rates": np.zeros(2), "cancel_rates": np.zeros(1)}
    still |= {"market_rate": 0.0, "fundamental_rate": 0.0}
    rust, python = both("zero_intelligence_flow", *still.values())
    assert_same_columns(rust, python)
    assert rust[0][0].tolist() == [1, 2, 3, 4] and len(rust[1][0]) == 0


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
        ("n_paths", True, TypeError, "n_paths must be an integer, got bool"),
        ("n_paths", 10**15, ValueError, "n_paths must be at most 100000000, got"),
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


# Replay

QUEUES = ["risk_averse", "power", "power2", "power3", "log", "log2"]


def market_events(gaps, delays, prices, sizes, kinds, sides):
    """Events of a narrow market, received in order, happened in any."""
    events = np.zeros(len(gaps), EVENT_DTYPE)
    happened = np.cumsum(gaps) + 100
    events["local_ns"] = np.maximum.accumulate(happened + delays)
    events["exchange_ns"] = happened
    events["kind"] = kinds
    trade, clear = events["kind"] == 2, events["kind"] == 3
    events["side"] = np.where(clear & (np.array(sizes) == 0), 0, sides)
    events["price"] = np.where(clear, np.array(prices) % 3 * 33, prices)
    events["size"] = np.where(trade, np.array(sizes) + 1, sizes)
    return events


@st.composite
def markets(draw, most=60):
    n = draw(st.integers(0, most))

    def column(values):
        return draw(st.lists(values, min_size=n, max_size=n))

    return market_events(
        column(st.integers(0, 20)),
        column(st.integers(0, 30)),
        column(st.integers(97, 103) | st.sampled_from([1, 40, 2**21, 2**40])),
        column(st.integers(0, 6)),
        column(st.sampled_from([1, 1, 1, 1, 2, 2, 2, 2, 3, 4])),
        column(st.sampled_from([1, -1])),
    )


@st.composite
def latencies(draw):
    n = draw(st.integers(1, 4))
    times = np.sort(draw(hnp.arrays(np.int64, n, elements=st.integers(0, 900))))
    entry = draw(hnp.arrays(np.int64, n, elements=st.integers(-1, 60)))
    trip = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 99)))
    back = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 60)))
    return np.column_stack([times, entry, trip]), np.column_stack([times, back])


@st.composite
def replays(draw):
    entry, response = draw(latencies())
    return (
        draw(markets()),
        draw(st.integers(0, 9)),
        entry,
        response,
        draw(st.booleans()),
        draw(st.sampled_from(QUEUES)),
        draw(st.sampled_from([0.5, 1.0, 2.0, 3.0])),
        draw(st.sampled_from([1.0, 0.01])),
        draw(st.booleans()),
        draw(st.sampled_from([0, 7, 40])),
        draw(st.sampled_from([0, 0, 25])),
    )


@st.composite
def quoters(draw):
    rows, most = draw(st.integers(1, 2)), draw(st.integers(0, 3))
    shape = (rows, 2 * most + 1)
    ticks = st.sampled_from([0.25, 0.5, 1.0, 1.7, 3.0, math.nan])
    bids, asks = (draw(hnp.arrays(np.float64, shape, elements=ticks)) for _ in range(2))
    bids[:, -1] = asks[:, 0] = np.nan
    times = np.array([150, 400])[:rows]
    table = draw(
        hnp.arrays(
            np.float64, st.sampled_from([(0, 0), (1, 2), (3, 3)]), elements=st.floats(-1.5, 1.5)
        )
    )
    return bids, asks, times, draw(st.integers(1, 4)), table


@given(markets(200))
def test_best_quotes_are_the_same(events):
    assert_same("best_quotes", events)


@settings(max_examples=300)
@given(replays(), quoters())
def test_replays_of_the_quoter_are_the_same(arguments, quoter):
    assert_same("replay", *arguments, *quoter)


def driven(module, arguments, actions):
    """A replay driven from outside, and all that it showed on the way."""
    engine = module.ReplayEngine(*arguments)
    seen, sent = [], iter(actions)
    while engine.advance():
        live = engine.live_orders()
        seen.append((engine.time_ns, engine.position, engine.cash, engine.traded, engine.quotes))
        seen.append((engine.received, engine.size_at(1, 99), engine.size_at(-1, 2**40)))
        seen.append(live.tolist())
        assert live.shape[1] == 8
        for side, price, size, kind, at in [a for a in (next(sent, None),) if a is not None]:
            seen.append(engine.submit(side, 0 if kind == 3 else price, size, kind))
            for order in live[at : at + 1]:
                try:
                    engine.cancel(int(order[0]))
                except ValueError as error:
                    seen.append(str(error))
    assert not engine.advance()
    return seen, engine.results()


@settings(max_examples=200)
@given(
    replays(),
    st.lists(
        st.tuples(
            st.sampled_from([1, -1]),
            st.integers(94, 106) | st.just(2**30),
            st.integers(1, 9),
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        max_size=25,
    ),
)
def test_driven_replays_are_the_same(arguments, actions):
    (seen, results), (expected, tables) = (
        driven(module, arguments, actions) for module in (_kernels, reference)
    )
    assert seen == expected
    for a, b in zip(results, tables, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def replay_arguments(**changes):
    events = market_events([0, 5, 5], [9, 9, 9], [99, 101, 99], [5, 5, 2], [1, 1, 2], [1, -1, -1])
    arguments = {
        "events": events,
        "feed_ns": 0,
        "entry": np.array([[0, 1, 2]]),
        "response": np.array([[0, 1]]),
        "interpolate": False,
        "queue": "power",
        "exponent": 1.0,
        "unit": 1.0,
        "partial_fills": True,
        "interval_ns": 5,
        "sample_ns": 0,
        "bid_offset": np.array([[1.0, 1.0, np.nan]]),
        "ask_offset": np.array([[np.nan, 1.0, 1.0]]),
        "times": np.array([0]),
        "order_size": 1,
        "adjustment": np.empty((0, 0)),
    }
    return {**arguments, **changes}.values()


def changed_event(row, **fields):
    events = next(iter(replay_arguments())).copy()
    for name, value in fields.items():
        events[name][row] = value
    return events


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("events", [1], TypeError),
        ("events", np.zeros(3), TypeError),
        ("events", changed_event(0).reshape(1, 3), ValueError),
        ("events", changed_event(1, exchange_ns=-1), ValueError),
        ("events", changed_event(1, exchange_ns=2**62), ValueError),
        ("events", changed_event(2, local_ns=0), ValueError),
        ("events", changed_event(2, local_ns=2**62), ValueError),
        ("events", changed_event(0, kind=0), ValueError),
        ("events", changed_event(0, kind=5), ValueError),
        ("events", changed_event(0, side=0), ValueError),
        ("events", changed_event(0, side=2), ValueError),
        ("events", changed_event(0, size=-1), ValueError),
        ("events", changed_event(2, size=0), ValueError),
        ("events", changed_event(0, size=2**53), ValueError),
        ("events", changed_event(0, price=0), ValueError),
        ("events", changed_event(0, price=2**53), ValueError),
        ("events", changed_event(2, exchange_ns=150), ValueError),
        ("feed_ns", -1, ValueError),
        ("feed_ns", 2**53, ValueError),
        ("feed_ns", 2**70, ValueError),
        ("feed_ns", 1.0, TypeError),
        ("entry", [[0, 1, 2]], TypeError),
        ("entry", np.array([[0, 1]]), ValueError),
        ("entry", np.empty((0, 3), np.int64), ValueError),
        ("entry", np.array([[0, -2, 2]]), ValueError),
        ("entry", np.array([[0, 1, -1]]), ValueError),
        ("entry", np.array([[0, 2**53, 1]]), ValueError),
        ("entry", np.array([[5, 1, 1], [4, 1, 1]]), ValueError),
        ("entry", np.array([[2**62, 1, 1]]), ValueError),
        ("response", np.array([[0, -1]]), ValueError),
        ("response", np.array([[0, 1], [1, 1]], np.int32), TypeError),
        ("queue", "fifo", ValueError),
        ("exponent", 0.0, ValueError),
        ("exponent", "1", TypeError),
        ("unit", math.nan, ValueError),
        ("interval_ns", -1, ValueError),
        ("sample_ns", -1, ValueError),
        ("sample_ns", None, TypeError),
        ("bid_offset", np.array([1.0]), ValueError),
        ("bid_offset", np.array([[1.0, 1.0, 1.0]]), ValueError),
        ("bid_offset", np.array([[np.inf, 1.0, np.nan]]), ValueError),
        ("ask_offset", np.array([[1.0, 1.0, 1.0]]), ValueError),
        ("ask_offset", np.array([[np.nan, np.nan]]), ValueError),
        ("ask_offset", np.array([[np.nan, -1.0, 1.0]]), ValueError),
        ("times", np.array([0, 1]), ValueError),
        ("times", np.array([0.0]), TypeError),
        ("order_size", 0, ValueError),
        ("order_size", 2**53, ValueError),
        ("order_size", 1.5, TypeError),
        ("adjustment", np.array([[np.nan]]), ValueError),
        ("adjustment", np.array([1.0]), ValueError),
    ],
)
def test_bad_replays_are_refused_alike(name, value, error):
    for raised in both("replay", *replay_arguments(**{name: value})):
        assert type(raised) is error, raised
        assert str(raised).startswith(name)


@pytest.mark.parametrize(
    ("shape", "times", "argument"),
    [((2, 1), [5, 5], "times[1]"), ((0, 1), [], "bid_offset"), ((1, 2), [5], "bid_offset")],
)
def test_rows_of_a_quoter_are_asked_for_alike(shape, times, argument):
    rows = {
        "bid_offset": np.full(shape, np.nan),
        "ask_offset": np.full(shape, np.nan),
        "times": np.array(times, np.int64),
    }
    for raised in both("replay", *replay_arguments(**rows)):
        assert type(raised) is ValueError
        assert str(raised).startswith(argument)


@pytest.mark.parametrize(
    ("action", "arguments", "error"),
    [
        ("submit", (2, 99, 1, 0), ValueError),
        ("submit", (1.0, 99, 1, 0), TypeError),
        ("submit", (1, 0, 1, 0), ValueError),
        ("submit", (1, 99, 1, 3), ValueError),
        ("submit", (1, 99.0, 1, 0), TypeError),
        ("submit", (1, 2**53, 1, 0), ValueError),
        ("submit", (1, 99, 0, 0), ValueError),
        ("submit", (1, 99, 2**53, 0), ValueError),
        ("submit", (1, 99, 1, 4), ValueError),
        ("submit", (1, 99, 1, -1), ValueError),
        ("cancel", (1,), ValueError),
        ("size_at", (0, 99), ValueError),
    ],
)
def test_bad_actions_are_refused_alike(action, arguments, error):
    words = {"cancel": ["order_id"]}.get(action, ["side", "price", "size", "kind"])
    for module in (_kernels, reference):
        engine = module.ReplayEngine(*list(replay_arguments())[:11])
        assert engine.advance()
        with pytest.raises(error) as raised:
            getattr(engine, action)(*arguments)
        assert str(raised.value).split()[0] in words


def test_value_that_does_not_fit_is_refused_alike():
    huge = 2**52
    events = market_events([0, 9, 9], [0, 0, 0], [huge, huge, 1], [0, 1, 1], [1, 1, 1], [1, -1, 1])
    events["size"][1] = huge
    for module in (_kernels, reference):
        engine = module.ReplayEngine(*list(replay_arguments(events=events, interval_ns=1))[:11])
        while engine.time_ns < 111:
            assert engine.advance()
        engine.submit(1, 0, huge, 3)
        with pytest.raises(ValueError, match=r"^events must trade less"):
            while engine.advance():
                pass


def test_strided_events_are_read_by_index():
    arguments = list(replay_arguments())
    arguments[0] = np.repeat(arguments[0], 2)[::2]
    assert_same("replay", *arguments)


# Hawkes: sums in another order, so that the last digits differ.

HAWKES_TYPES = [1, 2, 3, 9]


def hawkes_model(d, terms, seed, baseline=1.0):
    """Parameters with 0.6 children of each event, one baseline and some adjacency zero."""
    rng = np.random.default_rng(seed)
    mu = baseline * rng.uniform(0.2, 1, d) / d
    alpha = rng.uniform(0.1, 1, (terms, d, d))
    alpha *= 0.6 / alpha.sum(axis=(0, 1)) if terms else 1
    if d > 1:
        mu[0] = alpha[:, -1, 0] = 0
    return mu, alpha, rng.uniform(0.3, 3, terms) * 4.0 ** np.arange(terms)


def hawkes_events(n, d, seed, kind, marked):
    """Ordinary times, dense bursts, long silences, or the silences with bursts between."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1, n) + 1e-9
    if kind == "dense":
        gaps *= 1e-4
    if kind == "silent":
        gaps *= 300
    if kind == "mixed":
        gaps *= 10.0 ** rng.choice([-4, -1, 0, 2, 5], n, p=[0.5, 0.3, 0.14, 0.05, 0.01])
    types = rng.integers(0, d, n)
    types[:1] = d - 1  # whose baseline is positive
    marks = rng.exponential(1, n) * (rng.random(n) < 0.9) if marked else None
    return gaps.cumsum(), types, marks


def assert_near(ours, theirs, rtol, scale=None):
    """Within `rtol` of the reference, or of `scale` where terms cancel."""
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.flags.c_contiguous and ours.flags.writeable
    np.testing.assert_allclose(ours, theirs, rtol, rtol * scale if scale is not None else 0)


def assert_same_likelihood(events, horizon, model):
    ours, theirs = both("hawkes_likelihood", *events, horizon, *model)
    # What is added and taken away: events, and their effects.
    marks = 0 if events[2] is None else events[2].sum()
    scale = len(events[0]) + model[0].sum() * horizon + marks * (1 + model[1].sum())
    assert ours[0] == pytest.approx(theirs[0], rel=1e-10, abs=1e-12 * scale)
    assert_near(ours[1], theirs[1], 1e-10, 1e-2 * horizon)
    for a, b in zip(ours[2:], theirs[2:], strict=True):
        assert_near(a, b, 1e-10, 1e-2 * (scale + np.abs(b).max(initial=0)))


@pytest.mark.parametrize("d", HAWKES_TYPES)
@pytest.mark.parametrize("terms", [0, 1, 3])
@pytest.mark.parametrize("kind", ["ordinary", "dense", "silent", "mixed"])
@pytest.mark.parametrize("marked", [False, True])
def test_hawkes_likelihoods_are_the_same(d, terms, kind, marked):
    for seed, n in enumerate([0, 1, 2, 40, 2000]):
        model = hawkes_model(d, terms, seed)
        times, types, marks = hawkes_events(n, d, seed, kind, marked)
        if d > 1 and not (terms and kind == "dense"):
            types[types == 0] = 1  # type 0 lives on the others alone, whose effect may be gone
        horizon = times[-1] * 1.001 if n else 2.0
        assert_same_likelihood((times, types, marks), horizon, model)


@settings(max_examples=150)
@given(
    st.integers(1, 5),
    st.integers(1, 2),
    st.integers(0, 2**32),
    st.integers(0, 700),
    st.sampled_from(["ordinary", "dense", "silent", "mixed"]),
    st.booleans(),
    st.floats(1e-3, 1e3),
)
def test_random_hawkes_likelihoods_are_the_same(d, terms, seed, n, kind, marked, unit):
    mu, alpha, beta = hawkes_model(d, terms, seed)
    times, types, marks = hawkes_events(n, d, seed, kind, marked)
    model = (mu + 0.01) / unit, alpha, beta / unit
    times = times * unit
    horizon = times[-1] if n else unit
    assert_same_likelihood((times, types, marks), float(horizon), model)


@pytest.mark.parametrize(("d", "at"), [(1, 0), (2, 0), (2, 700), (9, 0), (9, 700)])
@pytest.mark.parametrize("terms", [0, 1, 2])
def test_impossible_hawkes_events_are_the_same(d, at, terms):
    """An event at which nothing can come: the first, or one after all has faded."""
    mu, alpha, beta = hawkes_model(d, terms, 1)
    mu[0] = 0
    times, types = np.arange(1, 901.0), np.full(900, d - 1)
    times[at:] += 1e6
    types[at] = 0
    ours, theirs = both("hawkes_likelihood", times, types, None, 2e6, mu, alpha, beta)
    assert ours[0] == -math.inf
    np.testing.assert_equal(ours, theirs)


@pytest.mark.parametrize("d", HAWKES_TYPES)
@pytest.mark.parametrize("terms", [0, 1, 3])
@pytest.mark.parametrize("kind", ["ordinary", "dense", "silent", "mixed"])
def test_hawkes_paths_are_the_same(d, terms, kind):
    for seed, n in enumerate([0, 1, 500]):
        events = hawkes_events(n, d, seed, kind, marked=seed == 2)
        rng = np.random.default_rng(seed)
        last = events[0][-1] if n else 1.0
        at = np.sort(np.concatenate([rng.uniform(0, 1.1 * last, 50), events[0][::3], [0, last]]))
        for points in (at, at[:0], at[:1]):
            ours, theirs = both("hawkes_path", *events, *hawkes_model(d, terms, seed), points)
            for a, b in zip(ours, theirs, strict=True):
                assert_near(a, b, 1e-11, 1e-3)


def assert_same_simulation(*arguments):
    ours, theirs = both("hawkes_simulate", *arguments)
    for column in (1, 2, 3):
        np.testing.assert_array_equal(ours[column], theirs[column])
        assert ours[column].dtype == theirs[column].dtype
    assert_near(ours[0], theirs[0], 1e-12, arguments[2])
    return ours


@pytest.mark.parametrize("d", HAWKES_TYPES)
@pytest.mark.parametrize(("terms", "thinning"), [(0, True), (1, False), (1, True), (3, False)])
@pytest.mark.parametrize("marks", [None, np.array([0.0, 0.5, 2.5])])
def test_hawkes_simulations_are_the_same(d, terms, thinning, marks):
    for seed, paths, horizon in [(0, 1, 800.0), (2**64 - 1, 70, 5.0), (7, 3, 1e-9)]:
        model = hawkes_model(d, terms, seed % 5)
        found = assert_same_simulation(seed, paths, horizon, *model, marks, thinning, 10_000)
        assert found[3].sum() > 0 or horizon < 1


@settings(max_examples=100)
@given(
    st.integers(1, 4),
    st.integers(1, 2),
    st.booleans(),
    st.integers(0, 2**64 - 1),
    st.integers(1, 9),
    st.floats(0.01, 30.0),
    st.floats(1e-3, 1e3),
    st.booleans(),
)
def test_random_hawkes_simulations_are_the_same(
    d, terms, thinning, seed, paths, horizon, unit, baseline
):
    mu, alpha, beta = hawkes_model(d, terms, seed, baseline=float(baseline))
    model = mu / unit, alpha, beta / unit
    marks = np.array([0.0, 0.4, 2.0])
    assert_same_simulation(seed, paths, horizon * unit, *model, marks, thinning, 10**6)


def test_hawkes_paths_that_explode_are_refused_alike():
    model = np.array([1.0]), np.array([[[3.0]]]), np.array([2.0])
    for thinning in (False, True):
        for most in (1, 255, 256, 257, 3000):
            ours, theirs = both("hawkes_simulate", 1, 2, 100.0, *model, None, thinning, most)
            assert type(ours) is type(theirs) is ValueError
            assert str(ours) == str(theirs)
            assert str(ours).startswith("horizon must give at most")


def test_as_many_hawkes_events_as_allowed_are_given():
    model = np.array([1.0, 0.5]), np.full((1, 2, 2), 0.2), np.array([2.0])
    counts = _kernels.hawkes_simulate(3, 5, 200.0, *model, None, False, 10**6)[3]
    most = int(counts.max())
    both_counts = [
        module.hawkes_simulate(3, 5, 200.0, *model, None, False, most)[3]
        for module in (_kernels, reference)
    ]
    np.testing.assert_array_equal(*both_counts)
    for raised in both("hawkes_simulate", 3, 5, 200.0, *model, None, False, most - 1):
        assert isinstance(raised, ValueError)


HAWKES = {
    "times": np.array([0.0, 1.0, 2.0]),
    "types": np.array([0, 1, 1]),
    "marks": np.ones(3),
    "horizon": 2.0,
    "baseline": np.ones(2),
    "adjacency": np.full((2, 2, 2), 0.1),
    "decay": np.array([1.0, 2.0]),
    "at": np.array([0.0, 1.0, 1.0]),
    "seed": 1,
    "n_paths": 2,
    "thinning": False,
    "most": 1000,
}
HAWKES_KERNELS = {
    "hawkes_likelihood": ["times", "types", "marks", "horizon", "baseline", "adjacency", "decay"],
    "hawkes_path": ["times", "types", "marks", "baseline", "adjacency", "decay", "at"],
    "hawkes_simulate": [
        *("seed", "n_paths", "horizon", "baseline", "adjacency", "decay"),
        *("marks", "thinning", "most"),
    ],
}


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("times", [0.0, 1.0, 2.0], TypeError),
        ("times", np.array([0, 1, 2]), TypeError),
        ("times", np.array([[0.0]]), ValueError),
        ("times", np.array([-1e-5, 1, 2]), ValueError),
        ("times", np.array([0.0, 1.0, 1.0]), ValueError),
        ("times", np.array([0.0, 0.0, 1.0]), ValueError),
        ("times", np.array([0.0, np.nan, 2.0]), ValueError),
        ("times", np.array([0.0, 1.0, np.inf]), ValueError),
        ("types", np.array([0, 1]), ValueError),
        ("types", np.array([0.0, 1.0, 1.0]), TypeError),
        ("types", np.array([0, 1, 2]), ValueError),
        ("types", np.array([0, -1, 2]), ValueError),
        ("marks", np.ones((3, 1)), ValueError),
        ("marks", np.array([1.0, -1e16, 1.0]), ValueError),
        ("marks", np.array([1.0, 1.0, np.inf]), ValueError),
        ("marks", np.array([1, 1, 1]), TypeError),
        ("marks", 1.0, TypeError),
        ("horizon", 0.0, ValueError),
        ("horizon", -1e-7, ValueError),
        ("horizon", math.nan, ValueError),
        ("horizon", math.inf, ValueError),
        ("horizon", "2", TypeError),
        ("horizon", None, TypeError),
        ("baseline", np.empty(0), ValueError),
        ("baseline", np.array([1.0, -1.0]), ValueError),
        ("baseline", np.array([np.nan, 1.0]), ValueError),
        ("baseline", np.ones((2, 2)), ValueError),
        ("baseline", np.ones(2, np.float32), TypeError),
        ("baseline", None, TypeError),
        ("adjacency", np.ones((2, 2)), ValueError),
        ("adjacency", np.ones((1, 2, 2)), ValueError),
        ("adjacency", np.ones((2, 2, 3)), ValueError),
        ("adjacency", -np.arange(8.0).reshape(2, 2, 2), ValueError),
        ("adjacency", np.where(np.arange(8).reshape(2, 2, 2) > 5, np.inf, 0), ValueError),
        ("adjacency", [[[1.0]]], TypeError),
        ("decay", np.array([1.0, 0.0]), ValueError),
        ("decay", np.array([np.inf, 1.0]), ValueError),
        ("decay", np.array(1.0), ValueError),
        ("decay", (1.0, 2.0), TypeError),
        ("at", np.array([-1.0]), ValueError),
        ("at", np.array([0.0, 2.0, 1.0]), ValueError),
        ("at", np.array([0.0, np.nan]), ValueError),
        ("at", np.array([0.0, np.inf]), ValueError),
        ("at", np.zeros((1, 1)), ValueError),
        ("at", [0.0], TypeError),
        ("seed", -1, ValueError),
        ("seed", 2**64, ValueError),
        ("seed", 1.0, TypeError),
        ("n_paths", 0, ValueError),
        ("n_paths", True, TypeError),
        ("n_paths", 1.0, TypeError),
        ("thinning", 1, TypeError),
        ("thinning", None, TypeError),
        ("most", 0, ValueError),
        ("most", "1", TypeError),
    ],
)
def test_bad_hawkes_arguments_are_refused_in_the_same_words(name, value, error):
    kernels = [kernel for kernel, names in HAWKES_KERNELS.items() if name in names]
    for kernel in kernels:
        if kernel == "hawkes_simulate" and name == "marks" and np.shape(value) == (3, 1):
            value = np.ones((1, 1))
        arguments = [(HAWKES | {name: value})[each] for each in HAWKES_KERNELS[kernel]]
        ours, theirs = both(kernel, *arguments)
        assert type(ours) is type(theirs) is error, (ours, theirs)
        assert str(ours) == str(theirs)
        assert str(ours).startswith(name)


def test_hawkes_horizon_and_marks_are_asked_for_alike():
    for change in ({"horizon": 1.5}, {"horizon": 1e-5}):
        arguments = [(HAWKES | change)[each] for each in HAWKES_KERNELS["hawkes_likelihood"]]
        ours, theirs = both("hawkes_likelihood", *arguments)
        assert str(ours) == str(theirs)
        assert str(ours).startswith("horizon must not be before the last time")
    arguments = [
        (HAWKES | {"marks": np.empty(0)})[each] for each in HAWKES_KERNELS["hawkes_simulate"]
    ]
    ours, theirs = both("hawkes_simulate", *arguments)
    assert str(ours) == str(theirs) == "marks must have at least one value"


def test_strided_hawkes_arrays_are_read_by_index():
    stretched = {
        name: np.repeat(value, 2, axis=-1)[..., ::2] if isinstance(value, np.ndarray) else value
        for name, value in HAWKES.items()
    }
    for kernel, names in HAWKES_KERNELS.items():
        plain, strided = (
            getattr(_kernels, kernel)(*(values[name] for name in names))
            for values in (HAWKES, stretched)
        )
        np.testing.assert_equal(plain, strided)


@pytest.mark.parametrize("thinning", [False, True])
def test_hawkes_paths_do_not_depend_on_how_many_there_are(thinning):
    model = hawkes_model(3, 1, 1)
    few, many = (
        _kernels.hawkes_simulate(5, n, 50.0, *model, None, thinning, 10_000) for n in (3, 200)
    )
    np.testing.assert_array_equal(many[3][:3], few[3])
    for a, b in zip(many[:3], few[:3], strict=True):
        np.testing.assert_array_equal(a[: len(b)], b)


# Signatures: the same sums in another order, or of pieces, so that the last digits differ.


def signature_paths(b, n, d, dtype, seed=0):
    """Paths whose signatures neither grow nor fade with the number of points."""
    steps = np.random.default_rng(seed).normal(size=(b, n, d)) / math.sqrt(n * d)
    return steps.cumsum(axis=1).astype(dtype)


def assert_same_numbers(name, *arguments):
    ours, theirs = both(name, *arguments)
    assert not isinstance(ours, Exception), ours
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.flags.c_contiguous and ours.flags.writeable
    precision = 1e-12 if ours.dtype == np.float64 else 2e-4
    scale = np.abs(theirs).max(initial=1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=precision * scale)


def assert_same_signatures(paths, depth, seed=0):
    rng = np.random.default_rng(seed)
    _, n, d = paths.shape
    assert_same_numbers("signature", paths, depth, False)
    if n < 100:
        assert_same_numbers("signature", paths, depth, True)
    flat = reference.signature(paths, depth, False)
    assert_same_numbers("signature_logarithm", flat, d, depth)
    weights = rng.normal(size=flat.shape).astype(paths.dtype)
    assert_same_numbers("signature_gradient", paths, depth, weights)
    assert_same_numbers("signature_extend", weights, paths[:, -1].copy(), depth)


SIGNATURE_TYPES = [np.float64, np.float32]


@pytest.mark.parametrize("dtype", SIGNATURE_TYPES)
@pytest.mark.parametrize(
    ("d", "depths"), [(1, 9), (2, 8), (3, 6), (4, 6), (5, 4), (7, 3)], ids=lambda value: f"{value}"
)
def test_signatures_of_all_shapes_are_the_same(d, depths, dtype):
    for depth in range(1, depths + 1):
        for b, n in [(0, 3), (1, 1), (1, 2), (3, 8), (9, 5)]:
            assert_same_signatures(signature_paths(b, n, d, dtype), depth)


@pytest.mark.parametrize("dtype", SIGNATURE_TYPES)
@pytest.mark.parametrize("n", [511, 512, 1024, 1025, 1026, 1700])
def test_signatures_of_long_paths_are_the_same(n, dtype):
    """Those of 1025 points and more are cut into pieces."""
    for d, depth in [(2, 4), (3, 2)]:
        assert_same_signatures(signature_paths(5, n, d, dtype), depth)


@settings(max_examples=60)
@given(
    st.integers(0, 20),
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(SIGNATURE_TYPES),
    st.integers(0, 2**32),
)
def test_random_signatures_are_the_same(b, n, d, depth, dtype, seed):
    assert_same_signatures(signature_paths(b, n, d, dtype, seed), min(depth, 4), seed)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(0, 3),
    st.sampled_from(SIGNATURE_TYPES),
)
def test_signature_kernels_are_the_same(b, c, n, m, d, refinement, dtype):
    left, right = (3 * signature_paths(*s, d, dtype, s[0]) for s in [(b, n), (c, m)])
    assert_same_numbers("signature_gram", left, right, refinement)
    assert_same_numbers("signature_gram", left, None, refinement)
    few = min(b, c)
    pairs = left[:few].copy(), right[:few].copy()
    assert_same_numbers("signature_kernel", *pairs, refinement)


def test_signatures_do_not_depend_on_the_number_of_threads(monkeypatch):
    many, long = signature_paths(300, 200, 3, np.float64), signature_paths(2, 40_000, 3, np.float64)
    weights = np.random.default_rng(0).normal(size=(300, 121))
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("RAYON_NUM_THREADS", threads)
        flat = _kernels.signature(many, 4, False)
        found.append(
            [
                flat,
                _kernels.signature(long, 4, False),
                _kernels.signature_gradient(many, 4, weights),
                _kernels.signature_gradient(long, 4, weights[:2]),
                _kernels.signature_gram(many[:40], None, 0),
                _kernels.signature_extend(np.repeat(flat, 120, 0), np.ones((36_000, 3)), 4),
                _kernels.signature_logarithm(np.repeat(flat, 30, 0), 3, 4),
            ]
        )
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


SIGNATURE = {
    "paths": np.zeros((2, 3, 2)),
    "depth": 2,
    "prefixes": False,
    "weights": np.zeros((2, 7)),
    "signatures": np.eye(1, 7).repeat(2, axis=0),
    "increments": np.zeros((2, 2)),
    "dim": 2,
    "left": np.zeros((2, 3, 2)),
    "right": np.zeros((2, 4, 2)),
    "refinement": 1,
}
SIGNATURE_KERNELS = {
    "signature": ["paths", "depth", "prefixes"],
    "signature_extend": ["signatures", "increments", "depth"],
    "signature_gradient": ["paths", "depth", "weights"],
    "signature_gram": ["left", "right", "refinement"],
    "signature_kernel": ["left", "right", "refinement"],
    "signature_logarithm": ["signatures", "dim", "depth"],
}


def with_value(array, place, value):
    changed = array.copy()
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("paths", [[[0.0]]], TypeError),
        ("paths", np.zeros((1, 2, 3), int), TypeError),
        ("paths", np.zeros((2, 3)), ValueError),
        ("paths", np.zeros((2, 0, 2)), ValueError),
        ("paths", np.zeros((2, 3, 0)), ValueError),
        ("paths", with_value(SIGNATURE["paths"], (1, 2, 0), np.nan), ValueError),
        ("paths", np.full((2, 3, 2), -np.inf, np.float32), ValueError),
        ("depth", 0, ValueError),
        ("depth", 28, ValueError),
        ("depth", 2.0, TypeError),
        ("depth", True, TypeError),
        ("prefixes", 1, TypeError),
        ("prefixes", None, TypeError),
        ("weights", np.zeros((2, 6)), ValueError),
        ("weights", np.zeros((3, 7)), ValueError),
        ("weights", np.zeros(7), ValueError),
        ("weights", np.zeros((2, 7), np.float32), TypeError),
        ("weights", with_value(SIGNATURE["weights"], (0, 6), np.inf), ValueError),
        ("signatures", np.zeros((2, 6)), ValueError),
        ("signatures", np.zeros(7), ValueError),
        ("signatures", None, TypeError),
        ("signatures", with_value(SIGNATURE["signatures"], (1, 3), np.nan), ValueError),
        ("increments", np.zeros((2, 0)), ValueError),
        ("increments", np.zeros(2), ValueError),
        ("increments", np.zeros((2, 2), bool), TypeError),
        ("increments", with_value(SIGNATURE["increments"], (1, 1), np.inf), ValueError),
        ("dim", 0, ValueError),
        ("dim", "2", TypeError),
        ("left", np.zeros((2, 3, 0)), ValueError),
        ("left", with_value(SIGNATURE["left"], (0, 0, 1), np.nan), ValueError),
        ("right", np.zeros((2, 4, 3)), ValueError),
        ("right", np.zeros((2, 4, 2), np.float32), TypeError),
        ("right", np.zeros((2, 4)), ValueError),
        ("right", with_value(SIGNATURE["right"], (1, 3, 1), np.inf), ValueError),
        ("refinement", -1, ValueError),
        ("refinement", 17, ValueError),
        ("refinement", 0.5, TypeError),
    ],
)
def test_bad_signature_arguments_are_refused_in_the_same_words(name, value, error):
    for kernel in (kernel for kernel, names in SIGNATURE_KERNELS.items() if name in names):
        arguments = [(SIGNATURE | {name: value})[each] for each in SIGNATURE_KERNELS[kernel]]
        ours, theirs = both(kernel, *arguments)
        assert type(ours) is type(theirs) is error, (ours, theirs)
        assert str(ours) == str(theirs)
        assert str(ours).startswith(name)


def test_signature_arguments_that_do_not_fit_are_refused_in_the_same_words():
    for kernel, changes in [
        ("signature_kernel", {"right": np.zeros((3, 4, 2))}),
        ("signature_kernel", {"right": None}),
        ("signature_extend", {"increments": np.zeros((3, 2))}),
        ("signature_logarithm", {"signatures": with_value(SIGNATURE["signatures"], (1, 0), 0.5)}),
        ("signature", {"paths": np.zeros((1, 2**15, 2)), "depth": 13, "prefixes": True}),
    ]:
        arguments = [(SIGNATURE | changes)[each] for each in SIGNATURE_KERNELS[kernel]]
        ours, theirs = both(kernel, *arguments)
        assert type(ours) is type(theirs)
        assert isinstance(ours, ValueError | TypeError)
        assert str(ours) == str(theirs)


def test_strided_signature_arrays_are_read_by_index():
    rng = np.random.default_rng(1)
    filled = {
        name: rng.normal(size=value.shape) if isinstance(value, np.ndarray) else value
        for name, value in SIGNATURE.items()
    }
    filled["signatures"][:, 0] = 1
    stretched = {
        name: np.repeat(value, 2, axis=-1)[..., ::2] if isinstance(value, np.ndarray) else value
        for name, value in filled.items()
    }
    for kernel, names in SIGNATURE_KERNELS.items():
        plain, strided = (
            getattr(_kernels, kernel)(*(values[name] for name in names))
            for values in (filled, stretched)
        )
        np.testing.assert_array_equal(plain, strided)


# Optimal stopping

METHODS = ("davies_harte", "cholesky")


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 150),
    st.one_of(st.floats(0.01, 0.99), st.just(0.5), st.just(1.0)),
    st.integers(0, 2**64 - 1),
)
@example(3, 1000, 0.05, 1)
@example(3, 1000, 0.95, 1)
@example(2, 997, 0.3, 1)
def test_fractional_brownian_motion_is_the_same(method, n_paths, n_steps, hurst, seed):
    ours, theirs = both("fractional_brownian_motion", n_paths, n_steps, hurst, seed, method)
    assert ours.shape == theirs.shape == (n_paths, n_steps + 1)
    assert ours.flags.c_contiguous and ours.flags.writeable
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * abs(theirs).max())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_steps", [1, 10, 101])
def test_fractional_paths_do_not_depend_on_how_many_there_are(method, n_steps):
    def paths(count):
        return _kernels.fractional_brownian_motion(count, n_steps, 0.3, 7, method)

    many = paths(3000)
    for count in (1, 2, 3, 63, 64, 65, 129, 2999):
        np.testing.assert_array_equal(paths(count), many[:count])


def regressors(shape, seed, positive_share=0.5):
    """Features and rewards of n dates and b paths; one of the features is 1."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=shape)
    features[..., -1] = 1
    rewards = rng.normal(size=shape[:2]) + features[..., 0]
    return features, np.where(rng.uniform(size=shape[:2]) < positive_share, abs(rewards), 0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 600),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from([0.1, 0.5, 1.0]),
    st.integers(0, 2**32),
)
@example(3, 128, 2, True, 1.0, 0)
@example(3, 9001, 12, False, 0.5, 0)
@example(3, 9001, 12, True, 0.5, 0)
def test_policies_are_the_same(n, b, k, positive, share, seed):
    features, rewards = regressors((n, b, k), seed, share)
    (ours, stops), (theirs, where) = both("backward_regression", features, rewards, positive)
    assert (ours.dtype, stops.dtype) == (theirs.dtype, where.dtype)
    counts = ((rewards > 0) if positive else np.ones_like(rewards, bool)).sum(axis=1)
    if (counts[:-1] > 3 * k).all():
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(stops, where)
    else:
        # As many regressors as rows: fitted and given rewards may be the same up to rounding.
        assert ours.shape == theirs.shape and stops.shape == where.shape
    others = regressors((n, b, k), seed + 1, share)
    applied = both("apply_policy", *others, theirs, positive)
    np.testing.assert_array_equal(*applied)
    assert applied[0].dtype == applied[1].dtype == np.int64


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 12), st.integers(0, 7), st.integers(0, 2**32))
@example(9001, 5, 2, 0)
def test_regression_is_the_same(extra, k, m, seed):
    rng = np.random.default_rng(seed)
    features, targets = rng.normal(size=(3 * k + extra, k)), rng.normal(size=(3 * k + extra, m))
    features[:, 0] = 1
    features[:, k // 2] = 2 * features[:, 0] - features[:, k - 1]
    ours, theirs = both("regression", features, targets)
    assert ours.shape == theirs.shape == (k, m)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(ours == 0, theirs == 0)


STOPPING = {
    "n_paths": 3,
    "n_steps": 5,
    "hurst": 0.3,
    "seed": 1,
    "method": "cholesky",
    "features": np.ones((3, 4, 2)),
    "rewards": np.ones((3, 4)),
    "positive": True,
    "coefficients": np.ones((3, 2)),
}
STOPPING_KERNELS = {
    "fractional_brownian_motion": ["n_paths", "n_steps", "hurst", "seed", "method"],
    "backward_regression": ["features", "rewards", "positive"],
    "apply_policy": ["features", "rewards", "coefficients", "positive"],
}


def holding(shape, place, value):
    """An array of ones but for one value."""
    values = np.ones(shape)
    values[place] = value
    return values


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n_paths", 0, ValueError),
        ("n_paths", 2**28, ValueError),
        ("n_paths", True, TypeError),
        ("n_paths", 1.0, TypeError),
        ("n_steps", 0, ValueError),
        ("n_steps", 4097, ValueError),
        ("n_steps", "5", TypeError),
        ("hurst", 0.0, ValueError),
        ("hurst", -1e-7, ValueError),
        ("hurst", 0.9999999, ValueError),
        ("hurst", 1.5, ValueError),
        ("hurst", math.nan, ValueError),
        ("hurst", math.inf, ValueError),
        ("hurst", None, TypeError),
        ("seed", -1, ValueError),
        ("seed", 2**64, ValueError),
        ("seed", 0.5, TypeError),
        ("method", "it's \u00e9", ValueError),
        ("method", "", ValueError),
        ("method", None, TypeError),
        ("method", b"cholesky", TypeError),
        ("features", [[[1.0]]], TypeError),
        ("features", np.ones((3, 4, 2), np.float32), TypeError),
        ("features", np.ones((3, 4)), ValueError),
        ("features", np.ones((0, 4, 2)), ValueError),
        ("features", np.ones((3, 0, 2)), ValueError),
        ("features", np.ones((3, 4, 0)), ValueError),
        ("features", holding((3, 4, 2), (0, 3, 1), np.nan), ValueError),
        ("features", holding((3, 4, 2), (1, 0, 0), -np.inf), ValueError),
        ("features", holding((3, 4, 2), (2, 2, 1), 1.5e100), ValueError),
        ("rewards", np.ones((4, 3)), ValueError),
        ("rewards", np.ones(3), ValueError),
        ("rewards", np.ones((3, 4), int), TypeError),
        ("rewards", holding((3, 4), (2, 3), np.inf), ValueError),
        ("rewards", holding((3, 4), (0, 1), -2e100), ValueError),
        ("positive", 1, TypeError),
        ("positive", None, TypeError),
        ("coefficients", np.ones((2, 2)), ValueError),
        ("coefficients", holding((3, 2), (1, 1), np.nan), ValueError),
        ("coefficients", None, TypeError),
    ],
)
def test_bad_stopping_arguments_are_refused_in_the_same_words(name, value, error):
    for kernel, names in STOPPING_KERNELS.items():
        if name not in names:
            continue
        changed = STOPPING | {name: value}
        if name == "features" and np.ndim(value) == 3 and np.size(value) == 0:
            n, b, k = np.shape(value)
            changed |= {"rewards": np.ones((n, b)), "coefficients": np.ones((n, k))}
        ours, theirs = both(kernel, *(changed[each] for each in names))
        assert type(ours) is type(theirs) is error, (ours, theirs)
        assert str(ours) == str(theirs)
        assert str(ours).startswith(name)


@pytest.mark.parametrize(
    ("features", "targets", "error"),
    [
        (np.ones((4, 2)), np.ones((3, 1)), "targets must have shape (4, m), got (3, 1)"),
        (np.ones((4, 2)), np.ones(4), "targets must have shape (4, m), got (4,)"),
        (np.ones((0, 2)), np.ones((0, 1)), "features must not be empty, got the shape (0, 2)"),
        (np.ones(4), np.ones((4, 1)), "features must have shape (b, k), got (4,)"),
        (holding((4, 2), (3, 0), np.nan), np.ones((4, 1)), "features[3, 0] must be finite"),
        (np.ones((4, 2)), holding((4, 2), (1, 1), 1e101), "targets[1, 1] must be finite"),
    ],
)
def test_bad_regressions_are_refused_in_the_same_words(features, targets, error):
    ours, theirs = both("regression", features, targets)
    assert type(ours) is type(theirs) is ValueError
    assert str(ours) == str(theirs)
    assert str(ours).startswith(error)


def test_bad_features_are_found_wherever_they_are():
    rng = np.random.default_rng(0)
    for place in [(0, 0, 0), (0, 5000, 2), (1, 127, 1), (2, 4096, 0), (2, 8999, 2)]:
        features = rng.normal(size=(3, 9000, 3))
        features[place] = np.nan
        features[2, 8999, 2] = np.inf
        rewards = rng.normal(size=(3, 9000))
        for kernel in ("backward_regression", "apply_policy"):
            more = () if kernel == "backward_regression" else (np.zeros((3, 3)),)
            ours, theirs = both(kernel, features, rewards, *more, True)
            assert str(ours) == str(theirs)
            assert str(ours).startswith("features[" + ", ".join(map(str, place)) + "]")


def test_strided_stopping_arrays_are_read_by_index():
    features, rewards = regressors((4, 50, 3), 1)
    wide = np.repeat(features, 2, axis=-1)[..., ::2], rewards.T.copy().T
    for positive in (False, True):
        plain = _kernels.backward_regression(features, rewards, positive)
        np.testing.assert_equal(plain, _kernels.backward_regression(*wide, positive))
        coefficients = np.asfortranarray(plain[0])
        stops = _kernels.apply_policy(*wide, coefficients, np.bool_(positive))
        np.testing.assert_array_equal(stops, plain[1])
    plain, strided = (_kernels.regression(x[0], x[1]) for x in (features, wide[0]))
    np.testing.assert_array_equal(plain, strided)
