"""The directory of the knowledge base's model on the controller (dualtrack.tracks.knowledge)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.core.errors import DualtrackError
from dualtrack.tracks import knowledge

DOCUMENTATION = """
name: knowledge_model
short_description: the knowledge base's model
description:
  - Returns a directory with a model's files, called by what is in it.
  - The default model is fetched, checked by its pin and unpacked once.
options:
  _terms:
    description: The directory of a model of one's own; nothing, or '', for the default one.
"""


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[str]:
        """Return one directory."""
        self.set_options(var_options=variables, direct=options)
        named = [Path(it) for it in terms if it]
        try:
            return [str(knowledge.packed(it)) for it in named or [None]]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None
