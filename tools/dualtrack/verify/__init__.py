"""Checking by behaviour that hosts are as their roles promise: testinfra over any Ansible inventory.

The checks live with the roles (roles/<role>/verify/); which of them a host gets follows from ansible/playbooks, so that
there is no second list to forget.
"""

from dualtrack.verify.model import CheckReport, Failure, HostReport
from dualtrack.verify.run import verify
from dualtrack.verify.show import show

__all__ = ["CheckReport", "Failure", "HostReport", "show", "verify"]
