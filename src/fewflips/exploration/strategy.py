"""Finds the front of a space: by estimates first, then at gate level what may be on the front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fewflips.errors import InputError
from fewflips.exploration.candidates import Candidate, Contradiction
from fewflips.exploration.evaluate import Fidelity
from fewflips.exploration.front import certain_front, possible_front
from fewflips.exploration.optimizer import Optimizer
from fewflips.exploration.search import Found, OutOfTime, Search, best_for_networks

MOST_ENUMERATED = 100_000
"""Machines of a space up to which each is made and checked."""

_LEAST_MARGIN = 0.01
"""Relative error of an estimate that is reckoned with before any is compared with gate level."""
_SAFETY = 1.5
"""How much larger than the largest error seen an estimate's error may be."""
_MEASURES_OF_THE_UNIT = ("critical_path_ns", "slack_ns")


def find_front(search: Search) -> Found:
    """Search until the end, or until the time limit.

    Parameters
    ----------
    search : Search
        A search that has just begun.

    Returns
    -------
    Found
        What was found, which is in ``search.found`` too if an exception ends the search.

    Raises
    ------
    InputError
        If the space holds no machine that can be, or is too large for an exhaustive search.
    """
    found = search.found
    try:
        candidates = _estimate(search)
        _refine(search, candidates)
        found.complete = True
    except OutOfTime:
        pass
    finally:
        refused = {number: reason for number, reason in search.evaluator.refused.items() if number >= 0}
        found.contradictions.update(refused)
    if found.complete and not found.costs:
        raise _empty(search)
    return found


def _estimate(search: Search) -> dict[int, Candidate]:
    """Estimate all machines, or those that an optimizer asks for."""
    options, count = search.options, search.machines.count
    if count > MOST_ENUMERATED and options.method == "exhaustive":
        sizes = " x ".join(f"{one.name} {len(one.choices)}" for one in search.machines.dimensions)
        raise InputError(
            f"space {search.machines.space.name}: expected at most {MOST_ENUMERATED} machines for an exhaustive "
            f"search, got {count} ({sizes}): narrow it, or let an optimizer search it (--search optuna)"
        )
    if count <= MOST_ENUMERATED:
        candidates = _enumerate(search)
        if options.method == "exhaustive" or (
            options.method is None and _simulations(search, candidates.values()) <= options.simulations
        ):
            search.estimate(list(candidates.values()))
            return candidates
    search.found.method = "optuna"
    return Optimizer(search).run()


def _enumerate(search: Search) -> dict[int, Candidate]:
    candidates: dict[int, Candidate] = {}
    for index, one in enumerate(search.machines):
        if isinstance(one, Contradiction):
            search.found.contradictions[index] = str(one)
        else:
            candidates[index] = one
    if not candidates:
        raise _empty(search)
    return candidates


def _simulations(search: Search, candidates: Iterable[Candidate]) -> int:
    """How many simulations of the workload estimates of some machines take."""
    return len({circuit for candidate in candidates for circuit in search.evaluator.circuits(candidate)})


def _refine(search: Search, candidates: dict[int, Candidate]) -> None:
    """Simulate machines that may be on the front on their own arrays, until none is left that was not."""
    margin = _LEAST_MARGIN
    while True:
        doubtful = possible_front(search.boxes(margin)) | _best_for_a_network(search)
        wanted = [candidates[number] for number in sorted(doubtful) if number not in search.found.gate_level]
        wanted = [one for one in wanted if one.index not in search.evaluator.refused]
        if not wanted:
            break
        search.evaluate(wanted, Fidelity("gate-level", search.options.share), search.found.gate_level)
        margin = max(_LEAST_MARGIN, _SAFETY * (search.found.estimate_error or 0.0))
    _separate(search, candidates)


def _separate(search: Search, candidates: dict[int, Candidate]) -> None:
    """Simulate more cycles of machines of which the intervals do not say whether they are on the front."""
    boxes = search.boxes()
    doubtful = possible_front(boxes) - certain_front(boxes)
    wanted = [candidates[number] for number in sorted(doubtful)]
    if wanted and search.options.largest_share > search.options.share:
        search.evaluate(wanted, Fidelity("gate-level", search.options.largest_share), search.found.gate_level)


def _best_for_a_network(search: Search) -> set[int]:
    """The machine on which each network alone costs least."""
    return set(best_for_networks([cost for cost in search.found.costs.values() if search.allowed(cost)]))


def _empty(search: Search) -> InputError:
    """What to say where no machine is left."""
    name, reasons = search.machines.space.name, Counter(search.found.contradictions.values()).most_common(2)
    why = "; ".join(f"{reason} ({count} of them)" for reason, count in reasons)
    if search.found.outside:
        names = ", ".join(name for name in search.machines.space.constraints if name in _MEASURES_OF_THE_UNIT)
        return InputError(
            f"space {name}: expected a machine within the constraints, got none: {names} leaves out all "
            f"{len(search.found.outside)}: widen them"
        )
    return InputError(f"space {name}: expected machines that can be, got none of {search.machines.count}: {why}")
