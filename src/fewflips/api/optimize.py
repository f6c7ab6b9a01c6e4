"""Optimize a network: steps one after another, each checked before anything is given out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from fewflips.api.costs import chosen_cost
from fewflips.api.optimized import Optimization, stream_picture
from fewflips.buffers import check_can_schedule, check_layers
from fewflips.coding.notes import coding_notes
from fewflips.dataflows.orders import natural_orders
from fewflips.dataflows.unit_datapath import bus_invert_ports, network_datapath
from fewflips.errors import RuntimeFailure
from fewflips.execution.activations import measurable_layers, read_samples
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples, random_feeds
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import Network, load
from fewflips.optimization.budget import ErrorBudget, budget_and_labels, check_samples
from fewflips.optimization.choice import Mode, chosen_steps
from fewflips.optimization.pipeline import Run, count_stages, execute_orders, price_stages, run_steps, stages_by_network
from fewflips.optimization.registration import step_named
from fewflips.optimization.report import optimize_report
from fewflips.optimization.request import EnergyRequest, request_of
from fewflips.optimization.state import State
from fewflips.optimization.step import Context, Setting, Step
from fewflips.optimization.weight_costs import check_widths
from fewflips.ordering import Effort
from fewflips.parallel.limit import Limit
from fewflips.progress import Progress
from fewflips.records.notes import StandingNote
from fewflips.schedule.file import build_schedule
from fewflips.streams.transition_cost import TransitionCost

if TYPE_CHECKING:
    from fewflips.simulation.comparison import VariantEnergies


LONGEST_RUN_S = 600.0
"""How long the original may take to open, and for one inference, in seconds."""


def optimize(
    model: str | Path | Network,
    accelerator: str | Path | Accelerator = "edge16",
    *,
    mode: Mode | None = None,
    steps: Sequence[str | Step] | None = None,
    without: Sequence[str] = (),
    inputs: str | Path | None = None,
    error_budget: ErrorBudget | str | None = None,
    labels: ArrayLike | str | Path | None = None,
    prove: bool = False,
    cost: TransitionCost | str | Path | None = None,
    energy: EnergyRequest | None = None,
    explain: bool = False,
    limit: Limit | None = None,
    seed: int = 0,
    jobs: int = -1,
    progress: Progress | None = None,
) -> Optimization:
    """Find orders with fewer flips, and check that they compute the same.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or a network from :func:`fewflips.load`.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    mode : {"schedule", "drop-in", "both"}, optional
        An order for every segment, one permutation for every group of tied channels, or both.
    steps : sequence of str or Step, optional
        Steps to apply in turn, by name or as objects, in place of a mode. Default: those that lose nothing and need
        no hardware beyond the machine's, and with an error budget those that use it.
    without : sequence of str
        Names of steps to leave out of those that are applied by default.
    inputs : str or Path, optional
        Sample inputs: a folder of images or an ``.npz`` file. Without them activations are not measured, and
        the checks use only random inputs.
    error_budget : ErrorBudget or str, optional
        How far outputs on the sample inputs may be from the original's: ``sqnr:25dB``, or ``0.5%`` of accuracy.
        Default: not at all.
    labels : array_like of int, shape (samples,), or str or Path, optional
        Class of each sample input, or a file with them (:func:`~fewflips.optimization.budget.read_labels`); for a
        budget in points of accuracy.
    prove : bool
        Continue until as many orders as possible are proven optimal.
    cost : TransitionCost, str or Path, optional
        Cost of a transition between two codes of the weights, or a file that says it
        (:func:`~fewflips.estimation.transition_cost_files.read_transition_cost`), or ``"energy"``: that of the
        machine's unit, measured at gate level. Orders are chosen, bounded and proven by it. Default: flips.
    energy : EnergyRequest, optional
        Also simulate energy at gate level, before and after.
    explain : bool
        Whether the report has figures after each step, of the network and of each layer.
    limit : Limit, optional
        When searches are to end with the best that they have. Where one is given, Ctrl-C during a search ends it
        likewise, once. Default: never, and Ctrl-C is a KeyboardInterrupt.
    seed : int
        Seed of every random choice.
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
        If the model, the accelerator, the cost or the inputs cannot be used, the steps make no sense, or a check
        fails.

    Examples
    --------
    >>> result = fewflips.optimize("shapes.onnx", "edge4", mode="schedule")
    >>> result.reduction > 1
    True
    >>> sorted(path.name for path in result.save("out"))
    ['report.html', 'report.json', 'schedule.json']
    """
    budget, classes = budget_and_labels(error_budget, labels, inputs)
    array = load_accelerator(accelerator)
    mode, chosen = chosen_steps(mode, steps, without, Setting(array, budget))
    network = model if isinstance(model, Network) else load(model)
    cost_file = Path(cost) if isinstance(cost, str | Path) else None
    transition_cost = chosen_cost(cost, network, array, energy, seed=seed, jobs=jobs, progress=progress)
    if transition_cost is not None:
        check_widths(network, array, transition_cost)
    request = request_of(
        network,
        accelerator,
        mode,
        chosen,
        inputs,
        prove,
        seed,
        energy,
        transition_cost,
        cost_file,
        budget,
        labels if isinstance(labels, str | Path) else None,
        explain,
        limit,
    )
    rewriting = [step for step in chosen if step.rewrites]
    if rewriting != list(chosen):
        check_can_schedule(array)
    if energy is not None:
        _check_memories(network, array)

    refusal = _refusal(network, seed) if rewriting or inputs is not None or energy is not None else None
    if refusal is not None and rewriting == list(chosen):
        raise refusal
    samples, notes = read_samples(network, None if refusal else inputs)
    check_samples(network, budget, classes, samples)
    effort = Effort.prove() if prove else Effort.default()
    context = Context(samples, effort, seed, jobs, progress, transition_cost, budget, classes, limit or Limit())
    with nullcontext() if limit is None else limit.on_interrupt():
        run = run_steps(State.stored(network, array), chosen, context, refusal)
    if run.refusal is not None:
        notes = _notes_on_refusal(run, inputs, energy)
        samples = energy = None
    run = execute_orders(count_stages(run, samples, progress), samples, seed, progress)
    if transition_cost is not None:
        run = price_stages(run, transition_cost)

    schedule = None
    if run.scheduled is not None:
        schedule = build_schedule(run.scheduled.state.network, array, run.scheduled.state.orders)
    energies = _energies_within(limit, run, samples, inputs, energy, progress)
    by_cost = transition_cost is not None
    on_wires = coding_notes(array, ordered=True, by_cost=by_cost, simulated=bus_invert_ports(array))
    of_steps = (*_notes_on_order(steps, chosen), *_notes_on_limit(run, context.limit, energy))
    notes = (*network.notes, *notes, *of_steps, *on_wires)
    report = optimize_report(run, request, schedule, notes, energies)
    return Optimization(network, array, schedule, report, run, stream_picture(report, run), context.limit.asked)


def _check_memories(network: Network, array: Accelerator) -> None:
    """Raise :class:`AcceleratorError` where energy will be asked for and the machine's memories do not suffice."""
    layers, natural = measurable_layers(network), natural_orders(network, array)
    if layers:
        check_layers(((layer, natural[layer.name]) for layer in layers), array, network_datapath(layers, array))


