"""`store pull` of 2 GB beside `aws s3 cp` and rclone from the same server, and unsealed on the way; warm beside dd.

Needs: java, mvn (fetches s3proxy, a real S3 server in Java, from Maven Central), and rclone where it shall be compared.
    bench_store.py [MiB]
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import Case, Figure, alternate, show

MIB = 1 << 20
SIZE = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
RUNS = 3
S3PROXY = ("org.gaul:s3proxy:2.9.0:jar:jar-with-dependencies", "s3proxy-2.9.0-jar-with-dependencies.jar")
SHA256 = "238f813ff9d6d295273f809f383d31307d88d8f56acc40109b68a5d49186a0eb"
BIN = Path(sys.executable).parent
#: s3proxy does not know the checksums that AWS's newer clients put behind a body.
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}  # fmt: skip


def main() -> None:
    """Push once, then pull by each in turns."""
    with tempfile.TemporaryDirectory(prefix="dtb-", dir="/var/tmp") as name:
        folder = Path(name)
        with server(folder) as url:
            os.environ |= {**KEYS, "AWS_ENDPOINT_URL": url, "DUALTRACK_STORE": str(folder / "cache")}
            fill(folder / "model/weights")
            run(BIN / "aws", "s3api", "create-bucket", "--bucket", "bench")
            run(BIN / "dualtrack", "store", "push", folder / "model", "s3://bench/model@v1")
            seal(folder)
            run(BIN / "dualtrack", "store", "push", folder / "sealed", "s3://bench/sealed@v1")
            shutil.rmtree(folder / "model")
            shutil.rmtree(folder / "sealed")
            print(f"{SIZE} MiB, s3proxy on loopback, medians of {RUNS}\n")
            figures = alternate(cases(folder), runs=RUNS)
            show("from S3 to the disk", figures[0], figures[1:])
            speeds(figures)
        warm()


def cases(folder: Path) -> list[Case]:
    """Each begins by removing what it left the last time."""
    key, out = "bench/model/v1/weights", folder / "out"
    found = [
        Case(
            "dualtrack store pull", cleared(folder / "cache", BIN / "dualtrack", "store", "pull", "s3://bench/model@v1")
        ),
        Case(
            "the same, unsealed on the way",
            cleared(
                folder / "opened",
                BIN / "dualtrack",
                "store",
                "pull",
                "s3://bench/sealed@v1",
                "-i",
                folder / "key",
                "--cache",
                folder / "opened",
            ),
        ),
        Case("aws s3 cp", cleared(out, BIN / "aws", "s3", "cp", "--quiet", f"s3://{key}", out / "weights")),
    ]
    if shutil.which("rclone"):
        remote = f":s3,provider=Other,env_auth=true,endpoint='{os.environ['AWS_ENDPOINT_URL']}':{key}"
        words = cleared(out, "rclone", "copyto", "--multi-thread-streams", "8", remote, out / "weights")
        # Its AWS library takes no bundle of certificates from the environment, and ends where there is one.
        found.append(Case("rclone copyto", words, unset=("AWS_CA_BUNDLE",)))
    else:
        print("rclone is not there: apt-get install rclone")
    return found


def cleared(what: Path, *words: object) -> list[str]:
    """Return a command that removes a directory, makes it anew, and becomes another command."""
    return ["sh", "-c", 'rm -rf "$1"; mkdir -p "$1"; shift; exec "$@"', "sh", str(what), *map(str, words)]


def speeds(figures: list[Figure]) -> None:
    """Print megabytes a second, whole processes."""
    for it in figures:
        print(f"{it.name:<24} {SIZE * MIB / 1e6 / it.seconds:7.0f} MB/s")


def warm() -> None:
    """Compare reading what a warm pull points at with dd of the same file; the server is gone by now."""
    path = run(BIN / "dualtrack", "store", "pull", "s3://bench/model@v1").strip()
    pull = (
        f'p=$("{BIN}/dualtrack" store pull s3://bench/model@v1); exec dd if="$p/weights" of=/dev/null bs=1M status=none'
    )
    found = alternate([
        Case("warm pull, then dd", ["sh", "-c", pull]),
        Case("dd alone", ["dd", f"if={path}/weights", "of=/dev/null", "bs=1M", "status=none"]),
    ], runs=5)  # fmt: skip
    show("what is in the cache", found[0], found[1:])


def seal(folder: Path) -> None:
    """Seal the content for a new key."""
    (folder / "key.pub").write_text(run(BIN / "dualtrack", "keys", "new", "-o", folder / "key"))
    (folder / "sealed").mkdir()
    words = (folder / "model/weights", "-o", folder / "sealed/weights.sealed", "-r", folder / "key.pub")
    run(BIN / "dualtrack", "seal", *words)


def fill(path: Path) -> None:
    """Write content that does not repeat."""
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for _ in range(SIZE):
            file.write(secrets.token_bytes(MIB))


def run(*words: object) -> str:
    """Run a command; a failure is shown and ends the benchmark."""
    done = subprocess.run([str(it) for it in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{words[0]}: {done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run s3proxy over a directory, and stop it at the end."""
    artifact, name = S3PROXY
    jar = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualtrack/bench" / name
    if not jar.exists():
        run("mvn", "-q", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={jar.parent}")
    if hashlib.sha256(jar.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{jar} is not the s3proxy that was measured: another digest")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    (folder / "blobs").mkdir()
    settings = folder / "s3proxy.conf"
    settings.write_text(
        f"s3proxy.authorization=none\ns3proxy.endpoint={url}\njclouds.provider=filesystem-nio2\n"
        f"jclouds.filesystem.basedir={folder / 'blobs'}\njclouds.identity=x\njclouds.credential=x\n"
    )
    with (folder / "s3proxy.log").open("wb") as log:
        process = subprocess.Popen(["java", "-jar", jar, "--properties", settings], stdout=log, stderr=log)
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(url, timeout=1).close()
                except urllib.error.HTTPError:
                    break
                except OSError:
                    if process.poll() is not None:
                        raise SystemExit(f"s3proxy ended: {(folder / 's3proxy.log').read_text()}") from None
                    time.sleep(0.1)
                else:
                    break
            else:
                raise SystemExit(f"s3proxy does not answer: {(folder / 's3proxy.log').read_text()}")
            yield url
        finally:
            process.kill()
            process.wait(20)


if __name__ == "__main__":
    main()
