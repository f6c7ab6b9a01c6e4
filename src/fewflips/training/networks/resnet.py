"""The residual networks for CIFAR of He et al. (CVPR 2016, section 4.2), with 1x1 projections as shortcuts."""

from __future__ import annotations

from torch import nn

from fewflips.errors import InputError
from fewflips.training.networks.blocks import ConvBlock, ConvUnit, ImageClassifier, check_frame, check_size, scaled

STAGE_CHANNELS = (16, 32, 64)
MAX_DEPTH = 1202


class BasicBlock(ConvBlock):
    """Two 3x3 convolutions, and a skip with a 1x1 projection if the shapes differ.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Step of the first convolution and of the projection.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first: nn.Module = ConvUnit(inputs, outputs, 3, stride, function="relu")
        self.second: nn.Module = ConvUnit(outputs, outputs, 3, function="none")
        same = stride == 1 and inputs == outputs
        shortcut = None if same else ConvUnit(inputs, outputs, 1, stride, function="none")
        self.close(residual=True, shortcut=shortcut, function="relu")


def resnet(
    *, depth: int = 20, width: float = 1.0, classes: int = 10, image_size: int = 32, channels: int = 3
) -> ImageClassifier:
    """Build a float residual network with weights drawn by He's rule from PyTorch's default generator.

    Parameters
    ----------
    depth : int
        Weighted layers on the longest path: 6 n + 2, with n blocks in each of three stages.
    width : float
        Width multiplier.
    classes : int
        Number of classes.
    image_size : int
        Height and width of the images in pixels.
    channels : int
        Channels of the images.

    Returns
    -------
    ImageClassifier
        The network.

    Raises
    ------
    InputError
        If an argument is not possible.
    """
    if depth < 8 or depth > MAX_DEPTH or depth % 6 != 2:
        raise InputError(f"depth: expected 6 n + 2 (8, 14, 20, 32, 44, 56, ... up to {MAX_DEPTH}), got {depth}")
    check_frame(width, classes, image_size, channels, stride=4)
    blocks = depth // 6
    widths = [scaled(stage, width) for stage in STAGE_CHANNELS]
    check_size(sum(18 * blocks * outputs**2 for outputs in widths), width)
    inputs = widths[0]
    layers: list[nn.Module] = [ConvUnit(channels, inputs, 3, function="relu")]
    for stage, outputs in enumerate(widths):
        for block in range(blocks):
            layers.append(BasicBlock(inputs, outputs, 2 if stage and block == 0 else 1))
            inputs = outputs
    network = ImageClassifier("resnet", layers, inputs, classes, (channels, image_size, image_size))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
