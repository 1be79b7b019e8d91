import os
import subprocess
import sys

import pytest

import labkit


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_reference_can_be_forced():
    done = python("import labkit; print(labkit.backend())", LABKIT_BACKEND="reference")
    assert done.stdout.strip() == "reference"


def test_an_unknown_backend_is_refused():
    done = python("import labkit", LABKIT_BACKEND="fortran")
    assert done.returncode != 0
    assert "LABKIT_BACKEND must be 'rust' or 'reference', got 'fortran'" in done.stderr


HIDE = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "labkit._kernels":
            {action}
sys.meta_path.insert(0, Hide())
import labkit
print(labkit.backend())
"""


def test_an_absent_rust_module_selects_the_reference():
    absent = "raise ModuleNotFoundError(name, name=name)"
    done = python(HIDE.format(action=absent), LABKIT_BACKEND="")
    assert done.stdout.strip() == "reference"


def test_an_absent_rust_module_is_an_error_when_rust_is_asked_for():
    absent = "raise ModuleNotFoundError(name, name=name)"
    done = python(HIDE.format(action=absent), LABKIT_BACKEND="rust")
    assert done.returncode != 0


def test_a_broken_rust_module_is_raised_and_not_hidden():
    done = python(HIDE.format(action="raise ImportError('bad ELF header')"), LABKIT_BACKEND="")
    assert done.returncode != 0
    assert "bad ELF header" in done.stderr


@pytest.mark.skipif(
    os.environ.get("LABKIT_BACKEND") == "reference", reason="the reference backend is forced"
)
def test_rust_serves_where_it_was_built():
    from importlib.util import find_spec

    assert labkit.backend() == ("rust" if find_spec("labkit._kernels") else "reference")
