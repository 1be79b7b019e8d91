"""Data sets: what there is, where it comes from, and the one way to load it.

`data/registry.toml` names every set with its public origin, licence, units, known defects and
the SHA-256 of each file. `load` looks in the project (simulated sets), in the installed package
that carries the set, in the local cache, then in the mirror folder named by
`LABKIT_DATA_MIRROR`, and checks the hash every time. It never downloads and never puts another
set in the place of one that is missing.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import importlib.util
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from platformdirs import user_cache_dir
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labkit._paths import project_root
from labkit._readers import READERS
from labkit._simulate import simulate_basket, simulate_triangle
from labkit.errors import DataCorrupt, DataUnavailable

__all__ = [
    "Dataset",
    "available",
    "catalogue",
    "fetch",
    "load",
    "locate",
    "simulate_basket",
    "simulate_triangle",
    "verify",
]

MIME = "application/vnd.labkit.dataset+json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataFile(_Strict):
    """One file of a data set; the hash is that of the uncompressed content."""

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    url: str | None = None


class Entry(_Strict):
    """One data set of data/registry.toml."""

    title: str
    kind: Literal["recording", "series", "simulated"]
    provider: str
    origin: str
    licence: str
    terms: str = ""
    period: str
    time_zone: str = "UTC"
    units: str
    checks: str = ""
    defects: list[str] = []
    package: str | None = None  # the installed package that carries the files, where one does
    folder: str | None = None  # the mirror's folder, where it is not the name of the set
    reader: str
    files: list[DataFile] = Field(min_length=1)


def _registry() -> dict[str, Entry]:
    path = project_root() / "data" / "registry.toml"
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        return {name: Entry.model_validate(entry) for name, entry in content.items()}
    except ValidationError as error:
        raise ValueError(f"data/registry.toml: {error}") from error


def _entry(name: str) -> Entry:
    registry = _registry()
    if name not in registry:
        raise ValueError(f"name: no data set {name!r}; there are {', '.join(sorted(registry))}")
    return registry[name]


def cache_folder() -> Path:
    """Folder that `fetch` downloads into: `LABKIT_DATA_CACHE`, else the system's cache folder."""
    return Path(os.environ.get("LABKIT_DATA_CACHE") or user_cache_dir("labkit"))


def _folders(name: str, entry: Entry) -> Iterator[tuple[str, Path]]:
    if entry.kind == "simulated":
        yield "project", project_root() / "data" / "simulated" / name
        return
    if entry.package:
        found = importlib.util.find_spec(entry.package)
        for folder in (found and found.submodule_search_locations) or ():
            yield "package", Path(folder)
        return
    yield "cache", cache_folder() / name
    mirror = os.environ.get("LABKIT_DATA_MIRROR")
    if mirror:
        yield "mirror", Path(mirror).expanduser() / (entry.folder or name)


def locate(name: str) -> tuple[str, list[Path]] | None:
    """Where the files of a set are, or None: the place and the paths.

    The place is `"project"`, `"package"`, `"cache"` or `"mirror"`. A file may be stored as
    published or compressed, with `.gz` added to its name.

    Raises
    ------
    ValueError
        `name` is not in the registry.
    """
    entry = _entry(name)
    for place, folder in _folders(name, entry):
        paths = []
        for file in entry.files:
            path = next(
                (p for p in (folder / file.name, folder / f"{file.name}.gz") if p.is_file()), None
            )
            if path is not None:
                paths.append(path)
        if len(paths) == len(entry.files):
            return place, paths
    return None


def available(name: str) -> bool:
    """True when every file of the set is at hand, so that `load` would find it.

    Raises
    ------
    ValueError
        `name` is not in the registry.

    Examples
    --------
    >>> available("simulated_triangle")
    True
    """
    return locate(name) is not None


