"""What several files of integration tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dualtrack.core import paths
from dualtrack.data.mirror import artifacts
from tests.support.tried import Tried

if TYPE_CHECKING:
    from tests.support.opensearch_testbed import Bed
    from tests.support.terraform_testbed import Emulator


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Tried:
    """Give a test the means to say what it tried."""
    return Tried(record_property)


@pytest.fixture(scope="session")
def python() -> Path:
    """Return the interpreter of the knowledge base's environment."""
    return artifacts.environment("knowledge")


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A search store of one node, for the tests of one file."""
    # Brings Ansible along, which the other files do without.
    from tests.support import opensearch_testbed as opensearch_bed

    with opensearch_bed.running() as found:
        yield found


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulated AWS API, for the tests of one file."""
    from tests.support import terraform_testbed as terraform_bed

    with terraform_bed.emulator(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="module")
def stack_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab directory in which stacks keep their state, while the tests of one file run."""
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "STATE", folder)
        patch.delenv("DUALTRACK_TOFU", raising=False)
        yield folder


@pytest.fixture(scope="module")
def applied(aws: Emulator, stack_lab: Path) -> dict[str, Any]:  # noqa: ARG001 - the lab's directory is where it is kept
    """The inventory of the emulator's stack, applied once."""
    from tests.support import terraform_testbed as terraform_bed

    result, said = terraform_bed.up(aws)
    assert result.changed
    assert 'module.pool["spot"].aws_autoscaling_group.this: created' in said
    inventory: dict[str, Any] = result.outputs["inventory"]
    return inventory
