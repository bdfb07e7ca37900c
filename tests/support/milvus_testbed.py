"""milvus-lite on this machine, behind TLS and a token, and the file that says where it is.

It proves what the client's calls look like, and nothing of Milvus. Its client runs in the tests' own process, from the
environment of the knowledge base for Milvus: that has the same numpy, and is not needed by anybody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from dualtrack.core.paths import ROOT
from dualtrack.data.mirror import artifacts
from dualtrack.knowledge.cluster import milvus
from dualtrack.security.pki import authority
from tests.support.packages import within_reach

TOKEN = "knowledge:only-for-tests"


class Lite:
    """The process, and the file that says where it is (a `clustered.Bed`)."""

    module, missing = milvus, "does not exist"

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "cluster.json"
        pki = folder / "pki"
        authority.ensure(pki)
        self.mine = authority.issue(pki, "knowledge", "kb", ["kb"])
        server = authority.issue(pki, "node", "milvus", ["127.0.0.1"])
        shutil.copy(server.certificate, folder / "server.pem")
        shutil.copy(server.key, folder / "server.key")
        shutil.copy(server.authority, folder / "ca.pem")
        self.token = folder / "token"
        self.token.write_text(TOKEN + "\n")
        self.token.chmod(0o600)
        self.port, self.process = 0, None
        self.start()
        self.write()

    def start(self) -> None:
        """Run it, on the same port as before."""
        words = [artifacts.environment("milvus-lite"), ROOT / "tests/support/milvus_server.py", self.folder, self.port]
        self.process = subprocess.Popen(
            [str(it) for it in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        """End it without a word."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> None:
        assert self.process
        self.process.communicate(timeout=60)

    def write(self, **changes: object) -> Path:
        """Write the file, with some things otherwise."""
        said = {
            "kind": "milvus", "url": f"https://127.0.0.1:{self.port}", "ca_file": str(self.mine.authority),
            "certificate": str(self.mine.certificate), "certificate_key": str(self.mine.key),
            "token_file": str(self.token), **changes,
        }  # fmt: skip
        self.file.write_bytes(msgspec.json.encode(said))
        return self.file

    def rows(self, label: str, count: int) -> list[dict[str, Any]]:
        fields = ["id", "document", "labels", "vector", "sealed"]
        query = f'array_contains(labels, "{_digest(label)}")'
        with self._client() as client:
            return [dict(it) for it in client.query("knowledge", query, output_fields=fields, limit=count)]

    def put(self, row: dict[str, Any], label: str) -> None:
        with self._client() as client:
            client.upsert("knowledge", [{**row, "labels": [_digest(label)]}])

    def drop(self, names: Sequence[str]) -> None:
        with self._client() as client:
            client.delete("knowledge", filter=f"id in {json.dumps(list(names))}")  # its own `ids` are not escaped

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        import pymilvus

        found = pymilvus.MilvusClient(
            f"https://127.0.0.1:{self.port}", token=TOKEN, dedicated=True, ca_pem_path=str(self.mine.authority),
            client_pem_path=str(self.mine.certificate), client_key_path=str(self.mine.key),
        )  # fmt: skip
        with contextlib.closing(found):
            yield found


def _digest(label: str) -> str:
    return hashlib.sha256(label.encode()).hexdigest()[:32]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Lite]:
    """Run it for the block, with its client within reach of this process."""
    with within_reach("milvus"):
        bed = Lite(folder)
        try:
            yield bed
        finally:
            bed.stop()
