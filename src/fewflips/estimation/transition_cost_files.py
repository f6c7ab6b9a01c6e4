"""Reads what a transition costs from a file: written by hand, or made by ``fewflips calibrate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictInt, ValidationError

from fewflips.errors import InputError
from fewflips.estimation.calibration_files import read_calibration
from fewflips.estimation.transition_costs import EnergyCost, transition_cost_of
from fewflips.files.atomic import atomic_write
from fewflips.files.input_files import read_plain, size_of
from fewflips.files.json_text import parse_json
from fewflips.files.settings_text import LARGEST_BYTES, parse_settings
from fewflips.files.validation import describe_validation_error
from fewflips.streams.transition_cost import TransitionCost

_LARGEST_JSON_BYTES = 1 << 26
_REMEDY = "give a YAML or JSON file with bit_costs or table (docs/transition_costs.md), or a calibration.json"


class _Costs(BaseModel):
    """Content of a file of costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bit_costs: tuple[StrictInt, ...] | None = None
    table: tuple[tuple[StrictInt, ...], ...] | None = None
    joules_per_unit: float | None = None


def read_transition_cost(source: str | Path) -> TransitionCost:
    """What a transition between two codes of weights costs, as a file says.

    Parameters
    ----------
    source : str or Path
        YAML or, by its suffix, JSON, with `bit_costs` (one integer per bit, least significant first) or `table` (one
        row per code), and perhaps `joules_per_unit`; or a ``calibration.json``, whose energies of flips are rounded to
        integers (:func:`~fewflips.estimation.transition_costs.transition_cost_of`).

    Returns
    -------
    TransitionCost
        The cost.

    Raises
    ------
    InputError
        If the file cannot be read, or holds no such costs.
    """
    path = Path(source)
    try:
        content = _content(path)
        if isinstance(content, dict) and content.get("format") == "fewflips-calibration":
            return transition_cost_of(read_calibration(path)).cost
        costs = _Costs.model_validate(content)
        if (costs.bit_costs is None) == (costs.table is None):
            raise ValueError("expected either bit_costs or table")
        return (
            TransitionCost.from_table(costs.table)
            if costs.table is not None
            else TransitionCost.per_bit(costs.bit_costs)
        )
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; {_REMEDY}") from error
    except ValidationError as error:
        raise InputError(f"{path}: {' '.join(describe_validation_error(error).split()):.400}; {_REMEDY}") from error
    except (ValueError, InputError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split()):.400}; {_REMEDY}") from error


def write_transition_cost(energy: EnergyCost, path: str | Path) -> None:
    """Write a cost that stands for energy to a file that :func:`read_transition_cost` reads.

    Parameters
    ----------
    energy : EnergyCost
        The cost.
    path : str or Path
        JSON; replaced if it exists.

    Raises
    ------
    InputError
        If the name does not end in ``.json``.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    check_cost_file_name(path)
    cost = energy.cost
    content: dict[str, Any] = {"joules_per_unit": energy.joules_per_unit}
    if cost.table is not None:
        content["table"] = cost.table.tolist()
    elif cost.bit_costs is not None:
        content["bit_costs"] = cost.bit_costs.tolist()
    atomic_write(path, (json.dumps(content) + "\n").encode())


def check_cost_file_name(path: Path) -> None:
    """Refuse a file whose name does not end in ``.json``, by which it is known to be JSON when it is read."""
    if path.suffix.lower() != ".json":
        raise InputError(f"{path}: expected a file of costs to end in .json; choose another name")


def _content(path: Path) -> Any:
    is_json = path.suffix.lower() == ".json"
    most = _LARGEST_JSON_BYTES if is_json else LARGEST_BYTES
    if size_of(path) > most:
        raise ValueError(f"expected at most {most} bytes, got more")
    content = read_plain(path)
    return parse_json(content) if is_json else parse_settings(content.decode(), "YAML")
