"""What a device tells its person's other devices of what was read and chosen ([A-12])."""

from typing import Any, Optional

from . import cbor, mark, sealed
from .limits import LIMITS
from .refusal import Refused
from .shape import array, digest, need, number, octets, truth

_DRAWERS = 18
_STEP = 1024


def read(data: bytes) -> dict[str, Any]:
    """What is within: of another version nothing is known."""
    items = array(cbor.read(data), 1, (1 << 16) - 1)
    if number(items[0]) != 1:
        return {"asks": False, "talks": []}
    _, asks, general, flat = array(items, 4, 4)
    memo: dict[str, Any] = {"asks": truth(asks)} | _choice("general", general)
    need(len(array(flat, 0, LIMITS["MEMO_BYTES"])) % 3 == 0, "three items of each conversation")
    talks = [_talk(*flat[at : at + 3]) for at in range(0, len(flat), 3)]
    need(len({talk["conversation"] for talk in talks}) == len(talks), "a conversation twice")
    need(len(data) <= LIMITS["MEMO_BYTES"], "a memo that is too long")
    return memo | {"talks": talks}


def _talk(conversation: Any, position: Any, choice: Any) -> dict[str, Any]:
    written = cbor.write(position)
    return {"conversation": digest(conversation), "read": mark.write(mark.read(written))} | _choice("choice", choice)


def _choice(name: str, choice: Optional[Any]) -> dict[str, Any]:
    if choice is None:
        return {}
    at, tells = array(choice, 2, 2)
    return {name: {"at": number(at), "tells": truth(tells)}}


def open_box(seed: bytes, identity: bytes, data: bytes) -> dict[str, Any]:
    """What another device of the person has sealed."""
    if len(data) > LIMITS["NOTE_BYTES"]:
        raise Refused("too-big", "a memo over the bound of a note")
    drawer, salt, box = array(cbor.read(data), 3, 3)
    bound = cbor.write([identity, number(drawer, _DRAWERS)])
    plain = sealed.open_box(octets(salt, 16, 16), seed, "memo", bound, octets(box, 0, LIMITS["NOTE_BYTES"]))
    memo = plain.rstrip(b"\0")
    need(memo[-1:] == b"\1" and -len(memo) % _STEP == len(plain) - len(memo), "its padding")
    return read(memo[:-1]) | {"drawer": drawer}
