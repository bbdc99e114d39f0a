"""The questions, family by family: something is made, read as it is, and read spoilt."""

import hashlib
import ipaddress
import random
import unicodedata
from typing import Any, Callable

import shim
from postline import cbor, dial, ed25519, offer
from postline import signed as signing
from postline.limits import LIMITS

from .said import ITEMS, MEDIA, URIS, a_content
from .spoilers import flipped, spoilt_body, spoilt_bytes, spoilt_value
from .values import DOMAINS, LAST_SECOND, LOW, PIECES, Json, a_frame, address, cut, field_values, hexed, number

# Puts a question, by its family, op and input, to both, and gives back the answer of one of them.
Ask = Callable[[str, str, Json], Json]
Family = Callable[[random.Random, Ask], None]


def addresses(rng: random.Random, ask: Ask) -> None:
    """Texts of pieces that names stumble over."""
    for _ in range(10):
        text = "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 5)))
        char = chr(
            rng.choice((rng.randrange(0x80, 0x3000), rng.randrange(0x3000, 0xD800), rng.randrange(0xE000, 0x20000)))
        )
        ask("addresses", "domain.read", {"text": text})
        ask("addresses", "domain.read", {"text": text + rng.choice((".example", ".b.example", "。example"))})
        ask("addresses", "domain.read", {"text": "xn--" + text.encode("punycode").decode("ascii") + ".example"})
        if unicodedata.category(char) != "Cn":
            # What this Python's Unicode doesn't know yet is refused here, and may be a domain to a newer one.
            ask("addresses", "domain.read", {"text": f"a{char}.example"})
            ask("addresses", "address.read", {"text": f"a{char}@b.example"})
        ask("addresses", "address.read", {"text": text + rng.choice(("@b.example", '"@b.example', "@", ""))})
        ask("addresses", "address.read", {"text": '"' + text + '"@b.example'})


def fields(kind: offer.Kind) -> Family:
    """Fields of one kind: made, verified, spoilt, and first seen at the edges of their time."""

    def family(rng: random.Random, ask: Ask) -> None:
        op, given = f"{kind.label}s", field_values(rng, kind)
        # A time that no clock of ours shows is never written, but must be read.
        made = (
            ask(op, f"{kind.label}.make", given)
            if int(given["t"]) <= LAST_SECOND
            else shim.answer({"id": "", "op": f"{kind.label}.make", "input": given})
        )
        line = made["ok"]["line"]
        seen: Json = {"from": given["from"], "to_cc": given["to_cc"], "body": line.partition(":")[2]}
        ask(op, f"{kind.label}.verify", seen)
        ask(op, f"{kind.label}.verify", seen | {"to_cc": seen["to_cc"][::-1] * 2})
        ask(op, f"{kind.label}.verify", seen | {"from": address(rng)})
        ask("field", "field.read", {"body": seen["body"]})
        for _ in range(6):
            body = spoilt_body(rng, seen["body"])
            ask("field", "field.read", {"body": body})
            ask(op, f"{kind.label}.verify", seen | {"body": body})
        if kind is not offer.ID:
            begin = 1000 * int(given["t"])
            end = begin + 86_400_000 * min(int(given.get("x", 0)), LIMITS["OFFER_TTL_DAYS_MAX"])
            for now in (begin - LIMITS["CLOCK_SKEW_MS"], end):
                for near in (-1, 0, 1):
                    if 0 <= now + near < 1 << 64:
                        ask(op, f"{kind.label}.verify", seen | {"now": shim.json_value(now + near)})

    return family


