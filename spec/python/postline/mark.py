"""Reading positions: all entries up to one, and single ones behind it ([A-5], [A-6])."""

from typing import Iterable

from . import cbor
from .limits import LIMITS
from .refusal import Refused
from .shape import array, need, number, octets

_LAST = (1 << 64) - 1
# All entries up to one, and the single ones behind it.
Position = tuple[int, frozenset[int]]

NOTHING: Position = (0, frozenset())


def read(data: bytes) -> Position:
    """A position, of its bytes."""
    items = array(cbor.read(data), 2, 2)
    upto, beyond = number(items[0]), octets(items[1], 0, LIMITS["READ_BEYOND"] // 8)
    bits = int.from_bytes(beyond, "little")
    singles = frozenset(upto + 1 + bit for bit in range(bits.bit_length()) if bits >> bit & 1)
    need(all(upto + 1 < entry <= _LAST for entry in singles), "the next entry, or one above all")
    if write((upto, singles)) != data:
        raise Refused("malformed", "a position in another form")
    return upto, singles


def write(position: Position) -> bytes:
    """The bytes of a position."""
    upto, singles = position
    bits = sum(1 << entry - upto - 1 for entry in singles)
    return cbor.write([upto, bits.to_bytes((bits.bit_length() + 7) // 8, "little")])


def join(positions: Iterable[Position]) -> Position:
    """What any of them has."""
    upto, singles = NOTHING
    for one in positions:
        upto, singles = max(upto, one[0]), singles | one[1]
    while upto + 1 in singles:
        upto += 1
    return upto, frozenset(entry for entry in singles if entry > upto)
