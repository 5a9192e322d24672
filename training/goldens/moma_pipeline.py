"""The whole method in diffusers and PyTorch: subject pass, context, masks, guidance, DDIM, decoding.

Networks come in ready, so the same code runs at toy size (for the goldens) and at the size of Stable Diffusion 1.5 (as
the Python side of a benchmark).
"""

from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler
from moma_attention import Step, combine_maps

# In the subject pass the released code reads the last 4 of the text's tokens as image tokens and leaves them out.
TEXT_TOKENS_LEFT_OUT = 4
SUBJECT_BRANCH_BELOW_TIMESTEP = 950


def scheduler():
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def white_background(image, mask):
    """Picture [B, 3, H, W] in −1 … 1 and mask [B, 1, H, W] of zeros and ones → the subject on white."""
    return image * mask + (1 - mask)


def encode_reference(vae, image, sample_noise, timestep_noise):
    """The photo's scaled latents with the noise of timestep 0, which is almost none."""
    posterior = vae.encode(image).latent_dist
    latents = (posterior.mean + posterior.std * sample_noise) * vae.config.scaling_factor
    return scheduler().add_noise(latents, timestep_noise, torch.tensor([0]))


def read_subject(unet, attention, reference_latents, noun_states):
    """Subject features: the UNet once at t = 0; every self-attention layer keeps its K_ref and V_ref."""
    with attention.subject_pass():
        unet(reference_latents, torch.tensor([0]), noun_states[:, :-TEXT_TOKENS_LEFT_OUT])


def context_tokens(image_projection, embedding):
    """[1, E] → [2, 4, D]: the unconditional half, which is what no embedding gives, and the conditional one."""
    return image_projection(torch.cat([torch.zeros_like(embedding), embedding]))


@dataclass(frozen=True)
class Settings:
    steps: int = 50
    guidance: float = 7.5
    strength: float = 1.0
    context_scale: float = 1.0
    masking: bool = True


@dataclass(frozen=True)
class Done:
    """What one step gave."""

    index: int
    latents: torch.Tensor
    mask: torch.Tensor | None
    maps: list[torch.Tensor]
    epsilon_unconditional: torch.Tensor
    epsilon_conditional: torch.Tensor


def denoise(unet, attention, latents, text_states, context, subject_mask, subject_positions, settings=Settings()):
    """Steps of n images of one request, one at a time: noise [n, 4, h, w], text [2, T, D], context [2, 4, D]."""
    images, size = len(latents), tuple(latents.shape[-2:])
    text, context = (states.repeat_interleave(images, dim=0) for states in (text_states, context))
    sampler = scheduler()
    sampler.set_timesteps(settings.steps)
    mask = None  # there is none before the first step
    for index, t in enumerate(sampler.timesteps):
        step = Step(
            latent_size=size,
            context_tokens=context,
            subject_mask=subject_mask,
            generation_mask=mask,
            strength=settings.strength if t < SUBJECT_BRANCH_BELOW_TIMESTEP else 0.0,
            context_scale=settings.context_scale,
            subject_positions=subject_positions if settings.masking else None,
        )
        with attention.step(step) as maps:
            epsilon = unet(torch.cat([latents, latents]), t, text).sample
        unconditional, conditional = epsilon.chunk(2)
        guided = unconditional + settings.guidance * (conditional - unconditional)
        latents = sampler.step(guided, t, latents, eta=0.0).prev_sample
        if settings.masking:
            mask = combine_maps(maps, size)
        yield Done(index, latents, mask, maps, unconditional, conditional)


def decode(vae, latents):
    return vae.decode(latents / vae.config.scaling_factor).sample
