"""Personal data: how fast texts are scanned, and what is found in them, beside argus-redact and Presidio.

The texts are Debian's documentation (packages libreoffice-help-zh-cn, manpages-zh, debian-handbook,
debian-reference-zh-cn; about 51 MB of UTF-8, the handbook in many languages), fetched by apt-get once. Speeds are of
processor time, medians.
    bench_pii.py [rounds]
"""

from __future__ import annotations

import gzip
import html
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from debian_texts import unpacked
from tests.support.personal_data import Maker, texts

from dualtrack.knowledge.pii import candidates
from dualtrack.knowledge.pii.scan import scan

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
PACKAGES = ("libreoffice-help-zh-cn", "manpages-zh", "debian-handbook", "debian-reference-zh-cn")
#: A record in so many bytes; the aim is for one in 4 KB. The peers take seconds for a MB.
DENSITIES, AIM = (0, 65536, 16384, 4096, 1024, 400), 4096
PEER_BYTES = {"presidio": 1 << 20, "argus": 200 << 10}
RECORDS = 2000
ROOT = Path(__file__).parents[2]


def documentation() -> str:
    """Return the text of the packages' pages, without changelogs."""
    return "\n".join(_pages(unpacked(PACKAGES)))


def _pages(place: Path) -> Iterator[str]:
    for path in sorted(it for it in place.rglob("*") if it.is_file() and not it.is_symlink()):
        if "changelog" in path.name.lower() or "en-US" in path.parts:
            continue
        try:
            if path.suffix in (".html", ".xhtml"):
                text = re.sub(r"(?s)<(script|style).*?</\1>", "", path.read_text())
                yield html.unescape(re.sub(r"<[^>]+>", "", text))
            elif path.suffix == ".gz":
                yield gzip.decompress(path.read_bytes()).decode()
        except UnicodeDecodeError:
            continue


def filled(text: str, every: int, size: int) -> bytes:
    """Return about ``size`` bytes of a text with a record in each ``every`` bytes; none for 0."""
    made, parts, length, place = Maker(9), [], 0, 0
    chance = random.Random(9)
    while length < size:
        step = chance.randint(every // 2, every * 3 // 2) // 2 if every else 65536
        part = text[place : place + step]
        place = (place + step) % len(text)
        if every:
            kind, before, value = made.identifier()
            part += f" {before}{value} " if kind else ""
        parts.append(part)
        length += len(part.encode())
    return "".join(parts).encode()


def speed(data: bytes, work: Callable[[bytes], object] = scan) -> float:
    """Return the MB a second of processor time."""
    begun = time.process_time()
    work(data)
    return len(data) / 1e6 / (time.process_time() - begun)


def limit(data: bytes) -> None:
    """Do what no scan can do without: Hyperscan's pass, its matches left alone."""
    candidates.database().scan(data, match_event_handler=lambda *_: None)


def peers(which: str, data: bytes, records: list[str]) -> dict[str, object]:
    """Return a peer's seconds for a text, and each record as it leaves it."""
    with tempfile.TemporaryDirectory() as place:
        task = Path(place, "task.json")
        task.write_text(json.dumps({"text": data.decode(), "records": records}))
        done = subprocess.run(
            [ROOT / "ci/tool.sh", "pii-bench:python", Path(__file__).with_name("pii_peers.py"), which, task],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print both tables, and what was found in the documentation as it is."""
    text = documentation()
    whole = text.encode()
    scan(b"")
    print(f"{len(whole) / 1e6:.1f} MB of documentation, {ROUNDS} rounds")
    tests = {every: filled(text, every, 12 << 20) for every in DENSITIES}
    found: dict[int, list[tuple[float, float]]] = {every: [] for every in tests}
    for _ in range(ROUNDS):
        for every, data in tests.items():
            found[every].append((speed(data), speed(data, limit)))
    for every, rates in found.items():
        rate, most = (statistics.median(it) for it in zip(*rates, strict=True))
        aim = "  (aim 100)" * (every == AIM)
        print(f"  a record in {every or 'no'} bytes: {rate:6.0f} MB/s, Hyperscan alone {most:4.0f}{aim}")

    made = [it for it in texts(seed=3, count=RECORDS) if len(it.spans) == 1]
    wanted = Counter(it.spans[0][0] for it in made)
    ours = Counter(it.spans[0][0] for it in made if _ours(it.text, *it.spans[0][1:]))
    table = {"here": ours}
    for which, size in PEER_BYTES.items():
        data = tests[AIM][:size].decode(errors="ignore").encode()
        mine = statistics.median(speed(data) for _ in range(ROUNDS))
        result = peers(which, data, [it.text for it in made])
        rate = len(data) / 1e6 / float(result["seconds"])  # type: ignore[arg-type]
        print(f"  {which}: {rate:.2f} MB/s of {len(data) >> 10} KB; here {mine:.0f}, {mine / rate:.0f} times")
        left = list(result["records"])  # type: ignore[call-overload]
        table[which] = Counter(
            it.spans[0][0] for it, out in zip(made, left, strict=True) if it.text[slice(*it.spans[0][1:])] not in out
        )
    print(f"found, of {len(made)} generated records:")
    for kind, count in sorted(wanted.items()):
        print(f"  {kind:17} " + "  ".join(f"{name} {it[kind] / count:6.1%}" for name, it in table.items()))
    print("in the documentation as it is:", dict(Counter(it.kind for it in scan(whole))))
    for it in scan(whole):
        if it.kind not in ("email", "mac"):
            before, value, after = (
                whole[it.start - 40 : it.start],
                whole[it.start : it.end],
                whole[it.end : it.end + 12],
            )
            print(
                f"  {it.kind}: {before.decode(errors='ignore')!r} {value.decode()!r} {after.decode(errors='ignore')!r}"
            )


def _ours(text: str, start: int, end: int) -> bool:
    data = text.encode()
    first, last = len(text[:start].encode()), len(text[:end].encode())
    return any(it.start <= first and it.end >= last for it in scan(data))


main()
