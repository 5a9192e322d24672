"""Crowds without end for training: drawn on the device that learns from them, every picture once, and more varied than the
pictures that are judged. Whatever is random comes from torch's generator of that device, all shapes are fixed, and nothing
is copied from or to the host, so that a step that draws its pictures can be captured in a CUDA graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.world import materials
from training.world.atlas import Icon
from training.world.captions import TEXTURES
from training.world.crowds import NOTHING, PERSON, THING, Crowds, Layer, boxes_of, layers_of, solid_shares
from training.world.emptied import emptied
from training.world.world import MARGIN_PX, Split, Views

DEPTH = 4  # layers of a picture at most
PLANS = 32768  # arrangements that are drawn from, each a little moved

# Shares of the arrangements: small and partly covered persons are the hardest.
SHARES: dict[str, float] = {
    "person": 0.13,
    "person, small": 0.12,
    "person, cut by the frame": 0.1,
    "person, partly covered": 0.12,
    "persons": 0.08,
    "person beside a thing": 0.06,
    "thing beside a person": 0.06,
    "thing": 0.17,
    "thing, small": 0.07,
    "thing, cut by the frame": 0.08,
    "thing, partly covered": 0.03,
    "things": 0.08,
}
IN_FRONT = 0.3  # share of the pictures with one more in front of somebody
OF_MATERIAL = 0.16  # share of the things that are in one of the materials
MATERIALS_EACH = 2
EMPTIED = 0.08  # share of the things that are what persons are drawn with, without the person
EMPTIED_DRAWS = 4096
NO_GROUP = -100  # of what has no name
JOINED = 3  # of so many persons the lower part of one is another's, and half as often of things
ERASED = 0.2  # share of those with a hole, or with a card before them
PLAIN = 1 / 8  # share of the pictures without a place
PATCHED = 0.25  # share of the pictures with a piece of another place before everything


@dataclass
class Scene:
    """n pictures; layers from the back to the front."""

    pixels: Tensor  # float32 [n, 3, S, S] in 0 … 1
    boxes: Tensor  # float32 [n, DEPTH, 4]: left, top, right, bottom of what is seen, in shares
    kinds: Tensor  # int64 [n, DEPTH]
    groups: Tensor  # int64 [n, DEPTH]: index into `Crowds.group_names`, whatever the kind


class Scenes(Crowds):
    """Pictures of one split, size_px² RGB; icons of the other split and those that `shows` is false for never occur."""

    def __init__(
        self,
        icons_path: str | Path,
        split: Split,
        size_px: int,
        device: str | torch.device = "cpu",
        shows: Callable[[Icon], bool] = lambda icon: True,
        variants: int = 16,
        seed: int = 1,
    ):
        super().__init__(icons_path, split, size_px, variants=variants, shows=shows)
        self.device = torch.device(device)
        for name in ("pictures", "boxes", "solid", "solid_above", "group_of", "backgrounds", "light", "shadow", "haze", "haze_amount"):
            setattr(self, name, getattr(self, name).to(device))
        rng = np.random.default_rng([seed, 11])
        self.choices = {kind: self.choices_of(kind) for kind in (PERSON, THING)}
        sources = torch.from_numpy(np.repeat(self.of_kind[THING], MATERIALS_EACH)).to(device)
        self.made = torch.arange(len(sources), device=device) + len(self.pictures)
        self.pictures = torch.cat([self.pictures, self.in_materials(rng, sources)])
        for name in ("boxes", "solid", "solid_above", "group_of"):
            own = getattr(self, name)
            setattr(self, name, torch.cat([own, own[sources]]))
        self.empty = self.add_emptied(rng).to(device)
        plans = np.array([plan_of(rng) for _ in range(PLANS)])
        deep = (plans[:, :, 0] != NOTHING).sum(1)
        self.share_of = [float((deep > k).mean()) for k in range(DEPTH)]  # of the plans with a layer k
        self.plans = torch.from_numpy(plans[np.argsort(-deep, kind="stable")]).to(device)
        to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
        self.to_yiq, self.from_yiq = to_yiq.to(device), torch.linalg.inv(to_yiq).to(device)
        k, x = torch.arange(8.0)[:, None], torch.arange(8.0)
        waves = torch.cos((2 * x + 1) * k * torch.pi / 16) * torch.where(k == 0, 0.125, 0.25).sqrt()
        self.waves, self.fineness = waves.to(device), (1 + k + x).to(device)

    def in_materials(self, rng: np.random.Generator, icons: Tensor) -> Tensor:
        """Pictures uint8 [n, 4, side, side] of the icons [n], premultiplied, each in any of the materials."""
        which = torch.from_numpy(rng.integers(len(TEXTURES), size=len(icons))).to(self.device)
        made = torch.empty(len(icons), *self.pictures.shape[1:], dtype=torch.uint8, device=self.device)
        side = made.shape[-1]
        for number, texture in enumerate(TEXTURES):
            for rows in torch.nonzero(which == number)[:, 0].split(32):
                color, alpha = (self.pictures[icons[rows]].float() / 255).split([3, 1], 1)
                place = torch.from_numpy(rng.integers(len(self.backgrounds), size=len(rows))).to(self.device)
                behind = self.backgrounds[place].permute(0, 3, 1, 2).float() / 255
                seeds = torch.from_numpy(rng.random((len(rows), 4))).float().to(self.device)
                behind = F.interpolate(behind, (side, side), mode="bilinear")
                color, alpha = materials.apply(texture, color / alpha.clamp(min=1e-3), alpha, behind, seeds)
                made[rows] = (torch.cat([color * alpha, alpha], 1).clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        return made

    def add_emptied(self, rng: np.random.Generator) -> Tensor:
        """Adds to the pictures what persons are drawn with; their numbers [EMPTIED_DRAWS], each as often as it is to be shown."""
        persons = self.of_kind[PERSON]
        pictures, shares = emptied([self.icons[row] for row in persons], self.pictures[persons])
        if not shares:
            return torch.from_numpy(rng.choice(self.of_kind[THING], EMPTIED_DRAWS))
        boxes = boxes_of((pictures[:, 3] > 25)[:, None])[:, 0] * 2 - 1
        solid, solid_above = solid_shares(pictures, boxes)
        nameless = torch.full((len(pictures),), NO_GROUP, device=self.device)
        added = {"pictures": pictures, "boxes": boxes, "solid": solid, "solid_above": solid_above, "group_of": nameless}
        first = len(self.pictures)
        for name, values in added.items():
            setattr(self, name, torch.cat([getattr(self, name), values]))
        return torch.from_numpy(first + rng.choice(len(shares), EMPTIED_DRAWS, p=shares))

    def choices_of(self, kind: int) -> tuple[Tensor, Tensor, Tensor]:
        """All icons [m] of a kind; those of each group [g, most], and their numbers [g]."""
        groups = self.groups[kind]
        table = torch.zeros(len(groups), max(map(len, groups)), dtype=torch.long)
        for row, icons in zip(table, groups):
            row[: len(icons)] = torch.tensor(icons)
        counts = torch.tensor([float(len(icons)) for icons in groups])
        return tuple(part.to(self.device) for part in (torch.from_numpy(self.of_kind[kind]), table, counts))

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device) * (high - low) + low

    def normal(self, spread: float, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device) * spread

    def chance(self, share: float, *shape: int) -> Tensor:
        return torch.rand(shape, device=self.device) < share

    def one_of(self, count: int | Tensor, *shape: int) -> Tensor:
        """Whole numbers from 0 to below `count`, which may be a tensor of that shape."""
        return (torch.rand(shape, device=self.device) * count).long().clamp(min=0)

    def chosen(self, n: int, kind: int) -> Tensor:
        """Icons [n], as `Crowds.choose` draws them; some of the things in materials, some without the person."""
        rows, groups, counts = self.choices[kind]
        group = self.one_of(len(groups), n)
        evenly = groups[group, torch.minimum(self.one_of(counts[group], n), counts[group].long() - 1)]
        which = torch.where(self.chance(0.5, n), evenly, rows[self.one_of(len(rows), n)])
        if kind == PERSON:
            return which
        which = torch.where(self.chance(OF_MATERIAL, n), self.made[self.one_of(len(self.made), n)], which)
        return torch.where(self.chance(EMPTIED, n), self.empty[self.one_of(EMPTIED_DRAWS, n)], which)

    @torch.no_grad()
    def sample_scenes(self, n: int) -> Scene:
        """n pictures of the device's next random numbers; in float32 also where products are in bf16 around it."""
        with torch.autocast(self.device.type, enabled=False):
            return self.draw(n)

    def draw(self, n: int) -> Scene:
        # The deepest plans first, each row from its own stretch of them, so that further layers are drawn of few rows.
        at = (torch.arange(n, device=self.device) + torch.rand(n, device=self.device)) * (PLANS / n)
        kind, extent, x, y = self.plans[at.long().clamp(max=PLANS - 1)].unbind(2)
        kinds = kind.long()
        extent = extent * torch.exp(self.normal(0.08, n, DEPTH))
        x = (x + self.normal(0.04, n, DEPTH)) * self.side(n)[:, None]
        y = y + self.normal(0.04, n, DEPTH)
        which = torch.where(
            kinds == PERSON,
            self.chosen(n * DEPTH, PERSON).view(n, DEPTH),
            self.chosen(n * DEPTH, THING).view(n, DEPTH),
        )
        place = self.one_of(len(self.light), n)
        picture = self.behind_all(place)
        elsewhere = picture.roll(1, 0)
        seen = torch.zeros(n, DEPTH, self.size_px, self.size_px, device=self.device)
        for k, share in enumerate(self.share_of):
            some = slice(math.ceil(share * n))
            there = (kinds[some, k] != NOTHING).float()[:, None, None, None]
            view = self.view(place[some], extent[some, k], torch.stack([x[some, k], y[some, k]], 1))
            color, alpha, shadow = self.drawn(which[some, k], kinds[some, k] == PERSON, view)
            alpha = alpha * there
            picture[some] = torch.lerp(picture[some] * (1 - shadow * there), color, alpha)
            seen[some] *= 1 - alpha
            seen[some, k] = alpha[:, 0]
        patch = self.rectangles(n, self.size_px, 0.08, 0.4) * self.chance(PATCHED, n).float()[:, None, None, None]
        flat = self.uniform(0, 1, n, 3, 1, 1)
        picture = torch.lerp(picture, torch.where(self.chance(0.4, n, 1, 1, 1), flat, elsewhere), patch)
        shown = seen * (1 - patch) > 0.5
        kinds_seen = self.seen_kinds(shown.float(), kinds, which, extent, y)
        return Scene(self.taken(picture).clamp(0, 1), boxes_of(shown), kinds_seen, self.group_of[which])

    def behind_all(self, place: Tensor) -> Tensor:
        """The places [n, 3, S, S]; PLAIN of them are paper, white for the most part, as cut-outs come."""
        n = len(place)
        picture = self.some_places(place) * self.uniform(0.9, 1.1, n, 1, 1, 1)
        paper = torch.where(self.chance(0.6, n, 1), 1.0, self.uniform(0, 1, n, 3))
        return torch.where(self.chance(PLAIN, n, 1, 1, 1), paper[:, :, None, None], picture)

    def side(self, n: int) -> Tensor:
        """−1 or 1"""
        return torch.where(self.chance(0.5, n), 1.0, -1.0)

    def view(self, place: Tensor, extent: Tensor, at: Tensor) -> Views:
        """More turned, stretched and sheared than `World.views`; one in fifty in any direction."""
        n = len(place)
        turn = torch.where(self.chance(0.3, n), self.uniform(-0.6, 0.6, n), self.normal(0.12, n))
        turn = torch.where(self.chance(0.02, n), self.uniform(-torch.pi, torch.pi, n), turn)
        return Views(
            place, place, at, place, self.uniform(0.9, 1.1, n, 2), at, extent, turn, self.normal(0.1, n),
            self.side(n) * torch.exp(self.normal(0.1, n)), at,
        )  # fmt: skip

    def some_places(self, place: Tensor) -> Tensor:
        """float32 [n, 3, S, S] in 0 … 1: a piece of any rendering of the places, half of them mirrored."""
        n, size = len(place), self.size_px
        start = self.one_of(MARGIN_PX + 1, n, 2)
        line = torch.arange(size, device=self.device).expand(n, size)
        rows, columns = start[:, :1] + line, start[:, 1:] + torch.where(self.chance(0.5, n, 1), size - 1 - line, line)
        which = place * self.variants + self.one_of(self.variants, n)
        pieces = self.backgrounds[which[:, None, None], rows[:, :, None], columns[:, None, :]]
        return pieces.permute(0, 3, 1, 2).float() / 255

    def drawn(self, which: Tensor, persons: Tensor, view: Views) -> tuple[Tensor, Tensor, Tensor]:
        """Colours [n, 3, S, S], alpha [n, 1, S, S] and the shadow's darkness [n, 1, S, S] of a layer."""
        n, place = len(which), view.place
        left, top, right, bottom = self.boxes[which].unbind(1)
        half = torch.stack([(right - left) / 2, (bottom - top) / 2], 1)
        centre = torch.stack([(left + right) / 2, (top + bottom) / 2], 1)
        zoom = view.extent / half.amax(1)
        cos, sin = torch.cos(view.turn), torch.sin(view.turn)
        back = torch.stack([cos - view.shear * sin, sin + view.shear * cos, -sin, cos], 1).view(-1, 2, 2)
        back = back * torch.stack([view.mirrored, torch.ones_like(zoom)], 1)[:, :, None] / zoom[:, None, None]
        shift = centre - torch.einsum("nij,nj->ni", back, view.at)
        flow = F.affine_grid(torch.cat([back, shift[:, :, None]], 2), [n, 4, self.size_px, self.size_px], align_corners=False)
        sprites = self.sprites(which, persons, top, bottom)
        sampled = F.grid_sample(sprites, self.bent(flow), align_corners=False)
        color, alpha = sampled[:, :3] / sampled[:, 3:].clamp(min=1e-3), sampled[:, 3:]

        any_hue = self.uniform(0, 1, n) < torch.where(persons, 0.18, 0.35)
        hue = torch.where(any_hue, self.uniform(-torch.pi, torch.pi, n), self.normal(0.15, n))
        color = self.tinted(color.clamp(0, 1), hue, torch.exp(self.normal(0.2, n)))
        color = color * (self.light[place] * view.gain[:, 1:] * torch.exp(self.normal(0.08, n, 3)))[:, :, None, None]
        haze = self.haze_amount[place][:, None, None, None]
        color = color + (self.haze[place][:, :, None, None] - color) * haze
        reach = zoom * torch.sqrt((half[:, 1] * cos) ** 2 + (half[:, 0] * sin) ** 2)
        foot = torch.stack([view.at[:, 0], view.at[:, 1] + reach], 1)
        shadow = self.contact_shadow(foot, half[:, 0] * zoom) * self.shadow[place][:, None, None, None]
        return color, alpha, shadow

    def bent(self, flow: Tensor) -> Tensor:
        """Places [n, S, S, 2] in the icons, 1 half an icon: narrower towards an end, and bent like a wave along both axes."""
        n = len(flow)
        narrower = torch.cat([1 + self.normal(0.1, n, 1, 1, 1) * flow[..., 1:], torch.ones_like(flow[..., 1:])], 3)
        waves = torch.sin(flow.flip(3) * self.uniform(1.5, 3.5, n, 1, 1, 2) + self.uniform(0, 2 * torch.pi, n, 1, 1, 2))
        return flow * narrower + waves * self.normal(0.05, n, 1, 1, 2)

    def sprites(self, which: Tensor, persons: Tensor, top: Tensor, bottom: Tensor) -> Tensor:
        """
        float32 [n, 4, side, side], premultiplied. Of some the lower part is another's: who has a person's head and
        shoulders is one, whatever follows, and who has none is not: neither a seam says anything of either kind, nor what
        persons sit or lie in, and are never learned without. Of some a piece is missing.
        """
        n, some = len(which), slice(None, None, JOINED)
        sprites = self.pictures[which].float() / 255
        side = sprites.shape[-1]
        m = len(sprites[some])
        of_person = self.uniform(0, 1, m) < torch.where(persons[some], 0.5, 0.3)
        other = torch.where(of_person, self.chosen(m, PERSON), self.chosen(m, THING))
        seam = (top + (bottom - top) * self.uniform(0.5, 0.75, n))[some]
        line = (torch.arange(side, device=self.device) + 0.5) / side * 2 - 1
        below = (line > seam[:, None]) & (persons[some] | self.chance(0.5, m))[:, None]
        sprites[some] = torch.where(below[:, None, :, None], self.pictures[other].float() / 255, sprites[some])
        hole = self.rectangles(n, side, 0.15, 0.45) * self.chance(ERASED, n).float()[:, None, None, None]
        card = torch.cat([self.uniform(0, 1, n, 3), torch.ones(n, 1, device=self.device)], 1)
        card = card * self.chance(0.5, n, 1).float()
        return torch.lerp(sprites, card[:, :, None, None], hole)

    def rectangles(self, n: int, size: int, smallest: float, largest: float) -> Tensor:
        """[n, 1, size, size], 1 inside and 0 outside of a rectangle; sides in shares."""
        line = (torch.arange(size, device=self.device) + 0.5) / size
        inside = (line - self.uniform(0, 1, n, 2, 1)).abs() * 2 < self.uniform(smallest, largest, n, 2, 1)
        return (inside[:, 0, :, None] & inside[:, 1, None, :]).float()[:, None]

    def tinted(self, color: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
        """Chroma turned by `hue` and multiplied by `saturation`, [n] each; luminance stays."""
        cos, sin, zero = torch.cos(hue) * saturation, torch.sin(hue) * saturation, torch.zeros_like(hue)
        turn = torch.stack([zero + 1, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3)
        return torch.einsum("nij,njhw->nihw", self.from_yiq @ turn @ self.to_yiq, color)

    def taken(self, picture: Tensor) -> Tensor:
        """As photos are taken and kept: exposure, contrast, tint or grey, out of focus or few pixels, grain, JPEG."""
        n = len(picture)
        grey = torch.where(self.chance(0.06, n), 0.0, torch.exp(self.normal(0.15, n)))
        picture = self.tinted(picture, self.normal(0.1, n), grey)
        contrast, level = torch.exp(self.normal(0.12, n, 1, 1, 1)), self.uniform(0.3, 0.7, n, 1, 1, 1)
        picture = (picture - level) * contrast + level
        gain = self.uniform(0.8, 1.15, n, 1) * self.uniform(0.92, 1.08, n, 3)
        picture = picture * gain[:, :, None, None] + self.uniform(-0.08, 0.08, n, 1, 1, 1)
        # Rows at fixed distances, so that the others cost nothing: a row's place says little of what it shows, and distances
        # of 8, 7 and JOINED meet in all combinations.
        for first, period, spoilt in (
            (0, 8, lambda part: materials.soften(part, 1)),
            (1, 8, lambda part: self.enlarged(F.avg_pool2d(part, 2))),
            (2, 8, lambda part: self.enlarged(part[..., 1::3, 1::3])),
            (3, 16, lambda part: materials.soften(materials.soften(part, 1), 1)),
            (11, 16, lambda part: self.enlarged(F.avg_pool2d(part, 4))),
        ):
            picture[first::period] = spoilt(picture[first::period])
        grain = self.uniform(0, 0.08, n, 1, 1, 1) * self.chance(0.35, n, 1, 1, 1).float()
        picture = picture + torch.randn_like(picture) * grain
        picture[::7] = self.compressed(picture[::7])
        return picture

    def enlarged(self, picture: Tensor) -> Tensor:
        return F.interpolate(picture, (self.size_px, self.size_px), mode="bilinear")

    def compressed(self, picture: Tensor) -> Tensor:
        """What is left of the waves in blocks of 8 × 8 pixels when they are rounded, fine ones more coarsely."""
        n = len(picture)
        blocks = picture.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))
        waves = torch.einsum("ku,ncauby,vy->ncakbv", self.waves, blocks, self.waves)
        step = self.uniform(0.01, 0.06, n, 1, 1, 1, 1, 1) * self.fineness[:, None, :]
        kept = (waves / step).round() * step
        return torch.einsum("ku,ncakbv,vy->ncauby", self.waves, kept, self.waves).reshape(picture.shape)


def plan_of(rng: np.random.Generator) -> np.ndarray:
    """Kind, extent, x and y [DEPTH, 4] of a picture's layers, from the back to the front."""
    names, shares = list(SHARES), np.array(list(SHARES.values()))
    layers, lead = layers_of(rng, names[rng.choice(len(names), p=shares / shares.sum())])
    if len(layers) < DEPTH and rng.random() < IN_FRONT:
        behind = layers[lead]
        angle, away = rng.uniform(0, 2 * np.pi), behind.extent * rng.uniform(0.4, 1.1)
        kind = THING if rng.random() < 0.7 else PERSON
        at = behind.x + away * np.cos(angle), behind.y + away * np.sin(angle)
        layers.append(Layer(kind, behind.extent * rng.uniform(0.3, 0.8), *at))
    layers += [Layer(NOTHING, 0.5, 0, 0)] * (DEPTH - len(layers))
    return np.array([(layer.kind, layer.extent, layer.x, layer.y) for layer in layers], np.float32)
