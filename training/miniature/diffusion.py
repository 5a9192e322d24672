"""What the recipes of the denoiser share: examples on the device, noise, losses, texts with their subject tokens, DDIM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModelWithProjection

from training.miniature.common import Options, autocast, pixels
from training.miniature.pool import Pool, Rows, digest_of
from training.miniature.towers import open_tokenizer, subject_prompt, tokenize

TIMESTEPS = 1000
SNR_LIMIT = 5.0  # min-SNR weighting: steps with little noise count less
SUBJECT_BRANCH_BELOW_TIMESTEP = 950
RECONTEXTUALIZE, RETEXTURE = 1.0, 0.5  # the paper's strength β of the subject branch, by what is asked for
NOUN_TOKENS = 73  # of 77: what the subject pass reads
OWN_PICTURE = 0.5  # share of the samples whose reference is the thing in the picture itself
# Share of the samples that are in a material; in the world an eighth of the pictures are, which is little for ten of them
# beside 18 places.
IN_MATERIAL = 0.25
EMPTY_TEXT = 0.1  # share of the samples without a text, for guidance
# Share of the samples that have an embedding and no text, where there are embeddings. A caption tells nearly all of this small
# world's pictures: maps that hardly ever do without one learn to pass the embedding by.
NO_TEXT = 0.3
WIDER_CELLS = 3  # by so many the gate is wider than the thing at most
BARE_TEXT = 0.15  # share of the samples whose text is the caption alone


def schedule() -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=TIMESTEPS, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip


class Noise:
    """x_t and its loss on ε."""

    def __init__(self, device: torch.device):
        self.alphas = schedule().alphas_cumprod.to(device)

    def draw(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """latents [n, C, h, w] → x_t, ε, t."""
        timesteps = torch.randint(TIMESTEPS, (len(latents),), device=latents.device)
        epsilon = torch.randn_like(latents)
        alpha = self.alphas[timesteps][:, None, None, None]
        return alpha.sqrt() * latents + (1 - alpha).sqrt() * epsilon, epsilon, timesteps

    def almost_none(self, latents: Tensor) -> Tensor:
        """The latents with the noise of t = 0, as the subject pass reads them."""
        return self.alphas[0].sqrt() * latents + (1 - self.alphas[0]).sqrt() * torch.randn_like(latents)

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

    def ids(self, texts: Sequence[str]) -> Tensor:
        """int64 [n, 77], on the CPU."""
        return tokenize(self.tokenizer, texts, whole=True)

    @torch.no_grad()
    def of_ids(self, ids: Tensor) -> Tensor:
        """[n, T] on the device → states [n, T, D]."""
        return self.encoder(ids).last_hidden_state

    def states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States [n, 77, D], and ids [n, 77] on the CPU."""
        ids = self.ids(texts)
        return self.of_ids(ids.to(self.device)), ids

    def nouns(self, labels: Sequence[str]) -> Tensor:
        """States of the nouns alone, as the subject pass reads them."""
        return self.states(labels)[0][:, :NOUN_TOKENS]

    def subject_tokens(self, ids: Tensor, labels: Sequence[str]) -> Tensor:
        """[n, 77] of 0 and 1: all tokens of every word of the noun, wherever it stands."""
        found = torch.zeros(ids.shape)
        rows: dict[str, list[int]] = {}
        for row, label in enumerate(labels):
            rows.setdefault(label, []).append(row)
        for label, own in rows.items():
            found[own] = self.marks(ids[own], label)
        return found.to(self.device)

    def marks(self, ids: Tensor, label: str) -> Tensor:
        marks = torch.zeros(ids.shape, dtype=torch.bool)
        for word in label.split():
            wanted = torch.tensor(self.tokens_of(word))
            here = (ids.unfold(1, len(wanted), 1) == wanted).all(2)
            here[:, [0, -1]] = False
            for k in range(len(wanted)):
                marks[:, k : k + here.shape[1]] |= here
        return marks.float()

    def tokens_of(self, word: str) -> list[int]:
        if word not in self.words:
            self.words[word] = self.tokenizer(word, add_special_tokens=False).input_ids
        return self.words[word]


