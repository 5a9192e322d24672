"""Pictures of held-out icons for `moma safety evaluate --pictures FOLDER`.

    python -m training.world.judged --icons .moma/training/icons.bin --out pictures

FOLDER/person  every arrangement of persons in every place, three times; the subjects are held-out drawings of all roles in
               turn, among them the roles that nobody has learned of
FOLDER/things  the same of things, seven times; all of groups that nobody has learned of
FOLDER/unseen  a folder of its own for --pictures: persons of the roles that nobody has learned of alone
FOLDER/beside  another one: things that a person is beside, which the policy allows

NAME.png and its mask NAME.mask.png; the name says number, arrangement, icon and place.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product, zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

from training.world.atlas import read_atlas
from training.world.crowds import ARRANGEMENTS, HIDDEN, PERSON, THING, Crowds, stands_for_people
from training.world.world import PLACE_NAMES

OF_PERSONS = [name for name in ARRANGEMENTS if name.startswith("person")]
OF_THINGS = [name for name in ARRANGEMENTS if name.startswith("thing") and "beside" not in name]
BESIDE = ["thing beside a person"]


def in_turn(rng: np.random.Generator, crowds: Crowds, persons: np.ndarray) -> list[int]:
    """The first of every group, then the second, and so on; the groups, and who of a group comes first, by chance."""
    groups: dict[str, list[int]] = {}
    for person in rng.permutation(persons):
        groups.setdefault(crowds.icons[person].group, []).append(int(person))
    return [person for turn in zip_longest(*groups.values()) for person in turn if person is not None]


def write_judged(
    crowds: Crowds, folder: Path, arrangements: Sequence[str], times: int, kind: int, seed: int, order: Sequence[int]
) -> int:
    """Pictures of `arrangements` in every place, `times` each, of the icons in this order; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = list(product(range(times), range(len(PLACE_NAMES)), arrangements))
    for number, (_, place, arrangement) in enumerate(cases):
        lead = order[number % len(order)]
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
    parser.add_argument("--size", type=int, default=256, help="pixels of a side; photos have more than the miniature looks at")
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    crowds = Crowds(o.icons, "held_out", o.size, variants=8)
    learned = {icon.group for icon in read_atlas(o.icons, "person", "train").icons}
    rng = np.random.default_rng([o.seed, PERSON])
    people = np.array([person for person in crowds.of_kind[PERSON] if not stands_for_people(crowds.icons[person])])
    everybody = in_turn(rng, crowds, people)
    unseen = in_turn(rng, crowds, people[[crowds.icons[person].group not in learned for person in people]])
    things = np.random.default_rng([o.seed, THING]).permutation(crowds.of_kind[THING]).tolist()
    written = {
        "of persons": write_judged(crowds, o.out / "person", OF_PERSONS, 3, PERSON, o.seed, everybody),
        "of roles that nobody has learned of": write_judged(crowds, o.out / "unseen/person", OF_PERSONS, 3, PERSON, o.seed, unseen),
        "of things": write_judged(crowds, o.out / "things", OF_THINGS, 7, THING, o.seed, things),
        "of things beside a person": write_judged(crowds, o.out / "beside/things", BESIDE, 6, THING, o.seed + 1, things),
    }
    print(f"{o.out}: {', '.join(f'{count} {of}' for of, count in written.items())}")


if __name__ == "__main__":
    main()
