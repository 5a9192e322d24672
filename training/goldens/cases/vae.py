"""AutoencoderKL, whole and by blocks, with both spellings of its attention's tensors.

stabilityai/sd-vae-ft-mse publishes `query`, `key`, `value`, `proj_attn`: diffusion_pytorch_model.safetensors has
334,643,276 bytes, which is what 83,653,863 float32 parameters and a header with these names come to; with `to_q`, … the
header would be 8 bytes shorter.
"""

from diffusers import AutoencoderKL
from random_weights import normal, randomise
from recording import DATA, record_blocks, write_golden, write_json, write_safetensors

# diffusers renames the left to the right when it loads.
PUBLISHED_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

CONFIG = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [16, 32, 32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "out_channels": 3,
    "sample_size": 128,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}

CURRENT_NAMES_CONFIG = CONFIG | {
    "block_out_channels": [8, 8, 8, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "scaling_factor": 0.18215,
}

BLOCKS = {
    "resnet_plain": "encoder.down_blocks.2.resnets.1",
    "resnet_shortcut": "encoder.down_blocks.1.resnets.0",
    "downsample": "encoder.down_blocks.2.downsamplers.0",
    "mid_attention": "encoder.mid_block.attentions.0",
    "upsample": "decoder.up_blocks.0.upsamplers.0",
}


def build(config=CONFIG, seed=201):
    model = randomise(AutoencoderKL.from_config(config), seed)
    # A log variance of about −3: the reference's noise shows without drowning it.
    model.quant_conv.bias[4:] -= 3
    return model


def published_name(name):
    if ".attentions." in name:
        for old, new in PUBLISHED_NAMES.items():
            name = name.replace(f".{new}.", f".{old}.")
    return name


def make():
    _make("vae", CONFIG, 201, published_name, BLOCKS)
    _make("vae-current-names", CURRENT_NAMES_CONFIG, 202, lambda name: name, {})


def _make(case, config, seed, publish, blocks):
    model = build(config, seed)
    folder = DATA / case
    write_json(folder / "config.json", config)
    tensors = {publish(name): tensor for name, tensor in model.state_dict().items()}
    write_safetensors(folder / "diffusion_pytorch_model.safetensors", tensors)
    if blocks:
        write_json(folder / "blocks.json", blocks)
        write_json(folder / "names.json", {"published": PUBLISHED_NAMES})

    inputs = {
        "pictures": normal((1, 3, 64, 64), 5).clamp(-1, 1),
        "wide.pictures": normal((1, 3, 64, 128), 6).clamp(-1, 1),
        "latents": normal((1, 4, 8, 8), 7, scale=5),
    }
    with record_blocks(model, blocks) as (block_inputs, block_outputs):
        moments = model.encode(inputs["pictures"]).latent_dist.parameters
        decoded = model.decode(inputs["latents"]).sample
    mean, log_variance = moments.chunk(2, dim=1)
    outputs = {
        "mean": mean,
        "log_variance": log_variance,
        "wide.moments": model.encode(inputs["wide.pictures"]).latent_dist.parameters,
        "decoded": decoded,
    }
    assert log_variance.abs().max() < 20, "beyond the clamp of diffusers' DiagonalGaussianDistribution"
    write_golden(case, inputs | block_inputs, outputs | block_outputs)
