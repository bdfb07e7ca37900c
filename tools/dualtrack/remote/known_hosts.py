"""Host keys in OpenSSH's format, by host name: an address passes from a terminated instance to the next."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dualtrack.core.files import locked, write_atomically


class KnownHosts:
    """A known_hosts file that several commands change at the same time."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def has(self, name: str) -> bool:
        """Tell whether the key of a host has been learned."""
        return any(line.split(" ", 1)[0] == name for line in self._lines())

    def learn(self, name: str, public: str) -> None:
        """Keep the host key of ``name`` (type and base64), replacing an older one."""
        self._change({name}, [f"{name} {' '.join(public.split()[:2])}"])

    def forget(self, names: Iterable[str]) -> None:
        """Drop the host keys of hosts that are gone."""
        if gone := set(names):
            self._change(gone, [])

    def _lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def _change(self, drop: set[str], add: list[str]) -> None:
        # The lab's supervisor and both tracks change this file, at the same time when they come up side by side.
        with locked(self.file):
            before = self._lines()
            lines = [line for line in before if line.split(" ", 1)[0] not in drop] + add
            if lines != before:
                write_atomically(self.file, "".join(f"{line}\n" for line in lines).encode(), 0o600)
