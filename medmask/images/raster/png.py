"""PNG files (ISO/IEC 15948) by Pillow."""

import zlib

from PIL.PngImagePlugin import PngImageFile

from medmask.images.raster.marks import MarkedImage, SurplusError


class PngDecoder(MarkedImage, PngImageFile):
    """A PNG file whose missing and surplus rows are noticed.

    One row more than the header says is asked for, and has to stay away. (The passes of an
    interlaced image depend on its height.)
    """

    asks_for_more = True
    """False to do without that row."""

    def load_prepare(self) -> None:
        super().load_prepare()
        if self._has_surplus_row():
            self.im.putpixel(self._surplus_pixel(), self.mark())
        self.tile = [tile._replace(extents=(0, 0, *self.stored_size())) for tile in self.tile]

    def load_end(self) -> None:
        super().load_end()
        is_surplus = self._has_surplus_row() and not self.marked_bands(self._surplus_pixel())
        self.im = self.im.crop((0, 0, *self.size))
        if is_surplus and not self.marked:
            raise SurplusError

    def _is_interlaced(self) -> bool:
        return bool(self.info.get("interlace"))

    def _has_surplus_row(self) -> bool:
        return self.asks_for_more and not self._is_interlaced()

    def stored_size(self) -> tuple[int, int]:
        width, height = self.size
        return width, height + self._has_surplus_row()

    def _surplus_pixel(self) -> tuple[int, int]:
        width, height = self.stored_size()
        return width - 1, height - 1

    def find_exif(self) -> None:
        """Take note of EXIF data that stand behind the pixels, without decoding these."""
        if "exif" in self.info:
            return
        start = self.fp.tell()
        self.fp.seek(8)
        while len(head := self.fp.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                self.info["exif"] = b"Exif\0\0" + self.fp.read(length)
                break
            self.fp.seek(length + 4, 1)
        self.fp.seek(start)

    def check_chunks(self) -> None:
        """Compare the checksums of all chunks; Pillow passes over those of the pixels.

        Raises:
            OSError: a checksum is wrong, or the file ends too early.
        """
        start = self.fp.tell()
        self.fp.seek(8)
        kind = b""
        while kind != b"IEND":
            head = self.fp.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            content = self.fp.read(length)
            checksum = self.fp.read(4)
            if len(head) < 8 or len(content) < length or len(checksum) < 4:
                raise OSError("it is cut off")
            if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
                raise OSError(f"the checksum of its chunk {kind.decode('latin-1')} is wrong")
        self.fp.seek(start)

    def last_pixels(self) -> list[tuple[int, int]]:
        width, height = self.size
        rows = [height - 1]
        if self._is_interlaced() and height % 2 == 1 and height > 1:
            rows.append(height - 2)  # the last pass of interlacing brings the odd rows
        return [(width - 1, row) for row in rows]
