"""Offers, accepts and ids: the three fields that mails bring ([F-3], [T-2], [T-3]).

    body ─▶ tags ─▶ one spelling each ─▶ signature over [label, 1, From, To ∪ Cc, tags but b] ─▶ times

That is the order of the checks, and the first that fails is what is said.
"""

import hashlib
from typing import Any, NamedTuple, Optional

from . import cbor, ed25519, field, signed
from .dial import read_hint
from .limits import LIMITS
from .refusal import Refused

_DAY_MS = 86_400_000
_LAST_MS = (1 << 64) - 1


class Kind(NamedTuple):
    """What one of the three fields is called and must hold, `v`, `nk`, `t` and `b` aside."""

    label: str
    name: str
    octets: dict[str, int]
    numbers: tuple[str, ...]
    optional: bool


OFFER = Kind("offer", "Postline-Offer", {"n": 16}, ("x",), True)
ACCEPT = Kind("accept", "Postline-Accept", {"n": 16, "re": 32}, (), True)
ID = Kind("id", "Postline-Id", {"id": 16, "bh": 32}, (), False)
KINDS = {kind.label: kind for kind in (OFFER, ACCEPT, ID)}


class Made(NamedTuple):
    """A field that was made: its canonical bytes, the signature over them, and how it is written."""

    canonical: bytes
    b: bytes
    line: str


def make(kind: Kind, seed: bytes, sender: str, to_cc: list[str], values: dict[str, Any]) -> Made:
    """The field of these values: bytes, numbers and texts by the names of their tags."""
    tags = {"v": "1", "nk": field.spell(ed25519.public_key(seed))}
    for tag, value in values.items():
        tags[tag] = field.spell(value) if isinstance(value, bytes) else str(value)
    _values(kind, tags | {"b": field.spell(bytes(64))})
    canonical = canonical_bytes(kind, sender, to_cc, tags)
    b = signed.sign(seed, kind.label, canonical)
    return Made(canonical, b, field.write(kind.name, tags | {"b": field.spell(b)}))


def verify(kind: Kind, sender: str, to_cc: list[str], body: str, now: Optional[int]) -> dict[str, Any]:
    """The values of a field by the names of their tags, and what follows from them: `t0` or `t1`, and an offer's `expires`."""
    tags = field.read(body)
    values = _values(kind, tags)
    canonical = canonical_bytes(kind, sender, to_cc, tags)
    b = values.pop("b")
    signed.verify(values["nk"], kind.label, canonical, b)
    if kind is OFFER:
        end = 1000 * values["t"] + _DAY_MS * min(values.pop("x"), LIMITS["OFFER_TTL_DAYS_MAX"])
        values["expires"] = min(end, _LAST_MS)
        values["t0"] = t0(canonical, b)
    if kind is ACCEPT:
        values["t1"] = t1(values["re"], canonical, b)
    if now is not None and kind is not ID:
        _judge_times(values["t"], values.get("expires"), now)
    return values


def canonical_bytes(kind: Kind, sender: str, to_cc: list[str], tags: field.Tags) -> bytes:
    """`field` of [F-3]."""
    addresses = [text.decode("utf-8") for text in sorted({address.encode("utf-8") for address in to_cc})]
    return cbor.write([kind.label, 1, sender, addresses, {tag: text for tag, text in tags.items() if tag != "b"}])


def t0(offer: bytes, b: bytes) -> bytes:
    """H(offer's signed bytes ‖ b)."""
    return hashlib.sha256(offer + b).digest()


def t1(offers_t0: bytes, accept: bytes, b: bytes) -> bytes:
    """H(T0 ‖ accept's signed bytes ‖ b)."""
    return hashlib.sha256(offers_t0 + accept + b).digest()


def _values(kind: Kind, tags: field.Tags) -> dict[str, Any]:
    octets = {"nk": 32, "b": 64} | kind.octets
    for tag in ("v", "t", *octets, *kind.numbers):
        if tag not in tags:
            raise Refused("field", f"no {tag}=")
    if tags["v"] != "1":
        raise Refused("field", "another version")
    values: dict[str, Any] = {tag: field.octets(tags[tag], size) for tag, size in octets.items()}
    values |= {tag: field.number(tags[tag]) for tag in ("t", *kind.numbers)}
    for tag in ("ak", "nx"):
        if kind.optional and tag in tags:
            values[tag] = field.octets(tags[tag], 32)
    if kind.optional and "h" in tags:
        try:
            read_hint(tags["h"], "")
        except Refused as fault:
            raise Refused("field", fault.why) from fault
        values["h"] = tags["h"]
    return values


def _judge_times(t: int, expires: Optional[int], now: int) -> None:
    if min(1000 * t, _LAST_MS) > now + LIMITS["CLOCK_SKEW_MS"]:
        raise Refused("future", "made too far in the future")
    if expires is not None and now > expires:
        raise Refused("expired", "first seen after its end")
