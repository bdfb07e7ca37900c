"""The GPUs answer, the toolkit runs, and a container engine that starts finds NVIDIA's runtime."""

from __future__ import annotations

import fnmatch
import json
import tomllib
from typing import Any

import pytest

CONTAINERD = "/etc/containerd/config.toml"
DROP_IN = "/etc/containerd/conf.d/99-nvidia.toml"


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers for comparison."""
    return tuple(int(part) for part in version.strip().split("."))


def promised(hostvars: dict[str, Any], engine: str) -> None:
    """Skip when this host does not promise the engine."""
    if engine not in hostvars["gpu_runtime_engines"]:
        pytest.skip(f"gpu_runtime_engines does not name {engine}")


def runs(host: Any, program: str) -> str:
    """Return what ``program --version`` prints."""
    done = host.run("%s --version", program)
    assert done.rc == 0, f"{program} --version ended with {done.rc}: {done.stderr.strip()}"
    return str(done.stdout)


def test_gpus(host: Any, hostvars: dict[str, Any]) -> None:
    """As many GPUs answer as the inventory says."""
    done = host.run("nvidia-smi --query-gpu=index,driver_version --format=csv,noheader")
    # Healthy GPUs still have their rows; the other lines say what is wrong.
    said = [line for line in (done.stdout + done.stderr).split("\n") if line and not line[0].isdigit()]
    assert done.rc == 0, f"nvidia-smi ended with {done.rc}: {' '.join(said)}"
    found = len(done.stdout.split("\n")) - 1
    expected = hostvars.get("dualtrack_gpus", 0)
    assert found == expected if expected else found > 0, f"{found} GPUs answer, the inventory says {expected}"


def test_driver(host: Any, hostvars: dict[str, Any]) -> None:
    """The driver is new enough, and the one that was asked for."""
    driver = host.run("nvidia-smi --query-gpu=driver_version --format=csv,noheader").stdout.split("\n")[0]
    assert driver[:1].isdigit(), f"nvidia-smi says: {driver}"
    assert numbers(driver) >= numbers(hostvars["gpu_runtime_driver_minimum"]), f"the driver is {driver}"
    asked = hostvars["gpu_runtime_driver_version"]
    assert not asked or f"{driver}.".startswith(f"{asked}."), f"the driver is {driver}, asked for was {asked}"


def test_toolkit(host: Any) -> None:
    """nvidia-ctk runs and knows its version."""
    assert any(word[:1].isdigit() for word in runs(host, "nvidia-ctk").split())


def test_docker(host: Any, hostvars: dict[str, Any]) -> None:
    """docker's configuration leads to a runtime of NVIDIA's that can be started."""
    promised(hostvars, "docker")
    settings = json.loads(host.check_output("cat /etc/docker/daemon.json"))
    assert executable(host, settings["runtimes"]["nvidia"]["path"])
    default = settings.get("default-runtime") == "nvidia"
    assert default is hostvars["gpu_runtime_default"], f"default-runtime: {settings.get('default-runtime')}"


def test_containerd(host: Any, hostvars: dict[str, Any]) -> None:
    """containerd's configuration reads a runtime of NVIDIA's that can be started."""
    promised(hostvars, "containerd")
    main = tomllib.loads(host.check_output("cat %s", CONTAINERD))
    assert any(fnmatch.fnmatch(DROP_IN, pattern) for pattern in main["imports"]), (
        f"{CONTAINERD} does not read {DROP_IN}"
    )
    plugins = tomllib.loads(host.check_output("cat %s", DROP_IN))["plugins"]
    cri = next(plugin["containerd"] for plugin in plugins.values() if "nvidia" in plugin["containerd"]["runtimes"])
    assert executable(host, cri["runtimes"]["nvidia"]["options"]["BinaryName"])
    assert (cri.get("default_runtime_name") == "nvidia") is hostvars["gpu_runtime_default"]


def executable(host: Any, program: str) -> bool:
    """Tell whether the host finds ``program`` and can load it with all its libraries."""
    path = host.check_output("command -v %s", program)
    libraries = host.run("ldd %s", path)
    assert "not found" not in libraries.stdout, libraries.stdout
    return bool(host.run("test -x %s", path).rc == 0)


@pytest.mark.parametrize("engine", ["docker", "containerd"])
def test_nothing_left_to_do(host: Any, hostvars: dict[str, Any], engine: str) -> None:
    """nvidia-ctk finds nothing left to configure."""
    promised(hostvars, engine)
    flag = "--set-as-default" if hostvars["gpu_runtime_default"] else "--set-as-default=false"
    should = host.check_output("nvidia-ctk --quiet runtime configure --dry-run --runtime=%s %s", engine, flag)
    files = "/etc/docker/daemon.json" if engine == "docker" else f"{DROP_IN} {CONTAINERD}"
    present = host.check_output(f"cat {files}")
    assert [line for line in should.split("\n") if line] == [line for line in present.split("\n") if line]


def test_repository_is_trusted(host: Any, hostvars: dict[str, Any]) -> None:
    """apt offers the toolkit from the operator's repository, whose signature it accepted."""
    if host.run("command -v apt-cache").rc != 0:
        pytest.skip("this host does not use apt")
    offered = host.check_output("apt-cache madison nvidia-container-toolkit")
    assert hostvars["gpu_runtime_repository_url"] in offered, f"apt offers: {offered or 'nothing'}"
