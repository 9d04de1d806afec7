"""VinDr-Mammo: findings of several classes, boxes beyond the image, BI-RADS of each finding."""

import numpy as np
import pytest
from raw_tables import write_csv

from medmask.converters.vindr_mammo import CONVERTER, read
from medmask.errors import InputError

WIDTH, HEIGHT = 50, 60
NO_BOX = dict.fromkeys(("xmin", "ymin", "xmax", "ymax"))


def breast_of(image_id: str, **changes) -> dict:
    row = {
        "study_id": "exam1",
        "series_id": "series1",
        "laterality": "L",
        "view_position": "MLO",
        "image_id": image_id,
        "height": HEIGHT,
        "width": WIDTH,
        "breast_birads": "BI-RADS 1",
        "breast_density": "DENSITY C",
        "split": "training",
    }
    return row | changes


def finding_of(image_id: str, categories: str, birads: str | None = None, **changes) -> dict:
    box = {"xmin": 10.5, "ymin": 20, "xmax": 30.25, "ymax": 40}
    finding = {"finding_categories": categories, "finding_birads": birads}
    return breast_of(image_id) | finding | box | changes


@pytest.fixture
def write_set(tmp_path, write_dicom):
    """Writes a set of the given rows, with a file for every image that is named ``suffix``."""

    def write(breasts: list[dict], findings: list[dict], suffix: str = ".dicom"):
        write_csv(tmp_path / "breast-level_annotations.csv", *breasts)
        write_csv(tmp_path / "finding_annotations.csv", *findings)
        for row in breasts:
            name = f"images/{row['study_id']}/{row['image_id']}{suffix}"
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            write_dicom(np.arange(3000, dtype=np.uint16).reshape(HEIGHT, WIDTH), name=name)
        return tmp_path

    return write


@pytest.mark.parametrize("suffix", [".dicom", ".dcm"])
def test_images_carry_what_the_tables_say(write_set, suffix):
    raw = write_set(
        [
            breast_of("a", breast_birads="BI-RADS 5", laterality="R"),
            breast_of("b", study_id="exam2", split="test", breast_density="DENSITY A"),
        ],
        [
            finding_of("a", "['Mass']", "BI-RADS 5"),
            finding_of("b", "['No Finding']", **NO_BOX),
        ],
        suffix,
    )
    contents = read(raw)
    assert not contents.problems
    assert [path.name for path in contents.sources] == [
        "breast-level_annotations.csv",
        "finding_annotations.csv",
    ]
    first, second = contents.images
    assert first.path == raw / f"images/exam1/a{suffix}"
    assert (first.name, first.patient_id, first.split) == ("exam1/a", "exam1", "train")
    assert (first.laterality, first.view, first.density) == ("R", "MLO", "C")
    assert (first.birads, first.malignant) == ("5", True)
    assert (second.split, second.density, second.birads) == ("test", "A", "1")
    assert second.malignant is False
    assert second.lesions == ()


def test_only_breasts_of_birads_1_are_known_to_show_no_lesion(write_set):
    """Benign findings have no box."""
    birads = ["BI-RADS 1", "BI-RADS 2", "BI-RADS 3"]
    no_findings = [finding_of(name, "['No Finding']", **NO_BOX) for name in "abc"]
    breasts = [
        breast_of(name, breast_birads=each) for name, each in zip("abc", birads, strict=True)
    ]
    assert [image.lesion for image in read(write_set(breasts, no_findings)).images] == [
        *(False, None, None)
    ]


def test_scanners_are_those_of_the_table_of_headers(write_set):
    no_findings = [finding_of(name, "['No Finding']", **NO_BOX) for name in "abc"]
    raw = write_set([breast_of(name) for name in "abc"], no_findings)
    assert [image.scanner for image in read(raw).images] == [None] * 3
    model = "Manufacturer's Model Name"
    write_csv(
        raw / "metadata.csv",
        {"SOP Instance UID": "a", "Manufacturer": "SIEMENS", model: "Mammomat Inspiration"},
        {"SOP Instance UID": "c", "Manufacturer": None, model: "GIOTTO CLASS"},
    )
    contents = read(raw)
    assert not contents.problems
    assert contents.sources[-1] == raw / "metadata.csv"
    scanners = [image.scanner for image in contents.images]
    assert scanners == ["SIEMENS Mammomat Inspiration", None, "GIOTTO CLASS"]


def test_faulty_table_of_headers_costs_the_scanners_alone(write_set):
    raw = write_set([breast_of("a")], [finding_of("a", "['No Finding']", **NO_BOX)])
    (raw / "metadata.csv").write_text("Rows,Columns\n1,2\n")
    contents = read(raw)
    assert [image.scanner for image in contents.images] == [None]
    (problem,) = contents.problems
    assert "metadata.csv has no column SOP Instance UID" in problem


