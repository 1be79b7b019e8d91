"""Chapters as experiments: parameters checked first, papermill runs, results and provenance kept.

A chapter has one code cell tagged `parameters`, of plain literals. `run` checks what is asked
against that cell before any kernel starts, executes the notebook with papermill, and leaves a
folder `runs/<notebook>/<id>/` with the executed notebook, its recorded results and where they
come from. The id is a hash of all that the outputs depend on (notebook, parameters, labkit,
kernels, data registry and committed data, pinned versions), so a run that was done is found
again and not repeated.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import io
import json
import math
import os
import platform
import shutil
import subprocess
import time
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from labkit._backend import backend, kernels
from labkit._paths import project_root
from labkit.data import MIME as DATASET_MIME
from labkit.data import catalogue
from labkit.errors import RunFailed, UnknownParameter

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Parameter", "Run", "notebook_path", "parameters", "parse", "record", "results", "run"]

# The prefix keeps a recorded value out of sight in the front ends; it is the one that myst-nb's
# glue uses, so that the book's prose can cite every recorded value by name.
PREFIX = "application/papermill.record/"
VERSIONS = ("labkit", "numpy", "pandas", "plotly", "statsmodels", "papermill")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a chapter: its name, default value and the comment beside it."""

    name: str
    default: Any
    help: str = ""


@dataclass(frozen=True)
class Run:
    """One executed chapter.

    Attributes
    ----------
    path : Path
        Its folder.
    parameters : dict
        The values that differ from the chapter's defaults.
    results : dict
        What the chapter recorded.
    provenance : dict
        Where the results come from.
    reused : bool
        True when the run had been done before.
    """

    path: Path
    parameters: dict[str, Any]
    results: dict[str, Any]
    provenance: dict[str, Any] = field(repr=False)
    reused: bool = False

    @property
    def notebook(self) -> Path:
        """The executed notebook."""
        return self.path / "notebook.ipynb"


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
    import nbformat  # over a second, which a chapter that only records need not wait for

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
    return _parameters(read_notebook(path), path.stem)


def _parameters(content: NotebookNode, name: str) -> dict[str, Parameter]:
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


def _checked(parameter: Parameter, value: Any) -> Any:
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


def _check(known: dict[str, Parameter], asked: Mapping[str, Any], chapter: str) -> dict[str, Any]:
    for name in asked:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise UnknownParameter(
                f"{chapter} has no parameter {name!r}{hint}; it has {', '.join(known)}"
            )
    checked = {name: _checked(known[name], value) for name, value in asked.items()}
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
    _check(
        known,
        {name: known[name].default for name in texts if name in known}
        | {name: None for name in texts if name not in known},
        notebook_path(notebook).stem,
    )
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if isinstance(known[name].default, str):
            values[name] = text
            continue
        try:
            values[name] = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
        except (ValueError, SyntaxError):
            values[name] = text  # the type check that follows names the parameter and the type
    return {name: _checked(known[name], value) for name, value in values.items()}


