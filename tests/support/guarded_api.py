"""The emulated API as the lab serves it, in a process of its own without a lab: moto behind the guard."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from dualtrack.core.aws import Keys
from dualtrack.lab import credentials

REGION = "us-east-1"
SERVER = """
import sys, threading
from pathlib import Path
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from dualtrack.lab import api_server, credentials, emulator
from dualtrack.lab.network import free_port

port, keys = free_port(), credentials.read(Path(sys.argv[1]))
app = emulator.guarded(DomainDispatcherApplication(create_backend_app), keys, "127.0.0.1", port)
server = api_server.make_server("127.0.0.1", port, app, api_server.MotoHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(port, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Api:
    """An API behind its guard, and the operator's keys for it."""

    port: int
    file: Path
    keys: Keys

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, keys: Keys | None = None, *, url: str = "", **config: Any) -> Any:
        """Return a boto3 client with the given keys, the operator's without."""
        found = keys or self.keys
        return boto3.client(
            service, endpoint_url=url or self.url, region_name=REGION, aws_access_key_id=found.id,
            aws_secret_access_key=found.secret, config=Config(retries={"total_max_attempts": 1}, **config),
        )  # fmt: skip


@contextmanager
def running(folder: Path) -> Iterator[Api]:
    """Serve while the block runs."""
    file = folder / "aws-credentials"
    credentials.ensure(file)
    words = [sys.executable, "-c", SERVER, str(file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Api(int(process.stdout.readline()), file, credentials.read(file))
        assert process.stdin is not None
        process.stdin.close()
