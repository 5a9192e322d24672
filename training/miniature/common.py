"""What every recipe shares: the command line, the training loop with its time budget, checkpoints, and the loss log.

A recipe is `python -m training.miniature.<name> --minutes M --out FOLDER`. It trains until M minutes of training are
used up, all calls counted together, and can be killed and called again at any time. Same seed, same data.

Several processes train one model, each on its own batches, by `torchrun --nproc-per-node 2 -m training.miniature.<name>`:
two single-threaded ones take a CPU's two cores further than one process of two threads.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

ICONS = Path(".moma/training/icons.bin")
CHECKPOINT_EVERY_S = 180
TRAINED_PER_PUBLISHED = 15  # seconds of training to one of publishing, which may measure a thousand pictures
LOG_EVERY_STEPS = 20
WARMUP_STEPS = 200
PAUSE_S = 20  # more than a step ever takes: beyond that the process was stopped, which is no training time
DECAY_SHARE = 0.25  # of the budget, at its end: the learning rate falls to zero
STEPS_BEFORE_RECORDING = 3  # what is set up at first use (kernels chosen, buffers made) must not be part of a recorded step


@dataclass(frozen=True)
class Options:
    """What a recipe was asked for."""

    minutes: float  # training time in all, earlier calls of the same folder counted in
    out: Path
    icons: Path
    seed: int
    batch: int
    shards: int | None  # of the pool, as many are read; None is all
    device: torch.device
    compile: bool
    record: bool = True  # steps as CUDA graphs, on a GPU
    until: float | None = None  # seconds since 1970: training ends then, whatever minutes are left
    rank: int = 0  # of the processes that train together

    def beside(self, name: str) -> Path:
        """Folder of another recipe's outputs."""
        return self.out.parent / name

    def seed_step(self, step: int) -> None:
        """torch's random numbers of a step, on every device: a resumed run draws what an uninterrupted one would."""
        torch.manual_seed(int(np.random.SeedSequence([self.seed, step, self.rank]).generate_state(1, np.uint64)[0] >> 1))

    def budget_s(self, used_s: float) -> float:
        """Seconds of training in all, `used_s` of them used."""
        left_s = self.minutes * 60 - used_s
        return used_s + (left_s if self.until is None else min(left_s, self.until - time.time()))

    def compiled(self, function: Callable) -> Callable:
        """The function through torch's compiler, which fuses what lies between the products: small networks on a CPU
        train two to three times as fast. Compiling takes minutes the first time, and is no training time."""
        return torch.compile(function, dynamic=False) if self.compile else function

    def fast(self, forward: Callable) -> Callable:
        """
        As `halved`, elsewhere compiled. Not both: what the compiler makes of bf16 on a CPU gave gradients that are no
        numbers, and on a GPU a UNet's compiling took longer than its training, five minutes for 6,300 operations.
        """
        halved = self.halved(forward)
        return self.compiled(forward) if halved is forward else halved

    def halved(self, forward: Callable) -> Callable:
        """forward(model, *tensors) in bf16 on a GPU and on a CPU with a matrix unit, elsewhere as it is."""
        if self.device.type == "cuda":
            return in_bf16_throughout(forward)
        return in_bf16(forward) if has_matrix_unit(self.device) else forward

    def halved_throughout(self, forward: Callable) -> Callable:
        """As `fast`, with weights and norms in bf16 too on every device that multiplies bf16: for towers, which a CPU with a
        matrix unit then trains a seventh faster than by `halved`. It gains nothing on a UNet there."""
        halves = self.device.type == "cuda" or has_matrix_unit(self.device)
        return in_bf16_throughout(forward) if halves else self.compiled(forward)


