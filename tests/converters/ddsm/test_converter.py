from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medmask.converters.ddsm import CONVERTER, read
from medmask.converters.ddsm.density import to_density, to_gray_levels
from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert
from medmask.data.dataset_dicts import load_coco
from medmask.errors import InputError

HEIGHT, WIDTH = 30, 20
SQUARE = "5 6 2 2 2 4 4 4 6 6 6 0 0 0 #"


def describe(name: str, digitizer: str, films: dict[str, str], bits: int = 12) -> str:
    lines = [
        "",
        "ics_version 1.0",
        f"filename {name}",
        "DATE_OF_STUDY 2 7 1995",
        "PATIENT_AGE 42",
        "FILM ",
        "DENSITY 4",
        f"DIGITIZER {digitizer}",
        "SEQUENCE",
    ]
    for view, overlay in films.items():
        lines.append(
            f"{view} LINES {HEIGHT} PIXELS_PER_LINE {WIDTH} BITS_PER_PIXEL {bits} RESOLUTION 43.5 "
            f"{overlay}"
        )
    return "\n".join(lines) + "\n"


def overlay(*pathologies: str) -> str:
    text = f"TOTAL_ABNORMALITIES {len(pathologies)}\n"
    for number, pathology in enumerate(pathologies, 1):
        text += (
            f"ABNORMALITY {number}\nLESION_TYPE MASS SHAPE OVAL MARGINS SPICULATED\n"
            f"ASSESSMENT 4\nSUBTLETY 2\nPATHOLOGY {pathology}\nTOTAL_OUTLINES 3\n"
            f"BOUNDARY\n{SQUARE}\n"
        )
        text += "\tCORE\n6 7 2 4 6 0 #\n"
    return text


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(1000, 4000, (HEIGHT, WIDTH)).astype(np.uint16)


@pytest.fixture
def raw(tmp_path, values) -> Path:
    """Three cases: one of cancer (12 bits), one normal (DBA, 16 bits), one that is not marked."""
    cancer = tmp_path / "cases/cancers/cancer_08/case1509"
    normal = tmp_path / "cases/normals/normal_02/case0200"
    unmarked = tmp_path / "cases/cancers/cancer_09/case0003"
    for folder in (cancer, normal, unmarked):
        folder.mkdir(parents=True)
    views = {"LEFT_CC": "OVERLAY", "LEFT_MLO": "OVERLAY", "RIGHT_CC": "NON_OVERLAY"}
    (cancer / "C-1509-1.ics").write_text(describe("C-1509-1", "LUMISYS LASER", views))
    (cancer / "C_1509_1.LEFT_CC.OVERLAY").write_text(overlay("MALIGNANT", "BENIGN"))
    (cancer / "C_1509_1.LEFT_MLO.OVERLAY").write_text(overlay("UNPROVEN"))
    for view in views:
        values.astype(">u2").tofile(cancer / f"C_1509_1.{view}.LJPEG.1")
        (cancer / f"C_1509_1.{view}.LJPEG").touch()
    films = {"RIGHT_MLO": "NON_OVERLAY"}
    (normal / "A-0200-1.ics").write_text(describe("A-0200-1", "DBA 21", films, 16))
    (values * 16).astype(">u2").tofile(normal / "A_0200_1.RIGHT_MLO.LJPEG.1")
    (unmarked / "D-0003-1.ics").write_text(describe("D-0003-1", "HOWTEK", films))
    values.astype(">u2").tofile(unmarked / "D_0003_1.RIGHT_MLO.LJPEG.1")
    return tmp_path


def images_of(raw: Path) -> dict:
    return {image.name: image for image in read(raw).images}


