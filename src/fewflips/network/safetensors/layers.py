"""Which modules of a folder are layers. It has no graph: names say what a tensor is for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fewflips.errors import ModelError
from fewflips.network.bias import Bias
from fewflips.network.graph import LeftOut
from fewflips.network.layer import Layer
from fewflips.network.lowering import MatrixProduct
from fewflips.network.notes import Remarks, left_out_notes
from fewflips.network.operand import ActivationOperand, ConstantOperand
from fewflips.network.safetensors.elements import StoredTensor
from fewflips.network.safetensors.file import SafetensorsTensor
from fewflips.network.safetensors.folder import ModelFolder
from fewflips.network.safetensors.schemes import Parts, awq, compressed, gptq
from fewflips.network.stored_bytes import FileBytes, HeldBytes
from fewflips.network.tokens import TOKENS

_SCHEMES: Mapping[str, Callable[[str, Parts, Mapping[str, Any]], ConstantOperand]] = {
    "gptq": gptq,
    "awq": awq,
    "compressed-tensors": compressed,
}
"""By ``quant_method``."""

METHODS = tuple(_SCHEMES)
_MARKS = {"gptq": ("qweight",), "awq": ("qweight",), "compressed-tensors": ("weight_packed", "weight_scale")}
"""Tensors that a quantized module has."""
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F4", "F6_E2M3", "F6_E3M2")
_EMBEDDING = re.compile(r"(?:^|[._])(?:embed\w*|wte|wpe|\w*embeddings?)(?:\.|$)")
_ATTENTION = re.compile(r"^(.*?(?:attn|attention)\w*)\.")


def method_of(quantization: Mapping[str, Any]) -> str | None:
    """Which tool quantized a model; None where it is not one that is known."""
    named = quantization.get("quant_method")
    if named is None and "w_bit" in quantization:
        return "awq"
    if named is None and "bits" in quantization:
        return "gptq"
    return named if isinstance(named, str) and named in _SCHEMES else None


class ModuleReader:
    """Finds the layers of a model.

    Parameters
    ----------
    folder : ModelFolder
        The model.
    stored : mapping of str to FileBytes
        Bytes of each tensor.

    Attributes
    ----------
    left_out : list of LeftOut
        Products whose weights are floats, and those of two activations.
    """

    def __init__(self, folder: ModelFolder, stored: Mapping[str, FileBytes]) -> None:
        self._folder, self._stored = folder, stored
        self._remarks = Remarks()
        self.left_out: list[LeftOut] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over: one sentence for each type and reason."""
        return (*left_out_notes(self.left_out), *self._remarks.sentences())

    def layers(self) -> tuple[Layer, ...]:
        """All layers by name, numbers in names by their value.

        Raises
        ------
        ModelError
            If the tensors of a module contradict each other.
        """
        modules: defaultdict[str, dict[str, SafetensorsTensor]] = defaultdict(dict)
        for name in sorted(self._folder.tensors, key=_natural):
            module, _, part = name.rpartition(".")
            modules[module][part] = self._folder.tensors[name]
        found = tuple(layer for name, parts in modules.items() for layer in self._of_module(name, parts))
        seen = [match.group(1) for name in modules if (match := _ATTENTION.match(f"{name}."))]
        for name in dict.fromkeys(seen):
            reason = "it multiplies two activations, as many as there are tokens before"
            self.left_out.append(LeftOut(name, "attention", reason, None))
        return found

    def _of_module(self, module: str, parts: Mapping[str, SafetensorsTensor]) -> Iterator[Layer]:
        method = method_of(self._folder.quantization)
        if method is not None and any(mark in parts for mark in _MARKS[method]):
            if not _is_float(parts):
                yield self._layer(module, method, parts)
                return
            if "weight" not in parts:
                self.left_out.append(LeftOut(module, method, "its weights are floats of a few bits", None))
        weight = parts.get("weight")
        if weight is None or len(weight.shape) < 2:
            return  # norms and biases
        if _EMBEDDING.search(module) and not self._is_head(module):
            self._remarks.add(f"{module}.weight", weight.dtype, "a table of embeddings, whose rows are looked up")
            return
        reason = "its weights are floats" if weight.dtype in _FLOATS else "its integers have no scales"
        macs = TOKENS * weight.shape[0] * weight.shape[1] if len(weight.shape) == 2 else None
        self.left_out.append(LeftOut(f"{module}.weight", weight.dtype, reason, macs))

    def _is_head(self, module: str) -> bool:
        """Whether the table of tokens is the output head as well."""
        tied = self._folder.config.get("tie_word_embeddings") is True
        return tied and re.search(r"(?:embed_tokens|wte|word_embeddings|embed_in)$", module) is not None

    def _layer(self, module: str, method: str, parts: Mapping[str, SafetensorsTensor]) -> Layer:
        stored = {
            name: StoredTensor(self._stored.get(tensor.name, HeldBytes(b"")), tensor.dtype, tensor.shape)
            for name, tensor in parts.items()
        }
        constant = _SCHEMES[method](module, stored, self._folder.quantization)
        activations = ActivationOperand((TOKENS, constant.shape[1]), MatrixProduct(constant.shape[1]))
        bias = Bias(f"{module}.bias") if "bias" in parts else None
        return Layer(module, method, activations, constant, 1, bias)


def _is_float(parts: Mapping[str, SafetensorsTensor]) -> bool:
    """Whether a module of compressed-tensors has floats of 8 bits, or of 4 in bytes."""
    weight = parts.get("weight", parts.get("weight_packed"))
    return weight is not None and weight.dtype in (*_FLOATS, "U8")


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts layer 10 after layer 9."""
    return [(int(part), "") if part.isdecimal() and len(part) < 19 else (-1, part) for part in name.split(".")]


def describe_method(quantization: Mapping[str, Any]) -> ModelError | None:
    """The error of a model that some other tool quantized; None where nothing says that it is quantized."""
    if not quantization or method_of(quantization) is not None:
        return None
    named = str(quantization.get("quant_method"))[:60]
    return ModelError(f"quantization_config: expected quant_method to be {' or '.join(METHODS)}, got {named!r}")
