"""Explore a space of machines for one or several networks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.api.explored import Exploration
from fewflips.errors import InputError
from fewflips.execution.samples import Samples
from fewflips.exploration.candidates import Candidate, Machines, checked
from fewflips.exploration.evaluate import MachineEvaluator, WeighedNetwork
from fewflips.exploration.outcome import outcome
from fewflips.exploration.search import Search, SearchOptions
from fewflips.exploration.space import Space, load_space
from fewflips.exploration.store import Store
from fewflips.exploration.strategy import find_front
from fewflips.exploration.worker import NetworkContent
from fewflips.files.cache import digest_of
from fewflips.files.input_files import read_plain
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import Network, load
from fewflips.parallel.apart import Workers, workers
from fewflips.progress import Progress
from fewflips.records.exploration import ExplorationReport, SearchSettings, SearchWork, WeightedNetwork
from fewflips.records.model_file import model_file
from fewflips.simulation.setup import samples_or_random, simulated_layers
from fewflips.version import __version__
from fewflips.visible import printable_name


@dataclass(frozen=True)
class ExploreOptions:
    """How a space is explored, beyond the search itself.

    Parameters
    ----------
    search : SearchOptions
        How it is searched.
    store : Path or None
        File of the results; by default one for all explorations in the cache folder.
    jobs : int
        Processors to use; -1 for all.
    cluster : str or None
        Address of a Dask scheduler, in place of this machine's processors.
    step_ps : float
        Step to which delays are rounded.
    """

    search: SearchOptions = field(default_factory=SearchOptions)
    store: Path | None = None
    jobs: int = -1
    cluster: str | None = None
    step_ps: float = 10.0


def explore(
    models: Sequence[str | Path | Network],
    space: str | Path | Space,
    *,
    inputs: Sequence[str | Path] = (),
    against: str | Path | Accelerator | None = None,
    options: ExploreOptions | None = None,
    progress: Progress | None = None,
) -> Exploration:
    """Find the machines of a space on which networks cost least.

    Parameters
    ----------
    models : sequence of str, Path or Network
        TFLite or ONNX files, or networks from :func:`fewflips.load`; one machine serves all of them.
    space : str, Path or Space
        What may vary: a YAML file, or a space.
    inputs : sequence of str or Path
        Sample inputs: none (one random input each), one for all networks, or one for each.
    against : str, Path or Accelerator, optional
        A machine to compare the best one with; it runs in natural order.
    options : ExploreOptions, optional
        Search, store, processors or cluster.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Exploration
        The front, and everything that was evaluated; call its :meth:`~Exploration.save`. If the time limit or Ctrl-C
        ended the search, its report is not complete; the store keeps what was computed, and the same call goes on.

    Raises
    ------
    FewflipsError
        If the models, the space, the inputs or the store cannot be used, no machine of the space can be, or the cluster
        is lost.

    Examples
    --------
    >>> space = fewflips.Space(machine="edge4", vary={"orders": ["natural", "schedule"]}, objectives=("datapath_pj",))
    >>> found = fewflips.explore(["shapes.onnx"], space, inputs=["shapes_onnx.npz"])
    >>> [machine.choices for machine in found.report.front]
    [{'orders': 'schedule'}]
    """
    options = options or ExploreOptions()
    begin = time.monotonic()
    chosen = space if isinstance(space, Space) else load_space(Path(space))
    machines = Machines(chosen)
    given = None if against is None else _given(machines, against)
    networks = _networks(models, chosen, inputs, options)
    store = Store(options.store)
    try:
        with workers(options.jobs, options.cluster) as running:
            search = _search(machines, [one for one, _, _ in networks], store, running, options, progress)
            interrupted = False
            try:
                find_front(search)
            except KeyboardInterrupt:
                interrupted = True
            found = outcome(search, given, "" if against is None else _name(against))
    finally:
        store.close()
    tally = search.evaluator.tally
    report = ExplorationReport(
        fewflips=__version__,
        space=chosen.model_dump(mode="json"),
        networks=tuple(
            WeightedNetwork(
                model=model_file(one.network),
                weight=one.weight,
                inputs=source,
                samples=len(one.content.samples.feeds),
            )
            for one, source, _ in networks
        ),
        settings=SearchSettings(
            method=search.found.method,
            seed=options.search.seed,
            jobs=options.jobs,
            cluster=options.cluster,
            time_limit_s=options.search.time_limit_s,
            share=options.search.share,
            largest_share=options.search.largest_share,
            step_ps=options.step_ps,
        ),
        work=SearchWork(
            machines=machines.count,
            evaluated=len(found.machines),
            gate_level=sum(machine.precision == "gate-level" for machine in found.machines),
            outside=len(search.found.outside),
            simulations=tally.simulations,
            layers_found=tally.layers_found,
            layers_simulated=tally.layers_simulated,
            estimate_error_percent=None if (error := search.found.estimate_error) is None else 100 * error,
            seconds=time.monotonic() - begin,
        ),
        complete=found.complete,
        objectives=chosen.objectives,
        contradictions=found.contradictions,
        machines=found.machines,
        front=found.front,
        best_per_network=found.best_per_network,
        ablation=found.ablation,
        against=found.against,
        notes=tuple(dict.fromkeys(note for _, _, notes in networks for note in notes)),
    )
    return Exploration(report, interrupted)


def _search(
    machines: Machines,
    networks: Sequence[WeighedNetwork],
    store: Store,
    running: Workers,
    options: ExploreOptions,
    progress: Progress | None,
) -> Search:
    evaluator = MachineEvaluator(
        networks,
        store,
        running,
        effort=machines.space.effort,
        seed=options.search.seed,
        step_ps=options.step_ps,
        progress=progress,
    )
    return Search(machines, evaluator, options.search)


def _given(machines: Machines, against: str | Path | Accelerator) -> Candidate:
    """The machine to compare with: in natural order, with the space's first cells and clock."""
    first = machines.first_settings
    return checked(Candidate(-1, (), {}, (load_accelerator(against),), "natural", first["cells"], first["clock_mhz"]))


