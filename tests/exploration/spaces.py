"""Small spaces and workloads for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fewflips.exploration.candidates import Candidate, Machines
from fewflips.exploration.space import Space
from tests.network import build_tflite

TINY: dict[str, Any] = {
    "name": "tiny",
    "machine": {"name": "base", "lanes": 2, "columns": 2},
    "vary": {
        "columns": [2, 3],
        "forwarding": ["broadcast", "systolic"],
        "orders": ["natural", "schedule"],
    },
    "objectives": ["whole_pj", "area_um2"],
}
"""Eight machines of one unit."""


def space(**changes: Any) -> Space:
    """The tiny space with other keys."""
    return Space.model_validate({**TINY, **changes})


def candidates(of: Space) -> list[Candidate]:
    """All machines of a space of which none contradicts itself."""
    found = list(Machines(of))
    assert all(isinstance(one, Candidate) for one in found)
    return [one for one in found if isinstance(one, Candidate)]


def small_model(folder: Path, seed: int = 0, name: str = "small.tflite") -> Path:
    """A network of one pointwise convolution, whose layers are simulated completely."""
    path = folder / name
    path.write_bytes(build_tflite.single("CONV_2D", (1, 4, 4, 6), (1, 4, 4, 8), (8, 1, 1, 6), seed=seed))
    return path
