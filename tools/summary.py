"""Add up the tests that the last `make test` stands on, and fail if one did not pass.

python tools/summary.py FOLDER    reads the JUnit files (*.xml) and Rust logs (*.log) in it
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree


def counts(path: Path) -> tuple[int, int, int]:
    """Tests passed, failed (errors included) and skipped."""
    passed = failed = skipped = 0
    if path.suffix == ".xml":
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            left = int(suite.get("skipped", 0))
            passed += int(suite.get("tests", 0)) - bad - left
            failed += bad
            skipped += left
    else:
        log = path.read_text(encoding="utf-8")
        for good, bad, left in re.findall(r"(\d+) passed; (\d+) failed; (\d+) ignored", log):
            passed, failed, skipped = passed + int(good), failed + int(bad), skipped + int(left)
    return passed, failed, skipped


def main() -> None:
    """Entry point."""
    columns = zip(*(counts(Path(name)) for name in sys.argv[1:]), strict=True)
    passed, failed, skipped = map(sum, columns)
    print(f"tests: {passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed > 0 or passed == 0)


if __name__ == "__main__":
    main()
