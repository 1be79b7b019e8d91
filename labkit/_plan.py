"""What a sweep is to run: every point of it checked before the first kernel starts.

A plan is a product: of a grid (all combinations), of columns that go together (`zip`), and of a
sample of ranges. Part of `labkit.experiments`.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from labkit._chapter import (
    Parameter,
    check,
    notebook_path,
    parameters,
    parse,
    refuse_unknown,
    typed,
)
from labkit.errors import UnknownParameter

__all__ = ["Plan", "Range", "Sample", "Sweep", "from_options", "plan", "read_sweep"]

_MOST = 1_000_000  # points of one sweep
_EXACT = 2**53  # beyond it, not every whole number is a float
_STEPS = re.compile(r"(-?\d+):(-?\d+)(?::(-?\d+))?")
_RANGE = re.compile(r"(log:)?([^.]*(?:\.\d+[^.]*)?)\.\.(.+)")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Strict):
    """Values from `low` to `high`, of equal weight or of equal weight on a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be positive on a logarithmic scale, got {self.low}")
        return self

    def at(self, share: np.ndarray, *, whole: bool = False) -> np.ndarray:
        """Values at shares from 0 (included) to 1 (not) of the way; whole ones up to `high`."""
        low, high = self.low, self.high + whole
        values = low * (high / low) ** share if self.log else low + (high - low) * share
        return np.floor(values).astype(int) if whole else values


class Sample(_Strict):
    """Points drawn from ranges, or from the grid where there are none."""

    points: int = Field(ge=1, le=_MOST, strict=True)
    method: Literal["sobol", "random"] = "sobol"
    seed: int = Field(default=0, ge=0, strict=True)
    ranges: dict[str, Range] = {}


class Sweep(_Strict):
    """A sweep as a file of notebooks/sweeps states it."""

    chapter: str
    title: str = ""
    fixed: dict[str, Any] = {}
    grid: dict[str, list[Any] | str] = {}
    zip: dict[str, list[Any] | str] = {}
    sample: Sample | None = None
    results: list[str] = []  # recorded names that are published; all if empty

    @field_validator("grid", "zip", mode="before")
    @classmethod
    def _columns(cls, given: Any) -> Any:
        for name, value in given.items() if isinstance(given, dict) else ():
            if not isinstance(value, list | str):
                raise ValueError(
                    f"{name} must be a list, or a text such as '0:100' in quotes, got {value!r}"
                )
        return given


class _Loader(yaml.SafeLoader):
    """YAML in which no key is given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class Plan:
    """Points of a sweep.

    Attributes
    ----------
    notebook : Path
    varied : tuple of str
        Parameters that differ between points, in the order of the request.
    points : tuple of dict
        Values that differ from the chapter's defaults, each combination once.
    defaults : dict
        The chapter's values of the parameters that are varied.
    """

    notebook: Path
    varied: tuple[str, ...]
    points: tuple[dict[str, Any], ...]
    defaults: dict[str, Any]

    def __len__(self) -> int:
        return len(self.points)

    def values(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What a point sets: all that varies, and all that differs from the defaults."""
        return {**self.defaults, **point}


def read_sweep(path: Path) -> Sweep:
    """A sweep file, checked.

    Raises
    ------
    ValueError
        The file is no YAML of the right form.
    """
    try:
        stated = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        return Sweep.model_validate(stated)
    except ValidationError as error:
        wrong = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        said = "; ".join(f"{place}: {message}" if place else message for place, message in wrong)
        raise ValueError(f"{path.name}: {said}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _values(
    known: Mapping[str, Parameter], name: str, value: Any, *, once: bool = True
) -> list[Any]:
    """The values of one parameter: a list, or whole numbers as "start:stop[:step]"."""
    if isinstance(value, str):
        steps = _STEPS.fullmatch(value)
        if steps is None:
            raise UnknownParameter(
                f"parameter {name} must be a list of values or START:STOP[:STEP], got {value!r}"
            )
        start, stop, step = (int(x) if x else 1 for x in steps.groups())
        if step == 0:
            raise UnknownParameter(f"parameter {name}: the step of {value!r} must not be 0")
        value = range(start, stop, step)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, Sequence):
        raise UnknownParameter(f"parameter {name} must be a list of values, got {value!r}")
    if not len(value):
        raise UnknownParameter(f"parameter {name} must have at least one value")
    if len(value) > _MOST:
        raise UnknownParameter(f"parameter {name} has more than a million values")
    checked = [typed(known[name], one) for one in value]
    seen = set()
    for one in map(repr, checked) if once else ():
        if one in seen:
            raise UnknownParameter(f"parameter {name} has the value {one} twice")
        seen.add(one)
    return checked


