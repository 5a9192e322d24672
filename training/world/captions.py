"""Words of the world: places, materials and the captions that name them (the paper's wording)."""

from __future__ import annotations

# Place → phrases that follow "a <label>"; the first is the canonical one, used wherever a list of prompts is needed.
PLACES: dict[str, tuple[str, ...]] = {
    "garden": ("in a green garden with spring flowers", "in a garden with flowers"),
    "autumn": ("in autumn with falling leaves", "in an autumn forest with falling leaves"),
    "beach": ("on the beach", "on a sandy beach by the sea"),
    "snow": ("in the snow", "in a snowy winter landscape"),
    "jungle": ("in the jungle", "in a green forest"),
    "desert": ("in the desert", "on a sand dune in the desert"),
    "night city": ("in a city at night", "with a city at night in the background"),
    "under water": ("under water", "in the deep blue sea"),
    "space": ("in space", "in outer space with stars"),
    "wooden table": ("on a wooden table", "on top of a wooden floor"),
    "brick wall": ("in front of a brick wall", "with a red brick wall in the background"),
    "sunset": ("at sunset", "in front of a sunset"),
    "rainy street": ("on a rainy street", "on a wet street in the rain"),
    "sunflowers": ("on green grass with sunflowers around it", "in a field of sunflowers"),
    "mountain": ("with a mountain in the background", "in the mountains"),
    "lake": ("floating on top of water", "on a lake"),
    "purple rug": ("on top of a purple rug", "on a purple carpet"),
    "lava": ("on a volcano with lava", "surrounded by hot lava"),
}

# The plain place: bare captions and sculptures. Never named in a caption.
STUDIO = "studio"

# The paper's ten materials, in its spelling (supplement, Table 1).
TEXTURES: tuple[str, ...] = (
    "Lego", "Paper", "Gold", "Wood", "silver", "green jade", "glass", "stone", "sketch", "Minecraft",
)  # fmt: skip


def article(noun: str) -> str:
    return "an" if noun[0].lower() in "aeiou" else "a"


def bare_caption(label: str) -> str:
    return f"{article(label)} {label}"


def context_caption(label: str, place: str, phrase: int = 0) -> str:
    """ "a dog in the snow"; `phrase` chooses among the place's phrases."""
    return f"{article(label)} {label} {PLACES[place][phrase % len(PLACES[place])]}"


def texture_caption(label: str, texture: str) -> str:
    """ "A sculpture of a dog made of Gold" """
    return f"A sculpture of {article(label)} {label} made of {texture}"
