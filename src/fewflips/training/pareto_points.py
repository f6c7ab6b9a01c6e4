"""Energy against accuracy as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.records.record import Record
from fewflips.training.result import Percent
from fewflips.version import __version__


class Pair(Record):
    """One figure per inference: for the network as stored, and in the orders that ``fewflips optimize`` finds."""

    natural: Annotated[float, Field(ge=0)]
    ordered: Annotated[float, Field(ge=0)]


class ParetoPoint(Record):
    """One strength of the HD term; ``point.json`` in the folder of its run."""

    strength: Annotated[float, Field(ge=0)]
    model_sha256: str
    accelerator: str
    accuracy_percent: Annotated[
        Percent, Field(description="accuracy of model.onnx on all test images, in ONNX Runtime")
    ]
    flips: Annotated[Pair, Field(description="of the weights in one inference, between passes included")]
    estimated: Annotated[Pair | None, Field(description="data energy, pJ; null if no calibration matches")] = None
    simulated: Annotated[Pair | None, Field(description="data energy at gate level, pJ; null without it")] = None


class ParetoFront(Record):
    """All strengths; ``pareto.json``."""

    format: Literal["fewflips-pareto"] = "fewflips-pareto"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")] = __version__
    accelerator: str
    points: tuple[ParetoPoint, ...]
