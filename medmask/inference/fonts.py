"""The font of what is written on pictures."""

import functools
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font_for(text: str, size: int) -> Font:
    """Choose a font that has the letters of a text.

    Pillow's own has no others than those of ASCII. Matplotlib brings one along with the Latin,
    Greek and Cyrillic ones.

    Args:
        text: to write.
        size: of the font, in pixels.
    """
    return _load_font(size, text.isascii())


@functools.cache
def _load_font(size: int, is_ascii: bool) -> Font:
    if is_ascii:
        return ImageFont.load_default(size)
    import matplotlib  # half a second, for class names in other alphabets alone

    return ImageFont.truetype(
        Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size
    )
