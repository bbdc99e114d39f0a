"""What is sealed is sealed with: HKDF (RFC 5869), ChaCha20-Poly1305 (RFC 8439), X25519 (RFC 7748), Argon2id (RFC 9106).

Plain integers: slow, and not in constant time, so this is for vectors and never for a key that protects something.
"""

import hashlib
import hmac
import struct
from typing import Optional

_M32, _M64 = (1 << 32) - 1, (1 << 64) - 1


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.digest(key, data, "sha256")


def extract(salt: bytes, secret: bytes) -> bytes:
    """HKDF-Extract."""
    return hmac_sha256(salt, secret)


def expand(prk: bytes, info: bytes) -> bytes:
    """HKDF-Expand, to 32 bytes."""
    return hmac_sha256(prk, info + b"\x01")


def _rotate(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _M32


def _chacha_block(key: bytes, nonce: bytes, counter: int) -> bytes:
    words = struct.unpack("<8I", key), struct.unpack("<3I", nonce)
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *words[0], counter, *words[1]]
    state = list(start)
    for _ in range(10):
        for a, b, c, d in (
            (0, 4, 8, 12),
            (1, 5, 9, 13),
            (2, 6, 10, 14),
            (3, 7, 11, 15),
            (0, 5, 10, 15),
            (1, 6, 11, 12),
            (2, 7, 8, 13),
            (3, 4, 9, 14),
        ):
            for first, second, third, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[first] = state[first] + state[second] & _M32
                state[third] = _rotate(state[third] ^ state[first], by)
    return struct.pack("<16I", *(one + two & _M32 for one, two in zip(state, start)))


def _poly1305(key: bytes, data: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at : at + 16] + b"\x01", "little")) * r % ((1 << 130) - 5)
    return (total + int.from_bytes(key[16:], "little") & (1 << 128) - 1).to_bytes(16, "little")


