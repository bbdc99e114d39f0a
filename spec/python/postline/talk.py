"""Frames about sealed conversations and the keys that they take: types 16 to 27 ([H-1], [U-1]).

    body's CBOR ─▶ SHAPES[type] ─▶ members of the object ─▶ body(type, …) ─▶ CBOR
"""

from typing import Any, Callable

from . import log
from .limits import LIMITS
from .shape import (
    U64,
    address,
    array,
    code,
    digest,
    maybe,
    need,
    number,
    octets,
    present,
    text,
    truth,
)

Frame = dict[str, Any]

_LIST, _PROOF, _PACKAGES, _NOTE, _BLOCK = 0, 1, 2, 3, 4
_LISTS, _RANGE, _SENT, _NOTHING = 0, 2, 2, 3
_KINDS = 3


def _bounded(name: str) -> Callable[[Any], bytes]:
    return lambda value: octets(value, 0, LIMITS[name])


def _many(value: Any, most: str, each: Callable[[Any], Any]) -> list[Any]:
    return [each(item) for item in array(value, 0, LIMITS[most])]


def _tag(value: Any) -> bytes:
    return octets(value, 8, 8)


def _members(value: Any) -> list[str]:
    """Addresses in the order of their local parts, then of their domains."""
    members = _many(value, "MEMBERS", address)
    keys = [tuple(part.encode("utf-8") for part in member.rpartition("@")[::2]) for member in members]
    need(all(a < b for a, b in zip(keys, keys[1:])), "members out of order, or one twice")
    return members


def _post(value: Any) -> Frame:
    talk, device, given, kind, epoch, members, data = array(value, 7, 7)
    return {
        "conversation": digest(talk),
        "device": _tag(device),
        "number": number(given),
        "kind": number(kind, _KINDS),
        "epoch": number(epoch),
        "members": _members(members),
        "bytes": _bounded("EVENT_BYTES")(data),
    }


def _unposted(value: Any) -> Frame:
    talk, device, given, why = array(value, 4, 4)
    return {"conversation": digest(talk), "device": _tag(device), "number": number(given), "code": code(why)}


def _event(value: Any) -> Frame:
    talk, term, seq, kind, epoch, origin, members, data = array(value, 8, 8)
    device, given = (None, None) if origin is None else array(origin, 2, 2)
    if origin is not None:
        device, given = _tag(device), number(given)
    return present(
        conversation=digest(talk),
        term=number(term),
        seq=number(seq),
        kind=number(kind, _KINDS),
        epoch=number(epoch),
        device=device,
        number=given,
        members=_members(members),
        bytes=maybe(data, _bounded("EVENT_BYTES")),
    )


def _have(value: Any) -> Frame:
    talk, seq = array(value, 2, 2)
    return {"conversation": digest(talk), "seq": number(seq)}


def _heads(value: Any) -> Frame:
    leaves, heads, signature = array(value, 3, 3)
    said = _many(leaves, "HEADS", lambda item: maybe(item, digest))
    heads = [_head(item, len(said)) for item in array(heads, 0, len(said))]
    leaves = list(said)
    for head in heads:
        place, computed = head["place"], log.leaf(head)
        need(leaves[place] != computed, "a leaf that should have been left out")
        leaves[place] = computed if leaves[place] is None else leaves[place]
    need(None not in leaves, "a leaf that isn't there, nor its head")
    return {"leaves": leaves, "heads": heads, "signature": octets(signature, 0, 64)}


def _head(value: Any, leaves: int) -> Frame:
    place, talk, term, seq, chain = array(value, 5, 5)
    return {
        "place": number(place, leaves),
        "conversation": digest(talk),
        "term": number(term),
        "seq": number(seq),
        "hash": digest(chain),
    }


def _delivered(value: Any) -> Frame:
    talk, member, seq = array(value, 3, 3)
    return {"conversation": digest(talk), "member": address(member), "seq": number(seq)}


def _publish(value: Any) -> Frame:
    given, kind, *rest = array(value, 3, 4)
    said: Frame = {"number": number(given)}
    kind = number(kind, 5)
    if kind == _LIST:
        (item,) = array(rest, 1, 1)
        return said | {"list": _bounded("LIST_BYTES")(item)}
    first, second = array(rest, 2, 2)
    if kind == _PROOF:
        return said | {"theirs": address(first), "proof": _bounded("LIST_BYTES")(second)}
    if kind == _PACKAGES:
        packages = _many(first, "PACKAGES", _bounded("PACKAGE_BYTES"))
        return said | present(packages=packages, last_resort=maybe(second, _bounded("PACKAGE_BYTES")))
    if kind == _BLOCK:
        return said | {"theirs": address(first), "blocked": truth(second)}
    return said | present(device=maybe(first, digest), note=_bounded("NOTE_BYTES")(second))


