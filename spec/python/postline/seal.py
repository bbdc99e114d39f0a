"""What goes with a sealed message ([G-6], [G-7]). MLS itself (RFC 9420) is not written here a second time."""

from typing import Any, Optional

from . import cbor
from .shape import U32, array, digest, need, number

_BUCKETS = (64, 128, 192, 320, 512)
_STEP = 1024


def padded(length: int) -> int:
    """How long a content of this length is once it is padded."""
    least = length + 1
    return next((bucket for bucket in _BUCKETS if least <= bucket), -(-least // _STEP) * _STEP)


def make_aad(conversation: bytes, generation: int, head: Optional[tuple[int, bytes]]) -> bytes:
    """The authenticated data of a message."""
    return cbor.write([conversation, generation, None if head is None else list(head), None])


def read_aad(data: bytes) -> dict[str, Any]:
    """The same, read."""
    conversation, generation, head, franking = array(cbor.read(data), 4, 4)
    said: dict[str, Any] = {"conversation": digest(conversation), "generation": number(generation, U32)}
    need(franking is None, "what is kept for franking")
    if head is None:
        return said
    seq, chain = array(head, 2, 2)
    return said | {"seq": number(seq), "hash": digest(chain)}
