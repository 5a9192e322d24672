"""A bundle of the recorded toy networks and a tiny set of pictures: the whole run in seconds, for trying it out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from training.full.networks import Bundle
from training.full.settings import Settings

DATA = Path(__file__).parents[2] / "test/parity/data"
# Network → folder of the recorded case, its file, and where its tensors start.
CASES = {
    "clipVision": ("clip-vision", "pytorch_model.bin", ""),
    "vitH": ("clip-vision-projection", "model.safetensors", ""),
    "projector": ("llava", "pytorch_model.bin.index.json", ""),
    "decoder": ("llava", "pytorch_model.bin.index.json", ""),
    "mapping": ("moma-adapters", "attn_adapters_projectors.th", "llm_mapping.mapping"),
    "imageProjection": ("moma-adapters", "attn_adapters_projectors.th", "projectors"),
    "ipAdapter": ("ip-adapter", "ip-adapter_sd15.bin", ""),
    "clipText": ("clip-text", "model.safetensors", ""),
    "unet": ("unet", "diffusion_pytorch_model.safetensors", ""),
    "vae": ("vae", "diffusion_pytorch_model.safetensors", ""),
}


def toy_bundle() -> Bundle:
    networks: dict[str, Any] = {}
    for name, (folder, file, prefix) in CASES.items():
        config = json.loads((DATA / folder / "config.json").read_text())
        networks[name] = {"config": config, "files": [f"{folder}/{file}"], "prefix": prefix}
    tokenizers = {name: {"folder": f"tokenizers/{name}"} for name in ("clip", "llama")}
    return Bundle({"networks": networks, "tokenizers": tokenizers}, DATA)


def toy_settings(settings: Settings, out: Path) -> Settings:
    """
    Other sizes, and three updates of two batches; no weight decay, which changes what has no gradient too. The pictures
    are large enough for the thing to be seen in the middle block.
    """
    return replace(
        settings, files=DATA, llava=DATA / "llava", data=out / "data", out=out, sizePx=128, batch=2, accumulation=2, updates=3,
        workers=0, mixedPrecision="no", saveEveryUpdates=1, learningRate=10 * settings.learningRate, weightDecay=0.0,
    )  # fmt: skip


def still_the_same(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> list[str]:
    """Names of the tensors that are equal in both, however they are nested."""
    names: list[str] = []
    for name, value in before.items():
        if isinstance(value, dict):
            names += still_the_same(value, after[name], f"{prefix}{name}.")
        elif torch.equal(value, after[name]):
            names.append(prefix + name)
    return names


def write_toy_data(folder: Path) -> None:
    """Two things in three pictures each, and a person, who is to be left out."""
    rng = np.random.default_rng(0)
    for label, group, color in (("ball", "toy", "red"), ("box", "toy", "blue"), ("man", "person", "green")):
        thing = folder / label
        (thing / "masks").mkdir(parents=True, exist_ok=True)
        (thing / "subject.json").write_text(json.dumps({"label": label, "class": group}))
        for shot, place in enumerate(("in the snow", "on the beach", "in space")):
            image = Image.fromarray(rng.integers(0, 255, (80, 96, 3), np.uint8))
            mask = Image.new("L", image.size)
            box = (20 + 8 * shot, 16, 60 + 8 * shot, 64)
            for canvas, ink in ((image, color), (mask, 255)):
                draw = ImageDraw.Draw(canvas)
                (draw.ellipse if label == "ball" else draw.rectangle)(box, fill=ink)
            image.save(thing / f"{shot:02}.png")
            mask.save(thing / "masks" / f"{shot:02}.png")
            (thing / f"{shot:02}.txt").write_text(f"a {label} {place}\n")
