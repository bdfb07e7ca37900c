"""What a gateway must know of its tenants (dualtrack.serving.tenants)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.errors import DualtrackError
from dualtrack.serving import tenants

DOCUMENTATION = """
name: tenants
short_description: what a gateway must know of its tenants
description: >-
  Returns a dictionary of the gateway's maps, C(keys), C(limits) and C(allowed), for `dualtrack-gateway apply`. Digests
  of keys are in it, never keys.
options:
  _terms:
    description: the file that names the tenants; '' for nobody
    required: true
"""


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[dict[str, dict[str, str]]]:
        """Return one dictionary."""
        self.set_options(var_options=variables, direct=options)
        try:
            return [tenants.maps(tenants.load(Path(term)) if term else tenants.Tenants()) for term in map(str, terms)]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None
