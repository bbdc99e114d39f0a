"""What people see of a conversation, of its events as a set ([R-1] to [R-17]): no event knows when it came.

    events ──by place──▶ first, edits, retract of each message ──▶ its state
                    └──▶ reactions, withdrawals by person       ──▶ its signs
                    ├──▶ what leads where                       ──▶ the bytes, the hash
                    └──▶ pins, policies by the last             ──▶ what more there is
"""

import hashlib
from typing import Any, NamedTuple, Optional, Union

from . import cbor, content, control, saying
from .limits import LIMITS
from .shape import need

_LABEL = b"postline/1 snapshot\0"
_SMALL = 4096


class Event(NamedTuple):
    """Something that was said: where, by whom, and about which place."""

    seq: int
    author: bytes
    about: Optional[int]
    data: bytes
    fields: dict[str, Any]
    id: bytes

    @property
    def kind(self) -> str:
        """What it is."""
        return str(content.kind(self.fields)["kind"])

    @property
    def fixed(self) -> tuple[Any, ...]:
        """All in it that no edit may change."""
        return tuple(self.fields.get(member) for member in ("topic", "expires", "in_reply_to"))


class Done(NamedTuple):
    """Something that was done to the conversation: where, by whom, and what."""

    seq: int
    author: bytes
    data: bytes
    act: dict[str, Any]


# A message: where it lies, and its id.
Target = tuple[int, bytes]


def event(conversation: bytes, seq: int, author: bytes, about: Optional[int], data: bytes) -> Event:
    """An event, of what its seal and its place tell."""
    need(seq > 0, "place 0")
    called = content.name(data, saying.person(author), saying.room(conversation))
    return Event(seq, author, about, data, content.read(data), called)


def done(seq: int, author: bytes, data: bytes) -> Done:
    """A control, of what its seal and its place tell."""
    need(seq > 0, "place 0")
    return Done(seq, author, data, control.read(data))


def make(conversation: bytes, first: int, events: list[Union[Event, Done]]) -> dict[str, Any]:
    """The hash, the number of messages, and the bytes where they are few."""
    need(len({one.seq for one in events}) == len({(one.seq, one.data) for one in events}), "two events at one place")
    log = {one.seq: one for one in events if isinstance(one, Event)}
    acts = {one.seq: one for one in events if isinstance(one, Done)}
    pins = _pins(list(acts.values()))
    written = [_message(log, one, first, pins) for one in (log[seq] for seq in sorted(log)) if _is_shown(one, first)]
    policy = max([(min(one.seq, one.act.get("set", one.seq)), one.act["policy"]) for one in acts.values() if "policy" in one.act], default=(0, 1))[1]
    tail = [len(written), {} if policy == 1 else {"policy": policy}]
    data = cbor.write([1, conversation, first]) + b"".join(written) + cbor.write(tail)
    made: dict[str, Any] = {"hash": hashlib.sha256(_LABEL + data).digest(), "messages": len(written)}
    return made | {"snapshot": data} if len(data) <= _SMALL else made


def _is_shown(one: Event, first: int) -> bool:
    return one.kind == "message" and one.seq >= first


def _pins(acts: list[Done]) -> dict[Target, Done]:
    """What was said last of the pin of each message; of those of which something was said last."""
    last: dict[Target, Done] = {}
    for one in sorted(acts, key=lambda one: one.seq):
        if one.act["act"] in ("pin", "unpin"):
            last[one.act["place"], one.act["message"]] = one
    newest = sorted(last, key=lambda target: last[target].seq)[-LIMITS["PINS_KNOWN"] :]
    return {target: last[target] for target in newest}


