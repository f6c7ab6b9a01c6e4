"""Accuracy on test images, for a network in PyTorch and a model in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fewflips.errors import RuntimeFailure
from fewflips.training.datasets import Split
from fewflips.training.stages.augmentation import to_input

BATCH = 500


@torch.no_grad()
def accuracy_percent(network: nn.Module, split: Split, between: Callable[[], None] | None = None) -> float:
    """Top-1 accuracy of a network.

    Parameters
    ----------
    network : nn.Module
        Maps images (B, channels, height, width) to logits; it is left in evaluation mode.
    split : Split
        Images and labels on the network's device.
    between : callable, optional
        Called before every batch; it may raise.

    Returns
    -------
    float
        In percent.
    """
    network.eval()
    hits = 0
    for images, labels in zip(split.images.split(BATCH), split.labels.split(BATCH), strict=True):
        if between is not None:
            between()
        hits += int((network(to_input(images)).argmax(1) == labels).sum())
    return 100.0 * hits / len(split)


def exported_accuracy_percent(
    model: bytes, split: Split, threads: int, between: Callable[[], None] | None = None
) -> float:
    """Top-1 accuracy of an exported model in ONNX Runtime on the CPU.

    Parameters
    ----------
    model : bytes
        An ONNX file with one input and the logits as its only output.
    split : Split
        Images and labels.
    threads : int
        Number of ONNX Runtime threads.
    between : callable, optional
        Called before every batch; it may raise :class:`KeyboardInterrupt`.

    Returns
    -------
    float
        In percent.

    Raises
    ------
    RuntimeFailure
        If ONNX Runtime refuses the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    hits = 0
    try:
        session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        for images, labels in zip(split.images.split(BATCH), split.labels.split(BATCH), strict=True):
            if between is not None:
                between()
            pixels = to_input(images).cpu().contiguous().numpy()
            (logits,) = session.run(None, {name: pixels})
            hits += int((logits.argmax(1) == labels.cpu().numpy()).sum())
    except Exception as error:  # ONNX Runtime's errors have no other common class
        raise RuntimeFailure(f"ONNX Runtime does not run the exported model: {' '.join(str(error).split())}") from error
    return 100.0 * hits / len(split)
