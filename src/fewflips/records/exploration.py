"""A search among machines as data: the content of ``exploration.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from fewflips.machine import Accelerator
from fewflips.records.bill import Bill
from fewflips.records.model_file import ModelFile
from fewflips.records.record import Count, Record

Measure = Literal[
    "whole_pj",
    "datapath_pj",
    "area_um2",
    "critical_path_ns",
    "index_table_bits",
    "cycles",
    "latency_us",
    "slack_ns",
]
"""What machines are compared by."""

Precision = Literal["estimate", "gate-level"]
"""``estimate``: toggles of a sample of cycles at gate level, on an array of 16 columns, charged to this machine's own
columns, clock and buffers. ``gate-level``: toggles of this very array."""


class LayerCost(Record):
    """One layer on one machine."""

    name: str
    cycles: Annotated[Count, Field(description="of the array, in one inference")]
    index_table_bits: Annotated[Count, Field(description="orders of the layer as a table; 0 in natural order")]
    bill: Annotated[Bill, Field(description="units by part, and buffers")]
    half_width_pj: Annotated[float, Field(ge=0, description="half of the 95 % confidence interval; 0 if exact")]


class Measures(Record):
    """What a machine costs, for all networks, each as often as it is weighted."""

    whole_pj: Annotated[float, Field(ge=0, description="arithmetic units and buffers")]
    datapath_pj: Annotated[float, Field(ge=0, description="arithmetic units, glitches, clock and leakage included")]
    area_um2: Annotated[float, Field(ge=0, description="all arithmetic units of the array, without buffers")]
    critical_path_ns: Annotated[float, Field(ge=0, description="longest path of a unit from register to register")]
    index_table_bits: Annotated[float, Field(ge=0, description="orders of the largest network's schedule")]
    cycles: Annotated[float, Field(ge=0, description="of the array")]
    latency_us: Annotated[float, Field(ge=0, description="cycles at the machine's clock")]
    slack_ns: Annotated[float, Field(description="clock period less critical path")]
    half_width_pj: Annotated[
        float, Field(ge=0, description="half of the 95 % confidence interval of both energies; 0 if exact")
    ]


class NetworkCost(Record):
    """One network on one machine, one inference."""

    network: Annotated[str, Field(description="file name")]
    whole_pj: Annotated[float, Field(ge=0)]
    datapath_pj: Annotated[float, Field(ge=0)]
    half_width_pj: Annotated[float, Field(ge=0, description="half of the 95 % confidence interval of both energies")]
    cycles: Count
    index_table_bits: Count
    bill: Annotated[Bill, Field(description="sum over the layers")]
    dataflows: Annotated[
        dict[str, str], Field(description="the dataflow of each layer, where the machine has several; else empty")
    ]


class ExploredMachine(Record):
    """A machine that was evaluated."""

    index: Annotated[int, Field(ge=-1, description="number in the space; -1 for the baseline")]
    choices: Annotated[dict[str, str], Field(description="the value of everything that varies")]
    orders: Literal["natural", "schedule", "drop-in"]
    cells: str
    clock_mhz: Annotated[float, Field(gt=0)]
    measures: Measures
    precision: Precision
    share: Annotated[float, Field(gt=0, le=1, description="share of the cycles that was asked for")]
    allowed: Annotated[bool, Field(description="whether it is within the constraints")]
    on_front: Annotated[bool, Field(description="whether no allowed machine is better in every objective")]
    separated: Annotated[
        bool, Field(description="whether it is on the front wherever in their intervals the energies lie")
    ]


class DetailedMachine(ExploredMachine):
    """A machine of the front, or another one that is shown in full."""

    modes: Annotated[
        tuple[Accelerator, ...], Field(min_length=1, description="the machine, once for each of its dataflows")
    ]
    networks: tuple[NetworkCost, ...]


class BestForNetwork(Record):
    """The machine on which one network alone costs least."""

    network: str
    index: Count
    objective: Annotated[Measure, Field(description="the first objective that depends on the network")]
    value: float


class AblationEntry(Record):
    """What one choice of the best machine is worth: the same machine with another one."""

    dimension: str
    best: Annotated[str, Field(description="choice of the best machine")]
    other: str
    index: Annotated[int | None, Field(description="number of the other machine; null if there can be none")]
    change_percent: Annotated[
        dict[Measure, float], Field(description="change of each objective by the other choice; empty if there is none")
    ]
    precision: Annotated[Precision | None, Field(description="of the other machine's energy")]
    reason: Annotated[str, Field(description="why there is no such machine; empty if there is one")] = ""


class Against(Record):
    """A given machine in natural order, and what those that were found cost less."""

    source: Annotated[str, Field(description="as given to --against")]
    baseline: DetailedMachine
    best: Annotated[int, Field(description="number of the best machine")]
    times: Annotated[
        dict[Measure, float], Field(description="baseline / best machine, for each objective; null sums left out")
    ]


class ContradictionCount(Record):
    """Machines that cannot be, for one reason."""

    reason: str
    machines: Annotated[int, Field(ge=1)]
    example: Annotated[int, Field(ge=0, description="number of one of them")]


class WeightedNetwork(Record):
    """A network, and how often it runs."""

    model: ModelFile
    weight: Annotated[float, Field(gt=0, description="inferences in what is compared")]
    inputs: Annotated[str | None, Field(description="sample inputs; null for random inputs")]
    samples: Count


class SearchSettings(Record):
    """How the space was searched."""

    method: Literal["exhaustive", "optuna"]
    seed: Count
    jobs: int
    cluster: Annotated[str | None, Field(description="address of the Dask scheduler; null for this machine")]
    time_limit_s: Annotated[float | None, Field(description="null: none")]
    share: Annotated[float, Field(gt=0, le=1, description="share of the cycles that is simulated first")]
    largest_share: Annotated[float, Field(gt=0, le=1, description="share up to which the front is simulated")]
    step_ps: Annotated[float, Field(gt=0)]


class SearchWork(Record):
    """What the search did; times and counts of this run, without what the store had already."""

    machines: Annotated[int, Field(ge=0, description="of the space")]
    evaluated: Annotated[int, Field(ge=0, description="machines with a result")]
    gate_level: Annotated[int, Field(ge=0, description="of these, at gate level on their own array")]
    outside: Annotated[int, Field(ge=0, description="machines whose unit alone is outside the constraints")]
    simulations: Annotated[int, Field(ge=0, description="networks simulated in this run, one unit and order each")]
    layers_found: Annotated[int, Field(ge=0, description="results of layers that the store had")]
    layers_simulated: Annotated[int, Field(ge=0, description="results of layers that this run made")]
    estimate_error_percent: Annotated[
        float | None,
        Field(ge=0, description="largest error of an estimated datapath energy; null if none was compared"),
    ]
    seconds: Annotated[float, Field(ge=0)]


class ExplorationReport(Record):
    """Result of ``fewflips explore``."""

    format: Literal["fewflips-exploration"] = "fewflips-exploration"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")]
    space: Annotated[dict[str, Any], Field(description="as read")]
    networks: tuple[WeightedNetwork, ...]
    settings: SearchSettings
    work: SearchWork
    complete: Annotated[bool, Field(description="false if the search was cut short")]
    objectives: tuple[Measure, ...]
    contradictions: tuple[ContradictionCount, ...]
    machines: Annotated[tuple[ExploredMachine, ...], Field(description="all that were evaluated, by number")]
    front: Annotated[tuple[DetailedMachine, ...], Field(description="by the first objective, best first")]
    best_per_network: tuple[BestForNetwork, ...]
    ablation: tuple[AblationEntry, ...]
    against: Against | None = None
    notes: tuple[str, ...] = ()
