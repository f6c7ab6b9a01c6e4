"""Optimize a network: an order for every segment, and a rewritten model, both checked before they are given out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from fewflips.api.optimized import Optimization
from fewflips.coding.notes import coding_notes
from fewflips.dataflows.orders import natural_orders
from fewflips.errors import InputError, RuntimeFailure, VerificationError
from fewflips.execution.activations import read_samples
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples, random_feeds
from fewflips.machine import Accelerator, load_accelerator
from fewflips.measurement.counting import count_network
from fewflips.network import Network, load
from fewflips.optimization.drop_in import DropIn, make_drop_in
from fewflips.optimization.request import EnergyRequest, Mode, Request, request_of
from fewflips.optimization.segment_orders import SchedulePlan, plan_schedule
from fewflips.ordering import Effort
from fewflips.progress import Progress
from fewflips.schedule.file import build_schedule
from fewflips.verification.schedule_check import check_schedule

if TYPE_CHECKING:
    from fewflips.simulation.comparison import NetworkComparison


LONGEST_RUN_S = 600.0
"""How long the original may take to open, and for one inference, in seconds."""


def optimize(
    model: str | Path | Network,
    accelerator: str | Path | Accelerator = "edge16",
    *,
    mode: Mode = "both",
    inputs: str | Path | None = None,
    prove: bool = False,
    energy: EnergyRequest | None = None,
    seed: int = 0,
    jobs: int = -1,
    progress: Progress | None = None,
) -> Optimization:
    """Find orders with fewer flips, and check that they compute the same.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or what :func:`fewflips.load` read from one.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    mode : {"schedule", "drop-in", "both"}
        An order for every segment, one permutation for every group of tied channels, or both.
    inputs : str or Path, optional
        Sample inputs: a folder of images or an ``.npz`` file. Without them activations are not measured, and
        the checks use random inputs alone.
    prove : bool
        Work on until as many orders as possible are proven optimal.
    energy : EnergyRequest, optional
        Simulate energy before and after at gate level too.
    seed : int
        Of every random choice.
    jobs : int
        Processors to use; -1 for all.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Optimization
        Schedule, rewritten model and report; call its :meth:`~Optimization.save`.

    Raises
    ------
    FewflipsError
        If the model, the accelerator or the inputs cannot be used, or a check fails.
    """
    if mode not in get_args(Mode):
        raise InputError(f"mode: expected one of {', '.join(get_args(Mode))}, got {mode!r}")
    from fewflips.optimization.report import optimize_report

    network = model if isinstance(model, Network) else load(model)
    array = load_accelerator(accelerator)
    request = request_of(network, accelerator, mode, inputs, prove, seed, energy)
    effort = Effort.prove() if prove else Effort.default()
    natural = natural_orders(network, array)

    refusal = None if mode == "schedule" and inputs is None and energy is None else _refusal(network, seed)
    if refusal is not None and mode == "drop-in":
        raise refusal
    samples, notes = read_samples(network, None if refusal else inputs)
    plan = None
    if mode != "drop-in":
        plan = plan_schedule(network, array, effort=effort, seed=seed, jobs=jobs, progress=progress)
    drop_in = None
    if mode != "schedule" and refusal is None:
        drop_in, refusal = _drop_in_or_refusal(network, array, request, samples, effort, jobs, progress)
    if refusal is not None:
        notes = _notes_on_refusal(refusal, request, energy)
        samples = energy = None

    variants = [natural, *([plan.orders] if plan else [])]
    counts = count_network(network, array, variants, samples, progress)
    schedule, check = None, None
    if plan:
        check = check_schedule(network, array, plan.orders, samples, seed, progress)
        schedule = build_schedule(network, array, plan.orders)
    energies = _energies(network, array, plan, drop_in, samples, inputs, energy, progress)
    notes = (*network.notes, *notes, *coding_notes(array, ordered=True))
    report = optimize_report(network, array, request, counts, plan, schedule, check, drop_in, notes, energies)
    return Optimization(network, array, schedule, drop_in, report, plan.orders if plan else {})


def _energies(
    network: Network,
    array: Accelerator,
    plan: SchedulePlan | None,
    drop_in: DropIn | None,
    samples: Samples | None,
    inputs: str | Path | None,
    request: EnergyRequest | None,
    progress: Progress | None,
) -> NetworkComparison | None:
    if request is None:
        return None
    from fewflips.simulation.comparison import compare_energy
    from fewflips.simulation.run import EnergyOptions

    return compare_energy(
        network,
        array,
        plan.orders if plan else None,
        drop_in.network if drop_in else None,
        samples=samples,
        inputs=inputs,
        cells=request.cells,
        options=request.options or EnergyOptions(),
        progress=progress,
    )


def _drop_in_or_refusal(
    network: Network,
    array: Accelerator,
    request: Request,
    samples: Samples | None,
    effort: Effort,
    jobs: int,
    progress: Progress | None,
) -> tuple[DropIn | None, RuntimeFailure | None]:
    """A checked drop-in file; or why the original, which ran once, cannot be run to compare its outputs."""
    try:
        return make_drop_in(network, array, samples, effort, request.seed, jobs, progress), None
    except RuntimeFailure as failure:
        if failure.model != network.path:
            raise VerificationError(f"{failure}; it runs {network.path}, so the copy was not written") from failure
        if request.mode == "drop-in":
            raise
        return None, failure


def _notes_on_refusal(refusal: RuntimeFailure, request: Request, energy: EnergyRequest | None) -> tuple[str, ...]:
    """What the report lacks where the runtime does not run the original, and why."""
    missing = []
    if request.mode != "schedule":
        missing.append("no drop-in file, since the original cannot be run to compare its outputs")
    if request.inputs is not None:
        missing.append("activations were not measured, since the original cannot be run on the sample inputs")
    if energy is not None:
        missing.append("energy was not simulated, since the original cannot be run for its activations")
    unasked = () if request.inputs is not None else ("Activations were not measured: no sample inputs were given.",)
    return (*unasked, *(f"{sentence}: {refusal}" for sentence in missing))


def _refusal(network: Network, seed: int) -> RuntimeFailure | None:
    """Run the original in a process of its own: why it cannot be run; None where it can."""
    try:
        with Runtime(network, time_limit_s=LONGEST_RUN_S) as runtime:
            (feeds,) = random_feeds(runtime.inputs, 1, seed)
            runtime.run(feeds, runtime.outputs)
    except RuntimeFailure as failure:
        return failure
    return None
