"""Passes that run backwards every other time: streams, units, accesses and estimates against plain loop nests."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.coding.bus_invert import BusInvert
from fewflips.coding.plain import Plain
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.phases import ActivationStatistics, PhaseSource
from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import UINT8
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.accelerator import DatapathOptions
from fewflips.machine.buffers import Tiling
from fewflips.streams.coded import count_coded_flips
from fewflips.streams.codes import activation_codes, weight_codes
from fewflips.streams.counting import count_flips
from fewflips.streams.stream import Stream
from tests.accelerator.cycle_simulation import SIMULATIONS
from tests.accelerator.test_dataflows import compare_with_simulation, shuffled
from tests.accelerator.test_tiling import check_streams
from tests.coding.wire_walk import bus_invert_walk
from tests.dataflows.row_stationary import RowStationary
from tests.dataflows.test_accesses import WIDTHS, compare, counter, walk
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.network_energy import unit_walk
from tests.network_energy.test_parts import check_layer
from tests.property_settings import examples

DATAFLOWS = sorted(SIMULATIONS)


def machine(dataflow: str = "activation-stationary", lanes: int = 2, columns: int = 2, **options) -> Accelerator:
    return Accelerator(name="turning", dataflow=dataflow, lanes=lanes, columns=columns, replay="serpentine", **options)


def any_layer(m, n, k, groups, depthwise, seed):
    """With unsigned weights, whose codes are their values."""
    if not depthwise:
        return dense_layer(m, n * groups, k, groups=groups, seed=seed, storage=UINT8)
    signed = depthwise_layer(m, n + 1, (1, k), multiplier=groups, seed=seed)
    return altered(signed, weights=np.abs(signed.weights.astype(np.int64)).astype(np.uint8), weight_type=UINT8)


LAYERS = {
    "m": st.integers(1, 12),
    "n": st.integers(1, 6),
    "k": st.integers(2, 8),
    "groups": st.integers(1, 2),
    "depthwise": st.booleans(),
    "lanes": st.integers(1, 4),
    "columns": st.integers(1, 4),
    "seed": st.integers(0, 1000),
}
TILINGS = {"outputs": st.sampled_from([None, 1, 2, 3]), "pixels": st.integers(1, 4)}


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@examples(80)
@given(**LAYERS)
def test_streams_are_those_of_the_loop_nest(dataflow, m, n, k, groups, depthwise, lanes, columns, seed):
    layer = any_layer(m, n, k, groups, depthwise, seed)
    array = machine(dataflow, lanes, columns)
    natural = dataflow_of(array).segments(layer, array)
    compare_with_simulation(layer, array, natural)
    compare_with_simulation(layer, array, shuffled(natural, seed))


@examples(80)
@given(**LAYERS, **TILINGS)
def test_streams_of_tiles(m, n, k, groups, depthwise, lanes, columns, seed, outputs, pixels):
    layer = any_layer(m, n, k, groups, depthwise, seed)
    array = machine(lanes=lanes, columns=columns, tiling=Tiling(outputs=outputs, pixels=pixels))
    check_streams(layer, array, shuffled(dataflow_of(array).segments(layer, array), seed))


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@examples(30)
@given(**LAYERS)
def test_coded_ports_are_those_of_a_walk_over_the_inference(dataflow, m, n, k, groups, depthwise, lanes, columns, seed):
    layer, array = any_layer(m, n, k, groups, depthwise, seed), machine(dataflow, lanes, columns)
    flow, rows = dataflow_of(array), random_rows(layer, seed)
    segments = shuffled(flow.segments(layer, array), seed)
    pairs = [(one.lanes.tolist(), one.order.tolist()) for one in segments]
    trace = SIMULATIONS[dataflow](rows, layer.weights, pairs, lanes, columns, layer.is_depthwise, turns=True)
    streams = {
        "weights": flow.weight_stream(layer, *weight_codes(layer, array.weights), segments, array),
        "activations": flow.activation_stream(
            layer, *activation_codes(layer, rows, array.activations), segments, array
        ),
    }
    for port, stream in streams.items():
        coded, plain = count_coded_flips(stream, BusInvert()), count_coded_flips(stream, Plain())
        assert (coded.bit_positions, coded.seams) == bus_invert_walk(getattr(trace, port), 8)
        assert (plain.within, plain.seams) == trace.flips(port)


@examples(100)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    repeats=st.integers(1, 5),
    pass_repeats=st.integers(1, 4),
    last=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_every_sequence_of_passes_laid_out(lengths, repeats, pass_repeats, last, seed):
    words = np.random.default_rng(seed).integers(0, 16, size=(sum(lengths), 2), dtype=np.uint8)
    starts = np.cumsum([0, *lengths[:-1]])
    passes = np.split(words, starts[1:])
    sequence, times_sent, turns = [], defaultdict(int), 0
    for time in range(repeats):
        for number in range(len(passes))[:: -1 if time % 2 else 1]:
            for _ in range(last if time == repeats - 1 else pass_repeats):
                sequence.append((number, passes[number][:: -1 if times_sent[number] % 2 else 1]))
                times_sent[number] += 1
    for (one, before), (other, after) in pairwise(sequence):
        if one == other:
            assert (before[-1] == after[0]).all()
            turns += 1
    assert turns == sum(times_sent.values()) - 1 - repeats * (len(passes) - 1)
    laid_out = np.concatenate([part for _, part in sequence])
    stream = Stream("weights", words, starts, 4, repeats, pass_repeats, last_pass_repeats=last, serpentine=True)
    assert count_flips(stream).total == int(np.bitwise_count(laid_out[1:] ^ laid_out[:-1]).sum(dtype=np.int64))
    sent = [passes[number][:: -1 if backwards else 1] for number, backwards in stream.sendings()]
    np.testing.assert_array_equal(np.concatenate(sent), laid_out)
    assert count_coded_flips(stream, Plain()).total == count_flips(stream).total


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@examples(60)
@given(**LAYERS, part_cycles=st.sampled_from([1, 20, 10**6]), forwarding=st.sampled_from(["broadcast", "systolic"]))
def test_units_see_what_the_loop_nest_says(
    dataflow, m, n, k, groups, depthwise, lanes, columns, seed, part_cycles, forwarding
):
    layer = any_layer(m, n, k, groups, depthwise, seed)
    array = machine(dataflow, lanes + 1, columns, forwarding=forwarding)
    check_layer(layer, array, shuffled(dataflow_of(array).segments(layer, array), seed), part_cycles)


@examples(80)
@given(**LAYERS, **TILINGS, part_cycles=st.sampled_from([1, 20, 10**6]))
def test_units_of_tiles(m, n, k, groups, depthwise, lanes, columns, seed, outputs, pixels, part_cycles):
    layer = any_layer(m, n, k, groups, depthwise, seed)
    array = machine(lanes=lanes + 1, columns=columns, tiling=Tiling(outputs=outputs, pixels=pixels))
    check_layer(layer, array, shuffled(dataflow_of(array).segments(layer, array), seed), part_cycles)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@examples(80)
@given(**LAYERS)
def test_what_is_still_in_the_registers_is_not_fetched(dataflow, m, n, k, groups, depthwise, lanes, columns, seed):
    layer = any_layer(m, n, k, groups, depthwise, seed)
    compare(layer, machine(dataflow, lanes, columns), seed)


@examples(100)
@given(**LAYERS, **TILINGS)
def test_accesses_of_tiles(m, n, k, groups, depthwise, lanes, columns, seed, outputs, pixels):
    layer = any_layer(m, n, k, groups, depthwise, seed)
    array = machine(lanes=lanes, columns=columns, tiling=Tiling(outputs=outputs, pixels=pixels))
    segments = shuffled(dataflow_of(array).segments(layer, array), seed)
    expected, found = walk(layer, segments, array), dataflow_of(array).accesses(layer, segments, array, WIDTHS)
    assert counter(found.weights.read) == expected.runs["weights"]
    assert counter(found.activations.read) == expected.runs["activations"]
    assert counter(found.results.written) == expected.runs["results"]
    if found.index_table.read:  # a random order may be the natural one
        assert counter(found.index_table.read) == expected.runs["indices"]
    sums = found.register_files if outputs else found.partial_sums
    assert sums.live == expected.most_unfinished
    walked = sum(size * count for size, count in expected.runs["partial sums read"].items())
    assert sums.codes_read == sums.codes_written == walked


def test_a_memory_of_one_segment_keeps_it_over_a_turn():
    """8 channels of 4 inputs on 2 lanes: segments of 16 codes, A B B A A B for three tiles of pixels."""
    layer, array = dense_layer(6, 8, 4), machine(tiling=Tiling(pixels=1))
    weights = dataflow_of(array).accesses(layer, dataflow_of(array).segments(layer, array), array, WIDTHS).weights
    assert weights.codes_read == 3 * 32 - 2 * 2
    for capacity, codes in ((15, 3 * 32 - 2 * 2), (16, 4 * 16), (32, 32)):
        assert sum(run.count * run.codes for run in weights.read_behind(8 * capacity)) == codes


@examples(80)
@given(**LAYERS, **TILINGS)
def test_phases_have_the_cycles_and_weight_flips_of_the_units(
    m, n, k, groups, depthwise, lanes, columns, seed, outputs, pixels
):
    layer = any_layer(m, n, k, groups, depthwise, seed)
    array = machine(lanes=lanes, columns=columns, tiling=Tiling(outputs=outputs, pixels=pixels))
    flow = dataflow_of(array)
    segments = shuffled(flow.segments(layer, array), seed)
    codes, bits = weight_codes(layer, array.weights)
    words = tuple(flow.segment_words(codes, segment) for segment in segments)
    phases = list(flow.phases(PhaseSource(layer, segments, array, words, bits, ActivationStatistics(np.zeros(8)))))
    assert sum(phase.cycles for phase in phases) == flow.unit_work(layer, segments, array).unit_cycles
    pairs = [(one.lanes.tolist(), one.order.tolist()) for one in segments]
    seen, _ = unit_walk.activation_stationary(
        random_rows(layer), layer.weights.astype(int), pairs, lanes, columns, pixels, True
    )
    flips = adding = 0
    for column in seen:
        for before, after in pairwise(column):
            flips += sum((a ^ b).bit_count() for a, b in zip(before[0], after[0], strict=True))
        # a sum of nothing is zero, and products of unsigned words seldom are
        adding += sum(after[2] != 0 for after in column)
    assert sum(p.cycles * p.active_lanes * p.weight_rates.sum() for p in phases) == pytest.approx(flips)
    assert sum(p.cycles for p in phases if p.adds_to_sum) >= adding


@pytest.mark.parametrize("depthwise", [False, True])
def test_phases_of_a_weight_stationary_array_leave_activations_where_pixels_turn(depthwise):
    layer = any_layer(5, 5, 4, 2, depthwise, 0)
    array = machine("weight-stationary", 2, 2)
    flow = dataflow_of(array)
    segments = flow.segments(layer, array)
    codes, bits = weight_codes(layer, array.weights)
    words = tuple(flow.segment_words(codes, segment) for segment in segments)
    always = ActivationStatistics(np.ones(8))
    phases = list(flow.phases(PhaseSource(layer, segments, array, words, bits, always)))
    assert sum(phase.cycles for phase in phases) == flow.unit_work(layer, segments, array).unit_cycles
    moving = sum(phase.cycles for phase in phases if phase.activation_rates.any())
    # dense: two groups of 5 channels on 2 columns: 2 + 2 + 1, of which the first two see new pixels; depthwise: each
    # group of two channels sees new ones in its first
    still = 2 * 6 if depthwise else 2 * 2 * 3
    assert moving == flow.unit_work(layer, segments, array).unit_cycles - still


def test_written_only_where_it_is_serpentine(tmp_path: Path):
    assert "replay" not in load_accelerator("edge4").model_dump()
    assert machine().model_dump()["replay"] == "serpentine"
    path = tmp_path / "turning.yaml"
    path.write_text("name: a\nlanes: 4\ncolumns: 4\nreplay: serpentine\n")
    assert load_accelerator(path).turns
    path.write_text("name: a\nlanes: 4\ncolumns: 4\nreplay: backwards\n")
    with pytest.raises(AcceleratorError, match="replay: Input should be 'forward' or 'serpentine', got 'backwards'"):
        load_accelerator(path)


def test_hold_flags_are_refused():
    array = machine(datapath=DatapathOptions(hold_flags=True))
    with pytest.raises(AcceleratorError, match=r"turning: replay: expected forward on a machine with datapath.hold_fl"):
        dataflow_of(array)


def test_a_dataflow_that_does_not_know_of_it_refuses(monkeypatch):
    monkeypatch.setattr("fewflips.dataflows.registration.dataflow_named", lambda name: RowStationary())
    with pytest.raises(AcceleratorError, match="replay: dataflow row-stationary only repeats passes from their first"):
        dataflow_of(machine())
