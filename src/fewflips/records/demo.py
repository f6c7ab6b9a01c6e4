"""The demonstration as data: the output of ``fewflips demo --json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fewflips.machine import Accelerator
from fewflips.records.calibration import CalibrationRecord, EnergyPair
from fewflips.records.energy import CellsRecord, DatapathRecord, LayerEnergy
from fewflips.records.model_file import ModelFile
from fewflips.records.record import Count, Record

NetworkName = Literal["baseline", "HD-trained"]
OrderName = Literal["natural", "scheduled"]
Share = Annotated[float, Field(gt=0, le=1)]


class DemoVariant(Record):
    """One network in one order."""

    network: NetworkName
    order: OrderName
    model: ModelFile
    accuracy_percent: Annotated[
        float | None, Field(ge=0, le=100, description="test accuracy stated in the file; null if not stated")
    ]
    weight_flips: Annotated[Count, Field(description="of one inference, within passes")]
    estimated_energy: Annotated[
        EnergyPair | None, Field(description="data energy estimated from flips; null if no calibration matches")
    ]
    simulated_energy: Annotated[
        LayerEnergy | None, Field(description="at gate level, all layers; null if not simulated")
    ]


class DemoSimulation(Record):
    """How energy was simulated at gate level."""

    clock_mhz: Annotated[float, Field(gt=0, description="clock frequency, which sets how long each cycle leaks")]
    inputs: Annotated[Count, Field(description="number of sample inputs simulated, from the first")]
    inputs_given: Annotated[Count, Field(description="number of sample inputs available")]
    share: Annotated[Share, Field(description="share of the cycles of long layers to simulate with delays")]
    sampled_share: Annotated[Share, Field(description="minimum share of the cycles simulated with delays")]
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
    simulation: Annotated[DemoSimulation | None, Field(description="null if energy was not simulated")]
    notes: tuple[str, ...] = ()
