import functools
import json
import math

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labkit import experiments
from labkit.errors import RunFailed, UnknownParameter

PARAMETERS = """
size = 3  # how many
rate: float = 0.5  # 1/s
name = "x"  # a label
flag = True
grid = [1, 2]
seed = 7  # of the generator
"""
BODY = """
from labkit.experiments import record
record(total=size * rate, label=name, flag=flag, first=grid[0], nothing=float("nan"))
"""


@pytest.fixture
def chapter(tmp_path):
    """Writes a small chapter and returns its path."""

    def write(parameters=PARAMETERS, body=BODY, name="small"):
        notebook = new_notebook(
            cells=[
                new_markdown_cell("# A small chapter", id="head"),
                new_code_cell(parameters, id="given", metadata={"tags": ["parameters"]}),
                new_code_cell(body, id="body"),
            ]
        )
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path

    return write


def test_parameters_come_with_default_and_comment(chapter):
    found = experiments.parameters(chapter())
    assert list(found) == ["size", "rate", "name", "flag", "grid", "seed"]
    assert found["rate"] == experiments.Parameter("rate", 0.5, "1/s")
    assert found["flag"].help == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os", "may only assign literals"),
        ("a = b = 1\nc, d = 1, 2", "may only assign literals"),
        ("a = len('x')", "parameter a is not a plain literal"),
    ],
)
def test_a_parameters_cell_of_anything_but_literals_is_refused(chapter, source, message):
    with pytest.raises(ValueError, match=message):
        experiments.parameters(chapter(parameters=source))


def test_a_chapter_needs_exactly_one_parameters_cell(chapter):
    path = chapter()
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match="has 2 cells tagged 'parameters'"):
        experiments.parameters(path)


def test_an_unknown_chapter_is_refused_and_the_known_ones_named():
    with pytest.raises(ValueError, match=r"no chapter 'nope'; there are .*triangular_arbitrage"):
        experiments.run("nope")


def test_a_run_keeps_notebook_results_and_provenance(chapter, tmp_path):
    path = chapter()
    before = path.read_bytes()
    done = experiments.run(path, {"size": 4}, out=tmp_path / "runs")
    assert done.results == {
        "total": 2.0,
        "label": "x",
        "flag": True,
        "first": 1,
        "nothing": None,
    }
    assert done.path.parent == tmp_path / "runs" / "small"
    assert done.parameters == {"size": 4}
    assert done.provenance["seed"] == 7
    assert done.provenance["status"] == "finished"
    assert done.provenance["versions"]["numpy"] == np.__version__
    assert path.read_bytes() == before
    tags = [c.metadata.get("tags") for c in nbformat.read(done.notebook, as_version=4).cells]
    assert ["injected-parameters"] in tags


def test_the_same_run_is_found_and_a_changed_one_is_not(chapter, tmp_path):
    out = tmp_path / "runs"
    first = experiments.run(chapter(), out=out)
    again = experiments.run(chapter(), size=3, out=out)  # the default, said aloud
    assert again.reused
    assert again.path == first.path
    assert again.results == first.results
    assert not experiments.run(chapter(), out=out, force=True).reused
    changed = experiments.run(chapter(body=BODY + "\nrecord(more=1)"), out=out)
    assert not changed.reused
    assert changed.path != first.path


def test_the_run_id_depends_on_labkit_kernels_data_and_pins(chapter):
    prints = experiments.fingerprints(chapter())
    keys = {"notebook", "labkit", "kernels", "data", "at hand", "pins", "python"}
    assert set(prints) == keys
    assert "none" not in prints.values()
    other = experiments.fingerprints(chapter(body="pass"))
    assert {key for key in keys if other[key] != prints[key]} == {"notebook"}


@pytest.mark.parametrize("changed", ["labkit", "kernels", "data", "at hand", "pins", "python"])
def test_a_run_is_repeated_when_what_it_depends_on_has_changed(
    chapter, tmp_path, monkeypatch, changed
):
    ran = []

    def executed(source, target, **more):
        ran.append(target)
        executed_notebook = nbformat.read(source, as_version=4)
        nbformat.write(executed_notebook, target)
        return executed_notebook

    monkeypatch.setattr("papermill.execute_notebook", executed)
    run = functools.partial(experiments.run, chapter(), out=tmp_path / "runs")
    run()
    run()
    assert len(ran) == 1
    before = experiments.fingerprints
    monkeypatch.setattr(experiments, "fingerprints", lambda path: before(path) | {changed: "new"})
    run()
    assert len(ran) == 2


def test_the_sets_at_hand_are_part_of_the_run(chapter, no_recordings, tmp_path, monkeypatch):
    without = experiments.fingerprints(chapter())["at hand"]
    assert "poloniex" not in without
    assert "simulated_triangle" in without  # part of the project
    assert "danish_money_demand" in without  # inside a package
    place = tmp_path / "mirror" / "poloniex_triangle_20220821"
    place.mkdir(parents=True)
    (place / "POLONIEX.ws.1.0.txt").touch()
    monkeypatch.setenv("LABKIT_DATA_MIRROR", str(tmp_path / "mirror"))
    assert "poloniex" in experiments.fingerprints(chapter())["at hand"]