def test_films(raw):
    contents = read(raw)
    assert contents.problems == []
    assert {path.name for path in contents.sources} == {
        "A-0200-1.ics",
        "C-1509-1.ics",
        "D-0003-1.ics",
    }
    images = images_of(raw)
    assert set(images) == {
        "C_1509_1_LEFT_CC",
        "C_1509_1_LEFT_MLO",
        "C_1509_1_RIGHT_CC",
        "A_0200_1_RIGHT_MLO",
    }
    film = images["C_1509_1_LEFT_CC"]
    assert (film.patient_id, film.study_date, film.laterality, film.view) == (
        "C_1509",
        "1995",
        "L",
        "CC",
    )
    assert (film.density, film.birads, film.scanner, film.pixel_spacing_mm) == (
        "4",
        "4",
        "LUMISYS",
        0.0435,
    )
    assert film.split is None


def test_lesions(raw):
    images = images_of(raw)
    first, second = images["C_1509_1_LEFT_CC"].lesions
    assert (first.malignant, second.malignant) == (True, False)
    assert first.outlines[0].tolist() == [[5.5, 6.5], [8.5, 6.5], [8.5, 9.5], [5.5, 9.5]]
    assert first.attributes == {
        "pathology": "MALIGNANT",
        "lesion_types": ["MASS SHAPE OVAL MARGINS SPICULATED"],
        "birads": "4",
        "subtlety": "2",
        "cores": 1,
    }
    assert [lesion.malignant for lesion in images["C_1509_1_LEFT_MLO"].lesions] == [None]
    assert images["C_1509_1_LEFT_MLO"].malignant is None
    assert images["C_1509_1_RIGHT_CC"].lesions == ()
    assert images["A_0200_1_RIGHT_MLO"].malignant is False


def test_cancer_that_is_not_marked_is_left_out(raw):
    (left,) = read(raw).left_out
    assert left.name == "D_0003_1_RIGHT_MLO"
    assert left.reason == "its case is one of cancer, which is marked on none of its films"


def test_pixels_are_linear_in_optical_density(raw, values):
    images = images_of(raw)
    for name, density in (
        ("C_1509_1_LEFT_CC", (values - 4096.99) / -1009.01),
        ("A_0200_1_RIGHT_MLO", (np.log10(values * 16.0 + 1) - 4.80662) / -1.07553),
    ):
        pixels = CONVERTER.read_pixels(images[name])
        expected = (3 - density.clip(0.05, 3)) / 2.95 * 65535
        assert pixels.dtype == np.uint16
        np.testing.assert_allclose(pixels, expected, atol=0.5)


def use_picture(raw: Path, name: str, pixels: np.ndarray, suffix: str):
    """Replace the raw file of a film by a picture; gives its image."""
    (path,) = raw.rglob(f"{name}.LJPEG.1")
    path.unlink()
    Image.fromarray(pixels).save(path.parent / f"{name}{suffix}")
    return images_of(raw)[name.replace(".", "_")]


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tif"])
def test_picture_of_the_values(raw, values, suffix):
    expected = CONVERTER.read_pixels(images_of(raw)["C_1509_1_LEFT_CC"])
    image = use_picture(raw, "C_1509_1.LEFT_CC", values, suffix)
    assert image.path.suffix == suffix
    assert (CONVERTER.read_pixels(image) == expected).all()


@pytest.mark.parametrize("factor", [1 / 16, 16], ids=["8 bits", "16 bits"])
def test_picture_for_display_is_taken_as_it_is(raw, values, factor):
    pixels = (values * factor).astype(np.uint8 if factor < 1 else np.uint16)
    image = use_picture(raw, "C_1509_1.LEFT_CC", pixels, ".png")
    read_back = CONVERTER.read_pixels(image)
    assert read_back.dtype == pixels.dtype
    assert (read_back == pixels).all()


def test_picture_that_may_be_either(raw, values):
    image = use_picture(raw, "A_0200_1.RIGHT_MLO", values, ".png")
    with pytest.raises(InputError, match=r"cannot be told apart .* decode its LJPEG file"):
        CONVERTER.read_pixels(image)


def test_picture_of_another_size(raw, values):
    image = use_picture(raw, "C_1509_1.LEFT_CC", values[:-1], ".png")
    with pytest.raises(InputError, match="has 29 x 20 pixels and its case description states 30"):
        CONVERTER.read_pixels(image)