def _drawn(known: Mapping[str, Parameter], sample: Sample) -> list[dict[str, Any]]:
    """Points of the ranges, as the types of the defaults."""
    from scipy.stats import qmc  # over a second, and chapters import this module to record

    names = list(sample.ranges)
    for name in names:
        if type(known[name].default) not in (int, float):
            raise UnknownParameter(f"parameter {name} is no number, it has no range")
        span = sample.ranges[name]
        if isinstance(known[name].default, int):
            for bound in (span.low, span.high):
                if not bound.is_integer() or abs(bound) > _EXACT:
                    raise UnknownParameter(
                        f"parameter {name} is a whole number, its range cannot end at {bound:g}"
                    )
    if sample.method == "sobol":
        engine = qmc.Sobol(len(names), scramble=True, rng=np.random.default_rng(sample.seed))
        shares = engine.random_base2(max(sample.points - 1, 0).bit_length())[: sample.points]
    else:
        shares = np.random.default_rng(sample.seed).random((sample.points, len(names)))
    columns = []
    for name, share in zip(names, shares.T, strict=True):
        whole = isinstance(known[name].default, int)
        columns.append(sample.ranges[name].at(share, whole=whole).tolist())
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def plan(
    notebook: str | Path,
    grid: Mapping[str, Any] | None = None,
    *,
    zip_: Mapping[str, Any] | None = None,
    sample: Sample | None = None,
    fixed: Mapping[str, Any] | None = None,
) -> Plan:
    """All points of a sweep, each checked against the chapter's parameters.

    Parameters
    ----------
    notebook : str or Path
        Name of a chapter, or path of its notebook.
    grid : mapping of str to list or str
        Values of which all combinations are taken; ``"0:100"`` stands for whole numbers.
    zip_ : mapping of str to list or str
        Values that go together, of one length.
    sample : Sample, optional
        Of ranges, combined with the rest; or, without ranges, of the combinations.
    fixed : mapping
        Values for all points.

    Raises
    ------
    UnknownParameter
        A parameter that the chapter does not have, or a value of the wrong type.
    ValueError
        There is nothing to vary, a parameter is named twice, columns that go together differ in
        length, or there are more than a million points.
    """
    path = notebook_path(notebook)
    known = parameters(path)
    product, together, constant = dict(grid or {}), dict(zip_ or {}), dict(fixed or {})
    ranges = dict(sample.ranges) if sample else {}
    names = [*product, *together, *ranges]
    refuse_unknown(known, [*names, *constant], path.stem)
    for name in [*names, *constant]:
        if [*names, *constant].count(name) > 1:
            raise ValueError(f"parameter {name} is varied in two ways")
    if not names:
        raise ValueError("grid: a sweep needs at least one parameter that varies")
    constant = {name: typed(known[name], value) for name, value in constant.items()}
    columns = {name: _values(known, name, value) for name, value in product.items()}
    rows = {name: _values(known, name, value, once=False) for name, value in together.items()}
    if len({len(column) for column in rows.values()}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in rows.items())
        raise ValueError(f"zip: values that go together must be of one number, got {lengths}")
    factors: list[list[dict[str, Any]]] = [
        [{name: value} for value in values] for name, values in columns.items()
    ]
    if rows:
        factors.append(
            [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
        )
    if ranges and sample is not None:
        factors.append(_drawn(known, sample))
    shape = [len(factor) for factor in factors]
    total = math.prod(shape)
    picked: Iterable[int] = range(total)
    if sample is not None and not ranges:
        if sample.points > total:
            raise ValueError(f"sample: {sample.points} points of {total} combinations")
        chosen = np.random.default_rng(sample.seed).choice(total, sample.points, replace=False)
        picked, total = sorted(chosen.tolist()), sample.points
    if total > _MOST:
        raise ValueError(f"grid: {total:,} points are more than a million")
    points = []
    for index in picked:
        values = dict(constant)
        for part, place in zip(factors, np.unravel_index(index, shape), strict=True):
            values |= part[place]
        points.append(check(known, values, path.stem))
    unique = {repr(sorted(point.items())): point for point in points}
    defaults = {name: known[name].default for name in names}
    return Plan(path, tuple(names), tuple(unique.values()), defaults)


def from_options(
    notebook: str | Path,
    options: Sequence[str],
    sample: Sample | None = None,
    fixed: Mapping[str, Any] | None = None,
) -> Plan:
    """A plan from texts such as ``fee_bps=0,1,2``, ``seed=0:100`` and ``decay=log:0.1..10``.

    Parameters
    ----------
    sample : Sample, optional
        Number of points, method and seed; its ranges are those of the texts.

    Raises
    ------
    UnknownParameter, ValueError
        As `plan`; a text has no equals sign.
    """
    known = parameters(notebook)
    grid: dict[str, Any] = {}
    ranges: dict[str, Range] = {}
    for text in options:
        name, equals, given = text.partition("=")
        if not equals or not given:
            raise ValueError(f"grid: {text!r} is not NAME=VALUE,VALUE,...")
        if name in grid or name in ranges:
            raise ValueError(f"parameter {name} is varied in two ways")
        number = name in known and type(known[name].default) in (int, float)
        span = _RANGE.fullmatch(given) if number else None
        if span:
            low, high = (float(parse(notebook, {name: x})[name]) for x in span.groups()[1:])
            ranges[name] = Range(low=low, high=high, log=bool(span[1]))
        elif number and _STEPS.fullmatch(given):
            grid[name] = given
        elif name in known and isinstance(known[name].default, list | tuple):
            try:
                grid[name] = list(ast.literal_eval(f"[{given}]"))
            except (ValueError, SyntaxError):
                raise UnknownParameter(
                    f"parameter {name} must be lists such as [1,2],[3], got {given!r}"
                ) from None
        else:
            grid[name] = [parse(notebook, {name: one})[name] for one in given.split(",")]
    if ranges and sample is None:
        raise ValueError(f"sample: the range of {next(iter(ranges))} needs a number of points")
    drawn = None if sample is None else sample.model_copy(update={"ranges": ranges})
    return plan(notebook, grid, sample=drawn, fixed=fixed)
