"""The machine's own settings come back, once the last of several labs is down."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.lab import machine


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A setting of a machine without labs, with the value 0."""
    found = tmp_path / "setting"
    for name, path in (("KEPT", "kept.json"), ("NAMESPACES", "netns"), ("INOTIFY", "setting")):
        monkeypatch.setattr(machine, name, tmp_path / path)
    machine.NAMESPACES.mkdir()
    found.write_text("0\n")
    return found


def test_last_lab_puts_the_machines_own_setting_back(setting: Path) -> None:
    machine.restore()  # nothing was kept
    labs = [machine.NAMESPACES / name for name in ("dt-abc123", "dt-def456")]
    for lab in labs:
        lab.touch()
        machine.change(setting, "1")
    labs[0].unlink()
    machine.restore()
    assert setting.read_text() == "1", "another lab needs it"
    labs[1].unlink()
    machine.restore()
    assert setting.read_text() == "0"
    assert not machine.KEPT.exists()


def test_setting_of_a_device_that_is_gone_is_nobodys(setting: Path) -> None:
    other = setting.with_name("other")
    other.write_text("7")
    machine.change(setting, "1")
    machine.change(other, "8")
    setting.unlink()
    machine.restore()
    assert (setting.exists(), other.read_text(), machine.KEPT.exists()) == (False, "7", False)


@pytest.mark.parametrize(("before", "during"), [("128\n", str(machine.INSTANCES)), ("100000\n", "100000\n")])
def test_limit_of_inotify_is_only_raised(setting: Path, before: str, during: str) -> None:
    setting.write_text(before)
    machine.allow_hosts()
    assert setting.read_text() == during
    machine.restore()
    assert setting.read_text().strip() == before.strip()
