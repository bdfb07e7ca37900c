"""The front's filter of answers, run by Node.js: what it hides, what it counts, and how a stream that breaks off ends.

nginx runs it in the molecule scenario `gateway`.
"""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode, b64encode
from typing import Any

from dualtrack.core.paths import ROOT

#: Each answer is in pieces; the last one of a whole answer is empty, and says so, as nginx's is.
RUN = """
const text = require('fs').readFileSync(process.argv[1], 'utf8').replace('export default {count}', 'return count');
const answers = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(answers.map(({pieces, whole}) => {
    const count = new Function(text)(), sent = [], r = {
        variables: {content_length: '400'}, error: it => { throw new Error(it); },
        sendBuffer: it => sent.push(Buffer.from(it)),
    };
    pieces.forEach(it => count(r, Buffer.from(it, 'base64'), {last: false}));
    count(r, Buffer.alloc(0), {last: whole});
    const {tokens_read: read, tokens_written: written} = r.variables;
    return {sent: Buffer.concat(sent).toString('base64'), read, written};
})));
"""


def run(answers: list[tuple[list[bytes], bool]]) -> list[dict[str, Any]]:
    """Return what comes out for answers in pieces, each whole or broken off, with the tokens that are counted."""
    given = [{"pieces": [b64encode(it).decode() for it in pieces], "whole": whole} for pieces, whole in answers]
    words = [str(ROOT / "ci/tool.sh"), "node", "-e", RUN, str(ROOT / "roles/gateway/files/usage.js")]
    done = subprocess.run(words, input=json.dumps(given), capture_output=True, text=True, check=True)
    return [{**it, "sent": b64decode(it["sent"])} for it in json.loads(done.stdout)]


ANSWER = (
    '{"choices":[{"message":{"content":"\\"cached_tokens\\":77 \u4e2d"}}],"usage":{"completion_tokens":5,'
    '"prompt_tokens":40,"prompt_tokens_details":{"cached_tokens":32}},"timings":{"cache_n": 39,"prompt_n":1}}'
).encode()
HIDDEN = ANSWER.replace(b'_tokens":32}', b'_tokens":0 }').replace(b'"cache_n": 39', b'"cache_n": 0 ')


def test_what_is_known_of_a_question_is_hidden_wherever_an_answer_is_cut() -> None:
    cuts = [([ANSWER[:one], ANSWER[one:two], ANSWER[two:]], True)
            for one in range(len(ANSWER)) for two in (one, one + 1, one + 7)]  # fmt: skip
    bytewise = [ANSWER[at : at + 1] for at in range(len(ANSWER))]
    for found in run([*cuts, (bytewise, True)]):
        assert found["sent"] == HIDDEN
        assert (found["read"], found["written"]) == (40, 5)
    assert json.loads(HIDDEN)["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert json.loads(HIDDEN)["choices"] == json.loads(ANSWER)["choices"]


def event(**more: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"text": "x"}], **more}, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def test_tokens_of_streams() -> None:
    usage = {"prompt_tokens": 30, "completion_tokens": 7}
    told, llama, silent, left = run([
        ([event()] * 7 + [event(usage=usage), DONE], True),
        ([event()] * 7 + [event(timings={"cache_n": 9, "prompt_n": 21, "predicted_n": 7}), DONE], True),
        ([event()] * 7 + [DONE], True),  # as SGLang's, where nobody asks for the usage
        ([event()] * 7, False),
    ])  # fmt: skip
    for found in (told, llama):
        assert (found["read"], found["written"]) == (30, 7)
    for found in (silent, left):
        assert (found["read"], found["written"]) == (100, 7)


def test_a_stream_that_breaks_off_ends_with_an_error() -> None:
    cut, whole, complete, empty = run([
        ([event()] * 3, False), ([event()] * 3 + [DONE], True), ([event()] * 3 + [DONE], False), ([], False),
    ])  # fmt: skip
    *_, last = cut["sent"].decode().removesuffix("\n\n").split("\n\n")
    assert cut["sent"].startswith(event() * 3)
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "stream_cut"
    assert whole["sent"] == complete["sent"] == event() * 3 + DONE
    assert empty["sent"] == b""
