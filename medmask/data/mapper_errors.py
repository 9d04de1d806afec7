"""Errors of mappers, in one sentence that names the image."""

from collections.abc import Callable
from typing import Any

from medmask.errors import InputError
from medmask.utils.failures import describe_os_error


def map_image(
    mapper: Callable[[dict[str, Any]], dict[str, Any]], dataset_dict: dict[str, Any]
) -> dict[str, Any]:
    """Have a mapper make a sample of an image.

    A mapper of one's own may open files. Its errors of the operating system would come out of a
    worker process as text with a traceback in it, and without the image.

    Raises:
        InputError: it cannot read something. All other errors of the mapper are raised as they are.
    """
    try:
        return mapper(dataset_dict)
    except OSError as error:
        name = f"image {dataset_dict['file_name']}" if "file_name" in dataset_dict else "an image"
        kind = type(error).__name__
        reason = describe_os_error(error) or "no reason is given"
        raise InputError(f"{name} cannot be loaded ({kind}): {reason}") from error
