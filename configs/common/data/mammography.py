"""Full-size mammograms; ``datasets`` of a benchmark names the data sets."""

from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from medmask.data import (
    DetectionMapper,
    build_test_augmentation,
    build_test_loader,
    build_train_augmentation,
    build_train_loader,
)
from medmask.evaluation import AveragePrecisionEvaluator, FROCEvaluator

dataloader = OmegaConf.create()

dataloader.train = L(build_train_loader)(
    dataset="${datasets.train}",
    mapper=L(DetectionMapper)(
        with_boxes=True,
        augmentation=L(build_train_augmentation)(
            short_edge_lengths=[480, 512, 544, 576, 608, 640, 672],
            max_size=1333,
            flip_probability=0.5,
            crop_probability=0.5,
            crop_short_edge_lengths=[400, 500, 600],
            crop_size_range=[256, 600],
            breast_crop=False,
            breast_window=False,
            pixel_spacing_mm=None,
        ),
    ),
    total_batch_size=8,
    num_workers=4,
    seed="${train.seed}",
    label_fraction=1.0,  # share of the patients whose images are used
    label_seed=0,  # chooses these patients
    lesion_share=None,  # share of the samples whose images have lesions; None: as they come
)

dataloader.test = L(build_test_loader)(
    dataset="${datasets.test}",
    mapper=L(DetectionMapper)(
        with_boxes=False,
        augmentation=L(build_test_augmentation)(
            short_edge_length=800,
            max_size=1333,
            breast_crop=False,
            breast_window=False,
            pixel_spacing_mm=None,
        ),
    ),
    batch_size=1,
    num_workers=4,
)

dataloader.evaluator = [
    L(FROCEvaluator)(
        dataset_name="${...test.dataset}",
        output_dir="${train.output_dir}/inference",
    ),
    L(AveragePrecisionEvaluator)(
        dataset_name="${...test.dataset}",
    ),
]
