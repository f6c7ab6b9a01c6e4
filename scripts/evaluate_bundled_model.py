"""Print the CIFAR-10 test accuracy of the bundled int8 models in ONNX Runtime.

    python scripts/evaluate_bundled_model.py --data cifar10_jpeg.npz
    python scripts/evaluate_bundled_model.py --data cifar10_jpeg.npz --state

`--state` also writes each accuracy into the model's metadata, from which `fewflips demo` takes it. The data file
holds, for each split, the JPEG files of the images one after the other (`test_jpeg`, uint8), where each one begins
and ends (`test_offsets`) and the labels (`test_labels`). Needs fewflips, and nothing more.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from fewflips.bundled import ACCURACY_PROPERTY, BASELINE, HD_TRAINED, stated_accuracy_percent
from fewflips.files.atomic import atomic_write

FOLDER = Path(__file__).parents[1] / "src/fewflips/data"
MODEL = FOLDER / BASELINE
DATA = Path("../shared/data/cifar10_jpeg.npz")
BATCH = 500


def load_split(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Decode one split to (uint8 NHWC images, int64 labels)."""
    with np.load(path) as archive:
        stream, offsets = archive[f"{split}_jpeg"].tobytes(), archive[f"{split}_offsets"]
        labels = archive[f"{split}_labels"].astype(np.int64)
    images = np.empty((len(labels), 32, 32, 3), dtype=np.uint8)
    for i in range(len(labels)):
        with Image.open(io.BytesIO(stream[offsets[i] : offsets[i + 1]])) as image:
            images[i] = np.asarray(image.convert("RGB"))
    return images, labels


def to_input(images: np.ndarray) -> np.ndarray:
    """uint8 NHWC pixels -> float32 NCHW in [-1, 1), so that the first quantizer loses nothing."""
    scaled = (images.astype(np.float32) - 128.0) / 128.0
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def count_hits(model: str | bytes, images: np.ndarray, labels: np.ndarray) -> int:
    """How many images an ONNX model (a path or its bytes) classifies as labelled."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    hits = 0
    for begin in range(0, len(labels), BATCH):
        end = begin + BATCH
        (logits,) = session.run(None, {name: to_input(images[begin:end])})
        hits += int((logits.argmax(1) == labels[begin:end]).sum())
    return hits


def state_accuracy(model: Path, percent: float) -> None:
    """Write an accuracy into a model's metadata, and leave everything else as it is."""
    proto = onnx.load(model)
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    onnx.helper.set_model_props(proto, properties | {ACCURACY_PROPERTY: f"{percent:.2f}"})
    atomic_write(model, proto.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the CIFAR-10 file")
    parser.add_argument(
        "--model", type=Path, action="append", help="an ONNX file in place of the two bundled ones; may be repeated"
    )
    parser.add_argument("--state", action="store_true", help="write the accuracies into the files' metadata")
    args = parser.parse_args()
    images, labels = load_split(args.data, "test")
    for model in args.model or [MODEL, FOLDER / HD_TRAINED]:
        hits = count_hits(str(model), images, labels)
        percent = 100 * hits / len(labels)
        if args.state:
            state_accuracy(model, percent)
        stated = stated_accuracy_percent(model)
        print(
            f"{model.name} ({model.stat().st_size} bytes), onnxruntime {onnxruntime.__version__}: {hits} of "
            f"{len(labels)} test images correct, {percent:.2f} %; stated: "
            f"{'nothing' if stated is None else f'{stated:.2f} %'}"
        )


if __name__ == "__main__":
    main()
