"""What a person's AK states, and how device lists follow each other ([I-2] to [I-11]).

    bytes ─▶ read: length, shape, signature ─▶ Chain.judge: what the lists before say
"""

import hashlib
from typing import Any, NamedTuple, Optional

from . import cbor, ed25519, signed
from .address import hides_or_reorders
from .limits import LIMITS
from .refusal import Refused
from .shape import U32, address, array, digest, maybe, need, number, octets, text, truth

Value = dict[str, Any]

LABELS = {"list": "device list", "leaf": "leaf", "keys": "key proof"}
_BOUNDS = {"list": "LIST_BYTES", "leaf": "LEAF_BYTES", "keys": "PROOF_BYTES"}
_DEVICE = 4
_HOSTED = 1


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def make(kind: str, seed: bytes, value: Value) -> Value:
    """A statement of the AK of this seed: what is signed, the statement, its hash."""
    canonical = cbor.write(_items(kind, value | {"ak": ed25519.public_key(seed)}))
    label = LABELS[kind]
    return {
        "signed": canonical,
        "bytes": cbor.write([canonical, signed.sign(seed, label, canonical)]),
        "hash": _hash(signed.prefix(label) + canonical),
    }


def read(kind: str, data: bytes) -> Value:
    """What a statement says, and its hash."""
    if len(data) > LIMITS[_BOUNDS[kind]]:
        raise Refused("too-big", "a statement over its bound")
    canonical, signature = array(cbor.read(data), 2, 2)
    value = {"list": _list, "leaf": _leaf, "keys": _proof}[kind](cbor.read(octets(canonical, 0, U32)))
    signed.verify(value["ak"], LABELS[kind], canonical, octets(signature, 64, 64))
    return value | {"hash": _hash(signed.prefix(LABELS[kind]) + canonical)}


def _items(kind: str, value: Value) -> list[Any]:
    if kind == "leaf":
        return [1] + [value[name] for name in ("address", "identity", "ak", "dk", "number", "hosted")]
    if kind == "keys":
        return [1] + [value[name] for name in ("t2", "author", "other", "identity", "ak", "number", "list")]
    devices: list[Any] = []
    for device in value["devices"]:
        devices += [device["dk"], device["caps"], device["added"], device.get("name")]
    before = [value[name] for name in ("identity", "address", "number")]
    middle = [value.get("prev"), value["ak"], value["hosted"], devices, value["revoked"]]
    return [1, *before, *middle, value["next"], value.get("successor")]


def _version(value: Any) -> None:
    need(number(value) == 1, "a version that isn't 1")


def _leaf(value: Any) -> Value:
    version, whose, identity, ak, dk, which, hosted = array(value, 7, 7)
    _version(version)
    leaf = {
        "address": address(whose),
        "identity": digest(identity),
        "ak": digest(ak),
        "dk": digest(dk),
        "number": number(which),
        "hosted": truth(hosted),
    }
    need(which > 0 and ak != dk, "no number, or one key for two jobs")
    return leaf


def _proof(value: Any) -> Value:
    version, t2, author, other, identity, ak, which, head = array(value, 8, 8)
    _version(version)
    proof = {
        "t2": digest(t2),
        "author": address(author),
        "other": address(other),
        "identity": digest(identity),
        "ak": digest(ak),
        "number": number(which),
        "list": digest(head),
    }
    need(which > 0 and author != other, "no number, or one address twice")
    return proof


