"""The learned parts beside Stable Diffusion: MoMA's released file, the supplement's linear mapping, IP-Adapter's file."""

import torch
from adapter_layout import ip_adapter_attention_shapes, moma_attention_shapes
from moma_modules import GatedMapping, ImageProjection
from random_weights import generator, normal, randomise
from recording import DATA, write_golden, write_json, write_safetensors, write_torch
from torch import nn

from cases import unet

MOMA, IP_ADAPTER = "moma-adapters", "ip-adapter"
WIDTH, EMBEDDING, CHANNELS = 64, 32, unet.CONFIG["cross_attention_dim"]


def build_mapping():
    return randomise(GatedMapping(WIDTH, EMBEDDING), seed=601)


def build_linear_mapping():
    return randomise(nn.Linear(WIDTH, EMBEDDING, bias=False), seed=602)


def build_projection(case):
    return randomise(ImageProjection(EMBEDDING, CHANNELS), seed={MOMA: 603, IP_ADAPTER: 604}[case])


def build_attentions(case):
    """The flat state dict of `self_cross_attentions`, or of `ip_adapter`."""
    model = unet.build()
    shapes = moma_attention_shapes(model) if case == MOMA else ip_adapter_attention_shapes(model)
    source = generator({MOMA: 605, IP_ADAPTER: 606}[case])
    tensors = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=source)
        tensors[name] = 0.6 + 0.2 * noise if name.endswith("scale_learnable") else noise / shape[-1] ** 0.5
    return tensors


def config(**more):
    fields = {
        "block_out_channels": unet.CONFIG["block_out_channels"],
        "clip_embeddings_dim": EMBEDDING,
        "clip_extra_context_tokens": 4,
        "cross_attention_dim": CHANNELS,
    }
    return fields | more


def make():
    mapping, linear = build_mapping(), build_linear_mapping()
    projection, other_projection = build_projection(MOMA), build_projection(IP_ADAPTER)

    folder = DATA / MOMA
    write_json(folder / "config.json", config(hidden_size=WIDTH, mapping="gated"))
    released = nn.ModuleDict({"mapping": mapping}).state_dict()
    write_torch(
        folder / "attn_adapters_projectors.th",
        {
            "llm_mapping": released,
            "projectors": projection.state_dict(),
            "self_cross_attentions": build_attentions(MOMA),
        },
    )
    write_safetensors(folder / "linear-mapping.safetensors", {"mapping.weight": linear.weight})
    inputs = {"hidden_state": normal((2, WIDTH), 14), "embedding": normal((2, EMBEDDING), 15)}
    outputs = {
        "context_embedding.gated": mapping(inputs["hidden_state"]),
        "context_embedding.linear": linear(inputs["hidden_state"]),
        "context_tokens": projection(inputs["embedding"]),
    }
    write_golden(MOMA, inputs, outputs)

    folder = DATA / IP_ADAPTER
    write_json(folder / "config.json", config())
    write_torch(
        folder / "ip-adapter_sd15.bin",
        {"image_proj": other_projection.state_dict(), "ip_adapter": build_attentions(IP_ADAPTER)},
    )
    inputs = {"embedding": normal((2, EMBEDDING), 16)}
    write_golden(IP_ADAPTER, inputs, {"context_tokens": other_projection(inputs["embedding"])})
