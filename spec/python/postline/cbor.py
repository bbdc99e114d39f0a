"""Deterministic CBOR as chapter 01 narrows it: one spelling for each value.

    unsigned number · bytes · text · array · map · false, true, null

`write` makes that spelling and `read` takes no other: shortest heads, definite lengths, keys of a map in the order of their
encodings and none twice, valid UTF-8, nothing behind the end.
"""

from typing import Any

from .refusal import Refused

# No shape of the chapters nests deeper than three; this keeps a stranger's nesting off the stack.
_DEPTH = 16
_SIMPLE = {0xF4: False, 0xF5: True, 0xF6: None}


def write(value: Any) -> bytes:
    """The deterministic encoding of a value made of int, bytes, str, bool, None, list and dict."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode("utf-8")
        return _head(3, len(text)) + text
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(write(item) for item in value)
    if isinstance(value, dict):
        pairs = sorted((write(key), write(item)) for key, item in value.items())
        return _head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    raise TypeError(f"no CBOR for {type(value).__name__}")


def read(data: bytes) -> Any:
    """The one value that all of the bytes are, or a refusal as malformed."""
    value, end = _item(data, 0, _DEPTH)
    if end != len(data):
        raise Refused("malformed", "bytes behind the end")
    return value


def _head(major: int, number: int) -> bytes:
    if not 0 <= number < 1 << 64:
        raise Refused("malformed", "a number outside of 64 bits")
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise AssertionError("unreachable: the number was bounded above")


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth == 0:
        raise Refused("malformed", "nested too deeply")
    first, at = _take(data, at, 1)
    if first[0] in _SIMPLE:
        return _SIMPLE[first[0]], at
    major, info = first[0] >> 5, first[0] & 31
    if major in (1, 6, 7) or info > 27:
        raise Refused("malformed", "a kind of item that is not used here")
    number = info
    if info >= 24:
        raw, at = _take(data, at, 1 << info - 24)
        number = int.from_bytes(raw, "big")
        if number < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            raise Refused("malformed", "a head that isn't the shortest")
    if major == 0:
        return number, at
    if major in (2, 3):
        raw, at = _take(data, at, number)
        return (raw if major == 2 else _text(raw)), at
    if major == 4:
        items = []
        for _ in range(number):
            item, at = _item(data, at, depth - 1)
            items.append(item)
        return items, at
    pairs: dict[Any, Any] = {}
    last = b""
    for _ in range(number):
        begin = at
        key, at = _item(data, at, depth - 1)
        if data[begin:at] <= last:
            raise Refused("malformed", "keys of a map out of order, or one twice")
        last = data[begin:at]
        if isinstance(key, (list, dict)):
            raise Refused("malformed", "a key that no shape has")
        pairs[_key(key)], at = _item(data, at, depth - 1)
    return pairs, at


def _key(key: Any) -> Any:
    # Python takes True for 1 and False for 0; no shape has a truth for a key, and so none may pass for a number.
    if key is None or isinstance(key, bool):
        raise Refused("malformed", "a key that no shape has")
    return key


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if size > len(data) - at:
        raise Refused("malformed", "cut off")
    return data[at : at + size], at + size


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Refused("malformed", "a text that isn't UTF-8") from fault
