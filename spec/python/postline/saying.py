"""What goes with contents: URIs of people and rooms, reports, places, markdown ([M-3], [M-7], [M-11], [M-12])."""

import re
from typing import Any, Optional

from . import cbor
from .content import message_id
from .limits import LIMITS
from .refusal import Refused
from .shape import array, need, number

_PERSON, _ROOM = "postline:u/", "postline:r/"
_MICRO = 1_000_000


def person(identity: bytes) -> str:
    """The URI of a person."""
    return _PERSON + identity.hex()


def room(conversation: bytes) -> str:
    """The URI of a conversation."""
    return _ROOM + conversation.hex()


def make_report(statuses: list[tuple[bytes, int]]) -> bytes:
    """The bytes of a report."""
    return cbor.write([list(pair) for pair in statuses])


def read_report(data: bytes) -> list[tuple[bytes, int]]:
    """What became of which contents."""
    pairs = [array(pair, 2, 2) for pair in array(cbor.read(data), 0, LIMITS["STATUSES"])]
    statuses = [(message_id(content), number(status, 256)) for content, status in pairs]
    need(len({content for content, _ in statuses}) == len(statuses), "one content twice")
    return statuses


def without_tags(text: str) -> str:
    """Markdown as it may be sent."""
    return re.sub(r"<(?=[A-Za-z/!?])(?!" + _LINK + ")", "&lt;", text)


# Controls are those of Unicode's category Cc.
_LINK = r"[A-Za-z][A-Za-z0-9+.\-]{1,31}:[^<> \x00-\x1f\x7f-\x9f]*>"


def mentions(text: str) -> list[str]:
    """Whom a text mentions, as hexadecimal digits."""
    uri = re.escape(_PERSON) + "([0-9a-f]{64})"
    found = re.findall(r"\]\(" + uri + r"\)", text) + re.findall("<" + uri + ">", text)
    return list(dict.fromkeys(found))[: LIMITS["MENTIONS"]]


def read_place(text: str) -> dict[str, Any]:
    """A place, in millionths of a degree, with its one spelling."""
    scheme, colon, rest = text.partition(":")
    need(colon == ":" and _lower(scheme) == "geo", "no geo: URI")
    coordinates, *parameters = rest.split(";")
    numbers = coordinates.split(",")
    need(len(numbers) in (2, 3), "not two numbers, or three")
    latitude, longitude, *_ = [_millionths(one) for one in numbers]
    within: Optional[int] = None
    for at, parameter in enumerate(parameters):
        called, _, value = parameter.partition("=")
        if _lower(called) == "crs":
            need(at == 0 and _lower(value) == "wgs84", "another reference system, or not first")
        if _lower(called) == "u":
            need(within is None and not value.startswith("-"), "how far off, twice or less than nothing")
            within = _millionths(value) // _MICRO
            need(within < 1 << 32, "too far off")
    need(abs(latitude) <= 90 * _MICRO and abs(longitude) <= 180 * _MICRO, "not on earth")
    if abs(latitude) == 90 * _MICRO:
        longitude = 0
    if longitude == -180 * _MICRO:
        longitude = -longitude
    spelt = f"geo:{_degrees(latitude)},{_degrees(longitude)}"
    place: dict[str, Any] = {"latitude": latitude, "longitude": longitude, "text": spelt}
    return place if within is None else place | {"within": within, "text": f"{spelt};u={within}"}


def _lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def _millionths(text: str) -> int:
    found = re.fullmatch(r"(-?)([0-9]+)(?:\.([0-9]+))?", text)
    if found is None:
        raise Refused("malformed", "no decimal number")
    minus, whole, fraction = found.groups()
    value = int(whole) * _MICRO + int((fraction or "").ljust(6, "0")[:6])
    return -value if minus else value


def _degrees(millionths: int) -> str:
    whole, fraction = divmod(abs(millionths), _MICRO)
    text = f"{whole}.{fraction:06}".rstrip("0").rstrip(".")
    return "-" + text if millionths < 0 else text
