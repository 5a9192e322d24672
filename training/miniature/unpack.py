"""The inverse of `export`: lays a bundle's networks out as the recipes' outputs, to be trained further.

    python -m training.miniature.unpack --bundle models/moma-mini --root .moma/training
    python -m training.miniature.all --minutes 120 --stages unet ip_adapter stage1 stage2

A recipe without a checkpoint starts from what lies in its folder; the person detector's file is taken apart for it (see
`unfold`). Optimisers begin anew. The text tower's projection and the heads that CLIP was trained with are in no bundle, so
`clip` and `metrics` can't go on; what they made is used as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.miniature.common import write_json
from training.miniature.export import IP_ADAPTER_FILE, MOMA_FILE

# The bundle's file, the manifest's name of it, the recipe's output, the class that reads it.
FOLDERS = [
    ("image_encoder/model.safetensors", "clipVision", "clip/image_encoder", "clip_vision_model"),
    ("text_encoder/model.safetensors", "clipText", "clip/text_encoder", "clip_text_model"),
    ("vae/diffusion_pytorch_model.safetensors", "vae", "vae/vae", "AutoencoderKL"),
    ("unet/diffusion_pytorch_model.safetensors", "unet", "unet/unet", "UNet2DConditionModel"),
    ("segmentation/diffusion_pytorch_model.safetensors", "segmentation", "segmentation/segmentation", "UNet2DModel"),
    ("metrics/dino/model.safetensors", "dino", "metrics_dino/dino", "vit"),
    ("metrics/clip_image/model.safetensors", "clipVision", "metrics_clip/clip_image", "clip_vision_model"),
    ("metrics/clip_text/model.safetensors", "clipText", "metrics_clip/clip_text", "clip_text_model"),
]


def floats(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def unpack_folder(bundle: Path, root: Path, file: str, config: dict[str, Any], out: str, kind: str) -> None:
    folder = root / out
    folder.mkdir(parents=True)
    diffusers = Path(file).name.startswith("diffusion")
    save_file(floats(load_file(bundle / file)), folder / Path(file).name, metadata={"format": "pt"})
    write_json(folder / "config.json", {**config, "_class_name" if diffusers else "model_type": kind})


def borrowing_of(adapters: dict[str, Tensor]) -> dict[str, Tensor]:
    """The subject maps as the UNet's recipe borrows through them: their scale within the values."""
    maps = {}
    for index in range(sum(name.endswith("scale_learnable") for name in adapters)):
        layer = f"{2 * index}."
        maps[f"{index}.0.weight"] = adapters[layer + "to_k_ip.weight"]
        maps[f"{index}.1.weight"] = adapters[layer + "to_v_ip.weight"] * adapters[layer + "scale_learnable"]
    return maps


def unpack_torch_files(bundle: Path, root: Path) -> None:
    for folder in ("ip_adapter", "stage1", "stage2"):
        (root / folder).mkdir(parents=True)
    load = lambda file: {part: floats(tensors) for part, tensors in torch.load(bundle / file, weights_only=True).items()}
    adapter = load(IP_ADAPTER_FILE)
    torch.save(adapter, root / "ip_adapter/adapter.pt")
    torch.save(adapter, root / "unet/context.pt")
    learned = load(MOMA_FILE)
    mllm = learned.pop("llm_mapping")
    torch.save(learned, root / "stage2/adapters.pt")
    torch.save(borrowing_of(learned["self_cross_attentions"]), root / "unet/borrowing.pt")
    for name, tensor in floats(load_file(bundle / "llava/model.safetensors")).items():
        inner = name.removeprefix("model.")
        projector = inner.removeprefix("mm_projector.")
        mllm[f"projector.{projector}" if projector != inner else f"decoder.{inner}"] = tensor
    torch.save(mllm, root / "stage1/mllm.pt")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.miniature.unpack", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--bundle", type=Path, default=Path("models/moma-mini"))
    parser.add_argument("--root", type=Path, default=Path(".moma/training"))
    o = parser.parse_args()
    others = ["ip_adapter", "stage1", "stage2", "tokenizers", "person_detector"]
    outputs = [*(out.split("/")[0] for _, _, out, _ in FOLDERS), *others]
    if there := [name for name in outputs if (o.root / name).exists()]:
        parser.error(f"{o.root} holds {there[0]} already; an empty folder is needed, icons.bin and pool may lie in it")
    manifest = json.loads((o.bundle / "manifest.json").read_text())
    shutil.copytree(o.bundle / "tokenizers", o.root / "tokenizers")
    for file, name, out, kind in FOLDERS:
        networks = manifest["metrics"] if file.startswith("metrics/") else manifest["networks"]
        unpack_folder(o.bundle, o.root, file, networks[name]["config"], out, kind)
    unpack_torch_files(o.bundle, o.root)
    if detector := manifest["networks"].get("personDetector"):
        (o.root / "person_detector/detector").mkdir(parents=True)
        shutil.copy(o.bundle / "person-detector/model.onnx", o.root / "person_detector/detector/model.onnx")
        write_json(o.root / "person_detector/detector/config.json", detector["config"])
    settings = manifest["settings"]
    write_json(o.root / "vae/measured.json", {"latentToRgb": settings["latentToRgb"]})
    print(f"{o.root}: {', '.join(sorted(set(outputs)))}")


if __name__ == "__main__":
    main()
