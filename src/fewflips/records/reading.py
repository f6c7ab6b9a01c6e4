"""Reads reports that fewflips wrote."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from fewflips.errors import InputError
from fewflips.files.input_files import read_plain, size_of
from fewflips.files.json_text import parse_json
from fewflips.files.validation import bounded_text, describe_validation_error
from fewflips.records.energy import EnergyReport
from fewflips.records.optimization import MeasureReport, OptimizeReport
from fewflips.records.quantities import AnyReport

_LARGEST_BYTES = 1 << 30
_KINDS: dict[str, type[OptimizeReport | MeasureReport | EnergyReport]] = {
    "fewflips-report": OptimizeReport,
    "fewflips-measurement": MeasureReport,
    "fewflips-energy": EnergyReport,
}
_MADE_BY = "report.json of `fewflips optimize`, or what `fewflips measure --json` or `fewflips energy --json` printed"


def read_report(path: str | Path) -> AnyReport:
    """Read a report on a network's layers.

    Parameters
    ----------
    path : str or Path
        ``report.json``, or the JSON that ``fewflips measure`` or ``fewflips energy`` printed. A folder stands for the
        ``report.json`` in it.

    Returns
    -------
    OptimizeReport, MeasureReport or EnergyReport
        The file's `format` says which.

    Raises
    ------
    InputError
        If the file cannot be read or is none of these.
    """
    file = Path(path)
    try:
        if file.is_dir():
            file = file / "report.json"
        if size_of(file) > _LARGEST_BYTES:
            raise InputError(f"{file}: expected a report of at most {_LARGEST_BYTES} bytes")
        content = read_plain(file)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_report(content, str(file))


def parse_report(content: bytes, source: str) -> AnyReport:
    """Validate the content of a report.

    Parameters
    ----------
    content : bytes
        JSON.
    source : str
        Where it is from, for errors.

    Returns
    -------
    OptimizeReport, MeasureReport or EnergyReport
        The report.

    Raises
    ------
    InputError
        If it is none of these.
    """
    try:
        found = parse_json(content)
    except ValueError as error:
        raise InputError(f"{source}: expected {_MADE_BY}; it is not valid JSON: {error}") from error
    kind = found.get("format") if isinstance(found, dict) else None
    record = _KINDS.get(kind) if isinstance(kind, str) else None
    if record is None:
        raise InputError(f"{source}: expected {_MADE_BY}; got format {bounded_text(kind)}")
    try:
        return record.model_validate(found)
    except ValidationError as error:
        raise InputError(f"{source}: {describe_validation_error(error)}") from error
