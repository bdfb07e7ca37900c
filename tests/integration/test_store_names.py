"""A version is what its name's digest says, whatever somebody with a right to write to the bucket does."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from dualtrack.data.checkpoints.address import MANIFEST, parse
from dualtrack.data.checkpoints.manifest import PART
from tests.conftest import CLI
from tests.support.store_testbed import Store, checkpoint, same, store

SIZES = {"config.json": 700, "model.safetensors": PART + 5}
BUCKET = "weights"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store(tmp_path_factory.mktemp("store")) as bed:
        bed.client().create_bucket(Bucket=BUCKET)
        yield bed


@pytest.fixture
def bed(server: Store, tmp_path: Path) -> Store:
    """The server with an empty cache."""
    server.refused.clear()
    server.gets.clear()
    return replace(server, folder=tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "source", SIZES)


def manifest(bed: Store, address: str) -> bytes:
    """Return the manifest of a version as it lies in the bucket."""
    body: bytes = bed.client().get_object(Bucket=BUCKET, Key=parse(address).manifest)["Body"].read()
    return body


def replaced(bed: Store, address: str, evil: Path) -> None:
    """Make a version another one, as one may who writes and whom no policy stops."""
    other = f"s3://{BUCKET}/models/evil-{parse(address).name}@v1"
    bed.run("push", evil, other)
    s3 = bed.client()
    for path in (*SIZES, MANIFEST):
        s3.copy_object(Bucket=BUCKET, Key=parse(address).prefix + path,
                       CopySource={"Bucket": BUCKET, "Key": parse(other).prefix + path})  # fmt: skip


def test_push_says_the_name_with_the_digest_and_list_shows_it(bed: Store, source: Path) -> None:
    address = f"s3://{BUCKET}/models/said@v1"
    done = bed.run("push", source, address)
    name = done.stdout.split(": ")[0]
    assert name == f"{address}#sha256:{hashlib.sha256(manifest(bed, address)).hexdigest()}"
    assert bed.json("push", source, address)["address"] == name  # again: the one that is there
    # A copy elsewhere has the same digest, whenever it was pushed.
    assert bed.json("push", source, f"s3://{BUCKET}/models/moved@v7")["digest"] == name.rpartition(":")[2]
    assert same(source, Path(bed.run("pull", name).stdout.strip()))
    [row] = bed.json("list")["versions"]
    assert f"{row['address']}#sha256:{row['digest']}" == name
    assert name.rsplit(":", 1)[1] in "".join(bed.run("list", COLUMNS="400").stdout.split())
    # Both names are warm, and both hold it; another digest is not there.
    for known in (name, address):
        bed.run("pull", known, "--endpoint", "http://127.0.0.1:9")
        bed.run("hold", known, "--", "true")
    bed.run("hold", f"{address}#sha256:{'0' * 64}", "--", "true", code=2)
    bed.run("push", source, name, code=2)


@pytest.mark.attack("who may write to the bucket", "writes a manifest without digests", "prevented", "store pull")
@pytest.mark.attack(
    "who may write to the bucket",
    "replaces a version's manifest and a file",
    "prevented",
    "the digest in the version's name",
)
def test_replaced_manifest_and_file_are_refused_by_the_digest(bed: Store, source: Path, tmp_path: Path) -> None:
    """The attack: a node's own right to write, and plain boto3."""
    address = f"s3://{BUCKET}/models/attacked@v3"
    name = bed.json("push", source, address)["address"]
    evil = checkpoint(tmp_path / "evil", SIZES, seed=666)
    replaced(bed, address, evil)
    done = bed.run("pull", name, code=5)
    assert "the bucket has another manifest" in done.stderr
    assert bed.gets == []  # not a byte of its files
    assert bed.json("list")["versions"] == []
    # The name without the digest trusts whoever writes to the bucket: that is why lists shall have the other.
    assert same(evil, Path(bed.run("pull", address).stdout.strip()))
    # What came by that name is not taken for the other one later.
    bed.run("pull", name, code=5)
    bed.run("hold", name, "--", "true", code=2)


@pytest.mark.attack(
    "who may write to the bucket", "replaces a file of a version", "prevented", "the manifest's digests"
)
def test_replaced_file_alone_is_refused(bed: Store, source: Path) -> None:
    address = f"s3://{BUCKET}/models/file@v1"
    name = bed.json("push", source, address)["address"]
    bed.client().put_object(Bucket=BUCKET, Key=parse(address).prefix + "config.json", Body=b"x" * SIZES["config.json"])
    assert "are not what was pushed" in bed.run("pull", name, "--jobs", "1", code=4).stderr


@pytest.mark.parametrize("parts", [[], None])
def test_version_without_digests_is_refused(bed: Store, source: Path, parts: list[str] | None) -> None:
    address = f"s3://{BUCKET}/models/none-{parts}@v1"
    bed.run("push", source, address)
    found = json.loads(manifest(bed, address))
    for file in found["files"]:
        file.pop("parts") if parts is None else file.update(parts=parts)
    bed.client().put_object(Bucket=BUCKET, Key=parse(address).manifest, Body=json.dumps(found).encode())
    assert "has no digests" in bed.run("pull", address, code=2).stderr
    assert bed.gets == []


