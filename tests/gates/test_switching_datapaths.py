"""Every synthesized datapath, with delays of its cells, net by net against Icarus Verilog."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.errors import InputError
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.netlist.icarus_models import Delays
from fewflips.gates.netlist.synthesis import synthesize
from fewflips.gates.operands import Windows
from fewflips.gates.switching import Circuit, compile_circuit, cut_windows, simulate, simulate_groups
from fewflips.gates.timing import analyze_timing
from tests.gates.icarus_reference import assert_same_toggles, icarus_toggles
from tests.gates.random_operands import random_operands

LIBRARY = load_cells("nangate45")
SIGNED = Word(WordFormat.TWOS_COMPLEMENT, 8)
MAGNITUDE = Word(WordFormat.SIGN_MAGNITUDE, 4)
UNSIGNED = Word(WordFormat.UNSIGNED, 4)

DATAPATHS = {
    "multiplier": Datapath("multiplier", SIGNED, SIGNED),
    "Booth multiplier": Datapath("multiplier", SIGNED, Word(WordFormat.UNSIGNED, 8), multiplier="booth"),
    "mac": Datapath("mac", SIGNED, SIGNED),
    "column of 4": Datapath("column", SIGNED, SIGNED, lanes=4),
    "column of 16": Datapath("column", SIGNED, SIGNED, lanes=16),
    "column with product registers": Datapath(
        "column", MAGNITUDE, UNSIGNED, lanes=3, accumulator_bits=12, product_registers=True
    ),
    "column of one sum": Datapath("column", SIGNED, UNSIGNED, lanes=4, adder="one-sum"),
    "column with a tree register and offset sums": Datapath(
        "column",
        SIGNED,
        UNSIGNED,
        lanes=4,
        accumulator_bits=20,
        partial_sum_input=True,
        tree_register=True,
        offset_sums=True,
    ),
    "column with sign flags": Datapath(
        "column", SIGNED, UNSIGNED, lanes=3, accumulator_bits=20, partial_sum_input=True, sign_flags=True
    ),
    "column of bit planes": Datapath(
        "column", SIGNED, UNSIGNED, lanes=3, adder="bit-planes", partial_sum_input=True, offset_sums=True
    ),
    "gated column": Datapath("column", SIGNED, UNSIGNED, lanes=3, zero_gating=True),
    "chain of 4": Datapath("chain", SIGNED, SIGNED, lanes=4),
    "column with converters": Datapath(
        "column", MAGNITUDE, Word(WordFormat.TWOS_COMPLEMENT, 5), lanes=3, activation_converter=True
    ),
    "column with decoders": Datapath("column", SIGNED, UNSIGNED, lanes=3, bus_invert_ports=("weights", "activations")),
}
CYCLES = {
    "column with a tree register and offset sums": 24,
    "column of 16": 12,
    "column of one sum": 24,
    "column of 4": 24,
    "chain of 4": 24,
}


@cache
def compiled(name: str, step_ps: float) -> Circuit:
    netlist = synthesize(DATAPATHS[name], LIBRARY)
    return compile_circuit(netlist, LIBRARY, analyze_timing(netlist, LIBRARY).delays_ps, step_ps)


@pytest.mark.parametrize("mode", ["zero-delay", "transport", "inertial"])
@pytest.mark.parametrize("name", DATAPATHS)
def test_datapaths_toggle_as_in_icarus(iverilog: str, tmp_path: Path, name: str, mode: Delays) -> None:
    circuit = compiled(name, 10.0)
    sequences = random_operands(DATAPATHS[name], CYCLES.get(name, 40))
    ours = simulate(circuit, sequences, mode)
    windows = cut_windows(sequences.sequence_cycles, 1)
    assert_same_toggles(circuit.netlist, ours, icarus_toggles(tmp_path, circuit, LIBRARY, sequences, windows, mode))


@pytest.mark.parametrize("step_ps", [2.0, 5.0])
def test_finer_steps_toggle_as_in_icarus(iverilog: str, tmp_path: Path, step_ps: float) -> None:
    circuit = compiled("mac", step_ps)
    sequences = random_operands(DATAPATHS["mac"], 40)
    windows = cut_windows(sequences.sequence_cycles, 1)
    theirs = icarus_toggles(tmp_path, circuit, LIBRARY, sequences, windows, "inertial")
    assert_same_toggles(circuit.netlist, simulate(circuit, sequences, "inertial"), theirs)


@pytest.mark.parametrize("name", ["Booth multiplier", "mac"])
def test_pulses_of_no_width_matter_little(iverilog: str, tmp_path: Path, name: str) -> None:
    """Where cells are single continuous assignments, see :data:`~fewflips.gates.netlist.icarus_models.Delays`."""
    circuit = compiled(name, 10.0)
    sequences = random_operands(DATAPATHS[name], 100)
    windows = cut_windows(sequences.sequence_cycles, 1)
    theirs = icarus_toggles(tmp_path, circuit, LIBRARY, sequences, windows, "inertial-expressions")
    ours = simulate(circuit, sequences, "inertial").toggles
    assert abs(ours.sum() - theirs.sum()) <= 0.0005 * theirs.sum()
    assert (ours != theirs).mean() < 0.06


def test_glitches_lie_between_settled_toggles_and_all_pulses() -> None:
    circuit = compiled("mac", 10.0)
    sequences = random_operands(DATAPATHS["mac"], 3000)
    settled, inertial, transport = (
        simulate(circuit, sequences, mode).toggles for mode in ("zero-delay", "inertial", "transport")
    )
    assert (settled <= inertial).all()
    assert ((inertial - settled) % 2 == 0).all()  # a glitch is a pair
    assert settled.sum() < inertial.sum() < transport.sum()


def test_jobs_and_lanes_do_not_matter() -> None:
    circuit = compiled("mac", 10.0)
    sequences = random_operands(DATAPATHS["mac"], 4000)
    for mode in ("zero-delay", "inertial"):
        alone, together = (simulate(circuit, sequences, mode, jobs=jobs) for jobs in (1, 3))
        assert np.array_equal(alone.toggles, together.toggles)
        assert np.array_equal(alone.high, together.high)
        assert alone.transitions == together.transitions == 3999


@pytest.mark.parametrize("mode", ["zero-delay", "inertial"])
def test_groups_are_counted_each_for_itself(mode: Delays) -> None:
    circuit = compiled("mac", 10.0)
    sequences = random_operands(DATAPATHS["mac"], 600)
    places = [np.array([1]), np.array([40, 90, 140]), np.arange(64) * 9 + 5, np.array([550])]
    groups = [Windows(np.zeros(len(first), np.int64), first, np.full(len(first), 7)) for first in places]
    coefficients = np.random.default_rng(0).random((3, len(circuit.netlist.nets)))
    expected = [coefficients @ simulate(circuit, sequences, mode, windows=group).toggles for group in groups]
    for jobs in (1, 3):
        found = simulate_groups(circuit, sequences, mode, groups, coefficients, jobs=jobs)
        assert found == pytest.approx(np.array(expected), rel=1e-12)
    first = np.arange(65) * 9 + 5
    too_many = Windows(np.zeros(65, np.int64), first, np.full(65, 7))
    with pytest.raises(InputError, match="group of windows: expected at most 64, got 65"):
        simulate_groups(circuit, sequences, mode, [too_many], coefficients)
