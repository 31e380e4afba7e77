"""Paragraphs of `Field: value` lines, as Debian's package database writes them (deb822(5)). Pure.

Bytes that are no UTF-8 become U+FFFD: old maintainers' names must not hide a package.
"""

from __future__ import annotations

from collections.abc import Iterator

from whatchanged.collectors.software.package_facts import PackageDatabaseError

__all__ = ["paragraphs"]


def paragraphs(raw: bytes, wanted: frozenset[bytes], *, strict: bool = False) -> Iterator[dict[bytes, str]]:
    """Yield the `wanted` fields (lower case) of each paragraph that has any field; the first of a twin counts.

    Of a value over several lines the first line is kept: the fields wanted here have no more to say. `strict`
    raises PackageDatabaseError where dpkg itself would refuse the text (lib/dpkg/parse.c); else such lines are
    left out.
    """
    if strict and b"\0" in raw:
        raise PackageDatabaseError("it holds NUL bytes")
    if strict and raw and not raw.endswith(b"\n"):
        raise PackageDatabaseError("it ends in the middle of a line")
    fields: dict[bytes, str] = {}
    any_field = False
    for line in raw.split(b"\n"):
        if not line.strip():
            if any_field:
                yield fields
                fields, any_field = {}, False
            continue
        if line[:1] in b" \t#":
            continue
        name, colon, value = line.partition(b":")
        if not colon:
            if strict:
                raise PackageDatabaseError(f"a line without a field: {line[:80]!r}")
            continue
        any_field = True
        key = name.strip().lower()
        if key in wanted and key not in fields:
            fields[key] = value.strip().decode(errors="replace")
    if any_field:
        yield fields
