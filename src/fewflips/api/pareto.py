"""Energy against accuracy for several strengths of the HD term."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from fewflips.api.optimize import optimize
from fewflips.api.optimized import Optimization
from fewflips.dataflows.orders import natural_orders
from fewflips.errors import AcceleratorError, InputError
from fewflips.execution.activations import read_samples
from fewflips.files.atomic import atomic_write
from fewflips.files.input_files import read_plain
from fewflips.gates.netlist.yosys import locate_yosys
from fewflips.measurement.counting import count_network
from fewflips.optimization.request import EnergyRequest
from fewflips.progress import Progress
from fewflips.records.optimization import EnergyResult, LayerResult
from fewflips.report.training.pareto_plot import pareto_plot
from fewflips.schedule.file import schedule_orders
from fewflips.training.checks import check_run
from fewflips.training.config import InitialOptions, TrainingConfig
from fewflips.training.datasets import load_dataset
from fewflips.training.finishing import SAMPLES
from fewflips.training.hamming.options import HammingOptions
from fewflips.training.pareto_points import Pair, ParetoFront, ParetoPoint
from fewflips.training.result import TrainingResult
from fewflips.training.stages.held_signals import HeldSignals
from fewflips.training.stages.metrics import Figures
from fewflips.training.trainer import train

_MOST = 100


def parse_strengths(text: str) -> tuple[float, ...]:
    """Parse strengths from a comma-separated list.

    Parameters
    ----------
    text : str
        Such as ``0,0.1,0.3,1``.

    Returns
    -------
    tuple of float
        In the order given.

    Raises
    ------
    InputError
        If one is not a finite number of 0 or more, or is given twice.

    Examples
    --------
    >>> parse_strengths("0, 0.1,1e1")
    (0.0, 0.1, 10.0)
    """
    try:
        strengths = tuple(float(part) for part in text.split(","))
    except ValueError:
        strengths = (math.nan,)
    distinct = len(set(strengths)) == len(strengths)
    if not all(math.isfinite(strength) and strength >= 0 for strength in strengths) or not distinct:
        raise InputError(
            f"pareto: expected different numbers of 0 or more with commas between them, got {text[:100]!r}"
        )
    if len(strengths) > _MOST:
        raise InputError(f"pareto: expected at most {_MOST} strengths, got {len(strengths)}")
    return strengths


def trace_pareto(
    config: TrainingConfig,
    strengths: Sequence[float],
    *,
    energy: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    on_epoch: Callable[[Figures], None] | None = None,
    signals: HeldSignals | None = None,
) -> ParetoFront:
    """Train one quantized stage for each strength, from the same float network, and compare them.

    Parameters
    ----------
    config : TrainingConfig
        With an output folder and a quantized stage; the section ``hamming`` gives all settings but the strength.
    strengths : sequence of float
        Factors of the HD term; 0 trains without it.
    energy : bool
        Whether to simulate energy at gate level as well.
    resume : bool
        Continue from what the folder holds, without repeating what is finished.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.
    on_epoch : callable, optional
        Called with the figures of each epoch.
    signals : HeldSignals, optional
        As in :func:`~fewflips.training.train`; released while models are ordered and measured.

    Returns
    -------
    ParetoFront
        One point per strength. The folder holds ``pareto.json``, ``pareto.svg``, ``pareto.png``, the float
        network in ``float`` and a run for each strength in ``strength-...``.

    Raises
    ------
    FewflipsError
        If a training run, an optimization or a file operation fails; what was finished before is kept.
    Stopped, KeyboardInterrupt
        If a signal arrived; what was done before is kept, and can be continued with `resume`.
    """
    folder, held = config.output, signals or HeldSignals()
    if folder is None:
        raise InputError("output: expected a folder for the results, got none: give --output, or output in the file")
    stage = config.quantized_stage
    if stage is None or stage.epochs == 0:
        raise InputError("pareto: expected a quantized_stage with at least one epoch for the HD term to act in")
    options = config.hamming or HammingOptions()
    if energy:
        locate_yosys()  # if it is missing, fail now rather than hours later
    with held.immediate():
        dataset = load_dataset(config.dataset)
    check_run(config.model_copy(update={"hamming": options if any(strengths) else None}), dataset)

    def run(changes: dict[str, object], name: str) -> TrainingResult:
        changed = TrainingConfig.model_validate(config.model_dump() | changes | {"output": folder / name})
        return train(changed, resume=resume, dataset=dataset, progress=progress, on_epoch=on_epoch, signals=held)

    initial = config.initial
    if initial is None:
        run({"quantized_stage": None, "hamming": None}, "float")
        initial = InitialOptions(checkpoint=folder / "float")
    points: list[ParetoPoint] = []
    for strength in strengths:
        name = run_folder(strength)
        hamming = options.model_copy(update={"strength": strength}).model_dump() if strength else None
        result = run({"initial": initial.model_dump(), "hamming": hamming}, name)
        known = _known_point(folder / name, result, options.accelerator, energy)
        with held.released():
            points.append(known or _measured(folder / name, strength, result, options.accelerator, energy, progress))
    front = ParetoFront(accelerator=options.accelerator, points=tuple(points))
    with held.released():
        _write(folder, front)
    return front


def run_folder(strength: float) -> str:
    """Name of the folder of a strength's run, within the output folder.

    Examples
    --------
    >>> run_folder(0.0), run_folder(0.3)
    ('strength-0', 'strength-0.3')
    """
    return f"strength-{str(strength).removesuffix('.0')}"


def _known_point(folder: Path, result: TrainingResult, accelerator: str, energy: bool) -> ParetoPoint | None:
    """The earlier measurement of this very model, if there is one."""
    try:
        point = ParetoPoint.model_validate_json(read_plain(folder / "point.json"))
    except (OSError, ValidationError):
        return None  # measured again
    same = point.model_sha256 == result.model_sha256 and point.accelerator == accelerator
    return point if same and (point.simulated is not None or not energy) else None


def _measured(
    folder: Path,
    strength: float,
    result: TrainingResult,
    accelerator: str,
    energy: bool,
    progress: Progress | None,
) -> ParetoPoint:
    """Accuracy, flips and energy of a run's model, in natural order and in the best orders found."""
    accuracy, digest = result.accuracies.exported_percent, result.model_sha256
    if accuracy is None or digest is None:
        raise InputError(f"{folder}: expected a run with a quantized stage, got one without a model")
    samples = folder / SAMPLES
    found = optimize(
        folder / "model.onnx",
        accelerator,
        mode="schedule",
        inputs=samples,
        energy=EnergyRequest() if energy else None,
        seed=result.config.seed,
        progress=progress,
    )
    point = ParetoPoint(
        strength=strength,
        model_sha256=digest,
        accelerator=accelerator,
        accuracy_percent=accuracy,
        flips=_inference_flips(found.report.layers),
        estimated=_estimated(found, samples),
        simulated=_simulated(found.report.energy),
    )
    atomic_write(folder / "point.json", (point.model_dump_json(indent=1) + "\n").encode())
    return point


