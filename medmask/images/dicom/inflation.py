"""Deflated DICOM files (PS3.5 A.5), inflated no further than they are read."""

import io
import os
import zlib
from pathlib import Path
from typing import BinaryIO

from medmask.errors import InputError

_CHUNK = 2**16  # bytes of the file at a time


class InflatedStream(io.RawIOBase):
    """A seekable view of what a deflated file holds.

    A file of a few kilobytes can inflate to gigabytes. So only what is read is inflated, and no
    more than :attr:`limit` bytes, which the reader raises once it knows how large the image is.
    """

    def __init__(self, path: Path, file: BinaryIO):
        """Start where the file stands, behind its header.

        Args:
            path: the file, for messages.
            file: the file.
        """
        super().__init__()
        self.limit = 64 * 2**20
        self._path = path
        self._file = file
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._content = bytearray()
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            raise io.UnsupportedOperation("the end is not known before it is inflated")
        self._position = max(0, offset + (self._position if whence == os.SEEK_CUR else 0))
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self.limit + 1 if size < 0 else self._position + size
        self._inflate_up_to(end)
        part = bytes(self._content[self._position : end])
        self._position += len(part)
        return part

    def _inflate_up_to(self, end: int) -> None:
        if end > self.limit:
            self._refuse_if_longer()
        while len(self._content) < end and not self._inflater.eof:
            data = self._inflater.unconsumed_tail or self._file.read(_CHUNK)
            if not data:
                return
            try:
                self._content += self._inflater.decompress(data, end - len(self._content))
            except zlib.error as error:
                raise InputError(
                    f"DICOM file {self._path} cannot be inflated ({error}); copy it again"
                ) from error

    def _refuse_if_longer(self) -> None:
        self._inflate_up_to(self.limit)
        if len(self._content) == self.limit and not self._inflater.eof:
            raise InputError(
                f"DICOM file {self._path} inflates to more than the {self.limit} bytes that its "
                "image can need; it is damaged, or made to fill the memory"
            )
