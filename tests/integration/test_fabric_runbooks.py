"""The runbooks about InfiniBand, on a simulated fabric."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Cli, wait
from tests.support.fabric_testbed import FIXTURES, Bed, lacking, net

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

#: Stands for ssh to hosts that are only simulated: `systemctl` there ends or restarts the opensm that runs on them.
SSH = """#!/bin/bash
set -eu
directory=$(dirname "$0")
case "$2 $3 $4" in
"sudo systemctl disable") kill -- "-$(cat "$directory/$1.pid")" ;;
"sudo systemctl restart") touch "$directory/$1.restart"; while [ -e "$directory/$1.restart" ]; do sleep 0.1; done ;;
*) exit 2 ;;
esac
"""


def page(bed: Bed, folder: Path, name: str, node: str = "H-node6") -> str:
    """Run a page as an operator on a host of the fabric, its fabric file at hand."""
    cli = Cli(folder)
    cli.env |= bed.at(node)
    cli.env["PATH"] = f"{folder}/bin:{cli.env['PATH']}"
    (folder / "runbook").mkdir(exist_ok=True)
    if name != "fabric-check.md":
        shutil.copy(FIXTURES / "fabric.yml", folder / "runbook")
    return cli.runbook(name)


def test_fabric_check(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "sim", net())
    try:
        bed.manager("H-node1", 10)
        bed.manager("H-node4", 1, state="STANDBY")
        assert "all as declared" in page(bed, tmp_path, "fabric-check.md")
    finally:
        bed.close()
    assert (tmp_path / "runbook/fabric.svg").read_text().startswith("<svg")


def test_replace_a_cable(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "sim", net())
    try:
        bed.manager("H-node1", 10)
        bed.manager("H-node4", 1, state="STANDBY")
        bed.console('PerformanceSet "S-leaf1"[7] PortCounters.SymbolErrorCounter=700')
        said = page(bed, tmp_path, "replace-a-cable.md")
    finally:
        bed.close()
    assert "leaf1/7 -- spine1/1" in said
    assert said.rstrip().endswith("all as declared")


def test_two_subnet_managers(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH)
    (tmp_path / "bin/ssh").chmod(0o755)
    (tmp_path / "other-key.conf").write_text("sm_key 0x0000000000000099\n")
    bed = Bed(tmp_path / "sim", net())
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            right = bed.manager("H-node1", 10)
            bed.manager("H-node4", 1, state="STANDBY")
            wrong = bed.manager("H-node5", 1, "-F", str(tmp_path / "other-key.conf"))
            (tmp_path / "bin/node5.pid").write_text(str(wrong.pid))
            running = pool.submit(page, bed, tmp_path, "two-subnet-managers.md")
            asked = tmp_path / "bin/node1.restart"
            wait(lambda: (running.done() and running.result()) or asked.exists(), 60, "the page's restart")
            bed.stop(right)
            bed.manager("H-node1", 10)
            asked.unlink()
            said = running.result(timeout=60)
        finally:
            (tmp_path / "bin/node1.restart").unlink(missing_ok=True)
            bed.close()
    assert said.rstrip().endswith("all as declared")
