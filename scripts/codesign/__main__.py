"""Accelerator and network chosen together: `python -m scripts.codesign`.

Machines of `configs/codesign/space.yaml` are searched for each network: the best for the whole bill in natural order
and scheduled, and the best for the datapath with at most four lanes; for the network as it is, and for the one trained
for few flips. Then each network is simulated in both orders on these and on the built-in machines. Searches and
schedules are kept, so that a run that was cut off goes on where it was. Writes results/codesign.json and the machines
as YAML beside it, network by network; rows of other networks and cell libraries stay.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scripts.audit.setups import liberty_files

from fewflips.errors import FewflipsError, InputError
from fewflips.exploration.space import load_space
from fewflips.files.cache import cache_folder
from fewflips.machine import Accelerator, load_accelerator
from fewflips.simulation.run import EnergyOptions

from .machines import NARROW_LANES, ORDERS, PLAIN, Searches
from .networks import Candidate, candidates
from .results import store_results
from .rows import Simulation

SHARED = Path(os.environ.get("FEWFLIPS_SHARED") or "../shared")


def main(words: list[str] | None = None) -> int:
    """Run all steps; 2 where something is missing or fails."""
    arguments = _parser().parse_args(words)
    try:
        _run(arguments)
    except (FewflipsError, OSError) as error:
        print(f"codesign: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.codesign", description=__doc__)
    parser.add_argument("--network", action="append", default=[], help="beginning of a network's name; all without it")
    parser.add_argument("--cells", action="append", default=[], help="cell libraries of the rows")
    parser.add_argument("--space", type=Path, default=Path("configs/codesign/space.yaml"), help="machines to search")
    parser.add_argument("--share", type=float, default=0.02, help="share of the cycles to simulate with delays in rows")
    parser.add_argument("--jobs", type=int, default=-1, help="processors; -1 for all")
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder of public models, images and libraries")
    parser.add_argument("--models", type=Path, default=Path("results/models"), help="folder of the trained networks")
    parser.add_argument(
        "--samples", type=Path, default=Path("src/fewflips/data/cifar10_samples.npz"), help="their sample inputs"
    )
    parser.add_argument("--store", type=Path, default=cache_folder() / "codesign.sqlite", help="results of searches")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder of the rows and the machines")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    libraries = {"nangate45": "nangate45", **liberty_files(arguments.shared / "pdk")}
    names = arguments.cells or ["nangate45"]
    unknown = [name for name in names if name not in libraries]
    if unknown:
        raise InputError(f"cells: expected some of {', '.join(libraries)}, got {unknown[0]}")
    searches = Searches(load_space(arguments.space), 2e-5, 0.01, arguments.store, arguments.jobs)
    simulation = Simulation(
        {name: libraries[name] for name in names}, EnergyOptions(share=arguments.share, jobs=arguments.jobs)
    )
    found = candidates(arguments.models, arguments.samples, arguments.shared)
    with tempfile.TemporaryDirectory() as folder:
        for network in dict.fromkeys(one.network for one in found):
            if arguments.network and not any(network.startswith(name) for name in arguments.network):
                continue
            alternatives = [_with_one_input(one, Path(folder)) for one in found if one.network == network]
            best = _best(searches, alternatives)
            machines = [*map(load_accelerator, PLAIN), *best]
            rows = [row for one in alternatives for machine in machines for row in simulation.rows(one, machine)]
            store_results(arguments.output, rows, best)


def _best(searches: Searches, alternatives: Sequence[Candidate]) -> list[Accelerator]:
    """Machines for the whole bill and, with few lanes, for the datapath: for the first network and the last one."""
    first = alternatives[0]
    found = [searches.best(first, order, "whole_pj") for order in ORDERS]
    for one in dict.fromkeys((first, alternatives[-1])):
        if one is not first:
            found.append(searches.best(one, "schedule", "whole_pj"))
        found.append(searches.best(one, "schedule", "datapath_pj", NARROW_LANES))
    return found


def _with_one_input(one: Candidate, folder: Path) -> Candidate:
    """The network with the first of its sample inputs."""
    if one.inputs is None:
        return one
    target = folder / re.sub(r"\W+", "_", f"{one.network} {one.training}")
    if one.inputs.is_dir():
        target.mkdir()
        first = sorted(path for path in one.inputs.iterdir() if path.is_file())[0]
        (target / first.name).write_bytes(first.read_bytes())
        return Candidate(one.network, one.training, one.path, target, one.record)
    with np.load(one.inputs) as samples:
        path = target.with_suffix(".npz")
        np.savez(path, **{name: samples[name][:1] for name in samples})
    return Candidate(one.network, one.training, one.path, path, one.record)


if __name__ == "__main__":
    sys.exit(main())
