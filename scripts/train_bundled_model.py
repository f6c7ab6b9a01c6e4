"""Train the int8 MobileNetV2 that the result starts from, on CIFAR-10, and write it as an ONNX QDQ model.

The network is trained from scratch in float, its batch normalization is folded into the
convolutions, and it is trained on with fake quantization: weights int8, symmetric, per output
channel; activations uint8, affine, per tensor, with ReLU6 absorbed in their range; both inputs
and the output of every residual sum quantized. The last epoch keeps the activation ranges fixed.

How docs/results/models/start_seed0.onnx was made (torch 2.13.0, two CPU cores shared with other work):
three runs, of which the first was stopped after 12 epochs and the second after 13, to shorten the
schedule, and each of the later ones went on from the checkpoint of the last whole epoch.

    python scripts/train_bundled_model.py --checkpoint run.pt --epochs 16
    python scripts/train_bundled_model.py --checkpoint run.pt --resume --epochs 15 --qat-epochs 2
    python scripts/train_bundled_model.py --checkpoint run.pt --resume --epochs 14 --qat-epochs 1

Width 0.5 and seed 0 are the defaults. Test accuracy: 81.14 % float, 81.10 % fake-quantized, 81.10 %
exported, in ONNX Runtime 1.32.0. Wall time 78 minutes, at 113 to 488 s a float epoch.
Another version of torch or another machine may round differently and end at other weights.

Needs torch, numpy, onnx, onnxruntime and pillow; evaluate_bundled_model.py describes the data file.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from evaluate_bundled_model import DATA, MODEL, count_hits, load_split, to_input

# (expansion, channels, blocks, stride of the first block), as in the MobileNetV2 paper, with the
# strides moved so that a 32x32 image reaches the pooling layer as a 4x4 map.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 1),
    (6, 64, 4, 1),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS, STEM_STRIDE, HEAD_CHANNELS, CLASSES = 32, 2, 1280, 10
BATCH = 128
FLOAT_LR, FLOAT_WARMUP, FLOAT_WEIGHT_DECAY = 0.1, 0.1, 5e-4
QAT_LR = 2e-4
LABEL_SMOOTHING = 0.1
CALIBRATION_BATCHES = 20
RANGE_MOMENTUM = 0.02
LEVELS = 255  # activations are uint8 codes 0..255
WEIGHT_PEAK = 127  # weights are int8 codes -127..127
MIN_WEIGHT_SCALE = 1e-6
OPSET, IR_VERSION = 17, 8


Split = tuple[Tensor, Tensor]  # uint8 NHWC images, int64 labels


class Data(NamedTuple):
    train: Split
    test: Split


def load_data(path: Path) -> Data:
    """Both splits of CIFAR-10 as tensors."""
    splits = (load_split(path, name) for name in Data._fields)
    return Data(*((torch.from_numpy(images), torch.from_numpy(labels)) for images, labels in splits))


def to_float(images: Tensor) -> Tensor:
    """The same as evaluate_bundled_model.to_input, as a channels-last tensor."""
    return (images.permute(0, 3, 1, 2).float() - 128.0) / 128.0


def augment(images: Tensor, pad: int = 4) -> Tensor:
    """Random crop of the image padded with 128 (zero to the network) and random flip."""
    count, height, width, _ = images.shape
    padded = functional.pad(images, (0, 0, pad, pad, pad, pad), value=128)
    rows = torch.randint(0, 2 * pad + 1, (count, 1)) + torch.arange(height)
    cols = torch.randint(0, 2 * pad + 1, (count, 1)) + torch.arange(width)
    cols = torch.where(torch.randint(0, 2, (count, 1)).bool(), cols, cols.flip(1))
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], cols[:, None, :]]


def scaled(channels: int, width: float) -> int:
    """Channels at a width multiplier, rounded to a multiple of 8."""
    return max(8, int(channels * width + 4) // 8 * 8)


class ConvUnit(nn.Module):
    """Convolution, batch normalization and (except after a projection) ReLU6."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        relu6: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu6 = relu6

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return functional.relu6(x, inplace=True) if self.relu6 else x


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise (3x3), project (1x1), with a skip where the shapes allow one."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        if expansion != 1:
            self.expand = ConvUnit(inputs, hidden, 1)
        self.depthwise = ConvUnit(hidden, hidden, 3, stride, groups=hidden)
        self.project = ConvUnit(hidden, outputs, 1, relu6=False)
        self.residual = stride == 1 and inputs == outputs
        if self.residual:
            self.sum: nn.Module = nn.Identity()  # an activation quantizer after quantize()

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(x) if hasattr(self, "expand") else x
        y = self.project(self.depthwise(y))
        return self.sum(x + y) if self.residual else y


