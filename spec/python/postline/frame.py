"""Frames on a stream: a length, a type, a body ([L-2], [L-14]).

    chunks ─▶ Reader ─▶ frames, as objects of `spec/vectors/README.md` with bytes for bytes

A shape is a function from the body's CBOR to the members of the object; what isn't of the shape is refused as malformed.
"""

from typing import Any, Callable

from . import cbor, talk, whisper
from .limits import LIMITS
from .refusal import Refused
from .shape import U32, address, array, code, digest, identifier, need, number, octets

Frame = dict[str, Any]

_HELLO, _FIRST_IGNORED = 1, 128


class Reader:
    """Takes a stream however it is cut; a fault shows as soon as the bytes that make it are there."""

    def __init__(self, ready: bool) -> None:
        self.frames: list[Frame] = []
        self.rest = b""
        self._bound = LIMITS["FRAME_BYTES" if ready else "HELLO_BYTES"]

    def take(self, chunk: bytes) -> None:
        """Takes the next bytes; what belongs to no whole frame yet stays in `rest`."""
        self.rest += chunk
        while len(self.rest) >= 4:
            length = int.from_bytes(self.rest[:4], "big")
            need(length > 0, "an empty frame")
            if length > self._bound:
                raise Refused("too-big", "a frame over its bound")
            if len(self.rest) == 4:
                return
            kind = self.rest[4]
            need(kind in _SHAPES or kind == _HELLO or kind >= _FIRST_IGNORED, "an unknown type")
            if len(self.rest) < 4 + length:
                return
            body, self.rest = self.rest[5 : 4 + length], self.rest[4 + length :]
            self.frames.append(_read(kind, body))


