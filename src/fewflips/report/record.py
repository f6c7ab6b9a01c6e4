"""What all records of reports have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """An immutable record without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelFile(Record):
    """The model that was read."""

    file: Annotated[str, Field(description="file name, without its folder")]
    format: Literal["tflite", "onnx"]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
