"""The whole method at toy size, with the networks and weights of the other cases.

Text comes from the toy tokenizers, noise from torch's CPU generator at the seeds in request.json, so the run can be
repeated from the request alone; every stage is recorded all the same.
"""

import numpy as np
import torch
from PIL import Image
from moma_attention import BACKGROUND_BELOW, MomaAttention, normalise
from moma_pipeline import (
    Settings,
    context_tokens,
    decode,
    denoise,
    encode_reference,
    read_subject,
    white_background,
)
from random_weights import generator
from recording import DATA, write_golden, write_json
from transformers import CLIPTokenizer

from cases import adapters, clip_text, clip_vision, llava, unet, vae

CASE = "moma"
LABEL, PROMPT = "teddy bear", "a teddy bear on a beach at sunset"
SUBJECT_SEED, SEED = 0, 7
SIZE, LATENTS = 128, (1, 4, 16, 16)
RECORDED_STEPS, RECORDED_EPSILONS, RECORDED_BLOCKS = (0, 1, 2, 3, 10, 25, 49), (0, 5), (0, 7, 15)
SHORT = 6

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

REQUEST = {
    "label": LABEL,
    "prompt": PROMPT,
    "text": f"photo of a {LABEL}. {PROMPT}",
    "negativePrompt": "",
    "subjectSeed": SUBJECT_SEED,
    "seed": SEED,
    "steps": 50,
    "guidance": 7.5,
    "strength": 1.0,
    "recordedSteps": RECORDED_STEPS,
    "recordedEpsilons": RECORDED_EPSILONS,
    "recordedBlocks": RECORDED_BLOCKS,
    "shortSteps": SHORT,
    "weights": {
        "clipVision": "clip-vision/pytorch_model.bin",
        "clipVisionProjection": "clip-vision-projection/model.safetensors",
        "llava": "llava/pytorch_model.bin.index.json",
        "moma": "moma-adapters/attn_adapters_projectors.th",
        "ipAdapter": "ip-adapter/ip-adapter_sd15.bin",
        "clipText": "clip-text/model.safetensors",
        "unet": "unet/diffusion_pytorch_model.safetensors",
        "vae": "vae/diffusion_pytorch_model.safetensors",
        "clipTokenizer": "tokenizers/clip",
        "llamaTokenizer": "tokenizers/llama",
    },
}


def photo_and_mask():
    """A seeded picture, uint8 [H, W, 3], and its mask [H, W] of zeros and ones: a leaning ellipse right of the middle."""
    coarse = torch.rand((1, 3, 9, 9), generator=generator(17))
    smooth = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic", align_corners=True)[0]
    fine = 0.15 * torch.randn((3, SIZE, SIZE), generator=generator(18))
    y, x = torch.meshgrid(torch.arange(SIZE) - 68, torch.arange(SIZE) - 74, indexing="ij")
    mask = ((x + 0.3 * y) / 40) ** 2 + ((y - 0.3 * x) / 50) ** 2 < 1
    picture = torch.where(mask, 1 - smooth, smooth) + fine
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy(), mask.float().numpy()


def clip_pixels(picture, size=56):
    """A square uint8 picture → CLIP's input [1, 3, size, size]."""
    small = np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    normalised = (small - np.float32(CLIP_MEAN)) / np.float32(CLIP_STD)
    return torch.from_numpy(normalised).permute(2, 0, 1)[None].contiguous()


def planes(picture):
    """uint8 [H, W, 3] → [1, 3, H, W] in −1 … 1."""
    return torch.from_numpy(picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None].contiguous()


