"""A published person detector as a network that learns on: the inverse of what the exporter does to it.

In the file every norm is part of the convolution before it. The weights are taken as they are; a norm gets the mean and
the deviation that the convolution has on pictures, and gives both back: the same function, and one that trains as before.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn


def read_weights(path: Path) -> tuple[list[tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Weight and bias of every convolution that had a norm, in the order in which they are computed; all others by name."""
    graph = onnx.load(path).graph
    array = lambda tensor: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()).float()
    # What is stored as float16 is cast back by its name without ".half".
    arrays = {tensor.name.removesuffix(".half"): array(tensor) for tensor in graph.initializer}
    named = {name.removeprefix("detector."): value for name, value in arrays.items() if name.startswith("detector.")}
    inputs = [node.input for node in graph.node if node.op_type == "Conv"]
    return [(arrays[w], arrays[b]) for _, w, b in inputs if not w.startswith("detector.")], named


@torch.no_grad()
def load_published(detector: nn.Module, path: Path, pictures: Iterable[Tensor]) -> None:
    """Loads a file's weights into a detector; `pictures` are batches of what it learns from. Another topology: ValueError."""
    folded, named = read_weights(path)
    pairs = [m for m in detector.modules() if isinstance(m, nn.Sequential) and len(m) == 2 and isinstance(m[1], nn.BatchNorm2d)]
    if [w.shape for w, _ in folded] != [conv.weight.shape for conv, _ in pairs]:
        raise ValueError(f"{path} holds another network than the recipe's; remove it to begin anew")
    for name, value in named.items():
        detector.get_parameter(name).copy_(value)
    told: dict[nn.Module, list[Tensor]] = {conv: [] for conv, _ in pairs}

    def listen(conv: nn.Module, _given: object, made: Tensor) -> None:
        told[conv].append(torch.stack([made.mean((0, 2, 3)), made.square().mean((0, 2, 3))]))

    for (conv, norm), (weight, bias) in zip(pairs, folded):
        conv.weight.copy_(weight)
        norm.bias.copy_(bias)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
        norm.weight.fill_(1)
    hooks = [conv.register_forward_hook(listen) for conv, _ in pairs]
    was_training = detector.training
    detector.eval()
    for batch in pictures:
        detector(batch)
    for hook in hooks:
        hook.remove()
    for conv, norm in pairs:
        mean, squares = torch.stack(told[conv]).mean(0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_((squares - mean.square()).clamp(min=0))
        norm.weight.copy_((norm.running_var + norm.eps).sqrt())
        norm.bias.add_(mean)
    detector.train(was_training)
