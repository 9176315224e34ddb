"""Ed25519 as formats.md asks under "Strict Ed25519": RFC 8032 section 5.1, without a library.

Libraries differ in what they let pass (small orders, cofactors, encodings that are not canonical), so the few pages of
arithmetic stand here where they can be read. It is slow (some milliseconds a signature) and not made for secrets.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493  # the order of the group
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

SMALL_ORDER = frozenset(
    bytes.fromhex(point)
    for point in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
)

# A point in extended coordinates: x = X/Z, y = Y/Z, T = XY/Z (RFC 8032 section 5.1.4).
Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    m = (a[1] - a[0]) * (b[1] - b[0]) % P
    n = (a[1] + a[0]) * (b[1] + b[0]) % P
    t = 2 * a[3] * b[3] * D % P
    z = 2 * a[2] * b[2] % P
    e, f, g, h = n - m, z - t, z + t, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def double(a: Point) -> Point:
    x, y = a[0] * a[0] % P, a[1] * a[1] % P
    h, g = x + y, x - y
    e, f = h - (a[0] + a[1]) ** 2, 2 * a[2] * a[2] + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(s: int, a: Point, t: int = 0, b: Point = IDENTITY) -> Point:
    """[s]a + [t]b, both bit by bit."""
    both, sum_ = add(a, b), IDENTITY
    for bit in range(max(s.bit_length(), t.bit_length()) - 1, -1, -1):
        sum_ = double(sum_)
        match s >> bit & 1, t >> bit & 1:
            case 1, 1:
                sum_ = add(sum_, both)
            case 1, 0:
                sum_ = add(sum_, a)
            case 0, 1:
                sum_ = add(sum_, b)
    return sum_


def encode(a: Point) -> bytes:
    inverse = pow(a[2], -1, P)
    x, y = a[0] * inverse % P, a[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point (RFC 8032 section 5.1.3), only if `data` is its canonical encoding."""
    if len(data) != 32:
        return None
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if v * x * x % P != u or (x == 0 and sign == 1):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little")) or IDENTITY


def is_identity(a: Point) -> bool:
    return a[0] % P == 0 and (a[1] - a[2]) % P == 0


def is_fit(public: bytes) -> bool:
    """A fit key: the canonical encoding of a point of prime order."""
    a = decode(public)
    return a is not None and not is_identity(multiply(8, a)) and is_identity(multiply(L, a))


def holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Is `signature` over `message` one of `public`, strictly?"""
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= L or r in SMALL_ORDER or public in SMALL_ORDER:
        return False
    a = decode(public)
    if a is None:
        return False
    k = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L
    minus_a = (P - a[0], a[1], a[2], P - a[3])
    return encode(multiply(s, BASE, k, minus_a)) == r
