"""Training at full size, with the paper's settings.

    accelerate launch -m training.full stage1 --config training/full/full.json
    accelerate launch -m training.full stage2 --config training/full/full.json
    python -m training.full --toy            # both stages, two updates each, on recorded toy networks

AdamW, accumulated gradients, clipping, as many devices as accelerate is given. Goes on from the last state saved.
Writes <out>/<stage>/mllm.pt or adapters.pt, and the state beside it.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch.utils.data import DataLoader
from transformers.utils import logging

from training.full.data import Pairs, collate, read_subjects
from training.full.networks import Bundle, open_bundle
from training.full.settings import Settings, read_settings
from training.full.stages import STAGES
from training.full.toy import toy_bundle, toy_settings, write_toy_data
from training.miniature.common import replace_file


def run(stage_name: str, bundle: Bundle, settings: Settings) -> None:
    accelerator = Accelerator(
        mixed_precision=settings.mixedPrecision,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True),
    )
    set_seed(settings.seed, device_specific=True)
    stage = STAGES[stage_name](bundle, settings)
    for network in stage.frozen.values():
        network.to(accelerator.device).requires_grad_(False).eval()
    pairs = Pairs(read_subjects(settings.data), settings.sizePx, settings.seed)
    loader = DataLoader(pairs, settings.batch, shuffle=True, collate_fn=collate, num_workers=settings.workers, drop_last=True)
    optimizer = torch.optim.AdamW(stage.learner.parameters(), lr=settings.learningRate, weight_decay=settings.weightDecay)
    # The stage-2 maps live inside the frozen UNet, which no wrapper calls: gradients are averaged by hand below.
    optimizer, loader = accelerator.prepare(optimizer, loader)
    model = stage.learner.to(accelerator.device).train()
    progress = Progress()
    accelerator.register_for_checkpointing(progress, Module(model))
    folder = settings.out / stage_name
    if (folder / "state").exists():
        accelerator.load_state(str(folder / "state"))
    trained = [p for p in model.parameters() if p.requires_grad]
    accelerator.print(f"{stage_name}: {sum(p.numel() for p in trained) / 1e6:.2f} M learn, {len(pairs)} pictures, "
                      f"{accelerator.num_processes} devices, from update {progress.updates}")  # fmt: skip

    batches = endless(loader, pairs)
    while progress.updates < settings.updates:
        total = 0.0
        for part in range(settings.accumulation):
            rng = np.random.default_rng([settings.seed, accelerator.process_index, progress.updates, part])
            with accelerator.autocast():
                named = stage.losses(model, next(batches), rng)
            (named["loss"] / settings.accumulation).backward()
            total += named["loss"].detach().item() / settings.accumulation
        average_gradients(accelerator, trained)
        norm = torch.nn.utils.clip_grad_norm_(trained, settings.gradientNorm)
        if not math.isfinite(norm):
            raise FloatingPointError(f"{stage_name}: the gradient of update {progress.updates} is {norm}")
        optimizer.step()
        optimizer.zero_grad()
        progress.updates += 1
        accelerator.print(f"update {progress.updates}  loss {total:.5f}  gradient norm {norm:.3f}")
        if progress.updates % settings.saveEveryUpdates == 0 or progress.updates == settings.updates:
            accelerator.save_state(str(folder / "state"))
            if accelerator.is_main_process:
                replace_file(folder / stage.output, lambda path: torch.save(stage.checkpoint(model), path))


class Progress:
    def __init__(self):
        self.updates = 0

    def state_dict(self) -> dict[str, int]:
        return {"updates": self.updates}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.updates = state["updates"]


class Module:
    """What learns, as something that is saved with a run's state though accelerate never wrapped it."""

    def __init__(self, model: torch.nn.Module):
        self.model = model

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.model.load_state_dict(state)


def endless(loader: DataLoader, pairs: Pairs) -> Iterator[dict]:
    if len(loader) == 0:
        raise ValueError(f"{len(pairs)} pictures are too few for a batch on every device")
    while True:
        yield from loader
        pairs.epoch += 1


def average_gradients(accelerator: Accelerator, parameters: list[torch.nn.Parameter]) -> None:
    """Over all devices, once an update."""
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad = accelerator.reduce(parameter.grad, reduction="mean")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.full", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("stage", nargs="?", choices=list(STAGES))
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "full.json")
    parser.add_argument("--toy", action="store_true", help="toy networks, a tiny set of pictures, two updates")
    o = parser.parse_args()
    settings = read_settings(o.config)
    # Published files hold more than one network takes; what is missing in them is an error of ours.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if not o.toy:
        if o.stage is None:
            parser.error("name a stage: stage1 or stage2")
        run(o.stage, open_bundle(settings.bundle, settings.files), settings)
        return
    with tempfile.TemporaryDirectory() as folder:
        toy = replace(settings, **toy_settings(settings, Path(folder)))
        write_toy_data(toy.data)
        for stage in [o.stage] if o.stage else STAGES:
            run(stage, toy_bundle(), toy)
            run(stage, toy_bundle(), replace(toy, updates=3))  # goes on where it was


if __name__ == "__main__":
    main()
