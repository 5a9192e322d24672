"""The miniature's MLLM: projector, decoder with its learnable token, mapping."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaModel

from training.miniature.towers import EMBEDDING

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from moma_modules import GatedMapping, ImageProjection  # noqa: E402, F401  (the goldens are scripts, not a package)

WIDTH = 128
PATCH_CHANNELS = 128
IMAGE = "<image>"
INSTRUCTION = "USER: {image}\n A photo of a {label}. Describe a new image of the same {label} in: {prompt}. ASSISTANT: *"


class Instructions:
    """The instruction's ids around the picture, as LLaVA tokenizes them: the two parts apart, bos first."""

    def __init__(self, folder: Path):
        self.tokenizer = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))

    def ids(self, label: str, prompt: str) -> tuple[list[int], list[int]]:
        text = INSTRUCTION.format(image=IMAGE, label=label, prompt=prompt)
        before, after = (self.tokenizer.encode(part) for part in text.split(IMAGE))
        return [self.tokenizer.bos_id(), *before], after


def miniature_config(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, intermediate_size=3 * WIDTH, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=4, rms_norm_eps=1e-5, rope_theta=10000.0,
        max_position_embeddings=2048, hidden_act="silu", tie_word_embeddings=False,
    )  # fmt: skip


class Mllm(nn.Module):
    """Decoder of any size; patch features of `patch_channels` in, embeddings of `embedding` channels out."""

    def __init__(self, config: LlamaConfig, patch_channels: int = PATCH_CHANNELS, embedding: int = EMBEDDING):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.projector = nn.Sequential(nn.Linear(patch_channels, width), nn.GELU(), nn.Linear(width, width))
        self.decoder = LlamaModel(config)
        self.mapping = GatedMapping(width, embedding)

    def forward(self, features: Tensor, before: Sequence[int], after: Sequence[Sequence[int]]) -> Tensor:
        """Patch features [n, P, C]; ids before the picture, the same for all; ids after it → embeddings [n, E]."""
        lengths = torch.tensor([len(ids) for ids in after])
        padded = pad_sequence([torch.tensor(ids) for ids in after], batch_first=True)
        return self.embed(features, *(ids.to(features.device) for ids in (torch.tensor(before), padded, lengths)))

    def embed(self, features: Tensor, before: Tensor, after: Tensor, lengths: Tensor) -> Tensor:
        """As `forward`, of ids [B] before the picture, and ids [n, A] after it, of which `lengths` [n] count."""
        words = self.decoder.embed_tokens
        first = words(before).expand(len(features), -1, -1)
        whole = torch.cat([first, self.projector(features), words(after)], 1)
        # Causal: what is padded behind a sequence's last token changes nothing before it.
        states = self.decoder(inputs_embeds=whole, use_cache=False).last_hidden_state
        last = len(before) + features.shape[1] + lengths - 1
        return self.mapping(states[torch.arange(len(features), device=features.device), last])

    def checkpoint(self) -> dict[str, Tensor]:
        """LLaVA's names: `model.` and `model.mm_projector.`."""
        decoder = {f"model.{name}": tensor for name, tensor in self.decoder.state_dict().items()}
        return decoder | {f"model.mm_projector.{name}": tensor for name, tensor in self.projector.state_dict().items()}
