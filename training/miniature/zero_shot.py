"""The miniature's second judge of who is on a photo: a CLIP pair that tells persons from things by the safety policy's sentences.

    python -m training.miniature.zero_shot --minutes 35 --out .moma/training/zero_shot

It sees what the subject gate shows it: the subject alone, cut out on white. The cut-outs are those of the person
detector's arrangements, so that it knows persons who are covered, small and cut by the frame. What it learns is to give the
policy's shares: softmax over its sentences at its scale, summed by what they name.

One group of icons in twelve is not learned from, the same that the detector sets aside; by pictures of those the bias is
set at which the policy's threshold refuses few things (`person_bias` in config.json, added to a person's log odds).

Writes OUT/crops.pt, OUT/zero_shot (a CLIPModel in the transformers layout, config.json) and OUT/measured.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

from training.miniature.common import Options, earlier, options, replace_file, replace_folder, train, write_json
from training.miniature.person_detector import (
    ASIDE_OF_PERSONS, ASIDE_OF_THINGS, PHOTO_PX, UNSURE, UNSURE_GROUP, is_learned, is_set_aside,
)  # fmt: skip
from training.miniature.towers import (
    EMBEDDING, IMAGE_PX, MEAN, normalize, open_tokenizer, set_attention, shrink, text_config, tokenize, vision_config,
)  # fmt: skip
from training.world.crowds import FIGURES, HIDDEN, LAYERS, PERSON, Crowd, Crowds
from training.world.judged import OF_PERSONS, OF_THINGS
from training.world.world import PLACE_NAMES

POLICY = Path(__file__).parents[2] / "services/safety/policy/policy.json"
NAMED = ("person", "lookAlikes", "things")  # what the policy's sentences name, in this order
LOOK_ALIKE = 1
CROPS = 40_000
DRAWN_AT_ONCE = 64
GROUP_WEIGHT = 0.5
ERASED = 0.3  # share of the cut-outs of which a part is missing
WRONGLY_REFUSED = 0.008  # of the things set aside: the detector refuses some too


@dataclass
class Crops:
    """Subjects cut out on white."""

    pixels: Tensor  # uint8 [n, 3, S, S]
    named: Tensor  # int64 [n], index into NAMED
    groups: Tensor  # int64 [n], the crowds' groups


def cut_out(image: Tensor, seen: Tensor) -> Tensor:
    """uint8 [H, W, 3] and the area [H, W] → uint8 [1, 3, S, S]: on white, cut to where it is, padded to a square as CLIP is shown it."""
    inside = seen > 127
    rows, columns = (torch.nonzero(inside.any(axis))[:, 0] for axis in (1, 0))
    y, x = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    part = torch.where(inside[y, x, None], image[y, x], 255)
    height, width = part.shape[:2]
    side = max(height, width)
    square = (torch.tensor(MEAN) * 255).round().to(torch.uint8).expand(side, side, 3).clone()
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = part
    return shrink(square[None], IMAGE_PX)


def cut_outs(crowd: Crowd, layers: Tensor) -> Crops:
    """Of those in the layers [n, LAYERS] (bool) that are seen well enough."""
    rows, layer = torch.nonzero(layers & (crowd.kinds != HIDDEN) & (crowd.kinds >= 0), as_tuple=True)
    pixels = [cut_out(crowd.image[row], crowd.seen[row, k]) for row, k in zip(rows.tolist(), layer.tolist())]
    figure = torch.tensor([crowd.icons[row][k].name in FIGURES for row, k in zip(rows.tolist(), layer.tolist())])
    thing = torch.where(figure, LOOK_ALIKE, NAMED.index("things"))
    return Crops(torch.cat(pixels), torch.where(crowd.kinds[rows, layer] == PERSON, 0, thing), crowd.groups[rows, layer])


def drawn(o: Options) -> tuple[Crops, Crops, int]:
    """What is learned from, what is set aside, and how many groups there are; drawn where they are missing."""
    path = o.out / "crops.pt"
    if not path.exists():
        crowds = Crowds(o.icons, "train", shows=is_learned)
        rng, parts, count = np.random.default_rng([o.seed, 21]), [], 0
        while count < CROPS:
            crowd = crowds.sample_crowd(rng, DRAWN_AT_ONCE)
            parts.append(cut_outs(crowd, torch.ones(DRAWN_AT_ONCE, LAYERS, dtype=torch.bool)))
            count += len(parts[-1].named)
        aside = Crowds(o.icons, "train", PHOTO_PX, variants=8, shows=is_set_aside)
        rng, chosen = np.random.default_rng([o.seed, 22]), []
        arrangements = [OF_PERSONS[i % len(OF_PERSONS)] for i in range(ASIDE_OF_PERSONS)]
        arrangements += [OF_THINGS[i % len(OF_THINGS)] for i in range(ASIDE_OF_THINGS)]
        for start in range(0, len(arrangements), DRAWN_AT_ONCE):
            names = arrangements[start : start + DRAWN_AT_ONCE]
            crowd = aside.arrange(rng, names, rng.integers(len(PLACE_NAMES), size=len(names)))
            chosen.append(cut_outs(crowd, F.one_hot(torch.from_numpy(crowd.subject), LAYERS).bool()))
        made = {"learned": joined(parts), "aside": joined(chosen), "groups": len(crowds.group_names)}
        replace_file(path, lambda temporary: torch.save(made, temporary))
    made = torch.load(path, weights_only=True)
    return Crops(**made["learned"]), Crops(**made["aside"]), made["groups"]


def joined(parts: list[Crops]) -> dict[str, Tensor]:
    return {name: torch.cat([getattr(part, name) for part in parts]) for name in ("pixels", "named", "groups")}


class Judge(nn.Module):
    def __init__(self, tokenizer, sentences: dict[str, list[str]], scale: float, groups: int, start: Path):
        """`start`: a folder with an image tower to go on from, where there is one that sees as many pixels."""
        super().__init__()
        tower = earlier(start, CLIPVisionModelWithProjection)
        fits = tower is not None and tower.config.image_size == IMAGE_PX
        self.vision = tower if fits else CLIPVisionModelWithProjection(vision_config())
        self.text = CLIPTextModelWithProjection(text_config(tokenizer, 1))
        self.group = nn.Linear(EMBEDDING, groups)  # asked for while it learns, which tells it more than the kind
        self.scale = scale
        self.register_buffer("ids", tokenize(tokenizer, sum(sentences.values(), [])), persistent=False)
        names = [NAMED.index(name) for name, own in sentences.items() for _ in own]
        self.register_buffer("names", F.one_hot(torch.tensor(names)).T.bool(), persistent=False)  # [3, sentences]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """CLIP-normalised [n, 3, S, S] → the logarithms of the policy's shares [n, 3], and logits of groups [n, G]."""
        images, texts = self.vision(pixels).image_embeds, self.text(self.ids).text_embeds
        cosines = F.normalize(images.float(), dim=1) @ F.normalize(texts.float(), dim=1).T
        shares = (self.scale * cosines).log_softmax(1)
        named = shares[:, None].masked_fill(~self.names, -torch.inf).logsumexp(2)
        return named, self.group(images)


