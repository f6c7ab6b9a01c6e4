"""Measure how far the result carries: `python -m scripts.audit`.

The kept networks in other company: baselines that are given what the HD-trained ones have, other cells, units and
machines, the buffers on the bill. Writes results/audit.json, of which `python -m scripts.reproduction` makes
a part of its page.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from scripts.reproduction.progress import say

from fewflips.errors import FewflipsError, InputError
from fewflips.files.atomic import atomic_write

from .accuracy import accuracies, hits_of, paired
from .figures import Audit, Run
from .measuring import Sources, measured
from .memory import SRAM_PJ_PER_BIT
from .predictions import predictions
from .setups import BUILT_IN, liberty_files, questions
from .weights import weight_figures

SHARED = Path(os.environ.get("FEWFLIPS_SHARED") or "../shared")
RESULTS = Path("results")
SAMPLES = Path("src/fewflips/data/cifar10_samples.npz")


def main(words: list[str] | None = None) -> int:
    """Run all set-ups; return 2 if something is missing or fails."""
    try:
        _run(_parser().parse_args(words))
    except (FewflipsError, OSError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.audit", description=__doc__)
    parser.add_argument("--models", type=Path, default=RESULTS / "models", help="folder of the networks")
    parser.add_argument("--inputs", type=Path, default=SAMPLES, help="sample inputs (.npz)")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "cifar10_jpeg.npz", help="CIFAR-10")
    parser.add_argument("--libraries", type=Path, default=SHARED / "pdk", help="folder of the Liberty files")
    parser.add_argument("--share", type=float, default=1.0, help="part of the cycles to simulate with delays")
    parser.add_argument("--jobs", type=int, default=-1, help="processors; -1 for all")
    parser.add_argument("--output", type=Path, default=RESULTS / "audit.json", help="where the figures go")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    for path in (arguments.inputs, arguments.data, *liberty_files(arguments.libraries).values()):
        if not path.is_file():
            raise InputError(f"{path}: expected a file, got none; --help names the options that say where things lie")
    sources = Sources(arguments.models, arguments.inputs, arguments.libraries, arguments.share, arguments.jobs)
    wanted = {
        (one.network, one.weight_bits, asked.setup): one for asked in questions() for one in (asked.before, asked.after)
    }
    runs = []
    for number, ((*_, setup), variant) in enumerate(wanted.items(), start=1):
        say(f"{number} of {len(wanted)}")
        runs.append(measured(variant, setup, sources))
    networks = [arguments.models / f"{name}.onnx" for name in dict.fromkeys(name for name, *_ in wanted)]
    say("accuracies")
    hits = hits_of(networks, arguments.data)
    pairs = dict.fromkeys((one.before.network, one.after.network) for one in questions())
    found = Audit(
        share=arguments.share,
        sram_pj_per_bit=SRAM_PJ_PER_BIT,
        runs=tuple(runs),
        weights=tuple(weight_figures(model) for model in networks),
        accuracies=accuracies(hits),
        paired=paired(hits, list(pairs)),
        predictions=tuple(one for run in runs if _predictable(run) for one in predictions(run, sources)),
    )
    atomic_write(arguments.output, (found.model_dump_json(indent=1) + "\n").encode())
    say(f"wrote {arguments.output}")


def _predictable(run: Run) -> bool:
    """Whether it is one of those that stand on the pages: the pair of seed 0 on the machines as they are."""
    return run.cells == BUILT_IN and run.unit is None and run.network.endswith("8bit_seed0")


if __name__ == "__main__":
    sys.exit(main())
