"""An air-gapped site: a mirror is built, carried in, and both tracks come up from it alone.

The site is a network namespace with nothing but a loopback, a checkout of its own, and caches that are empty.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dualtrack.cloud import opentofu
from tests.conftest import ROOT, Cli
from tests.support.stack import pools

#: `make drill-data` brings up all of it, the storage host's virtual machine too; `make test` leaves that out.
WHOLE = bool(os.environ.get("DUALTRACK_WHOLE"))
LIMIT_S = 1500


class Site:
    """A checkout in a namespace that has no way out."""

    def __init__(self, folder: Path, medium: Path, key: Path) -> None:
        self.tree, self.namespace = folder / "tree", f"cut-{os.getpid()}"
        self.tree.mkdir(parents=True)
        names = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
        ).stdout
        subprocess.run(
            ["cp", "--no-dereference", "--parents", "-t", self.tree, *filter(None, names.decode().split("\0"))],
            cwd=ROOT,
            check=True,
        )
        kept = {key: value for key, value in os.environ.items() if "DUALTRACK" not in key and key != "VIRTUAL_ENV"}
        cache = folder / "cache"
        self.env = kept | {
            "XDG_CACHE_HOME": str(cache), "PIP_CACHE_DIR": str(cache / "pip"), "GOMODCACHE": str(cache / "go"),
            "GOCACHE": str(cache / "go-build"), "DUALTRACK_MIRROR": str(medium), "DUALTRACK_MIRROR_KEY": str(key),
        }  # fmt: skip
        if (binary := opentofu.find()) is not None:  # its build alone takes five minutes
            self.env["DUALTRACK_TOFU"] = str(binary.path)
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        subprocess.run(["ip", "-n", self.namespace, "link", "set", "lo", "up"], check=True)

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the checkout there."""
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *words],
            cwd=self.tree, env=self.env, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            pytest.fail(
                f"{' '.join(words)} exited with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            )
        return done

    def close(self) -> None:
        """Take all down."""
        if (self.tree / ".venv/bin/dualtrack").exists():
            self(".venv/bin/dualtrack", "lab", "down", check=False)
        subprocess.run(["ip", "netns", "del", self.namespace], check=True)


@pytest.fixture(scope="module")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page leaves behind: the medium, and the key that goes another way."""
    cli = Cli(tmp_path_factory.mktemp("outside"))
    assert "all as they were signed" in cli.runbook("carry-a-mirror-in.md")
    return cli.folder / "runbook"


@pytest.fixture(scope="module")
def site(medium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, with the medium in its drive."""
    found = Site(tmp_path_factory.mktemp("cut"), medium / "medium", medium / "site-key.asc")
    try:
        yield found
    finally:
        found.close()
        shutil.rmtree(found.tree.parent)


def test_second_build_brings_nothing(medium: Path) -> None:
    cli = Cli(medium.parent)
    begin = time.monotonic()
    again = cli("mirror", "build", "--dest", str(medium / "medium"), "--json")
    print(f"second build: {time.monotonic() - begin:.1f} s")
    assert json.loads(again.stdout)["changed"] is False


def test_there_is_no_way_out(site: Site) -> None:
    routes = site("ip", "-j", "route").stdout.strip()
    assert json.loads(routes or "[]") == []


def test_both_tracks_come_up_from_the_mirror_alone(site: Site) -> None:
    if WHOLE:
        site("make", "up")
    else:
        facts = yaml.safe_load((site.tree / "inventories/local/facts.yml").read_text())
        facts["hosts"] = [host for host in facts["hosts"] if "gpu" in host["roles"]]
        (site.tree / "small.yml").write_text(yaml.safe_dump(facts))
        # The local track has an engine from this mirror.
        (site.tree / "small.json").write_text(json.dumps({**pools(spot=1, ondemand=1), "serving": None}))
        site("ci/setup.sh", "--environment-only")
        site("env", "DUALTRACK_VARIABLES=small.json", ".venv/bin/dualtrack", "cloud", "up", "--json")
        site(".venv/bin/dualtrack", "local", "up", "--facts", "small.yml", "--json")
    rows = json.loads(site(".venv/bin/dualtrack", "status", "--json").stdout)["hosts"]
    assert {host["state"] for host in rows} == {"up"}
    assert {host["track"] for host in rows} == {"cloud", "local"}


def test_a_mirror_of_another_key_is_refused_before_anything_is_installed(site: Site, tmp_path: Path) -> None:
    from dualtrack.data.mirror import signing

    other = tmp_path / "other.asc"
    other.write_text(signing.public_key(signing.ensure_key(tmp_path / "key")))
    words = ("env", f"DUALTRACK_MIRROR_KEY={other}", ".venv/bin/dualtrack", "setup")
    done = site(*words, check=False)
    assert done.returncode == 2
    assert "is not signed by this key" in done.stderr
