"""The miniature's person detector, by the contract of RT-DETR and D-FINE: a small convolutional CenterNet.

    python -m training.miniature.person_detector --minutes 45 --out .moma/training/person_detector

In: `pixel_values` in 0 … 1 [1, 3, 128, 128]; out: `logits` [1, 256, 2] (person, thing) before the sigmoid and `pred_boxes`
[1, 256, 4], centre x, y, width and height in shares. The queries are the cells of a 16 × 16 grid; whoever is seen has the
highest logit in the cell of their centre, and the graph itself lowers every cell that is no peak of its 3 × 3. It looks at
the mirrored picture too, and takes the mean.

Every picture that it learns from is drawn for its step, on the device that trains, but for a sixteenth of them where
`drawn` has left some: pictures as rough as the miniature's own. One group of things in twelve is not
learned from, nor one drawing of a person in twelve: on pictures of those, as the judged ones are arranged, the score is set
above which somebody is a person, and put into the bias, so that the policy's threshold is that of every detector.

Writes OUT/aside.pt (those pictures), OUT/detector (model.onnx and config.json) and OUT/measured.json (on those pictures).
"""

from __future__ import annotations

import copy
import hashlib
import math
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.miniature.common import Options, options, replace_file, replace_folder, train, write_json
from training.miniature.towers import shrink
from training.miniature.unfold import load_published
from training.world.atlas import Icon
from training.world.crowds import HIDDEN, PERSON, Crowds, stands_for_people
from training.world.judged import OF_PERSONS, OF_THINGS
from training.world.scenes import NO_GROUP, Scene, Scenes
from training.world.world import PLACE_NAMES

SIZE_PX = 128
PHOTO_PX = 256  # of what is judged: photos have more pixels than the detector looks at, and the crop shows them
STRIDE = 8
GRID = SIZE_PX // STRIDE
WIDTHS = (24, 48, 96, 192)
KINDS = 2  # the world's PERSON and THING are the labels
CONFIG = {"image_size": SIZE_PX, "num_labels": KINDS, "person_labels": [PERSON]}

ASIDE_OF_PERSONS, ASIDE_OF_THINGS = 512, 1536
RARE = -4.6  # logit of one cell in a hundred: what a cell says before it has learned anything
GROUP_WEIGHT = 0.5
UNSURE = 0.05  # label smoothing of the kind
UNSURE_GROUP = 0.1
DROPPED = 0.1  # share of the features that heads do without while they learn
THERE = 0.25
LATER = 16
ROUGH = slice(5, None, 16)  # of a batch, what is of those that `drawn` wrote; none that a scene spoils otherwise
STATISTICS = 8  # batches by which a published network's norms are found again
NO_PEAK = 30.0  # by as much other cells than peaks are lowered

# The subject gate's rule (services/safety), by which thresholds are chosen.
COVERAGE, FILLING, CLOSE_FILLING, WHOLE_PICTURE = 0.3, 0.5, 0.15, 0.5
CROP_MARGIN, CROP_LEAST = 0.1, 0.2
WRONGLY_REFUSED = 0.02  # of the things set aside, at most


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
        self.near = nn.Sequential(convolution(b, c, 2), nn.ReLU(), Block(c), Block(c), Block(c))
        self.far = nn.Sequential(convolution(c, d, 2), nn.ReLU(), Block(d), Block(d))
        self.far_to_near, self.all_to_near = nn.Conv2d(d, c, 1), nn.Linear(d, c)
        self.mixed = nn.Sequential(convolution(c, c), nn.ReLU(), nn.Dropout2d(DROPPED))
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
        self.detector, self.group = Detector(), nn.Linear(WIDTHS[2], groups)

    def forward(self, pixels: Tensor, cells: Tensor) -> tuple[Tensor, ...]:
        """The detector's outputs, and logits [n, k, groups] in the cells [n, k] (row · GRID + column)."""
        near = self.detector.features(pixels)
        there = torch.gather(near.flatten(2), 2, cells[:, None].expand(-1, near.shape[1], -1))
        return *self.detector.heads(near), self.group(there.transpose(1, 2))


