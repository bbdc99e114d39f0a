#!/usr/bin/env python3
"""The shim of `spec/conformance/README.md`: one request a line on standard input, one answer a line on standard output."""

import json
import sys
from typing import Any, Callable

from postline import address, attachment, codes, content, control, dial, field, frame, limits, log, mark, memo, offer, people, saying
from postline import seal, sealed, session, signed, snapshot, transcript
from postline.refusal import Refused
from postline.shape import need

Input = dict[str, Any]
Ok = dict[str, Any]

# Members that are bytes, and members that are numbers, wherever they stand in an input.
_BYTES = frozenset(
    "seed n ak nx re id bh t0 t1 t2 nonce fresh bytes m2 m3 exporter nk signature random next_nk hash"
    " conversation device list proof last_resort note dk commit welcome group_info before".split()
)
_NUMBERS = frozenset(
    "t x now version type generation last_seq window_items window_bytes largest seq submitted length code step offset"
    " number port kind epoch term place after first last newest posted word chosen".split()
)
# Members that are lists of bytes.
_LISTS_OF_BYTES = frozenset("ids leaves packages lists only positions".split())


def main() -> None:
    """Answers until standard input ends."""
    for line in sys.stdin.buffer:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request."""
    op = OPS.get(request["op"])
    if op is None:
        return {"id": request["id"], "unimplemented": request["op"]}
    try:
        return {"id": request["id"], "ok": json_value(op(request["input"]))}
    except Refused as refused:
        return {"id": request["id"], "error": refused.kind}
    except (KeyError, TypeError, ValueError, OverflowError) as fault:
        # A question that the op doesn't take is no answer about the protocol.
        return {"id": request["id"], "unimplemented": f"{type(fault).__name__}: {fault}"}


def json_value(value: Any) -> Any:
    """A value as JSON has it: bytes as hexadecimal, large numbers as texts."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value <= 1 << 53 else str(value)
    if isinstance(value, dict):
        return {name: json_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    return value


def _values(given: Input) -> Input:
    """An input with its bytes and numbers read, by the names of its members; a step may be a number or a label."""
    values = dict(given)
    for name, item in given.items():
        if name in _BYTES:
            values[name] = bytes.fromhex(item)
        if name in _LISTS_OF_BYTES:
            values[name] = [bytes.fromhex(each) for each in item]
        if name in _NUMBERS and item not in transcript.STEPS:
            values[name] = int(item)
    return values


def _domain_read(given: Input) -> Ok:
    return {"domain": address.read_domain(given["text"])}


def _address_read(given: Input) -> Ok:
    local, domain = address.read_address(given["text"])
    return {"local": local, "domain": domain}


def _field_read(given: Input) -> Ok:
    return {"tags": field.read(given["body"])}


def _field_write(given: Input) -> Ok:
    return {"line": field.write(given["name"], given["tags"])}


def _content_make(given: Input) -> Ok:
    return {"bh": field.content_hash(given["date"], given["subject"], bytes.fromhex(given["body"]))}


def _field_make(kind: offer.Kind) -> Callable[[Input], Ok]:
    def make(given: Input) -> Ok:
        values = _values(given)
        tags: Input = {tag: values[tag] for tag in ("t", "x", "n", "re", "id", "bh", "h", "ak", "nx") if tag in values}
        made = offer.make(kind, values["seed"], values["from"], values["to_cc"], tags)
        ok: Ok = {"signed": made.canonical, "b": made.b, "line": made.line}
        if kind is offer.OFFER:
            ok["t0"] = offer.t0(made.canonical, made.b)
        if kind is offer.ACCEPT:
            ok["t1"] = offer.t1(values["re"], made.canonical, made.b)
        return ok

    return make


def _field_verify(kind: offer.Kind) -> Callable[[Input], Ok]:
    def verify(given: Input) -> Ok:
        now = int(given["now"]) if "now" in given else None
        return offer.verify(kind, given["from"], given["to_cc"], given["body"], now)

    return verify


def _step_make(label: str) -> Callable[[Input], Ok]:
    def make(given: Input) -> Ok:
        values = _values(given)
        return {"bytes": transcript.make_step(label, transcript.Step(values["t1"], values["nonce"], values["fresh"]))}

    return make


def _step_read(label: str) -> Callable[[Input], Ok]:
    def read(given: Input) -> Ok:
        return transcript.read_step(label, bytes.fromhex(given["bytes"]))._asdict()

    return read


def _t2_make(given: Input) -> Ok:
    values = _values(given)
    return {"t2": transcript.t2(values["t1"], values["m2"], values["m3"])}


def _step_sign(given: Input) -> Ok:
    values = _values(given)
    canonical = transcript.on_connection(values["bytes"], values["exporter"])
    return {"signed": canonical, "signature": signed.sign(values["seed"], values["step"], canonical)}


def _step_verify(given: Input) -> Ok:
    values = _values(given)
    canonical = transcript.on_connection(values["bytes"], values["exporter"])
    signed.verify(values["nk"], values["step"], canonical, values["signature"])
    return {}


def _hello_make(given: Input) -> Ok:
    values = _values(given)
    extensions = {int(number): bytes.fromhex(item) for number, item in values.get("extensions", [])}
    hello = transcript.Hello(
        values.get("version", 1), values["nk"], values["speaker"], values["listener"], values["random"], extensions
    )
    return {"bytes": transcript.make_hello(hello)}


def _hello_read(given: Input) -> Ok:
    hello = transcript.read_hello(bytes.fromhex(given["bytes"]))
    return hello._asdict() | {"extensions": list(hello.extensions.items())}


def _proof_bytes(given: Input) -> bytes:
    return transcript.proof(*(bytes.fromhex(given[name]) for name in ("dialler", "listener", "exporter")))


def _proof_sign(given: Input) -> Ok:
    canonical = _proof_bytes(given)
    return {
        "signed": canonical,
        "signature": signed.sign(bytes.fromhex(given["seed"]), "proof " + given["end"], canonical),
    }


def _proof_verify(given: Input) -> Ok:
    key, signature = bytes.fromhex(given["nk"]), bytes.fromhex(given["signature"])
    signed.verify(key, "proof " + given["end"], _proof_bytes(given), signature)
    return {}


def _frames_read(given: Input) -> Ok:
    reader = frame.Reader(given["ready"])
    for chunk in given["chunks"]:
        reader.take(bytes.fromhex(chunk))
    return {"frames": reader.frames, "left": len(reader.rest)}


def _frame_make(given: Input) -> Ok:
    values = _values(given["frame"])
    if "body" in values:
        values["body"] = bytes.fromhex(values["body"])
    for name in ("heads", "deltas", "choices"):
        if name in values:
            values[name] = [_values(item) for item in values[name]]
    if "marks" in values:
        values["marks"] = [(bytes.fromhex(name), int(reached)) for name, reached in values["marks"]]
    if "rcpts" in values:
        values["rcpts"] = [int(item) for item in values["rcpts"]]
    return {"bytes": frame.make(values)}


def _position_read(given: Input) -> Ok:
    upto, beyond = mark.read(_values(given)["bytes"])
    return {"upto": upto, "beyond": sorted(beyond)}


def _memo_open(given: Input) -> Ok:
    return memo.open_box(*(bytes.fromhex(given[name]) for name in ("seed", "identity", "bytes")))


def _position_join(given: Input) -> Ok:
    return {"bytes": mark.write(mark.join(map(mark.read, _values(given)["positions"])))}


def _snapshot_make(given: Input) -> Ok:
    conversation = bytes.fromhex(given["conversation"])
    events = []
    for one in given["events"]:
        seq, author = int(one["seq"]), bytes.fromhex(one["author"])
        if "control" in one:
            events.append(snapshot.done(seq, author, bytes.fromhex(one["control"])))
        else:
            about = int(one["about"]) if "about" in one else None
            events.append(snapshot.event(conversation, seq, author, about, bytes.fromhex(one["content"])))
    need(len({event.seq for event in events}) == len(events), "two events at one place")
    first = int(given.get("from", 1))
    made = [snapshot.make(conversation, first, [events[index] for index in order]) for order in given["orders"]]
    return {"hashes": [one["hash"] for one in made]} | {name: made[0][name] for name in made[0] if name != "hash"}


def _control_join(given: Input) -> Ok:
    controls = [(int(seq), bytes.fromhex(data)) for seq, data in given["controls"]]
    return control.join(controls, [(bytes.fromhex(message), int(place)) for message, place in given["here"]])


def _log_direct(given: Input) -> Ok:
    return {"conversation": log.direct(_values(given)["t2"])}


def _log_tag(given: Input) -> Ok:
    values = _values(given)
    return {"device": log.tag(values["conversation"], values["dk"])}


def _log_chain(given: Input) -> Ok:
    values = _values(given)
    chain = [values["before"] if "before" in values else log.root(values["conversation"])]
    for entry in given["entries"]:
        chain.append(log.chain(chain[-1], _values(entry)))
    return {"chain": chain}


def _log_leaf(given: Input) -> Ok:
    return {"leaf": log.leaf(_values(given))}


def _heads_sign(given: Input) -> Ok:
    values = _values(given)
    canonical = log.heads(values["leaves"])
    return {"signed": canonical, "signature": signed.sign(values["seed"], "heads", canonical)}


def _heads_verify(given: Input) -> Ok:
    values = _values(given)
    shown = [_values(head) for head in values["heads"]]
    log.verify(values["nk"], values["leaves"], shown, values["signature"])
    return {}


def _change_make(given: Input) -> Ok:
    values = _values(given)
    return {"bytes": log.make_change(values["commit"], values.get("welcome"), values["group_info"])}


def _change_read(given: Input) -> Ok:
    return log.read_change(_values(given)["bytes"])


def _extensions(given: Input) -> dict[int, bytes]:
    return {int(number): bytes.fromhex(item) for number, item in given.get("extensions", [])}


def _session_make(end: str) -> Callable[[Input], Ok]:
    def make(given: Input) -> Ok:
        hello = {"version": 1} | _values(given) | {"extensions": _extensions(given)}
        return {"bytes": session.make(end, hello)}

    return make


def _session_read(end: str) -> Callable[[Input], Ok]:
    return lambda given: session.read(end, bytes.fromhex(given["bytes"]))


def _session_browser(given: Input) -> Ok:
    return {"channel": session.browser(given["host"])}


def _session_bytes(given: Input) -> bytes:
    return session.proof(*(bytes.fromhex(given[name]) for name in ("device", "node", "channel")))


def _session_sign(given: Input) -> Ok:
    canonical = _session_bytes(given)
    label = "session " + given["end"]
    return {"signed": canonical, "signature": signed.sign(bytes.fromhex(given["seed"]), label, canonical)}


def _session_verify(given: Input) -> Ok:
    key, signature = bytes.fromhex(given["key"]), bytes.fromhex(given["signature"])
    signed.verify(key, "session " + given["end"], _session_bytes(given), signature)
    return {}


_PEOPLE_BYTES = "seed identity ak dk prev next successor t2 list nonce answer secret".split()


def _person(given: Input) -> Input:
    """An input of chapter 07: its bytes and numbers, and those of the objects in it."""
    values: Input = {}
    for name, item in given.items():
        if name == "devices":
            item = [_person(device) for device in item]
        elif name in ("one", "two", "ours", "theirs") and isinstance(item, dict):
            item = _person(item)
        elif name in _PEOPLE_BYTES or name == "bytes":
            item = bytes.fromhex(item)
        elif name in ("lists", "revoked"):
            item = [bytes.fromhex(each) for each in item]
        elif name in ("number", "caps", "added", "until", "now"):
            item = int(item)
        values[name] = item
    return values


def _statement_make(kind: str) -> Callable[[Input], Ok]:
    def make(given: Input) -> Ok:
        values = _person(given)
        return people.make(kind, values["seed"], values)

    return make


def _statement_read(kind: str) -> Callable[[Input], Ok]:
    return lambda given: people.read(kind, bytes.fromhex(given["bytes"]))


def _list_judge(given: Input) -> Ok:
    values = _person(given)
    return people.chain(values["whose"], values["lists"]).judge(people.read("list", values["bytes"]))


def _leaf_judge(given: Input) -> Ok:
    values = _person(given)
    return people.chain(values["whose"], values["lists"]).stands(people.read("leaf", values["bytes"]))


def _keys_judge(given: Input) -> Ok:
    values = _person(given)
    proof = people.read("keys", values["bytes"])
    return people.chain(values["whose"], values["lists"]).proves(values["ours"], values["t2"], proof)


def _comparison_make(given: Input) -> Ok:
    values = _person(given)
    return sealed.comparison(values["t2"], values["one"], values["two"])


def _card_judge(given: Input) -> Ok:
    values = _person(given)
    lists = people.chain(values["whose"], values["lists"])
    return sealed.judge_card(values["text"], values["t2"], values["ours"], values["theirs"], lists)


def _phrase_read(given: Input) -> Ok:
    return {"text": sealed.make_phrase(sealed.read_phrase(given["text"]))}


def _join_make(given: Input) -> Ok:
    values = _person(given)
    return sealed.make_join(*(values[name] for name in ("code", "secret", "address", "dk", "until")))


def _join_open(given: Input) -> Ok:
    values, request = _person(given), _join_make(given)["bytes"]
    secret, until, now = values["secret"], values["until"], values["now"]
    return sealed.open_join(values["code"], secret, request, until, now, values["answer"])


def _aad_make(given: Input) -> Ok:
    values = _values(given)
    head = (values["seq"], values["hash"]) if "seq" in values else None
    return {"bytes": seal.make_aad(values["conversation"], int(given["generation"]), head)}


_CONTENT_BYTES = "salt replaces topic in_reply_to prev content key nonce aad hash identity conversation".split()


def _content(given: Input) -> Input:
    """A content, a part, or what is kept elsewhere, with its bytes and numbers."""
    values: Input = {}
    for name, item in given.items():
        if name in _CONTENT_BYTES:
            item = bytes.fromhex(item)
        elif isinstance(item, dict):
            item = _content(item)
        elif name == "parts":
            item = [_content(one) for one in item]
        elif name == "seen":
            item = [bytes.fromhex(one) for one in item]
        elif name == "others":
            item = [(called, bytes.fromhex(value)) for called, value in item]
        elif name == "size":
            item = int(item)
        values[name] = item
    return values


def _mimi_read(given: Input) -> Ok:
    fields = content.read(bytes.fromhex(given["bytes"]))
    return fields | content.kind(fields)


def _mimi_id(given: Input) -> Ok:
    values = _content(given)
    sender = saying.person(values["identity"]) if "identity" in values else values["sender"]
    room = saying.room(values["conversation"]) if "identity" in values else values["room"]
    return {"sender": sender, "room": room, "id": content.name(bytes.fromhex(given["bytes"]), sender, room)}


def _mimi_choose(given: Input) -> Ok:
    return {"parts": content.chosen(content.read(bytes.fromhex(given["bytes"])), given["media"])}


def _external(given: Input) -> Input:
    external = dict(given["external"])
    for name in ("key", "nonce", "aad", "hash"):
        external[name] = bytes.fromhex(external[name])
    return external | {"size": int(external["size"])}


def _attachment_seal(given: Input) -> Ok:
    return attachment.seal(bytes.fromhex(given["key"]), bytes.fromhex(given["nonce"]), int(given["length"]))


def _attachment_open(given: Input) -> Ok:
    head, chunk = bytes.fromhex(given["head"]), bytes.fromhex(given["chunk"])
    return attachment.open_chunk(_external(given), head, int(given["index"]), chunk)


def _report_make(given: Input) -> Ok:
    return {"bytes": saying.make_report([(bytes.fromhex(name), int(status)) for name, status in given["statuses"]])}


def _dial_judge(given: Input) -> Ok:
    dial.judge(given["ip"], int(given["port"]), given["allow"])
    return {}


def _hint_read(given: Input) -> Ok:
    host, port, within = dial.read_hint(given["text"], given["mail_domain"])
    return {"host": host, "port": port, "within": within}


def _code_read(given: Input) -> Ok:
    return {"name": codes.name(int(given["number"]))}


def _limit_read(given: Input) -> Ok:
    return {"number": limits.LIMITS[given["name"]]}


def _label_read(given: Input) -> Ok:
    return {"prefix": signed.prefix(given["kind"])}


OPS: dict[str, Callable[[Input], Ok]] = {
    "domain.read": _domain_read,
    "address.read": _address_read,
    "field.read": _field_read,
    "field.write": _field_write,
    "content.make": _content_make,
    **{f"{label}.make": _field_make(kind) for label, kind in offer.KINDS.items()},
    **{f"{label}.verify": _field_verify(kind) for label, kind in offer.KINDS.items()},
    **{f"{label}.make": _step_make(label) for label in transcript.STEPS},
    **{f"{label}.read": _step_read(label) for label in transcript.STEPS},
    "t2.make": _t2_make,
    "step.sign": _step_sign,
    "step.verify": _step_verify,
    "hello.make": _hello_make,
    "hello.read": _hello_read,
    "proof.sign": _proof_sign,
    "proof.verify": _proof_verify,
    "frames.read": _frames_read,
    "frame.make": _frame_make,
    "position.read": _position_read,
    "position.join": _position_join,
    "memo.read": lambda given: memo.read(bytes.fromhex(given["bytes"])),
    "memo.open": _memo_open,
    "snapshot.make": _snapshot_make,
    "control.read": lambda given: control.read(_values(given)["bytes"]),
    "control.join": _control_join,
    "log.direct": _log_direct,
    "log.tag": _log_tag,
    "log.chain": _log_chain,
    "log.leaf": _log_leaf,
    "heads.sign": _heads_sign,
    "heads.verify": _heads_verify,
    "change.make": _change_make,
    "change.read": _change_read,
    **{f"session.{end}.make": _session_make(end) for end in session.ENDS},
    **{f"session.{end}.read": _session_read(end) for end in session.ENDS},
    "session.browser": _session_browser,
    "session.proof.sign": _session_sign,
    "session.proof.verify": _session_verify,
    **{f"{kind}.make": _statement_make(kind) for kind in people.LABELS},
    **{f"{kind}.read": _statement_read(kind) for kind in people.LABELS},
    "list.judge": _list_judge,
    "leaf.judge": _leaf_judge,
    "keys.judge": _keys_judge,
    "comparison.make": _comparison_make,
    "word.read": lambda given: sealed.read_word(bytes.fromhex(given["bytes"])),
    "card.read": lambda given: sealed.read_card(given["text"]),
    "card.judge": _card_judge,
    "phrase.make": lambda given: {"text": sealed.make_phrase(bytes.fromhex(given["bits"]))},
    "phrase.read": _phrase_read,
    "backup.open": lambda given: sealed.open_backup(bytes.fromhex(given["bytes"]), given["phrase"]),
    "join.make": _join_make,
    "join.open": _join_open,
    "padding.length": lambda given: {"length": seal.padded(int(given["length"]))},
    "aad.make": _aad_make,
    "aad.read": lambda given: seal.read_aad(bytes.fromhex(given["bytes"])),
    "mimi.make": lambda given: {"bytes": content.make(_content(given))},
    "mimi.read": _mimi_read,
    "mimi.id": _mimi_id,
    "mimi.choose": _mimi_choose,
    "mimi.kept": lambda given: {"kept": content.kept(content.read(bytes.fromhex(given["bytes"])))},
    "report.make": _report_make,
    "attachment.seal": _attachment_seal,
    "attachment.read": lambda given: attachment.read(_external(given)),
    "attachment.open": _attachment_open,
    "report.read": lambda given: {"statuses": saying.read_report(bytes.fromhex(given["bytes"]))},
    "place.read": lambda given: saying.read_place(given["text"]),
    "markdown.make": lambda given: {"text": saying.without_tags(given["text"])},
    "mentions.read": lambda given: {"people": saying.mentions(given["text"])},
    "dial.judge": _dial_judge,
    "hint.read": _hint_read,
    "code.read": _code_read,
    "limit.read": _limit_read,
    "label.read": _label_read,
}

if __name__ == "__main__":
    main()
