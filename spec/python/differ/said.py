"""Random contents, as `mimi.make` takes them."""

import random

from .values import Json, hexed, number

URIS = ("postline:u/" + "11" * 32, "postline:r/" + "22" * 32, "postline:u/" + "AB" * 32, "mimi://a.example/u/ann")
MEDIA = (
    "text/plain;charset=utf-8",
    "Text/Plain ; x",
    "text/markdown;variant=GFM-MIMI",
    "text/html",
    "application/mimi-message-status",
    "audio/ogg",
    "",
)
ITEMS = (
    "00 20 60 40 80 a0 f4 f6 f7 e0 f8ff f97e00 f93c00 fa47c35000 fb3ff199999999999a c100 818100 8181820102 a1410000"
    " c249010000000000000000 d82060 1bffffffffffffffff a1613100"
).split()


def an_id(rng: random.Random) -> str:
    """An id that can be one, of a few."""
    return "01" + rng.choice("0123456789abcdef") * 62


def a_part(rng: random.Random, level: int = 1) -> Json:
    """Any part."""
    part: Json = {"disposition": rng.choice((0, 1, 2, 2, 4, 6, 8, 9, 255)), "language": rng.choice(("", "en", "de,en"))}
    how = rng.randrange(10 if level < 4 else 7)
    if how == 0:
        return part
    if how < 4:
        said = rng.choice(("", "hello", "\U0001f44d", "gr\u00fc\u00dfe", "x" * rng.choice((64, 65, 300)))).encode()
        return part | {"media": rng.choice(MEDIA), "content": rng.choice((said, said, b"\xff")).hex()}
    if how < 7:
        return part | {"external": _external(rng)}
    parts = [a_part(rng, level + 1) for _ in range(rng.randint(2, 4))]
    return part | {"semantics": rng.randrange(3), "parts": parts}


def _external(rng: random.Random) -> Json:
    lengths = rng.choice(((0, 0, 0, 0), (1, 16, 12, 3), (29, 32, 12, 0), (2, 1, 0, 256), (65535, 64, 64, 0)))
    algorithm, size = rng.choice(((0, 0), (1, 32), (2, 1), (255, 64)))
    return {
        "media": rng.choice(MEDIA),
        "url": rng.choice((*URIS, "geo:1,2")),
        "expires": rng.choice((0, rng.getrandbits(32))),
        "size": number(rng),
        "aead": lengths[0],
        "key": hexed(rng, lengths[1]),
        "nonce": hexed(rng, lengths[2]),
        "aad": hexed(rng, lengths[3]),
        "hash_alg": algorithm,
        "hash": hexed(rng, size),
        "description": rng.choice(("", "two of us")),
        "filename": rng.choice(("", "../x", "f" * 255)),
    }


def a_content(rng: random.Random) -> Json:
    """Any content."""
    given: Json = {"salt": hexed(rng, 16), "topic": hexed(rng, rng.choice((0, 0, 7, 32))), "body": a_part(rng)}
    given["seen"] = sorted({an_id(rng) for _ in range(rng.choice((0, 0, 1, 4)))})
    if rng.random() < 0.4:
        given["replaces"] = an_id(rng)
        if rng.random() < 0.5:
            given["edit_no"] = rng.choice((1, 23, 24, 300, 4294967295))
    if rng.random() < 0.4:
        given["in_reply_to"] = an_id(rng)
    if rng.random() < 0.3:
        given["prev"] = an_id(rng)
    if rng.random() < 0.3:
        given["expires"] = {"after_reading": rng.random() < 0.5, "seconds": rng.getrandbits(rng.randint(1, 32))}
    if rng.random() < 0.3:
        given["sender"] = rng.choice(URIS)
    if rng.random() < 0.3:
        given["room"] = rng.choice(URIS)
    names = rng.sample((3, 24, 300, (1 << 53) - 1, -1, -25, 1 - (1 << 53), "a", "bb", "postline/x", "\u00fc", "x" * 255), rng.randrange(4))
    given["others"] = [[name, rng.choice(ITEMS)] for name in names]
    return given
