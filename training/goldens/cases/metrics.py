"""What pictures are measured with: DINO's ViT, and CLIP's text half with its projection."""

import tempfile

import torch
from random_weights import normal, randomise
from recording import DATA, write_golden, write_json, write_safetensors
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, ViTConfig, ViTModel

from cases.clip_text import CONFIG as TEXT_CONFIG
from cases.clip_text import END, START

# The fields of facebook/dino-vits16's config.json.
VIT_CONFIG = {
    "architectures": ["ViTModel"],
    "attention_probs_dropout_prob": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "hidden_size": 24,
    "image_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "layer_norm_eps": 1e-12,
    "model_type": "vit",
    "num_attention_heads": 3,
    "num_channels": 3,
    "num_hidden_layers": 2,
    "patch_size": 8,
    "qkv_bias": True,
}

# The projection of the whole CLIP model in the case clip-vision, whose picture embeddings these texts meet.
PROJECTION_CONFIG = TEXT_CONFIG | {
    "architectures": ["CLIPTextModelWithProjection"],
    "eos_token_id": END,
    "num_hidden_layers": 2,
    "projection_dim": 16,
}


def published(model):
    """The tensors as save_pretrained names them, which is not how today's transformers names its modules."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(f"{folder}/model.safetensors")


def make():
    _make_vit()
    _make_text()


def _make_vit():
    model = randomise(ViTModel(ViTConfig(**VIT_CONFIG)), seed=711)
    folder = DATA / "vit"
    write_json(folder / "config.json", VIT_CONFIG)
    write_safetensors(folder / "model.safetensors", published(model))
    inputs = {"pixels": normal((2, 3, 32, 32), 12)}
    write_golden("vit", inputs, {"embedding": model(inputs["pixels"]).last_hidden_state[:, 0]})


def _make_text():
    case = "clip-text-projection"
    model = randomise(CLIPTextModelWithProjection(CLIPTextConfig(**PROJECTION_CONFIG)), seed=712)
    folder = DATA / case
    write_json(folder / "config.json", PROJECTION_CONFIG)
    write_safetensors(folder / "model.safetensors", published(model))
    words = torch.randint(0, START, (75,), generator=torch.Generator().manual_seed(13))
    full = [START, *words.tolist(), END]
    short = [START, *words[:9].tolist()] + [END] * 67
    inputs = {"input_ids": torch.tensor([full, short])}
    write_golden(case, inputs, {"text_embeds": model(inputs["input_ids"]).text_embeds})
