"""What each step of an optimization is worth, as data: the waterfall of ``fewflips optimize --explain``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fewflips.records.record import Count, Record

Energy = Annotated[float | None, Field(ge=0, description="in pJ; null if not simulated (--energy)")]


class Figures(Record):
    """Flips and energy of one inference: of a layer, or of all."""

    weight_flips: Annotated[Count, Field(description="at the weight port, within passes")]
    weight_seam_flips: Annotated[Count, Field(description="at the weight port, from one pass to the next")]
    activation_flips: Annotated[
        Count | None, Field(description="at the activation port, within passes; null if not measured")
    ]
    zero_delay_data_pj: Energy
    inertial_data_pj: Annotated[Energy, Field(description="glitches included")]
    whole_pj: Annotated[Energy, Field(description="the whole bill: units with clock and leakage, and memories")]


class WaterfallStage(Record):
    """Figures after one step."""

    name: Annotated[str, Field(description="the stage's; `baseline` for the network as stored")]
    start: Annotated[str | None, Field(description="the stage that its change counts from; null for the baseline")]
    main: Annotated[bool, Field(description="whether it is on the way to the result whose figures come first")]
    total: Figures
    layers: Annotated[tuple[Figures, ...], Field(description="in the order of the report's `layers`")]
