"""Brushes for the places: pictures are float32 [size, size, 3] in 0 … 1, coordinates run from 0 to 1, y downwards."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

Array = np.ndarray
Color = tuple[float, float, float]


@lru_cache(maxsize=8)
def coordinates(size: int) -> tuple[Array, Array]:
    """y [size, 1] and x [1, size] of the pixels' centres."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return line[:, None], line[None, :]


@lru_cache(maxsize=64)
def stretching(size: int, cells: int) -> Array:
    """[size, cells + 1]: smooth interpolation from a grid of knots to pixels."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size * cells
    left = np.minimum(at.astype(int), cells - 1)
    part = at - left
    part = part * part * (3 - 2 * part)
    weights = np.zeros((size, cells + 1), np.float32)
    weights[np.arange(size), left] = 1 - part
    weights[np.arange(size), left + 1] = part
    return weights


def noise(rng: np.random.Generator, size: int, cells_y: int, cells_x: int, octaves: int = 2) -> Array:
    """Smooth noise [size, size] in 0 … 1, its coarsest bumps 1/cells of the picture wide."""
    total, weight, sum_of_weights = np.zeros((size, size), np.float32), 1.0, 0.0
    for octave in range(octaves):
        rows, columns = min(cells_y << octave, size), min(cells_x << octave, size)
        knots = rng.random((rows + 1, columns + 1), np.float32)
        total += weight * (stretching(size, rows) @ knots @ stretching(size, columns).T)
        sum_of_weights += weight
        weight *= 0.5
    return np.clip((total / sum_of_weights - 0.5) * 1.6 + 0.5, 0, 1)


def ridge(rng: np.random.Generator, size: int, height: float, swing: float, bumps: int, octaves: int = 2) -> Array:
    """A skyline: y [1, size] about `height`, up and down by `swing`."""
    line, weight = np.zeros(size, np.float32), 1.0
    for octave in range(octaves):
        cells = min(bumps << octave, size)
        line += weight * (stretching(size, cells) @ (rng.random(cells + 1, np.float32) * 2 - 1))
        weight *= 0.5
    return (height + swing * line)[None, :]


def vertical(size: int, *stops: tuple[float, Color]) -> Array:
    """A picture that runs through colours from top to bottom; stops are (y, colour)."""
    y, _ = coordinates(size)
    at = [stop for stop, _ in stops]
    column = np.stack([np.interp(y[:, 0], at, [color[c] for _, color in stops]) for c in range(3)], -1)
    return np.repeat(column[:, None, :].astype(np.float32), size, 1)


def fill(picture: Array, color: Color | Array, amount: Array | float) -> None:
    """Blends `color` over the picture by `amount` [size, size] in 0 … 1, in place."""
    amount = np.broadcast_to(np.asarray(amount, np.float32), picture.shape[:2])[..., None]
    picture += (np.asarray(color, np.float32) - picture) * amount


def below(line: Array, size: int, soft: float = 0.01) -> Array:
    """1 below the skyline, 0 above, `soft` the width of the change."""
    y, _ = coordinates(size)
    return np.clip((y - line) / soft + 0.5, 0, 1)


def disc(picture: Array, y: float, x: float, radius: float, color: Color, soft: float = 0.01, amount: float = 1.0, squash: float = 1.0, turn: float = 0.0) -> None:
    """An ellipse, `radius` wide and `squash` times that high, turned by `turn`; paints its own window only."""
    size = picture.shape[0]
    reach = radius * max(1.0, squash) + soft
    top, bottom = int(max(0, (y - reach) * size)), int(min(size, (y + reach) * size + 2))
    left, right = int(max(0, (x - reach) * size)), int(min(size, (x + reach) * size + 2))
    if top >= bottom or left >= right:
        return
    dy = (np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5) / size - y
    dx = (np.arange(left, right, dtype=np.float32)[None, :] + 0.5) / size - x
    if turn:
        c, s = np.cos(turn), np.sin(turn)
        dx, dy = c * dx + s * dy, c * dy - s * dx
    distance = np.sqrt(dx * dx + (dy / squash) ** 2)
    covered = np.clip((radius - distance) / max(soft, 1e-4) + 0.5, 0, 1) * amount
    fill(picture[top:bottom, left:right], color, covered)


def glow(picture: Array, y: float, x: float, radius: float, color: Color, amount: float) -> None:
    """Light that fades with the distance, added."""
    rows, columns = coordinates(picture.shape[0])
    light = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (radius * radius)) * amount
    picture += light[..., None] * np.asarray(color, np.float32)


def box(picture: Array, top: float, bottom: float, left: float, right: float, color: Color, amount: float = 1.0) -> None:
    size = picture.shape[0]
    rows = slice(max(0, round(top * size)), max(0, round(bottom * size)))
    columns = slice(max(0, round(left * size)), max(0, round(right * size)))
    picture[rows, columns] += (np.asarray(color, np.float32) - picture[rows, columns]) * amount


def blur(picture: Array, radius_px: int) -> Array:
    """Two box blurs: out of focus."""
    for _ in range(2):
        for axis in (0, 1):
            width = 2 * radius_px + 1
            pads = [(radius_px + 1, radius_px) if a == axis else (0, 0) for a in range(3)]
            sums = np.cumsum(np.pad(picture, pads, mode="edge"), axis=axis, dtype=np.float32)
            sums = np.moveaxis(sums, axis, 0)
            picture = np.moveaxis((sums[width:] - sums[:-width]) / width, 0, axis)
    return np.ascontiguousarray(picture)


def vary(rng: np.random.Generator, color: Color, by: float = 0.05) -> Color:
    """The colour, a little lighter or darker and a little off."""
    r, g, b = np.clip(np.asarray(color) * (1 + rng.uniform(-by, by)) + rng.uniform(-by / 2, by / 2, 3), 0, 1)
    return float(r), float(g), float(b)
