import numpy as np
import pytest
from scipy import ndimage

from medmask.coco import decode_mask
from medmask.errors import InputError
from medmask.phantom import PhantomParameters, generate_patient
from medmask.phantom.anatomy import draw_breast_pair, draw_layout
from medmask.phantom.geometry import distance_to_background, draw_geometry
from medmask.phantom.grid import Grid
from medmask.phantom.lesions import draw_lesion_plan, lesion_density, visible_box, visible_part
from medmask.phantom.options import DOMAINS, GENERATOR_VERSION
from medmask.phantom.placement import Placement
from medmask.phantom.scanner import FfdmScanner, FilmScanner
from medmask.phantom.tissue import tissue_attenuation

SMALL = {"width": 96, "height": 128}


def images_of(parameters, domain, patients, split="train"):
    return [
        image
        for index in range(patients)
        for image in generate_patient(parameters, domain, split, index).images
    ]


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize(("width", "height"), [(96, 128), (97, 131), (160, 90), (60, 200)])
def test_images_have_the_size_and_range_that_are_asked_for(domain, width, height):
    patient = generate_patient(PhantomParameters(width, height), domain, "train", 0)
    assert [(i.laterality, i.view) for i in patient.images] == [
        ("L", "CC"),
        ("L", "MLO"),
        ("R", "CC"),
        ("R", "MLO"),
    ]
    for image in patient.images:
        assert image.pixels.shape == (height, width)
        assert image.pixels.dtype == np.float32
        assert image.pixels.min() >= 0
        assert image.pixels.max() <= 1
        assert image.pixels.std() > 0.05


def test_a_patient_depends_on_seed_domain_split_and_number_only():
    reference = generate_patient(PhantomParameters(**SMALL, seed=3), "film", "train", 5)
    again = generate_patient(PhantomParameters(**SMALL, seed=3), "film", "train", 5)
    for first, second in zip(reference.images, again.images, strict=True):
        assert np.array_equal(first.pixels, second.pixels)
        assert first.lesions == second.lesions
    others = [(4, "film", "train", 5), (3, "ffdm", "train", 5), (3, "film", "val", 5)]
    for seed, domain, split, index in [*others, (3, "film", "train", 6)]:
        other = generate_patient(PhantomParameters(**SMALL, seed=seed), domain, split, index)
        for first, second in zip(reference.images, other.images, strict=True):
            assert np.corrcoef(first.pixels.ravel(), second.pixels.ravel())[0, 1] < 0.99


@pytest.mark.parametrize(
    ("domain", "blocks", "box"),
    [
        (
            "film",
            [
                [118.5, 37.5, 11.2, 11.0],
                [86.8, 85.5, 13.9, 8.7],
                [139.9, 140.6, 35.1, 8.7],
                [37.5, 17.9, 8.5, 8.4],
            ],
            (22, 97, 6, 6),
        ),
        (
            "ffdm",
            [
                [108.9, 21.7, 0.0, 0.0],
                [78.2, 69.5, 1.2, 0.0],
                [89.5, 65.5, 6.2, 0.0],
                [14.2, 1.3, 0.0, 0.0],
            ],
            (14, 81, 9, 9),
        ),
    ],
)
def test_the_version_stands_for_these_pixels(domain, blocks, box):
    """Published results are of these phantoms: raise GENERATOR_VERSION with what changes them."""
    assert GENERATOR_VERSION == 9
    parameters = PhantomParameters(**SMALL, positive_fraction=1.0)
    left_mlo = generate_patient(parameters, domain, "train", 0).images[1]
    means = 255 * left_mlo.pixels.reshape(4, 32, 4, 24).mean(axis=(1, 3))
    np.testing.assert_allclose(means, blocks, atol=0.1)
    assert left_mlo.lesions[0].box == box


@pytest.mark.parametrize("domain", DOMAINS)
def test_laterality_decides_the_side_of_the_chest_wall(domain):
    for image in images_of(PhantomParameters(**SMALL), domain, 4):
        rows = image.pixels[32:96]  # without markers
        left, right = rows[:, 4:20].mean(), rows[:, -20:-4].mean()
        assert (left > right) == (image.laterality == "L")


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.5, 1.0])
def test_the_positive_fraction_is_exact_to_two_breasts(fraction):
    parameters = PhantomParameters(48, 64, positive_fraction=fraction)
    breasts = [bool(image.lesions) for image in images_of(parameters, "ffdm", 20)[::2]]
    assert sum(breasts) == pytest.approx(fraction * len(breasts), abs=2)


