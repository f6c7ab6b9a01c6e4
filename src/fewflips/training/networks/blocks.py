"""Building blocks of the networks: convolution units, residual blocks, and the frame around them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from fewflips.errors import InputError

ActivationFunction = Literal["none", "relu", "relu6"]
"""The activation function after a convolution or a sum."""

MAX_PARAMETERS = 100_000_000
"""Networks with more parameters are refused, since their width must be a mistake."""


class Activation(nn.Module):
    """An activation function as a separate module, which becomes a quantizer when the network is quantized.

    Parameters
    ----------
    function : {"none", "relu", "relu6"}
        The function to apply.
    """

    def __init__(self, function: ActivationFunction = "none") -> None:
        super().__init__()
        self.function: ActivationFunction = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function; `x` may be overwritten."""
        return activate(x, self.function)


class ConvUnit(nn.Module):
    """Convolution without bias, batch normalization, activation function.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : int
        Height and width of the kernel, odd; the image is padded by half of it with zeros.
    stride : int
        Step in both directions.
    groups : int
        Groups of channels; `inputs` makes the convolution depthwise.
    function : {"none", "relu", "relu6"}
        The activation function.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        function: ActivationFunction = "relu6",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.function: ActivationFunction = function

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, inputs, H, W) to (B, outputs, H', W'), float32."""
        return activate(self.bn(self.conv(x)), self.function)


class ImageSizeError(InputError):
    """Images are smaller than a network can take: a fault of the dataset, not of the network's options."""


class ConvBlock(nn.Module):
    """Consecutive convolution units, with a skip around them if `residual` is set.

    Subclasses add the units as submodules, in forward order, then call :meth:`close`. When the network is
    quantized, units become :class:`~fewflips.training.quantization.quantized_layers.QuantizedConv`, and `sum` a
    quantizer.
    """

    residual: bool
    shortcut: nn.Module | None
    sum: nn.Module

    def close(self, residual: bool, shortcut: ConvUnit | None = None, function: ActivationFunction = "none") -> None:
        """Define how the block ends.

        Parameters
        ----------
        residual : bool
            Whether the input is added to the output of the last unit.
        shortcut : ConvUnit, optional
            Applied to the input before it is added, if the shapes differ.
        function : {"none", "relu", "relu6"}
            Applied to the sum.
        """
        self.residual = residual
        self.shortcut = shortcut
        if residual:
            self.sum = Activation(function)

    def units(self) -> Iterator[tuple[str, nn.Module]]:
        """Names and modules of the consecutive units, in forward order."""
        for name, module in self.named_children():
            if name not in ("shortcut", "sum"):
                yield name, module

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, inputs, H, W) to (B, outputs, H', W'), float32."""
        y = x
        for _, unit in self.units():
            y = unit(y)
        if not self.residual:
            return y
        skipped = x if self.shortcut is None else self.shortcut(x)
        return self.sum(skipped + y)


class ImageClassifier(nn.Module):
    """Feature layers, the mean over the image, and a fully connected classifier.

    Parameters
    ----------
    name : str
        Name of the architecture.
    features : list of nn.Module
        :class:`ConvUnit` and :class:`ConvBlock` modules, in forward order.
    outputs : int
        Channels of the last one.
    classes : int
        Number of logits.
    input_shape : tuple of int
        (channels, height, width) of the images.

    Attributes
    ----------
    input, pool : nn.Module
        Places where the input and the pooled features are quantized.
    features : nn.Sequential
        The layers.
    classifier : nn.Module
        The fully connected layer.
    """

    def __init__(
        self, name: str, features: list[nn.Module], outputs: int, classes: int, input_shape: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.name = name
        self.input_shape = input_shape
        self.classes = classes
        self.input: nn.Module = Activation()
        self.features = nn.Sequential(*features)
        self.pool: nn.Module = Activation()
        self.classifier: nn.Module = nn.Linear(outputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, channels, height, width), float32, to logits (B, classes)."""
        return self.classifier(self.pool(self.features(self.input(x)).mean((2, 3))))


def activate(x: Tensor, function: ActivationFunction) -> Tensor:
    """Apply an activation function; `x` may be overwritten."""
    if function == "relu6":
        return functional.relu6(x, inplace=True)
    return functional.relu(x, inplace=True) if function == "relu" else x


def scaled(channels: int, width: float) -> int:
    """Channels at a width multiplier, rounded to a multiple of 8, at least 8."""
    return max(8, int(channels * width + 4) // 8 * 8)


def check_frame(width: float, classes: int, image_size: int, channels: int, stride: int) -> None:
    """Check the arguments common to all networks.

    Parameters
    ----------
    width : float
        Width multiplier.
    classes, channels : int
        Number of classes; channels of the images.
    image_size : int
        Height and width of the images in pixels.
    stride : int
        Product of all strides: how many pixels of the image one pixel of the last feature map represents, per axis.

    Raises
    ------
    InputError
        If one of them is not possible.
    """
    if not (math.isfinite(width) and 0 < width <= 100):
        raise InputError(f"width: expected a number above 0 and up to 100, got {width}")
    if classes < 2:
        raise InputError(f"classes: expected 2 or more, got {classes}")
    if channels < 1:
        raise InputError(f"channels: expected 1 or more, got {channels}")
    if image_size < stride:
        raise ImageSizeError(
            f"image_size: expected at least {stride} pixels, the product of the network's strides, got {image_size}"
        )


def check_size(parameters: int, width: float) -> None:
    """Refuse a network with more than :data:`MAX_PARAMETERS` parameters, before it is built.

    Raises
    ------
    InputError
        If it has more.
    """
    if parameters > MAX_PARAMETERS:
        raise InputError(
            f"width: {width} makes a network of {parameters / 1e6:.0f} million parameters; expected at most "
            f"{MAX_PARAMETERS // 1_000_000} million; choose a smaller width"
        )
