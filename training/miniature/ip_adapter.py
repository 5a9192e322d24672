"""The baseline, and where stage 2's context maps start from: IP-Adapter on the miniature's UNet, from what that was told through.

    python -m training.miniature.ip_adapter --minutes 10 --out .moma/training/ip_adapter

Image projection and the cross-attentions' `to_k_ip`, `to_v_ip` learn from the embedding of the picture itself; text,
picture and both are left out now and then, for guidance. The UNet is frozen.

Writes OUT/adapter.pt: {"image_proj", "ip_adapter"}, the layout of ip-adapter_sd15.bin.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from training.miniature.attention import Adapters, Given
from training.miniature.common import options, save_tensors, train
from training.miniature.diffusion import NO_TEXT, Examples, frozen_unet
from training.miniature.llava import ImageProjection
from training.miniature.pool import Pool
from training.miniature.stage1 import Vision
from training.miniature.towers import EMBEDDING

TEXT_CHANNELS = 128
NO_PICTURE = 0.05  # share of the samples whose text stays and whose embedding is zero


class IpAdapter(nn.Module):
    """What learns: the image projection, and the cross-attentions' maps by their numbers."""

    def __init__(self, adapters: Adapters):
        super().__init__()
        self.image_proj = ImageProjection(EMBEDDING, TEXT_CHANNELS)
        self.ip_adapter = nn.ModuleDict({str(k): adapters.layers[k] for k in range(1, len(adapters.layers), 2)})

    def start_from(self, file: Path) -> None:
        saved = torch.load(file, weights_only=True)
        self.image_proj.load_state_dict(saved["image_proj"])
        self.ip_adapter.load_state_dict(saved["ip_adapter"])

    def checkpoint(self) -> dict[str, dict[str, Tensor]]:
        return {"image_proj": self.image_proj.state_dict(), "ip_adapter": self.ip_adapter.state_dict()}


def main() -> None:
    o = options("ip_adapter", minutes=10, batch_cpu=24, batch_gpu=1024)
    pool = Pool(o.beside("pool"), shards=o.shards)
    examples = Examples(o, pool)
    embeddings = Vision(o.beside("clip") / "image_encoder", o.device).embeddings(pool).on(o.device)
    unet = frozen_unet(o)
    torch.manual_seed(o.seed)
    adapters = Adapters(unet).to(o.device)
    learner = IpAdapter(adapters)
    for start in (o.out / "adapter.pt", o.beside("unet") / "context.pt"):
        if start.exists():
            learner.start_from(start)
            break

    def denoise(model: IpAdapter, noisy: Tensor, timesteps: Tensor, states: Tensor, seen: Tensor) -> Tensor:
        with adapters.given(Given(context=model.image_proj(seen))):
            return unet(noisy, timesteps, states).sample

    predict = o.halved(denoise)

    def losses(model: IpAdapter):
        rows = examples.draw(o.batch, with_reference=0)
        target = examples.target(rows, NO_TEXT)
        left_out = (target.empty | examples.chance(o.batch, NO_PICTURE))[:, None]
        seen = torch.where(left_out, 0, embeddings[rows].float())
        predicted = predict(model, target.noisy, target.timesteps, target.states, seen)
        loss, plain = examples.noise.loss(predicted, target.epsilon, target.timesteps)
        return {"loss": loss, "epsilon": plain}

    def publish(average: IpAdapter) -> None:
        save_tensors(o.out / "adapter.pt", average.checkpoint())

    train(o, learner, losses, publish, learning_rate=1e-3, weight_decay=0.01, ema_decay=0.99)


if __name__ == "__main__":
    main()
