"""One stage of training: epochs, steps, and where it can be interrupted and resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fewflips.errors import InputError
from fewflips.progress import Progress
from fewflips.training.config import AugmentationOptions
from fewflips.training.datasets import Dataset
from fewflips.training.quantization.quantize import freeze_ranges
from fewflips.training.stages.augmentation import augment, to_input
from fewflips.training.stages.environment import Environment
from fewflips.training.stages.evaluation import accuracy_percent
from fewflips.training.stages.held_signals import HeldSignals
from fewflips.training.stages.learning_rate import LearningRateSchedule
from fewflips.training.stages.loop_state import SavedTally, check_random, optimizer_state
from fewflips.training.stages.losses import DivergenceError, Objective, total
from fewflips.training.stages.metrics import Metrics


@dataclass(frozen=True)
class TrainingStage:
    """Settings of a stage.

    Parameters
    ----------
    name : {"float", "quantized"}
        Name in metrics, checkpoints and messages.
    schedule : LearningRateSchedule
        Learning rate and epochs.
    batch : int
        Images per step.
    seed : int
        Epoch e, starting at 0, draws its order, crops and flips from a generator with seed + e + 1.
    objective : Objective
        The objective to minimize.
    """

    name: str
    schedule: LearningRateSchedule
    batch: int
    seed: int
    objective: Objective


@dataclass(frozen=True)
class Surroundings:
    """Resources shared by all stages of a run.

    Parameters
    ----------
    dataset : Dataset
        Images, on the device.
    augmentation : AugmentationOptions
        Augmentation of training images.
    environment : Environment
        Device and precision.
    metrics : Metrics
        Where epochs are recorded.
    save : callable
        Writes a checkpoint of a loop's state.
    checkpoint : str
        The checkpoint's path, for messages.
    checkpoint_every : int
        Steps between checkpoints.
    signals : HeldSignals
        Requests to stop, checked between steps.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.
    """

    dataset: Dataset
    augmentation: AugmentationOptions
    environment: Environment
    metrics: Metrics
    save: Callable[[dict[str, Any]], None]
    checkpoint: str
    checkpoint_every: int
    signals: HeldSignals
    progress: Progress | None = None


@dataclass
class _Tally:
    """Sums over the steps of an epoch."""

    losses: dict[str, float] = field(default_factory=dict)
    hits: int = 0
    images: int = 0
    steps: int = 0
    seconds: float = 0.0

    def add(self, losses: dict[str, float], hits: int, images: int) -> None:
        for name, value in losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + value
        self.hits += hits
        self.images += images
        self.steps += 1


class StageLoop:
    """Trains a network through one stage.

    Parameters
    ----------
    stage : TrainingStage
        The stage to train.
    network : nn.Module
        Network, trained in place.
    optimizer : torch.optim.Optimizer
        Optimizer of its parameters.
    around : Surroundings
        Data, device, files.
    """

    def __init__(
        self, stage: TrainingStage, network: nn.Module, optimizer: torch.optim.Optimizer, around: Surroundings
    ) -> None:
        self.stage, self.network, self.optimizer, self.around = stage, network, optimizer, around
        self.scaler = around.environment.scaler()
        self.epoch, self.step = 0, 0
        self._tally = _Tally()
        self._generator = torch.Generator()
        self._drawn: dict[str, Any] | None = None
        self._steps = len(around.dataset.train) // stage.batch

    def run(self) -> None:
        """Train to the end of the stage.

        Raises
        ------
        Stopped
            If a signal requested it; the checkpoint includes all steps up to there.
        DivergenceError
            If a loss or a weight becomes NaN or infinite; the last checkpoint was written before that.
        OutputError
            If a checkpoint or the metrics cannot be written.
        """
        if self.epoch == 0 and self.step == 0:
            self._save()
        while self.epoch < self.stage.schedule.epochs:
            self.around.signals.check(self._position())
            self._train_epoch()
        self.around.signals.check(self._position())

    def state_dict(self) -> dict[str, Any]:
        """Everything the rest of the stage depends on, as tensors and plain values."""
        objective = self.stage.objective
        return {
            "stage": self.stage.name,
            "epoch": self.epoch,
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "teacher": objective.distillation.teacher.state_dict() if objective.distillation else None,
            "hamming": objective.hamming.state_dict() if objective.hamming else None,
            "random": {
                "data": self._generator.get_state(),
                "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if self.around.environment.device.type == "cuda" else [],
            },
            "tally": asdict(self._tally),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position, optimizer and random number generators from :meth:`state_dict`.

        The weights, the teacher and the HD term are restored where they are built.
        """
        self.optimizer.load_state_dict(optimizer_state(self.optimizer, state["optimizer"]))
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.step = state["epoch"], state["step"]
        epochs = self.stage.schedule.epochs
        if not (self.epoch < epochs and self.step < self._steps) and (self.epoch, self.step) != (epochs, 0):
            raise ValueError(f"epoch {self.epoch}, step {self.step} of {epochs} epochs of {self._steps} steps")
        self._tally, self._drawn = (
            _Tally(**SavedTally.model_validate(state["tally"]).model_dump()),
            dict(state["random"]),
        )
        self._drawn.setdefault("cuda", [])
        check_random(self._drawn)

    def _train_epoch(self) -> None:
        batches = self._begin_epoch()
        began = time.monotonic()
        for step in range(self.step, self._steps):
            self._train_step(batches[step])
            self.step = step + 1
            cut = self.around.signals.asked is not None and self.step < self._steps
            if cut or (self.step % self.around.checkpoint_every == 0 and self.step < self._steps):
                now = time.monotonic()
                self._tally.seconds += now - began
                began = now
                self._save()
            if self.around.progress is not None:
                done = self.epoch * self._steps + self.step
                self.around.progress(f"{self.stage.name} stage", done, self.stage.schedule.epochs * self._steps)
            if cut:
                self.around.signals.check(self._position())
        self._tally.seconds += time.monotonic() - began
        self._end_epoch()

    def _begin_epoch(self) -> tuple[Tensor, ...]:
        """The epoch's batches of indices into the training images; random number generators are restored."""
        seed = self.stage.seed + self.epoch + 1
        count = len(self.around.dataset.train)
        order = torch.randperm(count, generator=self._generator.manual_seed(seed))
        if self.step == 0:
            torch.manual_seed(seed)
            self._tally = _Tally()
        elif self._drawn is not None:
            self._generator.set_state(self._drawn["data"])
            torch.set_rng_state(self._drawn["torch"])
            if self._drawn["cuda"]:
                torch.cuda.set_rng_state_all(self._drawn["cuda"])
        self._drawn = None
        if self.stage.name == "quantized" and self.epoch == self.stage.schedule.epochs - 1:
            freeze_ranges(self.network)
        self.network.train()
        return order[: count // self.stage.batch * self.stage.batch].split(self.stage.batch)

    def _train_step(self, batch: Tensor) -> None:
        train, environment = self.around.dataset.train, self.around.environment
        hamming = self.stage.objective.hamming
        done = self.epoch * self._steps + self.step
        if hamming is not None:
            with self._telling_divergence("codes"):
                hamming.advance(done / (self.stage.schedule.epochs * self._steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        batch = batch.to(environment.device)
        images = to_input(augment(train.images[batch], self.around.augmentation, self._generator))
        labels = train.labels[batch]
        with environment.autocast(), self._telling_divergence():
            logits = self.network(images).float()
        terms = self.stage.objective.terms(images, logits, labels)
        self._descend(total(terms))
        losses = {name: term.item() for name, term in terms.items()}
        for name, value in losses.items():
            if not math.isfinite(value):
                raise self._divergence(f"the {name} loss became {value}")
        self._tally.add(losses, int((logits.argmax(1) == labels).sum()), len(labels))

    @contextmanager
    def _telling_divergence(self, what: Literal["weights", "codes"] = "weights") -> Iterator[None]:
        try:
            yield
        except InputError as error:  # non-finite weights, codes or activation ranges
            if what == "weights" and self._finite():
                raise
            raise self._divergence(f"the {what} became NaN or infinite") from error

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        if self.scaler is None:
            loss.backward()
            self.optimizer.step()
            return
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _end_epoch(self) -> None:
        stage, tally, hamming = self.stage, self._tally, self.stage.objective.hamming
        rate = self._learning_rate(self._steps - 1)
        last = self.epoch == stage.schedule.epochs - 1
        if hamming is not None and last:
            with self._telling_divergence("codes"):
                hamming.advance(1.0)
                hamming.finish()
        figures: dict[str, Any] = {
            "stage": stage.name,
            "epoch": self.epoch + 1,
            "epochs": stage.schedule.epochs,
            "losses": {name: value / tally.steps for name, value in tally.losses.items()},
            "train_accuracy_percent": 100.0 * tally.hits / tally.images,
            "test_accuracy_percent": accuracy_percent(self.network, self.around.dataset.test),
            "learning_rate": rate,
            "hamming": hamming.statistics() if hamming is not None else None,
            "seconds": round(tally.seconds, 3),
        }
        self.epoch, self.step = self.epoch + 1, 0
        self.around.metrics.add(figures)
        self._save()

    def _learning_rate(self, step: int | None = None) -> float:
        return self.stage.schedule.at(self.epoch + (self.step if step is None else step) / self._steps)

    def _save(self) -> None:
        if not self._finite():
            raise self._divergence("the weights became NaN or infinite")
        self.around.save(self.state_dict())

    def _position(self) -> str:
        """How far the stage has come, just after saving."""
        epochs = self.stage.schedule.epochs
        done = f"epoch {self.epoch + 1} of {epochs}, after step {self.step} of {self._steps}"
        if self.step == 0:
            done = f"after {self.epoch} of {epochs} epochs"
        return f"in the {self.stage.name} stage, {done}, saved in {self.around.checkpoint}"

    def _finite(self) -> bool:
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.network.parameters())

    def _divergence(self, what: str) -> DivergenceError:
        return DivergenceError(
            f"{self.stage.name} stage, epoch {self.epoch + 1}, step {self.step + 1}: {what}; training stopped, and "
            f"{self.around.checkpoint} still holds the last good checkpoint: choose a smaller "
            f"{self.stage.name}_stage.learning_rate"
        )