def tokenize(*texts):
    tokenizer = CLIPTokenizer.from_pretrained(DATA / "tokenizers/clip")
    return tokenizer(list(texts), padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids


def subject_positions(ids, label):
    """Positions of all tokens of every word of the label."""
    tokenizer = CLIPTokenizer.from_pretrained(DATA / "tokenizers/clip")
    found = set()
    for word in label.split():
        wanted = tokenizer(word, add_special_tokens=False).input_ids
        starts = [start for start in range(len(ids)) if ids[start : start + len(wanted)] == wanted]
        if not starts:
            raise ValueError(f"{word!r} is not among the tokens of the text")
        found |= {start + offset for start in starts for offset in range(len(wanted))}
    return sorted(found)


class Toy:
    """All networks, and everything that comes before the steps."""

    def __init__(self):
        self.unet, self.vae, self.text = unet.build(), vae.build(), clip_text.build()
        self.decoder, self.projector = llava.build()
        self.vision, self.vision_h = clip_vision.build(), clip_vision.build_projection()
        self.mapping = adapters.build_mapping()
        self.projection = {case: adapters.build_projection(case) for case in (adapters.MOMA, adapters.IP_ADAPTER)}
        self.attention = MomaAttention(self.unet)
        self.use(adapters.MOMA)
        self.prepare()

    def use(self, case):
        """Loads the attention weights of MoMA, or those of IP-Adapter (which has cross-attentions only)."""
        loaded = self.attention.layers.load_state_dict(adapters.build_attentions(case), strict=case == adapters.MOMA)
        assert not loaded.unexpected_keys
        self.attention.layers.requires_grad_(False)

    def prepare(self):
        picture, mask = photo_and_mask()
        self.photo, self.mask = planes(picture), torch.from_numpy(mask)[None, None]
        self.mask_latents = torch.nn.functional.interpolate(self.mask, LATENTS[-2:], mode="nearest")
        on_white = np.where(mask[..., None] > 0, picture, 255).astype(np.uint8)
        self.on_white = white_background(self.photo, self.mask)
        torch.testing.assert_close(self.on_white, planes(on_white), rtol=0, atol=0)

        # Context
        self.pixels, self.pixels_h = clip_pixels(on_white), clip_pixels(picture)
        self.features = clip_vision.patch_features(self.vision, self.pixels)
        self.ids_before, self.ids_after = llava.instruction_ids(LABEL, PROMPT)
        _, embeds = llava.embed(self.decoder, self.projector, self.features, self.ids_before, self.ids_after)
        self.state = llava.last_hidden_state(self.decoder, embeds)[:, -1]
        self.embedding = self.mapping(self.state)
        self.tokens = context_tokens(self.projection[adapters.MOMA], self.embedding)

        # Text
        self.noun_ids, self.prompt_ids = tokenize(LABEL), tokenize(REQUEST["negativePrompt"], REQUEST["text"])
        self.noun_states = self.text(self.noun_ids).last_hidden_state
        self.text_states = self.text(self.prompt_ids).last_hidden_state
        self.positions = subject_positions(self.prompt_ids[1].tolist(), LABEL)

        # Subject
        source = generator(SUBJECT_SEED)
        self.sample_noise, self.timestep_noise = (torch.randn(LATENTS, generator=source) for _ in range(2))
        self.reference = encode_reference(self.vae, self.photo, self.sample_noise, self.timestep_noise)
        read_subject(self.unet, self.attention, self.reference, self.noun_states)

    def run(self, latents, settings, context=None):
        context = self.tokens if context is None else context
        return denoise(
            self.unet,
            self.attention,
            latents,
            self.text_states,
            context,
            self.mask_latents,
            self.positions,
            settings,
        )

    def final(self, latents, settings, context=None):
        *_, last = self.run(latents, settings, context)
        return last.latents


def noise(*seeds):
    return torch.cat([torch.randn(LATENTS, generator=generator(seed)) for seed in seeds])


def make():
    toy = Toy()
    inputs = {
        "reference_image": toy.photo,
        "mask": toy.mask,
        "mask_latents": toy.mask_latents,
        "clip_pixels": toy.pixels,
        "vit_h_pixels": toy.pixels_h,
        "noun_ids": toy.noun_ids,
        "prompt_ids": toy.prompt_ids,
        "ids_before": toy.ids_before,
        "ids_after": toy.ids_after,
        "subject_positions": torch.tensor(toy.positions),
        "reference_sample_noise": toy.sample_noise,
        "reference_timestep_noise": toy.timestep_noise,
        "latents": noise(SEED),
        "two.latents": noise(SEED, SEED + 1),
    }
    outputs = {
        "white_background_image": toy.on_white,
        "patch_features": toy.features,
        "last_state": toy.state,
        "context_embedding": toy.embedding,
        "context_tokens": toy.tokens,
        "noun_states": toy.noun_states[:, :-4],
        "text_states": toy.text_states,
        "reference_latents": toy.reference,
    }
    for block in RECORDED_BLOCKS:
        layer = toy.attention.subject_layers[block]
        outputs |= {f"subject_key.{block}": layer.reference_key, f"subject_value.{block}": layer.reference_value}

    margin = 1.0
    for done in toy.run(inputs["latents"], Settings()):
        margin = min(margin, distance_to_cut(done.maps))
        if done.index in RECORDED_STEPS:
            outputs[f"step.{done.index}.latents"] = done.latents
            outputs[f"step.{done.index}.mask"] = done.mask
        if done.index in RECORDED_EPSILONS:
            outputs[f"step.{done.index}.epsilon_unconditional"] = done.epsilon_unconditional
            outputs[f"step.{done.index}.epsilon_conditional"] = done.epsilon_conditional
    outputs["image"] = decode(toy.vae, done.latents)

    outputs |= variants(toy, inputs)
    report_sensitivity(toy, inputs["latents"], outputs["image"], margin)
    folder = DATA / CASE
    write_json(folder / "config.json", REQUEST)
    write_golden(CASE, inputs, outputs)


def variants(toy, inputs):
    """Final latents of short runs: strengths, ablations, two images of one request, IP-Adapter."""
    one, two = inputs["latents"], inputs["two.latents"]
    outputs = {
        "variant.full.latents": toy.final(one, Settings(steps=SHORT)),
        "variant.strength.latents": toy.final(one, Settings(steps=SHORT, strength=0.5)),
        "variant.no_subject.latents": toy.final(one, Settings(steps=SHORT, strength=0.0)),
        "variant.no_mask.latents": toy.final(one, Settings(steps=SHORT, masking=False)),
        "variant.two.latents": toy.final(two, Settings(steps=SHORT)),
    }
    embedding = clip_vision.image_embeds(toy.vision_h, toy.pixels_h)
    tokens = context_tokens(toy.projection[adapters.IP_ADAPTER], embedding)
    toy.use(adapters.IP_ADAPTER)
    settings = Settings(steps=SHORT, strength=0.0, context_scale=0.6, masking=False)
    outputs |= {
        "variant.ip_adapter.embedding": embedding,
        "variant.ip_adapter.context_tokens": tokens,
        "variant.ip_adapter.latents": toy.final(one, settings, tokens),
    }
    toy.use(adapters.MOMA)
    torch.testing.assert_close(outputs["variant.two.latents"][:1], outputs["variant.full.latents"], rtol=1e-3, atol=1e-3)
    for name, value in outputs.items():
        if name.endswith(".latents") and name not in ("variant.full.latents", "variant.two.latents"):
            moved = relative(value, outputs["variant.full.latents"])
            print(f"moma: {name} differs from the full method by {moved:.1%}")
            assert moved > 0.02, f"{name} shows nothing"
    return outputs


def distance_to_cut(maps):
    """How near any value of a step's mask comes to the threshold below which it is set to 0."""
    mean = torch.stack([torch.nn.functional.interpolate(one, LATENTS[-2:], mode="nearest") for one in maps]).mean(dim=0)
    return (normalise(mean) - BACKGROUND_BELOW).abs().min().item()


def report_sensitivity(toy, latents, image, margin):
    """How far the image moves when the initial latents do: rounding errors must not grow into differences."""
    worst = 0.0
    for seed in (21, 22, 23):
        nudge = 1e-6 * torch.randn(LATENTS, generator=generator(seed))
        *_, done = toy.run(latents + nudge, Settings())
        moved = relative(decode(toy.vae, done.latents), image)
        worst = max(worst, moved / (nudge.abs().max() / latents.abs().max()).item())
        print(f"moma: initial latents moved by 1e-6 move the image by {moved:.1e} of its largest value")
    print(f"moma: amplification {worst:.0f}; no mask value comes nearer than {margin:.1e} to its cut")
    assert margin > 2e-5, "rounding could move a mask value across its cut: choose other seeds"
    assert worst < 100, "chaotic: choose other seeds or scales"


def relative(got, expected):
    return ((got - expected).abs().max() / expected.abs().max()).item()
