"""A knowledge base that sends documents, a bucket on loopback, and a directory that they come to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dualtrack.knowledge.writeback import log
from dualtrack.knowledge.writeback.log import Log
from tests.conftest import CLI
from tests.support.knowledge_base import take_in
from tests.support.store_testbed import Store

BUCKET = "learned"
PLACE = f"s3://{BUCKET}/one"


class Sender:
    """A knowledge base in a directory, with documents of the collection `learned`, and the bucket."""

    def __init__(self, folder: Path, store: Store, name: str = "base") -> None:
        self.store, self.base, self.docs = store, folder / name, folder / f"{name}-docs"
        self.key = folder / "shared.key"
        self.docs.mkdir()
        if not self.key.exists():
            self.key.write_bytes(bytes(range(32)))
            self.key.chmod(0o600)

    def write(self, **documents: str) -> None:
        """Change documents; an empty one is removed."""
        for name, text in documents.items():
            path = self.docs / f"{name}.md"
            path.write_text(text) if text else path.unlink()
        take_in(self.base, self.docs, "learned", remove_missing=True)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ, "AWS_ENDPOINT_URL": self.store.direct, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1", "DUALTRACK_WRITEBACK_BUCKET": PLACE, "DUALTRACK_KB": str(self.base),
            "DUALTRACK_WRITEBACK_KEY": str(self.key), "DUALTRACK_WRITEBACK_COLLECTIONS": "learned",
        }  # fmt: skip

    def run(self, *words: object, code: int = 0) -> dict[str, Any]:
        """Run `dualtrack writeback …` and return what it prints as JSON, or its error."""
        done = subprocess.run(
            [CLI, "writeback", *map(str, words)], env=self.environment, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return dict(json.loads(done.stdout)) if done.stdout.startswith("{") else {"said": done.stdout + done.stderr}

    def approved(self, *words: object) -> dict[str, Any]:
        """Approve all that waits, and push."""
        self.run("review", "all", "--approve")
        return self.run("push", "--json", *words)

    def log(self) -> Log:
        """Return the log as this process reads it."""
        return log.at(PLACE, self.key, region="us-east-1", endpoint=self.store.direct)


@contextmanager
def before_last_look(act: Callable[[Log], object]) -> Iterator[None]:
    """Have something happen to the bucket when a push has sent all and removed nothing: it lists it once more."""
    look, looks = Log.objects, list[Log]()

    def objects(log: Log) -> dict[bytes, datetime]:
        looks.append(log)
        if len(looks) == 2:
            act(log)
        return look(log)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Log, "objects", objects)
        yield
    assert len(looks) == 2


def files(folder: Path) -> dict[str, str]:
    """Return the files below a directory that are not hidden, without what tells one of a name from another."""
    return {
        str(it.relative_to(folder)): it.read_text() for it in sorted(folder.rglob("*"))
        if it.is_file() and not it.name.startswith(".")
    }  # fmt: skip
