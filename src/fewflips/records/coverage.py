"""How much of a network its layers cover: products that are counted, and products that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from fewflips.network.graph import LeftOut, Network
from fewflips.network.layer import Layer
from fewflips.records.record import Count, Record


class LeftOutProducts(Record):
    """Products of one kind that are left out for the same reason."""

    operator: str
    reason: str
    names: tuple[str, ...]
    macs: Annotated[Count, Field(description="total MACs per inference, where known")]
    unknown: Annotated[Count, Field(description="how many of these have an unknown number of MACs")]


class Coverage(Record):
    """Share of a network's multiply-accumulate operations that a report covers."""

    products: Annotated[Count, Field(description="number of layers counted")]
    macs: Annotated[Count, Field(description="MACs of these layers per inference")]
    left_out_products: Annotated[
        Count, Field(description="convolutions, matrix products and similar operators that are not counted")
    ]
    left_out_macs: Annotated[Count, Field(description="MACs of the products left out, where known")]
    unknown_products: Annotated[Count, Field(description="products left out whose number of MACs is unknown")]
    share: Annotated[
        float,
        Field(ge=0, le=1, description="macs / (macs + left_out_macs): an upper limit where some are unknown"),
    ]
    left_out: tuple[LeftOutProducts, ...] = ()


def coverage_of(network: Network, layers: Sequence[Layer] | None = None, reason: str = "") -> Coverage:
    """The share of a network that some of its layers cover.

    Parameters
    ----------
    network : Network
        The network.
    layers : sequence of Layer, optional
        Layers in a report; all of them by default.
    reason : str
        Why the other layers are left out.

    Returns
    -------
    Coverage
        Products and multiply-accumulate operations of one inference.
    """
    counted = network.layers if layers is None else layers
    names = {layer.name for layer in counted}
    others = [layer for layer in network.layers if layer.name not in names]
    left_out = [*(LeftOut(layer.name, layer.operator, reason, layer.macs) for layer in others), *network.left_out]
    known = sum(product.macs or 0 for product in left_out)
    macs = sum(layer.macs for layer in counted)
    return Coverage(
        products=len(counted),
        macs=macs,
        left_out_products=len(left_out),
        left_out_macs=known,
        unknown_products=sum(product.macs is None for product in left_out),
        share=macs / (macs + known) if macs + known else 0.0,
        left_out=_grouped(left_out),
    )


def _grouped(left_out: Sequence[LeftOut]) -> tuple[LeftOutProducts, ...]:
    """Group products by kind and reason, in order of first appearance."""
    groups: dict[tuple[str, str], list[LeftOut]] = {}
    for product in left_out:
        groups.setdefault((product.operator, product.reason), []).append(product)
    return tuple(
        LeftOutProducts(
            operator=operator,
            reason=reason,
            names=tuple(product.name for product in group),
            macs=sum(product.macs or 0 for product in group),
            unknown=sum(product.macs is None for product in group),
        )
        for (operator, reason), group in groups.items()
    )
