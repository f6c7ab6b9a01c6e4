"""Limits on a network's flips and energy, as a file holds them for ``fewflips check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from fewflips.errors import InputError
from fewflips.files.input_files import read_plain, size_of
from fewflips.files.settings_text import LARGEST_BYTES, parse_settings
from fewflips.files.validation import bounded_text, describe_validation_error
from fewflips.records.record import Record

_Limit = Annotated[float | None, Field(ge=0, description="the most that is allowed; null for no limit")]


class Limits(Record):
    """The most that one inference may take, of a layer or of all: fields as in a check's quantities."""

    weight_flips: _Limit = None
    activation_flips: _Limit = None
    estimated_pj: _Limit = None
    data_pj: _Limit = None
    datapath_pj: _Limit = None
    whole_pj: _Limit = None
    weight_flips_per_mac: Annotated[_Limit, Field(description="weight flips / MACs")] = None
    activation_flips_per_mac: Annotated[_Limit, Field(description="activation flips / MACs")] = None
    estimated_fj_per_mac: Annotated[_Limit, Field(description="estimated data energy / MACs, in fJ")] = None
    data_fj_per_mac: Annotated[_Limit, Field(description="data energy at gate level / MACs, in fJ")] = None


class NetworkBudget(Record):
    """Limits on a network and on its layers."""

    format: Literal["fewflips-budget"] = "fewflips-budget"
    version: Literal[1] = 1
    accelerator: Annotated[
        str | None, Field(description="built-in machine or YAML file, as for --accelerator; null for edge16")
    ] = None
    network: Annotated[Limits, Field(description="of all layers together")] = Limits()
    every_layer: Annotated[Limits, Field(description="of each layer that has no limit of its own")] = Limits()
    layers: Annotated[
        dict[str, Limits],
        Field(default_factory=dict, description="by a layer's name, or a pattern of names with * and ?"),
    ]


def read_budget(path: str | Path) -> NetworkBudget:
    """Read a budget from a YAML or JSON file.

    Parameters
    ----------
    path : str or Path
        The file; JSON is read as YAML, of which it is a part.

    Returns
    -------
    NetworkBudget
        The limits.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a budget.
    """
    file = Path(path)
    try:
        if size_of(file) > LARGEST_BYTES:
            raise InputError(f"{file}: expected a budget of at most {LARGEST_BYTES} bytes")
        text = read_plain(file).decode()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: expected UTF-8 text: {error}") from error
    try:
        content = parse_settings(text, "YAML")
    except ValueError as error:
        raise InputError(f"{file}: not valid YAML or JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected keys such as network, every_layer, layers; got {bounded_text(content)}")
    try:
        return NetworkBudget.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{file}: {describe_validation_error(error, NetworkBudget)}") from error
