"""All figures of the kept networks, and the short list of them that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fewflips.errors import InputError
from fewflips.files.validation import describe_validation_error
from fewflips.training.result import TrainingResult

from .accuracy import accuracy_of
from .energies import LIBRARIES, NetworkReports, Setting, network_reports
from .figures import NetworkFigures, Reproduction, VariantFigures
from .networks import TRAININGS, VARIANTS, Pair, Training, model_file, result_file
from .progress import StepReport, say
from .ratios import HEADLINE, baseline_of, ratios


def collect(
    pairs: Sequence[Pair], models: Path, data: Path, setting: Setting, before: Reproduction | None
) -> Reproduction:
    """Measure and simulate every network of some pairs.

    Parameters
    ----------
    pairs : sequence of Pair
        Whose networks are in `models`.
    models : Path
        Folder of the networks.
    data : Path
        CIFAR-10, for accuracies.
    setting : Setting
        Machine, inputs and sampling.
    before : Reproduction or None
        Figures written before, for accuracies where there is no `data`.

    Returns
    -------
    Reproduction
        All figures.

    Raises
    ------
    FewflipsError
        If a network is missing or cannot be used, or the two of a pair cannot be compared.
    """
    for pair in pairs:
        for training in TRAININGS:
            if not (path := model_file(models, pair.name(training))).is_file():
                raise InputError(f"{path}: expected a trained network, got no file; train it, or leave its pair out")
    networks: list[NetworkFigures] = []
    variants: list[VariantFigures] = []
    reports: NetworkReports | None = None
    for pair in pairs:
        by_training: dict[Training, tuple[NetworkFigures, NetworkReports]] = {}
        for training in TRAININGS:
            say(f"measuring {pair.name(training)}")
            reports = network_reports(model_file(models, pair.name(training)), setting, StepReport())
            by_training[training] = _network(pair, training, models, data, reports, before), reports
        networks += [network for network, _ in by_training.values()]
        check_pair(*(network for network, _ in by_training.values()))
        variants += [
            _variant(name, *by_training[training], scheduled=scheduled) for name, training, scheduled in VARIANTS
        ]
    if reports is None:
        raise InputError("expected at least one pair of networks, got none")
    settings = reports.energy(LIBRARIES[0]).settings
    return Reproduction(
        accelerator=setting.accelerator.name,
        clock_mhz=settings.clock_mhz,
        samples=settings.samples,
        share=setting.share,
        cells={library: reports.energy(library).cells for library in LIBRARIES},
        networks=tuple(networks),
        variants=tuple(variants),
    )


def read_before(path: Path) -> Reproduction | None:
    """Figures that were written before; None where there are none.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        return Reproduction.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(f"{path}: {describe_validation_error(error)}: remove it to have it written again") from error


def summary(found: Reproduction) -> list[dict[str, Any]]:
    """The rows of ``reproduction.json``: inertial figures in the first library's cells, ratios of data energies.

    Parameters
    ----------
    found : Reproduction
        All figures.

    Returns
    -------
    list of dict
        One for each variant of each pair.
    """
    library = next(iter(found.cells))
    rows = []
    for variant in found.variants:
        ratio = ratios(baseline_of(variant, found.variants), variant, library, HEADLINE)
        rows.append(
            {
                "variant": variant.variant,
                "bits": variant.bits,
                "seed": variant.seed,
                "accuracy_percent": round(variant.accuracy_percent, 2),
                "flips": variant.flips,
                "seam_flips": variant.seam_flips,
                "inertial_data_pj": round(variant.total[library].inertial_data_pj, 1),
                "inertial_total_pj": round(variant.total[library].inertial_total_pj, 1),
                "mean_layer_ratio": round(ratio.mean, 4),
                "network_ratio": round(ratio.network, 4),
                "best_layer_ratio": round(ratio.best, 4),
            }
        )
    return rows


def _network(
    pair: Pair, training: Training, models: Path, data: Path, reports: NetworkReports, before: Reproduction | None
) -> NetworkFigures:
    name = pair.name(training)
    path = model_file(models, name)
    sha256 = reports.reports[LIBRARIES[0]].model.sha256
    accuracy_percent, measured = accuracy_of(name, path, sha256, data, before)
    if not measured:
        say(f"  no images in {data}: its accuracy is the one that was written before")
    return NetworkFigures(
        name=name,
        bits=pair.bits,
        seed=pair.seed,
        training=training,
        model_sha256=sha256,
        model_bytes=path.stat().st_size,
        accuracy_percent=accuracy_percent,
        units={library: reports.energy(library).datapath for library in LIBRARIES},
        seconds=round(reports.seconds, 1),
        run=kept_run(result_file(models, name), name, sha256),
    )


def kept_run(path: Path, name: str, sha256: str) -> TrainingResult | None:
    """What is kept of a network's training; None where nothing is.

    Raises
    ------
    InputError
        If the file is damaged, or belongs to another network.
    """
    try:
        run = TrainingResult.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(f"{path}: {describe_validation_error(error)}") from error
    if run.model_sha256 != sha256:
        raise InputError(f"{path}: expected the result of the training of {name}.onnx, got that of another network")
    return run


def check_pair(baseline: NetworkFigures, trained: NetworkFigures) -> None:
    """Check that two networks run on the same units, and were trained alike but for the section `hamming`.

    That section has the HD term, and the activation headroom that comes with it: what the latter alone is worth is
    a row of `python -m scripts.audit`.

    Raises
    ------
    InputError
        If not; the second is not checked where what is kept of a training is missing.
    """
    if baseline.units != trained.units:
        raise InputError(f"{trained.name}: needs other arithmetic units than {baseline.name}: the two do not compare")
    if baseline.run is None or trained.run is None:
        return
    configs = [one.run.config.model_dump(exclude={"hamming", "output"}) for one in (baseline, trained) if one.run]
    unlike = [key for key, value in configs[0].items() if configs[1][key] != value]
    if unlike or baseline.run.config.hamming is not None or trained.run.config.hamming is None:
        what = ", ".join(unlike) or "hamming"
        raise InputError(
            f"{trained.name}: expected the configuration of {baseline.name} and the section hamming, got another "
            f"{what}: the comparison would not be fair"
        )


def _variant(name: Any, network: NetworkFigures, reports: NetworkReports, *, scheduled: bool) -> VariantFigures:
    layers = reports.layers(scheduled=scheduled)
    return VariantFigures(
        variant=name,
        bits=network.bits,
        seed=network.seed,
        network=network.name,
        accuracy_percent=network.accuracy_percent,
        flips=sum(layer.flips for layer in layers),
        seam_flips=sum(layer.seam_flips for layer in layers),
        total=reports.total(scheduled=scheduled),
        layers=layers,
    )
