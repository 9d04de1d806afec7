"""Writing a trained detector as a file of ONNX, after a comparison with PyTorch."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf

from medmask.checkpoint import MedMaskCheckpointer
from medmask.config import load_config
from medmask.config.building import build
from medmask.config.targets import find_target
from medmask.data import build_test_augmentation
from medmask.engine.building import build_model
from medmask.errors import InputError
from medmask.export.libraries import import_library
from medmask.export.metadata import ExportMetadata
from medmask.export.parity import TOLERANCE, batch_sizes, compare, make_batch
from medmask.export.session import GraphSession
from medmask.export.tracing import trace
from medmask.inference.class_labels import find_class_labels
from medmask.inference.config_identity import hash_detector_config
from medmask.modeling import MedMask
from medmask.utils.file_hash import hash_file
from medmask.utils.files import atomic_write, check_output_file
from medmask.utils.progress import with_progress
from medmask.version import __version__

_AUGMENTATION = "dataloader.test.mapper.augmentation"


@dataclass(frozen=True)
class ExportSummary:
    """Outcome of an export.

    Attributes:
        metadata: of the file.
        batches: how many were compared.
        difference: the greatest that was found, see :func:`find_difference`.
        bytes: size of the file.
    """

    metadata: ExportMetadata
    batches: int
    difference: float
    bytes: int


def export_onnx(
    config_file: str | os.PathLike,
    weights: str | os.PathLike,
    output: str | os.PathLike,
    overrides: Sequence[str] = (),
    *,
    tolerance: float = TOLERANCE,
    report: Callable[[str], None] = lambda line: None,
) -> ExportSummary:
    """Write a detector as a file of ONNX.

    The graph runs in float32, is traced on the CPU and compared there with the detector in PyTorch,
    on several sizes and numbers of images. The file appears after that, complete, or not at all.

    Args:
        config_file: as for :class:`medmask.inference.MedMaskPredictor`.
        weights: likewise, the checkpoint.
        output: the file, ``.onnx``.
        overrides: ``key=value`` settings of the config.
        tolerance: greatest difference of a score, and of a box corner as a share of the image's
            side.
        report: takes a line on each step.

    Raises:
        InputError: a package or a file is missing, the weights do not fit the config, the model
            cannot be traced, or the graph computes something else.
        OSError: the file cannot be written.
    """
    onnx = import_library("onnx")
    import_library("onnxruntime")
    config_file, weights, output = (os.fspath(path) for path in (config_file, weights, output))
    if not output.endswith(".onnx"):
        raise InputError(f"output {output} must end in .onnx")
    if not os.path.isfile(weights):
        raise InputError(f"weights {weights} do not exist, or are no file")
    check_output_file(output)
    overrides = [*overrides, "train.device=cpu"]
    config = load_config(config_file, overrides, without=("loss_hooks",))
    augmentation = _test_augmentation(config)
    model = build_model(config).eval()
    if not isinstance(model, MedMask):
        raise InputError(
            f"model of {config_file} is no MedMask detector, but {type(model).__name__}"
        )
    MedMaskCheckpointer(model).load_for_inference(weights)
    report(f"tracing {weights}")
    graph = onnx.load_from_string(trace(model))
    onnx.checker.check_model(graph)

    session = GraphSession(graph.SerializeToString(), "the traced graph")
    batches = batch_sizes(augmentation["short_edge_length"])
    differences = []
    for sizes in with_progress(batches, "comparing with PyTorch", "batch", "batches"):
        batch = make_batch(model, sizes)
        differences.append(compare(session, batch))
        if not differences[-1] <= tolerance:
            raise InputError(
                f"the graph of {weights} does not compute what PyTorch does: on {batch.describe()} "
                f"a box or a score differs by {differences[-1]:.2g}, and {tolerance:.2g} is "
                "allowed, so nothing is written: predict with the checkpoint itself"
            )
    metadata = _describe(config, model, augmentation, weights, tolerance, max(differences))
    for name, value in metadata.to_properties().items():
        graph.metadata_props.add(key=name, value=value)
    content = graph.SerializeToString()
    with atomic_write(output) as file:
        file.write(content)
    return ExportSummary(metadata, len(batches), max(differences), len(content))


def _test_augmentation(config: DictConfig) -> dict[str, Any]:
    """All arguments of the test loader's preprocessing, which a file can keep.

    Raises:
        InputError: it is another function than :func:`build_test_augmentation`.
    """
    build(config, _AUGMENTATION)  # its arguments are checked
    described = OmegaConf.to_container(OmegaConf.select(config, _AUGMENTATION), resolve=True)
    node = cast(dict[str, Any], described)
    if find_target(node.pop("_target_"), _AUGMENTATION) is not build_test_augmentation:
        raise InputError(
            f"{_AUGMENTATION} is not build_test_augmentation, and a file of ONNX can keep no other "
            "preprocessing: choose it in the config"
        )
    return (build_test_augmentation.__kwdefaults__ or {}) | node


def _describe(
    config: DictConfig,
    model: MedMask,
    augmentation: dict[str, Any],
    weights: str,
    tolerance: float,
    difference: float,
) -> ExportMetadata:
    labels = find_class_labels(config.dataloader.test.dataset, model)
    return ExportMetadata(
        class_names=list(labels.names),
        category_ids=list(labels.category_ids),
        pixel_mean=model.pixel_mean.flatten().tolist(),
        pixel_std=model.pixel_std.flatten().tolist(),
        test_augmentation=augmentation,
        max_detections=model.max_detections,
        nms_iou=model.nms_iou,
        weights_sha256=hash_file(weights),
        config=hash_detector_config(config),
        versions={
            "medmask": __version__,
            "torch": str(torch.__version__),
            **{name: import_library(name).__version__ for name in ("onnx", "onnxruntime")},
        },
        parity={"tolerance": tolerance, "greatest_difference": difference},
    )
