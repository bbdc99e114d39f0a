"""Contents ([M-1] to [M-10]): the one form of what people say, its parts, its extensions, its id.

    read ──▶ fields ──▶ make        the same bytes, or a refusal
               └─▶ kind, chosen     what it is to its reader

Values of extensions may be any deterministic CBOR, which `cbor` doesn't know: `_Items` reads heads by itself, and passes over
such a value without making anything of it.
"""

import hashlib
import struct
from typing import Any, Callable, NamedTuple, Optional

from . import cbor
from .limits import LIMITS
from .refusal import Refused
from .shape import U32, U64, array, digest, need, number, octets, text, truth

Fields = dict[str, Any]

_KEY = (1 << 53) - 1
_OURS = {1: "sender", 2: "room", "postline/prev": "prev", "postline/seen": "seen", "postline/edit_no": "edit_no"}
_REPORT = "application/mimi-message-status"


def read(data: bytes) -> Fields:
    """The fields of a content."""
    if len(data) > LIMITS["CONTENT_BYTES"]:
        raise Refused("too-big", "a content")
    items = _Items(data)
    need(items.head(4) == 7, "not seven items")
    salt, replaces, topic, expires, reply = (items.value() for _ in range(5))
    fields: Fields = {"salt": octets(salt, 16, 16), "topic": octets(topic, 0, LIMITS["TOPIC_BYTES"])}
    if replaces is not None:
        fields["replaces"] = message_id(replaces)
    if expires is not None:
        after_reading, seconds = array(expires, 2, 2)
        fields["expires"] = {"after_reading": truth(after_reading), "seconds": number(seconds, U32)}
    if reply is not None:
        fields["in_reply_to"] = message_id(reply)
    fields |= _read_extensions(items)
    fields["body"] = _read_part(items.value())
    need(_count(fields["body"]) <= LIMITS["CONTENT_PARTS"], "too many parts")
    need(items.at == len(data), "bytes behind the end")
    need("edit_no" not in fields or "replaces" in fields, "the number of an edit that replaces nothing")
    return fields


def make(fields: Fields) -> bytes:
    """The bytes of a content."""
    expires = fields.get("expires")
    made = [
        fields["salt"],
        fields.get("replaces"),
        fields["topic"],
        [expires["after_reading"], expires["seconds"]] if expires else None,
        fields.get("in_reply_to"),
    ]
    # The encoding of a map, but that its values are written already.
    pairs = [(_write_name(name), cbor.write(fields[member])) for name, member in _OURS.items() if fields.get(member)]
    pairs += [(_write_name(name), value) for name, value in fields["others"]]
    extensions = cbor.write(dict.fromkeys(range(len(pairs))))[: 1 if len(pairs) < 24 else 2]
    extensions += b"".join(name + value for name, value in sorted(pairs))
    return b"\x87" + cbor.write(made)[1:] + extensions + cbor.write(_part(fields["body"]))


def message_id(value: Any) -> bytes:
    """An id of a content: 32 bytes, the first of which says SHA-256."""
    need(digest(value)[0] == 1, "an id by another hash")
    return digest(value)


def name(data: bytes, sender: str, room: str) -> bytes:
    """The id of a content, by who said it where."""
    fields = read(data)
    for member, came in (("sender", sender), ("room", room)):
        need(fields.get(member, came) == came, f"another {member}")
    uris = b"".join(len(uri.encode()).to_bytes(2, "big") + uri.encode() for uri in (sender, room))
    return b"\x01" + hashlib.sha256(uris + data + fields["salt"]).digest()[:31]


def kind(fields: Fields) -> Fields:
    """What a content is, with its signs where it is a reaction."""
    body = fields["body"]
    if _is_nothing(body):
        taken_back = "withdrawal" if body["disposition"] == 2 and "in_reply_to" in fields else "retract"
        return {"kind": taken_back if "replaces" in fields else "nothing"}
    if body["disposition"] == 2 and "in_reply_to" in fields:
        return {"kind": "reaction", "signs": _signs(body)}
    if "media" in body and _essence(body["media"]) == _REPORT:
        return {"kind": "report"}
    return {"kind": "edit" if "replaces" in fields else "message"}


def chosen(fields: Fields, media: list[str]) -> list[int]:
    """The indexes of the parts that a reader of these media types shows."""
    indexes = {id(part): at for at, part in enumerate(_walk(fields["body"]))}
    return [indexes[id(part)] for part in _choose(fields["body"], media)[0]]


def kept(fields: Fields) -> list[Fields]:
    """What is kept elsewhere, each with its preview where it has one."""
    found: list[Fields] = []

    def look(part: Fields, behind: Fields | None) -> None:
        if "external" in part:
            preview = behind and _preview(behind)
            found.append({"url": part["external"]["url"]} | ({"preview": preview} if preview else {}))
        inner = part.get("parts", [])
        for one, after in zip(inner, inner[1:] + [None]):
            look(one, after if part["semantics"] == 2 else None)

    look(fields["body"], None)
    return found


