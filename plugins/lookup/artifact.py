"""A pinned file from Maven: version, SHA-256, and path on the controller (dualtrack.data.mirror.artifacts)."""

from __future__ import annotations

from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.core.errors import DualtrackError
from dualtrack.data.mirror import artifacts

DOCUMENTATION = """
name: artifact
short_description: a pinned file from Maven
description: Returns a dictionary of C(version), C(sha256) and, where it was to be fetched, C(path).
options:
  _terms:
    description: the artifact's name in pyproject.toml
    required: true
  fetch:
    description: whether the file must be here
    type: bool
    default: true
"""


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[dict[str, str]]:
        """Return one dictionary for each name."""
        self.set_options(var_options=variables, direct=options)
        try:
            return [self._one(str(term), fetch=self.get_option("fetch")) for term in terms]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None

    def _one(self, name: str, *, fetch: bool) -> dict[str, str]:
        coordinates, digest = artifacts.pinned(name)
        found = {"version": coordinates.split(":")[2], "sha256": digest}
        return found | {"path": str(artifacts.maven(name)[0])} if fetch else found
