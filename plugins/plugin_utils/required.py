"""Says what to do where the controller lacks the package: a plugin imports this before anything of the package."""

from __future__ import annotations

from ansible.errors import AnsibleError

from .package import FOUND, MISSING

if not FOUND:
    raise AnsibleError(MISSING)
