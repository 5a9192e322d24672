"""Every tensor's name and shape in the real checkpoints, from the libraries' modules on the meta device.

One `<name>.json` {tensor: shape} and `<name>.config.json` (the published config) each. The names are those of the
published files: see NOTES.md beside them for what the libraries of today call otherwise, and for how that is known.
"""

import json

import torch
from adapter_layout import (
    ip_adapter_attention_shapes,
    mapping_shapes,
    moma_attention_shapes,
    projection_shapes,
)
from diffusers import AutoencoderKL, UNet2DConditionModel
from recording import LAYOUTS, write_json
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    LlamaConfig,
    LlamaForCausalLM,
    ViTConfig,
    ViTModel,
)

from cases.clip_text import CONFIG as TOY_CLIP_TEXT
from cases.metrics import VIT_CONFIG as TOY_VIT
from cases.metrics import published
from cases.unet import CONFIG as TOY_UNET
from cases.vae import CONFIG as TOY_VAE
from cases.vae import published_name

UNET = TOY_UNET | {
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "norm_num_groups": 32,
    "sample_size": 64,
}
VAE = TOY_VAE | {"block_out_channels": [128, 256, 512, 512], "norm_num_groups": 32, "sample_size": 256}
CLIP_TEXT = TOY_CLIP_TEXT | {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "projection_dim": 768,
    "vocab_size": 49408,
}
CLIP_VISION_L = {
    "architectures": ["CLIPModel"],
    "initializer_factor": 1.0,
    "logit_scale_init_value": 2.6592,
    "model_type": "clip",
    "projection_dim": 768,
    "text_config": {
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "projection_dim": 768,
        "vocab_size": 49408,
    },
    "vision_config": {
        "hidden_act": "quick_gelu",
        "hidden_size": 1024,
        "image_size": 336,
        "intermediate_size": 4096,
        "layer_norm_eps": 1e-05,
        "model_type": "clip_vision_model",
        "num_attention_heads": 16,
        "num_channels": 3,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "projection_dim": 768,
    },
}
CLIP_VISION_H = {
    "architectures": ["CLIPVisionModelWithProjection"],
    "attention_dropout": 0.0,
    "dropout": 0.0,
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "image_size": 224,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 5120,
    "layer_norm_eps": 1e-05,
    "model_type": "clip_vision_model",
    "num_attention_heads": 16,
    "num_channels": 3,
    "num_hidden_layers": 32,
    "patch_size": 14,
    "projection_dim": 1024,
}
CLIP_B = CLIP_VISION_L | {
    "projection_dim": 512,
    "text_config": CLIP_VISION_L["text_config"]
    | {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "projection_dim": 512},
    "vision_config": CLIP_VISION_L["vision_config"]
    | {
        "hidden_size": 768,
        "image_size": 224,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "patch_size": 32,
        "projection_dim": 512,
    },
}
DINO_S = TOY_VIT | {
    "hidden_size": 384,
    "image_size": 224,
    "intermediate_size": 1536,
    "num_attention_heads": 6,
    "num_hidden_layers": 12,
    "patch_size": 16,
}
LLAVA = {
    "architectures": ["LlavaLlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "image_aspect_ratio": "pad",
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "mm_hidden_size": 1024,
    "mm_projector_type": "mlp2x_gelu",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    "model_type": "llava",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": True,
    "vocab_size": 32000,
}
# No config is published beside these two; the numbers are those of the networks around them.
MOMA_ADAPTERS = {
    "block_out_channels": [320, 640, 1280, 1280],
    "clip_embeddings_dim": 1024,
    "clip_extra_context_tokens": 4,
    "cross_attention_dim": 768,
    "hidden_size": 4096,
    "mapping": "gated",
}
IP_ADAPTER = {
    "block_out_channels": [320, 640, 1280, 1280],
    "clip_embeddings_dim": 1024,
    "clip_extra_context_tokens": 4,
    "cross_attention_dim": 768,
}

NOTES = """# Where the names come from

Every list is taken from the library's own module at the real config on the meta device; the JSON beside it is that
config. What the published files call otherwise, or hold besides, is put in:

| list | what differs from today's libraries | how that is known |
|---|---|---|
| `unet-sd15` | nothing | 686 tensors |
| `vae-sd` | `query`, `key`, `value`, `proj_attn` in both `mid_block.attentions.0` | sd-vae-ft-mse's safetensors file has 334,643,276 bytes: exactly 83,653,863 float32 numbers and a header with these names; with `to_q`, … it would be 334,643,268 |
| `clip-text-l` | prefix `text_model.`; int64 buffer `embeddings.position_ids` [1, 77] | the transformers of 2022, when Stable Diffusion 1.5 was published, saved the buffer; files saved today lack it, so it must be optional |
| `clip-vision-l14-336` | the file holds the whole CLIPModel: both towers, both projections, `logit_scale`, both `position_ids` | 1,711,974,081 bytes published, 1,711,782,004 of them these 592 tensors; the other 324 a tensor are the zip's |
| `clip-vision-h14` | int64 buffer `position_ids` [1, 257] | IP-Adapter's image_encoder/model.safetensors has 2,528,373,448 bytes: exactly 520 float32 tensors, this buffer and the header; without the buffer it would be 2,528,371,296 |
| `clip-b32` | as `clip-vision-l14-336` | the same publisher, the same library |
| `dino-vits16` | `encoder.layer.<n>.attention.attention.query`, … where today's modules say `layers.<n>.attention.q_proj`, … | `save_pretrained` of today still writes the published names |
| `llava-llama-7b` | `model.mm_projector.*` added | see below |
| `moma-adapters`, `ip-adapter_sd15` | nested dicts of the torch file, joined with dots | the loaders in the authors' code |

## What else a LLaVA checkpoint may hold

- `model.layers.<n>.self_attn.rotary_emb.inv_freq`, float32 [64]: a buffer that transformers saved when LLaVA-1.5 was published. LLaVA-1.5-7B
  as published has it: its index gives a total of 13,518,798,848 bytes, which is 2 bytes for each of the 6,738,415,616 +
  20,979,712 parameters of decoder and projector, and 32 × 64 × 4 for these buffers. So it holds no vision tower.
- `model.vision_tower.vision_tower.vision_model.*`: a full fine-tune with LLaVA's own scripts saves the (frozen) tower too
  (haotian-liu/LLaVA issue 852). LLaVA's loader ignores these tensors and reads the tower named by `mm_vision_tower`, unless
  the config has `unfreeze_mm_vision_tower`.
- Whether `KunpengSong/MoMA_llava_7b` holds either could not be established: its index is in no public text that was
  found. It was fine-tuned from LLaVA-1.5, so a reader must let both be left unclaimed. Its `mm_vision_tower` is
  `openai/clip-vit-large-patch14-336` (bytedance/MoMA issue 4).
- The toy checkpoint of `test/parity/data/llava` holds `inv_freq` buffers and a tensor of the vision tower, for the allow-list.
"""


def on_meta(make):
    with torch.device("meta"):
        return make()


def shapes(model, rename=lambda name: name):
    return {rename(name): list(tensor.shape) for name, tensor in model.state_dict().items()}


def prefixed(prefix, tensors):
    return {f"{prefix}.{name}": shape for name, shape in tensors.items()}


def position_ids(tower, count):
    return {f"{tower}.embeddings.position_ids": [1, count]}


def clip_text():
    model = on_meta(lambda: CLIPTextModel(CLIPTextConfig(**CLIP_TEXT)))
    return prefixed("text_model", shapes(model)) | position_ids("text_model", 77)


def whole_clip(published_config, tokens):
    config = CLIPConfig(**{key: value for key, value in published_config.items() if key != "architectures"})
    names = shapes(on_meta(lambda: CLIPModel(config)))
    return names | position_ids("text_model", 77) | position_ids("vision_model", tokens)


def dino():
    tensors = published(ViTModel(ViTConfig(**DINO_S)))
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def clip_vision_h():
    model = on_meta(lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP_VISION_H)))
    return shapes(model) | position_ids("vision_model", 257)


