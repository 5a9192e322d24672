"""CLIPTextModel as Stable Diffusion repositories publish it."""

import torch
from random_weights import randomise
from recording import DATA, record_blocks, write_golden, write_json, write_safetensors
from transformers import CLIPTextConfig, CLIPTextModel

CASE = "clip-text"

# The fields of the published text_encoder/config.json.
CONFIG = {
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": 24,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "pad_token_id": 1,
    "projection_dim": 24,
    "vocab_size": 600,
}
# Of the toy tokenizer; texts are padded with the end token.
START, END = 598, 599

BLOCKS = {"layer": "encoder.layers.1"}


def build():
    model = CLIPTextModel._from_config(CLIPTextConfig(**CONFIG), attn_implementation="sdpa")
    return randomise(model, seed=301)


def publish(model):
    """Published checkpoints have a prefix, and the older ones a buffer that the library no longer keeps."""
    tensors = {f"text_model.{name}": tensor for name, tensor in model.state_dict().items()}
    return {"text_model.embeddings.position_ids": torch.arange(CONFIG["max_position_embeddings"])[None]} | tensors


def make():
    model = build()
    folder = DATA / CASE
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "blocks.json", {name: f"text_model.{path}" for name, path in BLOCKS.items()})
    write_safetensors(folder / "model.safetensors", publish(model))

    words = torch.randint(0, START, (75,), generator=torch.Generator().manual_seed(8))
    full = [START, *words.tolist(), END]
    short = [START, *words[:9].tolist()] + [END] * 67
    inputs = {"input_ids": torch.tensor([full, short])}
    with record_blocks(model, BLOCKS) as (block_inputs, block_outputs):
        states = model(inputs["input_ids"]).last_hidden_state
    write_golden(CASE, inputs | {"layer.x": block_inputs["layer.x"]}, {"last_hidden_state": states} | block_outputs)
