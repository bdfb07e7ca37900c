"""Debian's packages for a site: what the lab's hosts, the roles and `make setup` install, with all it depends on.

apt itself works out what is needed and fetches it, from this machine's own sources and with Debian's own signatures
checked; it continues where an earlier run was ended. What it brought becomes one suite, signed by the mirror's key.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from dualtrack.core.errors import External
from dualtrack.core.files import write_atomically
from dualtrack.core.paths import ROOT, pins
from dualtrack.core.proc import run
from dualtrack.data.mirror import apt, signing
from dualtrack.data.mirror.manifest import Fetched

Say = Callable[[str], None]

#: What the lab's database of countries is made of. It is not installed anywhere: it would bring tor.
COUNTRIES = "tor-geoipdb"
#: A package's name, as Debian's policy has it.
NAME = re.compile(r"[a-z0-9][a-z0-9.+-]+")
#: Where roles and inventories name packages, below the checkout.
VARIABLES = ("roles/*/vars/*.yml", "roles/*/defaults/*.yml", "inventories/**/*.yml")
#: What apt -s prints for each package that it would install: name, version, architecture.
INST = re.compile(r"^Inst (?P<name>[^ :]+)(?::\S+)? \((?P<version>\S+) .*\[(?P<arch>\S+)\]\)", re.MULTILINE)


class Package(msgspec.Struct, frozen=True):
    """A package by name, version and architecture."""

    name: str
    version: str
    arch: str

    @property
    def archive(self) -> str:
        """What apt calls the file in its cache: the colon of an epoch is escaped."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.arch}.deb"

    @property
    def pool(self) -> str:
        """Where the file lies in our suite: without the epoch, as in Debian's pool."""
        initial = self.name[:4] if self.name.startswith("lib") else self.name[0]
        return f"pool/{initial}/{self.name}_{self.version.split(':', 1)[-1]}_{self.arch}.deb"


