import json
import shutil

import pytest
from make_splits import deal_patients, make_splits

from medmask.errors import InputError

TOOL = "benchmarks/make_splits.py"


@pytest.fixture
def tree(mammogram_trees, tmp_path):
    return shutil.copytree(mammogram_trees / "inbreast", tmp_path / "inbreast")


def read(tree, name):
    return json.loads((tree / "annotations" / f"{name}.json").read_text())


def patients(content):
    return {image["patient_id"] for image in content["images"]}


def test_folds_test_every_patient_once_and_train_on_all_others(tree):
    make_splits(tree)
    everybody = patients(read(tree, "lesion_all"))
    tested = []
    for fold in range(5):
        test = patients(read(tree, f"lesion_fold{fold}_test"))
        assert test
        assert patients(read(tree, f"lesion_fold{fold}_train")) == everybody - test
        tested += test
    assert sorted(tested) == sorted(everybody)


def test_labels_and_splits(tree):
    make_splits(tree)
    source = read(tree, "instances_all")
    heldout = patients(read(tree, "lesion_val")) | patients(read(tree, "lesion_test"))
    assert patients(read(tree, "lesion_heldout")) == heldout
    assert not heldout & patients(read(tree, "lesion_train"))
    any_lesion, malignant = read(tree, "lesion_all"), read(tree, "malignant_all")
    assert any_lesion["images"] == malignant["images"] == source["images"]
    assert len(any_lesion["annotations"]) == len(source["annotations"])
    assert 0 < len(malignant["annotations"]) < len(source["annotations"])
    assert all(annotation["malignant"] for annotation in malignant["annotations"])
    assert any_lesion["categories"] == [{"id": 1, "name": "lesion"}]
    assert malignant["categories"] == [{"id": 1, "name": "malignant"}]


def test_folds_are_even_and_depend_on_ids_and_seed_alone():
    images = [{"id": i, "patient_id": f"p{i // 2}"} for i in range(46)]
    annotations = [{"image_id": i} for i in range(0, 24, 2)]
    content = {"images": images, "annotations": annotations}
    with_lesions = {f"p{i}" for i in range(12)}
    folds = deal_patients(content, 5, seed=0)
    assert sorted(map(len, folds)) == [4, 4, 5, 5, 5]
    assert sorted(len(fold & with_lesions) for fold in folds) == [2, 2, 2, 3, 3]
    mirrored = {"images": images[::-1], "annotations": annotations[::-1]}
    assert deal_patients(mirrored, 5, seed=0) == folds
    assert deal_patients(content, 5, seed=1) != folds
    with pytest.raises(InputError, match="24 folds need as many patients, but there are 23"):
        deal_patients(content, 24, seed=0)


def test_file_with_any_lesion_goes_first(tree):
    source = read(tree, "instances_all")
    for split in ("all", "train", "val", "test"):
        path = tree / "annotations" / f"instances_{split}.json"
        path.rename(path.with_name(f"instances_{split}_abnormality.json"))
        few = read(tree, f"instances_{split}_abnormality") | {"annotations": []}
        path.write_text(json.dumps(few))
    make_splits(tree)
    assert len(read(tree, "lesion_all")["annotations"]) == len(source["annotations"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["images"][0].pop("patient_id"), "has no patient_id"),
        (
            lambda c: c["annotations"][0].pop("malignant"),
            "does not say true or false in 'malignant'",
        ),
    ],
    ids=["patient", "malignant"],
)
def test_what_is_missing_is_named(run_tool, tree, change, words):
    content = read(tree, "instances_all")
    change(content)
    (tree / "annotations" / "instances_all.json").write_text(json.dumps(content))
    result = run_tool(TOOL, tree)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_tool_tells_the_counts(run_tool, tree):
    result = run_tool(TOOL, tree)
    assert result.returncode == 0, result.stderr
    content = read(tree, "lesion_all")
    counts = f"{len(content['images'])} images, {len(content['annotations'])} lesions"
    assert f"inbreast lesion_all: {len(patients(content))} patients, {counts}" in result.stdout
