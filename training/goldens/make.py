"""Makes the goldens of test/parity: toy checkpoints in the published layouts, recorded inputs and outputs.

    python training/goldens/make.py [case …]      # all cases when none is named

Same versions (training/requirements.txt), same kind of CPU: same bytes.
"""

import importlib
import os
import sys
import time

import torch

CASES = ["unet", "vae", "clip-text", "layouts", "clip-vision", "safety", "llava", "adapters", "moma", "segmentation", "metrics"]


def main():
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    names = sys.argv[1:] or CASES
    for name in names:
        if name not in CASES:
            sys.exit(f"{name!r} is no case; there are {', '.join(CASES)}")
    for name in names:
        start = time.perf_counter()
        with torch.no_grad():
            importlib.import_module(f"cases.{name.replace('-', '_')}").make()
        print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
