"""Reads and writes calibrations, and finds those that ship with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from pydantic import JsonValue, ValidationError

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write
from fewflips.files.input_files import read_plain, size_of
from fewflips.files.json_text import parse_json
from fewflips.files.result_folder import check_belongs
from fewflips.files.validation import describe_validation_error
from fewflips.records.calibration import Calibration
from fewflips.records.energy import DatapathRecord, WordRecord

_LARGEST_FILE_BYTES = 1 << 26
_DIGITS = 6
_REMEDY = "make one with: fewflips calibrate MODEL --output DIR"


def read_calibration(path: Path) -> Calibration:
    """Read and validate a calibration.

    Parameters
    ----------
    path : Path
        A ``calibration.json``.

    Returns
    -------
    Calibration
        Its content.

    Raises
    ------
    InputError
        If the file cannot be read, or is not a calibration.
    """
    check_belongs(path)
    try:
        if size_of(path) > _LARGEST_FILE_BYTES:
            raise InputError(f"{path}: expected a calibration of at most {_LARGEST_FILE_BYTES} bytes; {_REMEDY}")
        return _parse(read_plain(path), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; {_REMEDY}") from error


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration as JSON.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    atomic_write(path, calibration_text(calibration).encode())


def calibration_text(calibration: Calibration) -> str:
    """A calibration as JSON: figures with six digits, without the individual blocks."""
    content = calibration.model_dump(mode="json", exclude={"network": {"blocks": {"blocks"}}})
    return json.dumps(_rounded(content), ensure_ascii=False) + "\n"


def builtin_calibration(datapath: Datapath) -> Calibration | None:
    """The calibration of a unit for Nangate45 that ships with the package; None if there is none.

    Parameters
    ----------
    datapath : Datapath
        The unit. Its accumulator may be a few bits wider or narrower than the calibration's.

    Returns
    -------
    Calibration or None
        A calibration for the same kind, words, lanes and options.
    """
    entry = _tables() / f"{calibration_name(datapath)}.json"
    return _parse(entry.read_bytes(), entry.name) if entry.is_file() else None


def builtin_names() -> tuple[str, ...]:
    """Names of the calibrations that ship with the package."""
    names = (entry.name for entry in _tables().iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))


def calibration_name(datapath: Datapath) -> str:
    """A file name without suffix that identifies the unit of a calibration.

    Examples
    --------
    >>> from fewflips.datapath.design import Word, WordFormat
    >>> byte = Word(WordFormat.UNSIGNED, 8)
    >>> calibration_name(Datapath("column", byte, byte, lanes=16, partial_sum_input=True))
    'column16-unsigned8-unsigned8-partial-sum'
    """
    parts = [f"{datapath.kind}{datapath.lanes}", _word_name(datapath.weights), _word_name(datapath.activations)]
    parts += ["booth"] if datapath.multiplier == "booth" else []
    parts += ["one-sum"] if datapath.adder == "one-sum" else []
    parts += ["bit-planes"] if datapath.adder == "bit-planes" else []
    parts += ["product-registers"] if datapath.product_registers else []
    parts += ["partial-sum"] if datapath.partial_sum_input else []
    parts += ["tree-register"] if datapath.tree_register else []
    parts += ["offset-sums"] if datapath.offset_sums else []
    parts += ["sign-flags"] if datapath.sign_flags else []
    parts += ["zero-gating"] if datapath.zero_gating else []
    parts += ["activation-converter"] if datapath.activation_converter else []
    return "-".join(parts)


def datapath_of(record: DatapathRecord) -> Datapath:
    """The unit that a record describes.

    Raises
    ------
    InputError
        If there is no such unit.
    """
    return Datapath(
        kind=record.kind,
        weights=Word(WordFormat(record.weights.format), record.weights.bits),
        activations=Word(WordFormat(record.activations.format), record.activations.bits),
        lanes=record.lanes,
        accumulator_bits=record.accumulator_bits,
        multiplier=record.multiplier,
        adder=record.adder,
        product_registers=record.product_registers,
        partial_sum_input=record.partial_sum_input,
        tree_register=record.tree_register,
        offset_sums=record.offset_sums,
        sign_flags=record.sign_flags,
        hold_flags=record.hold_flags,
        zero_gating=record.zero_gating,
        activation_converter=record.activation_converter,
        bus_invert_ports=record.bus_invert_ports,
    )


def check_fits(calibration: Calibration, datapath: Datapath, source: str) -> None:
    """Raise :class:`InputError` if a calibration was made for another unit."""
    record = calibration.datapath
    expected = {
        "kind": datapath.kind,
        "lanes": datapath.lanes,
        "weights": _word_record(datapath.weights),
        "activations": _word_record(datapath.activations),
        "multiplier": datapath.multiplier,
        "adder": datapath.adder,
        "product_registers": datapath.product_registers,
        "partial_sum_input": datapath.partial_sum_input,
        "tree_register": datapath.tree_register,
        "offset_sums": datapath.offset_sums,
        "sign_flags": datapath.sign_flags,
        "zero_gating": datapath.zero_gating,
        "activation_converter": datapath.activation_converter,
    }
    unlike = [name for name, value in expected.items() if getattr(record, name) != value]
    if unlike:
        raise InputError(
            f"{source}: made for a {_unit(record)}, expected {calibration_name(datapath)} "
            f"({', '.join(unlike)} differ): calibrate for this model and accelerator"
        )


def _parse(content: bytes, source: str) -> Calibration:
    try:
        return Calibration.model_validate(parse_json(content))
    except ValueError as error:
        reason = describe_validation_error(error) if isinstance(error, ValidationError) else str(error)
        reason = " ".join(reason.split())
        raise InputError(f"{source}: expected a fewflips calibration: {reason:.400}; {_REMEDY}") from error


def _rounded(value: JsonValue) -> JsonValue:
    """The same with fewer digits."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    return value


def _tables() -> Traversable:
    return files("fewflips.estimation") / "tables"


def _word_name(word: Word) -> str:
    return f"{word.format.value}{word.bits}"


def _word_record(word: Word) -> WordRecord:
    return WordRecord(format=word.format.value, bits=word.bits)


def _unit(record: DatapathRecord) -> str:
    words = f"{record.weights.format}{record.weights.bits}-{record.activations.format}{record.activations.bits}"
    return f"{record.kind}{record.lanes}-{words}"
