"""The miniature's UNet: Stable Diffusion 1.5's topology on 8 × 16 × 16 latents, from captions.

    python -m training.miniature.unet --minutes 45 --out .moma/training/unet

The text encoder is CLIP's, frozen. Four things that billions of pictures teach Stable Diffusion would take longer here
than all the rest, so they are asked for:
- The noun's cross-attention maps are drawn a little towards the thing's true area: the method takes its masks from them.
- Three quarters of the samples also see their thing's reference, through maps at the self-attentions that are no part of
  the UNet: so queries and keys of the same thing in two pictures come to match, which is what the subject branch,
  that starts from zero on the frozen network, lives on.
- Where those look in the reference is drawn towards where it shows the same place of the thing, which the world knows:
  left alone, a network of this size learns what colours to borrow and never from where.
- Half of the samples also see their own picture's embedding, through maps at the cross-attentions that are no part of the
  UNet either, and half of those nothing else: captions tell so much of this small world's pictures that maps which are
  learned on a network trained by text alone add nothing to them.

Writes OUT/unet (diffusers layout); OUT/borrowing.pt, from which stage 2's subject maps start; and OUT/context.pt, from
which IP-Adapter's start, in its layout.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from training.miniature.attention import BorrowingAttention, Given, MapAttention, mean_map
from training.miniature.common import earlier, options, replace_folder, save_tensors, train
from training.miniature.diffusion import Examples, map_loss, widened
from training.miniature.llava import ImageProjection
from training.miniature.pool import Pool
from training.miniature.stage1 import Vision
from training.miniature.towers import EMBEDDING

CONFIG = {
    "sample_size": 16,
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": (48, 64, 96, 128),
    "layers_per_block": 2,
    "cross_attention_dim": 128,
    "attention_head_dim": 2,  # the number of heads, as in Stable Diffusion's config
    "norm_num_groups": 16,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
MAP_WEIGHT = 0.05
PLACE_WEIGHT = 0.03  # of nats: at first as much as the loss on ε
BORROWING = 0.75  # share of the samples that see their thing's reference
TOLD = 0.5  # share of the samples that see their picture's embedding
TOLD_ALONE = 0.5  # share of those that have no text


@torch.no_grad()
def start_well(unet: UNet2DConditionModel) -> None:
    """Residual branches and the output start at zero, as in latent diffusion's own code."""
    for name, module in unet.named_modules():
        if name.endswith(("conv2", "proj_out", "conv_out")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


class Learner(nn.Module):
    """The UNet with the maps that it borrows and is told through."""

    def __init__(self, unet: UNet2DConditionModel):
        super().__init__()
        self.unet = unet
        maps, context = [], {}
        for number, name in enumerate(unet.attn_processors):
            attn = unet.get_submodule(name.removesuffix(".processor"))
            if name.endswith("attn1.processor"):
                attn.set_processor(processor := BorrowingAttention(attn.to_q.in_features))
                maps.append(processor.maps)
            else:
                attn.set_processor(processor := MapAttention(attn))
                context[str(number)] = processor.maps
        self.maps = nn.ModuleList(maps)
        self.context = nn.ModuleDict(
            {
                "image_proj": ImageProjection(EMBEDDING, unet.config.cross_attention_dim),
                "ip_adapter": nn.ModuleDict(context),
            }
        )

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        states: Tensor,
        subject_tokens: Tensor,
        embeddings: Tensor,
        told: Tensor,
        reference: Tensor,
        nouns: Tensor,
        gate: Tensor,
        reference_mask: Tensor,
        strength: Tensor,
        elsewhere: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        x_t [n, C, h, w], t [n], text states [n, 77, D], the noun's places in them [n, 77], picture embeddings [n, E] and
        which samples see them [n] of 0 and 1; of the first m samples the reference [m, C, h, w], the noun's states, the
        target's and the reference's mask [m, 1, h, w], β [m] and where the reference shows the same [m, 2, 3] →
        ε [n, C, h, w], the noun's map [n, 1, h, w], how far from the same place the first m samples look, one number.
        """
        borrowing = [p for p in self.unet.attn_processors.values() if isinstance(p, BorrowingAttention)]
        mapping = [p for p in self.unet.attn_processors.values() if isinstance(p, MapAttention)]
        with torch.no_grad():
            for processor in borrowing:
                processor.reading, processor.given = True, None
            for processor in mapping:
                processor.given = None
            self.unet(reference, torch.zeros_like(timesteps[: len(reference)]), nouns)
        given = Given(
            subject_tokens=subject_tokens, context=self.context["image_proj"](embeddings), context_scale=told[:, None, None],
            gate=gate, reference_mask=reference_mask, strength=strength, elsewhere=elsewhere,
        )  # fmt: skip
        for processor in borrowing:
            processor.reading, processor.given = False, given
        for processor in mapping:
            processor.given = given
        predicted = self.unet(noisy, timesteps, states).sample
        return predicted, mean_map(given.maps, given.size), torch.stack(given.apart).mean()


def main() -> None:
    o = options("unet", minutes=45, batch_cpu=16, batch_gpu=1024)
    pool = Pool(o.beside("pool"), shards=o.shards)
    examples = Examples(o, pool)
    embeddings = Vision(o.beside("clip") / "image_encoder", o.device).embeddings(pool).on(o.device)
    torch.manual_seed(o.seed)
    unet = earlier(o.out / "unet", UNet2DConditionModel)
    if unet is None:
        unet = UNet2DConditionModel(**CONFIG)
        start_well(unet)
    print(f"{sum(p.numel() for p in unet.parameters()) / 1e6:.2f} M parameters", flush=True)
    predict = o.fast(lambda model, *tensors: model(*tensors))
    borrowing = int(o.batch * BORROWING)

    def losses(model: Learner):
        rows = examples.draw(o.batch, with_reference=borrowing)
        told = examples.chance(o.batch, TOLD)
        target, seen = examples.target(rows, told * TOLD_ALONE), examples.references(rows[:borrowing])
        pictures = torch.where(target.empty[:, None], 0, embeddings[rows].float())
        strength = examples.strength(rows[:borrowing], target.timesteps[:borrowing])
        predicted, maps, place = predict(
            model, target.noisy, target.timesteps, target.states, target.subject_tokens, pictures, told.float(),
            examples.reference_latents(seen), examples.captions.nouns(rows[:borrowing]),
            widened(target.masks[:borrowing]), examples.masks[seen].float(), strength, examples.elsewhere(rows[:borrowing], seen),
        )  # fmt: skip
        loss, plain = examples.noise.loss(predicted, target.epsilon, target.timesteps)
        half = lambda which: (predicted[which].detach() - target.epsilon[which]).square().mean()
        mapped = map_loss(maps, target.masks, ~target.empty)
        return {
            "loss": loss + MAP_WEIGHT * mapped + PLACE_WEIGHT * place, "epsilon": plain, "weighted": loss.detach(),
            "map": mapped.detach(), "place": place.detach(),
            "epsilon_borrowing": half(slice(borrowing)), "epsilon_alone": half(slice(borrowing, None)),
        }  # fmt: skip

    def publish(average: Learner) -> None:
        replace_folder(o.out / "unet", average.unet.save_pretrained)
        save_tensors(o.out / "borrowing.pt", average.maps.state_dict())
        save_tensors(o.out / "context.pt", {name: part.state_dict() for name, part in average.context.items()})

    learner = Learner(unet)
    if (o.out / "borrowing.pt").exists():
        learner.maps.load_state_dict(torch.load(o.out / "borrowing.pt", weights_only=True))
    if (o.out / "context.pt").exists():
        for name, saved in torch.load(o.out / "context.pt", weights_only=True).items():
            learner.context[name].load_state_dict(saved)
    train(o, learner, losses, publish, learning_rate=1e-3, weight_decay=0.01, ema_decay=0.999)


if __name__ == "__main__":
    main()
