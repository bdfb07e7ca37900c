"""The process that reads one document: `python -m dualtrack.knowledge.parsing.child FORMAT`, and its caller.

The document comes on stdin, blocks go to stdout (MessagePack); the reason why there are none goes to stderr, with exit
code 65. With `--serve DESCRIPTOR` such processes are forked (`starter`).
"""

from __future__ import annotations

import codecs
import contextlib
import encodings.aliases
import sys
from collections.abc import Callable, Iterable

import msgspec

from dualtrack.core.output import echo
from dualtrack.knowledge.parsing import mails, markdown, markup, office, sandbox, separated, starter, text
from dualtrack.knowledge.parsing.blocks import MOST_CHARACTERS, Parsed, Unreadable

Parser = Callable[[bytes], Parsed]
PARSERS: dict[str, Parser] = {
    "txt": text.plain, "md": markdown.read, "csv": separated.read, "html": markup.html, "eml": mails.mail,
    "pdf": office.pdf, "docx": office.docx, "xlsx": office.xlsx,
}  # fmt: skip
#: How files of a format are called.
ENDINGS = {
    ".txt": "txt", ".log": "txt", ".md": "md", ".markdown": "md", ".csv": "csv", ".tsv": "csv", ".html": "html",
    ".htm": "html", ".xhtml": "html", ".eml": "eml", ".pdf": "pdf", ".docx": "docx", ".xlsx": "xlsx",
}  # fmt: skip
_MARKUP = ("selectolax.lexbor", "tinycss2", "tinycss2.color3", "tinycss2.color4")
#: What each format needs is loaded before the process closes itself in.
LIBRARIES = {
    "html": (*_MARKUP, "email.parser"), "eml": (*_MARKUP, "email.parser"),
    "pdf": ("pypdfium2", "pypdfium2.raw"), "docx": ("xml.etree.ElementTree", "pyexpat"), "xlsx": ("openpyxl",),
}  # fmt: skip
#: Encodings are modules, too: a mail or a page may name any of them, and archives and PDF have theirs.
CODECS = tuple(sorted({*encodings.aliases.aliases.values(), "utf-8-sig"}))
UNREADABLE = 65
#: Bytes of a document, and seconds until it is read (by the clock, more than the processor's).
MOST_BYTES, PATIENCE_S = 256 << 20, 180
#: Bytes of what a process answers: characters have four at most, and blocks something around them.
MOST_ANSWER = 8 * MOST_CHARACTERS
#: One for each set of libraries: what a document may use does not depend on those that were read before it.
STARTERS: dict[tuple[str, ...], starter.Starter] = {}


def parse(data: bytes, form: str) -> Parsed:
    """Return a document's blocks; Unreadable with the reason where there are none."""
    if len(data) > MOST_BYTES:
        raise Unreadable(f"it has more than {MOST_BYTES >> 20} MiB")
    if not data.strip():
        raise Unreadable("it is empty")
    try:
        code, answer, errors = _run(form, data)
    except TimeoutError:
        raise Unreadable(f"reading it takes more than {PATIENCE_S} s, or makes more than is read") from None
    said = errors.decode(errors="replace").strip()
    if code == UNREADABLE:
        raise Unreadable(said[:300] or "it cannot be read")
    if code != 0:
        said = said.rpartition("\n")[2][:200]
        raise Unreadable(f"its parser ended ({_ended(code)}){': ' if said else ''}{said}")
    try:
        found = msgspec.msgpack.decode(answer, type=Parsed)
    except msgspec.MsgspecError:
        raise Unreadable("its parser gave no answer") from None
    if not found.blocks:
        raise Unreadable("it has no text")
    return found


def _run(form: str, data: bytes) -> tuple[int, bytes, bytes]:
    """Have a process read a document; once more where what starts it has ended, as because of missing memory."""
    made = _starter(form)
    with contextlib.suppress(starter.Gone):
        return made.run(form, data, seconds=PATIENCE_S, most=MOST_ANSWER)
    return made.run(form, data, seconds=PATIENCE_S, most=MOST_ANSWER)


def _starter(form: str) -> starter.Starter:
    return STARTERS.setdefault(LIBRARIES.get(form, ()), starter.Starter("dualtrack.knowledge.parsing.child"))


def start(forms: Iterable[str]) -> list[str]:
    """Start what reads documents of these formats, and return what this system does not do to keep it in.

    Called before a key is read. Gone with the reason where documents cannot be read safely.
    """
    missing = set()
    for form in sorted(set(forms)):
        made = _starter(form)
        made.connected(form)
        missing.update(made.missing)
    return sorted(missing)


def end() -> None:
    """End all processes that start others."""
    for it in STARTERS.values():
        it.end()


def _ended(code: int) -> str:
    if code in (-9, -24):
        return "it took more processor time than a document of its length has"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def prepare(form: str) -> list[str]:
    """Load what a format needs, and give up what no parser needs; return what this system does not do of that.

    OSError where documents cannot be read safely. Afterwards nothing can be imported.
    """
    try:
        missing = sandbox.enclose()
        for name in LIBRARIES.get(form, ()):
            __import__(name)
        for name in CODECS:
            with contextlib.suppress(LookupError):  # a few are of other systems
                codecs.lookup(name)
        missing += sandbox.forget_files(own_mounts=not missing)
        sandbox.probe()
    except OSError as error:
        raise OSError(f"documents cannot be read safely on this system: {error.strerror or error}") from None
    return missing


def patience(form: str, size: int) -> int:
    """Return the seconds of processor time for a document: of a page, which costs little, they follow its length."""
    return min(sandbox.SECONDS, 5 + size // 250_000) if form in ("html", "eml") else sandbox.SECONDS


def read(form: str) -> int:
    """Read the document on stdin, closed in, and return the exit code."""
    data = sys.stdin.buffer.read()
    sandbox.close_in(seconds=patience(form, len(data)))
    try:
        found = PARSERS[form](data)
        if sum(len(it.text) for it in found.blocks) > MOST_CHARACTERS:
            raise Unreadable(f"it has more than {MOST_CHARACTERS:,} characters")
    except Unreadable as error:
        reason = str(error)
    except MemoryError:
        reason = f"reading it takes more than {sandbox.MEMORY >> 20} MiB of memory"
    else:
        sys.stdout.buffer.write(msgspec.msgpack.encode(found))
        return 0
    echo(reason, err=True)
    return UNREADABLE


def main() -> int:
    """Read one document, or have documents read by processes of their own."""
    if sys.argv[1] == "--serve":
        starter.serve(int(sys.argv[2]), prepare, read)
        return 0
    prepare(sys.argv[1])
    return read(sys.argv[1])


if __name__ == "__main__":
    sys.exit(main())
