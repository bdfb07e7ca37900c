"""What a gateway must know of its tenants (dualtrack.serving.tenants)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.core.errors import DualtrackError
from dualtrack.core.paths import ROOT
from dualtrack.serving import tenants

DOCUMENTATION = """
name: tenants
short_description: what a gateway must know of its tenants
description: >-
  Returns a dictionary of the gateway's maps, C(keys), C(limits) and C(allowed), for `dualtrack-gateway apply`. Digests
  of keys are in it, never keys.
options:
  _terms:
    description: the file that names the tenants, below the checkout where its path is relative; '' for nobody
    required: true
"""


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[dict[str, dict[str, str]]]:
        """Return one dictionary."""
        self.set_options(var_options=variables, direct=options)
        try:
            return [tenants.maps(self.found(str(term))) for term in terms]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None

    @staticmethod
    def found(path: str) -> tenants.Tenants:
        """Return the tenants of a file. A missing file is not an empty list: that would revoke every key."""
        if not path:
            return tenants.Tenants()
        where = ROOT / Path(path).expanduser()
        if not where.exists():
            raise AnsibleLookupError(
                f"gateway_tenants_file: {where} is missing; to begin with nobody write {{}} into it"
            )
        return tenants.load(where)
