"""Flips on coded wires, and what a coding has to keep to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.coding import Coding, Wires, coding_named
from fewflips.coding.bus_invert import BusInvert
from fewflips.coding.plain import Plain
from fewflips.coding.sending import send
from fewflips.dataflows import Segment, dataflow_of
from fewflips.errors import AcceleratorError
from fewflips.formats.codes import Codes
from fewflips.formats.number_formats import UINT8
from fewflips.machine import Accelerator
from fewflips.streams.coded import count_coded_flips
from fewflips.streams.codes import activation_codes, weight_codes
from fewflips.streams.counting import FlipCount, count_flips
from fewflips.streams.stream import Stream
from tests.accelerator.cycle_simulation import SIMULATIONS
from tests.coding.wire_walk import bus_invert_walk
from tests.layers import dense_layer, depthwise_layer, random_rows
from tests.property_settings import examples


def stream_of(words, starts=(0,), bits=4, **repeats) -> Stream:
    return Stream("weights", np.array(words, np.uint8), np.array(starts), bits, **repeats)


def found(stream: Stream, coding: Coding) -> tuple[tuple[int, ...], int]:
    count = count_coded_flips(stream, coding)
    assert (count.within, count.repeats) == (sum(count.bit_positions), 1)
    return count.bit_positions, count.seams


@pytest.mark.parametrize("dataflow", SIMULATIONS)
@given(
    m=st.integers(1, 6),
    n=st.integers(1, 6),
    k=st.integers(1, 6),
    depthwise=st.booleans(),
    lanes=st.integers(1, 3),
    columns=st.integers(1, 3),
    seed=st.integers(0, 100),
)
@examples(30)
def test_flips_are_those_of_a_walk_over_the_inference(dataflow, m, n, k, depthwise, lanes, columns, seed):
    layer = depthwise_layer(m, n, (1, k), seed=seed) if depthwise else dense_layer(m, n, k, seed=seed, storage=UINT8)
    array, rows = Accelerator(name="t", dataflow=dataflow, lanes=lanes, columns=columns), random_rows(layer, seed)
    flow, generator = dataflow_of(array), np.random.default_rng(seed)
    segments = tuple(Segment(one.lanes, generator.permutation(one.order)) for one in flow.segments(layer, array))
    pairs = [(one.lanes.tolist(), one.order.tolist()) for one in segments]
    trace = SIMULATIONS[dataflow](rows, layer.weights, pairs, lanes, columns, layer.is_depthwise)
    stream = flow.weight_stream(layer, *weight_codes(layer, array.weights), segments, array)
    assert found(stream, BusInvert()) == bus_invert_walk(trace.weights, 8)
    stream = flow.activation_stream(layer, *activation_codes(layer, rows, array.activations), segments, array)
    assert found(stream, BusInvert()) == bus_invert_walk(trace.activations, 8)


def test_a_pass_that_repeats_is_sent_from_where_the_wires_are():
    """By hand, flag last. From 000 0: 000 goes as 000 0, 011 as 100 1. From there: 000 as 111 1, 011 as 100 1."""
    words = [[0b000], [0b011]]
    assert found(stream_of(words, bits=3), BusInvert()) == ((0, 0, 1, 1), 0)
    assert found(stream_of(words, bits=3, repeats=2), BusInvert()) == ((1, 1, 1, 1), 2)
    assert found(stream_of(words, bits=3, pass_repeats=2), BusInvert()) == ((1, 1, 1, 1), 2)


@given(
    bits=st.integers(3, 4),
    words=st.lists(st.lists(st.integers(0, 7), min_size=2, max_size=2), min_size=2, max_size=9),
    repeats=st.integers(1, 4),
    pass_repeats=st.integers(1, 4),
    cut=st.integers(1, 8),
)
@examples(60)
def test_repeated_streams_and_passes(bits, words, repeats, pass_repeats, cut):
    starts = [0, cut] if cut < len(words) else [0]
    passes = [words[:cut], words[cut:]][: len(starts)]
    cycles = [
        ((time, number, again), row)
        for time in range(repeats)
        for number, rows in enumerate(passes)
        for again in range(pass_repeats)
        for row in rows
    ]
    stream = stream_of(words, starts, bits, repeats=repeats, pass_repeats=pass_repeats)
    assert found(stream, BusInvert()) == bus_invert_walk(cycles, bits)
    plain, coded = count_flips(stream), count_coded_flips(stream, Plain())
    assert coded == FlipCount(
        plain.within * plain.repeats,
        plain.seams,
        tuple(flips * plain.repeats for flips in plain.bit_positions),
        plain.transitions * plain.repeats,
        bits=bits,
        repeats=1,
        hops=1,
    )


def test_nothing_to_send():
    stream = Stream("weights", np.zeros((0, 3), np.uint8), np.zeros(0, np.int64), 4)
    assert count_coded_flips(stream, BusInvert()).total == 0


@given(
    data=st.data(),
    bits=st.integers(1, 16),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    lanes=st.integers(1, 4),
)
@examples(60)
def test_round_trip(data, bits, lengths, lanes):
    """Pass after pass, the state carried on: the words come back, and no word changes more than half of its wires."""
    coding, most = BusInvert(), (1 << bits) - 1
    state = coding.start(lanes, bits)
    data_wires, flag_wires = np.zeros((1, lanes), np.uint16), np.zeros((1, lanes), np.uint16)
    for length in lengths:
        rows = data.draw(st.lists(st.lists(st.integers(0, most), min_size=lanes, max_size=lanes), min_size=length))
        codes = Codes(np.array(rows, np.uint8 if bits <= 8 else np.uint16), bits)
        before = codes.words.copy()
        wires, after = send(coding, codes, state)
        assert np.array_equal(coding.decode(wires, bits, state), before)
        assert np.array_equal(codes.words, before)
        data_wires = np.concatenate([data_wires[-1:], wires.lanes.words])
        flag_wires = np.concatenate([flag_wires[-1:], wires.side[0].words])
        changed = np.bitwise_count(data_wires[1:] ^ data_wires[:-1]) + (flag_wires[1:] ^ flag_wires[:-1])
        assert changed.max() <= (bits + 1) / 2
        state = after


class Broken(BusInvert):
    """What others may get wrong."""

    def __init__(self, fault: str) -> None:
        self.name, self.fault = "broken", fault

    def encode(self, codes, state):
        wires, after = super().encode(codes, state)
        lanes, (flags,) = wires
        faulty = {
            "a wide word": Wires(Codes(lanes.words, codes.bits - 1), (flags,)),
            "too few cycles": Wires(lanes, (Codes(flags.words[1:], 1),)),
            "signed words": Wires(Codes(lanes.words.astype(np.int16), codes.bits), (flags,)),
            "wires that come and go": wires if len(lanes.words) > 1 else Wires(lanes, (flags, flags)),
        }
        return faulty.get(self.fault, wires), after

    def decode(self, wires, bits, state):
        words = super().decode(Wires(wires.lanes, wires.side[:1]), bits, state)
        if self.fault == "a lost bit":
            return words & 0b1110
        return words[:, :1] if self.fault == "a lost lane" else words


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("a lost bit", r"1 of 4 wrong \(first in cycle 0 of a pass, lane 1: 15 became 14\); a coding must be lossless"),
        ("a lost lane", r"expected decode to give words of shape \(2, 2\), got \(2, 1\)"),
        ("a wide word", "expected wires of 1 to 8 bits .uint8. and words that fit, got 3 bits and a word that takes 4"),
        ("too few cycles", r"one row in each of 2 cycles, got shape \(1, 2\) of uint8"),
        ("signed words", r"a matrix of uint8 or uint16, .* got shape \(2, 2\) of int16"),
        ("wires that come and go", r"the same wires in every pass of a layer .*, got \[\(2, 4\), \(2, 1\), \(2, 1\)\]"),
    ],
)
def test_a_faulty_coding_is_refused(fault: str, message: str):
    stream = stream_of([[2, 15], [8, 12], [3, 4]], [0, 2])
    with pytest.raises(AcceleratorError, match=f"^coding broken: .*{message}"):
        count_coded_flips(stream, Broken(fault))


def test_plain_wires_hold_the_codes():
    codes = Codes(np.array([[1, 2]], np.uint8), 2)
    plain = coding_named("plain")
    wires, state = send(plain, codes, plain.start(2, 2))
    assert wires.lanes.words is codes.words
    assert (wires.side, state.size) == ((), 0)
