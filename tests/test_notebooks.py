"""The stored notebooks: pairs agree, stored outputs are the checked ones, and nbval can fail."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from labkit import experiments
from labkit._paths import project_root

NOTEBOOKS = project_root() / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("*.ipynb"))
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def tool(name):
    spec = importlib.util.spec_from_file_location(name, project_root() / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def test_there_are_chapters():
    assert CHAPTERS


@each_chapter
def test_a_pair_is_in_sync(path):
    assert tool("chapters").differences(path.with_suffix(".py")) == []


def test_a_pair_that_differs_is_noticed(tmp_path):
    for suffix in (".py", ".ipynb"):
        shutil.copy(NOTEBOOKS / f"triangular_arbitrage{suffix}", tmp_path)
    source = tmp_path / "triangular_arbitrage.py"
    source.write_text(source.read_text().replace("fee_bps = 10.0", "fee_bps = 11.0"))
    assert len(tool("chapters").differences(source)) == 1
    source.with_suffix(".ipynb").unlink()
    assert tool("chapters").differences(source) == [f"{source.name} has no notebook"]


@each_chapter
def test_a_chapter_has_readable_parameters(path):
    for parameter in experiments.parameters(path).values():
        assert parameter.help, f"{parameter.name} has no comment with its unit"


@each_chapter
def test_code_cells_are_short(path):
    for cell in code_cells(path):
        lines = [
            x for x in cell.source.splitlines() if x.strip() and not x.lstrip().startswith("#")
        ]
        limit = 35 if "plots." in cell.source else 25
        assert len(lines) <= limit, f"{len(lines)} lines: {lines[0]}"


@each_chapter
def test_code_lines_fit_the_page(path):
    lines = [line for cell in code_cells(path) for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > 84] == []


@each_chapter
def test_stored_outputs_are_those_of_checked_cells_and_no_others(path):
    cells = code_cells(path)
    checked = [cell for cell in cells if "keep_output" in tags(cell)]
    assert checked
    for count, cell in enumerate(cells, 1):
        assert cell.execution_count == count, "nbval passes a cell that was never run"
        assert ("keep_output" in tags(cell)) == ("nbval-check-output" in tags(cell))
        assert bool(cell.outputs) == ("keep_output" in tags(cell)), cell.source[:80]


@each_chapter
def test_stored_outputs_hold_no_warning_path_or_exact_float(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type in ("execute_result", "display_data"), "a stream was stored"
            text = str(output.data)
            assert "Warning" not in text
            assert not re.search(r"(?<![\w<])/(home|tmp|root|usr|work|Users)/", text)
            assert "application/papermill.record/text/plain" not in output.data


def nbval(path):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", path.name],
        cwd=path.parent,
        capture_output=True,
        text=True,
    )


SMALL = """
from labkit import published
rates = published.inputs("sedgewick_wayne_rates")["rates"]
round(1000 * rates[0][1] * rates[1][4] * rates[4][0], 5)
"""


@pytest.mark.parametrize(("stored", "passes"), [("1007.14497", True), ("1007.14498", False)])
def test_nbval_fails_when_a_stored_number_is_changed(tmp_path, stored, passes):
    cell = nbformat.v4.new_code_cell(
        SMALL,
        execution_count=1,
        metadata={"tags": ["keep_output", "nbval-check-output"]},
        outputs=[
            nbformat.v4.new_output("execute_result", {"text/plain": stored}, execution_count=1)
        ],
    )
    kernelspec = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path = tmp_path / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernelspec), path)
    done = nbval(path)
    assert (done.returncode == 0) == passes, done.stdout
    assert ("1 failed" in done.stdout) != passes


def test_nbval_fails_on_a_chapter_with_a_changed_number(tmp_path):
    # A copy, so that the chapter itself is never touched; it needs no other file.
    path = Path(shutil.copy(NOTEBOOKS / "triangular_arbitrage.ipynb", tmp_path))
    text = path.read_text(encoding="utf-8")
    assert "1007.14497" in text
    path.write_text(text.replace("1007.14497", "1007.14407"), encoding="utf-8")
    done = nbval(path)
    assert "1 failed" in done.stdout, done.stdout[-2000:]


@pytest.mark.chapters
@each_chapter
def test_plain_papermill_runs_a_chapter_with_another_parameter(path, tmp_path):
    out = tmp_path / "out.ipynb"
    command = [Path(sys.executable).with_name("papermill"), path.name, out, "-p", "seed", "11"]
    subprocess.run(command, cwd=path.parent, check=True, capture_output=True)
    assert nbformat.read(out, as_version=4).metadata.papermill.parameters == {"seed": 11}


@pytest.mark.chapters
@each_chapter
def test_both_backends_give_the_stored_numbers(path):
    """nbval compares with the backend in use; here is the other one's word on the same cells."""
    import os

    other = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", path.name],
        cwd=path.parent,
        env={**os.environ, "LABKIT_BACKEND": "reference"},
        capture_output=True,
        text=True,
    )
    assert other.returncode == 0, other.stdout[-3000:]
