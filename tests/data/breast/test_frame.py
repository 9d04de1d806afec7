import cv2
import numpy as np
import pytest
from painted_mammograms import box_of, paint_mammogram

from medmask.data.breast import BreastFrame, find_breast_frame, read_breast_frames
from medmask.errors import InputError


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("height", "width"), [(1280, 960), (333, 257), (640, 641)])
def test_nipple_is_the_point_farthest_from_the_chest_wall(height, width, side):
    """The painted breast is half an ellipse: its tip is known."""
    image, breast = paint_mammogram(height, width, side=side)
    frame = find_breast_frame(image)
    tip = 0.55 * width if side == "left" else width - 0.55 * width
    coarseness = max(height, width) / 256
    np.testing.assert_allclose(frame.nipple, (tip, 0.52 * height), atol=1 + 3 * coarseness)
    x0, y0, x1, y1 = box_of(breast)
    assert frame.size == pytest.approx(max(x1 - x0, y1 - y0), abs=1 + 4 * coarseness)


def test_places_of_a_breast_and_of_its_mirror_image_are_the_same():
    image, _ = paint_mammogram(800, 600)
    boxes = np.array([[30.0, 200.0, 90.0, 260.0], [200.0, 500.0, 210.0, 530.0]])
    mirrored = np.column_stack((600 - boxes[:, 2], boxes[:, 1], 600 - boxes[:, 0], boxes[:, 3]))
    places = find_breast_frame(image).places(boxes)
    other = find_breast_frame(np.ascontiguousarray(image[:, ::-1])).places(mirrored)
    np.testing.assert_allclose(places, other, atol=0.01)


def test_places_are_depth_and_height_in_shares_of_the_breast():
    places = BreastFrame(nipple=(500.0, 300.0), size=1000.0).places(
        np.array([[100.0, 300.0, 300.0, 400.0], [690.0, 90.0, 710.0, 110.0]])
    )
    np.testing.assert_allclose(places, [[0.3, 0.05], [0.2, -0.2]])
    assert BreastFrame((1.0, 1.0), 5.0).places(np.empty((0, 4))).shape == (0, 2)


def test_images_without_a_breast_have_no_frame(tmp_path):
    image, _ = paint_mammogram(300, 240)
    cv2.imwrite(str(tmp_path / "breast.png"), image)
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((300, 240), np.uint8))
    breast, black, absent = (
        {"file_name": str(tmp_path / f"{name}.png"), "height": 300, "width": 240}
        for name in ("breast", "black", "absent")
    )
    assert read_breast_frames([breast, black, None]) == [find_breast_frame(image), None, None]
    assert read_breast_frames([]) == []
    with pytest.raises(InputError, match=r"image .*absent\.png does not exist"):
        read_breast_frames([breast, absent])
    with pytest.raises(InputError, match=r"breast\.png is 240 x 300 .* file says 480 x 600"):
        read_breast_frames([breast | {"height": 600, "width": 480}])
