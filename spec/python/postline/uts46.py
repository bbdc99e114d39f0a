"""UTS #46 with the settings of [N-1], on the character data of the standard library.

    text ─▶ map ─▶ normalise ─▶ labels ─▶ decode xn-- ─▶ validate ─▶ labels in Unicode ─▶ xn-- where they aren't ASCII

The table of UTS #46 follows from Unicode's properties as its §7 derives it: a character maps to what normalising compatibility
forms, folding case and leaving out what is ignored make of it; `_DISALLOWED` and the few lines around it are the exceptions.
"""

import unicodedata

from .joining import non_joiner_fits
from .refusal import Refused

DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")
_FULL_STOPS = {"\u3002": ".", "\uff0e": ".", "\uff61": "."}
_VIRAMA = 9


def _ranges(*pairs: tuple[int, int]) -> frozenset[str]:
    return frozenset(chr(code) for first, last in pairs for code in range(first, last + 1))


# Default_Ignorable_Code_Point.
_IGNORED = _ranges(
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
# Bidi controls, ideographic descriptions, replacements, and tags.
_DISALLOWED = _ranges(
    (0x61C, 0x61C),
    (0x200E, 0x200F),
    (0x202A, 0x202E),
    (0x2066, 0x2069),
    (0x2FF0, 0x2FFF),
    (0xFFFC, 0xFFFD),
    (0xE0001, 0xE0001),
    (0xE0020, 0xE007F),
)
_DISALLOWED_CATEGORIES = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"))


def to_ascii(text: str) -> str:
    """ToASCII."""
    labels = [
        label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in _process(text)
    ]
    result = ".".join(labels)
    if not all(1 <= len(label) <= 63 for label in labels) or len(result) > 253:
        raise Refused("name", "a label or a domain over its length")
    return result


def to_unicode(text: str) -> str:
    """ToUnicode."""
    return ".".join(_process(text))


def _process(text: str) -> list[str]:
    """§4: map, normalise, break, convert and validate."""
    mapped = unicodedata.normalize("NFC", "".join(map(_mapped, text)))
    labels = [_decoded(label) for label in mapped.split(".")]
    for label in labels:
        _validate(label)
    if any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for label in labels for char in label):
        for label in labels:
            _check_bidi(label)
    return labels


def _mapped(char: str) -> str:
    """What a character is mapped to: itself, others or nothing."""
    if char.isascii():
        return char.lower()
    if char in DEVIATIONS:
        return char
    if char in _FULL_STOPS:
        return _FULL_STOPS[char]
    if char == "\u1e9e":
        return "\u00df"
    folded = _folded(char)
    category = unicodedata.category(char)
    if char in _DISALLOWED or (folded == char and category in _DISALLOWED_CATEGORIES) or category in ("Cn", "Co", "Cs"):
        raise Refused("name", f"U+{ord(char):04X} is disallowed")
    if "." in folded or "\u3002" in folded:
        raise Refused("name", f"U+{ord(char):04X} brings a full stop")
    return folded


def _folded(char: str) -> str:
    """Unicode's NFKC_Casefold."""
    text = unicodedata.normalize("NFD", char)
    for _ in range(2):
        text = unicodedata.normalize("NFKC", text.casefold())
    return unicodedata.normalize("NFC", "".join(part for part in text if part not in _IGNORED))


def _decoded(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError) as fault:
        raise Refused("name", "an xn-- label that isn't Punycode") from fault
    if decoded.isascii():
        raise Refused("name", "an xn-- label that encodes nothing")
    return decoded


def _validate(label: str) -> None:
    """§4.1. STD3 is left to the form of a label: the characters that it refuses stay as they are in ASCII."""
    if label.startswith(("-", "xn--")) or label.endswith("-"):
        raise Refused("name", "a label with a hyphen at an end, or with a prefix within its prefix")
    if unicodedata.normalize("NFC", label) != label or "." in label:
        raise Refused("name", "a label that isn't normalised")
    if label and unicodedata.category(label[0]).startswith("M"):
        raise Refused("name", "a label that begins with a mark")
    for at, char in enumerate(label):
        if _mapped(char) != char:
            raise Refused("name", "a character that would be mapped")
        if char in "\u200c\u200d" and not _joiner_fits(label, at):
            raise Refused("name", "a joiner where nothing joins")


def _joiner_fits(label: str, at: int) -> bool:
    """CheckJoiners: behind a virama, or, for a non-joiner, between two letters that would join."""
    if at > 0 and unicodedata.combining(label[at - 1]) == _VIRAMA:
        return True
    return label[at] == "\u200c" and non_joiner_fits(label, at)


def _check_bidi(label: str) -> None:
    """CheckBidi (RFC 5893 §2), for each label of a domain that has something from right to left in it."""
    kinds = [unicodedata.bidirectional(char) for char in label]
    neutral = {"EN", "ES", "CS", "ET", "ON", "BN", "NSM"}
    if kinds and kinds[0] == "L":
        good = set(kinds) <= neutral | {"L"} and _ends_in(kinds, {"L", "EN"})
    elif kinds and kinds[0] in ("R", "AL"):
        good = (
            set(kinds) <= neutral | {"R", "AL", "AN"}
            and _ends_in(kinds, {"R", "AL", "EN", "AN"})
            and not {"EN", "AN"} <= set(kinds)
        )
    else:
        good = not kinds
    if not good:
        raise Refused("name", "a label that is read from both sides")


def _ends_in(kinds: list[str], ends: set[str]) -> bool:
    """Whether the last character, marks that don't space aside, is of one of these kinds."""
    last = next((kind for kind in reversed(kinds) if kind != "NSM"), "")
    return last in ends
