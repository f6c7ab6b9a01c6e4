"""The functions of gates on vectors of words; see :class:`~fewflips.gates.switching.functions.Function`."""

from __future__ import annotations

from typing import Any

from fewflips.gates.switching.functions import Function
from fewflips.kernels.compiled import compiled

_AND2 = int(Function.AND2)
_OR2 = int(Function.OR2)
_AND3 = int(Function.AND3)
_OR3 = int(Function.OR3)
_XOR3 = int(Function.XOR3)
_MAJORITY = int(Function.MAJORITY)
_MULTIPLEX = int(Function.MULTIPLEX)
_AND_OR = int(Function.AND_OR)
_AND4 = int(Function.AND4)
_OR4 = int(Function.OR4)
_AND2_OR2 = int(Function.AND2_OR2)
_OR2_AND2 = int(Function.OR2_AND2)
_AND_OR3 = int(Function.AND_OR3)

ONE_OPERAND = int(Function.COPY)
"""The last function of one operand."""
TWO_OPERANDS = int(Function.XOR2)
"""The last function of two operands."""
THREE_OPERANDS = int(Function.OR_AND)
"""The last function of three operands."""


@compiled
def of_two(function: int, a: Any, b: Any) -> Any:
    """A function of two operands."""
    if function == _AND2:
        return a & b
    if function == _OR2:
        return a | b
    return a ^ b


@compiled
def of_three(function: int, a: Any, b: Any, c: Any) -> Any:
    """A function of three operands."""
    if function == _AND3:
        return a & b & c
    if function == _OR3:
        return a | b | c
    if function == _XOR3:
        return a ^ b ^ c
    if function == _MAJORITY:
        return (a & b) | ((a | b) & c)
    if function == _MULTIPLEX:
        return a ^ ((a ^ b) & c)
    if function == _AND_OR:
        return (a & b) | c
    return (a | b) & c


@compiled
def of_four(function: int, a: Any, b: Any, c: Any, d: Any) -> Any:
    """A function of four operands."""
    if function == _AND4:
        return (a & b & c) & d
    if function == _OR4:
        return (a | b | c) | d
    if function == _AND2_OR2:
        return (a & b) | (c & d)
    if function == _OR2_AND2:
        return (a | b) & (c | d)
    if function == _AND_OR3:
        return (a & b) | c | d
    return (a | b) & c & d
