"""Postline's bytes, made and read from the text of the specification alone.

    address   ─▶ offer ─▶ (shim)       names, then the fields that mails bring
    field     ─▶
    dial      ─▶
    cbor, ed25519 ─▶ offer, transcript, frame      canonical bytes and what is signed

A second opinion on what the text says, not a node: it opens no socket, keeps no secret and is slow.
"""
