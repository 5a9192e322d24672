"""Where goldens lie, how they are written, and how a block's inputs and outputs are recorded.

Everything is written so that the same tensors give the same bytes: safetensors and torch's zip files hold no times
and no names of the machine, JSON is written with a fixed layout.
"""

import inspect
import json
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "test/parity/data"
LAYOUTS = ROOT / "models/moma-sd15/layouts"


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_safetensors(path, tensors):
    """The published files of diffusers and transformers carry {"format": "pt"}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(path, tensors, {"format": "pt"})


def write_torch(path, value):
    """torch's zip format; every tensor gets a storage of its own, as in a published checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)


def write_golden(case, inputs, outputs):
    """golden.safetensors of a case: `in.<name>` and `out.<name>`, float32 or int64."""
    tensors = {f"in.{name}": value for name, value in inputs.items()}
    tensors |= {f"out.{name}": value for name, value in outputs.items()}
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.int64):
            raise TypeError(f"{case}: {name} is {tensor.dtype}, allowed are float32 and int64")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{case}: {name} is not finite")
    path = DATA / case / "golden.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(path, tensors, None)


@contextmanager
def record_blocks(model, blocks):
    """Records what goes into and comes out of `blocks` {golden name: module path} at every call of the model.

    Yields the dicts (inputs, outputs) that are filled: `<name>.x` is a block's first argument, `<name>.<argument>` each
    further tensor by the name that the block's `forward` gives it, `<name>` its output.
    """
    inputs, outputs = {}, {}

    def hook(name):
        def record(module, positional, named, result):
            arguments = list(inspect.signature(module.forward).bind(*positional, **named).arguments.items())
            inputs[f"{name}.x"] = arguments[0][1]
            for key, value in arguments[1:]:
                if isinstance(value, torch.Tensor):
                    inputs[f"{name}.{key}"] = value
            outputs[name] = result[0] if isinstance(result, tuple) else getattr(result, "sample", result)

        return record

    handles = [
        model.get_submodule(path).register_forward_hook(hook(name), with_kwargs=True) for name, path in blocks.items()
    ]
    try:
        yield inputs, outputs
    finally:
        for handle in handles:
            handle.remove()


def _save(path, tensors, metadata):
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path, metadata)
    path.chmod(0o644)
