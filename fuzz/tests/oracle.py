"""Reads mails with Python's email package, and says what it found: one JSON line a mail.

stdin: for each mail its length in 4 bytes, big-endian, and the mail. The parts are told as [depth, boundary or null].
"""

import email
import email.utils
import json
import re
import sys

FIELDS = ["Postline-Offer", "Postline-Accept", "Postline-Id"]


def all_of(message, name):
    """The field's texts, unfolded; UTF-8 where it is that."""
    for found, value in message.raw_items():
        if found.lower() == name.lower():
            value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            yield re.sub(r"\r\n|\r|\n", "", value)


def parts(message, depth=0):
    multi = message.get_content_maintype() == "multipart"
    yield [depth, message.get_boundary() if multi else None]
    if multi and isinstance(message.get_payload(), list):
        for part in message.get_payload():
            yield from parts(part, depth + 1)


def ids(message, name):
    return [one for value in all_of(message, name) for one in re.findall(r"<([^<>]*)>", value)]


def read(mail):
    message = email.message_from_bytes(mail)
    return {
        "from": [address for _, address in email.utils.getaddresses(list(all_of(message, "From")))],
        "message_id": ids(message, "Message-ID"),
        "in_reply_to": ids(message, "In-Reply-To"),
        "references": ids(message, "References"),
        "parts": list(parts(message)),
        "fields": [[value.strip() for value in all_of(message, name)] for name in FIELDS],
    }


def main():
    source = sys.stdin.buffer
    while length := source.read(4):
        try:
            found = read(source.read(int.from_bytes(length, "big")))
        except Exception as error:  # a reader that gives up finds nothing
            found = {"gave_up": repr(error)}
        print(json.dumps(found))


if __name__ == "__main__":
    main()
