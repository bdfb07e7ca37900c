"""Where the symbolic links of a directory lead, through one another: decided by names alone, before any is made.

Only links, and the directories above them, are kept. Where a target leads away from these there is no link any more, so
it is enough to count how deep it goes: a target of two thousand names that exist nowhere takes no memory.
"""

from __future__ import annotations

MAX_LINKS = 40  # what Linux follows on one way; loops never end
_OUTSIDE = "leads outside"
_LOOP = f"goes round, or through more than {MAX_LINKS} links"


class _Place:
    """A link, or a directory above one."""

    __slots__ = ("children", "hops", "leads", "parent", "target")

    def __init__(self, parent: _Place | None) -> None:
        self.parent = parent or self  # the top is above itself
        self.children: dict[bytes, _Place] = {}
        self.target: bytes | None = None  # of a link
        self.leads: _Spot | None = None  # where a link leads to in the end, through `hops` links with itself
        self.hops = 0


_Spot = tuple[_Place, int]  # so many names below a place, in what is not a place: no link is there, nor further down


class _Astray(Exception):
    """A link that may not be there; says why."""


class Links:
    """The links of one directory. Whatever is not a link counts as a directory, as somebody may make one of it."""

    def __init__(self) -> None:
        self._root = _Place(None)
        self._links: list[tuple[bytes, _Place]] = []

    def add(self, name: bytes, target: bytes) -> None:
        """Take a link in; ``name`` is its path in the directory."""
        place = self._root
        for part in name.split(b"/"):
            below = place.children.get(part)
            if below is None:
                below = place.children[part] = _Place(place)
            place = below
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


def _follow(link: _Place, depth: int) -> tuple[_Spot, int]:
    """Return where a link leads, and through how many; each is followed once, however many lead through it."""
    if link.leads is not None:
        return link.leads, link.hops
    if depth > MAX_LINKS:
        raise _Astray(_LOOP)
    place, below, hops, target = link.parent, 0, 1, link.target or b""
    if target.startswith(b"/"):
        raise _Astray(_OUTSIDE)
    for part in target.split(b"/"):
        if part in {b"", b"."}:
            continue
        if part == b"..":
            if below:
                below -= 1
            elif place.parent is place:
                raise _Astray(_OUTSIDE)
            else:
                place = place.parent
            continue
        if below or part not in place.children:
            below += 1
            continue
        place = place.children[part]
        if place.target is not None:
            (place, below), more = _follow(place, depth + 1)
            hops += more
            if hops > MAX_LINKS:
                raise _Astray(_LOOP)
    link.leads, link.hops = (place, below), hops
    return link.leads, hops
