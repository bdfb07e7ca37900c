"""What `store push` takes of a directory."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from dualtrack.core.errors import External
from dualtrack.data.checkpoints import address, push
from dualtrack.data.checkpoints.remote import Remote


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
            push.push(source, address.parse("s3://bucket/model@v1"), Remote("bucket", jobs=1), jobs=1, tick=print)
    finally:
        os.seteuid(0)
