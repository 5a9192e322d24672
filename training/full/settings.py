"""What a training run at full size is asked for; the numbers that the paper states are those of full.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    bundle: Path  # folder of the manifest: configs of all networks, and where their files are
    files: Path  # folder of the weights
    llava: Path  # folder of LLaVA-1.5's published files, from which stage 1 starts
    mllm: str  # which one stage 2 asks: "stage1", what that stage wrote, or "bundle", MoMA's published one
    data: Path  # see data.py
    out: Path
    sizePx: int
    learningRate: float
    weightDecay: float
    accumulation: int  # batches whose gradients make one update, on each device
    gradientNorm: float
    batch: int  # samples a device takes at once
    updates: int
    emptyText: float  # share of the samples without text and context, for guidance (stage 2)
    unmasked: float  # share of the samples whose m_gen is 1 everywhere (stage 2)
    mixedPrecision: str  # "no" or "bf16"
    workers: int
    saveEveryUpdates: int
    seed: int


def read_settings(path: Path) -> Settings:
    """Throws ValueError with the field that is missing or unknown."""
    given = json.loads(path.read_text())
    wanted = {field.name: field.type for field in fields(Settings)}
    if missing := wanted.keys() - given.keys():
        raise ValueError(f"{path}: {', '.join(sorted(missing))} is missing")
    if unknown := given.keys() - wanted.keys():
        raise ValueError(f"{path}: {', '.join(sorted(unknown))} is unknown; allowed are {', '.join(wanted)}")
    if given["mixedPrecision"] not in ("no", "bf16"):
        raise ValueError(f"{path}: mixedPrecision is {given['mixedPrecision']!r}; allowed are 'no' and 'bf16'")
    if given["mllm"] not in ("stage1", "bundle"):
        raise ValueError(f"{path}: mllm is {given['mllm']!r}; allowed are 'stage1' and 'bundle'")
    return Settings(**{name: Path(value) if wanted[name] == "Path" else value for name, value in given.items()})
