"""What a network is trained on: unlabelled inputs, and the original's outputs for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.training.distillation.program import Codes, Program

_CHUNK = 32
"""Inferences at a time where no gradient is needed."""


class Lessons:
    """Batches of inputs, and how far a network's outputs are from the original's.

    Parameters
    ----------
    original, program : Program
        The original, and the network that is trained.
    feeds : sequence of mapping of str to ndarray
        For each inference the value of each input.
    seed : int
        Of the order of the inputs.
    """

    def __init__(
        self, original: Program, program: Program, feeds: Sequence[Mapping[str, NDArray[Any]]], seed: int
    ) -> None:
        self._program, self._count = program, len(feeds)
        self._ends_in_softmax = program.before_outputs != program.outputs and len(program.outputs) == 1
        self._inputs = program.batch(feeds)
        with torch.no_grad():
            parts = [original.run(self._part(slice(i, i + _CHUNK)), before=True) for i in range(0, self._count, _CHUNK)]
        self._targets = torch.cat(parts)
        self._signals = [target.square().mean() for target in self._judged(self._targets)]
        self._random = np.random.default_rng(seed)
        self._waiting: list[int] = []

    def loss(self, codes: Codes, size: int) -> Tensor:
        """Square error of the outputs on the next inputs, as a part of the outputs' own square.

        Where a softmax ends the network, the error of what it is given, and of what it makes of it, are averaged.

        Parameters
        ----------
        codes : mapping of str to (Tensor, Tensor or None)
            Weights and biases of the layers.
        size : int
            Inputs to take; in each pass over them, each comes once.

        Returns
        -------
        Tensor of float32, shape ()
            The loss.
        """
        chosen = self._next(min(size, self._count))
        outputs = self._judged(self._program.run(self._part(chosen), codes, before=True))
        targets = self._judged(self._targets[chosen])
        errors = [
            (output - target).square().mean() / signal
            for output, target, signal in zip(outputs, targets, self._signals, strict=True)
        ]
        return torch.stack(errors).mean()

    def _next(self, size: int) -> list[int]:
        while len(self._waiting) < size:
            self._waiting += self._random.permutation(self._count).tolist()
        chosen, self._waiting = self._waiting[:size], self._waiting[size:]
        return chosen

    def _part(self, chosen: slice | list[int]) -> dict[str, Tensor]:
        return {name: values[chosen] for name, values in self._inputs.items()}

    def _judged(self, outputs: Tensor) -> list[Tensor]:
        return [outputs, torch.softmax(outputs, dim=-1)] if self._ends_in_softmax else [outputs]
