"""Run a DICOM node: receive mammograms by C-STORE, detect, and send the results back by C-STORE.

A study is complete when nothing has come for --quiet-seconds. Then it is scored, and its results,
the objects of dicom-results, are sent to --destination, again and again until they are there. What
was received is on the disk before it is acknowledged: a node that is killed at any moment goes on
when it is started again. SPOOL/studies/STUDY/status.json tells how far each study is.

Objects that are no mammograms, too large or damaged are refused or set aside with a sentence in the
log, and the rest goes on. The log holds no patient's data. Without --host the node is reached from
this machine alone. It runs until a signal stops it (Ctrl-C, SIGTERM). Exit status: 2 if it could
not start, else that of the signal.
"""

import argparse
import logging
import math
import sys
from dataclasses import replace
from pathlib import Path

from medmask.calibration.settings import UNCALIBRATED
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.operating_point import apply_calibration, read_operating_point
from medmask.commands.options import folder, parsed_by
from medmask.commands.scoring_options import add_scoring_options
from medmask.commands.weights import check_detector, load_detector
from medmask.errors import InputError
from medmask.node.options import Destination, NodeOptions, TLSFiles

_LOGGER = logging.getLogger("medmask.node")
_MIB, _GIB = 2**20, 2**30

_EXAMPLES = """
examples:
  medmask dicom-node --spool output/node --destination PACS@127.0.0.1:4242 \\
      --checkpoint output/inbreast/source_only/model_best.pth

  With calibrated probabilities, and by an exported file:
    medmask dicom-node --spool output/node --destination PACS@127.0.0.1:4242 \\
        --model output/mine/model.onnx --operating-point 0.3

  For a hospital's network: titles that may connect, and TLS on both ways:
    medmask dicom-node --spool /data/node --host 10.0.0.7 --allow MODALITY PACS \\
        --destination PACS@10.0.0.5:2762 --tls-certificate node.pem --tls-key node.key \\
        --tls-authorities hospital.pem --destination-tls
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "--spool", required=True, type=folder, metavar="DIR", help="the queues on disk"
    )
    parser.add_argument(
        "--destination",
        required=True,
        type=parsed_by(Destination.parse),
        metavar="TITLE@HOST:PORT",
        help="where results are sent",
    )
    _add_network_options(parser)
    _add_limits(parser)
    _add_scoring_options(parser)
    return parser


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument(
        "--title",
        default=NodeOptions.title,
        metavar="TITLE",
        help="AE title of the node; calls to another one are rejected (default %(default)s)",
    )
    group.add_argument(
        "--host",
        default=NodeOptions.host,
        help="address to listen on (default %(default)s, which only this machine reaches)",
    )
    group.add_argument(
        "--port",
        type=int,
        default=NodeOptions.port,
        help="likewise; 0 takes a free one, which the log names (default %(default)s)",
    )
    group.add_argument(
        "--allow",
        nargs="+",
        default=[],
        metavar="TITLE",
        help="AE titles that may connect (default all, on a loopback address only)",
    )
    group.add_argument(
        "--tls-certificate", type=Path, metavar="FILE", help="listen with TLS: certificate, PEM"
    )
    group.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="key of the certificate, without a password"
    )
    group.add_argument(
        "--tls-authorities",
        type=Path,
        metavar="FILE",
        help="clients must show a certificate of one of these authorities",
    )
    group.add_argument(
        "--destination-tls", action="store_true", help="send with TLS, too, by the same files"
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("times and limits")
    group.add_argument(
        "--quiet-seconds",
        type=float,
        default=NodeOptions.quiet_seconds,
        metavar="S",
        help="a study is complete when nothing has come for so long (default %(default)s)",
    )
    group.add_argument(
        "--max-object-mib",
        type=_size,
        default=NodeOptions.max_object_bytes / _MIB,
        metavar="MIB",
        help="larger objects are refused (default %(default)s)",
    )
    group.add_argument(
        "--min-free-gib",
        type=_size,
        default=NodeOptions.min_free_bytes / _GIB,
        metavar="GIB",
        help="objects that would leave less of the disk free are refused (default %(default)s)",
    )
    group.add_argument(
        "--max-associations",
        type=int,
        default=NodeOptions.max_associations,
        metavar="N",
        help="at the same time; more are rejected (default %(default)s)",
    )
    group.add_argument(
        "--retry-seconds",
        type=float,
        default=NodeOptions.retry_seconds,
        metavar="S",
        help="until results are sent again, doubled after each failure up to "
        f"{NodeOptions.max_retry_seconds:.0f} (default %(default)s)",
    )
    group.add_argument(
        "--keep-days",
        type=float,
        metavar="D",
        help="remove answered studies from the disk after so many days, but none that failed or of "
        "which the destination refused a result (default: keep all)",
    )


def _add_scoring_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("detection and results")
    add_scoring_options(group, demo=True)
    group.add_argument(
        "--batch-size",
        type=int,
        default=NodeOptions.batch_size,
        metavar="B",
        help="most images of one size that go through the model together (default %(default)s)",
    )


def _size(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = math.nan
    if not math.isfinite(size):
        raise argparse.ArgumentTypeError(f"'{text}' is no size, such as 256 or 0.5")
    return size


def run(args: argparse.Namespace) -> None:
    """Run the node until a signal stops it."""
    options = node_options(args)
    check_detector(args)
    stored = read_operating_point(args)
    from medmask.node.pynetdicom_import import check_pynetdicom

    check_pynetdicom()
    _log_to_stderr()
    from medmask.node import Node

    detector = load_detector(args)
    calibration = apply_calibration(stored, args, detector)
    _LOGGER.info(UNCALIBRATED if calibration is None else calibration.describe())
    Node(detector, args.spool, replace(options, calibration=calibration)).run()


def node_options(args: argparse.Namespace) -> NodeOptions:
    """Options of a node from a command line.

    Raises:
        InputError: a value is out of its range.
    """
    from medmask.dicom_results.options import ResultOptions

    if (args.tls_certificate is None) != (args.tls_key is None):
        raise InputError("--tls-certificate and --tls-key go together: give both")
    tls = None
    if args.tls_certificate is not None:
        tls = TLSFiles(args.tls_certificate, args.tls_key, args.tls_authorities)
    elif args.tls_authorities is not None:
        raise InputError("--tls-authorities needs --tls-certificate and --tls-key")
    return NodeOptions(
        destination=args.destination,
        title=args.title,
        host=args.host,
        port=args.port,
        allowed=tuple(args.allow),
        tls=tls,
        destination_tls=args.destination_tls,
        quiet_seconds=args.quiet_seconds,
        max_object_bytes=int(args.max_object_mib * _MIB),
        min_free_bytes=int(args.min_free_gib * _GIB),
        max_associations=args.max_associations,
        retry_seconds=args.retry_seconds,
        keep_days=args.keep_days,
        batch_size=args.batch_size,
        results=ResultOptions(args.score_threshold, tuple(args.objects)),
    )


class _OneLine(logging.Formatter):
    """Whatever a client calls itself, a message is one line of printable characters."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False


main = entry_point(make_parser, run)