def _energies_within(
    limit: Limit | None,
    run: Run,
    samples: Samples | None,
    inputs: str | Path | None,
    request: EnergyRequest | None,
    progress: Progress | None,
) -> VariantEnergies | None:
    """Energies, unless the user has interrupted, or does so now where a limit takes it as a wish to end."""
    if limit is not None and limit.asked:
        return None
    try:
        return _energies(run, samples, inputs, request, progress)
    except KeyboardInterrupt:
        if limit is None:
            raise
        limit.ask()
        return None


def _energies(
    run: Run,
    samples: Samples | None,
    inputs: str | Path | None,
    request: EnergyRequest | None,
    progress: Progress | None,
) -> VariantEnergies | None:
    if request is None:
        return None
    from fewflips.simulation.comparison import Variants, simulate_variants
    from fewflips.simulation.run import EnergyOptions

    return simulate_variants(
        [
            Variants(stages[0].state.network, {stage.name: stage.state.orders for stage in stages})
            for stages in stages_by_network(run.stages)
        ],
        run.baseline.state.accelerator,
        samples=samples,
        inputs=inputs,
        cells=request.cells,
        options=request.options or EnergyOptions(),
        progress=progress,
    )


def _notes_on_order(steps: Sequence[str | Step] | None, chosen: Sequence[Step]) -> tuple[str, ...]:
    """Which steps come later than they were named."""
    if steps is None or isinstance(steps, str | Step):
        return ()
    named = [step.name if isinstance(step, Step) else step_named(step).name for step in steps]
    applied = [step.name for step in chosen]
    if named == applied:
        return ()
    return (f"Steps were applied as {', '.join(applied)}: a step waits for those that would undo what it did.",)


def _notes_on_limit(run: Run, limit: Limit, energy: EnergyRequest | None) -> tuple[str, ...]:
    """What the report lacks where searches ended early."""
    if not (limit.cut_short or limit.asked):
        return ()
    why = "the user interrupted" if limit.asked else f"their time of {limit.seconds:g} s was up"
    late = [f"; steps not begun by then, and not applied: {', '.join(run.not_begun)}"] if run.not_begun else []
    notes = [f"Searches ended with the best that they had, since {why}{''.join(late)}."]
    if limit.asked and energy is not None:
        notes.append("Energy was not simulated, since the user interrupted.")
    return tuple(notes)


def _notes_on_refusal(run: Run, inputs: str | Path | None, energy: EnergyRequest | None) -> tuple[str, ...]:
    """What the report lacks where the runtime does not run the original, and why."""
    missing = [f"no {name} file, since the original cannot be run to compare its outputs" for name in run.left_out]
    if inputs is not None:
        missing.append("activations were not measured, since the original cannot be run on the sample inputs")
    if energy is not None:
        missing.append("energy was not simulated, since the original cannot be run for its activations")
    unasked = () if inputs is not None else (StandingNote.NO_SAMPLE_INPUTS,)
    return (*unasked, *(f"{sentence}: {run.refusal}" for sentence in missing))


def _refusal(network: Network, seed: int) -> RuntimeFailure | None:
    """Run the original in a separate process; return why it cannot be run, or None if it can."""
    try:
        with Runtime(network, time_limit_s=LONGEST_RUN_S) as runtime:
            (feeds,) = random_feeds(runtime.inputs, 1, seed)
            runtime.run(feeds, runtime.outputs)
    except RuntimeFailure as failure:
        return failure
    return None
