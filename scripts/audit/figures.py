"""The audit as data: ``audit.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from fewflips.errors import InputError
from fewflips.files.validation import describe_validation_error
from fewflips.records.record import Count, Record
from fewflips.version import __version__

from .setups import Order

Picojoules = Annotated[float, Field(gt=0, description="of one inference, glitches included")]


class OrderFigures(Record):
    """A network in one of its orders."""

    data_pj: Picojoules
    total_pj: Annotated[Picojoules, Field(description="with clock and leakage")]
    ci95_percent: Annotated[float, Field(ge=0, description="half width of the 95 % interval of the data energy")]
    layer_data_pj: tuple[Picojoules, ...]
    traffic_bits: Annotated[dict[str, Count], Field(description="moved between array and buffers in one inference")]


class Run(Record):
    """A network on a setup."""

    network: str
    machine: str
    cells: str
    unit: Annotated[str | None, Field(description="null for the machine's default")]
    weight_bits: Annotated[Count | None, Field(description="of the machine; null: as the file stores them")] = None
    model_sha256: str
    cells_sha256: str
    netlist_cells: Count
    area_um2: float
    samples: Annotated[Count, Field(description="inferences, of which energies are the mean")]
    layers: tuple[str, ...]
    index_table_bits: Annotated[Count, Field(description="of all orders of the schedule")]
    orders: dict[Order, OrderFigures]


class WeightFigures(Record):
    """What the weights of a network are, apart from their order."""

    network: str
    parameters: Count
    weight_bits: Count
    zero_share: Annotated[float, Field(ge=0, le=1)]
    entropy_bits: Annotated[float, Field(ge=0, description="of a code, all layers together")]


class AccuracyFigures(Record):
    """Test accuracy of a network."""

    network: str
    images: Count
    right: Count

    @property
    def percent(self) -> float:
        """Share of the images that are classified as labelled."""
        return 100 * self.right / self.images


class PairedFigures(Record):
    """Two networks on the same images."""

    before: str
    after: str
    images: Count
    only_before: Annotated[Count, Field(description="images that the first alone classifies as labelled")]
    only_after: Count

    @property
    def points(self) -> float:
        """Change of accuracy, in percentage points."""
        return 100 * (self.only_after - self.only_before) / self.images

    @property
    def standard_error(self) -> float:
        """Standard error of `points`: each image contributes -1, 0 or 1."""
        mean = (self.only_after - self.only_before) / self.images
        variance = (self.only_after + self.only_before) / self.images - mean**2
        return 100 * float((variance / self.images) ** 0.5)


class Prediction(Record):
    """An estimate from flips beside what was simulated: inertial data energies."""

    network: str
    machine: str
    order: Order
    total_error_percent: float
    median_error_percent: Annotated[float, Field(ge=0, description="of the layers, without sign")]
    worst_error_percent: float
    worst_layer: str


class Audit(Record):
    """Everything that the audit's rows are made of."""

    format: Literal["fewflips-audit"] = "fewflips-audit"
    version: Literal[1] = 1
    fewflips: str = __version__
    share: Annotated[float, Field(gt=0, le=1, description="share of the cycles that was simulated with delays")]
    sram_pj_per_bit: float
    runs: tuple[Run, ...]
    weights: tuple[WeightFigures, ...]
    accuracies: tuple[AccuracyFigures, ...]
    paired: tuple[PairedFigures, ...]
    predictions: Annotated[tuple[Prediction, ...], Field(description="by the built-in calibrations")]


def read_audit(path: Path) -> Audit | None:
    """Figures that were written before; None where there are none.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        return Audit.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(f"{path}: {describe_validation_error(error)}: run `python -m scripts.audit` again") from error
