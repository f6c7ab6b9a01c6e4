"""Figures of memories from CACTI, through the package ``hwcomponents-cacti`` (extra ``memory``).

CACTI (N. Muralimanohar, R. Balasubramonian, N. P. Jouppi, HPL-2009-85) models an SRAM by its banks, bit lines and
wires; here with low-standby-power cells and optimized for leakage, as that package configures it. The package scales
the result where a memory is narrower or shallower than CACTI accepts, and interpolates between technology nodes.
"""

from __future__ import annotations

import importlib.metadata
import json
from math import isfinite
from typing import Any

from fewflips.buffers.source import MemoryEnergy, MemorySource
from fewflips.errors import AcceleratorError, ToolError
from fewflips.files.cache import cached, digest_of
from fewflips.machine.buffers import Buffer, MemoryLevel

_PJ_PER_J = 1e12
_UW_PER_W = 1e6
_M_PER_NM = 1e-9
_BITS_PER_KIB = 8192
_FORMAT = "1"


class Cacti(MemorySource):
    """Read and write energy and leakage of an SRAM in the memory's technology."""

    name = "cacti"

    def energy(self, memory: Buffer) -> MemoryEnergy:
        """Run CACTI for one bank, or take the result that was kept of an earlier run.

        Raises
        ------
        AcceleratorError
            If the memory is DRAM, or CACTI finds no memory of this kind.
        ToolError
            If the package is not installed, or its CACTI does not start.
        """
        if isinstance(memory, MemoryLevel) and memory.kind == "dram":
            raise AcceleratorError("source cacti models SRAM, got DRAM: state read_pj and write_pj, or source table")
        package = _package()
        version = f"hwcomponents-cacti {importlib.metadata.version('hwcomponents-cacti')}"
        bank_bits = round(memory.bank_kib * _BITS_PER_KIB)
        digest = digest_of(_FORMAT, version, str(bank_bits), str(memory.word_bits), repr(memory.technology_nm))
        found = json.loads(
            cached("memory", digest, lambda: _run(package, bank_bits, memory.word_bits, memory.technology_nm))
        )
        return MemoryEnergy(
            read_pj=found["read_pj"],
            write_pj=found["write_pj"],
            leakage_uw=found["leakage_uw"] * memory.banks,
            origin=f"CACTI ({version}), {memory.technology_nm:g} nm",
        )


def _package() -> Any:
    try:
        import hwcomponents_cacti
    except ImportError as error:
        raise ToolError(
            f"source cacti: hwcomponents-cacti cannot be imported ({error}): pip install 'fewflips[memory]', with "
            "Python 3.12 or later, or state read_pj and write_pj"
        ) from error
    return hwcomponents_cacti


def _run(package: Any, bank_bits: int, word_bits: int, technology_nm: float) -> bytes:
    """One bank's figures as JSON."""
    what = f"an SRAM of {bank_bits} bits in words of {word_bits} bits at {technology_nm:g} nm"
    try:
        memory = package.SRAM(tech_node=technology_nm * _M_PER_NM, width=word_bits, size=bank_bits)
        read, write, leakage_w = memory.read(), memory.write(), float(memory.leak_power)
    except OSError as error:
        raise ToolError(f"source cacti: {what}: {error}") from error
    except Exception as error:  # the package raises bare Exceptions, and AssertionErrors for what it does not model
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ToolError(
            f"source cacti: {what}: CACTI failed: {reason}. If it does not start, build it anew: `make opt` in the "
            "package's folder cacti; otherwise state read_pj and write_pj"
        ) from error
    figures = {
        "read_pj": float(read.energy) * _PJ_PER_J,
        "write_pj": float(write.energy) * _PJ_PER_J,
        "leakage_uw": leakage_w * _UW_PER_W,
    }
    if not all(isfinite(figure) and figure >= 0 for figure in figures.values()):
        raise ToolError(
            f"source cacti: {what}: expected energies of 0 or more, got {figures}: state read_pj and write_pj"
        )
    return json.dumps(figures).encode()
