"""Leads Ansible to mitogen's strategy wherever mitogen is installed, so that ansible.cfg needs no path of a machine."""

from __future__ import annotations

from ansible_mitogen.plugins.strategy.mitogen_linear import StrategyModule  # noqa: F401