def changed(pixels: Tensor) -> Tensor:
    """uint8 [n, 3, S, S] → CLIP-normalised, mirrored, turned, moved, brighter or darker, now and then with a part missing."""
    n, device = len(pixels), pixels.device
    drawn = lambda low, high, *shape: torch.empty(n, *shape, device=device).uniform_(low, high)
    angle, size, mirrored = drawn(-0.35, 0.35), drawn(0.8, 1.2), drawn(0, 1) < 0.5
    cos, sin = angle.cos() * size, angle.sin() * size
    flip = torch.where(mirrored, -1.0, 1.0)
    grid = torch.stack([torch.stack([cos * flip, -sin, drawn(-0.12, 0.12)], 1), torch.stack([sin * flip, cos, drawn(-0.12, 0.12)], 1)], 1)
    white = 255 - pixels.float()  # so that what comes in from outside is white
    turned = 255 - F.grid_sample(white, F.affine_grid(grid, list(pixels.shape), align_corners=False), align_corners=False)
    toned = turned * drawn(0.8, 1.15, 1, 1, 1) * drawn(0.92, 1.08, 3, 1, 1)
    line = (torch.arange(IMAGE_PX, device=device) + 0.5) / IMAGE_PX
    near = lambda: ((line - drawn(0, 1, 1)).abs() < drawn(0.08, 0.25, 1)).float()
    gone = near()[:, None, :, None] * near()[:, None, None, :] * (drawn(0, 1) < ERASED)[:, None, None, None]
    return normalize(torch.where(gone > 0, 255.0, toned.clamp(0, 255)))


