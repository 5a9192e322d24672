"""Every recipe in order, within one budget; call it again and it goes on where it was stopped.

    python -m training.miniature.all --minutes 150
    python -m training.miniature.all --minutes 12 --pairs 131072 --workers 8      # on a GPU

Each recipe gets its share of the minutes; tokenizers, samples, and what networks make of the samples come on top.
With --until STAGE it ends after that one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

# In order: the recipe with its flags, its folder, its share of the minutes.
STAGES = [
    ("vae", "vae", 0.14),
    ("clip", "clip", 0.10),
    ("unet", "unet", 0.32),
    ("ip_adapter", "ip_adapter", 0.07),
    ("stage1", "stage1", 0.08),
    ("stage2", "stage2", 0.08),
    ("segmentation", "segmentation", 0.04),
    ("person_detector", "person_detector", 0.08),
    ("metrics clip", "metrics_clip", 0.03),
    ("metrics dino", "metrics_dino", 0.02),
    ("vae --decoder", "vae_decoder", 0.04),
]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.miniature.all", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--minutes", type=float, default=150)
    parser.add_argument("--root", type=Path, default=Path(".moma/training"))
    parser.add_argument("--pairs", type=int, default=6144)
    parser.add_argument("--workers", type=int, default=1, help="processes that render the pool")
    parser.add_argument("--shards", type=int, default=None, help="read that many of the pool's shards only")
    parser.add_argument("--bundle", type=Path, default=Path("models/moma-mini"))
    parser.add_argument("--stages", nargs="+", choices=[folder for _, folder, _ in STAGES], help="these alone")
    parser.add_argument("--until", choices=[folder for _, folder, _ in STAGES])
    o = parser.parse_args()
    icons = o.root / "icons.bin"
    if not icons.exists():
        parser.error(f"{icons} is missing; `node training/world/icons.ts --out {icons}` draws it")
    if not (o.root / "tokenizers/clip").exists():
        run("tokenizers", o.root / "tokenizers", icons)
    run("pool", o.root / "pool", icons, "--pairs", str(o.pairs), "--workers", str(o.workers))
    shards = ["--shards", str(o.shards)] if o.shards else []
    chosen = [stage for stage in STAGES if o.stages is None or stage[1] in o.stages]
    whole = sum(share for _, _, share in chosen)
    for recipe, folder, share in chosen:
        run(recipe, o.root / folder, icons, "--minutes", f"{o.minutes * share / whole:.2f}", *shards)
        if folder == o.until:
            return
    command("training.miniature.export", "--root", str(o.root), "--out", str(o.bundle))


def run(recipe: str, out: Path, icons: Path, *more: str) -> None:
    name, *flags = recipe.split()
    command(f"training.miniature.{name}", *flags, "--out", str(out), "--icons", str(icons), *more)


def command(module: str, *arguments: str) -> None:
    # Threads that spin while they wait take the processor from whoever shares the machine, and then from each other.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    print(module, *arguments, flush=True)
    subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=True)


if __name__ == "__main__":
    main()
