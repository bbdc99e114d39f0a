"""Domains and addresses: one normal form for each, everything else refused ([N-1], [N-2]).

text ── ASCII ───────────────────────────────▶ lower case ─┐
     └─ other ─▶ ToASCII ─▶ ToUnicode ─▶ ToASCII, the same ─┴─▶ labels
"""

import re
import unicodedata

from . import uts46
from .limits import LIMITS
from .refusal import Refused

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ATEXT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~")
_WHITE_SPACE = frozenset("\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))))
_HIDING = (
    (0xAD, 0xAD),
    (0x61C, 0x61C),
    (0x180E, 0x180E),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0xE0000, 0xE0FFF),
)


def read_domain(text: str) -> str:
    """The normal form of a domain, by the six steps of [N-1]."""
    if not 1 <= len(_utf8(text)) <= LIMITS["DOMAIN_BYTES"]:
        raise Refused("name", "a domain of no bytes, or of too many")
    if text.isascii() and not any(label.lower().startswith("xn--") for label in text.split(".")):
        return _labels(text.lower())
    ascii_form = uts46.to_ascii(text)
    unicode_form = uts46.to_unicode(ascii_form)
    if not text.isascii() and uts46.DEVIATIONS & set(unicode_form):
        raise Refused("name", "a character that registries read in two ways")
    if uts46.to_ascii(unicode_form) != ascii_form:
        raise Refused("name", "a domain that doesn't map back to itself")
    return _labels(ascii_form)


def read_address(text: str) -> tuple[str, str]:
    """The local part, unquoted, and the normal form of the domain."""
    local, at, domain = text.rpartition("@")
    if not at:
        raise Refused("name", "no @")
    if len(local) >= 2 and local.startswith('"') and local.endswith('"'):
        local = local[1:-1]
    if not 1 <= len(_utf8(local)) <= LIMITS["LOCAL_PART_BYTES"]:
        raise Refused("name", "a local part of no bytes, or of too many")
    if any(not atom or not all(map(_is_achar, atom)) for atom in local.split(".")):
        raise Refused("name", "a local part that is no dot-atom")
    return local, read_domain(domain)


def is_domain(text: object) -> bool:
    """Whether it is a domain in normal form."""
    try:
        return isinstance(text, str) and read_domain(text) == text
    except Refused:
        return False


def is_address(text: object) -> bool:
    """Whether it is the text of an address in normal form."""
    try:
        return isinstance(text, str) and "@".join(read_address(text)) == text
    except Refused:
        return False


def hides_or_reorders(char: str) -> bool:
    """Whether a character hides or reorders text ([N-2])."""
    code = ord(char)
    return unicodedata.category(char) == "Cc" or char in _WHITE_SPACE or any(a <= code <= b for a, b in _HIDING)


def _is_achar(char: str) -> bool:
    return char in _ATEXT or (ord(char) > 0x7F and not hides_or_reorders(char))


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as fault:
        raise Refused("name", "a text that isn't UTF-8") from fault


def _labels(text: str) -> str:
    labels = text.split(".")
    if (
        len(labels) < 2
        or not all(map(_LABEL.fullmatch, labels))
        or labels[-1].isdigit()
        or len(text) > LIMITS["DOMAIN_BYTES"]
    ):
        raise Refused("name", "not two labels or more of letters, digits and inner hyphens")
    return text
