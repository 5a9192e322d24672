"""Every recipe, within one budget, and the bundle in the end.

    python -m training.miniature.all --minutes 150
    python -m training.miniature.all --minutes 14 --together --pairs 131072 --workers 8 --root /dev/shm/training

One after the other each recipe gets its share of the minutes; tokenizers, samples, and what networks make of the samples
come on top. Call it again and it goes on where it was stopped. With --until STAGE it ends after that one.

With --together, on a GPU, recipes that don't wait for each other run side by side and all ends when the minutes are over:
each has a time by which it ends. One that fails is called once more without recorded steps.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
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
    ("person_detector", "person_detector", 0.06),
    ("metrics clip", "metrics_clip", 0.03),
    ("zero_shot", "zero_shot", 0.02),
    ("metrics dino", "metrics_dino", 0.02),
    ("vae --decoder", "vae_decoder", 0.04),
]

# Side by side: recipes in the order of their lanes, and by which share of the minutes each has ended.
LANES = [
    [("vae", "vae", 0.20), ("unet", "unet", 0.74), ("ip_adapter", "ip_adapter", 0.81), ("stage2", "stage2", 0.95)],
    [
        ("clip", "clip", 0.16), ("stage1", "stage1", 0.24), ("metrics dino", "metrics_dino", 0.32),
        ("metrics clip", "metrics_clip", 0.40), ("segmentation", "segmentation", 0.46), ("zero_shot", "zero_shot", 0.75),
    ],
    [("person_detector", "person_detector", 0.60)],
]  # fmt: skip
NEEDS = {"unet": ["clip"], "stage2": ["stage1"], "person_detector": ["vae"]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.miniature.all", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--minutes", type=float, default=150)
    parser.add_argument("--root", type=Path, default=Path(".moma/training"))
    parser.add_argument("--icons", type=Path, help="ROOT/icons.bin if not said")
    parser.add_argument("--pairs", type=int, default=6144)
    parser.add_argument("--workers", type=int, default=1, help="processes that render the pool")
    parser.add_argument("--shards", type=int, default=None, help="read that many of the pool's shards only")
    parser.add_argument("--bundle", type=Path, default=Path("models/moma-mini"))
    parser.add_argument("--together", action="store_true", help="recipes side by side, on a GPU")
    parser.add_argument("--stages", nargs="+", choices=[folder for _, folder, _ in STAGES], help="these alone")
    parser.add_argument("--until", choices=[folder for _, folder, _ in STAGES])
    o = parser.parse_args()
    started = time.time()
    icons = o.icons or o.root / "icons.bin"
    if not icons.exists():
        parser.error(f"{icons} is missing; `npm exec -- node training/world/icons.ts --out {icons}` draws it")
    if not (o.root / "tokenizers/clip").exists():
        run("tokenizers", o.root / "tokenizers", icons)
    run("pool", o.root / "pool", icons, "--pairs", str(o.pairs), "--workers", str(o.workers))
    shards = ["--shards", str(o.shards)] if o.shards else []
    if o.together:
        side_by_side(o.root, icons, started, o.minutes * 60, shards)
    else:
        chosen = [stage for stage in STAGES if o.stages is None or stage[1] in o.stages]
        whole = sum(share for _, _, share in chosen)
        for recipe, folder, share in chosen:
            run(recipe, o.root / folder, icons, "--minutes", f"{o.minutes * share / whole:.2f}", *shards)
            if folder == o.until:
                return
    command("training.miniature.export", "--root", str(o.root), "--out", str(o.bundle))


def side_by_side(root: Path, icons: Path, started: float, seconds: float, more: list[str]) -> None:
    ended = {folder: threading.Event() for lane in LANES for _, folder, _ in lane}
    failed: list[str] = []

    def follow(lane: list[tuple[str, str, float]]) -> None:
        for recipe, folder, share in lane:
            for needed in NEEDS.get(folder, []):
                ended[needed].wait()
            until = ["--minutes", "9999", "--until", f"{started + share * seconds:.0f}", "--no-compile", *more]
            (root / folder).mkdir(parents=True, exist_ok=True)
            with (root / folder / "log.txt").open("w") as log:
                try:
                    run(recipe, root / folder, icons, *until, log=log)
                except subprocess.CalledProcessError:
                    print(f"{recipe} failed ({log.name}); once more without recorded steps", flush=True)
                    try:
                        run(recipe, root / folder, icons, *until, "--no-record", log=log)
                    except subprocess.CalledProcessError:
                        failed.append(f"{recipe}: {log.name}")
            print(f"{time.time() - started:.0f} s: {recipe}", flush=True)
            ended[folder].set()

    lanes = [threading.Thread(target=follow, args=(lane,)) for lane in LANES]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    if failed:
        raise SystemExit("failed: " + ", ".join(failed))


def run(recipe: str, out: Path, icons: Path, *more: str, log=None) -> None:
    name, *flags = recipe.split()
    command(f"training.miniature.{name}", *flags, "--out", str(out), "--icons", str(icons), *more, log=log)


def command(module: str, *arguments: str, log=None) -> None:
    # Threads that spin while they wait take the processor from whoever shares the machine, and then from each other.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    print(" ".join([module, *arguments]), flush=True)
    subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=True, stdout=log, stderr=log)


if __name__ == "__main__":
    main()
