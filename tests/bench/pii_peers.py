"""Runs a peer of `dualtrack pii` for benches: pii_peers.py argus|presidio|presidio-all TASK, in their own environment.

Presidio has no recognisers for China: it gets simple ones here, for mobile telephones, identity cards and bank cards,
beside its own for mail addresses; `presidio-all` has all its predefined ones of patterns as well. Its language model is
left out, which makes it faster.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: What is left of a text, and the values that were taken out of it: identifiers alone.
Peer = Callable[[str], tuple[str, list[str]]]
NOT_IDENTIFIERS = {
    "person", "self_reference", "address", "location", "organization", "date",
    "PERSON", "LOCATION", "NRP", "DATE_TIME", "URL", "IP_ADDRESS", "UUID",
}  # fmt: skip


def argus() -> Peer:
    """Return what argus-redact makes of a text."""
    from argus_redact import redact

    def left(text: str) -> tuple[str, list[str]]:
        out, values, types = redact(text, lang="zh", with_types=True)
        return str(out), [str(it) for name, it in values.items() if types[name] not in NOT_IDENTIFIERS]

    return left


def presidio(every: bool) -> Peer:
    """Return what Presidio leaves of a text."""
    import spacy
    from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer
    from presidio_analyzer.nlp_engine import SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import EmailRecognizer
    from presidio_analyzer.recognizer_registry import RecognizerRegistry

    nlp = SpacyNlpEngine(models=[{"lang_code": "zh", "model_name": "blank"}])
    nlp.nlp = {"zh": spacy.blank("zh", config={"nlp": {"tokenizer": {"segmenter": "char"}}})}
    nlp.nlp["zh"].max_length = 1 << 30
    patterns = {
        "PHONE": r"(?<!\d)1[3-9]\d{9}(?!\d)",
        "ID": r"(?<!\d)\d{17}[\dXx](?!\d)",
        "CARD": r"(?<!\d)[3-6]\d{14,18}(?!\d)",
    }
    registry = RecognizerRegistry(supported_languages=["zh"])
    registry.add_recognizer(EmailRecognizer(supported_language="zh"))
    for it in _predefined() if every else []:
        registry.add_recognizer(it)
    for name, pattern in patterns.items():
        registry.add_recognizer(
            PatternRecognizer(name, supported_language="zh", patterns=[Pattern(name, pattern, 0.9)])
        )
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["zh"])

    def left(text: str) -> tuple[str, list[str]]:
        found = [it for it in analyzer.analyze(text, "zh") if it.entity_type not in NOT_IDENTIFIERS]
        values = [text[it.start : it.end] for it in found]
        for it in sorted(found, key=lambda it: -it.start):
            text = text[: it.start] + "*" + text[it.end :]
        return text, values

    return left


def _predefined() -> list[Any]:
    """Return Presidio's recognisers of patterns, for all countries."""
    from presidio_analyzer import PatternRecognizer, predefined_recognizers
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    found: list[Any] = [PhoneRecognizer(supported_language="zh")]
    for name in predefined_recognizers.__all__:
        it = getattr(predefined_recognizers, name)
        if isinstance(it, type) and issubclass(it, PatternRecognizer):
            found.append(it(supported_language="zh"))
    return found


def main() -> None:
    """Print what it takes for the task's text, and what is left of each record."""
    task = json.loads(Path(sys.argv[2]).read_text())
    clean = argus() if sys.argv[1] == "argus" else presidio(every=sys.argv[1] == "presidio-all")
    clean("13812345678")
    # In parts, as a caller that has documents would.
    parts = re.findall(r"(?s).{1,20000}", task["text"])
    begun = time.process_time()
    for part in parts:
        clean(part)
    seconds = time.process_time() - begun
    records, values = zip(*map(clean, task["records"]), strict=True)
    print(json.dumps({"seconds": seconds, "records": records, "values": values}))


main()
