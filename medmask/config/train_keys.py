"""The keys of ``train`` in a config and the values they may hold."""

from collections.abc import Mapping

from medmask.config.values import Flag, Number, Period, Text, Value, WholeNumber

TRAIN: Mapping[str, Value] = {
    "output_dir": Text(meaning="folder of everything that the run writes"),
    "init_checkpoint": Text(
        empty=True,
        optional=True,
        meaning="weights to start from: a file, or an address that begins with detectron2://, "
        "package:// or timm://; empty for none",
    ),
    "fresh_class_heads": Flag(
        meaning="start the class heads anew where these weights have none, or other classes"
    ),
    "max_iter": WholeNumber(lowest=1, highest=10**9, meaning="iterations of the run"),
    "seed": WholeNumber(highest=2**32 - 1, meaning="of weights, samples and augmentation"),
    "device": Text(meaning="auto (a GPU if there is one), cpu, cuda, or cuda:N for GPU number N"),
    "amp.enabled": Flag(meaning="mixed precision"),
    "amp.dtype": Text(choices=("bf16", "fp16"), meaning="number format of mixed precision"),
    "clip_gradient_norm": Number(
        above=True, infinite=True, meaning="largest norm of the gradient of all parameters together"
    ),
    "gradient_accumulation": WholeNumber(
        lowest=1, meaning="batches whose gradients are averaged for one update"
    ),
    "ddp.broadcast_buffers": Flag(meaning="for models that train BatchNorm in several processes"),
    "checkpointer.period": Period(meaning="from one checkpoint to the next"),
    "checkpointer.max_to_keep": WholeNumber(
        lowest=1, optional=True, meaning="checkpoints that are kept; null keeps all"
    ),
    "eval_period": Period(or_end=True, meaning="from one evaluation to the next"),
    "best_metric": Text(meaning="result that decides which model is the best, such as froc/R@0.3"),
    "log_period": WholeNumber(lowest=1, meaning="iterations from one line of the log to the next"),
    "held_out_images": WholeNumber(
        meaning="images of dataloader.test on which the learning of stages is measured at each "
        "evaluation; 0 for none"
    ),
    "gradient_norm_period": WholeNumber(
        meaning="iterations from one measurement of each loss's gradient to the next; 0 for none"
    ),
    "wandb.enabled": Flag(meaning="track the run with Weights & Biases (extra wandb)"),
    "wandb.project": Text(meaning="project of the run"),
    "wandb.entity": Text(optional=True, meaning="user or team; null: the user's default"),
    "wandb.name": Text(optional=True, meaning="name of the run; null: train.output_dir"),
    "wandb.mode": Text(
        choices=("online", "offline"),
        optional=True,
        meaning="send to the server, or write files alone; null: what WANDB_MODE says, else online",
    ),
    "mlflow.enabled": Flag(meaning="track the run with MLflow (extra mlflow)"),
    "mlflow.tracking_uri": Text(
        optional=True,
        meaning="server or store, such as sqlite:///mlflow.db; null: what MLFLOW_TRACKING_URI "
        "says, else MLflow's default",
    ),
    "mlflow.experiment": Text(meaning="experiment of the run; is made if it is not there"),
    "mlflow.name": Text(optional=True, meaning="name of the run; null: train.output_dir"),
}
"""Keys of ``train``: all that there are."""

TRACKERS = ("wandb", "mlflow")
"""Groups that configs of runs of before do not have."""
