"""Drawings of persons without the person: a bed, a bath, a wheelchair that nobody is in, clothes that nobody wears. What
persons are drawn with is hardly ever drawn without them, and a detector that never saw it so takes it for a person."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from training.world.atlas import Icon

DIFFERS = 0.06  # in 0 … 1: what two drawings of one person differ by where their tone of skin or hair is seen
EYE_PX = 6  # eyes and mouths are alike in all tones: smaller islands than that are the person's too
LEAST, MOST = 0.05, 0.5  # share of the drawing that is the person; of less, it is somebody muffled up, of more, little is left
FILLABLE = 0.25  # share up to which what is behind the person can be guessed
REACH_PX = (3, 7, 15, 31, 63)  # from as far it is taken

# Who is somebody still, by a beard, a mask or a helmet, or beside whom there is somebody else.
NOT_EMPTIED = frozenset(
    ["guard", "horse racing", "mage", "merman", "merpeople", "merperson", "mrs claus", "mx claus", "ninja", "santa claus", "skier"]
    + ["couple with heart", "feeding baby", "getting haircut", "getting massage", "holding hands", "hugging", "kiss"]
    + ["with bunny ears", "wrestling"]
)


def emptied(icons: Sequence[Icon], pictures: Tensor) -> tuple[Tensor, list[float]]:
    """
    uint8 [m, 4, S, S] of pictures [n, 4, S, S] of persons, premultiplied: of whom there are drawings in two tones of skin,
    without what differs; and how often each of them is to be shown, in shares: groups alike, but more often what is large
    beside the person.
    """
    drawings: dict[tuple[str, str], list[int]] = {}
    for row, icon in enumerate(icons):
        if icon.group not in NOT_EMPTIED:
            drawings.setdefault((icon.set, icon.label), []).append(row)
    made: list[Tensor] = []
    shares: list[tuple[str, float]] = []
    for rows in drawings.values():
        tones = pictures[rows].float() / 255
        person = of_person(tones)
        solid = tones[0, 3]
        share = float((person * solid).sum() / solid.sum().clamp(min=1))
        if len(rows) < 2 or not LEAST <= share <= MOST:
            continue
        left = tones[0] * (1 - person)
        versions = [left, filled(left, person)] if share <= FILLABLE else [left]
        made += versions
        shares += [(icons[rows[0]].group, 1 / share)] * len(versions)
    if not made:
        return pictures[:0], []
    counts: dict[str, int] = {}
    for group, _ in shares:
        counts[group] = counts.get(group, 0) + 1
    weights = [weight / counts[group] for group, weight in shares]
    whole = (torch.stack(made).clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    return whole, [weight / sum(weights) for weight in weights]


def of_person(tones: Tensor) -> Tensor:
    """float32 [S, S], 1 where drawings [k, 4, S, S] of one person differ, eyes and mouth counted in, and a little around it."""
    differs = ((tones.amax(0) - tones.amin(0)).amax(0) > DIFFERS).float()[None, None]
    grown = F.max_pool2d(differs, 2 * EYE_PX + 1, 1, EYE_PX)
    back = EYE_PX - 2
    return 1 - F.max_pool2d(1 - grown, 2 * back + 1, 1, back)[0, 0]


def filled(left: Tensor, hole: Tensor) -> Tensor:
    """A picture [4, S, S] with the mean of what is around a hole [S, S] in it, from as near as there is something."""
    whole, known = left, 1 - hole
    for reach in REACH_PX:
        mean = lambda part: F.avg_pool2d(part[None], reach, 1, reach // 2)[0]
        around = mean((1 - hole)[None])
        new = (around > 0.2).float()[0] * (1 - known)
        whole = whole + mean(left) / around.clamp(min=1e-3) * new
        known = torch.maximum(known, new)
    return whole
