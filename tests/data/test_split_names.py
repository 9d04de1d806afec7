import pytest

from medmask.data.split_names import Relation, SplitName


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("ddsm_train", SplitName("ddsm", "train")),
        ("mini_mias_lesion_heldout", SplitName("mini_mias", "heldout")),
        ("mini_mias_malignant_all", SplitName("mini_mias", "all")),
        ("inbreast_lesion_fold12_test", SplitName("inbreast", "fold12_test", 12, "test")),
        ("lesion_train", SplitName("lesion", "train")),
        ("train", SplitName("train")),
        ("my_set", SplitName("my_set")),
    ],
)
def test_names_are_taken_apart(name, split):
    assert SplitName.parse(name) == split


@pytest.mark.parametrize(
    ("first", "second", "relation"),
    [
        ("x_train", "x_val", Relation.DISJOINT),
        ("x_train", "x_lesion_heldout", Relation.DISJOINT),
        ("x_val", "x_test", Relation.DISJOINT),
        ("x_fold0_train", "x_fold0_test", Relation.DISJOINT),
        ("x_fold0_test", "x_fold1_test", Relation.DISJOINT),
        ("x_val", "x_heldout", Relation.OVERLAPPING),
        ("x_heldout", "x_test", Relation.OVERLAPPING),
        ("x_all", "x_train", Relation.OVERLAPPING),
        ("x_fold0_test", "x_all", Relation.OVERLAPPING),
        ("x_train", "x_lesion_train", Relation.OVERLAPPING),
        ("x_fold0_train", "x_val", Relation.OVERLAPPING),
        ("x_fold0_train", "x_fold1_test", Relation.OTHER_FOLDS),
        ("x_fold0_train", "x_fold1_train", Relation.OTHER_FOLDS),
        ("x_train", "y_train", Relation.STRANGERS),
        ("x_train", "x", Relation.OVERLAPPING),
        ("x", "x", Relation.OVERLAPPING),
    ],
)
def test_relation_of_two_sets(first, second, relation):
    assert SplitName.parse(first).relate(SplitName.parse(second)) is relation
    assert SplitName.parse(second).relate(SplitName.parse(first)) is relation
