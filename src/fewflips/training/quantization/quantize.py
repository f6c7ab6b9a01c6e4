"""From a float network to one for quantization-aware training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from fewflips.errors import InputError
from fewflips.training.networks.blocks import Activation, ConvBlock, ConvUnit, ImageClassifier
from fewflips.training.quantization.quantized_layers import ActivationQuantizer, QuantizedConv, QuantizedLinear

INPUT_RANGE = (-1.0, 127 / 128)
"""Range of (pixel - 128) / 128, whose grid of 256 values represents pixels exactly."""

OBSERVE_EVERY = 10


def quantize(
    network: ImageClassifier,
    *,
    weight_bits: Mapping[str, int] | int = 8,
    activation_bits: int = 8,
    learned_scales: bool = False,
    observe_every: int = OBSERVE_EVERY,
    input_range: tuple[float, float] = INPUT_RANGE,
) -> ImageClassifier:
    """Make the fake-quantized form of a float network.

    Batch normalization is folded into the convolutions. Weights are symmetric, with one scale per output channel;
    activations uint8, affine, with one scale per tensor and the activation function in their range; both inputs
    and the output of every residual sum are quantized. Use :func:`calibrate` before the first training step.

    Parameters
    ----------
    network : ImageClassifier
        From :func:`~fewflips.training.networks.build_network`; it is not modified.
    weight_bits : int or mapping of str to int
        Bits of the weights, 2 to 8: one number, or patterns of layer names (``*`` and ``?`` as in file names) to
        numbers; the first matching pattern decides, and layers that match none have 8 bits.
    activation_bits : int
        Bits of the activations: 8.
    learned_scales : bool
        Whether the scales of the weights are parameters (learned step size) or fixed.
    observe_every : int
        Training steps between two observations of the activation ranges.
    input_range : tuple of float
        Smallest and largest value of the network's input.

    Returns
    -------
    ImageClassifier
        A new network with the same module names, in channels-last layout.

    Raises
    ------
    InputError
        If the network is already quantized, a number is not possible, or a pattern matches no layer.
    """
    if activation_bits != 8:
        raise InputError(f"activation_bits: expected 8, got {activation_bits}; only uint8 activations are exported")
    if observe_every < 1:
        raise InputError(f"observe_every: expected 1 or more steps, got {observe_every}")
    names = _layer_names(network)
    bits = _bits_by_layer(names, weight_bits)
    result = copy.deepcopy(network)
    for name, number in bits.items():
        _replace(result, name, _quantized_layer(result.get_submodule(name), number, learned_scales, observe_every))
    for name, module in list(result.named_modules()):
        if isinstance(module, Activation):
            _replace(result, name, ActivationQuantizer(module.function, observe_every))
    result.input = ActivationQuantizer().fix(*input_range)
    _connect(result)
    return result.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.no_grad()
def calibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the initial ranges of the activation quantizers; every batch is observed.

    Parameters
    ----------
    network : nn.Module
        A network from :func:`quantize`; left in training mode.
    batches : iterable of Tensor
        Training images (B, channels, height, width), float32; 20 batches of 128 suffice.

    Raises
    ------
    InputError
        If there is no batch, or a range is not finite (the network's outputs are NaN or infinite).
    """
    network.train()
    count = 0
    with _observing_every_step(network):
        for batch in batches:
            network(batch)
            count += 1
    if not count:
        raise InputError("calibration: expected at least one batch of images, got none")
    for name, module in network.named_modules():
        if isinstance(module, ActivationQuantizer) and not torch.isfinite(module.high - module.low):
            raise InputError(
                f"calibration: '{name}' saw values that are not finite; expected a network with finite outputs: train "
                "it with a lower learning rate"
            )


def freeze_ranges(network: nn.Module) -> None:
    """Freeze the range of every activation quantizer of a network."""
    for quantizer in _quantizers(network):
        quantizer.frozen = True


