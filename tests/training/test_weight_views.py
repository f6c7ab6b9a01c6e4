from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
nn = torch.nn

from fewflips.errors import InputError  # noqa: E402
from fewflips.training.quantization.quantized_layers import QuantizedConv, QuantizedLinear  # noqa: E402
from fewflips.training.weight_views import WeightView, layers_passed_over, weight_views  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(7)


def library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing")
        pytest.skip(f"{name} is not installed")


def only_view(layer: Any, **options: Any) -> WeightView:
    (view,) = weight_views(nn.Sequential(layer), **options)
    assert view.name == "0"
    return view


def brevitas_layer(quantizer: str, conv: bool = True, module: str = "scaled_int", **options: Any) -> Any:
    layers, quantizers = library("brevitas.nn"), library(f"brevitas.quant.{module}")
    settings = {"weight_quant": getattr(quantizers, quantizer), **{f"weight_{k}": v for k, v in options.items()}}
    return layers.QuantConv2d(6, 8, 3, groups=2, **settings) if conv else layers.QuantLinear(32, 8, **settings)


BREVITAS = {
    "channel": ("Int8WeightPerChannelFloat", {}),
    "tensor": ("Int8WeightPerTensorFloat", {}),
    "linear": ("Int8WeightPerChannelFloat", {"conv": False}),
    "int4 wide": ("Int8WeightPerChannelFloat", {"bit_width": 4, "narrow_range": False}),
    "int8 wide": ("Int8WeightPerTensorFloat", {"narrow_range": False}),
    "int3 power of two": ("Int8WeightPerChannelFixedPoint", {"module": "fixed_point", "bit_width": 3}),
    "learned": ("Int8WeightPerChannelFloat", {"scaling_impl_type": "parameter_from_stats"}),
    "constant": ("Int8WeightPerTensorFloat", {"scaling_impl_type": "const", "scaling_init": 0.3}),
    "least squares": ("Int8WeightPerChannelFloatMSE", {"bit_width": 4}),
    "unsigned": ("ShiftedUint8WeightPerTensorFloat", {"module": "shifted_scaled_int"}),
    "unsigned channel": ("ShiftedUint8WeightPerChannelFloat", {"module": "shifted_scaled_int", "bit_width": 5}),
    "groups": (
        "ShiftedUint8WeightGroupQuantFloat",
        {"module": "shifted_scaled_int", "conv": False, "group_size": 8, "bit_width": 4},
    ),
}


def brevitas_case(name: str) -> Any:
    quantizer, options = BREVITAS[name]
    return brevitas_layer(quantizer, **options)


TORCHAO: dict[str, dict[str, Any]] = {
    "int4 groups": {"dtype": "int4", "group_size": 8},
    "int4 channel": {"dtype": "int4", "granularity": "per_channel"},
    "int8 channel": {"dtype": "int8", "granularity": "per_channel"},
    "int2 groups": {"dtype": "int2", "group_size": 16},
    "asymmetric": {"dtype": "int8", "group_size": 16, "is_symmetric": False},
    "static": {"dtype": "int4", "group_size": 8, "is_dynamic": False},
    "learned": {"dtype": "int4", "group_size": 8, "is_dynamic": False, "range_learning": True},
}


def torchao_case(name: str) -> Any:
    qat, quantization = library("torchao.quantization.qat"), library("torchao.quantization")
    settings = dict(TORCHAO[name])
    config = qat.IntxFakeQuantizeConfig(getattr(torch, settings.pop("dtype")), **settings)
    network = nn.Sequential(nn.Linear(32, 8))
    quantization.quantize_(network, qat.QATConfig(weight_config=config, step="prepare"))
    if config.range_learning:
        qat.initialize_fake_quantizers(network, (torch.zeros(1, 32),))
    else:
        network(torch.zeros(1, 32))
    return network[0]


def torchao_int4_case() -> Any:
    quantization, qat = library("torchao.quantization"), library("torchao.quantization.qat")
    network = nn.Sequential(nn.Linear(64, 8))
    base = quantization.Int4WeightOnlyConfig(group_size=32)
    quantization.quantize_(network, qat.QATConfig(base, step="prepare"))
    return network[0]