def seen_both_ways(detector: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a Detector says of pictures, as the mean with what it says of them mirrored."""
    n = len(pixels)
    somebody, person, boxes = detector(torch.cat([pixels, pixels.flip(3)]))
    both = lambda outputs: (outputs[:n] + outputs[n:].flip(3)) / 2
    x, others = boxes[:, :1], boxes[:, 1:]
    return both(somebody), both(person), torch.cat([both(torch.cat([x[:n], 1 - x[n:]])), both(others)], 1)


class Published(nn.Module):
    """The network by the contract; `threshold` is the logit that becomes 0, a score of one half."""

    def __init__(self, detector: Detector, threshold: float):
        super().__init__()
        self.detector, self.threshold = copy.deepcopy(detector).cpu().float().eval(), threshold

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        somebody, person, boxes = seen_both_ways(self.detector, pixel_values)
        logits = label_logits(somebody, person) - self.threshold
        return logits.flatten(2).transpose(1, 2), boxes.flatten(2).transpose(1, 2)


def label_logits(somebody: Tensor, person: Tensor) -> Tensor:
    """
    Logits [n, KINDS, GRID, GRID] of a person and of a thing: the probability of being one times the fourth root of that of
    somebody's being there, since who is covered is hardly there and yet a person. Cells where a neighbour is more likely
    somebody's centre are lowered, so that nobody is seen twice.
    """
    both = somebody.sigmoid() ** THERE * torch.cat([person.sigmoid(), (-person).sigmoid()], 1)
    both = both.clamp(1e-6, 1 - 1e-6)
    logits = both.log() - (1 - both).log()
    return torch.where(somebody < F.max_pool2d(somebody, 3, 1, 1), logits - NO_PEAK, logits)


def corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes [n, 4, …] → the upper left and the lower right corner, [n, 2, …] each."""
    return boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """[n, 4, …] and [n, 4, …] → [n, …] in −1 … 1."""
    (a1, a2), (b1, b2) = corners(a), corners(b)

    def area(low: Tensor, high: Tensor) -> Tensor:
        sides = (high - low).clamp(min=0)
        return sides[:, 0] * sides[:, 1]  # the backward pass of a product over an axis waits for the device

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
    sure = is_person.float() * (1 - UNSURE) + UNSURE / 2
    kind = F.binary_cross_entropy_with_logits(person[:, 0], sure, weight, reduction="sum") / total
    distance = ((boxes - box).abs().sum(1) * weight).sum() / total
    overlap = ((1 - generalized_iou(boxes, box)) * weight).sum() / total
    loss = focal / 2 + 3 * kind + 2 * distance + overlap
    return {"loss": loss, "focal": focal, "kind": kind, "distance": distance, "overlap": overlap}


def losses_of(outputs: tuple[Tensor, ...], scene: Scene) -> dict[str, Tensor]:
    """Of what a Pupil says of a scene; the groups' is cross-entropy where somebody or something is seen."""
    *detected, named = (output.float() for output in outputs)
    labels = torch.where(scene.kinds >= 0, scene.groups, NO_GROUP)
    group = F.cross_entropy(named.flatten(0, 1), labels.flatten(), ignore_index=NO_GROUP, label_smoothing=UNSURE_GROUP)
    detection = detection_losses(*detected, scene.boxes, scene.kinds)
    return {**detection, "group": group, "loss": detection["loss"] + GROUP_WEIGHT * group}


def is_set_aside(icon: Icon) -> bool:
    """
    One group of things in twelve, by a hash of its name, since the threshold is chosen by things; of persons one drawing in
    twelve, for there are few roles, and each that is not learned from is missed.
    """
    name = f"{icon.set} {icon.label}" if icon.kind == "person" else icon.group
    return hashlib.sha256(f"aside:{name}".encode()).digest()[0] % 12 == 0


def is_learned(icon: Icon) -> bool:
    return not is_set_aside(icon) and not stands_for_people(icon)


@dataclass
class Aside:
    """What thresholds are chosen by, as the gate looks at it: the whole picture, and the crop around the subject."""

    pixels: Tensor  # uint8 [n, 2, 3, SIZE_PX, SIZE_PX]
    masks: Tensor  # uint8 [n, 2, SIZE_PX, SIZE_PX / 8]: bits of the subject's area
    of_person: Tensor  # bool [n]: whether that is a person


def set_aside(o: Options) -> Aside:
    """Pictures of the groups set aside, each arrangement as often as the others of its kind; drawn where they are missing."""
    path = o.out / "aside.pt"
    if not path.exists():
        crowds = Crowds(o.icons, "train", PHOTO_PX, variants=8, shows=is_set_aside)
        rng = np.random.default_rng([o.seed, 12])
        arrangements = [OF_PERSONS[i % len(OF_PERSONS)] for i in range(ASIDE_OF_PERSONS)]
        arrangements += [OF_THINGS[i % len(OF_THINGS)] for i in range(ASIDE_OF_THINGS)]
        parts = [looked_at(crowds, rng, arrangements[i : i + 64]) for i in range(0, len(arrangements), 64)]
        made = {field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Aside)}
        replace_file(path, lambda temporary: torch.save(made, temporary))
    return Aside(**torch.load(path, weights_only=True))


