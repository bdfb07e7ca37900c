"""Format, schema and the modules' own tests, with every program there is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dualtrack.cloud import opentofu, provider, stack
from dualtrack.cloud.tofu import Tofu
from dualtrack.core import paths, proc
from dualtrack.core.errors import BadInput
from tests.support.terraform_testbed import programs

TERRAFORM = paths.ROOT / "terraform"
FOLDERS = sorted(path.parent.relative_to(TERRAFORM).as_posix() for path in TERRAFORM.rglob("versions.tf"))
MODULES = [folder for folder in FOLDERS if folder.startswith("modules/")]


def prepared(name: str, folder: str, tmp_path: Path) -> Tofu:
    """Return a program in a copy of ``folder``, initialised without a backend."""
    path = programs().get(name)
    if path is None:
        pytest.skip(f"no {name} here; the other program is tested")
    binary = opentofu.Binary(path, (0,))
    tofu = Tofu(
        binary, stack.stage(folder, tmp_path / "src"), tmp_path / "data", tmp_path / "log", provider.cli_config(binary)
    )
    tofu.init_offline()
    return tofu


def test_formatted() -> None:
    for path in programs().values():
        done = proc.run(
            [path, "fmt", "-check", "-recursive", "-diff"], cwd=TERRAFORM, check=False,
            env={"TF_CLI_CONFIG_FILE": os.devnull},
        )  # fmt: skip
        assert done.returncode == 0, f"run: tofu fmt -recursive terraform\n{done.stdout}"


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", ["terraform", "tofu"])
def test_valid(name: str, folder: str, tmp_path: Path) -> None:
    prepared(name, folder, tmp_path).validate()


def example(folder: str) -> str:
    """Return the example of a module's README: its one block of HCL."""
    [found] = re.findall(
        r"^```hcl\n(.*?)^```$", (TERRAFORM / folder / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return str(found)


@pytest.mark.parametrize("folder", MODULES)
def test_example_of_the_readme_is_formatted_complete_and_valid(folder: str, tmp_path: Path) -> None:
    path = next(iter(programs().values()))
    binary = opentofu.Binary(path, (0,))
    # Beside the stacks, where the paths of modules lead from.
    stage = stack.stage("stacks", tmp_path / "src") / "example"
    stage.mkdir()
    (stage / "main.tf").write_text(example(folder))
    done = proc.run([path, "fmt", "-check", "-diff"], cwd=stage, check=False, env={"TF_CLI_CONFIG_FILE": os.devnull})
    assert done.returncode == 0, done.stdout
    tofu = Tofu(binary, stage, tmp_path / "data", tmp_path / "log", provider.cli_config(binary))
    tofu.init_offline()
    tofu.validate()
    assert f'source = "../../{folder}"' in example(folder)


def test_an_unknown_argument_is_not_valid(tmp_path: Path) -> None:
    name = next(iter(programs()))
    tofu = prepared(name, "modules/network", tmp_path)
    main = tofu.folder / "main.tf"
    main.write_text(main.read_text().replace("enable_dns_support", "enable_dns_suport"))
    with pytest.raises(BadInput, match=r"Unsupported argument: .*enable_dns_suport"):
        tofu.validate()


@pytest.mark.parametrize("folder", MODULES)
@pytest.mark.parametrize("name", ["terraform", "tofu"])
def test_modules_own_tests(name: str, folder: str, tmp_path: Path) -> None:
    tofu = prepared(name, folder, tmp_path)
    done = proc.run(
        [tofu.binary.path, "test", "-no-color"], cwd=tofu.folder, check=False, timeout=300,
        env={"TF_DATA_DIR": str(tofu.data), "TF_CLI_CONFIG_FILE": str(tofu.config or os.devnull)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed, 0 failed", done.stdout)
    assert passed, done.stdout
    assert int(passed.group(1)) >= 5, "the tests were not found"
