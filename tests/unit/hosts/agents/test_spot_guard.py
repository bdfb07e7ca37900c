"""What the guard does at a notice: with much time, little and none, a Slurm that stalls, and a wrong clock."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.hosts.agents import spot_guard
from dualtrack.hosts.agents.spot_guard import NOTICE_S, Guard, Notice, Slurm, parse_notice


@dataclass
class Bed:
    """A Slurm in memory, and a clock that only sleeping and commands move. ``stalls``: commands that fail first."""

    jobs: dict[str, float]  # job: seconds it needs for its checkpoint, after which it requeues itself
    stalls: int = 0
    now: float = 1000.0
    done: list[tuple[str, ...]] = field(default_factory=list)
    signalled: float | None = None
    comment: str = "checkpoint: USR1"
    comments: dict[str, str] = field(default_factory=dict)  # of single jobs
    begun: set[str] = field(default_factory=set)  # jobs that do not handle the signal yet, and die of it
    ending: int = 2  # how often Slurm says of one that died that it is about to end

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        self.now += 0.1
        if self.stalls:
            self.stalls -= 1
            self.now += spot_guard.COMMAND_S
            return subprocess.CompletedProcess(command, 127, "", "timed out")
        self.done.append(command)
        out = ""
        match command:
            case ("squeue", *words):
                saved = self.now - self.signalled if self.signalled is not None else -1.0
                self.jobs = {job: needs for job, needs in self.jobs.items() if needs > saved}
                asked = [job for job in self.jobs if f"--jobs={job}" in words or "--jobs" not in " ".join(words)]
                wanted = words[-1].removeprefix("--format=") + "\n"
                out = "".join(
                    wanted.replace("%A", job).replace("%k", self.comments.get(job, self.comment)) for job in asked
                )
            case ("scancel", *_, job):
                self.signalled = self.now
                if job in self.begun:
                    del self.jobs[job]
            case ("scontrol", "--oneliner", "show", "job", job):
                state, code = ("FAILED", "0:10") if job in self.begun else ("PENDING", "0:0")
                if job in self.begun and self.ending:
                    state, self.ending = "COMPLETING", self.ending - 1
                out = f"JobId={job} JobName=x JobState={state} Reason=None Requeue=1 ExitCode={code} RunTime=1"
            case ("scontrol", "requeue", job):
                self.jobs.pop(job, None)
        return subprocess.CompletedProcess(command, 0, out, "")

    def reclaim(self, seconds: float, checkpoint_s: float = 60) -> float:
        """Give a notice of ``seconds`` and return how long the guard was at work."""
        guard = Guard(Slurm("spot-1", self.run), checkpoint_s, clock=lambda: self.now, sleep=self.sleep)
        begin = self.now
        guard.reclaimed(Notice("terminate", begin + seconds))
        self.events = guard.events
        return self.now - begin

    @property
    def requeued(self) -> list[str]:
        return [command[2] for command in self.done if command[:2] == ("scontrol", "requeue")]


def test_jobs_that_save_themselves_are_not_requeued_twice() -> None:
    bed = Bed({"1": 3.0, "2": 5.0})
    assert bed.reclaim(120) < 10
    assert bed.done[0][:2] == ("scontrol", "update")  # drained first
    assert bed.requeued == []
    assert bed.events["wrote checkpoints"]["value"] == ["1", "2"]


def test_job_that_has_just_begun_and_dies_of_the_signal_is_requeued() -> None:
    bed = Bed({"1": 3.0, "2": 5.0, "3": 5.0}, begun={"2"})
    assert bed.reclaim(120) < 12
    assert bed.requeued == ["2"]
    assert bed.events["wrote checkpoints"]["value"] == ["1", "3"]
    assert bed.events["did not handle the signal yet"]["value"] == ["2"]


def test_slurm_that_does_not_answer_has_not_said_that_a_job_goes_on() -> None:
    slurm = Slurm("spot-1", lambda *words: subprocess.CompletedProcess(words, 127, "", "timed out"))
    assert slurm.died_of("1", "USR1") is None


def test_job_that_fails_by_itself_meanwhile_is_not_requeued() -> None:
    slurm = Slurm("spot-1", lambda *words: subprocess.CompletedProcess(words, 0, "JobState=FAILED ExitCode=1:0 x", ""))
    assert slurm.died_of("1", "USR1") is False


def test_job_that_does_not_save_itself_is_requeued_when_its_time_is_up() -> None:
    bed = Bed({"1": 3.0, "2": 1e9})
    assert 60 <= bed.reclaim(120) < 70
    assert bed.requeued == ["2"]


@given(st.floats(0.5, 120), st.dictionaries(st.sampled_from("123456"), st.floats(0, 200)), st.integers(0, 3))
def test_nothing_is_left_running_while_there_is_time(notice: float, jobs: dict[str, float], stalls: int) -> None:
    bed = Bed(dict(jobs), stalls)
    took = bed.reclaim(notice)
    # Draining and the question for the jobs are always tried, also with no time left: the clock may be wrong.
    assert took <= notice + 2 * (spot_guard.COMMAND_S + 1)
    if notice > (stalls + 1) * (spot_guard.COMMAND_S + 1) + 2 * len(jobs):
        assert bed.jobs == {}
        assert ("scontrol", "update", "nodename=spot-1", "state=drain", "reason=spot: terminate") in bed.done


def test_job_that_names_no_signal_gets_none_and_is_requeued_at_once() -> None:
    """A signal that a job does not handle ends it, and what ends is not requeued."""
    bed = Bed({"1": 1e9, "2": 1e9}, comment="memory: params=7b")
    assert bed.reclaim(120) < 3
    assert set(bed.requeued) == {"1", "2"}
    assert not any(command[0] == "scancel" for command in bed.done)


@pytest.mark.parametrize(
    ("comment", "named"),
    [("checkpoint: USR1", "USR1"), ("memory: params=7b; checkpoint: TERM; x", "TERM"), ("checkpoint: KILL", ""),
     ("precheckpoint: USR1", ""), ("", ""), ("a|b; checkpoint: HUP", "HUP"), ("checkpoint: USR1\nx", ""),
     ("x\ncheckpoint: USR1", ""), ("x\u2028checkpoint: USR1", ""), ("checkpoint: USR1\ncheckpoint: USR1", "USR1")],
)  # fmt: skip
def test_signal_in_a_comment(comment: str, named: str) -> None:
    assert Slurm("spot-1", Bed({"17": 1.0}, comment=comment).run).jobs() == {"17": named}


FORGED = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(["4711", "4711|checkpoint: TERM", "--user=bo|checkpoint: TERM", "checkpoint: TERM", "", "|"])
    ).map("\n".join),
)


@pytest.mark.attack("a user", "has another's job signalled or requeued by a comment", "prevented", "one query a job")
@given(FORGED)
def test_comment_of_one_job_says_nothing_of_another(comment: str) -> None:
    bed = Bed({"1": 1e9, "2": 1e9}, comments={"1": comment}, comment="")
    bed.reclaim(120)
    named = [word for command in bed.done if command[0] in ("scancel", "scontrol") for word in command]
    assert not [word for word in named if "4711" in word or word.startswith("--user")]
    assert set(bed.requeued) == {"1", "2"}
    assert [command[-1] for command in bed.done if command[0] == "scancel"] in ([], ["1"])


def test_of_a_node_without_jobs_one_question_is_asked() -> None:
    bed = Bed({})
    assert (Slurm("spot-1", bed.run).jobs(), len(bed.done)) == ({}, 1)


def test_slurm_that_does_not_tell_a_comment_has_not_answered() -> None:
    bed = Bed({"1": 1.0, "2": 1.0})

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        bed.stalls = int("--jobs=2" in command)
        return bed.run(*command)

    assert Slurm("spot-1", run).jobs() is None


def test_text_of_a_user_that_is_no_text_does_not_end_the_guard() -> None:
    assert spot_guard.run("printf", r"checkpoint: USR1 \377").stdout == "checkpoint: USR1 \ufffd"


def test_five_seconds_are_spent_on_the_queue_and_not_on_waiting() -> None:
    bed = Bed({"1": 50.0})
    assert bed.reclaim(5) < 5
    assert bed.requeued == ["1"]


def test_slurm_that_stalls_at_first_is_asked_again() -> None:
    bed = Bed({"1": 1e9}, stalls=3)
    bed.reclaim(120)
    assert (bed.requeued, bed.jobs) == (["1"], {})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"action": "terminate", "time": "2026-11-25T12:02:00Z"}', 120),
        ('{"action": "terminate", "time": "2026-11-25T12:00:40Z"}', 40),
        ('{"action": "terminate", "time": "2026-11-25T11:00:00Z"}', 0),  # over, or our clock is fast
        ('{"action": "terminate", "time": "2026-11-25T18:00:00Z"}', NOTICE_S),  # our clock is slow: never more
        ('{"action": "terminate", "time": "soon"}', NOTICE_S),
        ("not json", NOTICE_S),
        ("[]", NOTICE_S),
    ],
)
def test_notice_and_the_clock(text: str, left: float) -> None:
    noon = 1795608000.0  # 2026-11-25T12:00:00Z
    assert parse_notice(text, noon, 50.0) == Notice("terminate", 50.0 + left)


class Service:
    """A metadata service from a list of answers by path; the last one stays."""

    def __init__(self, **answers: list[str | Exception | None]) -> None:
        self.answers = {"spot/instance-action": [None], "events/recommendations/rebalance": [None]} | {
            {"notice": "spot/instance-action", "rebalance": "events/recommendations/rebalance"}[name]: values
            for name, values in answers.items()
        }

    def get(self, path: str) -> str | None:
        values = self.answers[path]
        value = values.pop(0) if len(values) > 1 else values[0]
        if isinstance(value, Exception):
            raise value
        return value


def test_service_that_fails_is_asked_again_and_a_notice_acted_on_once(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(spot_guard, "LEAVING", tmp_path / "run/leaving")
    monkeypatch.setattr(spot_guard, "STATE", tmp_path / "run/state.json")
    bed = Bed({"1": 2.0})
    guard = Guard(Slurm("spot-1", bed.run), 60, clock=lambda: bed.now, sleep=bed.sleep)
    notice = '{"action": "terminate", "time": "2099-01-01T00:00:00Z"}'
    service = Service(notice=[None, OSError("slow"), OSError("slow"), None, notice], rebalance=[None, "{}"])
    real = parse_notice
    monkeypatch.setattr(spot_guard, "parse_notice", lambda text, wall, _: real(text, wall, bed.now))
    spot_guard.watch(service, guard, 2, lambda: False)  # type: ignore[arg-type]
    reasons = [command[-1] for command in bed.done if command[:2] == ("scontrol", "update")]
    assert reasons == ["reason=spot: rebalance recommended", "reason=spot: terminate"]
    assert (tmp_path / "run/leaving").exists()
    assert '"finished": true' in (tmp_path / "run/state.json").read_text()


@dataclass
class Group:
    """A scaling group's API in memory; ``fails``: calls that it refuses first."""

    fails: int = 0
    calls: list[bool] = field(default_factory=list)

    def client(self, _: str) -> Group:
        return self

    def set_instance_protection(
        self, *, InstanceIds: list[str], AutoScalingGroupName: str, ProtectedFromScaleIn: bool
    ) -> None:
        if self.fails:
            self.fails -= 1
            raise OSError("throttled")
        assert (InstanceIds, AutoScalingGroupName) == (["i-1"], "dualtrack-ondemand")
        self.calls.append(ProtectedFromScaleIn)


def test_busy_node_is_not_ended_to_make_its_group_smaller() -> None:
    answers: list[str | None] = ["", "7\n", "7\n8\n", None, "8\n", ""]
    group = Group(fails=1)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        said = answers.pop(0)
        return subprocess.CompletedProcess(command, 1 if said is None else 0, said or "", "")

    protection = spot_guard.Protection(
        group,  # type: ignore[arg-type]
        "dualtrack-ondemand",
        "i-1",
        Slurm("ondemand-1", run),
    )
    for second in range(0, 60, 2):
        protection.look(float(second))
    # The first call failed, so that the next look set what was true by then; silence of Slurm changed nothing.
    assert (group.calls, answers) == ([True, False], [])
