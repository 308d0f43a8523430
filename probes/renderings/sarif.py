"""sarif: SARIF 2.1.0 for code scanning services: a rule per fact, a result per finding.

The fingerprint consists of the fact and the kind of platform, so that the same finding is the
same alert on another day, with another version of the lab, or after a file was moved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ..fact import Platform, Report
from ..probe import Probe
from ..text import make_printable
from . import Style
from .github import Annotation, list_findings

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "notice": "note"}


def render(report: Report, probes: Mapping[str, Probe], style: Style) -> str:
    """Return the report as SARIF."""
    return make_document(
        report.environment, list(report.facts), list_findings(report, probes), probes
    )


def make_document(
    platform: Platform,
    ids: Iterable[str],
    found: Iterable[Annotation],
    probes: Mapping[str, Probe],
    allowed: Optional[Mapping[str, str]] = None,
) -> str:
    """Return the log of one run, whose findings are annotations with the rule as their title.

    ``allowed`` has the reasons for which findings of a rule are suppressed.
    """
    from urllib.parse import quote

    found = list(found)
    rules = list(dict.fromkeys([*ids, *(title for _, _, title, _ in found)]))
    index = {id: place for place, id in enumerate(rules)}
    results = []
    for kind, source, title, text in found:
        path, line = source or ("probes.json", 1)
        uri = ("file://" if path.startswith("/") else "") + quote(path, errors="surrogateescape")
        result: dict[str, Any] = {
            "ruleId": make_printable(title),
            "ruleIndex": index[title],
            "level": LEVELS[kind],
            "message": {"text": make_printable(text)},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": uri},
                        "region": {"startLine": max(line, 1)},
                    }
                }
            ],
            "partialFingerprints": {"probesFact/v1": _make_fingerprint(title, platform)},
        }
        if allowed and title in allowed:
            justification = make_printable(allowed[title])
            result["suppressions"] = [{"kind": "external", "justification": justification}]
        results.append(result)
    run = {
        "tool": {"driver": {"name": "probes", "rules": [_make_rule(id, probes) for id in rules]}},
        "columnKind": "unicodeCodePoints",
        "properties": {"platform": make_printable(str(platform))},
        "results": results,
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1) + "\n"


def _make_rule(id: str, probes: Mapping[str, Probe]) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": make_printable(id)}
    if id in probes:
        probe = probes[id]
        rule["shortDescription"] = {"text": make_printable(probe.question)}
        rule["fullDescription"] = {"text": make_printable(probe.matters)}
        rule["help"] = {"text": make_printable(f"{probe.advice} See {probe.reference}")}
    else:
        rule["shortDescription"] = {"text": make_printable(id)}
    return rule


def _make_fingerprint(title: str, platform: Platform) -> str:
    kind = (platform.system, platform.libc, platform.machine, str(platform.pointer_bits))
    told = "\0".join((title, *kind)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(told).hexdigest()
