"""The networks of the result: pairs of a baseline and an HD-trained one, and where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fewflips.errors import InputError

Training = Literal["baseline", "hamming"]
TRAININGS: tuple[Training, ...] = ("baseline", "hamming")
Variant = Literal["baseline", "post-training only", "training only", "both"]
VARIANTS: tuple[tuple[Variant, Training, bool], ...] = (
    ("baseline", "baseline", False),
    ("post-training only", "baseline", True),
    ("training only", "hamming", False),
    ("both", "hamming", True),
)
"""Each variant's network, and whether it streams in the schedule's order instead of its natural one."""


@dataclass(frozen=True)
class Pair:
    """A baseline and an HD-trained network with the same bits and seed.

    Parameters
    ----------
    bits : int
        Of the weights.
    seed : int
        Of the training.
    """

    bits: int
    seed: int

    @property
    def label(self) -> str:
        """What file names say of it."""
        return f"{self.bits}bit_seed{self.seed}"

    def name(self, training: Training) -> str:
        """Name of one of its networks: of its configuration and of the files that are kept.

        Examples
        --------
        >>> Pair(8, 0).name("hamming")
        'hamming_8bit_seed0'
        """
        return f"{training}_{self.label}"


ACCELERATOR = "edge4"
"""Machine that the networks are trained for: narrow segments, whose orders are short."""

PAIRS = (Pair(8, 0), Pair(8, 1), Pair(4, 0))
"""All of the result; the first is the headline."""


def chosen_pairs(labels: Sequence[str]) -> tuple[Pair, ...]:
    """Pairs by their labels, in the order of `PAIRS`; all of them where no label is given.

    Raises
    ------
    InputError
        If there is no such pair.
    """
    known = {pair.label: pair for pair in PAIRS}
    for label in labels:
        if label not in known:
            raise InputError(f"--pair: expected one of {', '.join(known)}, got {label[:100]!r}")
    return tuple(pair for pair in PAIRS if not labels or pair.label in labels)


def model_file(models: Path, name: str) -> Path:
    """Where a trained network is kept."""
    return models / f"{name}.onnx"


def result_file(models: Path, name: str) -> Path:
    """Where the ``result.json`` of its training is kept."""
    return models / f"{name}.json"
