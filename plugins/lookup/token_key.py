"""The public key of people's tokens (dualtrack.security.access.tokens)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.core.errors import DualtrackError
from dualtrack.security.access import tokens

DOCUMENTATION = """
name: token_key
short_description: the public key of people's tokens
description: Returns the key in PEM by which services check tokens; it is made with the first question.
options:
  _terms:
    description: the directory of the authority on the controller
    required: true
"""


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[str]:
        """Return one key for each directory."""
        self.set_options(var_options=variables, direct=options)
        try:
            return [tokens.public(Path(str(it))) for it in terms]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None
