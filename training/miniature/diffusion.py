"""What the recipes of the denoiser share: noise, losses, texts with their subject tokens, latents, DDIM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModelWithProjection

from training.miniature.common import pixels
from training.miniature.pool import Pool, Rows, digest_of
from training.miniature.towers import open_tokenizer, subject_prompt, tokenize

TIMESTEPS = 1000
SNR_LIMIT = 5.0  # min-SNR weighting: steps with little noise count less
SUBJECT_BRANCH_BELOW_TIMESTEP = 950
NOUN_TOKENS = 73  # of 77: what the subject pass reads
OWN_PICTURE = 0.5  # share of the samples whose reference is the thing in the picture itself
EMPTY_TEXT = 0.1  # share of the samples without a text, for guidance


def schedule() -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=TIMESTEPS, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip


class Noise:
    """x_t and its loss on ε."""

    def __init__(self, device: torch.device):
        self.alphas = schedule().alphas_cumprod.to(device)

    def draw(self, latents: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """latents [n, C, h, w] → x_t, ε, t."""
        timesteps = torch.from_numpy(rng.integers(TIMESTEPS, size=len(latents))).to(latents.device)
        epsilon = torch.from_numpy(rng.standard_normal(latents.shape, dtype=np.float32)).to(latents.device)
        alpha = self.alphas[timesteps][:, None, None, None]
        return alpha.sqrt() * latents + (1 - alpha).sqrt() * epsilon, epsilon, timesteps

    def almost_none(self, latents: Tensor, rng: np.random.Generator) -> Tensor:
        """The latents with the noise of t = 0, as the subject pass reads them."""
        epsilon = torch.from_numpy(rng.standard_normal(latents.shape, dtype=np.float32)).to(latents.device)
        return self.alphas[0].sqrt() * latents + (1 - self.alphas[0]).sqrt() * epsilon

    def loss(self, predicted: Tensor, epsilon: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted loss and the plain one."""
        snr = self.alphas[timesteps] / (1 - self.alphas[timesteps])
        squares = (predicted.float() - epsilon).square().mean((1, 2, 3))
        return (squares * (snr.clamp(max=SNR_LIMIT) / snr)).mean(), squares.detach().mean()


class Texts:
    """The frozen text encoder, and where a noun stands in a text."""

    def __init__(self, tokenizers: Path, encoder: Path, device: torch.device):
        self.tokenizer, self.device = open_tokenizer(tokenizers), device
        self.encoder = CLIPTextModelWithProjection.from_pretrained(encoder).to(device).requires_grad_(False).eval()
        self.words: dict[str, list[int]] = {}

    @torch.no_grad()
    def states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States [n, 77, D] and ids [n, 77]."""
        ids = tokenize(self.tokenizer, texts, whole=True)
        return self.encoder(ids.to(self.device)).last_hidden_state, ids

    def nouns(self, labels: Sequence[str]) -> Tensor:
        """States of the nouns alone, as the subject pass reads them."""
        return self.states(labels)[0][:, :NOUN_TOKENS]

    def subject_tokens(self, ids: Tensor, labels: Sequence[str]) -> Tensor:
        """[n, 77] of 0 and 1: all tokens of every word of the noun, wherever it stands."""
        found = torch.zeros(ids.shape)
        for row, label, marks in zip(ids.tolist(), labels, found):
            for word in label.split():
                wanted = self.tokens_of(word)
                for start in range(1, len(row) - len(wanted)):
                    if row[start : start + len(wanted)] == wanted:
                        marks[start : start + len(wanted)] = 1
        return found.to(self.device)

    def tokens_of(self, word: str) -> list[int]:
        if word not in self.words:
            self.words[word] = self.tokenizer(word, add_special_tokens=False).input_ids
        return self.words[word]


def prompts(pool: Pool, rows: np.ndarray, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Texts of the rows, some bare captions among them, and which were left empty."""
    empty, bare = rng.random(len(rows)) < EMPTY_TEXT, rng.random(len(rows)) < 0.15
    texts = [pool.captions[r] if b else subject_prompt(pool.labels[r], pool.captions[r]) for r, b in zip(rows, bare)]
    return ["" if e else text for e, text in zip(empty, texts)], empty


def references(pool: Pool, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """
    Where the things of the rows are seen: in the picture itself, which is all that the paper's training has and teaches to
    copy, or in its partner, the same thing elsewhere and otherwise, as it is asked for. A sculpture is nobody's reference.
    """
    own = (rng.random(len(rows)) < OWN_PICTURE) & np.array([pool.textures[row] is None for row in rows])
    return np.where(own, rows, rows ^ 1)


def open_vae(folder: Path, device: torch.device) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(folder).to(device).requires_grad_(False).eval()


def open_unet(folder: Path, device: torch.device) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(folder).to(device).requires_grad_(False).eval()


def latents_of(pool: Pool, folder: Path, device: torch.device) -> Rows:
    """Scaled latents [C, 16, 16] of every row, made once for a VAE."""
    vae = open_vae(folder, device)
    encode = lambda rows: vae.encode(pixels(pool.picture(rows).to(device))).latent_dist.mean * vae.config.scaling_factor
    return pool.cached("latents", digest_of(folder), encode)


def small_masks(pool: Pool, rows: np.ndarray, device: torch.device) -> Tensor:
    """[n, 1, 16, 16] of 0 and 1, by nearest neighbour as the method shrinks masks."""
    return F.interpolate(pool.mask(rows), (16, 16), mode="nearest").to(device)


@torch.no_grad()
def ddim(predict: Callable[[Tensor, int], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Latents from noise [n, C, h, w]; predict(latents, t) gives the guided ε."""
    sampler, latents = schedule(), noise
    sampler.set_timesteps(steps)
    for t in sampler.timesteps.tolist():
        latents = sampler.step(predict(latents, t), t, latents, eta=0.0).prev_sample
    return latents
