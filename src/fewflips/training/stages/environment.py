"""The device and precision of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from fewflips.errors import InputError
from fewflips.training.config import TrainingConfig

_TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Environment:
    """A device and the precision of products on it.

    Parameters
    ----------
    device : torch.device
        Where tensors are.
    precision : torch.dtype
        Precision of convolutions and matrix products in the forward and backward pass; weights, sums and losses are
        float32.
    """

    device: torch.device
    precision: torch.dtype

    def autocast(self) -> torch.autocast:
        """A context in which products have this precision."""
        mixed = self.precision != torch.float32
        return torch.autocast(self.device.type, dtype=self.precision if mixed else None, enabled=mixed)

    def scaler(self) -> torch.amp.GradScaler | None:
        """The scaler that keeps small gradients from vanishing in float16; None for other precisions."""
        return torch.amp.GradScaler(self.device.type) if self.precision == torch.float16 else None


def resolved(config: TrainingConfig) -> TrainingConfig:
    """A configuration with device, precision and threads decided.

    Parameters
    ----------
    config : TrainingConfig
        The configuration as given.

    Returns
    -------
    TrainingConfig
        The configuration without ``auto`` and with a number of threads.

    Raises
    ------
    InputError
        If CUDA is requested and there is none.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise InputError("device: expected one that is there, got cuda, which is not available: take cpu or auto")
    device = ("cuda" if available else "cpu") if config.device == "auto" else config.device
    precision = config.precision
    if precision == "auto":  # float16 has the 11 bits that codes of 8 bits need; bfloat16 has 8
        precision = "float16" if device == "cuda" else "float32"
    threads = config.threads or torch.get_num_threads()
    return config.model_copy(update={"device": device, "precision": precision, "threads": threads})


def environment(config: TrainingConfig) -> Environment:
    """The device and precision of a resolved configuration."""
    return Environment(torch.device(config.device), _TYPES[config.precision])


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of threads, and restore it at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
