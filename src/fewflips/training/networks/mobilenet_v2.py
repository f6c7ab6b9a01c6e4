"""MobileNetV2 (Sandler et al., CVPR 2018) for small images."""

from __future__ import annotations

from math import prod

from torch import nn

from fewflips.training.networks.blocks import ConvBlock, ConvUnit, ImageClassifier, check_frame, check_size, scaled

STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
"""(Expansion, channels, blocks) of each stage, as in the paper."""

STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
EARLY_STRIDES = (2, (1, 2, 1, 1, 1, 2, 1))
"""Strides of the stem and of each stage's first block; a 32x32 image is 16x16 after the stem."""

LATE_STRIDES = (1, (1, 1, 2, 2, 1, 2, 1))
"""The same, with the stem at full resolution: about four times the work, and more accurate."""


class InvertedResidual(ConvBlock):
    """Expand (1x1), depthwise (3x3), project (1x1), with a skip if the shapes allow one.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Step of the depthwise convolution.
    expansion : int
        Channels of the depthwise convolution per input channel; 1 omits the expansion.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        if expansion != 1:
            self.expand: nn.Module = ConvUnit(inputs, hidden, 1)
        self.depthwise: nn.Module = ConvUnit(hidden, hidden, 3, stride, groups=hidden)
        self.project: nn.Module = ConvUnit(hidden, outputs, 1, function="none")
        self.close(residual=stride == 1 and inputs == outputs)


def mobilenet_v2(
    *, width: float = 1.0, classes: int = 10, image_size: int = 32, channels: int = 3, early_strides: bool = True
) -> ImageClassifier:
    """Build a float MobileNetV2 with weights drawn from PyTorch's default generator.

    Parameters
    ----------
    width : float
        Width multiplier.
    classes : int
        Number of classes.
    image_size : int
        Height and width of the images in pixels.
    channels : int
        Channels of the images.
    early_strides : bool
        Whether the stem halves the image (:data:`EARLY_STRIDES`), or keeps it (:data:`LATE_STRIDES`).

    Returns
    -------
    ImageClassifier
        The network: 52 convolutions and one fully connected layer.

    Raises
    ------
    InputError
        If an argument is not possible.
    """
    stem_stride, strides = EARLY_STRIDES if early_strides else LATE_STRIDES
    check_frame(width, classes, image_size, channels, stem_stride * prod(strides))
    check_size(_parameters(width, classes, channels), width)
    inputs = scaled(STEM_CHANNELS, width)
    layers: list[nn.Module] = [ConvUnit(channels, inputs, 3, stem_stride)]
    for (expansion, stage_channels, blocks), stride in zip(STAGES, strides, strict=True):
        outputs = scaled(stage_channels, width)
        for block in range(blocks):
            layers.append(InvertedResidual(inputs, outputs, stride if block == 0 else 1, expansion))
            inputs = outputs
    head = scaled(HEAD_CHANNELS, width)
    layers.append(ConvUnit(inputs, head, 1))
    return ImageClassifier("mobilenet_v2", layers, head, classes, (channels, image_size, image_size))


def _parameters(width: float, classes: int, channels: int) -> int:
    """Number of weights of a network, without building it."""
    inputs, head = scaled(STEM_CHANNELS, width), scaled(HEAD_CHANNELS, width)
    total = channels * inputs * 9
    for expansion, stage_channels, blocks in STAGES:
        outputs = scaled(stage_channels, width)
        for _ in range(blocks):
            hidden = inputs * expansion
            total += hidden * (inputs * (expansion != 1) + 9 + outputs)
            inputs = outputs
    return total + inputs * head + head * classes
