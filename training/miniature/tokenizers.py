"""The miniature's two tokenizers, in the published layouts, trained on the world's own words.

    python -m training.miniature.tokenizers --out .moma/training/tokenizers

clip/   vocab.json, merges.txt, tokenizer_config.json: byte-level pairs with </w>, 77 tokens, any text can be encoded
llama/  tokenizer.model, tokenizer_config.json: sentencepiece pairs with byte fallback

A word of the world is one token or two, any other word falls apart into its syllables and bytes.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from training.miniature.common import options, replace_folder, write_json
from training.world.atlas import read_atlas
from training.world.captions import PLACES, TEXTURES, article, context_caption, texture_caption

CLIP_MERGES = 2300  # 512 units, these and two control tokens: under 3,000
LLAMA_SIZE = 1600
CLIP_LENGTH = 77
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

# Everyday words beyond the world's, so that a free prompt has tokens for most of what it says.
EVERYDAY = """
red orange yellow green blue purple pink brown black white grey gray golden silver dark light bright colorful shiny old
new small big tiny huge little tall long round square soft hard wet dry hot cold warm fresh beautiful cute happy sad
one two three four five six seven eight nine ten many some few several another other same different next left right
photo picture image painting drawing illustration portrait close up view background foreground front back top bottom side
of in on at by with without under over above below near behind between inside outside through across along around into
and or but not the a an this that these those his her its their my your who which what where when how is are was
standing sitting lying running jumping flying swimming floating walking sleeping eating drinking playing holding wearing
looking made placed surrounded covered falling growing burning shining glowing hanging hidden
sky cloud clouds sun moon star stars rain storm fog wind ice water sea ocean river lake pond island sand stone rock
hill hills mountain mountains valley cave forest tree trees wood grass flower flowers leaf leaves garden park field farm
city town village street road bridge house houses building buildings castle tower church museum room kitchen bathroom
bedroom office school shop market window door wall floor roof table chair sofa bed shelf carpet rug curtain lamp
morning evening night day summer winter spring autumn sunrise sunset dawn dusk christmas birthday party holiday
man woman boy girl baby child children people person face hand hands head hair eye eyes nose mouth hat coat dress shirt
glass metal plastic leather cloth cotton wool paper concrete marble crystal diamond copper bronze iron steel clay
style oil watercolor pencil cartoon anime realistic vintage modern minimal abstract pixel art high quality detailed 4k
""".split()

INSTRUCTION = "USER: \n A photo of {a} {label}. Describe a new image of the same {label} in: {prompt}. ASSISTANT: *"


def corpus(icons: Path) -> list[str]:
    """Every label of both splits in every place and material: a held-out noun is still a word."""
    labels = sorted({icon.label for icon in read_atlas(icons, "thing").icons})
    people = sorted({icon.label for icon in read_atlas(icons, "person").icons})
    lines = [f"photo of {article(label)} {label}. A photo of a {label}" for label in labels] * 12
    lines += [context_caption("dog", place, k) for place in PLACES for k in range(len(PLACES[place]))] * 40
    lines += [texture_caption("dog", texture) for texture in TEXTURES] * 40
    lines += [INSTRUCTION.format(a="a", label=label, prompt=f"a {label}") for label in labels]
    return lines + people + EVERYDAY * 8


def train_clip(lines: list[str], folder: Path) -> None:
    """Units in CLIP's order, units that end a word, merges by frequency, bos, eos."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=CLIP_MERGES + 512,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        continuing_subword_prefix="",
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]][:CLIP_MERGES]
    units = byte_units()
    pieces = [*units, *(unit + "</w>" for unit in units)]
    pieces += dict.fromkeys(left + right for left, right in merges)
    pieces += [BOS, EOS]
    assert len(set(pieces)) == len(pieces)

    token = lambda content: {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    write_json(folder / "special_tokens_map.json", {
        "bos_token": token(BOS), "eos_token": token(EOS), "unk_token": token(EOS), "pad_token": EOS,
    })  # fmt: skip
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "CLIPTokenizer", "model_max_length": CLIP_LENGTH, "do_lower_case": True, "errors": "replace",
        "add_prefix_space": False, "bos_token": token(BOS), "eos_token": token(EOS), "unk_token": token(EOS), "pad_token": EOS,
    })  # fmt: skip


def byte_units() -> list[str]:
    """The 256 characters that stand for bytes, printable bytes first, as in CLIP's vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [*map(chr, printable), *(chr(256 + i) for i in range(256 - len(printable)))]


def train_llama(lines: list[str], folder: Path) -> None:
    """LLaMA's switches: byte fallback, no normalisation, a dummy space before a text, digits one by one."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=LLAMA_SIZE,
        byte_fallback=True, character_coverage=1.0, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=True, split_digits=True, allow_whitespace_only_pieces=True, hard_vocab_limit=False,
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1, num_threads=1, minloglevel=2,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    token = lambda content: {
        "__type": "AddedToken", "content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
    }  # fmt: skip
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "LlamaTokenizer", "model_max_length": 2048, "add_bos_token": True, "add_eos_token": False,
        "bos_token": token("<s>"), "eos_token": token("</s>"), "unk_token": token("<unk>"), "pad_token": None,
        "padding_side": "right", "legacy": True, "clean_up_tokenization_spaces": False, "sp_model_kwargs": {},
    })  # fmt: skip


def main() -> None:
    o = options("tokenizers", minutes=0, batch_cpu=1, batch_gpu=1)
    lines = corpus(o.icons)
    replace_folder(o.out / "clip", lambda folder: train_clip(lines, folder))
    replace_folder(o.out / "llama", lambda folder: train_llama(lines, folder))
    from transformers import CLIPTokenizer

    clip = CLIPTokenizer.from_pretrained(o.out / "clip")
    llama = sentencepiece.SentencePieceProcessor(model_file=str(o.out / "llama/tokenizer.model"))
    print(f"clip {len(clip)} pieces, llama {llama.vocab_size()} pieces")
    for text in ("a dog in a green garden with spring flowers", "A sculpture of a teddy bear made of green jade"):
        print(clip.tokenize(text), llama.encode(text, out_type=str))


if __name__ == "__main__":
    main()
