"""The demonstration as data: what ``fewflips demo --json`` prints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.accelerator import Accelerator
from fewflips.calibration.model import CalibrationRecord, EnergyPair
from fewflips.report.energy_model import CellsRecord, DatapathRecord, LayerEnergy
from fewflips.report.record import Count, ModelFile, Record

NetworkName = Literal["baseline", "HD-trained"]
OrderName = Literal["natural", "scheduled"]
Share = Annotated[float, Field(gt=0, le=1)]


class DemoVariant(Record):
    """One network in one order."""

    network: NetworkName
    order: OrderName
    model: ModelFile
    accuracy_percent: Annotated[
        float | None, Field(ge=0, le=100, description="on the test images, as the file states it; null: it does not")
    ]
    weight_flips: Annotated[Count, Field(description="of one inference, within passes")]
    estimated_energy: Annotated[
        EnergyPair | None, Field(description="data energy from flips; null where no calibration fits")
    ]
    simulated_energy: Annotated[
        LayerEnergy | None, Field(description="gate level, all layers; null where it was not simulated")
    ]


class DemoSimulation(Record):
    """How energy was simulated at gate level."""

    clock_mhz: Annotated[float, Field(gt=0, description="for leakage")]
    inputs: Annotated[Count, Field(description="sample inputs that were simulated, the first ones")]
    inputs_given: Annotated[Count, Field(description="sample inputs that there are")]
    share: Annotated[Share, Field(description="share of the cycles of long layers to simulate with delays")]
    sampled_share: Annotated[Share, Field(description="share of all cycles that was simulated with delays, at least")]
    seed: Count
    datapath: Annotated[DatapathRecord, Field(description="the same unit for both networks")]
    cells: CellsRecord


class DemoReport(Record):
    """Result of ``fewflips demo``."""

    format: Literal["fewflips-demo"] = "fewflips-demo"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    accelerator: Accelerator
    variants: Annotated[
        tuple[DemoVariant, ...], Field(min_length=1, description="what the others are compared with first")
    ]
    calibration: Annotated[CalibrationRecord | None, Field(description="what the estimates rest on")]
    simulation: Annotated[DemoSimulation | None, Field(description="null where energy was not simulated")]
    notes: tuple[str, ...] = ()
