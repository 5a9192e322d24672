"""Toy tokenizers in the published layouts, and the ids that the public references give for them.

    python training/goldens/toy_tokenizers.py        # needs transformers and sentencepiece

Writes test/parity/data/tokenizers/:
  clip/        vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json (as Stable Diffusion publishes)
  clip-json/   the same tokenizer as transformers saves it: tokenizer.json, tokenizer_config.json
  llama/       tokenizer.model, tokenizer_config.json (as LLaVA publishes)
  llama-json/  the same tokenizer as transformers saves it
  cases.json   texts and ids: CLIP's from transformers' CLIPTokenizer, LLaMA's from sentencepiece itself, and
               from transformers' LlamaTokenizer, whose tokenizer.json puts no second space before a text that has one
"""

import io
import json
import re
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import sentencepiece
from transformers import CLIPTokenizer, LlamaTokenizer

OUT = Path(__file__).resolve().parents[2] / "test/parity/data/tokenizers"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
CLIP_SIZE, LLAMA_SIZE, CLIP_LENGTH = 600, 512, 77

CORPUS = """
USER: A photo of a dog. Describe a new image of the same dog in: a dog in a green garden with spring flowers. ASSISTANT: *
USER: A photo of a cat. Describe a new image of the same cat in: a cat on a beach at sunset. ASSISTANT: *
A photo of a bulldog running on the snow. Two dogs and a teddy bear are sitting in the boat.
A photo of a red backpack, photo of a backpack. In the city, on the table, beside the river, under a tree.
Describe the image of the same teddy bear in: an oil painting of a teddy bear at the beach.
photo of a dog. a dog in a forest. photo of a robot toy. a robot toy made of gold, wood, glass, stone, paper.
the colour of the flower isn't the same; it's the garden's. we've seen 12 flowers in 2024. I'll be there. they're
the duck toy, the monster toy, the vase, the clock, the candle, the sneaker and the sunglasses in the museum
a café in Zürich, a naïve señor, the façade. a dog wearing a hat, a dog in a garden, flowers in the garden
A sculpture of a dog made of silver, made of green jade, in the style of a sketch. aaa aaaa hahaha
"""

TEXTS = [
    "",
    " ",
    "a dog in a green garden with spring flowers",
    "photo of a dog. a dog in a green garden with spring flowers",
    "A Photo Of A DOG, in the City!",
    "a café in Zürich, naïve façade, señor",
    "a cafe\u0301 in Zu\u0308rich (combining marks)",
    "a dog 🐶 on the 🏖️ beach 👩‍🚀👨‍👩‍👧",
    "一只狗在花园里, 犬の写真, 강아지 사진",
    "собака в саду; ΟΔΟΣ ΟΔΥΣΣΕΥΣ; İstanbul; Straße",
    "हिन्दी में कुत्ता, สุนัข, كلب في الحديقة",
    "in 2024 there were 1234567890 dogs, ½ and Ⅷ and ٣",
    "it's the dog's; we've seen, they're, I'll, I'd, isn't, I'm. IT'S THEY'RE",
    "  a   dog \t in\u00a0a\u3000garden  ",
    "a dog\nin a garden\r\n\r\nwith flowers\n",
    "\u200ba\ufeffdog\u0085in\u2028a\u180egarden\u001c",
    "aaaaaaaaaaaaaaaaaaaaaaa hahahahahaha aa aaa aaaa",
    "bulldog dogs dog-house hot-dog dog.dog dog_dog DOG's",
    "!!! ... ??? *** (a) [b] {c} <d> \"e\" #f @g $h %i ^j &k +l =m ~n `o |p \\q /r",
    "* a * b** *",
    "▁a▁dog ▁ Ġ </w> <0x41> Ċ ĠĠ",
    "\x00\x01\x7f\x80 control",
    "𝒜 𝔸 ﬁ Å Ω K ǅ",
    "a dog in the garden, " * 30,
    "x" * 300,
    "🐶" * 40,
]
CLIP_ONLY_TEXTS = [
    "a <|endoftext|> dog",
    "<|startoftext|>a dog<|endoftext|>",
    "a <|ENDOFTEXT|> dog <|StartOfText|>",
    "</s> <s> <unk>",
    "one two " * 15 + "three",  # about the limit
]
IMAGE_PROMPTS = [
    f"USER: <image>\n A photo of a {subject}. Describe a new image of the same {subject} in: {prompt}. ASSISTANT: *"
    for subject, prompt in [
        ("dog", "a dog in a green garden with spring flowers"),
        ("teddy bear", "Teddy Bear on a café's  table\n"),
        ("犬", "🐶 在花园里"),
        ("cat", ""),
    ]
] + ["<image>", "<image> a dog", "a dog <image>", " <image>  two spaces", "a\n<image>\nb"]
SUBJECTS = [
    ("dog", "a dog in a green garden with spring flowers"),
    ("dog", "Two dogs, a bulldog and a DOG. dog's dog-house hot-dog"),
    ("teddy bear", "a teddy on a bear, Teddy Bear's picnic"),
    ("monster toy", "the monster and the toy"),
    ("Café", "a cafe\u0301 by the river"),
    ("xylophone", "two xylophones and a xylophone"),
    ("sneaker", "in the garden, " * 30 + "a sneaker"),
]


