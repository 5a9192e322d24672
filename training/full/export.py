"""A bundle of one's own: what the two stages learned in the place of the published MoMA, all else as the bundle has it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.full.networks import Bundle, published_mllm, trained_mllm
from training.full.settings import Settings
from training.full.stages import Stage1, Stage2

LLAVA = "llava/model.safetensors"
MOMA = "moma/attn_adapters_projectors.th"
WEIGHTS = (".safetensors", ".bin", ".index.json")
OF_THE_BUNDLE = {"manifest.json", "bundle.lock.json", ".pulling"}


def export(bundle: Bundle, settings: Settings, out: Path) -> None:
    """
    Writes `out`, manifest and all, in the published layout and float16; files that stay as they are become links to the
    bundle's. It is drawn and measured with as any other, by its folder's name. Throws FileNotFoundError where a stage has
    not written its file yet, and FileExistsError where `out` is there.
    """
    adapters = settings.out / "stage2" / Stage2.output
    if not adapters.exists():
        raise FileNotFoundError(f"{adapters} is missing: stage 2 writes it")
    if out.exists():
        raise FileExistsError(f"{out} is there already; remove it or name another")
    published = settings.mllm == "bundle"
    mllm = published_mllm(bundle) if published else trained_mllm(bundle, settings.out / "stage1" / Stage1.output)
    made = out.with_name(f".{out.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    replaced = {MOMA} if published else {MOMA, *(f for f in files_of(settings.files / "llava", "llava/") if f.endswith(WEIGHTS))}
    link(settings.files, made, replaced)
    if not published:
        store(made / LLAVA, lambda path: save_file(halves(mllm.checkpoint()), path))
    mapping = {f"mapping.{name}": tensor for name, tensor in halves(mllm.mapping.state_dict()).items()}
    learned = {name: halves(part) for name, part in torch.load(adapters, weights_only=True, map_location="cpu").items()}
    store(made / MOMA, lambda path: torch.save({"llm_mapping": mapping, **learned}, path))
    (made / "manifest.json").write_text(json.dumps(manifest(bundle.manifest, out.name, published), indent=2) + "\n")
    made.rename(out)
    print(f"{out}: {out.name}, MoMA as it was learned here")


def manifest(given: dict[str, Any], name: str, published: bool) -> dict[str, Any]:
    """The bundle's own without sources: nothing of it is pulled."""
    own = {key: value for key, value in given.items() if key != "sources"}
    networks = {key: dict(network) for key, network in given["networks"].items()}
    for key, prefix in (("mapping", "llm_mapping.mapping"), ("imageProjection", "projectors"), ("adapters", "self_cross_attentions")):
        if key in networks:
            networks[key] |= {"files": [MOMA], "prefix": prefix}
    if not published:
        for key in ("projector", "decoder"):
            prepared = [file for file in networks[key]["files"] if file.startswith("prepared/")]
            networks[key]["files"] = [*prepared, LLAVA]
    title = given.get("title", "MoMA")
    return {**own, "name": name, "title": f"{title}, trained further", "networks": networks}


def files_of(folder: Path, prefix: str = "") -> list[str]:
    return [prefix + path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]


def link(source: Path, target: Path, without: set[str]) -> None:
    """What was prepared from the decoder's weights is prepared anew."""
    for file in files_of(source):
        if file in without or file in OF_THE_BUNDLE or file.startswith("prepared/"):
            continue
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        os.symlink((source / file).resolve(), target / file)


def store(path: Path, save: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path)


def halves(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half().contiguous() for name, tensor in tensors.items()}
