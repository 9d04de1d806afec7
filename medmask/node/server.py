"""The application entity that listens: presentation contexts, allowed titles, TLS."""

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification
from pynetdicom.transport import ThreadedAssociationServer

from medmask.errors import InputError
from medmask.node.bounded_dataset import bound_dataset
from medmask.node.options import NodeOptions, TLSFiles
from medmask.node.reception import Reception, sender_of
from medmask.utils.counts import counted

if TYPE_CHECKING:
    from pynetdicom.events import Event

logger = logging.getLogger(__name__)

IMAGE_CLASSES = (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ComputedRadiographyImageStorage,
    SecondaryCaptureImageStorage,
)
"""Storage classes that mammograms come in; the modality of each object is looked at, too."""

_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
_LARGEST_PDU = 2**17  # bytes; pynetdicom takes a millisecond for each
_MOST_NAMES = 5


class NodeServer(ThreadedAssociationServer):
    """A server that a client cannot hold up by half a connection, nor its end."""

    daemon_threads = True
    block_on_close = False

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and leave the handshake of TLS to the thread of the client."""
        client, address = self.socket.accept()
        client.settimeout(self.ae.network_timeout)
        if self.ssl_context is not None:
            client = self.ssl_context.wrap_socket(
                client, server_side=True, do_handshake_on_connect=False
            )
        return client, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.ssl_context is not None:
            request.do_handshake()
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log in a sentence what socketserver would print as a traceback."""
        logger.warning(f"a connection from {client_address[0]} failed before any request")


def transfer_syntaxes() -> list[UID]:
    """All that the installed packages can decode, uncompressed ones first."""
    return [*_UNCOMPRESSED, *(uid for uid in AllTransferSyntaxes if _can_decode(uid))]


def _can_decode(syntax: UID) -> bool:
    if not syntax.is_compressed or syntax.is_deflated:
        return False
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


@contextlib.contextmanager
def listening(reception: Reception, options: NodeOptions) -> Iterator[int]:
    """Listen in threads while in this context.

    Yields:
        The port.

    Raises:
        InputError: the address cannot be listened on, or a file of TLS is faulty.
    """
    entity = AE(options.title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(options.allowed)
    entity.maximum_associations = options.max_associations
    entity.maximum_pdu_size = _LARGEST_PDU
    entity.add_supported_context(Verification)
    syntaxes = transfer_syntaxes()
    for class_uid in IMAGE_CLASSES:
        entity.add_supported_context(class_uid, syntaxes)
    context = None if options.tls is None else server_context(options.tls)
    server = _make_server(entity, reception, options, context)
    try:
        with _serving(server):
            yield server.server_address[1]
    finally:
        for association in server.active_associations:
            association.abort()


def _make_server(
    entity: AE, reception: Reception, options: NodeOptions, context: ssl.SSLContext | None
) -> NodeServer:
    handlers: list[Any] = [
        (evt.EVT_C_STORE, reception.answer),
        (evt.EVT_PDU_RECV, bound_dataset, [options.max_object_bytes]),
        (evt.EVT_ACCEPTED, _log_contexts),
        (evt.EVT_REJECTED, _log_rejection, [options]),
    ]
    try:
        server = entity.make_server(
            (options.host, options.port),
            evt_handlers=handlers,
            ssl_context=context,
            server_class=NodeServer,
        )
    except (OSError, UnicodeError) as error:  # the latter of a name that no host has
        reason = getattr(error, "strerror", "no name of a host")
        raise InputError(
            f"the node cannot listen on {options.host}:{options.port}: {reason}; choose another "
            "--host or --port"
        ) from None
    entity._servers.append(server)  # as start_server does; shutdown takes it out again
    return server


@contextlib.contextmanager
def _serving(server: NodeServer) -> Iterator[None]:
    thread = threading.Thread(
        target=server.serve_forever, args=(0.1,), name="listening", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def server_context(files: TLSFiles) -> ssl.SSLContext:
    """TLS of the node; clients must show a certificate if authorities are given.

    Raises:
        InputError: a file is missing or faulty.
    """
    context = _context(ssl.Purpose.CLIENT_AUTH, files)
    if files.authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(files: TLSFiles) -> ssl.SSLContext:
    """TLS towards the destination, whose certificate must be good for its host.

    Raises:
        InputError: a file is missing or faulty.
    """
    return _context(ssl.Purpose.SERVER_AUTH, files)


def _context(purpose: ssl.Purpose, files: TLSFiles) -> ssl.SSLContext:
    for path in (files.certificate, files.key, files.authorities):
        if path is not None and not path.is_file():
            raise InputError(f"the file {path} of TLS does not exist, or is no file")
    try:
        context = ssl.create_default_context(purpose, cafile=files.authorities)
    except (ssl.SSLError, OSError):
        raise InputError(f"{files.authorities} holds no certificates in PEM format") from None
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, OSError):
        raise InputError(
            f"{files.certificate} and {files.key} are no certificate and its key, without a "
            "password, in PEM format"
        ) from None
    return context


def _no_password() -> str:
    """Keep OpenSSL from asking at the terminal."""
    return ""


def _log_contexts(event: "Event") -> None:
    """Say which proposed classes of objects are not taken."""
    names = sorted({context.abstract_syntax.name for context in event.assoc.rejected_contexts})
    if names:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        logger.info(
            f"of what {sender_of(event)} offers, objects of these classes, or in their transfer "
            f"syntaxes, are not taken: {', '.join(names[:_MOST_NAMES])}{more}"
        )


def _log_rejection(event: "Event", options: NodeOptions) -> None:
    requestor = event.assoc.requestor
    called = requestor.primitive.called_ae_title
    if called != options.title:
        reason = f"it calls {called}, and this is {options.title}"
    elif options.allowed and requestor.ae_title not in options.allowed:
        reason = "its AE title is not among the allowed ones"
    else:
        reason = f"{counted(options.max_associations, 'association is', 'associations are')} open"
    logger.warning(f"{sender_of(event)} is rejected: {reason}")