def test_a_lesion_shows_in_both_views_of_its_breast():
    images = images_of(PhantomParameters(48, 64, positive_fraction=1.0), "film", 20)
    for cc, mlo in zip(images[::2], images[1::2], strict=True):
        assert cc.lesions
        assert [x.lesion_type for x in cc.lesions] == [x.lesion_type for x in mlo.lesions]


def test_lesions_lie_in_the_breast_and_have_the_wanted_size():
    images = images_of(PhantomParameters(positive_fraction=1.0), "ffdm", 6)
    largest = {"mass": [], "calcification_cluster": []}
    for image in images:
        breast = ndimage.binary_fill_holes(image.pixels > 0)  # the bare ffdm detector is black
        for lesion in image.lesions:
            x, y, width, height = (int(value) for value in lesion.box)
            assert x >= 0
            assert y >= 0
            assert breast[y : y + height, x : x + width].shape == (height, width)
            assert breast[y : y + height, x : x + width].all()
            largest[lesion.lesion_type].append(max(width, height))
    for sizes in largest.values():
        assert min(sizes) >= 7
        assert max(sizes) <= 34
        assert 11 < np.median(sizes) < 26


@pytest.mark.parametrize("domain", DOMAINS)
def test_lesions_are_brighter_than_their_surroundings(domain):
    """Paired with the same patients without lesions, so that the anatomy cancels."""
    parameters = {"positive_fraction": 1.0, **SMALL}
    inside, outside, outlined = [], [], []
    for index in range(6):
        images, blanks = (
            generate_patient(
                PhantomParameters(**parameters, lesion_contrast=contrast), domain, "train", index
            ).images
            for contrast in (1.0, 0.0)
        )
        for image, blank in zip(images, blanks, strict=True):
            added = image.pixels - blank.pixels
            annotated = np.zeros(added.shape, bool)
            for lesion in image.lesions:
                x, y, width, height = (int(value) for value in lesion.box)
                annotated[y : y + height, x : x + width] = True
                inside.append(added[y : y + height, x : x + width].mean())
                mask = decode_mask(lesion.runs, added.shape)
                of_box = mask[y : y + height, x : x + width]
                assert of_box.sum() == mask.sum() > 0
                if not of_box.all():
                    outlined.append(added[mask].mean() - added[annotated & ~mask].mean())
            outside.append(added[~annotated].mean())
    assert np.mean(np.array(inside) > 0.01) > 0.85
    assert np.mean(np.array(outlined) > 0) > 0.85
    assert np.mean(inside) > 5 * np.abs(np.mean(outside))


@pytest.mark.parametrize("seed", range(6))
def test_the_box_is_tight_round_what_is_visible(seed):
    random = np.random.default_rng(seed)
    plan = draw_lesion_plan(random)
    grid = Grid.of_image(256, 192)
    center = (70.3, 120.8)
    window = grid.window(center, plan.reach)
    density = lesion_density(plan, center, window, random)
    whole = np.zeros(grid.shape)
    whole[window.slices] = density
    x, y, width, height = (int(value) for value in visible_box(visible_part(density), window))
    box = np.zeros(grid.shape, bool)
    box[y : y + height, x : x + width] = True
    assert 0.9 < density.max() < 1.4 or plan.lesion_type == "calcification_cluster"
    assert whole[~box].max() <= 0.25 * whole.max()
    sides = whole[box].reshape(height, width)
    for side in (sides[0], sides[-1], sides[:, 0], sides[:, -1]):
        assert side.max() > 0.15 * whole.max()
    # Nothing is cut off by the window.
    assert max(density[0].max(), density[-1].max()) < 0.1 * density.max()


