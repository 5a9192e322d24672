"""Pictures of things with masks, captions and labels.

    <data>/<thing>/subject.json   {"label": "dog", "class": "animal"}
    <data>/<thing>/00.png         a picture (.png or .jpg) of that very thing
    <data>/<thing>/masks/00.png   white where the thing is
    <data>/<thing>/00.txt         what the picture shows: "a dog in the snow"

A sample is a target and a reference: another picture of the same thing, or the same one where there is no other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

WORDS = Path(__file__).parents[2] / "services/safety/words/en.json"
ANYWHERE = ("people", "children", "roles")  # its lists whose words name a person wherever they stand …
AT_THE_END = ("modifiers", "subjects", "bodyParts")  # … and where nothing follows them: a baby, but no baby elephant


@dataclass(frozen=True)
class Shot:
    image: Path
    mask: Path
    caption: str


@dataclass(frozen=True)
class Subject:
    label: str
    shots: tuple[Shot, ...]


def read_subjects(data: Path) -> list[Subject]:
    """
    Every thing of a folder. Persons are left out on purpose, by the safety service's words in label and class: rather a
    chef's knife too many than a chef. Throws ValueError for what is not as it should be.
    """
    is_person, subjects = person_words(), []
    for file in sorted(data.glob("*/subject.json")):
        about = json.loads(file.read_text())
        if is_person(about["label"]) or is_person(str(about.get("class", ""))):
            continue
        images = sorted(path for path in file.parent.iterdir() if path.suffix in (".png", ".jpg"))
        shots = [Shot(path, path.parent / "masks" / f"{path.stem}.png", caption_of(path)) for path in images]
        if not shots:
            raise ValueError(f"{file.parent} has no picture; .png and .jpg are allowed")
        for shot in shots:
            if not shot.mask.exists():
                raise ValueError(f"{shot.image} has no mask at {shot.mask}")
        subjects.append(Subject(about["label"], tuple(shots)))
    if not subjects:
        raise ValueError(f"{data} holds no things: no <thing>/subject.json, or persons only")
    return subjects


def person_words() -> Callable[[str], bool]:
    """Whether an English name is that of a person, or of a part of one."""
    lists = json.loads(WORDS.read_text())["lists"]
    of = lambda names: {word.strip() for name in names for entry in lists[name] for word in entry["words"].split(",")}
    anywhere, last = of(ANYWHERE), of(AT_THE_END)

    def is_person(name: str) -> bool:
        words = re.findall(r"[a-z]+", name.lower().replace("'s", ""))
        phrases = {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
        return bool(phrases & anywhere) or bool(words) and words[-1] in last

    return is_person


def caption_of(image: Path) -> str:
    file = image.with_suffix(".txt")
    if not file.exists():
        raise ValueError(f"{image} has no caption at {file}")
    return file.read_text().strip()


class Pairs(Dataset):
    """Targets in the order of the folders; which reference goes with one is the run's seed's and the epoch's choice."""

    def __init__(self, subjects: Sequence[Subject], size_px: int, seed: int):
        self.targets = [(subject, shot) for subject in subjects for shot in subject.shots]
        self.size_px, self.seed, self.epoch = size_px, seed, 0

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        subject, target = self.targets[index]
        others = [shot for shot in subject.shots if shot != target] or [target]
        reference = others[np.random.default_rng([self.seed, self.epoch, index]).integers(len(others))]
        image, mask = read_shot(target, self.size_px)
        reference_image, reference_mask = read_shot(reference, self.size_px)
        return {
            "image": image, "mask": mask, "reference": reference_image, "reference_mask": reference_mask,
            "label": subject.label, "caption": target.caption,
        }  # fmt: skip


def read_shot(shot: Shot, size_px: int) -> tuple[Tensor, Tensor]:
    """The middle square: uint8 [size, size, 3], and float32 [1, size, size] of 0 and 1."""
    with Image.open(shot.image) as image, Image.open(shot.mask) as mask:
        if image.size != mask.size:
            raise ValueError(f"{shot.mask} is {mask.size[0]} × {mask.size[1]} px, its picture {image.size[0]} × {image.size[1]}")
        side = min(image.size)
        left, top = ((size - side) // 2 for size in image.size)
        box = (left, top, left + side, top + side)
        square = image.convert("RGB").resize((size_px, size_px), Image.Resampling.BICUBIC, box)
        solid = mask.convert("L").resize((size_px, size_px), Image.Resampling.NEAREST, box)
    return torch.from_numpy(np.array(square)), torch.from_numpy(np.array(solid) > 127).float()[None]


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Tensors stacked, texts in lists."""
    return {
        name: torch.stack([sample[name] for sample in samples]) if isinstance(first, Tensor) else [sample[name] for sample in samples]
        for name, first in samples[0].items()
    }  # fmt: skip
