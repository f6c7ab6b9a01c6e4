"""Results of training as tables for the terminal."""

from __future__ import annotations

from rich.console import Group

from fewflips.report.terminal.console_tables import figures_table, page
from fewflips.training.pareto_points import ParetoFront
from fewflips.training.result import TrainingResult
from fewflips.visible import printable


def training_table(result: TrainingResult) -> Group:
    """Accuracies of a training run.

    Parameters
    ----------
    result : TrainingResult
        Result of the run.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console.
    """
    reached = result.accuracies
    rows = (
        ("float", reached.float_percent),
        ("quantized, not trained further", reached.calibrated_percent),
        ("trained, in PyTorch", reached.trained_percent),
        ("exported, in ONNX Runtime", reached.exported_percent),
    )
    table = figures_table("test accuracy, %", label="network", numbered=False)
    for name, percent in rows:
        if percent is not None:
            table.add_row(name, f"{percent:.2f}")
    network = result.config.network
    title = f"{network.name}, width {network.width:g}, on {printable(result.dataset.name)}, seed {result.config.seed}"
    return page(title, table, f"{result.training_seconds:.0f} s of training on {result.processor}")


def pareto_table(front: ParetoFront) -> Group:
    """Accuracy against flips and energy, one row per strength.

    Parameters
    ----------
    front : ParetoFront
        From ``fewflips train --pareto``.

    Returns
    -------
    rich.console.Group
        To be printed by a rich console.
    """
    simulated = any(point.simulated is not None for point in front.points)
    headings = ["test\n%", "kflips\nnatural", "\nordered", "est. nJ\nnatural", "\nordered"]
    headings += ["nJ\nnatural", "\nordered"] if simulated else []
    table = figures_table(*headings, label="strength", numbered=False)
    for point in front.points:
        figures = [f"{point.accuracy_percent:.2f}"]
        for pair in (point.flips, point.estimated, point.simulated) if simulated else (point.flips, point.estimated):
            figures += ["-", "-"] if pair is None else [f"{pair.natural / 1e3:.4g}", f"{pair.ordered / 1e3:.4g}"]
        table.add_row(f"{point.strength:g}", *figures)
    title = f"{printable(front.accelerator)}: accuracy against flips and energy of one inference"
    return page(title, table, "Energy is that of the data with glitches (inertial delays).")
