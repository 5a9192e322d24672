"""python -m training.world subjects --out FOLDER --count 30 --seed 1
python -m training.world sheet --out sheet.png
python -m training.world materials --out materials.png"""

import argparse
import time

import numpy as np

from training.world.captions import PLACES, TEXTURES
from training.world.subjects import write_sheet, write_subjects, write_tiles
from training.world.world import World


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.world", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["subjects", "sheet", "places", "materials", "speed"])
    parser.add_argument("--icons", default=".moma/training/icons.bin")
    parser.add_argument("--out", default="sheet.png")
    parser.add_argument("--split", choices=["train", "held_out"], default="held_out")
    parser.add_argument("--kind", choices=["thing", "person"], default="thing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=30, help="subjects, or rows of a sheet")
    parser.add_argument("--pictures", type=int, default=4, help="pictures of a subject")
    o = parser.parse_args()
    world = World(o.icons, o.split, variants=8 if o.what != "speed" else 2, kind=o.kind)
    if o.what == "subjects":
        for subject in write_subjects(world, o.out, o.seed, o.count, o.pictures):
            print(subject["folder"], subject["icon"])
    elif o.what == "sheet":
        print("\n".join(write_sheet(world, o.out, o.seed, rows=o.count)))
    elif o.what == "speed":
        start, made = time.perf_counter(), 0
        while (passed := time.perf_counter() - start) < 10:
            made += len(world.sample(np.random.default_rng(made), 64).label)
        print(f"{made / passed:.0f} samples/s")
    else:
        rng = np.random.default_rng(o.seed)
        looks = len(PLACES) if o.what == "places" else len(TEXTURES) + 1
        things = np.repeat(rng.permutation(len(world.icons))[: o.count], looks)
        place = np.tile(np.arange(looks), o.count) if o.what == "places" else np.full(len(things), len(PLACES))
        textures = [None] * len(things) if o.what == "places" else [None, *TEXTURES] * o.count
        images, _, _ = world.compose(things, np.zeros(len(things)), world.views(rng, place), textures)
        write_tiles(o.out, images.cpu().numpy(), looks)


if __name__ == "__main__":
    main()
