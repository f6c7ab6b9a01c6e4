"""Training of the networks that are not kept yet, one after the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fewflips.errors import InputError, ToolError
from fewflips.files.atomic import atomic_write
from fewflips.training.result import TrainingResult

from .networks import TRAININGS, Pair, model_file, result_file
from .progress import say


@dataclass(frozen=True)
class Folders:
    """Where things lie.

    Parameters
    ----------
    configs : Path
        A configuration for each network.
    runs : Path
        Unfinished and finished trainings.
    models : Path
        Networks that are kept.
    """

    configs: Path
    runs: Path
    models: Path


def train_networks(pairs: Sequence[Pair], folders: Folders, *, anew: bool) -> None:
    """Train what is missing, or everything; runs that were cut off go on where they were.

    Parameters
    ----------
    pairs : sequence of Pair
        What is wanted.
    folders : Folders
        Where things lie.
    anew : bool
        Train networks that are kept, too, and replace them. A run that is finished in `folders.runs` is not
        trained again: with the same configuration and seed it would give the same network.

    Raises
    ------
    FewflipsError
        If a configuration is missing, a training fails, or a file cannot be written.
    """
    names = [pair.name(training) for pair in pairs for training in TRAININGS]
    wanted = [name for name in names if anew or not model_file(folders.models, name).is_file()]
    configs = {name: folders.configs / f"{name}.yaml" for name in wanted}
    for config in configs.values():  # found out now, not hours later
        if not config.is_file():
            raise InputError(f"{config}: expected the configuration of a training, got no file; --configs names others")
    for number, (name, config) in enumerate(configs.items(), start=1):
        say(f"training {name}, {number} of {len(configs)}")
        _train(config, folders.runs / name)
        _keep(folders.runs / name, folders.models, name)


def _train(config: Path, run: Path) -> None:
    command = [sys.executable, "-m", "fewflips", "train", "--config", str(config), "--output", str(run), "--resume"]
    # its table is not this program's result: all goes to stderr
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code != 0:
        raise ToolError(f"{' '.join(command[2:])}: ended with exit code {code}, see above; the same command goes on")


def _keep(run: Path, models: Path, name: str) -> None:
    """Take the network and its result over; the network last, since it says that all is there.

    Where the run lay on this machine is left out.
    """
    models.mkdir(parents=True, exist_ok=True)
    result = TrainingResult.model_validate_json((run / "result.json").read_bytes())
    kept = result.model_copy(update={"config": result.config.model_copy(update={"output": None})})
    atomic_write(result_file(models, name), (kept.model_dump_json(indent=1) + "\n").encode())
    atomic_write(model_file(models, name), (run / "model.onnx").read_bytes())
