"""What several files of integration tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.elk_bed import Bed


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A search store of one node, for the tests of one file."""
    from tests.integration import elk_bed  # brings Ansible along, which the other files do without

    with elk_bed.running() as found:
        yield found
