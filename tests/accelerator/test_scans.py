"""Scans of output pixels: curves through images, and streams and units against the plain loop nest of permuted rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fewflips
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.scans import scan_order, scanned
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import UINT8
from fewflips.machine import Accelerator, load_accelerator
from fewflips.measurement.counting import count_network
from fewflips.network.lowering import Convolution2D
from fewflips.simulation.setup import samples_or_random
from fewflips.streams.codes import activation_codes
from fewflips.streams.counting import count_flips
from tests.accelerator.cycle_simulation import weight_stationary
from tests.accelerator.test_dataflows import shuffled
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.network import build_onnx, build_tflite
from tests.network_energy import unit_walk
from tests.network_energy.test_parts import seen_by_units
from tests.property_settings import examples

SCANS = ("raster", "serpentine", "blocked", "hilbert")


@examples(100)
@given(scan=st.sampled_from(SCANS), height=st.integers(0, 20), width=st.integers(0, 20))
def test_every_pixel_once_and_neighbours_next_to_each_other(scan, height, width):
    order = scan_order(scan, height, width)
    assert sorted(order.tolist()) == list(range(height * width))
    if not len(order):
        return
    rows, columns = np.divmod(order, width)
    steps = np.maximum(np.abs(np.diff(rows)), np.abs(np.diff(columns)))
    straight = np.abs(np.diff(rows)) + np.abs(np.diff(columns))
    if scan == "serpentine":
        assert (straight == 1).all()
    if scan == "hilbert":  # sizes that no curve of straight steps fits have diagonal ones
        assert (steps == 1).all()
        assert (straight > 1).sum() <= max(height, width)
    if scan == "blocked":  # a band of even width ends at its upper edge, four rows above the next one
        assert (straight <= 4).all()
        inside = rows[1:] // 4 == rows[:-1] // 4
        assert (straight[inside] == 1).all()


def test_scans_by_hand():
    assert scan_order("raster", 2, 3).tolist() == [0, 1, 2, 3, 4, 5]
    assert scan_order("serpentine", 3, 2).tolist() == [0, 1, 3, 2, 4, 5]
    # a band of four rows, down and up, and back along the fifth row
    assert scan_order("blocked", 5, 2).tolist() == [0, 2, 4, 6, 7, 5, 3, 1, 9, 8]
    # Hilbert (1891): the second curve, four quarters
    assert scan_order("hilbert", 4, 4).tolist() == [0, 1, 5, 4, 8, 12, 13, 9, 10, 14, 15, 11, 7, 6, 2, 3]


def with_grid(layer, height, width):
    lowering = Convolution2D("NHWC", (1, layer.k), (1, 1), (1, 1), (0, 0, 0, 0), grid=(height, width))
    return altered(layer, lowering=lowering)


def machine(scan, replay="forward", lanes=2, columns=2, forwarding="broadcast") -> Accelerator:
    return Accelerator(
        name="scanning",
        dataflow="weight-stationary",
        lanes=lanes,
        columns=columns,
        scan=scan,
        replay=replay,
        forwarding=forwarding,
    )


@examples(60)
@given(
    scan=st.sampled_from(SCANS),
    replay=st.sampled_from(["forward", "serpentine"]),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    images=st.integers(1, 2),
    n=st.integers(1, 5),
    k=st.integers(2, 5),
    depthwise=st.booleans(),
    part_cycles=st.sampled_from([1, 20, 10**6]),
    seed=st.integers(0, 100),
)
def test_streams_and_units_see_pixels_in_the_order_of_the_scan(
    scan, replay, height, width, images, n, k, depthwise, part_cycles, seed
):
    m = images * height * width
    if depthwise:
        signed = depthwise_layer(m, n + 1, (1, k), seed=seed)
        plain = altered(signed, weights=np.abs(signed.weights.astype(np.int64)).astype(np.uint8), weight_type=UINT8)
    else:
        plain = dense_layer(m, n, k, storage=UINT8, seed=seed)
    layer, array, rows = with_grid(plain, height, width), machine(scan, replay), random_rows(plain, seed)
    size = height * width
    pixels = [image * size + int(place) for image in range(images) for place in scan_order(scan, height, width)]
    codes, bits = activation_codes(layer, rows, array.activations)
    np.testing.assert_array_equal(scanned(layer, codes, array), codes[:, pixels])
    segments = shuffled(dataflow_of(array).segments(layer, array), seed)
    pairs = [(one.lanes.tolist(), one.order.tolist()) for one in segments]
    weights, permuted, turns = layer.weights.astype(np.int64), rows[:, pixels], replay == "serpentine"
    trace = weight_stationary(permuted, weights, pairs, 2, 2, layer.is_depthwise, turns=turns)
    count = count_flips(dataflow_of(array).activation_stream(layer, codes, bits, segments, array))
    assert (count.within * count.repeats, count.seams) == trace.flips("activations")
    columns = 1 if layer.is_depthwise else 2
    expected, sums = unit_walk.weight_stationary(permuted, weights, pairs, 2, columns, turns=turns)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    seen = seen_by_units(layer_operands(layer, rows, array, datapath), segments, array, part_cycles)
    assert seen == [cycles + cycles[-1:] * datapath.latency for cycles in expected if cycles]
    for place, pixel in enumerate(pixels):
        for channel in range(layer.n):
            own = rows[channel // (layer.n // layer.groups), pixel].astype(np.int64)
            assert sums[place, channel] == own @ weights[channel]


def test_rows_of_anything_else_stay_in_their_order():
    layer = dense_layer(6, 3, 2)
    rows = random_rows(layer)
    assert scanned(layer, rows, machine("serpentine")) is rows
    unknown = altered(layer, lowering=Convolution2D("NHWC", (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)))
    assert scanned(unknown, rows, machine("serpentine")) is rows


@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
def test_files_say_how_large_an_image_is(tmp_path: Path, file_format: str):
    if file_format == "tflite":
        path = tmp_path / "branching.tflite"
        path.write_bytes(build_tflite.branching())
    else:
        path = build_onnx.save(build_onnx.qdq(), tmp_path / "qdq.onnx")
    found = [layer for layer in fewflips.load(path).layers if isinstance(layer.lowering, Convolution2D)]
    assert found
    for layer in found:
        assert layer.lowering.grid is not None
        assert layer.m == np.prod(layer.lowering.grid)


def test_estimates_take_flips_from_pixel_to_pixel_of_the_scan(tmp_path: Path):
    path = tmp_path / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    network = fewflips.load(path)
    samples, _ = samples_or_random(network, None, 0)
    counts = {}
    for scan in ("raster", "serpentine"):
        array = machine(scan, lanes=4, columns=4)
        orders = {layer.name: dataflow_of(array).segments(layer, array) for layer in network.layers}
        counts[scan] = count_network(network, array, [orders], samples)[0]
    differ = 0
    for layer in network.layers:
        raster, serpentine = (counts[scan][layer.name] for scan in ("raster", "serpentine"))
        assert raster.weights == serpentine.weights
        differ += raster.activations != serpentine.activations
        if layer.is_depthwise or layer.groups > 1 or layer.m == 1:
            continue
        for count in (raster, serpentine):  # each input streams once for every tile of four output channels
            assert count.observed is not None
            assert count.observed.by_input is not None
            assert count.observed.by_input.sum() * (layer.m - 1) == pytest.approx(count.activations.within)
    assert differ


def test_other_dataflows_and_names_are_refused(tmp_path: Path):
    array = load_accelerator("edge4").model_copy(update={"scan": "hilbert"})
    with pytest.raises(
        AcceleratorError, match=r"edge4: scan: expected a weight-stationary.* got activation-stationary"
    ):
        dataflow_of(array)
    assert "scan" not in load_accelerator("tpu16").model_dump()
    path = tmp_path / "bad.yaml"
    path.write_text("name: a\nlanes: 4\ncolumns: 4\nscan: spiral\n")
    with pytest.raises(AcceleratorError, match="scan: Input should be 'raster', 'serpentine', 'blocked' or 'hilbert'"):
        load_accelerator(path)
