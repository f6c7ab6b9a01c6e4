"""A network as a list of operations in PyTorch, on batches, in real numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.training.distillation.grid import Grid
from fewflips.training.distillation.products import ReplayedProduct

Codes = Mapping[str, tuple[Tensor, Tensor | None]]
"""Weights, and bias, of layers by their names, as :class:`ReplayedProduct` takes them."""


@dataclass(frozen=True, eq=False)
class ReplayedOperation:
    """One operator.

    Parameters
    ----------
    inputs : tuple of str
        Tensors that it reads.
    output : str
        The tensor that it computes.
    compute : callable
        From the inputs' real values to the output's.
    grid : Grid or None
        Of the output, where it has to be rounded to it.
    layer : str or None
        The layer whose weights and bias come as further arguments.
    """

    inputs: tuple[str, ...]
    output: str
    compute: Callable[..., Tensor] = field(repr=False)
    grid: Grid | None = None
    layer: str | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """A network that PyTorch runs, and differentiates, on batches of inputs.

    Parameters
    ----------
    inputs : mapping of str to (float, int)
        Scale and zero point of each input; (1, 0) where it is floats.
    operations : tuple of ReplayedOperation
        In execution order.
    outputs : tuple of str
        Tensors whose values make up the result.
    before_outputs : tuple of str
        The same, with what a softmax at the end was given in place of what it made of it.
    products : mapping of str to ReplayedProduct
        By the layer's name.
    """

    inputs: Mapping[str, tuple[float, int]]
    operations: tuple[ReplayedOperation, ...] = field(repr=False)
    outputs: tuple[str, ...]
    before_outputs: tuple[str, ...]
    products: Mapping[str, ReplayedProduct] = field(repr=False)

    def batch(self, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, Tensor]:
        """Inputs of several inferences as one batch, in real numbers.

        Parameters
        ----------
        feeds : sequence of mapping of str to ndarray
            For each inference the value of each input, as the runtime takes it.

        Returns
        -------
        dict of str to Tensor of float32
            By name, the inferences along the first axis.
        """
        return {
            name: torch.tensor(np.concatenate([feed[name] for feed in feeds]).astype(np.float32))
            .sub_(zero_point)
            .mul_(scale)
            for name, (scale, zero_point) in self.inputs.items()
        }

    def run(self, batch: Mapping[str, Tensor], codes: Codes | None = None, *, before: bool = False) -> Tensor:
        """Compute the outputs.

        Parameters
        ----------
        batch : mapping of str to Tensor
            As :meth:`batch` gives it.
        codes : mapping of str to (Tensor, Tensor or None), optional
            Weights and biases of some layers; the others, and all without it, are those of the file.
        before : bool
            Whether to give what a softmax at the end is given, in place of what it makes of it.

        Returns
        -------
        Tensor of float32, shape (B, values)
            All outputs side by side.
        """
        given = codes or {}
        values = dict(batch)
        wanted = self.before_outputs if before else self.outputs
        for operation in self.operations:
            arguments: list[Any] = [values[name] for name in operation.inputs]
            if operation.layer is not None:
                product = self.products[operation.layer]
                arguments += given.get(operation.layer, (product.weight, product.bias))
            result = operation.compute(*arguments)
            values[operation.output] = result if operation.grid is None else operation.grid.round(result)
        return torch.cat([values[name].flatten(1) for name in wanted], dim=1)
