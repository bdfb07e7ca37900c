"""What `store push` takes of a directory."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, External
from dualtrack.data.checkpoints import address, manifest, push
from dualtrack.data.checkpoints.remote import Remote
from tests.conftest import CLI

ADDRESS = address.parse("s3://bucket/model@v1")


def test_a_directory_that_cannot_be_read_is_not_left_out(tmp_path: Path) -> None:
    """A version without its files could be pulled as if it were complete."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    source, account = tmp_path / "model", pwd.getpwnam("nobody").pw_uid
    (source / "tokenizer").mkdir(parents=True)
    (source / "model.safetensors").write_bytes(b"x")
    (source / "tokenizer/vocab.json").write_bytes(b"{}")
    for directory in (tmp_path, *tmp_path.parents):
        if directory == tmp_path or directory.name.startswith("pytest-"):
            directory.chmod(0o711)
    (source / "tokenizer").chmod(0o700)
    os.seteuid(account)
    try:
        with pytest.raises(External, match=r"tokenizer: Permission denied"):
            push.push(source, ADDRESS, Remote("bucket", jobs=1), jobs=1, tick=print)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a\xff", r"a\xff"),
        (b"\xc3", r"\xc3"),
        ("ü".encode() + b"\x80", r"ü\x80"),
        (b"a\xed\xb3\xbf", r"a\xed\xb3\xbf"),
        (b"deep\xfe/model", r"deep\xfe/model"),
        (b"deep/\xfe/model", r"deep/\xfe/model"),
    ],
)
def test_a_name_that_is_not_text_is_one_line(tmp_path: Path, name: bytes, shown: str) -> None:
    """A manifest is JSON: it has no such names."""
    path = os.path.join(os.fsencode(tmp_path), b"model", name)  # noqa: PTH118 - no text
    os.makedirs(os.path.dirname(path))  # noqa: PTH103, PTH120
    Path(os.fsdecode(path)).write_bytes(b"x")
    (tmp_path / "model/good").write_bytes(b"x")
    with pytest.raises(BadInput) as caught:
        push.push(tmp_path / "model", ADDRESS, Remote("bucket", jobs=1), jobs=1, tick=print)
    assert shown in str(caught.value)
    assert str(caught.value).encode().count(b"\n") == 0  # and it can be printed
    words = [CLI, "store", "push", str(tmp_path / "model"), str(ADDRESS)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, len(done.stderr.splitlines()), shown in done.stderr) == (2, 1, True), done.stderr


def test_no_name_that_is_not_text_is_safe() -> None:
    for byte in range(0x80, 0x100):
        assert not manifest.safe(os.fsdecode(bytes([97, byte])))
