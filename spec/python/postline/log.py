"""The log of a conversation: its id, its chain, its signed heads, and what changes its members ([H-2] to [H-7])."""

import hashlib
from typing import Any, Sequence

from . import cbor, signed
from .refusal import Refused
from .shape import array, maybe, octets, present, U32

Entry = dict[str, Any]


def _labelled(label: str, *parts: bytes) -> bytes:
    return hashlib.sha256(b"postline/1 " + label.encode("ascii") + b"\0" + b"".join(parts)).digest()


def direct(t2: bytes) -> bytes:
    """The id of the direct conversation of a line."""
    return _labelled("direct", t2)


def tag(conversation: bytes, dk: bytes) -> bytes:
    """What stands for a device in one conversation's routing."""
    return _labelled("tag", conversation, dk)[:8]


def root(conversation: bytes) -> bytes:
    """The chain before the first entry."""
    return _labelled("log", conversation)


def chain(before: bytes, entry: Entry) -> bytes:
    """The chain with one entry more."""
    content = hashlib.sha256(entry["bytes"]).digest()
    said = [entry["term"], entry["seq"], entry["kind"], entry["epoch"], entry["members"], content, before]
    return hashlib.sha256(cbor.write(said)).digest()


def leaf(head: Entry) -> bytes:
    """What is signed of a head."""
    said = [head["conversation"], head["term"], head["seq"], head["hash"]]
    return hashlib.sha256(cbor.write(said)).digest()


def heads(leaves: Sequence[bytes]) -> bytes:
    """What is signed of all heads of a batch."""
    return cbor.write(list(leaves))


def verify(nk: bytes, leaves: Sequence[bytes], shown: Sequence[Entry], signature: bytes) -> None:
    """Refuses heads whose signature isn't good, or that aren't the leaves at their places."""
    signed.verify(nk, "heads", heads(leaves), signature)
    if not all(head["place"] < len(leaves) and leaves[head["place"]] == leaf(head) for head in shown):
        raise Refused("malformed", "a head that isn't the leaf at its place")


def make_change(commit: bytes, welcome: Any, group_info: bytes) -> bytes:
    """What a Create or a Commit brings."""
    return cbor.write([commit, welcome, group_info])


def read_change(data: bytes) -> dict[str, Any]:
    """The same, read."""
    commit, welcome, info = array(cbor.read(data), 3, 3)
    whole = lambda value: octets(value, 0, U32)
    return present(commit=whole(commit), welcome=maybe(welcome, whole), group_info=whole(info))
