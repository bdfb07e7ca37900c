"""The carried mirror: signed, each file once, whole or the old one; what was changed on the way is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, External
from dualtrack.data.mirror import builder, check, fetchers, manifest, offline, serve, signing
from dualtrack.data.mirror.manifest import Fetched
from dualtrack.data.mirror.signed import Dates
from tests.conftest import CLI, Cli
from tests.support.store_testbed import checkpoint, same, store

pytestmark = pytest.mark.skipif(
    not shutil.which("gpg"), reason="the mirror is signed by gpg, and this machine has none"
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signing key's private file, its public half beside it."""
    private = signing.ensure_key(tmp_path_factory.mktemp("key"))
    private.with_name("public.asc").write_text(signing.public_key(private))
    return private


@pytest.fixture
def bring(tmp_path: Path, key: Path) -> Callable[[dict[str, str]], builder.Made]:
    """Lay a mirror out whose files have these contents, by path."""

    def made(contents: dict[str, str]) -> builder.Made:
        files = {}
        for name, text in contents.items():
            path = tmp_path / "parts" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_file() or path.read_text() != text:
                path.write_text(text)
            files[name] = Fetched(path)
        return builder.lay_out(tmp_path / "medium", files, tmp_path / "digests.json", key, lambda _: None)

    return made


@pytest.fixture
def mirror(tmp_path: Path, bring: Callable[[dict[str, str]], builder.Made]) -> Path:
    bring({"debian/pool/a/a.deb": "one", "apt/pool/b.deb": "two", "wheels/b.whl": "two"})
    return tmp_path / "medium"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("debian/pool/a/a.deb", "debian/pool/a/a.deb has other content than was signed"),
        ("-apt/pool/b.deb", "apt/pool/b.deb is missing"), ("+pool/evil.deb", "pool/evil.deb was not signed"),
        ("~wheels/b.whl", "wheels/b.whl is a link"), (">apt/pool/b.deb", "has 4 bytes instead of 3"),
    ],
)  # fmt: skip
def test_what_was_changed_on_the_way_is_named(mirror: Path, key: Path, spoil: str, said: str) -> None:
    public = key.with_name("public.asc")
    clean = check.check(mirror, public)
    assert (clean.problems, clean.files, clean.bytes) == ((), 3, 9)
    path = mirror / spoil.lstrip("+-~>")
    if spoil[0] in "-~":
        path.unlink()
    if spoil[0] == "~":
        path.symlink_to(mirror / "apt/pool/b.deb")
    elif spoil[0] != "-":
        path.parent.mkdir(exist_ok=True, parents=True)
        path.unlink(missing_ok=True)
        path.write_text("twoX" if spoil[0] == ">" else "2wo")
    found = check.check(mirror, public)
    assert any(line.startswith(said) or said in line for line in found.problems), found


def test_a_manifest_that_was_changed_or_signed_by_somebody_else_is_refused(
    mirror: Path, key: Path, tmp_path: Path
) -> None:
    """The key that lies in the mirror proves nothing: whoever changes one can change the other."""
    other = tmp_path / "other.asc"
    other.write_text(signing.public_key(signing.ensure_key(tmp_path / "other")))
    with pytest.raises(BadInput, match="not signed by this key"):
        check.check(mirror, other)
    with pytest.raises(BadInput, match="there is no key"):
        check.check(mirror, tmp_path / "none.asc")
    with pytest.raises(BadInput, match="holds no mirror"):
        check.check(tmp_path, other)
    text = mirror / "MANIFEST.asc"
    text.write_text(text.read_text().replace("  3  wheels", "  4  wheels"))
    with pytest.raises(BadInput, match="not signed by this key"):
        check.check(mirror, key.with_name("public.asc"))


def test_the_same_content_is_stored_once(mirror: Path) -> None:
    assert (mirror / "apt/pool/b.deb").samefile(mirror / "wheels/b.whl")


def test_again_nothing_changes_and_what_is_new_takes_the_old_ones_place(
    mirror: Path, key: Path, bring: Callable[[dict[str, str]], builder.Made]
) -> None:
    before = (mirror / "MANIFEST.asc").stat()
    same = {"debian/pool/a/a.deb": "one", "apt/pool/b.deb": "two", "wheels/b.whl": "two"}
    assert bring(same).changed is False
    assert (mirror / "MANIFEST.asc").stat().st_mtime_ns == before.st_mtime_ns
    made = bring({"debian/pool/a/a.deb": "newer", "apt/pool/b.deb": "two"})
    assert (made.changed, made.size, made.stored) == (True, 8, 8)
    assert check.check(mirror, key.with_name("public.asc")).problems == ()
    assert not (mirror / "wheels").exists()


