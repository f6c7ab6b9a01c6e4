"""Energy of a layer's memories, by hand, and against a walk through a cache that holds a whole tensor."""

from __future__ import annotations

from fractions import Fraction
from math import log

import pytest

from fewflips.buffers import MemoryEnergy, buffer_bill, check_can_schedule, check_layers, check_memories
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.accesses import Accesses, CodeWidths
from fewflips.dataflows.unit_datapath import code_widths, network_datapath
from fewflips.errors import AcceleratorError
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.buffers import Tiling
from fewflips.network.layer import Layer
from tests.layers import dense_layer, depthwise_layer

WIDTHS = CodeWidths(weights=8, activations=8, partial_sums=26)
STATED = {"read_pj": 1.0, "write_pj": 3.0}


def machine(**buffers: object) -> Accelerator:
    plain = {
        "weights": {"size_kib": 1, "word_bits": 16, "read_pj": 2, "write_pj": 5},
        "activations": {"size_kib": 1, "word_bits": 8, "read_pj": 7, "write_pj": 11},
        "partial_sums": {"size_kib": 1, "word_bits": 26, "read_pj": 13, "write_pj": 17},
        "index_table": {"size_kib": 1, "word_bits": 4, "read_pj": 19, "write_pj": 23},
    }
    return Accelerator(name="hand", lanes=2, columns=4, buffers={**plain, **buffers})


LAYER = dense_layer(5, 3, 3)
"""Two rows of pixels; segments of 2 lanes and 1, three channels each."""


def accesses_of(array: Accelerator, layer: Layer = LAYER, *, reverse: bool = False) -> Accesses:
    segments = dataflow_of(array).segments(layer, array)
    if reverse:
        segments = tuple(Segment(segment.lanes, segment.order[::-1]) for segment in segments)
    return dataflow_of(array).accesses(layer, segments, array, WIDTHS)


def test_a_layer_by_hand():
    array = machine()
    bill, estimated = buffer_bill(LAYER, accesses_of(array), array, 12, 100.0)
    # weights: for both rows, runs of 48 and 24 bits take 3 and 2 words of 16; activations: 5 pixels of 3 codes
    assert bill.weights_pj == 2 * (3 + 2) * 2
    assert bill.activations_pj == 15 * 7 + 15 * 11
    # 15 sums written after the first segment, and read before the second
    assert bill.partial_sums_pj == 15 * (13 + 17)
    assert (bill.index_table_pj, bill.register_files_pj, bill.leakage_pj, bill.beyond) == (0, 0, 0, ())
    assert estimated == ("buffers.weights_pj", "buffers.activations_pj", "buffers.partial_sums_pj")


def test_a_scheduled_layer_reads_its_orders():
    array = machine()
    bill, estimated = buffer_bill(LAYER, accesses_of(array, reverse=True), array, 12, 100.0)
    # for both rows and both segments, 3 indices of 2 bits: two words of 4
    assert bill.index_table_pj == 2 * 2 * 2 * 19
    assert "buffers.index_table_pj" in estimated


def test_leakage_lasts_as_long_as_the_layer():
    leaking = {"size_kib": 1, "word_bits": 16, "read_pj": 2, "write_pj": 5, "leakage_uw": 8}
    array = machine(weights=leaking)
    bill, estimated = buffer_bill(LAYER, accesses_of(array), array, 1200, 100.0)
    assert bill.leakage_pj == pytest.approx(8e-6 * (1200 / 100e6) * 1e12)
    assert "buffers.leakage_pj" in estimated


@pytest.mark.parametrize(("size_kib", "fetches"), [(9 / 1024, 1), (8.9 / 1024, 2)])
def test_a_level_beyond_fills_the_buffer_with_what_it_cannot_hold(size_kib, fetches):
    near = {"size_kib": size_kib, "word_bits": 8, "read_pj": 2, "write_pj": 5}
    far = {"name": "L2", "size_kib": 1, "word_bits": 8, "holds": ["weights"], **STATED, "leakage_uw": 1}
    array = machine(weights=near, beyond=[far])
    bill, estimated = buffer_bill(LAYER, accesses_of(array), array, 100, 100.0)
    assert bill.weights_pj == 2 * 9 * 2 + fetches * 9 * 5
    assert [(level.name, level.access_pj, level.leakage_pj) for level in bill.beyond] == [("L2", fetches * 9 * 1.0, 1)]
    assert "buffers.beyond" in estimated