def torchao_tinygemm_case() -> Any:
    qat = library("torchao.quantization.qat")
    network = nn.Sequential(nn.Linear(1024, 8, bias=False))
    return qat.Int4WeightOnlyQATQuantizer(groupsize=32, precision=torch.float32).prepare(network)[0]


def torchao_8da4w_case() -> Any:
    qat = library("torchao.quantization.qat")
    return qat.Int8DynActInt4WeightQATQuantizer(groupsize=32).prepare(nn.Sequential(nn.Linear(64, 8)))[0]


def own(bits: int, learned: bool = False) -> Callable[[], Any]:
    return lambda: QuantizedConv(torch.randn(8, 3, 3, 3), torch.zeros(8), bits, learned, groups=2)


LAYERS: dict[str, Callable[[], Any]] = {
    "plain convolution": lambda: nn.Conv2d(6, 8, 3, groups=2),
    "plain depthwise": lambda: nn.Conv2d(8, 8, 3, groups=8),
    "plain conv1d": lambda: nn.Conv1d(4, 8, 3),
    "plain linear": lambda: nn.Linear(32, 8),
    "own 8 bits": own(8),
    "own 4 bits": own(4),
    "own learned": own(4, learned=True),
    "own linear": lambda: QuantizedLinear(torch.randn(8, 32), torch.zeros(8)),
    "torchao int4 kernel": torchao_int4_case,
    "torchao tinygemm": torchao_tinygemm_case,
    "torchao 8da4w": torchao_8da4w_case,
    **{f"brevitas {name}": lambda name=name: brevitas_case(name) for name in BREVITAS},
    **{f"torchao {name}": lambda name=name: torchao_case(name) for name in TORCHAO},
}
LEARNED = ("own learned", "brevitas learned", "brevitas least squares", "torchao learned")

every_layer = pytest.mark.parametrize("kind", LAYERS)


