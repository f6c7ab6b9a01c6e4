"""Words that stream negated: their codes, their flips, their flags in the buffers, against plain loop nests."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.accesses import CodeWidths, Runs
from fewflips.dataflows.hold_flags import load_flags
from fewflips.dataflows.sign_flags import negatable, negated_codes, stored_codes, streamed_codes
from fewflips.datapath.design import Word, WordFormat
from fewflips.errors import InputError
from fewflips.formats.number_formats import INT8, UINT8, decode
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.machine.buffers import Tiling
from fewflips.measurement.counting import count_weight_port, count_weights
from fewflips.optimization.weight_costs import flag_cost, weight_cost
from fewflips.streams.codes import weight_codes
from fewflips.streams.transition_cost import TransitionCost
from tests.layers import altered, dense_layer, depthwise_layer
from tests.property_settings import examples

FLAGS = DatapathOptions(sign_flags=True)


def array_of(lanes, columns, **options):
    return Accelerator(name="test", lanes=lanes, columns=columns, **{"datapath": FLAGS, **options})


def layer_of(m, n, k, seed=0):
    layer = dense_layer(m, n, k, storage=INT8, seed=seed)
    return altered(layer, weights=np.maximum(layer.weights, -127))


def signed_segments(layer, array, seed=0):
    random = np.random.default_rng(seed)
    return tuple(
        Segment(one.lanes, random.permutation(one.order), random.random(len(one.order)) < 0.5)
        for one in dataflow_of(array).segments(layer, array)
    )


@pytest.mark.parametrize("number_format", [WordFormat.TWOS_COMPLEMENT, WordFormat.SIGN_MAGNITUDE])
@pytest.mark.parametrize("bits", [2, 4, 8, 9, 16])
def test_every_code_that_has_a_negative(number_format, bits):
    word = Word(number_format, bits)
    codes = np.arange(1 << bits).astype(np.uint8 if bits <= 8 else np.uint16)[:, None]
    has = negatable(codes, word)
    values = decode(codes, number_format.number_format, bits)[:, 0]
    negatives = negated_codes(codes, word)
    assert negatives.dtype == codes.dtype
    assert (decode(negatives, number_format.number_format, bits)[has, 0] == -values[has]).all()
    assert (negated_codes(negatives, word) == codes).all()
    without = [-(1 << (bits - 1))] if number_format is WordFormat.TWOS_COMPLEMENT else []
    assert values[~has].tolist() == without


def test_a_word_has_a_negative_where_all_its_lanes_have():
    words = np.array([[128, 1], [1, 128], [127, 0]], dtype=np.uint8)
    assert negatable(words, Word(WordFormat.TWOS_COMPLEMENT, 8)).tolist() == [False, False, True]
    assert negatable(words, Word(WordFormat.TWOS_COMPLEMENT, 9)).tolist() == [True, True, True]
    assert negatable(words, Word(WordFormat.UNSIGNED, 8)).tolist() == [False, False, False]


def test_unsigned_numbers_have_no_negatives():
    segment = Segment(np.array([0]), np.array([0]), np.array([True]))
    with pytest.raises(InputError, match=r"^sign flags: expected weights with a sign, got unsigned ones; give them"):
        streamed_codes(np.array([[1]], dtype=np.uint8), segment, Word(WordFormat.UNSIGNED, 8))


@pytest.mark.parametrize("words", ["as-stored", "sign-magnitude"])
@pytest.mark.parametrize("forwarding", ["broadcast", "systolic"])
def test_flips_are_those_of_the_words_and_flags_of_a_loop_nest(words, forwarding):
    layer = layer_of(7, 5, 9)
    array = array_of(4, 3, weights=Operand.model_validate({"format": words}), forwarding=forwarding)
    segments = signed_segments(layer, array)
    sent, seams, within = [], 0, 0
    for _ in range(3):  # rows of three pixels
        for segment in segments:
            for place, n in enumerate(segment.order):
                sign = -1 if segment.negated[place] else 1
                values = [sign * int(layer.weights[n, k]) for k in segment.lanes] + [0] * (4 - len(segment.lanes))
                if words == "as-stored":
                    codes = [value % 256 for value in values]
                else:
                    codes = [abs(value) | (value < 0) << 7 for value in values]
                    zeros = [i for i, k in enumerate(segment.lanes) if layer.weights[n, k] == 0]
                    codes = [code | 128 * (i in zeros and sign < 0) for i, code in enumerate(codes)]
                sent.append(((*codes, int(segment.negated[place])), place == 0))
    for (before, _), (after, begins) in pairwise(sent):
        flips = sum((a ^ b).bit_count() for a, b in zip(before, after, strict=True))
        seams, within = seams + begins * flips, within + (not begins) * flips
    count = count_weights(layer, array, segments)
    assert (count.within * count.repeats, count.seams) == (within, seams)
    assert count.total == within + seams
    assert sum(count.bit_positions) == count.within
    assert len(count.bit_positions) == 9
    flags = [word[-1] for word, _ in sent]
    inside = sum(a != b for (a, b), (_, begins) in zip(pairwise(flags), sent[1:], strict=True) if not begins)
    assert count.bit_positions[-1] * count.repeats == inside
    assert count.bits == 8
    assert count.hops == (3 if forwarding == "systolic" else 1)


def test_flags_of_a_coded_port_stand_beside_its_wires():
    layer, coded = layer_of(5, 8, 6), array_of(3, 2, weights=Operand(coding="bus-invert"))
    segments = signed_segments(layer, coded)
    plain = coded.uncoded
    found, words = count_weight_port(layer, coded, segments), count_weight_port(layer, plain, segments).wires
    assert found.decoded == words
    assert found.wires.repeats == 1
    assert found.wires.bit_positions[-1] == words.bit_positions[-1] * words.repeats
    without = count_weight_port(layer, coded.model_copy(update={"datapath": DatapathOptions()}), segments).wires
    assert found.wires.bit_positions[:-1] == without.bit_positions
    assert (
        found.wires.total - without.total
        == words.total
        - count_weight_port(layer, plain.model_copy(update={"datapath": DatapathOptions()}), segments).wires.total
    )


def test_a_change_of_sign_costs_a_flip_on_average():
    layer, array = layer_of(3, 6, 5), array_of(2, 2)
    segments = signed_segments(layer, array)
    changes = sum(a != b for segment in segments for a, b in pairwise(segment.negated.tolist()))
    assert changes > 0
    plain = array.model_copy(update={"datapath": DatapathOptions()})
    codes = weight_codes(layer, array.weights)
    flips = TransitionCost.flips(8)
    assert weight_cost(layer, array, codes, segments, flips) == count_weights(layer, array, segments).within
    assert count_weights(layer, array, segments).within == count_weights(layer, plain, segments).within + changes
    cost = TransitionCost.per_bit([5] * 7 + [9])
    assert (flag_cost(None), flag_cost(flips), flag_cost(cost)) == (1, 1, 6)  # 5.5 rounds to the even 6
    words = [
        [(-1 if flag else 1) * int(layer.weights[n, k]) % 256 for k in segment.lanes]
        for segment in segments
        for n, flag in zip(segment.order, segment.negated, strict=True)
    ]
    expected = changes * 6
    for place, (before, after) in enumerate(pairwise(words)):
        if (place + 1) % 6:
            changed = [a ^ b for a, b in zip(before, after, strict=True)]
            expected += sum(5 * (one & 127).bit_count() + 9 * (one >> 7) for one in changed)
    assert weight_cost(layer, array, codes, segments, cost) == expected


@examples(30)
@given(
    m=st.integers(1, 9),
    n=st.integers(1, 19),
    k=st.integers(1, 6),
    lanes=st.integers(1, 3),
    columns=st.integers(1, 3),
    pixels=st.integers(1, 3),
    bits=st.sampled_from([8, 9]),
    seed=st.integers(0, 99),
)
def test_flags_lie_in_front_of_the_weights_of_a_pass(m, n, k, lanes, columns, pixels, bits, seed):
    layer = layer_of(m, n, k, seed)
    array = array_of(lanes, columns, tiling=Tiling(pixels=pixels), weights=Operand(bits=bits))
    flow = dataflow_of(array)
    segments = signed_segments(layer, array, seed)
    found = flow.accesses(layer, segments, array, CodeWidths(bits, 8, 26))
    plain = flow.accesses(layer, tuple(replace(one, negated=None) for one in segments), array, CodeWidths(bits, 8, 26))
    rows = -(-m // columns)
    assert replace(found, weights=plain.weights) == plain
    stays = len(segments) == 1 and n == 1
    added, whole = 0, 0
    for segment in segments:
        codes = -(-n // bits) if segment.negated.any() else 0
        times = -(-rows // pixels) if n == 1 else rows
        added += codes * (1 if stays else times)
        whole += codes
    assert found.weights.codes_read == plain.weights.codes_read + added
    assert found.weights.whole_bits == plain.weights.whole_bits + whole * bits
    assert sum(run.count for run in found.weights.read) == sum(run.count for run in plain.weights.read)
    largest = max(n * len(s.lanes) + (-(-n // bits) if s.negated.any() else 0) for s in segments)
    assert found.weights.working_sets[0].codes == largest


def test_a_buffer_holds_the_flags_and_then_the_words():
    word = Word(WordFormat.TWOS_COMPLEMENT, 4)
    flags = np.array([True, False, False, False, True, True])
    segment = Segment(np.array([0, 1]), np.arange(6), flags)
    codes = np.arange(12, dtype=np.uint8).reshape(6, 2) % 7
    stored = stored_codes(codes, segment, word).tolist()
    assert stored[:2] == [0b0001, 0b0011]
    expected = [
        [-int(code) % 16 if flag else int(code) for code in row] for row, flag in zip(codes, flags, strict=True)
    ]
    assert stored[2:] == [code for row in expected for code in row]
    plain = replace(segment, negated=None)
    assert stored_codes(codes, plain, word).tolist() == codes.reshape(-1).tolist()


def test_flags_beside_hold_flags():
    layer = altered(dense_layer(4, 6, 3), weights=np.array([[1, 2, 3]] * 3 + [[-1, -2, -3]] * 3, np.int8))
    array = array_of(3, 2, datapath=DatapathOptions(sign_flags=True, hold_flags=True))
    flow, (natural,) = dataflow_of(array), dataflow_of(array_of(3, 2)).segments(layer, array)
    widths = CodeWidths(8, 8, 26)
    signed = (replace(natural, negated=np.array([False] * 3 + [True] * 3)),)
    load = load_flags(flow.weight_stream(layer, *weight_codes(layer, array.weights), signed, array))
    assert load.tolist() == [[True] * 3] + [[False] * 3] * 5  # all words are the same once they are negated
    held = flow.accesses(layer, signed, array, widths).weights
    assert held.read == (Runs(2, 6 * 3 + 3 * 8 + 6),)
    plain = flow.accesses(layer, (natural,), array, widths).weights
    assert plain.read == (Runs(2, 6 * 3 + 6 * 8),)


def test_depthwise_words_stream_negated_too():
    layer, array = depthwise_layer(3, 4, (3, 3)), array_of(16, 2)
    (natural,) = dataflow_of(array).segments(layer, array)
    flags = np.array([False, True, True, False])
    stream = dataflow_of(array).weight_stream(
        layer, *weight_codes(layer, array.weights), (replace(natural, negated=flags),), array
    )
    for row, channel, flag in zip(stream.words, natural.order, flags, strict=True):
        values = [int(value) * (-1 if flag else 1) for value in layer.weights[channel]]
        assert row.tolist() == [value % 256 for value in values] + [0] * 7


def test_streams_without_flags_take_any_weights():
    layer, array = dense_layer(2, 3, 4, storage=UINT8), array_of(4, 2, datapath=DatapathOptions())
    segments = dataflow_of(array).segments(layer, array)
    stream = dataflow_of(array).weight_stream(layer, *weight_codes(layer, array.weights), segments, array)
    assert stream.words.tolist() == layer.weights.tolist()
