import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from labkit import data
from labkit._paths import project_root

settings.register_profile("default", deadline=None, derandomize=True)
settings.load_profile("default")


def pytest_runtest_setup(item):
    for marker in item.iter_markers("real_data"):
        (name,) = marker.args
        if not data.available(name):
            pytest.skip(f"{name} is not at hand (labkit data fetch {name})")


@pytest.fixture
def no_recordings(monkeypatch, tmp_path):
    """A machine that has neither a mirror nor anything in its cache."""
    monkeypatch.delenv("LABKIT_DATA_MIRROR", raising=False)
    monkeypatch.setenv("LABKIT_DATA_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def in_ci():
    return os.environ.get("CI") == "true"


@pytest.fixture(scope="session")
def book() -> Path:
    """The folder of the built pages."""
    done = subprocess.run(
        [sys.executable, str(project_root() / "tools" / "book.py")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    index = Path(done.stdout.strip().splitlines()[-1])
    assert index.is_file()
    return index.parent
