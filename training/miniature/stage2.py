"""Stage 2: the attentions learn to draw a given thing: subject maps from zero, context maps from IP-Adapter's.

    python -m training.miniature.stage2 --minutes 15 --out .moma/training/stage2

Image and text encoders, MLLM and UNet are frozen. A sample has its thing's reference, in the picture itself or in its
partner: it goes through the UNet once at t = 0 with its noun, which gives every self-attention K_ref and V_ref; the
target is denoised with its text, the context embedding that stage 1's MLLM gives, and the subject branch. m_gen is what
sampling has: the mask that the frozen cross-attentions tell, soft and a little too large, by which the subject branch has
to learn what it must not paint; for half of the samples the thing's true area, for t ≥ 950 1 everywhere, where sampling
has no mask yet and the subject branch is off. The noun's maps are drawn towards the true area here too: what the
reference shows is all that says where it ends.

Writes OUT/adapters.pt: {"projectors", "self_cross_attentions"}, part of the layout of attn_adapters_projectors.th.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from training.miniature.attention import Adapters, Given, combine_maps, mean_map
from training.miniature.common import Options, options, save_tensors, train
from training.miniature.diffusion import (
    NO_TEXT, SUBJECT_BRANCH_BELOW_TIMESTEP, Examples, frozen_unet, map_loss,
)  # fmt: skip
from training.miniature.ip_adapter import TEXT_CHANNELS
from training.miniature.llava import ImageProjection, Instructions
from training.miniature.pool import Pool, Rows, digest_of_file
from training.miniature.stage1 import Questions, Vision, open_mllm
from training.miniature.towers import EMBEDDING

MAP_WEIGHT = 0.5  # a map's loss is a few hundredths, as that of ε
TRUE_AREA = 0.5  # share of the samples whose m_gen is the thing's true area
SCALE_FASTER = 20.0  # maps behind a scale of zero learn nothing until it opens


class Moma(nn.Module):
    """What learns: the image projection and every attention's maps."""

    def __init__(self, adapters: Adapters):
        super().__init__()
        self.projectors = ImageProjection(EMBEDDING, TEXT_CHANNELS)
        self.self_cross_attentions = adapters.layers

    def start_from(self, ip_adapter: Path) -> None:
        saved = torch.load(ip_adapter, weights_only=True)
        self.projectors.load_state_dict(saved["image_proj"])
        missing = self.self_cross_attentions.load_state_dict(saved["ip_adapter"], strict=False)
        if missing.unexpected_keys:
            raise ValueError(f"{ip_adapter}: unexpected {missing.unexpected_keys}")

    def start_maps_from(self, borrowing: Path) -> None:
        """The subject maps start as those that the UNet learned to borrow through; their scale is zero all the same."""
        saved = torch.load(borrowing, weights_only=True)
        for index, layer in enumerate(self.self_cross_attentions[::2]):
            layer.to_k_ip.weight.data.copy_(saved[f"{index}.0.weight"])
            layer.to_v_ip.weight.data.copy_(saved[f"{index}.1.weight"])

    def go_on_from(self, file: Path) -> None:
        saved = torch.load(file, weights_only=True)
        self.projectors.load_state_dict(saved["projectors"])
        self.self_cross_attentions.load_state_dict(saved["self_cross_attentions"])

    def checkpoint(self) -> dict[str, dict[str, Tensor]]:
        return {"projectors": self.projectors.state_dict(), "self_cross_attentions": self.self_cross_attentions.state_dict()}


def context_embeddings(o: Options, pool: Pool) -> Rows:
    """[E] of every row as stage 1's MLLM tells it from the row's partner; made once."""
    vision = Vision(o.beside("clip") / "image_encoder", o.device)
    instructions = Instructions(o.beside("tokenizers") / "llama")
    mllm = open_mllm(o.beside("stage1"), instructions, o.device)
    questions = Questions(pool, vision, instructions)
    digest = digest_of_file(o.beside("stage1") / "mllm.pt", vision.digest)
    return pool.cached("context", digest, lambda rows: questions.ask(mllm, torch.from_numpy(rows).to(o.device)))


def main() -> None:
    o = options("stage2", minutes=15, batch_cpu=24, batch_gpu=1024)
    pool = Pool(o.beside("pool"), shards=o.shards)
    examples = Examples(o, pool)
    contexts = context_embeddings(o, pool).on(o.device)
    unet = frozen_unet(o)
    adapters = Adapters(unet).to(o.device)
    learner = Moma(adapters)
    if (o.out / "adapters.pt").exists():
        learner.go_on_from(o.out / "adapters.pt")
    else:
        learner.start_from(o.beside("ip_adapter") / "adapter.pt")
        if (borrowing := o.beside("unet") / "borrowing.pt").exists():
            learner.start_maps_from(borrowing)

    def denoise(
        model: Moma,
        noisy: Tensor,
        timesteps: Tensor,
        states: Tensor,
        context: Tensor,
        subject_tokens: Tensor,
        gate: Tensor,
        told: Tensor,
        reference: Tensor,
        nouns: Tensor,
        reference_mask: Tensor,
        strength: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """
        ε [n, C, h, w] and the noun's map [n, 1, h, w]. `told` [m]: which of the first m samples take the mask that the
        cross-attentions tell in the place of `gate`'s.
        """
        m = len(told)
        with torch.no_grad():
            with adapters.reading():
                unet(reference, torch.zeros_like(timesteps), nouns)
            with adapters.given(Given(subject_tokens=subject_tokens[:m])) as maps:
                unet(noisy[:m], timesteps[:m], states[:m])
            first = torch.where(told[:, None, None, None], combine_maps(maps, gate.shape[-2:]), gate[:m])
            gate = torch.cat([first, gate[m:]])
        given = Given(
            subject_tokens, context=model.projectors(context), gate=gate, reference_mask=reference_mask, strength=strength
        )
        with adapters.given(given) as maps:
            predicted = unet(noisy, timesteps, states).sample
        return predicted, mean_map(maps, gate.shape[-2:])

    predict = o.halved(denoise)

    def losses(model: Moma):
        rows = examples.draw(o.batch, with_reference=o.batch)
        target, seen = examples.target(rows, NO_TEXT), examples.references(rows)
        early = target.timesteps >= SUBJECT_BRANCH_BELOW_TIMESTEP
        named = target.subject_tokens.any(1) & ~early
        told = named[: o.batch - int(o.batch * TRUE_AREA)]
        predicted, maps = predict(
            model, target.noisy, target.timesteps, target.states, torch.where(target.empty[:, None], 0, contexts[rows].float()),
            target.subject_tokens, target.masks.masked_fill(early[:, None, None, None], 1), told,
            examples.reference_latents(seen),
            examples.captions.nouns(rows), examples.masks[seen].float(), examples.strength(rows, target.timesteps),
        )  # fmt: skip
        loss, plain = examples.noise.loss(predicted, target.epsilon, target.timesteps)
        mapped = map_loss(maps, target.masks, named)
        scale = torch.stack([layer.scale_learnable.detach() for layer in adapters.layers[::2]]).mean()
        return {"loss": loss + MAP_WEIGHT * mapped, "epsilon": plain, "map": mapped.detach(), "mean_scale": scale}

    def publish(average: Moma) -> None:
        save_tensors(o.out / "adapters.pt", average.checkpoint())

    train(o, learner, losses, publish, 1e-3, weight_decay=0.0, ema_decay=0.98, faster={"scale_learnable": SCALE_FASTER})


if __name__ == "__main__":
    main()
