"""Steps of diffusers' samplers and values of torch's CPU generator, as the public references compute them.

    python training/goldens/samplers.py        # needs torch and diffusers, on an x86 machine with AVX2

Writes test/parity/data/samplers/ (float32 arrays as little-endian base64):
  samplers.json  ᾱ of the noise schedule, noised latents, and for each sampler and number of steps its timesteps and the
                 latents after several steps; the model is ε(x, t) = 0.5·tanh(x) + 0.5·sin(0.01·t + 0.1·i), i = flat index
  noise.json     torch.randn after torch.manual_seed: one draw of each size, long draws thinned out, runs of draws
"""

import base64
import json
from pathlib import Path

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

OUT = Path(__file__).resolve().parents[2] / "test/parity/data/samplers"

SCHEDULE = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading")
SAMPLERS = {
    "ddim": lambda: DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False),
    "dpm-solver++": lambda: DPMSolverMultistepScheduler(
        **SCHEDULE, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint", final_sigmas_type="zero"
    ),
    "unipc": lambda: UniPCMultistepScheduler(
        **SCHEDULE, solver_order=2, solver_type="bh2", predict_x0=True, final_sigmas_type="zero"
    ),
}
STEPS = [1, 2, 3, 10, 15, 20, 50]
SHAPE = (2, 4, 4, 6)

SEEDS = [0, 1, 7, 2**31, 2**32 - 1, 2**32 + 5, 2**63 - 1, 2**63 + 11, 2**64 - 1]
SIZES = [1, 2, 15, 16, 17, 31, 33, 64, 4 * 16 * 16]
# Kept whole for one seed; for the others every 37th value, which visits every place in a block of 16.
LONG_SIZES = [4 * 64 * 64, 4 * 64 * 96]
WHOLE_SEED, STRIDE = 7, 37
# Odd runs of short draws leave a second value waiting, which long draws must not touch.
DRAWS = [[1, 16, 1, 3, 17, 15, 2, 64, 33, 1, 5], [16, 16, 16], [3, 3, 3], [1024, 7, 1024], [620, 7, 625, 31]]


def encode(x):
    return base64.b64encode(x.detach().contiguous().numpy().astype("<f4").tobytes()).decode()


def model(x, t):
    place = torch.arange(x.numel(), dtype=torch.float64).reshape(x.shape)
    return (0.5 * torch.tanh(x.double()) + 0.5 * torch.sin(0.01 * t + 0.1 * place)).float()


def run(name, steps, latents):
    scheduler = SAMPLERS[name]()
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps.tolist()
    kept = sorted({0, 1, 2, steps // 2, steps - 2, steps - 1} & set(range(steps)))
    after = {}
    for index, t in enumerate(scheduler.timesteps):
        latents = scheduler.step(model(latents, t.item()), t, latents).prev_sample
        if index in kept:
            after[index] = encode(latents)
    return dict(sampler=name, steps=steps, timesteps=timesteps, after=after)


def samplers():
    generator = torch.Generator().manual_seed(2024)
    latents, noise = torch.randn(SHAPE, generator=generator), torch.randn(SHAPE, generator=generator)
    ddim = SAMPLERS["ddim"]()
    noised = {t: encode(ddim.add_noise(latents, noise, torch.tensor([t] * SHAPE[0]))) for t in (0, 1, 500, 999)}
    return dict(
        alphasCumprod=encode(ddim.alphas_cumprod),
        latents=encode(latents),
        noise=encode(noise),
        noised=noised,
        runs=[run(name, steps, latents) for name in SAMPLERS for steps in STEPS],
    )


def randn(seed, *counts):
    torch.manual_seed(seed)
    return torch.cat([torch.randn(count) for count in counts])


def noise():
    draws = [dict(seed=str(s), counts=[n], stride=1, values=encode(randn(s, n))) for s in SEEDS for n in SIZES]
    for seed in SEEDS:
        for size in LONG_SIZES:
            stride = 1 if seed == WHOLE_SEED else STRIDE
            draws.append(dict(seed=str(seed), counts=[size], stride=stride, values=encode(randn(seed, size)[::stride])))
    for seed in (0, 2**63 - 1):
        for counts in DRAWS:
            draws.append(dict(seed=str(seed), counts=counts, stride=1, values=encode(randn(seed, *counts))))
    return draws


def main():
    assert torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"), "the recorded noise is that of the AVX2 path"
    OUT.mkdir(parents=True, exist_ok=True)
    for name, content in (("samplers", samplers()), ("noise", noise())):
        path = OUT / f"{name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n")
        print(f"{path.relative_to(OUT.parents[3])}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
