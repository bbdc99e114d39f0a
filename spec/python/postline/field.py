"""The grammar of a `Postline-*` field ([F-2]), the spelling of its values ([T-2]), and the content hash ([F-4])."""

import base64
import hashlib
import re

from .limits import LIMITS
from .refusal import Refused

Tags = dict[str, str]

_WHITE = re.compile(r"[ \t\r\n]")
_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]+")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}")


def read(body: str) -> Tags:
    """The tags of a field's body, white space removed from their values; what isn't of the grammar is refused."""
    if re.search(r"\r\n(?![ \t])|\r(?!\n)|(?<!\r)\n", body):
        raise Refused("field", "a CR or LF that is no fold")
    tags: Tags = {}
    for part in body.split(";"):
        name, equals, value = part.partition("=")
        name, value = name.lstrip(" \t\r\n"), _WHITE.sub("", value)
        if not equals or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or name in tags:
            raise Refused("field", "a part that is no tag, or a tag that stands twice")
        tags[name] = value
    if len(tags) > LIMITS["FIELD_TAGS"] or len(_WHITE.sub("", body)) > LIMITS["FIELD_BYTES"]:
        raise Refused("field", "too many tags, or too many bytes")
    return tags


def write(name: str, tags: Tags) -> str:
    """The field unfolded: `v` first, `b` last, the others in the order of their names."""
    order = sorted(tags, key=lambda tag: (tag != "v", tag == "b", tag))
    line = f"{name}: " + "; ".join(f"{tag}={tags[tag]}" for tag in order)
    if read(line.partition(":")[2]) != tags:
        raise Refused("field", "a value that doesn't read back")
    return line


def number(text: str) -> int:
    """A number in its one spelling."""
    if not _NUMBER.fullmatch(text) or int(text) >= 1 << 64:
        raise Refused("field", "not a number")
    return int(text)


def octets(text: str, size: int) -> bytes:
    """Bytes in their one spelling: base64 without padding, zero bits at the end."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as fault:
        raise Refused("field", "not base64") from fault
    if len(data) != size or spell(data) != text:
        raise Refused("field", "bytes of another length, or spelt in another way")
    return data


def spell(data: bytes) -> str:
    """The one spelling of bytes."""
    return base64.b64encode(data).decode("ascii").rstrip("=")


def content_hash(date: str, subject: str, body: bytes) -> bytes:
    """H(Date ‖ CRLF ‖ Subject ‖ CRLF ‖ body), the body without the CRLFs at its end."""
    while body.endswith(b"\r\n"):
        body = body[:-2]
    return hashlib.sha256(date.encode("utf-8") + b"\r\n" + subject.encode("utf-8") + b"\r\n" + body).digest()
