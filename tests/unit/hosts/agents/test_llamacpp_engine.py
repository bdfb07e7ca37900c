"""What runs llama.cpp on a host, apart from the engine itself, which the molecule scenario `serving` has."""

from __future__ import annotations

from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.error import HTTPError

import pytest

from dualtrack.hosts.agents import llamacpp_engine as program
from dualtrack.hosts.agents.engine import Hopeless, Later
from dualtrack.hosts.agents.llamacpp_engine import Settings, start
from tests.support.models import SMOLLM2, gguf

SETTINGS = Settings(
    library="/nowhere", name="m", file="m.gguf", port=8001, context=64, slots=1, threads=1,
    probe={"prompt": "The capital of France is", "expected": "Paris"}, drain_s=3,
)  # fmt: skip


def test_model_or_engine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Hopeless, match="is not there"):
        start(SETTINGS, "k", tmp_path)
    (tmp_path / "m.gguf").touch()
    with pytest.raises(Hopeless, match="not a GGUF file"):
        start(SETTINGS, "k", tmp_path)
    gguf(tmp_path / "m.gguf", SMOLLM2)
    with pytest.raises(Hopeless, match="/nowhere cannot be loaded"):
        start(SETTINGS, "k", tmp_path)


@pytest.mark.parametrize(
    ("memory", "raised", "said"),
    [((2**40, 2**40), None, "fits: room for"), ((2**40, 2**20), Later, "beside what runs here"),
     ((2**20, 2**20), Hopeless, "into this host's memory")],
)  # fmt: skip
def test_what_does_not_fit_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    memory: tuple[int, int], raised: type[Exception] | None, said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(program.model_memory, "host_memory", lambda: memory)
    path = gguf(tmp_path / "m.gguf", SMOLLM2)
    if raised is None:
        program.fits(path, 1024, 4)
        assert said in capsys.readouterr().out
        return
    with pytest.raises(raised, match=said):
        program.fits(path, 1024, 4)
    assert "does not fit: room for 0 tokens" in capsys.readouterr().out


LATE = TimeoutError("timed out")


@pytest.mark.parametrize(
    ("said", "is_stuck"),
    [(["counts"], False), ([HTTPError("", 503, "", Message(), None)], False), ([LATE, "counts"], False),
     ([LATE, LATE], True), ([ConnectionResetError(), ConnectionRefusedError()], True)],
)  # fmt: skip
def test_an_engine_without_a_word_is_stuck(said: list[Any], is_stuck: bool) -> None:
    api = mock.Mock(ask=mock.Mock(side_effect=said))
    assert program.stuck(api) is is_stuck
    assert api.ask.call_count == len(said)


def test_nothing_of_a_prompt_is_kept_for_another_request() -> None:
    """As xllamacpp has them, the defaults keep it in the slots and in 8 GiB of memory, which no arithmetic counts."""
    found = SimpleNamespace(
        cache_prompt=True, cache_ram_mib=8192, cache_idle_slots=True, n_cache_reuse=256, slot_prompt_similarity=0.1
    )
    program.forget(found)
    assert not any(vars(found).values())
