import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from labkit import experiments
from labkit.errors import DataUnavailable, UnknownParameter
from labkit.experiments import Range, Sample, plan, plan_from_options

PARAMETERS = """
size = 3  # how many
rate = 0.5  # 1/s
name = "x"  # a label
flag = True  # or not
levels = [1, 2]  # of the book
"""


@pytest.fixture
def chapter(tmp_path):
    cell = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    path = tmp_path / "small.ipynb"
    nbformat.write(new_notebook(cells=[cell]), path)
    return path


def values(points):
    return [points.values(point) for point in points.points]


def test_a_grid_is_all_combinations_in_order(chapter):
    points = plan(chapter, {"size": [1, 3], "rate": [0.5, 1]})
    assert values(points) == [
        {"size": 1, "rate": 0.5},
        {"size": 1, "rate": 1.0},
        {"size": 3, "rate": 0.5},
        {"size": 3, "rate": 1.0},
    ]
    assert points.points[2] == {}  # the chapter's defaults: the run that it has anyway
    assert len(plan(chapter, {"size": "0:10:3"})) == 4


def test_columns_that_go_together_are_no_product(chapter):
    points = plan(chapter, {"flag": [True, False]}, zip_={"size": [1, 2], "name": ["a", "b"]})
    assert [(v["flag"], v["size"], v["name"]) for v in values(points)] == [
        (True, 1, "a"),
        (True, 2, "b"),
        (False, 1, "a"),
        (False, 2, "b"),
    ]
    with pytest.raises(ValueError, match="must be of one number, got size 2, name 1"):
        plan(chapter, zip_={"size": [1, 2], "name": ["a"]})


def test_a_value_for_all_points_is_no_dimension(chapter):
    points = plan(chapter, {"size": [1, 2]}, fixed={"rate": 2})
    assert points.varied == ("size",)
    assert [point["rate"] for point in points.points] == [2.0, 2.0]


@pytest.mark.parametrize("method", ["sobol", "random"])
def test_a_sample_of_ranges_is_inside_them_and_repeats_with_its_seed(chapter, method):
    ranges = {"rate": Range(low=0.1, high=10, log=True), "size": Range(low=1, high=4)}
    drawn = Sample(points=64, method=method, seed=5, ranges=ranges)
    points = values(plan(chapter, sample=drawn))
    assert len(points) == 64
    assert {v["size"] for v in points} == {1, 2, 3, 4}
    rates = np.array([v["rate"] for v in points])
    assert ((rates >= 0.1) & (rates < 10)).all()
    assert 20 <= (rates < 1).sum() <= 44  # as many a decade
    assert values(plan(chapter, sample=drawn)) == points
    other = drawn.model_copy(update={"seed": 6})
    assert values(plan(chapter, sample=other)) != points


def test_sobol_points_fill_each_quarter_alike(chapter):
    ranges = {name: Range(low=0, high=1) for name in ("rate",)} | {"size": Range(low=0, high=7)}
    points = values(plan(chapter, sample=Sample(points=64, ranges=ranges)))
    counts = np.histogram2d(
        [v["rate"] for v in points],
        [v["size"] for v in points],
        bins=[4, 4],
        range=[[0, 1], [0, 8]],
    )[0]
    assert (counts == 4).all()


def test_a_sample_of_a_huge_grid_is_drawn_without_building_it(chapter):
    grid = {"size": "0:1000000", "rate": [0.1, 0.2], "levels": [[1], [2], [3]]}
    points = values(plan(chapter, grid, sample=Sample(points=5, seed=1)))
    assert len({repr(point) for point in points}) == 5
    with pytest.raises(ValueError, match="6,000,000 points are more than a million"):
        plan(chapter, grid)
    with pytest.raises(ValueError, match="sample: 5 points of 2 combinations"):
        plan(chapter, {"size": [1, 2]}, sample=Sample(points=5))


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        ({"sise": [1]}, UnknownParameter, "no parameter 'sise' .did you mean 'size'"),
        ({"size": [1, 2.5]}, UnknownParameter, "parameter size must be int .* got float 2.5"),
        ({"size": [1, 1]}, UnknownParameter, "parameter size has the value 1 twice"),
        ({"size": []}, UnknownParameter, "parameter size must have at least one value"),
        ({"size": 4}, UnknownParameter, "parameter size must be a list of values, got 4"),
        ({"size": "1:9:0"}, UnknownParameter, "step of '1:9:0' must not be 0"),
        ({"size": "many"}, UnknownParameter, "list of values or START:STOP"),
        ({}, ValueError, "needs at least one parameter that varies"),
    ],
)
def test_a_wrong_grid_is_refused(chapter, grid, error, message):
    with pytest.raises(error, match=message):
        plan(chapter, grid)


