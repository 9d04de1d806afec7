"""Generate phantom mammograms: COCO data sets of two scanner domains, film and ffdm."""

import argparse
import os

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import add_output_folder
from medmask.commands.output_files import check_output_files
from medmask.phantom.options import DEFAULT_SPLIT_SIZES, DOMAINS, FORMATS, PhantomParameters

_EXAMPLES = """
examples:
  medmask make-phantoms --output datasets/phantom
  medmask make-phantoms --output /tmp/small --size 96x128 --train 40 --val 20 --test 0
"""


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no size: give WIDTHxHEIGHT, as 192x256"
        ) from None
    return width, height


def make_parser() -> argparse.ArgumentParser:
    defaults = PhantomParameters()
    parser = examples_parser(__doc__, _EXAMPLES)
    add_output_folder(parser)
    parser.add_argument(
        "--size",
        type=_size,
        default=(defaults.width, defaults.height),
        metavar="WxH",
        help=f"image size in pixels (default {defaults.width}x{defaults.height})",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="default %(default)s")
    for split, size in DEFAULT_SPLIT_SIZES.items():
        parser.add_argument(
            f"--{split}",
            type=int,
            default=size,
            metavar="N",
            help=f"{split} images per domain (default %(default)s)",
        )
    parser.add_argument(
        "--domains", nargs="+", choices=DOMAINS, default=list(DOMAINS), help="default both"
    )
    parser.add_argument(
        "--positive-fraction",
        type=float,
        default=defaults.positive_fraction,
        metavar="F",
        help="fraction of the breasts with a malignant lesion (default %(default)s)",
    )
    parser.add_argument(
        "--lesion-contrast",
        type=float,
        default=defaults.lesion_contrast,
        metavar="C",
        help="density of the lesions; lower is harder (default %(default)s)",
    )
    parser.add_argument(
        "--ffdm-curve-strength",
        type=float,
        default=defaults.ffdm_curve_strength,
        metavar="C",
        help="steepness of the ffdm gray curve; 0 is a straight line (default %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="png8: 8-bit gray; png16: 12-bit values in 16 bits; dicom: modality MG, 12-bit "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="W",
        help="processes (default: one per core); does not change the images",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace phantoms of other parameters in DIR"
    )
    parser.add_argument(
        "--contact-sheet",
        metavar="PATH",
        help="also draw a page of both domains with the lesions outlined (.png or .jpg)",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the data sets, and the contact sheet, if one is asked for."""
    from medmask.phantom import make_phantom_dataset
    from medmask.phantom.contact_sheet import check_contact_sheet, write_contact_sheet

    width, height = args.size
    parameters = PhantomParameters(
        width=width,
        height=height,
        seed=args.seed,
        positive_fraction=args.positive_fraction,
        lesion_contrast=args.lesion_contrast,
        ffdm_curve_strength=args.ffdm_curve_strength,
    )
    if args.contact_sheet:
        check_contact_sheet(args.contact_sheet)
        check_output_files({}, {"--contact-sheet": args.contact_sheet})
    written = make_phantom_dataset(
        args.output,
        parameters,
        split_sizes={split: getattr(args, split) for split in DEFAULT_SPLIT_SIZES},
        domains=args.domains,
        file_format=args.format,
        workers=args.workers,
        overwrite=args.overwrite,
        show_progress=True,
    )
    print(f"wrote {args.output}" if written else f"{args.output} already holds these phantoms")
    if args.contact_sheet:  # after them, as it may be in their folder, which must be empty before
        write_contact_sheet(args.contact_sheet, parameters)
        print(f"wrote {args.contact_sheet}")


main = entry_point(make_parser, run)
