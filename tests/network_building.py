"""Networks as graphs alone, written down by hand, for tests of everything that follows channels."""

from __future__ import annotations

from pathlib import Path

from fewflips.network.graph import ConstantAxis, Network, Operation, OperationKind, Tensor

PRODUCT, CHANNELWISE, CONCATENATION = OperationKind.PRODUCT, OperationKind.CHANNELWISE, OperationKind.CONCATENATION
RESHAPE, OPAQUE = OperationKind.RESHAPE, OperationKind.OPAQUE


class GraphBuilder:
    """Collects tensors and operations; channels are the last axis unless said otherwise."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.operations: list[Operation] = []

    def tensor(self, name: str, *shape: int, channel_axis: int | None = -1, constant: bool = False) -> str:
        axis = None if constant or channel_axis is None else channel_axis % len(shape)
        self.tensors[name] = Tensor(name, shape, axis, constant)
        return name

    def product(self, source: str, result: str, *shape: int, channel_axis: int | None = -1) -> None:
        """A 1x1 convolution or fully connected operator with weights (N, K) and a bias."""
        self.tensor(result, *shape, channel_axis=channel_axis)
        outputs = shape[channel_axis]
        inputs = self.tensors[source].shape[self.tensors[source].channel_axis]
        self.tensor(f"{result}.w", outputs, inputs, constant=True)
        self.tensor(f"{result}.b", outputs, constant=True)
        axes = (
            ConstantAxis(f"{result}.w", 0, "output"),
            ConstantAxis(f"{result}.w", 1, "input"),
            ConstantAxis(f"{result}.b", 0, "output"),
        )
        self.operations.append(Operation(result, "PRODUCT", PRODUCT, (source,), (result,), axes))

    def operation(
        self, kind: OperationKind, sources: tuple[str, ...], result: str, *shape: int, channel_axis: int | None = -1
    ) -> None:
        self.tensor(result, *shape, channel_axis=channel_axis)
        self.operations.append(Operation(result, kind.name, kind, sources, (result,)))

    def network(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Network:
        return Network(
            path=Path("hand.tflite"),
            file_format="tflite",
            sha256="0" * 64,
            layers=(),
            tensors=self.tensors,
            operations=tuple(self.operations),
            inputs=inputs,
            outputs=outputs,
        )
