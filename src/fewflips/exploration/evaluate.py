"""What machines cost: finds in the store what is known already, and has the rest computed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.datapath.design import Datapath
from fewflips.errors import FewflipsError, InputError
from fewflips.execution.activations import measurable_layers
from fewflips.exploration.candidates import Candidate, Contradiction
from fewflips.exploration.costs import MachineCost, machine_cost
from fewflips.exploration.shared_toggles import Refusal, SimulationTask, simulate_machines
from fewflips.exploration.space import EffortName
from fewflips.exploration.store import Store, key_of
from fewflips.exploration.tasks import OrderTask, UnitFigures, find_orders, synthesize_unit
from fewflips.exploration.worker import NetworkContent, UnitTask
from fewflips.files.cache import digest_of
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.liberty.load import builtin_tables, load_cells
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.parallel.apart import Workers
from fewflips.progress import Progress
from fewflips.records.exploration import LayerCost, Precision

REFERENCE_COLUMNS = 16
"""Columns of the array on which an estimate counts toggles, where columns differ only in the pixels they compute."""

_MACHINES_A_TASK = 256
_NAMES = {"name", "description"}
_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class WeighedNetwork:
    """A network of the workload.

    Parameters
    ----------
    network : Network
        The network.
    content : NetworkContent
        The same, to be sent to other processes.
    weight : float
        How often it runs.
    """

    network: Network
    content: NetworkContent
    weight: float

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that are simulated."""
        return tuple(layer.name for layer in measurable_layers(self.network))


@dataclass(frozen=True)
class Fidelity:
    """How closely machines are looked at.

    Parameters
    ----------
    precision : {"estimate", "gate-level"}
        Whether toggles are those of an array of :data:`REFERENCE_COLUMNS`, or of the machine's own.
    share : float
        Share of the cycles to simulate.
    """

    precision: Precision
    share: float


@dataclass
class Tally:
    """What was done."""

    simulations: int = 0
    layers_found: int = 0
    layers_simulated: int = 0


@dataclass(frozen=True, eq=False)
class _Need:
    """A network on one dataflow of a machine."""

    candidate: Candidate
    machine: Accelerator
    network: WeighedNetwork
    content: NetworkContent
    unit: UnitTask
    orders: bytes | None = field(repr=False)
    orders_id: str
    simulated: Accelerator
    unit_id: str
    prefix: str

    @property
    def keys(self) -> dict[str, str]:
        """Key of each layer's result, by the layer's name."""
        return {name: f"{self.prefix}:{number}" for number, name in enumerate(self.network.layers)}


