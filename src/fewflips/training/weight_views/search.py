"""Finds the layers of a network whose weights can be seen as integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from fewflips.errors import InputError
from fewflips.training.quantization.quantized_layers import QuantizedWeight
from fewflips.training.weight_views.brevitas import brevitas_view
from fewflips.training.weight_views.fewflips_layers import fewflips_view
from fewflips.training.weight_views.plain import plain_view
from fewflips.training.weight_views.torchao import torchao_view
from fewflips.training.weight_views.view import UnsupportedLayerError, WeightView

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, QuantizedWeight)


def weight_views(
    model: nn.Module, *, bits: int = 8, include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
) -> list[WeightView]:
    """Views of the weights of a network's convolutions and linear layers.

    Weights shared by two modules appear once, under the first module's name. Layers without a view are skipped;
    :func:`layers_passed_over` lists them.

    Parameters
    ----------
    model : torch.nn.Module
        The network, made of plain PyTorch layers, layers of Brevitas, of torchao's quantization-aware training, of
        fewflips, or a mix of them.
    bits : int
        Width of the codes of plain layers, 2 to 8; other layers define their own.
    include, exclude : sequence of str
        Shell-style patterns of dotted module names. A layer is included if its name matches any of `include` and none
        of `exclude`.

    Returns
    -------
    list of WeightView
        In the order of registration, which is the order of the forward pass in a sequential network.

    Raises
    ------
    InputError
        If the number of bits is not 2 to 8, or no layer, or none of a pattern in `include`, has a view.
    """
    if not 2 <= bits <= 8:
        raise InputError(f"bits: expected 2 to 8, got {bits}")
    views, passed_over = [], {}
    for name, found in _search(model, bits, include, exclude):
        if isinstance(found, WeightView):
            views.append(found)
        else:
            passed_over[name] = found
    for pattern in include:
        if not any(fnmatchcase(view.name, pattern) for view in views):
            _raise_no_view(pattern, {name: why for name, why in passed_over.items() if fnmatchcase(name, pattern)})
    return views


def layers_passed_over(
    model: nn.Module, *, include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
) -> dict[str, str]:
    """Layers with weights that :func:`weight_views` does not see.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    include, exclude : sequence of str
        As for :func:`weight_views`.

    Returns
    -------
    dict of str to str
        The reason for each layer, by the layer's dotted name.
    """
    return {name: why for name, why in _search(model, 8, include, exclude) if isinstance(why, str)}


def _search(
    model: nn.Module, bits: int, include: Sequence[str], exclude: Sequence[str]
) -> Iterator[tuple[str, WeightView | str]]:
    """Each layer with weights, with its view or the reason why it has none."""
    seen: set[int] = set()
    for name, module in model.named_modules():
        fits = any(fnmatchcase(name, pattern) for pattern in include)
        if not fits or any(fnmatchcase(name, pattern) for pattern in exclude):
            continue
        if not isinstance(module, _LAYERS):
            if any(_is_matrix(parameter) for parameter in module.parameters(recurse=False)):
                yield name, f"{type(module).__name__} is not a convolution or a linear layer"
            continue
        try:
            view = _view(name, module, bits)
        except UnsupportedLayerError as error:
            yield name, str(error)
            continue
        if id(view.weight) not in seen:
            seen.add(id(view.weight))
            yield name, view


def _is_matrix(parameter: nn.Parameter) -> bool:
    return not nn.parameter.is_lazy(parameter) and parameter.ndim >= 2


def _view(name: str, module: nn.Module, bits: int) -> WeightView:
    _check_weight(module)
    if isinstance(module, QuantizedWeight):
        return fewflips_view(name, module)
    libraries = {base.__module__.partition(".")[0] for base in type(module).__mro__}
    if "brevitas" in libraries:
        return brevitas_view(name, module)
    if "torchao" in libraries:
        return torchao_view(name, module)
    return plain_view(name, module, bits)


def _check_weight(module: nn.Module) -> None:
    """Raise UnsupportedLayerError unless the weights are an ordinary, dense, real, trainable parameter."""
    weight = module.weight
    if not isinstance(weight, nn.Parameter):
        raise UnsupportedLayerError("its weights are computed (a parametrization, weight norm), not a parameter")
    if nn.parameter.is_lazy(weight):
        raise UnsupportedLayerError("its weights have no shape yet; run one forward pass first")
    if type(weight.data) is not torch.Tensor:
        raise UnsupportedLayerError(f"its weights are a {type(weight.data).__name__}, not a dense tensor")
    if weight.layout is not torch.strided:
        raise UnsupportedLayerError(f"its weights are sparse ({weight.layout})")
    if weight.is_meta:
        raise UnsupportedLayerError("its weights are on the meta device; give them storage first")
    if not weight.is_floating_point():
        raise UnsupportedLayerError(f"its weights are {weight.dtype}, not real floating point")
    if weight.numel() == 0:
        raise UnsupportedLayerError(f"its weights are empty, shape {tuple(weight.shape)}")


def _raise_no_view(pattern: str, passed_over: dict[str, str]) -> None:
    reasons = "; ".join(f"{name}: {why}" for name, why in list(passed_over.items())[:3])
    raise InputError(
        f"expected convolutions or linear layers named {pattern!r} with weights of 2 to 8 bits, got none"
        + (f" ({reasons})" if reasons else "; check the names with model.named_modules()")
    )
