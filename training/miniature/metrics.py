"""The networks that pictures are judged by; they share no weights and no seed with those that draw.

    python -m training.miniature.metrics clip --minutes 8 --out .moma/training/metrics_clip
    python -m training.miniature.metrics dino --minutes 8 --out .moma/training/metrics_dino

clip  another CLIP pair, trained as `clip.py` trains the denoiser's, deeper by a layer on the picture's side. It alone
      learns from the held-out things too, in pictures of their own: whoever is asked whether a picture shows "a kiwi"
      has to have seen one, as the paper's CLIP has. To one that has not, a true picture is no likelier than any other
      (cosine 0.371 with its own noun, 0.373 with another's), and what a method draws of the thing can't count.
dino  a ViT without a pooler whose class token is the same for the same thing elsewhere and otherwise lit, and different
      for other things: contrastive between the two pictures of a pair, and by naming the thing. The tint belongs to the
      thing, for a blue banana is not a yellow one: pairs share it.

Writes OUT/clip_image, OUT/clip_text or OUT/dino (transformers layout) and OUT/measured.json (on held-out things).
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from training.miniature.clip import contrastive, train_pair
from training.miniature.common import Options, options, replace_folder, train, write_json
from training.miniature.pool import Pool
from training.miniature.towers import IMAGE_PX, IMAGENET, normalize, set_attention, shrink_all

DINO = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "image_size": IMAGE_PX,
    "patch_size": 8,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
}


class Identity(nn.Module):
    def __init__(self, things: int):
        super().__init__()
        self.vit = ViTModel(ViTConfig(**DINO), add_pooling_layer=False)
        self.thing = nn.Linear(DINO["hidden_size"], things)
        self.logit_scale = nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32))

    def forward(self, normalized: Tensor) -> Tensor:
        """ImageNet-normalised pixels [n, 3, S, S] → class tokens [n, C]."""
        return self.vit(normalized).last_hidden_state[:, 0]


@torch.no_grad()
def measure(model: Identity, pool: Pool, device: torch.device) -> dict:
    """How often a picture's partner is the nearest among all partners of other things' pairs, and the cosines."""
    targets = np.array([row for row in pool.targets if pool.textures[row] is None])
    rows = np.stack([targets, targets ^ 1], 1).reshape(-1)
    small = shrink_all(pool, DINO["image_size"], rows)
    tokens = F.normalize(torch.cat([model(normalize(part.to(device), IMAGENET)) for part in small.split(64)]), dim=1)
    cosines = tokens[0::2] @ tokens[1::2].T
    own = cosines.diagonal()
    same = torch.from_numpy(pool.things[targets][:, None] == pool.things[targets][None]).to(device)
    others = cosines.masked_fill(same, -2).amax(1)
    return {
        "partner_nearest": float((own > others).float().mean()),
        "cosine_partner": float(own.mean()),
        "cosine_other": float(cosines[~same].mean()),
        "pairs": len(targets),
    }


def train_dino(o: Options) -> None:
    pool, unseen = Pool(o.beside("pool"), shards=o.shards), Pool(o.beside("pool"), "held_out")
    small, things = shrink_all(pool, DINO["image_size"], device=o.device), torch.from_numpy(pool.things).to(o.device)
    plain = torch.tensor([row for row in pool.targets if pool.textures[row] is None], device=o.device)
    model = Identity(int(pool.things.max()) + 1).to(o.device)
    set_attention(model.vit)
    see = o.halved_throughout(lambda model, pixels: model(pixels))
    print(f"{sum(p.numel() for p in model.vit.parameters()) / 1e6:.2f} M parameters", flush=True)

    def losses(model: Identity):
        rows = plain[torch.randint(len(plain), (o.batch // 2,), device=o.device)]
        both = torch.cat([rows, rows ^ 1])
        seen = small[both]
        mirrored = torch.rand(len(both), 1, 1, 1, device=o.device) < 0.5
        tokens = see(model, normalize(torch.where(mirrored, seen.flip(3), seen), IMAGENET))
        contrast = contrastive(*tokens.chunk(2), model.logit_scale)
        thing = F.cross_entropy(model.thing(tokens), things[both])
        return {"loss": contrast + 0.5 * thing, "contrast": contrast, "thing": thing}

    def publish(average: Identity) -> None:
        measured = measure(average, unseen, o.device)
        replace_folder(o.out / "dino", average.vit.save_pretrained)
        write_json(o.out / "measured.json", measured)
        print(measured, flush=True)

    train(o, model, losses, publish, learning_rate=1e-3, weight_decay=0.05, ema_decay=0.995)


def main() -> None:
    more = argparse.ArgumentParser(add_help=False)
    more.add_argument("which", choices=["clip", "dino"])
    o = options("metrics", minutes=8, batch_cpu=192, batch_gpu=1024, more=more, seed=101)
    if more.parse_known_args()[0].which == "clip":
        train_pair(o, layers=(5, 3), image="clip_image", text="clip_text", more=["named"])
    else:
        train_dino(o)


if __name__ == "__main__":
    main()
