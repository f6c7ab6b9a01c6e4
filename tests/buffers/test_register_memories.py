"""Buffers made of registers: their words, what the file holds, and what a machine's memories cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.buffers import REGISTER_FILES, buffer_bill
from fewflips.buffers.register_file import build_file, joined
from fewflips.buffers.register_stream import memory_words, streamed_rows
from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import code_widths, unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.datapath.register_file import RegisterFile
from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import UINT8
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.simulation.register_files import simulate_stream
from fewflips.simulation.register_memories import build_register_memories, index_words
from tests.layers import dense_layer, random_rows
from tests.property_settings import examples

LIBRARY = load_cells("nangate45")
LARGE = {"size_kib": 64, "word_bits": 64}


def machine(**buffers) -> Accelerator:
    return Accelerator.model_validate(
        {
            "name": "small",
            "lanes": 4,
            "columns": 4,
            "tiling": {"outputs": 4, "pixels": 2},
            "buffers": {"weights": LARGE, "activations": LARGE, **buffers},
        }
    )


@examples(60)
@given(
    runs=st.lists(st.lists(st.integers(0, 31), min_size=1, max_size=9), min_size=1, max_size=4),
    word_bits=st.integers(1, 40),
)
def test_codes_fill_words_from_the_lowest_bit(runs, word_bits):
    found = memory_words([np.array(run, dtype=np.uint8) for run in runs], 5, word_bits)
    expected = []
    for run in runs:
        whole = sum(code << (5 * place) for place, code in enumerate(run))
        for first in range(0, 5 * len(run), word_bits):
            expected.append([whole >> (first + bit) & 1 for bit in range(word_bits)])
    assert found.tolist() == expected


@examples(40)
@given(
    entries=st.integers(1, 9),
    count=st.integers(1, 12),
    first=st.integers(0, 11),
    cycles=st.integers(1, 20),
)
def test_a_stream_is_held_until_it_is_written_over(entries, count, first, cycles):
    words = np.random.default_rng(0).integers(2, size=(count, 6), dtype=np.uint8)
    found = streamed_rows(RegisterFile(entries, 6), words, first, cycles)
    held = {}
    stream = [(number, words[number % count].tolist()) for number in range(-4 * entries, first + cycles)]
    shown = 0
    for number, word in stream:
        if number >= first:
            contents = found.contents[shown].reshape(entries, 6).tolist()
            assert contents == [held[entry] for entry in range(entries)]
            assert found.write_data[shown].tolist() == word
            assert found.write_address[shown] == number % entries
            back = number - (entries + 1) // 2
            if entries > 1:
                assert contents[found.read_address[shown]] == words[back % count].tolist()
            shown += 1
        held[number % entries] = word
    assert shown == cycles


def test_few_flips_cost_less_than_many():
    built = build_file(RegisterFile(8, 16), LIBRARY)
    generator = np.random.default_rng(0)
    changing = generator.integers(2, size=(200, 16), dtype=np.uint8)
    alike = np.repeat(changing[::20], 20, axis=0)
    many, few = (simulate_stream(built, words, 3, seed=2) for words in (changing, alike))
    assert few.energy.read_pj < many.energy.read_pj
    assert few.energy.write_pj < 0.7 * many.energy.write_pj
    assert many.energy.leakage_uw == pytest.approx(3 * built.leakage_uw)
    whole = built.simulate(joined([streamed_rows(built.file, changing, 0, 401)]))
    read_pj, write_pj = (fj / 400 * 1e-3 for fj in built.data_fj(whole))
    near = 2 * many.ci95_percent / 100 + 0.01
    assert many.energy.read_pj == pytest.approx(read_pj, rel=near)
    assert many.energy.write_pj - built.write_clock_fj * 1e-3 == pytest.approx(write_pj, rel=near)


def test_an_index_table_holds_which_channel_of_the_tile_comes_next():
    array, layer = machine(), dense_layer(4, 10, 6)
    natural = dataflow_of(array).segments(layer, array)
    assert index_words(layer, natural, array, 8).tolist() == [[0] * 8]
    orders = tuple(Segment(s.lanes, s.order[::-1].copy()) for s in natural)
    # tiles 0..3, 4..7 and 8, 9, each in two segments: 3 2 1 0 twice, twice, and 1 0 twice
    by_hand = [3 | 2 << 2 | 1 << 4, 3 | 2 << 2 | 1 << 4, 3 | 2 << 2 | 1 << 4, 3 | 2 << 2 | 1 << 4, 1, 1]
    found = index_words(layer, orders, array, 8)
    assert [sum(int(bit) << place for place, bit in enumerate(word)) for word in found] == by_hand


def test_a_bill_of_memories_made_of_registers():
    array = machine(
        weights={"size_kib": 0.0625, "word_bits": 32, "source": "registers", "banks": 2},
        index_table={"size_kib": 0.015625, "word_bits": 8, "source": "registers"},
    )
    layer = dense_layer(20, 8, 12)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    operands = layer_operands(layer, random_rows(layer), array, datapath)
    natural = dataflow_of(array).segments(layer, array)
    segments = tuple(Segment(s.lanes, np.random.default_rng(i).permutation(s.order)) for i, s in enumerate(natural))
    memories = build_register_memories(array, datapath, LIBRARY)
    assert {label: built.file for label, built in memories.built.items()} == {
        REGISTER_FILES: RegisterFile(8, datapath.accumulator_bits),
        "weights": RegisterFile(8, 32),
        "index_table": RegisterFile(16, 8),
    }
    areas = {label: built.area_um2 for label, built in memories.built.items()}
    assert memories.area_um2 == pytest.approx(4 * areas[REGISTER_FILES] + 2 * areas["weights"] + areas["index_table"])
    found = memories.of_layer(operands, segments)
    accesses = dataflow_of(array).accesses(layer, segments, array, code_widths(layer, array, datapath))
    figures = {label: memory.energy for label, memory in found.items()}
    bill, estimated = buffer_bill(layer, accesses, array, 500, 200.0, figures)
    sums = 20 * 8 * 2
    files = figures[REGISTER_FILES]
    assert bill.register_files_pj == pytest.approx(sums * (files.read_pj + files.write_pj))
    assert bill.weights_pj == pytest.approx(5 * 24 * figures["weights"].read_pj)  # rows of pixels, words
    assert bill.register_files_pj > 0
    assert bill.index_table_pj == pytest.approx(5 * 6 * figures["index_table"].read_pj)  # a word for each segment
    assert estimated == ("buffers.activations_pj",)


SMALL = {"size_kib": 0.125, "word_bits": 8, "source": "registers"}


@pytest.mark.parametrize(
    ("buffers", "message"),
    [
        ({"activations": SMALL}, r"buffers\.activations: registers: expected weights or"),
        ({"weights": {**SMALL, "size_kib": 4}}, r"buffers\.weights: register file: expected up to"),
    ],
)
def test_memories_that_are_no_register_files_are_refused(buffers, message):
    array = machine(**buffers)
    layer = dense_layer(20, 8, 12)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    with pytest.raises(AcceleratorError, match=message):
        build_register_memories(array, datapath, LIBRARY)


@pytest.mark.parametrize(("pixels", "turning"), [(20, True), (4, False)])
def test_a_stream_that_turns_passes_backwards_every_other_time(pixels: int, turning: bool):
    """Twenty pixels are five rows of four columns; a single row never turns."""
    given = machine(weights={"size_kib": 0.0625, "word_bits": 32, "source": "registers"})
    array = given.model_copy(update={"replay": "serpentine"})
    layer = dense_layer(pixels, 8, 12)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    operands = layer_operands(layer, random_rows(layer), array, datapath)
    segments = dataflow_of(array).segments(layer, array)
    memories = build_register_memories(array, datapath, LIBRARY)
    codes = [layer.weights[np.ix_(s.order, s.lanes)].astype(np.uint8) for s in segments]
    words = memory_words(codes, 8, 32)
    expected = np.concatenate([words, words[::-1]]) if turning else words
    found = memories.of_layer(operands, segments, seed=3)["weights"]
    assert found == simulate_stream(memories.built["weights"], expected, seed=3)
