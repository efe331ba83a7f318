"""TLS between processes: contexts from files, the names in a certificate, and who needs them.

Mutual TLS always: each side shows a certificate that the cluster's own authority signed. Addresses
change, so what a certificate must name is not a host but the ids that its owner claims in the
handshake (`concur.serve.handshake`): all of them, as DNS names or URIs of the subject alternative
name, or as the common name.
"""

import ssl
from pathlib import Path
from typing import Any

from concur.errors import BadInput
from concur.serve.addresses import is_loopback, split_address


def server_context(certificate: str | Path, key: str | Path, authority: str | Path) -> Any:
    """For the side that listens. Raises BadInput, naming the file that is wrong."""
    return _context(ssl.PROTOCOL_TLS_SERVER, certificate, key, authority)


def door_context(certificate: str | Path, key: str | Path, authority: str | Path) -> Any:
    """For a door to clients, who say a password or a token instead of showing a certificate.
    Raises BadInput, naming the file that is wrong."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, certificate, key, authority)
    context.verify_mode = ssl.CERT_NONE
    return context


def client_context(certificate: str | Path, key: str | Path, authority: str | Path) -> Any:
    """For the side that dials. Raises BadInput, naming the file that is wrong."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, certificate, key, authority)


def certificate_names(certificate: "dict[str, Any] | None") -> frozenset[str]:
    """Whom a verified certificate names, as `ssl.SSLSocket.getpeercert` gives it."""
    if not certificate:
        return frozenset()
    alternative = {
        name for kind, name in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI")
    }
    common = {
        value
        for part in certificate.get("subject", ())
        for kind, value in part
        if kind == "commonName"
    }
    return frozenset(alternative | common)


def is_mutual(context: "ssl.SSLContext | None") -> bool:
    """Whether a listener with this context lets in only those who show a certificate."""
    return context is not None and context.verify_mode == ssl.CERT_REQUIRED


def refuse_exposed(
    address: str,
    guarded: bool,
    *,
    server: str = "peers",
    needs: str = "mutual TLS",
    insecure: bool = False,
) -> None:
    """Raise BadInput if other machines can reach `address` and nothing guards it.

    `needs` names what would guard the `server`; `insecure`: its owner wants it all the same.
    """
    host, _ = split_address(address, server)
    if not (guarded or insecure or is_loopback(host)):
        raise BadInput(
            f"{server} at {address}: other machines can reach it, and it has not {needs}; "
            "expected that, or a loopback address such as 127.0.0.1, or insecure = true in "
            "[security] where something else guards it"
        )


def _context(
    protocol: int, certificate: str | Path, key: str | Path, authority: str | Path
) -> ssl.SSLContext:
    for what, path in (("certificate", certificate), ("key", key), ("authority", authority)):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise BadInput(f"TLS {what} {path}: {error.strerror}, expected a PEM file") from None
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # ids are what is checked, after the handshake
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        # A password would be asked for on the terminal of whoever started the server.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise BadInput(
            f"TLS certificate {certificate} with key {key}: {reason}, expected PEM files of a "
            "certificate and its unencrypted key"
        ) from None
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        reason = error.reason or error
        raise BadInput(
            f"TLS authority {authority}: {reason}, expected a PEM file of certificates"
        ) from None
    return context
