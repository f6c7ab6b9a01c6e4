"""Networks that are compared, and where they lie."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fewflips.errors import InputError


@dataclass(frozen=True)
class Candidate:
    """A network file.

    Parameters
    ----------
    network : str
        What it computes; networks of the same name are alternatives to one another.
    training : str
        How it was trained, for reports.
    path : Path
        The file.
    inputs : Path or None
        Sample inputs, of which the first is used; None for one random input.
    record : Path or None
        Record of its training, which states the accuracy on test images.
    """

    network: str
    training: str
    path: Path
    inputs: Path | None
    record: Path | None = None

    @property
    def accuracy_percent(self) -> float | None:
        """Accuracy on the test images as its record states it; None if there is none."""
        if self.record is None:
            return None
        content = json.loads(self.record.read_text(encoding="utf-8"))
        return float(content["accuracies"]["exported_percent"])


_MLPERF_TINY = {
    "MLPerf Tiny anomaly detection": "mlperf_tiny_ad_autoencoder_int8.tflite",
    "MLPerf Tiny keyword spotting": "mlperf_tiny_kws_dscnn_int8.tflite",
    "MLPerf Tiny image classification": "mlperf_tiny_resnet8_int8.tflite",
    "MLPerf Tiny visual wake words": "mlperf_tiny_vww_mobilenet_v1_025_int8.tflite",
}
_PAIR = {
    "8 bits": "baseline_8bit_seed0",
    "8 bits, activation headroom": "headroom_8bit_seed0",
    "HD-trained": "hamming_8bit_seed0",
}
PAIR = "MobileNetV2 0.5, CIFAR-10"
PUBLIC = "MobileNetV2 1.0 224"


def candidates(models: Path, samples: Path, shared: Path) -> list[Candidate]:
    """All networks.

    Parameters
    ----------
    models : Path
        Folder of the trained networks and their records.
    samples : Path
        Sample inputs of these.
    shared : Path
        Folder with ``models`` and ``images``.

    Raises
    ------
    InputError
        If a file is missing.
    """
    found = [
        Candidate(PAIR, training, models / f"{name}.onnx", samples, models / f"{name}.json")
        for training, name in _PAIR.items()
    ]
    images = shared / "images"
    found.append(Candidate(PUBLIC, "as published", shared / "models" / "mobilenet_v2_1.0_224_quant.tflite", images))
    found += [Candidate(name, "as published", shared / "models" / file, None) for name, file in _MLPERF_TINY.items()]
    missing = [one.path for one in found if not one.path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: expected a network, got no file; --shared names another folder")
    return found
