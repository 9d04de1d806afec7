"""How detectors on natural images of streets are judged: by COCO AP."""

from detectron2.config import LazyCall as L

from medmask.evaluation import AveragePrecisionEvaluator

evaluator = [
    L(AveragePrecisionEvaluator)(
        dataset_name="${...test.dataset}",
        output_dir="${train.output_dir}/inference",
    ),
]
