"""Small training loops of others, with one line more."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs the extra `train`")
nn = torch.nn

from fewflips.ordering import order_segments  # noqa: E402
from fewflips.streams.flips import stream_flips  # noqa: E402
from fewflips.training import HammingLoss  # noqa: E402

STEPS = 60
CLASSES = 4


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing")
        pytest.skip(f"{name} is not installed")


def images() -> tuple[Any, Any]:
    """Noisy 8x8 images with three channels, one pattern a class."""
    generator = torch.Generator().manual_seed(1)
    patterns = torch.randn(CLASSES, 3, 8, 8, generator=generator)
    labels = torch.randint(CLASSES, (96,), generator=generator)
    return patterns[labels] + 2.0 * torch.randn(96, 3, 8, 8, generator=generator), labels


def plain_network() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, groups=32, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(32, 48, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(48 * 16, CLASSES),
    )


def plain_integers(model: Any) -> list[tuple[Any, int]]:
    """Weights quantized by PyTorch, symmetric and per output channel."""
    integers = []
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.detach()
            scales = weight.flatten(1).abs().amax(1) / 127
            zeros = torch.zeros(len(weight), dtype=torch.int32)
            rounded = torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -127, 127)
            integers.append(((rounded.flatten(1) / scales[:, None]).round().int(), 8))
    return integers


def brevitas_network() -> Any:
    layers, quantizers = library("brevitas.nn"), library("brevitas.quant")
    eight = {"weight_quant": quantizers.Int8WeightPerChannelFloat}
    four = {**eight, "weight_bit_width": 4}
    return nn.Sequential(
        layers.QuantConv2d(3, 32, 3, stride=2, padding=1, **eight),
        nn.BatchNorm2d(32),
        layers.QuantReLU(),
        layers.QuantConv2d(32, 32, 3, groups=32, padding=1, bias=False, **eight),
        layers.QuantReLU(),
        layers.QuantConv2d(32, 48, 1, **four),
        layers.QuantReLU(),
        nn.Flatten(),
        layers.QuantLinear(48 * 16, CLASSES, bias=True, **eight),
    )


def brevitas_integers(model: Any) -> list[tuple[Any, int]]:
    """What Brevitas says its integer weights are."""
    quantized = [layer.quant_weight() for layer in model if hasattr(layer, "quant_weight")]
    return [(weight.int(), int(weight.bit_width)) for weight in quantized]


def torchao_network() -> Any:
    quantization, qat = library("torchao.quantization"), library("torchao.quantization.qat")
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, CLASSES)
    )
    weights = qat.IntxFakeQuantizeConfig(torch.int8, granularity="per_channel")
    activations = qat.IntxFakeQuantizeConfig(torch.int8, granularity="per_token", is_symmetric=False)
    quantization.quantize_(model, qat.QATConfig(activation_config=activations, weight_config=weights, step="prepare"))
    return model


def torchao_integers(model: Any) -> list[tuple[Any, int]]:
    """Integers of the tensors that torchao converts the trained network to."""
    quantization, qat = library("torchao.quantization"), library("torchao.quantization.qat")
    granularity = library("torchao.quantization.granularity")
    quantization.quantize_(model, qat.QATConfig(step="convert"))
    quantization.quantize_(model, quantization.IntxWeightOnlyConfig(torch.int8, granularity.PerAxis(0)))
    return [(layer.weight.qdata, 8) for layer in model if isinstance(layer, nn.Linear)]


def mean_nhd(integers: list[tuple[Any, int]]) -> float:
    """Mean over layers of the NHD in 16-lane segments (one output channel after the other), each well ordered."""
    nhd = []
    for codes, bits in integers:
        words = (codes.reshape(len(codes), -1).numpy().astype(np.int64) % 2**bits).astype(np.uint8)
        segments: list[NDArray[Any]] = [
            np.ascontiguousarray(words[:, start : start + 16]) for start in range(0, words.shape[1], 16)
        ]
        results = order_segments(segments)
        flips = sum(stream_flips(s[result.order]) for s, result in zip(segments, results, strict=True))
        nhd.append(flips / ((len(words) - 1) * words.shape[1] * bits))
    return float(np.mean(nhd))


def train(model: Any, lam: float, accelerator: str, options: dict[str, Any]) -> tuple[float, float]:
    """First and last task loss of a loop that knows nothing of fewflips but its one line."""
    inputs, labels = images()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        task_loss = nn.functional.cross_entropy(model(inputs), labels)
        loss = task_loss + lam * HammingLoss(model, accelerator, **options) if lam else task_loss
        loss.backward()
        optimizer.step()
        losses.append(task_loss.item())
    if lam:
        HammingLoss(model, accelerator, **options).finish()
    with torch.no_grad():
        return losses[0], nn.functional.cross_entropy(model(inputs), labels).item()


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], list[tuple[Any, int]]]]] = {
    "plain": (plain_network, plain_integers),
    "brevitas": (brevitas_network, brevitas_integers),
    "torchao": (torchao_network, torchao_integers),
}


@pytest.mark.parametrize(("method", "lam"), [("envelope", 1.0), ("smoothed", 100.0)])
@pytest.mark.parametrize("case", CASES)
def test_the_integers_of_the_library_flip_less(case: str, method: str, lam: float) -> None:
    make, integers_of = CASES[case]
    results = {}
    for name, strength in (("without", 0.0), ("with", lam)):
        torch.manual_seed(0)
        model = make()
        options = {"method": method, "strength": 0.3, "steps": STEPS, "every": 5, "reorder_every": 20, "share": 0.5}
        first, last = train(model, strength, "edge16", options)
        assert np.isfinite(last)
        results[name] = (first, last, mean_nhd(integers_of(model)))
    (first, without_loss, without_nhd), (_, with_loss, with_nhd) = results["without"], results["with"]
    assert with_nhd < (0.9 if method == "envelope" else 0.97) * without_nhd
    assert without_loss < 0.5 * first  # it learns,
    assert with_loss < 0.5 * first  # and so it does with the term


@pytest.mark.parametrize("case", CASES)
def test_finishing_leaves_the_codes_that_were_assigned_but_for_one_of_each_scale(case: str) -> None:
    make, integers_of = CASES[case]
    model = make()
    term = HammingLoss(model, "os16", method="envelope", strength=0.3)
    term.advance(1.0)
    assigned = term.state_dict()["assigned"]
    names = [stream.view.name for stream in term.streams]
    term.finish()
    layers = [name for name, module in model.named_modules() if hasattr(module, "weight") and module.weight.ndim > 1]
    for (codes, bits), name in zip(integers_of(model), layers, strict=True):
        wanted = assigned[names.index(name)].int()
        away = codes.reshape(wanted.shape).int() - wanted
        edge = wanted == -(2 ** (bits - 1))  # torchao's symmetric scales leave -128 and -127 to the last bit
        assert ((away != 0) & ~edge).sum(1).max() <= 1
        assert (away[edge] > 1).sum() <= len(wanted)
