"""Figures of all variants as data: ``reproduction_layers.json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.records.energy import CellsRecord, DatapathRecord
from fewflips.records.record import Count, Record
from fewflips.training.result import Percent, TrainingResult
from fewflips.version import __version__

from .networks import Training, Variant

Picojoules = Annotated[float, Field(gt=0, description="of one inference")]


class Energies(Record):
    """Energy of a layer or of all, in the cells of one library."""

    zero_delay_data_pj: Picojoules
    zero_delay_total_pj: Annotated[Picojoules, Field(description="with clock and leakage")]
    inertial_data_pj: Annotated[Picojoules, Field(description="glitches included")]
    inertial_total_pj: Picojoules
    ci95_percent: Annotated[float, Field(ge=0, description="half width of the 95 % interval of the data energy")]


class LayerFigures(Record):
    """One layer of a variant."""

    name: str
    macs: Count
    depthwise: bool
    flips: Annotated[Count, Field(description="of the weights within passes, in one inference")]
    seam_flips: Annotated[Count, Field(description="of the weights from one pass to the next, in one inference")]
    energies: Annotated[dict[str, Energies], Field(description="by cell library")]


class VariantFigures(Record):
    """A network in one of its orders."""

    variant: Variant
    bits: Count
    seed: Count
    network: str
    accuracy_percent: Percent
    flips: Annotated[Count, Field(description="of the weights within passes, in one inference")]
    seam_flips: Annotated[Count, Field(description="of the weights from one pass to the next, in one inference")]
    total: dict[str, Energies]
    layers: tuple[LayerFigures, ...]


class NetworkFigures(Record):
    """A trained network."""

    name: str
    bits: Count
    seed: Count
    training: Training
    model_sha256: str
    model_bytes: Count
    accuracy_percent: Annotated[Percent, Field(description="on all test images, in ONNX Runtime")]
    units: Annotated[dict[str, DatapathRecord], Field(description="simulated, by cell library")]
    seconds: Annotated[float, Field(ge=0, description="that schedule and energies took")]
    run: Annotated[TrainingResult | None, Field(description="its training; null where that is not kept")]


class Reproduction(Record):
    """Everything that the page is made of."""

    format: Literal["fewflips-reproduction"] = "fewflips-reproduction"
    version: Literal[1] = 1
    fewflips: str = __version__
    accelerator: str
    clock_mhz: float
    samples: Annotated[Count, Field(description="inferences, of which energies are the mean")]
    share: Annotated[float, Field(gt=0, le=1, description="share of the cycles that was to be simulated with delays")]
    cells: Annotated[dict[str, CellsRecord], Field(description="by name; the first is that of the headline")]
    networks: tuple[NetworkFigures, ...]
    variants: tuple[VariantFigures, ...]
