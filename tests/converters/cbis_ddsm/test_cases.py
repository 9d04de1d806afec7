import pytest
from cbis_ddsm_tree import table_text

from medmask.converters.cbis_ddsm.cases import Place, read_regions
from medmask.errors import InputError


def read(tmp_path, kind, rows):
    path = tmp_path / f"{kind}_case_description_train_set.csv"
    path.write_text(table_text(kind, rows))
    return list(read_regions(path))


def test_mass(tmp_path):
    (region,) = read(
        tmp_path, "mass", [{"folder": "Mass-Training_P_00001_LEFT_CC", "pathology": "MALIGNANT"}]
    )
    assert (region.patient, region.side, region.view) == ("P_00001", "LEFT", "CC")
    assert (region.split, region.malignant, region.density, region.assessment) == (
        "train",
        True,
        "3",
        "4",
    )
    assert region.attributes == {
        "type": "mass",
        "abnormality_id": "1",
        "pathology": "MALIGNANT",
        "subtlety": "4",
        "mass_shape": "OVAL",
        "mass_margins": "SPICULATED",
    }
    assert region.film == Place("Mass-Training_P_00001_LEFT_CC", "1.2.1")
    # mask and crop share a series, and the newline at the end of the path is none of its name
    assert region.cutouts == (Place("Mass-Training_P_00001_LEFT_CC_1", "1.2.2"),)


def test_calcification(tmp_path):
    row = {"folder": "Calc-Test_P_00038_RIGHT_MLO", "pathology": "BENIGN_WITHOUT_CALLBACK"}
    (region,) = read(tmp_path, "calc", [row | {"density": "0", "mask series": "1.2.3"}])
    assert (region.split, region.malignant, region.density) == ("test", False, None)
    assert region.attributes["type"] == "calcification"
    assert region.attributes["calc_distribution"] == "CLUSTERED"
    assert [place.series for place in region.cutouts] == ["1.2.3", "1.2.2"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"pathology": "SUSPICIOUS"}, "pathology 'SUSPICIOUS' is none of malignant, benign"),
        ({"pathology": ""}, "pathology is empty"),
        (
            {"folder": "Film_1", "film": "P_00001_LEFT_CC"},
            "image file path .* is not a path of four parts",
        ),
    ],
    ids=["pathology", "empty", "path"],
)
def test_faults(tmp_path, change, fault):
    row = {"folder": "Mass-Training_P_00001_LEFT_CC", "pathology": "BENIGN"}
    with pytest.raises(InputError, match=rf"mass_case_description_train_set.csv, line 3.*{fault}"):
        read(tmp_path, "mass", [row | change])
