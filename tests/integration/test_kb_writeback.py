"""Documents on their way to another knowledge base: reviewed, cleaned, sealed, none lost and none twice."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.core.errors import BadInput, DualtrackError, External
from dualtrack.knowledge import deletion
from dualtrack.knowledge.writeback import push, receive, records
from dualtrack.knowledge.writeback.log import Batch, Change, Log, LogState
from tests.conftest import Cli
from tests.support.killing import killed
from tests.support.store_testbed import Store, store
from tests.support.writeback import BUCKET, PLACE, Sender, before_last_look, files


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def sender(s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sender:
    """A knowledge base of three documents, and an empty bucket."""
    client = s3.client()
    for it in client.list_buckets()["Buckets"]:
        for key in client.list_objects_v2(Bucket=it["Name"]).get("Contents", ()):
            client.delete_object(Bucket=it["Name"], Key=key["Key"])
    client.create_bucket(Bucket=BUCKET)
    for name, value in (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(name, value)
    found = Sender(tmp_path, s3)
    found.write(one="# Backups\n\nThey run at two.", two="petunia 13800138000", three="# A\n\n## B\n\nbegonia")
    return found


def objects(sender: Sender) -> dict[str, bytes]:
    client = sender.store.client()
    return {
        it["Key"]: client.get_object(Bucket=BUCKET, Key=it["Key"])["Body"].read()
        for it in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    }


def test_nothing_leaves_before_it_was_reviewed(sender: Sender, tmp_path: Path) -> None:
    assert sender.run("push", "--json")["waiting"] == 3
    assert not [it for it in objects(sender) if "/objects/" in it]
    waiting = {it["source"]: it for it in sender.run("review", "--json")["texts"]}
    assert waiting["two.md"]["text"] == "petunia [phone]\n"
    assert waiting["three.md"]["text"] == "# A\n\n## B\n\nbegonia\n"
    sender.run("review", waiting["two.md"]["id"], "--reject")
    sender.run("review", waiting["one.md"]["id"], "--approve")
    done = sender.run("push", "--json")
    assert (done["sent"], done["waiting"], done["rejected"]) == (1, 1, 1)
    sender.run("pull", tmp_path / "to", "--json")
    [(name, text)] = files(tmp_path / "to").items()
    assert name.startswith("learned/one-")
    assert text == "# Backups\n\nThey run at two.\n"
    assert "there is no text" in sender.run("review", "0" * 32, "--approve", code=2)["said"]
    # A decision can be taken back, either way.
    assert sender.run("review", waiting["two.md"]["id"], "--approve", "--json")["ids"] == [waiting["two.md"]["id"]]
    sender.run("review", waiting["one.md"]["id"], "--reject")
    assert {it["source"] for it in sender.run("review", "--decided", "--json")["texts"]} == {"one.md", "two.md"}
    done = sender.run("push", "--json")
    assert (done["sent"], done["removed"]) == (1, 1)
    sender.run("pull", tmp_path / "to", "--json")
    assert list(files(tmp_path / "to").values()) == ["petunia [phone]\n"]


def test_only_what_changed_is_sent(sender: Sender, tmp_path: Path) -> None:
    assert sender.approved()["sent"] == 3
    before = objects(sender)
    again = sender.approved()
    assert (again["sent"], again["unchanged"], again["number"]) == (0, 3, 2)
    assert objects(sender) == before
    sender.write(two="petunia, another", three="", four="dahlia")
    done = sender.approved()
    assert (done["sent"], done["removed"], done["unchanged"]) == (2, 1, 1)
    to = tmp_path / "to"
    found = sender.run("pull", to, "--json")
    assert (found["new"], found["changed"], found["removed"]) == (3, 0, 0)
    assert sorted(files(to).values()) == ["# Backups\n\nThey run at two.\n", "dahlia\n", "petunia, another\n"]
    sender.write(one="", four="dahlia two")
    sender.approved()
    found = sender.run("pull", to, "--json")
    assert (found["new"], found["changed"], found["removed"], found["unchanged"]) == (0, 1, 1, 1)
    assert sorted(files(to).values()) == ["dahlia two\n", "petunia, another\n"]
    assert len([it for it in objects(sender) if "/objects/" in it]) == 2  # what does not count any more is gone


def test_the_bucket_shows_nothing(sender: Sender) -> None:
    sender.approved()
    for name, data in objects(sender).items():
        for word in (b"petunia", b"begonia", b"Backups", b"learned", b"two.md", b"13800138000"):
            assert word not in data + name.removeprefix("one/").encode(), name


def test_who_was_deleted_is_gone_there_as_well(sender: Sender, tmp_path: Path) -> None:
    sender.approved()
    sender.run("pull", tmp_path / "to")
    deletion.delete(sender.base, ["petunia"], [])
    assert sender.run("push", "--json")["removed"] == 1
    sender.run("pull", tmp_path / "to")
    assert not [it for it in files(tmp_path / "to").values() if "petunia" in it]
    assert len([it for it in objects(sender) if "/objects/" in it]) == 2


def test_a_text_that_cannot_be_cleaned_stays(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    push.decide(sender.base, ["learned"], sender.log().names, ["all"], approved=True, person="x")

    def fails(_: object) -> object:
        raise External("personal data is left")

    monkeypatch.setattr("dualtrack.knowledge.writeback.records.mask_parts", fails)
    done = push.push(sender.base, ["learned"], sender.log(), say=lambda _: None)
    assert (done.sent, len(done.unclean)) == (0, 3)
    assert not [it for it in objects(sender) if "/objects/" in it]


def test_killed_nothing_is_lost_and_nothing_is_twice(sender: Sender, tmp_path: Path) -> None:
    """Both sides, 50 times each, while documents change; the log then has each change once."""
    to, chance = tmp_path / "to", random.Random(3)
    names = [f"n{it:02}" for it in range(60)]
    sender.write(**{it: f"text of {it}" for it in names})
    sender.run("review", "all", "--approve")

    def send() -> None:
        push.push(sender.base, ["learned"], sender.log(), say=lambda _: None)

    def bring() -> None:
        receive.pull(sender.log(), to, lambda _: None)

    history, seen, seconds = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    for name, work in (("push", send), ("pull", bring)):
        began = time.monotonic()
        work()
        seconds[name] = time.monotonic() - began  # type: ignore[assignment]
    for number in range(50):
        if number % 5 == 0:  # not each time: what was begun continues
            sender.write(**{it: f"text of {it}, {number}" for it in chance.sample(names, 25)})
            push.decide(sender.base, ["learned"], sender.log().names, ["all"], approved=True, person="x")
        seen["push"] += killed(send, chance.uniform(0, 0.7) * seconds["push"])
        seen["pull"] += killed(bring, chance.uniform(0, 0.7) * seconds["pull"])
        assert not [it for it in files(to).values() if not it.endswith("\n")], "half a file"
    print(f"killed before their end, of 50 each: {dict(seen)}")
    sender.run("push", "--json")
    sender.run("pull", to, "--json")
    wanted = sorted(f"{it.read_text()}\n" for it in sender.docs.iterdir() if it.stem in names)
    assert sorted(it for it in files(to).values() if it.startswith("text of")) == wanted
    log, state, number = sender.log(), LogState(), 0
    while batch := log.batch(number := number + 1):
        for it in batch.changes:
            history[it.document.hex(), it.content.hex()] += 1
    assert set(history.values()) == {1}, "something was written twice"
    state = log.follow(LogState())
    assert {f"one/objects/{it.content.hex()}" for it in state.live.values()} == {
        it for it in objects(sender) if "/objects/" in it
    }
    assert min(seen.values()) > 10


def test_one_writer(sender: Sender, s3: Store, tmp_path: Path) -> None:
    """The second one is refused, takes over, and the first one is; what it had in hand then is kept as a conflict."""
    sender.approved()
    other = Sender(tmp_path, s3, "other")
    other.write(one="of the other")
    other.run("review", "all", "--approve")
    assert "writes to s3://learned/one since" in other.run("push", code=5)["said"]
    first = sender.log()
    state = first.follow(LogState())
    epoch = first.hold(writer := first.epoch()[0].writer, state, take_over=False)  # type: ignore[index]
    done = other.run("push", "--take-over", "--json")
    assert (done["epoch"], done["sent"], done["removed"]) == (2, 1, 2), "what is there is what the writer has"
    # The first one was about to write: its look at the epoch is past.
    state = first.follow(LogState())
    late = records.encode(
        records.Record(collection="learned", source="one.md", parts=(records.Part((), "late"),))
    )  # fmt: skip
    first.put(content := first.names.content(late), late)
    kind, document = first.names.document("learned"), first.names.document("learned\0one.md")
    batch = Batch(
        number=state.number + 1, epoch=epoch, writer=writer,
        changes=(Change(document=document, collection=kind, content=content),),
    )  # fmt: skip
    assert first.append(batch)
    assert "writes to" in sender.run("push", code=5)["said"]
    to = tmp_path / "to"
    found = sender.run("pull", to, "--json", code=1)
    assert len(found["conflicts"]) == 1
    there = files(to)
    assert there[found["conflicts"][0]] == "late\n"
    assert [text for name, text in there.items() if name.startswith("learned/one-")] == ["of the other\n"]
    assert sender.run("pull", to, "--json")["conflicts"] == []
    assert sender.run("status", "--json")["late"] == 1
    assert other.approved()["unchanged"] == 1


def test_a_writer_that_was_replaced_removes_nothing(sender: Sender) -> None:
    """Another takes over between its last batch and its last look; what that one is just sending is in no log yet."""
    sender.approved()
    sender.write(one="")
    theirs, content = sender.log(), b"c" * 16

    def take_over(_: Log) -> None:
        theirs.hold("other", theirs.follow(LogState()), take_over=True)
        theirs.put(content, b"on its way")

    with before_last_look(take_over):
        assert push.push(sender.base, ["learned"], sender.log(), say=lambda _: None).removed == 1
    assert content in theirs.objects()
    sender.run("push", "--take-over")
    assert content not in theirs.objects(), "what no log names is removed by who writes"


def test_what_another_removed_meanwhile_is_sent_again(sender: Sender) -> None:
    sender.approved()
    live = next(iter(sender.log().follow(LogState()).live.values())).content
    with (
        before_last_look(lambda log: log.remote.remove(log.key("objects", live.hex()))),
        pytest.raises(External, match="1 documents were removed from the bucket meanwhile"),
    ):
        push.push(sender.base, ["learned"], sender.log(), say=lambda _: None)
    assert sender.run("push", "--json")["unchanged"] == 3
    assert live in sender.log().objects()


def test_a_hostile_bucket(sender: Sender, tmp_path: Path) -> None:
    """Objects that are changed, cut, exchanged and gone: an error in a line, and the directory stays as it was."""
    sender.approved()
    to, client, chance = tmp_path / "to", sender.store.client(), random.Random(9)
    log = sender.log()
    receive.pull(log, to, lambda _: None)
    there, whole = files(to), objects(sender)
    fresh = tmp_path / "fresh"
    for name, data in whole.items():
        flips = [chance.randrange(len(data)) for _ in range(2)]
        damages = [data[:it] + bytes([data[it] ^ 1]) + data[it + 1 :] for it in flips]
        others = [it for key, it in whole.items() if key != name]
        for damage in (*damages, data[:-1], b"", b"\x00" * 100, None, *others):
            if damage is None:
                client.delete_object(Bucket=BUCKET, Key=name)
            else:
                client.put_object(Bucket=BUCKET, Key=name, Body=damage)
            if not name.endswith("epoch"):
                for folder in (to, fresh):
                    try:
                        receive.pull(log, folder, lambda _: None)
                    except (External, BadInput):
                        pass
                    else:
                        assert folder == to or damage is None, (name, damage)
            else:
                try:
                    log.hold("x", LogState(), take_over=False)
                except DualtrackError:
                    pass
                else:
                    assert damage is None or name.endswith("epoch")
            assert files(to) == there
        client.put_object(Bucket=BUCKET, Key=name, Body=data)
    other = tmp_path / "other.key"
    other.write_bytes(b"o" * 32)
    other.chmod(0o600)
    sender.key = other
    assert "was not written under this key" in sender.run("pull", tmp_path / "second", code=2)["said"]


def test_names_of_files_are_ours(sender: Sender, tmp_path: Path) -> None:
    """Whatever a document is called, its file is in the directory that was named."""
    log = sender.log()
    log.hold("x", LogState(), take_over=False)
    names = [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a\0b",
        "x" * 5000,
        "con\n",
        "-rf",
        "~",
        "请假.md",
        "a/b",
    ]
    changes = []
    for number, name in enumerate(names):
        data = records.encode(records.Record(collection=name, source=name, parts=(records.Part((), "t"),)))
        log.put(content := log.names.content(data), data)
        changes.append(Change(document=bytes([number]) * 16, collection=b"c", content=content))
    assert log.append(Batch(number=1, epoch=1, writer="x", changes=tuple(changes)))
    to = tmp_path / "a" / "to"
    receive.pull(log, to, lambda _: None)
    assert len(files(to)) == len(names)
    assert [it.name for it in (tmp_path / "a").iterdir()] == ["to"]
    assert all(len(it.name.encode()) < 200 and not it.name.startswith(("-", ".")) for it in to.rglob("*.md"))


def test_a_pull_that_ended_early_leaves_nothing(
    sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every note that it makes; who was deleted meanwhile is not left in a file that nobody knows."""
    sender.approved()
    note = receive._Pull._note
    for last in range(1, 6):
        to, count = tmp_path / f"to-{last}", iter(range(last))

        def stops(self: receive._Pull, count: Iterator[int] = count, **changes: object) -> None:
            if next(count, None) is None:
                raise KeyboardInterrupt
            note(self, **changes)

        with monkeypatch.context() as patch:
            patch.setattr(receive._Pull, "_note", stops)
            with pytest.raises(KeyboardInterrupt):
                receive.pull(sender.log(), to, lambda _: None)
    deletion.delete(sender.base, ["petunia"], [])
    sender.run("push")
    for last in range(1, 6):
        to = tmp_path / f"to-{last}"
        receive.pull(sender.log(), to, lambda _: None)
        assert sorted(files(to).values()) == ["# A\n\n## B\n\nbegonia\n", "# Backups\n\nThey run at two.\n"]


