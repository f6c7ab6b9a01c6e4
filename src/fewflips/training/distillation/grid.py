"""The values that a quantized tensor can hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fewflips.training.quantization.fake_quantization import QuantizedActivation


@dataclass(frozen=True)
class Grid:
    """An affine grid: multiples of a step, from one whole number of steps to another.

    Parameters
    ----------
    step : float
        The scale.
    low, high : int
        The ends, in steps from zero: the type's limits less the zero point.
    """

    step: float
    low: int
    high: int

    @classmethod
    def of(cls, scale: float, zero_point: int, lowest: int, highest: int) -> Grid:
        """Grid of a tensor.

        Parameters
        ----------
        scale : float
            Real value of a step.
        zero_point : int
            The integer that means zero.
        lowest, highest : int
            Limits of the tensor's type.

        Returns
        -------
        Grid
            The grid.
        """
        return cls(float(np.float32(scale)), lowest - zero_point, highest - zero_point)

    def round(self, values: Tensor) -> Tensor:
        """Nearest values of the grid; gradients pass straight through within its ends, and are 0 beyond."""
        inverse = float(np.float32(1) / np.float32(self.step))
        rounded: Tensor = QuantizedActivation.apply(values, self.step, inverse, float(self.low), float(self.high))
        return rounded
