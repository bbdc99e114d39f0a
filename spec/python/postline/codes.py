"""The numbers that a refusal or a close carries (chapter 06)."""

from .refusal import Refused

NAMES: dict[int, str] = {
    0: "Goodbye",
    1: "Glare",
    2: "Protocol",
    3: "TooBig",
    4: "Timeout",
    5: "Denied",
    6: "Version",
    7: "Generation",
    8: "Busy",
    16: "NotTrusted",
    17: "NotExpress",
    18: "Spoiled",
    32: "StaleEpoch",
    33: "Exists",
    34: "NoConversation",
    35: "BadKeys",
    36: "Login",
    37: "Behind",
    38: "Unlisted",
    39: "NoFile",
}
PROTOCOL = 2


def read(number: int) -> int:
    """The code that a number stands for: an unknown one counts as Protocol, one above 16 bits is malformed ([C-1])."""
    if not 0 <= number < 1 << 16:
        raise Refused("malformed", "a code has 16 bits")
    return number if number in NAMES else PROTOCOL


def name(number: int) -> str:
    """The name of the code that a number stands for."""
    return NAMES[read(number)]