def test_places_keep_their_distance_from_the_nipple_and_do_not_overlap():
    grid = Grid.of_image(256, 192)
    placed = 0
    for seed in range(8):
        random = np.random.default_rng(seed)
        breast, _ = draw_breast_pair(random)
        layouts = [draw_layout(breast, view, grid.height_mm, random) for view in ("CC", "MLO")]
        geometries = [draw_geometry(layout, grid) for layout in layouts]
        placement, reach, taken = Placement(*layouts, grid), 8.0, []
        for _ in range(4):
            centers = placement.place(reach, random)
            if centers is None:
                continue
            placed += 1
            distances = [
                np.hypot(c[0] - layout.nipple[0], c[1] - layout.nipple[1])
                for c, layout in zip(centers, layouts, strict=True)
            ]
            assert abs(distances[0] - distances[1]) < 8.5
            for (x, y), geometry in zip(centers, geometries, strict=True):
                pixel = int(grid.pixels(y)), int(grid.pixels(x))
                assert geometry.skin_distance[pixel] > reach
                assert geometry.muscle_distance[pixel] > reach
            for others in taken:
                for center, other in zip(centers, others, strict=True):
                    assert np.hypot(center[0] - other[0], center[1] - other[1]) > 2 * reach
            taken.append(centers)
    assert placed > 16


def test_no_room_is_no_place():
    grid = Grid.of_image(256, 192)
    random = np.random.default_rng(0)
    breast, _ = draw_breast_pair(random)
    layouts = [draw_layout(breast, view, grid.height_mm, random) for view in ("CC", "MLO")]
    assert Placement(*layouts, grid).place(150.0, random) is None


def test_the_anatomy_does_not_depend_on_the_image_size():
    small, large = (
        images_of(PhantomParameters(96 * k, 128 * k, positive_fraction=1.0), "ffdm", 3)
        for k in (1, 3)
    )
    for first, second in zip(small, large, strict=True):
        assert first.lesions
        for lesion, same in zip(first.lesions, second.lesions, strict=True):
            assert lesion.lesion_type == same.lesion_type
            center, larger = (
                np.array(b[:2]) + 0.5 * np.array(b[2:]) for b in (lesion.box, same.box)
            )
            assert np.abs(3 * center - larger).max() < 12  # 4 mm


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_the_geometry_does_not_depend_on_the_image_size(view):
    for seed in range(4):
        random = np.random.default_rng(seed)
        breast, _ = draw_breast_pair(random)
        layout = draw_layout(breast, view, 240.0, random)
        small, large = (draw_geometry(layout, Grid.of_image(128 * k, 96 * k)) for k in (1, 3))
        assert small.coverage.mean() == pytest.approx(large.coverage.mean(), rel=0.01)
        assert small.thickness.mean() == pytest.approx(large.thickness.mean(), rel=0.02)
        assert small.skin_distance.max() == pytest.approx(large.skin_distance.max(), rel=0.03)


def test_the_distance_to_the_background_is_exact():
    mask = np.random.default_rng(0).random((301, 203)) < 0.999
    expected = ndimage.distance_transform_edt(mask).astype(np.float32)
    assert np.array_equal(distance_to_background(mask.astype(np.uint8)), expected)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_pixels_do_not_depend_on_where_arrays_lie_in_memory(domain):
    """Vectorised code may round otherwise at another alignment; not one bit may show it."""
    parameters = PhantomParameters(48, 64, seed=7)
    sizes = np.random.default_rng(0)
    expected = images_of(parameters, domain, 1)
    for _ in range(15):
        # Allocated and freed, these move what the generator allocates next.
        _ = [np.ones(sizes.integers(1, 60000), np.float32) for _ in range(3)]
        for image, first in zip(images_of(parameters, domain, 1), expected, strict=True):
            assert np.array_equal(image.pixels, first.pixels)


def test_film_has_a_gray_background_and_ffdm_a_black_one():
    for domain, low, high in (("film", 0.001, 0.2), ("ffdm", 0.0, 0.0)):
        for image in images_of(PhantomParameters(**SMALL), domain, 3):
            corner = image.pixels[-6:, :12] if image.laterality == "R" else image.pixels[-6:, -12:]
            assert low <= np.median(corner) <= high or (corner > 0.8).mean() > 0.3  # clear border


