"""LLaVA-1.5's projector and LLaMA decoder: one prefill over the instruction and the patches, in float16 shards."""

import torch
from random_weights import normal, randomise
from recording import DATA, record_blocks, write_golden, write_json, write_torch
from sentencepiece import SentencePieceProcessor
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

CASE = "llava"

# The fields of LLaVA-1.5's published config.json.
CONFIG = {
    "architectures": ["LlavaLlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "image_aspect_ratio": "pad",
    "initializer_range": 0.02,
    "intermediate_size": 160,
    "max_position_embeddings": 4096,
    "mm_hidden_size": 32,
    "mm_projector_type": "mlp2x_gelu",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    "model_type": "llava",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": True,
    "vocab_size": 512,
}
DECODER_FIELDS = (
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "tie_word_embeddings",
    "vocab_size",
)
BLOCKS = {"layer": "model.layers.1"}
IMAGE = "<image>"


def build():
    """Decoder and projector, their weights float16 numbers held in float32."""
    decoder = LlamaForCausalLM(LlamaConfig(**{field: CONFIG[field] for field in DECODER_FIELDS}))
    width = CONFIG["hidden_size"]
    projector = nn.Sequential(nn.Linear(CONFIG["mm_hidden_size"], width), nn.GELU(), nn.Linear(width, width))
    randomise(decoder, seed=501)
    randomise(projector, seed=502)
    for parameter in [*decoder.parameters(), *projector.parameters()]:
        parameter.copy_(parameter.half().float())
    return decoder, projector


def instruction_ids(label, prompt):
    """Ids before and after the picture, tokenized apart as LLaVA does: only the first part begins with bos."""
    tokenizer = SentencePieceProcessor(model_file=str(DATA / "tokenizers/llama/tokenizer.model"))
    text = f"USER: {IMAGE}\n A photo of a {label}. Describe a new image of the same {label} in: {prompt}. ASSISTANT: *"
    before, after = (tokenizer.encode(part) for part in text.split(IMAGE))
    return torch.tensor([[CONFIG["bos_token_id"], *before]]), torch.tensor([after])


def embed(decoder, projector, features, ids_before, ids_after):
    """Projected patches [B, P, C], and the whole sequence with them in the place of the picture."""
    projected = projector(features)
    words = decoder.model.embed_tokens
    return projected, torch.cat([words(ids_before), projected, words(ids_after)], dim=1)


def last_hidden_state(decoder, inputs_embeds):
    return decoder.model(inputs_embeds=inputs_embeds, use_cache=False).last_hidden_state


def make():
    decoder, projector = build()
    _write_checkpoint(decoder, projector)
    ids_before, ids_after = instruction_ids("dog", "a dog in a green garden with spring flowers")
    noise = torch.Generator().manual_seed(11)
    other_before, other_after = (torch.randint(3, 512, ids.shape, generator=noise) for ids in (ids_before, ids_after))
    inputs = {
        "features": normal((2, 16, 32), 12),
        "ids_before": torch.cat([ids_before, other_before]),
        "ids_after": torch.cat([ids_after, other_after]),
    }
    projected, inputs_embeds = embed(decoder, projector, **inputs)
    with record_blocks(decoder, BLOCKS) as (block_inputs, block_outputs):
        states = last_hidden_state(decoder, inputs_embeds)
    outputs = {"projected": projected, "inputs_embeds": inputs_embeds, "last_hidden_state": states}
    write_golden(CASE, inputs | {"layer.x": block_inputs["layer.x"]}, outputs | block_outputs)


def _write_checkpoint(decoder, projector):
    """Two shards and their index. Beside the weights: the buffers that LLaVA-1.5's own files hold, and a tensor of a
    vision tower, as full fine-tunes hold it."""
    half = {name: tensor.half() for name, tensor in decoder.state_dict().items()}
    half |= {f"model.mm_projector.{name}": tensor.half() for name, tensor in projector.state_dict().items()}
    frequencies = decoder.model.rotary_emb.inv_freq
    size = CONFIG["hidden_size"] // CONFIG["num_attention_heads"]
    torch.testing.assert_close(frequencies, 10000.0 ** -(torch.arange(0, size, 2) / size))
    for index in range(CONFIG["num_hidden_layers"]):
        half[f"model.layers.{index}.self_attn.rotary_emb.inv_freq"] = frequencies.clone()
    half["model.vision_tower.vision_tower.vision_model.embeddings.class_embedding"] = normal((32,), 13).half()

    files = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    in_first = ("model.embed_tokens.", "model.layers.0.", "model.layers.1.")
    weight_map = {name: files[0 if name.startswith(in_first) else 1] for name in sorted(half)}
    folder = DATA / CASE
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "blocks.json", BLOCKS)
    for file in files:
        write_torch(folder / file, {name: half[name] for name in half if weight_map[name] == file})
    total = sum(tensor.numel() * tensor.element_size() for tensor in half.values())
    write_json(
        folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
    )
