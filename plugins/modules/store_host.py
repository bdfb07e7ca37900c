"""The name of plugins/action/store_host.py, which does all of it on the controller."""

DOCUMENTATION = """
module: store_host
short_description: Admit a host to the search store
description:
  - Gives the host the index in which it asks for others; the action plugin of this name does it, from the controller.
options:
  store:
    description: Addresses of the store's nodes (C(https://HOST:9200)); the first that answers is spoken to.
    type: list
    elements: str
    required: true
  ca_dir:
    description: The directory of the store's authority, on the controller.
    type: str
    required: true
  host:
    description: The name in the host's certificate.
    type: str
    required: true
  logs:
    description: Whether it sends ordinary logs, too; then their first two days' indices are created.
    type: bool
    default: false
"""
