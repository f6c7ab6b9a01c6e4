"""Reproduce the paper's result: `python -m scripts.reproduction`.

Steps: training of the networks that are not kept yet (hours; a run that was cut off goes on where it was), accuracies,
schedules and energies at gate level (minutes; kept by content), and the files in results/.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from scripts.audit.figures import read_audit
from scripts.audit.page import audit_sections

from fewflips.errors import FewflipsError, InputError
from fewflips.files.atomic import atomic_write
from fewflips.machine import load_accelerator
from fewflips.simulation.run import EnergyOptions

from .collect import collect, read_before, summary
from .energies import Setting
from .networks import ACCELERATOR, PAIRS, chosen_pairs
from .page import page
from .progress import say
from .training import Folders, train_networks

SHARED = Path(os.environ.get("FEWFLIPS_SHARED") or "../shared")
SAMPLES = Path("src/fewflips/data/cifar10_samples.npz")
RESULTS = Path("results")


def main(words: list[str] | None = None) -> int:
    """Run all steps; 2 where something is missing or fails."""
    arguments = _parser().parse_args(words)
    try:
        _run(arguments)
    except (FewflipsError, OSError) as error:
        print(f"reproduction: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    labels = ", ".join(pair.label for pair in PAIRS)
    parser = argparse.ArgumentParser(prog="python -m scripts.reproduction", description=__doc__)
    training = parser.add_mutually_exclusive_group()
    training.add_argument("--train", action="store_true", help="train networks that are kept, too")
    training.add_argument(
        "--no-train", action="store_true", help="train nothing; networks that are missing are an error"
    )
    parser.add_argument("--pair", action="append", default=[], metavar="PAIR", help=f"{labels}; all without it")
    parser.add_argument("--accelerator", default=ACCELERATOR, help="a name or a YAML file")
    parser.add_argument("--inputs", type=Path, default=SAMPLES, help="sample inputs (.npz)")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "cifar10_jpeg.npz", help="CIFAR-10")
    parser.add_argument("--share", type=float, default=1.0, help="part of the cycles to simulate with delays")
    parser.add_argument("--jobs", type=int, default=-1, help="processors for schedules and energies; -1 for all")
    parser.add_argument("--configs", type=Path, default=Path("configs/reproduction"), help="what to train")
    parser.add_argument("--runs", type=Path, default=Path("build/reproduction"), help="folder of the trainings")
    parser.add_argument("--models", type=Path, default=RESULTS / "models", help="folder of the networks")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the page and its data")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    pairs = chosen_pairs(arguments.pair)
    if not arguments.inputs.is_file():
        raise InputError(f"{arguments.inputs}: expected sample inputs, got no file; --inputs names others")
    options = EnergyOptions(share=arguments.share, jobs=arguments.jobs)  # which checks them
    machine = load_accelerator(arguments.accelerator)
    setting = Setting(machine, arguments.inputs, options.share or 1.0, options.jobs)
    output: Path = arguments.output
    before = read_before(output / "reproduction_layers.json")
    if not arguments.no_train:
        folders = Folders(arguments.configs, arguments.runs, arguments.models)
        train_networks(pairs, folders, anew=arguments.train)
    found = collect(pairs, arguments.models, arguments.data, setting, before)
    discussion = output / "discussion.md"
    output.mkdir(parents=True, exist_ok=True)
    files = {
        "reproduction_layers.json": found.model_dump_json(indent=1) + "\n",
        "reproduction.json": json.dumps(summary(found), indent=1) + "\n",
        "reproduction.md": page(
            found,
            discussion.read_text(encoding="utf-8") if discussion.exists() else "",
            audit_sections(audit) if (audit := read_audit(output / "audit.json")) else "",
        ),
    }
    for name, content in files.items():
        atomic_write(output / name, content.encode())
        say(f"wrote {output / name}")


if __name__ == "__main__":
    sys.exit(main())
