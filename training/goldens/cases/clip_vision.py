"""CLIP's vision towers: OpenAI's as LLaVA-1.5 reads it, LAION's ViT-H with its projection."""

import torch
from random_weights import normal, randomise
from recording import DATA, record_blocks, write_golden, write_json, write_safetensors, write_torch
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModelWithProjection

TOWER = "clip-vision"
PROJECTION = "clip-vision-projection"
LAYER = {"layer": "vision_model.encoder.layers.1"}

# The fields of openai/clip-vit-large-patch14-336's config.json, which describes both towers.
CONFIG = {
    "architectures": ["CLIPModel"],
    "initializer_factor": 1.0,
    "logit_scale_init_value": 2.6592,
    "model_type": "clip",
    "projection_dim": 16,
    "text_config": {
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "hidden_size": 16,
        "intermediate_size": 32,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 8,
        "model_type": "clip_text_model",
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "projection_dim": 16,
        "vocab_size": 40,
    },
    "vision_config": {
        "hidden_act": "quick_gelu",
        "hidden_size": 32,
        "image_size": 56,
        "intermediate_size": 128,
        "layer_norm_eps": 1e-05,
        "model_type": "clip_vision_model",
        "num_attention_heads": 4,
        "num_channels": 3,
        "num_hidden_layers": 4,
        "patch_size": 14,
        "projection_dim": 16,
    },
}

PROJECTION_CONFIG = {
    "architectures": ["CLIPVisionModelWithProjection"],
    "attention_dropout": 0.0,
    "dropout": 0.0,
    "hidden_act": "gelu",
    "hidden_size": 32,
    "image_size": 56,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "layer_norm_eps": 1e-05,
    "model_type": "clip_vision_model",
    "num_attention_heads": 4,
    "num_channels": 3,
    "num_hidden_layers": 3,
    "patch_size": 14,
    "projection_dim": 32,
}


def build():
    return randomise(CLIPModel(CLIPConfig(**{k: v for k, v in CONFIG.items() if k != "architectures"})), seed=401)


def build_projection():
    return randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**PROJECTION_CONFIG)), seed=402)


def patch_features(model, pixels):
    """LLaVA-1.5: the states after the last layer but one, without the class token."""
    return model.vision_model(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]


def image_embeds(model, pixels):
    return model(pixels).image_embeds


def make():
    _make_tower()
    _make_projection()


def _make_tower():
    model = build()
    folder = DATA / TOWER
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "blocks.json", LAYER)
    # An OrderedDict with torch's `_metadata`, as state dicts were saved when this model was published.
    tensors = model.state_dict()
    tensors["text_model.embeddings.position_ids"] = torch.arange(8)[None]
    tensors["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    write_torch(folder / "pytorch_model.bin", tensors)

    inputs = {"pixels": normal((2, 3, 56, 56), 9)}
    with record_blocks(model, LAYER | {"last_but_one": "vision_model.encoder.layers.2"}) as (block_inputs, block_outputs):
        features = patch_features(model, inputs["pixels"])
    torch.testing.assert_close(block_outputs["last_but_one"][:, 1:], features, rtol=0, atol=0)
    outputs = {"features": features, "layer": block_outputs["layer"]}
    write_golden(TOWER, inputs | {"layer.x": block_inputs["layer.x"]}, outputs)


def _make_projection():
    model = build_projection()
    folder = DATA / PROJECTION
    write_json(folder / "config.json", PROJECTION_CONFIG)
    write_json(folder / "blocks.json", LAYER)
    buffer = {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
    write_safetensors(folder / "model.safetensors", model.state_dict() | buffer)

    inputs = {"pixels": normal((2, 3, 56, 56), 10)}
    with record_blocks(model, LAYER) as (block_inputs, block_outputs):
        embeds = image_embeds(model, inputs["pixels"])
    write_golden(PROJECTION, inputs | {"layer.x": block_inputs["layer.x"]}, {"image_embeds": embeds} | block_outputs)