def test_a_mirror_is_signed_anew_when_half_of_its_days_have_passed(
    tmp_path: Path, key: Path, bring: Callable[[dict[str, str]], builder.Made]
) -> None:
    made, public = bring({"a": "one"}), key.with_name("public.asc")
    dates = check.read(tmp_path / "medium", public).dates
    assert dates.until - dates.made == timedelta(days=90)
    assert made.until == f"{dates.until:%Y-%m-%d}"

    def signed_at(days_ago: int, valid: int) -> None:
        made = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days_ago)
        text = manifest.encode(check.read(tmp_path / "medium", public).files, Dates(made, made + timedelta(valid)))
        (tmp_path / "medium/MANIFEST.asc").write_text(signing.clear_sign(key, text))

    for days_ago, valid, changed in ((40, 90, False), (46, 90, True), (100, 90, True), (1, 30, True), (-3, 90, True)):
        signed_at(days_ago, valid)
        again = bring({"a": "one"})
        assert again.changed is changed, (days_ago, valid)
        assert again.until == f"{check.read(tmp_path / 'medium', public).dates.until:%Y-%m-%d}"


def test_a_file_that_is_not_what_its_lock_says_is_never_signed(tmp_path: Path, key: Path) -> None:
    path = tmp_path / "parts/a.whl"
    path.parent.mkdir()
    path.write_text("other")
    files = {"wheels/a.whl": Fetched(path, frozenset({"0" * 64}))}
    with pytest.raises(External, match=r"wheels/a\.whl was changed since it was fetched"):
        builder.lay_out(tmp_path / "medium", files, tmp_path / "digests.json", key, lambda _: None)
    assert not path.exists()  # so that the next run fetches it anew
    assert not (tmp_path / "medium").exists()


def test_a_folder_that_is_no_mirror_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "medium").mkdir()
    (tmp_path / "medium/letters.txt").write_text("dear")
    done = Cli(tmp_path)("mirror", "build", "--dest", str(tmp_path / "medium"), check=False)
    assert done.returncode == 2
    assert "is not empty, and no mirror" in done.stderr
    done = Cli(tmp_path)("mirror", "build", "--dest", str(tmp_path / "new"), "--only", "wheel", check=False)
    assert (done.returncode, "no part wheel" in done.stderr) == (2, True)


