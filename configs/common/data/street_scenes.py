"""How detectors on natural images of streets are judged: by COCO AP."""

from detectron2.config import LazyCall as L
from detectron2.evaluation import COCOEvaluator

evaluator = [
    L(COCOEvaluator)(
        dataset_name="${...test.dataset}",
        tasks=["bbox"],
        use_fast_impl=False,
        output_dir="${train.output_dir}/inference",
    ),
]