def _content(file: DataFile, path: Path, place: str) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".gz" and not file.name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise DataCorrupt(
                f"{file.name}: the compressed copy in the {place} cannot be read: {error}"
            ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DataCorrupt(
            f"{file.name}: SHA-256 of the copy in the {place} is {found[:12]}..., "
            f"data/registry.toml says {file.sha256[:12]}...; remove that copy and fetch it again"
        )
    return content


@dataclass(frozen=True)
class Dataset:
    """A loaded data set; shown at the end of a cell it is its provenance card.

    Attributes
    ----------
    name : str
        Its name in the registry.
    entry : Entry
        Origin, licence, units, defects.
    tables : dict of str to DataFrame
        What the reader made of the files, for instance `events` and `markets`.
    place : str
        Where it was found: `"project"`, `"package"`, `"cache"` or `"mirror"`.
    """

    name: str
    entry: Entry
    tables: dict[str, pd.DataFrame] = field(repr=False)
    place: str

    def __getitem__(self, table: str) -> pd.DataFrame:
        """One table of the set.

        Raises
        ------
        KeyError
            No such table; the message lists those there are.
        """
        if table not in self.tables:
            raise KeyError(f"{self.name} has no table {table!r}; it has {', '.join(self.tables)}")
        return self.tables[table]

    def card(self) -> dict[str, str]:
        """The provenance card: a title for each line and its text."""
        entry = self.entry
        lines = {
            "Data set": f"{self.name}: {entry.title}",
            "Kind": entry.kind,
            "Provider": entry.provider,
            "Origin": entry.origin,
            "Licence": " ".join(filter(None, [entry.licence, entry.terms])),
            "Period": f"{entry.period} ({entry.time_zone})",
            "Units": entry.units,
            "Rows": ", ".join(f"{key} {len(table):,}" for key, table in self.tables.items()),
            "SHA-256": ", ".join(file.sha256[:16] for file in entry.files) + " (checked)",
            "Known defects": "; ".join(entry.defects) or "none",
        }
        return {title: text for title, text in lines.items() if text}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        card = self.card()
        rows = "".join(
            f"<tr><th style='text-align:left;vertical-align:top'>{html.escape(title)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for title, text in card.items()
        )
        return {
            "text/plain": "\n".join(f"{title}: {text}" for title, text in card.items()),
            "text/html": f"<table class='labkit-card'>{rows}</table>",
        }


def _announce(name: str, entry: Entry) -> None:
    """In a notebook, leave a mark of what was loaded; `labkit.experiments` puts it on record."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:
        mark = {"name": name, "sha256": [file.sha256 for file in entry.files]}
        display({MIME: mark}, raw=True)


def load(name: str) -> Dataset:
    """Load a data set from where it is at hand, with its hash checked.

    Parameters
    ----------
    name : str
        A name of the registry; `catalogue()` lists them.

    Returns
    -------
    Dataset
        Its `tables`, and its provenance card when it is shown.

    Raises
    ------
    ValueError
        `name` is not in the registry.
    DataUnavailable
        The set is not at hand. The message is the one command that gets it. Nothing is
        downloaded here, and no other set is put in its place.
    DataCorrupt
        A file does not have the hash that the registry gives.

    Examples
    --------
    >>> load("simulated_triangle")["events"]["symbol"].nunique()
    3
    """
    entry = _entry(name)
    found = locate(name)
    if found is None:
        raise DataUnavailable(f"{name} is not at hand. {_remedy(name, entry)}")
    place, paths = found
    contents = {
        file.name: _content(file, path, place)
        for file, path in zip(entry.files, paths, strict=True)
    }
    _announce(name, entry)
    return Dataset(name, entry, READERS[entry.reader](contents), place)


def _remedy(name: str, entry: Entry) -> str:
    if entry.package:
        return f"It comes with the package {entry.package}, which is not installed"
    if any(file.url is None for file in entry.files):
        return "It has no published address: name a folder that has it in LABKIT_DATA_MIRROR"
    return (
        f"Get it with: labkit data fetch {name} "
        "(or name a folder that has it in LABKIT_DATA_MIRROR)"
    )


def fetch(name: str, *, progress: bool = False) -> list[Path]:
    """Download a data set from its published address into the cache, and check its hash.

    Parameters
    ----------
    name : str
        A name of the registry.
    progress : bool
        Show a progress bar.

    Returns
    -------
    list of Path
        The files in the cache.

    Raises
    ------
    ValueError
        `name` is not in the registry.
    DataUnavailable
        The set has no published address, or the address cannot be reached.
    DataCorrupt
        What came does not have the hash that the registry gives; it is not kept.
    """
    import pooch  # only here: it brings a progress bar that warns in a notebook

    entry = _entry(name)
    if entry.kind == "simulated" or entry.package:
        source = f"the package {entry.package}" if entry.package else "the project"
        return locate(name)[1] if available(name) else _missing(name, f"it is part of {source}")
    paths = []
    for file in entry.files:
        if file.url is None:
            _missing(name, f"the registry gives no address for {file.name}")
        target = cache_folder() / name / file.name
        try:
            path = pooch.retrieve(
                file.url,
                known_hash=f"sha256:{file.sha256}",
                fname=target.name,
                path=target.parent,
                progressbar=progress,
            )
        except ValueError as error:
            raise DataCorrupt(f"{name}: {error}") from error
        except OSError as error:
            raise DataUnavailable(f"{name}: {file.url} cannot be reached: {error}") from error
        paths.append(Path(path))
    return paths


def _missing(name: str, why: str) -> Any:
    raise DataUnavailable(f"{name} cannot be fetched: {why}")


def verify(name: str) -> str:
    """Check the hashes of a set that is at hand.

    Returns
    -------
    str
        Where it was found: `"project"`, `"package"`, `"cache"` or `"mirror"`.

    Raises
    ------
    ValueError, DataUnavailable, DataCorrupt
        As `load`.
    """
    return load(name).place


def catalogue() -> pd.DataFrame:
    """Every data set of the registry, one a row.

    Returns
    -------
    DataFrame
        Indexed by `name`: title, kind, provider, origin, licence, terms, period, time_zone,
        units, checks, defects, package, reader and `place` (`"project"`, `"package"`,
        `"cache"`, `"mirror"`, or empty when the set is not at hand).

    Examples
    --------
    >>> catalogue().loc["simulated_triangle", "kind"]
    'simulated'
    """
    rows = {}
    for name, entry in _registry().items():
        found = locate(name)
        rows[name] = {
            **entry.model_dump(exclude={"files", "defects", "package", "folder"}),
            "package": entry.package or "",
            "defects": "; ".join(entry.defects),
            "sha256": ", ".join(file.sha256 for file in entry.files),
            "url": ", ".join(file.url for file in entry.files if file.url),
            "place": found[0] if found else "",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