def test_a_second_level_sees_what_the_first_cannot_hold():
    near = {"size_kib": 4 / 1024, "word_bits": 8, "read_pj": 2, "write_pj": 5}
    levels = [
        {"name": "L2", "size_kib": 1, "word_bits": 8, "holds": ["weights"], "read_pj": 1, "write_pj": 3},
        {"name": "DRAM", "size_kib": 64, "word_bits": 16, "holds": ["weights"], "read_pj": 100, "write_pj": 100},
    ]
    array = machine(weights=near, beyond=levels)
    bill, _ = buffer_bill(LAYER, accesses_of(array), array, 100, 100.0)
    assert bill.weights_pj == 18 * 2 + 18 * 5
    assert bill.beyond[0].access_pj == 18 * 1 + 9 * 3  # asked for both rows, filled once
    assert bill.beyond[1].access_pj == 5 * 100  # 72 bits in words of 16


def test_results_go_to_the_last_memory():
    level = {"name": "DRAM", "size_kib": 64, "word_bits": 8, "holds": ["activations"], "read_pj": 1, "write_pj": 3}
    array = machine(beyond=[level])
    bill, _ = buffer_bill(LAYER, accesses_of(array), array, 100, 100.0)
    # in: 15 codes from DRAM into the buffer, and from there to the array; out: the same way back
    assert bill.activations_pj == 15 * (11 + 7) + 15 * (11 + 7)
    assert bill.beyond[0].access_pj == 15 * 1 + 15 * 3


def test_sums_that_do_not_fit_pass_on():
    level = {"name": "L2", "size_kib": 1, "word_bits": 26, "holds": ["partial-sums"], "read_pj": 1, "write_pj": 3}
    enough = {"size_kib": 4 * 3 * 26 / 8192, "word_bits": 26, "read_pj": 13, "write_pj": 17}
    array = machine(partial_sums=enough, beyond=[level])
    bill, _ = buffer_bill(LAYER, accesses_of(array), array, 100, 100.0)
    assert (bill.partial_sums_pj, bill.beyond[0].access_pj) == (15 * 30, 0)
    array = machine(partial_sums={**enough, "size_kib": (4 * 3 * 26 - 1) / 8192}, beyond=[level])
    bill, _ = buffer_bill(LAYER, accesses_of(array), array, 100, 100.0)
    assert (bill.partial_sums_pj, bill.beyond[0].access_pj) == (2 * 15 * 30, 15 * 4)


def test_simulated_memories_are_no_estimates():
    array = machine(weights={"size_kib": 1, "word_bits": 16, "source": "registers"})
    figures = {"weights": MemoryEnergy(0.5, 0.5, 1.0, "gates", simulated=True)}
    bill, estimated = buffer_bill(LAYER, accesses_of(array), array, 100, 100.0, figures)
    assert (bill.weights_pj, bill.leakage_pj) == (5.0, 1.0)
    assert estimated == ("buffers.activations_pj", "buffers.partial_sums_pj")


def test_register_files_keep_the_sums_of_a_tile():
    array = machine(partial_sums=None).model_copy(update={"tiling": Tiling(outputs=3)})
    found = accesses_of(array)
    figures = {"register_files": MemoryEnergy(0.25, 0.5, 2.0, "gates", simulated=True)}
    bill, estimated = buffer_bill(LAYER, found, array, 100, 100.0, figures)
    assert (bill.partial_sums_pj, bill.register_files_pj, bill.leakage_pj) == (0, 15 * 0.75, 2.0)
    assert "buffers.register_files_pj" not in estimated
    with pytest.raises(AcceleratorError, match="hand: its register files were not simulated"):
        buffer_bill(LAYER, found, array, 100, 100.0)


