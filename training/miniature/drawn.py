"""Rough pictures, as the miniature draws them, for the person detector, which has to judge those too.

    python -m training.miniature.drawn --root .moma/training --icons icons.bin

Half of them are what the method draws of things that it was trained on, in places and in materials, sampled as the bundle
samples. Were they all, rough would mean thing: so the other half are the detector's own scenes, of persons and of things,
as rough as that: through the VAE, and every second one through the UNet's last steps too. What the miniature makes of
a person in more steps nobody could tell for one; that is not learned from.

Writes ROOT/drawn/scenes.pt: "scenes", pixels uint8 [n, 3, 128, 128], boxes, kinds and groups as a Scene has them, and
"groups", what their numbers mean. `person_detector` reads it where it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.miniature.common import replace_file
from training.miniature.diffusion import open_unet, open_vae, schedule
from training.miniature.export import GUIDANCE, STRENGTH
from training.miniature.person_detector import SIZE_PX, is_learned
from training.miniature.pool import Pool
from training.miniature.samples import Painter
from training.world.atlas import read_atlas
from training.world.crowds import NOTHING, THING, boxes_of
from training.world.scenes import DEPTH, NO_GROUP, Scene, Scenes

BATCH = 32
STEPS = 16
LAST_STEPS = 4  # of as many: from t = 200 on
LEAST, MOST = 0.02, 0.6  # share of the picture that a mask takes where there is a thing that one could point at


def things_drawn(painter: Painter, rows: np.ndarray, seed: int) -> Iterator[Scene]:
    """What the method draws of a pool's rows, with the last mask's box; pictures whose mask is hardly one are left out."""
    in_material = np.array([painter.pool.textures[row] is not None for row in rows])
    for of_them, aim in ((~in_material, "recontextualize"), (in_material, "retexture")):
        own = rows[of_them]
        for start in range(0, len(own), BATCH):
            pictures, masks = painter.from_subject(own[start : start + BATCH], seed + start, STRENGTH[aim])
            areas = torch.from_numpy(masks)[:, None] > 127
            n, share = len(areas), areas.float().mean((1, 2, 3))
            kinds, boxes = torch.full((n, DEPTH), NOTHING), torch.zeros(n, DEPTH, 4)
            kinds[:, 0], boxes[:, :1] = THING, boxes_of(areas)
            told = (share > LEAST) & (share < MOST)
            pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2)
            yield Scene(pixels[told], boxes[told], kinds[told], torch.full_like(kinds, NO_GROUP)[told])
            print(f"{start + n} of {len(own)} ({aim})", flush=True)


@torch.no_grad()
def roughened(painter: Painter, scenes: Scenes, count: int) -> Iterator[Scene]:
    states, _ = painter.texts.states([""] * BATCH)
    sampler = schedule()
    sampler.set_timesteps(STEPS)
    last = sampler.timesteps.tolist()[-LAST_STEPS:]
    for number in range(count // BATCH):
        scene = scenes.sample_scenes(BATCH)
        latents = painter.vae.encode(scene.pixels * 2 - 1).latent_dist.mean * painter.vae.config.scaling_factor
        if number % 2:
            latents = sampler.add_noise(latents, torch.randn_like(latents), torch.tensor(last[0]))
            for t in last:
                latents = sampler.step(painter.unet(latents, t, states).sample, t, latents, eta=0.0).prev_sample
        pixels = torch.from_numpy(painter.paint(latents)).permute(0, 3, 1, 2)
        yield Scene(pixels, scene.boxes, scene.kinds, scene.groups)


def rows_to_draw(pool: Pool, icons: Path, count: int) -> np.ndarray:
    """Targets that have a reference, of things that the detector may learn from."""
    learned = {icon.label for icon in read_atlas(icons, "thing", "train").icons if is_learned(icon)}
    return np.array([row for row in pool.targets if pool.labels[row] in learned and pool.textures[row ^ 1] is None][:count])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.miniature.drawn", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--root", type=Path, default=Path(".moma/training"))
    parser.add_argument("--icons", type=Path, help="the person detector's; ROOT/icons.bin if not said")
    parser.add_argument("--count", type=int, default=1024, help="pictures of each half")
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    torch.manual_seed(o.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    icons, pool = o.icons or o.root / "icons.bin", Pool(o.root / "pool")
    painter = Painter(o.root, pool, device, STEPS, GUIDANCE)
    scenes = Scenes(icons, "train", SIZE_PX, device, shows=is_learned)
    parts = [*things_drawn(painter, rows_to_draw(pool, icons, o.count), o.seed), *roughened(painter, scenes, o.count)]
    whole: dict[str, Tensor] = {
        field.name: torch.cat([getattr(part, field.name).cpu() for part in parts]) for field in fields(Scene)
    }
    path = o.root / "drawn/scenes.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda temporary: torch.save({"scenes": whole, "groups": scenes.group_names}, temporary))
    print(f"{path}: {len(whole['pixels'])} pictures")


if __name__ == "__main__":
    main()
