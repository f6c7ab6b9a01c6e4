"""Quantized networks as integer matrix products: readers, writers, runtimes and checks."""

from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.network.load import load, rewrite
from fewflips.network.reading import Reader, register_reader

__all__ = ["Layer", "Network", "Reader", "load", "register_reader", "rewrite"]
