"""What the file of people becomes for a service (dualtrack.security.access.services), temporary rights included."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import ansible_collections.dualtrack.site.plugins.plugin_utils.required  # noqa: F401 - says that dualtrack is missing
import msgspec
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from dualtrack.core.errors import DualtrackError
from dualtrack.core.paths import ROOT
from dualtrack.security.access import break_glass, model, services

DOCUMENTATION = """
name: access
short_description: what people may do on a host, in the search store or in the scheduler
description: Returns what the roles access, opensearch, slurm and knowledge_base are told, as a dictionary.
options:
  _terms:
    description: one of host, store, scheduler, knowledge
    required: true
  file:
    description: the file of people, from the checkout where it is not a whole path; without it there are none
    default: ""
  grants:
    description: the file of temporary rights; without it there are none
    default: ""
  scheduled:
    description: whether the host is one that jobs are submitted from
    type: bool
    default: false
  log_host:
    description: whether the host is one of the search store, whose administrators are others
    type: bool
    default: false
  trail:
    description: the directory of the host's audit trail
    default: /var/lib/dualtrack/audit/trail
"""
PROGRAM = "/usr/local/bin/dualtrack-audit"


def people(path: Path) -> model.Access:
    """Return the file of people, read once as long as it is the same file: every host asks for it several times."""
    try:
        facts = path.stat()
    except OSError:
        return model.load(path)  # which says what is wrong
    return _people(path, (facts.st_ino, facts.st_mtime_ns, facts.st_size))


@lru_cache(maxsize=4)
def _people(path: Path, _: tuple[int, int, int]) -> model.Access:
    return model.load(path)


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: list[str], variables: Any = None, **options: Any) -> list[Any]:
        """Return one answer for each word."""
        self.set_options(var_options=variables, direct=options)
        file, grants = str(self.get_option("file")), str(self.get_option("grants"))
        try:
            access = people(ROOT / file) if file else model.Access()
            found = break_glass.active_grants(Path(grants), access) if grants else ()
            return [msgspec.to_builtins(self._one(str(term), access, found)) for term in terms]
        except DualtrackError as error:
            raise AnsibleLookupError(str(error)) from None

    def _one(self, what: str, access: model.Access, grants: tuple[break_glass.Grant, ...]) -> Any:
        if what == "knowledge":
            return {it.name: it.labels for it in access.people}
        if what == "host":
            scheduled, trail = bool(self.get_option("scheduled")), str(self.get_option("trail"))
            log_host = bool(self.get_option("log_host"))
            return services.host(
                access, grants, scheduled=scheduled, trail=trail, program=PROGRAM, log_host=log_host
            )  # fmt: skip
        if what == "store":
            return services.store(access, grants)
        if what == "scheduler":
            return services.scheduler(access)
        raise AnsibleLookupError(f"lookup access: there is no {what!r}: host, store or scheduler")
