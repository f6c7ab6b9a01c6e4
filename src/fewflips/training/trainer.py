"""Trains a network: a float stage, quantization, a quantized stage, and the export."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from fewflips.errors import InputError, RuntimeFailure
from fewflips.files.atomic import atomic_write, make_folder
from fewflips.files.validation import describe_validation_error
from fewflips.progress import Progress
from fewflips.training.checkpoints import load_weights, save_checkpoint
from fewflips.training.checks import TEACHER, check_run, load_onnx_network, new_network, quantized_network
from fewflips.training.config import QuantizedStage, TrainingConfig, config_yaml, load_config
from fewflips.training.datasets import Dataset, load_dataset
from fewflips.training.finishing import finish
from fewflips.training.networks.blocks import ImageClassifier
from fewflips.training.quantization.pruning import hold_zeros, prune
from fewflips.training.quantization.quantize import calibrate, quantize, widen_ranges
from fewflips.training.result import RESULT, TrainingResult
from fewflips.training.resuming import (
    CHECKPOINT,
    FLOAT_CHECKPOINT,
    as_before,
    check_same_inputs,
    finished_run,
    float_weights,
    inputs_of,
    saved_run,
)
from fewflips.training.stages.augmentation import augment, to_input
from fewflips.training.stages.environment import environment, resolved, threads
from fewflips.training.stages.evaluation import accuracy_percent
from fewflips.training.stages.held_signals import HeldSignals
from fewflips.training.stages.learning_rate import LearningRateSchedule
from fewflips.training.stages.loop import StageLoop, Surroundings, TrainingStage
from fewflips.training.stages.losses import Distillation, HammingTerm, Objective
from fewflips.training.stages.metrics import Figures, Metrics
from fewflips.training.stages.optimizers import make_optimizer

CALIBRATION_BATCHES = 20
QUANTIZED_SEED = 1000
"""Offset between the seeds of the quantized stage and those of the float stage."""


def train(
    config: TrainingConfig | str | Path,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[Figures], None] | None = None,
    signals: HeldSignals | None = None,
) -> TrainingResult:
    """Train a network and export it.

    SIGINT and SIGTERM are deferred: the current step is finished and a checkpoint written.

    Parameters
    ----------
    config : TrainingConfig, str or Path
        Configuration, or the file that contains it.
    output : str or Path, optional
        Folder of the results, instead of the configuration's.
    resume : bool
        Continue from the folder's checkpoint, if it has one. The result is the same, bit for bit, as that of an
        uninterrupted run.
    dataset : Dataset, optional
        Images, if they are already in memory; by default those named by the configuration.
    progress : callable, optional
        Called as ``progress(phase, done, total)`` after each step.
    on_epoch : callable, optional
        Called with the figures of each epoch.
    signals : HeldSignals, optional
        Signals, if the caller already holds them, or handles a second one differently.

    Returns
    -------
    TrainingResult
        Accuracies and their origin. The folder holds ``checkpoint.pt``, ``metrics.jsonl``, ``config.yaml``
        and ``result.json``; after a float stage ``float.pt``, after a quantized one ``model.onnx`` and
        ``samples.npz``.

    Raises
    ------
    FewflipsError
        If the configuration, the dataset or a checkpoint cannot be used, the loss becomes NaN or infinite, or a
        file cannot be written.
    Stopped
        If a signal was received (a kind of KeyboardInterrupt); what was done before is saved, and can be continued with
        `resume`.
    """
    with signals or HeldSignals() as held:
        return _train(config, output, resume, dataset, progress, on_epoch, held)


def _train(
    config: TrainingConfig | str | Path,
    output: str | Path | None,
    resume: bool,
    dataset: Dataset | None,
    progress: Progress | None,
    on_epoch: Callable[[Figures], None] | None,
    signals: HeldSignals,
) -> TrainingResult:
    config = config if isinstance(config, TrainingConfig) else load_config(config)
    folder = _folder(config, output)
    saved, finished = saved_run(folder, resume=resume), finished_run(folder, resume=resume)
    if saved is not None:
        config = as_before(config, saved["config"], folder / CHECKPOINT)
    if finished is not None:
        as_before(config, _plain(finished.config), folder / RESULT)
        return finished
    config = resolved(config)
    with threads(config.threads or 1):
        try:
            if dataset is None:
                with signals.immediate():
                    dataset = load_dataset(config.dataset)
            return _Run(config, folder, dataset, saved, signals, progress, on_epoch).run()
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
                raise RuntimeFailure("out of memory: choose a smaller batch, network or image_size") from error
            raise


def _folder(config: TrainingConfig, output: str | Path | None) -> Path:
    chosen = output or config.output
    if chosen is None:
        raise InputError("output: expected a folder for the results, got none: give --output, or output in the file")
    return Path(chosen)


def _headroom(config: TrainingConfig, stage: QuantizedStage) -> float:
    if stage.activation_headroom is not None:
        return stage.activation_headroom
    return config.hamming.activation_headroom if config.hamming else 1.0


def _plain(config: TrainingConfig) -> dict[str, Any]:
    return config.model_dump(mode="json")


@dataclass
class _Run:
    """A run in progress."""

    config: TrainingConfig
    folder: Path
    dataset: Dataset
    saved: dict[str, Any] | None
    signals: HeldSignals
    progress: Progress | None
    on_epoch: Callable[[Figures], None] | None
    accuracies: dict[str, float | None] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)

    def run(self) -> TrainingResult:
        """All stages, then the files."""
        self.inputs = inputs_of(self.config, self.dataset)
        if self.saved is not None:
            check_same_inputs(self.folder / CHECKPOINT, self.saved["inputs"], self.inputs)
        check_run(self.config, self.dataset, resumes_quantized=self._resumes("quantized"))
        self._open()
        try:
            network = self._float_network()
            if self.config.quantized_stage is not None:
                network = self._quantized_network(network, self.config.quantized_stage)
        finally:
            self.around.metrics.close()
        return finish(self.config, self.folder, self.dataset, network, self.accuracies, self.around)

    def _open(self) -> None:
        """Create the folder and its first files; earlier epochs come from the checkpoint."""
        make_folder(self.folder, "output")
        atomic_write(self.folder / "config.yaml", config_yaml(self.config).encode())
        self.accuracies = dict(self.saved["accuracies"]) if self.saved else {}
        chosen = environment(self.config)
        self.around = Surroundings(
            dataset=self.dataset.to(chosen.device),
            augmentation=self.config.augmentation,
            environment=chosen,
            metrics=Metrics(
                self.folder,
                self.saved["epochs"] if self.saved else (),
                tensorboard=self.config.tensorboard,
                on_epoch=self.on_epoch,
            ),
            save=self._save,
            checkpoint=str(self.folder / CHECKPOINT),
            checkpoint_every=self.config.checkpoint_every,
            signals=self.signals,
            progress=self.progress,
        )

    def _save(self, state: dict[str, Any]) -> None:
        about = {
            "config": _plain(self.config),
            "inputs": self.inputs,
            "epochs": self.around.metrics.epochs,
            "accuracies": self.accuracies,
        }
        save_checkpoint(self.folder / CHECKPOINT, state | about)

    def _float_network(self) -> ImageClassifier:
        """A float network, trained as configured; untrained if its weights are loaded later."""
        network = new_network(self.config, self.dataset).to(self.around.environment.device)
        initial = self.config.initial
        if self._resumes("quantized") or (initial is not None and initial.onnx is not None):
            return network
        if initial is not None and initial.checkpoint is not None:
            load_weights(initial.checkpoint, network, float_weights(initial.checkpoint))
        else:
            self._train_float(network)
            content = {"stage": "float", "finished": True, "network": network.state_dict()}
            save_checkpoint(self.folder / FLOAT_CHECKPOINT, content | {"config": _plain(self.config)})
        self.accuracies["float_percent"] = accuracy_percent(network, self.around.dataset.test, self.signals.check)
        return network

    def _train_float(self, network: ImageClassifier) -> None:
        options = self.config.float_stage
        optimizer = make_optimizer("sgd", network, options.learning_rate, options.weight_decay)
        stage = TrainingStage(
            "float",
            LearningRateSchedule(options.learning_rate, options.warmup, options.epochs),
            options.batch,
            self.config.seed,
            Objective(options.label_smoothing),
        )
        self._run_stage(StageLoop(stage, network, optimizer, self.around))

    def _quantized_network(self, source: ImageClassifier, options: QuantizedStage) -> ImageClassifier:
        network = quantized_network(source, options).to(self.around.environment.device)
        resumed = self._resumes("quantized")
        if self.saved is not None and resumed:
            load_weights(self.folder / CHECKPOINT, network, self.saved["network"])
        else:
            self._prepare(network, options)
        if options.pruning:
            hold_zeros(network)
        objective = Objective(
            options.label_smoothing,
            self._distillation(source, network, options),
            self._hamming(network, options),
            self.config.hamming.strength if self.config.hamming else 0.0,
        )
        stage = TrainingStage(
            "quantized",
            LearningRateSchedule(options.learning_rate, options.warmup, options.epochs),
            options.batch,
            self.config.seed + QUANTIZED_SEED,
            objective,
        )
        optimizer = make_optimizer(options.optimizer, network, options.learning_rate, options.weight_decay)
        self._run_stage(StageLoop(stage, network, optimizer, self.around))
        return network

    def _prepare(self, network: ImageClassifier, options: QuantizedStage) -> None:
        """Set a quantized network's initial weights and ranges, and record its accuracy before training."""
        initial = self.config.initial
        if initial is not None and initial.onnx is not None:
            load_onnx_network(network, initial.onnx, "initial.onnx")
        else:
            calibrate(network, self._calibration_images(options.batch))
        prune(network, options.pruning)
        widen_ranges(network, _headroom(self.config, options))
        reached = accuracy_percent(network, self.around.dataset.test, self.signals.check)
        self.accuracies["calibrated_percent"] = reached

    def _calibration_images(self, batch: int) -> list[Tensor]:
        train = self.around.dataset.train
        generator = torch.Generator().manual_seed(self.config.seed + QUANTIZED_SEED)
        batches = torch.randperm(len(train), generator=generator).split(batch)[:CALIBRATION_BATCHES]
        device = self.around.environment.device
        return [
            to_input(augment(train.images[places.to(device)], self.config.augmentation, generator))
            for places in batches
        ]

    def _distillation(
        self, source: ImageClassifier, network: ImageClassifier, options: QuantizedStage
    ) -> Distillation | None:
        if options.distillation is None:
            return None
        chosen = options.distillation.teacher
        resumed = self.saved is not None and self._resumes("quantized")
        if isinstance(chosen, Path):
            teacher = quantize(source).to(self.around.environment.device)
            if not resumed:
                load_onnx_network(teacher, chosen, TEACHER)
        else:
            teacher = copy.deepcopy(source if chosen == "float" else network)
        if self.saved is not None and resumed:
            load_weights(self.folder / CHECKPOINT, teacher, self.saved["teacher"])
        return Distillation(teacher.eval().requires_grad_(False), options.distillation)

    def _hamming(self, network: ImageClassifier, stage: QuantizedStage) -> HammingTerm | None:
        """The HD term, if the stage is not over yet."""
        options = self.config.hamming
        over = self.saved is not None and self._resumes("quantized") and self.saved["epoch"] == stage.epochs
        if options is None or over:
            return None
        from fewflips.training.hamming.hamming_loss import HammingLoss

        term: HammingTerm = HammingLoss(network, options.accelerator, seed=self.config.seed, **options.arguments())
        if self.saved is not None and self._resumes("quantized"):
            # the term may have moved weights when it was created
            load_weights(self.folder / CHECKPOINT, network, self.saved["network"])
            with self._resuming():
                term.load_state_dict(self.saved["hamming"])
        return term

    def _resumes(self, stage: str) -> bool:
        return self.saved is not None and self.saved["stage"] == stage

    @contextmanager
    def _resuming(self) -> Iterator[None]:
        """Turn errors caused by a damaged checkpoint into one line."""
        try:
            yield
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError) as error:
            known = describe_validation_error(error) if isinstance(error, ValidationError) else str(error)
            detail = " ".join(known.split())
            raise InputError(f"{self.folder / CHECKPOINT}: cannot be resumed: {detail}") from error

    def _run_stage(self, loop: StageLoop) -> None:
        if self.saved is not None and self._resumes(loop.stage.name):
            with self._resuming():
                loop.load_state_dict(self.saved)
            if loop.stage.name == "float":
                load_weights(self.folder / CHECKPOINT, loop.network, self.saved["network"])
        loop.run()
