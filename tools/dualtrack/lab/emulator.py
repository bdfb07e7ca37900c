"""The emulated AWS: moto's server on loopback and inside the namespace, the metadata service, and the mirror.

One process, because the metadata service reads what the API would never tell (key material, user data) from moto's own
memory. Started by the supervisor, dies with it. Everything in it is lost when it ends, as moto keeps nothing on disk.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from moto.ec2.models import ec2_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from dualtrack.core.aws import Keys
from dualtrack.core.files import write_atomically
from dualtrack.data.mirror.serve import Files
from dualtrack.lab import credentials, fault_injection, imds, reclaim
from dualtrack.lab.api_server import Handler, MotoHandler, make_server
from dualtrack.lab.guard import App, Guard
from dualtrack.lab.model import EMULATOR_PORT, METADATA, SERVICES
from dualtrack.lab.network import listen
from dualtrack.lab.state import Running, Store

log = logging.getLogger("labd")
#: Seconds from one look at the instances to the next.
TELL_S = 0.25


def backends() -> Iterator[tuple[str, str, Any]]:
    """Yield (account, region, EC2 backend) of everything the emulator holds."""
    for account, regions in list(ec2_backends.items()):
        for region, backend in list(regions.items()):
            yield account, region, backend


def running() -> Iterator[tuple[str, str, Any, Any]]:
    """Yield (account, region, EC2 backend, instance) of each instance that runs and has an address."""
    for account, region, backend in backends():
        for reservation in list(backend.reservations.values()):
            for it in reservation.instances:
                if it._state.name == "running" and it.private_ip:
                    yield account, region, backend, it


def find(lab: Path, keys: Keys, address: str) -> imds.Instance | None:
    """Return the running instance with private address ``address``, and what the lab in ``lab`` has in mind for it."""
    for account, region, backend, it in running():
        if it.private_ip == address:
            found = describe(account, region, backend, it)
            notice = reclaim.metadata(reclaim.pending(lab, found.id))
            return replace(found, extra=notice, keys=credentials.of_instance(keys, found.id))
    return None


def describe(account: str, region: str, backend: Any, it: Any) -> imds.Instance:
    """Translate moto's instance into the metadata service's."""
    nic = next(iter(it.nics.values()), None)
    pair = backend.key_pairs.get(it.key_name) if it.key_name else None
    tags = {tag["key"]: tag["value"] for tag in it.get_tags()}
    return imds.Instance(
        id=it.id, address=it.private_ip, type=it.instance_type, zone=it.placement.zone, region=region,
        image=it.image_id, mac=nic.mac_address if nic else "", account=account, subnet=it.subnet_id or "",
        vpc=it.vpc_id or "", role=f"{tags.get('Name', '')}-node" if "dualtrack:pool" in tags else "",
        key_name=it.key_name or "", public_key=pair.public_key.strip() if pair else "",
        # moto marks no autoscaling instance as spot; the launch template's own tag says what was asked for.
        lifecycle="spot" if "spot" in (it.lifecycle, tags.get("dualtrack:lifecycle")) else "on-demand",
        user_data=imds.decode_user_data(str(it.user_data) if it.user_data else None),
        security_groups=tuple(group.name for group in it.security_groups),
    )  # fmt: skip


def tell(store: Store) -> None:
    """Write down which instances run whenever that changes; does not return.

    The supervisor looks twice a second; by the API, each look would cost both sides more than all else that an idle
    lab does, and would be throttled and lied to as others' calls are.
    """
    told: list[Running] | None = None
    while True:
        try:
            found = sorted(
                Running(
                    id=it.id,
                    address=it.private_ip,
                    kind=it.instance_type,
                    pool=tags.get("dualtrack:pool", ""),
                    roles=tuple(tags.get("dualtrack:roles", "").split("+")),
                )
                for _, _, _, it in running()
                for tags in [{tag["key"]: tag["value"] for tag in it.get_tags()}]
            )
            if found != told:
                write_atomically(store.instances_file, msgspec.json.encode(found))
                told = found
        except Exception:  # an instance that moto is just making, or a full disk: the next look is soon
            log.exception("the instances cannot be told")
        time.sleep(TELL_S)


def guarded(moto: App, keys: Keys, address: str, port: int) -> Guard:
    """Return the emulated API as it answers at one address: to requests that are signed with the lab's keys."""
    return Guard(moto, partial(credentials.secret_of, keys), {f"{address}:{port}", f"localhost:{port}"})


class QuietMirror(Files):
    """The mirror's files, without a line per request; a link on a medium that was carried in leads nowhere."""

    timeout = 60  # seconds that a client may keep it waiting

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(namespace: str, port: str, mirror: str, lab: str) -> None:
    """Serve until killed. ``port`` is the loopback port of the API outside the namespace, ``lab`` its directory."""
    fault_injection.install(Path(lab))
    threading.Thread(target=tell, args=(Store(Path(lab)),), daemon=True, name="instances").start()
    keys = credentials.read(Store(Path(lab)).credentials_file)
    moto = DomainDispatcherApplication(create_backend_app)
    for address, number in (("127.0.0.1", int(port)), (str(SERVICES), EMULATOR_PORT)):
        app = guarded(moto, keys, address, number)
        # Outside it binds here; inside, the socket is made in the namespace and handed over.
        fd = None if address == "127.0.0.1" else listen(namespace, address, number).detach()
        server = make_server(address, number, app, MotoHandler, fd)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sock = listen(namespace, str(METADATA), 80)
    metadata = make_server(str(METADATA), 80, imds.Service(partial(find, Path(lab), keys)), Handler, sock.detach())
    threading.Thread(target=metadata.serve_forever, daemon=True).start()
    Path(mirror).mkdir(parents=True, exist_ok=True)
    files = ThreadingHTTPServer((str(SERVICES), 80), partial(QuietMirror, directory=mirror), bind_and_activate=False)
    files.socket.close()
    files.socket = listen(namespace, str(SERVICES), 80)
    files.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
