"""Judges signed pictures by the reference library of C2PA: all must be trusted, and none once a byte of it is another.

    npm exec -- node test/parity/sign-pictures.ts FOLDER && python training/goldens/credentials.py FOLDER
"""

import io
import json
import sys
from pathlib import Path

import c2pa

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def judged(png: bytes, authority: str) -> dict:
    trust = {"trust_anchors": authority, "trust_config": "1.3.6.1.5.5.7.3.36"}
    settings = c2pa.Settings.from_dict({"trust": trust, "verify": {"verify_trust": True}})
    with c2pa.Reader("image/png", io.BytesIO(png), context=c2pa.Context(settings=settings)) as reader:
        return json.loads(reader.json())


def main() -> None:
    pictures = sorted(Path(sys.argv[1]).glob("*.png"))
    assert pictures, f"{sys.argv[1]} holds no pictures"
    for path in pictures:
        png, authority = path.read_bytes(), path.with_suffix(".pem").read_text()
        told = judged(png, authority)
        assert told["validation_state"] == "Trusted", (path.name, told.get("validation_status"))
        manifest = told["manifests"][told["active_manifest"]]
        [actions] = [one for one in manifest["assertions"] if one["label"] == "c2pa.actions.v2"]
        assert [action["digitalSourceType"] for action in actions["data"]["actions"]] == [TRAINED], path.name
        other = judged(png.replace(b"on the beach", b"at the beach"), authority)
        assert other["validation_state"] == "Invalid", path.name
        print(f"{path.name}: {manifest['signature_info']['alg']}, {told['validation_state']}")


main()