def test_fill_brings_what_is_named_by_digest_and_nothing_else(bed: Store, source: Path, tmp_path: Path) -> None:
    good, bad = f"s3://{BUCKET}/models/fill@v1", f"s3://{BUCKET}/models/fill@v2"
    names = [bed.json("push", source, it)["address"] for it in (good, bad)]
    replaced(bed, bad, checkpoint(tmp_path / "evil", SIZES, seed=666))
    (tmp_path / "versions").write_text("\n".join(names))
    done = bed.run("prefetch", tmp_path / "versions", code=4)
    assert "1 of 2 versions are not there" in done.stderr
    shown = bed.json("prefetch", tmp_path / "versions", "--dry-run", code=1)["versions"]
    assert [(it["address"], it["state"]) for it in shown] == [(names[0], "complete"), (names[1], "missing")]


def test_policy_refuses_to_replace_and_a_push_passes_it(bed: Store, source: Path) -> None:
    """What the policy demands is asked for by a push, also where an upload has many parts, and by no other client."""
    address = parse(f"s3://{BUCKET}/models/policy@v1")
    bed.run("push", source, address)
    assert bed.refused == []
    plain = boto3.client("s3", endpoint_url=bed.through, region_name="us-east-1", aws_access_key_id="a",
                         aws_secret_access_key="b", config=Config(retries={"total_max_attempts": 1}))  # fmt: skip
    writes: list[tuple[str, Any]] = [("AccessDenied", {}), ("PreconditionFailed", {"IfNoneMatch": "*"})]
    for code, more in writes:
        with pytest.raises(ClientError, match=code):
            plain.put_object(Bucket=BUCKET, Key=address.manifest, Body=b"{}", **more)
    with pytest.raises(Exception, match="AccessDenied"):
        plain.upload_file(str(source / "model.safetensors"), BUCKET, address.prefix + "model.safetensors")
    assert len(bed.refused) == 3


def test_what_an_ended_push_of_other_content_left_is_not_replaced(bed: Store, source: Path) -> None:
    address = parse(f"s3://{BUCKET}/models/left@v1")
    bed.client().put_object(Bucket=BUCKET, Key=address.prefix + "model.safetensors", Body=b"of another push")
    assert "has another model.safetensors already" in bed.run("push", source, address, code=5).stderr
    bed.run("pull", address, code=4)


def sealed(folder: Path, name: str, content: bytes) -> Path:
    """Return a directory with one file, sealed for a key in ``folder`` that is made when it is not there."""
    key = folder / "owner.key"
    if not key.exists():
        made = subprocess.run([CLI, "keys", "new", "-o", key], check=True, capture_output=True)
        (folder / "owner.pub").write_bytes(made.stdout)
    (folder / name).mkdir()
    (folder / "clear").write_bytes(content)
    words = ["seal", folder / "clear", "-o", folder / name / "model.sealed", "-r", folder / "owner.pub"]
    subprocess.run([CLI, *words], check=True, capture_output=True)
    return folder / name


@pytest.mark.attack(
    "who may write to the bucket", "puts a file sealed by himself in a version", "prevented", "the manifest's digests"
)
def test_sealed_file_that_somebody_else_sealed_is_refused(bed: Store, tmp_path: Path) -> None:
    """A public key is public: what opens with the private one may be anybody's."""
    good, evil = (sealed(tmp_path, name, name.encode() * 700_000) for name in ("good", "evil"))
    address = f"s3://{BUCKET}/models/sealed@v1"
    name = bed.json("push", good, address)["address"]
    for folder, code in ((evil, 4), (good, 0)):
        bed.client().upload_file(str(folder / "model.sealed"), BUCKET, parse(address).prefix + "model.sealed")
        done = bed.run("pull", name, "-i", tmp_path / "owner.key", code=code)
        assert ("its first bytes are not what was pushed" in done.stderr) is (folder is evil)
    assert (Path(done.stdout.strip()) / "model").read_bytes() == b"good" * 700_000


def test_unsealed_versions_are_told_by_their_content(bed: Store, tmp_path: Path) -> None:
    """Two contents of one size under one name are two versions in the cache."""
    good, evil = (sealed(tmp_path, name, name.encode() * 1000) for name in ("good", "evil"))
    address, words = f"s3://{BUCKET}/models/sizes@v1", ("-i", tmp_path / "owner.key")
    first = bed.json("push", good, address)["address"]
    assert (Path(bed.run("pull", first, *words).stdout.strip()) / "model").read_bytes() == b"good" * 1000
    other = bed.json("push", evil, f"s3://{BUCKET}/models/sizes@v2")["address"]
    for path in ("model.sealed", MANIFEST):
        bed.client().copy_object(Bucket=BUCKET, Key=parse(address).prefix + path,
                                 CopySource={"Bucket": BUCKET, "Key": parse(other).prefix + path})  # fmt: skip
    second = f"{address}#sha256:{parse(other).digest}"
    assert (Path(bed.run("pull", second, *words).stdout.strip()) / "model").read_bytes() == b"evil" * 1000
    assert (Path(bed.run("pull", first, *words).stdout.strip()) / "model").read_bytes() == b"good" * 1000
