"""What a body's CBOR must be: each function takes a value that was read, and gives it back if it is of the shape."""

from typing import Any, Callable, Optional, TypeVar

from . import codes
from .address import is_address
from .refusal import Refused
from .transcript import is_number

T = TypeVar("T")

U16, U32, U64 = 1 << 16, 1 << 32, 1 << 64


def need(holds: bool, why: str) -> None:
    """Refuses what doesn't hold as malformed."""
    if not holds:
        raise Refused("malformed", why)


def array(value: Any, least: int, most: int) -> list[Any]:
    """A list of so many items."""
    if isinstance(value, list) and least <= len(value) <= most:
        return value
    raise Refused("malformed", "not a list of so many")


def number(value: Any, end: int = U64) -> int:
    """A number below `end`."""
    if isinstance(value, int) and is_number(value) and value < end:
        return value
    raise Refused("malformed", "not a number of this size")


def octets(value: Any, least: int, most: int) -> bytes:
    """So many bytes."""
    if isinstance(value, bytes) and least <= len(value) <= most:
        return value
    raise Refused("malformed", "not so many bytes")


def text(value: Any, most: int) -> str:
    """A text of at most so many bytes."""
    if isinstance(value, str) and len(value.encode("utf-8")) <= most:
        return value
    raise Refused("malformed", "not a text of so many bytes")


def truth(value: Any) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise Refused("malformed", "neither true nor false")


def digest(value: Any) -> bytes:
    """32 bytes: a hash, a key, a conversation."""
    return octets(value, 32, 32)


def identifier(value: Any) -> bytes:
    """16 bytes."""
    return octets(value, 16, 16)


def address(value: Any) -> str:
    """An address in normal form."""
    if isinstance(value, str) and is_address(value):
        return value
    raise Refused("malformed", "not an address in normal form")


def code(value: Any) -> int:
    """A code: an unknown one is read as Protocol."""
    return codes.read(number(value))


def maybe(value: Any, shape: Callable[[Any], T]) -> Optional[T]:
    """The shape, or null."""
    return None if value is None else shape(value)


def present(**members: Any) -> dict[str, Any]:
    """An object of those members that are there."""
    return {name: value for name, value in members.items() if value is not None}
