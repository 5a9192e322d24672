"""Pictures of held-out icons for `moma safety evaluate --pictures FOLDER`.

    python -m training.world.judged --icons .moma/training/icons.bin --out pictures

FOLDER/person  every arrangement of persons in every place, three times; the subject is a held-out person each time another
FOLDER/things  the same of things, seven times
FOLDER/beside  a folder of its own for --pictures: things that a person is beside, which the policy allows

NAME.png and its mask NAME.mask.png; the name says number, arrangement, icon and place.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from training.world.crowds import ARRANGEMENTS, HIDDEN, PERSON, THING, Crowds
from training.world.world import PLACE_NAMES

OF_PERSONS = [name for name in ARRANGEMENTS if name.startswith("person")]
OF_THINGS = [name for name in ARRANGEMENTS if name.startswith("thing") and "beside" not in name]
BESIDE = ["thing beside a person"]


def write_judged(crowds: Crowds, folder: Path, arrangements: Sequence[str], times: int, kind: int, seed: int) -> int:
    """Pictures of `arrangements` in every place, `times` each; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng([seed, kind]).permutation(crowds.of_kind[kind])
    cases = list(product(range(times), range(len(PLACE_NAMES)), arrangements))
    for number, (_, place, arrangement) in enumerate(cases):
        lead = int(order[number % len(order)])
        image, mask = picture_of(crowds, arrangement, place, lead, [seed, kind, number])
        icon = crowds.icons[lead]
        words = (f"{number:03}", arrangement.replace(",", ""), icon.set, icon.name, PLACE_NAMES[place])
        name = " ".join(words).replace(" ", "-")
        Image.fromarray(image).save(folder / f"{name}.png")
        Image.fromarray(mask).save(folder / f"{name}.mask.png")
    return len(cases)


def picture_of(crowds: Crowds, arrangement: str, place: int, lead: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [S, S, 3] and the subject's mask [S, S]; arranged anew where too little of the subject is seen."""
    rng = np.random.default_rng(seed)
    while True:
        crowd = crowds.arrange(rng, [arrangement], np.array([place]), [lead])
        subject = int(crowd.subject[0])
        if int(crowd.kinds[0, subject]) != HIDDEN:
            return crowd.image[0].numpy(), crowd.seen[0, subject].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.world.judged", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--icons", type=Path, default=Path(".moma/training/icons.bin"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    crowds = Crowds(o.icons, "held_out", variants=8)
    persons = write_judged(crowds, o.out / "person", OF_PERSONS, 3, PERSON, o.seed)
    things = write_judged(crowds, o.out / "things", OF_THINGS, 7, THING, o.seed)
    beside = write_judged(crowds, o.out / "beside/things", BESIDE, 6, THING, o.seed + 1)
    print(f"{o.out}: {persons} of persons, {things} of things, {beside} of things beside a person")


if __name__ == "__main__":
    main()
