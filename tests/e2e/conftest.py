"""The order of the stories, which run two at a time."""

from __future__ import annotations

import pytest

#: The story that takes longest. It starts first: at the end it would run alone.
LONGEST = "test_storage.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest story first; the others keep their order."""
    items.sort(key=lambda item: item.path.name != LONGEST)
