from __future__ import annotations

import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from torch.nn import functional  # noqa: E402

from fewflips.errors import InputError  # noqa: E402
from fewflips.training.networks import build_network  # noqa: E402
from fewflips.training.networks.blocks import Activation, ConvBlock, ConvUnit  # noqa: E402
from fewflips.training.quantization.quantize import calibrate, freeze_ranges, quantize  # noqa: E402
from fewflips.training.quantization.quantized_layers import (  # noqa: E402
    ActivationQuantizer,
    QuantizedConv,
    QuantizedLinear,
    QuantizedWeight,
    quantized_weights,
    sparse_zero_point,
)
from fewflips.training.quantization.weight_scales import weight_scale  # noqa: E402
from tests.training.trained_networks import float_network, images, quantized_network  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def reference(quantizer: ActivationQuantizer, x: torch.Tensor) -> torch.Tensor:
    return torch.fake_quantize_per_tensor_affine(x, *quantizer.scale_and_zero_point(), 0, 255)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 127 / 128), (0.0, 6.0), (0.0, 1e-3), (-3.3, 0.7), (-1e-4, 250.0)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_activations_equal_those_of_torch_bit_for_bit(low, high, layout):
    quantizer = ActivationQuantizer().fix(low, high)
    x = (torch.randn(8, 16, 9, 7) * 1.5 * max(high, -low)).to(memory_format=layout)
    before = x.clone()
    y = quantizer(x)
    assert torch.equal(y, reference(quantizer, x))
    assert torch.equal(x, before)
    assert len(torch.unique(y)) <= 256


def test_gradients_of_activations_equal_those_of_torch():
    quantizer = ActivationQuantizer("relu6").fix(0.0, 6.0)
    weights = torch.randn(4, 8, 16, 16)
    ours = (torch.randn(4, 8, 16, 16) * 5).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    (quantizer(ours) * weights).sum().backward()
    (reference(quantizer, theirs) * weights).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)
    assert 0.2 < float((ours.grad == 0).float().mean()) < 0.8


@pytest.mark.parametrize("function", ["none", "relu", "relu6"])
def test_the_range_follows_the_function(function):
    quantizer = ActivationQuantizer(function).train()
    quantizer(torch.tensor([-2.0, 1.0, 9.0]))
    low, high = {"none": (-2.0, 9.0), "relu": (0.0, 9.0), "relu6": (0.0, 6.0)}[function]
    assert (float(quantizer.low), float(quantizer.high)) == (low, high)


def test_ranges_are_moving_averages_observed_now_and_then():
    quantizer = ActivationQuantizer(observe_every=3).train()
    for high in (1.0, 50.0, 50.0, 2.0, 50.0):
        quantizer(torch.tensor([-1.0, high]))
    assert float(quantizer.high) == pytest.approx(1.0 + (1.0 - 0.98**3) * 1.0)
    quantizer.eval()(torch.tensor([-100.0, 100.0]))
    quantizer.train().frozen = True
    for _ in range(3):
        quantizer(torch.tensor([-100.0, 100.0]))
    assert float(quantizer.high) == pytest.approx(1.0 + (1.0 - 0.98**3) * 1.0)


def test_a_quantizer_goes_on_from_its_state():
    whole, first = ActivationQuantizer(observe_every=3), ActivationQuantizer(observe_every=3)
    batches = [torch.randn(64) * (1 + step) for step in range(9)]
    for batch in batches:
        whole(batch)
    for batch in batches[:5]:
        first(batch)
    second = ActivationQuantizer(observe_every=3)
    second.load_state_dict(first.state_dict())
    for batch in batches[5:]:
        second(batch)
    assert torch.equal(second.low, whole.low)
    assert torch.equal(second.high, whole.high)
    assert second.grid == whole.grid
    frozen = ActivationQuantizer().fix(-1.0, 1.0)
    second.load_state_dict(frozen.state_dict())
    assert second.frozen
    assert second.grid == frozen.grid


def test_unknown_ranges_and_empty_ones_are_refused():
    with pytest.raises(InputError, match=r"calibrate\(\)"):
        ActivationQuantizer().eval()(torch.randn(3))
    for low, high in ((1.0, 2.0), (0.0, 0.0), (math.nan, 1.0)):
        with pytest.raises(InputError, match="low <= 0 <= high"):
            ActivationQuantizer().fix(low, high)