def _published(value: Any) -> Frame:
    given, why = array(value, 2, 2)
    return present(number=number(given), code=maybe(why, code))


def _ask(value: Any) -> Frame:
    given, kind, first, second, third = array(value, 5, 5)
    said: Frame = {"number": number(given)}
    kind = number(kind, 3)
    if kind == _RANGE:
        return said | {"conversation": digest(first), "first": number(second), "last": number(third)}
    said |= {"asker": address(first), "whose": address(second)}
    return said | ({"after": number(third)} if kind == _LISTS else {"only": _many(third, "DEVICES", digest)})


def _answer(value: Any) -> Frame:
    given, kind, *rest = array(value, 2, 3)
    said: Frame = {"number": number(given)}
    kind = number(kind, 4)
    if kind == _SENT:
        array(rest, 0, 0)
        return said
    (item,) = array(rest, 1, 1)
    if kind == _NOTHING:
        return said | {"code": code(item)}
    if kind == _LISTS:
        return said | {"lists": _many(item, "LISTS_PER_ANSWER", _bounded("LIST_BYTES"))}
    return said | {"packages": _many(item, "DEVICES", _bounded("PACKAGE_BYTES"))}


def _line(value: Any) -> Frame:
    theirs, t2, offered, nk, proof, newest = array(value, 6, 6)
    return present(
        theirs=address(theirs),
        t2=maybe(t2, digest),
        offered=truth(offered),
        nk=digest(nk),
        proof=maybe(proof, _bounded("LIST_BYTES")),
        newest=number(newest, U64),
    )


def _login(value: Any) -> Frame:
    user, password = array(value, 2, 2)
    return {"user": text(user, LIMITS["LOGIN_BYTES"]), "password": text(password, LIMITS["PASSWORD_BYTES"])}


SHAPES: dict[int, Callable[[Any], Frame]] = {
    16: _post,
    17: _unposted,
    18: _event,
    19: _have,
    20: _heads,
    21: _delivered,
    22: _publish,
    23: _published,
    24: _ask,
    25: _answer,
    26: _line,
    27: _login,
}

_MEMBERS = {
    16: ("conversation", "device", "number", "kind", "epoch", "members", "bytes"),
    17: ("conversation", "device", "number", "code"),
    19: ("conversation", "seq"),
    21: ("conversation", "member", "seq"),
    23: ("number", "code"),
    26: ("theirs", "t2", "offered", "nk", "proof", "newest"),
    27: ("user", "password"),
}


def body(kind: int, frame: Frame) -> Any:
    """The CBOR value of the body of a frame of the types 16 to 27."""
    if kind in _MEMBERS:
        return [frame.get(name) for name in _MEMBERS[kind]]
    if kind == 18:
        origin = [frame["device"], frame["number"]] if "device" in frame else None
        said = [frame[name] for name in ("conversation", "term", "seq", "kind", "epoch")]
        return [*said, origin, frame["members"], frame.get("bytes")]
    if kind == 20:
        names = ("place", "conversation", "term", "seq", "hash")
        heads = [[head[name] for name in names] for head in frame["heads"]]
        first = {head["place"]: log.leaf(head) for head in reversed(frame["heads"])}
        leaves = [None if first.get(place) == leaf else leaf for place, leaf in enumerate(frame["leaves"])]
        return [leaves, heads, frame["signature"]]
    return [frame["number"], *{22: _publication, 24: _question, 25: _finding}[kind](frame)]


def _publication(frame: Frame) -> list[Any]:
    if "list" in frame:
        return [_LIST, frame["list"]]
    if "proof" in frame:
        return [_PROOF, frame["theirs"], frame["proof"]]
    if "packages" in frame:
        return [_PACKAGES, frame["packages"], frame.get("last_resort")]
    if "blocked" in frame:
        return [_BLOCK, frame["theirs"], frame["blocked"]]
    return [_NOTE, frame.get("device"), frame["note"]]


def _question(frame: Frame) -> list[Any]:
    if "after" in frame:
        return [0, frame["asker"], frame["whose"], frame["after"]]
    if "only" in frame:
        return [1, frame["asker"], frame["whose"], frame["only"]]
    return [_RANGE, frame["conversation"], frame["first"], frame["last"]]


def _finding(frame: Frame) -> list[Any]:
    if "code" in frame:
        return [_NOTHING, frame["code"]]
    if "lists" in frame:
        return [0, frame["lists"]]
    return [1, frame["packages"]] if "packages" in frame else [_SENT]