class Apt:
    """apt with a state of its own, in which nothing is installed; this machine's sources, proxies and keys."""

    def __init__(self, folder: Path, sources: Path) -> None:
        for name in ("state/lists/partial", "cache/archives/partial", "parts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text("")
        settings = {
            "Dir::State": folder / "state", "Dir::State::status": folder / "status", "Dir::Cache": folder / "cache",
            "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": folder / "parts", "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false", "Acquire::Languages": "none", "APT::Keep-Downloaded-Packages": "true",
        }  # fmt: skip
        self._options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        self.archives = folder / "cache/archives"

    def update(self) -> None:
        """Read the archive's index anew; External when a source does not answer or its signature is wrong."""
        run(["apt-get", *self._options, "--error-on=any", "update", "-q"])

    def names(self) -> set[str]:
        """Return the name of every package in the archive."""
        return set(run(["apt-cache", *self._options, "pkgnames"]).stdout.split())

    def closure(self, names: Iterable[str]) -> set[Package]:
        """Return what would be installed for ``names`` on a machine that has nothing."""
        said = run(["apt-get", *self._options, "install", "--simulate", "--yes", *names]).stdout
        found = {Package(it["name"], it["version"], it["arch"]) for it in INST.finditer(said)}
        if not found:
            raise External("apt would install nothing", hint=f"it was asked for: {' '.join(names)}")
        return found

    def download(self, names: Iterable[str]) -> None:
        """Fetch what would be installed for ``names``; what is there already is not fetched again."""
        run(["apt-get", *self._options, "install", "--download-only", "--yes", "-q", *names])

    def fetch(self, name: str, directory: Path) -> Path:
        """Fetch one package's file into a directory, without what it depends on, and return it."""
        run(["apt-get", *self._options, "download", "-q", name], cwd=directory)
        [path] = directory.glob(f"{name}_*.deb")
        return path

    def stanzas(self, packages: Iterable[Package]) -> dict[tuple[str, str], str]:
        """Return what the archive's index says of packages, by name and version."""
        words = [f"{it.name}={it.version}" for it in packages]
        said = run(["apt-cache", *self._options, "show", *words]).stdout
        found = {}
        for stanza in said.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
            if fields:
                found[fields["Package"], fields["Version"]] = stanza.strip()
        return found


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a site asks of Debian beside the roles: where its packages come from, and whose packages they are."""

    sources: Path
    controller: Sequence[str]
    hosts: Sequence[str]
    machines: Sequence[str]


def wanted(archive: set[str], needs: Needs) -> dict[str, list[str]]:
    """Return what is asked for by purpose; each purpose's packages are installed together on one machine."""
    smallest = ["?essential", "apt"]
    roles = sorted(set(named(ROOT)) & archive)
    return {
        "the machine that deploys": [*smallest, *sorted({*needs.controller, "python3", "python3-venv"})],
        "countries of addresses": [*smallest, COUNTRIES],
        "lab hosts": [*smallest, *needs.hosts],
        "virtual machines": [*smallest, *needs.machines],
        "roles": [*smallest, *needs.hosts, *roles],
    }


def named(root: Path) -> Iterator[str]:
    """Yield the words that may be names of packages: in variables whose own name speaks of packages.

    Those of the roles and of the inventories; plain values, and what stands in quotes within an expression. Whether a
    word is a package's name, the archive knows.
    """
    for path in sorted(it for pattern in VARIABLES for it in root.glob(pattern)):
        yield from _named(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, within=False)


def _named(value: Any, *, within: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _named(inner, within=within or "packages" in str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner, within=within)
    elif within and isinstance(value, str):
        if "{{" in value:
            yield from (word for word in re.findall(r"'([^' ]+)'", value) if NAME.fullmatch(word))
        elif NAME.fullmatch(value):
            yield value


def fetch(work: Path, private: Path, needs: Needs, say: Say) -> dict[str, Fetched]:
    """Bring the packages and write the suite's indices; return its files by their path in the mirror."""
    root = Apt(work, needs.sources)
    say("reading Debian's index")
    root.update()
    purposes = wanted(root.names(), needs)
    packages: set[Package] = set()
    for purpose, names in purposes.items():
        more = root.closure(names)
        packages |= more
        say(f"{purpose}: {len(more)} packages")
        if not all((root.archives / it.archive).is_file() for it in more):  # only what is whole and checked lies there
            root.download(names)
    stanzas = root.stanzas(packages)
    known, files = [], {}
    for it in sorted(packages, key=lambda it: it.pool):
        stanza = stanzas[it.name, it.version]
        known.append(re.sub(r"(?m)^Filename: .*$", f"Filename: {it.pool}", stanza))
        digest = re.findall(r"(?m)^SHA256: ([0-9a-f]{64})$", stanza)
        files[f"debian/{it.pool}"] = Fetched(root.archives / it.archive, frozenset(digest))
    return files | _suite(work / "suite", "\n\n".join(known) + "\n", private)


def _suite(folder: Path, index: str, private: Path) -> dict[str, Fetched]:
    """Write the indices of the suite, signed; they stay as they are while the packages are the same."""
    suite, architecture = pins()["debian_suite"], run(["dpkg", "--print-architecture"]).stdout.strip()
    below = f"main/binary-{architecture}"
    old = folder / below / "Packages"
    signed = folder / "InRelease"
    if not (signed.is_file() and old.is_file() and old.read_text(encoding="utf-8") == index):
        data = index.encode()
        indices = {f"{below}/Packages": data, f"{below}/Packages.gz": gzip.compress(data, mtime=0)}
        text = apt.release(indices, architecture=architecture, when=datetime.now(UTC), suite=suite)
        for name, content in indices.items():
            write_atomically(folder / name, content)
        write_atomically(signed, signing.clear_sign(private, text).encode())
    names = (f"{below}/Packages", f"{below}/Packages.gz", "InRelease")
    return {f"debian/dists/{suite}/{name}": Fetched(folder / name) for name in names}
