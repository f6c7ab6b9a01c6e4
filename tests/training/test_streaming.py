from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
nn = torch.nn

import fewflips  # noqa: E402
from fewflips.dataflows import (  # noqa: E402
    Segment,
    dataflow_of,
)
from fewflips.errors import AcceleratorError  # noqa: E402
from fewflips.formats.number_formats import StorageType  # noqa: E402
from fewflips.machine import Accelerator, load_accelerator  # noqa: E402
from fewflips.machine.buffers import Tiling  # noqa: E402
from fewflips.measurement.counting import count_weights  # noqa: E402
from fewflips.network.layer import Layer  # noqa: E402
from fewflips.network.lowering import Convolution2D  # noqa: E402
from fewflips.streams.codes import weight_codes  # noqa: E402
from fewflips.training.export.onnx_export import to_onnx  # noqa: E402
from fewflips.training.hamming.weight_streams import WeightStream, solve_orders, weight_streams  # noqa: E402
from fewflips.training.quantization.quantized_layers import QuantizedConv, QuantizedLinear  # noqa: E402
from fewflips.training.weight_views import weight_views  # noqa: E402
from tests.training.trained_networks import images, quantized_network  # noqa: E402

TILED = load_accelerator("edge4").model_copy(update={"name": "tiled", "tiling": Tiling(outputs=7, pixels=2)})
MACHINES = (*map(load_accelerator, ("edge16", "edge4", "os16")), TILED)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A MobileNetV2 of dense and depthwise layers, of 8 and 4 bits, and its ONNX file."""
    network = quantized_network(
        "mobilenet_v2", images(2), {"features.*.depthwise": 8, "features.*.project": 4, "*": 8}, width=0.15
    )
    path = tmp_path_factory.mktemp("exported") / "network.onnx"
    path.write_bytes(to_onnx(network).SerializeToString())
    return network, path


def sign_magnitude(array: Accelerator) -> Accelerator:
    return Accelerator.model_validate(
        {**array.model_dump(), "name": f"{array.name} sm", "weights": {"format": "sign-magnitude"}}
    )


def sent_flips(stream: WeightStream) -> int:
    """Flips of a layer's present codes in the stream's orders, bit by bit."""
    flips = 0
    for places in stream.ordered():
        words = stream.on_wires(stream.view.integer_codes().numpy().reshape(-1)[places])
        differing = words[1:] ^ words[:-1]
        flips += sum(int(((differing >> bit) & 1).sum()) for bit in range(stream.word_bits))
    return flips


def with_orders(layer: Layer, array: Accelerator, stream: WeightStream) -> tuple[Segment, ...]:
    segments = dataflow_of(array).segments(layer, array)
    return tuple(Segment(s.lanes, s.order[order]) for s, order in zip(segments, stream.orders, strict=True))


def of_view(stream: WeightStream, rows: int = 7) -> Layer:
    """The layer as the readers of files describe one."""
    view = stream.view
    codes = view.integer_codes().numpy().astype(np.int8)
    kernel = tuple(view.weight.shape[2:]) or (1, 1)
    return Layer.of_array(
        name=view.name,
        operator="TEST",
        weights=codes,
        weight_type=StorageType(view.bits, signed=True),
        weight_zero_points=np.zeros(len(codes), dtype=np.int32),
        groups=view.groups,
        m=rows,
        lowering=Convolution2D("NCHW", kernel, (1, 1), (1, 1), (0, 0, 0, 0)),
        weights_tensor="w",
    )


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_natural_orders_flip_what_measure_counts_in_the_exported_network(
    exported: tuple[Any, Path], machine: Accelerator
) -> None:
    network, path = exported
    report = fewflips.measure(path, machine)
    streams = weight_streams(weight_views(network), machine)
    assert [stream.view.name for stream in streams] == [layer.name for layer in report.layers]
    for stream, layer in zip(streams, report.layers, strict=True):
        assert sent_flips(stream) == layer.weights.flips
        assert stream.word_bits == layer.weights.bits


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_solved_orders_flip_what_a_schedule_with_these_orders_counts(
    exported: tuple[Any, Path], machine: Accelerator
) -> None:
    network, path = exported
    streams = weight_streams(weight_views(network), machine)
    natural = [sent_flips(stream) for stream in streams]
    codes = [stream.view.integer_codes().numpy() for stream in streams]
    solve_orders(streams, codes)
    solved = [sent_flips(stream) for stream in streams]
    layers = fewflips.load(path).layers
    for stream, layer, flips in zip(streams, layers, solved, strict=True):
        assert count_weights(layer, machine, with_orders(layer, machine, stream)).within == flips
    assert all(after <= before for after, before in zip(solved, natural, strict=True))
    assert sum(solved) < 0.9 * sum(natural)


def layers() -> Any:
    torch.manual_seed(3)
    return nn.Sequential(
        QuantizedConv(torch.randn(20, 6, 3, 2), torch.zeros(20), 8, groups=2),
        QuantizedConv(torch.randn(24, 1, 3, 3), torch.zeros(24), 5, groups=24),
        QuantizedConv(torch.randn(36, 1, 3, 3), torch.zeros(36), 8, groups=18),
        QuantizedLinear(torch.randn(33, 50), torch.zeros(33), 3),
        nn.Linear(18, 40),
    )


@pytest.mark.parametrize("form", ["as-stored", "sign-magnitude"])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_grouped_and_depthwise_layers_stream_as_the_machine_has_it(machine: Accelerator, form: str) -> None:
    array = machine if form == "as-stored" else sign_magnitude(machine)
    streams = weight_streams(weight_views(layers()), array)
    for solve in (False, True):
        if solve:
            solve_orders(streams, [stream.view.integer_codes().numpy() for stream in streams])
        for stream in streams:
            layer = of_view(stream)
            counted = count_weights(layer, array, with_orders(layer, array, stream))
            assert sent_flips(stream) == counted.within
            assert stream.word_bits == counted.bits
            assert stream.transitions <= counted.transitions  # idle lanes of the machine do not count
            words, _ = weight_codes(layer, array.weights)
            assert np.array_equal(stream.on_wires(stream.view.integer_codes().numpy()), words)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_weight_streams_once(machine: Accelerator) -> None:
    for stream in weight_streams(weight_views(layers()), machine):
        outputs, reduction = stream.view.shape
        places = np.concatenate([block.reshape(-1) for block in stream.ordered()])
        assert np.array_equal(np.sort(places), np.arange(outputs * reduction))
        assert stream.size == outputs * reduction


def test_only_true_depthwise_layers_are_depthwise() -> None:
    streams = weight_streams(weight_views(layers()), load_accelerator("edge16"))
    depthwise = {stream.view.name: stream.is_depthwise for stream in streams}
    assert depthwise == {"0": False, "1": True, "2": True, "3": False, "4": False}


def test_an_order_changes_only_where_flips_get_fewer() -> None:
    streams = weight_streams(weight_views(layers()), load_accelerator("edge16"))
    codes = [stream.view.integer_codes().numpy() for stream in streams]
    solve_orders(streams, codes)
    before = [[order.copy() for order in stream.orders] for stream in streams]
    solve_orders(streams, codes)
    assert all(
        np.array_equal(a, b)
        for stream, orders in zip(streams, before, strict=True)
        for a, b in zip(stream.orders, orders, strict=True)
    )


def test_layers_of_one_word_have_nothing_to_stream() -> None:
    network = nn.Sequential(nn.Linear(8, 1), nn.Linear(8, 4))
    assert [stream.view.name for stream in weight_streams(weight_views(network), load_accelerator("edge16"))] == ["1"]


def test_a_weight_stationary_machine_is_refused_in_one_line() -> None:
    with pytest.raises(AcceleratorError, match="expected an activation- or output-stationary accelerator") as caught:
        weight_streams(weight_views(layers()), load_accelerator("tpu16"))
    assert "tpu16" in str(caught.value)
    assert "\n" not in str(caught.value)
