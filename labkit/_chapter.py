"""A chapter as an experiment: its parameters, read without running it, and what it depends on.

Part of `labkit.experiments`.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import io
import json
import math
import platform
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit._backend import backend, kernels
from labkit._paths import project_root
from labkit._warm import lean_jsonschema
from labkit.data import catalogue
from labkit.errors import UnknownParameter

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = [
    "SWEEP",
    "Parameter",
    "check",
    "fingerprints",
    "notebook_path",
    "parameters",
    "parameters_of",
    "parse",
    "published_sweep_path",
    "read_notebook",
    "refuse_unknown",
    "stamp",
    "typed",
    "without_sweeps",
]

SWEEP = "sweep"  # the tag of a cell that draws a published sweep


@dataclass(frozen=True)
class Parameter:
    """One parameter of a chapter: its name, default value and the comment beside it."""

    name: str
    default: Any
    help: str = ""


def notebook_path(notebook: str | Path) -> Path:
    """The `.ipynb` of a chapter given by its name, or by a path to the `.ipynb` or its `.py`.

    Raises
    ------
    ValueError
        There is no such chapter; the message lists those there are.
    """
    path = Path(notebook)
    if path.suffix in (".ipynb", ".py") and path.with_suffix(".ipynb").is_file():
        return path.with_suffix(".ipynb").resolve()
    folder = project_root() / "notebooks"
    named = folder / f"{path.stem if path.suffix == '.ipynb' else path.name}.ipynb"
    if path.parent == Path() and named.is_file():
        return named
    chapters = ", ".join(sorted(p.stem for p in folder.glob("*.ipynb")))
    raise ValueError(f"notebook: no chapter {str(notebook)!r}; there are {chapters}")


def read_notebook(path: Path) -> NotebookNode:
    """A notebook's content, in format 4."""
    with lean_jsonschema():
        import nbformat  # which a chapter that only records need not wait for

    return nbformat.read(path, as_version=4)


def parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Parameters of a chapter, read from its tagged cell without running it.

    Returns
    -------
    dict of str to Parameter
        In the order of the cell.

    Raises
    ------
    ValueError
        The chapter does not exist, has not exactly one cell tagged `parameters`, or that cell
        holds something else than assignments of literals.
    """
    path = notebook_path(notebook)
    return parameters_of(read_notebook(path), path.stem)


def parameters_of(content: NotebookNode, name: str) -> dict[str, Parameter]:
    """As `parameters`, of a notebook that was read; `name` is for messages."""
    cells = [c for c in content.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{name} has {len(cells)} cells tagged 'parameters', it needs exactly one")
    source = cells[0].source
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for statement in ast.parse(source).body:
        target = (
            getattr(statement, "target", None) or (getattr(statement, "targets", None) or [0])[0]
        )
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or not isinstance(
            target, ast.Name
        ):
            raise ValueError(f"{name}: the parameters cell may only assign literals to names")
        try:
            value = ast.literal_eval(statement.value)
        except ValueError:
            raise ValueError(f"{name}: parameter {target.id} is not a plain literal") from None
        found[target.id] = Parameter(target.id, value, comments.get(statement.end_lineno or 0, ""))
    return found


def typed(parameter: Parameter, value: Any) -> Any:
    """`value` as the type of the default; an integer is taken for a float, nothing else is bent."""
    default = parameter.default
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(default, list | tuple) and isinstance(value, list | tuple):
        value = type(default)(value)
    if default is not None and type(value) is not type(default):
        raise UnknownParameter(
            f"parameter {parameter.name} must be {type(default).__name__} like its default "
            f"{default!r}, got {type(value).__name__} {value!r}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise UnknownParameter(f"parameter {parameter.name} must be finite, got {value!r}")
    return value


def refuse_unknown(known: Mapping[str, Parameter], names: Iterable[str], chapter: str) -> None:
    """Raise `UnknownParameter` for the first name that the chapter does not have."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UnknownParameter(
                f"{chapter} has no parameter {name!r}{hint}; it has {', '.join(known)}"
            )


