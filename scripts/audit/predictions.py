"""How far estimates from flips, by the built-in calibrations, are from the simulated energies."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from statistics import median

from scripts.reproduction.energies import digest_of_sources
from scripts.reproduction.progress import StepReport, say

import fewflips.estimation.calibration
from fewflips.api.optimize import optimize
from fewflips.dataflows.orders import natural_orders
from fewflips.errors import InputError
from fewflips.estimation.estimate import estimate_energy
from fewflips.execution.activations import read_samples
from fewflips.files.cache import cached, digest_of
from fewflips.machine import Accelerator
from fewflips.measurement.counting import count_network
from fewflips.schedule.file import schedule_orders

from .figures import Prediction, Run
from .measuring import ORDERS, Sources, machine_of
from .setups import Order, Setup


def predictions(run: Run, sources: Sources) -> tuple[Prediction, ...]:
    """Errors of the estimates of a network's energies, in both orders.

    Parameters
    ----------
    run : Run
        What was simulated, with built-in cells and the default unit.
    sources : Sources
        Files.

    Returns
    -------
    tuple of Prediction
        One for each order; inertial data energies.

    Raises
    ------
    InputError
        If no calibration fits.
    """
    model, machine = sources.models / f"{run.network}.onnx", machine_of(Setup(run.machine))
    digest = digest_of(
        machine.model_dump_json(), model.read_bytes(), sources.inputs.read_bytes(), digest_of_sources(), _calibrations()
    )
    estimated = json.loads(cached("audit-estimates", digest, partial(_estimated, model, machine, sources)))
    return tuple(_prediction(run, order, estimated[order]) for order in ORDERS)


def _estimated(model: Path, machine: Accelerator, sources: Sources) -> bytes:
    say(f"  estimating {model.stem} on {machine.name}")
    found = optimize(model, machine, mode="schedule", inputs=sources.inputs, jobs=sources.jobs, progress=StepReport())
    network = found.network
    samples, _ = read_samples(network, sources.inputs)
    if samples is None or found.schedule is None:
        raise InputError(f"{model.stem}: expected sample inputs and a schedule, got none")
    orders = natural_orders(network, machine), schedule_orders(found.schedule, network)
    estimates: dict[Order, dict[str, float]] = {}
    for name, order, counted in zip(ORDERS, orders, count_network(network, machine, orders, samples), strict=True):
        observed = {layer: count.observed for layer, count in counted.items() if count.observed is not None}
        estimate = estimate_energy(network, machine, order, counted, observed or None)
        if estimate is None:
            raise InputError(f"{model.stem} on {machine.name}: expected a built-in calibration, got none that fits")
        estimates[name] = {layer: pair.inertial_data_pj for layer, pair in estimate.layers.items()}
    return json.dumps(estimates).encode()


def _prediction(run: Run, order: Order, estimated: dict[str, float]) -> Prediction:
    simulated = dict(zip(run.layers, run.orders[order].layer_data_pj, strict=True))
    errors = {layer: 100 * (estimated[layer] / energy - 1) for layer, energy in simulated.items()}
    worst = max(errors, key=lambda layer: abs(errors[layer]))
    return Prediction(
        network=run.network,
        machine=run.machine,
        order=order,
        total_error_percent=round(100 * (sum(estimated.values()) / sum(simulated.values()) - 1), 2),
        median_error_percent=round(median(map(abs, errors.values())), 2),
        worst_error_percent=round(errors[worst], 2),
        worst_layer=worst,
    )


def _calibrations() -> bytes:
    folder = Path(fewflips.estimation.calibration.__file__).parent
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".json"))
