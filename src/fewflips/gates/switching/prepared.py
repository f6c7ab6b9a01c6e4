"""Operand sequences checked against a circuit, and laid out for packing."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.gates.operands import OperandSequences, PortRows
from fewflips.gates.switching.circuit import Circuit
from fewflips.gates.switching.packing import row_chunks
from fewflips.gates.switching.steps import GivenPort


@dataclass(frozen=True, eq=False)
class Prepared:
    """Sequences whose rows are packed.

    Parameters
    ----------
    begins : ndarray of int64, shape (P + 1,)
        Cycle in which each pass begins, all sequences laid end to end, and the end of the last.
    sequence_begins : ndarray of int64, shape (S + 1,)
        The same for each sequence.
    chunks : mapping of str to ndarray of uint64, shape (R, C)
        Rows of each port and register as 64-bit words.
    """

    begins: NDArray[np.int64] = field(repr=False)
    sequence_begins: NDArray[np.int64] = field(repr=False)
    chunks: dict[str, NDArray[np.uint64]] = field(repr=False)


_prepared: WeakKeyDictionary[OperandSequences, Prepared] = WeakKeyDictionary()


def prepare(sequences: OperandSequences) -> Prepared:
    """Check and pack sequences; cached for the same object.

    Raises
    ------
    InputError
        If lengths, rows or widths do not match.
    """
    known = _prepared.get(sequences)
    if known is None:
        known = _prepared[sequences] = _prepare(sequences)
    return known


def _prepare(sequences: OperandSequences) -> Prepared:
    lengths = np.asarray(sequences.lengths, dtype=np.int64)
    passes = len(lengths)
    if passes == 0 or lengths.ndim != 1 or lengths.min() < 1:
        raise InputError("operand sequences: expected passes of at least one cycle each; leave empty passes out")
    first = np.asarray(sequences.first_passes, dtype=np.int64)
    if first.ndim != 1 or len(first) == 0 or first[0] != 0 or (np.diff(first) < 1).any() or first[-1] >= passes:
        raise InputError(
            f"operand sequences: expected first passes that rise from 0 to at most {passes - 1}; each sequence needs "
            "a pass"
        )
    for name, port in (*sequences.inputs.items(), *sequences.registers.items()):
        _check_rows(name, port, lengths)
    begins = np.concatenate(([0], np.cumsum(lengths)))
    rows = {**sequences.inputs, **sequences.registers}
    if len(rows) < len(sequences.inputs) + len(sequences.registers):
        raise InputError("operand sequences: expected different names of input ports and registers; rename one")
    return Prepared(
        begins,
        np.append(begins[first], begins[-1]),
        {name: row_chunks(port.words, port.bits) for name, port in rows.items()},
    )


def _check_rows(name: str, port: PortRows, lengths: NDArray[np.int64]) -> None:
    """Check that a port's rows exist in every cycle."""
    words = port.words
    if words.ndim != 2 or words.dtype.kind not in "iu" or 0 in words.shape:
        raise InputError(f"port {name}: expected a matrix of integers, got shape {words.shape} of {words.dtype}")
    if not 1 <= port.bits <= 64:
        raise InputError(f"port {name}: expected codes of 1 to 64 bits, got {port.bits}")
    if port.stride not in (0, 1) or port.delay < 0:
        raise InputError(
            f"port {name}: expected a stride of 0 or 1 and a delay of at least 0, got {port.stride} and {port.delay}"
        )
    if port.start.shape != lengths.shape:
        raise InputError(f"port {name}: expected {len(lengths)} first rows, one a pass, got shape {port.start.shape}")
    last = port.start + port.stride * (lengths - 1)
    if port.start.min() < 0 or last.max() >= len(words):
        wrong = int(port.start.min()) if port.start.min() < 0 else int(last.max())
        raise InputError(f"port {name}: expected rows 0 to {len(words) - 1}, got row {wrong}")


def check_ports(circuit: Circuit, sequences: OperandSequences) -> None:
    """Check that every port and register is given, with the circuit's width.

    Raises
    ------
    InputError
        If a port is missing, unknown, or of another width; the message names the first.
    """
    for port in circuit.ports:
        rows = (sequences.registers if port.is_register else sequences.inputs).get(port.name)
        what = "contents of the register shown at" if port.is_register else "operands of"
        if rows is None:
            raise InputError(f"{what} port {port.name}: expected {port.width} bits, got nothing; give its rows")
        width = rows.words.shape[1] * rows.bits
        if width != port.width:
            raise InputError(
                f"{what} port {port.name}: expected {port.width} bits, got {rows.words.shape[1]} codes of {rows.bits}"
            )
    known = {port.name for port in circuit.ports} | set(circuit.netlist.outputs)
    for name in (*sequences.inputs, *sequences.registers):
        if name not in known:
            expected = ", ".join(port.name for port in circuit.ports)
            raise InputError(f"port {name}: expected ports among {expected}, got one that the netlist lacks")


def skew_of(sequences: OperandSequences, port: GivenPort) -> NDArray[np.int64]:
    """Cycles by which each bit of a port is delayed because of its lane, int64 of shape (width,)."""
    rows = (sequences.registers if port.is_register else sequences.inputs)[port.name]
    late = np.arange(port.width) // rows.bits if rows.skew else np.zeros(port.width)
    return late.astype(np.int64)
