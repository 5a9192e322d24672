"""The small learned networks between the MLLM and the UNet."""

import torch.nn.functional as F
from torch import nn


class GatedMapping(nn.Module):
    """The MLLM's last state [B, C] → context embedding [B, E]: down(silu(gate x) · up x), as in the released weights."""

    def __init__(self, width, embedding):
        super().__init__()
        self.gate_proj = nn.Linear(width, embedding, bias=False)
        self.up_proj = nn.Linear(width, embedding, bias=False)
        self.down_proj = nn.Linear(embedding, embedding, bias=False)

    def forward(self, state):
        return self.down_proj(F.silu(self.gate_proj(state)) * self.up_proj(state))


class ImageProjection(nn.Module):
    """Image embedding [B, E] → context tokens [B, tokens, C]."""

    def __init__(self, embedding, channels, tokens=4):
        super().__init__()
        self.proj = nn.Linear(embedding, tokens * channels)
        self.norm = nn.LayerNorm(channels)
        self.tokens = tokens

    def forward(self, embedding):
        return self.norm(self.proj(embedding).unflatten(1, (self.tokens, -1)))
