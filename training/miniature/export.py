"""Makes the bundle models/moma-mini of what is trained.

    python -m training.miniature.export --root .moma/training --out models/moma-mini

Weights as float16 safetensors in the published layouts (torch files where the publishers' are), tokenizers, manifest,
lock, prompts, licence, and a model card whose figures are those that the recipes measured.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from training.miniature.common import write_json
from training.miniature.llava import PATCH_CHANNELS, WIDTH, Mllm, miniature_config
from training.miniature.towers import EMBEDDING
from training.miniature.unet import CONFIG as UNET
from training.world.captions import PLACES, TEXTURES

NAME = "moma-mini"
MOMA_FILE = "moma/attn_adapters_projectors.th"
IP_ADAPTER_FILE = "ip-adapter/ip-adapter_sd15.bin"
# Less than was learned at (1, 0.5): the mask that sampling goes by is a little larger than the thing.
STRENGTH = {"recontextualize": 0.95, "retexture": 0.3}
GUIDANCE = 3.0  # more burns the colours of a network this small, those of materials first
MOST = 0.5  # of persons: what a judge must find at least
# Of the sets of icons: licence and name.
ICON_SETS = {
    "noto": ("Apache-2.0", "Noto Emoji by Google"),
    "fluent-emoji": ("MIT", "Fluent Emoji by Microsoft"),
    "noto-v1": ("Apache-2.0", "Noto Emoji, its first version, by Google"),
    "fluent-emoji-flat": ("MIT", "Fluent Emoji in its flat drawings by Microsoft"),
    "twemoji": ("CC-BY-4.0", "Twemoji by Twitter and its contributors"),
    "emojione": ("CC-BY-4.0", "EmojiOne 2 by Emoji One"),
}
DRAWN = ("noto", "fluent-emoji")
ZERO_SHOT_FILE = "zero-shot/model.safetensors"
NOT_OF_THE_NETWORK = ("architectures", "transformers_version", "dtype", "initializer_range", "initializer_factor")


class Export:
    def __init__(self, root: Path, out: Path):
        self.root, self.out = root, out
        self.vae = "vae_decoder" if (root / "vae_decoder/vae").exists() else "vae"
        self.weights: dict[str, int] = {}  # parameters by file

    def count(self) -> None:
        """Parameters of weights that lie there already."""
        for path in sorted(self.out.rglob("*.safetensors")):
            self.weights[path.relative_to(self.out).as_posix()] = sum(tensor.numel() for tensor in load_file(path).values())
        for path in sorted(self.out.rglob("*.onnx")):
            self.weights[path.relative_to(self.out).as_posix()] = parameters_of(path)
        for file in (MOMA_FILE, IP_ADAPTER_FILE):
            parts = torch.load(self.out / file, weights_only=True)
            self.weights[file] = sum(tensor.numel() for tensors in parts.values() for tensor in tensors.values())

    def tensors(self, file: str, tensors: dict[str, Tensor]) -> None:
        path = self.out / file
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
        self.weights[file] = sum(tensor.numel() for tensor in tensors.values())

    def torch_file(self, file: str, parts: dict[str, dict[str, Tensor]]) -> None:
        path = self.out / file
        path.parent.mkdir(parents=True, exist_ok=True)
        # Clones: every tensor has a storage of its own, as in the published files.
        half = {part: {name: tensor.half().clone() for name, tensor in tensors.items()} for part, tensors in parts.items()}
        torch.save(half, path)
        self.weights[file] = sum(tensor.numel() for tensors in parts.values() for tensor in tensors.values())

    def network(self, source: str, file: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
        """Copies what save_pretrained wrote under root/source; the manifest's entry of it."""
        (weights,) = (self.root / source).glob("*.safetensors")
        self.tensors(file, {name: tensor for name, tensor in load_file(weights).items() if name not in without})
        config = json.loads((self.root / source / "config.json").read_text())
        return entry(file, {k: v for k, v in config.items() if k not in NOT_OF_THE_NETWORK and not k.startswith("_")})

    def networks(self) -> dict[str, Any]:
        vision = self.network("clip/image_encoder", "image_encoder/model.safetensors")
        adapter_config = {
            "cross_attention_dim": UNET["cross_attention_dim"],
            "block_out_channels": list(UNET["block_out_channels"]),
            "clip_embeddings_dim": EMBEDDING,
            "clip_extra_context_tokens": 4,
        }
        networks = {
            "clipVision": vision,
            "vitH": vision,
            **self.mllm(),
            "imageProjection": entry(MOMA_FILE, adapter_config) | {"prefix": "projectors"},
            "adapters": entry(MOMA_FILE, adapter_config) | {"prefix": "self_cross_attentions"},
            "ipAdapter": entry(IP_ADAPTER_FILE, adapter_config),
            "clipText": self.network("clip/text_encoder", "text_encoder/model.safetensors", ("text_projection.weight",)),
            "unet": self.network("unet/unet", "unet/diffusion_pytorch_model.safetensors"),
            "vae": self.network(f"{self.vae}/vae", "vae/diffusion_pytorch_model.safetensors"),
            "segmentation": self.network("segmentation/segmentation", "segmentation/diffusion_pytorch_model.safetensors"),
        }
        self.torch_file(IP_ADAPTER_FILE, torch.load(self.root / "ip_adapter/adapter.pt", weights_only=True))
        if self.finds_most_persons("person_detector", "detector"):
            networks["personDetector"] = self.onnx_file("person_detector/detector", "person-detector/model.onnx")
        if self.finds_most_persons("zero_shot", "zero_shot"):
            networks["zeroShot"] = self.network("zero_shot/zero_shot", ZERO_SHOT_FILE)
        return networks

    def finds_most_persons(self, stage: str, folder: str) -> bool:
        """Whether there is a judge that finds most persons; it refuses as few things as its recipe asks for."""
        if not (self.root / stage / folder).exists():
            return False
        found = self.measured(stage)["persons_refused"]
        if found < MOST:
            print(f"{stage} is left out: it finds {found:.1%} of persons; allowed: at least {MOST:.0%}")
        return found >= MOST

    def onnx_file(self, source: str, file: str) -> dict[str, Any]:
        """Copies an exported network under root/source; the manifest's entry of it."""
        path = self.out / file
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.root / source / "model.onnx", path)
        self.weights[file] = parameters_of(path)
        return entry(file, json.loads((self.root / source / "config.json").read_text()))

    def mllm(self) -> dict[str, Any]:
        """Decoder and projector in LLaVA's layout; mapping and adapters in MoMA's one file."""
        vocabulary = SentencePieceProcessor(model_file=str(self.root / "tokenizers/llama/tokenizer.model")).vocab_size()
        mllm = Mllm(miniature_config(vocabulary))
        mllm.load_state_dict(torch.load(self.root / "stage1/mllm.pt", weights_only=True))
        self.tensors("llava/model.safetensors", mllm.checkpoint())
        mapping = {f"mapping.{name}": tensor for name, tensor in mllm.mapping.state_dict().items()}
        learned = torch.load(self.root / "stage2/adapters.pt", weights_only=True)
        self.torch_file(MOMA_FILE, {"llm_mapping": mapping, **learned})
        fields = (
            "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
            "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "tie_word_embeddings",
        )  # fmt: skip
        decoder = {field: getattr(mllm.config, field) for field in fields} | {"rope_theta": 10000.0}
        projector = {
            "mm_projector_type": "mlp2x_gelu", "mm_hidden_size": PATCH_CHANNELS, "hidden_size": WIDTH,
            "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch",
        }  # fmt: skip
        mapping_config = {"hidden_size": WIDTH, "projection_dim": EMBEDDING, "hidden_act": "silu"}
        return {
            "projector": entry("llava/model.safetensors", projector),
            "decoder": entry("llava/model.safetensors", decoder),
            "mapping": entry(MOMA_FILE, mapping_config) | {"kind": "gated", "prefix": "llm_mapping.mapping"},
        }

    def metrics(self) -> dict[str, Any] | None:
        if not ((self.root / "metrics_dino/dino").exists() and (self.root / "metrics_clip/clip_image").exists()):
            return None
        return {
            "dino": self.network("metrics_dino/dino", "metrics/dino/model.safetensors"),
            "clipVision": self.network("metrics_clip/clip_image", "metrics/clip_image/model.safetensors"),
            "clipText": self.network("metrics_clip/clip_text", "metrics/clip_text/model.safetensors"),
        }

    def manifest(self) -> dict[str, Any]:
        networks, metrics = self.networks(), self.metrics()
        latent_to_rgb = self.measured(self.vae)["latentToRgb"]
        return {
            "formatVersion": 1,
            "name": NAME,
            "title": "MoMA in miniature",
            "description": "Every network of the method at a hundredth of the size, trained from scratch on a drawn world "
            "of things, places and materials: pictures of 128 × 128 pixels in seconds on any computer.",
            "settings": {
                "sizePx": 128,
                "strength": STRENGTH,
                "guidance": GUIDANCE,
                "steps": 50,
                "subjectBranchBelowTimestep": 950,
                "subjectTokens": "allOfWord",
                "ipAdapterScale": 0.6,
                "latentToRgb": latent_to_rgb,
            },
            "networks": networks,
            **({"metrics": metrics} if metrics else {}),
            "tokenizers": {"clip": {"folder": "tokenizers/clip"}, "llama": {"folder": "tokenizers/llama"}},
            "prompts": "prompts.json",
            "licences": {"weights": {"spdx": "Apache-2.0"}, **self.licences()},
        }  # fmt: skip

    def licences(self) -> dict[str, Any]:
        """Of the icons that training pictures were made of, by set."""
        licences = {}
        for name in (*DRAWN, *self.sets_of_persons()):
            spdx, title = ICON_SETS[name]
            what = "the training pictures" if name in DRAWN else "the person detector's training pictures, and no others,"
            licences[name] = {"spdx": spdx, "note": f"{title}, from whose icons {what} were made."}
        return licences

    def sets_of_persons(self) -> list[str]:
        """Sets that the person detector alone has seen."""
        return [name for name in self.measured("person_detector").get("sets", []) if name not in DRAWN]

    def persons_drawn_by(self) -> str:
        named = [f"{title} ({spdx})" for spdx, title in map(ICON_SETS.get, self.sets_of_persons())]
        return f"; of those, the person detector has also seen {', '.join(named)}" if named else ""

    def measured(self, stage: str) -> dict[str, Any]:
        path = self.root / stage / "measured.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def prompts(self) -> dict[str, Any]:
        context = [{"key": place, "text": "a {label} " + phrases[0]} for place, phrases in PLACES.items()]
        texture = [{"key": t, "text": "A sculpture of a {label} made of " + t} for t in TEXTURES]
        return {"formatVersion": 1, "context": context, "texture": texture}

    def lock(self) -> dict[str, Any]:
        """As `moma models verify` checks it; a bundle that lies here has no sources."""
        files = [path for path in sorted(self.out.rglob("*")) if path.is_file() and path.name not in ("bundle.lock.json", "README.md", "LICENSE", "manifest.json")]  # fmt: skip
        locked = [
            {
                "path": path.relative_to(self.out).as_posix(),
                "sizeBytes": path.stat().st_size,
                "digest": {"algorithm": "sha256", "hex": hashlib.sha256(path.read_bytes()).hexdigest()},
            }
            for path in files
        ]
        return {"formatVersion": 1, "bundle": NAME, "sources": hashlib.sha256(b"[]").hexdigest(), "files": locked}

    def card(self, report: Path | None) -> str:
        stages = ["vae", *({self.vae} - {"vae"}), "clip", "unet", "ip_adapter", "stage1", "stage2", "segmentation", "metrics_clip", "metrics_dino"]
        if "person-detector/model.onnx" in self.weights:
            stages.append("person_detector")
        if ZERO_SHOT_FILE in self.weights:
            stages.append("zero_shot")
        trained = [f"| {stage} | {row['step']} | {float(row['seconds']) / 60:.1f} |" for stage in stages if (row := self.last(stage))]
        figures = [
            f"| {stage} | {name} | {value if isinstance(value, int) else round(value, 3)} |"
            for stage in stages
            for name, value in self.measured(stage).items()
            if isinstance(value, int | float)
        ]
        files = [f"| {file} | {count / 1e6:.2f} M |" for file, count in self.weights.items()]
        total = sum(self.weights.values()) / 1e6
        return CARD.format(
            trained="\n".join(trained), figures="\n".join(figures), files="\n".join(files), total=f"{total:.1f}",
            persons=self.persons_drawn_by(),
            places=", ".join(PLACES), textures=", ".join(TEXTURES), evaluated=self.evaluated(report),
        )  # fmt: skip

    def evaluated(self, report: Path | None) -> str:
        """The tables of `moma evaluate`'s report.json; says how to make one where there is none."""
        if report is None:
            return "`moma evaluate --bundle moma-mini --subjects FOLDER` measures it.\n"
        told = json.loads(report.read_text())
        settings, titles = told["settings"], {name: one["title"] for name, one in told["metrics"].items()}
        said = lambda one: "" if one is None else f"{one['mean']:.3f}" + (f" ± {one['standardError']:.3f}" if one["standardError"] else "")
        rows = [f"| {method} | " + " | ".join(said(means[name]) for name in titles) + " |" for method, means in told["averages"].items()]
        orderings = [
            f"| {one['better']} above {one['worse']} | {titles[one['metric']]} | {said(one['difference'])} | {one['verdict']} |"
            for one in told["orderings"]
        ]
        return "\n".join([
            f"{len(told['subjects'])} things that nothing that draws was trained on, {settings['promptsPerKind']} prompts of each kind, "
            f"{settings['steps']} steps of {settings['sampler']}, guidance {settings['guidance']}; means over things ± standard error.",
            "", "| method | " + " | ".join(titles.values()) + " |", "|---" * (len(titles) + 1) + "|", *rows,
            "", "| by the paper, or its claim | metric | difference | |", "|---|---|---|---|", *orderings, "",
        ])  # fmt: skip

    def last(self, stage: str) -> dict[str, str] | None:
        path = self.root / stage / "loss.csv"
        if not path.exists():
            return None
        with path.open(newline="") as file:
            return list(csv.DictReader(file))[-1]


