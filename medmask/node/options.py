"""Options of a node, free of heavy imports: command lines show them."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.dicom_results.options import ResultOptions
from medmask.errors import InputError

if TYPE_CHECKING:
    from medmask.calibration import AppliedCalibration

_ADDRESS = re.compile(r"(?P<title>[^@]+)@(?P<host>[^@\s]+):(?P<port>[0-9]{1,5})", re.ASCII)
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1", re.ASCII)


def check_title(title: str) -> str:
    """Check an AE title (PS3.5 6.2, value representation AE).

    Returns:
        The title without spaces around it, which do not count.

    Raises:
        InputError: it is none.
    """
    stripped = title.strip(" ")
    is_printable = stripped.isascii() and stripped.isprintable() and "\\" not in stripped
    if not (1 <= len(stripped) <= 16 and is_printable):
        raise InputError(
            f"AE title {title!r} must have 1 to 16 printable ASCII characters and no backslash"
        )
    return stripped


@dataclass(frozen=True)
class Destination:
    """The application entity that results are sent to.

    Attributes:
        title: its AE title.
        host: name or address.
        port: in [1, 65535].

    Raises:
        InputError: a value is out of its range.
    """

    title: str
    host: str
    port: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", check_title(self.title))
        _check_port(self.port, least=1)

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Read ``TITLE@HOST:PORT``, such as ``PACS@10.0.0.5:104``.

        Raises:
            InputError: the text is not of this form.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise InputError(
                f"destination '{text}' is not of the form TITLE@HOST:PORT, such as "
                "PACS@10.0.0.5:104"
            )
        return cls(match["title"], match["host"].strip("[]"), int(match["port"]))

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class TLSFiles:
    """Files that TLS needs, in PEM.

    Attributes:
        certificate: of the node, with those between it and its authority.
        key: of the certificate, without a password.
        authorities: whose certificates are accepted; then clients must show one, too. None takes
            any client, and for the destination the authorities of the operating system.
    """

    certificate: Path
    key: Path
    authorities: Path | None = None


@dataclass(frozen=True)
class NodeOptions:
    """All that a node can be told.

    Attributes:
        destination: that results are sent to.
        title: AE title of the node; calls to another title are rejected.
        host: address to listen on.
        port: likewise; 0 takes any that is free.
        allowed: AE titles that may connect; none means all, which only a loopback address allows.
        tls: files of TLS; None listens without.
        destination_tls: whether results are sent by TLS, with the same files.
        quiet_seconds: a study is complete when nothing has come for so long.
        max_object_bytes: larger objects are refused.
        min_free_bytes: of the disk; objects that would leave less are refused.
        max_associations: open at the same time; more are rejected.
        retry_seconds: between the first and the second try to send; doubled after each.
        max_retry_seconds: between two tries, at most.
        keep_days: answered studies are removed after so many days; None keeps all.
        batch_size: most images of one size that go through the model together.
        results: threshold and kinds of objects.
        calibration: of the detector; its threshold takes the place of that of the results, which
            have probabilities. None for scores alone.

    Raises:
        InputError: a value is out of its range.
    """

    destination: Destination
    title: str = "MEDMASK"
    host: str = "127.0.0.1"
    port: int = 11112
    allowed: tuple[str, ...] = ()
    tls: TLSFiles | None = None
    destination_tls: bool = False
    quiet_seconds: float = 60.0
    max_object_bytes: int = 256 * 2**20
    min_free_bytes: int = 2 * 2**30
    max_associations: int = 8
    retry_seconds: float = 5.0
    max_retry_seconds: float = 600.0
    keep_days: float | None = None
    batch_size: int = 1
    results: ResultOptions = field(default_factory=ResultOptions)
    calibration: "AppliedCalibration | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "results", self.results.at(self.calibration))
        object.__setattr__(self, "title", check_title(self.title))
        object.__setattr__(self, "allowed", tuple(map(check_title, self.allowed)))
        _check_port(self.port, least=0)
        if not self.allowed and not _LOOPBACK.fullmatch(self.host):
            raise InputError(
                f"a node that listens on {self.host}, which other machines reach, needs a list of "
                "the AE titles that may connect: name them with --allow"
            )
        if self.destination_tls and self.tls is None:
            raise InputError("sending by TLS needs --tls-certificate and --tls-key")
        for name, least in (
            ("quiet_seconds", 0),
            ("max_object_bytes", 1),
            ("min_free_bytes", 0),
            ("max_associations", 1),
            ("retry_seconds", 0.01),
            ("keep_days", 0),
            ("batch_size", 1),
        ):
            value = getattr(self, name)
            if value is not None and not value >= least:  # NaN, too
                raise InputError(f"{name} must be at least {least}, got {value}")
        if not self.retry_seconds <= self.max_retry_seconds:
            raise InputError(
                f"retry_seconds must be at most {self.max_retry_seconds:g}, the longest time "
                f"between two tries, got {self.retry_seconds:g}"
            )


def _check_port(port: int, *, least: int) -> None:
    if not least <= port <= 65535:
        raise InputError(f"a port is in [{least}, 65535], got {port}")
