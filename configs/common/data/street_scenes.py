"""Street scenes: natural images of several classes, judged by COCO AP.

In city2bdd and sim2city, MRT starts each stage from the model_best.pth of the stage before, which
target labels chose; ours start from model_final.pth.
"""

from detectron2.config import LazyCall as L

from medmask.evaluation import AveragePrecisionEvaluator


def set_up_street_scenes(dataloader, model, train, num_classes):
    """Change the parts of a stage on mammograms to one on street scenes, in place."""
    dataloader.evaluator = [
        L(AveragePrecisionEvaluator)(
            dataset_name="${...test.dataset}",
            output_dir="${train.output_dir}/inference",
        ),
    ]
    train.best_metric = "bbox/AP50"
    model.transformer.num_classes = num_classes
