"""milvus-lite behind TLS and a token, run by `milvus_testbed` in an environment of its own.

Arguments: a directory with `server.pem`, `server.key`, `ca.pem` and `token`, and a port (0: any). It prints the port,
and ends with its stdin. What milvus-lite itself starts answers everybody, in plain.
"""

from __future__ import annotations

import base64
import hmac
import sys
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from pymilvus.grpc_gen import milvus_pb2_grpc


class Token(grpc.ServerInterceptor):
    """Refuses calls that do not bring the token, as Milvus takes it: in base64, in a header."""

    def __init__(self, token: bytes) -> None:
        self._expected = base64.b64encode(token)
        self._refused = grpc.unary_unary_rpc_method_handler(
            lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
        )

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        given = dict(details.invocation_metadata).get("authorization", b"")
        given = given.encode() if isinstance(given, str) else given
        return continuation(details) if hmac.compare_digest(given, self._expected) else self._refused


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    database = MilvusLite(str(folder / "data"))
    server = grpc.server(futures.ThreadPoolExecutor(4), interceptors=[Token((folder / "token").read_bytes().strip())])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
    key, certificate, ours = ((folder / it).read_bytes() for it in ("server.key", "server.pem", "ca.pem"))
    tls = grpc.ssl_server_credentials([(key, certificate)], ours, require_client_auth=True)
    at = server.add_secure_port(f"127.0.0.1:{port}", tls)
    server.start()
    print(at, flush=True)
    sys.stdin.read()
    server.stop(grace=1).wait()
    database.close()


if __name__ == "__main__":
    main()
