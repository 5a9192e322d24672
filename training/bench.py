"""The Python side of `npm run bench`: the same bundle, request and noise in diffusers and eager PyTorch.

    python training/bench.py <bundle folder> <steps> <threads> <exchange folder>

Reads exchange.safetensors, writes reference.json: seconds by stage, peak memory, and how far the final latents are from
the other side's. Networks are loaded before they are timed, float32, on the CPU.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "goldens"))

from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: E402
from moma_attention import MomaAttention  # noqa: E402
from moma_modules import ImageProjection  # noqa: E402
from moma_pipeline import Settings, context_tokens, decode, denoise, encode_reference, read_subject  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import (  # noqa: E402
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaModel,
)

LAYOUTS = Path(__file__).resolve().parents[1] / "models/moma-sd15/layouts"
LLAMA_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "vocab_size",
)
DECODER_LAYER = "one layer of the multimodal decoder"
OLD_VAE_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def config(name):
    return json.loads((LAYOUTS / f"{name}.config.json").read_text())


def first(folder, *names):
    """The first of these files that is there."""
    return next(folder / name for name in names if (folder / name).exists())


def weights(path):
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True, mmap=True)


def filled(model, state):
    """The model with exactly this state; buffers that older checkpoints carry are left out."""
    state = {name: tensor for name, tensor in state.items() if not name.endswith("position_ids")}
    model.load_state_dict(state)
    return model.float().eval().requires_grad_(False)


class Networks:
    def __init__(self, folder):
        unet = UNet2DConditionModel.from_config(config("unet-sd15"))
        names = ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin")
        self.unet = filled(unet, weights(first(folder, *names)))
        vae = weights(first(folder, "vae/diffusion_pytorch_model.safetensors"))
        for old, new in OLD_VAE_NAMES.items():
            vae = {name.replace(f"attentions.0.{old}.", f"attentions.0.{new}."): tensor for name, tensor in vae.items()}
        self.vae = filled(AutoencoderKL.from_config(config("vae-sd")), vae)
        text = weights(first(folder, "text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"))
        model = CLIPTextModel(CLIPTextConfig(**config("clip-text-l")))
        if not any(name.startswith("text_model.") for name in model.state_dict()):
            text = {name.removeprefix("text_model."): tensor for name, tensor in text.items()}
        self.text = filled(model, text)
        moma = torch.load(folder / "moma/attn_adapters_projectors.th", weights_only=True)
        self.attention = MomaAttention(self.unet)
        self.attention.layers.load_state_dict(moma["self_cross_attentions"])
        self.attention.layers.float().requires_grad_(False)
        embedding, channels = moma["projectors"]["proj.weight"].shape[1], len(moma["projectors"]["norm.weight"])
        self.projection = filled(ImageProjection(embedding, channels), moma["projectors"])
        self.vision = vision_tower(folder)


def vision_tower(folder):
    """CLIP-L out of the file of the whole CLIP model."""
    model = CLIPVisionModel(CLIPVisionConfig(**config("clip-vision-l14-336")["vision_config"]))
    state = weights(folder / "clip-vision/pytorch_model.bin")
    prefix = "" if any(name.startswith("vision_model.") for name in model.state_dict()) else "vision_model."
    return filled(model, {n.removeprefix(prefix): t for n, t in state.items() if n.startswith("vision_model.")})


def decoder_layer(folder):
    """The first of the decoder's layers, in float32: all 32 would take 27 GB."""
    settings = config("llava-llama-7b") | {"num_hidden_layers": 1}
    model = LlamaModel(LlamaConfig(**{key: settings[key] for key in LLAMA_FIELDS}))
    shard = weights(min((folder / "llava").glob("pytorch_model-*.bin")))
    names = [name for name in model.state_dict() if name.startswith("layers.0.")]
    missing = model.load_state_dict({name: shard[f"model.{name}"].float() for name in names}, strict=False)
    assert not missing.unexpected_keys
    return model.float().eval().requires_grad_(False)


def timed(stages, name, work):
    start = time.perf_counter()
    result = work()
    stages.setdefault(name, []).append(time.perf_counter() - start)
    return result


@torch.inference_mode()
def main():
    folder, steps, threads, exchange = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    torch.set_num_threads(threads)
    given = load_file(exchange / "exchange.safetensors")
    networks, stages = Networks(folder), {}

    reference = timed(
        stages,
        "VAE encoder",
        lambda: encode_reference(networks.vae, given["reference"], given["sample_noise"], given["timestep_noise"]),
    )
    noun = timed(stages, "text encoder", lambda: networks.text(given["noun_ids"]).last_hidden_state)
    timed(stages, "UNet, subject pass", lambda: read_subject(networks.unet, networks.attention, reference, noun))
    text = timed(stages, "text encoder, two texts", lambda: networks.text(given["prompt_ids"]).last_hidden_state)
    context = context_tokens(networks.projection, given["embedding"])
    positions = given["positions"][0].tolist()
    run = denoise(
        networks.unet, networks.attention, given["latents"], text, context, given["mask"], positions, Settings(steps=steps)
    )
    for _ in range(steps):
        latents = timed(stages, "UNet, step", lambda: next(run)).latents
    timed(stages, "VAE decoder", lambda: decode(networks.vae, latents))
    timed(stages, "patch features", lambda: networks.vision(given["clip_pixels"], output_hidden_states=True))
    del networks, run
    layer = decoder_layer(folder)
    tokens = torch.randn(1, int(given["decoder_tokens"]), layer.config.hidden_size)
    timed(stages, DECODER_LAYER, lambda: layer(inputs_embeds=tokens))

    other = given["result.latents"]
    result = {
        "torch": torch.__version__,
        "stages": stages,
        "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "latentsDifference": float((latents - other).abs().max() / latents.abs().max()),
    }
    (exchange / "reference.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