def transcripts(rng: random.Random, ask: Ask) -> None:
    """Steps, Hellos, and the signatures over them."""
    ask_here: Callable[[str, Json], Json] = lambda op, given: ask("transcripts", op, given)
    seed, exporter = hexed(rng, 32), hexed(rng, 32)
    key = ed25519.public_key(bytes.fromhex(seed)).hex()
    label = rng.choice(("confirm", "done"))
    step = ask_here(f"{label}.make", {"t1": hexed(rng, 32), "nonce": hexed(rng, 16), "fresh": hexed(rng, 32)})["ok"][
        "bytes"
    ]
    read_spoilt(rng, ask, ("confirm.read", "done.read"), bytes.fromhex(step))
    ask_here("t2.make", {"t1": hexed(rng, 32), "m2": step, "m3": hexed(rng, 92)})
    signed = ask_here("step.sign", {"seed": seed, "step": label, "bytes": step, "exporter": exporter})["ok"]
    verify_spoilt(
        rng,
        ask,
        "step.verify",
        {"nk": key, "step": label, "bytes": step, "exporter": exporter, "signature": signed["signature"]},
    )

    extensions = [
        [number(rng), hexed(rng, rng.choice((0, 1, 32, 40)))] for _ in range(rng.choice((0, 0, 1, 3, 16, 17)))
    ]
    extensions = [
        list(pair)
        for pair in sorted(
            {int(name): (name, item) for name, item in extensions}.values(), key=lambda pair: int(pair[0])
        )
    ]
    hello = {"nk": key, "speaker": rng.choice(DOMAINS), "listener": rng.choice(DOMAINS), "random": hexed(rng, 32)}
    made = ask_here("hello.make", hello | {"extensions": extensions, "version": rng.choice((1, 2, number(rng)))})
    if "ok" not in made:
        made = ask_here("hello.make", hello)
    one = made["ok"]["bytes"]
    read_spoilt(rng, ask, ("hello.read",), bytes.fromhex(one))
    other = ask_here("hello.make", hello | {"speaker": hello["listener"], "listener": hello["speaker"]})["ok"]["bytes"]
    proof = {"end": rng.choice(("dialler", "listener")), "dialler": one, "listener": other, "exporter": exporter}
    signed = ask_here("proof.sign", proof | {"seed": seed})["ok"]
    verify_spoilt(rng, ask, "proof.verify", proof | {"nk": key, "signature": signed["signature"]})


def read_spoilt(rng: random.Random, ask: Ask, ops: tuple[str, ...], data: bytes, family: str = "transcripts") -> None:
    """Reads bytes as they are, and spoilt on both levels."""
    value = cbor.read(data)
    tries = (
        [data] + [spoilt_bytes(rng, data) for _ in range(8)] + [cbor.write(spoilt_value(rng, value)) for _ in range(8)]
    )
    for op in ops:
        for spoilt in tries:
            ask(family, op, {"bytes": spoilt.hex()})


def verify_spoilt(
    rng: random.Random, ask: Ask, op: str, given: Json, family: str = "transcripts", key: str = "nk"
) -> None:
    """Verifies a signature as it is, with one part spoilt, and with points and scalars that a lax reader takes."""
    ask(family, op, given)
    part = rng.choice([name for name in given if name not in ("step", "end")])
    data = bytes.fromhex(given[part])
    spoilt = flipped(rng, data) if part in (key, "exporter", "channel") else spoilt_bytes(rng, data)
    ask(family, op, given | {part: spoilt.hex()})
    s = int.from_bytes(bytes.fromhex(given["signature"])[32:], "little") + ed25519.ORDER
    ask(family, op, given | {"signature": given["signature"][:64] + s.to_bytes(32, "little").hex()})
    low = rng.choice(LOW)
    ask(family, op, given | {key: low.hex(), "signature": (low + bytes(32)).hex()})
    ask(family, op, given | {key: low.hex()})
    ask(family, op, given | {"signature": low.hex() + given["signature"][64:]})


