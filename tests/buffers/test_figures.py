"""What an access costs: stated, from the built-in table, or from a source of another package."""

from __future__ import annotations

from math import log

import pytest

from fewflips.buffers import (
    MemoryEnergy,
    MemorySource,
    buffer_notes,
    memory_energy,
    memory_figures,
    memory_source,
    register_memory_source,
)
from fewflips.buffers.table import HOROWITZ, sram_pj_per_bit
from fewflips.errors import AcceleratorError, FewflipsError
from fewflips.machine import builtin_accelerators
from fewflips.machine.buffers import Buffer, Buffers, MemoryLevel
from fewflips.machine.memory_sources import MEMORY_SOURCES

SMALL = Buffer(size_kib=8, word_bits=64)


@pytest.mark.parametrize(("size_kib", "access_pj"), [(8, 10.0), (32, 20.0), (1024, 100.0)])
def test_published_figures_are_met(size_kib, access_pj):
    found = memory_energy(Buffer(size_kib=size_kib, word_bits=64), "buffers.weights")
    assert found.read_pj == found.write_pj == pytest.approx(access_pj, rel=1e-12)
    assert (found.leakage_uw, found.origin, found.simulated) == (None, HOROWITZ, False)


def test_between_them_energy_is_a_power_of_the_size():
    assert sram_pj_per_bit(16) == pytest.approx((10 * 20) ** 0.5 / 64)  # half-way between the logarithms of 8 and 32
    exponent = log(100 / 20) / log(1024 / 32)
    assert sram_pj_per_bit(256) == pytest.approx(20 / 64 * (256 / 32) ** exponent)
    sizes = [8, 9, 16, 31, 32, 33, 100, 1000, 1024]
    energies = [sram_pj_per_bit(size) for size in sizes]
    assert energies == sorted(energies)


def test_a_bank_counts_not_the_whole_memory():
    banked = memory_energy(Buffer(size_kib=128, word_bits=28, banks=16), "buffers.partial_sums")
    assert banked.read_pj == pytest.approx(28 * 10 / 64)


def test_dram_takes_the_lower_end_of_the_published_range():
    level = MemoryLevel(name="DRAM", kind="dram", size_kib=1 << 20, word_bits=128)
    assert memory_energy(level, "buffers.beyond.DRAM").read_pj == pytest.approx(2600.0)


@pytest.mark.parametrize("size_kib", [7.9, 1025])
def test_other_sizes_are_refused(size_kib):
    with pytest.raises(AcceleratorError, match=r"buffers.weights: the built-in table has banks of 8 to 1024 KiB, got "):
        memory_energy(Buffer(size_kib=size_kib, word_bits=64), "buffers.weights")


def test_stated_figures_need_no_source():
    tiny = Buffer(size_kib=0.5, word_bits=16, read_pj=0.3, write_pj=0.4, leakage_uw=2)
    assert memory_energy(tiny, "x") == MemoryEnergy(0.3, 0.4, 2.0, "stated by the machine")
    assert memory_energy(tiny.model_copy(update={"leakage_uw": None}), "x").leakage_uw is None


def test_what_is_not_stated_comes_from_the_source():
    half = memory_energy(SMALL.model_copy(update={"read_pj": 1.0, "leakage_uw": 5.0}), "x")
    assert (half.read_pj, half.write_pj, half.leakage_uw, half.simulated) == (1.0, 10.0, 5.0, False)


def test_registers_are_simulated_or_refused():
    registers = Buffer(size_kib=0.125, word_bits=32, source="registers")
    simulated = MemoryEnergy(0.1, 0.2, 3.0, "gates", simulated=True)
    assert memory_energy(registers, "x", simulated) == simulated
    stated = registers.model_copy(update={"read_pj": 0.5})
    assert not memory_energy(stated, "x", simulated).simulated
    with pytest.raises(AcceleratorError, match="x: source registers: its gates were not simulated"):
        memory_energy(registers, "x")


class Rule(MemorySource):
    name = "rule"

    def energy(self, memory: Buffer) -> MemoryEnergy:
        if memory.bank_kib > 4:
            raise AcceleratorError(f"no rule for {memory.bank_kib:g} KiB")
        return MemoryEnergy(memory.word_bits / 10, memory.word_bits / 5, memory.size_kib, "a rule")


@pytest.fixture
def rule():
    register_memory_source(Rule)
    yield
    MEMORY_SOURCES.unregister("rule")


def test_a_source_of_another_package(rule):
    assert memory_energy(Buffer(size_kib=8, word_bits=20, banks=2, source="rule"), "x") == MemoryEnergy(
        2.0, 4.0, 8.0, "a rule"
    )
    with pytest.raises(AcceleratorError, match=r"buffers.weights: no rule for 8 KiB"):
        memory_energy(Buffer(size_kib=8, word_bits=20, source="rule"), "buffers.weights")
    with pytest.raises(FewflipsError, match="table comes with fewflips"):
        register_memory_source(type("Mine", (Rule,), {"name": "table"}))


def test_something_else_than_a_source_is_refused():
    MEMORY_SOURCES.register("odd")(dict)
    try:
        with pytest.raises(AcceleratorError, match=r"expected a fewflips.buffers.MemorySource, got dict"):
            memory_source("odd")
    finally:
        MEMORY_SOURCES.unregister("odd")


def test_notes_say_where_figures_are_from_and_what_is_left_out():
    level = MemoryLevel(name="L2", size_kib=32, word_bits=64, holds=("weights",), leakage_uw=1.0)
    buffers = Buffers(
        weights=SMALL, activations=Buffer(size_kib=1, word_bits=8, read_pj=1, write_pj=1), beyond=(level,)
    )
    assert buffer_notes(buffers) == (
        f"Energy of weights, L2: {HOROWITZ}.",
        "Energy of activations: stated by the machine.",
        "Leakage of weights, activations is not known and left out.",
        "What fills activations from beyond is left out: the machine describes no memory there.",
    )


def test_built_in_machines_have_figures():
    for machine in builtin_accelerators().values():
        assert machine.buffers is not None
        figures = memory_figures(machine.buffers)
        assert all(found.read_pj > 0 for found in figures.values())
        assert ("partial_sums" in figures) == (machine.name != "os16")
        assert "index_table" in figures
