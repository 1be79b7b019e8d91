"""Run the sweeps that the book publishes and keep their tables in book/sweeps.

    python tools/sweeps.py [NAME ...] [--jobs N]     those of notebooks/sweeps, or all of them

Points that were run before with the same notebook, package, kernels and data are found again, so
a sweep that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from labkit import experiments
from labkit.errors import LabkitError

ROOT = Path(__file__).resolve().parents[1]


def publish(file: Path, jobs: int | None) -> Path:
    """Run one sweep and write the columns that its file names."""
    stated = experiments.read_sweep(file)
    print(f"{file.stem}: {stated.title}", flush=True)
    table = experiments.sweep(
        file, out=ROOT / "runs", jobs=jobs, progress=sys.stderr.isatty()
    ).drop(columns=["status", "error"])
    missing = [name for name in stated.results if name not in table]
    if missing:
        raise ValueError(f"{file.name}: results: {stated.chapter} records no {missing[0]!r}")
    varied = [name for name in table if name.startswith("parameters.")]
    kept = table[[*varied, *(stated.results or table.columns.difference(varied, sort=False))]]
    target = ROOT / "book" / "sweeps" / f"{file.stem}.parquet"
    target.parent.mkdir(exist_ok=True)
    kept.to_parquet(target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--jobs", type=int)
    given = parser.parse_args()
    files = {path.stem: path for path in sorted((ROOT / "notebooks" / "sweeps").glob("*.yml"))}
    unknown = [name for name in given.names if name not in files]
    if unknown:
        sys.exit(f"no sweep {unknown[0]!r}; there are {', '.join(files)}")
    try:
        for name in given.names or files:
            target = publish(files[name], given.jobs)
            print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1024:.0f} kB", flush=True)
    except (LabkitError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