def test_little_endian_words(raw, values):
    (path,) = raw.rglob("C_1509_1.LEFT_CC.LJPEG.1")
    values.astype("<u2").tofile(path)
    with pytest.raises(InputError, match="values above the 4095 of its 12 bits"):
        CONVERTER.read_pixels(images_of(raw)["C_1509_1_LEFT_CC"])


def test_incomplete_downloads(raw):
    (cancer,) = raw.rglob("case1509")
    (cancer / "C_1509_1.RIGHT_CC.LJPEG.1").unlink()
    (cancer / "C_1509_1.LEFT_MLO.OVERLAY").unlink()
    (cancer / "C_1509_1.LEFT_CC.LJPEG.1").write_bytes(b"12")
    (normal,) = raw.rglob("A_0200_1.RIGHT_MLO.LJPEG.1")
    normal.unlink()
    contents = read(raw)
    assert contents.images == []
    assert {left.name: left.reason for left in contents.left_out} == {
        "A_0200_1_RIGHT_MLO": "its file is missing",
        "C_1509_1_LEFT_CC": "its record has a fault",
        "C_1509_1_LEFT_MLO": "its record has a fault",
        "C_1509_1_RIGHT_CC": "it is not decoded from LJPEG",
        "D_0003_1_RIGHT_MLO": "its case is one of cancer, which is marked on none of its films",
    }
    problems = "\n".join(contents.problems)
    assert "C_1509_1.LEFT_CC.LJPEG.1 has not two bytes for each of the 30 x 20" in problems
    assert "C_1509_1.LEFT_MLO.OVERLAY cannot be read" in problems
    assert "1 film is LJPEG only" in problems
    assert "A_0200_1.RIGHT_MLO.LJPEG of" in problems
    assert len(contents.problems) == 4


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("MALIGNANT", "CANCER", "has the pathology CANCER, which is none of"),
        (SQUARE, "5 6 2 6 #", "BOUNDARY without area"),
    ],
)
def test_faulty_overlay(raw, old, new, fault):
    (path,) = raw.rglob("C_1509_1.LEFT_CC.OVERLAY")
    path.write_text(path.read_text().replace(old, new))
    (problem,) = read(raw).problems
    assert fault in problem


def test_unknown_digitizer(raw):
    (path,) = raw.rglob("C-1509-1.ics")
    path.write_text(path.read_text().replace("LUMISYS LASER", "DBA"))
    assert read(raw).left_out[0].reason == "no calibration of DBA is known for volume C"


def test_another_folder(tmp_path):
    with pytest.raises(InputError, match="has no case descriptions"):
        read(tmp_path)


def test_whole_conversion(raw, tmp_path):
    report = convert("ddsm", raw, tmp_path / "out", ConversionOptions())

    assert report.problems == []
    # the film with a lesion of unproven pathology is in no file of malignant lesions
    assert report.files["instances_all.json"] == (3, 2, 1, 1)
    assert report.files["instances_all_lesion.json"] == (4, 2, 3, 2)
    json_file = tmp_path / "out/annotations/instances_all.json"
    records = load_coco(str(json_file), str(tmp_path / "out/images"), ["malignant"])
    (annotation,) = (a for record in records for a in record["annotations"])
    assert annotation["bbox"] == [5.5, 6.5, 3, 3]
    assert Image.open(tmp_path / "out/images/A_0200_1_RIGHT_MLO.png").mode == "I;16"


def test_films_of_a_corrected_description_are_written_again(raw, values, tmp_path):
    folder = raw / "cases/normals/normal_02/case0200"
    values.astype(">u2").tofile(folder / "A_0200_1.RIGHT_MLO.LJPEG.1")
    for digitizer in ("DBA 21", "HOWTEK 960"):
        text = describe("A-0200-1", digitizer, {"RIGHT_MLO": "NON_OVERLAY"})
        (folder / "A-0200-1.ics").write_text(text)
        convert("ddsm", raw, tmp_path / "out", ConversionOptions())
    written = np.asarray(Image.open(tmp_path / "out/images/A_0200_1_RIGHT_MLO.png"))
    assert (written == to_gray_levels(to_density(values, "A", "HOWTEK"))).all()