def _digest(parts: Iterable[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, content in parts:
        total.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return total.hexdigest()


def _folder_digest(folder: Path, pattern: str) -> str:
    files = sorted(p for p in folder.rglob(pattern) if p.is_file() and "__pycache__" not in p.parts)
    return _digest((str(p.relative_to(folder)), p.read_bytes()) for p in files)


def fingerprints(notebook: Path) -> dict[str, str]:
    """Hashes of all that the outputs of a chapter depend on, but for its parameters."""
    root, package = project_root(), Path(__file__).parent
    cells = read_notebook(notebook).cells
    code = [[c.cell_type, c.source, sorted(c.metadata.get("tags", []))] for c in cells]
    library = getattr(kernels, "__file__", "") if backend() == "rust" else ""
    pins = root / "constraints.txt"
    places = catalogue()["place"]
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
    }


def record(**values: Any) -> None:
    """Record results of a chapter under their names.

    A recorded value lands in the run's `results.json` and in the table of `results`, and the
    chapter's text can cite it as ``{glue:text}`name```. Nothing is shown in the notebook.

    Parameters
    ----------
    **values
        Numbers, strings, booleans or None. NumPy scalars become Python ones.

    Raises
    ------
    TypeError
        A value is of another type.
    ValueError
        A value is infinite. (NaN is recorded: "no value" is a result.)
    """
    from IPython.display import display

    for name, value in values.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if not isinstance(plain, int | float | str | bool | None):
            raise TypeError(f"{name}: cannot record a {type(value).__name__}, only plain values")
        if isinstance(plain, float) and math.isinf(plain):
            raise ValueError(f"{name}: cannot record an infinite value")
        coded = None if isinstance(plain, float) and math.isnan(plain) else plain
        display(
            {f"{PREFIX}text/plain": repr(plain), f"{PREFIX}application/json": json.dumps(coded)},
            raw=True,
            metadata={"scrapbook": {"name": name, "mime_prefix": PREFIX}},
        )


def _outputs(content: NotebookNode) -> Iterable[NotebookNode]:
    for cell in content.cells:
        yield from cell.get("outputs", [])


def _recorded(content: NotebookNode) -> dict[str, Any]:
    key = f"{PREFIX}application/json"
    return {
        output.metadata.scrapbook.name: json.loads(output.data[key])
        for output in _outputs(content)
        if key in output.get("data", {})
    }


def _datasets(content: NotebookNode) -> dict[str, list[str]]:
    marks = [o.data[DATASET_MIME] for o in _outputs(content) if DATASET_MIME in o.get("data", {})]
    return {mark["name"]: list(mark["sha256"]) for mark in marks}


def _commit(root: Path) -> str:
    """The commit of the clone, with "+" when files differ from it; "unknown" outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    if shutil.which("git") is None or not (head := git("rev-parse", "HEAD")):
        return "unknown"
    return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def _json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} cannot be read ({error}); remove its folder") from error


def _read(folder: Path, asked: dict[str, Any], *, reused: bool) -> Run:
    provenance, recorded = _json(folder / "provenance.json"), _json(folder / "results.json")
    return Run(folder, asked, recorded, provenance, reused)


def run(
    notebook: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    out: str | Path = "runs",
    force: bool = False,
    progress: bool = False,
    **more: Any,
) -> Run:
    """Execute a chapter with papermill, or find the run that was done with the same inputs.

    Parameters
    ----------
    notebook : str or Path
        A chapter's name (`"triangular_arbitrage"`) or the path of its notebook.
    parameters : mapping, optional
        Values that replace the chapter's defaults; also accepted as keywords.
    out : str or Path
        Folder of the runs; the run is `<out>/<notebook>/<id>/`.
    force : bool
        Run again even if the same run was done before.
    progress : bool
        Show papermill's progress bar.

    Returns
    -------
    Run
        With the executed notebook, the recorded results and their provenance.

    Raises
    ------
    UnknownParameter
        A name that the chapter does not have, or a value of the wrong type. No kernel was
        started.
    RunFailed
        A cell raised. The folder named in the message holds the notebook with the traceback.
    """
    path = notebook_path(notebook)
    content = read_notebook(path)
    asked = _check(_parameters(content, path.stem), {**(parameters or {}), **more}, path.stem)
    prints = fingerprints(path)
    key = json.dumps([prints, sorted(asked.items())], default=list).encode()
    folder = Path(out).resolve() / path.stem / hashlib.sha256(key).hexdigest()[:12]
    if not force and (folder / "provenance.json").is_file():
        done = _read(folder, asked, reused=True)
        if done.provenance["status"] == "finished":
            return done

    if folder.parents[1].exists() and not folder.parents[1].is_dir():
        raise ValueError(f"out: {out} is a file, not a folder")
    for name in ("LABKIT_DATA_MIRROR", "LABKIT_DATA_CACHE", "LABKIT_ROOT"):
        if os.environ.get(name):  # the kernel starts in another folder
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())

    import papermill  # half a second, needed only when something runs

    working = folder.with_name(f".{folder.name}-{os.getpid()}")
    working.mkdir(parents=True)
    started, clock = datetime.now(UTC), time.perf_counter()
    error = None
    try:
        papermill.execute_notebook(
            str(path),
            str(working / "notebook.ipynb"),
            parameters=asked,
            kernel_name="python3",
            language="python",
            cwd=str(path.parent),
            progress_bar=progress,
        )
    except papermill.PapermillExecutionError as failure:
        error = f"{failure.ename}: {failure.evalue}"
    except BaseException:
        shutil.rmtree(working)
        raise
    executed = read_notebook(working / "notebook.ipynb")
    provenance = {
        "notebook": path.stem,
        "status": "failed" if error else "finished",
        "error": error,
        "parameters": asked,
        "seed": asked.get("seed", _default(content, path.stem, "seed")),
        "backend": backend(),
        "datasets": _datasets(executed),
        "commit": _commit(project_root()),
        "fingerprints": prints,
        "versions": {name: metadata.version(name) for name in VERSIONS},
        "started": started.isoformat(timespec="seconds"),
        "wall_seconds": round(time.perf_counter() - clock, 3),
    }
    for name, values in (("results", _recorded(executed)), ("provenance", provenance)):
        (working / f"{name}.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    working.rename(folder)
    if error:
        raise RunFailed(f"{path.stem} failed with {error}; see {folder / 'notebook.ipynb'}")
    return _read(folder, asked, reused=False)


def _default(content: NotebookNode, name: str, parameter: str) -> Any:
    known = _parameters(content, name)
    return known[parameter].default if parameter in known else None


def results(path: str | Path, *, out: str | Path = "runs") -> pd.DataFrame:
    """Table of the runs of a chapter, newest last.

    Parameters
    ----------
    path : str or Path
        A chapter's name, or a folder that holds its runs.
    out : str or Path
        Where to look for a chapter given by name.

    Returns
    -------
    DataFrame
        Indexed by run id: `status`, `started`, `wall_seconds`, `backend`, then each parameter
        that was set (as `parameters.NAME`), each recorded result under its name, and, where a run
        failed, `error`.

    Raises
    ------
    ValueError
        There are no runs there, or a file of a run cannot be read.
    """
    named = Path(out) / Path(path).stem
    folder = named if named.is_dir() else Path(path)
    rows = {}
    for file in sorted(folder.glob("[!.]*/provenance.json")):
        provenance, recorded = _json(file), _json(file.with_name("results.json"))
        rows[file.parent.name] = {
            **{key: provenance[key] for key in ("status", "started", "wall_seconds", "backend")},
            **{f"parameters.{k}": v for k, v in provenance["parameters"].items()},
            **recorded,
            **({"error": provenance["error"]} if provenance["error"] else {}),
        }
    if not rows:
        raise ValueError(f"path: no runs in {named}, nor in {path} as a folder")
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run").sort_values("started")
