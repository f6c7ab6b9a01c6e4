"""A machine as YAML, as :func:`fewflips.load_accelerator` reads it."""

from __future__ import annotations

import yaml

from fewflips.machine.accelerator import Accelerator


def machine_yaml(accelerator: Accelerator) -> str:
    """The YAML text of a machine, without what has its default value.

    Parameters
    ----------
    accelerator : Accelerator
        The machine.

    Returns
    -------
    str
        Text whose reading gives an equal accelerator.
    """
    content = accelerator.model_dump(mode="json", exclude_defaults=True)
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))
