"""The configuration of a training run, and the file it is read from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fewflips.errors import InputError
from fewflips.files.input_files import size_of
from fewflips.files.settings_text import LARGEST_BYTES, parse_settings
from fewflips.files.validation import describe_validation_error
from fewflips.training.hamming.options import HammingOptions

_MANY = 1_000_000
"""Limit for epochs, batch sizes and steps between checkpoints; larger values are typing errors."""

Bits = Annotated[int, Field(ge=2, le=8)]
Share = Annotated[float, Field(ge=0, lt=1)]
Epochs = Annotated[int, Field(ge=0, le=_MANY)]
Batch = Annotated[int, Field(ge=1, le=_MANY)]
LearningRate = Annotated[float, Field(gt=0)]


def _usable(path: Path) -> Path:
    try:
        usable = b"\0" not in str(path).encode()
    except UnicodeEncodeError:  # non-UTF-8 bytes are read as lone surrogates
        usable = False
    if not usable:
        raise ValueError(f"expected a path in UTF-8, got {str(path)[:100]!a}")
    return path


UsablePath = Annotated[Path, AfterValidator(_usable)]
"""A path that can be written into YAML and JSON."""


class Section(BaseModel):
    """A part of the configuration: immutable, finite numbers, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkOptions(Section):
    """The network to train.

    Attributes
    ----------
    name : {"mobilenet_v2", "resnet"}
        The architecture.
    width : float
        Multiplier of all channels.
    early_strides : bool or None
        MobileNetV2: whether the stem halves the image, which takes a quarter of the work; None: true.
    depth : int or None
        ResNet: 6 n + 2 layers; None: 20.
    """

    name: Literal["mobilenet_v2", "resnet"] = "mobilenet_v2"
    width: Annotated[float, Field(gt=0, le=100)] = 0.5
    early_strides: bool | None = None
    depth: Annotated[int, Field(ge=8)] | None = None


class DatasetOptions(Section):
    """The dataset to train with.

    Attributes
    ----------
    name : {"cifar10", "fashion-mnist", "folder"}
        Kind of dataset.
    path : Path
        File or folder; a relative one starts at the current folder.
    image_size : int
        Height and width to which a folder's images are resized; the other datasets have their own.
    """

    name: Literal["cifar10", "fashion-mnist", "folder"] = "cifar10"
    path: UsablePath
    image_size: Annotated[int, Field(ge=8, le=1024)] = 32


class AugmentationOptions(Section):
    """How training images are varied.

    Attributes
    ----------
    padding : int
        Pixels by which an image may be shifted in each direction; the rest is filled with grey.
    flip : bool
        Whether half of the images are mirrored, left to right.
    """

    padding: Annotated[int, Field(ge=0, le=64)] = 4
    flip: bool = True


class InitialOptions(Section):
    """Where the quantized stage starts, instead of with a float stage of this run.

    Attributes
    ----------
    checkpoint : Path or None
        ``float.pt`` of another run, or its output folder: both runs start from the same float network.
    onnx : Path or None
        A quantized network exported by fewflips.
    """

    checkpoint: UsablePath | None = None
    onnx: UsablePath | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.checkpoint is None) == (self.onnx is None):
            raise ValueError("expected either checkpoint or onnx")
        return self


class FloatStage(Section):
    """Training in float, with batch normalization: SGD with Nesterov momentum 0.9.

    Attributes
    ----------
    epochs : int
        Passes over the training images.
    learning_rate : float
        Peak learning rate; it rises linearly, then falls along half a cosine to zero.
    warmup : float
        Share of the stage in which it rises.
    weight_decay : float
        Weight decay of weights; biases and batch normalization have none.
    batch : int
        Images per step; batch normalization needs two.
    label_smoothing : float
        Share of the target spread over all classes.
    """

    epochs: Epochs = 14
    learning_rate: LearningRate = 0.1
    warmup: Share = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    batch: Annotated[int, Field(ge=2, le=_MANY)] = 128
    label_smoothing: Share = 0.1


class DistillationOptions(Section):
    """Training towards the outputs of a teacher (Hinton et al., 2015, arXiv 1503.02531).

    Attributes
    ----------
    teacher : {"float", "quantized"} or Path
        The network at the start of the quantized stage, before or after quantization; or an ONNX file exported by
        fewflips, of a network of the same architecture and width.
    temperature : float
        Divisor of the logits.
    weight : float
        Share of the distillation term in the loss; the rest is for the task's labels.
    """

    teacher: Literal["float", "quantized"] | UsablePath = "float"
    temperature: Annotated[float, Field(gt=0)] = 4.0
    weight: Annotated[float, Field(gt=0, le=1)] = 0.5