class MachineEvaluator:
    """Evaluates machines for a workload.

    Parameters
    ----------
    networks : sequence of WeighedNetwork
        The workload.
    store : Store
        Where results are kept.
    run : Workers
        Where they are computed.
    effort : {"quick", "default", "prove"}
        Work limit of the solver of orders.
    seed : int
        Of orders and samples.
    step_ps : float
        Step to which delays are rounded.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Attributes
    ----------
    tally : Tally
        What was done so far.
    refused : dict of int to str
        Why machines cannot be, by their number.
    on_result : callable
        Called after each result; an exception that it raises ends the work.
    """

    def __init__(
        self,
        networks: Sequence[WeighedNetwork],
        store: Store,
        run: Workers,
        *,
        effort: EffortName,
        seed: int,
        step_ps: float,
        progress: Progress | None = None,
    ) -> None:
        self.networks, self.tally = tuple(networks), Tally()
        self.refused: dict[int, str] = {}
        self.on_result: Callable[[], None] = lambda: None
        self._store, self._run, self._progress = store, run, progress
        self._effort, self._seed, self._step_ps = effort, seed, step_ps
        self._datapaths: dict[str, Datapath | Contradiction] = {}
        self._libraries: dict[str, CellLibrary] = {}
        self._figures: dict[str, UnitFigures] = {}
        self._found_orders: dict[str, bytes] = {}

    def unit_of(self, candidate: Candidate) -> UnitTask:
        """The unit of a machine, wide enough for every network.

        Parameters
        ----------
        candidate : Candidate
            The machine.

        Returns
        -------
        UnitTask
            To be synthesized.

        Raises
        ------
        Contradiction
            If the networks do not fit the machine, or its dataflows need different units.
        """
        datapaths = [self._datapath(mode) for mode in candidate.modes]
        if any(datapath != datapaths[0] for datapath in datapaths):
            kinds = ", ".join(
                f"{mode.dataflow}: {path.kind}" for mode, path in zip(candidate.modes, datapaths, strict=True)
            )
            raise Contradiction(f"dataflow: expected dataflows of the same unit on one machine, got {kinds}")
        library = self._library(candidate.cells)
        cells = candidate.cells if candidate.cells in builtin_tables() else library
        return UnitTask(datapaths[0], cells, self._step_ps)

    def units(self, candidates: Iterable[Candidate]) -> dict[int, UnitFigures]:
        """Area and critical path of the units of some machines, by the machine's number.

        Machines that cannot be built are noted in :attr:`refused` and left out.
        """
        tasks: dict[str, UnitTask] = {}
        ids: dict[int, str] = {}
        for candidate in candidates:
            try:
                task = self.unit_of(candidate)
            except (Contradiction, InputError) as error:
                self.refused[candidate.index] = str(error)
                continue
            ids[candidate.index] = self._unit_id(task)
            tasks[ids[candidate.index]] = task
        missing = {key: task for key, task in tasks.items() if key not in self._figures}
        for key, content in self._store.get(missing).items():
            self._figures[key] = UnitFigures(**json.loads(content))
            del missing[key]
        wrong = self._compute(
            "synthesizing units", synthesize_unit, missing, lambda key, made: self._keep_unit(key, made)
        )
        self._refuse(ids, wrong)
        return {index: self._figures[key] for index, key in ids.items() if key in self._figures}

    def compute(self, candidates: Sequence[Candidate], fidelity: Fidelity) -> None:
        """Have everything computed that the store lacks of some machines.

        Machines that cannot be are noted in :attr:`refused`.

        Parameters
        ----------
        candidates : sequence of Candidate
            The machines.
        fidelity : Fidelity
            How closely to look.
        """
        built = self._built(candidates)
        self._find_orders(built)
        self._simulate(self._needs(built, fidelity), fidelity)

    def known(self, candidates: Sequence[Candidate], fidelity: Fidelity) -> dict[int, MachineCost]:
        """What is known of some machines without computing anything.

        Parameters
        ----------
        candidates : sequence of Candidate
            The machines.
        fidelity : Fidelity
            How closely to look.

        Returns
        -------
        dict of int to MachineCost
            By the machine's number; without those of which a layer is missing.
        """
        needs = self._needs([one for one in candidates if one.index not in self.refused], fidelity)
        rows = self._store.get(key for need in needs for key in need.keys.values())
        by_machine: dict[int, list[_Need]] = {}
        for need in needs:
            by_machine.setdefault(need.candidate.index, []).append(need)
        return {
            index: self._cost(of_machine, rows, fidelity)
            for index, of_machine in by_machine.items()
            if all(key in rows for need in of_machine for key in need.keys.values())
        }

    def circuits(self, candidate: Candidate) -> list[str]:
        """What an estimate of a machine simulates; the same for machines that differ in nothing that toggles."""
        try:
            unit = self._unit_id(self.unit_of(candidate))
        except InputError:
            return []
        return [digest_of(unit, candidate.orders, _toggling(_reference(mode))) for mode in candidate.modes]

    def _built(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        figures = self.units(candidates)
        return [candidate for candidate in candidates if candidate.index in figures]

    def _cost(self, needs: Sequence[_Need], rows: dict[str, bytes], fidelity: Fidelity) -> MachineCost:
        candidate, unit = needs[0].candidate, self._figures[needs[0].unit_id]
        layers = [
            (need.network, need.machine, [LayerCost.model_validate_json(rows[key]) for key in need.keys.values()])
            for need in needs
        ]
        by_network = [
            (one.content.file, one.weight, [(machine, costs) for other, machine, costs in layers if other is one])
            for one in self.networks
        ]
        area = self._area_um2(candidate.modes[0], unit)
        own = (part for need in needs for part in (need.unit_id, need.orders_id, _toggling(need.machine)))
        group = digest_of(*own, fidelity.precision, repr(fidelity.share))
        return machine_cost(
            candidate, unit.critical_path_ns, area, by_network, fidelity.precision, fidelity.share, group
        )

    def _area_um2(self, machine: Accelerator, unit: UnitFigures) -> float:
        """Area of the units of an array; registers that units share are there once."""
        layer, flow = measurable_layers(self.networks[0].network)[0], dataflow_of(machine)
        work = flow.unit_work(layer, flow.segments(layer, machine), machine)
        shared = unit.weights_um2 * work.weight_copies + unit.activations_um2 * work.activation_copies
        return work.units * (unit.rest_um2 + shared)

    def _needs(self, candidates: Sequence[Candidate], fidelity: Fidelity) -> list[_Need]:
        """Every network on every dataflow of those machines whose orders are known."""
        return [
            self._need(candidate, machine, network, fidelity)
            for candidate in candidates
            if candidate.index not in self.refused and self._has_orders(candidate)
            for machine in candidate.modes
            for network in self.networks
        ]

    def _has_orders(self, candidate: Candidate) -> bool:
        return candidate.orders == "natural" or all(
            self._orders_key(candidate, machine, network) in self._found_orders
            for machine in candidate.modes
            for network in self.networks
        )

    def _need(self, candidate: Candidate, machine: Accelerator, network: WeighedNetwork, fidelity: Fidelity) -> _Need:
        simulated = _reference(machine) if fidelity.precision == "estimate" else machine
        unit = self.unit_of(candidate)
        orders, orders_id, content = None, "natural", network.content
        if candidate.orders != "natural":
            orders_id = self._orders_key(candidate, machine, network)
            found = self._found_orders[orders_id]
            if candidate.orders == "schedule":
                orders = found
            else:
                content = _rewritten(network.content, found)
        unit_id = self._unit_id(unit)
        prefix = key_of(
            "layer",
            content.sha256,
            content.samples_digest,
            unit_id,
            orders_id,
            _toggling(simulated),
            _text(machine, _NAMES),
            repr((float(candidate.clock_mhz), fidelity.share, self._seed)),
        )
        return _Need(candidate, machine, network, content, unit, orders, orders_id, simulated, unit_id, prefix)

    def _find_orders(self, candidates: Sequence[Candidate]) -> None:
        tasks: dict[str, OrderTask] = {}
        asked: dict[int, list[str]] = {}
        for candidate in candidates:
            if candidate.orders == "natural":
                continue
            for machine in candidate.modes:
                for network in self.networks:
                    key = self._orders_key(candidate, machine, network)
                    asked.setdefault(candidate.index, []).append(key)
                    reference = _reference(machine)
                    tasks[key] = OrderTask(network.content, reference, candidate.orders, self._effort, self._seed)
        missing = {key: task for key, task in tasks.items() if key not in self._found_orders}
        for key, content in self._store.get(missing).items():
            self._found_orders[key] = content
            del missing[key]
        wrong = self._compute("finding orders", find_orders, missing, self._keep_orders)
        for index, keys in asked.items():
            self._refuse(dict.fromkeys([index], next((key for key in keys if key in wrong), "")), wrong)

    def _simulate(self, needs: Sequence[_Need], fidelity: Fidelity) -> None:
        """Simulate what the store lacks; machines whose toggles are the same share a task."""
        keys = [key for need in needs for key in need.keys.values()]
        found = self._store.get(keys)
        self.tally.layers_found += len(found)
        groups: dict[tuple[str, str, str, str, tuple[str, ...]], list[_Need]] = {}
        planned: set[str] = set()
        for need in needs:
            missing = tuple(name for name, key in need.keys.items() if key not in found)
            if missing and need.prefix not in planned:
                planned.add(need.prefix)
                text = _toggling(need.simulated)
                groups.setdefault((need.unit_id, need.content.sha256, text, need.orders_id, missing), []).append(need)
        tasks: dict[str, SimulationTask] = {}
        shared: dict[str, list[_Need]] = {}
        for (unit_id, sha256, text, orders_id, missing), members in groups.items():
            for first in range(0, len(members), _MACHINES_A_TASK):
                part = members[first : first + _MACHINES_A_TASK]
                name = digest_of(unit_id, sha256, text, orders_id, *missing, str(first))
                shared[name], tasks[name] = part, self._task(part, missing, fidelity)

        def keep(name: str, made: list[list[LayerCost] | Refusal]) -> None:
            self.tally.simulations += 1
            rows = {}
            for need, layers in zip(shared[name], made, strict=True):
                if isinstance(layers, Refusal):
                    self.refused[need.candidate.index] = layers.reason
                else:
                    self.tally.layers_simulated += len(layers)
                    rows.update({need.keys[layer.name]: layer.model_dump_json().encode() for layer in layers})
            self._store.put(rows)

        phase = "simulating machines" if fidelity.precision == "estimate" else "simulating the front"
        wrong = self._compute(phase, simulate_machines, tasks, keep)
        for name, reason in wrong.items():
            self.refused.update((need.candidate.index, reason) for need in shared[name])

    def _task(self, needs: Sequence[_Need], layers: tuple[str, ...], fidelity: Fidelity) -> SimulationTask:
        one = needs[0]
        machines = tuple((need.machine, float(need.candidate.clock_mhz)) for need in needs)
        return SimulationTask(
            one.content, layers, one.unit, one.orders, one.simulated, machines, fidelity.share, self._seed
        )

    def _compute(
        self, phase: str, function: Callable[[Any], _Made], tasks: dict[str, Any], keep: Callable[[str, _Made], None]
    ) -> dict[str, str]:
        """Have tasks computed, and keep each result as it comes; returns why some of them cannot be."""
        names = list(tasks)
        refused: dict[str, str] = {}
        done = 0

        def finished(number: int, result: _Made | Refusal) -> None:
            nonlocal done
            done += 1
            if isinstance(result, Refusal):
                refused[names[number]] = result.reason
            else:
                keep(names[number], result)
            if self._progress:
                self._progress(phase, done, len(names))
            self.on_result()

        if names:
            if self._progress:
                self._progress(phase, 0, len(names))
            self._run.run(partial(_attempt, function), [tasks[name] for name in names], finished)
        return refused

    def _refuse(self, ids: dict[int, str], wrong: dict[str, str]) -> None:
        self.refused.update((index, wrong[key]) for index, key in ids.items() if key in wrong)

    def _keep_unit(self, key: str, made: UnitFigures) -> None:
        self._figures[key] = made
        self._store.put({key: json.dumps(vars(made)).encode()})

    def _keep_orders(self, key: str, made: bytes) -> None:
        self._found_orders[key] = made
        self._store.put({key: made})

    def _datapath(self, machine: Accelerator) -> Datapath:
        key = _toggling(_reference(machine))
        if key not in self._datapaths:
            layers = [layer for one in self.networks for layer in measurable_layers(one.network)]
            try:
                self._datapaths[key] = network_datapath(layers, machine)
            except FewflipsError as error:
                self._datapaths[key] = Contradiction(str(error).removeprefix(f"{machine.name}: "))
        found = self._datapaths[key]
        if isinstance(found, Contradiction):
            raise found
        return found

    def _library(self, name: str) -> CellLibrary:
        if name not in self._libraries:
            self._libraries[name] = load_cells(name)
        return self._libraries[name]

    def _unit_id(self, task: UnitTask) -> str:
        library = task.cells if isinstance(task.cells, CellLibrary) else self._library(task.cells)
        return key_of("unit", repr(task.datapath), library.sha256, repr(task.step_ps))

    def _orders_key(self, candidate: Candidate, machine: Accelerator, network: WeighedNetwork) -> str:
        """Key of orders: they follow from the weights and from how the array takes them."""
        text = _text(_reference(machine), _NAMES | {"buffers", "datapath", "activations"})
        rewriting = network.content.samples_digest if candidate.orders == "drop-in" else ""
        what = (candidate.orders, self._effort, str(self._seed), rewriting)
        return key_of("orders", network.content.sha256, text, *what)


def _attempt(function: Callable[[Any], Any], task: Any) -> Any:
    """The result of a task, or why its machine cannot be: one machine of many does not end a search."""
    try:
        return function(task)
    except InputError as error:
        return Refusal(str(error))


def _reference(machine: Accelerator) -> Accelerator:
    """The array whose toggles and orders stand for all that differ from it in columns alone."""
    if not dataflow_of(machine).columns_share_pixels:
        return machine
    return machine.model_copy(update={"columns": REFERENCE_COLUMNS})


def _text(machine: Accelerator, without: set[str]) -> str:
    """A machine as the same text whatever it is called."""
    return json.dumps(machine.model_dump(mode="json", exclude=without), sort_keys=True)


def _toggling(machine: Accelerator) -> str:
    """What of a machine decides which of its nets toggle, as text."""
    return _text(machine, _NAMES | {"buffers"})


def _rewritten(content: NetworkContent, model: bytes) -> NetworkContent:
    return NetworkContent(
        sha256=hashlib.sha256(model).hexdigest(),
        file=content.file,
        path=None,
        content=model,
        samples=content.samples,
        samples_digest=content.samples_digest,
    )