_PICTURES: dict[str, Callable[[bytes], bool]] = {
    "image/png": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "image/jpeg": lambda data: data.startswith(b"\xff\xd8\xff"),
    "image/webp": lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
}


def _preview(part: Fields) -> Fields | None:
    """The preview that a part is, if it is one."""
    media, data = _essence(part.get("media", "")), part.get("content", b"")
    fits = part["disposition"] == 8 and len(data) <= LIMITS["PREVIEW_BYTES"]
    return {"media": media, "bytes": data} if fits and media in _PICTURES and _PICTURES[media](data) else None


def _essence(media: str) -> str:
    essence = media.split(";")[0].strip(" \t")
    return "".join(c.lower() if c.isascii() else c for c in essence)


def _is_nothing(part: Fields) -> bool:
    return not {"media", "external", "parts"} & part.keys()


def _walk(part: Fields) -> list[Fields]:
    return [part] + [inner for one in part.get("parts", []) for inner in _walk(one)]


def _count(part: Fields) -> int:
    return len(_walk(part))


def _signs(body: Fields) -> list[str]:
    signs: list[str] = []
    for part in _walk(body):
        if part["disposition"] != 2 or _essence(part.get("media", "")) not in ("text/plain", "text/markdown"):
            continue
        try:
            words = part["content"].decode("utf-8")
        except UnicodeDecodeError:
            continue
        if 0 < len(part["content"]) <= LIMITS["SIGN_BYTES"] and words not in signs:
            signs.append(words)
    return signs[: LIMITS["SIGNS"]]


def _choose(part: Fields, media: list[str]) -> tuple[list[Fields], bool]:
    """What is shown of a part, and whether it is understood."""
    if "parts" not in part:
        of = part.get("media", part.get("external", {}).get("media"))
        return ([part], True) if of in media else ([], _is_nothing(part))
    each = [_choose(one, media) for one in part["parts"]]
    if part["semantics"] == 0:
        return next((one for one in each if one[1]), ([], False))
    if part["semantics"] == 1 and not all(understood for _, understood in each):
        return [], False
    shown = [inner for parts, _ in each for inner in parts]
    return shown, any(understood for _, understood in each)


def _read_part(value: Any, level: int = 1) -> Fields:
    need(level <= LIMITS["CONTENT_LEVELS"], "parts too deep in one another")
    items = array(value, 3, 15)
    part: Fields = {"disposition": number(items[0], 256), "language": text(items[1], LIMITS["LANGUAGE_BYTES"])}
    match (number(items[2]), len(items)):
        case (0, 3):
            return part
        case (1, 5):
            media = text(items[3], LIMITS["MEDIA_TYPE_BYTES"])
            return part | {"media": media, "content": octets(items[4], 0, U64)}
        case (2, 15):
            return part | {"external": _read_external(items[3:])}
        case (3, 5):
            inner = [_read_part(one, level + 1) for one in array(items[4], 2, LIMITS["CONTENT_PARTS"])]
            return part | {"semantics": number(items[3], 3), "parts": inner}
    raise Refused("malformed", "no part")


def _part(part: Fields) -> list[Any]:
    head = [part["disposition"], part["language"]]
    if "media" in part:
        return head + [1, part["media"], part["content"]]
    if "external" in part:
        return head + [2] + [part["external"][member] for member in _EXTERNAL]
    if "parts" in part:
        return head + [3, part["semantics"], [_part(one) for one in part["parts"]]]
    return head + [0]


_EXTERNAL = "media url expires size aead key nonce aad hash_alg hash description filename".split()


def _read_external(items: list[Any]) -> Fields:
    shapes: list[Callable[[Any], Any]] = [
        lambda value: text(value, LIMITS["MEDIA_TYPE_BYTES"]),
        _uri,
        lambda value: number(value, U32),
        number,
        lambda value: number(value, 1 << 16),
        *[lambda value: octets(value, 0, LIMITS["PART_KEY_BYTES"])] * 2,
        lambda value: octets(value, 0, LIMITS["PART_AAD_BYTES"]),
        lambda value: number(value, 1 << 8),
        lambda value: octets(value, 0, LIMITS["PART_KEY_BYTES"]),
        lambda value: text(value, LIMITS["DESCRIPTION_BYTES"]),
        lambda value: text(value, LIMITS["CLAIMED_NAME_BYTES"]),
    ]
    external = {member: shape(item) for member, shape, item in zip(_EXTERNAL, shapes, items)}
    lengths = tuple(len(external[member]) for member in ("key", "nonce", "aad"))
    match external["aead"]:
        case 0:
            need(lengths == (0, 0, 0), "a key without an AEAD")
        case 1:
            need(lengths[:2] == (16, 12), "not the lengths of AES-128-GCM")
        case 29:
            need(lengths[:2] == (32, 12), "not the lengths of ChaCha20-Poly1305")
    hashed = len(external["hash"])
    need((hashed == 0) == (external["hash_alg"] == 0), "a hash and no algorithm, or the other way")
    need(external["hash_alg"] != 1 or hashed == 32, "not the length of SHA-256")
    return external


def _uri(value: Any) -> str:
    uri = text(value, LIMITS["URI_BYTES"])
    need(uri != "", "no URI")
    return uri