@pytest.mark.parametrize("kind", BREVITAS)
def test_integer_codes_are_those_of_brevitas(kind: str) -> None:
    layer = brevitas_case(kind)
    for _ in range(2):
        expected = layer.quant_weight().int().reshape(8, -1)
        codes = only_view(layer).integer_codes()
        assert codes.dtype == torch.int16
        assert len(codes.unique()) > 4
        assert torch.equal(codes.long(), expected.long())
        with torch.no_grad():
            layer.weight.mul_(0.7).add_(torch.randn_like(layer.weight) * 0.02)


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind.startswith("torchao")])
def test_integer_codes_are_those_of_torchao(kind: str) -> None:
    layer = LAYERS[kind]()
    for _ in range(2):
        view = only_view(layer)
        codes = view.integer_codes()
        assert len(codes.unique()) >= min(2**view.bits // 2, 16)
        scale, offset = view.scale_and_offset()
        rows = codes.reshape(len(scale), -1)
        dequantized = (rows if offset is None else rows - offset) * scale
        fake_quantized = layer.weight_fake_quantizer(layer.weight).detach()
        # Codes one apart would differ by a whole scale; tinygemm's bfloat16 zero points by parts of it.
        assert ((dequantized.reshape(8, -1) - fake_quantized).reshape(len(scale), -1).abs() < 0.1 * scale).all()
        with torch.no_grad():
            layer.weight.mul_(0.7).add_(torch.randn_like(layer.weight) * 0.002)


@pytest.mark.parametrize("kind", ["torchao int4 groups", "torchao 8da4w", "torchao int8 channel"])
def test_integer_codes_agree_with_torchao_in_half_precision(kind: str) -> None:
    layer = LAYERS[kind]().to(torch.bfloat16)
    view = only_view(layer)
    scale = view.scale_and_offset()[0]
    fake_quantized = layer.weight_fake_quantizer(layer.weight).detach()
    codes = (fake_quantized.float().reshape(len(scale), -1) / scale).round()
    assert torch.equal(view.integer_codes().reshape(len(scale), -1), codes.to(torch.int16))
    assert view.latent_codes().dtype == torch.float32


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_plain_codes_are_symmetric_per_output_channel(bits: int) -> None:
    layer = nn.Conv2d(6, 8, (3, 2), groups=2)
    view = only_view(layer, bits=bits)
    peak = 2 ** (bits - 1) - 1
    weight = layer.weight.detach().double().reshape(8, 18)
    expected = torch.stack([torch.round(row / row.abs().max() * peak) for row in weight])
    assert torch.equal(view.integer_codes(), expected.to(torch.int16))
    assert (view.low, view.high, view.bits, view.groups, view.kernel_positions) == (-peak, peak, bits, 2, 6)


def test_own_codes_are_those_of_the_export_with_and_without_a_shift() -> None:
    layer = own(4)()
    view = only_view(layer)
    assert torch.equal(view.integer_codes(), layer.integer_codes().reshape(8, 27).short())
    layer.code_shift = torch.full_like(layer.weight.data, 2.0)
    assert torch.equal(view.integer_codes(), layer.integer_codes().reshape(8, 27).short())
    assert torch.equal(view.latent_codes(), layer.codes().reshape(8, 27))
    wanted = torch.randint(-7, 8, (8, 27))
    assert view.assign_codes(wanted) == 0
    assert torch.equal(layer.integer_codes().reshape(8, 27).long(), wanted)


@every_layer
def test_latent_codes_round_to_the_integer_codes(kind: str) -> None:
    view = only_view(LAYERS[kind]())
    latent = view.latent_codes()
    assert latent.shape == view.shape == view.integer_codes().shape
    rounding_error = (latent.clamp(view.low, view.high) - view.integer_codes()).abs().max()
    assert 0.4 < rounding_error <= 0.5 + 1e-4


@every_layer
def test_gradients_reach_the_weights(kind: str) -> None:
    layer = LAYERS[kind]()
    view = only_view(layer)
    factors = torch.randn(view.shape)
    (torch.sin(view.latent_codes()) * factors).sum().backward()
    gradient = layer.weight.grad.reshape(-1)
    scale, offset = (None if part is None else part.detach().double() for part in view.scale_and_offset())
    weight = layer.weight.detach().double()

    def value(weights: Any) -> Any:  # the scale stays: it is detached
        rows = weights.reshape(len(scale), -1) / scale
        return (torch.sin(rows if offset is None else rows + offset).reshape(view.shape) * factors).sum()

    for index in (0, 7, 50):
        step = torch.zeros_like(weight).reshape(-1)
        step[index] = 1e-7
        step = step.reshape(weight.shape)
        numeric = (value(weight + step) - value(weight - step)) / 2e-7
        assert gradient[index].item() == pytest.approx(numeric.item(), rel=1e-2, abs=1e-2)
    assert view.scale_and_offset()[0].requires_grad == (kind in LEARNED)


def test_a_training_loop_lowers_a_function_of_the_codes() -> None:
    brevitas = library("brevitas.nn")
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), brevitas.QuantConv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(128, 4)
    )
    views = weight_views(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    images = torch.randn(2, 3, 8, 8)

    targets = [view.integer_codes().roll(1, 0) for view in views]

    def term() -> Any:
        return sum(
            ((view.latent_codes() - target) / view.high).square().mean()
            for view, target in zip(views, targets, strict=True)
        )

    before = term().item()
    for _ in range(5):
        optimizer.zero_grad()
        (network(images).square().mean() * 1e-3 + term()).backward()
        optimizer.step()
    assert term().item() < before


def some_codes(view: WeightView) -> Any:
    """Random codes in the present range of each run of one scale, its ends included, at other places than now."""
    rows = view.scale_and_offset()[0].shape[0]
    present = view.integer_codes().reshape(rows, -1)
    low, high = present.amin(1, keepdim=True), present.amax(1, keepdim=True)
    codes = (low + torch.rand(present.shape) * (high + 1 - low)).floor().to(torch.int16).clamp(low, high)
    codes[:, -1:], codes[:, -2:-1] = low, high
    return codes.reshape(view.shape)


@every_layer
def test_assigned_codes_are_what_the_quantizer_gives(kind: str) -> None:
    view = only_view(LAYERS[kind]())
    scale = view.scale_and_offset()[0].detach().clone()
    before, codes = view.integer_codes(), some_codes(view)
    differing = view.assign_codes(codes)
    assert differing == int((view.integer_codes() != codes).sum())
    assert differing == 0
    assert (codes != before).float().mean() > 0.3
    torch.testing.assert_close(view.scale_and_offset()[0].detach(), scale, rtol=1e-5, atol=0)


@every_layer
def test_present_codes_can_be_assigned(kind: str) -> None:
    view = only_view(LAYERS[kind]())
    codes = view.integer_codes()
    assert view.assign_codes(codes) == 0
    assert torch.equal(view.integer_codes(), codes)


@every_layer
def test_codes_without_an_extreme_keep_one_weight_of_each_scale(kind: str) -> None:
    view = only_view(LAYERS[kind]())
    scale = view.scale_and_offset()[0].detach().clone()
    codes = torch.zeros(view.shape, dtype=torch.int8)
    codes += max(view.low + 1, 0)
    differing = view.assign_codes(codes)
    held = len(scale) * (1 if view.symmetric else 2)
    assert 0 < differing <= held if view.scale_follows_weight else differing == 0
    torch.testing.assert_close(view.scale_and_offset()[0].detach(), scale, rtol=1e-5, atol=0)


def test_a_code_beyond_the_scale_is_counted_and_leaves_the_scale() -> None:
    layer = torchao_case("int4 groups")
    layer.weight.data[0, :8] = torch.tensor([0.7, 0.1, -0.2, 0.3, 0.0, 0.5, -0.5, 0.6])
    view = only_view(layer)
    scale = view.scale_and_offset()[0].clone()
    codes = view.integer_codes()
    codes[0, :8] = torch.tensor([0, 1, 2, 3, 4, 5, 6, -8])  # no 7; the largest weight's magnitude is 7.5 scales
    assert view.assign_codes(codes) <= 1
    assert torch.equal(view.scale_and_offset()[0], scale)
    assert torch.equal(view.integer_codes()[0, 1:7], codes[0, 1:7])


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(8, 31), r"layer 0: expected codes of shape \(8, 32\), got \(8, 31\)"),
        (torch.full((8, 32), 128), "whole numbers from -127 to 127, got 128 to 128"),
        (torch.full((8, 32), 0.5), "round and clamp them first"),
        (torch.full((8, 32), float("nan")), "round and clamp them first"),
    ],
)
def test_impossible_codes(codes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        only_view(nn.Linear(32, 8)).assign_codes(codes)


def test_dead_channels_have_zero_codes_and_finite_gradients() -> None:
    layer = nn.Linear(32, 8)
    layer.weight.data[3] = 0
    view = only_view(layer)
    view.latent_codes().square().sum().backward()
    assert (view.integer_codes()[3] == 0).all()
    assert layer.weight.grad.isfinite().all()
    assert view.assign_codes(view.integer_codes()) == 0
    assert (layer.weight[3] == 0).all()


def test_weights_that_are_not_finite() -> None:
    for layer in (nn.Linear(32, 8), own(8)()):
        layer.weight.data[2, 1] = float("nan")
        with pytest.raises(InputError, match="layer 0: expected finite weights"):
            only_view(layer).integer_codes()


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(16, 16)
        self.decode = nn.Linear(16, 16)
        self.decode.weight = self.encode.weight
        self.again = self.encode


def test_shared_weights_appear_once() -> None:
    assert [view.name for view in weight_views(Shared())] == ["encode"]
    assert layers_passed_over(Shared()) == {}


def test_a_transformer_with_activations_of_three_dimensions() -> None:
    qat, quantization = library("torchao.quantization.qat"), library("torchao.quantization")
    network = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    config = qat.IntxFakeQuantizeConfig(torch.int4, group_size=16)
    quantization.quantize_(
        network,
        qat.QATConfig(weight_config=config, step="prepare"),
        filter_fn=lambda _, name: name.startswith("linear"),
    )
    views = weight_views(network)
    assert [(view.name, view.bits) for view in views] == [
        ("self_attn.out_proj", 8),
        ("linear1", 4),
        ("linear2", 4),
    ]
    assert list(layers_passed_over(network)) == ["self_attn"]
    output = network(torch.randn(2, 5, 32))
    (output.square().mean() + sum(view.latent_codes().square().mean() for view in views)).backward()
    for view in views:
        assert view.weight.grad.abs().sum() > 0
        before = view.integer_codes()
        assert view.assign_codes(before.flip(1)) <= len(view.scale_and_offset()[0])


def test_layers_without_a_view_are_listed_with_their_reason() -> None:
    layers, quantizers = library("brevitas.nn"), library("brevitas.quant.binary")
    qat = library("torchao.quantization.qat")
    tao = torchao_case("int4 groups")
    qat.linear.disable_linear_fake_quant(tao)
    network = nn.ModuleDict(
        {
            "transposed": nn.ConvTranspose2d(4, 4, 2),
            "embedding": nn.Embedding(10, 4),
            "complex": nn.Linear(4, 4, dtype=torch.complex64),
            "meta": nn.Linear(4, 4, device="meta"),
            "lazy": nn.LazyLinear(4),
            "normed": nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
            "off": layers.QuantLinear(4, 4, weight_quant=None),
            "wide": layers.QuantLinear(4, 4, weight_bit_width=16),
            "binary": layers.QuantLinear(4, 4, weight_quant=quantizers.SignedBinaryWeightPerTensorConst),
            "floor": layers.QuantLinear(4, 4, weight_float_to_int_impl_type="floor"),
            "learned_bits": layers.QuantLinear(4, 4, weight_bit_width_impl_type="parameter"),
            "disabled": tao,
            "fp8": qat.FakeQuantizedLinear(4, 4, weight_config=qat.Float8FakeQuantizeConfig()),
            "torch_qat": torch.ao.nn.qat.Linear(4, 4, qconfig=torch.ao.quantization.get_default_qat_qconfig()),
            "seen": nn.Linear(4, 4),
        }
    )
    network["sparse"] = nn.Linear(4, 4)
    network["sparse"].weight = nn.Parameter(torch.eye(4).to_sparse())
    reasons = layers_passed_over(network)
    expected = {
        "transposed": "ConvTranspose2d is not a convolution or a linear layer",
        "embedding": "Embedding",
        "complex": "complex64",
        "meta": "meta device",
        "lazy": "one forward pass",
        "off": "disabled",
        "wide": "16 bits",
        "binary": "not Brevitas' integer quantizer",
        "floor": "FloorSte",
        "learned_bits": "BitWidthParameter",
        "normed": "parametrization",
        "disabled": "disabled",
        "fp8": "float8",
        "torch_qat": "torch.ao.nn.qat",
        "sparse": "sparse",
    }
    for name, part in expected.items():
        assert part in reasons[name], name
    assert set(reasons) - {"normed.parametrizations.weight"} == set(expected)
    assert [view.name for view in weight_views(network)] == ["seen"]


def test_learned_scales_of_torchao_that_are_not_set() -> None:
    qat = library("torchao.quantization.qat")
    config = qat.IntxFakeQuantizeConfig(torch.int4, group_size=8, is_dynamic=False, range_learning=True)
    network = nn.Sequential(qat.FakeQuantizedLinear(32, 8, weight_config=config))
    with pytest.raises(InputError, match="call initialize_fake_quantizers first"):
        weight_views(network)


def test_patterns() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))
    assert [view.name for view in weight_views(network)] == ["0", "1.0", "1.1"]
    assert [view.name for view in weight_views(network, include=["1.*"], exclude=["*.1"])] == ["1.0"]
    with pytest.raises(InputError, match=r"named 'head\*'.*named_modules"):
        weight_views(network, include=["*", "head*"])
    with pytest.raises(InputError, match=r"got none \(0: .*complex64"):
        weight_views(nn.Sequential(nn.Linear(2, 2, dtype=torch.complex64)))
    with pytest.raises(InputError, match="bits: expected 2 to 8, got 9"):
        weight_views(network, bits=9)


def test_neither_brevitas_nor_torchao_is_imported() -> None:
    program = (
        "import sys, torch; from fewflips.training.weight_views import weight_views;"
        "view, = weight_views(torch.nn.Sequential(torch.nn.Linear(4, 4))); view.assign_codes(view.integer_codes());"
        "sys.exit(any(name.split('.')[0] in ('brevitas', 'torchao') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