def _list(value: Any) -> Value:
    version, identity, whose, which, prev, ak, hosted, devices, revoked, following, successor = array(value, 11, 11)
    _version(version)
    items = array(devices, _DEVICE, _DEVICE * LIMITS["DEVICES"])
    need(len(items) % _DEVICE == 0, "half a device")
    said: Value = {
        "identity": digest(identity),
        "address": address(whose),
        "number": number(which),
        "prev": maybe(prev, digest),
        "ak": digest(ak),
        "hosted": truth(hosted),
        "devices": [_device(*items[at : at + _DEVICE]) for at in range(0, len(items), _DEVICE)],
        "revoked": [digest(dk) for dk in array(revoked, 0, LIMITS["REVOKED"])],
        "next": digest(following),
        "successor": maybe(successor, digest),
    }
    keys = [device["dk"] for device in said["devices"]]
    need(which > 0 and (prev is None) == (which == 1), "a first list has none before it, the others have")
    need(which != 1 or identity == _hash(ak), "an identity of another key")
    need(all(a < b for a, b in zip(keys, keys[1:])), "devices out of order")
    need(all(a < b for a, b in zip(revoked, revoked[1:])), "revoked devices out of order")
    need(not set(keys) & set(revoked) and ak not in keys, "a revoked device, or one key for two jobs")
    need(following != _hash(ak) and successor != ak, "a key that follows itself")
    need(successor is None or hosted, "a successor of who isn't hosted")
    return {name: item for name, item in said.items() if item is not None}


def _device(dk: Any, caps: Any, added: Any, name: Any) -> Value:
    device = {"dk": digest(dk), "caps": number(caps), "added": number(added)}
    if name is None:
        return device
    said = text(name, LIMITS["DEVICE_NAME_BYTES"])
    odd = any(char != " " and hides_or_reorders(char) for char in said)
    need(said != "" and said == said.strip(" ") and "  " not in said and not odd, "no name of a device")
    return device | {"name": said}


class _Gone(NamedTuple):
    since: int
    until: int
    hosted: bool


def _broken(holds: bool, why: str) -> None:
    if not holds:
        raise Refused("chain", why)


def _foreign(holds: bool) -> None:
    if not holds:
        raise Refused("key", "a foreign key")


