"""What the control plane knows of a rule's document: its text, what is wrong with it, and what it collects."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec

from whatchanged import rules
from whatchanged.errors import RuleError
from whatchanged.server.control.refusals import bad_request

__all__ = ["Reading", "read", "reread"]


class Reading(msgspec.Struct, frozen=True):
    """One rule, read."""

    text: str
    description: str
    problems: list[dict[str, str]]
    """Place (JSON path), message and severity of each."""
    sources: list[dict[str, Any]]
    """Its change tracking data sources: what each collects, and the JSON path of its settings."""
    intakes: tuple[rules.Intake, ...]

    @property
    def extensions(self) -> frozenset[str]:
        """The extensions that it has settings for."""
        return frozenset(source["extensionName"] for source in self.sources)


def read(document: bytes) -> Reading:
    """Read a document; raises RuleError if nothing in it can be read, and refuses more than one rule."""
    found = rules.read(document)
    if len(found) > 1:
        raise bad_request(f"the document holds {len(found)} rules; put each under its own name", "properties")
    text = document.decode("utf-8-sig")
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The reader of rules is more lenient (1e999, halves of surrogates); what is kept must come out again.
        raise RuleError(f"is no JSON: {error}") from error
    (rule,) = found
    problems = [
        {"place": problem.place, "message": problem.message, "severity": str(problem.severity)}
        for problem in rule.problems
    ]
    return Reading(
        text, _description(rule.document), problems, [_source(source) for source in rule.sources], rule.intakes
    )


@functools.lru_cache(maxsize=256)
def reread(text: str) -> Reading:
    """Read what is kept already."""
    return read(text.encode())


def _description(resource: Mapping[str, Any]) -> str:
    properties = resource.get("properties", resource)
    found = properties.get("description") if isinstance(properties, Mapping) else None
    return found if isinstance(found, str) else ""


def _source(source: rules.DataSource) -> dict[str, Any]:
    settings = source.settings
    return {
        "name": source.name,
        "extensionName": source.extension_name,
        "place": source.place,
        "files": sum(item.enabled for item in settings.files) if settings.enable_files else 0,
        "registry": sum(item.enabled for item in settings.registry) if settings.enable_registry else 0,
        "software": settings.enable_software,
        "services": settings.enable_services,
        "inventory": settings.enable_inventory,
    }