def make(frame: Frame) -> bytes:
    """A frame's bytes: length, type and body."""
    kind: int = frame["type"]
    if kind == _HELLO:
        body: bytes = frame["bytes"]
    else:
        need(kind in _SHAPES, "a type that is never sent")
        body = cbor.write(_body(kind, frame))
        _SHAPES[kind](cbor.read(body))
    if len(body) + 1 > LIMITS["HELLO_BYTES" if kind == _HELLO else "FRAME_BYTES"]:
        raise Refused("too-big", "a frame over its bound")
    return (len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body


def _read(kind: int, body: bytes) -> Frame:
    if kind >= _FIRST_IGNORED and kind not in _SHAPES:
        return {"type": kind}
    if kind == _HELLO:
        return {"type": kind, "bytes": body}
    return {"type": kind} | _SHAPES[kind](cbor.read(body))


def _body(kind: int, frame: Frame) -> Any:
    """The CBOR value of a frame's body."""
    if kind in talk.SHAPES:
        return talk.body(kind, frame)
    if kind == 29:
        return [frame["hash"], *([1, frame["code"]] if "code" in frame else [0, frame["far"]])]
    if kind == 33:
        return [frame["whose"], frame["theirs"], frame["hash"], frame.get("code")]
    if kind == whisper.TYPE:
        return whisper.body(frame)
    match kind:
        case 2:
            return frame["signature"]
        case 4:
            body = frame["body"] if "body" in frame else [frame["hash"], frame["length"]]
            return [frame["seq"], frame["id"], frame["from"], frame["to"], frame["submitted"], body]
        case 5:
            return frame["seq"]
        case 8 | 11:
            return [item for pair in frame["marks"] for item in pair]
        case 10:
            return [0, frame["ids"]] if "ids" in frame else [1, frame["hash"], frame["offset"]]
        case 13 | 14:
            return frame["number"]
        case 15:
            return frame["code"]
    return [frame[name] for name in _MEMBERS[kind]]


_MEMBERS = {
    3: ("next_nk", "generation", "last_seq", "window_items", "window_bytes", "largest"),
    6: ("seq", "code", "rcpts"),
    7: ("from", "to", "step", "bytes", "signature"),
    9: ("hash", "offset", "bytes"),
    28: ("theirs", "hash", "length"),
    30: ("asker", "whose", "hash", "length", "offset"),
    31: ("hash", "offset", "bytes"),
    32: ("whose", "theirs", "hash", "length"),
}


def _signature(value: Any) -> Frame:
    return {"signature": octets(value, 0, U32)}


def _ready(value: Any) -> Frame:
    next_nk, generation, last_seq, items, size, largest = array(value, 6, 6)
    return {
        "next_nk": digest(next_nk),
        "generation": number(generation),
        "last_seq": number(last_seq),
        "window_items": number(items, U32),
        "window_bytes": number(size),
        "largest": number(largest),
    }


def _carry(value: Any) -> Frame:
    seq, name, sender, to, submitted, body = array(value, 6, 6)
    to = [address(item) for item in array(to, 1, LIMITS["ENVELOPE_RECIPIENTS"])]
    need(len(set(to)) == len(to), "a recipient twice")
    frame = {
        "seq": number(seq),
        "id": identifier(name),
        "from": address(sender),
        "to": to,
        "submitted": number(submitted),
    }
    if isinstance(body, bytes):
        return frame | {"body": octets(body, 0, LIMITS["CARRY_INLINE_BYTES"])}
    name_of_body, length = array(body, 2, 2)
    need(number(length) > LIMITS["CARRY_INLINE_BYTES"], "a small body that is named instead of brought")
    return frame | {"hash": digest(name_of_body), "length": length}


def _ack(value: Any) -> Frame:
    return {"seq": number(value)}


def _refuse(value: Any) -> Frame:
    seq, why, rcpts = array(value, 3, 3)
    rcpts = [number(item, 256) for item in array(rcpts, 0, LIMITS["ENVELOPE_RECIPIENTS"])]
    need(all(a < b for a, b in zip(rcpts, rcpts[1:])), "indices that don't rise")
    return {"seq": number(seq), "code": code(why), "rcpts": rcpts}


def _trust(value: Any) -> Frame:
    sender, to, step, data, signature = array(value, 5, 5)
    return {
        "from": address(sender),
        "to": address(to),
        "step": number(step, 4),
        "bytes": octets(data, 0, U32),
        "signature": octets(signature, 0, U32),
    }


def _marks(value: Any) -> Frame:
    items = array(value, 0, 2 * LIMITS["MARK_IDS"])
    need(len(items) % 2 == 0, "an id without its mark")
    return {"marks": [[identifier(name), number(reached, 2)] for name, reached in zip(items[::2], items[1::2])]}


def _chunk(value: Any) -> Frame:
    whole, offset, data = array(value, 3, 3)
    return {"hash": digest(whole), "offset": number(offset), "bytes": octets(data, 0, LIMITS["CHUNK_BYTES"])}


def _keep(value: Any) -> Frame:
    theirs, whole, length = array(value, 3, 3)
    return {"theirs": address(theirs), "hash": digest(whole), "length": number(length)}


def _kept(value: Any) -> Frame:
    whole, kind, far = array(value, 3, 3)
    said = {"code": code(far)} if number(kind, 2) == 1 else {"far": number(far)}
    return {"hash": digest(whole)} | said


def _fetch(value: Any) -> Frame:
    asker, whose, whole, length, offset = array(value, 5, 5)
    file = {"hash": digest(whole), "length": number(length), "offset": number(offset)}
    return {"asker": address(asker), "whose": address(whose)} | file


def _piece(value: Any) -> Frame:
    whole, offset, data = array(value, 3, 3)
    return {"hash": digest(whole), "offset": number(offset), "bytes": octets(data, 0, LIMITS["FILE_PIECE_BYTES"])}


def _forget(value: Any) -> Frame:
    whose, theirs, whole, length = array(value, 4, 4)
    return {"whose": address(whose), "theirs": address(theirs), "hash": digest(whole), "length": number(length)}


def _forgotten(value: Any) -> Frame:
    whose, theirs, whole, why = array(value, 4, 4)
    said = {} if why is None else {"code": code(why)}
    return {"whose": address(whose), "theirs": address(theirs), "hash": digest(whole)} | said


def _ask(value: Any) -> Frame:
    items = array(value, 2, 3)
    if len(items) == 2:
        need(number(items[0]) == 0, "a question of another number")
        return {"ids": [identifier(name) for name in array(items[1], 0, LIMITS["MARK_IDS"])]}
    need(number(items[0]) == 1, "a question of another number")
    return {"hash": digest(items[1]), "offset": number(items[2])}


def _ping(value: Any) -> Frame:
    return {"number": number(value)}


def _bye(value: Any) -> Frame:
    return {"code": code(value)}


_SHAPES: dict[int, Callable[[Any], Frame]] = talk.SHAPES | {
    28: _keep,
    29: _kept,
    30: _fetch,
    31: _piece,
    32: _forget,
    33: _forgotten,
    2: _signature,
    3: _ready,
    4: _carry,
    5: _ack,
    6: _refuse,
    7: _trust,
    8: _marks,
    9: _chunk,
    10: _ask,
    11: _marks,
    13: _ping,
    14: _ping,
    15: _bye,
    whisper.TYPE: whisper.read,
}
