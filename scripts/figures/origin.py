"""Where records lie, and what a figure is."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
PJ_PER_UJ = 1e6
DELAYS = ("zero_delay", "inertial")

Fact = bool | int | float | str
