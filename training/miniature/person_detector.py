"""The miniature's person detector, by the contract of RT-DETR and D-FINE: a small convolutional CenterNet.

    python -m training.miniature.person_detector --minutes 45 --out .moma/training/person_detector

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
from training.world.crowds import HIDDEN, NOTHING, PERSON, Crowds
from training.world.world import hue_rotations

SIZE_PX = 96
STRIDE = 8
GRID = SIZE_PX // STRIDE
WIDTHS = (32, 96, 192)
PATCH_PX = 4
KINDS = 2  # the world's PERSON and THING are the labels
CONFIG = {"image_size": SIZE_PX, "num_labels": KINDS, "person_labels": [PERSON]}

SHARD = 1024
SET_ASIDE_PICTURES = 2048
RARE = -4.6  # logit of one cell in a hundred: what a cell says before it has learned anything
GROUP_WEIGHT = 0.5
SMALLEST = 0.11  # longer side of what is learned from
NO_PEAK = 30.0  # by as much other cells than peaks are lowered

# The subject gate's rule (services/safety/policy/policy.json), by which thresholds are chosen.
COVERAGE, FILLING, WHOLE_PICTURE = 0.5, 0.2, 0.5
WRONGLY_REFUSED = 0.02  # of things, at most


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
        b, c, d = WIDTHS
        patches = nn.Conv2d(3, b, PATCH_PX, PATCH_PX, bias=False)
        self.stem = nn.Sequential(patches, nn.BatchNorm2d(b), nn.ReLU(), Block(b))
        self.near = nn.Sequential(convolution(b, c, 2), nn.ReLU(), Block(c), Block(c))
        self.far = nn.Sequential(convolution(c, d, 2), nn.ReLU(), Block(d))
        self.far_to_near, self.all_to_near = nn.Conv2d(d, c, 1), nn.Linear(d, c)
        self.mixed = nn.Sequential(convolution(c, c), nn.ReLU())
        self.somebody, self.person, self.boxes = nn.Conv2d(c, 1, 1), nn.Conv2d(c, 1, 1), nn.Conv2d(c, 4, 1)
        nn.init.constant_(self.somebody.bias, RARE)
        line = (torch.arange(GRID) + 0.5) / GRID
        self.register_buffer("centres", torch.stack(torch.meshgrid(line, line, indexing="xy"))[None], persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `heads` of the features."""
        return self.heads(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """0 … 1 [n, 3, S, S] → [n, C, GRID, GRID]"""
        near = self.near(self.stem(pixels * 4 - 2))
        far = self.far(near)
        around = F.interpolate(self.far_to_near(far), scale_factor=2.0)
        return self.mixed(F.relu(near + around + self.all_to_near(far.mean((2, 3)))[:, :, None, None]))

    def heads(self, near: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        [n, C, GRID, GRID] → logits [n, 1, GRID, GRID] of a centre of somebody or something, logits [n, 1, GRID, GRID] of
        that being a person, and boxes [n, 4, GRID, GRID]: centre, width and height.
        """
        boxes = self.boxes(near)
        centre = self.centres + boxes[:, :2] * (2 / GRID)
        return self.somebody(near), self.person(near), torch.cat([centre, boxes[:, 2:].sigmoid()], 1)


class Pupil(nn.Module):
    """The detector while it learns: it is asked for the group of whatever is there too, which tells it more than the kind."""

    def __init__(self, groups: int):
        super().__init__()
        self.detector, self.group = Detector(), nn.Linear(WIDTHS[1], groups)

    def forward(self, pixels: Tensor, cells: Tensor) -> tuple[Tensor, ...]:
        """The detector's outputs, and logits [n, k, groups] in the cells [n, k] (row · GRID + column)."""
        near = self.detector.features(pixels)
        rows = torch.arange(len(cells), device=cells.device)[:, None]
        return *self.detector.heads(near), self.group(near.flatten(2).transpose(1, 2)[rows, cells])


class Published(nn.Module):
    """The network by the contract; `threshold` is the logit that becomes 0, a score of one half."""

    def __init__(self, detector: Detector, threshold: float):
        super().__init__()
        self.detector, self.threshold = copy.deepcopy(detector).cpu().float().eval(), threshold

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        somebody, person, boxes = self.detector(pixel_values)
        logits = label_logits(somebody, person) - self.threshold
        return logits.flatten(2).transpose(1, 2), boxes.flatten(2).transpose(1, 2)


def label_logits(somebody: Tensor, person: Tensor) -> Tensor:
    """
    Logits [n, KINDS, GRID, GRID] of a person and of a thing: somebody's probability times that of being one. Cells where
    a neighbour is more likely somebody's centre are lowered, so that nobody is seen twice.
    """
    both = somebody.sigmoid() * torch.cat([person.sigmoid(), (-person).sigmoid()], 1)
    both = both.clamp(1e-6, 1 - 1e-6)
    logits = both.log() - (1 - both).log()
    return torch.where(somebody < F.max_pool2d(somebody, 3, 1, 1), logits - NO_PEAK, logits)


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


def cells_of(boxes: Tensor) -> Tensor:
    """[n, k, 4] → [n, k, 2]: column and row of the centres."""
    return ((boxes[..., :2] + boxes[..., 2:]) / 2 * GRID).floor().clamp(0, GRID - 1)


def targets(boxes: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """
    boxes [n, k, 4] (left, top, right, bottom) and kinds [n, k] → heat [n, GRID, GRID], 1 in the cells of centres and
    falling off with the box's size; of whoever is nearest the box [n, 4, GRID, GRID] and whether they are a person
    [n, GRID, GRID]; and False where somebody is hidden [n, GRID, GRID].
    """
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    centre, cell = (boxes[..., :2] + boxes[..., 2:]) / 2, cells_of(boxes)
    line = torch.arange(GRID, device=boxes.device, dtype=boxes.dtype)
    spread = (sides * GRID * 0.12).clamp(min=0.45)
    off = lambda axis: ((line - cell[..., axis, None]) / spread[..., axis, None]) ** 2 / 2
    heat = torch.exp(-off(1)[..., :, None] - off(0)[..., None, :])
    heat, nearest = (heat * (kinds >= 0)[..., None, None]).max(1)
    person = torch.gather(kinds == PERSON, 1, nearest.flatten(1)).unflatten(1, (GRID, GRID))
    own = torch.cat([centre, sides], -1).transpose(1, 2)
    box = torch.gather(own, 2, nearest.flatten(1)[:, None].expand(-1, 4, -1)).unflatten(2, (GRID, GRID))
    at = (line + 0.5) / GRID
    inside = lambda axis: (at >= boxes[..., axis, None]) & (at <= boxes[..., axis + 2, None])
    hidden = (inside(1)[..., :, None] & inside(0)[..., None, :] & (kinds == HIDDEN)[..., None, None]).any(1)
    return heat, box, person, ~hidden


def detection_losses(somebody: Tensor, person: Tensor, boxes: Tensor, true_boxes: Tensor, kinds: Tensor) -> dict[str, Tensor]:
    """CenterNet's focal loss on the heat; near centres cross-entropy of the kind, L1 and generalised IoU of the boxes."""
    heat, box, is_person, counts = targets(true_boxes, kinds)
    logits = somebody[:, 0]
    likely = logits.sigmoid()
    hit = (1 - likely) ** 2 * F.logsigmoid(logits) * (heat == 1)
    miss = (1 - heat) ** 4 * likely**2 * F.logsigmoid(-logits)
    focal = -((hit + miss) * counts).sum() / len(logits)
    weight = heat * (heat > 0.3) * counts
    total = weight.sum().clamp(min=1)
    kind = F.binary_cross_entropy_with_logits(person[:, 0], is_person.float(), weight, reduction="sum") / total
    distance = ((boxes - box).abs().sum(1) * weight).sum() / total
    overlap = ((1 - generalized_iou(boxes, box)) * weight).sum() / total
    loss = focal / 2 + 3 * kind + 2 * distance + overlap
    return {"loss": loss, "focal": focal, "kind": kind, "distance": distance, "overlap": overlap}


@dataclass
class Pictures:
    """Rendered pictures in memory."""

    image: Tensor  # uint8 [n, 3, SIZE_PX, SIZE_PX]
    boxes: Tensor  # float32 [n, layers, 4]
    kinds: Tensor  # int64 [n, layers]
    groups: Tensor  # int64 [n, layers]
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
        columns["groups"].append(crowd.groups)
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


def batch(o: Options, pictures: Pictures, step: int) -> tuple[Tensor, ...]:
    """
    Pixels in 0 … 1 [n, 3, S, S], boxes [n, k, 4], kinds and groups [n, k] of a step: a third of the pictures are four in
    one, half are mirrored, all in other light and colours, a part wiped out now and then.
    """
    rng = o.rng(step)
    draw = lambda count: torch.from_numpy(rng.integers(len(pictures.image), size=count))
    fours, ones = draw(o.batch // 3 * 4), draw(o.batch - o.batch // 3)
    pixels, boxes, kinds, groups = (torch.cat(parts) for parts in zip(four_in_one(pictures, fours), one_each(pictures, ones)))
    mirrored = torch.from_numpy(rng.random(o.batch) < 0.5)
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    turned = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], -1)
    boxes = torch.where(mirrored[:, None, None], turned, boxes)
    turns = hue_rotations(torch.from_numpy(rng.normal(0, 0.15, o.batch)).float())
    gain, offset = rng.uniform(0.88, 1.12, (o.batch, 1, 3)), rng.uniform(-0.06, 0.06, (o.batch, 3))
    turns = turns * torch.from_numpy(gain).float()
    pixels = torch.einsum("nij,njhw->nihw", turns, pixels) + torch.from_numpy(offset).float()[:, :, None, None]
    for row in np.flatnonzero(rng.random(o.batch) < 0.25):
        side = int(rng.integers(8, 20))
        y, x = rng.integers(SIZE_PX - side, size=2)
        pixels[row, :, y : y + side, x : x + side] = torch.from_numpy(rng.random((3, 1, 1))).float()
    pixels = pixels.clamp(0, 1).contiguous(memory_format=torch.channels_last)
    return tuple(part.to(o.device) for part in (pixels, boxes, kinds, groups))


def one_each(pictures: Pictures, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The pictures of the rows, with as many empty layers as four in one have."""
    more = 3 * pictures.kinds.shape[1]
    boxes, kinds, groups = (F.pad(column[rows], (0, 0) * (column.ndim - 2) + (0, more), value=empty)
        for column, empty in ((pictures.boxes, 0), (pictures.kinds, NOTHING), (pictures.groups, 0)))  # fmt: skip
    return pictures.image[rows].float() / 255, boxes, kinds, groups


def four_in_one(pictures: Pictures, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """4 n rows → n pictures of four, each at half its size; who gets too small counts as hidden."""
    quarters = F.avg_pool2d(pictures.image[rows].float() / 255, 2).unflatten(0, (-1, 2, 2))
    pixels = quarters.permute(0, 3, 1, 4, 2, 5).reshape(-1, 3, SIZE_PX, SIZE_PX)
    corner = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]]).repeat(len(pixels), 2)
    boxes = pictures.boxes[rows] / 2 + corner.view(-1, 1, 4)
    small = (boxes[..., 2:] - boxes[..., :2]).amax(2) < SMALLEST
    kinds = torch.where(small & (pictures.kinds[rows] != NOTHING), HIDDEN, pictures.kinds[rows])
    own = lambda column: column.unflatten(0, (-1, 4)).flatten(1, 2)
    return pixels, own(boxes), own(kinds), own(pictures.groups[rows])


@torch.no_grad()
def surest(network: Detector, pictures: Pictures, device: torch.device) -> Tensor:
    """[n]: the highest logit of a person who, by the gate's rule, is the picture's subject; a low one where there is none."""
    found = []
    line = (torch.arange(SIZE_PX) + 0.5) / SIZE_PX
    for start in range(0, len(pictures.image), 64):
        rows = slice(start, start + 64)
        somebody, person, boxes = network(pictures.image[rows].to(device).float() / 255)
        logits, boxes = label_logits(somebody, person)[:, PERSON].flatten(1).cpu(), boxes.flatten(2).cpu()
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
    """
    Shares at the threshold, and that threshold as a logit: the lowest that refuses no more things than is asked for. Who
    is refused a thing has no way around; persons are looked for by words too.
    """
    scores = surest(network, pictures, device)
    persons, things = scores[pictures.of_person], scores[~pictures.of_person]
    threshold = float(things.quantile(1 - WRONGLY_REFUSED)) + 1e-3
    measured = {
        "persons_refused": float((persons >= threshold).float().mean()),
        "things_refused": float((things >= threshold).float().mean()),
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


def forward(model: Pupil, pixels: Tensor, cells: Tensor) -> tuple[Tensor, ...]:
    return model(pixels, cells)


def main() -> None:
    more = argparse.ArgumentParser(add_help=False)
    more.add_argument("--pictures", type=int, default=61440, help="rendered to learn from")
    o = options("person_detector", minutes=45, batch_cpu=64, batch_gpu=256, more=more)
    learned = rendered(o, "learned", more.parse_known_args()[0].pictures)
    aside = rendered(o, "aside", SET_ASIDE_PICTURES)
    pupil = Pupil(int(learned.groups.max()) + 1).to(memory_format=torch.channels_last)
    print(f"{sum(p.numel() for p in pupil.detector.parameters()) / 1e6:.2f} M parameters", flush=True)
    predict = o.fast(forward)

    def losses(model: Pupil, step: int):
        pixels, boxes, kinds, groups = batch(o, learned, step)
        column, row = cells_of(boxes).long().unbind(-1)
        *outputs, named = predict(model, pixels, row * GRID + column)
        group = F.cross_entropy(named[kinds >= 0], groups[kinds >= 0])
        detection = detection_losses(*outputs, boxes, kinds)
        return {**detection, "group": group, "loss": detection["loss"] + GROUP_WEIGHT * group}

    def publish(average: Pupil) -> None:
        measured, threshold = measure(average.detector, aside, o.device)
        replace_folder(o.out / "detector", lambda folder: write_onnx(average.detector, threshold, folder))
        write_json(o.out / "measured.json", measured)
        print(measured, flush=True)

    train(o, pupil, losses, publish, learning_rate=2e-3, weight_decay=0.02, ema_decay=0.995)


if __name__ == "__main__":
    main()
