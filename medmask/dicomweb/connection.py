"""Requests to an archive: tried again where that helps, within limits of time and size."""

import http.client
import random
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from medmask.dicomweb.credentials import Credentials
from medmask.dicomweb.errors import AccessError, DicomwebError, RefusedError, UnreachableError
from medmask.dicomweb.tls import make_tls_context
from medmask.errors import InputError
from medmask.utils.counts import counted

_BUSY = frozenset({408, 425, 429, 502, 503, 504})
_FAULTY = frozenset({500})  # tried again as well, but it may be the object that is at fault
_LONGEST_TIMEOUT = 86_400  # seconds
_LONGEST_WAIT = 60.0  # seconds between tries
_SLOWEST = 10  # a whole answer may take so many times the limit for its next byte
_BLOCK = 2**16
_PLAIN = "*?,:/@!$'()"  # may stand in a query as they are (RFC 3986)


@dataclass(frozen=True)
class ConnectionOptions:
    """Limits of requests, and whom to trust.

    Attributes:
        timeout: seconds without a byte after which a request counts as failed, above 0 and a day at
            most; a whole answer may take 10 times as long.
        retries: how often a request is tried again, at least 0.
        first_wait: seconds before the second try, about; each further wait is twice as long.
        max_bytes: of the largest answer.
        ca_file: certificates (PEM) to trust instead of the system's.
        client_certificate: our own certificate and its key (PEM), if the archive asks for one.
        verify: whether to check the archive's certificate.

    Raises:
        InputError: a value is out of its range.
    """

    timeout: float = 60.0
    retries: int = 4
    first_wait: float = 0.5
    max_bytes: int = 512 * 2**20
    ca_file: Path | None = None
    client_certificate: Path | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise InputError(
                f"the timeout must be above 0 and at most {_LONGEST_TIMEOUT} seconds, got "
                f"{self.timeout}"
            )
        if self.retries < 0:
            raise InputError(f"the number of retries must be at least 0, got {self.retries}")
        if self.max_bytes < 1:
            raise InputError(f"the largest object must have a byte at least, got {self.max_bytes}")


@dataclass(frozen=True)
class Answer:
    """A successful answer.

    Attributes:
        status: of HTTP.
        content_type: the header, or empty.
        body: the content.
    """

    status: int
    content_type: str
    body: bytes


