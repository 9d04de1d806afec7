"""A limit on the size of objects while they come, so that one cannot take all memory.

pynetdicom collects the dataset of a message in a buffer. The buffer is replaced by one that keeps
nothing once it is over the limit; the sender is answered when the object has come to its end.
"""

from io import BytesIO
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pynetdicom.events import Event


class BoundedDataset(BytesIO):
    """A buffer of a limited size.

    Attributes:
        is_over: whether more was written than the limit allows; then nothing is kept.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.is_over = False
        self._limit = limit

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if not self.is_over and self.tell() + len(data) > self._limit:
            self.is_over = True
            self.seek(0)
            self.truncate()
        if not self.is_over:
            super().write(data)
        return len(data)


def bound_dataset(event: "Event", limit: int) -> None:
    """Put a bound on the message that a part has come of; a handler of ``EVT_PDU_RECV``.

    The first part of a message is in pynetdicom's own buffer, and is taken over with the second.

    Args:
        event: of the part.
        limit: bytes of a dataset.
    """
    message = event.assoc.dimse.message
    if message is not None and not isinstance(message.data_set, BoundedDataset):
        bounded = BoundedDataset(limit)
        bounded.write(cast(BytesIO, message.data_set).getvalue())
        message.data_set = bounded
