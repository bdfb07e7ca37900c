"""Which host it is that answers to a name."""

from __future__ import annotations

import pytest

from dualtrack.remote import identity

MACHINE = "0123456789abcdef0123456789abcdef"
KEY = "ssh-ed25519 " + "A" * 68


def test_machine_and_host_key_are_both_in_it() -> None:
    one = identity.of(f"{MACHINE}\n{KEY} root@one\n")
    assert one.startswith(f"{MACHINE} SHA256:")
    assert identity.of(f"{MACHINE}\n{KEY}\n") == one  # whatever the comment
    assert identity.of(f"{MACHINE[::-1]}\n{KEY}\n") != one
    assert identity.of(f"{MACHINE}\n{KEY[:-1]}B\n") != one


@pytest.mark.parametrize(
    "said", ["", MACHINE, KEY, f"uninitialized\n{KEY}", f"{MACHINE}\nssh-ed25519 A\n", f"{MACHINE}{KEY}"]
)
def test_half_an_answer_is_none(said: str) -> None:
    assert identity.of(said) == ""
