"""Runs a peer of `dualtrack pii` for bench_pii.py: pii_peers.py argus|presidio TASK, in an environment of their own.

Presidio has no recognisers for China: it gets simple ones here, for mobile telephones, identity cards and bank cards,
beside its own for mail addresses. Its language model is left out, which makes it faster.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path


def argus() -> Callable[[str], str]:
    """Return what argus-redact makes of a text."""
    from argus_redact import redact

    return lambda text: str(redact(text, lang="zh")[0])


def presidio() -> Callable[[str], str]:
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
    for name, pattern in patterns.items():
        registry.add_recognizer(
            PatternRecognizer(name, supported_language="zh", patterns=[Pattern(name, pattern, 0.9)])
        )
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["zh"])

    def left(text: str) -> str:
        for it in sorted(analyzer.analyze(text, "zh"), key=lambda it: -it.start):
            text = text[: it.start] + "*" + text[it.end :]
        return text

    return left


def main() -> None:
    """Print what it takes for the task's text, and what is left of each record."""
    task = json.loads(Path(sys.argv[2]).read_text())
    clean = {"argus": argus, "presidio": presidio}[sys.argv[1]]()
    clean("13812345678")
    # In parts, as a caller that has documents would.
    parts = re.findall(r"(?s).{1,20000}", task["text"])
    begun = time.process_time()
    for part in parts:
        clean(part)
    seconds = time.process_time() - begun
    print(json.dumps({"seconds": seconds, "records": [clean(it) for it in task["records"]]}))


main()
