import numpy as np
import pandas as pd
import pytest

from labkit import plots

WORDS = {"x": "time, s", "y": "edge, bp", "caption": "The edge.", "alt": "A falling curve."}
TABLE = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=[0.0, 1.0])


@pytest.mark.parametrize(
    "fig",
    [
        plots.lines(TABLE, **WORDS, band={"a": ([0.5, 1.5], [1.5, 2.5])}, level=(0.0, "zero")),
        plots.steps(TABLE["a"], **WORDS),
        plots.points({"a": TABLE["a"], "b": TABLE["b"]}, **WORDS),
        plots.bars(TABLE, **WORDS),
    ],
)
def test_each_kind_of_figure_keeps_its_data_and_words(fig):
    shown = [trace for trace in fig.data if trace.name == "a"]
    np.testing.assert_array_equal(shown[0].y, TABLE["a"])
    assert fig.layout.meta == {"caption": "The edge.", "alt": "A falling curve."}
    assert fig.layout.xaxis.title.text == "time, s"
    assert fig.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_series_differ_by_more_than_colour():
    fig = plots.lines(TABLE, **WORDS)
    assert fig.data[0].line.dash != fig.data[1].line.dash


def test_one_series_needs_no_legend():
    assert not plots.lines(TABLE["a"], **WORDS).layout.showlegend
    assert plots.lines(TABLE, **WORDS).layout.showlegend


def test_a_cycle_is_drawn_with_one_arrow_for_each_rate():
    rates = pd.DataFrame([[1, 2, 0.0], [0.5, 1, 3], [4, 0, 1]], list("abc"), list("abc"))
    fig = plots.cycle_graph(rates, ["a", "b", "c"], caption="c", alt="a")
    arrows = [a for a in fig.layout.annotations if a.showarrow]
    assert len(arrows) == 3
    assert [a.text for a in fig.layout.annotations if a.text] == ["2", "3", "4"]
    with pytest.raises(ValueError, match="cycle must have at least two labels"):
        plots.cycle_graph(rates, ["a"], caption="c", alt="a")
    with pytest.raises(ValueError, match="cycle: z not in rates"):
        plots.cycle_graph(rates, ["a", "z"], caption="c", alt="a")


@pytest.mark.parametrize("word", ["caption", "alt"])
def test_a_figure_without_caption_or_alternative_text_is_refused(word):
    with pytest.raises(ValueError, match=word):
        plots.lines(TABLE, **WORDS | {word: " "})


def test_empty_data_are_refused():
    with pytest.raises(ValueError, match="data must be a table"):
        plots.lines(TABLE.iloc[:0], **WORDS)
    with pytest.raises(ValueError, match="data must be a table"):
        plots.bars([1, 2], **WORDS)
    with pytest.raises(ValueError, match="series"):
        plots.points({}, **WORDS)