def test_values_that_are_not_finite_reach_the_loss():
    quantizer = ActivationQuantizer().train()
    quantizer(torch.randn(10))
    assert quantizer(torch.tensor([1.0, math.nan])).isnan().any()


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_are_on_a_symmetric_grid(bits):
    layer = QuantizedLinear(torch.randn(6, 40), torch.zeros(6), bits)
    codes = layer.integer_codes()
    assert codes.dtype == torch.int8
    assert layer.peak == 2 ** (bits - 1) - 1
    assert int(codes.abs().max()) <= layer.peak
    assert torch.equal(layer.fake_quantized(), codes * layer.weight_scale[:, None])
    torch.testing.assert_close(layer.codes() * layer.weight_scale[:, None], layer.weight)
    if bits == 8:
        assert torch.equal(codes.abs().amax(1), torch.full((6,), 127, dtype=torch.int8))


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_scales_of_few_bits_have_the_least_squared_error(bits):
    weight = torch.randn(5, 60)
    peak = 2 ** (bits - 1) - 1

    def error(scale: torch.Tensor) -> torch.Tensor:
        columns = scale[:, None]
        return (torch.round(weight / columns).clamp(-peak, peak) * columns - weight).square().sum(1)

    widest = weight.abs().amax(1) / peak
    dense = torch.stack([error(widest * fraction) for fraction in torch.linspace(0.02, 1.2, 4000)]).amin(0)
    found = error(weight_scale(weight, bits))
    assert (found <= dense * (1.02 if bits < 6 else 1.2)).all()
    assert (found < error(widest)).all()


