"""Answers to C-STORE: an object is checked, written to the disk, and only then acknowledged."""

import logging
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, cast

from medmask.node.options import NodeOptions
from medmask.node.received_object import (
    NOT_UNDERSTOOD,
    OUT_OF_RESOURCES,
    ObjectIdentity,
    RefusedObject,
    identify,
)
from medmask.node.spool import Spool

if TYPE_CHECKING:
    from pydicom import Dataset
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.events import Event

logger = logging.getLogger(__name__)

_SUCCESS = 0x0000
_IMPLEMENTATION_UID = "2.25.232373120396270184640046921398372517293"
_LONGEST_COMMENT = 64  # characters of Error Comment, value representation LO


class Reception:
    """Takes what clients send."""

    def __init__(self, spool: Spool, options: NodeOptions, on_image: Callable[[str], None]) -> None:
        """Create the reception.

        Args:
            spool: where images go.
            options: limits.
            on_image: called with the Study Instance UID of each image that is new.
        """
        self._spool, self._options, self._on_image = spool, options, on_image

    def answer(self, event: "Event") -> "Dataset":
        """Store the object of a C-STORE request; a handler of ``EVT_C_STORE``.

        Returns:
            The status of the answer, with a comment if the object is refused.
        """
        try:
            self._store(event)
        except RefusedObject as error:
            logger.warning(f"{error} (from {sender_of(event)})")
            return _status(error.status, str(error))
        except OSError as error:
            logger.error(f"an object cannot be written: {error.strerror} ({self._spool.folder})")
            return _status(OUT_OF_RESOURCES, "the disk does not take the object")
        except Exception as error:  # its text may quote the header
            logger.error(f"an object cannot be taken ({type(error).__name__})")
            return _status(NOT_UNDERSTOOD, "the object cannot be taken")
        return _status(_SUCCESS)

    def _store(self, event: "Event") -> None:
        request = cast("C_STORE", event.request)
        encoded = cast(BytesIO, request.DataSet)
        identity = self._check(event, encoded)
        meta = _file_meta(request, event.context.transfer_syntax)
        with encoded.getbuffer() as dataset:
            is_new = self._spool.store(identity, meta, dataset)
        if is_new:
            self._on_image(identity.study_uid)

    def _check(self, event: "Event", encoded: BytesIO) -> ObjectIdentity:
        size = encoded.getbuffer().nbytes
        limit = self._options.max_object_bytes
        if getattr(encoded, "is_over", False) or size > limit:
            raise RefusedObject(
                OUT_OF_RESOURCES,
                f"an object is refused: it is larger than the limit of {limit} bytes",
            )
        if self._spool.free_bytes() - size < self._options.min_free_bytes:
            raise RefusedObject(
                OUT_OF_RESOURCES,
                f"an object is refused: less than {self._options.min_free_bytes} bytes would be "
                f"free on the disk of {self._spool.folder}",
            )
        request = cast("C_STORE", event.request)
        return identify(
            encoded,
            event.context.transfer_syntax,
            request.AffectedSOPClassUID,
            request.AffectedSOPInstanceUID,
        )


def sender_of(event: "Event") -> str:
    """AE title and address of the client of an event."""
    requestor = event.assoc.requestor
    return f"{requestor.ae_title}@{requestor.address}"


def _file_meta(request: "C_STORE", syntax: str) -> bytes:
    """Build what a file has before its dataset (PS3.10 7.1); the same for the same object."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = request.AffectedSOPClassUID
    meta.MediaStorageSOPInstanceUID = request.AffectedSOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_UID)
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(buffer, meta)
    return buffer.getvalue()


def _status(code: int, comment: str = "") -> "Dataset":
    from pydicom import Dataset

    status = Dataset()
    status.Status = code
    if comment:
        status.ErrorComment = comment[:_LONGEST_COMMENT]
    return status
