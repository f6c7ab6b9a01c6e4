"""Register files at gate level: toggles against Icarus Verilog, cycles against the plain loop nest, samples."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.buffers.column_file import column_file
from fewflips.buffers.register_file import FileRows, GateLevelFile, build_file, joined, random_rows
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.activation_stationary.register_file import Stretch, file_cycles, tiles_of_segments
from fewflips.dataflows.layer_operands import LayerOperands, layer_operands
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.datapath.register_file import RegisterFile
from fewflips.errors import AcceleratorError, NetlistError
from fewflips.formats.number_formats import UINT8
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.operands import Toggles
from fewflips.gates.parasitics.wires import WireModel
from fewflips.gates.switching import cut_windows, simulate
from fewflips.machine import Accelerator
from fewflips.machine.buffers import Tiling
from fewflips.simulation.register_files import rows_of, simulate_files
from fewflips.simulation.register_memories import typical_memory
from tests.gates.icarus_reference import assert_same_toggles, icarus_toggles
from tests.layers import dense_layer, depthwise_layer
from tests.layers import random_rows as random_activations
from tests.property_settings import examples

LIBRARY = load_cells("nangate45")


def machine(lanes: int, columns: int, outputs: int, pixels: int, replay: str = "forward", **datapath) -> Accelerator:
    tiling = Tiling(outputs=outputs, pixels=pixels)
    return Accelerator(name="tiled", lanes=lanes, columns=columns, tiling=tiling, replay=replay, datapath=datapath)


def operands_of(layer, array: Accelerator) -> LayerOperands:
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    return layer_operands(layer, random_activations(layer), array, datapath)


def in_any_order(layer, array: Accelerator, seed: int) -> tuple[Segment, ...]:
    generator = np.random.default_rng(seed)
    return tuple(Segment(s.lanes, generator.permutation(s.order)) for s in dataflow_of(array).segments(layer, array))


def stretches_of(column: int, pixel_tiles: int, tiles: int, array: Accelerator) -> list[Stretch]:
    return [
        Stretch(column, p, tiles - 1 - c if array.turns and p % 2 else c)
        for p in range(pixel_tiles)
        for c in range(tiles)
    ]


def column_by_hand(layer, rows, segments, array: Accelerator, column: int, latency: int, start: int, bias: int):
    """What a column's register file sees, by plain loops: (read, address, write, address, data, contents, taken).

    Sums begin with `start`, and each segment adds `bias`.
    """
    outputs, pixels, columns = array.tiling.outputs, array.tiling.pixels, array.columns
    weights, per_group = layer.weights.astype(int), layer.n // layer.groups
    visits = []
    for tile in range(0, layer.m, pixels * columns):
        sums, missing = {}, {}
        for lanes, order in segments[::-1] if array.turns and tile // (pixels * columns) % 2 else segments:
            channels = sorted(order)
            for number, m in enumerate(range(tile + column, min(tile + pixels * columns, layer.m), columns)):
                for n in order[::-1] if array.turns and m // columns % 2 else order:
                    before = sums.get((m, n))
                    products = sum(int(rows[n // per_group, m, k]) * weights[n, k] for k in lanes)
                    taken = start if before is None else before
                    sums[m, n] = taken + products + bias
                    missing[m, n] = missing.get((m, n), layer.k) - len(lanes)
                    complete = missing[m, n] == 0
                    address = number * outputs + channels.index(n)
                    visits.append((before is not None, address, taken, sums[m, n], not complete))
    entries, seen = [0] * (outputs * pixels), []
    for cycle, (read, address, taken, _, _) in enumerate(visits):
        _, write_address, _, leaving, writes = visits[max(cycle - latency, 0)]
        write = writes and cycle >= latency
        seen.append((read, address, write, write_address, leaving, tuple(entries), taken))
        if write:
            entries[write_address] = leaving
    return seen


@examples(60)
@given(
    m=st.integers(1, 12),
    n=st.integers(1, 7),
    k=st.integers(3, 9),
    depthwise=st.booleans(),
    groups=st.integers(1, 2),
    columns=st.integers(1, 3),
    outputs=st.integers(1, 5),
    pixels=st.integers(1, 4),
    product_registers=st.booleans(),
    tree_register=st.booleans(),
    offset_sums=st.booleans(),
    replay=st.sampled_from(["forward", "serpentine"]),
    seed=st.integers(0, 1000),
)
def test_files_see_what_the_loop_nest_says(
    m, n, k, depthwise, groups, columns, outputs, pixels, product_registers, tree_register, offset_sums, replay, seed
):
    layer = (
        depthwise_layer(m, n + 1, (1, k), seed=seed)
        if depthwise
        else dense_layer(m, n * groups, k, seed=seed, groups=groups)
    )
    options = {"tree_register": tree_register, "offset_sums": offset_sums, "replay": replay}
    array = machine(2, columns, outputs, pixels, product_registers=product_registers, **options)
    operands, segments = operands_of(layer, array), in_any_order(layer, array, seed)
    tiles = tiles_of_segments(segments)
    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    entries = outputs * pixels
    for column in range(min(columns, m)):
        pixel_tiles = len(range(column, m, columns * pixels))
        stretches = stretches_of(column, pixel_tiles, len(tiles), array)
        found = file_cycles(operands, tiles, array, stretches)
        for before, stretch in pairwise(stretches):
            assert stretch.before(len(tiles), serpentine=array.turns) == [before]
        assert stretches[0].before(len(tiles), serpentine=array.turns) == []
        unit = operands.datapath
        sums = 2 + product_registers, unit.sum_offset(0), unit.tree_bias  # a register behind the tree: sums come later
        by_hand = column_by_hand(layer, random_activations(layer), pairs, array, column, *sums)
        contents = found.contents(0, len(found), entries)
        seen = zip(
            found.read,
            found.read_address,
            found.write,
            found.write_address,
            found.write_data,
            contents,
            found.expected,
            strict=True,
        )
        assert [(*map(int, row[:5]), tuple(row[5].tolist()), int(row[6])) for row in seen] == by_hand
        late = np.array([read and held[address] != taken for read, address, _, _, _, held, taken in by_hand])
        np.testing.assert_array_equal(found.early(entries), late)
        middle = len(found) // 2
        np.testing.assert_array_equal(found.contents(middle, len(found) - middle, entries), contents[middle:])


def test_two_rows_of_pixels_are_enough_for_every_sum_to_be_there_in_time():
    layer = dense_layer(8, 6, 9)
    for pixels, early in ((2, False), (1, True)):
        array = machine(2, 2, 3, pixels)
        reversed_orders = tuple(
            Segment(s.lanes, s.order[::-1] if index % 2 else s.order)
            for index, s in enumerate(dataflow_of(array).segments(layer, array))
        )
        tiles = tiles_of_segments(reversed_orders)
        stretches = [Stretch(0, p, c) for p in range(4 // pixels) for c in range(len(tiles))]
        found = file_cycles(operands_of(layer, array), tiles, array, stretches)
        assert found.early(3 * pixels).any() == early


@pytest.fixture(scope="module")
def built() -> GateLevelFile:
    return build_file(RegisterFile(6, 18), LIBRARY)


@pytest.mark.parametrize("mode", ["zero-delay", "inertial"])
def test_gates_toggle_as_in_icarus(iverilog: str, tmp_path: Path, built: GateLevelFile, mode):
    sequences = random_rows(built.file, 60, seed=3).sequences(built.file)
    ours = simulate(built.circuit, sequences, mode)
    windows = cut_windows(sequences.sequence_cycles, 1)
    theirs = icarus_toggles(tmp_path, built.circuit, LIBRARY, sequences, windows, mode)
    assert ours.toggles.sum() > 1000
    assert_same_toggles(built.netlist, ours, theirs)


def test_contents_that_were_not_written_are_noticed(built: GateLevelFile):
    rows = random_rows(built.file, 50)
    rows.contents[20:, 2] ^= 1
    with pytest.raises(NetlistError, match="does not hold what the netlist computes"):
        built.simulate(rows)


def test_reading_costs_nothing_where_nothing_is_read(built: GateLevelFile):
    rows = random_rows(built.file, 200)
    still = FileRows(
        np.zeros(200, dtype=bool),
        rows.write,
        rows.read_address * 0,
        rows.write_address,
        rows.write_data,
        rows.contents,
        rows.lengths,
    )
    reading, writing = built.data_fj(built.simulate(rows))
    without, as_before = built.data_fj(built.simulate(still))
    assert 0 == without < reading
    assert 0 < as_before == pytest.approx(writing)
    unwritten = FileRows(
        rows.read,
        np.zeros(200, dtype=bool),
        rows.read_address,
        rows.write_address * 0,
        rows.write_data * 0,
        rows.contents[:1].repeat(200, axis=0),
        rows.lengths,
    )
    assert built.data_fj(built.simulate(unwritten))[1] == 0


def whole_layer(built: GateLevelFile, operands: LayerOperands, segments, array: Accelerator) -> Toggles:
    tiles = tiles_of_segments(segments)
    blocks = []
    for column in range(min(array.columns, operands.layer.m)):
        count = len(range(column, operands.layer.m, array.columns * array.tiling.pixels))
        stretches = stretches_of(column, count, len(tiles), array)
        cycles = file_cycles(operands, tiles, array, stretches)
        blocks.append(rows_of(cycles, 0, len(cycles), built.file))
    return built.simulate(joined(blocks))


@pytest.mark.parametrize(("pixels", "replay"), [(1, "forward"), (2, "forward"), (1, "serpentine")])
def test_a_sample_is_near_the_whole_layer(pixels: int, replay: str):
    layer = dense_layer(80, 16, 20)
    array = machine(4, 4, 8, pixels, replay)
    operands, segments = operands_of(layer, array), in_any_order(layer, array, 1)
    file = column_file(array, operands.datapath.accumulator_bits)
    assert file is not None
    assert file.entries == 8 * pixels
    built = build_file(file, LIBRARY)
    whole = whole_layer(built, operands, segments, array)
    read_fj, write_fj = (fj / whole.transitions for fj in built.data_fj(whole))
    found = simulate_files(built, operands, segments, array, seed=7)
    assert 0 < found.ci95_percent < 10
    assert found.energy.simulated
    sums, cycles = (
        80 * 16 * 4,
        80 * 16 * 5,
    )  # five segments, of which the first reads nothing and the last writes nothing
    entry, first = built.entry_gate, built.write_gate
    gates_fj = sums * (file.entries * entry.cycle_fj + entry.load_fj + first.load_fj) + cycles * first.cycle_fj
    clock_fj = sums * built.model.clock_fj.sum() / file.entries + gates_fj
    data_fj = (found.energy.read_pj + found.energy.write_pj) * 1e3 * sums - clock_fj
    assert data_fj == pytest.approx((read_fj + write_fj) * cycles, rel=2 * found.ci95_percent / 100)
    assert found.energy.read_pj * 1e3 * sums == pytest.approx(read_fj * cycles, rel=0.1)
    typical = typical_memory(built, columns=4)
    leakage_nw = built.model.leakage_nw.sum() + (8 * pixels + 1) * LIBRARY.cells["OR2_X1"].leakage_nw
    assert typical.leakage_uw == found.energy.leakage_uw == pytest.approx(4 * leakage_nw / 1000)
    assert not typical.simulated
    assert typical.read_pj + typical.write_pj == pytest.approx(found.energy.read_pj + found.energy.write_pj, rel=0.3)


def test_a_layer_without_partial_sums_leaves_its_files_still(built: GateLevelFile):
    layer = dense_layer(8, 6, 4)
    array = machine(4, 2, 6, 1)
    operands = operands_of(layer, array)
    found = simulate_files(built, operands, dataflow_of(array).segments(layer, array), array)
    assert (found.energy.read_pj, found.energy.write_pj, found.transitions) == (0, 0, 0)
    leakage_nw = built.model.leakage_nw.sum() + 7 * LIBRARY.cells["OR2_X1"].leakage_nw
    assert found.energy.leakage_uw == pytest.approx(2 * leakage_nw / 1000)


def test_words_that_others_take_charge_only_pins(built: GateLevelFile):
    """An entry that is not written does not see its data: only the pins on the bus are charged, by its wire and V^2."""
    cycles, file = 200, built.file
    words = np.random.default_rng(5).integers(2, size=(cycles, file.bits), dtype=np.uint8)
    still = np.zeros(cycles, dtype=np.int64)
    never = still.astype(bool)
    rows = FileRows(never, never, still, still, words, np.zeros((cycles, 6 * 18), dtype=np.uint8), np.array([cycles]))
    toggles = built.simulate(rows)
    nets = list(built.netlist.inputs["write_data"])
    assert toggles.toggles.sum() == toggles.toggles[nets].sum() == (words[1:] != words[:-1]).sum()
    flip_flop = LIBRARY.cells["DFF_X1"]
    wire_ff = WireModel.estimated(built.netlist, LIBRARY).per_fanout_ff
    charge_fj = 6 * (flip_flop.pins["D"].capacitance_ff + wire_ff) * LIBRARY.voltage_v**2 / 2
    tables = {e.when: (e.rise_fj.at(20, 0) + e.fall_fj.at(20, 0)) / 2 for e in flip_flop.pins["D"].internal}
    low, high = (np.mean([fj for when, fj in tables.items() if when.startswith(clock)]) for clock in ("!CK", "CK"))
    assert low > 10 * abs(high)  # a flip-flop that waits for an edge spends much on its data
    written = 0.75 / 2  # in three of four cycles some entry is written, and its clock is low for half of each
    internal_fj = (6 - written) * high + written * low
    assert sum(built.data_fj(toggles)) == pytest.approx(toggles.toggles.sum() * (charge_fj + internal_fj), rel=0.02)


def test_gates_of_clocks_cost_what_their_pins_do(built: GateLevelFile):
    wire_ff = WireModel.estimated(built.netlist, LIBRARY).per_fanout_ff
    gate, flip_flop = LIBRARY.cells["OR2_X1"], LIBRARY.cells["DFF_X1"]
    pins = built.file.bits * (flip_flop.pins["CK"].capacitance_ff + wire_ff)
    for found, load_ff in (
        (built.entry_gate, pins),
        (built.write_gate, 6 * (gate.pins["A1"].capacitance_ff + wire_ff)),
    ):
        assert found.cycle_fj == pytest.approx((gate.pins["A1"].capacitance_ff + wire_ff) * LIBRARY.voltage_v**2)
        assert found.flag_fj == pytest.approx((gate.pins["A2"].capacitance_ff + wire_ff) * LIBRARY.voltage_v**2 / 2)
        both = [e.rise_fj.at(20, load_ff) + e.fall_fj.at(20, load_ff) for e in gate.pins["ZN"].internal]
        assert found.load_fj == pytest.approx(np.mean(both), rel=0.05)
        assert (found.area_um2, found.leakage_nw) == (gate.area_um2, gate.leakage_nw)
    quiet = random_rows(built.file, 100)
    flags = built.simulate(quiet)
    holds = [built.netlist.holds[index] for index in sorted(built.netlist.holds)][:: built.file.bits]
    toggles = flags.toggles[holds].sum() * built.entry_gate.flag_fj
    toggles += flags.toggles[built.netlist.inputs["write"][0]] * built.write_gate.flag_fj
    model = built.model
    nets_fj = float(((model.switching_fj + model.internal_fj) * flags.toggles).sum())
    assert sum(built.data_fj(flags)) == pytest.approx(nets_fj + toggles)


def test_a_machine_without_tiles_has_no_register_file():
    assert column_file(Accelerator(name="plain", lanes=4, columns=4), 26) is None
    with pytest.raises(
        AcceleratorError, match=r"tiled: a tiling of 1024 outputs and 4 pixels: .* 4096 entries of 26 bits"
    ):
        column_file(machine(4, 4, 1024, 4), 26)
