"""The miniature's world: things (icons) in places and materials, composited from seeds alone.

Every picture is made of a thing, a place or a material, and a caption that says both in the paper's words. The
reference shows the same thing (same icon, same tint) elsewhere, turned and scaled a little differently. The tints
are wider than nature's on purpose: a blue banana's colour can be had from the reference only, never from its noun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.world import materials
from training.world.atlas import read_atlas
from training.world.captions import PLACES, STUDIO, TEXTURES, bare_caption, context_caption, texture_caption
from training.world.places import ALL, paint

Split = Literal["train", "held_out"]
Kind = Literal["thing", "person"]

PLACE_NAMES = [*PLACES, STUDIO]
MARGIN_PX = 16  # places are painted that much larger and cropped anywhere
TINTED = 0.35  # share of the pairs whose thing has its hues turned


@dataclass
class Batch:
    """n samples. Arrays are uint8: numpy from `World.sample`, torch on the world's device from `World.sample_tensors`."""

    image: np.ndarray | Tensor  # [n, size, size, 3] target picture, RGB
    mask: np.ndarray | Tensor  # [n, size, size] 0 or 255, the thing's true area in `image`
    reference: np.ndarray | Tensor  # [n, size, size, 3] another picture of the same thing, with its own background
    reference_mask: np.ndarray | Tensor  # [n, size, size] 0 or 255, the thing's area in `reference`
    caption: list[str]  # the prompt as a user writes it: "a dog in the snow", "A sculpture of a dog made of Gold"
    reference_caption: list[str]  # the same of `reference`
    label: list[str]  # "dog"; the prompt's subject noun, always found in the caption
    place: list[str]  # key of PLACES: "snow", or "studio" for textures and bare captions
    reference_place: list[str]
    texture: list[str | None]  # one of TEXTURES, or None; references never have one
    thing: list[int]  # index of the thing's icon in the atlas; equal indices are the same icon
    frame: np.ndarray | Tensor  # float32 [n, 2, 3]: from `image`'s coordinates, −1 … 1, to the icon's
    reference_frame: np.ndarray | Tensor  # the same of `reference`: both together say which place is which


@dataclass
class Views:
    """How n pictures show their things: one row a picture."""

    place: np.ndarray  # index into PLACE_NAMES
    variant: np.ndarray
    crop: np.ndarray  # [n, 2] in 0 … 1
    mirrored_place: np.ndarray
    gain: np.ndarray  # [n, 2]: the place's, the thing's
    at: np.ndarray  # [n, 2]: x of the centre; y of the foot, or of the centre where the place floats
    extent: np.ndarray  # longer half side of the thing, 1 is half the picture
    turn: np.ndarray  # radians
    shear: np.ndarray
    mirrored: np.ndarray  # −1 or 1
    seeds: np.ndarray  # [n, 4]: for the materials


