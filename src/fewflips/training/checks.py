"""Finds problems before a run begins, rather than hours later."""

from __future__ import annotations

from pathlib import Path

import torch

from fewflips.errors import AcceleratorError, InputError
from fewflips.training.config import QuantizedStage, TrainingConfig
from fewflips.training.datasets import Dataset
from fewflips.training.networks import build_network
from fewflips.training.networks.blocks import ImageClassifier, ImageSizeError
from fewflips.training.quantization.initial_weights import load_onnx_weights
from fewflips.training.quantization.quantize import quantize

TEACHER = "quantized_stage.distillation.teacher"


def check_run(config: TrainingConfig, dataset: Dataset, *, resumes_quantized: bool = False) -> None:
    """Try everything that a run needs except the training itself.

    Parameters
    ----------
    config : TrainingConfig
        Configuration of the run.
    dataset : Dataset
        Its images.
    resumes_quantized : bool
        Whether there is a checkpoint of the quantized stage, which holds the teacher.

    Raises
    ------
    FewflipsError
        If the images, the stages, the network, the teacher and the HD term do not fit together.
    """
    height, width, _ = dataset.image_shape
    if height != width:
        raise InputError(f"dataset: expected square images, got {height} x {width}: resize them")
    _check_batches(config, dataset)
    network = new_network(config, dataset)
    stage = config.quantized_stage
    if stage is None:
        return
    quantized = quantized_network(network, stage)
    if stage.distillation is not None and isinstance(stage.distillation.teacher, Path) and not resumes_quantized:
        load_onnx_network(quantize(network), stage.distillation.teacher, TEACHER)
    if config.hamming is not None:
        from fewflips.training.hamming.layer_costs import layer_costs
        from fewflips.training.hamming.weight_streams import trained_streams  # compiles

        try:
            streams, _ = trained_streams(quantized, config.hamming.accelerator, config.hamming)
            for stream in streams:
                layer_costs(stream, config.hamming, cost=config.hamming.cost)
        except (InputError, AcceleratorError) as error:
            raise type(error)(f"hamming: {error}") from error


def _check_batches(config: TrainingConfig, dataset: Dataset) -> None:
    stages = {"float_stage": None if config.initial else config.float_stage, "quantized_stage": config.quantized_stage}
    for name, stage in stages.items():
        if stage is not None and stage.batch > len(dataset.train):
            raise InputError(
                f"{name}.batch: expected at most {len(dataset.train)}, the number of training images, got {stage.batch}"
            )


def new_network(config: TrainingConfig, dataset: Dataset) -> ImageClassifier:
    """The float network of a configuration, with weights drawn from its seed.

    Parameters
    ----------
    config : TrainingConfig
        Configuration of the run.
    dataset : Dataset
        Gives the size of images and the number of classes.

    Returns
    -------
    ImageClassifier
        On the CPU, channels last.

    Raises
    ------
    InputError
        If there is no such network for these images.
    """
    options, (height, _, channels) = config.network, dataset.image_shape
    torch.manual_seed(config.seed)
    try:
        network = build_network(
            options.name,
            width=options.width,
            classes=len(dataset.classes),
            image_size=height,
            channels=channels,
            early_strides=options.early_strides,
            depth=options.depth,
        )
    except ImageSizeError as error:
        raise InputError(f"dataset.{error}") from error
    except InputError as error:
        raise InputError(f"network.{error}") from error
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the overloads


def quantized_network(network: ImageClassifier, options: QuantizedStage) -> ImageClassifier:
    """A copy with the fake quantization that a stage asks for.

    Raises
    ------
    InputError
        If a pattern of `weight_bits` matches no layer.
    """
    try:
        return quantize(
            network,
            weight_bits=options.weight_bits,
            activation_bits=options.activation_bits,
            learned_scales=options.learned_scales,
        )
    except InputError as error:
        raise InputError(f"quantized_stage.{error}") from error


def load_onnx_network(network: ImageClassifier, file: Path, field: str) -> None:
    """Fill a quantized network from an exported one; errors name the configuration's field.

    Raises
    ------
    FewflipsError
        If the file cannot be read, or contains another network.
    """
    try:
        load_onnx_weights(network, file)
    except InputError as error:
        raise InputError(f"{field}: {error}") from error
