"""Mails: who wrote to whom and when, and every text but attachments; all other parts are reported."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import dataclass, field
from email.message import EmailMessage

from dualtrack.knowledge.parsing import markup, pages, text
from dualtrack.knowledge.parsing.blocks import Block, Parsed, Unreadable

#: Header fields that are read beside the subject, each as often as it is there.
FIELDS = ("From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Date")
READ = ("text/plain", "text/html")
#: What programs write before the parts of a mail, for programs that do not know parts.
_NOTICE = re.compile(r"\bMIME\b|multi-?part", re.I)
_NOT_SAID = re.compile(r"\W+|_+")
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
                values = [said for it in message.get_all(name, []) if (said := str(it).strip())]
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
        said = ""
        for number, it in enumerate(forms):
            before = len(self.blocks)
            self.part(it)
            if number:
                self.blocks[before:] = [new for new in self.blocks[before:] if not _is_in(new.text, said)]
            said += "".join(_bare(new.text) for new in self.blocks[before:])

    def _read(self, part: EmailMessage) -> Parsed:
        content = part.get_payload(decode=True)
        try:
            words = markup.decoded(
                content if isinstance(content, bytes) else b"", (part.get_content_charset() or "").lower()
            )
            if part.get_content_type() == "text/html":
                return pages.read(words)
            return text.plain(words.encode(errors="replace"))
        except Unreadable as error:
            if self.alone:
                raise
            return Parsed([], [f"a part: {error}"])

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


def _is_in(said: str, all_said: str) -> bool:
    return bool(bare := _bare(said)) and bare in all_said


def _bare(said: str) -> str:
    """Return a text without what differs between its forms: blanks, marks, case."""
    return _NOT_SAID.sub("", said).casefold()
