"""Makes all goldens again and compares them with the recorded ones, which stay as they are.

    python training/goldens/check.py

Same versions and the same kind of CPU give the same bytes; another kind of CPU may round another way, so tensors and
lists of numbers are allowed to differ by 1e-5 of their largest value. Exits with 1 and a line for every file that differs.
"""

import base64
import json
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from recording import DATA, LAYOUTS
from safetensors.torch import load_file

TOLERANCE = 1e-5
SCRIPTS = ["make.py", "samplers.py", "toy_tokenizers.py"]


def flat(value, path=""):
    """Tensors of nested dicts by their joined keys."""
    if isinstance(value, dict):
        return {key: tensor for name, item in value.items() for key, tensor in flat(item, f"{path}{name}.").items()}
    return {path: value}


def tensors(file):
    if file.suffix == ".safetensors":
        return load_file(file)
    return flat(torch.load(file, weights_only=True))


def json_difference(old, new, path="", largest=0.0):
    """As for tensors: a number may differ by TOLERANCE of the largest in its list, and so may those of lists in lists."""
    if type(old) is not type(new):
        return f"{path} is {new!r}, recorded {old!r}"
    if isinstance(old, dict):
        if old.keys() != new.keys():
            return f"{path}: other keys"
        pairs = [(f"{path}.{key}", value, new[key]) for key, value in old.items()]
    elif isinstance(old, list):
        if len(old) != len(new):
            return f"{path}: {len(new)} items, recorded {len(old)}"
        largest = max([largest, *(abs(value) for value in old if isinstance(value, float))])
        pairs = [(f"{path}[{index}]", *both) for index, both in enumerate(zip(old, new))]
    elif old == new:
        return None
    elif isinstance(old, str):
        distance = base64_distance(old, new)
        return None if distance <= TOLERANCE else f"{path} differs by {distance:.2e} of its largest value"
    else:
        near = isinstance(old, float) and abs(old - new) <= TOLERANCE * max(largest, abs(old))
        return None if near else f"{path} is {new!r}, recorded {old!r}"
    return next((found for pair in pairs if (found := json_difference(pair[1], pair[2], pair[0], largest))), None)


def base64_distance(old, new):
    """Of two texts that are float32 in base64, as a share of the largest; infinity where they are not."""
    try:
        a, b = (np.frombuffer(base64.b64decode(text, validate=True), np.float32).astype(np.float64) for text in (old, new))
    except ValueError:
        return math.inf
    if len(a) != len(b) or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.inf
    return float(np.abs(a - b).max() / np.abs(a).max())


def difference(recorded, made):
    """What is different between two files, in words, or None."""
    if recorded.read_bytes() == made.read_bytes():
        return None
    if recorded.suffix == ".json":
        return json_difference(json.loads(recorded.read_text()), json.loads(made.read_text()))
    if recorded.suffix not in (".safetensors", ".bin", ".th"):
        return "other bytes"
    old, new = tensors(recorded), tensors(made)
    if old.keys() != new.keys():
        return f"other tensors: {sorted(old.keys() ^ new.keys())[:3]}"
    for name, tensor in old.items():
        other = new[name]
        if tensor.shape != other.shape or tensor.dtype != other.dtype:
            return f"{name} is {other.dtype} {list(other.shape)}, recorded {tensor.dtype} {list(tensor.shape)}"
        distance = (tensor.double() - other.double()).abs().max() if tensor.numel() else 0
        if distance > TOLERANCE * tensor.double().abs().max():
            return f"{name} differs by {distance:.2e}"
    return None


def main():
    here = Path(__file__).parent
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        kept = {place: Path(folder) / place.name for place in (DATA, LAYOUTS)}
        for place, copy in kept.items():
            shutil.copytree(place, copy)
        try:
            for script in SCRIPTS:
                subprocess.run([sys.executable, here / script], check=True)
            for place, copy in kept.items():
                files = {file.relative_to(root) for root in (place, copy) for file in root.rglob("*") if file.is_file()}
                for file in sorted(files):
                    old, new = copy / file, place / file
                    missing = "not recorded" if not old.exists() else "not made" if not new.exists() else None
                    problem = missing or difference(old, new)
                    if problem:
                        failures += 1
                        print(f"{place / file}: {problem}")
        finally:
            for place, copy in kept.items():
                shutil.rmtree(place)
                shutil.copytree(copy, place)
    print("goldens differ" if failures else "goldens are what the references compute")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