def _stream(key: bytes, nonce: bytes, data: bytes) -> bytes:
    pieces = []
    for at in range(0, len(data), 64):
        block = _chacha_block(key, nonce, 1 + at // 64)
        pieces.append(bytes(one ^ two for one, two in zip(data[at : at + 64], block)))
    return b"".join(pieces)


def _tag(key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
    padded = [part + bytes(-len(part) % 16) for part in (aad, sealed)]
    lengths = struct.pack("<QQ", len(aad), len(sealed))
    return _poly1305(_chacha_block(key, nonce, 0)[:32], b"".join(padded) + lengths)


def aead_seal(key: bytes, aad: bytes, plain: bytes, nonce: bytes) -> bytes:
    """ChaCha20-Poly1305."""
    sealed = _stream(key, nonce, plain)
    return sealed + _tag(key, nonce, aad, sealed)


def aead_open(key: bytes, aad: bytes, sealed: bytes, nonce: bytes = bytes(12)) -> Optional[bytes]:
    """ChaCha20-Poly1305, its nonce zeros where none is named: the plain bytes, or nothing."""
    sealed, tag = sealed[:-16], sealed[-16:]
    good = len(tag) == 16 and hmac.compare_digest(tag, _tag(key, nonce, aad, sealed))
    return _stream(key, nonce, sealed) if good else None


_P = 2**255 - 19


def x25519(secret: bytes, share: bytes) -> bytes:
    """The X25519 function (RFC 7748 §5)."""
    k = int.from_bytes(secret, "little") & ~7 & (1 << 255) - 1 | 1 << 254
    u = int.from_bytes(share, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for bit in reversed(range(255)):
        one = k >> bit & 1
        if swap ^ one:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = one
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a % _P, c * b % _P, a * a % _P, b * b % _P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % _P, u * (da - cb) ** 2 % _P
        x2, z2 = aa * bb % _P, e * (aa + 121665 * e) % _P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, -1, _P) % _P if z2 else 0).to_bytes(32, "little")


X_BASE = (9).to_bytes(32, "little")


def argon2id(password: bytes, salt: bytes, kib: int, passes: int) -> bytes:
    """Argon2id, version 0x13, one lane, 32 bytes, no secret and no associated data."""
    first = b"".join(struct.pack("<I", n) for n in (1, 32, kib, passes, 0x13, 2))
    for part in (password, salt, b"", b""):
        first += struct.pack("<I", len(part)) + part
    seed = hashlib.blake2b(first).digest()
    blocks = kib // 4 * 4
    quarter = blocks // 4
    memory = [_unpack(_long_hash(seed + struct.pack("<II", n, 0), 1024)) for n in (0, 1)] + [[0] * 128] * (blocks - 2)
    for turn in range(passes):
        for part in range(4):
            fixed = turn == 0 and part < 2
            addresses: list[int] = []
            for at in range(2 if turn == 0 and part == 0 else 0, quarter):
                where = part * quarter + at
                before = memory[where - 1]
                if fixed:
                    while len(addresses) <= at:
                        addresses += _addresses(turn, part, blocks, passes, len(addresses) // 128 + 1)
                    random = addresses[at] & _M32
                else:
                    random = before[0] & _M32
                memory[where] = _mixed(before, memory[_other(random, turn, part, at, quarter)], memory[where], turn > 0)
    return _long_hash(struct.pack("<128Q", *memory[blocks - 1]), 32)


def _other(random: int, turn: int, part: int, at: int, quarter: int) -> int:
    """Which block is mixed in: RFC 9106 §3.4.2, of one lane."""
    size = (part * quarter if turn == 0 else 3 * quarter) + at - 1
    behind = size - 1 - (size * (random * random >> 32) >> 32)
    start = 0 if turn == 0 or part == 3 else (part + 1) * quarter
    return (start + behind) % (4 * quarter)


def _addresses(turn: int, part: int, blocks: int, passes: int, counter: int) -> list[int]:
    zero = [0] * 128
    given = [turn, 0, part, blocks, passes, 2, counter] + [0] * 121
    return _mixed(zero, _mixed(zero, given, zero, False), zero, False)


def _long_hash(data: bytes, size: int) -> bytes:
    """H' of RFC 9106 §3.3."""
    data = struct.pack("<I", size) + data
    if size <= 64:
        return hashlib.blake2b(data, digest_size=size).digest()
    rounds = -(-size // 32) - 2
    value = hashlib.blake2b(data).digest()
    out = [value[:32]]
    for _ in range(rounds - 1):
        value = hashlib.blake2b(value).digest()
        out.append(value[:32])
    return b"".join(out) + hashlib.blake2b(value, digest_size=size - 32 * rounds).digest()


def _unpack(block: bytes) -> list[int]:
    return list(struct.unpack("<128Q", block))


def _mixed(one: list[int], two: list[int], old: list[int], keeps: bool) -> list[int]:
    """G of RFC 9106 §3.5; in later passes what stood there is kept by exclusive or."""
    start = [a ^ b for a, b in zip(one, two)]
    block = list(start)
    for row in range(8):
        _permute(block, range(16 * row, 16 * row + 16))
    for column in range(8):
        _permute(block, [16 * pair + 2 * column + half for pair in range(8) for half in (0, 1)])
    block = [a ^ b for a, b in zip(block, start)]
    return [a ^ b for a, b in zip(block, old)] if keeps else block


_QUARTERS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def _permute(v: list[int], at: "range | list[int]") -> None:
    for a, b, c, d in ((at[i], at[j], at[k], at[m]) for i, j, k, m in _QUARTERS):
        for first, second, third, by in ((a, b, d, 32), (c, d, b, 24), (a, b, d, 16), (c, d, b, 63)):
            low = 2 * (v[first] & _M32) * (v[second] & _M32)
            v[first] = v[first] + v[second] + low & _M64
            turned = v[third] ^ v[first]
            v[third] = (turned >> by | turned << 64 - by) & _M64
