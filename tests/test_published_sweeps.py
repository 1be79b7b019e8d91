"""The sweeps that the book draws: stated in files, run as stated, drawn by every chapter."""

import importlib.util
import json
import math
import re

import nbformat
import pandas as pd
import pytest

from labkit import data, experiments
from labkit._paths import project_root

ROOT = project_root()
FILES = sorted((ROOT / "notebooks" / "sweeps").glob("*.yml"))
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_sweep = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def stated_plan(file):
    stated = experiments.read_sweep(file)
    given = {"zip_": stated.zip, "sample": stated.sample, "fixed": stated.fixed}
    return stated, experiments.plan(stated.chapter, stated.grid, **given)


def book_tool():
    spec = importlib.util.spec_from_file_location("book_tool", ROOT / "tools" / "book.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each_sweep
def test_a_table_holds_the_points_that_its_file_states(file):
    stated, plan = stated_plan(file)
    table = experiments.published_sweep(file.stem)
    assert table.attrs["chapter"] == stated.chapter
    assert table.attrs["title"] == stated.title != ""
    varied = [f"parameters.{name}" for name in plan.varied]
    wanted = pd.DataFrame([plan.values(point) for point in plan.points])[list(plan.varied)]
    pd.testing.assert_frame_equal(
        table[varied].reset_index(drop=True), wanted.set_axis(varied, axis=1), check_dtype=False
    )
    assert set(stated.results) <= set(table.columns)
    assert table.index.is_unique
    place = ROOT / "book" / "sweeps" / f"{file.stem}.parquet"
    assert place.stat().st_size < 100_000


def test_no_table_is_left_of_a_sweep_that_is_no_more():
    tables = {path.stem for path in (ROOT / "book" / "sweeps").glob("*")}
    assert tables == {path.stem for path in FILES}


@each_chapter
def test_a_chapter_draws_a_sweep_and_gives_its_command(path):
    cells = nbformat.read(path, as_version=4).cells
    drawing = [c.source for c in cells if "sweep" in c.metadata.get("tags", [])]
    names = set(re.findall(r'published_sweep\(\s*"(\w+)"', "\n".join(drawing)))
    assert names
    assert "plots." in "\n".join(drawing)
    others = "\n".join(c.source for c in cells if "sweep" not in c.metadata.get("tags", []))
    assert "published_sweep(" not in others
    for name in names:
        assert experiments.read_sweep(ROOT / "notebooks" / "sweeps" / f"{name}.yml")
        assert f"labkit sweep {name}" in others


@pytest.mark.book
@each_sweep
def test_the_book_s_own_run_is_a_point_of_the_sweep_and_agrees(book, file):
    stated, plan = stated_plan(file)
    tool = book_tool()
    given = tool.chapter_parameters(ROOT / "book" / "chapters.toml", [c.stem for c in CHAPTERS])
    at_hand = (data.catalogue()["place"] != "").to_dict()
    missing = [
        v for v in {**given[stated.chapter], **stated.fixed}.values()
        if isinstance(v, str) and not at_hand.get(v, True)
    ]  # fmt: skip
    if missing:
        pytest.skip(f"{missing[0]} is not at hand (labkit data fetch {missing[0]})")
    run = experiments.run(stated.chapter, given[stated.chapter], out=ROOT / "_build" / "runs")
    assert run.reused
    asked = {**plan.defaults, **stated.fixed, **run.parameters}
    table = experiments.published_sweep(file.stem)
    same = pd.Series(True, index=table.index)
    for name, value in asked.items():
        shown = json.dumps(value) if isinstance(value, list | tuple) else value
        if f"parameters.{name}" in table:
            same &= table[f"parameters.{name}"] == shown
        else:
            assert experiments.parameters(stated.chapter)[name].default == value, name
    assert same.sum() == 1, f"no point of {file.stem} has {asked}"
    row = table[same].iloc[0]
    for name in table.columns.difference([c for c in table if c.startswith("parameters.")]):
        ours, theirs = run.results[name], row[name]
        if isinstance(ours, float) and not isinstance(theirs, str):
            near = math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
            assert near, f"{name}: the book has {ours}, the sweep {theirs}"
        else:
            assert (ours is None and pd.isna(theirs)) or ours == theirs, name
