"""Samples of the world, rendered once and read by every recipe.

    python -m training.miniature.pool --pairs 8192 --out .moma/training/pool

A shard is OUT/<split>/<shard>.pictures.npy, uint8 [2 · SHARD_PAIRS, 128, 128, 3], .masks.npy (bits, packed) and .json,
the words. Row 2k is a target, row 2k + 1 its reference: the same thing elsewhere.
What networks make of the pictures is kept beside them, under the digest of the network's weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.miniature.common import options, replace_file
from training.world.world import Split, World

SHARD_PAIRS = 512
HELD_OUT_PAIRS = 512
SIZE_PX = 128


class Pool:
    """All rendered samples of a split. Rows are pictures; `row ^ 1` is a row's partner."""

    def __init__(self, folder: str | Path, split: Split = "train", shards: int | None = None):
        """`shards`: as many are read at most."""
        self.folder = Path(folder) / split
        self.shards = sorted(path.stem for path in self.folder.glob("*.json"))[:shards]
        if not self.shards:
            raise FileNotFoundError(f"{self.folder} has no samples; `python -m training.miniature.pool` renders them")
        words = [json.loads((self.folder / f"{shard}.json").read_text()) for shard in self.shards]
        column = lambda name: [value for one in words for value in one[name]]
        self.captions: list[str] = column("caption")
        self.labels: list[str] = column("label")
        self.places: list[str] = column("place")
        self.textures: list[str | None] = column("texture")
        self.things = np.array(column("thing"))  # index of the icon in the atlas
        self.pictures = Rows([np.load(self.folder / f"{shard}.pictures.npy", mmap_mode="r") for shard in self.shards])
        self.packed = Rows([np.load(self.folder / f"{shard}.masks.npy", mmap_mode="r") for shard in self.shards])
        self.targets = np.arange(0, len(self), 2)
        # A sculpture is nobody's reference.
        self.references = np.array([row ^ 1 for row in range(len(self)) if self.textures[row ^ 1] is None])
        self.pairs = self.references ^ 1  # rows that have a reference: `row ^ 1`

    def __len__(self) -> int:
        return len(self.captions)

    def picture(self, rows: np.ndarray) -> Tensor:
        """uint8 [n, 128, 128, 3]."""
        return torch.from_numpy(self.pictures[rows])

    def mask(self, rows: np.ndarray) -> Tensor:
        """float32 [n, 1, 128, 128] of 0 and 1."""
        bits = np.unpackbits(self.packed[rows], axis=-1)
        return torch.from_numpy(bits.astype(np.float32))[:, None]

    def on_white(self, rows: np.ndarray) -> Tensor:
        """uint8 [n, 128, 128, 3]: the thing on a white background."""
        mask = self.mask(rows)[:, 0, :, :, None] > 0
        return torch.where(mask, self.picture(rows), torch.tensor(255, dtype=torch.uint8))

    def cached(self, name: str, digest: str, make: Callable[[np.ndarray], Tensor]) -> Rows:
        """What `make(rows)` gives for every row, float16, computed once a digest; `make` is called shard by shard."""
        made, start = [], 0
        for shard, pictures in zip(self.shards, self.pictures.parts):
            path = self.folder / f"{shard}.{name}-{digest}.npy"
            if not path.exists():
                for old in self.folder.glob(f"{shard}.{name}-*.npy"):
                    old.unlink()
                with torch.no_grad():
                    rows = np.arange(start, start + len(pictures)).reshape(-1, 64)
                    values = np.concatenate([make(part).cpu().half().numpy() for part in rows])
                replace_file(path, lambda temporary: save(temporary, values))
            made.append(np.load(path, mmap_mode="r"))
            start += len(pictures)
        return Rows(made)


class Rows:
    """Arrays one after another, read by row numbers."""

    def __init__(self, parts: list[np.ndarray]):
        self.parts, self.size = parts, len(parts[0])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([self.parts[row // self.size][row % self.size] for row in rows])

    def tensor(self, rows: np.ndarray) -> Tensor:
        """float32."""
        return torch.from_numpy(self[rows]).float()


def digest_of(folder: Path, *more: str) -> str:
    """Eight digits that change with a network's weights."""
    digest = hashlib.sha256(repr(more).encode())
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def digest_of_file(file: Path, *more: str) -> str:
    return hashlib.sha256(repr(more).encode() + file.read_bytes()).hexdigest()[:8]


def save(path: Path, values: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, values)


def interleaved(targets: list, references: list) -> list:
    return [one for pair in zip(targets, references) for one in pair]


def render(world: World, folder: Path, split: Split, shard: int, seed: int) -> None:
    """Writes a shard; its words last, because they say that it is complete."""
    pictures = np.empty((2 * SHARD_PAIRS, SIZE_PX, SIZE_PX, 3), np.uint8)
    masks = np.empty((2 * SHARD_PAIRS, SIZE_PX, SIZE_PX // 8), np.uint8)
    words: dict[str, list] = {name: [] for name in ("caption", "label", "place", "texture", "thing")}
    part = 64
    for start in range(0, SHARD_PAIRS, part):
        batch = world.sample(np.random.default_rng([seed, split == "train", shard, start]), part)
        here = slice(2 * start, 2 * (start + part))
        pictures[here][0::2], pictures[here][1::2] = batch.image, batch.reference
        masks[here][0::2], masks[here][1::2] = (np.packbits(m > 0, axis=-1) for m in (batch.mask, batch.reference_mask))
        words["caption"] += interleaved(batch.caption, batch.reference_caption)
        words["label"] += interleaved(batch.label, batch.label)
        words["place"] += interleaved(batch.place, batch.reference_place)
        words["texture"] += interleaved(batch.texture, [None] * part)
        words["thing"] += interleaved(batch.thing, batch.thing)
    replace_file(folder / f"{shard:03}.pictures.npy", lambda path: save(path, pictures))
    replace_file(folder / f"{shard:03}.masks.npy", lambda path: save(path, masks))
    replace_file(folder / f"{shard:03}.json", lambda path: path.write_text(json.dumps(words)))


def main() -> None:
    more = argparse.ArgumentParser(add_help=False)
    more.add_argument("--pairs", type=int, default=8192, help="of the training split")
    o = options("pool", minutes=0, batch_cpu=1, batch_gpu=1, more=more)
    pairs = more.parse_known_args()[0].pairs
    for split, wanted in (("held_out", HELD_OUT_PAIRS), ("train", pairs)):
        folder = o.out / split
        missing = [k for k in range(-(-wanted // SHARD_PAIRS)) if not (folder / f"{k:03}.json").exists()]
        if not missing:
            continue
        world = World(o.icons, split, size_px=SIZE_PX, device=o.device)
        for shard in missing:
            render(world, folder, split, shard, o.seed)
            print(f"{split}: shard {shard}", flush=True)


if __name__ == "__main__":
    main()
