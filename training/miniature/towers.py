"""Shapes of the miniature's CLIP towers, and how pictures and texts come into them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig, PreTrainedModel

from training.miniature.pool import CHUNK, Pool

IMAGE_PX = 64
EMBEDDING = 128
TOKENS = 77
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def vision_config(layers: int = 4) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=128, intermediate_size=384, num_hidden_layers=layers, num_attention_heads=4,
        image_size=IMAGE_PX, patch_size=8, projection_dim=EMBEDDING, hidden_act="quick_gelu",
    )  # fmt: skip


def text_config(tokenizer: CLIPTokenizer, layers: int = 3) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=layers,
        num_attention_heads=4, max_position_embeddings=TOKENS, projection_dim=EMBEDDING, hidden_act="quick_gelu",
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip


def set_attention(*towers: PreTrainedModel) -> None:
    """Plain products for training on a CPU: in bf16 torch's fused attention takes twice as long there, backward above all."""
    for tower in towers:
        tower.set_attn_implementation("eager" if tower.device.type == "cpu" else "sdpa")


def open_tokenizer(folder: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(folder / "clip")


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str], whole: bool = False) -> Tensor:
    """int64 [n, 77] if `whole`, else no longer than the longest: what follows a text's end does not change its embedding."""
    padding = "max_length" if whole else "longest"
    return tokenizer(list(texts), padding=padding, max_length=TOKENS, truncation=True, return_tensors="pt").input_ids


def subject_prompt(label: str, prompt: str) -> str:
    """The text that is denoised towards."""
    return f"photo of a {label}. {prompt}"


def shrink(pictures: Tensor, size_px: int = IMAGE_PX) -> Tensor:
    """uint8 [n, H, W, 3] → uint8 [n, 3, size, size], bicubic."""
    planes = pictures.permute(0, 3, 1, 2)
    if planes.is_cuda:  # where torch shrinks no bytes
        made = F.interpolate(planes.float(), (size_px, size_px), mode="bicubic", antialias=True)
        return made.round().clamp(0, 255).to(torch.uint8)
    return F.interpolate(planes, (size_px, size_px), mode="bicubic", antialias=True)


def shrink_all(
    pool: Pool, size_px: int = IMAGE_PX, rows: np.ndarray | None = None, device: torch.device = torch.device("cpu")
) -> Tensor:
    """The whole pool in a tower's size, uint8, on the device."""
    rows = np.arange(len(pool)) if rows is None else rows
    parts = np.split(rows, range(CHUNK, len(rows), CHUNK))
    return torch.cat([shrink(pool.picture(part).to(device), size_px) for part in parts])


@cache
def column(values: tuple[float, ...], device: torch.device) -> Tensor:
    """[n, 1, 1], made once: what is copied to a GPU can't be part of a recorded step."""
    return torch.tensor(values, device=device)[:, None, None]


def normalize(small: Tensor, by: tuple[tuple[float, ...], tuple[float, ...]] = (MEAN, STD)) -> Tensor:
    """uint8 [n, 3, S, S] → float32 by mean and standard deviation, CLIP's if not said."""
    mean, std = (column(values, small.device) for values in by)
    return (small.float() / 255 - mean) / std