def test_weight_gradients_equal_those_of_torch():
    layer = QuantizedConv(torch.randn(4, 3, 3, 3), torch.zeros(4), 4)
    with torch.no_grad():
        layer.weight[0, 0, 0] = layer.weight_scale[0] * torch.tensor([-9.0, 7.6, 7.4])
    plain = layer.weight.detach().clone().requires_grad_()
    zeros = torch.zeros(4, dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(plain, layer.weight_scale, zeros, 0, -7, 7)
    ours = layer.fake_quantized()
    assert torch.equal(ours, theirs)
    factors = torch.randn_like(plain)
    (ours * factors).sum().backward()
    (theirs * factors).sum().backward()
    assert torch.equal(layer.weight.grad, plain.grad)
    assert (plain.grad[0, 0, 0] == 0).tolist() == [True, True, False]


def test_a_code_shift_changes_what_is_computed_and_not_the_latent_weights():
    layer = QuantizedLinear(torch.randn(3, 20), torch.zeros(3), 5)
    latent, codes = layer.codes().detach().clone(), layer.integer_codes()
    layer.code_shift = torch.randn(3, 20) * 4
    expected = torch.round((latent + layer.code_shift).clamp(-15, 15))
    assert torch.equal(layer.integer_codes(), expected.to(torch.int8))
    assert torch.equal(layer.fake_quantized(), expected * layer.weight_scale[:, None])
    assert torch.equal(layer.codes(), latent)
    assert not torch.equal(layer.integer_codes(), codes)
    layer.fake_quantized().sum().backward()
    inside = (latent + layer.code_shift).abs() < 15.5
    assert torch.equal(layer.weight.grad, inside.float())
    assert not inside.all()


def test_a_code_shift_comes_and_goes_with_the_state():
    shifted, plain = (QuantizedLinear(torch.randn(3, 5), torch.zeros(3)) for _ in range(2))
    without = copy.deepcopy(plain.state_dict())
    shifted.code_shift = torch.randn(3, 5)
    plain.load_state_dict(shifted.state_dict())
    assert torch.equal(plain.code_shift, shifted.code_shift)
    plain.load_state_dict(without)
    assert plain.code_shift is None


def test_learned_scales_get_the_gradient_of_the_quantization_error():
    layer = QuantizedLinear(torch.randn(2, 30), torch.zeros(2), 3, learned_scales=True)
    assert isinstance(layer.weight_scale, torch.nn.Parameter)
    latent, factors = layer.codes().detach(), torch.randn(2, 30)
    (layer.fake_quantized() * factors).sum().backward()
    codes = latent.round().clamp(-3, 3)
    slope = torch.where(latent.abs() < 3.5, codes - latent, codes)
    expected = (factors * slope).sum(1) / math.sqrt(30 * 3)
    torch.testing.assert_close(layer.weight_scale.grad, expected)
    with torch.no_grad():
        layer.weight_scale[0] = -1.0
    layer.fake_quantized()
    assert float(layer.weight_scale.detach()[0]) > 0


def test_a_channel_without_weights_has_a_positive_scale():
    for bits in (2, 8):
        layer = QuantizedLinear(torch.zeros(2, 4), torch.zeros(2), bits)
        assert (layer.weight_scale > 0).all()
        assert not layer.integer_codes().any()


def test_bits_out_of_range_are_refused():
    for bits in (1, 9):
        with pytest.raises(InputError, match="expected 2 to 8"):
            QuantizedLinear(torch.zeros(2, 4), torch.zeros(2), bits)


def plain_block(block: ConvBlock, x: torch.Tensor) -> torch.Tensor:
    """The same as a quantized block, by torch's own fake quantization, without anything in place."""
    y = x
    for _, unit in block.units():
        y = plain_unit(unit, y)
    if not block.residual:
        return y
    skipped = x if block.shortcut is None else plain_unit(block.shortcut, x)
    return reference(block.sum, skipped + y)


def plain_weight(layer: QuantizedWeight) -> torch.Tensor:
    zeros = torch.zeros(len(layer.weight), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(layer.weight, layer.weight_scale, zeros, 0, -layer.peak, layer.peak)


def plain_bias(layer: QuantizedWeight) -> torch.Tensor:
    step = layer.weight_scale * layer.input_scale
    return layer.bias + (torch.round(layer.bias / step) * step - layer.bias).detach()


def plain_unit(unit: QuantizedConv, x: torch.Tensor) -> torch.Tensor:
    y = functional.conv2d(x, plain_weight(unit), plain_bias(unit), unit.stride, unit.padding, groups=unit.groups)
    return reference(unit.output, y)


def plain_network(network, x: torch.Tensor) -> torch.Tensor:
    x = reference(network.input, x)
    for layer in network.features:
        x = plain_block(layer, x) if isinstance(layer, ConvBlock) else plain_unit(layer, x)
    x = reference(network.pool, x.mean((2, 3)))
    return functional.linear(x, plain_weight(network.classifier), plain_bias(network.classifier))


@pytest.mark.parametrize(
    ("name", "options"), [("mobilenet_v2", {"width": 0.25}), ("resnet", {"width": 0.5, "depth": 8})]
)
def test_forward_and_gradients_of_whole_networks_equal_a_plain_implementation(name, options):
    batch = images(8, size=16)
    ours = quantized_network(name, batch, {"*": 5}, **options)
    theirs = copy.deepcopy(ours)
    labels = torch.arange(8) % 10
    logits, expected = ours(batch), plain_network(theirs, batch)
    assert torch.equal(logits, expected)
    functional.cross_entropy(logits, labels).backward()
    functional.cross_entropy(expected, labels).backward()
    for (key, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, msg=key)
        assert mine.grad.any(), key


def test_folding_keeps_what_the_network_computes():
    batch = images(16, size=16)
    network = float_network("resnet", batch, depth=8, width=0.5).eval()
    folded = quantize(network)
    layer, unit = folded.features[0], network.features[0]
    y = functional.conv2d(batch, layer.weight, layer.bias, layer.stride, layer.padding)
    torch.testing.assert_close(y, unit.bn(unit.conv(batch)), atol=1e-5, rtol=1e-5)
    calibrate(folded, [batch])
    folded.eval()
    torch.testing.assert_close(folded(batch), network(batch), atol=0.5, rtol=0.0)
    assert any(isinstance(module, ConvUnit) for module in network.modules())


def test_quantize_leaves_no_float_layer_and_keeps_names():
    network = build_network("mobilenet_v2", width=0.25)
    convolutions = [name for name, module in network.named_modules() if isinstance(module, ConvUnit)]
    result = quantize(network)
    assert not any(isinstance(module, ConvUnit | Activation | torch.nn.BatchNorm2d) for module in result.modules())
    assert list(quantized_weights(result)) == [*convolutions, "classifier"]
    assert result.input.frozen
    assert float(result.input.scale_and_zero_point()[0]) == 1 / 128


def test_a_copy_of_a_quantized_network_stands_on_its_own():
    batch = images(8, size=16)
    network = quantized_network("resnet", batch, depth=8, width=0.5)
    other = copy.deepcopy(network)
    expected = other(batch)
    for module in network.modules():
        if isinstance(module, ActivationQuantizer) and not module.frozen:
            module.fix(-0.01, 0.01)
    assert torch.equal(other(batch), expected)


def test_the_first_pattern_of_bits_that_fits_decides():
    bits = {"features.0": 8, "features.*.project": 4, "features.*": 6, "classifier": 3}
    layers = quantized_weights(quantize(build_network("mobilenet_v2", width=0.25), weight_bits=bits))
    found = {
        name: layers[name].bits for name in ("features.0", "features.4.project", "features.4.expand", "classifier")
    }
    assert found == {"features.0": 8, "features.4.project": 4, "features.4.expand": 6, "classifier": 3}
    some = quantized_weights(quantize(build_network("resnet", depth=8), weight_bits={"classifier": 4}))
    assert [layer.bits for layer in some.values()] == [8] * (len(some) - 1) + [4]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weight_bits": 9}, "2 to 8"),
        ({"weight_bits": {"features.0": 1}}, "'features.0'"),
        ({"weight_bits": {"conv*": 4}}, "fits no layer"),
        ({"activation_bits": 4}, "activation_bits"),
        ({"observe_every": 0}, "observe_every"),
        ({"input_range": (1.0, 2.0)}, "low <= 0"),
    ],
)
def test_impossible_quantizations_are_refused(options, text):
    with pytest.raises(InputError, match=text):
        quantize(build_network("resnet", depth=8, width=0.5), **options)


