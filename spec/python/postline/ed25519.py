"""Ed25519 (RFC 8032), verified as strictly as [K-3] asks.

Points are in extended coordinates (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z. Plain integers: slow, and not in constant
time, so this is for vectors and never for a key that protects something.
"""

import hashlib
from typing import Optional

_P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)

Point = tuple[int, int, int, int]
_ZERO: Point = (0, 1, 1, 0)


def public_key(seed: bytes) -> bytes:
    """The public key of a 32-byte seed (RFC 8032 §5.1.5)."""
    return _encode(_times_base(_secret(seed)[0]))


def sign(seed: bytes, message: bytes) -> bytes:
    """The signature of a message (RFC 8032 §5.1.6)."""
    scalar, prefix = _secret(seed)
    key = _encode(_times_base(scalar))
    r = _hash_number(prefix, message)
    point = _encode(_times_base(r))
    s = (r + _hash_number(point, key, message) * scalar) % ORDER
    return point + s.to_bytes(32, "little")


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is good: canonical A and R, neither of small order, S < L, and [S]B - [k]A is R byte for byte."""
    if len(key) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    a, r = _decode(key), _decode(signature[:32])
    if a is None or r is None or s >= ORDER or _small_order(a) or _small_order(r):
        return False
    k = _hash_number(signature[:32], key, message)
    x, y, z, t = a
    minus_a = (_P - x, y, z, _P - t)
    return _encode(_two_times(s, _BASE, k, minus_a)) == signature[:32]


def _secret(seed: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little")
    scalar &= (1 << 254) - 8
    scalar |= 1 << 254
    return scalar, digest[32:]


def _hash_number(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def _add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(p: Point) -> Point:
    a, b = p[0] * p[0] % _P, p[1] * p[1] % _P
    e, g, h = (p[0] + p[1]) ** 2 - a - b, b - a, -a - b
    f = g - 2 * p[2] * p[2]
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times_base(number: int) -> Point:
    """[number]B, from the doublings of B that are there already."""
    total = _ZERO
    for bit, power in enumerate(_POWERS):
        if number >> bit & 1:
            total = _add(total, power)
    return total


def _two_times(m: int, p: Point, n: int, q: Point) -> Point:
    """[m]P + [n]Q in one walk over the bits of both."""
    table = (_ZERO, p, q, _add(p, q))
    total = _ZERO
    for bit in range(max(m.bit_length(), n.bit_length()) - 1, -1, -1):
        total = _double(total)
        which = (m >> bit & 1) | (n >> bit & 1) << 1
        if which:
            total = _add(total, table[which])
    return total


def _small_order(point: Point) -> bool:
    for _ in range(3):
        point = _double(point)
    return point[0] == 0 and point[1] == point[2]


def _encode(point: Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decode(data: bytes) -> Optional[Point]:
    """RFC 8032 §5.1.3: none for a y that isn't below p, for no point of the curve, and for a minus sign before x = 0."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P != 0:
        x = x * _ROOT % _P
    if (x * x - square) % _P != 0 or (x == 0 and sign == 1):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


_base = _decode(bytes([0x58]) + bytes([0x66]) * 31)
assert _base is not None
_BASE: Point = _base
_POWERS = [_BASE]
for _ in range(255):
    _POWERS.append(_double(_POWERS[-1]))
