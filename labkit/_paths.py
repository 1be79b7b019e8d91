"""Where the project's own files are: the folder that holds data/registry.toml."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.errors import DataUnavailable

__all__ = ["project_root"]


def project_root() -> Path:
    """Folder of the clone: `LABKIT_ROOT`, else around this package, else around the current folder.

    Raises
    ------
    DataUnavailable
        labkit is installed as a wheel and the current folder is not inside a clone.
    """
    forced = os.environ.get("LABKIT_ROOT")
    here = Path.cwd().resolve()
    candidates = [Path(forced)] if forced else [Path(__file__).parents[1], here, *here.parents]
    for folder in candidates:
        if (folder / "data" / "registry.toml").is_file():
            return folder.resolve()
    raise DataUnavailable(
        "the project's data folder was not found: work inside a clone of the book, "
        "or set LABKIT_ROOT to one"
    )
