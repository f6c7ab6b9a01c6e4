"""Schedules of random orders, as files: harder for a column than those that are optimized."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fewflips.dataflows import Segment
from fewflips.dataflows.orders import natural_orders
from fewflips.machine import load_accelerator
from fewflips.network import Network
from fewflips.records.schedule import Schedule
from fewflips.schedule.binary import encode_schedule
from fewflips.schedule.file import build_schedule


def random_schedule(network: Network, machine: str | Path, seed: int = 0) -> Schedule:
    """A schedule whose segments go through their lanes and channels in random orders."""
    generator, array = np.random.default_rng(seed), load_accelerator(machine)
    orders = {
        name: tuple(Segment(generator.permutation(one.lanes), generator.permutation(one.order)) for one in segments)
        for name, segments in natural_orders(network, array).items()
    }
    return build_schedule(network, array, orders)


def written(schedule: Schedule, path: Path) -> Path:
    """The schedule as a file, binary or JSON by its name."""
    binary = path.suffix == ".bin"
    path.write_bytes(encode_schedule(schedule) if binary else schedule.model_dump_json().encode())
    return path
