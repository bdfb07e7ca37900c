"""Every kind of personal data beside every class of neighbour is found; look-alikes beside the same are not."""

from __future__ import annotations

import bisect
import os
import random
from collections import Counter
from collections.abc import Callable

import pytest

from dualtrack.knowledge.pii import characters, forms
from dualtrack.knowledge.pii.scan import scan
from tests.support.personal_data import Maker
from tests.support.personal_grid import LOOKALIKES, OF_DIGITS, VALUES, Case, cases

#: Characters of each class of neighbours.
EACH = 8 if os.environ.get("DUALTRACK_WHOLE") else 1
#: Between texts: no window of one reaches into the next one, and no number goes over it.
PAD = "\n" + "zz " * 20 + "\n"
#: Digits that keyboards write.
KEYBOARDS = "0123456789０１２３４５６７８９"
Values = dict[str, tuple[str, Callable[[Maker], str]]]


def scanned(values: Values, seed: int) -> tuple[list[tuple[Case, list[tuple[int, int]]]], int]:
    """Return each case with what is found in its text, in bytes; and of how many bytes all texts are."""
    parts: list[bytes] = []
    places, size = [], 0
    for case in cases(random.Random(seed), EACH, values):
        part = f"{PAD}{case.text}".encode()
        places.append((case, size + len(PAD), size + len(part)))
        parts.append(part)
        size += len(part)
    found = [(it.start, it.end) for it in scan(b"".join(parts))]
    starts = [start for start, _ in found]
    result = []
    for case, begin, end in places:
        own = found[bisect.bisect_left(starts, begin) : bisect.bisect_left(starts, end)]
        result.append((case, [(first - begin, last - begin) for first, last in own]))
    return result, size


def joined(case: Case) -> bool:
    """Return whether what is beside a value is part of it, or of a longer one, whatever is done: these are the limits.

    Letters and digits beside identifiers that have letters; digits of the same script beside all.
    """
    beside = case.neighbour.text
    plain = characters.plain(beside, [])[0].casefold()
    if len(beside) == 1 and plain.isascii() and plain.isalnum():
        # A digit that keyboards do not write is a word beside those that they do.
        if plain.isdigit():
            return beside in KEYBOARDS
        # Two hexadecimal digits are a part of a digest, one is not.
        return case.kind not in OF_DIGITS or (case.side == "both" and plain in "abcdef")
    # Words that end or begin with a letter, and brackets that make a call of a password.
    marks = {"orderA", "wx:a", "v", "T"} if case.kind not in OF_DIGITS else set()
    marks |= {"(", "(张)", "（王五）", "（"} if case.kind == "secret" else set()
    marks |= {"1.", "12."} if case.kind == "coordinates" else set()
    return beside in marks


def test_every_kind_is_found_beside_every_class_of_neighbour(capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = scanned(VALUES, 1)
    count, limits, missed = Counter[str](), Counter[str](), []
    for case, found in result:
        first, last = len(case.text[: case.start].encode()), len(case.text[: case.end].encode())
        whole = any(start <= first and last <= end for start, end in found)
        if joined(case):
            limits[case.kind] += 1
            continue
        count[case.kind] += 1
        if not whole:
            missed.append(f"{case.kind}, {case.neighbour.of} {case.side}: {case.text!a}")
    classes = {case.neighbour.of for case, _ in result}
    with capsys.disabled():
        print(f"\n{count.total()} of {len(classes)} classes beside {len(count)} kinds: {len(missed)} missed;"
              f" {limits.total()} where the neighbour is part of a longer word")  # fmt: skip
    assert not missed, "\n".join(missed[:40])
    assert len(count) == len(VALUES)
    assert limits.total() < 0.02 * count.total()


def test_look_alikes_are_left_alone_beside_every_class_of_neighbour(capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = scanned({kind: ("", value) for kind, value in LOOKALIKES.items()}, 2)
    count, taken = Counter(case.kind for case, _ in result), Counter[str]()
    examples = []
    for case, found in result:
        if found:
            taken[case.kind] += 1
            examples.append(f"{case.kind}: {case.text!a}")
    with capsys.disabled():
        print(f"\n{count.total()} look-alikes of {len(count)} kinds: {taken.total()} found: {dict(taken)}")
    # A check digit is right by chance in another kind; a numeral before `0.` may be the number of an item (`50.`).
    for kind, number in count.items():
        assert taken[kind] <= 0.03 * number, "\n".join(it for it in examples if it.startswith(kind))[:3000]
    assert taken.total() <= 0.003 * count.total()


def test_without_the_second_form_the_grid_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "second", lambda _: None)
    result, _ = scanned({"phone": VALUES["phone"]}, 1)
    missed = {case.neighbour.text for case, found in result if not found}
    assert missed >= {"三", "张三", "一份", "①"}
