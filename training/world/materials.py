"""The paper's ten materials, made from a thing's own shape and light. Batched over things; colours are 0 … 1."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

CELL_PX = 8  # side of a Lego brick and of a Minecraft block at 128 px


def apply(texture: str, rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """
    rgb [n, 3, S, S] (not premultiplied), alpha [n, 1, S, S], `behind` the place [n, 3, S, S], seeds [n, 4] in 0 … 1
    → the thing's new colours and alpha.
    """
    return MATERIALS[texture](rgb.clamp(0, 1), alpha, behind, seeds)


def luminance(rgb: Tensor) -> Tensor:
    return (rgb * rgb.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def soften(x: Tensor, radius_px: int) -> Tensor:
    """Two box blurs of 2·radius + 1."""
    for _ in range(2):
        x = F.avg_pool2d(F.pad(x, [radius_px] * 4, mode="replicate"), 2 * radius_px + 1, 1)
    return x


def slopes(height: Tensor) -> tuple[Tensor, Tensor]:
    padded = F.pad(height, [1, 1, 1, 1], mode="replicate")
    return (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2, (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2


def relief(rgb: Tensor, alpha: Tensor, detail: float) -> tuple[Tensor, Tensor]:
    """Normals (x, y) of a body that swells from its outline, with the picture's lights as relief."""
    height = soften(alpha, 6) * 14 + soften(luminance(rgb) * alpha, 1) * detail
    return slopes(height)


def lit(x: Tensor, y: Tensor) -> Tensor:
    """Light from the upper left, about 0.3 … 1."""
    return (0.72 - 0.42 * (x + y) / (1 + x * x + y * y).sqrt()).clamp(0.25, 1.15)


def ramp(value: Tensor, *colors: tuple[float, float, float]) -> Tensor:
    """[n, 1, S, S] in 0 … 1 → colours along a ramp, evenly spaced."""
    at = value.clamp(0, 1) * (len(colors) - 1)
    table = value.new_tensor(colors)
    left = at.long().clamp(max=len(colors) - 2)
    part = at - left
    mixed = table[left[:, 0]] * (1 - part[:, 0, ..., None]) + table[left[:, 0] + 1] * part[:, 0, ..., None]
    return mixed.permute(0, 3, 1, 2)


