"""Where the project's own files are: the folder that holds data/registry.toml."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.errors import DataUnavailable

__all__ = ["absolute_places", "project_root"]


def absolute_places() -> None:
    """Kernels start in another folder than the one that relative places were given in."""
    for name in ("LABKIT_DATA_MIRROR", "LABKIT_DATA_CACHE", "LABKIT_ROOT"):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())


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
