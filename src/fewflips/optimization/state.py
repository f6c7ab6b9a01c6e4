"""What the steps of an optimization change: the network, and the orders in which its words stream."""

from __future__ import annotations

from dataclasses import dataclass, field

from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.optimization.model_files import ModelFiles


@dataclass(frozen=True, eq=False)
class State:
    """A network on a machine, as one step leaves it and the next one finds it.

    Parameters
    ----------
    network : Network
        The network as it is now.
    accelerator : Accelerator
        The machine; steps leave it as it is.
    orders : mapping of str to tuple of Segment
        Segments of each layer of `network`, by its name, in the order in which their words stream.
    files : ModelFiles or None
        The files that hold `network`, where a step has rewritten it; None for the model as it was given.
    """

    network: Network
    accelerator: Accelerator
    orders: LayerOrders = field(repr=False)
    files: ModelFiles | None = field(default=None, repr=False)

    @classmethod
    def stored(cls, network: Network, accelerator: Accelerator, files: ModelFiles | None = None) -> State:
        """A network whose words stream in natural order.

        Parameters
        ----------
        network : Network
            The network.
        accelerator : Accelerator
            The machine.
        files : ModelFiles or None
            The files that hold the network, where a step has rewritten it.

        Returns
        -------
        State
            With the segments as the dataflow cuts them.
        """
        return cls(network, accelerator, natural_orders(network, accelerator), files)