def sessions(rng: random.Random, ask: Ask) -> None:
    """Hellos of both ends, spoilt, and the proofs over them."""
    ask_here: Callable[[str, Json], Json] = lambda op, given: ask("sessions", op, given)
    seed, channel = hexed(rng, 32), ask_here("session.browser", {"host": rng.choice(DOMAINS)})["ok"]["channel"]
    key = ed25519.public_key(bytes.fromhex(seed)).hex()
    extras: Json = {"version": rng.choice((1, 2, number(rng))) or 1}
    if rng.random() < 0.4:
        extras["extensions"] = [[1, key]]
    device: Json = {"address": address(rng), "dk": key, "fresh": hexed(rng, 32)}
    device |= {"enrols": rng.random() < 0.5, "posted": number(rng)}
    one = ask_here("session.device.make", device | extras)["ok"]["bytes"]
    two = ask_here("session.node.make", {"nk": key, "fresh": hexed(rng, 32)} | extras)["ok"]["bytes"]
    read_spoilt(rng, ask, ("session.device.read",), bytes.fromhex(one), "sessions")
    read_spoilt(rng, ask, ("session.node.read",), bytes.fromhex(two), "sessions")
    given: Json = {"end": rng.choice(("device", "node")), "device": one, "node": two, "channel": channel}
    signed = ask_here("session.proof.sign", given | {"seed": seed})["ok"]
    proof = given | {"key": key, "signature": signed["signature"]}
    verify_spoilt(rng, ask, "session.proof.verify", proof, "sessions", "key")


def frames(rng: random.Random, ask: Ask) -> None:
    """Streams of frames, whole, cut, and spoilt on each level."""
    made = [
        bytes.fromhex(ask("frames", "frame.make", {"frame": a_frame(rng)})["ok"]["bytes"])
        for _ in range(rng.randint(1, 3))
    ]
    for ready in (True, False):
        ask("frames", "frames.read", {"chunks": cut(rng, b"".join(made)), "ready": ready})
    kind, body = made[0][4], made[0][5:]
    tries = [spoilt_bytes(rng, b"".join(made)) for _ in range(4)]
    bodies = [(kind, spoilt_bytes(rng, body)) for _ in range(6)] + [
        (rng.choice((0, 12, 16, 27, 28, 127, 128, 255, rng.randrange(256))), body)
    ]
    if kind != 1:
        bodies += [(kind, cbor.write(spoilt_value(rng, cbor.read(body)))) for _ in range(12)]
    tries += [(len(spoilt) + 1).to_bytes(4, "big") + bytes([which]) + spoilt for which, spoilt in bodies]
    for stream in tries:
        ask("frames", "frames.read", {"chunks": cut(rng, stream), "ready": rng.random() < 0.8})


def logs(rng: random.Random, ask: Ask) -> None:
    """Chains of entries, heads signed and spoilt, and changes spoilt on both levels."""
    ask_here: Callable[[str, Json], Json] = lambda op, given: ask("logs", op, given)
    talk, seed = ask_here("log.direct", {"t2": hexed(rng, 32)})["ok"]["conversation"], hexed(rng, 32)
    ask_here("log.tag", {"conversation": talk, "dk": hexed(rng, 32)})
    entries = [
        {
            "term": number(rng),
            "seq": number(rng),
            "kind": rng.randrange(3),
            "epoch": number(rng),
            "members": [address(rng) for _ in range(rng.choice((0, 0, 2)))],
            "bytes": hexed(rng, rng.choice((0, 1, 300))),
        }
        for _ in range(rng.randint(0, 4))
    ]
    chain = ask_here("log.chain", {"conversation": talk, "entries": entries})["ok"]["chain"]
    head = {"conversation": talk, "term": number(rng), "seq": number(rng), "hash": chain[-1]}
    leaves = [hexed(rng, 32) for _ in range(rng.randrange(4))]
    leaves.insert(rng.randint(0, len(leaves)), ask_here("log.leaf", head)["ok"]["leaf"])
    signed = ask_here("heads.sign", {"seed": seed, "leaves": leaves})["ok"]
    given: Json = {
        "nk": ed25519.public_key(bytes.fromhex(seed)).hex(),
        "leaves": leaves,
        "heads": [head | {"place": rng.randrange(len(leaves))} for _ in range(rng.choice((0, 1, 2)))],
        "signature": signed["signature"],
    }
    ask_here("heads.verify", given)
    part = rng.choice(("nk", "signature"))
    ask_here("heads.verify", given | {part: flipped(rng, bytes.fromhex(given[part])).hex()})
    ask_here("heads.verify", given | {"leaves": leaves[1:] + leaves[:1]})
    change: Json = {"commit": hexed(rng, rng.choice((0, 30))), "group_info": hexed(rng, rng.choice((0, 300)))}
    made = bytes.fromhex(ask_here("change.make", change | rng.choice(({}, {"welcome": hexed(rng, 9)})))["ok"]["bytes"])
    value = cbor.read(made)
    tries = [made] + [spoilt_bytes(rng, made) for _ in range(8)]
    for spoilt in tries + [cbor.write(spoilt_value(rng, value)) for _ in range(8)]:
        ask_here("change.read", {"bytes": spoilt.hex()})