def check(known: Mapping[str, Parameter], asked: Mapping[str, Any], chapter: str) -> dict[str, Any]:
    """The values that differ from the defaults, each of the type of its default."""
    refuse_unknown(known, asked, chapter)
    checked = {name: typed(known[name], value) for name, value in asked.items()}
    return {name: value for name, value in checked.items() if value != known[name].default}


def parse(notebook: str | Path, texts: Mapping[str, str]) -> dict[str, Any]:
    """Parameter values from text, as a command line gives them, by the types of the defaults.

    Raises
    ------
    UnknownParameter
        No such parameter, or the text does not read as its type.

    Examples
    --------
    >>> parse("triangular_arbitrage", {"seed": "11"})
    {'seed': 11}
    """
    known = parameters(notebook)
    refuse_unknown(known, texts, notebook_path(notebook).stem)
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if isinstance(known[name].default, str):
            values[name] = text
            continue
        try:
            values[name] = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
        except (ValueError, SyntaxError):
            values[name] = text  # the type check that follows names the parameter and the type
    return {name: typed(known[name], value) for name, value in values.items()}


def _digest(parts: Iterable[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, content in parts:
        total.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()


def _folder_digest(folder: Path, pattern: str) -> str:
    files = sorted(p for p in folder.rglob(pattern) if p.is_file() and "__pycache__" not in p.parts)
    return _digest((str(p.relative_to(folder)), p.read_bytes()) for p in files)


def without_sweeps(content: NotebookNode) -> NotebookNode:
    """A copy without the cells that draw published sweeps: those do not belong to a point of one.

    Were they part of it, a sweep would depend on its own results.
    """
    from copy import copy

    kept = copy(content)
    kept.cells = [c for c in content.cells if SWEEP not in c.metadata.get("tags", [])]
    return kept


def _sweeps_of(content: NotebookNode) -> list[str]:
    """Names of the published sweeps that a notebook draws."""
    cells = [c.source for c in content.cells if SWEEP in c.metadata.get("tags", [])]
    return sorted(
        {
            name
            for source in cells
            for name in re.findall(r"""published_sweep\(\s*["'](\w+)""", source)
        }
    )


def fingerprints(notebook: Path, content: NotebookNode | None = None) -> dict[str, str]:
    """Hashes of all that the outputs of a chapter depend on, but for its parameters.

    Parameters
    ----------
    notebook : Path
    content : NotebookNode, optional
        What is run, if it is not the notebook as it is.
    """
    root, package = project_root(), Path(__file__).parent
    content = read_notebook(notebook) if content is None else content
    code = [[c.cell_type, c.source, sorted(c.metadata.get("tags", []))] for c in content.cells]
    library = getattr(kernels, "__file__", "") if backend() == "rust" else ""
    pins = root / "constraints.txt"
    places = catalogue()["place"]
    drawn = [published_sweep_path(name) for name in _sweeps_of(content)]
    sweeps = [(path.stem, path.read_bytes() if path.is_file() else b"") for path in drawn]
    return {
        "notebook": hashlib.sha256(json.dumps(code).encode()).hexdigest(),
        "labkit": _folder_digest(package, "*.py"),
        "kernels": hashlib.sha256(Path(library).read_bytes()).hexdigest()
        if library
        else "reference",
        "data": _folder_digest(root / "data", "*"),
        "at hand": ", ".join(sorted(places.index[places != ""])),
        "pins": hashlib.sha256(pins.read_bytes()).hexdigest() if pins.is_file() else "none",
        "python": platform.python_version(),
        **({"sweeps": _digest(sweeps)} if sweeps else {}),
    }


def stamp() -> tuple[tuple[str, int, int], ...]:
    """Names, times and sizes of the files behind the fingerprints: equal while none changed."""
    root, package = project_root(), Path(__file__).parent
    files = [*package.rglob("*.py"), *(root / "data").rglob("*"), root / "constraints.txt"]
    if library := getattr(kernels, "__file__", ""):
        files.append(Path(library))
    return tuple(
        (str(path), found.st_mtime_ns, found.st_size)
        for path in sorted(files)
        if path.is_file() and "__pycache__" not in path.parts
        for found in [path.stat()]
    )


def published_sweep_path(name: str) -> Path:
    """Where the table of a published sweep is."""
    return project_root() / "book" / "sweeps" / f"{name}.parquet"