def test_findings_are_lesions_by_class_and_malignant_by_their_own_birads(write_set):
    raw = write_set(
        [breast_of("a", breast_birads="BI-RADS 4")],
        [
            finding_of("a", "['Suspicious Calcification', 'Mass']", "BI-RADS 4"),
            finding_of("a", "['Focal Asymmetry']", "BI-RADS 3"),
            finding_of("a", "['Skin Thickening', 'Architectural Distortion']", None),
            finding_of("a", "['Suspicious Lymph Node']", None),
            finding_of("a", "['Nipple Retraction', 'Skin Retraction']", None),
        ],
    )
    contents = read(raw)
    assert not contents.problems
    lesions = contents.images[0].lesions
    assert [lesion.malignant for lesion in lesions] == [True, False, None]
    assert [dict(lesion.attributes) for lesion in lesions] == [
        {"types": ["Suspicious Calcification", "Mass"], "birads": "4"},
        {"types": ["Focal Asymmetry"], "birads": "3"},
        {"types": ["Architectural Distortion"]},
    ]
    assert lesions[0].box == (10.5, 20, 30.25, 40)


def test_boxes_are_cut_to_the_image(write_set):
    changes = {"xmin": -5.1627, "ymin": 50.5, "xmax": WIDTH + 3, "ymax": HEIGHT + 0.25}
    raw = write_set([breast_of("a")], [finding_of("a", "['Mass']", "BI-RADS 3", **changes)])
    (lesion,) = read(raw).images[0].lesions
    assert lesion.box == (0, 50.5, WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        ({"xmin": None}, "line 2: its xmin or another side of its box is not given"),
        ({"xmin": 31}, "line 2: its xmin '31' and the other sides are no box inside"),
        ({"ymin": HEIGHT + 5, "ymax": HEIGHT + 9}, "are no box inside of the image"),
        ({"xmin": "1O"}, "its xmin '1O' is not a finite number"),
        ({"finding_categories": "Mass"}, "is no list of names"),
        ({"finding_categories": "['Masses']"}, "holds no class of the set"),
        ({"finding_categories": "[]"}, "holds no class of the set"),
        ({"finding_birads": "4"}, "its finding_birads '4' is none of bi-rads 0"),
    ],
    ids=range(8),
)
def test_faults_of_findings_are_told(write_set, finding, words):
    row = finding_of("a", "['Mass']", "BI-RADS 4") | finding
    clean = finding_of("b", "['No Finding']", **NO_BOX)
    contents = read(write_set([breast_of("a"), breast_of("b")], [row, clean]))
    assert [image.name for image in contents.images] == ["exam1/b"]
    assert [left.name for left in contents.left_out] == ["breast-level_annotations.csv, line 2"]
    (problem,) = contents.problems
    assert words in problem
    assert "finding_annotations.csv" in problem


def test_an_image_without_its_file(write_set):
    clean = finding_of("a", "['No Finding']", **NO_BOX)
    finding = finding_of("b", "['Mass']", "BI-RADS 4")
    raw = write_set([breast_of("a"), breast_of("b")], [clean, finding])
    (raw / "images/exam1/b.dicom").unlink()
    contents = read(raw)
    assert [left.name for left in contents.left_out] == ["exam1/b"]
    assert contents.problems == [
        f"missing: 1 of the 2 images of {raw / 'breast-level_annotations.csv'}, the first is "
        f"{raw / 'images/exam1/b.dicom'}; complete the download or unpack the rest of it"
    ]


def test_findings_of_an_image_that_is_not_listed(write_set):
    clean = finding_of("a", "['No Finding']", **NO_BOX)
    raw = write_set([breast_of("a")], [clean, finding_of("x", "['Mass']", "BI-RADS 4")])
    assert "1 image of" in read(raw).problems[0]
    assert "the first is x" in read(raw).problems[0]


def test_an_image_without_any_row_of_findings_does_not_count_as_clean(write_set):
    raw = write_set([breast_of("a"), breast_of("b")], [finding_of("a", "['Mass']", "BI-RADS 4")])
    contents = read(raw)
    assert [image.name for image in contents.images] == ["exam1/a"]
    (problem,) = contents.problems
    assert "line 3: its image_id 'b' has no row of its own in finding_annotations.csv" in problem


def test_an_image_without_a_split_does_not_divide_the_set_anew(write_set):
    raw = write_set(
        [breast_of("a", split="test"), breast_of("b", split=None)],
        [finding_of(name, "['No Finding']", **NO_BOX) for name in "ab"],
    )
    contents = read(raw)
    assert [(image.name, image.split) for image in contents.images] == [("exam1/a", "test")]
    (problem,) = contents.problems
    assert "line 3: its split is empty" in problem


def test_a_folder_that_is_not_the_set(tmp_path):
    with pytest.raises(InputError, match=r"has no breast-level_annotations\.csv"):
        CONVERTER.read(tmp_path)


def test_image_of_another_size_than_its_boxes(write_set):
    """A copy that somebody has reduced."""
    sizes = {"height": 10 * HEIGHT, "width": 10 * WIDTH}
    raw = write_set(
        [breast_of("a", breast_birads="BI-RADS 5", **sizes), breast_of("b", **sizes)],
        [finding_of("a", "['Mass']", "BI-RADS 5"), finding_of("b", "['No Finding']", **NO_BOX)],
    )
    contents = read(raw)
    assert [image.name for image in contents.images] == ["exam1/b"]
    (problem,) = contents.problems
    assert "is 50 x 60 (width x height), but" in problem
    assert "says 500 x 600; its boxes would be wrong" in problem
