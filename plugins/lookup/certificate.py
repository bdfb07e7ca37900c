"""A certificate of the private authority, made or renewed when it is asked for (dualtrack.security.pki.authority)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.core.errors import DualtrackError
from dualtrack.data.mirror.check import sha256
from dualtrack.security.pki import authority

DOCUMENTATION = """
name: certificate
short_description: a certificate of the private authority
description: >-
  Returns a dictionary of C(authority), C(certificate) and C(key), each with the C(path) on the controller and its
  C(sha256), and C(subject). What a key is never stands in a variable.
options:
  _terms:
    description: the authority's directory, the kind (`dualtrack pki issue --help` names them), and the name
    required: true
  addresses:
    description: names and IP addresses under which a node is called
    type: list
    elements: str
    default: []
"""


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[dict[str, Any]]:
        """Return one dictionary."""
        self.set_options(var_options=variables, direct=options)
        folder, kind, name = (str(term) for term in terms)
        try:
            found = authority.issue(Path(folder), kind, name, self.get_option("addresses"))  # type: ignore[arg-type]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None
        files = {"authority": found.authority, "certificate": found.certificate, "key": found.key}
        return [
            {"subject": found.subject}
            | {what: {"path": path, "sha256": sha256(Path(path))} for what, path in files.items()}
        ]
