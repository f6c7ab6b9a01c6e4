"""Quantized networks as integer matrix products: readers, writers, runtimes and checks."""

from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.network.load import load, rewrite
from fewflips.network.operand import ActivationOperand, ConstantOperand, Operand
from fewflips.network.product import Product
from fewflips.network.reading import Reader, register_reader

__all__ = [
    "ActivationOperand",
    "ConstantOperand",
    "Layer",
    "Network",
    "Operand",
    "Product",
    "Reader",
    "load",
    "register_reader",
    "rewrite",
]