def persons(rng: random.Random, ask: Ask) -> None:
    """Chains of device lists, right and wrong in one thing; leaves and key proofs by them; all of it spoilt."""
    ask_here: Callable[[str, Json], Json] = lambda op, given: ask("people", op, given)
    seeds = [bytes([n]).hex() * 32 for n in (21, 22, 23)]
    keys = [ed25519.public_key(bytes.fromhex(seed)) for seed in seeds]
    hashes = [hashlib.sha256(key).hexdigest() for key in keys]
    devices: list[Json] = [{"dk": bytes([n]).hex() * 32, "caps": 0, "added": number(rng)} for n in range(1, 4)]
    given: Json = {"seed": seeds[0], "identity": hashes[0], "address": "ann@a.example", "number": 1, "next": hashes[1]}
    given |= {"hosted": rng.random() < 0.3, "devices": devices[:1], "revoked": []}
    if rng.random() < 0.3:
        devices[0] |= {"name": rng.choice(("phone", "grün", "a b", "x" * 32))}
    made = ask_here("list.make", given)["ok"]
    lists = [made["bytes"]]
    for _ in range(rng.randint(0, 3)):
        given = dict(given) | {"number": int(given["number"]) + 1, "prev": made["hash"]}
        how = rng.randrange(6)
        if how == 0:
            given["devices"] = [*given["devices"], devices[min(len(given["devices"]), 2)]][:3]
        if how == 1 and len(given["devices"]) > 1:
            given["revoked"] = sorted({*given["revoked"], given["devices"][0]["dk"]})
            given["devices"] = given["devices"][1:]
        if how == 2:
            given |= {"seed": seeds[1], "next": hashes[2]}
        if how == 3:
            given |= rng.choice(({"hosted": True}, {"prev": hexed(rng, 32)}, {"number": number(rng)}, {"next": hashes[2]}))
        unique = {device["dk"]: device for device in given["devices"]}
        given["devices"] = [unique[dk] for dk in sorted(unique)]
        made = ask_here("list.make", given)["ok"]
        judged = ask_here("list.judge", {"whose": "ann@a.example", "lists": lists, "bytes": made["bytes"]})
        if judged.get("ok", {}).get("verdict") != "extends":
            break
        lists.append(made["bytes"])
    known: Json = {"whose": "ann@a.example", "lists": lists}
    ask_here("list.judge", known | {"bytes": rng.choice(lists)})
    person: Json = {"seed": rng.choice(seeds), "identity": rng.choice(hashes[:2]), "number": rng.randint(1, 5)}
    leaf = person | {"address": "ann@a.example", "dk": rng.choice(devices)["dk"], "hosted": rng.random() < 0.3}
    proof = person | {"t2": "72" * 32, "author": "ann@a.example", "other": "bob@b.example", "list": made["hash"]}
    leaf_made, proof_made = ask_here("leaf.make", leaf)["ok"], ask_here("keys.make", proof)["ok"]
    ask_here("leaf.judge", known | {"bytes": leaf_made["bytes"]})
    ask_here("keys.judge", known | {"bytes": proof_made["bytes"], "ours": "bob@b.example", "t2": "72" * 32})
    for op, data in (("list.read", made), ("leaf.read", leaf_made), ("keys.read", proof_made)):
        whole = bytes.fromhex(data["bytes"])
        signer = given["seed"] if op == "list.read" else person["seed"]
        label = {"list.read": "device list", "leaf.read": "leaf", "keys.read": "key proof"}[op]
        for _ in range(4):
            ask_here(op, {"bytes": spoilt_bytes(rng, whole).hex()})
            # Spoilt, and signed all the same: its shape alone is in the way.
            canonical = cbor.write(spoilt_value(rng, cbor.read(bytes.fromhex(data["signed"]))))
            signature = signing.sign(bytes.fromhex(signer), label, canonical)
            ask_here(op, {"bytes": cbor.write([canonical, signature]).hex()})


