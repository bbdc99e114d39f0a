"""The steps on the link and the greeting: M2, M3, T2 ([T-6]), Hello and Proof ([L-4])."""

import hashlib
from typing import Any, NamedTuple

from . import cbor
from .address import is_domain
from .limits import LIMITS
from .refusal import Refused

STEPS = ("confirm", "done")
ENDS = ("dialler", "listener")
_EXTENSIONS = 16


class Step(NamedTuple):
    """What M2 and M3 say."""

    t1: bytes
    nonce: bytes
    fresh: bytes


class Hello(NamedTuple):
    """What a Hello says."""

    version: int
    nk: bytes
    speaker: str
    listener: str
    random: bytes
    extensions: dict[int, bytes]


def make_step(label: str, step: Step) -> bytes:
    """M2 or M3, by its label."""
    return cbor.write([label, 1, *step])


def read_step(label: str, data: bytes) -> Step:
    """M2 or M3 from its bytes, in their one form."""
    match cbor.read(data):
        case [str(said), int(version), bytes(t1), bytes(nonce), bytes(fresh)] if (
            said == label
            and is_number(version)
            and version == 1
            and len(t1) == 32
            and len(nonce) == 16
            and len(fresh) == 32
        ):
            return Step(t1, nonce, fresh)
    raise Refused("malformed", f"not the step {label}")


def t2(t1: bytes, m2: bytes, m3: bytes) -> bytes:
    """H(T1 ‖ M2 ‖ M3)."""
    return hashlib.sha256(t1 + m2 + m3).digest()


def on_connection(step: bytes, exporter: bytes) -> bytes:
    """What is signed for a step on one connection."""
    return cbor.write([step, exporter])


def make_hello(hello: Hello) -> bytes:
    """A Hello's bytes."""
    return _bounded(cbor.write([*hello]))


def read_hello(data: bytes) -> Hello:
    """A Hello from its bytes: its length is judged first, then its shape, then its version."""
    match cbor.read(_bounded(data)):
        case [int(version), bytes(nk), speaker, listener, bytes(random), dict(extensions)] if (
            is_number(version)
            and len(nk) == 32
            and len(random) == 32
            and is_domain(speaker)
            and is_domain(listener)
            and len(extensions) <= _EXTENSIONS
            and all(is_number(number) and isinstance(item, bytes) for number, item in extensions.items())
        ):
            if version == 0:
                raise Refused("version", "there is no version 0")
            return Hello(version, nk, speaker, listener, random, extensions)
    raise Refused("malformed", "not a Hello")


def proof(dialler: bytes, listener: bytes, exporter: bytes) -> bytes:
    """What is signed for a Proof."""
    return cbor.write([dialler, listener, exporter])


def is_number(value: Any) -> bool:
    """Whether it is a number: Python takes True for one."""
    return isinstance(value, int) and not isinstance(value, bool)


def _bounded(hello: bytes) -> bytes:
    if len(hello) > LIMITS["HELLO_BYTES"]:
        raise Refused("too-big", "a Hello over HELLO_BYTES")
    return hello
