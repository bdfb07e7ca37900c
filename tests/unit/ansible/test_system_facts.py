"""Which system a host is, as Ansible's own facts would say it: read from trees as the distributions ship them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("system_facts", ROOT / "plugins/modules/system_facts.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'
UBUNTU = 'NAME="Ubuntu"\nVERSION_ID="22.04"\nID=ubuntu\nID_LIKE=debian\n'
EULER = 'NAME="openEuler"\nVERSION="22.03 (LTS-SP4)"\nID="openEuler"\nVERSION_ID="22.03"\n'
KYLIN = 'NAME="Kylin Linux Advanced Server"\nVERSION="V10 (Lance)"\nID="kylin"\nVERSION_ID="V10"\n'


@pytest.mark.parametrize(
    ("release", "files", "wanted"),
    [
        (DEBIAN, {"etc/debian_version": "12.15\n", "usr/bin/apt-get": ""}, ("Debian", "12.15", "12", "apt")),
        # Testing has a name where a version would be.
        (DEBIAN, {"etc/debian_version": "trixie/sid\n", "usr/bin/apt-get": ""}, ("Debian", "12", "12", "apt")),
        # A Debian on which somebody installed dnf is still apt's.
        (DEBIAN, {"usr/bin/apt-get": "", "usr/bin/dnf": ""}, ("Debian", "12", "12", "apt")),
        (UBUNTU, {"etc/debian_version": "bookworm/sid\n", "usr/bin/apt-get": ""}, ("Ubuntu", "22.04", "22", "apt")),
        (EULER, {"usr/bin/dnf": "", "usr/bin/yum": "", "usr/bin/apt-get": ""}, ("openEuler", "22.03", "22", "dnf")),
        (KYLIN, {"usr/bin/yum": ""}, ("Kylin Linux Advanced Server", "V10", "V10", "yum")),
        (KYLIN, {}, ("Kylin Linux Advanced Server", "V10", "V10", "unknown")),
    ],
)
def test_system_is_told_as_ansible_tells_it(
    plugin: ModuleType, tmp_path: Path, release: str, files: dict[str, str], wanted: tuple[str, str, str, str]
) -> None:
    for name, text in {"etc/os-release": release, "run/systemd/system/.keep": "", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = plugin.facts(tmp_path)
    names = ("distribution", "distribution_version", "distribution_major_version", "pkg_mgr")
    assert tuple(found[name] for name in names) == wanted
    assert found["service_mgr"] == "systemd"
