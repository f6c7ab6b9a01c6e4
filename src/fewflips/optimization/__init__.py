"""Levers that lower the flips of a network after training, applied one after another.

To add one, write a subclass of :class:`~fewflips.optimization.step.Step`, in a package of your own, and register it: by
:func:`register_step`, or by an entry point of the group ``fewflips.steps``.
"""

from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.model_files import ModelFiles, write_model
from fewflips.optimization.registration import register_step, step_named, step_names
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Evidence, Outcome, Setting, Step

__all__ = [
    "Context",
    "ErrorBudget",
    "Evidence",
    "ModelFiles",
    "Outcome",
    "Setting",
    "State",
    "Step",
    "register_step",
    "step_named",
    "step_names",
    "write_model",
]
