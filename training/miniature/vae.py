"""The miniature's AutoencoderKL: 128² pictures ↔ 8 × 16 × 16 latents.

    python -m training.miniature.vae --minutes 25 --out .moma/training/vae

Trained on crops of CROP_PX² (a step is four times as cheap and nothing in it looks further), on L1, squares and edges, without a perceptual network: PSNR is what it is measured by. Small noise on the
latents (the posterior's own) keeps the decoder forgiving towards a denoiser's errors. Eight channels: at four, what
tells one small thing from another is lost; the denoiser's cost hardly depends on it.

    python -m training.miniature.vae --decoder --minutes 10 --out .moma/training/vae_decoder

goes on with the decoder alone, whenever there is time for it: the latents stay what they are, and with them all that was
trained on them.

Writes OUT/vae/ (diffusers layout, scaling_factor measured) and OUT/measured.json (PSNR, and the manifest's
latentToRgb by least squares).
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from training.miniature.common import Options, earlier, options, pixels, replace_folder, train, write_json
from training.miniature.pool import Pool

CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 8,
    "block_out_channels": (16, 24, 32, 64),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 128,
}
KL_WEIGHT = 1e-4
# Encoder and decoder have to find the green axis at the same time, and for long don't: neither gains by it alone. So one
# channel is shown it.
GREEN_CHANNEL, GREEN_SCALE, GREEN_WEIGHT = 6, 8.0, 0.3
CHROMA_WEIGHT = 2.0  # most of a picture's variance is light; which green a thing has is learned late without
TEST_PICTURES = 128
CROP_PX = 64
MOST_PICTURES = 65536  # on the device, 3 GB
START_LOG_VARIANCE = -5.0


def slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def decoder_losses(vae: AutoencoderKL, pictures: Tensor) -> dict[str, Tensor]:
    """As `reconstruction_losses`, of what the frozen encoder gives."""
    with torch.no_grad():
        latents = vae.encode(pictures).latent_dist.sample()
    made = vae.decode(latents).sample
    squares = F.mse_loss(made, pictures)
    edges = sum(F.l1_loss(a, b) for a, b in zip(slopes(made), slopes(pictures)))
    chroma = F.l1_loss(chroma_of(made), chroma_of(pictures))
    loss = F.l1_loss(made, pictures) + 4 * squares + 0.5 * edges + CHROMA_WEIGHT * chroma
    return {"loss": loss, "psnr": psnr_of(squares.detach()), "chroma": chroma.detach(), "edges": edges.detach()}


def reconstruction_losses(vae: AutoencoderKL, pictures: Tensor) -> dict[str, Tensor]:
    """pictures [n, 3, H, W] in −1 … 1."""
    posterior = vae.encode(pictures).latent_dist
    made = vae.decode(posterior.sample()).sample
    l1 = F.l1_loss(made, pictures)
    squares = F.mse_loss(made, pictures)
    edges = sum(F.l1_loss(a, b) for a, b in zip(slopes(made), slopes(pictures)))
    chroma = F.l1_loss(chroma_of(made), chroma_of(pictures))
    green = F.mse_loss(posterior.mean[:, GREEN_CHANNEL], GREEN_SCALE * green_of(F.avg_pool2d(pictures, 8)))
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    loss = l1 + 2 * squares + 0.5 * edges + CHROMA_WEIGHT * chroma + GREEN_WEIGHT * green + KL_WEIGHT * kl
    return {"loss": loss, "psnr": psnr_of(squares.detach()), "l1": l1, "chroma": chroma, "green": green, "edges": edges, "kl": kl}


def green_of(pictures: Tensor) -> Tensor:
    """[n, 3, H, W] → [n, H, W]: green against magenta, the axis of colour with the least variance."""
    return pictures[:, 1] - (pictures[:, 0] + pictures[:, 2]) / 2


def chroma_of(pictures: Tensor) -> Tensor:
    """What is left of the colours without their mean."""
    return pictures - pictures.mean(1, keepdim=True)


@torch.no_grad()
def start_well(vae: AutoencoderKL) -> None:
    """
    A start from which training is twice as fast: residual branches add nothing, what changes size or channels keeps
    lengths, and there is little noise on the latents (under a posterior as wide as the prior half of the channels
    never wake up).
    """
    for name, module in vae.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        elif name.endswith((".conv", "conv_in", "conv_shortcut")):
            nn.init.orthogonal_(module.weight)
    channels = CONFIG["latent_channels"]
    vae.quant_conv.weight[channels:].mul_(0.1)
    vae.quant_conv.bias[channels:] = START_LOG_VARIANCE


def psnr_of(squares: Tensor) -> Tensor:
    """Mean squared error in −1 … 1 → dB."""
    return 10 * torch.log10(4 / squares.clamp(min=1e-10))


@torch.no_grad()
def measure(vae: AutoencoderKL, pictures: Tensor) -> dict:
    """PSNR per picture's mean, the latents' spread, and the linear map from scaled latents to 8 × 8 px colours."""
    means, made = [], []
    for part in pictures.split(32):
        mean = vae.encode(part).latent_dist.mean
        means.append(mean)
        made.append(vae.decode(mean).sample.clamp(-1, 1))
    latents, made = torch.cat(means).float(), torch.cat(made).float()
    scaling = float(1 / latents.std())
    squares = (made - pictures).square().mean((1, 2, 3))
    rows = (latents * scaling).permute(0, 2, 3, 1).flatten(0, 2)
    colors = F.avg_pool2d(pictures, 8).permute(0, 2, 3, 1).flatten(0, 2)
    fit = torch.linalg.lstsq(torch.cat([rows, torch.ones_like(rows[:, :1])], 1).cpu(), colors.cpu()).solution
    return {
        "psnr_db": float(psnr_of(squares).mean()),
        "scaling_factor": scaling,
        "channel_std": [round(float(s), 3) for s in (latents * scaling).std((0, 2, 3))],
        "latentToRgb": {"factors": rounded(fit[:-1]), "bias": rounded(fit[-1])},
        "pictures": len(pictures),
    }


def rounded(values: Tensor) -> list:
    return np.round(values.double().numpy(), 4).tolist()


def crops(pictures: Tensor, n: int) -> Tensor:
    """uint8 [N, H, W, 3] → [n, CROP_PX, CROP_PX, 3], each of any picture and from anywhere, half of them mirrored."""
    draw = lambda most: torch.randint(most, (n,), device=pictures.device)
    line = torch.arange(CROP_PX, device=pictures.device)
    rows = draw(pictures.shape[1] - CROP_PX + 1)[:, None] + line
    columns = draw(pictures.shape[2] - CROP_PX + 1)[:, None] + torch.where(draw(2)[:, None] == 1, line.flip(0), line)
    return pictures[draw(len(pictures))[:, None, None], rows[:, :, None], columns[:, None, :]]


def main() -> None:
    more = argparse.ArgumentParser(add_help=False)
    more.add_argument("--decoder", action="store_true", help="train the decoder of ../vae alone")
    o: Options = options("vae", minutes=25, batch_cpu=8, batch_gpu=512, more=more)
    decoder_only = more.parse_known_args()[0].decoder
    pool = Pool(o.beside("pool"), shards=o.shards)
    test = pixels(Pool(o.beside("pool"), "held_out").picture(np.arange(TEST_PICTURES))).to(o.device)
    torch.manual_seed(o.seed)
    if decoder_only:
        vae = AutoencoderKL.from_pretrained(o.beside("vae") / "vae").requires_grad_(False)
        vae.decoder.requires_grad_(True)
        vae.post_quant_conv.requires_grad_(True)
        scaling = vae.config.scaling_factor
    elif (vae := earlier(o.out / "vae", AutoencoderKL)) is None:
        vae = AutoencoderKL(**CONFIG)
        start_well(vae)
    print(f"{sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters", flush=True)
    measured_losses = o.compiled(decoder_losses if decoder_only else reconstruction_losses)

    pictures = pool.pictures.on(o.device, MOST_PICTURES)

    def losses(model: AutoencoderKL):
        return measured_losses(model, pixels(crops(pictures, o.batch)).contiguous())

    def publish(average: AutoencoderKL) -> None:
        measured = measure(average, test)
        if decoder_only:
            measured["scaling_factor"] = scaling
        average.register_to_config(scaling_factor=round(measured["scaling_factor"], 5))
        replace_folder(o.out / "vae", average.save_pretrained)
        write_json(o.out / "measured.json", measured)
        print({"psnr_db": round(measured["psnr_db"], 2), "scaling_factor": round(measured["scaling_factor"], 4)}, flush=True)

    train(o, vae, losses, publish, learning_rate=1e-3 if decoder_only else 2e-3, weight_decay=1e-4)


if __name__ == "__main__":
    main()
