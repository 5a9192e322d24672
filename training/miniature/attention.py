"""MoMA's attentions for training: a batch of unlike samples, each with its own subject, context and masks.

The goldens' `MomaAttention` draws one request; the formulas and the layout of the learned maps are the same:

    adapters = Adapters(unet)                # installs a processor at every attention of the UNet
    with adapters.reading():                 # ordinary attention; every attn1 keeps the reference's keys and values
        unet(reference_latents, 0, noun_states)
    with adapters.given(Given(...)) as maps: # one call of the UNet
        unet(latents, t, text_states)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

BACKGROUND_BELOW = 0.2
FAR_BELOW = -1e4  # a logit whose share is nothing
FEW_TOKENS = 80
SPREAD_CELLS = 0.6  # about the place that a cell corresponds to


@dataclass
class Given:
    """What all attentions of one call share; rows are the samples of the batch."""

    subject_tokens: Tensor | None = None  # [n, T] of 0 and 1: the noun's tokens; maps are recorded where given
    context: Tensor | None = None  # [n, 4, D]
    context_scale: float | Tensor = 1.0  # or [n, 1, 1]
    gate: Tensor | None = None  # [n, 1, h, w], 0 … 1: m_gen; None is 1 everywhere
    reference_mask: Tensor | None = None  # [n, 1, h, w]: the reference's subject where above 0
    strength: Tensor | None = None  # [n]: β; None leaves the subject branch out
    size: tuple[int, int] = (16, 16)  # of the latents
    maps: list[Tensor] = field(default_factory=list)  # filled by the cross-attentions: [n, 1, h_l, w_l]
    elsewhere: Tensor | None = None  # [n, 2, 3]: from a place in the picture, −1 … 1, to where the reference shows the same
    apart: list[Tensor] = field(default_factory=list)  # filled where `elsewhere` is given: cross-entropy to it, a number each

    def shrunk(self, picture: Tensor, tokens: int) -> Tensor:
        """[n, 1, h, w] → [n, tokens, 1] by nearest neighbour."""
        return F.interpolate(picture, self.size_of(tokens), mode="nearest").flatten(2).transpose(1, 2)

    def shown(self, tokens: int) -> Tensor:
        """[n, 1, 1, tokens]: which of the reference's tokens are the subject's; too small to leave one, all of them."""
        seen = self.shrunk(self.reference_mask, tokens)[:, :, 0] > 0
        return (seen | ~seen.any(1, keepdim=True))[:, None, None, :]

    def same_place(self, tokens: int) -> tuple[Tensor, Tensor]:
        """Shares [n, tokens, tokens] of the reference's tokens that show what a token shows, and which tokens have some [n, tokens]."""
        height, width = self.size_of(tokens)
        line = lambda count: (torch.arange(count, device=self.elsewhere.device) + 0.5) / count * 2 - 1
        x, y = torch.meshgrid(line(width), line(height), indexing="xy")
        at = torch.stack([x, y, torch.ones_like(x)], -1).flatten(0, 1)  # [tokens, 3]
        there = (self.elsewhere[:, None] * at[:, None]).sum(-1)  # [n, tokens, 2]; a product of matrices would be in bf16
        off = there[:, :, None] - at[:, :2]
        squares = (off[..., 0] * width / 2).square() + (off[..., 1] * height / 2).square()
        shown = self.shown(tokens)[:, 0]
        nearest = squares.masked_fill(~shown, torch.inf).amin(2)
        shares = (-squares / (2 * SPREAD_CELLS**2)).masked_fill(~shown, FAR_BELOW).softmax(2)
        return shares, (nearest < 1) & (self.shrunk(self.gate, tokens)[:, :, 0] > 0)

    def size_of(self, tokens: int) -> tuple[int, int]:
        height, width = self.size
        shrink = round((height * width / tokens) ** 0.5)
        return height // shrink, width // shrink


