"""Random values of every kind that an op takes, made from a seed and often at an edge."""

import random
from typing import Any

import shim
from postline import log, offer

Json = dict[str, Any]

CODES = (0, 1, 2, 8, 16, 18, 32, 33, 34, 35, 36, 37)
LAST_SECOND = ((1 << 64) - 1) // 1000

LOCALS = ("ann", "bob", "a.b", "a", "x+tag", "z-1", "grüße", "名前", "a" * 64)
DOMAINS = ("a.example", "b.example", "mail.a.example", "xn--bcher-kva.example", "d1.d2.example", "c" * 63 + ".example")
PIECES = (
    'a|b|Z|0|9|-|.|..|_|@|"|\\| |(|)|<|>|,|;|:|xn--|XN--|xn--bcher-kva|xn--a|xn--fa-hia|xn--nxasmm1c|xn--0ca|'
    "bücher|BÜCHER|ß|\u1e9e|ς|σ|Σ|\u200c|\u200d|\xad|\u034f|。|．|｡|㎏|ﬁ|①|Ⅷ|½|א|ب|٣|۳|क\u094d|क|\u093e|e\u0301|é|"
    "\u0301|İ|ı|K|Å|\u1e9e|𝐀|😀|\ufe0f|\xa0|\u3000|\u2028|\ufeff|\x85|\u061c|\u202e|\u2060|ａ|＠|-ü|ü-|ä--b|日本|ー|中|国|"
    "한|\u1100\u1161|ๆ|ꙮ|·|・|≠|≮|⒈|\ud7a3|\ue000|\U000e0001|�"
).split("|")


def hexed(rng: random.Random, size: int) -> str:
    """Random bytes as JSON has them."""
    return rng.randbytes(size).hex()


def address(rng: random.Random) -> str:
    """An address in normal form."""
    return f"{rng.choice(LOCALS)}@{rng.choice(DOMAINS)}"


def number(rng: random.Random, bits: int = 64) -> Any:
    """A number, often at an edge, as JSON has it."""
    edges = [edge + near for edge in (0, 24, 1 << 8, 1 << 16, 1 << 32, 1 << 53, 1 << bits) for near in (-1, 0, 1)]
    usable = [edge for edge in edges if 0 <= edge < 1 << bits]
    return shim.json_value(rng.choice(usable) if rng.random() < 0.5 else rng.getrandbits(rng.randint(1, bits)))


