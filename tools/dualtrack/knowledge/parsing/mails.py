"""Mails: who wrote to whom and when, and every text but attachments; all other parts are reported."""

from __future__ import annotations

import contextlib
import email
import email.policy
import re
from dataclasses import dataclass, field
from email.message import EmailMessage

from dualtrack.knowledge.parsing import alternatives, markup, pages, text, transfer
from dualtrack.knowledge.parsing.blocks import Block, Parsed, Unreadable

#: Header fields that are read beside the subject, each as often as it is there.
FIELDS = ("From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Date")
READ = ("text/plain", "text/html")
#: What programs write before the parts of a mail, for programs that do not know parts.
_NOTICE = re.compile(r"\bMIME\b|multi-?part", re.I)
_BROKEN = (ValueError, IndexError, AttributeError, TypeError, KeyError)


def mail(data: bytes) -> Parsed:
    """Return a mail's subject, who wrote it to whom, and its texts; what is not read of it is said."""
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        if not isinstance(message, EmailMessage) or not message.keys():
            raise Unreadable("it is not a mail: it has no header")
        found = _Mail(alone=not message.is_multipart())
        found.head(message)
        found.part(message)
    except RecursionError:
        raise Unreadable("its parts are nested too deeply") from None
    return Parsed(found.blocks, list(found.left))


@dataclass
class _Mail:
    """What was read so far: ``left`` has each reason once, in order."""

    #: Whether the mail is one text, without parts.
    alone: bool
    blocks: list[Block] = field(default_factory=list)
    left: dict[str, None] = field(default_factory=dict)

    def head(self, message: EmailMessage) -> None:
        """Read the header: what it is about, who wrote it to whom, and when."""
        for name in ("Subject", *FIELDS):
            try:
                values = [said for it in _values(message, name) if (said := it.strip())]
            except Unreadable as error:
                self.left[f"the header field {name}: {error}"] = None
                continue
            except _BROKEN:
                self.left[f"the header field {name}, which is broken"] = None
                continue
            for it in values:
                if name == "Subject" and not self.blocks:
                    self.blocks.append(Block(kind="heading", text=it, level=1))
                else:
                    self.blocks.append(Block(kind="text", text=f"{name}: {it}"))

    def part(self, part: EmailMessage, kind: str = "") -> None:
        """Read a part that is in one of a kind, or report it."""
        own = part.get_content_type()
        if part.get_content_maintype() == "multipart":
            self._parts(part, own)
        elif own not in READ or part.is_attachment() or part.get_filename() or kind == "multipart/related":
            self._leave(part)
        else:
            self._add(self._read(part))

    def _parts(self, part: EmailMessage, kind: str) -> None:
        inner = [it for it in part.iter_parts() if isinstance(it, EmailMessage)] if part.is_multipart() else []
        if not inner and self._has_text(part.get_payload()):
            self.left["its text, whose parts cannot be told apart"] = None
        for around in (part.preamble, part.epilogue):
            if around and around.strip() and not _NOTICE.search(around):
                self.left["text before or after its parts"] = None
        if kind == "multipart/alternative":
            self._alternatives(inner)
        else:
            for number, it in enumerate(inner):
                self.part(it, kind if number else "")

    def _alternatives(self, forms: list[EmailMessage]) -> None:
        """Read the plain text, and of the other forms what it does not have."""
        forms = sorted(forms, key=lambda it: it.get_content_type() != "text/plain")
        said = alternatives.Said()
        for it in forms:
            before = len(self.blocks)
            self.part(it)
            self.blocks[before:] = new = said.new(self.blocks[before:])
            said.add(new)

    def _read(self, part: EmailMessage) -> Parsed:
        try:
            content, left = transfer.decoded(part)
            words = _text(content, (part.get_content_charset() or "").lower(), cut=bool(left))
            found = (
                pages.read(words)
                if part.get_content_type() == "text/html"
                else text.plain(words.encode(errors="replace"))
            )
        except Unreadable as error:
            if self.alone:
                raise
            return Parsed([], [f"a part: {error}"])
        return Parsed(found.blocks, [*left, *found.left_out])

    def _add(self, found: Parsed) -> None:
        self.blocks += found.blocks
        self.left |= dict.fromkeys(found.left_out)

    def _leave(self, part: EmailMessage) -> None:
        try:
            name = part.get_filename()
        except _BROKEN:
            name = None
        self.left[f"the attachment {name or part.get_content_type()}"] = None

    @staticmethod
    def _has_text(payload: object) -> bool:
        return isinstance(payload, str) and bool(payload.strip())


def _text(content: bytes, charset: str, *, cut: bool) -> str:
    """Return a text; the last character of one that is cut off may be missing."""
    for length in range(len(content), max(len(content) - 4 * cut, 0), -1):
        with contextlib.suppress(Unreadable):
            return markup.decoded(content[:length], charset)
    return markup.decoded(content, charset)


def _values(message: EmailMessage, name: str) -> list[str]:
    """Return the values of a header field; Unreadable where its encoding is not sure."""
    found = []
    for field_name, raw in message.raw_items():
        if field_name.lower() == name.lower():
            line = " ".join(str(raw).split())
            if any("\udc80" <= it <= "\udcff" for it in line):  # bytes as they came
                line = text.decoded(b" " + line.encode("utf-8", "surrogateescape")).strip()
            said = str(message.policy.header_fetch_parse(field_name, line))
            if "\ufffd" in said:
                raise Unreadable("its encoding is not sure")
            found.append(said)
    return found
