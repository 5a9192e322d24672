"""The miniature's person detector, by the contract of RT-DETR and D-FINE: a small convolutional CenterNet.

    python -m training.miniature.person_detector --minutes 20 --out .moma/training/person_detector

In: `pixel_values` in 0 … 1 [1, 3, 96, 96]; out: `logits` [1, 144, 2] (person, thing) before the sigmoid and `pred_boxes`
[1, 144, 4], centre x, y, width and height in shares. The queries are the cells of a 12 × 12 grid; whoever is seen has the
highest logit in the cell of their centre, and the graph itself lowers every cell that is no peak of its 3 × 3.

One group of icons in twelve is not learned from: on pictures of those the score is set above which somebody is a person,
and put into the bias, so that the policy's threshold is that of every detector.

Writes OUT/pictures (rendered once), OUT/detector (model.onnx and config.json) and OUT/measured.json (on the groups set aside).
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.miniature.common import Options, options, replace_file, replace_folder, train, write_json
from training.miniature.towers import shrink
from training.world.atlas import Icon
from training.world.crowds import HIDDEN, PERSON, THING, Crowds
from training.world.world import hue_rotations

SIZE_PX = 96
STRIDE = 8
GRID = SIZE_PX // STRIDE
WIDTHS = (24, 40, 80, 112)
KINDS = 2  # PERSON and THING are the labels
CONFIG = {"image_size": SIZE_PX, "num_labels": KINDS, "person_labels": [PERSON]}

SHARD = 1024
SET_ASIDE_PICTURES = 2048
RARE = -4.6  # logit of one cell in a hundred: what a cell says before it has learned anything
NO_PEAK = 30.0  # by as much other cells than peaks are lowered

# The subject gate's rule (services/safety/policy/policy.json), by which thresholds are chosen.
COVERAGE, FILLING, WHOLE_PICTURE = 0.5, 0.2, 0.5
# What is asked for: of persons, of things.
MISSED, WRONGLY_REFUSED = 0.01, 0.02


def convolution(given: int, made: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(given, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made))


class Block(nn.Module):
    """x + two convolutions."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = convolution(width, width), convolution(width, width)
        nn.init.zeros_(self.second[1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = nn.Sequential(convolution(3, a, 2), nn.ReLU(), convolution(a, b, 2), nn.ReLU(), Block(b))
        self.near = nn.Sequential(convolution(b, c, 2), nn.ReLU(), Block(c), Block(c))
        self.far = nn.Sequential(convolution(c, d, 2), nn.ReLU(), Block(d))
        self.far_to_near, self.all_to_near = nn.Conv2d(d, c, 1), nn.Linear(d, c)
        self.mixed = nn.Sequential(convolution(c, c), nn.ReLU())
        self.logits, self.boxes = nn.Conv2d(c, KINDS, 1), nn.Conv2d(c, 4, 1)
        nn.init.constant_(self.logits.bias, RARE)
        line = (torch.arange(GRID) + 0.5) / GRID
        self.register_buffer("centres", torch.stack(torch.meshgrid(line, line, indexing="xy"))[None], persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """0 … 1 [n, 3, S, S] → logits [n, KINDS, GRID, GRID] and boxes [n, 4, GRID, GRID]: centre, width and height."""
        near = self.near(self.stem(pixels * 4 - 2))
        far = self.far(near)
        around = F.interpolate(self.far_to_near(far), scale_factor=2.0)
        near = self.mixed(F.relu(near + around + self.all_to_near(far.mean((2, 3)))[:, :, None, None]))
        boxes = self.boxes(near)
        centre = self.centres + boxes[:, :2] * (2 / GRID)
        return self.logits(near), torch.cat([centre, boxes[:, 2:].sigmoid()], 1)


class Published(nn.Module):
    """The network by the contract; `threshold` is the logit that becomes 0, a score of one half."""

    def __init__(self, detector: Detector, threshold: float):
        super().__init__()
        self.detector = copy.deepcopy(detector).cpu().float().eval()
        with torch.no_grad():
            self.detector.logits.bias[PERSON] -= threshold

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = self.detector(pixel_values)
        return peaks(logits).flatten(2).transpose(1, 2), boxes.flatten(2).transpose(1, 2)


def peaks(logits: Tensor) -> Tensor:
    """Cells that a neighbour exceeds are lowered, so that nobody is seen twice."""
    return torch.where(logits < F.max_pool2d(logits, 3, 1, 1), logits - NO_PEAK, logits)


def corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes [n, 4, …] → the upper left and the lower right corner, [n, 2, …] each."""
    return boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """[n, 4, …] and [n, 4, …] → [n, …] in −1 … 1."""
    (a1, a2), (b1, b2) = corners(a), corners(b)
    area = lambda low, high: (high - low).clamp(min=0).prod(1)
    both = area(torch.maximum(a1, b1), torch.minimum(a2, b2))
    either = area(a1, a2) + area(b1, b2) - both
    around = area(torch.minimum(a1, b1), torch.maximum(a2, b2))
    return both / either.clamp(min=1e-6) - (around - either) / around.clamp(min=1e-6)


def targets(boxes: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """
    boxes [n, k, 4] (left, top, right, bottom) and kinds [n, k] → heat [n, KINDS, GRID, GRID], 1 in the cells of centres and
    falling off with the box's size; the box of whoever is nearest [n, 4, GRID, GRID] with its weight [n, GRID, GRID]; and
    0 where somebody is hidden [n, 1, GRID, GRID].
    """
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    cell = (centre * GRID).floor().clamp(0, GRID - 1)
    line = torch.arange(GRID, device=boxes.device, dtype=boxes.dtype)
    spread = (sides * GRID * 0.12).clamp(min=0.45)
    off = lambda axis: ((line - cell[..., axis, None]) / spread[..., axis, None]) ** 2 / 2
    heat = torch.exp(-off(1)[..., :, None] - off(0)[..., None, :])
    shown = [heat * (kinds == kind)[..., None, None] for kind in (PERSON, THING)]
    nearest_heat, nearest = torch.maximum(*shown).max(1)
    own = torch.cat([centre, sides], -1).transpose(1, 2)
    box = torch.gather(own, 2, nearest.flatten(1)[:, None].expand(-1, 4, -1)).unflatten(2, (GRID, GRID))
    at = (line + 0.5) / GRID
    inside = lambda axis: (at >= boxes[..., axis, None]) & (at <= boxes[..., axis + 2, None])
    hidden = (inside(1)[..., :, None] & inside(0)[..., None, :] & (kinds == HIDDEN)[..., None, None]).any(1)
    return torch.stack([one.amax(1) for one in shown], 1), box, nearest_heat * (nearest_heat > 0.3), ~hidden[:, None]


def detection_losses(logits: Tensor, boxes: Tensor, true_boxes: Tensor, kinds: Tensor) -> dict[str, Tensor]:
    """CenterNet's focal loss on the heat, L1 and generalised IoU on the boxes near centres."""
    heat, box, weight, counts = targets(true_boxes, kinds)
    likely = logits.sigmoid()
    hit = (1 - likely) ** 2 * F.logsigmoid(logits) * (heat == 1)
    miss = (1 - heat) ** 4 * likely**2 * F.logsigmoid(-logits)
    focal = -((hit + miss) * counts).sum() / len(logits)
    total = weight.sum().clamp(min=1)
    distance = ((boxes - box).abs().sum(1) * weight).sum() / total
    overlap = ((1 - generalized_iou(boxes, box)) * weight).sum() / total
    return {"loss": focal + 2 * distance + overlap, "focal": focal, "distance": distance, "overlap": overlap}


@dataclass
class Pictures:
    """Rendered pictures in memory."""

    image: Tensor  # uint8 [n, 3, SIZE_PX, SIZE_PX]
    boxes: Tensor  # float32 [n, layers, 4]
    kinds: Tensor  # int64 [n, layers]
    mask: Tensor  # uint8 [n, 1, SIZE_PX, SIZE_PX / 8]: bits of the subject's area
    of_person: Tensor  # bool [n]: whether that is a person


def is_set_aside(icon: Icon) -> bool:
    """One group in twelve, by a hash of its name."""
    return hashlib.sha256(f"aside:{icon.group}".encode()).digest()[0] % 12 == 0


def render(crowds: Crowds, path: Path, seed: list[int]) -> None:
    columns: dict[str, list[Tensor]] = {name: [] for name in Pictures.__dataclass_fields__}
    for start in range(0, SHARD, 64):
        crowd = crowds.sample_crowd(np.random.default_rng([*seed, start]), 64)
        subject = torch.from_numpy(crowd.subject)
        rows = torch.arange(len(subject))
        smaller = F.interpolate(crowd.seen[rows, subject][:, None].float(), (SIZE_PX, SIZE_PX), mode="area") > 127
        columns["image"].append(shrink(crowd.image, SIZE_PX))
        columns["boxes"].append(crowd.boxes)
        columns["kinds"].append(crowd.kinds)
        columns["mask"].append(torch.from_numpy(np.packbits(smaller.numpy(), axis=-1)))
        columns["of_person"].append(crowd.kinds[rows, subject] == PERSON)
    made = {name: torch.cat(parts) for name, parts in columns.items()}
    replace_file(path, lambda temporary: torch.save(made, temporary))


def rendered(o: Options, name: str, count: int) -> Pictures:
    """The pictures of the groups learned from ("learned") or set aside ("aside"), rendered where they are missing."""
    aside = name == "aside"
    paths = [o.out / "pictures" / f"{name}-{k:03}.pt" for k in range(-(-count // SHARD))]
    missing = [(k, path) for k, path in enumerate(paths) if not path.exists()]
    if missing:
        crowds = Crowds(o.icons, "train", shows=lambda icon: is_set_aside(icon) == aside)
        for k, path in missing:
            render(crowds, path, [o.seed, aside, k])
            print(path, flush=True)
    shards = [torch.load(path, weights_only=True) for path in paths]
    return Pictures(**{key: torch.cat([shard[key] for shard in shards]) for key in shards[0]})


def batch(o: Options, pictures: Pictures, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels in 0 … 1, boxes and kinds of a step: half of them mirrored, in other light, a part wiped out now and then."""
    rng = o.rng(step)
    rows = torch.from_numpy(rng.integers(len(pictures.image), size=o.batch))
    pixels, boxes = pictures.image[rows].float() / 255, pictures.boxes[rows]
    mirrored = torch.from_numpy(rng.random(o.batch) < 0.5)
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    turned = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], -1)
    boxes = torch.where(mirrored[:, None, None], turned, boxes)
    turns = hue_rotations(torch.from_numpy(rng.normal(0, 0.15, o.batch)).float())
    pixels = torch.einsum("nij,njhw->nihw", turns, pixels)
    gain, offset = rng.uniform(0.88, 1.12, (o.batch, 3)), rng.uniform(-0.06, 0.06, (o.batch, 3))
    pixels = pixels * torch.from_numpy(gain).float()[:, :, None, None] + torch.from_numpy(offset).float()[:, :, None, None]
    for row in np.flatnonzero(rng.random(o.batch) < 0.25):
        side = int(rng.integers(8, 20))
        y, x = rng.integers(SIZE_PX - side, size=2)
        pixels[row, :, y : y + side, x : x + side] = torch.from_numpy(rng.random((3, 1, 1))).float()
    return pixels.clamp(0, 1).to(o.device), boxes.to(o.device), pictures.kinds[rows].to(o.device)


@torch.no_grad()
def surest(network: Detector, pictures: Pictures, device: torch.device) -> Tensor:
    """[n]: the highest logit of a person who, by the gate's rule, is the picture's subject; a low one where there is none."""
    found = []
    line = (torch.arange(SIZE_PX) + 0.5) / SIZE_PX
    for start in range(0, len(pictures.image), 64):
        rows = slice(start, start + 64)
        logits, boxes = network(pictures.image[rows].to(device).float() / 255)
        logits, boxes = peaks(logits)[:, PERSON].flatten(1).cpu(), boxes.flatten(2).cpu()
        low, high = (corner.clamp(0, 1) for corner in corners(boxes))
        mask = torch.from_numpy(np.unpackbits(pictures.mask[rows].numpy(), axis=-1))[:, 0].float()
        inside = lambda axis: ((line >= low[:, axis, :, None]) & (line < high[:, axis, :, None])).float()
        both = torch.einsum("nqy,nyx,nqx->nq", inside(1), mask, inside(0))
        area = (high - low).prod(1)
        coverage, filling = both / mask.sum((1, 2)).clamp(min=1)[:, None], both / (area * SIZE_PX**2).clamp(min=1)
        counts = ((coverage >= COVERAGE) & (filling >= FILLING)) | (area >= WHOLE_PICTURE)
        found.append(torch.where(counts, logits, logits.new_tensor(-NO_PEAK)).amax(1))
    return torch.cat(found)


def measure(network: Detector, pictures: Pictures, device: torch.device) -> tuple[dict, float]:
    """Shares at the best threshold, and that threshold as a logit: where the worse of both rates, by what is asked, is best."""
    scores = surest(network, pictures, device)
    persons, things = scores[pictures.of_person], scores[~pictures.of_person]
    candidates = torch.linspace(-6, 3, 181)
    missed = (persons[None] < candidates[:, None]).float().mean(1)
    refused = (things[None] >= candidates[:, None]).float().mean(1)
    best = int(torch.maximum(missed / MISSED, refused / WRONGLY_REFUSED).argmin())
    threshold = float(candidates[best])
    measured = {
        "persons_refused": 1 - float(missed[best]),
        "things_refused": float(refused[best]),
        "threshold": 1 / (1 + math.exp(-threshold)),
        "persons": len(persons),
        "things": len(things),
    }
    return measured, threshold


def write_onnx(network: Detector, threshold: float, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter without onnxscript is called a legacy
        torch.onnx.export(
            Published(network, threshold), (torch.zeros(1, 3, SIZE_PX, SIZE_PX),), str(folder / "model.onnx"),
            input_names=["pixel_values"], output_names=["logits", "pred_boxes"], opset_version=17, dynamo=False,
        )  # fmt: skip
    model = onnx.load(folder / "model.onnx")
    store_as_half(model.graph)
    onnx.save(model, folder / "model.onnx")
    write_json(folder / "config.json", CONFIG)


def store_as_half(graph: onnx.GraphProto) -> None:
    """Kernels and matrices as float16, cast when the file is opened: half the bytes, the same arithmetic."""
    large = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1]
    for tensor in large:
        stored = f"{tensor.name}.half"
        half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), stored)
        cast = onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT)
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
        graph.node.insert(0, cast)


def has_matrix_unit(device: torch.device) -> bool:
    """Whether this is a CPU that multiplies bf16 matrices by itself (AMX)."""
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def forward_half(model: Detector, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The forward pass in bf16, on AMX in less than half of the time."""
    with torch.autocast("cpu", torch.bfloat16):
        logits, boxes = model(pixels)
    return logits.float(), boxes.float()


def main() -> None:
    more = argparse.ArgumentParser(add_help=False)
    more.add_argument("--pictures", type=int, default=20480, help="rendered to learn from")
    o = options("person_detector", minutes=20, batch_cpu=32, batch_gpu=256, more=more)
    learned = rendered(o, "learned", more.parse_known_args()[0].pictures)
    aside = rendered(o, "aside", SET_ASIDE_PICTURES)
    network = Detector()
    print(f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters", flush=True)
    predict = forward_half if has_matrix_unit(o.device) else o.compiled(lambda model, pixels: model(pixels))
    network = network.to(memory_format=torch.channels_last)

    def losses(model: Detector, step: int):
        pixels, boxes, kinds = batch(o, learned, step)
        return detection_losses(*predict(model, pixels.contiguous(memory_format=torch.channels_last)), boxes, kinds)

    def publish(average: Detector) -> None:
        measured, threshold = measure(average, aside, o.device)
        replace_folder(o.out / "detector", lambda folder: write_onnx(average, threshold, folder))
        write_json(o.out / "measured.json", measured)
        print(measured, flush=True)

    train(o, network, losses, publish, learning_rate=2e-3, weight_decay=0.02, ema_decay=0.995)


if __name__ == "__main__":
    main()
