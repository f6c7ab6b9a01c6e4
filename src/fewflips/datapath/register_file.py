"""A register file as an object, and as synthesizable Verilog-2005."""

from __future__ import annotations

from dataclasses import dataclass

from fewflips.datapath.verilog import render
from fewflips.errors import InputError

MOST_BITS = 1 << 14
"""Bits of the largest register file: beyond some kbit memories are macros."""


@dataclass(frozen=True)
class RegisterFile:
    """Registers with one write and one read port.

    Parameters
    ----------
    entries : int
        Words.
    bits : int
        Width of a word.

    Raises
    ------
    InputError
        If it is empty or larger than :data:`MOST_BITS`.
    """

    entries: int
    bits: int

    def __post_init__(self) -> None:
        if self.entries < 1 or self.bits < 1 or self.entries * self.bits > MOST_BITS:
            raise InputError(
                f"register file: expected up to {MOST_BITS} bits, got {self.entries} entries of {self.bits} bits; "
                "take fewer, or a memory"
            )

    @property
    def address_bits(self) -> int:
        """Width of an address."""
        return max(1, (self.entries - 1).bit_length())

    @property
    def module_name(self) -> str:
        """Name of its module: a Verilog identifier."""
        return f"register_file_{self.entries}_by_{self.bits}"

    @property
    def logic_name(self) -> str:
        """Name of the module of the gates around its entries: all but flip-flops and clock gates."""
        return f"{self.module_name}_logic"


def register_file_verilog(file: RegisterFile) -> str:
    """Verilog of a register file.

    An entry is clocked only where it is written. Its clock rests at 1: so its flip-flops, which take their data while
    the clock is 0, do not see words of others, without gates in front of them. Entries are read through AND gates whose
    results are joined by a tree of ORs, so that a new address changes nothing but what leaves and what comes.

    Parameters
    ----------
    file : RegisterFile
        Entries and width.

    Returns
    -------
    str
        A module with the ports ``clk``, ``write``, ``write_address``, ``write_data``, ``read``, ``read_address``,
        ``read_data`` and ``contents``, and the module of its logic.
    """
    return render(
        "register_file.v.j2",
        name=file.module_name,
        entries=file.entries,
        bits=file.bits,
        address_bits=file.address_bits,
        sum=_tree([f"shown_{entry}" for entry in range(file.entries)]),
    )


def _tree(terms: list[str]) -> str:
    """An expression that joins terms in pairs."""
    while len(terms) > 1:
        pairs = [f"({left} | {right})" for left, right in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
    return terms[0]