@pytest.mark.parametrize("name", ["edge4", "edge8", "edge16", "tpu16", "os16"])
def test_built_in_machines_cost_their_bits_times_the_energy_of_a_bit(name):
    """With runs that fill words, the bill is bits x pJ/bit; with others it is more."""
    array = load_accelerator(name)
    side = array.lanes
    layer = dense_layer(2 * side, 2 * side, 2 * side)
    flow = dataflow_of(array)
    segments = flow.segments(layer, array)
    widths = code_widths(layer, array, network_datapath([layer], array))
    found = flow.accesses(layer, segments, array, widths)
    bill, _ = buffer_bill(layer, found, array, 100, 200.0)
    per_bit = Fraction(10, 64)
    assert bill.weights_pj == pytest.approx(float(found.weights.bits_read * per_bit))
    moved = found.activations.bits_read + found.results.bits_written
    assert bill.activations_pj == pytest.approx(float(moved * per_bit))
    sums = found.partial_sums.codes_read + found.partial_sums.codes_written
    of_bank_128_kib = 20 / 64 * 4 ** (log(5) / log(32))
    assert bill.partial_sums_pj == pytest.approx(28 * sums * (of_bank_128_kib if name == "tpu16" else 10 / 64))


def test_a_machine_without_buffers_has_no_bill():
    array = Accelerator(name="bare", lanes=2, columns=4)
    check_memories(LAYER, accesses_of(array), array)
    check_can_schedule(array)
    with pytest.raises(AcceleratorError, match="bare: expected a machine with buffers"):
        buffer_bill(LAYER, accesses_of(array), array, 100, 100.0)


REFUSED = {
    "no buffer for sums": (
        {"partial_sums": None},
        "hand writes 15 partial sums and has no buffer for them: describe buffers.partial_sums",
    ),
    "sums that are too many": (
        {"partial_sums": {"size_kib": 0.02, "word_bits": 26, **STATED}},
        "its partial sums that are not complete take 0.0264 KiB, buffers.partial_sums has 0.02 KiB: make it larger",
    ),
    "a last level that is too small": (
        {"beyond": [{"name": "L2", "size_kib": 8 / 1024, "word_bits": 8, "holds": ["weights"], **STATED}]},
        "its weights take 0.00879 KiB, buffers.beyond.L2 has 0.00781 KiB",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_memories_that_do_not_suffice(case):
    buffers, words = REFUSED[case]
    array = machine(**buffers)
    with pytest.raises(AcceleratorError, match="dense"):
        check_memories(LAYER, accesses_of(array), array)
    with pytest.raises(AcceleratorError) as caught:
        check_layers([(LAYER, dataflow_of(array).segments(LAYER, array))], array, network_datapath([LAYER], array))
    assert words in str(caught.value)


def test_no_index_table_for_a_schedule():
    array = machine(index_table=None)
    check_memories(LAYER, accesses_of(array), array)
    with pytest.raises(AcceleratorError, match="hand has no index table, and the layer is scheduled"):
        check_memories(LAYER, accesses_of(array, reverse=True), array)
    with pytest.raises(AcceleratorError, match="hand: expected an index table"):
        check_can_schedule(array)


def test_output_stationary_arrays_need_no_buffer_for_sums():
    array = machine(partial_sums=None).model_copy(update={"dataflow": "output-stationary"})
    bill, _ = buffer_bill(LAYER, accesses_of(array), array, 100, 100.0)
    assert bill.partial_sums_pj == 0


def test_a_depthwise_layer_that_fits_on_the_lanes_needs_none_either():
    layer = depthwise_layer(4, 3, (1, 2))
    array = machine(partial_sums=None)
    bill, _ = buffer_bill(layer, accesses_of(array, layer), array, 100, 100.0)
    assert bill.partial_sums_pj == 0
