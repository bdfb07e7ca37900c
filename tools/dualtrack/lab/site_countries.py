"""The lab's database of the countries of addresses, which a site buys or fetches: made from Debian's tor-geoipdb."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dualtrack.core.files import locked, write_atomically
from dualtrack.core.paths import cache_dir
from dualtrack.core.proc import run
from dualtrack.core.task_graph import Say
from dualtrack.data.mirror import check
from dualtrack.data.mirror.debian import COUNTRIES, Apt
from dualtrack.lab.bootstrap import apt_sources
from dualtrack.serving import countries

#: In the lab's directory; inventories/lab names it.
NAME = "countries.mmdb"


def ensure(say: Say) -> Path:
    """Return the database in the cache, made once: the package is fetched, not installed, since it would bring tor."""
    path = cache_dir() / "countries" / check.sha256(Path(countries.__file__))[:16] / NAME
    with locked(path):
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix="dualtrack-countries-") as place:
                say("fetching Debian's database of countries")
                apt = Apt(Path(place, "apt"), apt_sources().file)
                apt.update()
                package = apt.fetch(COUNTRIES, Path(place))
                run(["dpkg-deb", "--extract", str(package), f"{place}/files"])
                say("writing it as MMDB: a minute, once")
                data = Path(place, "files/usr/share/tor")
                countries.convert(data / "geoip", data / "geoip6", path)
    return path


def put(folder: Path, say: Say) -> None:
    """Have the database in the lab's directory."""
    data = ensure(say).read_bytes()
    path = folder / NAME
    if not path.exists() or path.read_bytes() != data:
        write_atomically(path, data, 0o644)
