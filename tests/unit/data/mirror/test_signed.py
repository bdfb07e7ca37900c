"""What is taken for a signature, and for how long: decisions on gpgv's status lines, on packets and on dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from dualtrack.core.errors import BadInput
from dualtrack.data.mirror import signed

PINNED = "90A0D1C841FBB3B39977BF79213EC7E1D20346BA"
#: As gpgv 2.2.40 says it.
GOOD = f"""[GNUPG:] PLAINTEXT 74 0 
[GNUPG:] NEWSIG
[GNUPG:] KEY_CONSIDERED {PINNED} 0
[GNUPG:] SIG_ID P6SqbwkOVmrg0y7wE+6zDvNO120 2026-11-27 1795739514
[GNUPG:] KEY_CONSIDERED {PINNED} 0
[GNUPG:] GOODSIG 213EC7E1D20346BA a
[GNUPG:] VALIDSIG {PINNED} 2026-11-27 1795739514 0 4 0 22 8 01 {PINNED}
"""  # noqa: W291 - gpgv writes that blank
MADE = datetime(2026, 9, 1, tzinfo=UTC)
DATES = signed.Dates(MADE, MADE + timedelta(days=90))  # until 2026-11-30


def test_one_good_signature_is_taken() -> None:
    assert signed.judged(GOOD, PINNED) == ""
    assert signed.judged(GOOD, PINNED[:-1] + "0") == "is not signed by this key"


@pytest.mark.parametrize("word", ["NEWSIG", "GOODSIG", "VALIDSIG", "PLAINTEXT"])
def test_each_word_is_wanted_exactly_once(word: str) -> None:
    without = "".join(line for line in GOOD.splitlines(keepends=True) if f" {word}" not in line)
    assert signed.judged(without, PINNED) == "is not signed"
    assert signed.judged(GOOD + f"[GNUPG:] {word} x\n", PINNED) != ""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (GOOD + GOOD, "bears 2 signatures"), (GOOD.replace("GOODSIG", "EXPSIG"), "bears a signature that has expired"),
        (GOOD.replace("GOODSIG", "EXPKEYSIG"), "is signed by a key that has expired"),
        (GOOD.replace("GOODSIG", "REVKEYSIG"), "is signed by a key that was revoked"),
        (GOOD.replace("GOODSIG", "BADSIG"), "is not signed by this key"), ("", "is not signed"),
        (GOOD + "[GNUPG:] NODATA 4\n", "gpgv says NODATA"), (GOOD + "[GNUPG:] ERROR x 1\n", "gpgv says ERROR"),
        (GOOD + "a line of something else\n", "was not accepted"), (GOOD.replace(" 8 01 ", " 2 01 "), "is not taken"),
        (GOOD.replace(" 8 01 ", " 8 00 "), "is not taken"), (GOOD.replace("GOODSIG", "goodsig"), "was not accepted"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_a_reason(said: str, why: str) -> None:
    assert why in signed.judged(said, PINNED)


def test_a_line_within_a_users_name_is_no_line() -> None:
    """gpgv escapes line feeds; what else ends a line for Python does not end one here."""
    forged = GOOD.replace("SIG 213EC7E1D20346BA a", "SIG 213EC7E1D20346BA a\u2028[GNUPG:] NEWSIG\x0b[GNUPG:] BADSIG x")
    assert signed.judged(forged, PINNED) == ""


def test_packets_of_both_formats_and_none_that_is_cut_off() -> None:
    found = list(signed.packets(b"\x88\x01a" + b"\x89\x00\x01b" + b"\xc2\x01c" + b"\xc2\xc0\x00" + b"d" * 192))
    assert found == [(2, b"a"), (2, b"b"), (2, b"c"), (2, b"d" * 192)]
    assert list(signed.packets(b"\xc2\xff\x00\x00\x00\x01e")) == [(2, b"e")]
    for bad in (b"\x88\x02a", b"\x8ba", b"\xc2\xe1aa", b"text", b"\xc2", b"\xc2\xff\x00"):
        with pytest.raises((ValueError, IndexError)):
            list(signed.packets(bad))


def test_a_manifest_counts_until_its_day() -> None:
    until = DATES.until
    assert signed.out_of_date(DATES, until - timedelta(seconds=1)) == ""
    said = signed.out_of_date(DATES, until)
    assert "was valid until 2026-11-30" in said
    assert "--accept-expired 2026-11-30" in said


def test_who_accepts_an_old_manifest_accepts_no_older_one() -> None:
    late = DATES.until + timedelta(days=400)
    assert signed.out_of_date(DATES, late, date(2026, 11, 30)) == ""
    assert signed.out_of_date(DATES, late, date(2026, 11, 1)) == ""
    assert "was valid until" in signed.out_of_date(DATES, late, date(2026, 12, 1))


def test_a_clock_that_is_behind_makes_nothing_valid() -> None:
    assert signed.out_of_date(DATES, MADE - timedelta(hours=23)) == ""
    early = MADE - timedelta(days=2)
    for accepted in (None, date(2026, 11, 30)):
        assert "set the clock" in signed.out_of_date(DATES, early, accepted)


def test_a_day_is_written_as_one() -> None:
    assert signed.day("2026-11-30") == date(2026, 11, 30)
    assert signed.day(None) is None
    with pytest.raises(BadInput, match="soon is not a day"):
        signed.day("soon")
