"""The miniature's UNet: Stable Diffusion 1.5's topology on 8 × 16 × 16 latents, from captions alone.

    python -m training.miniature.unet --minutes 45 --out .moma/training/unet

The text encoder is CLIP's, frozen. Beside the loss on ε, the noun's cross-attention maps are drawn a little towards the
thing's true area: the method takes its masks from these maps, and what billions of pictures teach Stable Diffusion's
would take longer here than all the rest.

Writes OUT/unet (diffusers layout).
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from training.miniature.attention import Given, mean_map, recording_maps
from training.miniature.common import options, replace_folder, train
from training.miniature.diffusion import Noise, Texts, latents_of, prompts, small_masks
from training.miniature.pool import Pool

CONFIG = {
    "sample_size": 16,
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": (32, 64, 96, 128),
    "layers_per_block": 2,
    "cross_attention_dim": 128,
    "attention_head_dim": 4,  # the number of heads, as in Stable Diffusion's config
    "norm_num_groups": 16,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
MAP_WEIGHT = 0.05


@torch.no_grad()
def start_well(unet: UNet2DConditionModel) -> None:
    """Residual branches and the output start at zero, as in latent diffusion's own code."""
    for name, module in unet.named_modules():
        if name.endswith(("conv2", "proj_out", "conv_out")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def main() -> None:
    o = options("unet", minutes=45, batch_cpu=16, batch_gpu=512)
    pool = Pool(o.beside("pool"), shards=o.shards)
    latents = latents_of(pool, o.beside("vae") / "vae", o.device)
    texts = Texts(o.beside("tokenizers"), o.beside("clip") / "text_encoder", o.device)
    noise = Noise(o.device)
    torch.manual_seed(o.seed)
    unet = UNet2DConditionModel(**CONFIG)
    start_well(unet)
    print(f"{sum(p.numel() for p in unet.parameters()) / 1e6:.2f} M parameters", flush=True)

    def losses(model: UNet2DConditionModel, step: int):
        rng = o.rng(step)
        rows = rng.integers(len(pool), size=o.batch)
        noisy, epsilon, timesteps = noise.draw(latents.tensor(rows).to(o.device), rng)
        words, empty = prompts(pool, rows, rng)
        states, ids = texts.states(words)
        given = Given(subject_tokens=texts.subject_tokens(ids, [pool.labels[row] for row in rows]))
        with recording_maps(model, given) as maps:
            predicted = model(noisy, timesteps, states).sample
        loss, plain = noise.loss(predicted, epsilon, timesteps)
        apart = (mean_map(maps, given.size) - small_masks(pool, rows, o.device)).square().mean((1, 2, 3))
        named = torch.from_numpy(~empty).to(o.device)
        map_loss = (apart * named).sum() / named.sum().clamp(min=1)
        return {"loss": loss + MAP_WEIGHT * map_loss, "epsilon": plain, "weighted": loss.detach(), "map": map_loss.detach()}

    def publish(average: UNet2DConditionModel) -> None:
        replace_folder(o.out / "unet", average.save_pretrained)

    train(o, unet, losses, publish, learning_rate=1e-3, weight_decay=0.01, ema_decay=0.995)


if __name__ == "__main__":
    main()