def _message(log: dict[int, Event], one: Event, first: int, pins: dict[Target, Done]) -> bytes:
    versions = _versions(log, one)
    state: list[Any] = [1]
    leads: Optional[int] = None
    if versions:
        named = [[0 if version is one else _number(version), version.id] for version in versions]
        state = [0, named, versions[-1].data]
        leads = _answered(log, one, first)
    signs = [[person, shown] for person, shown in sorted(_signs(log, (one.seq, one.id)).items()) if shown]
    pin = pins.get((one.seq, one.id))
    pinned = pin is not None and pin.act["act"] == "pin" and pin.seq > one.seq and bool(versions)
    more = {"pin": [pin.seq, pin.author]} if pin is not None and pinned else {}
    return cbor.write([one.seq, one.id, one.author, state, leads, signs, more])


def _versions(log: dict[int, Event], first: Event) -> list[Event]:
    """The versions that count, the first one first; none where it is taken back."""
    said = [one for one in log.values() if one.about == first.seq < one.seq and one.author == first.author]
    said = [one for one in said if one.fields.get("replaces") == first.id]
    if any(one.kind == "retract" for one in said):
        return []
    # Said at two places, the lower one counts.
    edits: dict[tuple[int, bytes], Event] = {}
    for one in sorted((one for one in said if one.kind == "edit"), key=lambda one: -one.seq):
        if _number(one) <= LIMITS["EDIT_NO"]:
            edits[_number(one), one.id] = one
    kept = [edits[key] for key in sorted(edits)[-LIMITS["EDITS"] :]]
    counts = [one for one in kept if one.fixed == first.fixed and one.seq - first.seq <= LIMITS["EDIT_SPAN"]]
    return [first, *counts]


def _number(edit: Event) -> int:
    return int(edit.fields.get("edit_no", 1))


def _lead(log: dict[int, Event], one: Event, version: bytes) -> Optional[Target]:
    """The message of a version that something names."""
    at = log.get(one.about) if one.about is not None and one.about < one.seq else None
    if at is None or at.id != version:
        return None
    if at.kind == "message":
        return at.seq, at.id
    if at.kind == "edit" and at.about is not None and at.about < at.seq:
        return at.about, at.fields["replaces"]
    return None


def _answered(log: dict[int, Event], one: Event, first: int) -> Optional[int]:
    version = one.fields.get("in_reply_to")
    target = None if version is None else _lead(log, one, version)
    here = None if target is None else log.get(target[0])
    if target is None or here is None or here.id != target[1] or not _is_shown(here, first):
        return None
    return target[0]


def _signs(log: dict[int, Event], target: Target) -> dict[bytes, list[str]]:
    """Who shows which signs at a message."""
    reactions: dict[bytes, dict[bytes, tuple[int, list[str]]]] = {}
    withdrawn: dict[bytes, dict[bytes, int]] = {}
    for one in log.values():
        if one.kind not in ("reaction", "withdrawal") or _lead(log, one, one.fields["in_reply_to"]) != target:
            continue
        of, gone = reactions.setdefault(one.author, {}), withdrawn.setdefault(one.author, {})
        if "replaces" in one.fields:
            replaced = one.fields["replaces"]
            gone[replaced] = max(one.seq, gone.get(replaced, 0))
        signs = content.kind(one.fields).get("signs", [])
        if signs:
            of[one.id] = (max(one.seq, of.get(one.id, (0, signs))[0]), signs)
    people = sorted(reactions)[: LIMITS["REACTORS"]]
    return {person: _shown(reactions[person], withdrawn[person]) for person in people}


def _shown(reactions: dict[bytes, tuple[int, list[str]]], withdrawn: dict[bytes, int]) -> list[str]:
    newest = sorted((seq, of) for of, (seq, _) in reactions.items())[-LIMITS["REACTIONS"] :]
    gone = {of for _, of in sorted((seq, of) for of, seq in withdrawn.items())[-LIMITS["WITHDRAWALS"] :]}
    shown = {sign for _, of in newest if of not in gone for sign in reactions[of][1]}
    return sorted(shown, key=lambda sign: sign.encode("utf-8"))
