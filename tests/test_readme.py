"""The README is true: its commands run, its code prints what it says, its map exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labkit._paths import project_root

ROOT = project_root()
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


COMMANDS = [
    line
    for block in blocks("console")
    for line in block.splitlines()
    if not line.startswith(("make ", ". "))  # .ci/run runs these; the second is below
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder from which the commands see the project, but write their runs elsewhere."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("notebooks", "data", "labkit", "book"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 4


def test_commands_run(folder):
    """In order, in one shell, with the environment that the README activates on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in COMMANDS:
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env={**os.environ, "PATH": path, "COLUMNS": "80"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if command.startswith("labkit r"):  # the results are legible, on a page of 80 columns
            assert "max_gross" in done.stdout
            assert "1.0037" in done.stdout


def test_python_prints_what_its_comment_says():
    for block in blocks("python"):
        promised = re.findall(r"^print\(.*\)  # (.*)$", block, flags=re.M)
        assert promised
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
        assert done.stdout.splitlines() == promised, done.stderr


def test_every_file_and_make_target_named_exists():
    for name in re.findall(r"`([a-z_./]+/|[A-Za-z_.]+\.(?:md|yml))`|\]\(([^)]+)\)", README):
        target = name[0] or name[1]
        if target not in ("runs/", ".venv"):
            assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z]+)\b", README):
        if target not in ("it", "and"):
            assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_every_chapter_is_named():
    for path in (ROOT / "notebooks").glob("*.py"):
        title = re.search(r"^# # (.*)$", path.read_text(encoding="utf-8"), flags=re.M)[1]
        assert title.split(":")[0] in README
