"""What is wrong with the settings of the role model_store, in sentences that say how to fix it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible_collections.dualtrack.site.plugins.plugin_utils import package

if package.FOUND:
    from dualtrack.core.errors import BadInput
    from dualtrack.data.checkpoints import actions, prefetch_list


def model_store_version_problems(versions: Sequence[str]) -> list[str]:
    """Return what is wrong with the versions that a host shall have."""
    return prefetch_list.problems([str(it) for it in versions])


def model_store_size_problems(sizes: Sequence[str]) -> list[str]:
    """Return which texts are not sizes; '' is none, and no problem."""
    found = []
    for text in sizes:
        try:
            actions.bytes_of(str(text) or "0")
        except BadInput as error:
            found.append(str(error))
    return found


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return package.guarded(
            {
                "model_store_version_problems": model_store_version_problems,
                "model_store_size_problems": model_store_size_problems,
            }
        )
