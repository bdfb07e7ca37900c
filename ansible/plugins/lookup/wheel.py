"""A wheel for a host that a lock pins: where it lies on the controller (dualtrack.artifacts)."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack import artifacts
from dualtrack.errors import DualtrackError

DOCUMENTATION = """
name: wheel
short_description: a wheel for a host
description: Returns the path of the one wheel that a lock in requirements/ pins. It is fetched where it is not there.
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
        """Return one path for each lock."""
        self.set_options(var_options=variables, direct=options)
        try:
            return [
                str(artifacts.wheel(str(it), self.get_option("python"), self.get_option("machine"))) for it in terms
            ]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None