@pytest.fixture
def address(mirror: Path, key: Path) -> Iterator[str]:
    with serve.server(mirror, key.with_name("public.asc"), "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_is_signed_is_served_and_nothing_else(mirror: Path, address: str) -> None:
    (mirror / "secret.txt").write_text("not of the mirror")
    assert urllib.request.urlopen(f"{address}/apt/pool/b.deb").read() == b"two"
    assert b"BEGIN PGP SIGNED" in urllib.request.urlopen(f"{address}/MANIFEST.asc").read()
    for path in ("secret.txt", "../digests.json", "%2e%2e/digests.json", "apt/pool/", "apt", "", "%00", "//etc/passwd"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/{path}")


def test_nothing_is_served_that_is_not_as_it_was_signed(mirror: Path, address: str) -> None:
    """A file outside that has the wanted content, too: what a link leads to may change, and is nobody's to give out."""
    outside = mirror.parent / "outside"
    outside.mkdir()
    (outside / "b.whl").write_text("two")
    (mirror / "wheels/b.whl").unlink()
    (mirror / "wheels/b.whl").symlink_to(outside / "b.whl")
    shutil.rmtree(mirror / "apt/pool")
    (mirror / "apt/pool").symlink_to(outside)
    (outside / "b.deb").write_text("two")
    assert urllib.request.urlopen(f"{address}/debian/pool/a/a.deb").read() == b"one"
    (mirror / "debian/pool/a/a.deb").write_text("0ne")
    (mirror / "MANIFEST.asc").write_text((mirror / "MANIFEST.asc").read_text() + "more\n")
    (mirror / "dualtrack-mirror.asc").write_text("another key")
    for path in ("wheels/b.whl", "apt/pool/b.deb", "debian/pool/a/a.deb", "MANIFEST.asc", "dualtrack-mirror.asc"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/{path}")
    (mirror / "debian/pool/a/a.deb").unlink()
    os.mkfifo(mirror / "debian/pool/a/a.deb")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address}/debian/pool/a/a.deb", timeout=30)


def test_a_client_that_has_a_file_is_told_so(address: str) -> None:
    first = urllib.request.urlopen(f"{address}/apt/pool/b.deb")
    assert (first.headers["Content-Length"], first.headers["Content-Type"]) == (
        "3",
        "application/vnd.debian.binary-package",
    )
    for since, code in ((first.headers["Last-Modified"], 304), ("Mon, 01 Jan 2001 00:00:00 GMT", 200), ("once", 200)):
        request = urllib.request.Request(f"{address}/apt/pool/b.deb", headers={"If-Modified-Since": since})
        try:
            found = urllib.request.urlopen(request).status
        except urllib.error.HTTPError as error:
            found = error.code
        assert found == code


def test_the_lab_follows_no_link_of_a_medium(mirror: Path) -> None:
    """It gives its hosts what lies in the mirror, without a list; a link on the medium leads nowhere there either."""
    from dualtrack.lab.emulator import QuietMirror

    (mirror.parent / "outside").write_text("secret")
    (mirror / "apt/link").symlink_to(mirror.parent / "outside")
    (mirror / "up").symlink_to(mirror.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietMirror, directory=str(mirror))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert urllib.request.urlopen(f"{address}/apt/pool/b.deb").read() == b"two"
        for path in ("apt/link", "up/outside", "../outside", "%2e%2e/outside", "apt/%2e%2e/apt/pool/b.deb", "apt/", ""):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{address}/{path}")
        server.shutdown()


def test_pip_installs_from_what_was_carried(tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One real wheel by its lock, laid out, served, and downloaded again by pip through the pages made for it."""
    lock = (fetchers.ROOT / "requirements/bootstrap.txt").read_text()
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/some.txt").write_text(lock)
    monkeypatch.setattr(fetchers, "ROOT", tmp_path)
    monkeypatch.setattr(fetchers, "_provider", lambda: lock)  # 70 MB; the whole mirror's own test brings it
    files = fetchers.wheels(tmp_path / "work", lambda _: None)
    builder.lay_out(tmp_path / "medium", files, tmp_path / "digests.json", key, lambda _: None)
    with serve.server(tmp_path / "medium", key.with_name("public.asc"), "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-cache-dir",
             "--index-url", f"http://127.0.0.1:{server.server_port}/wheels/simple/",
             "-r", tmp_path / "requirements/some.txt", "--dest", tmp_path / "got"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert {it.name for it in (tmp_path / "got").iterdir()} == {
        it.path.name for n, it in files.items() if "simple" not in n
    }


def test_settings_of_a_site(mirror: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_MIRROR", str(mirror))
    with pytest.raises(BadInput, match="and no key"):
        offline.folder()
    monkeypatch.setenv("DUALTRACK_MIRROR_KEY", str(key.with_name("public.asc")))
    assert offline.folder() == mirror
    environment: dict[str, str] = {}
    offline.settle(environment)
    assert environment["PIP_INDEX_URL"] == environment["UV_DEFAULT_INDEX"] == f"file://{mirror}/wheels/simple/"
    assert environment["GOPROXY"] == f"file://{mirror}/go"
    text = offline.sources("http://mirror.example", "KEY\n\nBODY\n")
    assert "URIs: http://mirror.example/debian\n" in text
    assert "Signed-By:\n KEY\n .\n BODY\n" in text


def test_verify_says_it_in_json(mirror: Path, key: Path, tmp_path: Path) -> None:
    words = ("mirror", "verify", "--from", str(mirror), "--key", str(key.with_name("public.asc")))
    cli = Cli(tmp_path)
    assert cli.json(*words)["problems"] == []
    (mirror / "more").write_text("x")
    done = cli(*words, "--json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"] == ["more was not signed: it does not belong here"]


def test_a_model_is_carried_from_one_bucket_to_another(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "source", {"config.json": 20, "deep/weights": 300_000})
    (tmp_path / "bed").mkdir()
    with store(tmp_path / "bed") as bed:
        bed.client().create_bucket(Bucket="weights")
        bed.client().create_bucket(Bucket="site")
        bed.run("push", source, "s3://weights/models/one@v1")
        env = {**bed.env(), "DUALTRACK_CACHE": str(tmp_path / "cache")}
        words = ["mirror", "build", "--dest", tmp_path / "medium", "--only", "models", "--json", "--model"]
        done = subprocess.run([CLI, *words, "s3://weights/models/one@v1"], env=env, capture_output=True, check=True)
        assert json.loads(done.stdout)["files"] == 2
        carried_one = tmp_path / "medium/models/weights/models/one@v1"
        assert same(carried_one, source)
        bed.run("push", carried_one, "s3://site/one@v1")
        assert same(Path(bed.run("pull", "s3://site/one@v1").stdout.strip()), source)
        # What changes under its name cannot be signed for.
        done = subprocess.run([CLI, *words, "s3://weights/models/one"], env=env, capture_output=True, check=False)
        assert (done.returncode, b"names no version" in done.stderr) == (2, True)