def widen_ranges(network: nn.Module, headroom: float) -> None:
    """Extend the grids of activations, except the input's, beyond their ranges, so that codes stay small.

    Parameters
    ----------
    network : nn.Module
        A network from :func:`quantize`.
    headroom : float
        Ratio of the grids' width to the ranges', 1 to 64.

    Raises
    ------
    InputError
        If the headroom is out of range.
    """
    for quantizer in _quantizers(network):
        if quantizer is not getattr(network, "input", None):
            quantizer.widen(headroom)


@contextmanager
def _observing_every_step(network: nn.Module) -> Iterator[None]:
    quantizers = list(_quantizers(network))
    before = [quantizer.observe_every for quantizer in quantizers]
    try:
        for quantizer in quantizers:
            quantizer.observe_every = 1
        yield
    finally:
        for quantizer, steps in zip(quantizers, before, strict=True):
            quantizer.observe_every = steps


def _quantizers(network: nn.Module) -> Iterator[ActivationQuantizer]:
    return (module for module in network.modules() if isinstance(module, ActivationQuantizer))


def _layer_names(network: nn.Module) -> list[str]:
    """Names of the layers with weights, in forward order."""
    names = [name for name, module in network.named_modules() if isinstance(module, ConvUnit)]
    names += [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise InputError("quantize: expected a float network from build_network(), got one without float layers")
    return names


def _bits_by_layer(names: list[str], weight_bits: Mapping[str, int] | int) -> dict[str, int]:
    patterns = {"*": weight_bits} if isinstance(weight_bits, int) else dict(weight_bits)
    for pattern, bits in patterns.items():
        if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 8:
            raise InputError(f"weight_bits of '{pattern}': expected a whole number from 2 to 8, got {bits}")
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(
                f"weight_bits: '{pattern}' fits no layer; names are {names[0]}, {names[1]}, ... {names[-1]}"
            )
    fitting = {name: [bits for pattern, bits in patterns.items() if fnmatchcase(name, pattern)] for name in names}
    return {name: found[0] if found else 8 for name, found in fitting.items()}


def _quantized_layer(
    layer: nn.Module, bits: int, learned_scales: bool, observe_every: int
) -> QuantizedConv | QuantizedLinear:
    if isinstance(layer, nn.Linear):
        return QuantizedLinear(layer.weight.detach().clone(), layer.bias.detach().clone(), bits, learned_scales)
    assert isinstance(layer, ConvUnit)
    conv, bn = layer.conv, layer.bn
    assert bn.running_mean is not None
    assert bn.running_var is not None
    gain = (bn.weight / torch.sqrt(bn.running_var + bn.eps)).detach()
    return QuantizedConv(
        conv.weight.detach() * gain[:, None, None, None],
        bn.bias.detach() - bn.running_mean * gain,
        bits,
        learned_scales,
        stride=(conv.stride[0], conv.stride[1]),
        padding=(int(conv.padding[0]), int(conv.padding[1])),
        groups=conv.groups,
        function=layer.function,
        observe_every=observe_every,
    )


def _connect(network: ImageClassifier) -> None:
    """Connect each layer to the quantizer of its input."""
    before = network.input
    for layer in network.features:
        before = _connected(layer, before)
    assert isinstance(network.classifier, QuantizedLinear)
    assert isinstance(network.pool, ActivationQuantizer)
    network.classifier.connect(network.pool)


def _connected(layer: nn.Module, before: nn.Module) -> nn.Module:
    """Connect a convolution or a block, and return the quantizer of its output."""
    if isinstance(layer, QuantizedConv):
        assert isinstance(before, ActivationQuantizer)
        layer.connect(before)
        return layer.output
    assert isinstance(layer, ConvBlock)
    last = before
    for _, unit in layer.units():
        last = _connected(unit, last)
    if layer.shortcut is not None:
        _connected(layer.shortcut, before)
    return layer.sum if layer.residual else last


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