def test_what_the_bucket_has_lost_comes_again(sender: Sender, tmp_path: Path) -> None:
    """An object that is gone, one that is damaged, the epoch, and all of it."""
    sender.approved()
    client = sender.store.client()
    names = sorted(it for it in objects(sender) if "/objects/" in it)
    client.delete_object(Bucket=BUCKET, Key=names[0])
    client.put_object(Bucket=BUCKET, Key=names[1], Body=b"x")
    sender.run("push")
    assert "is damaged" in sender.run("pull", tmp_path / "to", code=4)["said"]
    sender.run("push", "--check")
    assert sender.run("pull", tmp_path / "to", "--json")["new"] == 3
    client.delete_object(Bucket=BUCKET, Key="one/epoch")
    sender.write(four="dahlia")
    done = sender.approved()
    assert (done["sent"], done["epoch"]) == (1, 2)
    assert sender.run("pull", tmp_path / "to", "--json")["new"] == 1
    for name in objects(sender):
        client.delete_object(Bucket=BUCKET, Key=name)
    assert sender.run("push", "--json")["sent"] == 4
    assert "not the one that it was" in sender.run("pull", tmp_path / "to", code=4)["said"]
    assert sender.run("pull", tmp_path / "new", "--json")["new"] == 4


def test_another_shared_key_is_refused_on_either_side(sender: Sender, tmp_path: Path) -> None:
    sender.approved()
    right, wrong = sender.key, tmp_path / "wrong.key"
    wrong.write_bytes(b"w" * 32)
    wrong.chmod(0o600)
    sender.key = wrong
    sender.run("review", "all", "--approve")
    for words in (("push",), ("push", "--take-over"), ("pull", tmp_path / "to"), ("status",)):
        assert "not written under this key" in sender.run(*words, code=2)["said"]
    sender.key = right
    assert sender.run("pull", tmp_path / "to", "--json")["new"] == 3
    # What is sealed for one place is good nowhere else.
    client = sender.store.client()
    for name, data in objects(sender).items():
        client.put_object(Bucket=BUCKET, Key=name.replace("one/", "two/", 1), Body=data)
    said = sender.run("pull", tmp_path / "two", "--bucket", f"s3://{BUCKET}/two", code=2)["said"]
    assert "not written under this key, or elsewhere" in said


def test_a_hostile_epoch(sender: Sender) -> None:
    client = sender.store.client()
    for epoch, writer in (("1180591620717411303424", "x"), (str(1 << 63), "x"), ("0", "x"), ("1", "a\nb"), ("1", "")):
        body = json.dumps({"epoch": int(epoch), "writer": writer, "since": "2026-01-01T00:00:00Z"}).encode()
        client.put_object(Bucket=BUCKET, Key="one/epoch", Body=body)
        for words in (("push", "--take-over"), ("status",)):
            assert "one/epoch is damaged" in sender.run(*words, code=4)["said"]


@pytest.mark.parametrize("place", ["", "learned/one", "s3://learned", "s3://learned/", "s3://A/b", "s3://learned/../x"])
def test_places_that_are_none(sender: Sender, place: str) -> None:
    assert "is not a place in S3" in sender.run("status", "--bucket", place, code=2)["said"]


def test_an_empty_log_has_a_status(sender: Sender) -> None:
    assert sender.run("status", "--json")["documents"] == 0
    assert PLACE in sender.run("status")["said"]


def test_runbook(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, sender.environment[name])
    Cli(tmp_path).runbook("write-back-to-the-other-track.md")