def seals(rng: random.Random, ask: Ask) -> None:
    """Codes that are compared, words, phrases, and requests to join."""
    ask_here: Callable[[str, Json], Json] = lambda op, given: ask("sealed", op, given)
    sides = [
        {"address": address(rng), "identity": hexed(rng, 32), "ak": hexed(rng, 32), "nonce": hexed(rng, 32)}
        for _ in range(2)
    ]
    made = ask_here("comparison.make", {"t2": hexed(rng, 32), "one": sides[0], "two": sides[1]})["ok"]
    word = bytes.fromhex(rng.choice(made["commits"] + made["reveals"]))
    for spoilt in [word] + [spoilt_bytes(rng, word) for _ in range(4)]:
        ask_here("word.read", {"bytes": spoilt.hex()})
    phrase = ask_here("phrase.make", {"bits": hexed(rng, 10)})["ok"]["text"]
    at = rng.randrange(len(phrase))
    for text in (phrase, phrase.lower(), phrase[:at] + rng.choice("0OIlU -é") + phrase[at + rng.randrange(2) :]):
        ask_here("phrase.read", {"text": text})
    aad: Json = {"conversation": hexed(rng, 32), "generation": number(rng, 32)}
    aad |= rng.choice(({}, {"seq": number(rng), "hash": hexed(rng, 32)}))
    whole = bytes.fromhex(ask("groups", "aad.make", aad)["ok"]["bytes"])
    tries = [whole, spoilt_bytes(rng, whole), cbor.write(spoilt_value(rng, cbor.read(whole)))]
    for spoilt in tries:
        ask("groups", "aad.read", {"bytes": spoilt.hex()})
    ask("groups", "padding.length", {"length": rng.choice((rng.randrange(3000), 63, 64, 511, 512, 1023, 1024, 16384))})
    join = {"code": phrase, "secret": hexed(rng, 32), "address": address(rng), "dk": hexed(rng, 32)}
    ask_here("join.make", join | {"until": number(rng)})


def dials(rng: random.Random, ask: Ask) -> None:
    """Addresses at the edges of nets, texts that are nearly addresses, and hints."""
    nets = [
        *dial.DENIED_4,
        *dial.DENIED_6,
        dial.GLOBAL_6,
        *map(ipaddress.ip_network, ("64:ff9b::/96", "::/96", "::ffff:0:0/96")),
    ]
    for _ in range(6):
        net = rng.choice(nets)
        edge = int(rng.choice((net.network_address, net.broadcast_address))) + rng.choice((-1, 0, 0, 1))
        edge = min(max(edge, 0), (1 << net.max_prefixlen) - 1)
        ip: Any = (ipaddress.IPv4Address if net.version == 4 else ipaddress.IPv6Address)(edge)
        if net.version == 4 and rng.random() < 0.6:
            shape = rng.choice((0xFFFF << 32, 0x64FF9B << 96, 0))
            ip = (
                ipaddress.IPv6Address(shape | edge)
                if rng.random() < 0.7
                else ipaddress.IPv6Address(0x2002 << 112 | edge << 80)
            )
        allow = [
            str(
                rng.choice(
                    (
                        (
                            ipaddress.ip_network((int(ip) if ip.version == 6 else edge, bits), strict=False)
                            if ip.version == 6
                            else ipaddress.IPv4Network((edge, bits % 33), strict=False)
                        ),
                        rng.choice(nets),
                    )
                )
            )
            for bits in rng.sample((0, 8, 12, 16, 24, 32, 64, 96, 128), rng.randrange(3))
        ]
        text = rng.choice((str(ip), ip.exploded))
        port = rng.choice((443, 7678, 1024, 1023, 65535, 25, 0, rng.randrange(65536)))
        ask("dial", "dial.judge", {"ip": text, "port": port, "allow": allow})
        at = rng.randrange(len(text) + 1)
        ask(
            "dial",
            "dial.judge",
            {"ip": text[:at] + rng.choice("0:.f1%/ x") + text[at + rng.randrange(2) :], "port": 443, "allow": []},
        )
        host = rng.choice(
            (*DOMAINS, "example", "A.example", "192.0.2.1", "[2001:db8::1]", "a.example.", "bücher.example", "")
        )
        hint = f"{host}{rng.choice((':', ':', ':', '', '::', ': '))}{rng.choice((443, 7678, 1024, 1023, 65535, 65536, 25, 0, '07678', '', '+443', '٤٤٣'))}"
        ask("dial", "hint.read", {"text": hint, "mail_domain": rng.choice(DOMAINS)})


