"""JSON Schemas of files that fewflips writes and reads: ``python -m fewflips.report.schemas DIR``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from fewflips.errors import FewflipsError
from fewflips.files.atomic import atomic_write
from fewflips.records.budget import NetworkBudget
from fewflips.records.calibration import Calibration
from fewflips.records.check import CheckReport
from fewflips.records.column import ColumnReport
from fewflips.records.comparison import ComparisonReport
from fewflips.records.demo import DemoReport
from fewflips.records.doctor import DoctorReport
from fewflips.records.energy import EnergyReport
from fewflips.records.exploration import ExplorationReport
from fewflips.records.optimization import MeasureReport, OptimizeReport
from fewflips.records.schedule import Schedule
from fewflips.training.pareto_points import ParetoFront
from fewflips.training.result import TrainingResult

SCHEMAS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("report.schema.json", OptimizeReport),
    ("measurement.schema.json", MeasureReport),
    ("energy.schema.json", EnergyReport),
    ("exploration.schema.json", ExplorationReport),
    ("calibration.schema.json", Calibration),
    ("schedule.schema.json", Schedule),
    ("column.schema.json", ColumnReport),
    ("demo.schema.json", DemoReport),
    ("check.schema.json", CheckReport),
    ("comparison.schema.json", ComparisonReport),
    ("doctor.schema.json", DoctorReport),
    ("training.schema.json", TrainingResult),
    ("pareto.schema.json", ParetoFront),
)
"""Every schema of a file that is written: its file name, and the model it is generated from."""
INPUT_SCHEMAS: tuple[tuple[str, type[BaseModel]], ...] = (("budget.schema.json", NetworkBudget),)
"""Every schema of a file that people write, in which keys may be left out."""
_DRAFT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


class _AllRequired(GenerateJsonSchema):
    """Every field is required, since fewflips writes all fields, including those with defaults."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        return True


def schema_text(model: type[BaseModel]) -> str:
    """The JSON Schema (draft 2020-12) of a model's output, as the text of a file.

    Parameters
    ----------
    model : type of BaseModel
        One of those in :data:`SCHEMAS`.

    Returns
    -------
    str
        JSON, ending with a line feed.
    """
    schema = model.model_json_schema(mode="serialization", schema_generator=_AllRequired)
    return json.dumps({**_DRAFT, **schema}, indent=2) + "\n"


def input_schema_text(model: type[BaseModel]) -> str:
    """The JSON Schema (draft 2020-12) of a file that people write, as the text of a file.

    Parameters
    ----------
    model : type of BaseModel
        One of those in :data:`INPUT_SCHEMAS`.

    Returns
    -------
    str
        JSON, ending with a line feed.
    """
    return json.dumps({**_DRAFT, **model.model_json_schema(mode="validation")}, indent=2) + "\n"


def write_schemas(folder: Path) -> tuple[Path, ...]:
    """Write every schema.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    texts = {name: schema_text(model) for name, model in SCHEMAS}
    texts |= {name: input_schema_text(model) for name, model in INPUT_SCHEMAS}
    for name, text in texts.items():
        atomic_write(folder / name, text.encode())
    return tuple(folder / name for name in texts)


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    if len(arguments) != 1:
        print("usage: python -m fewflips.report.schemas DIR", file=sys.stderr)
        return 2
    try:
        files = write_schemas(Path(arguments[0]))
    except FewflipsError as error:
        print(f"fewflips: {error}", file=sys.stderr)
        return 2
    for file in files:
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
