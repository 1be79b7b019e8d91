"""Keep each chapter's pair: the text file is the source, the notebook is made from it.

    python tools/chapters.py store [NAME ...]   make the .ipynb, run it, keep the checked outputs
    python tools/chapters.py check              exit 1 if a pair differs (prints where)

Of all outputs only those of cells tagged `keep_output` are stored: the rounded tables that
nbval compares with a new run. Figures are drawn anew each time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
KERNELSPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def sources(names: list[str]) -> list[Path]:
    """The chapters' text files; all of them if no name is given."""
    found = [NOTEBOOKS / f"{name}.py" for name in names] or sorted(NOTEBOOKS.glob("*.py"))
    for path in found:
        if not path.is_file():
            sys.exit(f"no chapter {path.stem}")
    return found


def cells(notebook: nbformat.NotebookNode) -> list[tuple[str, str, tuple[str, ...]]]:
    """What a pair must agree on: kind, source and tags of each cell."""
    return [
        (cell.cell_type, cell.source.strip(), tuple(cell.metadata.get("tags", [])))
        for cell in notebook.cells
    ]


def differences(source: Path) -> list[str]:
    """Where a text file and its notebook differ, in words; empty when they agree."""
    pair = source.with_suffix(".ipynb")
    if not pair.is_file():
        return [f"{source.name} has no notebook"]
    text = cells(jupytext.read(source))
    stored = cells(nbformat.read(pair, as_version=4))
    found = [
        f"{pair.name} cell {i} is not that of {source.name}: {a[1][:60]!r}"
        for i, (a, b) in enumerate(zip(text, stored, strict=False))
        if a != b
    ]
    if len(text) != len(stored):
        found.append(f"{source.name} has {len(text)} cells, {pair.name} has {len(stored)}")
    # jupytext's own word, blank lines and header included; its exit status says nothing.
    command = [sys.executable, "-m", "jupytext", "--diff", source, pair]
    shown = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    if shown and not found:
        found.append(f"jupytext --diff {source.name} {pair.name} prints\n{shown}")
    return found


def store(source: Path) -> None:
    """Make the notebook from the text file, run it, and keep the outputs that are checked."""
    from nbclient import NotebookClient

    pair = source.with_suffix(".ipynb")
    subprocess.run(
        [sys.executable, "-m", "jupytext", "--quiet", "--to", "ipynb", "--update", source],
        check=True,
    )
    notebook = nbformat.read(pair, as_version=4)
    notebook.metadata["kernelspec"] = KERNELSPEC
    executed = NotebookClient(
        nbformat.from_dict(notebook),
        kernel_name="python3",
        timeout=600,
        resources={"metadata": {"path": NOTEBOOKS}},
    ).execute()
    count = 0
    for cell, done in zip(notebook.cells, executed.cells, strict=True):
        cell.metadata = nbformat.from_dict(
            {key: value for key, value in cell.metadata.items() if key in ("tags", "mystnb")}
        )
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        keep = "keep_output" in cell.metadata.get("tags", [])
        cell.outputs = [_clean(output, count) for output in done.outputs] if keep else []
    nbformat.validate(notebook)
    temporary = pair.with_suffix(".tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(pair)


def _clean(output: nbformat.NotebookNode, count: int) -> nbformat.NotebookNode:
    if output.output_type == "execute_result":
        output.execution_count = count
    if "metadata" in output:
        output.metadata = nbformat.from_dict({})
    return output


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Keep each chapter's pair of files.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("store").add_argument("name", nargs="*")
    commands.add_parser("check")
    options = parser.parse_args()
    if options.command == "check":
        found = [line for path in sources([]) for line in differences(path)]
        print("\n".join(found) or "all pairs agree")
        sys.exit(bool(found))
    os.environ.pop("LABKIT_DATA_MIRROR", None)  # stored outputs stand on what is always at hand
    for path in sources(options.name):
        store(path)
        print(f"stored {path.stem}.ipynb")


if __name__ == "__main__":
    main()
