"""The machine's own forwarding setting comes back, once the last of several labs is down."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dualtrack.lab import network


def test_last_lab_puts_the_machines_own_setting_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, namespaces, setting = tmp_path / "kept.json", tmp_path / "netns", tmp_path / "eth0/forwarding"
    for name, path in (("KEPT", kept), ("NAMESPACES", namespaces), ("FORWARDING", tmp_path)):
        monkeypatch.setattr(network, name, path)
    for folder in (namespaces, setting.parent):
        folder.mkdir()
    network.restore()  # nothing was kept
    kept.write_bytes(msgspec.json.encode(network.Forwarding("eth0", "0")))
    setting.write_text("1")
    (namespaces / "dt-abc123").touch()
    network.restore()
    assert (setting.read_text(), kept.exists()) == ("1", True)
    (namespaces / "dt-abc123").unlink()
    network.restore()
    assert (setting.read_text(), kept.exists()) == ("0", False)
    kept.write_bytes(msgspec.json.encode(network.Forwarding("gone0", "0")))
    network.restore()
    assert not kept.exists()
