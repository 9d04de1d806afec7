"""The conversion of a raw download into a COCO tree.

::

    OUTPUT/
      images/<name>.png                           or links to the raw files
      annotations/instances_<part>.json           malignant lesions of a split, a fold or all images
      annotations/instances_<part>_lesion.json    all lesions
      provenance.json                             what it was made from and how, what was left out
      contact_sheet.png                           images with their lesions, for the eye
      images.jsonl                                what is done, to go on after a kill

The images are written once, by worker processes; further calls with other labels, splits or folds
add annotation files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medmask.converters.annotation_files import Counts, write_annotation_files
from medmask.converters.annotations import ConvertedImage
from medmask.converters.contact_sheet import write_contact_sheet
from medmask.converters.contents import read_contents
from medmask.converters.contract import Contents, Converter, LeftOut, MarkedLesions
from medmask.converters.image_files import ImageTask, WrittenImage
from medmask.converters.image_writing import write_images
from medmask.converters.journal import open_journal
from medmask.converters.options import ConversionOptions, check_call
from medmask.converters.parts import ANNOTATIONS
from medmask.converters.problems import list_first
from medmask.converters.provenance import describe_faults, describe_sources, update_provenance
from medmask.converters.registry import find_converter
from medmask.converters.splits import choose_parts, warn_of_unknown_patients
from medmask.errors import InputError
from medmask.utils.files import remove_abandoned_files

IMAGES = "images"


@dataclass(frozen=True)
class ConversionReport:
    """Outcome of a conversion.

    Attributes:
        files: counts of each annotation file by name.
        left_out: images of the raw download that are in no annotation file.
        problems: one sentence each; empty if all went well.
    """

    files: Mapping[str, Counts]
    left_out: Sequence[LeftOut]
    problems: Sequence[str]


def convert(
    name: str, raw: Path, output: Path, options: ConversionOptions, *, show_progress: bool = False
) -> ConversionReport:
    """Convert a data set; the same call goes on where it was stopped.

    Args:
        name: of the set, in :mod:`medmask.converters.registry`.
        raw: the folder of the raw download.
        output: the folder to write.
        options: what the user chose.
        show_progress: whether to tell how far it is.

    Raises:
        InputError: there is nothing to convert, or the output holds something else.
    """
    converter = find_converter(name)
    check_call(converter, raw, output, options)
    contents = read_contents(converter, raw, complete=options.complete)
    if options.complete:
        converter = replace(converter, marked=MarkedLesions.ALL)
    choose_parts(contents.images, options.folds, options.seed)  # refuses folds before the work
    warn_of_unknown_patients(contents.images, raw)
    settings = {"set": converter.name, "max_size": options.max_size, "link": options.link}
    with open_journal(output, settings) as journal:
        remove_abandoned_files(output)
        tasks = [
            ImageTask(i, output / IMAGES, converter.read_pixels, options.max_size, options.link)
            for i in contents.images
        ]
        written = write_images(tasks, journal, options.workers, show_progress=show_progress)
        return _write_rest(converter, raw, output, options, contents, written)


def _write_rest(
    converter: Converter,
    raw: Path,
    output: Path,
    options: ConversionOptions,
    contents: Contents,
    written: Sequence[WrittenImage],
) -> ConversionReport:
    """Write contact sheet, annotations and provenance."""
    failed = [LeftOut(each.name, each.error) for each in written if each.error is not None]
    problems = [*contents.problems, *(each.reason for each in failed)]
    left_out = [*contents.left_out, *failed]
    images = [
        ConvertedImage(number, source, each)
        for number, (source, each) in enumerate(zip(contents.images, written, strict=True), start=1)
        if each.error is None
    ]
    if not images:
        raise InputError("\n".join(list_first(problems)))
    problems += write_contact_sheet(output / "contact_sheet.png", output / IMAGES, images)
    files = write_annotation_files(output / ANNOTATIONS, images, converter, options)
    update_provenance(
        output,
        {
            "set": converter.name,
            "title": converter.title,
            "options": {
                "max_size": options.max_size,
                "link": options.link,
                "complete": options.complete,
            },
            "sources": describe_sources(raw, contents.sources, [i.written for i in images]),
            **describe_faults(left_out, problems),
        },
        files,
    )
    return ConversionReport(files.counts, [*left_out, *files.left_out_of_all()], problems)