def byte_alphabet():
    """The 256 printable characters that stand for bytes, in CLIP's order: printable bytes first, then the others."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    units = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return units


def train_clip(folder):
    """Byte-pair merges by frequency over the corpus's words; the vocabulary is units, units with </w>, merges, bos, eos."""
    units = byte_alphabet()
    words = Counter()
    for word in re.findall(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+", unicodedata.normalize("NFC", CORPUS).lower()):
        pieces = [units[byte] for byte in word.encode()]
        words[(*pieces[:-1], pieces[-1] + "</w>")] += 1
    vocabulary = [*units.values(), *(unit + "</w>" for unit in units.values())]
    merges = []
    while len(vocabulary) < CLIP_SIZE - 2:
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        vocabulary.append("".join(best))
        merged = Counter()
        for word, count in words.items():
            pieces, i = [], 0
            while i < len(word):
                step = 2 if word[i : i + 2] == best else 1
                pieces.append("".join(word[i : i + step]))
                i += step
            merged[tuple(pieces)] += count
        words = merged
    vocabulary += [BOS, EOS]
    assert len(set(vocabulary)) == CLIP_SIZE

    folder.mkdir(parents=True)
    token = lambda content: {
        "content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False,
    }  # fmt: skip
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(vocabulary)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "bos_token": {"__type": "AddedToken", **token(BOS)},
            "do_lower_case": True,
            "eos_token": {"__type": "AddedToken", **token(EOS)},
            "errors": "replace",
            "model_max_length": CLIP_LENGTH,
            "pad_token": EOS,
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": {"__type": "AddedToken", **token(EOS)},
        },
    )
    write_json(
        folder / "special_tokens_map.json",
        {"bos_token": token(BOS), "eos_token": token(EOS), "pad_token": EOS, "unk_token": token(EOS)},
    )


def train_llama(folder):
    """A sentencepiece BPE with LLaMA's switches: byte fallback, no normalisation, one dummy prefix space."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.strip().split("\n")),
        model_writer=model,
        model_type="bpe",
        vocab_size=LLAMA_SIZE,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    token = lambda content: {
        "__type": "AddedToken", "content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": token("<s>"),
            "clean_up_tokenization_spaces": False,
            "eos_token": token("</s>"),
            "legacy": True,
            "model_max_length": 2048,
            "pad_token": None,
            "padding_side": "right",
            "sp_model_kwargs": {},
            "tokenizer_class": "LlamaTokenizer",
            "unk_token": token("<unk>"),
        },
    )


def clip_case(tokenizer, text):
    inner = tokenizer(text, add_special_tokens=False).input_ids
    cut = inner[CLIP_LENGTH - 2 :]
    return {
        "text": text,
        "ids": tokenizer(text, padding="max_length", truncation=True, max_length=CLIP_LENGTH).input_ids,
        "tokenCount": len(inner),
        "truncated": tokenizer.decode(cut, clean_up_tokenization_spaces=False).strip() if cut else None,
    }


def subject_case(tokenizer, label, prompt):
    """First tokens as the authors count them; whole words from where the tokens lie in the text, not from their ids."""
    text = unicodedata.normalize("NFC", f"photo of a {label}. {prompt}")
    encoding = tokenizer(text, padding="max_length", truncation=True, max_length=CLIP_LENGTH, return_offsets_mapping=True)
    first = {tokenizer.encode(word, add_special_tokens=False)[0] for word in label.split(" ")}
    words = "|".join(re.escape(word.lower()) for word in label.split())
    spans = [match.span() for match in re.finditer(rf"(?<![^\W\d_])(?:{words})(?![^\W\d_])", text.lower())]
    whole = [
        i
        for i, (start, end) in enumerate(encoding.offset_mapping)
        if end > start and any(a <= start and end <= b for a, b in spans)
    ]
    return {
        "label": label,
        "prompt": prompt,
        "allTokens": whole,
        "firstToken": [i for i, token in enumerate(encoding.input_ids) if token in first],
    }


def image_case(processor, text):
    before, after = ([1, *processor.encode(part)] for part in text.split("<image>"))
    return {"text": text, "before": before, "after": after[1:]}


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    train_clip(OUT / "clip")
    train_llama(OUT / "llama")
    clip = CLIPTokenizer.from_pretrained(OUT / "clip")
    clip.save_pretrained(OUT / "clip-json")
    llama = LlamaTokenizer.from_pretrained(OUT / "llama")
    llama.save_pretrained(OUT / "llama-json")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(OUT / "llama/tokenizer.model"))
    assert len(clip) == CLIP_SIZE and processor.vocab_size() == LLAMA_SIZE

    for text in TEXTS:  # where transformers' own reading of tokenizer.model leaves sentencepiece
        if llama(text).input_ids != [1, *processor.encode(text)]:
            print("transformers' LlamaTokenizer differs from sentencepiece for", repr(text[:60]))

    cases = {
        "clip": [clip_case(clip, text) for text in TEXTS + CLIP_ONLY_TEXTS],
        "llama": [{"text": text, "ids": [1, *processor.encode(text)]} for text in TEXTS],
        "llamaJson": [{"text": text, "ids": llama(text).input_ids} for text in TEXTS],
        "aroundImage": [image_case(processor, text) for text in IMAGE_PROMPTS],
        "subjects": [subject_case(clip, label, prompt) for label, prompt in SUBJECTS],
    }
    # ASCII escapes: the texts hold control characters and separators that editors would change.
    (OUT / "cases.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