class Chain:
    """A person's lists up to the newest."""

    def __init__(self, whose: str, first: Value) -> None:
        _broken(first["number"] == 1 and first["address"] == whose, "no first list of who was asked for")
        _broken(not first["revoked"], "revokes who was no device")
        self.newest = first
        self.hashes = {1: first["hash"]}
        self.eras = [(1, first["ak"])]
        self.since = {device["dk"]: 1 for device in first["devices"]}
        self.gone: dict[bytes, _Gone] = {}

    def judge(self, said: Value) -> Value:
        """What a list is to this chain."""
        newest = self.newest
        _broken(said["address"] == newest["address"], "another address")
        _foreign(said["identity"] == newest["identity"])
        which = said["number"]
        if which <= newest["number"]:
            _foreign(self.key_at(which) == said["ak"])
            known = self.hashes.get(which)
            if known not in (None, said["hash"]):
                raise Refused("fork", "another list of a number that is known")
            if which < newest["number"] or known is None:
                raise Refused("stale", "an older list")
            return {"verdict": "known"}
        if which > newest["number"] + 1:
            return {"verdict": "gap", "after": newest["number"]}
        key = self._right(said)
        if said["prev"] != newest["hash"]:
            raise Refused("fork", "another list before it")
        return self._follow(said, key)

    def take(self, said: Value) -> None:
        """Takes a list over that extends this chain."""
        which, now = said["number"], {device["dk"]: device for device in said["devices"]}
        for device in self.newest["devices"]:
            if device["dk"] not in now:
                hosted = bool(device["caps"] & _HOSTED)
                self.gone[device["dk"]] = _Gone(self.since[device["dk"]], which, hosted)
        self.since = {dk: self.since.get(dk, which) for dk in now}
        if said["ak"] != self.newest["ak"]:
            self.eras.append((which, said["ak"]))
        self.newest = said
        self.hashes[which] = said["hash"]
        self.hashes.pop(which - LIMITS["LIST_HASHES"], None)

    def key_at(self, which: int) -> Optional[bytes]:
        """The AK that signed the list of a number."""
        return next((ak for begin, ak in reversed(self.eras) if begin <= which), None)

    def _right(self, said: Value) -> Optional[str]:
        newest = self.newest
        if "successor" in newest:
            _foreign(said["ak"] == newest["successor"])
            return "handed over"
        if said["ak"] == newest["ak"]:
            return None
        _foreign(_hash(said["ak"]) == newest["next"])
        return "rotated"

    def _follow(self, said: Value, key: Optional[str]) -> Value:
        newest = self.newest
        _broken(said["number"] <= LIMITS["LISTS"], "more lists than there may be")
        if key is None:
            _broken(said["next"] == newest["next"], "another next key under the same key")
        else:
            _broken(len(self.eras) < LIMITS["ADDRESS_KEYS"], "more keys than there may be")
            _broken(said["ak"] not in [ak for _, ak in self.eras], "a former key")
        _broken(said["hosted"] == (newest["hosted"] and key != "handed over"), "a key that changed hands")
        now = {device["dk"]: device for device in said["devices"]}
        before = {device["dk"]: device for device in newest["devices"]}
        _broken(set(self.gone) <= set(said["revoked"]), "a revoked device that came back")
        removed = [dk for dk in said["revoked"] if dk not in self.gone]
        _broken(all(dk in before for dk in removed), "revokes who was no device")
        for dk, device in before.items():
            if dk not in removed:
                _broken(dk in now and _same(now[dk], device), "a device that left, or is another")
        extends = {"verdict": "extends", "added": [dk for dk in now if dk not in before], "removed": removed}
        return extends | ({} if key is None else {"key": key})

    def stands(self, leaf: Value) -> Value:
        """What a leaf's device is to this chain."""
        _broken(leaf["address"] == self.newest["address"], "a leaf of another address")
        _foreign(leaf["identity"] == self.newest["identity"])
        which, dk = leaf["number"], leaf["dk"]
        if which > self.newest["number"]:
            return {"standing": "ahead", "after": self.newest["number"]}
        _foreign(self.key_at(which) == leaf["ak"])
        for device in self.newest["devices"]:
            if device["dk"] == dk:
                hosted = bool(device["caps"] & _HOSTED)
                _broken(self.since[dk] <= which and hosted == leaf["hosted"], "a leaf that its list doesn't have")
                return {"standing": "current"}
        gone = self.gone.get(dk, _Gone(which + 1, 0, False))
        listed = gone.since <= which < gone.until and gone.hosted == leaf["hosted"]
        _broken(listed, "a leaf that its list doesn't have")
        return {"standing": "revoked", "by": gone.until}

    def proves(self, ours: str, t2: bytes, proof: Value) -> Value:
        """What a key proof is to this chain and line."""
        ends = (proof["author"], proof["other"]) == (self.newest["address"], ours)
        _broken(proof["t2"] == t2 and ends, "a proof for another line")
        return self.head(proof["identity"], proof["ak"], proof["number"], proof["list"]) or {"proof": "good"}

    def head(self, identity: bytes, ak: bytes, which: int, head: bytes) -> Optional[Value]:
        """Judges what somebody says the newest list is; gives something where lists are wanted first."""
        _foreign(identity == self.newest["identity"])
        if which > self.newest["number"]:
            return {"proof": "ahead", "after": self.newest["number"]}
        _foreign(self.key_at(which) == ak)
        if self.hashes.get(which, head) != head:
            raise Refused("fork", "another list of that number")
        return None


def _same(now: Value, before: Value) -> bool:
    return now["added"] == before["added"] and now["caps"] & _HOSTED == before["caps"] & _HOSTED


def chain(whose: str, lists: list[bytes]) -> Chain:
    """The chain of these lists, in order."""
    first, *rest = (read("list", data) for data in lists)
    made = Chain(whose, first)
    for said in rest:
        if made.judge(said)["verdict"] != "extends":
            raise ValueError("lists out of order")
        made.take(said)
    return made
