"""How much work a distillation does."""

from __future__ import annotations

from dataclasses import dataclass

from fewflips.errors import InputError


@dataclass(frozen=True)
class DistillEffort:
    """Work limits and step sizes of a distillation.

    Parameters
    ----------
    steps : int
        Training steps in all.
    between : int
        Training steps between two assignments of codes.
    batch : int
        Inputs of a step.
    rate : float
        Step size of Adam at the beginning, in steps of the weights' codes; it falls to 0 along half a cosine.
    rise : float
        By how much the price of a flip rises at a time while errors allow it.

    Raises
    ------
    InputError
        If one is out of range.
    """

    steps: int = 300
    between: int = 10
    batch: int = 32
    rate: float = 0.003
    rise: float = 1.15

    def __post_init__(self) -> None:
        if min(self.steps, self.between, self.batch) < 1 or not 0 < self.rate < 10 or not 1 < self.rise < 100:
            raise InputError(f"step distill: expected steps, batches and rates above 0 and a rise above 1, got {self}")
