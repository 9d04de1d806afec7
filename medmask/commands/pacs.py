"""Detect lesions in the mammograms of an archive (PACS), and store the results there.

Over DICOMweb: finds studies (QIDO-RS), fetches their mammograms (WADO-RS), scores them, makes
DICOM objects of the results as dicom-results does, and with --store puts them into the study
(STOW-RS) and fetches them again. All objects say that they are not for clinical use.

Every study is kept in OUTPUT/studies.jsonl as soon as it has come to its end. The same command goes
on where it was stopped: nothing is scored or stored twice. An image that fails is reported and does
not stop the rest. Fetched images are removed when their study is done.

Credentials come from the environment variables MEDMASK_PACS_USER and MEDMASK_PACS_PASSWORD, or
MEDMASK_PACS_TOKEN, or from a file. Exit status: 0 if all went well, 1 if an image, an object or a
study failed, 2 if the run could not start or go on.
"""

import argparse
from pathlib import Path

from medmask.calibration.settings import UNCALIBRATED
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.operating_point import apply_calibration, read_operating_point
from medmask.commands.options import add_output_folder, print_problems
from medmask.commands.scoring_options import add_scoring_options
from medmask.commands.weights import check_detector, load_detector
from medmask.dicom_results.options import ResultOptions
from medmask.dicomweb.connection import Connection, ConnectionOptions
from medmask.dicomweb.credentials import read_credentials
from medmask.dicomweb.study_filter import StudyFilter
from medmask.pacs.options import RoundTripOptions
from medmask.utils.counts import counted

_MIB = 2**20

_EXAMPLES = """
examples:
  medmask pacs --url https://pacs.example/dicom-web --study-date 20260101-20260131 \\
      --checkpoint output/mine/source_only/model_best.pth --output output/january --store
  medmask pacs --url http://localhost:8042/dicom-web --accession-number A123 \\
      --model output/mine/model.onnx --operating-point 0.3 --output output/a123
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "--url",
        required=True,
        metavar="URL",
        help="root of the archive's DICOMweb service, such as https://pacs.example/dicom-web",
    )
    add_output_folder(parser)
    _add_filters(parser.add_argument_group("studies (at least one condition)"))
    _add_detection(parser.add_argument_group("detection and results"))
    _add_connection(parser.add_argument_group("connection"))
    return parser


def _add_filters(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--study-date",
        metavar="DATES",
        help="YYYYMMDD, or a range such as 20260101-20260131, 20260101- or -20260131",
    )
    group.add_argument("--patient-id", metavar="ID", help="* and ? are wildcards")
    group.add_argument("--accession-number", metavar="A", help="* and ? are wildcards")
    group.add_argument("--study-uid", metavar="UID", help="Study Instance UID")


def _add_detection(group: argparse._ArgumentGroup) -> None:
    add_scoring_options(group, demo=False)
    group.add_argument("--store", action="store_true", help="store the results in the archive")
    group.add_argument("--keep-images", action="store_true", help="leave the fetched images in DIR")


def _add_connection(group: argparse._ArgumentGroup) -> None:
    defaults = ConnectionOptions()
    group.add_argument(
        "--credentials",
        type=Path,
        metavar="FILE",
        help='instead of environment variables: JSON, {"user": ..., "password": ...} or {"token": '
        "...}, which its owner alone may read",
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=defaults.timeout,
        metavar="SECONDS",
        help="without a byte, after which a request has failed (default %(default)g)",
    )
    group.add_argument(
        "--retries",
        type=int,
        default=defaults.retries,
        metavar="N",
        help="of a request that fails on the network, with growing waits (default %(default)s)",
    )
    group.add_argument(
        "--max-object-size",
        type=int,
        default=defaults.max_bytes // _MIB,
        metavar="MIB",
        help="refuse larger objects and answers, in mebibytes (default %(default)s)",
    )
    group.add_argument(
        "--ca-file", type=Path, metavar="PEM", help="certificates to trust, not the system's"
    )
    group.add_argument(
        "--client-certificate",
        type=Path,
        metavar="PEM",
        help="our certificate and its key, for archives that ask for one",
    )
    group.add_argument(
        "--insecure", action="store_true", help="do not check the archive's certificate"
    )


def run(args: argparse.Namespace) -> int:
    """Make the round trip; the status is 0 if all went well."""
    study_filter = StudyFilter(
        args.study_date, args.patient_id, args.accession_number, args.study_uid
    )
    results = ResultOptions(args.score_threshold, tuple(args.objects))
    connection = Connection(
        args.url,
        read_credentials(args.credentials),
        ConnectionOptions(
            timeout=args.timeout,
            retries=args.retries,
            max_bytes=args.max_object_size * _MIB,
            ca_file=args.ca_file,
            client_certificate=args.client_certificate,
            verify=not args.insecure,
        ),
    )
    check_detector(args)
    stored = read_operating_point(args)
    from medmask.dicomweb.client import DicomwebClient
    from medmask.pacs.round_trip import make_round_trip
    from medmask.utils.progress import print_line

    predictor = load_detector(args)
    calibration = apply_calibration(stored, args, predictor)
    options = RoundTripOptions(results, args.store, args.keep_images, calibration)
    summary = make_round_trip(
        DicomwebClient(connection), predictor, study_filter, args.output, options, print_line
    )
    print_problems(summary.problems)
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(summary.statuses.items()))
    print(
        f"{counted(summary.studies, 'study', 'studies')}: {statuses or 'none'} ({summary.before} "
        f"done before); {counted(summary.images, 'image')} scored, "
        f"{counted(summary.objects, 'object')}: {args.output}"
    )
    print(UNCALIBRATED if calibration is None else calibration.describe())
    return 1 if summary.problems or summary.statuses["failed"] else 0


main = entry_point(make_parser, run)
