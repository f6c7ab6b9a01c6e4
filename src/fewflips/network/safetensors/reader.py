"""Folders of safetensors files: reading the quantized matrices of a network."""

from __future__ import annotations

from pathlib import Path

from fewflips.errors import FloatModelError, ModelError
from fewflips.network.graph import Network
from fewflips.network.safetensors.folder import open_folder
from fewflips.network.safetensors.layers import METHODS, ModuleReader, describe_method
from fewflips.network.tokens import TOKENS, tokens_text

_NOTES = (
    f"a folder of safetensors has no graph: {tokens_text(TOKENS)}",
    "activations are floats, or quantized on the fly: flips are those of the weights, exactly as stored, and the "
    "activation port is left out",
)


def read(path: Path) -> Network:
    """Read a model.

    Each module whose weights are integers becomes a layer: codes as stored, zero points and scales of its groups, read
    when they are asked for.

    Parameters
    ----------
    path : Path
        The folder, or its index, or one file of tensors in it.

    Returns
    -------
    Network
        Layers without a graph; `notes` says what was passed over.

    Raises
    ------
    FloatModelError
        If the weights are floats; the message says how to quantize them.
    ModelError
        If a file is missing, cannot be read, or is damaged; or if the model has no layer.
    """
    path = Path(path)
    path = path if path.name else path.resolve()
    folder = open_folder(path)
    refused = describe_method(folder.quantization)
    if refused is not None:
        raise ModelError(f"{path}: {refused}")
    sha256, stored = folder.stored()
    reader = ModuleReader(folder, stored)
    try:
        layers = reader.layers()
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if not layers:
        raise _no_layers(path, bool(folder.quantization))
    return Network(
        path=path,
        file_format="safetensors",
        sha256=sha256,
        layers=layers,
        tensors={},
        operations=(),
        inputs=(),
        outputs=(),
        notes=(*_NOTES, *reader.notes),
        left_out=tuple(reader.left_out),
        tokens=TOKENS,
    )


def _no_layers(path: Path, is_quantized: bool) -> ModelError:
    if is_quantized:
        return ModelError(f"{path}: expected modules with integer weights, as its quantization_config says, got none")
    return FloatModelError(
        f"{path}: expected integer weights ({', '.join(METHODS)}), got a float model: quantize it first, with "
        "llm-compressor or GPTQModel"
    )
