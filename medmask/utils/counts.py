"""Counted nouns for messages: 1 image, 2 images."""


def counted(count: float | str, singular: str, plural: str | None = None) -> str:
    """Join a number to its noun, the singular for 1 alone.

    Args:
        count: a number, or a word for it such as "no"; a rate of 1.0 is written as 1.
        singular: what is counted; may go on with a verb (``"image is"``).
        plural: default: the singular with an s.
    """
    number = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{number} {singular if count == 1 else plural or f'{singular}s'}"
