"""A sheet of pictures from whatever is trained so far, to be looked at.

    python -m training.miniature.samples text --root .moma/training --out text.png
    python -m training.miniature.samples ip | moma [--split held_out] [--texture] [--count 12] [--steps 25]

text  UNet alone: one picture a caption
ip    reference, IP-Adapter's picture
moma  reference, its mask, the method's picture, the mask that its last step read off the cross-attentions
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.miniature.attention import Adapters, Given, combine_maps
from training.miniature.common import pixels
from training.miniature.diffusion import (
    SUBJECT_BRANCH_BELOW_TIMESTEP, Noise, Texts, ddim, open_unet, open_vae, subject_prompt,
)  # fmt: skip
from training.miniature.ip_adapter import IpAdapter
from training.miniature.llava import Instructions
from training.miniature.pool import Pool
from training.miniature.stage1 import Questions, Vision, open_mllm
from training.miniature.stage2 import Moma
from training.world.subjects import write_tiles


class Painter:
    """The trained networks under `root`, and what a row of a pool is drawn with."""

    def __init__(self, root: Path, pool: Pool, device: torch.device, steps: int, guidance: float):
        self.root, self.pool, self.device, self.steps, self.guidance = root, pool, device, steps, guidance
        self.vae = open_vae(root / "vae/vae", device)
        self.unet = open_unet(root / "unet/unet", device)
        self.texts = Texts(root / "tokenizers", root / "clip/text_encoder", device)

    def start(self, rows: np.ndarray, seed: int) -> Tensor:
        shape = (len(rows), self.unet.config.in_channels, 16, 16)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self.device)

    def conditions(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Text states [2n, 77, D], the unconditional half first, and the subject's tokens [2n, 77]."""
        labels = [self.pool.labels[row] for row in rows]
        words = [subject_prompt(label, self.pool.captions[row]) for label, row in zip(labels, rows)]
        states, ids = self.texts.states([""] * len(rows) + words)
        return states, self.texts.subject_tokens(ids, labels * 2)

    def guided(self, epsilon: Tensor) -> Tensor:
        without, given = epsilon.chunk(2)
        return without + self.guidance * (given - without)

    def paint(self, latents: Tensor) -> np.ndarray:
        with torch.no_grad():
            made = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return ((made.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def from_text(self, rows: np.ndarray, seed: int) -> np.ndarray:
        states, _ = self.conditions(rows)
        predict = lambda latents, t: self.guided(self.unet(torch.cat([latents] * 2), t, states).sample)
        return self.paint(ddim(predict, self.start(rows, seed), self.steps))

    def from_embedding(self, rows: np.ndarray, seed: int, scale: float = 0.6) -> np.ndarray:
        adapters = Adapters(self.unet).to(self.device)
        learned = IpAdapter(adapters).to(self.device)
        saved = torch.load(self.root / "ip_adapter/adapter.pt", weights_only=True, map_location=self.device)
        learned.image_proj.load_state_dict(saved["image_proj"])
        learned.ip_adapter.load_state_dict(saved["ip_adapter"])
        seen = Vision(self.root / "clip/image_encoder", self.device).embedding(self.pool.picture(rows ^ 1))
        context = learned.image_proj(torch.cat([torch.zeros_like(seen), seen])).detach()
        states, _ = self.conditions(rows)

        def predict(latents: Tensor, t: int) -> Tensor:
            with adapters.given(Given(context=context, context_scale=scale)):
                return self.guided(self.unet(torch.cat([latents] * 2), t, states).sample)

        return self.paint(ddim(predict, self.start(rows, seed), self.steps))

    @torch.no_grad()
    def from_subject(self, rows: np.ndarray, seed: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Pictures and the last masks, uint8."""
        adapters = Adapters(self.unet).to(self.device)
        learned = Moma(adapters).to(self.device)
        saved = torch.load(self.root / "stage2/adapters.pt", weights_only=True, map_location=self.device)
        learned.projectors.load_state_dict(saved["projectors"])
        learned.self_cross_attentions.load_state_dict(saved["self_cross_attentions"])
        context = learned.projectors(self.context(rows))
        self.read(adapters, rows)
        states, subject_tokens = self.conditions(rows)
        reference_mask = self.pool.small_masks()[rows ^ 1].float().to(self.device).repeat(2, 1, 1, 1)
        mask = None

        def predict(latents: Tensor, t: int) -> Tensor:
            nonlocal mask
            given = Given(
                subject_tokens, context, gate=None if mask is None else mask.repeat(2, 1, 1, 1), reference_mask=reference_mask,
                strength=torch.full((2 * len(rows),), strength * (t < SUBJECT_BRANCH_BELOW_TIMESTEP), device=self.device),
            )  # fmt: skip
            with adapters.given(given) as maps:
                epsilon = self.unet(torch.cat([latents] * 2), t, states).sample
            mask = combine_maps([one.chunk(2)[1] for one in maps], given.size)
            return self.guided(epsilon)

        pictures = self.paint(ddim(predict, self.start(rows, seed), self.steps))
        shown = F.interpolate(mask, pictures.shape[1:3], mode="nearest")[:, 0]
        return pictures, (shown * 255).byte().cpu().numpy()

    def context(self, rows: np.ndarray) -> Tensor:
        """[2n, E]: zeros, then what the MLLM says."""
        vision = Vision(self.root / "clip/image_encoder", self.device)
        instructions = Instructions(self.root / "tokenizers/llama")
        questions = Questions(self.pool, vision, instructions)
        made = questions.ask(open_mllm(self.root / "stage1", instructions, self.device), torch.from_numpy(rows).to(self.device))
        return torch.cat([torch.zeros_like(made), made])

    def read(self, adapters: Adapters, rows: np.ndarray) -> None:
        """The subject pass; both halves keep the same keys and values."""
        encoded = self.vae.encode(pixels(self.pool.picture(rows ^ 1)).to(self.device)).latent_dist.mean
        latents = Noise(self.device).almost_none(encoded * self.vae.config.scaling_factor)
        with adapters.reading():
            self.unet(latents, 0, self.texts.nouns([self.pool.labels[row] for row in rows]))
        for layer in adapters.layers[::2]:
            layer.key, layer.value = layer.key.repeat(2, 1, 1), layer.value.repeat(2, 1, 1)


def three(masks: np.ndarray) -> np.ndarray:
    return np.repeat(masks[..., None], 3, -1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.miniature.samples", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("what", choices=["text", "ip", "moma"])
    parser.add_argument("--root", type=Path, default=Path(".moma/training"))
    parser.add_argument("--out", type=Path, default=Path("samples.png"))
    parser.add_argument("--split", choices=["train", "held_out"], default="held_out")
    parser.add_argument("--texture", action="store_true", help="materials, not places")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--strength", type=float, default=None)
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    pool = Pool(o.root / "pool", o.split)
    rows = [row for row in pool.targets if (pool.textures[row] is not None) == o.texture and pool.places[row] != "studio" or
            o.texture and pool.textures[row]]  # fmt: skip
    rows = np.array(rows[: o.count])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    painter = Painter(o.root, pool, device, o.steps, o.guidance)
    reference = pool.picture(rows ^ 1).numpy()
    if o.what == "text":
        parts = [painter.from_text(rows, o.seed)]
    elif o.what == "ip":
        parts = [reference, painter.from_embedding(rows, o.seed)]
    else:
        strength = o.strength if o.strength is not None else 0.5 if o.texture else 1.0
        pictures, masks = painter.from_subject(rows, o.seed, strength)
        parts = [reference, three(pool.mask(rows ^ 1)[:, 0].mul(255).byte().numpy()), pictures, three(masks)]
    write_tiles(o.out, np.concatenate(parts, 2), max(1, 8 // len(parts)))
    print("\n".join(pool.captions[row] for row in rows))


if __name__ == "__main__":
    main()
