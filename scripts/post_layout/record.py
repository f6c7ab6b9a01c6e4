"""What the page's figures are made of, as data: ``results/post_layout.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write
from fewflips.files.validation import describe_validation_error
from fewflips.records.energy import EnergyReport
from fewflips.records.record import Record

from .comparison import Comparison
from .layout import LayoutFigures

PATH = Path(__file__).parents[2] / "results" / "post_layout.json"


class Pair(Record):
    """Energies with one estimate of the wires."""

    baseline: EnergyReport
    optimized: EnergyReport


class PostLayout(Record):
    """One run of the flow."""

    format: Literal["fewflips-post-layout"] = "fewflips-post-layout"
    version: Literal[1] = 1
    layout: LayoutFigures
    wires: dict[str, Pair]

    def comparisons(self) -> dict[str, Comparison]:
        """Energies by the estimate of the wires."""
        return {name: Comparison(pair.baseline, pair.optimized) for name, pair in self.wires.items()}


def write_record(path: Path, layout: LayoutFigures, comparisons: Mapping[str, Comparison]) -> None:
    """Keep what was found."""
    wires = {name: Pair(baseline=one.baseline, optimized=one.optimized) for name, one in comparisons.items()}
    record = PostLayout(layout=LayoutFigures(**asdict(layout)), wires=wires)
    atomic_write(path, (record.model_dump_json() + "\n").encode())


def read_record(path: Path = PATH) -> PostLayout:
    """What was found before.

    Raises
    ------
    InputError
        If there is none, or it is damaged.
    """
    try:
        return PostLayout.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected the record of a run, found no file: run `make post-layout`") from error
    except ValidationError as error:
        raise InputError(f"{path}: {describe_validation_error(error)}: run `make post-layout` again") from error
