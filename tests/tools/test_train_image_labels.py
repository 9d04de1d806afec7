"""Training by labels of whole images, as a user runs it."""

import json

CONFIG = "phantom2ffdm/image_labels.py"


def test_labels_of_images_train_and_resume(training_runs, tmp_path):
    options = ("train.init_checkpoint=", "train.max_iter=3", "train.checkpointer.period=1")
    run = training_runs.run(training_runs.command(CONFIG, tmp_path, *options))
    assert run.returncode == 0, run.stderr
    losses = training_runs.losses(tmp_path)
    assert len(losses) == 3
    assert all(values["loss_image_label"] > 0 for values in losses.values())
    assert "0 without a label (not used)" in (tmp_path / "log.txt").read_text()


def test_set_without_labels_is_refused_in_one_sentence(training_runs, tmp_path):
    options = ("train.init_checkpoint=", "loss_hooks.image_labels.field=lesion")
    command = training_runs.command(CONFIG, tmp_path, *options)
    training_runs.check_refusal(command, "has lesion=true in its record")


def test_phantoms_carry_the_label(training_runs):
    root = training_runs.environment["DETECTRON2_DATASETS"]
    with open(f"{root}/phantom/ffdm/annotations/instances_train.json") as file:
        content = json.load(file)
    with_lesions = {annotation["image_id"] for annotation in content["annotations"]}
    for image in content["images"]:
        assert image["malignant"] is (image["id"] in with_lesions)