def log_odds(judge: Judge, crops: Crops, device: torch.device) -> Tensor:
    """[n]: of a person's share."""
    shares = torch.cat([judge(normalize(part.to(device)))[0].cpu() for part in crops.pixels.split(128)])
    return shares[:, 0] - shares[:, 1:].logsumexp(1)


@torch.no_grad()
def measure(judge: Judge, aside: Crops, device: torch.device, threshold: float) -> tuple[dict, float]:
    """Shares refused at the policy's threshold, and the bias by which that refuses no more things than is asked for."""
    odds, of_person = log_odds(judge, aside, device), aside.named == 0
    highest = odds[~of_person].quantile(1 - WRONGLY_REFUSED)
    bias = float(torch.logit(torch.tensor(threshold)) - highest - 1e-4)
    refused = (odds + bias).sigmoid() >= threshold
    of = lambda which: float(refused[which].float().mean())
    counts = {"persons": int(of_person.sum()), "things": int((~of_person).sum())}
    return {"persons_refused": of(of_person), "things_refused": of(~of_person), "person_bias": bias, **counts}, bias


def save(judge: Judge, bias: float, folder: Path) -> None:
    """As transformers' CLIPModel is published: both towers in one file."""
    towers = {**judge.vision.state_dict(), **judge.text.state_dict()}
    save_file({name: tensor.contiguous().half() for name, tensor in towers.items()}, folder / "model.safetensors")
    vision, text = judge.vision.config, judge.text.config
    shared = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act", "layer_norm_eps")
    of = lambda config, *more: {name: getattr(config, name) for name in (*shared, *more)}
    write_json(folder / "config.json", {
        "projection_dim": EMBEDDING, "person_bias": round(bias, 3), "judges_pictures": False,
        "vision_config": of(vision, "image_size", "patch_size"), "text_config": of(text, "vocab_size", "max_position_embeddings"),
    })  # fmt: skip


def main() -> None:
    o = options("zero_shot", minutes=35, batch_cpu=192, batch_gpu=1024, seed=77)
    policy = json.loads(POLICY.read_text())
    sentences = {name: policy["zeroShot"][name] for name in NAMED}
    threshold = policy["subject"]["zeroShot"]["person"]
    learned, aside, groups = drawn(o)
    judge = Judge(open_tokenizer(o.beside("tokenizers")), sentences, policy["zeroShot"]["scale"], groups, o.beside("clip") / "image_encoder").to(o.device)
    set_attention(judge.vision, judge.text)
    see = o.halved_throughout(lambda judge, pixels: judge(pixels))
    on = lambda tensor: tensor.to(o.device)
    pixels, named, own_groups = on(learned.pixels), on(learned.named), on(learned.groups)
    persons, things = on(torch.nonzero(learned.named == 0)[:, 0]), on(torch.nonzero(learned.named > 0)[:, 0])
    print(f"{sum(p.numel() for p in judge.parameters()) / 1e6:.2f} M parameters, {len(named)} cut-outs", flush=True)

    def losses(model: Judge):
        draw = lambda rows: rows[torch.randint(len(rows), (o.batch // 2,), device=o.device)]
        rows = torch.cat([draw(persons), draw(things)])
        shares, grouped = see(model, changed(pixels[rows]))
        kind = F.cross_entropy(shares, named[rows], label_smoothing=UNSURE)
        group = F.cross_entropy(grouped, own_groups[rows], label_smoothing=UNSURE_GROUP)
        return {"loss": kind + GROUP_WEIGHT * group, "kind": kind, "group": group}

    def publish(average: Judge) -> None:
        measured, bias = measure(average, aside, o.device, threshold)
        replace_folder(o.out / "zero_shot", lambda folder: save(average, bias, folder))
        write_json(o.out / "measured.json", measured)
        print(measured, flush=True)

    train(o, judge, losses, publish, learning_rate=1e-3, weight_decay=0.05, ema_decay=0.998)


if __name__ == "__main__":
    main()
