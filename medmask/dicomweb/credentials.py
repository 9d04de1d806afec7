"""Credentials for an archive; they come from the environment or a file, never in an argument.

Arguments of a command can be read by every user of a machine, and end up in the shell's history.
"""

import base64
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medmask.errors import InputError
from medmask.utils.json_files import read_json

USER, PASSWORD, TOKEN = "MEDMASK_PACS_USER", "MEDMASK_PACS_PASSWORD", "MEDMASK_PACS_TOKEN"
"""Environment variables."""

_VARIABLES = {"user": USER, "password": PASSWORD, "token": TOKEN}


@dataclass(frozen=True)
class Credentials:
    """A user's name and password (HTTP Basic), or a bearer token, or none of them.

    Attributes:
        user: name; None for no name and password.
        password: of the user.
        token: of OAuth 2 or the like.

    Raises:
        InputError: they are half of a pair, or two at a time, or hold what HTTP does not carry.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.user is None) != (self.password is None):
            raise InputError("credentials need both a user and a password: set both, or a token")
        if self.user is not None and self.token is not None:
            raise InputError("credentials are a user and a password, or a token, not both")
        if ":" in (self.user or ""):
            raise InputError("a user of an archive has no colon in the name")
        if any(not (text or "").isprintable() for text in (self.user, self.password, self.token)):
            raise InputError("credentials hold a line break or the like: remove it")
        if not (self.token or "").isascii():
            raise InputError("a token has letters, digits and signs of ASCII alone: copy it again")

    @property
    def header(self) -> str | None:
        """Value of the HTTP header ``Authorization``; None without credentials."""
        if self.token is not None:
            return f"Bearer {self.token}"
        if self.user is None:
            return None
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def read_credentials(
    path: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Credentials:
    """Read credentials.

    Args:
        path: a JSON file, ``{"user": ..., "password": ...}`` or ``{"token": ...}``, which its owner
            alone may read; None for the environment variables :data:`USER` and :data:`PASSWORD`,
            or :data:`TOKEN`.
        environment: the variables.

    Raises:
        InputError: the file is faulty, or others may read it; no message quotes its content.
    """
    if path is None:
        values = {key: environment.get(name) or None for key, name in _VARIABLES.items()}
        return Credentials(**values)
    content = read_json(path, "credentials file")
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError(
            f"credentials file {path} may be read by others than its owner: run 'chmod 600 {path}'"
        )
    if (
        not isinstance(content, dict)
        or not content
        or not content.keys() <= _VARIABLES.keys()
        or not all(isinstance(value, str) and value for value in content.values())
    ):
        raise InputError(
            f'credentials file {path} must hold {{"user": ..., "password": ...}} or '
            '{"token": ...}, each a string'
        )
    return Credentials(**content)
