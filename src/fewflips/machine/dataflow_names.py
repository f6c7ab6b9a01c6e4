"""The dataflows that a machine may have: the package's own, and those registered by others.

:mod:`fewflips.dataflows` implements them; the description of a machine refers to them by name.
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
"""Dataflows by their name in YAML files; see :func:`fewflips.dataflows.dataflow_of`."""
