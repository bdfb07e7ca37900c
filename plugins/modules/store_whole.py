"""The name of plugins/action/store_whole.py, which does all of it on the controller."""

DOCUMENTATION = """
module: store_whole
short_description: Wait until all nodes of a search store are in its cluster
description:
  - Asks a node until the cluster is whole, so that the next node may stop; the action plugin of this name does it, from
    the controller.
options:
  ca_dir:
    description: The directory of the store's authority, on the controller.
    type: str
    required: true
  address:
    description: The address at which the node listens.
    type: str
    required: true
  port:
    description: The port at which the node listens.
    type: int
    required: true
  nodes:
    description: How many nodes the cluster has.
    type: int
    required: true
  distribution:
    description: C(opensearch) or C(elastic).
    type: str
    default: opensearch
  patience:
    description: Seconds without any progress after which the task fails.
    type: int
    default: 180
"""