def test_the_curve_strength_moves_ffdm_and_leaves_film_alone():
    for domain, moves in (("film", False), ("ffdm", True)):
        weak, strong = (
            images_of(PhantomParameters(**SMALL, ffdm_curve_strength=s), domain, 1)[0].pixels
            for s in (0.5, 2.0)
        )
        assert (np.abs(weak - strong).max() > 0.05) == moves


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 3.0])
def test_the_ffdm_gray_curve_keeps_its_ends_and_rises(strength):
    value = np.linspace(0, 1, 101)
    curve = FfdmScanner(curve_strength=strength).gray_curve(value, middle=0.5)
    assert curve[[0, -1]] == pytest.approx([0, 1])
    assert np.all(np.diff(curve) > 0)
    if strength == 0:
        assert curve == pytest.approx(value)


def test_ffdm_shades_fade_below_fat_without_a_kink_and_never_get_black():
    value = np.linspace(-1, 1, 2001)
    shades = FfdmScanner.shades(value, darkest=0.1)
    assert shades[value >= 0][[0, -1]] == pytest.approx([0.1, 1])
    slope = np.diff(shades) / np.diff(value)
    assert np.all(slope > 0)
    assert np.abs(np.diff(slope)).max() < 0.01
    assert 0 < shades[0] < 0.001


def test_ffdm_fat_is_gray_and_fades_to_a_skin_line_that_still_shows():
    random = np.random.default_rng(0)
    grid = Grid.of_image(256, 192)
    for _ in range(8):
        layout = draw_layout(draw_breast_pair(random)[0], "CC", grid.height_mm, random)
        geometry = draw_geometry(layout, grid)
        pixels = FfdmScanner().scan(tissue_attenuation(geometry, random), geometry, "L", random)
        depth = geometry.skin_distance
        skin = np.median(pixels[(geometry.coverage == 1) & (depth < 2)])
        beneath = np.median(pixels[(depth > 3) & (depth < 6)])
        fat = np.median(pixels[(depth > 12) & (depth < 16)])
        assert np.all(pixels[geometry.coverage == 0] == 0)
        assert 4 / 255 < skin < beneath < fat
        assert 0.12 < fat < 0.6


@pytest.mark.parametrize(("change", "lower"), [({"blur": 0.8}, True), ({"blur": 0.2}, False)])
def test_blur_takes_fine_detail_out_of_ffdm(change, lower):
    random = np.random.default_rng(0)
    grid = Grid.of_image(256, 192)
    layout = draw_layout(draw_breast_pair(random)[0], "CC", grid.height_mm, random)
    geometry = draw_geometry(layout, grid)
    attenuation = tissue_attenuation(geometry, random)

    def detail(scanner):
        pixels = scanner.scan(attenuation, geometry, "L", np.random.default_rng(1))
        return np.abs(np.diff(pixels, axis=0))[geometry.skin_distance[1:] > 8].mean()

    assert (detail(FfdmScanner(noise=0, **change)) < detail(FfdmScanner(noise=0))) == lower


def test_film_contrast_is_best_in_the_middle_of_its_curve():
    scanner = FilmScanner()
    log_exposure = np.linspace(-2, 2, 401)
    density = scanner.optical_density(log_exposure, 1.0)
    slope = np.diff(density) / np.diff(log_exposure)
    assert np.all(slope > 0)
    assert slope.max() == pytest.approx(scanner.gradient, rel=0.01)
    assert max(slope[0], slope[-1]) < 0.02 * slope.max()
    assert density[0] == pytest.approx(scanner.base_density, abs=0.01)
    assert density[-1] == pytest.approx(scanner.top_density, abs=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 20}, "size is 20x256"),
        ({"seed": -1}, "seed is -1"),
        ({"positive_fraction": 1.2}, "positive_fraction is 1.2"),
        ({"positive_fraction": float("nan")}, "positive_fraction is nan"),
        ({"lesion_contrast": -0.5}, "lesion_contrast is -0.5"),
        ({"lesion_contrast": float("nan")}, "lesion_contrast is nan"),
        ({"ffdm_curve_strength": float("inf")}, "ffdm_curve_strength is inf"),
    ],
)
def test_parameters_out_of_range_are_named(change, message):
    with pytest.raises(InputError, match=message):
        PhantomParameters(**change)


@pytest.mark.parametrize(("domain", "split"), [("xray", "train"), ("film", "holdout")])
def test_unknown_domain_or_split_is_named(domain, split):
    with pytest.raises(InputError, match=r"'(xray|holdout)' is unknown"):
        generate_patient(PhantomParameters(), domain, split, 0)
