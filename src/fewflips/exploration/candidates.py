"""The machines of a space, by their number; those that contradict themselves say why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from fewflips.buffers import check_can_schedule
from fewflips.errors import AcceleratorError, InputError
from fewflips.exploration.space import SETTINGS, Orders, Space, is_orders
from fewflips.files.validation import bounded_text, describe_validation_error
from fewflips.machine import Accelerator, load_accelerator

_DEFAULTS: dict[str, Any] = {"orders": "natural", "cells": "nangate45", "clock_mhz": 200.0}
_CLOCK_MHZ = (1e-3, 1e5)


class Contradiction(InputError):
    """A machine of the space that cannot be: the message says why."""


@dataclass(frozen=True)
class Choice:
    """A value of a dimension.

    Parameters
    ----------
    label : str
        What reports call it.
    settings : mapping of str to object
        Value of each key that it gives.
    """

    label: str
    settings: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Dimension:
    """One thing that varies.

    Parameters
    ----------
    name : str
        Its key in the space's file.
    choices : tuple of Choice
        At least one, with different labels.
    """

    name: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A machine of the space, with everything that its energy depends on.

    Parameters
    ----------
    index : int
        Its number in the space; -1 for one from outside.
    digits : tuple of int
        Which choice of each dimension; empty for one from outside.
    labels : dict of str to str
        The choice of each dimension that has more than one.
    modes : tuple of Accelerator
        The machine, once for each of its dataflows.
    orders : {"natural", "schedule", "drop-in"}
        In which order words stream.
    cells : str
        Cell library.
    clock_mhz : float
        Clock frequency.
    """

    index: int
    digits: tuple[int, ...]
    labels: dict[str, str] = field(repr=False)
    modes: tuple[Accelerator, ...]
    orders: Orders
    cells: str
    clock_mhz: float


