"""Errors that fewflips raises on purpose: each message says what was expected, what was found, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewflips.visible import one_line

if TYPE_CHECKING:
    from pathlib import Path


class FewflipsError(Exception):
    """Base of every error that fewflips raises; the command line prints it in one line and exits with 2.

    Text from files is shown in messages without control characters, and shortened if it is very long.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class InputError(FewflipsError, ValueError):
    """An argument, an array or a configuration is not usable."""


class ModelError(InputError):
    """A model file is damaged, hostile, or not of a kind that can be read."""


class FloatModelError(ModelError):
    """A model has no integer weights; the message says how to quantize it."""


class SamplesError(InputError):
    """Sample inputs are missing, unreadable, or do not fit the model."""


class AcceleratorError(InputError):
    """An accelerator description is not valid, or a layer does not fit it."""


class RuntimeFailure(FewflipsError, RuntimeError):
    """LiteRT or ONNX Runtime refused the model, crashed on it, or did not answer in time.

    Parameters
    ----------
    message : str
        What happened.
    model : Path, optional
        The file on which it failed.
    """

    def __init__(self, message: str, model: Path | None = None) -> None:
        super().__init__(message)
        self.model = model


class VerificationError(FewflipsError):
    """A rewritten model or a schedule does not compute what the original computes."""


class OutputError(FewflipsError, OSError):
    """A result could not be written."""


class ToolError(FewflipsError, RuntimeError):
    """An external program (Yosys, Icarus Verilog, ...) is missing, too old, or failed."""


class CellLibraryError(InputError):
    """A Liberty file or cell table is damaged, or lacks what a netlist needs."""


class NetlistError(InputError):
    """A netlist cannot be simulated: loops, latches, unknown cells, several drivers of a net."""


class ParasiticsError(InputError):
    """A SPEF file is damaged, or belongs to another design."""
