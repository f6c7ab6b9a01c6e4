from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewflips.dataflows import Segment, dataflow_of
from fewflips.errors import InputError, VerificationError
from fewflips.formats.number_formats import UINT8
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network.graph import Network
from fewflips.network.quantization_values import QuantizationValues
from fewflips.records.schedule import Axes, Schedule
from fewflips.schedule.executor import check_segments, execute_segments, reference_product
from fewflips.schedule.file import build_schedule, read_schedule, same_orders, schedule_orders
from tests.layers import altered, dense_layer, depthwise_layer, random_rows

MACHINES = ["edge4", "tpu16", "os16"]
LAYERS = [dense_layer(5, 9, 11), dense_layer(4, 6, 7, groups=2), depthwise_layer(6, 5, (3, 3), multiplier=2)]


def network_of(*layers) -> Network:
    named = tuple(replace(layer, name=f"layer{i}") for i, layer in enumerate(layers))
    return Network(Path("hand.tflite"), "tflite", "a" * 64, named, {}, (), (), ())


def shuffled_orders(network: Network, array: Accelerator, seed: int = 0) -> dict[str, tuple[Segment, ...]]:
    generator = np.random.default_rng(seed)
    return {
        layer.name: tuple(
            Segment(segment.lanes, generator.permutation(segment.order))
            for segment in dataflow_of(array).segments(layer, array)
        )
        for layer in network.layers
    }


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_any_order_computes_the_same_sums(machine, layer):
    array = load_accelerator(machine)
    rows = random_rows(layer)
    per_group = layer.n // layer.groups
    by_hand = [
        [
            sum((int(x) - 3) * int(w) for x, w in zip(rows[n // per_group, m], layer.weights[n], strict=True))
            for n in range(layer.n)
        ]
        for m in range(layer.m)
    ]
    orders = shuffled_orders(network_of(layer), array)["layer0"]
    axes = Axes(lanes=dataflow_of(array).lanes_axis, order=dataflow_of(array).order_axis)
    assert execute_segments(layer, rows, 3, orders, axes).tolist() == [by_hand]
    assert reference_product(layer, rows, 3).tolist() == [by_hand]
    assert check_segments(layer, rows, orders, axes) == layer.m * layer.n


ZERO_POINTS = {
    "tensor": (np.full((1, 1), 7), None, 1),
    "blocks": (np.arange(9 * 3).reshape(9, 3) - 13, 1, 4),
    "shared blocks": (np.array([[5, -5, 0]]), 1, 4),
    "columns": (np.arange(11).reshape(1, 11), None, 1),
    "rows in blocks": (np.arange(3).reshape(3, 1) * 9, 0, 4),
}
SCALES = {
    "unknown": (None, None, 1),
    "a channel": (np.linspace(0.1, 1, 9).reshape(9, 1), None, 1),
    "blocks": (np.arange(1, 9 * 3 + 1).reshape(9, 3) / 16, 1, 4),
    "shared by the first and the last": (np.array([[0.5, 0.25, 0.5]]), 1, 4),
    "rows in blocks": (np.array([[0.5], [0.25], [0.5]]), 0, 4),
}
"""Of 9 x 11 weights: values, the axis of blocks, and their length."""


@pytest.mark.parametrize(
    ("machine", "zero_points", "scales"),
    [
        *((machine, "blocks", "blocks") for machine in MACHINES),
        *(("edge4", zero_points, "blocks") for zero_points in ZERO_POINTS if zero_points != "blocks"),
        *(("edge4", "blocks", scales) for scales in SCALES if scales != "blocks"),
    ],
)
def test_blocks_have_zero_points_and_sums_of_their_own(machine: str, zero_points: str, scales: str):
    array = load_accelerator(machine)
    (zeros, *zero_blocks), (steps, *step_blocks) = ZERO_POINTS[zero_points], SCALES[scales]
    plain = dense_layer(5, 9, 11, seed=4)
    layer = replace(
        plain,
        right=replace(
            plain.right,
            zero_points=QuantizationValues(zeros.astype(np.int32), *zero_blocks),
            scales=None if steps is None else QuantizationValues(steps, *step_blocks),
        ),
    )

    def of_element(values: np.ndarray, axis: int | None, block: int, n: int, k: int):
        place = [n // block if axis == 0 else n, k // block if axis == 1 else k]
        return values[tuple(min(index, length - 1) for index, length in zip(place, values.shape, strict=True))]

    rows = random_rows(layer)
    by_scales: dict[tuple[float, ...], np.ndarray] = {}
    for k in range(11):
        shared = () if steps is None else tuple(float(of_element(steps, *step_blocks, n, k)) for n in range(9))
        sums = by_scales.setdefault(shared, np.zeros((5, 9), int))
        for m in range(5):
            for n in range(9):
                weight = int(layer.weights[n, k]) - int(of_element(zeros, *zero_blocks, n, k))
                sums[m, n] += (int(rows[0, m, k]) - 3) * weight
    expected = sorted(sums.tolist() for sums in by_scales.values())
    assert len(expected) == {"blocks": 3, "shared by the first and the last": 2}.get(scales, 1)

    orders = shuffled_orders(network_of(layer), array)["layer0"]
    axes = Axes(lanes=dataflow_of(array).lanes_axis, order=dataflow_of(array).order_axis)
    assert sorted(execute_segments(layer, rows, 3, orders, axes).tolist()) == expected
    assert sorted(reference_product(layer, rows, 3).tolist()) == expected
    assert check_segments(layer, rows, orders, axes) == len(expected) * 5 * 9


def test_a_sum_of_one_block_that_differs_is_found():
    """Two faults in different blocks, which cancel in the output's sum of integers."""
    layer = dense_layer(1, 1, 4)
    layer.weights[:] = [[1, 1, 1, 1]]
    scales = QuantizationValues(np.array([[0.5, 0.25]]), 1, 2)
    layer = replace(layer, right=replace(layer.right, scales=scales))
    rows = np.array([[[4, 4, 4, 4]]], dtype=np.uint8)
    broken = (Segment(np.array([0, 0, 1, 2]), np.array([0])),)  # one product of the first block too many
    with pytest.raises(VerificationError, match="2 of 2 sums differ"):
        check_segments(layer, rows, broken, Axes(lanes="k", order="n"))


def test_a_schedule_that_skips_a_weight_fails_its_check():
    layer = LAYERS[0]
    array = load_accelerator("edge4")
    orders = dataflow_of(array).segments(layer, array)
    broken = (Segment(orders[0].lanes, orders[0].order[1:]), *orders[1:])
    with pytest.raises(VerificationError, match=r"5 of 45 sums differ"):
        check_segments(layer, random_rows(layer), broken, Axes(lanes="k", order="n"))


@pytest.mark.parametrize("wrong", [1, 2, 3])
def test_few_wrong_sums_fail_the_check_too(wrong):
    # output channel 0 takes part in one product alone, with a weight of 1, in as many rows as have an activation
    layer = dense_layer(5, 2, 2)
    layer.weights[:] = [[1, 0], [1, 1]]
    rows = np.full((1, 5, 2), 3, dtype=np.uint8)  # the zero point
    rows[0, :wrong, 0] = 4
    segments = (Segment(np.array([0, 1]), np.array([1])), Segment(np.array([1]), np.array([0])))
    with pytest.raises(VerificationError, match=rf"{wrong} of 10 sums differ"):
        check_segments(layer, rows, segments, Axes(lanes="k", order="n"))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_schedule_survives_its_file(tmp_path, machine):
    array = load_accelerator(machine)
    network = network_of(*LAYERS)
    orders = shuffled_orders(network, array)
    schedule = build_schedule(network, array, orders)
    path = tmp_path / "schedule.json"
    path.write_text(schedule.model_dump_json())
    again = read_schedule(path)
    assert again == schedule
    for name, segments in schedule_orders(again, network).items():
        for segment, expected in zip(segments, orders[name], strict=True):
            assert segment.lanes.tolist() == expected.lanes.tolist()
            assert segment.order.tolist() == expected.order.tolist()


def segment(lanes, order):
    return Segment(np.array(lanes), np.array(order))


ORDERS = {"a": (segment([0, 1], [2, 0, 1]), segment([2], [0, 1, 2])), "b": (segment([0], [1, 0]),)}


@pytest.mark.parametrize(
    "other",
    [
        {"a": ORDERS["a"]},
        {**ORDERS, "c": ORDERS["b"]},
        {"a": ORDERS["a"], "c": ORDERS["b"]},
        {**ORDERS, "a": ORDERS["a"][:1]},
        {**ORDERS, "a": (*ORDERS["a"], segment([3], [0, 1, 2]))},
        {**ORDERS, "a": ORDERS["a"][::-1]},
        {**ORDERS, "a": (segment([0, 2], [2, 0, 1]), ORDERS["a"][1])},
        {**ORDERS, "a": (segment([0, 1], [2, 1, 0]), ORDERS["a"][1])},
        {**ORDERS, "b": (segment([0], [0, 1]),)},
        {**ORDERS, "b": (segment([1], [1, 0]),)},
        {**ORDERS, "b": ()},
    ],
)
def test_orders_are_the_same_only_where_every_index_is(other):
    alike = {name: tuple(segment(one.lanes, one.order) for one in ORDERS[name]) for name in reversed(ORDERS)}
    assert same_orders(ORDERS, alike)
    assert same_orders(alike, ORDERS)
    assert not same_orders(ORDERS, other)
    assert not same_orders(other, ORDERS)


def test_size_of_the_index_table():
    array = load_accelerator("edge4")
    network = network_of(dense_layer(5, 9, 11))
    schedule = build_schedule(network, array, shuffled_orders(network, array))
    # three segments of four lanes; nine channels take four bits each
    assert schedule.index_table_bits == 3 * 9 * 4


def damaged(change):
    array = load_accelerator("edge4")
    network = network_of(dense_layer(5, 9, 11))
    content = json.loads(build_schedule(network, array, shuffled_orders(network, array)).model_dump_json())
    change(content)
    return network, content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(model_sha256="b" * 64), "optimize this model again"),
        (lambda c: c.update(model_sha256="0" * 64), "optimize this model again"),
        (
            lambda c: c.update(model_sha256="b" * 64),
            r"with SHA-256 b{12}\.\.\., hand\.tflite has a{12}\.\.\.: optimize this model again",
        ),
        (lambda c: c.update(layers=[]), "has no layer layer0"),
        (lambda c: c["layers"][0]["segments"][0]["order"].__setitem__(0, 9), "indices outside the layer"),
        (lambda c: c["layers"][0]["segments"][2]["lanes"].__setitem__(2, 11), "indices outside the layer"),
        (lambda c: c["layers"][0]["segments"][2]["lanes"].__setitem__(2, 99), "indices outside the layer"),
        (lambda c: c["layers"][0]["segments"][0].update(lanes=[]), "indices outside the layer"),
        (lambda c: c["layers"][0]["segments"][0].update(order=[]), "indices outside the layer"),
        (lambda c: c["layers"][0]["segments"][0]["order"].__setitem__(0, 1 << 31), "less than 2147483648"),
        (lambda c: c["layers"][0]["segments"][0]["order"].__setitem__(0, (1 << 31) - 1), "outside the layer"),
        (lambda c: c["layers"][0]["segments"][0]["order"].append(0), "visits an index twice"),
        (lambda c: c["layers"][0]["segments"].__setitem__(1, c["layers"][0]["segments"][0]), "segments .* overlap"),
        (lambda c: c["layers"][0]["segments"][2]["order"].pop(), "leaves out 3 of 99 weights"),
        (lambda c: c["layers"][0].update(segments=[]), "leaves out 99 of 99 weights"),
        (lambda c: c["layers"][0].update(n=10), "the schedule has N=10, K=11"),
        (lambda c: c["layers"][0].update(k=10), "the schedule has N=9, K=10"),
        (lambda c: c["layers"][0].update(k=12), "the schedule has N=9, K=12"),
        (lambda c: c["layers"][0].update(axes={"lanes": "k", "order": "k"}), "the schedule has k and k"),
        (lambda c: c["layers"][0].update(index_table_bits=109), "index_table_bits of the schedule do not fit"),
        (lambda c: c["layers"][0].update(index_table_bits=-1), "greater than or equal to 0"),
        (lambda c: c.update(index_table_bits=-1), "greater than or equal to 0"),
        (lambda c: c["accelerator"].update(lanes=3), "has 4 lanes, edge4 has room for 3"),
        (lambda c: c["layers"][0]["segments"].pop(), "leaves out 27 of 99 weights"),
        (lambda c: c["layers"][0]["segments"][0]["order"].__setitem__(0, 99), "indices outside the layer"),
        (lambda c: c["layers"][0]["segments"][0]["lanes"].__setitem__(0, 1), "visits an index twice"),
        (lambda c: c["layers"][0]["segments"].append(c["layers"][0]["segments"][0]), "overlap"),
        (lambda c: c["layers"][0]["segments"][0]["order"].__setitem__(0, -1), "greater than or equal to 0"),
        (lambda c: c.update(format="else"), "format"),
        (lambda c: c.update(extra=1), "Extra inputs are not permitted"),
        (lambda c: c["layers"][0]["segments"][0]["order"].__setitem__(0, 10**20), "less than"),
        (lambda c: c["layers"][0].update(axes={"lanes": "n", "order": "k"}), "expected lanes over k and an order of n"),
        (lambda c: c["layers"].append(c["layers"][0]), "layers twice"),
        (lambda c: c["layers"].append({**c["layers"][0], "name": "ghost"}), "layers that the model lacks"),
        (lambda c: c["layers"][0].update(n=8), "the schedule has N=8, K=11"),
        (lambda c: c["layers"][0].update(index_table_bits=1), "index_table_bits of the schedule do not fit"),
        (lambda c: c["accelerator"].update(lanes=2), "has 4 lanes, edge4 has room for 2"),
    ],
)
def test_a_damaged_schedule_is_refused(tmp_path, change, message):
    network, content = damaged(change)
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        schedule_orders(read_schedule(path), network)


@pytest.mark.parametrize(("length", "bits"), [(1, 0), (2, 2), (3, 6), (4, 8), (5, 15), (8, 24), (9, 36)])
def test_an_index_table_has_as_many_bits_an_entry_as_its_indices_need(length, bits):
    array = load_accelerator("edge4")
    network = network_of(dense_layer(2, length, 3), dense_layer(2, length, 3))
    schedule = build_schedule(network, array, shuffled_orders(network, array))
    assert [layer.index_table_bits for layer in schedule.layers] == [bits, bits]
    assert schedule.index_table_bits == 2 * bits


def test_layers_and_segments_may_come_in_any_order():
    network, content = damaged(lambda c: c["layers"][0]["segments"].reverse())
    orders = schedule_orders(Schedule.model_validate(content), network)
    assert [len(segment.lanes) for segment in orders["layer0"]] == [3, 4, 4]


def test_a_schedule_is_read_up_to_a_size(tmp_path, monkeypatch):
    _, content = damaged(lambda c: None)
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps(content))
    monkeypatch.setattr("fewflips.schedule.file._LARGEST_FILE_BYTES", path.stat().st_size)
    read_schedule(path)
    monkeypatch.setattr("fewflips.schedule.file._LARGEST_FILE_BYTES", path.stat().st_size - 1)
    with pytest.raises(InputError, match=r"expected a schedule of at most [0-9]+ bytes"):
        read_schedule(path)


def test_a_schedule_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read"):
        read_schedule(tmp_path / "schedule.json")


def test_weights_and_activations_are_counted_from_their_zero_points():
    layer = dense_layer(2, 3, 4, storage=UINT8, zero_point=151)
    rows = random_rows(layer)
    expected = (rows[0].astype(int) - 3) @ (layer.weights.astype(int) - 151).T
    segments = (Segment(np.arange(4), np.arange(3)),)
    axes = Axes(lanes="k", order="n")
    assert reference_product(layer, rows, 3).tolist() == [expected.tolist()]
    assert execute_segments(layer, rows, 3, segments, axes).tolist() == [expected.tolist()]
    assert check_segments(layer, rows, segments, axes) == 6
    at_zero = altered(layer, activation_zero_point=None)
    assert check_segments(at_zero, rows, segments, axes) == 6


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", "\x00", r'{"model": "\ud800"}'])
def test_a_file_that_is_no_schedule_is_refused(tmp_path, text):
    path = tmp_path / "schedule.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"expected a fewflips schedule"):
        read_schedule(path)