def options(
    name: str,
    minutes: float,
    batch_cpu: int,
    batch_gpu: int,
    more: argparse.ArgumentParser | None = None,
    seed: int = 1,
) -> Options:
    """Reads the command line; `more` holds flags of the recipe's own, which it reads by `parse_known_args` itself."""
    parser = argparse.ArgumentParser(prog=f"python -m training.miniature.{name}", parents=[more] if more else [])
    parser.add_argument("--minutes", type=float, default=minutes, help="training time in all, resumed runs included")
    parser.add_argument("--out", type=Path, default=Path(".moma/training") / name)
    parser.add_argument("--until", type=float, help="seconds since 1970 at which training ends, whatever minutes are left")
    parser.add_argument("--icons", type=Path, default=ICONS)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--shards", type=int, default=None, help="read that many of the pool's shards only")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=shutil.which("g++") is not None)
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, default=True, help="steps as CUDA graphs, on a GPU")
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.manual_seed(given.seed)
    torch.backends.cudnn.benchmark = True  # shapes stay the same
    if "WORLD_SIZE" in os.environ:
        distributed.init_process_group("gloo")
        if device.type == "cpu" and hasattr(os, "sched_setaffinity"):
            own = sorted(os.sched_getaffinity(0))[rank() :: distributed.get_world_size()]
            os.sched_setaffinity(0, own)
    given.out.mkdir(parents=True, exist_ok=True)
    batch = given.batch or (batch_gpu if device.type == "cuda" else batch_cpu)
    return Options(
        given.minutes, given.out, given.icons, given.seed, batch, given.shards, device, given.compile, given.record,
        given.until, rank(),
    )


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def together() -> bool:
    return distributed.is_initialized() and distributed.get_world_size() > 1


