"""Which tensors of a GGUF file are the weights of products. It has no graph: ggml's names say what a tensor is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fewflips.network.bias import Bias
from fewflips.network.gguf.elements import BLOCK_TYPES
from fewflips.network.gguf.file import GGUFFile, GGUFTensor
from fewflips.network.gguf.matrices import BlockMatrix
from fewflips.network.graph import LeftOut
from fewflips.network.layer import Layer
from fewflips.network.lowering import MatrixProduct
from fewflips.network.notes import Remarks, left_out_notes
from fewflips.network.operand import ActivationOperand, ConstantOperand
from fewflips.network.quantization_values import QuantizationValues, StoredQuantizationValues
from fewflips.network.stored_bytes import FileBytes
from fewflips.network.tokens import TOKENS

_LOOKUPS = ("token_embd", "position_embd", "token_types", "per_layer_token_embd")
"""Tables of which rows are taken: nothing is multiplied."""
_TABLE, _HEAD, _LAST_NORM = "token_embd.weight", "output.weight", "output_norm.weight"
_ATTENTION = "attention"
_FLOATS = ("F32", "F16", "BF16", "F64")
_INTEGERS = ("I8", "I16", "I32", "I64")


@dataclass(frozen=True)
class Weights:
    """A matrix of a file that is a product's weights.

    Parameters
    ----------
    name : str
        The layer's: the tensor's, with the number of the expert where it holds those of several.
    tensor : GGUFTensor
        The tensor.
    offset, length : int
        Its bytes in the file.
    """

    name: str
    tensor: GGUFTensor
    offset: int
    length: int


class GGUFLayerReader:
    """Finds the layers of a file.

    Parameters
    ----------
    file : GGUFFile
        The decoded file.

    Attributes
    ----------
    left_out : list of LeftOut
        Products whose weights have no integer codes, in the file's order.
    """

    def __init__(self, file: GGUFFile) -> None:
        self._file = file
        self._names = frozenset(tensor.name for tensor in file.tensors)
        self._remarks = Remarks()
        self.left_out: list[LeftOut] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over: one sentence for each type and reason."""
        return (*left_out_notes(self.left_out), *self._remarks.sentences())

    def weights(self) -> tuple[Weights, ...]:
        """Matrices of integer codes, in the file's order; notes and what is left out are known after this."""
        found = tuple(weights for tensor in self._file.tensors for weights in self._of_tensor(tensor))
        self.left_out.extend(self._attention())
        return found

    @property
    def only_floats(self) -> bool:
        """Whether there are matrices, and all of them are floats."""
        operators = {product.operator for product in self.left_out} - {_ATTENTION}
        return bool(operators) and operators <= set(_FLOATS)

    def layer(self, weights: Weights, stored: FileBytes) -> Layer:
        """The layer of a matrix.

        Parameters
        ----------
        weights : Weights
            The matrix.
        stored : FileBytes
            Its bytes.

        Returns
        -------
        Layer
            Its weights are read when they are asked for. Activations are floats.
        """
        tensor, kind = weights.tensor, BLOCK_TYPES[weights.tensor.type_name]
        k, n = tensor.axes[:2]
        matrix = BlockMatrix(stored, tensor.type_name, tensor.block, tensor.block_bytes, (n, k))
        blocks = (n, k // kind.sub_block)
        offsets = None
        if kind.offsets is not None:
            offsets = StoredQuantizationValues(matrix.offsets, blocks, 1, kind.sub_block)
        constant = ConstantOperand(
            tensor.name,
            (n, k),
            kind.storage,
            QuantizationValues.per_tensor(np.int32(kind.zero_point)),
            matrix.codes,
            StoredQuantizationValues(matrix.scales, blocks, 1, kind.sub_block),
            offsets,
        )
        activations = ActivationOperand((TOKENS, k), MatrixProduct(k))
        return Layer(weights.name, tensor.type_name, activations, constant, 1, self._bias(tensor))

    def _bias(self, tensor: GGUFTensor) -> Bias | None:
        name = f"{tensor.name.removesuffix('.weight')}.bias"
        return Bias(name) if name in self._names else None

    def _of_tensor(self, tensor: GGUFTensor) -> Iterator[Weights]:
        if tensor.name.split(".")[0] in _LOOKUPS and not self._is_head(tensor):
            self._remarks.add(tensor.name, tensor.type_name, "a table of embeddings, whose rows are looked up")
        elif len(tensor.axes) < 2 or tensor.type_name in _INTEGERS:
            return  # norms, biases and indices: floats and positions that multiply no matrix
        elif tensor.type_name not in BLOCK_TYPES or len(tensor.axes) > 3:
            self.left_out.append(self._left_out(tensor))
        else:
            self._remark(tensor)
            experts = tensor.axes[2] if len(tensor.axes) == 3 else 1
            length = tensor.length // experts
            for expert in range(experts):
                name = tensor.name if len(tensor.axes) == 2 else f"{tensor.name}[{expert}]"
                yield Weights(name, tensor, tensor.offset + expert * length, length)

    def _is_head(self, tensor: GGUFTensor) -> bool:
        """Whether the table of tokens is the output head as well: a decoder without a head of its own."""
        causal = self._file.metadata.get(f"{self._file.metadata.get('general.architecture')}.attention.causal", True)
        has_head = _HEAD in self._names
        return tensor.name == _TABLE and not has_head and _LAST_NORM in self._names and causal is not False

    def _remark(self, tensor: GGUFTensor) -> None:
        kind = BLOCK_TYPES[tensor.type_name]
        if tensor.name == _TABLE:
            self._remarks.add(
                tensor.name, tensor.type_name, "the table of embeddings is the output head as well: counted as the head"
            )
        if kind.from_table:
            self._remarks.add(
                tensor.name,
                tensor.type_name,
                "its 4-bit codes are indices of a table of 16 integers: counted as these, 8 bits wide, which are what "
                "is multiplied",
            )
        if kind.offsets is not None:
            self._remarks.add(
                tensor.name,
                tensor.type_name,
                "its blocks have a minimum of their own, which is added outside of the integer product",
            )
        if len(tensor.axes) == 3:
            self._remarks.add(
                tensor.name,
                tensor.type_name,
                f"{tensor.axes[2]} experts, each counted as if it were used for every token",
            )

    def _attention(self) -> Iterator[LeftOut]:
        """Products of two activations of each block that has an attention part."""
        parts = [tensor.name.split(".attn_")[0] for tensor in self._file.tensors if ".attn_" in tensor.name]
        for part in dict.fromkeys(parts):
            reason = "it multiplies two activations, as many as there are tokens before"
            yield LeftOut(f"{part}.attention", _ATTENTION, reason, None)

    def _left_out(self, tensor: GGUFTensor) -> LeftOut:
        if tensor.type_name in _FLOATS:
            reason = "its weights are floats"
        elif len(tensor.axes) > 3:
            reason = "its weights have four axes, and the file does not say what it convolves"
        else:
            reason = "its codes are not integers, but indices of vectors, or floats of a few bits"
        macs = TOKENS * tensor.elements if len(tensor.axes) <= 3 else None
        return LeftOut(tensor.name, tensor.type_name, reason, macs)