class MobileNetV2(nn.Module):
    """MobileNetV2 for 32x32 images; the Identity modules become quantizers in quantize()."""

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = scaled(STEM_CHANNELS, width)
        layers: list[nn.Module] = [ConvUnit(3, channels, 3, STEM_STRIDE)]
        for expansion, outputs, blocks, stride in STAGES:
            for block in range(blocks):
                block_stride = stride if block == 0 else 1
                layer = InvertedResidual(channels, scaled(outputs, width), block_stride, expansion)
                layers.append(layer)
                channels = scaled(outputs, width)
        layers.append(ConvUnit(channels, scaled(HEAD_CHANNELS, width), 1))
        self.input: nn.Module = nn.Identity()
        self.features = nn.Sequential(*layers)
        self.pool: nn.Module = nn.Identity()
        self.classifier: nn.Module = nn.Linear(scaled(HEAD_CHANNELS, width), CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.features(self.input(x)).mean((2, 3))))


class ActivationQuantizer(nn.Module):
    """Fake uint8 quantization, per tensor and affine; the range is a moving average of min/max.

    A ReLU6 in front of the quantizer is absorbed: the range is cut to [0, 6] and the saturation
    of the quantizer does the clipping, in training as in the exported model.
    """

    def __init__(self, relu6: bool = False) -> None:
        super().__init__()
        self.relu6 = relu6
        self.frozen = False
        self.register_buffer("low", torch.tensor(math.nan))
        self.register_buffer("high", torch.tensor(math.nan))

    def fix(self, low: float, high: float) -> ActivationQuantizer:
        """Use exactly this range and never observe."""
        self.low.fill_(low)
        self.high.fill_(high)
        self.frozen = True
        return self

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        low, high = torch.aminmax(x)
        low, high = low.clamp(max=0.0), high.clamp(min=1e-3)
        if self.relu6:
            low, high = low.clamp(min=0.0), high.clamp(max=6.0)
        first = bool(self.low.isnan())
        self.low.copy_(low if first else torch.lerp(self.low, low, RANGE_MOMENTUM))
        self.high.copy_(high if first else torch.lerp(self.high, high, RANGE_MOMENTUM))

    def scale_and_zero_point(self) -> tuple[Tensor, Tensor]:
        scale = (self.high - self.low) / LEVELS
        zero_point = torch.round(-self.low / scale).clamp(0, LEVELS)
        return scale, zero_point.to(torch.int32)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.frozen:
            self.observe(x)
        return torch.fake_quantize_per_tensor_affine(x, *self.scale_and_zero_point(), 0, LEVELS)


class QuantizedWeight(nn.Module):
    """A weight and bias with fake int8 quantization: symmetric, per output channel."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def scale(self) -> Tensor:
        peak = self.weight.detach().abs().flatten(1).amax(1)
        return (peak / WEIGHT_PEAK).clamp(min=MIN_WEIGHT_SCALE)

    def fake_quantized(self) -> Tensor:
        scale = self.scale()
        zero_point = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(self.weight, scale, zero_point, 0, -WEIGHT_PEAK, WEIGHT_PEAK)


class QuantizedConv(QuantizedWeight):
    """A ConvUnit with its batch normalization folded and its weight and output quantized."""

    def __init__(self, unit: ConvUnit) -> None:
        conv, bn = unit.conv, unit.bn
        gain = (bn.weight / torch.sqrt(bn.running_var + bn.eps)).detach()
        super().__init__(
            conv.weight.detach() * gain[:, None, None, None],
            bn.bias.detach() - bn.running_mean * gain,
        )
        self.stride, self.padding, self.groups = conv.stride, conv.padding, conv.groups
        self.output = ActivationQuantizer(unit.relu6)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.fake_quantized()
        x = functional.conv2d(x, weight, self.bias, self.stride, self.padding, groups=self.groups)
        return self.output(x)


class QuantizedLinear(QuantizedWeight):
    """The classifier with its weight quantized; the logits stay float."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.weight.detach().clone(), linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.fake_quantized(), self.bias)