class World:
    """Samples of one split; things of the other split never occur. Pictures are size_px² RGB."""

    def __init__(
        self,
        icons_path: str | Path,
        split: Split,
        size_px: int = 128,
        device: str | torch.device = "cpu",
        variants: int = 32,
        kind: Kind = "thing",
        first_variant: int = 0,
    ):
        """`variants`: renderings of every place kept in memory, from number `first_variant` on. `kind` "person": examples for the safety service."""
        if size_px % materials.CELL_PX:
            raise ValueError(f"size_px is {size_px}; a multiple of {materials.CELL_PX} is allowed")
        self.size_px, self.device = size_px, torch.device(device)
        atlas = read_atlas(icons_path, kind, split)
        self.icons, self.indices = atlas.icons, atlas.indices
        self.labels = [icon.label for icon in atlas.icons]
        self.pictures = torch.from_numpy(atlas.pictures).permute(0, 3, 1, 2).contiguous().to(self.device)
        self.boxes = torch.from_numpy(atlas.boxes()).to(self.device)
        self.variants = variants
        # The splits share no backgrounds either.
        salt = {"train": 1, "held_out": 2}[split]
        painted = [
            paint(name, np.random.default_rng([salt, p, v]), size_px + MARGIN_PX)
            for p, name in enumerate(PLACE_NAMES)
            for v in range(first_variant, first_variant + variants)
        ]
        self.backgrounds = torch.from_numpy(np.stack(painted)).to(self.device)
        of_places = lambda value: torch.tensor([value(ALL[name]) for name in PLACE_NAMES], device=self.device)
        self.light, self.shadow = of_places(lambda p: p.light), of_places(lambda p: p.shadow)
        self.haze, self.haze_amount = of_places(lambda p: p.haze), of_places(lambda p: p.haze_amount)
        self.floating = np.array([ALL[name].floating for name in PLACE_NAMES])

    def sample(self, rng: np.random.Generator, n: int, texture: float = 0.25, bare: float = 0.1) -> Batch:
        """n samples; the fraction `texture` are in a material, `bare` say only the thing ("a dog"), the rest are in a place."""
        batch = self.sample_tensors(rng, n, texture, bare)
        for name in ("image", "mask", "reference", "reference_mask", "frame", "reference_frame"):
            setattr(batch, name, getattr(batch, name).cpu().numpy())
        return batch

    def sample_tensors(self, rng: np.random.Generator, n: int, texture: float = 0.25, bare: float = 0.1) -> Batch:
        """As `sample`, left on the world's device as torch tensors."""
        things = rng.integers(len(self.icons), size=n)
        kind = rng.random(n)
        textures = [TEXTURES[t] if k < texture else None for t, k in zip(rng.integers(len(TEXTURES), size=n), kind)]
        named = rng.integers(len(PLACES), size=n)
        plain = len(PLACE_NAMES) - 1
        place = np.where(kind < texture + bare, plain, named)
        # The reference is anywhere but in the target's place; half of the time before a plain wall.
        elsewhere = (named + rng.integers(1, len(PLACES), size=n)) % len(PLACES)
        reference_place = np.where(rng.random(n) < 0.5, plain, elsewhere)
        phrases = rng.integers(4, size=n)
        angles = np.where(rng.random(n) < TINTED, rng.uniform(0, 2 * np.pi, n), 0)
        image, mask, frame = self.compose(things, angles, self.views(rng, place), textures)
        reference, reference_mask, reference_frame = self.compose(things, angles, self.views(rng, reference_place), [None] * n)
        labels = [self.labels[thing] for thing in things]
        return Batch(
            image, mask, reference, reference_mask,
            caption=[caption_of(*one) for one in zip(labels, (PLACE_NAMES[p] for p in place), textures, phrases)],
            reference_caption=[caption_of(label, PLACE_NAMES[p], None, k) for label, p, k in zip(labels, reference_place, phrases)],
            label=labels,
            place=[PLACE_NAMES[p] for p in place],
            reference_place=[PLACE_NAMES[p] for p in reference_place],
            texture=textures,
            thing=[self.indices[thing] for thing in things],
            frame=frame,
            reference_frame=reference_frame,
        )  # fmt: skip

    def write_subjects(self, folder: str | Path, seed: int, count: int, pictures: int = 4) -> list[dict]:
        """folder/<thing>/{00.png …, masks/00.png …, subject.json} of `count` things; see `subjects.write_subjects`."""
        from training.world.subjects import write_subjects

        return write_subjects(self, folder, seed, count, pictures)

    def views(self, rng: np.random.Generator, place: np.ndarray) -> Views:
        n = len(place)
        foot = np.where(self.floating[place], rng.uniform(-0.12, 0.08, n), rng.uniform(0.68, 0.8, n))
        return Views(
            place=place,
            variant=rng.integers(self.variants, size=n),
            crop=rng.random((n, 2)),
            mirrored_place=rng.random(n) < 0.5,
            gain=rng.uniform(0.94, 1.06, (n, 2)),
            at=np.stack([rng.uniform(-0.12, 0.12, n), foot], 1),
            extent=rng.uniform(0.54, 0.7, n),
            turn=np.clip(rng.normal(0, 0.1, n), -0.3, 0.3),
            shear=rng.uniform(-0.06, 0.06, n),
            mirrored=rng.choice([-1.0, 1.0], n, p=[0.08, 0.92]),  # a pair differs in it one time in seven
            seeds=rng.random((n, 4)),
        )

    @torch.no_grad()
    def compose(
        self, things: np.ndarray, angles: np.ndarray, v: Views, textures: Sequence[str | None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Pictures uint8 [n, S, S, 3] and masks uint8 [n, S, S] of the things, their hues turned by `angles`, and their frames
        float32 [n, 2, 3]: from a picture's coordinates, −1 … 1, to its icon's.
        """
        to = lambda array: torch.as_tensor(array, dtype=torch.float32, device=self.device)
        place = torch.as_tensor(v.place, device=self.device)
        behind = self.crop_backgrounds(v) * to(v.gain[:, 0])[:, None, None, None]
        color, alpha, foot, half_width, frame = self.place_things(torch.as_tensor(things, device=self.device), to, v)
        behind = behind * (1 - self.contact_shadow(foot, half_width) * self.shadow[place][:, None, None, None])

        color = torch.einsum("nij,njhw->nihw", hue_rotations(to(angles)), color / alpha.clamp(min=1e-3)).clamp(0, 1)
        for texture in {t for t in textures if t}:
            rows = torch.tensor([i for i, t in enumerate(textures) if t == texture], device=self.device)
            made = materials.apply(texture, color[rows], alpha[rows], behind[rows], to(v.seeds)[rows])
            color[rows], alpha[rows] = made
        color = color * (self.light[place] * to(v.gain[:, 1])[:, None])[:, :, None, None]
        haze = self.haze_amount[place][:, None, None, None]
        color = color + (self.haze[place][:, :, None, None] - color) * haze
        picture = behind + (color - behind) * alpha
        picture = (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return picture, (alpha[:, 0] > 0.5).to(torch.uint8) * 255, frame

    def crop_backgrounds(self, v: Views) -> Tensor:
        """float32 [n, 3, S, S] in 0 … 1."""
        size = self.size_px
        start = np.floor(v.crop * (MARGIN_PX + 1)).astype(np.int64)
        line = np.arange(size)
        rows = start[:, :1] + line
        columns = start[:, 1:] + np.where(v.mirrored_place[:, None], line[::-1], line)
        which = v.place * self.variants + v.variant
        index = lambda array: torch.as_tensor(array, device=self.device)
        cropped = self.backgrounds[index(which)[:, None, None], index(rows)[:, :, None], index(columns)[:, None, :]]
        return cropped.permute(0, 3, 1, 2).float() / 255

    def place_things(self, things: Tensor, to, v: Views) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Premultiplied colours [n, 3, S, S], alpha [n, 1, S, S], foot points [n, 2], half widths [n], frames [n, 2, 3]."""
        left, top, right, bottom = self.boxes[things].unbind(1)
        half = torch.stack([(right - left) / 2, (bottom - top) / 2], 1)
        zoom = to(v.extent) / half.amax(1)
        cos, sin = torch.cos(to(v.turn)), torch.sin(to(v.turn))
        # The turned thing's foot, taken for an ellipse in its box.
        reach = zoom * torch.sqrt((half[:, 1] * cos) ** 2 + (half[:, 0] * sin) ** 2)
        floating = torch.as_tensor(self.floating[v.place], device=self.device)
        at = to(v.at)
        y = torch.where(floating, at[:, 1], at[:, 1] - reach)
        # From the picture back to the icon: shift, turn back, shear, mirror, unzoom.
        mirrored, shear = to(v.mirrored), to(v.shear)
        back = torch.stack([cos + shear * -sin, sin + shear * cos, -sin, cos], 1).view(-1, 2, 2)
        back = back * torch.stack([mirrored, torch.ones_like(mirrored)], 1)[:, :, None] / zoom[:, None, None]
        centre = torch.stack([(left + right) / 2, (top + bottom) / 2], 1)
        shift = centre - torch.einsum("nij,nj->ni", back, torch.stack([at[:, 0], y], 1))
        theta = torch.cat([back, shift[:, :, None]], 2)
        flow = F.affine_grid(theta, [len(things), 4, self.size_px, self.size_px], align_corners=False)
        drawn = F.grid_sample(self.pictures[things].float() / 255, flow, align_corners=False)
        return drawn[:, :3], drawn[:, 3:], torch.stack([at[:, 0], y + reach], 1), half[:, 0] * zoom, theta

    def contact_shadow(self, foot: Tensor, half_width: Tensor) -> Tensor:
        """[n, 1, S, S] in 0 … 1: a soft dark ellipse under the thing's foot."""
        line = (torch.arange(self.size_px, device=self.device) + 0.5) / self.size_px * 2 - 1
        dx = (line[None, :] - foot[:, :1]) / (half_width[:, None] * 0.9 + 0.05)
        dy = (line[None, :] - foot[:, 1:] + 0.02) / (half_width[:, None] * 0.12 + 0.06)
        return torch.exp(-1.3 * (dx[:, None, :] ** 2 + dy[:, :, None] ** 2))[:, None]


def caption_of(label: str, place: str, texture: str | None, phrase: int) -> str:
    if texture:
        return texture_caption(label, texture)
    return bare_caption(label) if place == STUDIO else context_caption(label, place, int(phrase))


def hue_rotations(angles: Tensor) -> Tensor:
    """[n] → [n, 3, 3]: turns chroma about the grey axis and leaves luminance alone (YIQ)."""
    to_yiq = angles.new_tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    cos, sin, zero = torch.cos(angles), torch.sin(angles), torch.zeros_like(angles)
    turn = torch.stack([zero + 1, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3)
    return torch.linalg.inv(to_yiq) @ turn @ to_yiq
