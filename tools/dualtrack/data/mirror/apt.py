"""What an apt repository consists of, as text: `Packages` and `Release` of a repository without suites.

Pure functions. The format: https://wiki.debian.org/DebianRepository/Format
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec


class Package(msgspec.Struct, frozen=True):
    """One package file: its control fields, its path below the repository, and its content."""

    control: str
    path: str
    content: bytes


def packages_index(packages: Sequence[Package]) -> str:
    """Return the file `Packages`: each package's control fields, where it lies, and its digest."""
    stanzas = []
    for package in sorted(packages, key=lambda item: item.path):
        stanzas.append(
            f"{package.control.rstrip()}\n"
            f"Filename: {package.path}\n"
            f"Size: {len(package.content)}\n"
            f"SHA256: {hashlib.sha256(package.content).hexdigest()}\n"
        )
    return "\n".join(stanzas)


def release(indices: Mapping[str, bytes], *, architecture: str, when: datetime, suite: str = "") -> str:
    """Return the file `Release`, which names the digest of every index; its signature is what makes apt trust them.

    ``when`` is the moment of making, in any time zone; ``suite`` is empty for a repository without suites.
    """
    lines = [
        "Origin: dualtrack",
        "Label: dualtrack mirror",
        *([f"Suite: {suite}", f"Codename: {suite}", "Components: main"] if suite else []),
        f"Architectures: {architecture}",
        f"Date: {when.astimezone(UTC):%a, %d %b %Y %H:%M:%S UTC}",
        "SHA256:",
    ]
    for name, content in sorted(indices.items()):
        lines.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}")
    return "\n".join(lines) + "\n"


def control(fields: Mapping[str, str], description: str) -> str:
    """Return a package's control file: the fields, and a description whose first line is the summary."""
    summary, *rest = description.strip().splitlines()
    body = "".join(f" {line.strip() or '.'}\n" for line in rest)
    return "".join(f"{name}: {value}\n" for name, value in fields.items()) + f"Description: {summary}\n{body}"