def looked_at(crowds: Crowds, rng: np.random.Generator, arrangements: list[str]) -> Aside:
    """Pictures of the arrangements; those in which too little of the subject is seen are left out."""
    crowd = crowds.arrange(rng, arrangements, rng.integers(len(PLACE_NAMES), size=len(arrangements)))
    rows, subject = torch.arange(len(arrangements)), torch.from_numpy(crowd.subject)
    kinds, seen = crowd.kinds[rows, subject], crowd.seen[rows, subject]
    pixels, masks = [], []
    for row in torch.nonzero(kinds != HIDDEN)[:, 0].tolist():
        image, mask = crowd.image[row], seen[row]
        y, x = subject_crop(mask)
        views = [(image, mask), (image[y, x], mask[y, x])]
        pixels.append(torch.cat([shrink(view[None], SIZE_PX) for view, _ in views]))
        areas = torch.cat([F.interpolate(area[None, None].float(), (SIZE_PX, SIZE_PX), mode="bilinear") for _, area in views])
        masks.append(torch.from_numpy(np.packbits((areas[:, 0] > 127).numpy(), axis=-1)))
    return Aside(torch.stack(pixels), torch.stack(masks), kinds[kinds != HIDDEN] == PERSON)


def subject_crop(mask: Tensor) -> tuple[slice, slice]:
    """Rows and columns of the gate's crop around what is set in a mask [H, W]: a square, as far as the picture goes."""
    lines = [torch.nonzero(mask.amax(axis))[:, 0] for axis in (1, 0)]
    ends = [(int(line[0]), int(line[-1]) + 1) for line in lines]
    side = max(CROP_LEAST * min(mask.shape), (1 + 2 * CROP_MARGIN) * max(last - first for first, last in ends))
    rows, columns = (around(first, last, side, length) for (first, last), length in zip(ends, mask.shape))
    return rows, columns


def around(first: int, last: int, side: float, length: int) -> slice:
    """`side` pixels about the middle of first … last, moved into 0 … length."""
    size = min(round(side), length)
    start = min(max(round((first + last - size) / 2), 0), length - size)
    return slice(start, start + size)


@torch.no_grad()
def persons_seen(network: Detector, aside: Aside, device: torch.device) -> tuple[Tensor, Tensor]:
    """
    Highest logits of a person who by the gate's rule is the subject, [n, 2] in the whole picture and in the crop; and of
    one who fills the picture without being its subject [n]. Low ones where there is none.
    """
    subjects, filling = [], []
    line = (torch.arange(SIZE_PX, device=device) + 0.5) / SIZE_PX
    none = torch.tensor(-NO_PEAK, device=device)
    for pixels, masks in zip(aside.pixels.flatten(0, 1).split(128), aside.masks.flatten(0, 1).split(128)):
        somebody, person, boxes = seen_both_ways(network, pixels.to(device).float() / 255)
        logits, boxes = label_logits(somebody, person)[:, PERSON].flatten(1), boxes.flatten(2)
        low, high = (corner.clamp(0, 1) for corner in corners(boxes))
        mask = torch.from_numpy(np.unpackbits(masks.numpy(), axis=-1)).to(device).float()
        inside = lambda axis: ((line >= low[:, axis, :, None]) & (line < high[:, axis, :, None])).float()
        both = (torch.bmm(inside(1), mask) * inside(0)).sum(2)
        area = (high - low).prod(1)
        coverage, share = both / mask.sum((1, 2)).clamp(min=1)[:, None], both / (area * SIZE_PX**2).clamp(min=1)
        subject = (coverage >= COVERAGE) & (share >= FILLING)
        large = ~subject & (area >= WHOLE_PICTURE)
        close = (coverage >= COVERAGE) & (share >= CLOSE_FILLING)
        filling.append(torch.where(large, logits, none).amax(1).cpu())
        subjects.append(torch.where(subject | close, logits, none).amax(1).cpu())
    return torch.cat(subjects).view(-1, 2), torch.cat(filling).view(-1, 2)[:, 0]


def is_refused(subjects: Tensor, filling: Tensor, threshold: float) -> Tensor:
    """bool [n]: the gate's decision on `persons_seen`, when the threshold is taken off the logits."""
    return ((subjects - threshold).sigmoid().mean(1) >= 0.5) | (filling >= threshold)