def llava():
    fields = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    decoder = on_meta(lambda: LlamaForCausalLM(LlamaConfig(**{field: LLAVA[field] for field in fields})))
    features, width = LLAVA["mm_hidden_size"], LLAVA["hidden_size"]
    projector = {"0.weight": [width, features], "0.bias": [width], "2.weight": [width, width], "2.bias": [width]}
    return shapes(decoder) | prefixed("model.mm_projector", projector)


def make():
    unet = on_meta(lambda: UNet2DConditionModel.from_config(UNET))
    vae = on_meta(lambda: AutoencoderKL.from_config(VAE))
    layouts = {
        "unet-sd15": (UNET, shapes(unet)),
        "vae-sd": (VAE, shapes(vae, published_name)),
        "clip-text-l": (CLIP_TEXT, clip_text()),
        "clip-vision-l14-336": (CLIP_VISION_L, whole_clip(CLIP_VISION_L, 577)),
        "clip-vision-h14": (CLIP_VISION_H, clip_vision_h()),
        "clip-b32": (CLIP_B, whole_clip(CLIP_B, 50)),
        "dino-vits16": (DINO_S, dino()),
        "llava-llama-7b": (LLAVA, llava()),
        "moma-adapters": (
            MOMA_ADAPTERS,
            prefixed("llm_mapping", mapping_shapes(4096, 1024))
            | prefixed("projectors", projection_shapes(1024, 768))
            | prefixed("self_cross_attentions", moma_attention_shapes(unet)),
        ),
        "ip-adapter_sd15": (
            IP_ADAPTER,
            prefixed("image_proj", projection_shapes(1024, 768))
            | prefixed("ip_adapter", ip_adapter_attention_shapes(unet)),
        ),
    }
    LAYOUTS.mkdir(parents=True, exist_ok=True)
    for name, (config, tensors) in layouts.items():
        write_json(LAYOUTS / f"{name}.config.json", config)
        text = json.dumps(dict(sorted(tensors.items())), separators=(",", ":")).replace("],", "],\n")
        (LAYOUTS / f"{name}.json").write_text(text + "\n")
    (LAYOUTS / "NOTES.md").write_text(NOTES)
