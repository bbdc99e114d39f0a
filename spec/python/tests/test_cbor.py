"""CBOR against examples of RFC 8949, appendix A, and spellings that are not the one."""

import unittest
from typing import Any

from postline import cbor
from postline.refusal import Refused

EXAMPLES: list[tuple[Any, str]] = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (100, "1864"),
    (1000, "1903e8"),
    (1000000, "1a000f4240"),
    (1000000000000, "1b000000e8d4a51000"),
    (18446744073709551615, "1bffffffffffffffff"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (b"", "40"),
    (b"\x01\x02\x03\x04", "4401020304"),
    ("", "60"),
    ("IETF", "6449455446"),
    ("\u00fc", "62c3bc"),
    ([], "80"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    ({}, "a0"),
    ({1: 2, 3: 4}, "a201020304"),
    ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
]


class Cbor(unittest.TestCase):
    """One test a property."""

    def test_examples_are_written_and_read(self) -> None:
        for value, text in EXAMPLES:
            self.assertEqual(cbor.write(value).hex(), text)
            self.assertEqual(cbor.read(bytes.fromhex(text)), value)

    def test_a_shorter_key_goes_first(self) -> None:
        self.assertEqual(cbor.write({"bb": 1, "c": 2}).hex(), "a2616302626262" + "01")
        self.assertEqual(cbor.write({"bb": 1, 24: 2, 3: 3}).hex(), "a303031818026262" + "6201")

    def test_another_spelling_is_refused(self) -> None:
        for text in (
            "",
            "1817",
            "1900ff",
            "1a0000ffff",
            "1b00000000ffffffff",
            "5801ff",
            "9f01ff",
            "5f4101ff",
            "20",
            "c000",
            "f7",
            "f90000",
            "f814",
            "fb0000000000000000",
            "1c",
            "ff",
            "61ff",
            "63eda080",
            "0000",
            "82 01",
            "4201",
            "a201000100",
            "a202000100",
            "a1",
            "a1f400",
            "a18000",
            "81" * 40 + "00",
            "9bffffffffffffffff",
            "5bffffffffffffffff",
        ):
            with self.assertRaises(Refused, msg=text):
                cbor.read(bytes.fromhex(text))

    def test_a_number_above_64_bits_is_not_written(self) -> None:
        for number in (1 << 64, -1):
            with self.assertRaises(Refused):
                cbor.write(number)