class Machines:
    """All machines of a space; each has a number, and is made when it is asked for.

    Parameters
    ----------
    space : Space
        The space.

    Raises
    ------
    FewflipsError
        If the base machine cannot be read.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        base = space.machine
        self._base: dict[str, Any] = (
            load_accelerator(base).model_dump(mode="json") if isinstance(base, str) else dict(base)
        )
        self.dimensions = tuple(_dimension(name, values) for name, values in space.vary.items())
        self.count = math.prod(len(dimension.choices) for dimension in self.dimensions)

    @property
    def first_settings(self) -> dict[str, Any]:
        """The first orders, cells and clock of the space."""
        first = {key: value for one in self.dimensions for key, value in one.choices[0].settings.items()}
        return {name: first.get(name, _DEFAULTS[name]) for name in SETTINGS}

    def __iter__(self) -> Iterator[Candidate | Contradiction]:
        """Every machine in the order of the numbers, or why it cannot be."""
        for index in range(self.count):
            try:
                yield self.candidate(self.digits_of(index))
            except Contradiction as contradiction:
                yield contradiction

    def digits_of(self, index: int) -> tuple[int, ...]:
        """Which choice of each dimension a number stands for; the last dimension varies fastest."""
        digits: list[int] = []
        for dimension in reversed(self.dimensions):
            index, digit = divmod(index, len(dimension.choices))
            digits.append(digit)
        return tuple(reversed(digits))

    def index_of(self, digits: Sequence[int]) -> int:
        """The number of a machine with these choices."""
        index = 0
        for dimension, digit in zip(self.dimensions, digits, strict=True):
            index = index * len(dimension.choices) + digit
        return index

    def candidate(self, digits: Sequence[int]) -> Candidate:
        """The machine with these choices.

        Parameters
        ----------
        digits : sequence of int
            Which choice of each dimension.

        Returns
        -------
        Candidate
            Validated.

        Raises
        ------
        Contradiction
            If there can be no such machine.
        """
        chosen = [dimension.choices[digit] for dimension, digit in zip(self.dimensions, digits, strict=True)]
        settings = {key: value for choice in chosen for key, value in choice.settings.items()}
        index = self.index_of(digits)
        description = _copied(self._base)
        description["name"] = f"{self.space.name}-{index}"
        for key, value in settings.items():
            if key not in SETTINGS and key != "dataflow":
                _give(description, key.split("."), value, key)
        flows = settings.get("dataflow", description.get("dataflow", "activation-stationary"))
        modes = tuple(_machine(description, flow) for flow in _dataflows(flows))
        given = {name: settings.get(name, _DEFAULTS[name]) for name in SETTINGS}
        labels = {
            dimension.name: choice.label
            for dimension, choice in zip(self.dimensions, chosen, strict=True)
            if len(dimension.choices) > 1
        }
        return checked(Candidate(index, tuple(digits), labels, modes, **given))


def checked(candidate: Candidate) -> Candidate:
    """A candidate whose settings fit its machine.

    Raises
    ------
    Contradiction
        If they do not.
    """
    if not is_orders(candidate.orders):
        raise Contradiction(f"orders: expected {', '.join(get_args(Orders))}, got {bounded_text(candidate.orders)}")
    if not isinstance(candidate.cells, str):
        raise Contradiction(f"cells: expected a name or a file, got {bounded_text(candidate.cells)}")
    clock = candidate.clock_mhz
    if isinstance(clock, bool) or not isinstance(clock, int | float) or not _CLOCK_MHZ[0] <= clock <= _CLOCK_MHZ[1]:
        raise Contradiction(
            f"clock_mhz: expected {_CLOCK_MHZ[0]:g} to {_CLOCK_MHZ[1]:g} MHz, got {bounded_text(clock)}"
        )
    if candidate.orders == "schedule":
        try:
            check_can_schedule(candidate.modes[0])
        except AcceleratorError as error:
            raise Contradiction(_without_name(error, candidate.modes[0])) from error
    return candidate


def _without_name(error: InputError, machine: Accelerator) -> str:
    """What is wrong, the same for all machines of which it is true."""
    return str(error).removeprefix(f"{machine.name}: ")


def _machine(description: dict[str, Any], flow: object) -> Accelerator:
    try:
        return Accelerator.model_validate({**description, "dataflow": flow})
    except ValidationError as error:
        raise Contradiction(describe_validation_error(error)) from error


def _dataflows(value: object) -> list[object]:
    """One dataflow, or those that a machine has."""
    if not isinstance(value, list):
        return [value]
    if not value or any(value.count(one) > 1 for one in value):
        raise Contradiction(f"dataflow: expected different dataflows, got {bounded_text(value)}")
    return value


def _give(description: dict[str, Any], path: list[str], value: object, key: str) -> None:
    """Give a value to a key that may lie deeper in a description."""
    place: Any = description
    for name in path[:-1]:
        if isinstance(place, list):
            place = _item(place, name, key)
            continue
        if place.get(name) is None:
            place[name] = {}
        place = place[name]
        if not isinstance(place, dict | list):
            raise Contradiction(f"{key}: expected keys under {name}, got {bounded_text(place)}")
    if isinstance(place, list):
        _item(place, path[-1], key)
        place[int(path[-1])] = _copied(value)
    else:
        place[path[-1]] = _copied(value)


def _copied(value: Any) -> Any:
    """A copy in which no part stands in two places, as parts do that a YAML file names by an anchor."""
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value


def _item(items: list[Any], name: str, key: str) -> Any:
    if not name.isdecimal() or int(name) >= len(items):
        raise Contradiction(f"{key}: expected a number below {len(items)}, got {bounded_text(name)}")
    return items[int(name)]


def _dimension(name: str, values: list[Any] | dict[str, dict[str, Any]]) -> Dimension:
    if isinstance(values, dict):
        return Dimension(name, tuple(Choice(label, settings) for label, settings in values.items()))
    choices = tuple(Choice(_label(value), {name: value}) for value in values)
    labels = [choice.label for choice in choices]
    if (twice := next((label for label in labels if labels.count(label) > 1), None)) is not None:
        raise InputError(f"vary: {name}: expected different values, got {twice} {labels.count(twice)} times")
    return Dimension(name, choices)


def _label(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return " or ".join(value)
    return str(yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n")).strip()
