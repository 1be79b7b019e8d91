import subprocess
import sys

import pytest

from labkit._paths import project_root

JUNIT = '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="1"/></testsuites>'
RUST = "test result: ok. 5 passed; {} failed; 0 ignored; 0 measured; 0 filtered out\n"


@pytest.mark.parametrize(
    ("tests", "failures", "rust", "line", "status"),
    [
        (10, 0, 0, "tests: 14 passed, 0 failed, 1 skipped", 0),
        (10, 2, 0, "tests: 12 passed, 2 failed, 1 skipped", 1),
        (10, 0, 1, "tests: 14 passed, 1 failed, 1 skipped", 1),
    ],
)
def test_runs_are_added_up(tmp_path, tests, failures, rust, line, status):
    (tmp_path / "python.xml").write_text(JUNIT.format(tests, failures))
    (tmp_path / "rust.log").write_text(RUST.format(rust))
    script = project_root() / "tools" / "summary.py"
    files = [tmp_path / "python.xml", tmp_path / "rust.log"]
    done = subprocess.run([sys.executable, script, *files], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == (line, status)


def test_no_test_at_all_is_a_failure(tmp_path):
    (tmp_path / "python.xml").write_text(JUNIT.format(1, 0))
    script = project_root() / "tools" / "summary.py"
    assert subprocess.run([sys.executable, script, tmp_path / "python.xml"]).returncode == 1
