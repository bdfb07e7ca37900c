"""The directory of the knowledge base's model on the controller (dualtrack.tracks.knowledge)."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.errors import DualtrackError
from dualtrack.tracks import knowledge

DOCUMENTATION = """
name: knowledge_model
short_description: the knowledge base's model
description: Returns the directory with model.onnx and tokenizer.json; fetched, checked by its pin and unpacked once.
"""


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[str]:
        """Return one directory."""
        self.set_options(var_options=variables, direct=options)
        if terms:
            raise AnsibleLookupError("knowledge_model takes no terms")
        try:
            return [str(knowledge.model())]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None
