"""What people's mail programs do over IMAP, for the live test, and an independent look at DKIM signatures.

people.py imap PORT USER PASSWORD fetch                  all mails, JSON
people.py imap PORT USER PASSWORD seen MESSAGE-ID        reads a mail
people.py imap PORT USER PASSWORD append FILE            puts a mail into the inbox
people.py imap PORT USER PASSWORD capability
people.py imap PORT USER PASSWORD get ENTRY              a METADATA entry of the server (RFC 5464), JSON
people.py imap PORT USER PASSWORD set ENTRY [VALUE]      sets it, or removes it
people.py dkim ZONE < MAIL                               each signature: whether it verifies, and which fields it covers
"""

import imaplib
import json
import re
import shlex
import sys

imaplib.Commands.update({"GETMETADATA": ("AUTH", "SELECTED"), "SETMETADATA": ("AUTH", "SELECTED")})
imaplib._MAXLINE = 10_000_000


def imap(port, user, password, verb, *words):
    box = imaplib.IMAP4("127.0.0.1", int(port), timeout=30)
    box.login(user, password)
    try:
        return IMAP[verb](box, *words)
    finally:
        box.logout()


def fetch(box):
    box.select("INBOX", readonly=True)
    _, found = box.uid("SEARCH", "ALL")
    mails = []
    for uid in found[0].split():
        _, got = box.uid("FETCH", uid, "(FLAGS BODY.PEEK[])")
        flags = re.search(rb"FLAGS \(([^)]*)\)", b" ".join(x if isinstance(x, bytes) else x[0] for x in got)).group(1)
        mails.append({"flags": flags.decode(), "mail": got[0][1].decode("latin-1")})
    return mails


def seen(box, message_id):
    box.select("INBOX")
    _, found = box.uid("SEARCH", "HEADER", "Message-ID", message_id)
    for uid in found[0].split():
        box.uid("STORE", uid, "+FLAGS", "(\\Seen)")
    return len(found[0].split())


def append(box, file):
    with open(file, "rb") as mail:
        return box.append("INBOX", None, None, mail.read())[0]


def capability(box):
    return sorted(box.capability()[1][0].decode().split())


def get(box, entry):
    code, said = box._simple_command("GETMETADATA", '""', entry)
    _, said = box._untagged_response(code, said, "METADATA")
    text = b"".join(x if isinstance(x, bytes) else b"".join(x) for x in said if x) if said else b""
    literal = [x[1] for x in said or [] if isinstance(x, tuple)]
    if literal:
        return literal[0].decode()
    value = re.search(rb'\s("(?:[^"\\]|\\.)*"|NIL)\)?$', text)
    if code != "OK" or value is None or value.group(1) == b"NIL":
        return None
    return re.sub(r"\\(.)", r"\1", value.group(1).decode()[1:-1])


def put(box, entry, value=None):
    quoted = "NIL" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    code, said = box._simple_command("SETMETADATA", '""', f"({entry} {quoted})")
    return [code, *(x.decode() for x in said if x)]


IMAP = {"fetch": fetch, "seen": seen, "append": append, "capability": capability, "get": get, "set": put}


def signatures(zone):
    import dkim  # Debian's python3-dkim

    texts = {}
    for line in open(zone):
        words = line.split(None, 2)
        if len(words) == 3 and words[1] == "TXT":
            texts[words[0].rstrip(".") + "."] = "".join(shlex.split(words[2])).encode()
    mail = sys.stdin.buffer.read()

    def dns(name, timeout=5):
        return texts.get(name.decode() if isinstance(name, bytes) else name)

    found = []
    one = dkim.DKIM(mail)
    count = len([name for name, _ in one.headers if name.lower() == b"dkim-signature"])
    for n in range(count):
        check = dkim.DKIM(mail)
        try:
            good = check.verify(n, dnsfunc=dns)
        except dkim.DKIMException as why:
            good, _ = False, print(why, file=sys.stderr)
        covered = [name.decode().lower() for name in check.include_headers or []]
        found.append({"good": good, "domain": (check.domain or b"").decode(), "covers": covered})
    return found


what, *rest = sys.argv[1:]
print(json.dumps(imap(*rest) if what == "imap" else signatures(*rest)))