def measure(network: Detector, aside: Aside, device: torch.device) -> tuple[dict, float]:
    """
    Shares at the threshold, and that threshold as a logit: the lowest that refuses no more things than is asked for. Who
    is refused a thing has no way around; persons are looked for by words too.
    """
    subjects, filling = persons_seen(network, aside, device)
    refused = lambda of_person, threshold: float(
        is_refused(subjects, filling, threshold)[aside.of_person == of_person].float().mean()
    )
    low, high = -NO_PEAK, NO_PEAK
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if refused(False, middle) <= WRONGLY_REFUSED else (middle, high)
    measured = {
        "persons_refused": refused(True, high),
        "things_refused": refused(False, high),
        "threshold": 1 / (1 + math.exp(-high)),
        "persons": int(aside.of_person.sum()),
        "things": int((~aside.of_person).sum()),
    }
    return measured, high


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


def mirrored(scene: Scene) -> Scene:
    left, top, right, bottom = scene.boxes.unbind(-1)
    boxes = torch.stack([1 - right, top, 1 - left, bottom], -1)
    return Scene(scene.pixels.flip(3), boxes, scene.kinds, scene.groups)


class Twice:
    """
    Scenes for processors, where drawing one takes nearly as long as learning from it: each comes twice, mirrored the second
    time, LATER draws after the first. A run that goes on starts with new ones.
    """

    def __init__(self, sample: Callable[[int], Scene]):
        self.sample, self.waiting, self.calls = sample, deque[Scene](), 0

    def __call__(self, n: int) -> Scene:
        self.calls += 1
        if self.calls % 2 == 0 and len(self.waiting) >= LATER:
            return mirrored(self.waiting.popleft())
        self.waiting.append(self.sample(n))
        return self.waiting[-1]


class Rough:
    """Scenes of which every sixteenth is one of those that `drawn` wrote, or one mirrored. Those of other icons: ValueError."""

    def __init__(self, scenes: Scenes, drawn: Path):
        self.sample = scenes.sample_scenes
        kept = torch.load(drawn, weights_only=True, map_location=scenes.device)
        if kept["groups"] != scenes.group_names:
            raise ValueError(f"{drawn} shows other icons than --icons has; remove it, or draw it anew with those")
        own = Scene(**kept["scenes"])
        both = zip(fields_of(own), fields_of(mirrored(own)))
        self.drawn = Scene(*(torch.cat(pair) for pair in both))

    def __call__(self, n: int) -> Scene:
        scene = self.sample(n)
        rows = torch.randint(len(self.drawn.pixels), (len(scene.pixels[ROUGH]),), device=scene.pixels.device)
        for field, drawn in zip(fields_of(scene), fields_of(self.drawn)):
            field[ROUGH] = drawn[rows] if field.dtype == drawn.dtype else drawn[rows] / 255
        return scene


def fields_of(scene: Scene) -> list[Tensor]:
    return [getattr(scene, field.name) for field in fields(Scene)]


def main() -> None:
    o = options("person_detector", minutes=45, batch_cpu=64, batch_gpu=256)
    aside = set_aside(o)
    scenes = Scenes(o.icons, "train", SIZE_PX, o.device, shows=is_learned)
    pupil = Pupil(len(scenes.group_names)).to(memory_format=torch.channels_last)
    published = o.out / "detector/model.onnx"
    if published.exists() and not (o.out / "checkpoint.pt").exists():
        load_published(pupil.detector, published, (scenes.sample_scenes(64).pixels for _ in range(STATISTICS)))
    print(f"{sum(p.numel() for p in pupil.detector.parameters()) / 1e6:.2f} M parameters", flush=True)
    sample = scenes.sample_scenes
    if (drawn := o.beside("drawn") / "scenes.pt").exists():
        sample = Rough(scenes, drawn)
    if o.device.type == "cpu":
        sample = Twice(sample)
    predict = o.fast(forward) if o.device.type == "cpu" else forward

    def losses(model: Pupil):
        scene = sample(o.batch)
        column, row = cells_of(scene.boxes).long().unbind(-1)
        pixels = scene.pixels.contiguous(memory_format=torch.channels_last)
        return losses_of(predict(model, pixels, row * GRID + column), scene)

    def publish(average: Pupil) -> None:
        measured, threshold = measure(average.detector, aside, o.device)
        measured["sets"] = sorted({icon.set for icon in scenes.icons})
        replace_folder(o.out / "detector", lambda folder: write_onnx(average.detector, threshold, folder))
        write_json(o.out / "measured.json", measured)
        print(measured, flush=True)

    train(o, pupil, losses, publish, learning_rate=2e-3, weight_decay=0.03, ema_decay=0.998)


if __name__ == "__main__":
    main()
