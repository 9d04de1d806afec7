"""INbreast: a release in miniature with what is odd in the real one."""

import plistlib

import numpy as np
import pytest

from medmask.converters.inbreast import read
from medmask.errors import InputError

HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"
SQUARE = [(10, 10), (30, 10), (30, 40), (10, 40)]


def roi(name, points):
    region = {"NumberOfPoints": len(points), "Point_px": [f"({x}, {y})" for x, y in points]}
    return region | ({} if name is None else {"Name": name})


@pytest.fixture
def release(tmp_path, write_dicom):
    """Writes a release of (number, BI-RADS, ROIs or None) rows; keywords change parts of it."""

    def write(*rows, without_dicom=(), acr="2", view="MLO", header=HEADER):
        folder = "INbreast Release 1.0"
        lines = [header]
        (tmp_path / folder / "AllXML").mkdir(parents=True)
        for number, birads, rois in rows:
            lines.append(f"removed;removed;R;{view};201001;{number};{acr};{birads}")
            if number not in without_dicom:
                name = f"{folder}/AllDICOMs/{number}_e634830794f5c1bd_MG_R_ML_ANON.dcm"
                write_dicom(np.arange(6000, dtype=np.uint16).reshape(100, 60), name=name)
            if rois is not None:
                content = {"Images": [{"NumberOfROIs": len(rois), "ROIs": rois}]}
                (tmp_path / folder / "AllXML" / f"{number}.xml").write_bytes(
                    plistlib.dumps(content)
                )
        (tmp_path / folder / "INbreast.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / folder

    return write


def kinds(image):
    return [lesion.attributes["type"] for lesion in image.lesions]


def test_fields(release):
    raw = release((20587346, "4a", [roi("Mass", SQUARE)]))
    contents = read(raw)
    assert not contents.problems
    assert not contents.left_out
    assert contents.sources == [raw / "INbreast.csv", raw / "AllXML" / "20587346.xml"]
    (image,) = contents.images
    assert image.name == "20587346"
    assert image.patient_id == "e634830794f5c1bd"  # the table's is removed
    assert (image.laterality, image.view, image.study_date) == ("R", "MLO", "201001")
    assert (image.density, image.birads, image.malignant) == ("2", "4a", True)
    (lesion,) = image.lesions
    assert lesion.malignant is True
    np.testing.assert_array_equal(lesion.outlines[0], SQUARE)


def test_table_that_was_saved_from_the_spreadsheet(release):
    """It has stray spaces in its header, numbers with decimals and two rows at the end."""
    raw = release((20587346, "2", [roi("Mass", SQUARE)]), header=HEADER.replace(";", " ; "))
    text = (raw / "INbreast.csv").read_text().replace(";20587346;", ";20587346.0;")
    (raw / "INbreast.csv").write_text(text + ";;;;;;;\nmean;57.3;;;;;;\n;;;;;115 cases;;\n")
    contents = read(raw)
    assert [(image.name, image.patient_id) for image in contents.images] == [
        ("20587346", "e634830794f5c1bd")
    ]
    empty, unknown = contents.problems
    assert "line 4: its File Name is empty" in empty
    assert "line 5: its File Name '115 cases' has no file in AllDICOMs" in unknown


def test_suffixes_in_capitals(release):
    """Without its file of findings, an image counts as one that shows none."""
    raw = release((1, "2", [roi("Mass", SQUARE)]), (2, "2", [roi("Mass", SQUARE)]))
    for path in (raw / "AllXML/1.xml", *(raw / "AllDICOMs").glob("2_*")):
        path.rename(path.with_suffix(path.suffix.upper()))
    contents = read(raw)
    assert contents.problems == []
    assert [len(image.lesions) for image in contents.images] == [1, 1]


@pytest.mark.parametrize(
    ("given", "view"), [("ML", "MLO"), ("ml", "MLO"), ("MLO", "MLO"), ("CC", "CC"), ("FB", "FB")]
)
def test_ml_of_the_table_means_mlo(release, given, view):
    raw = release((1, "1", None), (2, "2", [roi("Mass", SQUARE)]), view=given)
    assert [image.view for image in read(raw).images] == [view, view]


def test_blank_density(release):
    raw = release((1, "1", None), (2, "2", [roi("Mass", SQUARE)]), acr="   ")
    assert [image.density for image in read(raw).images] == [None, None]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Mass", "mass"),
        (" mass", "mass"),
        ("Cluster", "calcification cluster"),
        ("Spiculated Region", "spiculated region"),
        ("Spiculated region", "spiculated region"),
        ("Espiculated Region", "spiculated region"),
        ("Distortion", "architectural distortion"),
        ("Asymmetry", "asymmetry"),
        ("Assymetry", "asymmetry"),
        ("Unnamed", "unnamed"),
        (None, "unnamed"),
    ],
)
def test_kinds_of_lesions_and_their_spellings(release, name, kind):
    (image,) = read(release((1, "2", [roi(name, SQUARE)]))).images
    assert kinds(image) == [kind]
    assert image.lesions[0].malignant is False


@pytest.mark.parametrize("name", ["Calcification", "Calcifications"])
def test_single_calcifications_are_counted_and_are_no_lesions(release, name):
    rois = [roi(name, [(5.5, 6.25)]), roi(name, SQUARE), roi("Mass", SQUARE)]
    (image,) = read(release((1, "2", rois))).images
    assert kinds(image) == ["mass"]
    assert image.attributes["calcifications"] == 2


