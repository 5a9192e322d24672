"""The miniature's CLIP pair, from scratch: pictures and captions drawn together.

    python -m training.miniature.clip --minutes 20 --out .moma/training/clip

Contrastive on (picture, caption). A batch of a small machine holds too few captions for that alone, so the embedding
also has to tell what the world knows of every picture: its thing, place and material, and its colours on a 6 × 6 grid
(by linear heads that are thrown away). One image tower serves both roles: patch features for the MLLM, and the image
embedding that is ViT-H's at full size; what the heads ask of it is what a denoiser needs to know.

Writes OUT/image_encoder, OUT/text_encoder (transformers layout) and OUT/measured.json (on held-out things).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

from training.miniature.common import Options, options, replace_folder, train, write_json
from training.miniature.pool import Pool, Split
from training.miniature.towers import (
    EMBEDDING, normalize, open_tokenizer, set_attention, shrink_all, subject_prompt, text_config, tokenize, vision_config,
)  # fmt: skip
from training.world.captions import PLACES, TEXTURES, bare_caption
from training.world.world import PLACE_NAMES

GRID = 6


class ClipPair(nn.Module):
    def __init__(self, tokenizer, things: int, layers: tuple[int, int] = (4, 3)):
        super().__init__()
        self.vision = CLIPVisionModelWithProjection(vision_config(layers[0]))
        self.text = CLIPTextModelWithProjection(text_config(tokenizer, layers[1]))
        self.logit_scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        self.thing = nn.Linear(EMBEDDING, things)
        self.place = nn.Linear(EMBEDDING, len(PLACE_NAMES))
        self.texture = nn.Linear(EMBEDDING, len(TEXTURES) + 1)
        self.colors = nn.Linear(EMBEDDING, 3 * GRID * GRID)

    def forward(self, pixels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """CLIP-normalised [n, 3, S, S], int64 [n, T] → embeddings [n, E] of both."""
        return self.vision(pixels).image_embeds, self.text(ids).text_embeds


class Lessons:
    """What a pool's rows teach a pair, on the device."""

    def __init__(self, pool: Pool, tokenizer: CLIPTokenizer, device: torch.device):
        self.small = shrink_all(pool, device=device)
        of = lambda values: torch.as_tensor(values, device=device)
        self.things = of(pool.things)
        self.places = of([PLACE_NAMES.index(place) for place in pool.places])
        self.textures = of([TEXTURES.index(t) + 1 if t else 0 for t in pool.textures])
        numbers: dict[str, int] = {}
        number = lambda text: numbers.setdefault(text, len(numbers))
        words = zip(pool.labels, pool.captions)
        # Captions, and as the denoiser reads them.
        self.texts = of([(number(caption), number(subject_prompt(label, caption))) for label, caption in words])
        self.ids = tokenize(tokenizer, list(numbers)).to(device)

    def losses(self, pair: ClipPair, see: Callable[..., tuple[Tensor, Tensor]], batch: int) -> Mapping[str, Tensor]:
        device = self.small.device
        rows = torch.randint(len(self.small), (batch,), device=device)
        chance = torch.rand(2, batch, device=device)
        pixels = normalize(self.small[rows])
        pixels = torch.where(chance[0, :, None, None, None] < 0.5, pixels.flip(3), pixels)
        images, texts = see(pair, pixels, self.ids[self.texts[rows, (chance[1] < 0.5).long()]])
        contrast = contrastive(images, texts, pair.logit_scale)
        thing = F.cross_entropy(pair.thing(images), self.things[rows])
        place = F.cross_entropy(pair.place(images), self.places[rows])
        texture = F.cross_entropy(pair.texture(images), self.textures[rows])
        colors = F.mse_loss(pair.colors(images), F.avg_pool2d(pixels, pixels.shape[-1] // GRID).flatten(1))
        loss = contrast + 0.5 * thing + 0.5 * place + 0.5 * texture + 2 * colors
        return {"loss": loss, "contrast": contrast, "thing": thing, "place": place, "texture": texture, "colors": colors}


def contrastive(a: Tensor, b: Tensor, logit_scale: Tensor) -> Tensor:
    """Both ways' mean cross-entropy of rows that belong together."""
    logits = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T * logit_scale.exp().clamp(max=100)
    same = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


@torch.no_grad()
def measure(pair: ClipPair, tokenizer, pool: Pool, device: torch.device, rows: int = 512) -> dict:
    """
    On held-out pictures: how often the right one of 18 places, of 10 materials and of all their nouns is read out of a
    picture by its captions' embeddings, and a picture's cosine to its partner's and to others'.
    """
    chosen = np.arange(min(rows, len(pool)))
    small = shrink_all(pool, rows=chosen)
    images = F.normalize(torch.cat([pair.vision(normalize(part.to(device))).image_embeds for part in small.split(64)]), dim=1)
    texts = lambda words: F.normalize(pair.text(tokenize(tokenizer, words).to(device)).text_embeds, dim=1)

    def accuracy(names: list[str], prompts: list[str], truth: list) -> float:
        known = [i for i in chosen if truth[i] in names]
        guessed = (images[known] @ texts(prompts).T).argmax(1).tolist()
        return float(np.mean([names[guess] == truth[i] for guess, i in zip(guessed, known)]))

    places, textures, labels = list(PLACES), list(TEXTURES), sorted(set(pool.labels))
    partner = (images[0::2] * images[1::2]).sum(1)
    return {
        "place_accuracy": accuracy(places, [f"a thing {PLACES[p][0]}" for p in places], pool.places),
        "texture_accuracy": accuracy(textures, [f"A sculpture of a thing made of {t}" for t in textures], pool.textures),
        "noun_accuracy": accuracy(labels, [bare_caption(label) for label in labels], pool.labels),
        "cosine_partner": float(partner.mean()),
        "cosine_other": float((images[0::2] * images[1::2].roll(1, 0)).sum(1).mean()),
        "pictures": len(chosen),
    }


def train_pair(
    o: Options,
    layers: tuple[int, int] = (4, 3),
    image: str = "image_encoder",
    text: str = "text_encoder",
    more: Sequence[Split] = (),
) -> None:
    """`more`: splits that it learns from besides the training split."""
    pool, unseen = Pool(o.beside("pool"), shards=o.shards, more=more), Pool(o.beside("pool"), "held_out")
    tokenizer = open_tokenizer(o.beside("tokenizers"))
    lessons = Lessons(pool, tokenizer, o.device)
    pair = ClipPair(tokenizer, int(pool.things.max()) + 1, layers).to(o.device)
    set_attention(pair.vision, pair.text)
    see = o.halved_throughout(lambda pair, pixels, ids: pair(pixels, ids))
    print(f"{sum(p.numel() for p in pair.vision.parameters()) / 1e6:.2f} M in the image tower, "
          f"{sum(p.numel() for p in pair.text.parameters()) / 1e6:.2f} M in the text tower", flush=True)  # fmt: skip

    def losses(model: ClipPair):
        return lessons.losses(model, see, o.batch)

    def publish(average: ClipPair) -> None:
        measured = measure(average, tokenizer, unseen, o.device)
        replace_folder(o.out / image, average.vision.save_pretrained)
        replace_folder(o.out / text, average.text.save_pretrained)
        write_json(o.out / "measured.json", measured)
        print(measured, flush=True)

    train(o, pair, losses, publish, learning_rate=1e-3, weight_decay=0.05, ema_decay=0.995)


def main() -> None:
    train_pair(options("clip", minutes=20, batch_cpu=192, batch_gpu=1024))


if __name__ == "__main__":
    main()
