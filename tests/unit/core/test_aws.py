"""Whose credentials sign a request: those that were named for the API, the operator's, or any."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dualtrack.core import aws
from dualtrack.core.errors import External

NAMED = "http://127.0.0.1:5000"
OTHER = "http://127.0.0.1:5001"
FILE = "[default]\naws_access_key_id = AKIANAMED\naws_secret_access_key = se%cret/+=\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of credentials for one API, in an environment without any."""
    monkeypatch.setattr(aws, "_files", {})
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    path = tmp_path / "aws-credentials"
    path.write_text(FILE)
    aws.sign_with(NAMED, path)
    return path


def key_id(endpoint: str) -> str:
    credentials = aws.client("s3", "us-east-1", endpoint)._request_signer._credentials
    return str(credentials.access_key) if credentials else ""


def test_requests_are_signed_with_the_keys_of_their_api(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [key_id(it) for it in (NAMED, OTHER, "")] == ["AKIANAMED", aws.ANY, ""]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOPERATOR")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "operator")
    assert [key_id(it) for it in (NAMED, OTHER, "")] == ["AKIANAMED", "AKIAOPERATOR", "AKIAOPERATOR"]
    file.write_text(FILE.replace("NAMED", "NEXT"))  # a lab that came up anew at the same address
    assert key_id(NAMED) == "AKIANEXT"


def test_programs_get_the_keys_of_their_api_and_no_others(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def variables(endpoint: str) -> dict[str, str]:
        words = ["env"]
        done = subprocess.run(words, env=aws.environment(endpoint), capture_output=True, text=True, check=True)
        found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        return {name: value for name, value in found.items() if name.startswith("AWS_")}

    assert variables(NAMED) == {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert variables(OTHER) == {"AWS_ACCESS_KEY_ID": aws.ANY, "AWS_SECRET_ACCESS_KEY": aws.ANY}
    operator = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "t", "AWS_ENDPOINT_URL": "http://elsewhere"}
    for name, value in operator.items():
        monkeypatch.setenv(name, value)
    assert variables(NAMED) == {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert variables(OTHER).items() >= operator.items()
    assert "AKIANAMED" not in str(aws.environment(NAMED))


@pytest.mark.parametrize(
    "text", ["", "nothing", "[default]\n", "[default]\naws_access_key_id = A\n", "[other]\naws_access_key_id = A\n"]
)
def test_a_file_without_credentials_is_one_line(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(External, match="holds no AWS credentials"):
        aws.client("s3", "us-east-1", NAMED)
    file.unlink()
    with pytest.raises(External, match="holds no AWS credentials"):
        aws.client("s3", "us-east-1", NAMED)