@pytest.mark.parametrize("name", ["Point 1", "Point 3", "Unnamed", None])
def test_marks_without_an_outline_are_passed_over(release, name):
    (image,) = read(release((1, "2", [roi(name, [(5, 6)])]))).images
    assert not image.lesions


@pytest.mark.parametrize("points", [[], [(5, 6)], [(5, 6), (9, 9)], [(5, 6), (9, 6), (7, 6)]])
def test_a_lesion_without_an_outline_leaves_the_image_out(release, points):
    contents = read(release((1, "5", [roi("Mass", points)]), (2, "1", None)))
    assert [image.name for image in contents.images] == ["2"]
    (left_out,) = contents.left_out
    assert left_out.name == "1"
    assert "mass" in left_out.reason
    assert not contents.problems


def test_a_mass_in_its_spiculated_region_is_part_of_it(release):
    far = [(40, 60), (55, 60), (55, 90), (40, 90)]
    inside = [(11, 11), (29, 11), (29, 39), (11, 39)]
    rois = [roi("Mass", inside), roi("Spiculated Region", SQUARE), roi("Mass", far)]
    (image,) = read(release((1, "5", [*rois, roi("Mass", far)]))).images
    assert kinds(image) == ["spiculated region", "mass"]


def test_half_of_a_lesion_in_another_is_a_lesion(release):
    shifted = [(20, 10), (40, 10), (40, 40), (20, 40)]
    (image,) = read(release((1, "5", [roi("Mass", SQUARE), roi("Mass", shifted)]))).images
    assert kinds(image) == ["mass", "mass"]


@pytest.mark.parametrize(
    ("birads", "malignant"),
    [
        ("1", False),
        ("2", False),
        ("3", False),
        ("4a", True),
        ("4C", True),
        ("5", True),
        ("6", True),
    ],
)
def test_birads_4_and_above_is_malignant(release, birads, malignant):
    (image,) = read(release((1, birads, [roi("Mass", SQUARE)]))).images
    assert image.malignant is malignant
    assert image.lesions[0].malignant is malignant


def test_all_problems_are_told_at_once(release):
    raw = release(
        (1, "1", None),
        (2, "2", [roi("Mass", SQUARE)]),
        (3, "9", None),
        (4, "2", [roi("Naevus", SQUARE)]),
        (5, "2", [{"Name": "Mass", "Point_px": ["(1, 2)", "nonsense"]}]),
        without_dicom=(2,),
    )
    extra = raw / "AllDICOMs" / "99_e634830794f5c1bd_MG_R_ML_ANON.dcm"
    extra.write_bytes(b"")
    contents = read(raw)
    assert [image.name for image in contents.images] == ["1"]
    assert {each.name for each in contents.left_out} == {"2", "3", "4", "5", "99"}
    problems = "\n".join(contents.problems)
    for words in ("'2' has no file", "'9' is none of", "'naevus'", "'nonsense'", "99_", "2.xml"):
        assert words in problems


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<plist",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><plist><string>&a;</string></plist>",
        plistlib.dumps({"Images": []})[:80],
        plistlib.dumps({"Image": []}),
        plistlib.dumps([1]),
        plistlib.dumps({"Images": [{"ROIs": [{"Name": 5, "Point_px": []}]}]}),
        plistlib.dumps({"Images": [{"ROIs": [roi("Mass", [(1, 1), ("1e999", 9), (5, 3)])]}]}),
    ],
    ids=["empty", "cut", "entity", "cut-list", "other-keys", "list", "number", "infinite"],
)
def test_damaged_outlines(release, content):
    raw = release((1, "1", None), (2, "5", [roi("Mass", SQUARE)]))
    (raw / "AllXML" / "2.xml").write_bytes(content)
    contents = read(raw)
    assert [image.name for image in contents.images] == ["1"]
    (problem,) = contents.problems
    assert "2.xml is no file of INbreast's findings" in problem


def test_outlines_that_cannot_be_read(release):
    raw = release((1, "1", None), (2, "5", [roi("Mass", SQUARE)]))
    path = raw / "AllXML" / "2.xml"
    path.unlink()
    path.mkdir()
    assert read(raw).problems == [f"{path} cannot be read (Is a directory)"]


def test_folder_above_the_release(release):
    raw = release((1, "1", None), (2, "2", [roi("Mass", SQUARE)]))
    with pytest.raises(InputError, match=r"INbreast Release 1\.0: give that folder"):
        read(raw.parent)


def test_a_release_without_outlines_has_no_negatives_either(release):
    raw = release((1, "1", None))
    with pytest.raises(InputError, match="AllXML has no XML files"):
        read(raw)


def test_images_renamed_by_another_release(release):
    raw = release((1, "1", None), (2, "2", [roi("Mass", SQUARE)]), without_dicom=(1, 2))
    (raw / "AllDICOMs").mkdir()
    (raw / "AllDICOMs" / "1.dcm").write_bytes(b"")
    with pytest.raises(InputError, match="whose names tell the patients"):
        read(raw)


def test_table_with_other_columns(release):
    raw = release((1, "2", [roi("Mass", SQUARE)]), header="Laterality;View;File Name;ACR")
    with pytest.raises(InputError, match="no column Acquisition date, Bi-Rads"):
        read(raw)
