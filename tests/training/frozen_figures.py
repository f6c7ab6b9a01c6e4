"""Figures of an independent trainer, which was deleted: what the float stage has to give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def frozen_figures() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("frozen_float_stage.json").read_text())


def deviations(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, list[float]]) -> list[float]:
    """How far norms, and products with a ramp of norm 1, are off, as shares of the norms; one a tensor."""
    found = []
    for name, (norm, product) in expected.items():
        flat = tensors[name].detach().double().flatten()
        ramp = torch.linspace(-1, 1, len(flat), dtype=torch.float64)
        found.append(max(abs(float(flat.norm()) - norm), abs(float(flat @ ramp / ramp.norm()) - product)) / norm)
    return found
