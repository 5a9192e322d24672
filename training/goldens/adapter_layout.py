"""Names and shapes of the learned parts beside Stable Diffusion: MoMA's attention adapters and IP-Adapter's.

Both number the UNet's attention processors in the order in which diffusers' `attn_processors` walks the model: down
blocks, up blocks, mid block, and in each transformer block `attn1` (self) before `attn2` (cross).
"""


def attention_channels(unet):
    """Channels of every attention processor by its number; even numbers are self-, odd ones cross-attention."""
    names = [name.removesuffix(".processor") for name in unet.attn_processors]
    assert all(name.endswith("attn2" if index % 2 else "attn1") for index, name in enumerate(names))
    return [unet.get_submodule(name).to_q.in_features for name in names]


def moma_attention_shapes(unet):
    """`self_cross_attentions` of attn_adapters_projectors.th."""
    shapes = {}
    for index, channels in enumerate(attention_channels(unet)):
        inputs = unet.config.cross_attention_dim if index % 2 else channels
        if index % 2 == 0:
            shapes[f"{index}.scale_learnable"] = [1]
        for name in ("to_k_ip", "to_v_ip"):
            shapes[f"{index}.{name}.weight"] = [channels, inputs]
    return shapes


def ip_adapter_attention_shapes(unet):
    """`ip_adapter` of ip-adapter_sd15.bin: cross-attentions only."""
    return {name: shape for name, shape in moma_attention_shapes(unet).items() if int(name.split(".")[0]) % 2}


def projection_shapes(embedding, channels, tokens=4):
    """The image projection: `projectors`, or `image_proj` in IP-Adapter's file."""
    return {
        "proj.weight": [tokens * channels, embedding],
        "proj.bias": [tokens * channels],
        "norm.weight": [channels],
        "norm.bias": [channels],
    }


def mapping_shapes(width, embedding):
    """`llm_mapping`, the gated mapping of the released weights."""
    return {
        "mapping.gate_proj.weight": [embedding, width],
        "mapping.up_proj.weight": [embedding, width],
        "mapping.down_proj.weight": [embedding, embedding],
    }
