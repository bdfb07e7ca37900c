"""Where the symbolic links of a directory lead, through one another: decided by names alone, before any is made."""

from __future__ import annotations

MAX_LINKS = 40  # what Linux follows on one way; loops never end
_OUTSIDE = "leads outside"
_LOOP = f"goes round, or through more than {MAX_LINKS} links"


class _Place:
    """A name of the directory, or one that a link mentions."""

    __slots__ = ("_children", "hops", "leads", "parent", "target")

    def __init__(self, parent: _Place | None) -> None:
        self.parent = parent
        self.target: bytes | None = None  # of a link
        self.leads: _Place | None = None  # where a link leads to in the end, through `hops` links with itself
        self.hops = 0
        self._children: dict[bytes, _Place] = {}

    def child(self, name: bytes) -> _Place:
        """Return the place of a name in this one."""
        return self._children.setdefault(name, _Place(self))


class _Astray(Exception):
    """A link that may not be there; says why."""


class Links:
    """The links of one directory. Whatever is no link counts as a directory, as somebody may make one of it."""

    def __init__(self) -> None:
        self._root = _Place(None)
        self._links: list[tuple[bytes, _Place]] = []

    def add(self, name: bytes, target: bytes) -> None:
        """Take a link in; ``name`` is its path in the directory."""
        place = self._root
        for part in name.split(b"/"):
            place = place.child(part)
        place.target = target
        self._links.append((name, place))

    def astray(self) -> tuple[bytes, str] | None:
        """Return the first link that leads outside or nowhere, and why; None when all stay inside."""
        for name, place in self._links:
            try:
                _follow(place, 1)
            except _Astray as error:
                return name, str(error)
        return None


def _follow(link: _Place, depth: int) -> tuple[_Place, int]:
    """Return where a link leads, and through how many; each is followed once, however many lead through it."""
    if link.leads is not None:
        return link.leads, link.hops
    if depth > MAX_LINKS:
        raise _Astray(_LOOP)
    place, hops, target = link.parent, 1, link.target or b""
    if target.startswith(b"/"):
        raise _Astray(_OUTSIDE)
    for part in target.split(b"/"):
        if part in {b"", b"."}:
            continue
        if place is None or (part == b".." and place.parent is None):
            raise _Astray(_OUTSIDE)
        if part == b"..":
            place = place.parent
            continue
        place = place.child(part)
        if place.target is not None:
            place, more = _follow(place, depth + 1)
            hops += more
            if hops > MAX_LINKS:
                raise _Astray(_LOOP)
    if place is None:
        raise _Astray(_OUTSIDE)
    link.leads, link.hops = place, hops
    return place, hops
