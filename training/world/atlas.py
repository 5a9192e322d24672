"""The icons' file that icons.ts writes, read into memory."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Icon:
    set: str  # such as "noto"
    name: str  # "dog-face"
    kind: str  # "thing", "person" or "doubtful"
    label: str  # "dog"
    group: str  # things of one group are in one split
    split: str  # "train" or "held_out"


@dataclass(frozen=True)
class Atlas:
    icons: list[Icon]
    indices: list[int]  # the icons' places in the file
    pictures: np.ndarray  # uint8 [N, size, size, 4], colours premultiplied by alpha

    def boxes(self) -> np.ndarray:
        """float32 [N, 4]: left, top, right, bottom of what is drawn, in −1 … 1."""
        size = self.pictures.shape[1]
        solid = self.pictures[..., 3] > 25
        columns, rows = solid.any(1), solid.any(2)
        ends = [columns.argmax(1), rows.argmax(1), size - columns[:, ::-1].argmax(1), size - rows[:, ::-1].argmax(1)]
        return np.stack(ends, 1).astype(np.float32) / size * 2 - 1


def read_atlas(path: str | Path, kind: str, split: str | None = None) -> Atlas:
    """Icons of a kind, and of a split where one is named. Missing file: says how to make it."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; `npm exec -- node training/world/icons.ts --out {path}` draws it")
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data)
    index = json.loads(data[4 : 4 + length])
    start = 4 + length
    chosen = [
        (i, entry)
        for i, entry in enumerate(index["entries"])
        if entry["kind"] == kind and split in (None, entry["split"])
    ]
    pictures = np.empty((len(chosen), index["sizePx"], index["sizePx"], 4), np.uint8)
    for picture, (_, entry) in zip(pictures, chosen):
        at = start + entry["offset"]
        rgba = np.asarray(Image.open(io.BytesIO(data[at : at + entry["bytes"]])).convert("RGBA"))
        picture[..., 3] = rgba[..., 3]
        picture[..., :3] = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127) // 255
    fields = ("set", "name", "kind", "label", "group", "split")
    return Atlas([Icon(*(entry[f] for f in fields)) for _, entry in chosen], [i for i, _ in chosen], pictures)
