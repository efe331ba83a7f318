"""The admin doors of nodes that run: where they are, and how to ask there."""

import http.client
import ssl
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from concur.errors import BadInput, ConcurError

ANSWER_S_MAX = 5.0
ACTION_S_MAX = 120.0
"""Handing over leadership waits for the operator's deadline, a snapshot for a slow disk."""
ANSWER_BYTES_MAX = 4 << 20
TOKEN_BYTES_MAX = 4096

NODES = "Which nodes"

Addresses = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ADDRESS]...",
        help="Of admin doors: 127.0.0.1:8001, or https://db1:8001.",
        show_default=False,
    ),
]
Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        help="The folder of a cluster that concur up runs, or of one node: addresses and tokens "
        "are read there.",
        rich_help_panel=NODES,
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Holds the token of the nodes: their token_file, or the admin-token in their "
        "directory.",
        rich_help_panel=NODES,
        show_default=False,
    ),
]
Authority = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Who signs the certificates of the nodes, for https. Their names are not compared "
        "then. Default: the authorities that this machine trusts.",
        rich_help_panel=NODES,
        show_default=False,
    ),
]


class Unreachable(ConcurError):
    """No answer, or not from a node of Concur. The message says what was asked and what came."""


class Door(msgspec.Struct, frozen=True):
    """Where one node can be asked; `node` is "" if it is not known yet."""

    host: str
    port: int
    node: str = ""
    token: str = ""
    https: bool = False
    authority: Path | None = None

    @property
    def address(self) -> str:
        from concur.serve.addresses import join_address

        return join_address(self.host, self.port)

    def ask(
        self, method: str, target: str, patience_s: float = ANSWER_S_MAX
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer. Raises Unreachable; BadInput for a wrong authority."""
        line: http.client.HTTPConnection
        if self.https:
            line = http.client.HTTPSConnection(
                self.host, self.port, timeout=patience_s, context=self._context()
            )
        else:
            line = http.client.HTTPConnection(self.host, self.port, timeout=patience_s)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            line.request(method, target, headers=headers)
            answer = line.getresponse()
            body = answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unreachable(f"{self.address}: {reason}") from None
        finally:
            line.close()
        try:
            return answer.status, msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise Unreachable(f"{self.address}: no admin door of Concur answers") from None

    def _context(self) -> ssl.SSLContext:
        if self.authority is None:
            return ssl.create_default_context()
        try:
            context = ssl.create_default_context(cafile=str(self.authority))
        except (OSError, ssl.SSLError):
            raise BadInput(
                f"--authority {self.authority}: cannot be read, expected certificates in PEM"
            ) from None
        context.check_hostname = False  # they name nodes, wherever those run
        return context


def doors_of(
    addresses: list[str] | None,
    directory: Path | None,
    token_file: Path | None,
    authority: Path | None,
) -> list[Door]:
    """The doors that were named. Raises BadInput."""
    if bool(addresses) == (directory is not None):
        raise BadInput("expected the ADDRESS of an admin door, or --dir with a cluster's folder")
    token = "" if token_file is None else read_token(token_file)
    if directory is not None:
        return [_configured(path, token, authority) for path in _configurations(directory)]
    return [_typed(address, token, authority) for address in addresses or ()]


def read_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            lines = file.read(TOKEN_BYTES_MAX).split(b"\n", 1)
        token = lines[0].strip().decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not ASCII"
        raise BadInput(f"token file {path}: {reason}, expected a token in a line") from None
    if not token:
        raise BadInput(f"token file {path}: empty, expected a token in a line")
    return token


def _typed(text: str, token: str, authority: Path | None) -> Door:
    from concur.serve.addresses import split_address

    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "http", text
    if scheme not in ("http", "https"):
        raise BadInput(f"address {text!r}, expected host:port, or http:// or https:// before it")
    host, port = split_address(rest.rstrip("/"))
    return Door(host, port, "", token, scheme == "https", authority)


def _configurations(directory: Path) -> list[Path]:
    if (directory / "node.toml").is_file():
        return [directory / "node.toml"]
    found = sorted(directory.glob("*/node.toml"), key=lambda p: (len(p.parent.name), p.parent.name))
    if not found:
        raise BadInput(f"--dir {directory}: no node.toml there, expected a folder of concur up")
    return found


def _configured(path: Path, token: str, authority: Path | None) -> Door:
    from concur.serve.addresses import split_address
    from concur.serve.config import read

    config = read(path)
    if not config.listen.admin:
        raise BadInput(f"{path}: listen.admin is not set, so nobody can be asked there")
    host, port = split_address(config.listen.admin, f"{path}: listen.admin")
    if not port:
        raise BadInput(f"{path}: listen.admin has port 0; ask at the address that the log names")
    security = config.security
    made = config.path(config.directory) / "admin-token"
    if not token and security.token_file:
        token = config.secret(security.token_file)
    elif not token and made.is_file():
        token = read_token(made)
    if authority is None and security.authority:
        authority = config.path(security.authority)
    https = bool(security.certificate)
    return Door(host, port, config.node, token, https, authority)
