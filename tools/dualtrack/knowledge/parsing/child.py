"""The process that reads one document: `python -m dualtrack.knowledge.parsing.child FORMAT`, and who starts it.

The document comes on stdin, blocks go to stdout (MessagePack); the reason why there are none goes to stderr, with exit
code 65.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import msgspec

from dualtrack.knowledge.parsing import markup, office, sandbox, text
from dualtrack.knowledge.parsing.blocks import MOST_CHARACTERS, Parsed, Unreadable
from dualtrack.output import echo

Parser = Callable[[bytes], Parsed]
PARSERS: dict[str, Parser] = {
    "txt": text.plain, "md": text.markdown, "csv": text.table, "html": markup.html, "eml": markup.mail,
    "pdf": office.pdf, "docx": office.docx, "xlsx": office.xlsx,
}  # fmt: skip
#: How files of a format are called.
ENDINGS = {
    ".txt": "txt", ".log": "txt", ".md": "md", ".markdown": "md", ".csv": "csv", ".tsv": "csv", ".html": "html",
    ".htm": "html", ".xhtml": "html", ".eml": "eml", ".pdf": "pdf", ".docx": "docx", ".xlsx": "xlsx",
}  # fmt: skip
#: What each format needs is loaded before the process closes itself in.
LIBRARIES = {
    "html": ("selectolax.lexbor",), "eml": ("selectolax.lexbor",), "pdf": ("pypdfium2",),
    "docx": ("docx", "docx.table"), "xlsx": ("openpyxl",),
}  # fmt: skip
UNREADABLE = 65
#: Bytes of a document, and seconds until it is read (by the clock, more than the processor's).
MOST_BYTES, PATIENCE_S = 256 << 20, 180


def parse(data: bytes, form: str) -> Parsed:
    """Return a document's blocks; Unreadable with the reason where there are none."""
    if len(data) > MOST_BYTES:
        raise Unreadable(f"it has more than {MOST_BYTES >> 20} MiB")
    if not data.strip():
        raise Unreadable("it is empty")
    command = [sys.executable, "-P", "-m", "dualtrack.knowledge.parsing.child", form]
    # What is found here is found there; on a host packages lie in several places.
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=PATIENCE_S, check=False, cwd="/", env=environment
        )
    except subprocess.TimeoutExpired:
        raise Unreadable(f"reading it takes more than {PATIENCE_S} s") from None
    if done.returncode == UNREADABLE:
        raise Unreadable(done.stderr.decode(errors="replace").strip()[:300] or "it cannot be read")
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
        raise Unreadable(f"its parser ended ({_ended(done.returncode)}){': ' if said else ''}{said}")
    found = msgspec.msgpack.decode(done.stdout, type=Parsed)
    if not found.blocks:
        raise Unreadable("it has no text")
    return found


def _ended(code: int) -> str:
    if code in (-9, -24):
        return f"after {sandbox.SECONDS} s of processor time"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def main() -> None:
    """Read a document, as described above."""
    form = sys.argv[1]
    for name in LIBRARIES.get(form, ()):
        __import__(name)
    data = sys.stdin.buffer.read()
    sandbox.close_in()
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
        return
    echo(reason, err=True)
    sys.exit(UNREADABLE)


if __name__ == "__main__":
    main()
