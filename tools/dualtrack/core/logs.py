"""Logging for `dualtrack --debug`: what this program does, on stderr.

Modules log with `logging.getLogger(__name__)`. Only this package's loggers are shown: what libraries log at this level
holds headers and keys. Arguments of programs are logged, and by this repository's rules hold no secret; environments
and standard input are not.
"""

from __future__ import annotations

import logging
import sys

from dualtrack.core.characters import visible


class _Visible(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n\t")


def debug() -> None:
    """Show this package's log on stderr from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Visible("%(asctime)s %(name)s: %(message)s"))
    log = logging.getLogger("dualtrack")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
