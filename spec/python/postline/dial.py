"""Which addresses and ports may be dialled ([L-1]), and what a hint says ([T-2], [L-20])."""

import ipaddress
import re
from typing import Union

from .address import is_domain
from .limits import LIMITS
from .refusal import Refused

Ip = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Net = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

DENIED_4 = [
    ipaddress.IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "192.31.196.0/24",
        "192.175.48.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
DENIED_6 = [
    ipaddress.IPv6Network(net)
    for net in ("2001::/23", "2001:db8::/32", "3fff::/20", "2002::/16", "3ffe::/16", "2620:4f:8000::/48")
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_6TO4 = ipaddress.IPv6Network("2002::/16")
_HINT = re.compile(r"([^:]+):(0|[1-9][0-9]{0,4})")


def judge(ip: str, port: int, allow: list[str]) -> None:
    """Refuses what may not be dialled: a text that is no address, then the port, then the address."""
    if "%" in ip:
        raise Refused("address", "an address with a zone")
    try:
        parsed = ipaddress.ip_address(ip)
    except ValueError as fault:
        raise Refused("address", str(fault)) from fault
    if not port_may_be_dialled(port):
        raise Refused("port", f"port {port}")
    if not _may_be_dialled(parsed, [ipaddress.ip_network(net, strict=False) for net in allow]):
        raise Refused("address", f"{ip} is not for everybody")


def port_may_be_dialled(port: int) -> bool:
    """443, 7678, or 1024 and above."""
    return port == 443 or 1024 <= port <= 65535


def read_hint(text: str, mail_domain: str) -> tuple[str, int, bool]:
    """The host and port of a hint, and whether it may be dialled for a mail domain."""
    match = _HINT.fullmatch(text)
    if len(text.encode("utf-8")) > LIMITS["HINT_BYTES"] or match is None:
        raise Refused("hint", "not host:port")
    host, port = match[1], int(match[2])
    if not is_domain(host) or not port_may_be_dialled(port):
        raise Refused("hint", "a host that isn't in normal form, or a port that may not be dialled")
    return host, port, host == mail_domain or host.endswith("." + mail_domain)


def _may_be_dialled(ip: Ip, allow: list[Net]) -> bool:
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv4Address):
        denied = any(ip in net for net in DENIED_4)
    else:
        denied = ip not in GLOBAL_6 or any(ip in net for net in DENIED_6)
    if not denied:
        return True
    if not any(ip in net for net in allow if net.version == ip.version):
        return False
    inner = _inner(ip)
    return inner is None or _may_be_dialled(inner, allow)


def _inner(ip: Ip) -> Union[ipaddress.IPv4Address, None]:
    """The IPv4 address that a router on the way may make of an IPv6 one."""
    number = int(ip)
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if ip in _NAT64 or (ip in _COMPATIBLE and number > 1):
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if ip in _6TO4:
        return ipaddress.IPv4Address(number >> 80 & 0xFFFFFFFF)
    return None
