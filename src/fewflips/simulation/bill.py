"""The whole bill of a layer, and of several layers together."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.gates.power.energy import Energy
from fewflips.records.bill import Bill, BufferBill, LevelBill, UnitBill
from fewflips.simulation.memories import LayerMemories

_PJ_PER_FJ = 1e-3


def layer_bill(
    inertial: Energy, parts_fj: NDArray[np.float64], memories: LayerMemories, estimated: tuple[str, ...] = ()
) -> Bill:
    """The bill of a layer.

    Parameters
    ----------
    inertial : Energy
        Energy of the units, glitches included.
    parts_fj : ndarray of float64, shape (parts,)
        Its data energy by part, in the order of :data:`fewflips.gates.power.attribution.PARTS`.
    memories : LayerMemories
        What memories spend on the same layer.
    estimated : tuple of str
        Entries of the units that are estimates, as ``units.clock_pj``.

    Returns
    -------
    Bill
        In pJ.

    Raises
    ------
    InputError
        If the parts do not add up to the data energy.
    """
    if not isclose(parts_fj.sum(), inertial.data_fj, rel_tol=1e-9, abs_tol=1e-9):
        raise InputError(
            f"energy by part: expected parts that add up to {inertial.data_fj:g} fJ, got {parts_fj.sum():g} fJ; use "
            "those of the same layer"
        )
    multipliers, adders, partial_sums, registers = (float(part) * _PJ_PER_FJ for part in _not_negative(parts_fj))
    units = UnitBill(
        multipliers_pj=multipliers,
        adders_pj=adders,
        partial_sums_pj=partial_sums,
        registers_pj=registers,
        clock_pj=inertial.clock_fj * _PJ_PER_FJ,
        leakage_pj=inertial.leakage_fj * _PJ_PER_FJ,
    )
    return bill_of(units, memories.bill, (*estimated, *memories.estimated))


def total_bill(bills: Sequence[Bill | None]) -> Bill | None:
    """Sum of the layers' bills.

    Parameters
    ----------
    bills : sequence of Bill or None
        At least one, of the same machine.

    Returns
    -------
    Bill or None
        None if a layer has none, since a sum without it would mislead.
    """
    known = [bill for bill in bills if bill is not None]
    if len(known) < len(bills):
        return None
    units = [bill.units for bill in known]
    total = UnitBill(
        multipliers_pj=sum(unit.multipliers_pj for unit in units),
        adders_pj=sum(unit.adders_pj for unit in units),
        partial_sums_pj=sum(unit.partial_sums_pj for unit in units),
        registers_pj=sum(unit.registers_pj for unit in units),
        clock_pj=sum(unit.clock_pj for unit in units),
        leakage_pj=sum(unit.leakage_pj for unit in units),
    )
    memories = [bill.buffers for bill in known if bill.buffers is not None]
    estimated = tuple(dict.fromkeys(entry for bill in known for entry in bill.estimated))
    return bill_of(total, _total_memories(memories) if memories else None, estimated)


def bill_of(units: UnitBill, buffers: BufferBill | None, estimated: tuple[str, ...]) -> Bill:
    """A bill with its sums.

    Parameters
    ----------
    units : UnitBill
        Arithmetic units.
    buffers : BufferBill or None
        Memories, if the machine describes any.
    estimated : tuple of str
        Entries that are estimates, as ``buffers.weights_pj``.

    Returns
    -------
    Bill
        In pJ.
    """
    parts = (units.multipliers_pj, units.adders_pj, units.partial_sums_pj, units.registers_pj)
    datapath = sum(parts) + units.clock_pj + units.leakage_pj
    whole = datapath + (buffers.total_pj if buffers is not None else 0.0)
    return Bill(units=units, buffers=buffers, datapath_pj=datapath, whole_pj=whole, estimated=estimated)


def _total_memories(memories: Sequence[BufferBill]) -> BufferBill:
    levels: dict[str, list[LevelBill]] = {}
    for level in (level for memory in memories for level in memory.beyond):
        levels.setdefault(level.name, []).append(level)
    return BufferBill(
        weights_pj=sum(memory.weights_pj for memory in memories),
        activations_pj=sum(memory.activations_pj for memory in memories),
        partial_sums_pj=sum(memory.partial_sums_pj for memory in memories),
        index_table_pj=sum(memory.index_table_pj for memory in memories),
        register_files_pj=sum(memory.register_files_pj for memory in memories),
        leakage_pj=sum(memory.leakage_pj for memory in memories),
        beyond=tuple(
            LevelBill(
                name=name,
                access_pj=sum(level.access_pj for level in found),
                leakage_pj=sum(level.leakage_pj for level in found),
            )
            for name, found in levels.items()
        ),
    )


def _not_negative(parts_fj: NDArray[np.float64]) -> NDArray[np.float64]:
    """Parts without negative ones, with the same sum: where a library's negative figures outweigh a part's others.

    The other parts are lowered in proportion. A sum below zero becomes zero.
    """
    kept = np.maximum(parts_fj, 0.0)
    if np.array_equal(kept, parts_fj):
        return parts_fj
    scaled: NDArray[np.float64] = kept * (max(parts_fj.sum(), 0.0) / max(kept.sum(), np.finfo(np.float64).tiny))
    return scaled
