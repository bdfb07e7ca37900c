"""Options of the same kind behave alike in all commands."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from dualtrack.cli import commands
from dualtrack.cli.groups import BY_NAME

COMMANDS: dict[tuple[str, ...], Any] = dict(commands())
NUMBERS = [
    (path, option.opts[0])
    for path, command in COMMANDS.items()
    for option in command.params
    if option.param_type_name == "option" and option.type.name in ("float", "float range")
]


def test_options_with_a_fraction_were_found() -> None:
    assert {(("status",), "--interval"), (("serving", "tune"), "--delay-ms"), (("cost", "report"), "--budget")} <= {
        *NUMBERS
    }


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(("path", "option"), NUMBERS, ids=lambda it: it if isinstance(it, str) else " ".join(it))
def test_what_is_not_a_number_is_refused(path: tuple[str, ...], option: str, value: str) -> None:
    group, *rest = path
    with pytest.raises(typer.BadParameter, match="is not"):
        BY_NAME[group].load().main([*rest, f"{option}={value}"], standalone_mode=False)


def test_the_authority_s_directory_is_one_option() -> None:
    told = {
        (option.help, str(option.default))
        for path, command in COMMANDS.items()
        for option in command.params
        if "--pki" in option.opts
    }
    assert len(told) == 1
