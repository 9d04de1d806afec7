import pytest

from medmask.converters.ddsm.ics import Film, read_case
from medmask.errors import InputError

ICS = """
ics_version 1.0
filename C-0419-1
DATE_OF_STUDY 6 6 1995
PATIENT_AGE 74
FILM \nFILM_TYPE REGULAR
DENSITY 3
DATE_DIGITIZED 16 11 1998 \nDIGITIZER LUMISYS LASER
SEQUENCE
LEFT_CC LINES 4544 PIXELS_PER_LINE 2936 BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY
RIGHT_MLO LINES 4560 PIXELS_PER_LINE 2888 BITS_PER_PIXEL 12 RESOLUTION 43.5 NON_OVERLAY
"""


def write(tmp_path, text):
    path = tmp_path / "C-0419-1.ics"
    path.write_text(text)
    return path


def test_case(tmp_path):
    case = read_case(write(tmp_path, ICS))
    assert (case.volume, case.number, case.year, case.age) == ("C", "0419", "1995", "74")
    assert (case.density, case.digitizer) == ("3", "LUMISYS")
    assert case.films == (
        Film("LEFT", "CC", 4544, 2936, 12, 50.0, True),
        Film("RIGHT", "MLO", 4560, 2888, 12, 43.5, False),
    )


def test_zeros_are_not_given(tmp_path):
    text = ICS.replace("6 6 1995", "00 00 0000").replace("AGE 74", "AGE 00")
    case = read_case(write(tmp_path, text.replace("DENSITY 3", "DENSITY 0")))
    assert (case.year, case.age, case.density) == (None, None, None)


def test_older_files(tmp_path):
    text = ICS.replace("SEQUENCE", "SELECTED").replace("LUMISYS LASER", "LUMISYS")
    assert read_case(write(tmp_path, text)).digitizer == "LUMISYS"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("filename C-0419-1", "filename X", "no line 'filename'"),
        ("LUMISYS LASER", "KODAK", "names no DIGITIZER of DBA, HOWTEK, LUMISYS"),
        ("RIGHT_MLO LINES", "RIGHT_MLO ROWS", "the line 'RIGHT_MLO ROWS 4560 .*', which is not"),
        ("RESOLUTION 50", "RESOLUTION 0", "the line 'LEFT_CC .*', which is not"),
        ("RESOLUTION 50", "RESOLUTION " + "9" * 400, "the line 'LEFT_CC .*', which is not"),
        ("PIXEL 12", "PIXEL 999999999", "the line 'LEFT_CC .*', which is not"),
        (ICS[ICS.index("LEFT_CC") :], "", "describes no film"),
    ],
)
def test_faults(tmp_path, old, new, fault):
    with pytest.raises(InputError, match=rf"C-0419-1.ics .*{fault}"):
        read_case(write(tmp_path, ICS.replace(old, new)))
