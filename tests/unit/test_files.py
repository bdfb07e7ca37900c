"""Locks: who waits is told, and who need not wait is not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dualtrack import files
from dualtrack.files import locked


def test_who_waits_for_a_lock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SILENT_S", 0.01)
    said: list[str] = []
    with locked(tmp_path / "it", said.append):
        waits = threading.Event()

        def wait() -> None:
            with locked(tmp_path / "it", lambda text: (said.append(text), waits.set())[0]):
                said.append("had")

        thread = threading.Thread(target=wait)
        thread.start()
        assert waits.wait(10)
        assert said == [f"waiting for another run on {tmp_path}"]
    thread.join(10)
    assert said[1:] == ["had"]


def test_a_lock_that_is_free_soon_is_not_worth_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    first = locked(tmp_path / "it")
    first.__enter__()
    monkeypatch.setattr("dualtrack.files.time.sleep", lambda _: first.__exit__(None, None, None))
    with locked(tmp_path / "it", said.append):
        assert said == []
