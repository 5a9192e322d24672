"""MoMA's attentions as diffusers attention processors, plain eager PyTorch (the project's method, steps 2 to 4).

    attention = MomaAttention(unet)                    # installs a processor at every attention of the UNet
    attention.layers.load_state_dict(...)              # the layout of `self_cross_attentions`
    with attention.subject_pass():                     # ordinary attention; every attn1 keeps K_ref and V_ref
        unet(reference_latents, 0, noun_states)
    with attention.step(...) as maps:                  # one denoising step, both guidance halves in one batch
        unet(latents, t, text_states)
    mask = combine_maps(maps, size)                    # what the step saw of the subject

Sizes: n images of one request make a batch of 2n, the unconditional half first. Heights and widths of the latents must
be multiples of 8, so that every level of the UNet halves them.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

BACKGROUND_BELOW = 0.2


@dataclass
class Step:
    """What all layers of one denoising step share."""

    latent_size: tuple[int, int]
    """Height and width of the latents."""
    context_tokens: torch.Tensor
    """[2n, 4, D], the unconditional half first."""
    subject_mask: torch.Tensor | None = None
    """M_ref [1, 1, h, w], subject where above 0."""
    generation_mask: torch.Tensor | None = None
    """m_gen [n, 1, h, w], 0 … 1; None is 1 everywhere."""
    strength: float = 0.0
    """β; at 0 the subject branch is left out."""
    context_scale: float = 1.0
    subject_positions: list[int] | None = None
    """Of the subject's tokens in the text; None when no mask is wanted."""
    maps: list[torch.Tensor] = field(default_factory=list)
    """Filled by the cross-attentions: [n, 1, h_l, w_l] each, 0 … 1."""

    def size_of(self, tokens):
        """Height and width of the layer that has so many tokens."""
        height, width = self.latent_size
        shrink = round((height * width / tokens) ** 0.5)
        return height // shrink, width // shrink

    def gate(self, tokens, batch):
        """m_gen as weights of a layer's rows [batch, tokens, 1], or 1.0."""
        if self.generation_mask is None:
            return 1.0
        small = F.interpolate(self.generation_mask, self.size_of(tokens), mode="nearest")
        return small.flatten(2).transpose(1, 2).repeat(batch // len(small), 1, 1)


class SubjectAttention(nn.Module):
    """A self-attention: z = Attn(Q, K, V) + β · s · m_gen ⊙ Attn(Q, K_ref, V_ref), background keys left out."""

    def __init__(self, channels):
        super().__init__()
        self.to_k_ip = nn.Linear(channels, channels, bias=False)
        self.to_v_ip = nn.Linear(channels, channels, bias=False)
        self.scale_learnable = nn.Parameter(torch.zeros(1))
        self.recording = False
        self.step: Step | None = None
        self.reference_key = self.reference_value = None

    def forward(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        result = attention(query, key, value, attn.heads)
        if self.recording:
            self.reference_key, self.reference_value = self.to_k_ip(key), self.to_v_ip(value)
        elif self.step is not None and self.step.strength != 0:
            result = result + self._subject(query, attn.heads)
        return attn.to_out[1](attn.to_out[0](result))

    def _subject(self, query, heads):
        batch, tokens, _ = query.shape
        if self.reference_key is None:
            raise RuntimeError("the subject pass must come before the first step")
        key, value = (kept.expand(batch, -1, -1) for kept in (self.reference_key, self.reference_value))
        size = self.step.size_of(tokens)
        foreground = F.interpolate(self.step.subject_mask, size, mode="nearest").flatten() > 0
        if not foreground.any():
            raise ValueError(f"subject mask: no key of the subject is left at {size[0]} × {size[1]}, at least 1 is needed")
        subject = attention(query, key, value, heads, foreground[None, None, None, :])
        return self.step.strength * self.scale_learnable * self.step.gate(tokens, batch) * subject


class ContextAttention(nn.Module):
    """A cross-attention: z = Attn(Q, K_text, V_text) + m_gen ⊙ Attn(Q, K_ctx, V_ctx), and the subject's map."""

    def __init__(self, channels, context_channels):
        super().__init__()
        self.to_k_ip = nn.Linear(context_channels, channels, bias=False)
        self.to_v_ip = nn.Linear(context_channels, channels, bias=False)
        self.step: Step | None = None

    def forward(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        query = attn.to_q(hidden_states)
        key, value = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        if self.step is None or self.step.subject_positions is None:
            result = attention(query, key, value, attn.heads)
        else:
            result = self._attend_and_map(query, key, value, attn)
        if self.step is not None:
            context = self.step.context_tokens
            branch = attention(query, self.to_k_ip(context), self.to_v_ip(context), attn.heads)
            batch, tokens, _ = query.shape
            result = result + self.step.context_scale * self.step.gate(tokens, batch) * branch
        return attn.to_out[1](attn.to_out[0](result))

    def _attend_and_map(self, query, key, value, attn):
        """Text attention with its probabilities, of which the conditional half gives the subject's map."""
        query, key, value = (split_heads(x, attn.heads) for x in (query, key, value))
        probabilities = (query @ key.transpose(-1, -2) * attn.scale).softmax(dim=-1)  # [2n, H, T, text tokens]
        conditional = probabilities[len(probabilities) // 2 :].mean(dim=1)
        subject = conditional[..., self.step.subject_positions].sum(dim=-1)  # [n, T]
        self.step.maps.append(normalise(subject.unflatten(1, (1, *self.step.size_of(subject.shape[1])))))
        return join_heads(probabilities @ value)


class MomaAttention:
    """The processors of a UNet, in the order in which the released checkpoint numbers them."""

    def __init__(self, unet):
        text_channels = unet.config.cross_attention_dim
        processors = {}
        for name in unet.attn_processors:
            channels = unet.get_submodule(name.removesuffix(".processor")).to_q.in_features
            own = name.endswith("attn1.processor")
            processors[name] = SubjectAttention(channels) if own else ContextAttention(channels, text_channels)
        self.layers = nn.ModuleList(processors.values()).to(unet.device, unet.dtype)
        unet.set_attn_processor(dict(processors))

    @property
    def subject_layers(self):
        return [layer for layer in self.layers if isinstance(layer, SubjectAttention)]

    @property
    def context_layers(self):
        return [layer for layer in self.layers if isinstance(layer, ContextAttention)]

    @contextmanager
    def subject_pass(self):
        """Within it the UNet is Stable Diffusion's own, and its self-attentions keep K_ref and V_ref."""
        for layer in self.subject_layers:
            layer.recording = True
        try:
            yield
        finally:
            for layer in self.subject_layers:
                layer.recording = False

    @contextmanager
    def step(self, step: Step):
        """Within it the UNet does the denoising step `step`; yields the list of maps that it fills."""
        for layer in self.layers:
            layer.step = step
        try:
            yield step.maps
        finally:
            for layer in self.layers:
                layer.step = None


def attention(query, key, value, heads, mask=None):
    """[B, T, C] each → [B, T, C]; keys where the boolean mask is False are left out."""
    query, key, value = (split_heads(x, heads) for x in (query, key, value))
    return join_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=mask))


def split_heads(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x):
    return x.transpose(1, 2).flatten(2)


def combine_maps(maps, size):
    """The mask of a step [n, 1, h, w] from the maps of its cross-attentions."""
    mean = torch.stack([F.interpolate(one, size, mode="nearest") for one in maps]).mean(dim=0)
    mask = normalise(mean)
    return normalise(torch.where(mask > BACKGROUND_BELOW, mask, torch.zeros_like(mask)))


def normalise(x):
    """(x − min) / (max − min) within each sample [n, 1, h, w]; 0 everywhere where all of it is equal."""
    lowest = x.amin(dim=(1, 2, 3), keepdim=True)
    spread = x.amax(dim=(1, 2, 3), keepdim=True) - lowest
    return torch.where(spread > 0, (x - lowest) / spread.clamp_min(torch.finfo(x.dtype).tiny), torch.zeros_like(x))