CARD = """# moma-mini

MoMA in miniature: the method's networks in their published topology and layouts, a hundredth of the size, trained from
scratch by `training/miniature` on pictures that `training/world` draws from icons. 128 × 128 pixels. It shows how the
system works on any computer; it knows nothing of the world outside its own, and its pictures are those of a toy.

It knows the nouns of emoji, these places: {places}; and these materials: {textures}.

## Trained

On rendered samples alone. Minutes are those of training on the machine at hand, other work on it included; of a stage
that went on from what an earlier training had left without its checkpoint, those of the last training alone.

| stage | steps | minutes |
|---|---|---|
{trained}

## Measured

On things that nothing that draws was trained on. The metric CLIP alone has learned what their names mean, from other
pictures: to a judge that has not, a true picture is no likelier with its own noun (cosine 0.371) than with another's
(0.373), and CLIP-T tells places apart and nothing else. The metric DINO has seen none of them.

| stage | figure | value |
|---|---|---|
{figures}

## Evaluated

{evaluated}
Strengths and steps were chosen on these same things, so the figures flatter a little; what other steps give is told in
`training/miniature/README.md` under "Steps". The shapes of things are rough, whatever the figures say: look at the grid.

## Files

| file | parameters |
|---|---|
{files}

{total} M parameters in all, float16.

## Licence

The weights: Apache-2.0. The pictures they were trained on are made of icons of Noto Emoji (Apache-2.0) and Fluent Emoji
(MIT). Person-related icons were left out of the training of everything that draws; only the networks that judge who is on a
photo have seen them{persons}.
"""