def _write_name(name: Any) -> bytes:
    if isinstance(name, int) and name < 0:
        first, *rest = cbor.write(-1 - name)
        return bytes([first | 0x20, *rest])
    return cbor.write(name)


def _read_extensions(items: "_Items") -> Fields:
    fields: Fields = {"seen": [], "others": []}
    last = b""
    for _ in range(items.head(5)):
        begin = items.at
        items.key()
        encoded = items.data[begin : items.at]
        need(encoded > last, "names out of order, or one twice")
        last = encoded
        begin = items.at
        items.skip(LIMITS["EXTENSION_LEVELS"] - 1)
        value, called = items.data[begin : items.at], _name(encoded)
        if called not in _OURS:
            fields["others"].append((called, value))
            continue
        member, said = _OURS[called], cbor.read(value)
        if member in ("sender", "room"):
            fields[member] = _uri(said)
        elif member == "prev":
            fields[member] = message_id(said)
        elif member == "edit_no":
            fields[member] = number(said, U32)
            need(said > 0, "edit 0")
        else:
            fields[member] = [message_id(one) for one in array(said, 1, LIMITS["SEEN"])]
            need(said == sorted(set(said)), "seen out of order, or twice")
    need(len(fields["others"]) <= LIMITS["EXTENSIONS"], "too many extensions")
    return fields


def _name(encoded: bytes) -> Any:
    head = _Items(encoded).any_head()
    if head.major == 3:
        called = encoded[len(encoded) - head.number :].decode("utf-8")
        need(0 < head.number <= LIMITS["EXTENSION_NAME_BYTES"], "a name's length")
        return called
    need(head.major < 2, "a name of bytes")
    called = head.number if head.major == 0 else -1 - head.number
    need(called != 0, "the name 0")
    return called


class _Head(NamedTuple):
    major: int
    info: int
    number: int


class _Items:
    """Items one after the other, of which some are only passed over."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def head(self, major: int) -> int:
        """The number of a head of this major type."""
        head = self.any_head()
        need(head.major == major, "another type")
        return head.number

    def any_head(self) -> _Head:
        """A head in its shortest form; floats and simple values aren't judged."""
        first = self._take(1)[0]
        major, info = first >> 5, first & 31
        need(info < 28, "no definite length")
        if info < 24:
            return _Head(major, info, info)
        value = int.from_bytes(self._take(1 << info - 24), "big")
        least = (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]
        need(major == 7 or value >= least, "a head that isn't the shortest")
        return _Head(major, info, value)

    def value(self) -> Any:
        """An item of the types that `cbor` knows."""
        begin = self.at
        self.skip(99)
        return cbor.read(self.data[begin : self.at])

    def key(self) -> None:
        """Passes over a key of a map."""
        begin = self.at
        head = self.any_head()
        most = {0: _KEY, 1: _KEY - 1}.get(head.major, U64)
        need(head.major < 4 and head.number <= most, "no key")
        self.at = begin
        self.skip(0)

    def skip(self, levels: int) -> None:
        """Passes over an item in its one form, of at most so many levels of arrays, maps and tags."""
        head = self.any_head()
        need(levels > 0 or head.major not in (4, 5, 6), "too many levels")
        if head.major in (2, 3):
            raw = self._take(head.number)
            if head.major == 3:
                _utf8(raw)
        elif head.major == 4:
            for _ in range(head.number):
                self.skip(levels - 1)
        elif head.major == 5:
            last = b""
            for _ in range(head.number):
                begin = self.at
                self.key()
                need(self.data[begin : self.at] > last, "keys out of order, or one twice")
                last = self.data[begin : self.at]
                self.skip(levels - 1)
        elif head.major == 6:
            if head.number in (2, 3):
                begin = self.at
                need(self.head(2) > 8 and self.data[self.at : self.at + 1] != b"\0", "a big number that isn't one")
                self.at = begin
            self.skip(levels - 1)
        elif head.major == 7:
            _float(head)

    def _take(self, size: int) -> bytes:
        need(size <= len(self.data) - self.at, "cut off")
        self.at += size
        return self.data[self.at - size : self.at]


def _utf8(raw: bytes) -> None:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Refused("malformed", "a text that isn't UTF-8") from fault


def _float(head: _Head) -> None:
    """A simple value or a float, in the shortest form that means the same."""
    if head.info < 24:
        return
    if head.info == 24:
        need(head.number >= 32, "a simple value that isn't the shortest")
        return
    formats = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}
    size, layout = formats[head.info]
    (value,) = struct.unpack(layout, head.number.to_bytes(size, "big"))
    if value != value:
        need(head.info == 25 and head.number == 0x7E00, "another NaN")
        return
    if head.info > 25:
        need(_packed(formats[head.info - 1][1], value) != value, "a float that isn't the shortest")


def _packed(layout: str, value: float) -> Optional[float]:
    """What is left of a float in a shorter format."""
    try:
        packed: float = struct.unpack(layout, struct.pack(layout, value))[0]
    except OverflowError:
        return None
    return packed
