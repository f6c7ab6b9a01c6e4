"""Schedules whose words stream negated: executed against plain loops, and written and read in both forms."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.dataflows import Segment, dataflow_of
from fewflips.errors import InputError, VerificationError
from fewflips.formats.number_formats import INT8, UINT8
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.records.schedule import Axes, Schedule, ScheduledSegment
from fewflips.schedule import executor
from fewflips.schedule.binary import encode_schedule
from fewflips.schedule.executor import check_segments, execute_segments
from fewflips.schedule.file import build_schedule, parse_schedule, same_orders, schedule_orders
from fewflips.verification.schedule_check import check_schedule
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.property_settings import examples
from tests.test_schedule import network_of

ARRAY = Accelerator(name="signed", lanes=4, columns=2, datapath=DatapathOptions(sign_flags=True))


def negatable_layer(layer):
    return altered(layer, weights=np.maximum(layer.weights, -127))


LAYERS = (
    negatable_layer(dense_layer(5, 9, 11, storage=INT8, zero_point=2)),
    negatable_layer(dense_layer(3, 4, 3, groups=2, seed=1)),
    depthwise_layer(4, 5, (3, 3), seed=2),
)


def signed_orders(network, array, seed=0):
    """Random orders and signs; some segments have none."""
    random = np.random.default_rng(seed)
    orders = {}
    for layer in network.layers:
        segments = []
        for one in dataflow_of(array).segments(layer, array):
            flags = random.random(len(one.order)) < random.choice([0.0, 0.5, 1.0])
            segments.append(Segment(one.lanes, random.permutation(one.order), flags))
        orders[layer.name] = tuple(segments)
    return orders


@pytest.mark.parametrize("machine", ["edge4", "tpu16", "os16"])
@pytest.mark.parametrize("layer", LAYERS, ids=["dense", "grouped", "depthwise"])
def test_negated_words_are_subtracted_along_either_axis(machine, layer):
    """Plain loops; the executor does not ask which machine has flags."""
    array = load_accelerator(machine)
    axes = Axes(lanes=dataflow_of(array).lanes_axis, order=dataflow_of(array).order_axis)
    rows = random_rows(layer)
    segments = signed_orders(network_of(layer), array)["layer0"]
    assert any(segment.negated.any() for segment in segments)
    outputs = layer.n // layer.groups
    expected = np.zeros((layer.m, layer.n), dtype=np.int64)
    zero_points = layer.right.element_zero_points()
    for m in range(layer.m):
        for n in range(layer.n):
            for k in range(layer.k):
                weight = int(layer.weights[n, k]) - int(np.broadcast_to(zero_points, layer.weights.shape)[n, k])
                expected[m, n] += weight * (int(rows[n // outputs, m, k]) - 3)
    assert execute_segments(layer, rows, 3, segments, axes).tolist() == [expected.tolist()]
    assert check_segments(layer, rows, segments, axes) == expected.size


def test_words_are_negated_before_they_are_taken(monkeypatch):
    """Both halves count: words that are negated and added, or subtracted as they are, give other sums."""
    layer = LAYERS[0]
    segments = signed_orders(network_of(layer), ARRAY, 1)["layer0"]
    axes = Axes(lanes="k", order="n")
    check_segments(layer, random_rows(layer), segments, axes)
    as_streamed = executor._as_streamed
    streamed = as_streamed(layer.weights.astype(np.int64), segments, axes)
    for segment in segments:
        for n, negated in zip(segment.order, segment.negated, strict=True):
            for k in segment.lanes:
                assert streamed[n, k] == (-1 if negated else 1) * int(layer.weights[n, k])
    monkeypatch.setattr(executor, "_as_streamed", lambda weights, segments, axes: weights)
    with pytest.raises(VerificationError, match="sums differ"):
        check_segments(layer, random_rows(layer), segments, axes)
    plain = tuple(Segment(one.lanes, one.order) for one in segments)
    monkeypatch.setattr(executor, "_as_streamed", lambda weights, _, axes: as_streamed(weights, segments, axes))
    with pytest.raises(VerificationError, match="sums differ"):
        check_segments(layer, random_rows(layer), plain, axes)


def test_the_check_says_that_words_were_subtracted():
    network = network_of(*LAYERS)
    check = check_schedule(network, ARRAY, signed_orders(network, ARRAY), None, seed=0)
    assert check.method.endswith("sums are equal; products of words that stream negated were subtracted")
    plain = {layer.name: dataflow_of(ARRAY).segments(layer, ARRAY) for layer in network.layers}
    assert check_schedule(network, ARRAY, plain, None, seed=0).method.endswith("sums are equal")


def decoded(content: bytes) -> dict:
    """What docs/schedule.md says of version 2, field after field."""
    place = 0

    def take(size: int) -> bytes:
        nonlocal place
        place += size
        assert place <= len(content)
        return content[place - size : place]

    def number(size: int) -> int:
        return int.from_bytes(take(size), "little")

    def indices() -> list[int]:
        count, smallest, width = number(4), number(4), number(1)
        packed = number((count * width + 7) // 8)
        return [smallest + (packed >> i * width) % 2**width for i in range(count)]

    take(8)
    version = number(2)
    take(32)
    accelerator = json.loads(take(number(4)))
    layers = []
    for _ in range(number(4)):
        take(number(4))
        take(4 + 4 + 2)
        segments = []
        for _ in range(number(4)):
            segment = {"lanes": indices(), "order": indices()}
            if version == 2:
                present = number(1)
                assert present in (0, 1)
                if present:
                    count = len(segment["order"])
                    packed = number((count + 7) // 8)
                    assert packed < 2**count
                    segment["negated"] = [packed >> t & 1 for t in range(count)]
            segments.append(segment)
        layers.append(segments)
    assert take(32) == hashlib.sha256(content[: place - 32]).digest()
    assert place == len(content)
    return {"version": version, "accelerator": accelerator, "layers": layers}


@examples(60, deadline=None)
@given(st.integers(1, 19), st.integers(1, 9), st.integers(0, 2**32))
def test_both_forms_hold_the_flags(n, k, seed):
    network = network_of(negatable_layer(dense_layer(2, n, k, seed=seed % 97)), LAYERS[1])
    orders = signed_orders(network, ARRAY, seed)
    schedule = build_schedule(network, ARRAY, orders)
    text, content = schedule.model_dump_json(), encode_schedule(schedule)
    assert parse_schedule(text.encode(), "schedule.json") == schedule
    assert parse_schedule(content, "schedule.bin") == schedule
    assert same_orders(schedule_orders(schedule, network), orders)
    plain, found = json.loads(text), decoded(content)
    signed = any(segment.negated.any() for segments in orders.values() for segment in segments)
    assert plain["version"] == found["version"] == 1 + signed
    assert [layer["segments"] for layer in plain["layers"]] == found["layers"]
    for name, segments in zip(orders, found["layers"], strict=True):
        for one, segment in zip(orders[name], segments, strict=True):
            flags = one.negated.astype(int).tolist()
            assert segment.get("negated") == (flags if any(flags) else None)


def test_files_without_flags_are_as_they_were():
    array = load_accelerator("edge4")
    network = network_of(*LAYERS)
    orders = {layer.name: dataflow_of(array).segments(layer, array) for layer in network.layers}
    schedule = build_schedule(network, array, orders)
    none = {
        name: tuple(replace(one, negated=np.zeros(len(one.order), bool)) for one in of) for name, of in orders.items()
    }
    assert build_schedule(network, array, none) == schedule
    plain = json.loads(schedule.model_dump_json())
    assert plain["version"] == 1
    assert {tuple(segment) for layer in plain["layers"] for segment in layer["segments"]} == {("lanes", "order")}
    assert decoded(encode_schedule(schedule))["version"] == 1


def small():
    network = network_of(LAYERS[1])
    first, *others = dataflow_of(ARRAY).segments(LAYERS[1], ARRAY)
    assert not others or len(first.order) < LAYERS[1].n
    flags = np.arange(len(first.order)) % 2 == 0
    return network, {"layer0": (Segment(first.lanes, first.order, flags), *others)}


@pytest.mark.parametrize(
    ("negated", "message"),
    [
        ((1,), r"negated: expected 2 flags, one for each cycle, got 1"),
        ((0, 1, 0), r"negated: expected 2 flags, one for each cycle, got 3"),
        ((0, 0), r"negated: expected a word that is, got none: leave it out"),
        ((0, 2), r"Input should be 0 or 1"),
    ],
)
def test_flags_that_do_not_fit_are_refused(negated, message):
    with pytest.raises(ValueError, match=message):
        ScheduledSegment.model_validate({"lanes": [0], "order": [3, 1], "negated": list(negated)})


@pytest.mark.parametrize(("version", "signed"), [(1, True), (2, False)])
def test_the_version_says_whether_there_are_flags(version, signed):
    network, orders = small()
    if not signed:
        orders = {"layer0": tuple(Segment(one.lanes, one.order) for one in orders["layer0"])}
    content = json.loads(build_schedule(network, ARRAY, orders).model_dump_json()) | {"version": version}
    with pytest.raises(InputError, match=rf"version: expected {3 - version}, got {version}: it is 2 where"):
        parse_schedule(json.dumps(content).encode(), "schedule.json")


def body_of(schedule: Schedule) -> bytearray:
    return bytearray(encode_schedule(schedule)[:-32])


def read_body(body: bytes) -> Schedule:
    return parse_schedule(bytes(body) + hashlib.sha256(body).digest(), "schedule.bin")


def test_damaged_flags_are_refused_in_one_line():
    layer = altered(dense_layer(1, 3, 2), weights=np.ones((3, 2), np.int8))
    network = network_of(layer)
    (first,) = dataflow_of(ARRAY).segments(layer, ARRAY)
    schedule = build_schedule(network, ARRAY, {"layer0": (replace(first, negated=np.array([True, False, True])),)})
    body = body_of(schedule)
    assert body[-2:] == bytes([1, 0b101])
    for new, message in (
        ([2, 5], "a segment has flags or none, 1 or 0, got 2: write it again"),
        ([1, 0b1101], "bits behind the last flag of a segment are not zero: write it again"),
        ([1, 0], "negated: expected a word that is, got none: leave it out"),
        ([0], "version: expected 1, got 2"),
        ([0, 5], "1 bytes follow its last layer"),
        ([1], "1 bytes are to follow at offset"),
        ([], "1 bytes are to follow at offset"),
    ):
        with pytest.raises(InputError, match=message) as error:
            read_body(body[:-2] + bytes(new))
        assert "\n" not in str(error.value)
    assert read_body(body) == schedule


def test_words_without_a_negative_are_refused():
    layer = dense_layer(2, 3, 2)
    layer.weights[:] = [[1, -128], [2, 3], [-127, 127]]
    network = network_of(layer)
    (first,) = dataflow_of(ARRAY).segments(layer, ARRAY)
    allowed = {"layer0": (replace(first, negated=np.array([False, True, True])),)}
    assert same_orders(schedule_orders(build_schedule(network, ARRAY, allowed), network), allowed)
    check_schedule(network, ARRAY, allowed, None, seed=0)
    refused = {"layer0": (replace(first, negated=np.array([True, False, False])),)}
    message = r"layer0 .*: a word that is to stream negated has a weight without a negative in 8 bits: optimize"
    with pytest.raises(InputError, match=message):
        schedule_orders(build_schedule(network, ARRAY, refused), network)
    with pytest.raises(InputError, match=message):
        check_schedule(network, ARRAY, refused, None, seed=0)
    wider = ARRAY.model_copy(update={"weights": Operand.model_validate({"format": "sign-magnitude"})})
    check_schedule(network, wider, refused, None, seed=0)
    unsigned = network_of(dense_layer(2, 3, 2, storage=UINT8))
    with pytest.raises(InputError, match="without a negative"):
        check_schedule(unsigned, ARRAY, allowed, None, seed=0)


def test_a_machine_without_sign_flags_takes_no_negated_words():
    network, orders = small()
    plain = load_accelerator("edge4")
    for check in (
        lambda: schedule_orders(build_schedule(network, plain, orders), network),
        lambda: check_schedule(network, plain, orders, None, seed=0),
    ):
        with pytest.raises(InputError, match=r"layer0 .*: words of its segments stream negated, and the"):
            check()


def test_as_many_flags_as_words():
    network, orders = small()
    first, *others = orders["layer0"]
    wrong = {"layer0": (replace(first, negated=first.negated[:-1]), *others)}
    with pytest.raises(InputError, match=rf"expected a sign flag for each of {len(first.order)} words, got"):
        check_schedule(network, ARRAY, wrong, None, seed=0)