def _inference_flips(layers: Sequence[LayerResult]) -> Pair:
    ports = [layer.weights for layer in layers]
    return Pair(
        natural=sum(port.baseline_flips * port.repeats + port.baseline_seam_flips for port in ports),
        ordered=sum(port.optimized_flips * port.repeats + port.optimized_seam_flips for port in ports),
    )


def _simulated(energy: EnergyResult | None) -> Pair | None:
    """Data energy with glitches, if it was simulated."""
    if energy is None or energy.total.schedule is None:
        return None
    return Pair(natural=energy.total.baseline.inertial.data_pj, ordered=energy.total.schedule.inertial.data_pj)


def _estimated(found: Optimization, inputs: Path) -> Pair | None:
    """Data energy with glitches, estimated from flips; None if no calibration fits the machine."""
    from fewflips.estimation.estimate import estimate_energy

    network, array = found.network, found.accelerator
    if found.schedule is None:
        return None
    ordered = schedule_orders(found.schedule, network)
    samples, _ = read_samples(network, inputs)
    variants = [natural_orders(network, array), ordered]
    energies = []
    for orders, counts in zip(variants, count_network(network, array, variants, samples), strict=True):
        observed = {name: count.observed for name, count in counts.items() if count.observed is not None}
        try:
            estimate = estimate_energy(network, array, orders, counts, observed)
        except AcceleratorError:  # no such unit can be built, but flips can still be counted
            return None
        if estimate is None:
            return None
        energies.append(estimate.total.inertial_data_pj)
    return Pair(natural=energies[0], ordered=energies[1])


def _write(folder: Path, front: ParetoFront) -> None:
    atomic_write(folder / "pareto.json", (front.model_dump_json(indent=1) + "\n").encode())
    for kind in ("svg", "png"):
        atomic_write(folder / f"pareto.{kind}", pareto_plot(front, kind))