@torch.no_grad()
def average_gradients(parameters: list[nn.Parameter]) -> None:
    """The mean over all processes, in one message."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, own in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(own.view_as(gradient))


def agreed(used_s: float, stopped: bool) -> tuple[float, bool]:
    """Of all processes the longest time, and whether any was asked to end: they do the same steps."""
    both = torch.tensor([used_s, float(stopped)], dtype=torch.float64)
    distributed.all_reduce(both, distributed.ReduceOp.MAX)
    return float(both[0]), bool(both[1])


def earlier(folder: Path, kind: type) -> Any:
    """What an earlier training left in a folder, to go on from where there is no checkpoint (see `unpack`); None if nothing."""
    return kind.from_pretrained(folder) if (folder / "config.json").exists() else None


def autocast(device: torch.device):
    """bf16 on a GPU, plain float32 elsewhere."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def has_matrix_unit(device: torch.device) -> bool:
    """Whether this is a CPU that multiplies bf16 matrices by itself (AMX)."""
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def in_bf16(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A model's forward pass in bf16 on the CPU, its output or outputs in float32: with AMX about twice as fast."""

    def halved(*given: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            outputs = forward(*given)
        return outputs.float() if isinstance(outputs, Tensor) else tuple(output.float() for output in outputs)

    return halved


class Applied(nn.Module):
    """A function of a model as a module of its own."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]):
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *given: Any) -> Any:
        return self.function(self.model, *given)


def in_bf16_throughout(forward: Callable[..., Any]) -> Callable[..., Any]:
    """
    A model's forward pass with weights and tensors in bf16, norms too, its output or outputs in float32. Under autocast two
    fifths of the bytes that a UNet moves go into casts before and after norms.
    """

    def halved(model: nn.Module, *given: Any) -> Any:
        half = lambda value: value.bfloat16() if isinstance(value, Tensor) and value.is_floating_point() else value
        weights = {f"model.{name}": half(weight) for name, weight in model.named_parameters()}
        with torch.autocast("cuda", enabled=False):
            outputs = functional_call(Applied(model, forward), weights, tuple(map(half, given)))
        return outputs.float() if isinstance(outputs, Tensor) else tuple(output.float() for output in outputs)

    return halved


def pixels(pictures: Tensor) -> Tensor:
    """uint8 [n, H, W, 3] → float32 [n, 3, H, W] in −1 … 1."""
    return pictures.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def parameter_groups(module: nn.Module, weight_decay: float, faster: Mapping[str, float]) -> list[dict[str, Any]]:
    """
    Weight decay for matrices and kernels, none for biases, norms and scalars. `faster`: factors on the learning rate,
    by the end of a parameter's name.
    """
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            factor = next((value for end, value in faster.items() if name.endswith(end)), 1.0)
            groups.setdefault((weight_decay if parameter.ndim > 1 else 0.0, factor), []).append(parameter)
    return [{"params": own, "weight_decay": decay, "factor": factor} for (decay, factor), own in groups.items()]


def learning_rate_factor(step: int, used_share: float) -> float:
    """Warm-up by steps, then flat, then linear to zero over the last DECAY_SHARE of the time budget."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * min(1.0, max(0.0, (1 - used_share) / DECAY_SHARE))


def train(
    o: Options,
    model: nn.Module,
    losses: Callable[[nn.Module], Mapping[str, Tensor]],
    publish: Callable[[nn.Module], None],
    learning_rate: float,
    weight_decay: float = 0.01,
    ema_decay: float = 0.999,
    betas: tuple[float, float] = (0.9, 0.99),
    gradient_norm: float = 1.0,
    faster: Mapping[str, float] = {},
) -> nn.Module:
    """
    Trains until the time budget is used up and returns the averaged model (EMA).

    losses(model) gives the named losses of a step's batch; "loss" is what is minimised. Its batch lies on the model's device
    and is drawn there by torch's own random numbers, with shapes that never change: on a GPU the whole step is recorded
    once and replayed. publish(average) writes what others read; it is called at checkpoints, so seldom that it takes a
    fifteenth of the time at most, and at the end.
    """
    model.to(o.device).train()
    average = copy.deepcopy(model).requires_grad_(False).eval()
    optimizer = torch.optim.AdamW(
        parameter_groups(model, weight_decay, faster), lr=torch.tensor(learning_rate, device=o.device), betas=betas,
        fused=True, capturable=o.device.type == "cuda",
    )  # fmt: skip
    state = Checkpoint(o.out / "checkpoint.pt", model, average, optimizer)
    step, used_s = state.load(o.device)
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(learning_rate, device=o.device)
    one_step = Step(o, model, optimizer, losses, gradient_norm)
    log = LossLog(o.out, step)
    stopped = stop_flag()
    saved = published = clock = time.monotonic()
    publish_every_s = float(CHECKPOINT_EVERY_S)
    stop = False
    while not stop and used_s < (budget_s := o.budget_s(used_s)):
        factor = learning_rate_factor(step, used_s / budget_s)
        for group in optimizer.param_groups:
            group["lr"].fill_(learning_rate * factor * group["factor"])
        o.seed_step(step)
        named = one_step()
        update_average(average, model, min(ema_decay, (1 + step) / (10 + step)))
        step += 1
        if o.rank == 0:
            log.add(step, learning_rate * factor, named)
        if step % LOG_EVERY_STEPS == 0:
            log.write(used_s)  # which waits for the device
        now = time.monotonic()
        used_s, clock = used_s + min(now - clock, PAUSE_S), now
        stop = stopped()
        if together():
            used_s, stop = agreed(used_s, stop)
        if o.rank == 0 and now - saved > CHECKPOINT_EVERY_S:
            state.save(step, used_s)
            log.plot()
            saved = clock = time.monotonic()  # writing is no training time
            if clock - published > publish_every_s:
                publish(average)
                published = time.monotonic()
                publish_every_s, clock = TRAINED_PER_PUBLISHED * (published - clock), published
    if o.rank > 0:
        return average
    log.write(used_s)
    state.save(step, used_s)
    publish(average)
    log.plot()
    print(f"{o.out}: {step} steps, {used_s / 60:.1f} of {o.minutes:g} minutes", flush=True)
    return average


class Step:
    """
    A step of training: the losses forward and back, clipping, the optimiser; gives the losses and the gradient's norm. On a
    GPU what small networks do is less than what starting every kernel from Python takes: the step is recorded as one CUDA
    graph and replayed.
    """

    def __init__(
        self,
        o: Options,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        losses: Callable[[nn.Module], Mapping[str, Tensor]],
        gradient_norm: float,
    ):
        self.o, self.model, self.optimizer, self.losses, self.gradient_norm = o, model, optimizer, losses, gradient_norm
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.made = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.told: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        self.made += 1
        if self.o.device.type == "cpu" or not self.o.record:
            return self.run()
        if self.made <= STEPS_BEFORE_RECORDING:
            return self.on_a_side_stream()
        if self.graph is None:
            self.record()
        self.graph.replay()
        return {name: value.clone() for name, value in self.told.items()}

    def run(self) -> dict[str, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.o.device):
            named = self.losses(self.model)
        named["loss"].backward()
        if together():
            average_gradients(self.trained)
        norm = nn.utils.clip_grad_norm_(self.trained, self.gradient_norm)
        self.optimizer.found_inf = (~torch.isfinite(norm)).float()  # such a step changes nothing
        self.optimizer.step()
        return {name: value.detach() for name, value in {**named, "gradient_norm": norm}.items()}

    def on_a_side_stream(self) -> dict[str, Tensor]:
        """Where torch wants everything to have run once that it is to record."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            told = self.run()
        torch.cuda.current_stream().wait_stream(stream)
        return told

    def record(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.told = self.run()


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), model.buffers()):
        mine.copy_(theirs)


class Checkpoint:
    """Model, average, optimiser, step and time used, in one file that is replaced as a whole."""

    def __init__(self, path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer):
        self.path, self.model, self.average, self.optimizer = path, model, average, optimizer

    def load(self, device: torch.device) -> tuple[int, float]:
        if not self.path.exists():
            return 0, 0.0
        saved = torch.load(self.path, map_location=device, weights_only=True)
        # How the optimiser computes is this run's affair; the checkpoint may be another device's.
        for group, own in zip(saved["optimizer"]["param_groups"], self.optimizer.param_groups):
            group.update({name: own[name] for name in ("capturable", "fused", "foreach")})
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        return saved["step"], saved["used_s"]

    def save(self, step: int, used_s: float) -> None:
        saved = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": step,
            "used_s": used_s,
        }
        replace_file(self.path, lambda temporary: torch.save(saved, temporary))


class LossLog:
    """loss.csv, a row every LOG_EVERY_STEPS steps (means since the last row), and loss.png."""

    def __init__(self, folder: Path, step: int):
        self.csv, self.png, self.step = folder / "loss.csv", folder / "loss.png", step
        self.sums: dict[str, float] = {}
        self.count = 0
        self.rate = 0.0
        # Rows after the checkpoint belong to steps that are made again.
        self.rows = [row for row in read_rows(self.csv) if int(row["step"]) <= step]
        self.pending: list[dict[str, Tensor]] = []

    def add(self, step: int, rate: float, named: dict[str, Tensor]) -> None:
        self.step, self.rate = step, rate
        self.pending.append(named)

    def write(self, used_s: float) -> None:
        if not self.pending:
            return
        means = {name: float(torch.stack([one[name].float() for one in self.pending]).mean()) for name in self.pending[0]}
        self.pending.clear()
        row = {"step": self.step, "seconds": round(used_s, 1), "learning_rate": f"{self.rate:.3g}"}
        row |= {name: f"{mean:.5g}" for name, mean in means.items()}
        self.rows.append(row)
        replace_file(self.csv, lambda temporary: write_rows(temporary, self.rows))
        if len(self.rows) % 10 == 1:
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)

    def plot(self) -> None:
        if len(self.rows) < 2:
            return
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        names = [name for name in self.rows[-1] if name not in ("step", "seconds", "learning_rate", "gradient_norm")]
        figure, axes = plt.subplots(len(names), 1, figsize=(7, 1.8 * len(names) + 0.6), sharex=True, squeeze=False)
        for axis, name in zip(axes[:, 0], names):
            axis.plot([int(row["step"]) for row in self.rows], [float(row.get(name) or "nan") for row in self.rows], lw=1)
            axis.set_ylabel(name)
            axis.grid(alpha=0.3)
        axes[-1, 0].set_xlabel("step")
        figure.tight_layout()
        replace_file(self.png, lambda temporary: figure.savefig(temporary, dpi=90, format="png"))
        plt.close(figure)


def read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[-1]), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes beside and renames, so that a reader, a kill or another process that writes it never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    write(temporary)
    os.replace(temporary, path)


def save_tensors(path: Path, tensors: Any) -> None:
    """Dictionaries of tensors as a torch file that opens on every machine."""
    replace_file(path, lambda temporary: torch.save(tree_map(lambda tensor: tensor.cpu(), tensors), temporary))


def replace_folder(path: Path, write: Callable[[Path], Any]) -> None:
    """As `replace_file` for a folder; between the two renames there is a moment without one."""
    temporary = path.with_name(f".{path.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary)
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    temporary.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    replace_file(path, lambda temporary: temporary.write_text(json.dumps(value, indent=2) + "\n"))


def stop_flag() -> Callable[[], bool]:
    """True once the process was asked to end (SIGTERM, SIGINT): the loop then saves and returns."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: asked.append(received))
    return lambda: bool(asked)
