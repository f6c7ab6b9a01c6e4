"""Training of quantized networks for few bit flips; needs PyTorch (extra ``train``)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewflips.training.config import TrainingConfig, load_config
    from fewflips.training.hamming.hamming_loss import HammingLoss
    from fewflips.training.hamming.options import HammingOptions
    from fewflips.training.switching.switching_loss import SwitchingLoss
    from fewflips.training.trainer import train

_HOMES = {
    "HammingLoss": "fewflips.training.hamming.hamming_loss",
    "HammingOptions": "fewflips.training.hamming.options",
    "SwitchingLoss": "fewflips.training.switching.switching_loss",
    "TrainingConfig": "fewflips.training.config",
    "load_config": "fewflips.training.config",
    "train": "fewflips.training.trainer",
}
"""Where each public name lives; modules, and PyTorch with them, are imported when a name is first used."""

__all__ = ["HammingLoss", "HammingOptions", "SwitchingLoss", "TrainingConfig", "load_config", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fewflips.training' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