class SubjectAttention(nn.Module):
    """z = Attn(Q, K, V) + β · s · m_gen ⊙ Attn(Q, K_ref, V_ref). The maps start as identities, s at zero."""

    def __init__(self, channels: int):
        super().__init__()
        self.to_k_ip = nn.Linear(channels, channels, bias=False)
        self.to_v_ip = nn.Linear(channels, channels, bias=False)
        nn.init.eye_(self.to_k_ip.weight)
        nn.init.eye_(self.to_v_ip.weight)
        self.scale_learnable = nn.Parameter(torch.zeros(1))
        self.reading = False
        self.given: Given | None = None
        self.key = self.value = None

    def forward(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        result = attend(query, key, value, attn.heads)
        if self.reading:
            self.key, self.value = key.detach(), value.detach()
        elif self.given is not None and self.given.strength is not None:
            result = result + self.subject(query, attn.heads, self.given)
        return attn.to_out[1](attn.to_out[0](result))

    def subject(self, query: Tensor, heads: int, given: Given) -> Tensor:
        tokens = query.shape[1]
        seen = attend(query, self.to_k_ip(self.key), self.to_v_ip(self.value), heads, given.shown(tokens))
        gate = 1 if given.gate is None else given.shrunk(given.gate, tokens)
        return given.strength[:, None, None] * self.scale_learnable * gate * seen


class ContextAttention(nn.Module):
    """z = Attn(Q, K_text, V_text) + m_gen ⊙ Attn(Q, K_ctx, V_ctx), and the subject's map. The maps start as the text's."""

    def __init__(self, attn: nn.Module):
        super().__init__()
        channels, context_channels = attn.to_k.weight.shape
        self.to_k_ip = nn.Linear(context_channels, channels, bias=False)
        self.to_v_ip = nn.Linear(context_channels, channels, bias=False)
        self.to_k_ip.weight.data.copy_(attn.to_k.weight)
        self.to_v_ip.weight.data.copy_(attn.to_v.weight)
        self.given: Given | None = None

    def forward(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        query = attn.to_q(hidden_states)
        key, value = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        given = self.given
        if given is None or given.subject_tokens is None:
            result = attend(query, key, value, attn.heads)
        else:
            result = attend_and_map(query, key, value, attn, given)
        if given is not None and given.context is not None:
            seen = attend(query, self.to_k_ip(given.context), self.to_v_ip(given.context), attn.heads)
            gate = 1 if given.gate is None else given.shrunk(given.gate, query.shape[1])
            result = result + given.context_scale * gate * seen
        return attn.to_out[1](attn.to_out[0](result))


class BorrowingAttention:
    """
    A self-attention whose first samples also attend to their reference's keys and values, through maps that are no part of
    the network. A plain class, so that the compiler sees through it; the maps live in a module.
    """

    def __init__(self, channels: int):
        self.to_k, self.to_v = (nn.Linear(channels, channels, bias=False) for _ in range(2))
        nn.init.eye_(self.to_k.weight)
        nn.init.zeros_(self.to_v.weight)
        self.maps = nn.ModuleList([self.to_k, self.to_v])
        self.reading = False
        self.given: Given | None = None
        self.key = self.value = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        result = attend(query, key, value, attn.heads)
        if self.reading:
            self.key, self.value = key, value
        elif self.given is not None:
            n = len(self.key)
            result = torch.cat([result[:n] + self.borrowed(query[:n], attn.heads, self.given), result[n:]])
        return attn.to_out[1](attn.to_out[0](result))

    def borrowed(self, query: Tensor, heads: int, given: Given) -> Tensor:
        tokens = query.shape[1]
        key, value = self.to_k(self.key), self.to_v(self.value)
        if given.elsewhere is None:
            seen = attend(query, key, value, heads, given.shown(tokens))
        else:
            seen = attend_to_the_same(query, key, value, heads, given)
        return given.strength[:, None, None] * given.shrunk(given.gate, tokens) * seen


class MapAttention:
    """
    A cross-attention that records the subject's map, and also attends to what is given as context, through maps that are
    no part of the network. A plain class, as `BorrowingAttention`; the maps live in a module.
    """

    def __init__(self, attn: nn.Module):
        channels, context_channels = attn.to_k.weight.shape
        self.to_k, self.to_v = (nn.Linear(context_channels, channels, bias=False) for _ in range(2))
        self.to_k.weight.data.copy_(attn.to_k.weight)
        nn.init.zeros_(self.to_v.weight)
        self.maps = nn.ModuleDict({"to_k_ip": self.to_k, "to_v_ip": self.to_v})
        self.given: Given | None = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        query = attn.to_q(hidden_states)
        key, value = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        if self.given is None:
            result = attend(query, key, value, attn.heads)
        else:
            result = attend_and_map(query, key, value, attn, self.given)
            seen = attend(query, self.to_k(self.given.context), self.to_v(self.given.context), attn.heads)
            result = result + self.given.context_scale * seen
        return attn.to_out[1](attn.to_out[0](result))


class Adapters(nn.Module):
    """The processors of a UNet in the published numbering: down, up and middle blocks, `attn1` before `attn2`."""

    def __init__(self, unet: UNet2DConditionModel):
        super().__init__()
        processors = {}
        for name in unet.attn_processors:
            attn = unet.get_submodule(name.removesuffix(".processor"))
            own = name.endswith("attn1.processor")
            processors[name] = SubjectAttention(attn.to_q.in_features) if own else ContextAttention(attn)
        self.layers = nn.ModuleList(processors.values())
        unet.set_attn_processor(dict(processors))

    @contextmanager
    def reading(self) -> Iterator[None]:
        for layer in self.layers[::2]:
            layer.reading = True
        try:
            yield
        finally:
            for layer in self.layers[::2]:
                layer.reading = False

    @contextmanager
    def given(self, given: Given) -> Iterator[list[Tensor]]:
        for layer in self.layers:
            layer.given = given
        try:
            yield given.maps
        finally:
            for layer in self.layers:
                layer.given = None


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """[n, T, C] each → [n, T, C]; keys where the boolean mask is False are left out."""
    query, key, value = (split(x, heads) for x in (query, key, value))
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # On a CPU the fused attention's backward pass is slow in bf16: two times slower than in float32, and for few
        # tokens five times slower than written out.
        if key.shape[-2] <= FEW_TOKENS:
            logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
            if mask is not None:
                logits = logits.masked_fill(~mask, FAR_BELOW)
            return join(logits.softmax(-1).to(value.dtype) @ value)
        with torch.autocast("cpu", enabled=False):
            seen = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=mask)
        return join(seen.to(value.dtype))
    return join(F.scaled_dot_product_attention(query, key, value, attn_mask=mask))


def attend_and_map(query: Tensor, key: Tensor, value: Tensor, attn, given: Given) -> Tensor:
    """Text attention; the share of it that goes to the subject's tokens is added to `given.maps`."""
    query, key, value = (split(x, attn.heads) for x in (query, key, value))
    probabilities = (query @ key.transpose(-1, -2) * attn.scale).softmax(-1)  # [n, H, T, text tokens]
    subject = (probabilities.mean(1) * given.subject_tokens[:, None, :]).sum(-1)  # [n, T]
    given.maps.append(subject.unflatten(1, (1, *given.size_of(subject.shape[1]))))
    return join(probabilities @ value)


def attend_to_the_same(query: Tensor, key: Tensor, value: Tensor, heads: int, given: Given) -> Tensor:
    """Attention to the reference; how far every head's is from what shows the same place is added to `given.apart`."""
    query, key, value = (split(x, heads) for x in (query, key, value))
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    logits = logits.float().masked_fill(~given.shown(logits.shape[-1]), FAR_BELOW)
    shares, counts = given.same_place(logits.shape[-1])
    counts = counts & (given.strength > 0)[:, None]
    entropy = -(shares[:, None] * logits.log_softmax(-1)).sum(-1).mean(1)  # [n, T]
    given.apart.append((entropy * counts).sum() / counts.sum().clamp(min=1))
    return join(logits.softmax(-1).to(value.dtype) @ value)


def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def combine_maps(maps: list[Tensor], size: tuple[int, int]) -> Tensor:
    """The mask of a step [n, 1, h, w] from the maps of its cross-attentions."""
    mask = mean_map(maps, size)
    return spread(torch.where(mask > BACKGROUND_BELOW, mask, torch.zeros_like(mask)))


def mean_map(maps: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Each map spread over 0 … 1, brought to one size, averaged, spread again: [n, 1, h, w]."""
    return spread(torch.stack([F.interpolate(spread(one), size, mode="nearest") for one in maps]).mean(0))


def spread(x: Tensor) -> Tensor:
    """(x − min) / (max − min) within each sample, float32."""
    rows = x.float().flatten(1)
    # Not amin and amax, whose compiled backward pass looks for who equals them, and in bf16 may find nobody.
    lowest, highest = rows.min(1, keepdim=True).values, rows.max(1, keepdim=True).values
    return ((rows - lowest) / (highest - lowest).clamp_min(1e-6)).view(x.shape)
