"""Market making: published tables, closed forms, differential equations and simulation."""

import math

import numpy as np
import pytest

from labkit.reference import _philox as philox

# The generator


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (5, 7), (2**64 - 1, 2**63 + 1)])
def test_streams_are_those_of_numpy(seed, stream):
    theirs = np.random.Philox(key=np.array([seed, stream], np.uint64), counter=0).random_raw(41)
    np.testing.assert_array_equal(philox.raw(seed, stream, 0, 41), theirs)
    np.testing.assert_array_equal(philox.raw(seed, stream, 6, 11), theirs[6:17])
    np.testing.assert_array_equal(philox.blocks(seed, stream, 9), theirs[36:40])


def test_many_streams_are_made_at_once():
    words = philox.raw(3, np.arange(6).reshape(2, 3), 5, 9)
    assert words.shape == (2, 3, 9)
    for stream in range(6):
        np.testing.assert_array_equal(words[divmod(stream, 3)], philox.raw(3, stream, 5, 9))


def test_numbers_of_words_are_uniform_and_exponential():
    assert philox.uniform(2**64 - 1) == 1 - 2.0**-53
    assert philox.exponential(0) == 0
    assert philox.exponential(2**64 - 1) == pytest.approx(53 * math.log(2), rel=1e-14)
    uniform = philox.uniform(philox.raw(1, 2, 0, 20_000))
    # The same double as numpy's generator makes of the word.
    theirs = np.random.Generator(np.random.Philox(key=[1, 2], counter=0)).random(20_000)
    np.testing.assert_array_equal(uniform, theirs)


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (2**64, ValueError), (1.0, TypeError), ("1", TypeError)]
)
def test_a_seed_that_no_word_holds_is_refused(value, error):
    with pytest.raises(error, match="seed must be"):
        philox.seed("seed", value)
