"""A space of machines as a YAML file: a base machine, and what may vary of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fewflips.errors import InputError
from fewflips.files.settings_text import LARGEST_BYTES, parse_settings
from fewflips.files.validation import bounded_text, describe_validation_error
from fewflips.machine import Accelerator
from fewflips.records.exploration import Measure

Orders = Literal["natural", "schedule", "drop-in"]
"""In which order words stream: as stored, each segment in its own order, or channels moved within the model."""

EffortName = Literal["quick", "default", "prove"]
"""Work limit of the solver of orders; see :class:`fewflips.ordering.Effort`."""

SETTINGS = ("orders", "cells", "clock_mhz")
"""What may vary beside the machine's own keys."""


class Constraint(BaseModel):
    """What a measure may be at most, and at least."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_most: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.at_most is None and self.at_least is None:
            raise ValueError("expected at_most, at_least or both")
        if self.at_most is not None and self.at_least is not None and self.at_most < self.at_least:
            raise ValueError(f"expected at_least up to at_most, got {self.at_least:g} and {self.at_most:g}")
        return self

    def allows(self, value: float) -> bool:
        """Whether a value is within the limits."""
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def excess(self, value: float) -> float:
        """By how much a value misses the limits, relative to the limit; 0 if it does not."""
        over = 0.0 if self.at_most is None else (value - self.at_most) / max(abs(self.at_most), 1e-12)
        under = 0.0 if self.at_least is None else (self.at_least - value) / max(abs(self.at_least), 1e-12)
        return max(over, under, 0.0)


Values = Annotated[list[Any], Field(min_length=1)]
Named = Annotated[dict[str, dict[str, Any]], Field(min_length=1)]


class Space(BaseModel):
    """What may vary, and what is sought.

    Attributes
    ----------
    name : str
        Name in reports.
    machine : str or dict
        The base: a built-in machine's name, a YAML file (relative to the space's), or the machine itself.
    vary : dict
        Values by what they are given to: a key of the machine's YAML, dotted where it lies deeper
        (``datapath.adder``), or ``orders``, ``cells``, ``clock_mhz``. A mapping in place of a list names its values,
        each of which gives several keys at once. For ``dataflow`` a value may itself be a list: a machine that has
        several, from which each layer takes the cheapest.
    objectives : tuple of str
        Measures to be minimized, the most important first.
    constraints : dict
        Limits of measures.
    networks : dict of str to float
        Inferences of each network, by its file's name; 1 where it is left out.
    effort : {"quick", "default", "prove"}
        Work limit of the solver of orders.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=60)] = "space"
    machine: str | dict[str, Any] = "edge16"
    vary: Annotated[dict[str, Values | Named], Field(min_length=1)]
    objectives: Annotated[tuple[Measure, ...], Field(min_length=1)] = ("whole_pj", "area_um2")
    constraints: dict[Measure, Constraint] = {}
    networks: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    effort: EffortName = "quick"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"objectives: expected each once, got {', '.join(self.objectives)}")
        if "slack_ns" in self.objectives:
            raise ValueError("objectives: slack_ns is better the larger it is; give critical_path_ns, or a constraint")
        set_by: dict[str, str] = {}
        for name, values in self.vary.items():
            keys = {name} if isinstance(values, list) else {key for settings in values.values() for key in settings}
            for key in sorted(keys):
                _check_key(key, name)
                if set_by.setdefault(key, name) != name:
                    raise ValueError(f"vary: {key} is given by both {set_by[key]} and {name}; expected one of them")
        return self


def _check_key(key: str, name: str) -> None:
    known = (*SETTINGS, *Accelerator.model_fields)
    if key.split(".")[0] not in known or (key in SETTINGS and "." in key):
        where = "" if key == name else f"{name}: "
        raise ValueError(f"vary: {where}expected a key of a machine or {', '.join(SETTINGS)}, got {key}")


def load_space(path: Path) -> Space:
    r"""Read a space.

    Parameters
    ----------
    path : Path
        A YAML file. Files that it names are relative to its folder.

    Returns
    -------
    Space
        Checked as far as possible without its machines.

    Raises
    ------
    InputError
        If the file cannot be read or is not a space.

    Examples
    --------
    >>> text = "machine: edge4\nvary: {lanes: [2, 4]}\nobjectives: [datapath_pj]"
    >>> _ = Path("space.yaml").write_text(text)
    >>> fewflips.load_space(Path("space.yaml")).vary
    {'lanes': [2, 4]}
    """
    path = Path(path)
    try:
        if not os.path.isfile(path):
            raise InputError(f"{path}: expected a YAML file with a space of machines, got no such file")
        if os.path.getsize(path) > LARGEST_BYTES:
            raise InputError(f"{path}: expected a YAML file of at most {LARGEST_BYTES} bytes")
        content = parse_settings(path.read_text(encoding="utf-8"), "YAML")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected keys such as machine, vary, objectives; got {bounded_text(content)}")
    return _relative_to(space_of(content, str(path)), path.parent)


def space_of(content: dict[str, Any], source: str) -> Space:
    """A space from the content of its file.

    Parameters
    ----------
    content : dict
        As in YAML.
    source : str
        Where it is from, for errors.

    Raises
    ------
    InputError
        If it is not a space.
    """
    try:
        return Space.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{source}: {describe_validation_error(error, Space)}") from error


def _relative_to(space: Space, folder: Path) -> Space:
    """The space with its files found from here."""

    def found(name: object) -> Any:
        is_file = isinstance(name, str) and os.path.isfile(folder / name)
        return str(folder / str(name)) if is_file else name

    vary: dict[str, Any] = dict(space.vary)
    if isinstance(vary.get("cells"), list):
        vary["cells"] = [found(name) for name in vary["cells"]]
    return space.model_copy(update={"machine": found(space.machine), "vary": vary})


def is_orders(value: object) -> bool:
    """Whether a value names orders."""
    return value in get_args(Orders)
