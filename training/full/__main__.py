"""Training at full size, with the paper's settings.

    accelerate launch --config_file training/full/sharded.yaml -m training.full stage1
    accelerate launch -m training.full stage2
    python -m training.full export --as moma-mine   # a bundle of what was learned, in the place of the published MoMA
    python -m training.full --toy                   # all of it, three updates each, on recorded toy networks

--config names other settings than full.json. AdamW, accumulated gradients, clipping, as many devices as accelerate is
given; goes on from the last state saved. Writes <out>/<stage>/mllm.pt or adapters.pt, and the state beside it.

What it takes: weights, gradients and AdamW's moments are float32, 16 bytes a parameter. For stage 1's 6.6 G that is
106 GB, which sharded.yaml spreads over the paper's 16 devices, with activations computed again on the way back. Stage 2
learns some 60 M parameters, and needs the frozen networks on every device: 33 GB. Neither was ever run at that size.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch import Tensor
from torch.utils.data import DataLoader
from transformers.utils import logging

from training.full.data import Pairs, collate, read_subjects
from training.full.export import export
from training.full.networks import Bundle, open_bundle, published_mllm
from training.full.settings import Settings, read_settings
from training.full.stages import STAGES, Stage
from training.full.toy import still_the_same, toy_bundle, toy_settings, write_toy_data
from training.miniature.common import replace_file

FULL = Path(__file__).parent / "full.json"
LEARNER = "learner."


def begin(stage_name: str, bundle: Bundle, settings: Settings) -> Stage:
    """The stage before its first update, the same on every device: what is new in it is drawn by the seed."""
    set_seed(settings.seed)
    return STAGES[stage_name](bundle, settings)


def run(stage_name: str, bundle: Bundle, settings: Settings) -> None:
    accelerator = Accelerator(
        mixed_precision=settings.mixedPrecision,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=settings.seed),
    )
    stage = begin(stage_name, bundle, settings)
    stage.keep_on(accelerator.device)
    pairs = Pairs(read_subjects(settings.data), settings.sizePx, settings.seed)
    loader = DataLoader(pairs, settings.batch, shuffle=True, collate_fn=collate, num_workers=settings.workers, drop_last=True)
    optimizer = torch.optim.AdamW(stage.learner.parameters(), lr=settings.learningRate, weight_decay=settings.weightDecay)
    count = sum(p.numel() for p in stage.learner.parameters())
    model, optimizer, loader = accelerator.prepare(stage.train(), optimizer, loader)
    set_seed(settings.seed, device_specific=True)  # every device's own noise
    progress = Progress()
    accelerator.register_for_checkpointing(progress)
    folder = settings.out / stage_name
    if (folder / "state").exists():
        accelerator.load_state(str(folder / "state"))
    accelerator.print(f"{stage_name}: {count / 1e6:.2f} M learn, {len(pairs)} pictures, "
                      f"{accelerator.num_processes} devices, from update {progress.updates}")  # fmt: skip

    batches = endless(loader, pairs)
    while progress.updates < settings.updates:
        total = 0.0
        for part in range(settings.accumulation):
            rng = np.random.default_rng([settings.seed, accelerator.process_index, progress.updates, part])
            is_last = part == settings.accumulation - 1
            with nullcontext() if is_last else accelerator.no_sync(model):
                with accelerator.autocast():
                    loss = model(next(batches), rng)["loss"] / settings.accumulation
                accelerator.backward(loss)
            total += loss.detach().item()
        norm = accelerator.clip_grad_norm_(model.parameters(), settings.gradientNorm).item()
        if not math.isfinite(norm):
            raise FloatingPointError(f"{stage_name}: the gradient of update {progress.updates} is {norm}")
        optimizer.step()
        optimizer.zero_grad()
        progress.updates += 1
        accelerator.print(f"update {progress.updates}  loss {total:.5f}  gradient norm {norm:.3f}")
        if progress.updates % settings.saveEveryUpdates == 0 or progress.updates == settings.updates:
            accelerator.save_state(str(folder / "state"))
            learned = learned_by(accelerator.get_state_dict(model))
            if accelerator.is_main_process:
                replace_file(folder / stage.output, lambda path: torch.save(stage.written(learned), path))
    accelerator.free_memory()


def learned_by(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The learner's tensors of a stage's."""
    return {name.removeprefix(LEARNER): tensor.cpu() for name, tensor in state.items() if name.startswith(LEARNER)}


class Progress:
    def __init__(self):
        self.updates = 0

    def state_dict(self) -> dict[str, int]:
        return {"updates": self.updates}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.updates = state["updates"]


def endless(loader: DataLoader, pairs: Pairs) -> Iterator[dict]:
    if len(loader) == 0:
        raise ValueError(f"{len(pairs)} pictures are too few for a batch on every device")
    while True:
        yield from loader
        pairs.epoch += 1


def toy() -> None:
    """Every stage at toy size, in three updates, stopped after two; fails where a tensor is as it was before them."""
    with tempfile.TemporaryDirectory() as folder:
        settings = toy_settings(read_settings(FULL), Path(folder))
        write_toy_data(settings.data)
        bundle = toy_bundle()
        for name in STAGES:
            start = begin(name, bundle, settings)
            run(name, bundle, replace(settings, updates=2))
            run(name, bundle, settings)  # goes on where it was
            written = torch.load(settings.out / name / start.output, weights_only=True)
            if same := still_the_same(start.written(learned_by(start.state_dict())), written):
                raise SystemExit(f"{name} has not learned {', '.join(same)}")
        export(bundle, settings, settings.out / "moma-learned")
        learned = open_bundle(settings.out / "moma-learned", settings.out / "moma-learned")
        published_mllm(learned)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.full", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("what", nargs="?", choices=[*STAGES, "export"])
    parser.add_argument("--config", type=Path, default=FULL)
    parser.add_argument("--as", dest="name", help="the exported bundle's name: a new folder beside that of the weights")
    parser.add_argument("--toy", action="store_true", help="toy networks, a tiny set of pictures, three updates")
    o = parser.parse_args()
    # Published files hold more than one network takes; what is missing in them is an error of ours.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if o.toy:
        return toy()
    if o.what is None or (o.what == "export") != bool(o.name):
        parser.error("name what to do: stage1, stage2, or export with --as NAME")
    settings = read_settings(o.config)
    bundle = open_bundle(settings.bundle, settings.files)
    if o.what == "export":
        export(bundle, settings, settings.files.parent / o.name)
    else:
        run(o.what, bundle, settings)


if __name__ == "__main__":
    main()