def test_a_quantized_network_is_not_quantized_again():
    with pytest.raises(InputError, match="without float layers"):
        quantize(quantize(build_network("resnet", depth=8, width=0.5)))


def test_calibration_needs_batches_and_finite_values():
    network = quantize(build_network("resnet", depth=8, width=0.5))
    with pytest.raises(InputError, match="at least one batch"):
        calibrate(network, [])
    with torch.no_grad():
        network.features[0].bias.fill_(math.nan)
    with pytest.raises(InputError, match=r"'features.0.output' saw values that are not finite"):
        calibrate(network, [images(2)])


def test_training_moves_ranges_until_they_are_frozen():
    network = quantize(float_network("resnet", images(8, size=16), depth=8, width=0.5), observe_every=2)
    calibrate(network, [images(8, size=16), images(8, size=16, seed=1)])
    quantizer = network.features[0].output
    before = float(quantizer.high)
    network(images(8, size=16) * 2)
    moved = float(quantizer.high)
    network(images(8, size=16) * 2)
    assert moved != before
    assert float(quantizer.high) == moved
    freeze_ranges(network)
    network(images(8, size=16) * 2)
    assert float(quantizer.high) == moved


def test_mixed_precision_rounds_in_float32():
    batch = images(8, size=16)
    network = quantized_network("resnet", batch, width=0.5, depth=8).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(batch)
        hidden = network.features[0](network.input(batch))
    assert hidden.dtype == torch.float32
    codes = hidden / network.features[0].output.step
    torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0.0)
    functional.cross_entropy(logits.float(), torch.arange(8)).backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("headroom", [1.0, 2.0, 4.0, 8.0])
@pytest.mark.parametrize(("low", "high"), [(0.0, 5.0), (-3.0, 2.5)])
def test_a_wider_grid_keeps_the_range_and_makes_codes_small(low: float, high: float, headroom: float) -> None:
    plain, wide = ActivationQuantizer().fix(low, high), ActivationQuantizer().fix(low, high)
    wide.widen(headroom)
    x = torch.linspace(low, high, 1001)
    step, zero = wide.scale_and_zero_point()
    assert step == pytest.approx((high - low) * headroom / 255)
    assert torch.allclose(wide(x), x, atol=float(step) / 2 + 1e-6)  # nothing of the range is clipped
    assert _ones(wide(x), step, zero) <= _ones(plain(x), *plain.scale_and_zero_point())
    if headroom >= 4:
        assert _ones(wide(x), step, zero) < 0.9 * _ones(plain(x), *plain.scale_and_zero_point())


def _ones(values: torch.Tensor, step: torch.Tensor, zero: torch.Tensor) -> int:
    codes = torch.round(values / step + zero).to(torch.uint8)
    return int(np.bitwise_count(codes.numpy()).sum())


def test_headroom_survives_a_checkpoint_and_impossible_ones_are_refused() -> None:
    quantizer, other = ActivationQuantizer().fix(-1.0, 1.0), ActivationQuantizer()
    quantizer.widen(4.0)
    other.load_state_dict(quantizer.state_dict())
    x = torch.randn(100)
    assert torch.equal(other.eval()(x), quantizer.eval()(x))
    for headroom in (0.5, 65.0, math.nan):
        with pytest.raises(InputError, match="headroom"):
            quantizer.widen(headroom)


def test_the_code_of_zero_has_the_fewest_ones_around_it() -> None:
    lowest, highest = 20, 200
    codes, deviation = np.arange(256), max(lowest, 255 - highest) / 4
    expected = []
    for zero in range(lowest, highest + 1):
        shares = [math.exp(-0.5 * ((code - zero) / deviation) ** 2) for code in codes]
        expected.append(sum(s * bin(code).count("1") for s, code in zip(shares, codes, strict=True)) / sum(shares))
    assert sparse_zero_point(lowest, highest) == lowest + int(np.argmin(expected))