class Captions:
    """Every text that a pool's rows may be drawn with, as ids on the device."""

    def __init__(self, texts: Texts, pool: Pool):
        self.encoder = texts
        numbers: dict[tuple[str, str], int] = {("", ""): 0}
        number = lambda label, text: numbers.setdefault((label, text), len(numbers))
        words = list(zip(pool.labels, pool.captions))
        both = [(number(label, caption), number(label, subject_prompt(label, caption))) for label, caption in words]
        ids = texts.ids([text for _, text in numbers])
        labels = {label: k for k, label in enumerate(dict.fromkeys(pool.labels))}
        on = lambda values: torch.as_tensor(values, device=texts.device)
        self.of_row = on(both)  # [N, 2]: the bare caption's number, and that of the text that is denoised towards
        self.ids = ids.to(texts.device)
        self.subject = texts.subject_tokens(ids, [label for label, _ in numbers]).bool()
        self.noun_ids = texts.ids(list(labels))[:, :NOUN_TOKENS].to(texts.device)
        self.noun_of_row = on([labels[label] for label in pool.labels])

    def draw(self, rows: Tensor, no_text: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Rows [n] → states [n, 77, D], the subject's tokens [n, 77], and which are to have no condition at all [n]; of the
        share `no_text`, which may be one for each row [n], the texts alone are left empty.
        """
        chance = torch.rand(3, len(rows), device=rows.device)
        empty, bare, silent = chance[0] < EMPTY_TEXT, chance[1] < BARE_TEXT, chance[2] < no_text
        which = torch.where(empty | silent, 0, torch.where(bare, self.of_row[rows, 0], self.of_row[rows, 1]))
        return self.encoder.of_ids(self.ids[which]), self.subject[which].float(), empty

    def nouns(self, rows: Tensor) -> Tensor:
        """States [n, 73, D] of the rows' nouns alone."""
        return self.encoder.of_ids(self.noun_ids[self.noun_of_row[rows]])


@dataclass
class Target:
    """What a step denoises."""

    noisy: Tensor  # [n, C, h, w]
    epsilon: Tensor
    timesteps: Tensor  # [n]
    states: Tensor  # [n, 77, D]
    subject_tokens: Tensor  # [n, 77]
    empty: Tensor  # bool [n]: nothing is said
    masks: Tensor  # [n, 1, h, w]: the thing's true area


class Examples:
    """A pool's rows on the device. Rows are drawn there by torch's own random numbers, as all that a step needs."""

    def __init__(self, o: Options, pool: Pool):
        self.texts = Texts(o.beside("tokenizers"), o.beside("clip") / "text_encoder", o.device)
        self.captions = Captions(self.texts, pool)
        self.latents = latents_of(pool, o.beside("vae") / "vae", o.device).on(o.device)
        self.masks = pool.small_masks().to(o.device)
        self.frames = pool.frames.on(o.device)
        in_material = torch.tensor([texture is not None for texture in pool.textures])
        paired = torch.zeros_like(in_material)
        paired[torch.from_numpy(pool.pairs)] = True
        chosen = lambda which: which.nonzero()[:, 0].to(o.device)
        # Rows in a place, rows in a material; of those that have a reference, and of all.
        self.paired = chosen(paired & ~in_material), chosen(paired & in_material)
        self.any = chosen(~in_material), chosen(in_material)
        self.in_material = in_material.to(o.device)
        self.noise, self.device = Noise(o.device), o.device

    def draw(self, n: int, with_reference: int) -> Tensor:
        """n rows, of which the first `with_reference` have one."""
        return torch.cat([self.some(with_reference, *self.paired), self.some(n - with_reference, *self.any)])

    def some(self, n: int, in_place: Tensor, in_material: Tensor) -> Tensor:
        of = lambda rows: rows[torch.randint(len(rows), (n,), device=self.device)]
        return torch.where(self.chance(n, IN_MATERIAL), of(in_material), of(in_place))

    def target(self, rows: Tensor, no_text: float | Tensor = 0.0) -> Target:
        noisy, epsilon, timesteps = self.noise.draw(self.latents[rows].float())
        return Target(noisy, epsilon, timesteps, *self.captions.draw(rows, no_text), self.masks[rows].float())

    def references(self, rows: Tensor) -> Tensor:
        """
        Where the things of the rows are seen: in the picture itself, which is all that the paper's training has and teaches
        to copy, or in its partner, the same thing elsewhere and otherwise, as it is asked for. A sculpture is nobody's
        reference.
        """
        own = (torch.rand(len(rows), device=self.device) < OWN_PICTURE) & ~self.in_material[rows]
        return torch.where(own, rows, rows ^ 1)

    def elsewhere(self, rows: Tensor, seen: Tensor) -> Tensor:
        """[n, 2, 3]: from a place in the pictures `rows`, −1 … 1, to where the pictures `seen` show the same of the thing."""
        here, there = self.frames[rows], self.frames[seen]
        back = inverse(there[:, :, :2])
        return torch.cat([back @ here[:, :, :2], back @ (here[:, :, 2:] - there[:, :, 2:])], 2)

    def strength(self, rows: Tensor, timesteps: Tensor) -> Tensor:
        """β [n], by the task as the paper samples: a subject branch that is learned at full strength overpaints materials."""
        asked = torch.where(self.in_material[rows], RETEXTURE, RECONTEXTUALIZE)
        return torch.where(timesteps >= SUBJECT_BRANCH_BELOW_TIMESTEP, 0, asked)

    def reference_latents(self, rows: Tensor) -> Tensor:
        return self.noise.almost_none(self.latents[rows].float())

    def chance(self, n: int, share: float) -> Tensor:
        """bool [n]"""
        return torch.rand(n, device=self.device) < share


def map_loss(maps: Tensor, masks: Tensor, counts: Tensor) -> Tensor:
    """Mean square between the noun's maps and the thing's true areas [n, 1, h, w], of the samples that count [n]."""
    apart = (maps - masks).square().mean((1, 2, 3))
    return (apart * counts).sum() / counts.sum().clamp(min=1)


def widened(masks: Tensor) -> Tensor:
    """
    Masks [n, 1, h, w] wider by 0 … WIDER_CELLS cells, each by another number: what sampling goes by is a blob at first. Of the
    true area the network learns to take the thing's outline from the gate, and draws blobs.
    """
    wider = [masks, *(F.max_pool2d(masks, 2 * cells + 1, 1, cells) for cells in range(1, WIDER_CELLS + 1))]
    by = torch.randint(len(wider), (len(masks), 1, 1, 1), device=masks.device)
    return sum(one * (by == cells) for cells, one in enumerate(wider))


def inverse(matrices: Tensor) -> Tensor:
    """[n, 2, 2]; written out, because the library's waits for the device."""
    (a, b), (c, d) = matrices[:, 0].unbind(1), matrices[:, 1].unbind(1)
    return torch.stack([d, -b, -c, a], 1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]


def open_vae(folder: Path, device: torch.device) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(folder).to(device).requires_grad_(False).eval()


def open_unet(folder: Path, device: torch.device) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(folder).to(device).requires_grad_(False).eval()


def frozen_unet(o: Options) -> UNet2DConditionModel:
    """What a recipe's maps learn on; on a GPU in bf16, as everything that goes through it there (see `Options.halved`)."""
    unet = open_unet(o.beside("unet") / "unet", o.device)
    return unet.to(torch.bfloat16) if o.device.type == "cuda" else unet


def latents_of(pool: Pool, folder: Path, device: torch.device) -> Rows:
    """Scaled latents [C, 16, 16] of every row, made once for a VAE."""
    vae = open_vae(folder, device)

    def encode(rows: np.ndarray) -> Tensor:
        with autocast(device):
            mean = vae.encode(pixels(pool.picture(rows).to(device))).latent_dist.mean
        return mean.float() * vae.config.scaling_factor

    return pool.cached("latents", digest_of(folder), encode)


@torch.no_grad()
def ddim(predict: Callable[[Tensor, int], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Latents from noise [n, C, h, w]; predict(latents, t) gives the guided ε."""
    sampler, latents = schedule(), noise
    sampler.set_timesteps(steps)
    for t in sampler.timesteps.tolist():
        latents = sampler.step(predict(latents, t), t, latents, eta=0.0).prev_sample
    return latents
