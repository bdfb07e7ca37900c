"""A knowledge base whose vectors are searched by several machines: OpenSearch with its k-NN plugin, or Milvus.

    cluster.json    where it is: `OpenSearch` or `Milvus`, told apart by its `kind`

The cluster has, for each chunk, its vector, the labels of who may see it, and the chunk itself, sealed under its
document's key. It is asked for the nearest chunks that have one of a person's labels; what comes back is opened here,
and its labels are looked at again. A document counts while it is in the version that answers here: whatever the cluster
still has, what was deleted or replaced is nothing from that moment on.

`shared` has all that; an adapter (`adapter.Adapter`) speaks to one kind of cluster.
"""

from dualtrack.knowledge.cluster.milvus import Milvus
from dualtrack.knowledge.cluster.opensearch import OpenSearch
from dualtrack.knowledge.cluster.shared import Cluster, Clustered, Filled, connected, environment, fill, load, status

__all__ = [
    "Cluster", "Clustered", "Filled", "Milvus", "OpenSearch", "connected", "environment", "fill", "load", "status",
]  # fmt: skip