def test_a_parameter_is_given_once(chapter):
    with pytest.raises(ValueError, match="parameter size is varied in two ways"):
        plan(chapter, {"size": [1, 2]}, fixed={"size": 3})
    with pytest.raises(ValueError, match="parameter size is varied in two ways"):
        plan_from_options(chapter, ["size=1,2", "size=4"])


@pytest.mark.parametrize(
    ("low", "high", "log", "message"),
    [(2, 1, False, "low must be below high"), (0, 1, True, "low must be positive")],
)
def test_a_range_has_an_order(low, high, log, message):
    with pytest.raises(ValueError, match=message):
        Range(low=low, high=high, log=log)


def test_only_numbers_have_ranges(chapter):
    drawn = Sample(points=2, ranges={"name": Range(low=0, high=1)})
    with pytest.raises(UnknownParameter, match="parameter name is no number"):
        plan(chapter, sample=drawn)


def test_texts_are_read_by_the_types_of_the_defaults(chapter):
    points = plan_from_options(chapter, ["size=0:3", "name=a,7", "flag=false", "rate=1e-3,2"])
    assert len(points) == 12
    assert values(points)[0] == {"size": 0, "name": "a", "flag": False, "rate": 0.001}
    assert values(points)[-1] == {"size": 2, "name": "7", "flag": False, "rate": 2.0}
    drawn = plan_from_options(
        chapter, ["rate=log:0.1..10", "size=1..3", "name=a,b"], Sample(points=4)
    )
    assert len(drawn) == 8  # a sample for each name
    assert all(0.1 <= v["rate"] < 10 and v["size"] in (1, 2, 3) for v in values(drawn))


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ("size", ValueError, "'size' is not NAME=VALUE"),
        ("size=", ValueError, "'size=' is not NAME=VALUE"),
        ("rate=0.1..2", ValueError, "range of rate needs a number of points"),
        ("size=1,two", UnknownParameter, "parameter size must be int .* got str 'two'"),
        ("typo=1", UnknownParameter, "no parameter 'typo'"),
    ],
)
def test_a_wrong_text_is_refused(chapter, option, error, message):
    with pytest.raises(error, match=message):
        plan_from_options(chapter, [option])


def test_a_file_states_a_sweep(chapter, tmp_path):
    file = tmp_path / "two.yml"
    file.write_text(
        f"chapter: {chapter}\ntitle: Two\nfixed: {{flag: false}}\ngrid: {{size: '0:2'}}\n"
        "sample: {points: 3, ranges: {rate: {low: 0.1, high: 1}}}\nresults: [total]\n"
    )
    prepared = experiments.prepared_sweep(file, out=tmp_path / "runs")
    assert (prepared.name, prepared.title, len(prepared.runs)) == ("two", "Two", 6)
    assert len(prepared.missing) == 6
    with pytest.raises(ValueError, match="grid: the points are given already"):
        experiments.prepared_sweep(file, {"size": [1]}, out=tmp_path / "runs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chapter: [", "bad.yml"),
        ("chapter: x\ngird: {}", "gird"),
        ("grid: {}", "chapter"),
        ("chapter: x\ngrid: {n: [1], n: [2]}", "n is given twice"),
        ("chapter: x\ngrid: {n: [1]}\ngrid: {m: [1]}", "grid is given twice"),
        ("chapter: x\ngrid: {n: 1:50}", "n must be a list, or a text such as '0:100' in quotes"),
        ("chapter: x\nsample: {points: true}", "sample.points: Input should be a valid integer"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, message):
    file = tmp_path / "bad.yml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        experiments.read_sweep(file)


def test_an_array_and_lists_are_values(chapter):
    assert plan(chapter, {"rate": np.linspace(0, 1, 3)}).points[0] == {"rate": 0.0}
    points = plan_from_options(chapter, ["levels=[1,2],[3]"])
    assert [list(one["levels"]) for one in values(points)] == [[1, 2], [3]]
    with pytest.raises(UnknownParameter, match=r"levels must be lists such as \[1,2\],\[3\]"):
        plan_from_options(chapter, ["levels=[1,2],[3"])
    with pytest.raises(UnknownParameter, match="rate must be a list of values, got 5"):
        plan(chapter, {"rate": 5})


@pytest.mark.parametrize("bounds", [(0.5, 2.5), (0.0, 2.0**70)])
def test_a_range_of_whole_numbers_ends_at_whole_numbers(chapter, bounds):
    ranges = {"size": Range(low=bounds[0], high=bounds[1])}
    with pytest.raises(UnknownParameter, match="size is a whole number, its range cannot end at"):
        plan(chapter, sample=Sample(points=4, ranges=ranges))


def test_data_that_are_not_at_hand_are_named_before_anything_runs(
    tmp_path, no_recordings, monkeypatch
):
    grid = {"fee_bps": [1.0], "dataset": ["poloniex_triangle_20220821"]}
    with pytest.raises(DataUnavailable, match="labkit data fetch poloniex"):
        experiments.prepared_sweep("triangular_arbitrage", grid, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