def contents(rng: random.Random, ask: Ask) -> None:
    """Content hashes, fields written from tags, and numbers of codes."""
    body = b"".join(rng.choice((b"\r\n", b"\r\n", b"a", b"\xff", b" ")) for _ in range(rng.randint(0, 8)))
    ask(
        "field",
        "content.make",
        {
            "date": rng.choice(("", "Mon, 01 Jun 2026 10:00:00 +0000")),
            "subject": rng.choice(("", "grüße", "a  b")),
            "body": body.hex(),
        },
    )
    tags = {
        rng.choice(("v", "b", "a", "z9", "nk", "t", "re", "aa")): rng.choice(("1", "x=y", "a:b", "="))
        for _ in range(rng.randint(1, 6))
    }
    ask("field", "field.write", {"name": rng.choice(("Postline-Offer", "Postline-Id")), "tags": tags})
    ask("codes", "code.read", {"number": rng.choice((rng.randrange(32), rng.randrange(65536), 65535))})


def sayings(rng: random.Random, ask: Ask) -> None:
    """Contents, whole and spoilt; reports; the text of places and of markdown."""
    ask_here: Callable[[str, Json], Json] = lambda op, given: ask("content", op, given)
    whole = bytes.fromhex(ask_here("mimi.make", a_content(rng))["ok"]["bytes"])
    ask_here("mimi.id", {"bytes": whole.hex(), "sender": rng.choice(URIS), "room": rng.choice(URIS)})
    media = rng.sample(MEDIA, rng.randrange(len(MEDIA)))
    ask_here("mimi.choose", {"bytes": whole.hex(), "media": media})
    ask_here("mimi.kept", {"bytes": whole.hex()})
    pieces = ("f97e00", "c1", "80", "a0", "1b0020000000000000", "3b", "fa3f800001", "fb3ff0000000000001", "f8", "c249", "d9")
    tries = [whole] + [spoilt_bytes(rng, whole) for _ in range(12)]
    for _ in range(6):
        at = rng.randrange(len(whole) + 1)
        tries.append(whole[:at] + bytes.fromhex(rng.choice(pieces)) + whole[at + rng.randrange(3) :])
    for spoilt in tries:
        ask_here("mimi.read", {"bytes": spoilt.hex()})
    # An extension of any bytes, mostly an item.
    value = bytes.fromhex(rng.choice(ITEMS)) if rng.random() < 0.5 else rng.randbytes(rng.randint(1, 12))
    head = b"\x87\x50" + rng.randbytes(16) + b"\xf6\x40\xf6\xf6\xa1" + rng.choice((b"\x03", b"\x20", b"\x61a", b"\x01"))
    for item in (value, spoilt_bytes(rng, value), *map(_float_item, (rng.getrandbits(64), rng.getrandbits(12) << 52))):
        ask_here("mimi.read", {"bytes": (head + item + b"\x83\x01\x60\x00").hex()})
    statuses = [[(b"\1" + rng.randbytes(31)).hex(), rng.choice((0, 2, 6, 255))] for _ in range(rng.choice((0, 1, 3, 24)))]
    report = bytes.fromhex(ask_here("report.make", {"statuses": statuses})["ok"]["bytes"])
    for spoilt in [report] + [spoilt_bytes(rng, report) for _ in range(6)]:
        ask_here("report.read", {"bytes": spoilt.hex()})
    place = f"geo:{rng.randint(-91, 91)}.{rng.getrandbits(rng.randint(1, 40))},{rng.randint(-181, 181)}"
    place += rng.choice(("", ",12.5", ";u=3", ";u=3.9", ";crs=wgs84", ";crs=WGS84;U=0", ";x;u=7", ";u=4294967296"))
    at = rng.randrange(len(place))
    for text in (place, place[:at] + rng.choice("0-.;,=u e٤") + place[at + rng.randrange(2) :]):
        ask_here("place.read", {"text": text})
    tokens = ("<", ">", "<b", "</", "<!--", "ab:", "x", " ", "\\", "`", "&lt;", "ü", "\n", "\x85", "](", ")", "[@a](", *URIS)
    text = "".join(rng.choice(tokens) for _ in range(rng.randrange(12)))
    ask_here("markdown.make", {"text": text})
    ask_here("mentions.read", {"text": text})


