"""Quantized networks as integer matrix products: readers, writers, runtimes and checks."""

from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.network.load import load, rewrite

__all__ = ["Layer", "Network", "load", "rewrite"]