class Connection:
    """Sends requests to one archive; several threads may."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        options: ConnectionOptions | None = None,
    ) -> None:
        """Check the address and the certificates; nothing is sent.

        Args:
            url: root of the archive's DICOMweb service, such as ``https://host/dicom-web``.
            credentials: for the archive.
            options: the defaults if None.

        Raises:
            InputError: the address is none, or a file of certificates is faulty.
        """
        self.url = check_url(url)
        self.options = options or ConnectionOptions()
        self._authorization = (credentials or Credentials()).header
        handlers: list[Any] = [_NoRedirect()]
        if self.url.startswith("https:"):
            context = make_tls_context(
                self.options.ca_file, self.options.client_certificate, verify=self.options.verify
            )
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)
        self._closed = threading.Event()

    def close(self) -> None:
        """Give up waits for another try, in all threads."""
        self._closed.set()

    def get(self, path: str, accept: str, query: Mapping[str, str] | None = None) -> Answer:
        """Send a GET request.

        Args:
            path: below the root.
            accept: media types to ask for.
            query: parameters.

        Raises:
            AccessError: the archive does not let us in.
            UnreachableError: it does not answer, or cannot now, after all tries.
            RefusedError: it answers with another error, or more bytes than the limit.
        """
        address = f"{self.url}/{path}" + (f"?{_encode(query)}" if query else "")
        return self._send(path, lambda: urllib.request.Request(address, headers={"Accept": accept}))

    def post(self, path: str, accept: str, content_type: str, body: bytes) -> Answer:
        """Send a POST request, which may reach the archive more than once; see :meth:`get`."""
        headers = {"Accept": accept, "Content-Type": content_type}
        address = f"{self.url}/{path}"
        return self._send(
            path,
            lambda: urllib.request.Request(address, data=body, headers=headers, method="POST"),
        )

    def _send(self, path: str, make_request: Any) -> Answer:
        wait = self.options.first_wait
        for left in range(self.options.retries, -1, -1):
            request = make_request()
            if self._authorization is not None:
                request.add_header("Authorization", self._authorization)
            try:
                return self._try(request, path)
            except _TryAgainError as fault:
                if not left or self._closed.is_set():
                    raise fault.error from None
                pause = fault.wait or wait * random.uniform(0.5, 1.5)
                self._closed.wait(min(pause, _LONGEST_WAIT))
                wait *= 2
        raise AssertionError("there is a first try")

    def _try(self, request: urllib.request.Request, path: str) -> Answer:
        try:
            with self._opener.open(request, timeout=self.options.timeout) as response:
                body = self._read(response, path)
                return Answer(response.status, response.headers.get("Content-Type", ""), body)
        except urllib.error.HTTPError as error:
            with error:
                raise self._status_error(error, path) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._network_error(error, path) from None

    def _read(self, response: http.client.HTTPResponse, path: str) -> bytes:
        limit = self.options.max_bytes
        deadline = time.monotonic() + _SLOWEST * self.options.timeout
        blocks, size = [], 0
        stated = response.length
        while stated is None or stated <= limit:
            block = response.read1(_BLOCK)
            if not block:
                break
            blocks.append(block)
            size += len(block)
            if size > limit:
                break
            if time.monotonic() > deadline:
                raise TimeoutError
        if size > limit or (stated or 0) > limit:
            raise RefusedError(
                f"{self._name(path)}: the answer is larger than the limit of {limit} bytes"
            )
        if response.length:
            raise ConnectionError("cut off")
        return b"".join(blocks)

    def _status_error(self, error: urllib.error.HTTPError, path: str) -> Exception:
        """The error that a status means; the words that came with it may be of a patient."""
        status, name = error.code, self._name(path)
        answer = f"{name}: the archive answered {status} ({_phrase(status)})"
        if status in (401, 407):
            return AccessError(
                f"{answer}: give a user and a password, or a token, that it knows (see "
                "docs/pacs.md#credentials)"
            )
        if 300 <= status < 400:
            return AccessError(f"{answer}, a redirection: give the address that it leads to as URL")
        if status in _BUSY:
            return _TryAgainError(
                UnreachableError(f"{answer}; try again later"), _retry_after(error.headers)
            )
        refused = RefusedError(answer, status)
        return _TryAgainError(refused) if status in _FAULTY else refused

    def _network_error(self, error: Exception, path: str) -> Exception:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return AccessError(
                f"{self.url}: its certificate is not trusted ({reason.verify_message}): name the "
                "certificates to trust as a file, or correct the host's name"
            )
        if isinstance(reason, ssl.SSLError) and not isinstance(reason, ssl.SSLEOFError):
            return AccessError(
                f"{self.url}: no secure connection ({reason.reason or 'TLS'}): check that the "
                "address is one of https, and whether the archive asks for a client certificate"
            )
        if isinstance(reason, TimeoutError):
            what = f"no answer within {counted(float(self.options.timeout), 'second')}"
        elif isinstance(reason, OSError) and reason.strerror:
            what = reason.strerror[0].lower() + reason.strerror[1:]
        else:
            what = "the connection broke off"
        return _TryAgainError(UnreachableError(f"{self._name(path)}: {what}; try again later"))

    def _name(self, path: str) -> str:
        """Name of a request in messages; queries, which may hold a patient's id, stay out."""
        return f"{self.url}/{path}"


class _TryAgainError(Exception):
    """A fault that another try may not have."""

    def __init__(self, error: DicomwebError, wait: float | None = None) -> None:
        super().__init__()
        self.error, self.wait = error, wait


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: credentials go to the archive that the user named, alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


def check_url(url: str) -> str:
    """Check the address of an archive.

    Returns:
        The address without a slash at its end.

    Raises:
        InputError: it is no address of http or https, or holds credentials, which no message tells.
    """
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_whole = is_whole and (parts.port is None or parts.port > 0) and url.isascii()
        (parts.hostname or "").encode("idna")  # no name of a host has two dots after each other
    except ValueError:
        is_whole = False
    if "@" in url:
        raise InputError(
            "the URL of the archive holds credentials, which others can read there: give them by "
            "the environment or a file (see docs/pacs.md#credentials)"
        )
    if not is_whole or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise InputError(
            f"'{url}' is not the root of a DICOMweb service, such as https://host/dicom-web"
        )
    return url.rstrip("/")


def _encode(query: Mapping[str, str]) -> str:
    """Encode what has to be, and no more: there are archives that decode nothing."""
    return urlencode(query, safe=_PLAIN, quote_via=quote)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "a status of its own"


def _retry_after(headers: Message) -> float | None:
    """The seconds that a busy archive asks to wait for; dates are passed over."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