def _name(against: str | Path | Accelerator) -> str:
    return printable_name(against.name if isinstance(against, Accelerator) else str(against))


def _networks(
    models: Sequence[str | Path | Network], space: Space, inputs: Sequence[str | Path], options: ExploreOptions
) -> list[tuple[WeighedNetwork, str | None, tuple[str, ...]]]:
    """Networks with their samples; where these come from; remarks."""
    if not models:
        raise InputError("expected at least one model, got none")
    if len(inputs) not in (0, 1, len(models)):
        raise InputError(
            f"sample inputs: expected none, one for all networks, or one for each of {len(models)}, got {len(inputs)}"
        )
    networks = [model if isinstance(model, Network) else load(model) for model in models]
    names = [network.path.name for network in networks]
    if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
        raise InputError(f"{twice}: expected files of different names, got {names.count(twice)} with this one: rename")
    if (unknown := next((name for name in space.networks if name not in names), None)) is not None:
        raise InputError(f"networks: {unknown}: expected one of {', '.join(names)}: give weights by file name")
    sources = [str(inputs[min(place, len(inputs) - 1)]) if inputs else None for place in range(len(models))]
    found = []
    for network, source in zip(networks, sources, strict=True):
        _, notes = simulated_layers(network)
        samples, sample_notes = samples_or_random(network, source, options.search.seed)
        content = _content(network, samples, options.cluster is not None)
        weighed = WeighedNetwork(network, content, space.networks.get(network.path.name, 1.0))
        where = None if source is None else printable_name(source)
        found.append((weighed, where, (*network.notes, *sample_notes, *notes)))
    return found


def _content(network: Network, samples: Samples, whole: bool) -> NetworkContent:
    """What processes need to have of a network; on a cluster, the whole file."""
    return NetworkContent(
        sha256=network.sha256,
        file=network.path.name,
        path=None if whole else str(network.path.absolute()),
        content=read_plain(network.path) if whole else None,
        samples=samples,
        samples_digest=digest_of(*(part for feeds in samples.feeds for part in _parts(feeds))),
    )


def _parts(feeds: Mapping[str, NDArray[Any]]) -> list[bytes | str]:
    return [
        part
        for name, values in sorted(feeds.items())
        for part in (name, str(values.dtype), str(values.shape), np.ascontiguousarray(values).tobytes())
    ]