def test_every_set_that_is_loaded_is_on_record(chapter, tmp_path):
    body = "from labkit import data\nhidden = data.load('simulated_triangle')"
    done = experiments.run(chapter(body=body), out=tmp_path / "runs")
    assert list(done.provenance["datasets"]) == ["simulated_triangle"]


def test_relative_folders_of_data_reach_the_kernel(chapter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_DATA_MIRROR", "mirror")
    body = "import os\nfrom labkit.experiments import record\n"
    body += "record(mirror=os.environ['LABKIT_DATA_MIRROR'])"
    done = experiments.run(chapter(body=body), out=tmp_path / "runs")
    assert done.results["mirror"] == str(tmp_path / "mirror")
    monkeypatch.setenv("LABKIT_DATA_MIRROR", "mirror")  # the command calls these two
    prepared = experiments.prepared_sweep(chapter(body=body), {"size": [1]}, out=tmp_path / "sweep")
    table, _ = experiments.run_sweep(prepared, experiments.Settings())
    assert table["mirror"].to_list() == [str(tmp_path / "mirror")]


def test_a_file_in_the_place_of_the_runs_is_refused(chapter, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"out: .*file is a file, not a folder"):
        experiments.run(chapter(), out=tmp_path / "file")


def test_a_broken_run_is_named(tmp_path):
    folder = tmp_path / "runs" / "small" / "abc"
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_text('{"status": ')
    with pytest.raises(ValueError, match=r"abc.provenance.json cannot be read .* remove its"):
        experiments.results("small", out=tmp_path / "runs")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sise": 4}, "small has no parameter 'sise' .did you mean 'size'.*; it has size, rate"),
        ({"size": 4.5}, "parameter size must be int like its default 3, got float 4.5"),
        ({"size": True}, "parameter size must be int"),
        ({"size": "4"}, "parameter size must be int"),
        ({"rate": "fast"}, "parameter rate must be float"),
        ({"rate": math.nan}, "parameter rate must be finite"),
        ({"flag": 1}, "parameter flag must be bool"),
        ({"grid": 3}, "parameter grid must be list"),
        ({"name": None}, "parameter name must be str"),
    ],
)
def test_wrong_parameters_are_refused_before_a_kernel_starts(
    chapter, tmp_path, monkeypatch, asked, message
):
    import papermill

    monkeypatch.setattr(papermill, "execute_notebook", lambda *a, **k: pytest.fail("it ran"))
    with pytest.raises(UnknownParameter, match=message):
        experiments.run(chapter(), asked, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_text_is_read_by_the_type_of_the_default(chapter):
    texts = {"size": "4", "rate": "1e-3", "name": "12", "flag": "false", "grid": "[3]"}
    assert experiments.parse(chapter(), texts) == {
        "size": 4,
        "rate": 0.001,
        "name": "12",
        "flag": False,
        "grid": [3],
    }
    with pytest.raises(UnknownParameter, match=r"parameter size must be int .* got str 'many'"):
        experiments.parse(chapter(), {"size": "many"})
    with pytest.raises(UnknownParameter, match="no parameter 'typo'"):
        experiments.parse(chapter(), {"typo": "1"})


def test_a_failing_chapter_keeps_its_traceback_and_is_run_again(chapter, tmp_path):
    out = tmp_path / "runs"
    path = chapter(body=BODY + "\n1 / 0")
    for _ in range(2):
        with pytest.raises(RunFailed, match="small failed with ZeroDivisionError") as caught:
            experiments.run(path, out=out)
        executed = nbformat.read(str(caught.value).split("see ")[1], as_version=4)
        outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
        assert any(output.output_type == "error" for output in outputs)
    table = experiments.results("small", out=out)
    assert table["status"].to_list() == ["failed"]
    assert table["error"].iloc[0].startswith("ZeroDivisionError")
    assert table["total"].to_list() == [1.5]  # what was recorded before the error


def test_results_are_one_table(chapter, tmp_path):
    out = tmp_path / "runs"
    for size in (5, 6):
        experiments.run(chapter(), size=size, out=out)
    table = experiments.results("small", out=out)
    assert table["parameters.size"].to_list() == [5, 6]
    assert table["total"].to_list() == [2.5, 3.0]
    with pytest.raises(ValueError, match="no runs in"):
        experiments.results("large", out=out)


def test_an_interrupted_run_leaves_nothing_half_done(chapter, tmp_path, monkeypatch):
    import papermill

    def interrupted(*words, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(papermill, "execute_notebook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        experiments.run(chapter(), out=tmp_path / "runs")
    assert list((tmp_path / "runs" / "small").iterdir()) == []


def test_only_plain_finite_values_are_recorded():
    with pytest.raises(TypeError, match="table: cannot record a list"):
        experiments.record(table=[1])
    with pytest.raises(ValueError, match="ratio: cannot record an infinite value"):
        experiments.record(ratio=math.inf)


def test_a_recorded_value_is_what_the_glue_role_of_the_book_reads(chapter, tmp_path):
    from myst_nb.ext.glue import extract_glue_data

    class Log:
        def warning(self, *words, **more):
            pytest.fail(str(words))

    done = experiments.run(chapter(), out=tmp_path / "runs")
    executed = nbformat.read(done.notebook, as_version=4)
    glued = extract_glue_data(executed, [0] * len(executed.cells), Log())
    assert glued["total"]["data"]["text/plain"] == "1.5"
    assert json.loads((done.path / "results.json").read_text())["total"] == 1.5
