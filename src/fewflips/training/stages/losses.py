"""The loss of a training step, term by term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from fewflips.errors import FewflipsError
from fewflips.training.config import DistillationOptions


class DivergenceError(FewflipsError, ArithmeticError):
    """A loss or a weight is NaN or infinite; training cannot continue."""


class HammingTerm(Protocol):
    """The interface of the HD term for the trainer."""

    def advance(self, progress: float) -> None:
        """Set the progress of the stage, from 0 to 1, before each step."""

    def __call__(self) -> Tensor:
        """The term, shape ()."""

    def finish(self) -> None:
        """End the stage: weights become their assigned codes."""

    def statistics(self) -> dict[str, float]:
        """Figures for the metrics."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of :meth:`state_dict`."""


@dataclass(frozen=True)
class Distillation:
    """Training towards the outputs of a teacher.

    Parameters
    ----------
    teacher : nn.Module
        The teacher, in evaluation mode; it is not trained.
    options : DistillationOptions
        Temperature and weight.
    """

    teacher: nn.Module
    options: DistillationOptions

    def term(self, images: Tensor, logits: Tensor) -> Tensor:
        """Divergence of the outputs from the teacher's, times the squared temperature (Hinton et al., 2015, section 2).

        Parameters
        ----------
        images : Tensor of float32, shape (B, channels, height, width)
            Input of both networks.
        logits : Tensor of float32, shape (B, classes)
            Output of the trained network.

        Returns
        -------
        Tensor of float32, shape ()
            Mean over the batch.
        """
        temperature = self.options.temperature
        with torch.no_grad():
            wanted = functional.log_softmax(self.teacher(images).float() / temperature, dim=1)
        got = functional.log_softmax(logits / temperature, dim=1)
        divergence = functional.kl_div(got, wanted, reduction="batchmean", log_target=True)
        return divergence * temperature**2


@dataclass(frozen=True)
class Objective:
    """The objective of a stage.

    Parameters
    ----------
    label_smoothing : float
        Label smoothing of the task's cross entropy.
    distillation : Distillation or None
        Distillation term; its weight is subtracted from the task's.
    hamming : HammingTerm or None
        The HD term.
    strength : float
        Factor of the HD term.
    """

    label_smoothing: float
    distillation: Distillation | None = None
    hamming: HammingTerm | None = None
    strength: float = 0.0

    def terms(self, images: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Terms by name, as they enter the sum.

        Parameters
        ----------
        images : Tensor of float32, shape (B, channels, height, width)
            Input of the network.
        logits : Tensor of float32, shape (B, classes)
            Output of the network.
        labels : Tensor of int64, shape (B,)
            Correct classes.

        Returns
        -------
        dict of str to Tensor
            Those in use of ``task``, ``distillation`` and ``hamming``, each of shape ().
        """
        terms = {"task": functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)}
        if self.distillation is not None:
            weight = self.distillation.options.weight
            terms["task"] = terms["task"] * (1.0 - weight)
            terms["distillation"] = self.distillation.term(images, logits) * weight
        if self.hamming is not None:
            terms["hamming"] = self.hamming() * self.strength
        return terms


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Sum of the terms of a loss."""
    first, *others = terms.values()
    for other in others:
        first = first + other
    return first