def quantize(model: MobileNetV2) -> MobileNetV2:
    """Replace, in place, every layer of a float model by its fake-quantized form."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ConvUnit):
                setattr(parent, name, QuantizedConv(child))
        if isinstance(parent, InvertedResidual) and parent.residual:
            parent.sum = ActivationQuantizer()
    model.input = ActivationQuantizer().fix(-1.0, 127 / 128)
    model.pool = ActivationQuantizer()
    model.classifier = QuantizedLinear(model.classifier)
    return model.to(memory_format=torch.channels_last)


def freeze_ranges(model: nn.Module) -> None:
    """Stop every activation quantizer from moving its range."""
    for module in model.modules():
        if isinstance(module, ActivationQuantizer):
            module.frozen = True


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy in percent."""
    model.eval()
    hits = 0
    for x, y in zip(images.split(500), labels.split(500), strict=True):
        hits += int((model(to_float(x)).argmax(1) == y).sum())
    return 100.0 * hits / len(labels)


@dataclass(frozen=True)
class Stage:
    """A part of the training with its own learning rate schedule."""

    name: str
    epochs: int
    peak: float
    warmup: float  # as a share of the stage

    def learning_rate(self, epoch: float) -> float:
        """Linear warm-up, then half a cosine to zero."""
        progress = epoch / self.epochs
        if progress < self.warmup:
            return self.peak * (0.1 + 0.9 * progress / self.warmup)
        progress = (progress - self.warmup) / (1.0 - self.warmup)
        return self.peak * 0.5 * (1.0 + math.cos(math.pi * progress))


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, train: Split, stage: Stage, epoch: int) -> float:
    """One pass over the training images; returns the mean loss."""
    images, labels = train
    model.train()
    batches = torch.randperm(len(labels))[: len(labels) // BATCH * BATCH].split(BATCH)
    total = 0.0
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate(epoch + step / len(batches))
        logits = model(to_float(augment(images[batch])))
        loss = functional.cross_entropy(logits, labels[batch], label_smoothing=LABEL_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(batches)


@dataclass(frozen=True)
class Run:
    """Where the checkpoints go and, when resuming, what the last one held."""

    path: Path
    seed: int
    state: dict | None

    def start(self, stage: Stage, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """The first epoch to train; loads the checkpoint if it is of this stage."""
        if self.state is None or self.state["stage"] != stage.name:
            return 0
        model.load_state_dict(self.state["model"])
        optimizer.load_state_dict(self.state["optimizer"])
        return self.state["epoch"]

    def save(self, stage: Stage, epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write atomically: a run that is cut off leaves the previous checkpoint whole."""
        state = {"stage": stage.name, "epoch": epoch, "model": model.state_dict()}
        partial = self.path.with_suffix(".partial")
        torch.save(state | {"optimizer": optimizer.state_dict()}, partial)
        os.replace(partial, self.path)


def float_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """SGD, with weight decay on the weights only."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": FLOAT_WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=FLOAT_LR, momentum=0.9, nesterov=True)


@torch.no_grad()
def calibrate(model: nn.Module, train: Split) -> None:
    """Give the activation quantizers their first ranges."""
    model.train()
    for batch in torch.randperm(len(train[1])).split(BATCH)[:CALIBRATION_BATCHES]:
        model(to_float(augment(train[0][batch])))


def run_stage(stage: Stage, model: nn.Module, optimizer: torch.optim.Optimizer, data: Data, run: Run) -> None:
    """Train up to the last epoch of a stage, with a checkpoint after every epoch."""
    for epoch in range(run.start(stage, model, optimizer), stage.epochs):
        torch.manual_seed(run.seed + 1000 * (stage.name == "qat") + epoch + 1)
        if stage.name == "qat" and epoch == stage.epochs - 1:
            freeze_ranges(model)
        began = time.monotonic()
        loss = train_epoch(model, optimizer, data.train, stage, epoch)
        run.save(stage, epoch + 1, model, optimizer)
        print(
            f"{stage.name} epoch {epoch + 1}/{stage.epochs}: loss {loss:.4f}, test accuracy "
            f"{accuracy(model, *data.test):.2f} %, {time.monotonic() - began:.0f} s",
            flush=True,
        )


def fit(args: argparse.Namespace, data: Data) -> MobileNetV2:
    """Float training, then quantization-aware training, resuming where the checkpoint says."""
    torch.manual_seed(args.seed)
    run = Run(args.checkpoint, args.seed, torch.load(args.checkpoint) if args.resume else None)
    model = MobileNetV2(args.width).to(memory_format=torch.channels_last)
    in_qat = run.state is not None and run.state["stage"] == "qat"
    if not in_qat:
        stage = Stage("float", args.epochs, FLOAT_LR, FLOAT_WARMUP)
        run_stage(stage, model, float_optimizer(model), data, run)
    model = quantize(model)
    if not in_qat:
        calibrate(model, data.train)
        print(f"calibrated: test accuracy {accuracy(model, *data.test):.2f} %", flush=True)
    stage = Stage("qat", args.qat_epochs, QAT_LR, 0.0)
    run_stage(stage, model, torch.optim.Adam(model.parameters(), lr=QAT_LR), data, run)
    return model


class QdqGraph:
    """An ONNX graph in QDQ form, built layer by layer."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: list[str], name: str, output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name, **attributes))
        return output

    def constant(self, name: str, values: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def activation(self, tensor: str, name: str, quantizer: ActivationQuantizer) -> str:
        """QuantizeLinear and DequantizeLinear after a tensor."""
        scale, zero_point = quantizer.scale_and_zero_point()
        parameters = [
            self.constant(f"{name}.scale", scale.numpy().astype(np.float32)),
            self.constant(f"{name}.zero_point", zero_point.numpy().astype(np.uint8)),
        ]
        codes = self.node("QuantizeLinear", [tensor, *parameters], f"{name}.quantize", f"{name}.codes")
        return self.node("DequantizeLinear", [codes, *parameters], f"{name}.dequantize", f"{name}.values")

    def parameter(self, name: str, codes: np.ndarray, scale: np.ndarray) -> str:
        """An integer constant and its DequantizeLinear, one scale per output channel."""
        inputs = [
            self.constant(f"{name}.codes", codes),
            self.constant(f"{name}.scale", scale.astype(np.float32)),
            self.constant(f"{name}.zero_point", np.zeros(scale.shape, codes.dtype)),
        ]
        return self.node("DequantizeLinear", inputs, f"{name}.dequantize", f"{name}.values", axis=0)

    def weight_and_bias(self, name: str, layer: QuantizedWeight, input_scale: float) -> list[str]:
        """int8 weight and int32 bias; the scale of the bias is input scale * weight scale."""
        scale = layer.scale()
        columns = scale.view(-1, *[1] * (layer.weight.ndim - 1))
        codes = torch.round(layer.fake_quantized() / columns)
        bias_scale = scale.numpy() * np.float32(input_scale)
        bias_codes = np.rint(layer.bias.numpy().astype(np.float64) / bias_scale)
        return [
            self.parameter(f"{name}.weight", codes.numpy().astype(np.int8), scale.numpy()),
            self.parameter(f"{name}.bias", bias_codes.astype(np.int32), bias_scale),
        ]

    def conv(
        self, x: str, name: str, layer: QuantizedConv, before: ActivationQuantizer
    ) -> tuple[str, ActivationQuantizer]:
        """A convolution with a quantized output; the ReLU6 is in the range of that output."""
        parameters = self.weight_and_bias(name, layer, float(before.scale_and_zero_point()[0]))
        attributes = {
            "group": layer.groups,
            "kernel_shape": list(layer.weight.shape[2:]),
            "strides": list(layer.stride),
            "pads": list(layer.padding) * 2,
        }
        y = self.node("Conv", [x, *parameters], name, f"{name}.conv", **attributes)
        return self.activation(y, f"{name}.output", layer.output), layer.output

    def block(
        self, x: str, name: str, block: InvertedResidual, before: ActivationQuantizer
    ) -> tuple[str, ActivationQuantizer]:
        """An inverted residual, with a quantized sum where it has a skip."""
        y, quantizer = x, before
        for part, layer in block.named_children():
            if isinstance(layer, QuantizedConv):
                y, quantizer = self.conv(y, f"{name}.{part}", layer, quantizer)
        if not block.residual:
            return y, quantizer
        total = self.node("Add", [x, y], f"{name}.add", f"{name}.sum")
        return self.activation(total, f"{name}.add.output", block.sum), block.sum


@torch.no_grad()
def to_onnx(model: MobileNetV2) -> onnx.ModelProto:
    """The quantized network as an ONNX model with a free batch size."""
    model.eval()
    graph = QdqGraph()
    x, quantizer = graph.activation("input", "input.output", model.input), model.input
    for index, layer in enumerate(model.features):
        emit = graph.block if isinstance(layer, InvertedResidual) else graph.conv
        x, quantizer = emit(x, f"features.{index}", layer, quantizer)
    x = graph.node("GlobalAveragePool", [x], "pool", "pool.mean")
    x = graph.activation(x, "pool.output", model.pool)
    x = graph.node("Flatten", [x], "flatten", "flatten.flat")
    x = graph.activation(x, "flatten.output", model.pool)
    pool_scale = float(model.pool.scale_and_zero_point()[0])
    parameters = graph.weight_and_bias("classifier", model.classifier, pool_scale)
    graph.node("Gemm", [x, *parameters], "classifier", "logits", transB=1)
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 32, 32])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "mobilenet_v2_cifar10_int8", inputs, outputs, graph.initializers),
        producer_name="fewflips scripts/train_bundled_model.py",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto


def describe(proto: onnx.ModelProto, args: argparse.Namespace, trained: float, exported: float) -> None:
    """Write into the model how it was made and what it reaches."""
    proto.doc_string = (
        "MobileNetV2 for CIFAR-10, int8 (QDQ), trained from scratch with quantization-aware "
        "training by scripts/train_bundled_model.py of fewflips. Input: (pixel - 128) / 128, RGB, "
        "NCHW. Activations uint8 affine per tensor with ReLU6 in their range; weights int8 "
        "symmetric per output channel, -127..127."
    )
    properties = {
        "training_script": "scripts/train_bundled_model.py",
        "dataset": "CIFAR-10",
        "classes": "airplane automobile bird cat deer dog frog horse ship truck",
        "width": str(args.width),
        "float_epochs": str(args.epochs),
        "qat_epochs": str(args.qat_epochs),
        "seed": str(args.seed),
        "test_accuracy_fake_quantized_percent": f"{trained:.2f}",
        "test_accuracy_onnxruntime_percent": f"{exported:.2f}",
    }
    helper.set_model_props(proto, properties)


def write_samples(path: Path, test: Split) -> None:
    """The first test image of every class, as the input of the model, and its label."""
    images, labels = test[0].numpy(), test[1].numpy()
    first = np.array([np.flatnonzero(labels == label)[0] for label in range(CLASSES)])
    np.savez_compressed(path, input=to_input(images[first]), labels=labels[first])


def export(model: MobileNetV2, args: argparse.Namespace, test: Split) -> None:
    """Write the ONNX file and the samples, with the accuracies measured on the test images."""
    proto = to_onnx(model)
    trained = accuracy(model, *test)
    hits = count_hits(proto.SerializeToString(), test[0].numpy(), test[1].numpy())
    exported = 100.0 * hits / len(test[1])
    print(f"test accuracy: fake-quantized {trained:.2f} %, ONNX Runtime {exported:.2f} %")
    describe(proto, args, trained, exported)
    args.output.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, args.output / MODEL.name)
    write_samples(args.output / "cifar10_samples.npz", test)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--output", type=Path, default=MODEL.parent)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--qat-epochs", type=int, default=3)
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    data = load_data(args.data)
    export(fit(args, data), args, data.test)


if __name__ == "__main__":
    main()
