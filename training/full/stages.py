"""The two stages' losses at any size; a batch is what `data.collate` gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from torch import Tensor, nn

from training.full.networks import (
    Bundle, Maps, llava, published_mllm, text_encoder, tokenizers, trained_mllm, unet, vae, vision_tower,
)  # fmt: skip
from training.full.settings import Settings
from training.miniature.attention import Adapters, Given
from training.miniature.common import pixels
from training.miniature.diffusion import NOUN_TOKENS, SUBJECT_BRANCH_BELOW_TIMESTEP, TIMESTEPS, schedule
from training.miniature.llava import Mllm
from training.miniature.towers import normalize, shrink, subject_prompt

Batch = dict[str, Any]


def on_white(pictures: Tensor, masks: Tensor) -> Tensor:
    """uint8 [n, H, W, 3] and masks [n, 1, H, W] → the things on white."""
    return torch.where(masks[:, 0, :, :, None] > 0, pictures, torch.tensor(255, dtype=torch.uint8, device=pictures.device))


class Asking(nn.Module):
    """The locked image towers, and what the MLLM is asked about a batch."""

    def __init__(self, bundle: Bundle):
        super().__init__()
        self.patches, self.whole = vision_tower(bundle, "clipVision"), vision_tower(bundle, "vitH")
        self.instructions = tokenizers(bundle).instructions

    def ask(self, model: Mllm, batch: Batch) -> Tensor:
        """Context embeddings [n, E]."""
        white = on_white(batch["reference"], batch["reference_mask"])
        seen = normalize(shrink(white, self.patches.config.image_size))
        with torch.no_grad():
            features = self.patches(seen, output_hidden_states=True).hidden_states[-2][:, 1:]
        asked = [self.instructions.ids(*words) for words in zip(batch["label"], batch["caption"])]
        return model(features, asked[0][0], [after for _, after in asked])

    @torch.no_grad()
    def wanted(self, batch: Batch) -> Tensor:
        """Embeddings [n, E] of the whole target pictures."""
        return self.whole(normalize(shrink(batch["image"], self.whole.config.image_size))).image_embeds


class Stage(nn.Module):
    """
    A stage's loss of a batch, as a module that accelerate can wrap: `learner` is what learns. The frozen networks are no
    part of it, so that they are neither averaged nor saved.
    """

    output: str  # the file that it leaves

    def __init__(self, learner: nn.Module, frozen: dict[str, nn.Module]):
        super().__init__()
        self.frozen = frozen
        for network in frozen.values():
            network.requires_grad_(False).eval()
        # After that: stage 2's maps are part of its UNet too.
        self.learner = learner.requires_grad_(True)

    def keep_on(self, device: torch.device) -> None:
        """The frozen networks."""
        for network in self.frozen.values():
            network.to(device)

    @staticmethod
    def written(learned: dict[str, Tensor]) -> Any:
        """What `output` holds, of the learner's tensors by their names."""
        return learned


class Stage1(Stage):
    """Projector, decoder with the learnable token, and mapping towards the target's image embedding."""

    output = "mllm.pt"

    def __init__(self, bundle: Bundle, settings: Settings):
        super().__init__(llava(bundle, settings.llava), {"asking": Asking(bundle)})

    def forward(self, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        asking = self.frozen["asking"]
        wanted, made = asking.wanted(batch), asking.ask(self.learner, batch)
        cosine = F.cosine_similarity(made, wanted).mean()
        return {"loss": F.mse_loss(made, wanted) + (1 - cosine), "cosine": cosine.detach()}


class Stage2(Stage):
    """Image projection, subject maps and context maps, by the diffusion loss; all networks frozen."""

    output = "adapters.pt"

    def __init__(self, bundle: Bundle, settings: Settings):
        denoiser = unet(bundle)
        adapters = Adapters(denoiser)
        published = settings.mllm == "bundle"
        frozen = {
            "asking": Asking(bundle),
            "mllm": published_mllm(bundle) if published else trained_mllm(bundle, settings.out / "stage1" / Stage1.output),
            "unet": denoiser,
            "vae": vae(bundle),
            "text": text_encoder(bundle),
        }
        super().__init__(Maps(bundle, adapters), frozen)
        # In a tuple: the adapters are the learner's already.
        self.settings, self.adapters = settings, (adapters,)
        self.tokenizer = tokenizers(bundle).clip
        self.sampler: DDIMScheduler = schedule()

    @torch.no_grad()
    def states(self, texts: list[str], device: torch.device) -> Tensor:
        ids = self.tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return self.frozen["text"](ids.to(device)).last_hidden_state

    @torch.no_grad()
    def latents(self, pictures: Tensor) -> Tensor:
        autoencoder = self.frozen["vae"]
        return autoencoder.encode(pixels(pictures)).latent_dist.sample() * autoencoder.config.scaling_factor

    def forward(self, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        (adapters,) = self.adapters
        device, count = batch["image"].device, len(batch["label"])
        draw = lambda share: torch.from_numpy(rng.random(count) < share).to(device)
        denoiser, target, reference = self.frozen["unet"], self.latents(batch["image"]), self.latents(batch["reference"])
        epsilon, timesteps = torch.randn_like(target), torch.from_numpy(rng.integers(TIMESTEPS, size=count)).to(device)
        empty = draw(self.settings.emptyText)
        prompts = [subject_prompt(*words) for words in zip(batch["label"], batch["caption"])]
        texts = self.states(["" if left_out else prompt for left_out, prompt in zip(empty.tolist(), prompts)], device)
        first = torch.zeros_like(timesteps)
        with torch.no_grad(), adapters.reading():
            noun = self.states(batch["label"], device)[:, :NOUN_TOKENS]
            denoiser(self.sampler.add_noise(reference, torch.randn_like(reference), first), first, noun)
        with torch.no_grad():
            context = torch.where(empty[:, None], 0, self.frozen["asking"].ask(self.frozen["mllm"], batch))
        early = timesteps >= SUBJECT_BRANCH_BELOW_TIMESTEP
        size = tuple(target.shape[-2:])
        small = lambda masks: F.interpolate(masks, size, mode="nearest")
        given = Given(
            context=self.learner.projectors(context),
            gate=small(batch["mask"]).masked_fill((early | draw(self.settings.unmasked))[:, None, None, None], 1),
            reference_mask=small(batch["reference_mask"]),
            strength=(~early).float(),
            size=size,
        )
        with adapters.given(given):
            predicted = denoiser(self.sampler.add_noise(target, epsilon, timesteps), timesteps, texts).sample
        return {"loss": F.mse_loss(predicted.float(), epsilon.float())}

    @staticmethod
    def written(learned: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in learned.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = tensor
        return parts


STAGES = {"stage1": Stage1, "stage2": Stage2}