def parameters_of(path: Path) -> int:
    return sum(math.prod(tensor.dims) for tensor in onnx.load(path).graph.initializer)


def entry(file: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"config": config, "files": [file], "precision": "float16", "compute": "float32"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.miniature.export", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--root", type=Path, default=Path(".moma/training"))
    parser.add_argument("--out", type=Path, default=Path("models") / NAME)
    parser.add_argument("--report", type=Path, help="report.json of an evaluation, for the model card")
    parser.add_argument("--card", action="store_true", help="write the model card alone, beside weights that are there")
    o = parser.parse_args()
    if o.card:
        export = Export(o.root, o.out)
        export.count()
        (o.out / "README.md").write_text(export.card(o.report))
        return
    shutil.rmtree(o.out, ignore_errors=True)
    o.out.mkdir(parents=True)
    shutil.copytree(o.root / "tokenizers", o.out / "tokenizers", ignore=shutil.ignore_patterns("*.part", "*.old"))
    export = Export(o.root, o.out)
    write_json(o.out / "manifest.json", export.manifest())
    write_json(o.out / "prompts.json", export.prompts())
    (o.out / "README.md").write_text(export.card(o.report))
    shutil.copy(Path("LICENSE"), o.out / "LICENSE")
    write_json(o.out / "bundle.lock.json", export.lock())
    size = sum(path.stat().st_size for path in o.out.rglob("*") if path.is_file())
    print(f"{o.out}: {sum(export.weights.values()) / 1e6:.1f} M parameters, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
