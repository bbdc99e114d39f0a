"""What opens a session: the two Hellos and the proofs over them ([U-3], [U-4])."""

import hashlib
from typing import Any

from . import cbor
from .limits import LIMITS
from .refusal import Refused
from .shape import address, array, digest, need, number, octets, truth, U32

Hello = dict[str, Any]

ENDS = ("device", "node")
_EXTENSIONS = 16
_DEVICE = {"address": address, "dk": digest, "fresh": digest, "enrols": truth, "posted": number}
_NODE = {"nk": digest, "fresh": digest}
_ITEMS = {"device": _DEVICE, "node": _NODE}


def make(end: str, hello: Hello) -> bytes:
    """A Hello's bytes."""
    said = [hello["version"], *(hello[name] for name in _ITEMS[end]), hello["extensions"]]
    return _bounded(cbor.write(said))


def read(end: str, data: bytes) -> Hello:
    """A Hello from its bytes: its length is judged first, then its shape, then its version."""
    shapes = _ITEMS[end]
    version, *items, extensions = array(cbor.read(_bounded(data)), len(shapes) + 2, len(shapes) + 2)
    hello: Hello = {"version": number(version)}
    for (name, shape), item in zip(shapes.items(), items):
        hello[name] = shape(item)
    need(isinstance(extensions, dict) and len(extensions) <= _EXTENSIONS, "no map of so many")
    pairs = [(number(name), octets(item, 0, U32)) for name, item in extensions.items()]
    if hello["version"] == 0:
        raise Refused("version", "there is no version 0")
    return hello | {"extensions": pairs}


def browser(host: str) -> bytes:
    """What stands for the exporter where a browser connects."""
    return hashlib.sha256(b"postline/1 browser\0" + host.encode("ascii")).digest()


def proof(device: bytes, node: bytes, channel: bytes) -> bytes:
    """What is signed for a session's Proof, by either end."""
    return cbor.write([device, node, channel])


def _bounded(hello: bytes) -> bytes:
    if len(hello) > LIMITS["HELLO_BYTES"]:
        raise Refused("too-big", "a Hello over HELLO_BYTES")
    return hello