_P = 2**255 - 19
# Encodings of points of small order, canonical and not, and of a y that is no point's.
LOW = [
    y.to_bytes(32, "little")
    for y in (0, 1, 2, _P - 1, _P, _P + 1, _P + 2, 1 << 255, 1 << 255 | 1, 1 << 255 | _P - 1, (1 << 256) - 1)
] + [
    bytes.fromhex(text)
    for text in (
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
]


def field_values(rng: random.Random, kind: offer.Kind) -> Json:
    """The input of one field's `.make`."""
    given: Json = {
        "seed": hexed(rng, 32),
        "from": address(rng),
        "to_cc": [address(rng) for _ in range(rng.randint(0, 5))],
    }
    given["t"] = rng.choice((1780000000, rng.getrandbits(31), number(rng), LAST_SECOND))
    for tag, size in kind.octets.items():
        given[tag] = hexed(rng, size)
    for tag in kind.numbers:
        given[tag] = rng.choice((90, 0, 365, 366, number(rng)))
    if kind.optional and rng.random() < 0.5:
        given["h"] = f"{rng.choice(DOMAINS)}:{rng.choice((443, 1024, 7678, 65535))}"
    if kind.optional and rng.random() < 0.5:
        given["ak"] = hexed(rng, 32)
    if kind.optional and rng.random() < 0.5:
        given["nx"] = hexed(rng, 32)
    return given


def a_talk(rng: random.Random) -> Json:
    """One frame about a sealed conversation, or about keys, of any type."""
    kind = rng.randrange(16, 28)
    talk, tag, size = hexed(rng, 32), hexed(rng, 8), rng.choice((0, 1, 24, 300))
    if kind in (16, 18):
        people = {address(rng) for _ in range(rng.choice((0, 0, 1, 2, 64)))}
        frame: Json = {
            "conversation": talk,
            "kind": rng.randrange(3),
            "epoch": number(rng),
            "members": sorted(people, key=lambda text: text.rpartition("@")[::2]),
        }
        size = rng.choice((size, 61440))
        if kind == 16:
            return frame | {"type": 16, "device": tag, "number": number(rng), "bytes": hexed(rng, size)}
        frame |= {"type": 18, "term": number(rng), "seq": number(rng)}
        frame |= rng.choice(({}, {"device": tag, "number": number(rng)}))
        return frame | rng.choice(({}, {"bytes": hexed(rng, size)}))
    if kind == 20:
        leaves = [hexed(rng, 32) for _ in range(rng.choice((1, 2, 64)))]
        places = rng.sample(range(len(leaves)), rng.randint(0, min(3, len(leaves))))
        heads = [
            {"place": at, "conversation": talk, "term": number(rng), "seq": number(rng), "hash": hexed(rng, 32)}
            for at in places
        ]
        for head in heads:
            if rng.random() < 0.7:
                known = {"conversation": bytes.fromhex(talk), "hash": bytes.fromhex(head["hash"])}
                numbers = {"term": int(head["term"]), "seq": int(head["seq"])}
                leaves[head["place"]] = log.leaf(known | numbers).hex()
        return {"type": 20, "leaves": leaves, "heads": heads, "signature": hexed(rng, rng.choice((0, 63, 64)))}
    if kind == 22:
        packages = [hexed(rng, size) for _ in range(rng.choice((0, 1, 32)))]
        said: Json = rng.choice(
            (
                {"list": hexed(rng, size)},
                {"theirs": address(rng), "proof": hexed(rng, rng.choice((size, 4096)))},
                {"packages": packages},
                {"packages": packages, "last_resort": hexed(rng, rng.choice((size, 2048)))},
                {"note": hexed(rng, rng.choice((size, 16384)))},
                {"device": hexed(rng, 32), "note": hexed(rng, size)},
            )
        )
        return {"type": 22, "number": number(rng)} | said
    if kind == 24:
        asked: Json = rng.choice(
            (
                {"asker": address(rng), "whose": address(rng), "after": number(rng)},
                {
                    "asker": address(rng),
                    "whose": address(rng),
                    "only": [hexed(rng, 32) for _ in range(rng.choice((0, 1, 16)))],
                },
                {"conversation": talk, "first": number(rng), "last": number(rng)},
            )
        )
        return {"type": 24, "number": number(rng)} | asked
    if kind == 25:
        found: Json = rng.choice(
            (
                {"lists": [hexed(rng, size) for _ in range(rng.choice((0, 1, 12)))]},
                {"packages": [hexed(rng, size) for _ in range(rng.choice((0, 1, 16)))]},
                {},
                {"code": rng.choice(CODES)},
            )
        )
        return {"type": 25, "number": number(rng)} | found
    if kind == 26:
        line: Json = {"type": 26, "theirs": address(rng), "offered": rng.random() < 0.5, "nk": hexed(rng, 32)}
        line |= rng.choice(({}, {"t2": hexed(rng, 32)})) | rng.choice(({}, {"proof": hexed(rng, size)}))
        return line | {"newest": number(rng)}
    if kind == 27:
        return {"type": 27, "user": rng.choice(("", "ann", "u" * 320)), "password": rng.choice(("", "pass wörd", "p" * 1024))}
    if kind == 17:
        return {"type": 17, "conversation": talk, "device": tag, "number": number(rng), "code": rng.choice(CODES)}
    if kind == 23:
        return {"type": 23, "number": number(rng)} | rng.choice(({}, {"code": rng.choice(CODES)}))
    member = {"member": address(rng)} if kind == 21 else {}
    return {"type": kind, "conversation": talk, "seq": number(rng)} | member


def a_whisper(rng: random.Random) -> Json:
    """Something that is whispered."""
    size, form = rng.choice((0, 1, 3, 64)), rng.randrange(4)
    if form == 0:
        words = ({"word": 0}, {"word": 1}, {"word": 2}, {"last": number(rng)})
        deltas = [{"of": address(rng), "to": address(rng)} | rng.choice(words) for _ in range(size)]
        return {"type": 129, "deltas": deltas}
    if form == 1:
        return {"type": 129, "who": address(rng), "conversation": hexed(rng, 32)}
    if form == 2:
        return {"type": 129}
    choices = [{"theirs": address(rng), "chosen": number(rng), "agrees": rng.random() < 0.5} for _ in range(size)]
    return {"type": 129, "choices": choices}


def a_frame(rng: random.Random) -> Json:
    """One frame of any type."""
    if rng.random() < 0.1:
        return a_whisper(rng)
    if rng.random() < 0.5:
        return a_talk(rng)
    kind = rng.choice((1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15))
    if kind == 1:
        return {"type": 1, "bytes": hexed(rng, rng.randint(0, 200))}
    if kind == 2:
        return {"type": 2, "signature": hexed(rng, 64)}
    if kind == 3:
        return {
            "type": 3,
            "next_nk": hexed(rng, 32),
            "generation": number(rng),
            "last_seq": number(rng),
            "window_items": number(rng, 32),
            "window_bytes": number(rng),
            "largest": number(rng),
        }
    if kind == 4:
        to = list(dict.fromkeys(address(rng) for _ in range(rng.randint(1, 5))))
        frame: Json = {
            "type": 4,
            "seq": number(rng),
            "id": hexed(rng, 16),
            "from": address(rng),
            "to": to,
            "submitted": number(rng),
        }
        if rng.random() < 0.3:
            return frame | {
                "hash": hexed(rng, 32),
                "length": rng.choice((16385, 26214401, shim.json_value((1 << 64) - 1))),
            }
        return frame | {"body": hexed(rng, rng.choice((0, 6, 500, 16384)))}
    if kind == 6:
        indices = sorted(rng.sample(range(256), rng.choice((0, 1, 3, 100))))
        return {"type": 6, "seq": number(rng), "code": rng.choice((0, 2, 8, 16, 17, 18)), "rcpts": indices}
    if kind == 7:
        return {
            "type": 7,
            "from": address(rng),
            "to": address(rng),
            "step": rng.choice((0, 1, 3)),
            "bytes": hexed(rng, rng.randint(0, 120)),
            "signature": hexed(rng, 64),
        }
    if kind in (8, 11):
        return {"type": kind, "marks": [[hexed(rng, 16), rng.randrange(2)] for _ in range(rng.choice((0, 1, 2, 64)))]}
    if kind == 9:
        return {
            "type": 9,
            "hash": hexed(rng, 32),
            "offset": number(rng),
            "bytes": hexed(rng, rng.choice((0, 4, 16384))),
        }
    if kind == 10:
        return (
            {"type": 10, "ids": [hexed(rng, 16) for _ in range(rng.choice((0, 1, 64)))]}
            if rng.random() < 0.5
            else {"type": 10, "hash": hexed(rng, 32), "offset": number(rng)}
        )
    if kind == 15:
        return {"type": 15, "code": rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8))}
    return {"type": kind, "seq" if kind == 5 else "number": number(rng)}


def cut(rng: random.Random, data: bytes) -> list[str]:
    """A stream cut anywhere."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))
    return [data[a:b].hex() for a, b in zip([0, *cuts], [*cuts, len(data)])]
