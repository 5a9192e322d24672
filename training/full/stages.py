"""The two stages' losses at any size; a batch is what `data.collate` gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler
from torch import Tensor, nn

from training.full.networks import Bundle, Maps, mllm, text_encoder, tokenizers, unet, vae, vision_tower
from training.full.settings import Settings
from training.miniature.attention import Adapters, Given
from training.miniature.diffusion import NOUN_TOKENS, SUBJECT_BRANCH_BELOW_TIMESTEP, TIMESTEPS, schedule
from training.miniature.llava import Mllm
from training.miniature.towers import normalize, shrink, subject_prompt

Batch = dict[str, Any]


def pixels(pictures: Tensor) -> Tensor:
    """uint8 [n, H, W, 3] → float32 [n, 3, H, W] in −1 … 1."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


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


class Stage1:
    """Projector, decoder with the learnable token, and mapping towards the target's image embedding."""

    output = "mllm.pt"

    def __init__(self, bundle: Bundle, settings: Settings):
        self.learner = mllm(bundle)
        self.frozen = {"asking": Asking(bundle)}

    def losses(self, model: nn.Module, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        asking = self.frozen["asking"]
        wanted, made = asking.wanted(batch), asking.ask(model, batch)
        cosine = F.cosine_similarity(made, wanted).mean()
        return {"loss": F.mse_loss(made, wanted) + (1 - cosine), "cosine": cosine.detach()}

    def checkpoint(self, model: Mllm) -> Any:
        return model.state_dict()


class Stage2:
    """Image projection, subject maps and context maps, by the diffusion loss; all networks frozen."""

    output = "adapters.pt"

    def __init__(self, bundle: Bundle, settings: Settings):
        self.settings = settings
        denoiser = unet(bundle)
        self.adapters = Adapters(denoiser)
        self.learner = Maps(bundle, self.adapters)
        trained = settings.out / "stage1" / Stage1.output
        self.frozen = {
            "asking": Asking(bundle),
            "mllm": mllm(bundle, trained if trained.exists() else None).requires_grad_(False).eval(),
            "unet": denoiser,
            "vae": vae(bundle),
            "text": text_encoder(bundle),
        }
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

    def losses(self, model: nn.Module, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        device, count = batch["image"].device, len(batch["label"])
        draw = lambda share: torch.from_numpy(rng.random(count) < share).to(device)
        denoiser, target, reference = self.frozen["unet"], self.latents(batch["image"]), self.latents(batch["reference"])
        epsilon, timesteps = torch.randn_like(target), torch.from_numpy(rng.integers(TIMESTEPS, size=count)).to(device)
        empty = draw(self.settings.emptyText)
        prompts = [subject_prompt(*words) for words in zip(batch["label"], batch["caption"])]
        texts = self.states(["" if left_out else prompt for left_out, prompt in zip(empty.tolist(), prompts)], device)
        first = torch.zeros_like(timesteps)
        with torch.no_grad(), self.adapters.reading():
            noun = self.states(batch["label"], device)[:, :NOUN_TOKENS]
            denoiser(self.sampler.add_noise(reference, torch.randn_like(reference), first), first, noun)
        with torch.no_grad():
            context = torch.where(empty[:, None], 0, self.frozen["asking"].ask(self.frozen["mllm"], batch))
        early = timesteps >= SUBJECT_BRANCH_BELOW_TIMESTEP
        size = tuple(target.shape[-2:])
        small = lambda masks: F.interpolate(masks, size, mode="nearest")
        given = Given(
            context=model.projectors(context),
            gate=small(batch["mask"]).masked_fill((early | draw(self.settings.unmasked))[:, None, None, None], 1),
            reference_mask=small(batch["reference_mask"]),
            strength=(~early).float(),
            size=size,
        )
        with self.adapters.given(given):
            predicted = denoiser(self.sampler.add_noise(target, epsilon, timesteps), timesteps, texts).sample
        return {"loss": F.mse_loss(predicted.float(), epsilon.float())}

    def checkpoint(self, model: Maps) -> Any:
        return model.checkpoint()


STAGES = {"stage1": Stage1, "stage2": Stage2}
