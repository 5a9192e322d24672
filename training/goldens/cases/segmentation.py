"""UNet2DModel that tells a picture's main thing from its background: with attention in the middle, and without a middle."""

import torch
from diffusers import UNet2DModel
from random_weights import normal, randomise
from recording import DATA, write_golden, write_json, write_safetensors

# The fields that UNet2DModel.save_pretrained writes.
CONFIG = {
    "_class_name": "UNet2DModel",
    "act_fn": "silu",
    "add_attention": True,
    "attention_head_dim": 8,
    "attn_norm_num_groups": None,
    "block_out_channels": [8, 16, 16],
    "center_input_sample": False,
    "class_embed_type": None,
    "down_block_types": ["DownBlock2D"] * 3,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "dropout": 0.0,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 3,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2D",
    "norm_eps": 1e-05,
    "norm_num_groups": 8,
    "num_class_embeds": None,
    "num_train_timesteps": None,
    "out_channels": 1,
    "resnet_time_scale_shift": "default",
    "sample_size": 32,
    "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D"] * 3,
    "upsample_type": "conv",
}

VARIANTS = {
    "segmentation": (CONFIG, 701),
    "segmentation-no-attention": (CONFIG | {"add_attention": False, "block_out_channels": [8, 8, 8]}, 702),
    "segmentation-no-middle": (
        CONFIG
        | {
            "block_out_channels": [8, 8],
            "down_block_types": ["DownBlock2D"] * 2,
            "mid_block_type": None,
            "up_block_types": ["UpBlock2D"] * 2,
        },
        703,
    ),
}


def make():
    for case, (config, seed) in VARIANTS.items():
        model = randomise(UNet2DModel.from_config(config), seed)
        folder = DATA / case
        write_json(folder / "config.json", config)
        write_safetensors(folder / "diffusion_pytorch_model.safetensors", model.state_dict())
        inputs = {"pictures": normal((2, 3, 32, 32), 11).clamp(-1, 1)}
        subject = torch.sigmoid(model(inputs["pictures"], 0).sample)
        assert subject.min() < 0.4 and subject.max() > 0.6, "a golden that says nothing"
        write_golden(case, inputs, {"subject": subject})
