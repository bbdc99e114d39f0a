"""Ed25519 against RFC 8032 §7.1, and what a lax reader would take."""

import unittest

from postline import ed25519

# Secret seed, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


class Ed25519(unittest.TestCase):
    """One test a property."""

    def test_the_rfc_signs_and_verifies(self) -> None:
        for seed, key, message, signature in (map(bytes.fromhex, row) for row in RFC_8032):
            self.assertEqual(ed25519.public_key(seed), key)
            self.assertEqual(ed25519.sign(seed, message), signature)
            self.assertTrue(ed25519.verify(key, message, signature))

    def test_every_changed_bit_is_refused(self) -> None:
        _, key, message, signature = map(bytes.fromhex, RFC_8032[2])
        for bit in range(0, 512, 7):
            spoilt = bytearray(signature)
            spoilt[bit // 8] ^= 1 << bit % 8
            self.assertFalse(ed25519.verify(key, message, bytes(spoilt)), bit)
        self.assertFalse(ed25519.verify(key, message + b"\0", signature))
        self.assertFalse(ed25519.verify(key, message, signature[:63]))

    def test_a_scalar_above_the_order_is_refused(self) -> None:
        _, key, message, signature = map(bytes.fromhex, RFC_8032[0])
        s = int.from_bytes(signature[32:], "little") + ed25519.ORDER
        self.assertFalse(ed25519.verify(key, message, signature[:32] + s.to_bytes(32, "little")))

    def test_points_of_small_order_are_refused_for_any_message(self) -> None:
        one, zero = (1).to_bytes(32, "little"), bytes(32)
        for key in (one, zero):
            self.assertFalse(ed25519.verify(key, b"any", one + bytes(32)))

    def test_a_y_that_is_not_reduced_is_no_key(self) -> None:
        _, key, message, signature = map(bytes.fromhex, RFC_8032[0])
        self.assertFalse(ed25519.verify((2**255 - 18).to_bytes(32, "little"), message, signature))
        self.assertFalse(ed25519.verify(b"\xff" * 32, message, signature))
