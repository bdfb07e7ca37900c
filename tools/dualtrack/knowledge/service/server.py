"""`python -m dualtrack.knowledge.service.server SETTINGS`: the service as systemd runs it (role knowledge_base)."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dualtrack.core.errors import DualtrackError
from dualtrack.core.output import echo
from dualtrack.knowledge.service import settings as told

if TYPE_CHECKING:
    from dualtrack.knowledge.service.desk import Desk

#: Connections at once; the host's HAProxy makes others wait.
CONNECTIONS = 256
#: Seconds that running answers have when the service is stopped.
DRAIN_S = 30
#: Seconds until it is known that something was deleted.
LOOK_S = 1.0


def ready(address: str) -> None:
    """Tell systemd, where it waits for it at ``address`` (NOTIFY_SOCKET), that questions are answered."""
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)


def credential(name: str) -> str:
    """Return a secret that systemd has given; empty where there is none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(folder, name)
    return path.read_text().strip() if folder and path.is_file() else ""


def serve(path: Path) -> None:
    """Answer until told to end; a DualtrackError where the settings, the version or the model are wrong."""
    import uvicorn

    from dualtrack.knowledge.service.api import Api
    from dualtrack.knowledge.service.desk import Desk
    from dualtrack.knowledge.service.people import People

    settings = told.load(path)
    people = People(
        Path(settings.people),
        Path(settings.token_key),
        Path(settings.own_token_key) if settings.own_token_key else None,
    )
    desk = Desk(settings, credential("gateway-key"), people.kinds)
    config = uvicorn.Config(
        Api(settings, desk, people).app(), uds=settings.socket, http="h11", ws="none", loop="asyncio", lifespan="on",
        access_log=False, log_level="warning", server_header=False, proxy_headers=False, limit_concurrency=CONNECTIONS,
        timeout_keep_alive=75, timeout_graceful_shutdown=DRAIN_S, h11_max_incomplete_event_size=64 << 10,
    )  # fmt: skip

    class Server(uvicorn.Server):  # type: ignore[misc]
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            Path(settings.socket).chmod(0o660)
            ready(os.environ.get("NOTIFY_SOCKET", ""))

    threading.Thread(target=_watch, args=(desk,), daemon=True).start()
    code = 0
    try:
        Server(config).run()
    except KeyboardInterrupt:  # uvicorn gives back the signal that ended it
        pass
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    os._exit(code)  # a thread that waits for a gateway keeps nobody


def _watch(desk: Desk) -> None:
    """End the process after a deletion, also where nobody asks: systemd starts another one, with an empty memory."""
    while not desk.stale():
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Serve by the settings that are named, and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(Path(sys.argv[1]))
    except DualtrackError as error:
        echo(str(error), err=True)
        return int(error.code)
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
