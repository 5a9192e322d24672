"""UNet2DConditionModel with the topology of Stable Diffusion 1.5, whole and by blocks."""

import torch
from diffusers import UNet2DConditionModel
from random_weights import normal, randomise
from recording import DATA, record_blocks, write_golden, write_json, write_safetensors

CASE = "unet"

# The fields of the published unet/config.json.
CONFIG = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "attention_head_dim": 4,
    "block_out_channels": [16, 32, 48, 48],
    "center_input_sample": False,
    "cross_attention_dim": 24,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 8,
    "out_channels": 4,
    "sample_size": 16,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}

BLOCKS = {
    "resnet_plain": "down_blocks.0.resnets.0",
    "resnet_shortcut": "down_blocks.1.resnets.0",
    "transformer_block": "down_blocks.1.attentions.0.transformer_blocks.0",
    "transformer": "down_blocks.1.attentions.0",
    "downsample": "down_blocks.0.downsamplers.0",
    "upsample": "up_blocks.1.upsamplers.0",
    "mid_block": "mid_block",
}


def build(config=CONFIG):
    return randomise(UNet2DConditionModel.from_config(config), seed=101)


def make():
    model = build()
    folder = DATA / CASE
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "blocks.json", BLOCKS)
    write_safetensors(folder / "diffusion_pytorch_model.safetensors", model.state_dict())

    inputs = {
        "latents": normal((2, 4, 16, 16), 1),
        "timestep": torch.tensor([981]),
        "text": normal((2, 77, 24), 2),
        "wide.latents": normal((1, 4, 16, 24), 3),
        "wide.timestep": torch.tensor([401]),
        "wide.text": normal((1, 77, 24), 4),
        "time_embedding.timesteps": torch.tensor([0, 1, 401, 981]),
    }
    with record_blocks(model, BLOCKS) as (block_inputs, block_outputs):
        epsilon = model(inputs["latents"][:1], inputs["timestep"], inputs["text"][:1]).sample
    whole = model(inputs["latents"], inputs["timestep"], inputs["text"]).sample
    torch.testing.assert_close(whole[:1], epsilon)

    projected = model.time_proj(inputs["time_embedding.timesteps"])
    outputs = {
        "epsilon": whole,
        "wide.epsilon": model(inputs["wide.latents"], inputs["wide.timestep"], inputs["wide.text"]).sample,
        "time_projection": projected,
        "time_embedding": model.time_embedding(projected),
    }
    write_golden(CASE, inputs | block_inputs, outputs | block_outputs)
