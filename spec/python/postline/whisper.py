"""What is whispered: type 129 ([W-11]).

    body's CBOR ─▶ read ─▶ members of the object ─▶ body ─▶ CBOR
"""

from typing import Any

from .limits import LIMITS
from .shape import address, array, digest, need, number, truth

Frame = dict[str, Any]

TYPE = 129
_VECTOR, _TYPES, _ACTIVE, _CHOICES = 0, 1, 2, 3
_WORDS = 3


def read(value: Any) -> Frame:
    """The members of the object that a body says."""
    kind, *rest = array(value, 1, 3)
    kind = number(kind, 4)
    if kind == _ACTIVE:
        array(rest, 0, 0)
        return {}
    if kind == _TYPES:
        who, talk = array(rest, 2, 2)
        return {"who": address(who), "conversation": digest(talk)}
    (items,) = array(rest, 1, 1)
    items = array(items, 0, LIMITS["PRESENCE_DELTAS"])
    if kind == _VECTOR:
        return {"deltas": [_delta(item) for item in items]}
    return {"choices": [_choice(item) for item in items]}


def _delta(value: Any) -> Frame:
    of, to, word, *rest = array(value, 3, 4)
    said: Frame = {"of": address(of), "to": address(to)}
    if rest:
        need(number(word) == _WORDS, "a time behind another word")
        return said | {"last": number(rest[0])}
    return said | {"word": number(word, _WORDS)}


def _choice(value: Any) -> Frame:
    theirs, chosen, agrees = array(value, 3, 3)
    return {"theirs": address(theirs), "chosen": number(chosen), "agrees": truth(agrees)}


def body(frame: Frame) -> Any:
    """The CBOR value of the body of a whisper."""
    if "deltas" in frame:
        words = [[_WORDS, d["last"]] if "last" in d else [d["word"]] for d in frame["deltas"]]
        return [_VECTOR, [[d["of"], d["to"], *word] for d, word in zip(frame["deltas"], words)]]
    if "choices" in frame:
        return [_CHOICES, [[c["theirs"], c["chosen"], c["agrees"]] for c in frame["choices"]]]
    if "who" in frame:
        return [_TYPES, frame["who"], frame["conversation"]]
    need(set(frame) == {"type"}, "a whisper of another kind")
    return [_ACTIVE]
