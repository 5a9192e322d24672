"""The miniature's segmentation network: the main thing of a photo, a diffusers UNet2DModel at a timestep fixed at 0.

    python -m training.miniature.segmentation --minutes 8 --out .moma/training/segmentation

In: pixels in −1 … 1 [n, 3, 64, 64]; out: one logit a pixel. Cross-entropy and Dice on the composites' true masks, at
their full size: the network's answer is spread there, in training bilinearly, in use bicubically.

Writes OUT/segmentation (diffusers layout) and OUT/measured.json (IoU at 0.5 on held-out things).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from torch import Tensor

from training.miniature.common import earlier, options, replace_folder, train, write_json
from training.miniature.pool import Pool, unpacked
from training.miniature.towers import shrink, shrink_all

CONFIG = {
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 1,
    "block_out_channels": (32, 48, 64, 96),
    "layers_per_block": 1,
    "norm_num_groups": 16,
    "down_block_types": ("DownBlock2D",) * 4,
    "up_block_types": ("UpBlock2D",) * 4,
    "add_attention": False,
}
TEST_PICTURES = 128


def mask_losses(logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """[n, 1, H, W] each."""
    entropy = F.binary_cross_entropy_with_logits(logits, masks)
    likely = logits.sigmoid()
    overlap = 2 * (likely * masks).sum((1, 2, 3)) / (likely + masks).sum((1, 2, 3)).clamp(min=1)
    dice = 1 - overlap.mean()
    return {"loss": entropy + dice, "entropy": entropy, "dice": dice, "iou": iou(logits.detach(), masks).mean()}


def iou(logits: Tensor, masks: Tensor) -> Tensor:
    """[n]: intersection over union at a probability of 0.5."""
    found, true = logits > 0, masks > 0.5
    return (found & true).sum((1, 2, 3)) / (found | true).sum((1, 2, 3)).clamp(min=1)


def in_range(pictures: Tensor) -> Tensor:
    """uint8 [n, 3, S, S] → float32 in −1 … 1."""
    return pictures.float().div(127.5).sub(1)


@torch.no_grad()
def measure(network: UNet2DModel, pictures: Tensor, masks: Tensor) -> dict:
    """IoU at the masks' size, of probabilities spread bicubically."""
    spread = lambda part: F.interpolate(network(part, 0).sample.sigmoid(), masks.shape[-2:], mode="bicubic") - 0.5
    found = torch.cat([iou(spread(part), true) for part, true in zip(pictures.split(16), masks.split(16))])
    return {"iou": float(found.mean()), "iou_worst_tenth": float(found.quantile(0.1)), "pictures": len(pictures)}


def main() -> None:
    o = options("segmentation", minutes=8, batch_cpu=16, batch_gpu=256)
    pool, unseen = Pool(o.beside("pool"), shards=o.shards), Pool(o.beside("pool"), "held_out")
    tests = np.arange(min(TEST_PICTURES, len(unseen)))
    pictures = in_range(shrink(unseen.picture(tests), CONFIG["sample_size"])).to(o.device)
    masks = unseen.mask(tests).to(o.device)
    torch.manual_seed(o.seed)
    network = earlier(o.out / "segmentation", UNet2DModel) or UNet2DModel(**CONFIG)
    print(f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters", flush=True)
    predict = o.fast(lambda model, pictures, timesteps: model(pictures, timesteps).sample)
    zero = torch.zeros(o.batch, dtype=torch.long, device=o.device)

    every = shrink_all(pool, CONFIG["sample_size"], device=o.device)
    every_mask = pool.packed.on(o.device)

    def losses(model: UNet2DModel):
        rows = torch.randint(len(every), (o.batch,), device=o.device)
        seen, true = in_range(every[rows]), unpacked(every_mask[rows])
        mirrored = torch.rand(o.batch, 1, 1, 1, device=o.device) < 0.5
        seen, true = (torch.where(mirrored, one.flip(3), one) for one in (seen, true))
        light, tint = torch.empty(2, o.batch, 3, 1, 1, device=o.device).uniform_(-0.1, 0.1)
        seen = (seen * (1 + light) + tint).clamp(-1, 1)
        return mask_losses(F.interpolate(predict(model, seen.contiguous(), zero), true.shape[-2:], mode="bilinear"), true)

    def publish(average: UNet2DModel) -> None:
        measured = measure(average, pictures, masks)
        replace_folder(o.out / "segmentation", average.save_pretrained)
        write_json(o.out / "measured.json", measured)
        print(measured, flush=True)

    train(o, network, losses, publish, learning_rate=1e-3, weight_decay=1e-3, ema_decay=0.99)


if __name__ == "__main__":
    main()
