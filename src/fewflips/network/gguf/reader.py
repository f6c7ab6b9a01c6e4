"""GGUF files: reading the quantized matrices of a network."""

from __future__ import annotations

from pathlib import Path

from fewflips.errors import FloatModelError, ModelError
from fewflips.network.gguf.elements import BLOCK_TYPES
from fewflips.network.gguf.layers import GGUFLayerReader
from fewflips.network.gguf.parts import open_model, stored_parts
from fewflips.network.graph import Network
from fewflips.network.tokens import TOKENS, tokens_text

_NOTES = (
    f"a GGUF file has no graph: {tokens_text(TOKENS)}",
    "activations are floats: flips are those of the weights, exactly as stored, and the activation port is left out",
)


def read(path: Path) -> Network:
    """Read a GGUF file.

    Each matrix whose codes are integers becomes a layer: codes as stored, scales and offsets of each block, read when
    they are asked for.

    Parameters
    ----------
    path : Path
        The file; of a model in several files, any of them.

    Returns
    -------
    Network
        Layers without a graph; `notes` says what was passed over.

    Raises
    ------
    FloatModelError
        If the weights are floats; the message says how to quantize them.
    ModelError
        If the file cannot be read, is damaged, or has no layer.
    """
    path = Path(path)
    file = open_model(path)
    reader = GGUFLayerReader(file)
    weights = reader.weights()
    if not weights:
        raise _no_layers(path, reader)
    sha256, stored = stored_parts(file, [(matrix.tensor.file, matrix.offset, matrix.length) for matrix in weights])
    return Network(
        path=path,
        file_format="gguf",
        sha256=sha256,
        layers=tuple(reader.layer(matrix, place) for matrix, place in zip(weights, stored, strict=True)),
        tensors={},
        operations=(),
        inputs=(),
        outputs=(),
        notes=(*_NOTES, *reader.notes),
        left_out=tuple(reader.left_out),
        tokens=TOKENS,
    )


def _no_layers(path: Path, reader: GGUFLayerReader) -> ModelError:
    if reader.only_floats:
        return FloatModelError(
            f"{path}: expected integer weights, got a float model: quantize it first, with llama-quantize of llama.cpp"
        )
    detail = f" ({reader.notes[0]})" if reader.notes else ""
    kinds = ", ".join(BLOCK_TYPES)
    return ModelError(f"{path}: expected at least one matrix with integer codes ({kinds}), got none{detail}")
