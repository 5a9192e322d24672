"""Subject folders in the manner of DreamBooth's, of things that nothing that draws was trained on; and sheets to look at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from training.world.captions import PLACES
from training.world.world import PLACE_NAMES, World, caption_of


def write_subjects(world: World, folder: str | Path, seed: int, count: int, pictures: int = 4) -> list[dict]:
    """
    folder/<thing>/{00.png …, 00.txt …, masks/00.png …, subject.json} for `count` things, and folder/subjects.json, which
    lists them. 00 stands before a plain wall, the others in places. One icon of every group first, then their second ones.
    Returns what subjects.json lists.
    """
    rng = np.random.default_rng([seed, 7])
    order = choose_things(world, rng)
    if not 1 <= count <= len(order):
        raise ValueError(f"count is {count}; 1 to {len(order)} is allowed")
    folder, subjects = Path(folder), []
    for thing in order[:count]:
        icon = world.icons[thing]
        same = sum(subject["label"] == icon.label for subject in subjects)
        name = icon.label.replace(" ", "-") + (f"-{same + 1}" if same else "")
        subject = {"folder": name, "label": icon.label, "class": icon.group, "icon": f"{icon.set}:{icon.name}"}
        place = np.concatenate([[len(PLACES)], rng.permutation(len(PLACES))[: pictures - 1]]).astype(int)
        things = np.full(len(place), thing)
        images, masks, _ = world.compose(things, np.zeros(len(place)), world.views(rng, place), [None] * len(place))
        (folder / name / "masks").mkdir(parents=True, exist_ok=True)
        for i, (image, mask) in enumerate(zip(images.cpu().numpy(), masks.cpu().numpy())):
            Image.fromarray(image).save(folder / name / f"{i:02}.png")
            Image.fromarray(mask).save(folder / name / "masks" / f"{i:02}.png")
        for i, p in enumerate(place):
            (folder / name / f"{i:02}.txt").write_text(caption_of(icon.label, PLACE_NAMES[p], None, 0) + "\n")
        subject["places"] = [PLACE_NAMES[p] for p in place]
        write_json(folder / name / "subject.json", {"label": icon.label, "class": icon.group})
        subjects.append(subject)
    write_json(folder / "subjects.json", {"seed": seed, "sizePx": world.size_px, "subjects": subjects})
    return subjects


def choose_things(world: World, rng: np.random.Generator) -> list[int]:
    """Icons in an order in which groups take turns."""
    groups: dict[str, list[int]] = {}
    for thing in rng.permutation(len(world.icons)):
        groups.setdefault(world.icons[thing].group, []).append(int(thing))
    turns = max(map(len, groups.values()))
    return [things[turn] for turn in range(turns) for things in groups.values() if turn < len(things)]


def write_sheet(world: World, path: str | Path, seed: int, rows: int = 8, columns: int = 6) -> list[str]:
    """Target, mask and reference of rows · columns samples side by side; returns their captions in reading order."""
    batch = world.sample(np.random.default_rng(seed), rows * columns)
    masks = np.repeat(batch.mask[..., None], 3, -1)
    tiles = np.concatenate([batch.image, masks, batch.reference], 2)
    write_tiles(path, tiles, columns)
    return batch.caption


def write_tiles(path: str | Path, tiles: np.ndarray, columns: int) -> None:
    """uint8 [n, h, w, 3] → one picture, `columns` in a row."""
    lines = [np.concatenate(list(tiles[i : i + columns]), 1) for i in range(0, len(tiles) - columns + 1, columns)]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(lines, 0)).save(path)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
