"""Options of a run that do not depend on model or data.

A period, here and in loss hooks, is a whole number of iterations or a share of the run: 0.05 is
every twentieth part of max_iter.
"""

train = dict(
    output_dir="./output",
    init_checkpoint="",  # weights to start from: a file or an address, see docs/extending.md
    fresh_class_heads=False,  # True: start the class heads anew where the weights have others
    max_iter=50000,
    seed=0,
    device="auto",  # "auto" is a GPU if there is one; or "cpu", "cuda"
    amp=dict(enabled=False, dtype="bf16"),  # mixed precision: "bf16" or "fp16"
    clip_gradient_norm=0.1,
    gradient_accumulation=1,  # batches whose gradients are averaged for one update
    # True for models that train BatchNorm. Each process then normalizes by the images of its own
    # part of the batch, so a run in several processes is not the run in one: fewer images for each
    # mean and variance, and the statistics that are kept are those of the first process.
    ddp=dict(broadcast_buffers=False),
    checkpointer=dict(period=0.05, max_to_keep=2),  # the last iteration is saved in any case
    eval_period=0.1,  # 0: after the last iteration only
    best_metric="froc/R@0.3",  # decides what model_best.pth is
    log_period=20,  # iterations
    held_out_images=100,  # of dataloader.test, to measure what the stages learn at evaluations
    gradient_norm_period=200,  # iterations; each loss's gradient is measured, see docs/method.md
    # experiment trackers, see docs/getting_started.md
    wandb=dict(enabled=False, project="medmask", entity=None, name=None, mode=None),
    mlflow=dict(enabled=False, tracking_uri=None, experiment="medmask", name=None),
)
