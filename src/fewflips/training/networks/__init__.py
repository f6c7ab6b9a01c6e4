"""The networks that the trainer builds, by name."""

from __future__ import annotations

from fewflips.errors import InputError
from fewflips.near_misses import did_you_mean
from fewflips.training.networks.blocks import ImageClassifier
from fewflips.training.networks.mobilenet_v2 import mobilenet_v2
from fewflips.training.networks.resnet import resnet

NETWORKS = ("mobilenet_v2", "resnet")
"""Names that :func:`build_network` takes."""


def build_network(
    name: str,
    *,
    width: float = 1.0,
    classes: int = 10,
    image_size: int = 32,
    channels: int = 3,
    early_strides: bool | None = None,
    depth: int | None = None,
) -> ImageClassifier:
    """Build a float network with weights drawn from PyTorch's default generator.

    Parameters
    ----------
    name : {"mobilenet_v2", "resnet"}
        The architecture.
    width : float
        Width multiplier.
    classes : int
        Number of classes.
    image_size : int
        Height and width of the images in pixels.
    channels : int
        Channels of the images: 3 for colour, 1 for grey.
    early_strides : bool, optional
        MobileNetV2 only: whether the stem halves the image; by default it does.
    depth : int, optional
        ResNet only: 6 n + 2 layers; by default 20.

    Returns
    -------
    ImageClassifier
        The network.

    Raises
    ------
    InputError
        If the name is unknown, an argument is not possible, or one belongs to the other architecture.
    """
    if name == "mobilenet_v2":
        if depth is not None:
            raise InputError(f"depth: mobilenet_v2 has a fixed depth, got {depth}; leave it out")
        return mobilenet_v2(
            width=width,
            classes=classes,
            image_size=image_size,
            channels=channels,
            early_strides=early_strides is None or early_strides,
        )
    if name == "resnet":
        if early_strides is not None:
            raise InputError(f"early_strides: resnet has no such option, got {early_strides}; leave it out")
        return resnet(
            depth=20 if depth is None else depth,
            width=width,
            classes=classes,
            image_size=image_size,
            channels=channels,
        )
    raise InputError(f"network: expected one of {', '.join(NETWORKS)}, got '{name}'{did_you_mean(name, NETWORKS)}")
