"""A bundle's networks in PyTorch, from the published files that its manifest names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection, LlamaConfig,
)  # fmt: skip

from training.miniature.attention import Adapters
from training.miniature.llava import ImageProjection, Instructions, Mllm

VAE_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # before diffusers 0.12


@dataclass(frozen=True)
class Bundle:
    manifest: dict[str, Any]
    files: Path

    def config(self, name: str) -> dict[str, Any]:
        return self.manifest["networks"][name]["config"]

    def tokenizer(self, name: str) -> Path:
        return self.files / self.manifest["tokenizers"][name]["folder"]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The network's tensors in float32, by their names after the manifest's prefix. Throws FileNotFoundError."""
        network = self.manifest["networks"][name]
        for pattern in network["files"]:
            found = [] if pattern.startswith("prepared/") else sorted(self.files.glob(pattern))
            if found:
                break
        else:
            raise FileNotFoundError(f"{self.files} has no {' or '.join(network['files'])} for {name}")
        tensors: dict[str, Tensor] = {}
        for file in found:
            tensors |= read_file(file)
        prefix = f"{network['prefix']}." if network.get("prefix") else ""
        return {key.removeprefix(prefix): value.float() for key, value in tensors.items() if key.startswith(prefix)}


def open_bundle(manifest: Path, files: Path) -> Bundle:
    return Bundle(json.loads((manifest / "manifest.json").read_text()), files)


def read_file(path: Path) -> dict[str, Tensor]:
    if path.name.endswith(".index.json"):
        shards = sorted(set(json.loads(path.read_text())["weight_map"].values()))
        return {name: value for shard in shards for name, value in read_file(path.parent / shard).items()}
    if path.suffix == ".safetensors":
        return load_file(path)
    return flat(torch.load(path, weights_only=True, map_location="cpu"))


def flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """{"projectors": {"norm.bias": x}} → {"projectors.norm.bias": x}"""
    tensors: dict[str, Tensor] = {}
    for name, value in nested.items():
        tensors |= {prefix + name: value} if isinstance(value, Tensor) else flat(value, f"{prefix}{name}.")
    return tensors


def vision_tower(bundle: Bundle, name: str) -> CLIPVisionModelWithProjection:
    config = bundle.config(name)
    return published(CLIPVisionModelWithProjection, CLIPVisionConfig(**config.get("vision_config", config)), bundle.tensors(name),
                     optional=("visual_projection.weight", "vision_model.post_layernorm."))  # fmt: skip


def text_encoder(bundle: Bundle) -> CLIPTextModel:
    return published(CLIPTextModel, CLIPTextConfig(**bundle.config("clipText")), bundle.tensors("clipText"))


def published(kind: type, config: Any, tensors: dict[str, Tensor], optional: tuple[str, ...] = ()) -> Any:
    """A transformers model of published tensors. Throws ValueError where any is missing."""
    model, found = kind.from_pretrained(None, config=config, state_dict=tensors, output_loading_info=True)
    missing = [name for name in found["missing_keys"] if not name.startswith(optional)] if optional else found["missing_keys"]
    if missing:
        raise ValueError(f"{kind.__name__}: {', '.join(sorted(missing))} is missing in the files")
    return model.requires_grad_(False).eval()


def unet(bundle: Bundle) -> UNet2DConditionModel:
    model = UNet2DConditionModel.from_config(bundle.config("unet"))
    model.load_state_dict(bundle.tensors("unet"))
    return model.requires_grad_(False).eval()


def vae(bundle: Bundle) -> AutoencoderKL:
    model = AutoencoderKL.from_config(bundle.config("vae"))
    renamed = {}
    for name, tensor in bundle.tensors("vae").items():
        for old, new in VAE_NAMES.items():
            name = name.replace(f"attentions.0.{old}.", f"attentions.0.{new}.")
        renamed[name] = tensor.flatten(1) if ".attentions.0.to_" in name and tensor.ndim == 4 else tensor
    model.load_state_dict(renamed)
    return model.requires_grad_(False).eval()


LLAVA_FILES = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")


def llava(bundle: Bundle, folder: Path) -> Mllm:
    """LLaVA's own decoder and projector, from its published files, with a new mapping: what stage 1 starts from."""
    file = next((folder / name for name in LLAVA_FILES if (folder / name).exists()), None)
    if file is None:
        raise FileNotFoundError(f"llava is {folder}, which has no {' or '.join(LLAVA_FILES)}; stage 1 starts from the files "
                                "of liuhaotian/llava-v1.5-7b")  # fmt: skip
    return with_llava(bundle, {name: value.float() for name, value in read_file(file).items()})


def published_mllm(bundle: Bundle) -> Mllm:
    """MoMA's own MLLM, as the bundle has it."""
    model = with_llava(bundle, bundle.tensors("decoder"))
    model.mapping.load_state_dict(bundle.tensors("mapping"))
    return model


def trained_mllm(bundle: Bundle, file: Path) -> Mllm:
    """As stage 1 left it. Throws FileNotFoundError."""
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: stage 1 writes it; or set mllm to \"bundle\", which takes MoMA's published one")
    model = new_mllm(bundle)
    model.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    return model


def new_mllm(bundle: Bundle) -> Mllm:
    projector, decoder = bundle.config("projector"), bundle.config("decoder")
    embedding = bundle.config("imageProjection")["clip_embeddings_dim"]
    return Mllm(LlamaConfig(**decoder), projector["mm_hidden_size"], embedding)


def with_llava(bundle: Bundle, tensors: dict[str, Tensor]) -> Mllm:
    """Tensors by LLaVA's names; those of its head and of its image tower are not needed."""
    model = new_mllm(bundle)
    of = lambda prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    model.projector.load_state_dict(of("model.mm_projector."))
    decoder_names = model.decoder.state_dict().keys()
    model.decoder.load_state_dict({n: t for n, t in of("model.").items() if n in decoder_names})
    return model


class Maps(nn.Module):
    """What stage 2 learns: the image projection and every attention's maps."""

    def __init__(self, bundle: Bundle, adapters: Adapters):
        super().__init__()
        config = bundle.config("imageProjection")
        self.projectors = ImageProjection(config["clip_embeddings_dim"], config["cross_attention_dim"])
        self.self_cross_attentions = adapters.layers
        # Context maps start from IP-Adapter's; subject maps, whose scale is zero, as identities.
        started = bundle.tensors("ipAdapter")
        of = lambda prefix: {n.removeprefix(prefix): t for n, t in started.items() if n.startswith(prefix)}
        self.projectors.load_state_dict(of("image_proj."))
        if unexpected := self.self_cross_attentions.load_state_dict(of("ip_adapter."), strict=False).unexpected_keys:
            raise ValueError(f"IP-Adapter's file holds {', '.join(unexpected)}, which this UNet has not")


@dataclass
class Tokenizers:
    clip: CLIPTokenizer
    instructions: Instructions


def tokenizers(bundle: Bundle) -> Tokenizers:
    return Tokenizers(CLIPTokenizer.from_pretrained(bundle.tokenizer("clip")), Instructions(bundle.tokenizer("llama")))
