"""The places: painters from a seed to a background, and how each lights and carries the thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.world.captions import PLACES, STUDIO
from training.world.paint import (
    Array, Color, below, blur, box, coordinates, disc, fill, glow, noise, ridge, vary, vertical,
)  # fmt: skip

Rng = np.random.Generator


@dataclass(frozen=True)
class Place:
    paint: Callable[[Rng, int], Array]
    light: Color = (1.0, 1.0, 1.0)  # multiplies the thing's colours
    shadow: float = 0.45  # darkness of the contact shadow, 0 for none
    floating: bool = False  # in the middle of the picture instead of on its ground
    haze: Color = (0.0, 0.0, 0.0)  # colour that the air lays over the thing …
    haze_amount: float = 0.0  # … by this much


def garden(rng: Rng, size: int) -> Array:
    horizon = rng.uniform(0.36, 0.46)
    p = vertical(size, (0, vary(rng, (0.62, 0.82, 0.95))), (horizon, (0.85, 0.93, 0.9)))
    hedge = below(ridge(rng, size, horizon - 0.14, 0.06, 5), size, 0.03)
    bushes = noise(rng, size, 8, 8)
    fill(p, (0.18, 0.42, 0.16), hedge)
    fill(p, (0.42, 0.66, 0.28), hedge * bushes * 0.7)
    p = blur(p, 2)
    lawn = vertical(size, (horizon, (0.5, 0.76, 0.3)), (1, (0.3, 0.6, 0.2)))
    p += (lawn - p) * below(np.float32(horizon), size, 0.03)[..., None]
    fill(p, (0.22, 0.48, 0.15), below(np.float32(horizon), size) * noise(rng, size, 16, 12) * 0.4)
    petals: tuple[Color, ...] = ((0.98, 0.45, 0.66), (1.0, 0.85, 0.2), (0.98, 0.97, 0.95), (0.92, 0.25, 0.3), (0.72, 0.45, 0.9))
    for y in np.sort(rng.uniform(horizon, 1.0, 32)):
        near = (y - horizon) / (1 - horizon)
        radius = 0.018 + 0.03 * near
        x = rng.uniform(0, 1)
        disc(p, y, x, radius, petals[rng.integers(len(petals))], 0.012)
        disc(p, y, x, radius * 0.4, (0.98, 0.8, 0.15), 0.01)
    return p


def autumn(rng: Rng, size: int) -> Array:
    horizon = rng.uniform(0.5, 0.58)
    p = vertical(size, (0, (0.98, 0.86, 0.6)), (horizon, (0.98, 0.92, 0.74)))
    crowns = noise(rng, size, 4, 5)
    fill(p, vary(rng, (0.86, 0.42, 0.1)), crowns * (1 - below(np.float32(horizon), size, 0.2)) * 1.0)
    fill(p, (0.95, 0.68, 0.16), noise(rng, size, 5, 6) * 0.55 * (1 - below(np.float32(horizon), size, 0.1)))
    for _ in range(rng.integers(3, 6)):
        x, w = rng.uniform(0, 1), rng.uniform(0.015, 0.035)
        box(p, rng.uniform(0, 0.15), horizon + 0.02, x - w, x + w, (0.35, 0.22, 0.14), 0.85)
    p = blur(p, 2)
    ground = below(np.float32(horizon), size, 0.03)
    fill(p, (0.72, 0.42, 0.16), ground)
    fill(p, (0.9, 0.58, 0.18), ground * noise(rng, size, 12, 10) * 0.8)
    leaves: tuple[Color, ...] = ((0.9, 0.35, 0.08), (0.97, 0.66, 0.1), (0.78, 0.18, 0.08), (0.85, 0.5, 0.15))
    for _ in range(22):
        disc(p, rng.uniform(horizon, 1), rng.uniform(0, 1), rng.uniform(0.022, 0.04), leaves[rng.integers(4)], 0.012, 0.9, 0.45, rng.uniform(0, 3))
    for _ in range(14):
        disc(p, rng.uniform(0, horizon), rng.uniform(0, 1), rng.uniform(0.024, 0.04), leaves[rng.integers(4)], 0.01, 1, 0.5, rng.uniform(0, 3))
    return p


def beach(rng: Rng, size: int) -> Array:
    horizon = rng.uniform(0.3, 0.38)
    shore = ridge(rng, size, rng.uniform(0.56, 0.62), 0.02, 3)
    p = vertical(size, (0, vary(rng, (0.35, 0.66, 0.94))), (horizon, (0.78, 0.91, 0.98)))
    fill(p, (1, 1, 1), np.clip(noise(rng, size, 5, 3) * 2.2 - 1.3, 0, 1) * 0.8)
    sea = vertical(size, (horizon, (0.1, 0.45, 0.7)), (0.62, (0.3, 0.78, 0.8)))
    p += (sea - p) * below(np.float32(horizon), size, 0.012)[..., None]
    fill(p, (0.8, 0.95, 0.97), below(np.float32(horizon), size) * np.clip(noise(rng, size, 40, 5) * 3 - 2, 0, 1) * 0.4)
    fill(p, (1, 1, 1), below(shore - 0.03, size, 0.03))
    sand = vertical(size, (0.55, (0.88, 0.78, 0.58)), (1, (0.97, 0.88, 0.68)))
    p += (sand - p) * below(shore, size, 0.025)[..., None]
    fill(p, (0.82, 0.7, 0.48), below(shore, size) * noise(rng, size, 12, 8) * 0.3)
    return p


def snow(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, vary(rng, (0.66, 0.77, 0.9))), (0.5, (0.9, 0.94, 0.98)))
    horizon = rng.uniform(0.46, 0.54)
    for _ in range(rng.integers(5, 9)):
        x, top, base = rng.uniform(0, 1), rng.uniform(0.1, 0.28), horizon + 0.03
        for k in range(4):
            y = top + (base - top) * (k + 0.7) / 4
            disc(p, y, x, 0.035 + 0.022 * k, (0.2, 0.36, 0.34), 0.02, 1, 0.55)
            disc(p, y - 0.02, x, 0.03 + 0.018 * k, (0.92, 0.96, 0.99), 0.02, 0.75, 0.35)
    hill = ridge(rng, size, horizon, 0.03, 3)
    ground = vertical(size, (horizon, (0.86, 0.91, 0.97)), (1, (0.97, 0.98, 1.0)))
    p += (ground - p) * below(hill, size, 0.02)[..., None]
    fill(p, (0.72, 0.82, 0.94), below(hill, size) * noise(rng, size, 6, 3) * 0.4)
    for _ in range(30):
        disc(p, rng.uniform(0, 0.95), rng.uniform(0, 1), rng.uniform(0.009, 0.018), (1, 1, 1), 0.012, 0.95)
    return p


def jungle(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, (0.5, 0.72, 0.3)), (0.6, (0.12, 0.34, 0.14)), (1, (0.1, 0.24, 0.1)))
    fill(p, (0.75, 0.9, 0.45), np.clip(noise(rng, size, 4, 5) * 2.4 - 1.4, 0, 1) * below(np.float32(0), size) * 0.6)
    for _ in range(rng.integers(2, 4)):
        x, w = rng.uniform(0, 1), rng.uniform(0.02, 0.045)
        box(p, 0, 0.72, x - w, x + w, (0.26, 0.22, 0.12), 0.9)
    greens: tuple[Color, ...] = ((0.14, 0.42, 0.14), (0.25, 0.58, 0.2), (0.08, 0.3, 0.12), (0.4, 0.68, 0.24))
    p = blur(p, 2)
    for k in range(34):
        edge = rng.integers(3)
        y, x = (rng.uniform(0, 0.22), rng.uniform(0, 1)) if edge == 0 else (rng.uniform(0.1, 0.8), rng.uniform(0, 0.2) if edge == 1 else rng.uniform(0.8, 1))
        disc(p, y, x, rng.uniform(0.06, 0.12), vary(rng, greens[rng.integers(4)]), 0.015, 0.95, 0.3, rng.uniform(0, 3.1))
    floor = below(ridge(rng, size, 0.74, 0.02, 6), size, 0.05)
    fill(p, (0.2, 0.3, 0.1), floor)
    fill(p, (0.34, 0.5, 0.16), floor * noise(rng, size, 12, 9) * 0.8)
    return p


def desert(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, vary(rng, (0.3, 0.6, 0.92))), (0.45, (0.93, 0.88, 0.74)))
    y, x = rng.uniform(0.08, 0.2), rng.uniform(0.1, 0.9)
    glow(p, y, x, 0.16, (1, 0.9, 0.6), 0.5)
    disc(p, y, x, 0.05, (1, 0.97, 0.82), 0.015)
    height = rng.uniform(0.38, 0.44)
    for color in ((0.92, 0.68, 0.4), (0.88, 0.56, 0.28), (0.95, 0.7, 0.38)):
        line = ridge(rng, size, height, 0.05, 2, 1)
        side = below(line, size, 0.012)
        fill(p, vary(rng, color), side)
        # The lee of every dune lies in shade just under its crest.
        fill(p, (0.62, 0.36, 0.18), side * (1 - below(line + 0.04, size, 0.1)) * noise(rng, size, 2, 3, 1) * 0.7)
        height += rng.uniform(0.13, 0.18)
    rows, columns = coordinates(size)
    ripples = 0.5 + 0.5 * np.sin((rows + 0.05 * np.sin(columns * 9 + rng.uniform(0, 6))) * rng.uniform(90, 120))
    fill(p, (0.8, 0.52, 0.25), ripples * below(np.float32(0.66), size, 0.2) * 0.25)
    return p


def night_city(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, (0.03, 0.04, 0.14)), (0.6, (0.2, 0.14, 0.36)))
    for depth, color in ((0, (0.13, 0.13, 0.28)), (1, (0.06, 0.07, 0.16))):
        x = -0.05
        while x < 1:
            width, top = rng.uniform(0.1, 0.2), rng.uniform(0.1, 0.35) + 0.14 * depth
            box(p, top, 0.68, x, x + width, vary(rng, color, 0.1))
            for row in np.arange(top + 0.03, 0.64, 0.075):
                for column in np.arange(x + 0.022, x + width - 0.04, 0.062):
                    if rng.random() < 0.55:
                        box(p, row, row + 0.04, column, column + 0.034, vary(rng, (1.0, 0.82, 0.4), 0.1), 0.95)
            x += width + rng.uniform(0, 0.03)
    road = vertical(size, (0.66, (0.16, 0.14, 0.24)), (1, (0.07, 0.07, 0.12)))
    p += (road - p) * below(np.float32(0.68), size, 0.02)[..., None]
    lights: tuple[Color, ...] = ((1, 0.35, 0.3), (1, 0.8, 0.35), (0.4, 0.75, 1), (1, 0.5, 0.85))
    for _ in range(14):
        color, x, y = lights[rng.integers(4)], rng.uniform(0, 1), rng.uniform(0.6, 0.7)
        disc(p, y, x, rng.uniform(0.015, 0.035), color, 0.015, 0.8)
        glow(p, y + 0.16, x, 0.06, color, 0.16)
    return p


def under_water(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, vary(rng, (0.4, 0.82, 0.95))), (0.45, (0.1, 0.5, 0.8)), (1, (0.03, 0.22, 0.5)))
    rows, columns = coordinates(size)
    slant = columns + rows * rng.uniform(-0.4, 0.4)
    rays = np.clip(np.sin(slant * rng.uniform(16, 24) + rng.uniform(0, 6)), 0, 1) ** 2
    fill(p, (0.8, 0.97, 1), rays * np.clip(0.8 - rows, 0, 1) * 0.4)
    bed = ridge(rng, size, 0.84, 0.025, 3)
    fill(p, (0.36, 0.62, 0.66), below(bed, size, 0.03) * 0.85)
    corals: tuple[Color, ...] = ((0.9, 0.4, 0.5), (0.95, 0.6, 0.3), (0.6, 0.35, 0.75), (0.2, 0.6, 0.45))
    for side in (0.0, 1.0):
        for _ in range(rng.integers(3, 6)):
            x = abs(side - rng.uniform(0, 0.22))
            color, y, lean = vary(rng, corals[rng.integers(4)]), rng.uniform(0.84, 0.98), rng.uniform(-0.5, 0.5)
            disc(p, y - 0.05, x, 0.022, color, 0.015, 0.85, rng.uniform(2.5, 4.5), lean)
            disc(p, y - 0.03, x + 0.03, 0.018, color, 0.015, 0.85, rng.uniform(2, 3), -lean)
    for _ in range(14):
        y, x, radius = rng.uniform(0.05, 0.8), rng.uniform(0, 1), rng.uniform(0.01, 0.028)
        disc(p, y, x, radius, (0.85, 0.97, 1), 0.01, 0.6)
        disc(p, y + radius * 0.15, x, radius * 0.65, (0.3, 0.7, 0.9), 0.01, 0.7)
    return p


def space(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, (0.02, 0.02, 0.07)), (1, (0.05, 0.03, 0.12)))
    cloud = np.clip(noise(rng, size, 3, 3, 3) * 2 - 0.9, 0, 1)
    fill(p, ((0.5, 0.15, 0.6), (0.15, 0.25, 0.65), (0.1, 0.45, 0.5))[rng.integers(3)], cloud * 0.7)
    for _ in range(45):
        disc(p, rng.uniform(0, 1), rng.uniform(0, 1), rng.choice([0.006, 0.009, 0.014]), (1, 1, rng.uniform(0.8, 1)), 0.01, rng.uniform(0.5, 1))
    y, x, radius = rng.uniform(0.08, 0.24), rng.choice([rng.uniform(0.05, 0.2), rng.uniform(0.8, 0.95)]), rng.uniform(0.09, 0.15)
    body = vary(rng, ((0.85, 0.55, 0.3), (0.4, 0.6, 0.85), (0.8, 0.4, 0.4))[rng.integers(3)])
    disc(p, y, x, radius, body, 0.012)
    disc(p, y + radius * 0.35, x + radius * 0.35, radius * 0.75, (0.05, 0.03, 0.1), radius * 0.8, 0.6)
    return p


def wooden_table(rng: Rng, size: int) -> Array:
    edge = rng.uniform(0.46, 0.54)
    p = vertical(size, (0, vary(rng, (0.9, 0.84, 0.74))), (edge, (0.74, 0.64, 0.52)))
    for _ in range(5):
        disc(p, rng.uniform(0, edge), rng.uniform(0, 1), rng.uniform(0.06, 0.14), vary(rng, (0.96, 0.88, 0.72), 0.15), 0.06, 0.6)
    p = blur(p, 3)
    wood = vary(rng, (0.66, 0.42, 0.22), 0.08)
    top = below(np.float32(edge), size, 0.012)
    fill(p, wood, top)
    fill(p, (0.46, 0.27, 0.12), top * noise(rng, size, 36, 2) * 0.7)
    rows, _ = coordinates(size)
    for k in range(4):
        y = edge + (1 - edge) * (k + 0.85) ** 1.25 / 6.2
        fill(p, (0.28, 0.15, 0.07), np.clip(1 - np.abs(rows - y) / 0.007, 0, 1) * 0.8)
    fill(p, (0.95, 0.75, 0.5), np.clip(1 - np.abs(rows - edge) / 0.012, 0, 1) * 0.6)
    return p


def brick_wall(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, (0.8, 0.76, 0.7)), (1, (0.72, 0.68, 0.62)))
    base = vary(rng, (0.68, 0.27, 0.19), 0.08)
    rows, height, length = 8, 0.1, 0.23
    for row in range(rows):
        start = -length * (0.5 * (row % 2) + 0.02)
        for k in range(6):
            left = start + k * length
            box(p, row * height + 0.012, (row + 1) * height, left + 0.012, left + length, vary(rng, base, 0.16))
    pavement = vertical(size, (0.8, (0.5, 0.5, 0.52)), (1, (0.66, 0.66, 0.66)))
    p += (pavement - p) * below(np.float32(0.8), size, 0.012)[..., None]
    fill(p, (0.45, 0.42, 0.4), noise(rng, size, 6, 6) * 0.18)
    return p


def sunset(rng: Rng, size: int) -> Array:
    horizon = rng.uniform(0.62, 0.68)
    p = vertical(size, (0, vary(rng, (0.3, 0.16, 0.45))), (0.32, (0.86, 0.32, 0.4)), (horizon, (1.0, 0.72, 0.26)))
    fill(p, (1, 0.55, 0.35), np.clip(noise(rng, size, 14, 3) * 2.4 - 1.3, 0, 1) * 0.7)
    x = rng.choice([rng.uniform(0.12, 0.3), rng.uniform(0.7, 0.88)])
    glow(p, horizon - 0.1, x, 0.28, (0.6, 0.4, 0.1), 0.6)
    disc(p, horizon - 0.1, x, 0.09, (1, 0.95, 0.66), 0.012)
    sea = vertical(size, (horizon, (0.75, 0.38, 0.3)), (1, (0.22, 0.1, 0.28)))
    p += (sea - p) * below(np.float32(horizon), size, 0.01)[..., None]
    _, columns = coordinates(size)
    path = np.exp(-(((columns - x) / 0.1) ** 2)) * below(np.float32(horizon), size)
    fill(p, (1, 0.8, 0.4), path * np.clip(noise(rng, size, 36, 4) * 2 - 0.5, 0, 1) * 0.8)
    return p


def rainy_street(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, (0.56, 0.62, 0.68)), (0.55, (0.7, 0.75, 0.78)))
    x = -0.05
    while x < 1:
        width, top = rng.uniform(0.16, 0.3), rng.uniform(0.02, 0.26)
        if not 0.38 < x + width / 2 < 0.62:
            box(p, top, 0.6, x, x + width, vary(rng, ((0.42, 0.44, 0.5), (0.5, 0.42, 0.4), (0.36, 0.42, 0.46))[rng.integers(3)], 0.1))
            for row in np.arange(top + 0.05, 0.52, 0.1):
                for column in np.arange(x + 0.035, x + width - 0.04, 0.08):
                    box(p, row, row + 0.05, column, column + 0.035, (0.95, 0.86, 0.6) if rng.random() < 0.35 else (0.3, 0.34, 0.4), 0.9)
        x += width + 0.01
    p = blur(p, 1)
    mirrored = blur(p[int(0.2 * size) : int(0.6 * size)][::-1], 3)
    top = int(0.6 * size)
    street = mirrored[: size - top] if mirrored.shape[0] >= size - top else np.pad(mirrored, ((0, size - top - mirrored.shape[0]), (0, 0), (0, 0)), mode="edge")
    p[top:] = street * 0.5 + np.array([0.2, 0.23, 0.28], np.float32) * 0.6
    fill(p, (0.85, 0.9, 0.95), below(np.float32(0.6), size) * np.clip(noise(rng, size, 40, 6) * 3 - 2, 0, 1) * 0.5)
    rows, columns = coordinates(size)
    for _ in range(30):
        y, x0, length = rng.uniform(-0.05, 0.95), rng.uniform(0, 1), rng.uniform(0.06, 0.12)
        disc(p, y, x0, 0.006, (0.88, 0.93, 0.98), 0.01, 0.75, length / 0.012, 0.16)
    return p


def sunflowers(rng: Rng, size: int) -> Array:
    horizon = rng.uniform(0.36, 0.44)
    p = vertical(size, (0, vary(rng, (0.36, 0.68, 0.95))), (horizon, (0.82, 0.93, 0.98)))
    fill(p, (1, 1, 1), np.clip(noise(rng, size, 4, 3) * 2.2 - 1.2, 0, 1) * 0.8)
    grass = vertical(size, (horizon, (0.5, 0.7, 0.25)), (1, (0.25, 0.55, 0.15)))
    p += (grass - p) * below(ridge(rng, size, horizon, 0.015, 3), size, 0.02)[..., None]
    fill(p, (0.2, 0.42, 0.1), below(np.float32(horizon), size) * noise(rng, size, 10, 20) * 0.5)
    for y in np.sort(rng.uniform(horizon + 0.02, 0.98, 17)):
        near = (y - horizon) / (1 - horizon)
        radius = 0.028 + 0.045 * near
        x = rng.uniform(0, 1)
        box(p, y, y + radius * 3, x - 0.006, x + 0.006, (0.16, 0.4, 0.1))
        disc(p, y, x, radius, (1.0, 0.78, 0.08), 0.014)
        disc(p, y, x, radius * 0.48, (0.4, 0.22, 0.08), 0.012)
    return p


def mountain(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, vary(rng, (0.38, 0.64, 0.93))), (0.55, (0.85, 0.93, 0.98)))
    rows, columns = coordinates(size)
    base = 0.66
    for color, count, top in (((0.58, 0.66, 0.78), 4, 0.24), ((0.42, 0.46, 0.56), 3, 0.12)):
        for k in range(count):
            x, peak = (k + rng.uniform(0.1, 0.9)) / count, top + rng.uniform(0, 0.14)
            slope = rng.uniform(0.95, 1.4)
            rough = (noise(rng, size, 8, 8) - 0.5) * 0.07
            inside = np.clip((rows - peak - np.abs(columns - x) * slope + rough) / 0.01, 0, 1) * (rows < base)
            fill(p, vary(rng, color), inside)
            fill(p, (0.25, 0.28, 0.38), inside * np.clip((columns - x) / 0.03, 0, 1) * 0.4)
            fill(p, (0.97, 0.98, 1), inside * np.clip((peak + 0.13 - rows + rough * 2) / 0.02, 0, 1) * 0.95)
    meadow = vertical(size, (base, (0.5, 0.66, 0.35)), (1, (0.36, 0.55, 0.24)))
    p += (meadow - p) * below(ridge(rng, size, base, 0.02, 3), size, 0.02)[..., None]
    fill(p, (0.62, 0.74, 0.4), below(np.float32(base), size) * noise(rng, size, 10, 6) * 0.4)
    return p


def lake(rng: Rng, size: int) -> Array:
    horizon = rng.uniform(0.28, 0.36)
    p = vertical(size, (0, vary(rng, (0.55, 0.78, 0.95))), (horizon, (0.9, 0.95, 0.97)))
    shore = ridge(rng, size, horizon - 0.07, 0.03, 6)
    fill(p, (0.24, 0.44, 0.28), below(shore, size, 0.02))
    water = vertical(size, (horizon, (0.55, 0.76, 0.86)), (0.6, (0.2, 0.52, 0.74)), (1, (0.1, 0.38, 0.62)))
    p += (water - p) * below(np.float32(horizon), size, 0.012)[..., None]
    waves = np.clip(noise(rng, size, 26, 5) * 2.6 - 1.3, 0, 1)
    fill(p, (0.75, 0.9, 0.97), below(np.float32(horizon), size) * waves * 0.6)
    rows, columns = coordinates(size)
    rings = np.sqrt(((columns - 0.5) / 2.6) ** 2 + (rows - 0.84) ** 2)
    fill(p, (0.85, 0.95, 1), np.clip(np.sin(rings * 120), 0, 1) * np.exp(-((rings / 0.12) ** 2)) * 0.6)
    return p


def purple_rug(rng: Rng, size: int) -> Array:
    edge = rng.uniform(0.28, 0.36)
    p = vertical(size, (0, vary(rng, (0.8, 0.68, 0.52))), (edge, (0.68, 0.52, 0.36)))
    rows, columns = coordinates(size)
    fill(p, (0.4, 0.26, 0.15), np.clip(1 - np.abs((columns * 6 + rng.uniform(0, 1)) % 1 - 0.5) / 0.06, 0, 1) * 0.5)
    rug = below(np.float32(edge), size, 0.012)
    fill(p, vary(rng, (0.48, 0.2, 0.62), 0.06), rug)
    depth = (rows - edge) / (1 - edge)
    checks = np.sin((columns - 0.5) / (0.35 + 0.65 * depth) * 26) * np.sin(np.sqrt(np.clip(depth, 0, 1)) * 24)
    fill(p, (0.72, 0.46, 0.84), rug * np.clip(checks * 2, 0, 1) * 0.55)
    fill(p, (0.92, 0.8, 0.5), rug * np.clip(1 - np.abs(rows - edge - 0.035) / 0.012, 0, 1) * 0.9)
    fill(p, (0.3, 0.1, 0.42), rug * noise(rng, size, 18, 18) * 0.3)
    return p


def lava(rng: Rng, size: int) -> Array:
    p = vertical(size, (0, (0.16, 0.06, 0.08)), (0.55, vary(rng, (0.7, 0.2, 0.08))))
    rows, columns = coordinates(size)
    x = rng.uniform(0.2, 0.8)
    cone = np.clip((rows - 0.16 - np.maximum(np.abs(columns - x) - 0.08, 0) * 0.9 + (noise(rng, size, 8, 8) - 0.5) * 0.05) / 0.012, 0, 1)
    fill(p, (0.13, 0.09, 0.1), cone)
    glow(p, 0.12, x, 0.14, (1, 0.45, 0.08), 0.9)
    fill(p, (1, 0.5, 0.08), cone * np.exp(-(((columns - x - 0.05 * np.sin(rows * 20)) / 0.02) ** 2)) * (rows < 0.62))
    ground = below(np.float32(0.56), size, 0.03)
    fill(p, (0.12, 0.08, 0.09), ground)
    cracks = np.clip(1 - np.abs(noise(rng, size, 6, 4) - 0.5) / 0.11, 0, 1)
    fill(p, (1, 0.42, 0.06), ground * cracks)
    fill(p, (1, 0.85, 0.3), ground * np.clip(cracks * 2.4 - 1.5, 0, 1))
    for _ in range(16):
        disc(p, rng.uniform(0, 0.6), rng.uniform(0, 1), rng.uniform(0.004, 0.01), (1, 0.65, 0.2), 0.01, 0.9)
    return p


def studio(rng: Rng, size: int) -> Array:
    walls: tuple[Color, ...] = ((0.9, 0.9, 0.9), (0.94, 0.92, 0.87), (0.84, 0.88, 0.92), (0.97, 0.97, 0.97), (0.8, 0.8, 0.82))
    wall = np.asarray(vary(rng, walls[rng.integers(len(walls))], 0.03))
    floor = rng.uniform(0.62, 0.7)
    p = vertical(size, (0, tuple(wall * 0.93)), (floor, tuple(wall)), (floor + 0.08, tuple(wall * 0.95)), (1, tuple(wall * 0.98)))
    glow(p, 0.4, 0.5, 0.5, (1, 1, 1), 0.05)
    return p


ALL: dict[str, Place] = {
    "garden": Place(garden, (1.02, 1.02, 0.96)),
    "autumn": Place(autumn, (1.05, 0.97, 0.86)),
    "beach": Place(beach, (1.04, 1.02, 0.97), 0.35),
    "snow": Place(snow, (0.97, 1.0, 1.05), 0.3),
    "jungle": Place(jungle, (0.88, 0.96, 0.84), 0.5),
    "desert": Place(desert, (1.06, 1.0, 0.88), 0.45),
    "night city": Place(night_city, (0.74, 0.72, 0.9), 0.6),
    "under water": Place(under_water, (0.78, 0.95, 1.05), 0.0, True, (0.15, 0.5, 0.75), 0.18),
    "space": Place(space, (0.9, 0.9, 1.0), 0.0, True),
    "wooden table": Place(wooden_table, (1.03, 0.99, 0.93), 0.5),
    "brick wall": Place(brick_wall, (1.0, 0.98, 0.95), 0.45),
    "sunset": Place(sunset, (1.0, 0.8, 0.74), 0.5),
    "rainy street": Place(rainy_street, (0.86, 0.9, 0.95), 0.5),
    "sunflowers": Place(sunflowers, (1.04, 1.03, 0.95)),
    "mountain": Place(mountain, (1.0, 1.01, 1.0)),
    "lake": Place(lake, (0.97, 1.0, 1.03), 0.35),
    "purple rug": Place(purple_rug, (1.0, 0.96, 0.98), 0.5),
    "lava": Place(lava, (1.02, 0.76, 0.66), 0.6),
    STUDIO: Place(studio, (1.0, 1.0, 1.0), 0.3),
}  # fmt: skip

assert set(ALL) == {*PLACES, STUDIO}


def paint(place: str, rng: Rng, size: int) -> Array:
    """A background, uint8 [size, size, 3]."""
    return (np.clip(ALL[place].paint(rng, size), 0, 1) * 255 + 0.5).astype(np.uint8)