class QuantizedStage(Section):
    """Training with fake quantization and folded batch normalization.

    Attributes
    ----------
    epochs : int
        Passes over the training images; 0 calibrates the ranges of activations and trains nothing.
    learning_rate : float
        Peak learning rate; after the warm-up it falls along half a cosine to zero.
    warmup : float
        Share of the stage in which it rises.
    optimizer : {"adam", "sgd"}
        Adam, or SGD with Nesterov momentum 0.9.
    weight_decay : float
        Weight decay of weights; biases have none.
    weight_bits : int or dict of str to int
        2 to 8, for all layers; or by patterns of layer names (``*`` and ``?``), of which the first match counts; layers
        that match none have 8.
    activation_bits : int
        8: activations are exported as uint8.
    learned_scales : bool
        Whether scales of weights are learned (LSQ, Esser et al., 2020) or kept as set by quantization.
    pruning : float
        Share of the weights of each dense layer, the smallest ones, that are zero from the start of the stage; the
        first and the last layer and depthwise layers are not pruned.
    activation_headroom : float or None
        Factor by which the grids of activations exceed their ranges; None: that of `hamming`, or 1 without it.
    distillation : DistillationOptions or None
        Additional training towards a teacher's outputs.
    batch : int
        Images per step.
    label_smoothing : float
        Share of the target spread over all classes.
    """

    epochs: Epochs = 3
    learning_rate: LearningRate = 2e-4
    warmup: Share = 0.0
    optimizer: Literal["adam", "sgd"] = "adam"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    weight_bits: Bits | dict[str, Bits] = 8
    activation_bits: Annotated[int, Field(ge=8, le=8)] = 8
    learned_scales: bool = False
    pruning: Annotated[float, Field(ge=0, lt=1)] = 0.0
    activation_headroom: Annotated[float, Field(ge=1, le=64)] | None = None
    distillation: DistillationOptions | None = None
    batch: Batch = 128
    label_smoothing: Share = 0.1


class TrainingConfig(Section):
    """A training run.

    Attributes
    ----------
    network, dataset, augmentation
        The network, the images, and how they are varied.
    initial : InitialOptions or None
        Where the quantized stage starts; None: at this run's own float stage.
    float_stage : FloatStage
        First stage; skipped if `initial` is given.
    quantized_stage : QuantizedStage or None
        Second stage; None: training ends in float, and nothing is exported.
    hamming : HammingOptions or None
        The HD term of the quantized stage; None: a baseline without it.
    seed : int
        Seed of every random choice.
    threads : int or None
        Number of PyTorch threads; None: PyTorch's default. On a CPU, the same number gives the same result.
    device : {"auto", "cpu", "cuda"}
        Where to train; auto: CUDA if there is a device.
    precision : {"auto", "float32", "float16", "bfloat16"}
        Precision of products in the forward and backward pass; auto: float16 on CUDA, float32 on a CPU.
    checkpoint_every : int
        Steps between checkpoints; one is also written at the end of each epoch.
    tensorboard : bool
        Whether to write TensorBoard events if it is installed.
    output : Path or None
        Folder of the results; the command's ``--output`` takes precedence.
    """

    network: NetworkOptions = NetworkOptions()
    dataset: DatasetOptions
    augmentation: AugmentationOptions = AugmentationOptions()
    initial: InitialOptions | None = None
    float_stage: FloatStage = FloatStage()
    quantized_stage: QuantizedStage | None = QuantizedStage()
    hamming: HammingOptions | None = None
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    checkpoint_every: Annotated[int, Field(ge=1, le=_MANY)] = 200
    tensorboard: bool = True
    output: UsablePath | None = None

    @field_validator("quantized_stage")
    @classmethod
    def _has_a_start(cls, stage: QuantizedStage | None, info: ValidationInfo) -> QuantizedStage | None:
        initial = info.data.get("initial")
        if initial is not None and stage is None:
            raise ValueError("expected a quantized stage after `initial`")
        teacher = stage.distillation.teacher if stage and stage.distillation else None
        if initial is not None and initial.onnx is not None and teacher == "float":
            raise ValueError(
                "distillation.teacher: expected quantized or an ONNX file where the run starts from initial.onnx"
            )
        return stage

    @field_validator("hamming")
    @classmethod
    def _has_a_stage(cls, hamming: HammingOptions | None, info: ValidationInfo) -> HammingOptions | None:
        stage = info.data.get("quantized_stage", QuantizedStage())  # missing if it is itself invalid
        if hamming is not None and (stage is None or stage.epochs == 0):
            raise ValueError("expected a quantized_stage with at least one epoch for the HD term to act in")
        if hamming is not None and stage is not None and stage.pruning > 0:
            raise ValueError("expected no pruning beside the HD term, which moves codes away from zero again")
        return hamming


def load_config(path: str | Path, instead: Mapping[str, Any] | None = None) -> TrainingConfig:
    """Read a configuration.

    Parameters
    ----------
    path : str or Path
        A YAML file, or a TOML file named ``*.toml``.
    instead : mapping of str to object, optional
        Values that override the file's, by their top-level names.

    Returns
    -------
    TrainingConfig
        The validated configuration.

    Raises
    ------
    InputError
        If the file cannot be read or the configuration is not valid; the message names the field.
    """
    text = _read(Path(path))
    language: Literal["TOML", "YAML"] = "TOML" if str(path).endswith(".toml") else "YAML"
    try:
        content = parse_settings(text, language)
    except ValueError as error:
        raise InputError(f"{path}: not valid {language}: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected keys such as network, dataset, float_stage; got {type(content).__name__}")
    try:
        return TrainingConfig.model_validate(content | dict(instead or {}))
    except ValidationError as error:
        raise InputError(f"{path}: {describe_validation_error(error, TrainingConfig)}") from error


def config_yaml(config: TrainingConfig) -> str:
    """A configuration as YAML, with every default written out.

    Parameters
    ----------
    config : TrainingConfig
        The configuration.

    Returns
    -------
    str
        Text that :func:`load_config` reads back as the same configuration.
    """
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read(path: Path) -> str:
    if not os.path.isfile(path):  # False for invalid names
        raise InputError(f"{path}: expected a YAML or TOML file with the training's configuration, found none")
    try:
        if size_of(path) > LARGEST_BYTES:
            raise InputError(f"{path}: expected a configuration of at most {LARGEST_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from error
