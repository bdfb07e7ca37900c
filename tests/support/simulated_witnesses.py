"""A host whose keys are all stolen: every history that can be signed for it, to show to witnesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dualtrack.crypto import libcrypto
from dualtrack.security.audit import record
from dualtrack.security.audit import signed_head as heads
from dualtrack.security.audit import witness as witnesses
from dualtrack.security.audit.signed_head import Head
from tests.support.attack_helpers import SECOND, START, Clock

#: Later than all that is signed here; and the clock of whoever signs.
NOW = START + 10**6 * SECOND
tick = Clock()


@dataclass(frozen=True)
class Node:
    """A head in one history: itself, its line, the head before it, and the key that signs what follows."""

    head: Head
    line: bytes
    digest: str
    before: Node | None
    key: libcrypto.PrivateKey

    def history(self) -> list[Node]:
        """Return all heads up to this one."""
        found, node = [], self
        while node is not None:
            found.append(node)
            node = node.before  # type: ignore[assignment]
        return found[::-1]


@dataclass
class Host:
    """Makes heads: on from any head that there is, so that histories part."""

    name: str = "vault-1"
    root: libcrypto.PrivateKey = field(default_factory=libcrypto.generate)
    nodes: list[Node] = field(default_factory=list)

    def next(self, before: Node | None, *, turn: bool = False, mark: int = 0) -> Node:
        """Sign one more head after ``before``; ``mark`` makes it differ from its sisters."""
        key = before.key if before else self.root
        following = libcrypto.generate() if turn else None
        last = before.head.last if before else 0
        chain = record.link(record.start(self.name), b"%d %d" % (mark, last)).hex()
        head = Head(
            host=self.name, segment=(before.head.segment if before else 0) + 1, first=last + 1, last=last + 5,
            before=before.head.chain if before else record.start(self.name).hex(), chain=chain,
            previous=before.digest if before else heads.none(self.name), begun=START, ended=START + last * SECOND,
            epoch=_epoch(before), next_key=following.pem().decode() if following else "",
        )  # fmt: skip
        data = heads.encode(head)
        line = heads.line(data, key.sign(heads.signed(data)))
        node = Node(head, line, heads.digest(data), before, following or key)
        self.nodes.append(node)
        return node

    def chain(self, length: int, before: Node | None = None, *, mark: int = 0, turn_every: int = 0) -> Node:
        """Sign ``length`` more heads, a new key every so many."""
        node = before
        for number in range(1, length + 1):
            node = self.next(node, mark=mark, turn=bool(turn_every) and number % turn_every == 0)
        assert node is not None
        return node


def _epoch(before: Node | None) -> int:
    return sum(bool(it.head.next_key) for it in before.history()) if before else 0


def shown(*histories: Node) -> list[bytes]:
    """Return the lines of some histories together, each head once, as a store has them."""
    return list({node.digest: node.line for last in histories for node in last.history()}.values())


def store(lines: Sequence[bytes]) -> witnesses.Shown:
    """Return what shows lines as the search store does: from a segment on, and others that are there twice."""

    def show(host: str, since: int) -> list[bytes]:
        found = [(heads.parse(it)[0], it) for it in lines]
        numbers = [head.segment for head, _ in found if head.host == host]
        return [it for head, it in sorted(found, key=lambda one: one[0].segment)
                if head.host == host and (head.segment >= since or numbers.count(head.segment) > 1)]  # fmt: skip

    return show
