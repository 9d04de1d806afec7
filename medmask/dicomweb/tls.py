"""Certificates: whom to trust, and who we are."""

import ssl
from pathlib import Path

from medmask.errors import InputError


def make_tls_context(
    ca_file: Path | None = None, client_certificate: Path | None = None, *, verify: bool = True
) -> ssl.SSLContext:
    """Prepare secure connections.

    Args:
        ca_file: certificates (PEM) to trust instead of the system's.
        client_certificate: our own certificate and its key (PEM), without a password.
        verify: whether to check the certificate of the other side.

    Raises:
        InputError: a file does not exist, or holds something else.
    """
    files = [path for path in (ca_file, client_certificate) if path is not None]
    for path in files:
        if not path.is_file():
            raise InputError(f"certificate file {path} does not exist, or is no file")
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if client_certificate is not None:
            context.load_cert_chain(client_certificate, password=_no_password)
    except (ssl.SSLError, OSError):
        raise InputError(
            f"certificate file {' or '.join(map(str, files))} holds no certificate in PEM, or not "
            "the key that belongs to it, without a password"
        ) from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_password() -> str:
    """Keep OpenSSL from asking on the terminal."""
    return ""
