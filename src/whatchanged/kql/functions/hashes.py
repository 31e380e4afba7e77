"""Hashes. Those whose algorithm the manual does not say (`hash_combine`, `hash_many`) are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whatchanged.kql.errors import KqlUnsupported
from whatchanged.kql.functions.moments import FIRST, ticks
from whatchanged.kql.functions.signature import Bound, Entry, scalar, special

if TYPE_CHECKING:
    from whatchanged.kql.binder.expressions import Expressions
    from whatchanged.kql.plan import Scalar
    from whatchanged.kql.syntax import tree

__all__ = ["FUNCTIONS"]

# xxHash64 of the bytes of a text, or of the 64 bits of a value: so are the manual's figures (page hash-function).
_BYTES = {
    "string": "{0}",
    "long": "reinterpret({0}, 'FixedString(8)')",
    "real": "reinterpret({0}, 'FixedString(8)')",
    "timespan": "reinterpret({0}, 'FixedString(8)')",
    "datetime": f"reinterpret(toInt64({ticks('{0}')} - ({FIRST})), 'FixedString(8)')",
}


def _hash(name: str, type_: str) -> Entry:
    whole = f"xxHash64({_BYTES[type_]})"
    signed = f"reinterpret({whole}, 'Int64')"
    return scalar(
        f"{name}({type_}, long?) long",
        lambda count: signed if count == 1 else f"toInt64(if({{1}} > 0, {whole} % toUInt64({{1}}), NULL))",
        null=True,
    )


def _refused(why: str) -> Bound:
    def bind(binder: Expressions, call: tree.Call) -> Scalar:
        raise KqlUnsupported(f"{call.name}() is not answered: {why}", call.span)

    return bind


FUNCTIONS: tuple[Entry, ...] = (
    *(_hash(name, type_) for name in ("hash", "hash_xxhash64") for type_ in _BYTES),
    scalar("hash_md5(text) string", "lower(hex(MD5({0})))"),
    scalar("hash_sha1(text) string", "lower(hex(SHA1({0})))"),
    scalar("hash_sha256(text) string", "lower(hex(SHA256({0})))"),
    special("hash_combine", "hash_many")(_refused("its algorithm is not documented; use hash_sha256(strcat(…))")),
)
