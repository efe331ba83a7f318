"""Addresses as people write them, `host:port`, and who can reach them."""

import ipaddress

from concur.errors import BadInput


def split_address(address: str, where: str = "address") -> tuple[str, int]:
    """Host and port of `host:port` or `[host]:port`. Raises BadInput, naming `where` it stands."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadInput(f"{where} {address!r}, expected host:port, such as 127.0.0.1:7101")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """The address of which `split_address` gives `host` and `port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than localhost may lead anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
