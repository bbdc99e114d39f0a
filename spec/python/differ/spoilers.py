"""Ways of spoiling what was made: as bytes, as a CBOR value, as the text of a field."""

import random
from typing import Any

from .values import PIECES


def flipped(rng: random.Random, data: bytes) -> bytes:
    """The bytes with one bit changed."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def spoilt_bytes(rng: random.Random, data: bytes) -> bytes:
    """The bytes with one thing changed: a bit, a byte, a piece cut out, doubled or put in, or a head spelt longer."""
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 1, 2, 16, 32)))
    how = rng.randrange(7)
    if how == 0 and data:
        return flipped(rng, data)
    if how == 1:
        return data[:at]
    if how == 2:
        return data + rng.randbytes(rng.randint(1, 3))
    if how == 3:
        return data[:at] + data[end:]
    if how == 4:
        return data[:end] + data[at:]
    if how == 5 and at < len(data):
        return data[:at] + bytes([data[at] & 0xE0 | 24, data[at] & 31]) + data[at + 1 :]
    return (
        data[:at]
        + rng.choice(
            (b"\xf4", b"\xf5", b"\xf6", b"\xf7", b"\xc0", b"\x20", b"\x9f", b"\xff", b"\x00", b"\x80", b"\xa0")
        )
        + data[end:]
    )


def spoilt_value(rng: random.Random, value: Any) -> Any:
    """A CBOR value with one thing in it changed, well encoded."""
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        how = rng.randrange(8)
        if how == 0:
            return value[:at] + value[at + 1 :]
        if how == 1:
            return value[:at] + [value[at]] + value[at:]
        if how == 2:
            return list(reversed(value))
        return value[:at] + [spoilt_value(rng, value[at])] + value[at + 1 :]
    if isinstance(value, bytes) and rng.random() < 0.7:
        return (
            spoilt_bytes(rng, value) if rng.random() < 0.5 else value + rng.randbytes(rng.choice((1, 16, 1000, 16384)))
        )
    if isinstance(value, str) and rng.random() < 0.7:
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice(PIECES) + value[at + rng.randrange(2) :]
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.7:
        return (
            rng.choice(
                (value + 1, max(0, value - 1), value ^ 1, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1)
            )
            & (1 << 64) - 1
        )
    return rng.choice(
        (0, 1, b"", b"x", "", "x", [], [0], {}, {0: b""}, {1: 2}, {"a": 1}, None, True, False, [[[[[[0]]]]]])
    )


def spoilt_body(rng: random.Random, body: str) -> str:
    """A field's body with one thing in its text changed; some of these mean the same as before."""
    at = rng.randrange(len(body) + 1)
    how = rng.randrange(6)
    if how == 0:
        return body[:at] + rng.choice((" ", "\t", "\r\n ", "\r\n\t", "\r\n", "\n", "\r", "\r\n \r\n ")) + body[at:]
    if how == 1:
        return (
            body[:at]
            + rng.choice(("=", ";", "A", "a", "0", "9", "/", "+", "\u00e9", "\x7f", "\x00", ":"))
            + body[at + rng.randrange(2) :]
        )
    if how == 2:
        return body[:at] + body[at + 1 :]
    parts = body.split(";")
    which = rng.randrange(len(parts))
    if how == 3:
        return ";".join(parts[:which] + parts[which + 1 :])
    if how == 4:
        rng.shuffle(parts)
        return ";".join(parts)
    extra = rng.choice(
        (
            " q=",
            " q=x",
            " ak=" + "A" * 43,
            " nx=" + "A" * 43,
            " nx=A",
            " h=a.example:25",
            " zz=" + "y" * rng.choice((50, 300)),
            " " + parts[which].strip(),
            " v=2",
            "",
            " Q=1",
        )
    )
    return ";".join(parts[: which + 1] + [extra] + parts[which + 1 :])
