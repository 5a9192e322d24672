"""Stage 1: the MLLM learns to name the picture to be by its CLIP embedding.

    python -m training.miniature.stage1 --minutes 12 --out .moma/training/stage1

In: the reference on white as patch features, the instruction with label and prompt, the learnable token last. Out: the
image embedding of the whole target picture, its place included. The image encoder is locked; projector, decoder with
the token, and mapping learn. Targets in places and in materials, references anywhere.

Writes OUT/mllm.pt and OUT/measured.json (on held-out things).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import CLIPVisionModelWithProjection

from training.miniature.common import options, save_tensors, train, write_json
from training.miniature.llava import Instructions, Mllm, miniature_config
from training.miniature.pool import Pool, Rows, digest_of
from training.miniature.towers import normalize, shrink


class Vision:
    """The locked image tower's two outputs for every row of a pool, made once."""

    def __init__(self, folder: Path, device: torch.device):
        self.tower = CLIPVisionModelWithProjection.from_pretrained(folder).to(device).requires_grad_(False).eval()
        self.digest, self.device = digest_of(folder), device

    def patches(self, pool: Pool) -> Rows:
        """[P, C] of the thing on white: the layer before the last, the class token left out."""
        return pool.cached("patches", self.digest, lambda rows: self.patch_features(pool.on_white(rows, self.device)))

    def embeddings(self, pool: Pool) -> Rows:
        """[E] of the whole picture."""
        return pool.cached("embedding", self.digest, lambda rows: self.embedding(pool.picture(rows)))

    @torch.no_grad()
    def patch_features(self, pictures: Tensor) -> Tensor:
        states = self.tower(normalize(shrink(pictures.to(self.device), self.tower.config.image_size)), output_hidden_states=True).hidden_states
        return states[-2][:, 1:]

    @torch.no_grad()
    def embedding(self, pictures: Tensor) -> Tensor:
        return self.tower(normalize(shrink(pictures.to(self.device), self.tower.config.image_size))).image_embeds


class Questions:
    """What the MLLM is asked about a pool's rows: features of the partner, and the row's own label and caption."""

    def __init__(self, pool: Pool, vision: Vision, instructions: Instructions):
        self.pool, self.device = pool, vision.device
        self.patches = vision.patches(pool).on(vision.device)
        numbers: dict[tuple[str, str], int] = {}
        of_row = [numbers.setdefault(words, len(numbers)) for words in zip(pool.labels, pool.captions)]
        asked = [instructions.ids(*words) for words in numbers]
        on = lambda values: torch.as_tensor(values, device=vision.device)
        self.before, self.of_row = on(asked[0][0]), on(of_row)
        self.after = pad_sequence([torch.tensor(after) for _, after in asked], batch_first=True).to(vision.device)
        self.lengths = on([len(after) for _, after in asked])

    def ask(self, model: Mllm, rows: Tensor) -> Tensor:
        """Rows [n] on the device → embeddings [n, E]."""
        which = self.of_row[rows]
        return model.embed(self.patches[rows ^ 1].float(), self.before, self.after[which], self.lengths[which])


def embedding_losses(made: Tensor, wanted: Tensor, scale: float) -> dict[str, Tensor]:
    """`scale`: the embeddings' standard deviation."""
    cosine = F.cosine_similarity(made, wanted).mean()
    squares = F.mse_loss(made, wanted) / scale**2
    return {"loss": squares + (1 - cosine), "squares": squares, "cosine": cosine}


def open_mllm(folder: Path, instructions: Instructions, device: torch.device) -> Mllm:
    model = Mllm(miniature_config(instructions.tokenizer.vocab_size()))
    model.load_state_dict(torch.load(folder / "mllm.pt", weights_only=True))
    return model.to(device).requires_grad_(False).eval()


@torch.no_grad()
def measure(ask: Callable[[Tensor], Tensor], embeddings: Tensor, rows: Tensor) -> dict:
    """Cosine to the target's embedding, to another target's, and to the reference's own, which is what IP-Adapter reads."""
    made = torch.cat([ask(part) for part in rows.split(64)])
    wanted, own = embeddings[rows].float(), embeddings[rows ^ 1].float()
    cosine = lambda a, b: float(F.cosine_similarity(a, b).mean())
    return {
        "cosine_target": cosine(made, wanted),
        "cosine_other_target": cosine(made, wanted.roll(1, 0)),
        "cosine_reference_to_target": cosine(own, wanted),
        "pictures": len(rows),
    }


def main() -> None:
    o = options("stage1", minutes=12, batch_cpu=48, batch_gpu=1024)
    pool, unseen = Pool(o.beside("pool"), shards=o.shards), Pool(o.beside("pool"), "held_out")
    vision = Vision(o.beside("clip") / "image_encoder", o.device)
    instructions = Instructions(o.beside("tokenizers") / "llama")
    embeddings, unseen_embeddings = (vision.embeddings(which).on(o.device) for which in (pool, unseen))
    questions, unseen_questions = (Questions(which, vision, instructions) for which in (pool, unseen))
    pairs, tests = (torch.from_numpy(rows).to(o.device) for rows in (pool.pairs, unseen.pairs[:512]))
    scale = float(embeddings[:1024].float().std())
    model: nn.Module = Mllm(miniature_config(instructions.tokenizer.vocab_size()))
    if (o.out / "mllm.pt").exists():
        model.load_state_dict(torch.load(o.out / "mllm.pt", weights_only=True))
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)

    def losses(model: Mllm):
        rows = pairs[torch.randint(len(pairs), (o.batch,), device=o.device)]
        return embedding_losses(questions.ask(model, rows), embeddings[rows].float(), scale)

    def publish(average: Mllm) -> None:
        measured = measure(lambda rows: unseen_questions.ask(average, rows), unseen_embeddings, tests)
        save_tensors(o.out / "mllm.pt", average.state_dict())
        write_json(o.out / "measured.json", measured)
        print(measured, flush=True)

    train(o, model, losses, publish, learning_rate=1e-3, weight_decay=0.01, ema_decay=0.995)


if __name__ == "__main__":
    main()
