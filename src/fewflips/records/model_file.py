"""The model file that a record describes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fewflips.network import Network
from fewflips.records.record import Record
from fewflips.visible import printable_name


class ModelFile(Record):
    """The model that was read."""

    file: Annotated[str, Field(description="file name, without its folder")]
    format: Annotated[str, Field(description="name of its reader: tflite, onnx, or that of a registered one")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def model_file(network: Network) -> ModelFile:
    """The record of a model file."""
    return ModelFile(file=printable_name(network.path.name), format=network.file_format, sha256=network.sha256)
