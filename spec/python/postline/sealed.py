"""What people compare, write down, and seal under it ([I-13] to [I-21])."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from . import cbor, people, primitive
from .limits import LIMITS
from .refusal import Refused
from .shape import U32, address, array, digest, need, number, octets

Value = dict[str, Any]
Side = dict[str, Any]

_ROW = re.compile(r"^\| \d+ \|((?: \S+ \S+ \|){8})$", re.MULTILINE)
_CHAPTER = Path(__file__).resolve().parents[2] / "07-identity.md"
_PICTURES = [cell.split()[1] for row in _ROW.findall(_CHAPTER.read_text("utf-8")) for cell in row.split("|")[:8]]
_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _labelled(label: str, data: bytes) -> bytes:
    return hashlib.sha256(b"postline/1 " + label.encode("ascii") + b"\0" + data).digest()


def _side(side: Side) -> list[Any]:
    return [side["address"], side["identity"], side["ak"]]


def comparison(t2: bytes, one: Side, two: Side) -> Value:
    """The words of both, and the code that they see."""
    sides = [[*_side(side), side["nonce"]] for side in (one, two)]
    first, second = sorted(sides, key=lambda side: side[0].encode("utf-8"))
    code = _labelled("code", cbor.write([t2, *first, *second]))
    digits = f"{int.from_bytes(code[:8], 'big') % 10**6:06}"
    bits = int.from_bytes(code[8:14], "big")
    return {
        "commits": [cbor.write([1, 0, _labelled("commit", cbor.write([t2, *side]))]) for side in sides],
        "reveals": [cbor.write([1, 1, side[3]]) for side in sides],
        "digits": f"{digits[:3]} {digits[3:]}",
        "emoji": [_PICTURES[bits >> 42 - 6 * place & 63] for place in range(7)],
    }


def read_word(data: bytes) -> Value:
    """A word of a comparison."""
    version, kind, said = array(cbor.read(data), 3, 3)
    need(number(version) == 1, "a version that isn't 1")
    return {"kind": number(kind, 2), "bytes": digest(said)}


def _code(holds: bool, why: str) -> None:
    if not holds:
        raise Refused("code", why)


def _card(text: str) -> Value:
    if len(text.encode("utf-8")) > LIMITS["QR_BYTES"]:
        raise Refused("too-big", "a picture over its bound")
    begin = "postline:verify?v=1&d="
    _code(text.startswith(begin), "no picture of ours")
    coded = text[len(begin) :]
    _code(re.fullmatch("[A-Za-z0-9_-]*", coded) is not None and len(coded) % 4 != 1, "no base64url")
    data = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
    _code(base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") == coded, "base64url in another form")
    try:
        t2, a, b, c, which, head, d, e, f, secret = array(cbor.read(data), 10, 10)
        shower = {"address": address(a), "identity": digest(b), "ak": digest(c)}
        reader = {"address": address(d), "identity": digest(e), "ak": digest(f)}
        card = {"t2": digest(t2), "number": number(which), "list": digest(head), "secret": octets(secret, 16, 16)}
    except Refused as refused:
        raise Refused("code", refused.why) from refused
    _code(card["number"] > 0, "no number of a list")
    return card | {"shower": shower, "reader": reader}


def read_card(text: str) -> Value:
    """Whom a picture is of, and for."""
    card = _card(text)
    return {"shower": card["shower"], "reader": card["reader"]}


def judge_card(text: str, t2: bytes, ours: Side, theirs: Side, lists: people.Chain) -> Value:
    """Compares a picture with what its reader knows."""
    card = _card(text)
    ends = (card["shower"]["address"], card["reader"]["address"]) == (theirs["address"], ours["address"])
    _code(card["t2"] == t2 and ends, "a picture for another line")
    same = _side(card["shower"]) == _side(theirs) and _side(card["reader"]) == _side(ours)
    if not same:
        raise Refused("key", "another key")
    ahead = lists.head(theirs["identity"], theirs["ak"], card["number"], card["list"])
    if ahead is not None:
        return {"after": ahead["after"]}
    said = cbor.write([t2, *_side(card["reader"]), *_side(card["shower"])])
    return {"answer": primitive.hmac_sha256(card["secret"], b"postline/1 scanned\0" + said)}


def make_phrase(bits: bytes) -> str:
    """A phrase of 80 bits."""
    whole = int.from_bytes(bits, "big") << 20 | int.from_bytes(_labelled("phrase", bits)[:3], "big") >> 4
    signs = "".join(_SIGNS[whole >> 95 - 5 * place & 31] for place in range(20))
    return "-".join(signs[at : at + 4] for at in range(0, 20, 4))


def read_phrase(text: str) -> bytes:
    """The bits of a phrase as a person writes it."""
    signs = text.replace("-", "").replace(" ", "")
    _code(signs.isascii(), "signs of no phrase")
    signs = signs.upper().replace("O", "0").replace("I", "1").replace("L", "1")
    _code(len(signs) == 20 and all(sign in _SIGNS for sign in signs), "signs of no phrase")
    whole = 0
    for sign in signs:
        whole = whole << 5 | _SIGNS.index(sign)
    bits = (whole >> 20).to_bytes(10, "big")
    _code(make_phrase(bits).replace("-", "") == signs, "a slip of the pen")
    return bits


def open_box(salt: bytes, secret: bytes, label: str, aad: bytes, box: bytes) -> bytes:
    """Opens a box ([I-21])."""
    prk = primitive.extract(salt, secret)
    info = b"postline/1 " + label.encode("ascii") + b"\0"
    _code(box[:32] == primitive.expand(prk, info + b"commit"), "another code")
    plain = primitive.aead_open(primitive.expand(prk, info + b"key"), aad, box[32:])
    if plain is None:
        raise Refused("malformed", "a box that was damaged")
    return plain


def _pins(value: Any) -> list[Value]:
    items = array(value, 0, 4 * LIMITS["BACKUP_PINS"])
    need(len(items) % 4 == 0, "half a pin")
    pins = [
        {
            "address": address(items[at]),
            "identity": digest(items[at + 1]),
            "ak": digest(items[at + 2]),
            "level": number(items[at + 3], 3),
        }
        for at in range(0, len(items), 4)
    ]
    texts = [pin["address"].encode("utf-8") for pin in pins]
    need(all(a < b for a, b in zip(texts, texts[1:])), "pins out of order")
    return pins


def open_backup(data: bytes, phrase: str) -> Value:
    """What is in a backup."""
    bits = read_phrase(phrase)
    if len(data) > LIMITS["BACKUP_BYTES"]:
        raise Refused("too-big", "a backup over its bound")
    version, salt, kib, passes, box = array(cbor.read(data), 5, 5)
    need(number(version) == 1, "a version that isn't 1")
    octets(salt, 16, 16)
    if number(kib) > LIMITS["BACKUP_KIB"] or number(passes) > LIMITS["BACKUP_PASSES"]:
        raise Refused("too-big", "a backup that asks for too much")
    need(kib >= 8 and passes >= 1 and len(octets(box, 0, U32)) >= 48, "a backup that asks for nothing")
    secret = primitive.argon2id(bits, salt, kib, passes)
    aad = b"\x85" + b"".join(cbor.write(item) for item in (version, salt, kib, passes))
    plain = open_box(salt, secret, "backup", aad, box)
    version, identity, whose, made, ak, following, archive, pins = array(cbor.read(plain), 8, 8)
    need(number(version) == 1, "a version that isn't 1")
    return {
        "identity": digest(identity),
        "address": address(whose),
        "made": number(made),
        "ak": digest(ak),
        "next": digest(following),
        "archive": digest(archive),
        "pins": _pins(pins),
    }


def make_join(code: str, secret: bytes, whose: str, dk: bytes, until: int) -> Value:
    """The request of a new device, and its picture."""
    bits = read_phrase(code)
    said = [1, whose, dk, primitive.x25519(secret, primitive.X_BASE), until]
    begin = b"\x86" + b"".join(cbor.write(item) for item in said)
    tag = primitive.hmac_sha256(bits, b"postline/1 join request\0" + begin)
    return {"bytes": begin + cbor.write(tag), "qr": "postline:join?v=1&c=" + make_phrase(bits)}


def open_join(code: str, secret: bytes, request: bytes, until: int, now: int, answer: bytes) -> Value:
    """What an old device has answered to a new one."""
    if len(answer) > LIMITS["NOTE_BYTES"]:
        raise Refused("too-big", "an answer over its bound")
    version, dk, share, box = array(cbor.read(answer), 4, 4)
    need(number(version) == 1, "a version that isn't 1")
    digest(dk), digest(share), octets(box, 0, U32)
    _code(now <= until, "an answer that comes too late")
    shared = primitive.x25519(secret, share)
    need(shared != bytes(32), "a share that makes zeros")
    aad = b"\x84" + b"".join(cbor.write(item) for item in (version, dk, share)) + hashlib.sha256(request).digest()
    plain = open_box(read_phrase(code), shared, "join", aad, box)
    version, identity, ak, archive, pins = array(cbor.read(plain), 5, 5)
    need(number(version) == 1, "a version that isn't 1")
    said = {"identity": digest(identity), "ak": digest(ak), "archive": digest(archive)}
    return {"from": dk} | said | {"pins": _pins(pins)}
