"""The wheels for a host that a lock pins: where they lie on the controller (dualtrack.data.mirror.artifacts)."""

from __future__ import annotations

from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.core.errors import DualtrackError
from dualtrack.data.mirror import artifacts

DOCUMENTATION = """
name: wheel
short_description: wheels for a host
description: Returns the paths of the wheels that locks in requirements/ pin. They are fetched where they are not there.
options:
  _terms:
    description: the lock's name, without .txt
    required: true
  python:
    description: the host's Python, as 3.11
    required: true
  machine:
    description: the host's processor, as x86_64
    required: true
"""


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[str]:
        """Return the paths of all locks' wheels."""
        self.set_options(var_options=variables, direct=options)
        try:
            return [
                str(path)
                for it in terms
                for path in artifacts.wheels(str(it), self.get_option("python"), self.get_option("machine"))
            ]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None
