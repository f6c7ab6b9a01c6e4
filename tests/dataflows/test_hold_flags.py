"""Hold flags against the cycles of plain loop nests, and their clock gates in a layer's energy."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.accesses import CodeWidths
from fewflips.dataflows.hold_flags import hold_flags
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import UINT8
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.machine.buffers import Tiling
from fewflips.simulation.toggles import count_toggles
from fewflips.simulation.unit import build_unit
from tests.layers import altered, dense_layer, random_rows
from tests.network_energy import unit_walk
from tests.property_settings import examples

GATED = DatapathOptions(hold_flags=True)
WORD = common_word([(UINT8, 8)], Operand())


def array_of(lanes, columns, **options):
    return Accelerator(name="test", lanes=lanes, columns=columns, datapath=GATED, **options)


def layer_of(m, n, k, values, seed=0):
    """A layer whose weights take few values, so that many repeat."""
    layer = dense_layer(m, n, k, storage=UINT8)
    weights = np.random.default_rng(seed).integers(0, values, (n, k)).astype(np.uint8)
    return altered(layer, weights=weights)


def shared_registers(layer, segments, array):
    """What the weight registers, shared by the columns, hold cycle by cycle: those of the first column."""
    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    rows = np.zeros((1, layer.m, layer.k), dtype=np.uint8)
    units, _ = unit_walk.activation_stationary(rows, layer.weights.astype(int), pairs, array.lanes, array.columns)
    return [cycle[0] for cycle in units[0]]


@examples(40)
@given(
    m=st.integers(1, 9),
    n=st.integers(1, 5),
    k=st.integers(1, 6),
    lanes=st.integers(1, 3),
    columns=st.integers(1, 3),
    pixels=st.integers(1, 4),
    outputs=st.sampled_from([None, 1, 2, 3]),
    seed=st.integers(0, 99),
)
def test_flags_fetches_and_accesses_with_tiles_of_pixels(m, n, k, lanes, columns, pixels, outputs, seed):
    """A walk that gives each word of the buffer one flag, which has to hold whenever the word is read."""
    layer = layer_of(m, n, k, 2, seed)
    array = array_of(lanes, columns, tiling=Tiling(outputs=outputs, pixels=pixels))
    flow = dataflow_of(array)
    segments = flow.segments(layer, array)
    passes = [
        [tuple(layer.weights[channel, lane] for lane in segment.lanes) for channel in segment.order]
        for segment in segments
    ]
    passes = [[word + (0,) * (lanes - len(word)) for word in words] for words in passes]
    rows = -(-m // columns)
    sent = [
        (number, place)
        for first in range(0, rows, pixels)
        for number, words in enumerate(passes)
        for _ in range(min(pixels, rows - first))
        for place in range(len(words))
    ]
    needed = {(number, place): [False] * lanes for number, words in enumerate(passes) for place in range(len(words))}
    needed[0, 0] = [True] * lanes
    for before, now in pairwise(sent):
        old, new = passes[before[0]][before[1]], passes[now[0]][now[1]]
        if now != (0, 0):
            needed[now] = [flag or a != b for flag, a, b in zip(needed[now], old, new, strict=True)]
    stream = flow.weight_stream(layer, layer.weights, 8, segments, array)
    found = hold_flags(stream)
    assert found.flags == len(sent) * lanes
    assert found.loads.tolist() == [sum(needed[word][lane] for word in sent) for lane in range(lanes)]
    toggles = [sum(needed[a][lane] != needed[b][lane] for a, b in pairwise(sent)) for lane in range(lanes)]
    assert found.toggles.tolist() == toggles
    accesses = flow.accesses(layer, segments, array, CodeWidths(8, 8, 26))
    assert accesses.weights.bits_read == found.flags + 8 * found.fetched
    assert sum(run.count for run in accesses.weights.read) == rows * len(segments)
    plain = array.model_copy(update={"datapath": DatapathOptions()})
    assert flow.accesses(layer, segments, plain, CodeWidths(8, 8, 26)).activations == accesses.activations


@examples(30)
@given(
    st.integers(1, 7), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99)
)
def test_flags_are_those_of_the_loop_nest(m, n, k, lanes, columns, seed):
    layer, array = layer_of(m, n, k, 2, seed), array_of(lanes, columns)
    random = np.random.default_rng(seed)
    flow = dataflow_of(array)
    segments = tuple(Segment(s.lanes, random.permutation(s.order)) for s in flow.segments(layer, array))
    held = shared_registers(layer, segments, array)
    run = sum(len(segment.order) for segment in segments)
    flags = [
        tuple(number % run == 0 or word[lane] != held[number - 1][lane] for lane in range(lanes))
        for number, word in enumerate(held)
    ]
    found = hold_flags(flow.weight_stream(layer, layer.weights, 8, segments, array))
    assert found.flags == len(flags) * lanes
    assert found.loads.tolist() == [sum(flag[lane] for flag in flags) for lane in range(lanes)]
    assert found.fetched + found.held == found.flags
    toggles = [sum(a[lane] != b[lane] for a, b in pairwise(flags)) for lane in range(lanes)]
    assert found.toggles.tolist() == toggles
    work = flow.unit_work(layer, segments, array)
    assert work.weight_share * np.array(work.holds.loads) == pytest.approx(found.loads)
    assert work.weight_share * work.holds.flag_toggles == pytest.approx(found.toggles.sum())


def test_energy_counts_the_loads_of_each_lane_and_its_clock_gate():
    layer, array = layer_of(5, 6, 3, 3), array_of(2, 2)
    plain = array.model_copy(update={"datapath": DatapathOptions()})
    cells = load_cells("nangate45")
    flow, rows = dataflow_of(array), random_rows(layer)
    segments = flow.segments(layer, array)
    energies = {}
    for machine in (plain, array):
        unit = build_unit(unit_datapath([layer], machine, WORD), cells)
        operands = layer_operands(layer, rows, machine, unit.datapath)
        toggles = count_toggles(unit.circuit, flow.unit_parts(operands, segments, machine), "inertial")
        work = flow.unit_work(layer, segments, machine)
        energies[machine] = unit.energy(toggles, work, 200.0), unit, work
    (without, bare, _), (with_flags, gated, work) = energies[plain], energies[array]
    assert gated.netlist.instances == bare.netlist.instances
    assert (with_flags.switching_fj, with_flags.internal_fj) == (without.switching_fj, without.internal_fj)
    assert bare.clock_gates is None
    assert (bare.notes, bare.estimated_entries, gated.estimated_entries) == ((), (), ("units.clock_pj",))
    assert gated.notes[0].startswith("The clock gates of hold flags are estimated")
    gate, lanes = gated.clock_gates.gate, gated.clock_gates.lanes
    assert [len(bank) for bank in lanes] == [8, 8]
    assert sorted(chain(*lanes)) == gated.banks["weights"]
    nets = [{gated.netlist.instances[i].pins["D"] for i in bank} for bank in lanes]
    assert nets == [set(gated.netlist.inputs["weights"][:8]), set(gated.netlist.inputs["weights"][8:])]
    # the registers are shared: by hand they are clocked in the array's cycles, 3 tiles of 2 segments of 6 words
    held = shared_registers(layer, segments, array)
    assert len(held) == 36
    flags = np.array(
        [[n % 12 == 0 or word[lane] != held[n - 1][lane] for lane in (0, 1)] for n, word in enumerate(held)]
    )
    saved = sum(gated.model.clock_fj[bank].sum() * (36 - flags[:, lane].sum()) for lane, bank in enumerate(lanes))
    toggled = (flags[1:] != flags[:-1]).sum()
    added = 2 * 36 * gate.cycle_fj + flags.sum() * gate.load_fj + toggled * gate.flag_fj
    assert with_flags.clock_fj == pytest.approx(without.clock_fj - saved + added)
    assert with_flags.leakage_fj == pytest.approx(without.leakage_fj + 2 * gate.leakage_nw * 36 * 5e-9 * 1e6)
    assert gated.area_um2 == pytest.approx(bare.area_um2 + 2 * gate.area_um2)
    assert gated.clock_gate_energy(replace(work, holds=None), 200.0).total_fj == 0


@pytest.mark.parametrize(
    "options",
    [{"dataflow": "weight-stationary"}, {"dataflow": "output-stationary"}, {"forwarding": "systolic"}],
    ids=str,
)
def test_machines_that_cannot_hold_weights_are_refused(options):
    with pytest.raises(AcceleratorError, match=r"test: datapath\.hold_flags: expected weights that stream past held"):
        unit_datapath([layer_of(2, 2, 2, 2)], array_of(2, 2, **options), WORD)
