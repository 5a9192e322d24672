"""Seeded random weights with which every parameter matters: no norm weight is 1, no bias 0, no activation fades."""

import torch
from torch import nn


def generator(seed):
    return torch.Generator().manual_seed(seed)


def normal(shape, seed, scale=1.0):
    return torch.randn(shape, generator=generator(seed)) * scale


@torch.no_grad()
def randomise(model, seed, gain=1.0):
    """Fills all parameters in place, in the order of their names; `gain` scales the matrices of linear and conv layers."""
    source = generator(seed)
    modules = dict(model.named_modules())
    for name, parameter in sorted(model.named_parameters()):
        owner, _, kind = name.rpartition(".")
        parameter.copy_(_values(modules[owner], kind, parameter.shape, gain, source))
    return model.eval().requires_grad_(False)


def _values(owner, kind, shape, gain, source):
    noise = torch.randn(shape, generator=source)
    if kind == "bias":
        return 0.1 * noise
    if isinstance(owner, nn.Embedding):
        return 0.5 * noise
    if isinstance(owner, (nn.Linear, nn.Conv2d)):
        inputs_per_output = noise[0].numel()
        return gain * noise / inputs_per_output**0.5
    if kind == "weight" and len(shape) == 1:
        return 1 + 0.2 * noise.clamp(-3, 3)
    return 0.5 * noise
