"""Samples of the world, rendered once and read by every recipe.

    python -m training.miniature.pool --pairs 8192 --out .moma/training/pool

A shard is OUT/<split>/<shard>.pictures.npy, uint8 [2 · SHARD_PAIRS, 128, 128, 3], .masks.npy (bits, packed), .frames.npy
and .json, the words. Row 2k is a target, row 2k + 1 its reference: the same thing elsewhere.
Splits: "train"; "held_out", whose things nothing that draws has ever seen; and "named", the held-out things in other
pictures, for the judge that has to know what their names mean (see metrics.py).
What networks make of the pictures is kept beside them, under the digest of the network's weights. On a GPU several
processes render at once (--workers), and a folder in memory (/dev/shm) is where they belong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, multiprocessing

from training.miniature.common import Options, options, replace_file
from training.world.world import World

Split = Literal["train", "held_out", "named"]

SHARD_PAIRS = 512
HELD_OUT_PAIRS = 512
NAMED_SHARE = 1 / 8  # of the training split's pairs: about as many pictures of each thing
SEEDS: dict[Split, int] = {"held_out": 0, "train": 1, "named": 2}
SIZE_PX = 128
SCENERIES = 8
PLACE_VARIANTS = 32  # renderings of every place in a scenery
CHUNK = 512  # rows that a network sees at once


class Pool:
    """All rendered samples of a split, or of several. Rows are pictures; `row ^ 1` is a row's partner."""

    def __init__(self, folder: str | Path, split: Split = "train", shards: int | None = None, more: Sequence[Split] = ()):
        """`shards`: as many are read of the first split at most; `more`: splits that are read whole after it."""
        self.shards = shards_of(Path(folder) / split)[:shards]
        for other in more:
            self.shards += shards_of(Path(folder) / other)
        words = [json.loads(shard.with_suffix(".json").read_text()) for shard in self.shards]
        column = lambda name: [value for one in words for value in one[name]]
        self.captions: list[str] = column("caption")
        self.labels: list[str] = column("label")
        self.places: list[str] = column("place")
        self.textures: list[str | None] = column("texture")
        self.things = np.array(column("thing"))  # index of the icon in the atlas
        self.pictures = Rows([np.load(shard.with_suffix(".pictures.npy"), mmap_mode="r") for shard in self.shards])
        # float32 [2, 3] of every row: from the picture's coordinates, −1 … 1, to those of its thing.
        self.frames = Rows([np.load(shard.with_suffix(".frames.npy"), mmap_mode="r") for shard in self.shards])
        self.packed = Rows([np.load(shard.with_suffix(".masks.npy"), mmap_mode="r") for shard in self.shards])
        self.targets = np.arange(0, len(self), 2)
        # Rows that have a reference, `row ^ 1`: a sculpture is nobody's.
        self.pairs = np.array([row for row in range(len(self)) if self.textures[row ^ 1] is None])

    def __len__(self) -> int:
        return len(self.captions)

    def picture(self, rows: np.ndarray) -> Tensor:
        """uint8 [n, 128, 128, 3]."""
        return torch.from_numpy(self.pictures[rows])

    def mask(self, rows: np.ndarray) -> Tensor:
        """float32 [n, 1, 128, 128] of 0 and 1."""
        bits = np.unpackbits(self.packed[rows], axis=-1)
        return torch.from_numpy(bits.astype(np.float32))[:, None]

    def small_masks(self, size: int = 16) -> Tensor:
        """uint8 [N, 1, size, size] of 0 and 1 of all rows, by nearest neighbour as the method shrinks masks; size ≤ 16."""
        every = SIZE_PX // size
        first = lambda part: part[:, ::every, :: every // 8] >> 7  # a byte's highest bit is its first pixel
        return torch.from_numpy(np.concatenate([first(part) for part in self.packed.parts]))[:, None]

    def on_white(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """uint8 [n, 128, 128, 3] on the device: the thing on a white background."""
        mask = unpacked(torch.from_numpy(self.packed[rows]).to(device))[:, 0, :, :, None] > 0
        return torch.where(mask, self.picture(rows).to(device), 255)

    def cached(self, name: str, digest: str, make: Callable[[np.ndarray], Tensor]) -> Rows:
        """What `make(rows)` gives for every row, float16, computed once a digest; `make` is called shard by shard."""
        made, start = [], 0
        for shard, pictures in zip(self.shards, self.pictures.parts):
            path = shard.with_suffix(f".{name}-{digest}.npy")
            if not path.exists():
                for old in shard.parent.glob(f"{shard.name}.{name}-*.npy"):
                    old.unlink()
                with torch.no_grad():
                    rows = np.arange(start, start + len(pictures)).reshape(-1, CHUNK)
                    values = np.concatenate([make(part).cpu().half().numpy() for part in rows])
                replace_file(path, lambda temporary: save(temporary, values))
            made.append(np.load(path, mmap_mode="r"))
            start += len(pictures)
        return Rows(made)


def shards_of(folder: Path) -> list[Path]:
    """Paths without an ending, of the shards that are complete."""
    if found := sorted(path.with_suffix("") for path in folder.glob("*.json")):
        if old := [shard for shard in found if not shard.with_suffix(".frames.npy").exists()]:
            raise FileNotFoundError(f"{old[0]}.frames.npy is missing: {folder.parent} is of an earlier version; remove it")
        return found
    raise FileNotFoundError(f"{folder} has no samples; `python -m training.miniature.pool` renders them")


class Rows:
    """Arrays one after another, read by row numbers."""

    def __init__(self, parts: list[np.ndarray]):
        self.parts, self.size = parts, len(parts[0])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        first, last = divmod(int(rows[0]), self.size), divmod(int(rows[-1]), self.size)
        if first[0] == last[0] and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            return np.array(self.parts[first[0]][first[1] : last[1] + 1])
        return np.stack([self.parts[row // self.size][row % self.size] for row in rows])

    def on(self, device: torch.device, most: int | None = None) -> Tensor:
        """All rows, or the first `most`, in the device's memory, of the type that they have."""
        parts, left = [], most or self.size * len(self.parts)
        for part in self.parts:
            parts.append(torch.from_numpy(np.array(part[:left])).to(device))
            if (left := left - len(parts[-1])) <= 0:
                break
        return torch.cat(parts)


def unpacked(bits: Tensor) -> Tensor:
    """Masks [n, H, W / 8], eight pixels a byte → float32 [n, 1, H, W] of 0 and 1."""
    shifts = torch.arange(7, -1, -1, device=bits.device, dtype=torch.uint8)
    return ((bits[..., None] >> shifts) & 1).flatten(2)[:, None].float()


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
    frames = np.empty((2 * SHARD_PAIRS, 2, 3), np.float32)
    words: dict[str, list] = {name: [] for name in ("caption", "label", "place", "texture", "thing")}
    part = 64
    for start in range(0, SHARD_PAIRS, part):
        batch = world.sample(np.random.default_rng([seed, SEEDS[split], shard, start]), part)
        here = slice(2 * start, 2 * (start + part))
        pictures[here][0::2], pictures[here][1::2] = batch.image, batch.reference
        frames[here][0::2], frames[here][1::2] = batch.frame, batch.reference_frame
        masks[here][0::2], masks[here][1::2] = (np.packbits(m > 0, axis=-1) for m in (batch.mask, batch.reference_mask))
        words["caption"] += interleaved(batch.caption, batch.reference_caption)
        words["label"] += interleaved(batch.label, batch.label)
        words["place"] += interleaved(batch.place, batch.reference_place)
        words["texture"] += interleaved(batch.texture, [None] * part)
        words["thing"] += interleaved(batch.thing, batch.thing)
    replace_file(folder / f"{shard:03}.pictures.npy", lambda path: save(path, pictures))
    replace_file(folder / f"{shard:03}.masks.npy", lambda path: save(path, masks))
    replace_file(folder / f"{shard:03}.frames.npy", lambda path: save(path, frames))
    replace_file(folder / f"{shard:03}.json", lambda path: path.write_text(json.dumps(words)))


def render_sceneries(o: Options, split: Split, shards: Sequence[int], sceneries: Sequence[int]) -> None:
    """The shards of the sceneries: of each, the places look otherwise; those of "named" are none of the held-out pictures'."""
    things, more = ("train", 0) if split == "train" else ("held_out", SCENERIES * (split == "named"))
    for scenery in sceneries:
        own = [shard for shard in shards if shard % SCENERIES == scenery]
        first = (scenery + more) * PLACE_VARIANTS
        world = World(o.icons, things, SIZE_PX, o.device, first_variant=first, variants=PLACE_VARIANTS)
        for shard in own:
            render(world, o.out / split, split, shard, o.seed)
            print(f"{split}: shard {shard}", flush=True)


def main() -> None:
    more = argparse.ArgumentParser(add_help=False)
    more.add_argument("--pairs", type=int, default=8192, help="of the training split")
    more.add_argument("--workers", type=int, default=1, help="processes that render")
    o = options("pool", minutes=0, batch_cpu=1, batch_gpu=1, more=more)
    asked = more.parse_known_args()[0]
    spawn, processes = multiprocessing.get_context("spawn"), []
    wanted_of: dict[Split, int] = {"held_out": HELD_OUT_PAIRS, "train": asked.pairs, "named": int(asked.pairs * NAMED_SHARE)}
    for split, wanted in wanted_of.items():
        missing = [k for k in range(-(-wanted // SHARD_PAIRS)) if not (o.out / split / f"{k:03}.json").exists()]
        sceneries = sorted({shard % SCENERIES for shard in missing})
        if asked.workers == 1:
            render_sceneries(o, split, missing, sceneries)
            continue
        for k in range(min(asked.workers, len(sceneries))):
            processes.append(spawn.Process(target=render_sceneries, args=(o, split, missing, sceneries[k :: asked.workers])))
            processes[-1].start()
    for process in processes:
        process.join()
    if failed := sum(process.exitcode != 0 for process in processes):
        raise SystemExit(f"{failed} of {len(processes)} processes that render failed")


if __name__ == "__main__":
    main()