def _float_item(bits: int) -> bytes:
    """A float in the longest form, often one that a shorter form holds."""
    return b"\xfb" + bits.to_bytes(8, "big")


def positions(rng: random.Random, ask: Ask) -> None:
    """Reading positions: joined in any order, read as they are, and spoilt."""
    made: list[str] = []
    for _ in range(4):
        bits = sum(1 << place for place in {rng.randint(1, rng.choice((7, 40, 255))) for _ in range(rng.randint(0, 9))})
        beyond = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
        upto = rng.choice((0, rng.randrange(20), rng.randrange(300), rng.getrandbits(64), (1 << 64) - 9))
        made.append(cbor.write([upto, beyond]).hex())
    good = [one for one in made if "ok" in ask("marks", "position.read", {"bytes": one})]
    for _ in range(3):
        joined = ask("marks", "position.join", {"positions": rng.sample(good, rng.randint(0, len(good)))})
        whole = bytes.fromhex(joined["ok"]["bytes"])
        for spoilt in [whole] + [spoilt_bytes(rng, whole) for _ in range(4)]:
            ask("marks", "position.read", {"bytes": spoilt.hex()})


def controls(rng: random.Random, ask: Ask) -> None:
    """What is done to a conversation: joined in any order, read as it is, and spoilt."""
    made = []
    for place in rng.sample(range(1, 200), rng.choice((3, 40, 150))):
        for seq in rng.sample(range(200, 900), rng.randint(1, 3)):
            message = bytes([place % 7]) * 32
            act = [rng.choice((0, 0, 1, 2)), message, place] if rng.random() < 0.9 else [3, rng.randrange(3), rng.choice((None, 5))]
            made.append([seq * 200 + place, cbor.write(act).hex()])
    here = [[(bytes([place % 7]) * 32).hex(), place] for place in range(1, 200) if rng.random() < 0.9]
    for _ in range(3):
        ask("controls", "control.join", {"controls": rng.sample(made, len(made)), "here": here})
    whole = bytes.fromhex(rng.choice(made)[1])
    for spoilt in [whole] + [spoilt_bytes(rng, whole) for _ in range(8)]:
        ask("controls", "control.read", {"bytes": spoilt.hex()})


FAMILIES: dict[str, Family] = {
    "addresses": addresses,
    "contents": contents,
    "offers": fields(offer.OFFER),
    "accepts": fields(offer.ACCEPT),
    "ids": fields(offer.ID),
    "transcripts": transcripts,
    "frames": frames,
    "logs": logs,
    "marks": positions,
    "controls": controls,
    "sessions": sessions,
    "people": persons,
    "sealed": seals,
    "dial": dials,
    "content": sayings,
}
