"""Files, sealed in chunks under keys of their own ([B-1] to [B-4])."""

import hashlib
from typing import Any

from . import primitive
from .limits import LIMITS
from .refusal import Refused
from .shape import need

Value = dict[str, Any]

_FORM = b"postline/1 attachment"


def _keys(key: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    prk = primitive.extract(nonce, key)
    return primitive.expand(prk, _FORM + b"\0key"), primitive.expand(prk, _FORM + b"\0commit")


def _nonce(index: int, chunks: int) -> bytes:
    return bytes(3) + index.to_bytes(8, "big") + bytes([index + 1 == chunks])


def _chunks(length: int) -> int:
    """How many a file of this length has."""
    return max(1, -(-length // LIMITS["ATTACHMENT_CHUNK_BYTES"]))


def _fits(size: int) -> None:
    if size > LIMITS["ATTACHMENT_BYTES"]:
        raise Refused("too-big", "an attachment over its bound")


def seal(key: bytes, nonce: bytes, length: int) -> Value:
    """The seal of a file of so many bytes, each its place modulo 251."""
    chunks, piece = _chunks(length), LIMITS["ATTACHMENT_CHUNK_BYTES"]
    size = 32 + length + 16 * chunks
    _fits(size)
    k, commit = _keys(key, nonce)
    sealed = commit
    for index in range(chunks):
        plain = bytes(at % 251 for at in range(index * piece, min(length, (index + 1) * piece)))
        sealed += primitive.aead_seal(k, _FORM, plain, _nonce(index, chunks))
    return {"commit": commit, "hash": hashlib.sha256(sealed).digest(), "size": size, "chunks": chunks, "tag": sealed[-16:]}


def read(external: Value) -> Value:
    """What a content says of an attachment."""
    hashed = external["hash"]
    need(external["hash_alg"] == 1 and external["url"] == "postline:f/" + hashed.hex(), "not by its hash")
    need(external["aead"] == 29 and external["aad"] == _FORM, "sealed in another form")
    size = external["size"]
    _fits(size)
    chunks = -(-(size - 32) // (LIMITS["ATTACHMENT_CHUNK_BYTES"] + 16))
    length = size - 32 - 16 * chunks
    need(length >= 0 and chunks > 0 and _chunks(length) == chunks, "a length that no file has")
    return {"hash": hashed, "length": length, "chunks": chunks}


def open_chunk(external: Value, head: bytes, index: int, chunk: bytes) -> Value:
    """A piece of the file."""
    said = read(external)
    need(len(head) >= 32, "cut before its first chunk")
    k, commit = _keys(external["key"], external["nonce"])
    if head[:32] != commit:
        raise Refused("key", "another key's")
    need(index < said["chunks"], "no such chunk")
    piece = LIMITS["ATTACHMENT_CHUNK_BYTES"]
    need(len(chunk) == min(piece, said["length"] - index * piece) + 16, "a chunk of another length")
    plain = primitive.aead_open(k, _FORM, chunk, _nonce(index, said["chunks"]))
    if plain is None:
        raise Refused("malformed", "a chunk that doesn't open")
    return {"bytes": plain}
