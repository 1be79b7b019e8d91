"""Where runs are kept: a folder, or an object store by its URL.

A run is a folder of three files, and there is either all of it or nothing: locally it is renamed
into its place, in a store its provenance is written last. Part of `labkit.experiments`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["FILES", "Store", "is_url"]

FILES = ("notebook.ipynb", "results.json", "provenance.json")  # the last one makes it a run


def is_url(out: str | Path) -> bool:
    """True for an address such as s3://bucket/runs."""
    return "://" in str(out) and not str(out).startswith("file://")


class Store:
    """Runs of one chapter below `out`.

    Parameters
    ----------
    out : str or Path
        A folder, or a URL that fsspec knows.
    chapter : str

    Raises
    ------
    ValueError
        `out` is a file, or a URL that nothing installed can open.
    """

    def __init__(self, out: str | Path, chapter: str):
        self.out, self.chapter = str(out), chapter
        self._remote: Any = None
        if is_url(out):
            import fsspec

            try:
                self._remote, path = fsspec.core.url_to_fs(str(out))
            except (ImportError, ValueError) as error:
                raise ValueError(f"out: {out} cannot be opened: {error}") from error
            self._root = f"{path.rstrip('/')}/{chapter}"
            self._remote.invalidate_cache()
        else:
            folder = Path(str(out).removeprefix("file://")).resolve()
            if folder.exists() and not folder.is_dir():
                raise ValueError(f"out: {out} is a file, not a folder")
            self.out = str(folder)
            self._root = str(folder / chapter)

    @property
    def local(self) -> Path | None:
        """The chapter's folder; None in an object store."""
        return None if self._remote is not None else Path(self._root)

    @property
    def shared_memory_only(self) -> bool:
        """True for fsspec's memory:// store, which only this process can see."""
        return self._remote is not None and "memory" in self._remote.protocol

    def place(self, *parts: str) -> str:
        """Where a file or folder is, as a path or URL that can be opened."""
        path = "/".join([self._root, *parts])
        return self._remote.unstrip_protocol(path) if self._remote is not None else path

    def runs(self) -> set[str]:
        """Ids of all runs, failed ones too."""
        if self._remote is None:
            return {p.parent.name for p in Path(self._root).glob("[!.]*/provenance.json")}
        found = self._remote.glob(f"{self._root}/*/provenance.json")
        return {path.split("/")[-2] for path in found}

    def tables(self, name: str) -> list[str]:
        """Tables of all chapters' sweeps of that name; of a store of no chapter."""
        pattern = f"{self._root.rstrip('/')}/*/sweeps/{name}/results.parquet"
        if self._remote is None:
            return sorted(map(str, Path(self._root).glob(f"*/sweeps/{name}/results.parquet")))
        return [self._remote.unstrip_protocol(path) for path in self._remote.glob(pattern)]

    def read(self, *parts: str) -> bytes | None:
        """Content of a file, None if there is none."""
        path = "/".join([self._root, *parts])
        try:
            return Path(path).read_bytes() if self._remote is None else self._remote.cat_file(path)
        except FileNotFoundError:
            return None

    def read_json(self, *parts: str) -> dict[str, Any]:
        """A file as JSON.

        Raises
        ------
        ValueError
            There is no such file, or it is no JSON.
        """
        return self._parsed(self.read(*parts), *parts)

    def _parsed(self, content: bytes | None, *parts: str) -> dict[str, Any]:
        try:
            if content is None:
                raise ValueError("it is missing")
            return json.loads(content)
        except ValueError as error:
            raise ValueError(
                f"{self.place(*parts)} cannot be read ({error}); remove its folder"
            ) from error

    def read_runs(self, runs: Iterable[str], name: str) -> dict[str, dict[str, Any]]:
        """One of the files of many runs as JSON; a store is asked for all at once.

        Raises
        ------
        ValueError
            As `read_json`.
        """
        runs = sorted(runs)
        if self._remote is None or not runs:
            return {run: self.read_json(run, name) for run in runs}
        paths = {f"{self._root}/{run}/{name}": run for run in runs}
        found = self._remote.cat(list(paths), on_error="omit")
        contents = {paths[path]: content for path, content in found.items()}
        return {run: self._parsed(contents.get(run), run, name) for run in runs}

    def write(self, content: bytes, *parts: str) -> None:
        """Write a file at once: readers see the old one or the new one."""
        path = "/".join([self._root, *parts])
        if self._remote is not None:
            self._remote.pipe_file(path, content)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}-{os.getpid()}")
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def publish(self, folder: Path, run: str) -> str:
        """Move a finished run's folder into its place; where it is then."""
        if self._remote is not None:
            for name in FILES:
                self._remote.pipe_file(f"{self._root}/{run}/{name}", (folder / name).read_bytes())
            shutil.rmtree(folder)
            return self.place(run)
        target = Path(self._root) / run
        target.parent.mkdir(parents=True, exist_ok=True)
        if folder.parent != target.parent:  # perhaps another disk: first beside its place
            beside = target.with_name(f".{run}-{os.getpid()}")
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(folder, beside)
            shutil.rmtree(folder)
            folder = beside
        while True:
            try:
                folder.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                return str(target)
            # An earlier try, or another sweep's: the new one takes its place.
            old = target.with_name(f".{run}-{os.getpid()}-old")
            with contextlib.suppress(FileNotFoundError):
                target.rename(old)
                shutil.rmtree(old)
