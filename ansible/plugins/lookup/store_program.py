"""The archive of `dualtrack store` for a host, made when it is asked for the first time (dualtrack.store.program)."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.errors import DualtrackError
from dualtrack.store import program

DOCUMENTATION = """
name: store_program
short_description: an archive with `dualtrack store` for a host
description: Returns its path on the controller and the digest of its content, as a dictionary.
options:
  _terms:
    description: the host's version of Python, as 3.11, and its processor, as x86_64
    required: true
"""


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **_: Any) -> list[dict[str, str]]:  # noqa: ARG002 - Ansible's
        """Return one dictionary, `digest` and `archive`."""
        python, machine = (str(term) for term in terms)
        try:
            found = program.ensure(python, machine)
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None
        return [{"digest": found.digest, "archive": found.archive}]