def grid(like: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel coordinates y [1, 1, S, 1] and x [1, 1, 1, S]."""
    line = torch.arange(like.shape[-1], device=like.device, dtype=like.dtype)
    return line[:, None][None, None], line[None, :][None, None]


def grain(like: Tensor, seeds: Tensor, cells: int) -> Tensor:
    """Smooth noise [n, 1, S, S] in 0 … 1 that depends on the seeds alone."""
    y, x = torch.meshgrid(*[torch.arange(cells, device=like.device, dtype=like.dtype)] * 2, indexing="ij")
    phase = (seeds[:, :2] * 97).floor()[:, :, None, None]
    knots = torch.sin((x + phase[:, 0:1]) * 12.9898 + (y + phase[:, 1:2]) * 78.233) * 43758.5453
    return F.interpolate(knots - knots.floor(), size=like.shape[-2:], mode="bilinear", align_corners=False)


def cells(rgb: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colours and alpha of CELL_PX blocks, and the place inside a block (y, x in 0 … 1)."""
    covered = F.avg_pool2d(alpha, CELL_PX)
    color = F.avg_pool2d(rgb * alpha, CELL_PX) / covered.clamp(min=1e-3)
    up = lambda t: t.repeat_interleave(CELL_PX, -1).repeat_interleave(CELL_PX, -2)
    y, x = grid(rgb)
    inside = lambda t: ((t % CELL_PX) + 0.5) / CELL_PX
    return up(color), up((covered > 0.42).to(alpha.dtype)), inside(y), inside(x)


def lego(rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    color, alpha, y, x = cells(rgb, alpha)
    grey = luminance(color)
    color = ((color - grey) * 1.5 + grey).clamp(0.06, 0.97)
    distance = ((y - 0.5) ** 2 + (x - 0.5) ** 2).sqrt()
    stud = ((0.34 - distance) * CELL_PX).clamp(0, 1)
    rim = (1 - (distance - 0.32).abs() * CELL_PX).clamp(0, 1)
    light = 1 + stud * (0.16 - 0.5 * (x - 0.5) - 0.6 * (y - 0.5)) - rim * 0.3 * ((x + y) > 1.1)
    edge = torch.maximum(x, y) > 1 - 1 / CELL_PX
    return (color * light * (1 - 0.35 * edge) + stud * 0.05).clamp(0, 1), alpha


def minecraft(rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    color, alpha, y, x = cells(rgb, alpha)
    color = (color * 7).round() / 7
    # Four pixels of their own in every block, as on the game's textures.
    row, column = grid(rgb)
    row, column = (row / (CELL_PX / 2)).floor(), (column / (CELL_PX / 2)).floor()
    hashed = torch.sin(row * 12.9898 + column * 78.233 + (seeds[:, 0] * 50).floor()[:, None, None, None]) * 43758.5453
    color = color * (0.8 + 0.34 * (hashed - hashed.floor()))
    color = color * (1 - 0.4 * (x > 1 - 1 / CELL_PX)) * (1 - 0.4 * (y > 1 - 1 / CELL_PX))
    return (color * 0.92 + 0.16 * (y < 1 / CELL_PX)).clamp(0, 1), alpha


def paper(rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """White card, cut out in layers: every step of the light is a sheet with a shadow under its edge."""
    layers = (soften(luminance(rgb), 1) * 4).round() / 4
    x, y = slopes(layers)
    edge = soften((x.abs() + y.abs()).clamp(0, 0.3), 1)
    ax, ay = slopes(soften(alpha, 1))
    light = 0.84 + 0.13 * layers - 0.9 * edge - 0.25 * (ax.clamp(max=0).abs() + ay.clamp(max=0).abs())
    y, x = grid(rgb)
    fold = (x + (seeds[:, 1, None, None, None] * 2 - 1) * y) / 34 + seeds[:, 2, None, None, None]
    light = light - 0.05 * (fold.floor() % 2)
    return (light * rgb.new_tensor([1.0, 0.985, 0.95])[:, None, None]).clamp(0, 1), alpha


def metal(*colors: tuple[float, float, float]) -> Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    def material(rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        x, y = relief(rgb, alpha, 9)
        # A room mirrored in a curved body: bands of light that follow the slope.
        mirrored = 0.5 + 0.5 * torch.sin(2.4 * y + 1.5 * x + 3 * luminance(rgb) + 5.2)
        value = 0.55 * mirrored + 0.45 * lit(x, y) * (0.55 + 0.5 * luminance(rgb))
        return ramp(value, *colors), alpha

    return material


def wood(rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    x, y = relief(rgb, alpha, 8)
    row, column = grid(rgb)
    wave = grain(rgb, seeds, 5)
    rings = torch.sin((row * 0.16 + column * 0.02 + wave * 5 + seeds[:, 3, None, None, None] * 6) * 3.1)
    value = 0.46 + 0.14 * rings + 0.1 * (grain(rgb, seeds.flip(1), 40) - 0.5) + 0.22 * (luminance(rgb) - 0.5)
    return ramp(value, (0.3, 0.16, 0.07), (0.55, 0.33, 0.16), (0.8, 0.56, 0.32)) * lit(x, y) * 1.15, alpha


def jade(rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    x, y = relief(rgb, alpha, 7)
    light = lit(x, y)
    value = 0.16 + 0.4 * light + 0.22 * (soften(luminance(rgb), 1) - 0.5) + 0.16 * (grain(rgb, seeds, 7) - 0.5)
    shine = ((light - 0.96) * 5).clamp(0, 1)
    color = ramp(value, (0.03, 0.26, 0.16), (0.16, 0.55, 0.36), (0.5, 0.8, 0.58), (0.8, 0.95, 0.82))
    return color + (1 - color) * shine * 0.7, alpha


def glass(rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    x, y = relief(rgb, alpha, 6)
    n, _, size, _ = rgb.shape
    line = torch.linspace(-1, 1, size, device=rgb.device, dtype=rgb.dtype)
    at = torch.stack([line[None, None, :] - 0.3 * x[:, 0], line[None, :, None] - 0.3 * y[:, 0]], -1)
    seen = F.grid_sample(behind, at, padding_mode="border", align_corners=True)
    steep = (x * x + y * y).sqrt()
    edge = (steep * 0.75).clamp(0, 1)
    # Thin glass shows what is behind it, steep edges the green-blue of its depth.
    clear = seen * rgb.new_tensor([0.78, 0.96, 0.98])[:, None, None] * (0.88 + 0.14 * soften(luminance(rgb), 1))
    color = clear + (rgb.new_tensor([0.1, 0.48, 0.55])[:, None, None] - clear) * edge * 0.8
    shine = ((lit(x, y) - 0.9) * 4).clamp(0, 1)
    return (color + (1 - color) * shine * 0.95).clamp(0, 1), alpha


def stone(rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    x, y = relief(rgb, alpha, 9)
    speckle = 0.5 * grain(rgb, seeds, 26) + 0.5 * grain(rgb, seeds.flip(1), 11)
    value = (0.5 + 0.42 * (speckle - 0.5) + 0.28 * luminance(rgb)) * lit(x, y) * 1.15
    return ramp(value, (0.1, 0.1, 0.1), (0.46, 0.45, 0.43), (0.84, 0.83, 0.8)), alpha


def sketch(rgb: Tensor, alpha: Tensor, behind: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    light = soften(luminance(rgb) * alpha + (1 - alpha), 1)
    x, y = slopes(light)
    ax, ay = slopes(soften(alpha, 1))
    line = ((x * x + y * y).sqrt() * 7 + (ax * ax + ay * ay).sqrt() * 5 - 0.12).clamp(0, 1)
    row, column = grid(rgb)
    hatch = (torch.sin((row + column) * 1.05) * 0.5 + 0.5) * ((0.62 - light) * 1.6).clamp(0, 0.75)
    value = 0.97 - 0.85 * line - 0.6 * hatch * (1 - line)
    return value.clamp(0.08, 1) * rgb.new_tensor([0.98, 0.97, 0.95])[:, None, None], alpha


MATERIALS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "Lego": lego,
    "Paper": paper,
    "Gold": metal((0.2, 0.1, 0.02), (0.62, 0.4, 0.06), (0.95, 0.74, 0.2), (1.0, 0.95, 0.65)),
    "Wood": wood,
    "silver": metal((0.12, 0.13, 0.15), (0.45, 0.47, 0.5), (0.78, 0.8, 0.83), (1.0, 1.0, 1.0)),
    "green jade": jade,
    "glass": glass,
    "stone": stone,
    "sketch": sketch,
    "Minecraft": minecraft,
}
