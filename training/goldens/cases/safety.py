"""What the safety service sees with: the Stable Diffusion safety checker, and CLIP's text half for zero-shot sentences."""

import torch
from cases.clip_vision import build as build_clip
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker, cosine_distance
from random_weights import normal, randomise
from recording import DATA, write_golden, write_json, write_torch
from transformers import CLIPConfig

CHECKER = "safety-checker"
TEXT = "zero-shot-text"

# The fields of CompVis/stable-diffusion-safety-checker's config.json that the network reads.
CONFIG = {
    "architectures": ["StableDiffusionSafetyChecker"],
    "model_type": "clip",
    "projection_dim": 16,
    "vision_config": {
        "hidden_act": "quick_gelu",
        "hidden_size": 32,
        "image_size": 28,
        "intermediate_size": 64,
        "layer_norm_eps": 1e-05,
        "model_type": "clip_vision_model",
        "num_attention_heads": 4,
        "num_channels": 3,
        "num_hidden_layers": 2,
        "patch_size": 14,
        "projection_dim": 16,
    },
}

IMAGES = 8


def build():
    model = randomise(StableDiffusionSafetyChecker(CLIPConfig(**CONFIG)), seed=501)
    # Thresholds amid the cosines of the golden's pictures, so that some concepts count and some pictures pass.
    model.concept_embeds_weights.copy_(torch.linspace(0.36, 0.52, 17))
    model.special_care_embeds_weights.copy_(torch.tensor([0.3, 0.35, 0.4]))
    return model


def make():
    _make_checker()
    _make_text()


def _make_checker():
    model = build()
    pixels = normal((IMAGES, 3, 28, 28), 11)
    embeds = model.visual_projection(model.vision_model(pixels)[1])
    special = cosine_distance(embeds, model.special_care_embeds)
    concepts = cosine_distance(embeds, model.concept_embeds)
    # Moves one threshold so near to a cosine that it counts only where a special concept is there.
    cared = int((special - model.special_care_embeds_weights > 0.001).any(dim=1).nonzero()[0])
    model.concept_embeds_weights.copy_(concepts.max(dim=0).values + 0.2)
    model.concept_embeds_weights[5] = concepts[cared, 5] + 0.005
    plain = int((special - model.special_care_embeds_weights < 0).all(dim=1).nonzero()[0])
    # And one below a cosine of a picture without any, far above that of the other.
    apart = int((concepts[plain] - concepts[cared]).argmax())
    model.concept_embeds_weights[apart] = concepts[plain, apart] - 0.002

    _, flagged = model(pixels, [torch.zeros(1) for _ in range(IMAGES)])
    if len(set(flagged)) != 2 or not flagged[cared] or not flagged[plain]:
        raise ValueError(f"{CHECKER}: the golden must have pictures that pass and both kinds that don't, got {flagged}")
    folder = DATA / CHECKER
    write_json(folder / "config.json", CONFIG)
    # The published file was saved when the tower was a module `vision_model` inside CLIPVisionModel.
    tensors = {name.replace("vision_model.", "vision_model.vision_model.", 1): value for name, value in model.state_dict().items()}
    tensors["vision_model.vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    write_torch(folder / "pytorch_model.bin", tensors)
    outputs = {
        "special": special,
        "concepts": concepts,
        "specialMargins": special - model.special_care_embeds_weights,
        "conceptMargins": concepts - model.concept_embeds_weights,
        "flagged": torch.tensor(flagged).float(),
    }
    write_golden(CHECKER, {"pixels": pixels}, outputs)


def _make_text():
    model = build_clip()
    # The largest id is the end token, as in CLIP's vocabulary.
    ids = torch.tensor([[1, 7, 12, 39, 0, 0, 0, 0], [1, 30, 4, 22, 9, 15, 39, 0]])
    embeds = model.get_text_features(ids)
    embeds = embeds if isinstance(embeds, torch.Tensor) else embeds.pooler_output
    eos = torch.zeros(2, 1, 8)
    eos[0, 0, 3] = eos[1, 0, 6] = 1
    write_json(DATA / TEXT / "config.json", {"weights": "clip-vision/pytorch_model.bin", "config": "clip-vision/config.json"})
    write_golden(TEXT, {"ids": ids, "eos": eos}, {"embedding": embeds})
