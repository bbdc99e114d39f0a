"""What is done to a conversation: pins, removals, how reading is told ([V-1] to [V-8])."""

from typing import Any, Iterable

from . import cbor
from .limits import LIMITS
from .refusal import Refused
from .shape import array, need, number, octets

_ACTS = ("pin", "unpin", "remove")
_POLICIES = 3
_OPTIONAL = 1
# The id of a message's first version, and its place.
Target = tuple[bytes, int]


def read(data: bytes) -> dict[str, Any]:
    """A control, of its bytes."""
    items = array(cbor.read(data), 3, 3)
    act = number(items[0])
    if act == len(_ACTS):
        control: dict[str, Any] = {"act": "policy", "policy": number(items[1], _POLICIES)}
        if items[2] is not None:
            control["set"] = _place(items[2])
    else:
        need(act < len(_ACTS), "an act of later days")
        control = {"act": _ACTS[act], "message": octets(items[1], 32, 32), "place": _place(items[2])}
    if cbor.write(items) != data:
        raise Refused("malformed", "a control in another form")
    return control


def _place(item: Any) -> int:
    place = number(item)
    need(place > 0, "a place before the first")
    return place


def join(controls: Iterable[tuple[int, bytes]], here: Iterable[Target]) -> dict[str, Any]:
    """What is pinned, and how reading is told, in a conversation of two."""
    last: dict[Target, tuple[int, bool]] = {}
    policy = (0, _OPTIONAL)
    for seq, data in controls:
        control = read(data)
        if control["act"] == "policy":
            policy = max(policy, (min(seq, control.get("set", seq)), control["policy"]))
        elif control["act"] != "remove":
            target = (control["message"], control["place"])
            last[target] = max(last.get(target, (0, False)), (seq, control["act"] == "pin"))
    newest = sorted(last, key=lambda target: last[target][0])[-LIMITS["PINS_KNOWN"] :]
    shown = set(here)
    stands = [target for target in newest if last[target][1] and target in shown and target[1] < last[target][0]]
    return {"pinned": [place for _, place in stands[: LIMITS["PINS"]]], "policy": policy[1]}
