"""Published results held against ours: one `check` for each, one row each in the ledger.

`data/published/<key>.toml` holds what a source prints: the citation, how the figures were read,
the inputs, and for each quantity its value and the tolerance of the comparison, with the reason
of any difference that is known.
"""

from __future__ import annotations

import copy
import html
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labkit._paths import project_root
from labkit.experiments import read_notebook

__all__ = ["Replication", "check", "inputs", "keys", "ledger"]

MIME = "application/vnd.labkit.ledger+json"
COLUMNS = ["quantity", "published", "ours", "se", "difference", "tolerance", "verdict", "reason"]


class Quantity(BaseModel):
    """One published figure."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    description: str
    published: float
    tolerance: float = Field(ge=0)  # absolute, in the unit of the figure
    standard_errors: float = Field(default=0.0, ge=0)  # and so many of our standard errors
    reason: str = ""  # why a known difference is there


class Publication(BaseModel):
    """One source of published figures, a file of data/published."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    citation: str  # key in book/references.bib, or empty
    source: str
    read: Literal["paper", "quoted", "documentation", "memory", "exact", "recomputed"]
    chapter: str
    quantities: dict[str, Quantity] = Field(min_length=1)
    inputs: dict[str, Any] = {}


def keys() -> list[str]:
    """Names of all published results, sorted.

    Examples
    --------
    >>> "sedgewick_wayne_rates" in keys()
    True
    """
    return sorted(p.stem for p in (project_root() / "data" / "published").glob("*.toml"))


@cache
def _read(path: Path) -> Publication:
    try:
        return Publication.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ValueError(f"data/published/{path.name}: {error}") from error


def publication(key: str) -> Publication:
    """The source and figures behind a key.

    Raises
    ------
    ValueError
        No such key; the message lists those there are.
    """
    path = project_root() / "data" / "published" / f"{key}.toml"
    if not path.is_file():
        raise ValueError(f"key: no published result {key!r}; there are {', '.join(keys())}")
    return _read(path)


def inputs(key: str) -> dict[str, Any]:
    """The published inputs of a result, for instance a table of rates.

    Raises
    ------
    ValueError
        No such key.

    Examples
    --------
    >>> inputs("sedgewick_wayne_rates")["currencies"]
    ['USD', 'EUR', 'GBP', 'CHF', 'CAD']
    """
    return copy.deepcopy(publication(key).inputs)


@dataclass(frozen=True)
class Replication:
    """A published result beside ours; shown at the end of a cell it is the table.

    Attributes
    ----------
    key : str
        Name of the published result.
    table : DataFrame
        One row for each quantity: published, ours, se, difference, tolerance, verdict, reason.
    """

    key: str
    table: pd.DataFrame

    @property
    def matches(self) -> bool:
        """True when every quantity matches or differs for a reason that is written down."""
        unexplained = (self.table["verdict"] == "differs") & (self.table["reason"] == "")
        return not unexplained.any()

    def _rounded(self) -> pd.DataFrame:
        """Ten digits of a value, a difference to a thousandth of its tolerance: no more than is
        the same on every machine."""
        table = self.table.copy()
        for column in ("published", "ours", "se", "tolerance"):
            table[column] = [float(f"{value:.10g}") for value in table[column]]
        table["difference"] = [
            float(f"{round(value / unit, 3) * unit:.10g}") + 0.0 if unit > 0 else value
            for value, unit in zip(table["difference"], table["tolerance"], strict=True)
        ]
        return table

    def _shown(self) -> pd.DataFrame:
        shown = self._rounded()
        for column in ("published", "ours", "se", "difference", "tolerance"):
            shown[column] = ["" if pd.isna(v) else f"{v:.10g}" for v in shown[column]]
        empty = ["reason", *(["se"] if (shown["se"] == "").all() else [])]
        return shown.drop(columns=empty)

    def _reasons(self) -> list[str]:
        """Why a row is not a match, each reason once with the quantities it is given for."""
        with_reason = self.table[self.table["reason"] != ""]
        groups = with_reason.groupby("reason", sort=False)["quantity"]
        return [f"{'; '.join(quantities)}: {reason}" for reason, quantities in groups]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        shown, reasons = self._shown(), self._reasons()
        notes = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
        return {
            "text/plain": "\n".join([shown.to_string(index=False), *reasons]),
            "text/html": shown.to_html(index=False, border=0) + (notes and f"<ul>{notes}</ul>"),
            MIME: {
                "key": self.key,
                "rows": [
                    {name: None if pd.isna(value) else value for name, value in row.items()}
                    for row in self._rounded().to_dict("records")
                ],
            },
        }


def check(key: str, **measured: float | tuple[float, float] | str | None) -> Replication:
    """Hold our values against a published result.

    Parameters
    ----------
    key : str
        Name of a file of data/published.
    **measured
        One value for each quantity of the publication: a number; a pair (number, standard
        error); or, where it cannot be computed here, a string with the reason.

    Returns
    -------
    Replication
        Verdict `matches` where |ours - published| <= tolerance + k standard errors (both are
        fixed in the publication's file), `differs` otherwise, `cannot be checked` for a string.

    Raises
    ------
    ValueError
        Unknown key, a quantity that the publication does not have, one that is missing, a value
        or standard error that is not finite, or an empty reason.

    Examples
    --------
    >>> check("sedgewick_wayne_rates", final_usd=1007.14497, simple_cycles=84,
    ...       profitable_cycles=30, best_product=1.00714497).matches
    True
    """
    source = publication(key)
    if measured.keys() != source.quantities.keys():
        raise ValueError(
            f"measured: {key} has the quantities {', '.join(source.quantities)}, "
            f"got {', '.join(measured) or 'none'}"
        )
    rows = []
    for name, quantity in source.quantities.items():
        value = measured[name]
        ours, error, reason = math.nan, math.nan, quantity.reason
        if isinstance(value, str):
            if not value.strip():
                raise ValueError(f"{name}: the reason why it cannot be checked must not be empty")
            verdict, reason = "cannot be checked", value
        else:
            ours, error = value if isinstance(value, tuple) else (value, math.nan)
            ours, error = float(ours), float(error)
            if not math.isfinite(ours) or error < 0 or math.isinf(error):
                raise ValueError(f"{name}: must be finite with a finite se >= 0, got {value!r}")
            allowed = quantity.tolerance
            allowed += 0.0 if math.isnan(error) else quantity.standard_errors * error
            verdict = "matches" if abs(ours - quantity.published) <= allowed else "differs"
            reason = "" if verdict == "matches" else reason
        difference = ours - quantity.published
        values = (quantity.published, ours, error, difference, quantity.tolerance)
        rows.append((quantity.description, *values, verdict, reason))
    return Replication(key, pd.DataFrame(rows, columns=COLUMNS))


def ledger(notebooks: Iterable[str | Path]) -> pd.DataFrame:
    """Rows of all replications found in executed notebooks.

    Parameters
    ----------
    notebooks : iterable of path
        Executed `.ipynb` files.

    Returns
    -------
    DataFrame
        Columns key, title, source, citation, read, chapter, and those of `Replication.table`.
    """
    rows = []
    for notebook in notebooks:
        for cell in read_notebook(Path(notebook)).cells:
            for output in cell.get("outputs", []):
                found = output.get("data", {}).get(MIME)
                if found is None:
                    continue
                source = publication(found["key"])
                head = {"key": found["key"], **source.model_dump(exclude={"quantities", "inputs"})}
                rows += [{**head, **row} for row in found["rows"]]
    heads = ["key", "title", "citation", "source", "read", "chapter"]
    return pd.DataFrame(rows, columns=heads + COLUMNS)
