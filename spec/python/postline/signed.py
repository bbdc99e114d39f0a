"""What a signature is over: `"postline/1 " ‖ label ‖ 0x00 ‖ canonical bytes` ([K-2])."""

from . import ed25519
from .refusal import Refused

LABELS = (
    "offer",
    "accept",
    "id",
    "proof dialler",
    "proof listener",
    "confirm",
    "done",
    "link accept",
    "link keys",
    "device list",
    "key proof",
    "leaf",
    "session device",
    "session node",
    "heads",
)


def prefix(label: str) -> bytes:
    """The bytes before the canonical ones."""
    if label not in LABELS:
        raise KeyError(label)
    return b"postline/1 " + label.encode("ascii") + b"\0"


def sign(seed: bytes, label: str, canonical: bytes) -> bytes:
    """The signature of a value of the label's kind."""
    return ed25519.sign(seed, prefix(label) + canonical)


def verify(key: bytes, label: str, canonical: bytes, signature: bytes) -> None:
    """Refuses a signature that isn't good ([K-3])."""
    if not ed25519.verify(key, prefix(label) + canonical, signature):
        raise Refused("signature", f"not signed as {label} by this key")
