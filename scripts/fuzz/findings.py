"""What the fuzzer looks for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fewflips.files.atomic import atomic_write


@dataclass(frozen=True)
class Finding:
    """An input that is neither accepted nor refused as it should be."""

    kind: str
    seed: int
    index: int
    verdict: str
    signature: str
    detail: str

    @property
    def key(self) -> str:
        return f"{self.verdict}: {self.signature}"


def save(finding: Finding, folder: Path) -> Path:
    """One file for a finding."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{finding.kind}-{finding.seed}-{finding.index}.json"
    atomic_write(path, (json.dumps(asdict(finding), indent=1) + "\n").encode())
    return path
