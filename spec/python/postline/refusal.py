"""The one way of saying no: an exception with an error class of `spec/vectors/README.md`."""


class Refused(Exception):
    """What was read is refused; `kind` is the error class, the text is for people."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(f"{kind}: {why}")
        self.kind = kind
        self.why = why
