"""A runtime outside the package, for the ``.npz`` of integer matrices: each multiplies the output of the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fewflips
from fewflips.execution.sessions import InputSpec
from tests.network.matrices_reader import PIXELS

SHIFT = 9
"""By how many bits sums are shifted to become the next activations."""


class MatricesRuntime(fewflips.ModelRuntime):
    file_format = "npz"
    name = "NumPy"

    def open(self, path: Path, fetch: Sequence[str]) -> MatricesSession:
        return MatricesSession(path)

    def executes_in_integers(self, path: Path) -> bool:
        return True


class MatricesSession:
    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as archive:
            self.matrices = {name: archive[name] for name in archive}
        first, *_ = self.matrices.values()
        self.inputs = (InputSpec("x", (PIXELS, first.shape[1]), np.dtype(np.uint8), 1.0, 0),)
        self.outputs = (f"after {list(self.matrices)[-1]}",)

    def run(self, feeds: Mapping[str, Any], fetch: Sequence[str]) -> dict[str, Any]:
        values = {"x": feeds["x"]}
        last = feeds["x"]
        for name, matrix in self.matrices.items():
            last = (last.astype(np.int64) @ matrix.T.astype(np.int64) >> SHIFT).clip(0, 255).astype(np.uint8)
            values[f"after {name}"] = last
        return {name: values[name] for name in fetch}
