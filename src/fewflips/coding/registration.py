"""Codings by name."""

from __future__ import annotations

from typing import TypeVar

from fewflips.coding.coding import Coding
from fewflips.errors import AcceleratorError
from fewflips.machine.accelerator import Operand
from fewflips.machine.coding_names import CODINGS

CodingClass = TypeVar("CodingClass", bound=type[Coding])


def coding_of(operand: Operand) -> Coding:
    """The coding of an operand's port.

    Parameters
    ----------
    operand : Operand
        Its `coding` is the name.

    Returns
    -------
    Coding
        The same object for all ports of that coding.

    Raises
    ------
    AcceleratorError
        If the package that announces it cannot be loaded, or gives something else than a coding.
    """
    return coding_named(operand.coding)


def coding_named(name: str) -> Coding:
    """A coding by its name; errors as for :func:`coding_of`."""
    coding = CODINGS[name]
    if not isinstance(coding, Coding):
        raise AcceleratorError(f"coding {name}: expected a fewflips.coding.Coding, got {type(coding).__name__}")
    return coding


def coding_names() -> tuple[str, ...]:
    """Names of all codings: plain first."""
    return CODINGS.names


def register_coding(coding: CodingClass) -> CodingClass:
    """Make a coding known, as a decorator of its class.

    Parameters
    ----------
    coding : type
        A subclass of Coding; its `name` is what machines give for a port.

    Returns
    -------
    type
        The class as it is.

    Raises
    ------
    FewflipsError
        If fewflips itself has a coding of that name.

    Examples
    --------
    >>> from fewflips.coding import Wires
    >>> from fewflips.formats.codes import Codes
    >>> @fewflips.register_coding
    ... class Complemented(fewflips.Coding):
    ...     name = "complemented"
    ...
    ...     def encode(self, codes, state):
    ...         return Wires(Codes(~codes.words & (1 << codes.bits) - 1, codes.bits)), state
    ...
    ...     def decode(self, wires, bits, state):
    ...         return ~wires.lanes.words & (1 << bits) - 1
    >>> fewflips.Accelerator(name="own", lanes=4, columns=4, weights={"coding": "complemented"}).weights.coding
    'complemented'
    """
    return CODINGS.register(coding.name)(coding)
