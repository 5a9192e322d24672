"""Persons and things in one picture, beside and in front of one another, small, and cut by the frame: what the safety
service's person detector learns from and is measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.world import materials
from training.world.atlas import Icon, read_atlas
from training.world.captions import TEXTURES
from training.world.world import PLACE_NAMES, Split, Views, World, hue_rotations

PERSON, THING = 0, 1
NOTHING = -1  # an empty layer
HIDDEN = -2  # somebody or something of which too little is seen to say what it is

LAYERS = 3  # as many are in a picture at most
SEEN = 0.25  # share of somebody that must be seen, and …
SEEN_PX = 40  # … so many pixels of 128²
UPPER_SEEN = 0.5  # and of a person's upper half, where the head is: a boat whose rower is out of the picture is nobody

# Figures whose label is a thing's by the safety policy. Nothing else that the world calls doubtful is shown.
FIGURES = frozenset(
    "japanese-dolls nesting-dolls moai statue-of-liberty snowman snowman-without-snow jack-o-lantern performing-arts".split()
)
# Signs that stand for people, beside the families, which are signs too.
SIGNS = frozenset(["bust in silhouette", "busts in silhouette", "speaking head"])
# Things with somebody in them.
PEOPLED = frozenset(["parachute"])

# Arrangements of a picture, and the share of the training pictures that each has.
ARRANGEMENTS: dict[str, float] = {
    "person": 0.14,
    "person, small": 0.1,
    "person, cut by the frame": 0.09,
    "person, partly covered": 0.1,
    "persons": 0.09,
    "person beside a thing": 0.06,
    "thing beside a person": 0.06,
    "thing": 0.14,
    "thing, small": 0.04,
    "thing, cut by the frame": 0.04,
    "thing in a material": 0.06,
    "things": 0.08,
}


def stands_for_people(icon: Icon) -> bool:
    """A sign: neither label would be right, and what is learned of dark shapes on a tile says nothing of anybody."""
    return icon.kind == "person" and (icon.group.startswith("family") or icon.group in SIGNS)


@dataclass(frozen=True)
class Layer:
    """Somebody or something: half the longer side, and the centre; 1 is half the picture, y downwards."""

    kind: int
    extent: float
    x: float
    y: float


@dataclass
class Crowd:
    """n pictures; layers from the back to the front."""

    image: Tensor  # uint8 [n, S, S, 3]
    seen: Tensor  # uint8 [n, LAYERS, S, S], 0 or 255: what is seen of each
    boxes: Tensor  # float32 [n, LAYERS, 4]: left, top, right, bottom of what is seen, in shares
    kinds: Tensor  # int64 [n, LAYERS]
    groups: Tensor  # int64 [n, LAYERS]: index into `Crowds.group_names`, whatever the kind
    subject: np.ndarray  # [n]: the layer that the picture is of
    icons: list[list[Icon]]  # [n][LAYERS]
    places: list[str]


class Crowds(World):
    """Pictures of one split, size_px² RGB; icons of the other split never occur."""

    def __init__(
        self,
        icons_path: str | Path,
        split: Split,
        size_px: int = 128,
        variants: int = 32,
        shows: Callable[[Icon], bool] = lambda icon: True,
    ):
        """Icons that `shows` is false for never occur either."""
        super().__init__(icons_path, split, size_px, variants=variants)
        people = read_atlas(icons_path, "person", split)
        figures = read_atlas(icons_path, "doubtful", split)
        made = np.array([icon.name in FIGURES for icon in figures.icons], bool)
        planes = lambda atlas: torch.from_numpy(atlas.pictures).permute(0, 3, 1, 2)
        things = [*self.icons, *(icon for icon, is_made in zip(figures.icons, made) if is_made)]
        self.pictures = torch.cat([planes(people), self.pictures, planes(figures)[made]]).contiguous()
        self.boxes = torch.cat([torch.from_numpy(people.boxes()), self.boxes, torch.from_numpy(figures.boxes())[made]])
        self.icons = [*people.icons, *things]
        shown = np.array([shows(icon) and icon.name not in PEOPLED for icon in self.icons])
        persons = np.arange(len(self.icons)) < len(people.icons)
        self.of_kind = {PERSON: np.flatnonzero(shown & persons), THING: np.flatnonzero(shown & ~persons)}
        self.groups = {kind: self.grouped(rows) for kind, rows in self.of_kind.items()}
        named = [(icon.kind, icon.group) for icon in self.icons]
        self.group_names = sorted(set(named))
        places = {name: i for i, name in enumerate(self.group_names)}
        self.group_of = torch.tensor([places[name] for name in named])
        self.solid, self.solid_above = solid_shares(self.pictures, self.boxes)
        # Positions are those of centres here, wherever the place would put a thing.
        self.shadow = torch.where(torch.from_numpy(self.floating), 0, self.shadow)
        self.floating = np.ones(len(PLACE_NAMES), bool)

    def grouped(self, rows: np.ndarray) -> list[list[int]]:
        groups: dict[str, list[int]] = {}
        for row in rows:
            groups.setdefault(self.icons[row].group, []).append(int(row))
        return list(groups.values())

    def choose(self, rng: np.random.Generator, kind: int) -> int:
        """An icon: half of the time any, half of the time one of any group, so that large groups don't drown small ones."""
        groups = self.groups[kind]
        rows = self.of_kind[kind] if rng.random() < 0.5 else groups[rng.integers(len(groups))]
        return int(rng.choice(rows))

    def sample_crowd(self, rng: np.random.Generator, n: int) -> Crowd:
        """n pictures in the shares of ARRANGEMENTS."""
        names, shares = list(ARRANGEMENTS), np.array(list(ARRANGEMENTS.values()))
        chosen = rng.choice(len(names), size=n, p=shares / shares.sum())
        return self.arrange(rng, [names[i] for i in chosen], rng.integers(len(PLACE_NAMES), size=n))

    @torch.no_grad()
    def arrange(
        self, rng: np.random.Generator, arrangements: Sequence[str], place: np.ndarray, leads: Sequence[int | None] | None = None
    ) -> Crowd:
        """Pictures of the arrangements in the places; `leads` are the subjects' icons where they are not to be drawn."""
        n = len(arrangements)
        planned = [layers_of(rng, name) for name in arrangements]
        subject = np.array([lead for _, lead in planned])
        layers = [[*layers, *[Layer(NOTHING, 0.5, 0, 0)] * (LAYERS - len(layers))] for layers, _ in planned]
        kinds = np.array([[layer.kind for layer in row] for row in layers])
        which = np.array([[self.choose(rng, max(kind, PERSON)) for kind in row] for row in kinds])
        for row, lead in enumerate(leads or []):
            if lead is not None:
                which[row, subject[row]] = lead
        textures = [TEXTURES[rng.integers(len(TEXTURES))] if name == "thing in a material" else None for name in arrangements]

        picture = self.behind(rng, self.views(rng, place))
        areas = torch.zeros(n, LAYERS, self.size_px, self.size_px)
        for k in range(LAYERS):
            rows = np.flatnonzero(kinds[:, k] != NOTHING)
            if len(rows) == 0:
                continue
            own = [layers[row][k] for row in rows]
            view = self.views(rng, place[rows])
            view.extent = np.array([layer.extent for layer in own])
            view.at = np.array([[layer.x, layer.y] for layer in own])
            view.mirrored = rng.choice([-1.0, 1.0], len(rows))
            made_of = [textures[row] if k == 0 else None for row in rows]
            color, alpha, shadow = self.layer(which[rows, k], hues(rng, kinds[rows, k]), view, made_of, picture[rows])
            picture[rows] = torch.lerp(picture[rows] * (1 - shadow), color, alpha)
            areas[rows] *= 1 - alpha
            areas[rows, k] = alpha[:, 0]
        picture = photographed(rng, picture)
        image = (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        sizes = torch.tensor([[[layer.extent, layer.y] for layer in row] for row in layers])
        kinds_seen = self.seen_kinds(areas, torch.from_numpy(kinds), torch.from_numpy(which), *sizes.unbind(-1))
        return Crowd(
            image, (areas > 0.5).to(torch.uint8) * 255, boxes_of(areas > 0.5), kinds_seen, self.group_of[which], subject,
            [[self.icons[i] for i in row] for row in which], [PLACE_NAMES[p] for p in place],
        )  # fmt: skip

    def behind(self, rng: np.random.Generator, view: Views) -> Tensor:
        """The places; one in eight is plain paper, white for the most part, as cut-outs come."""
        places = self.crop_backgrounds(view) * torch.from_numpy(view.gain[:, 0]).float()[:, None, None, None]
        n = len(places)
        paper = np.where(rng.random((n, 1)) < 0.6, 1.0, rng.random((n, 3)))
        plain = torch.from_numpy(rng.random(n) < 1 / 8)[:, None, None, None]
        return torch.where(plain, torch.from_numpy(paper).float()[:, :, None, None], places)

    def layer(self, which: np.ndarray, angles: np.ndarray, view: Views, textures: Sequence[str | None], behind: Tensor):
        """Colours [n, 3, S, S], alpha [n, 1, S, S] and the shadow's darkness [n, 1, S, S]."""
        to = lambda array: torch.as_tensor(array, dtype=torch.float32)
        place = torch.from_numpy(view.place)
        color, alpha, foot, half_width, _ = self.place_things(torch.from_numpy(which), to, view)
        shadow = self.contact_shadow(foot, half_width) * self.shadow[place][:, None, None, None]
        color = torch.einsum("nij,njhw->nihw", hue_rotations(to(angles)), color / alpha.clamp(min=1e-3)).clamp(0, 1)
        for row, texture in enumerate(textures):
            if texture:
                one = slice(row, row + 1)
                color[one], alpha[one] = materials.apply(texture, color[one], alpha[one], behind[one], to(view.seeds)[one])
        color = color * (self.light[place] * to(view.gain[:, 1])[:, None])[:, :, None, None]
        color = color + (self.haze[place][:, :, None, None] - color) * self.haze_amount[place][:, None, None, None]
        return color, alpha, shadow

    def seen_kinds(self, areas: Tensor, kinds: Tensor, which: Tensor, extents: Tensor, middles: Tensor) -> Tensor:
        """HIDDEN in the place of those of whom too little is seen; all [n, LAYERS], and areas [n, LAYERS, S, S]."""
        half = (self.boxes[which][..., 2:] - self.boxes[which][..., :2]).amax(2) / 2
        scale = (extents / half) ** 2
        seen = areas > 0.5
        line = (torch.arange(self.size_px, device=areas.device) + 0.5) / self.size_px * 2 - 1
        above = seen & (line < middles[..., None])[..., None]
        share = lambda mask: mask.float().mean((2, 3))
        headless = (kinds == PERSON) & (share(above) < UPPER_SEEN * self.solid_above[which] * scale)
        little = (share(seen) < SEEN * self.solid[which] * scale) | (share(seen) < SEEN_PX / 128**2) | headless
        return torch.where(little & (kinds != NOTHING), HIDDEN, kinds)


def solid_shares(pictures: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Shares [n] of the frame that is drawn of pictures uint8 [n, 4, S, S], in all and above the middle of its box [n, 4]."""
    drawn = pictures[:, 3] > 127
    middle = (boxes[:, 1] + boxes[:, 3]) / 4 + 0.5
    upper = torch.arange(drawn.shape[1], device=drawn.device) + 0.5 < middle[:, None] * drawn.shape[1]
    return drawn.float().mean((1, 2)), (drawn & upper[:, :, None]).float().mean((1, 2))


def layers_of(rng: np.random.Generator, arrangement: str) -> tuple[list[Layer], int]:
    """A picture's layers, from the back to the front, and which of them is its subject."""
    near = lambda spread: rng.uniform(-spread, spread)
    kind = PERSON if arrangement.startswith("person") else THING
    other = THING if kind == PERSON else PERSON
    if arrangement.endswith("small"):
        extent = rng.uniform(0.17, 0.42)
        return [Layer(kind, extent, near(1 - extent), near(1 - extent))], 0
    if arrangement.endswith("cut by the frame"):
        extent, part = rng.uniform(0.55, 1.3), rng.uniform(0.45, 0.85)
        x, y = near(0.25), near(0.25)
        beyond = 1 - extent * (2 * part - 1)
        side = rng.integers(4)
        x, y = [(beyond, y), (-beyond, y), (x, beyond), (x, -beyond)][side]
        return [Layer(kind, extent, x, y)], 0
    if arrangement.endswith("partly covered"):
        extent, angle = rng.uniform(0.45, 0.9), rng.uniform(0, 2 * np.pi)
        x, y = near(0.2), near(0.15)
        away = extent * rng.uniform(0.45, 0.85)
        front = Layer(THING, extent * rng.uniform(0.35, 0.65), x + away * np.cos(angle), y + away * np.sin(angle))
        return [Layer(kind, extent, x, y), front], 0
    if "beside" in arrangement:
        side = rng.choice([-1, 1])
        subject = Layer(kind, rng.uniform(0.35, 0.55), side * rng.uniform(0.3, 0.45), near(0.25))
        beside = Layer(other, rng.uniform(0.2, 0.4), -side * rng.uniform(0.45, 0.65), near(0.4))
        return [subject, beside], 0
    if arrangement.endswith("s"):
        count = int(rng.integers(2, LAYERS + 1))
        spread = np.linspace(-1, 1, count) * rng.uniform(0.4, 0.65)
        layers = [Layer(kind, rng.uniform(0.28, 0.55), x + near(0.1), near(0.3)) for x in rng.permutation(spread)]
        return layers, count - 1
    extent = rng.uniform(0.42, 1.0)
    room = 0.1 + max(0, 1 - extent) * 0.4
    return [Layer(kind, extent, near(room), near(room))], 0


def hues(rng: np.random.Generator, kinds: np.ndarray) -> np.ndarray:
    """Things in any colour, a third of the time; persons a little off theirs, and now and then in any."""
    n = len(kinds)
    anywhere = rng.uniform(0, 2 * np.pi, n)
    turned = rng.random(n) < np.where(kinds == PERSON, 0.1, 0.33)
    return np.where(turned, anywhere, np.where(kinds == PERSON, rng.normal(0, 0.12, n), 0))


def photographed(rng: np.random.Generator, pictures: Tensor) -> Tensor:
    """Other exposures and tints; one in five out of focus, one in five with grain."""
    n = len(pictures)
    column = lambda array: torch.from_numpy(array).float()[:, None, None, None]
    gain = torch.from_numpy(rng.uniform(0.85, 1.12, (n, 1)) * rng.uniform(0.95, 1.05, (n, 3))).float()[:, :, None, None]
    pictures = pictures * gain + column(rng.uniform(-0.05, 0.05, n))
    soft, grained = rng.random(n) < 0.2, rng.random(n) < 0.2
    if soft.any():
        pictures[soft] = materials.soften(pictures[soft], 1)
    if grained.any():
        grain = rng.normal(0, 0.04, pictures[grained].shape)
        pictures[grained] = pictures[grained] + torch.from_numpy(grain).float()
    return pictures


def boxes_of(areas: Tensor) -> Tensor:
    """bool [n, k, S, S] → float32 [n, k, 4] in shares; zeros where there is nothing."""
    size = areas.shape[-1]
    columns, rows = areas.any(2), areas.any(3)
    first = lambda line: line.float().argmax(2)
    last = lambda line: size - line.flip(2).float().argmax(2)
    boxes = torch.stack([first(columns), first(rows), last(columns), last(rows)], 2).float() / size
    return boxes * columns.any(2, keepdim=True)
