"""Which dataflows a machine may have: the package's own, and those that others register.

What a dataflow does is in :mod:`fewflips.dataflows`; a description of a machine knows it by its name.
"""

from __future__ import annotations

from typing import Any

from fewflips.registry import Registry

DATAFLOWS: Registry[Any] = Registry(
    "fewflips.dataflows",
    {
        "activation-stationary": "fewflips.dataflows.activation_stationary.dataflow:ActivationStationary",
        "weight-stationary": "fewflips.dataflows.weight_stationary.dataflow:WeightStationary",
        "output-stationary": "fewflips.dataflows.output_stationary.dataflow:OutputStationary",
    },
)
"""By the name that a YAML file gives; see :func:`fewflips.dataflows.dataflow_of`."""
