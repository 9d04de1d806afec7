"""Films of CBIS-DDSM: the rows of the tables that tell of one film, and its files."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from medmask.converters.cbis_ddsm.cases import Place, Region
from medmask.converters.cbis_ddsm.files import DicomFiles, choose_film, choose_mask
from medmask.images import read_image_size


@dataclass(frozen=True)
class Film:
    """One view of one breast of a patient.

    Attributes:
        regions: all abnormalities on it, masses and calcifications.
    """

    regions: tuple[Region, ...]

    @property
    def patient(self) -> str:
        """The patient, such as ``P_00001``."""
        return self.regions[0].patient

    @property
    def side(self) -> str:
        """LEFT or RIGHT."""
        return self.regions[0].side

    @property
    def view(self) -> str:
        """CC or MLO."""
        return self.regions[0].view

    @property
    def name(self) -> str:
        """Patient, side and view, which no other film has in common."""
        return f"{self.patient}_{self.side}_{self.view}"

    @property
    def copies(self) -> tuple[Place, ...]:
        """Places of the film: one folder, or that of its masses and that of the others."""
        return tuple(dict.fromkeys(region.film for region in self.regions))


def group_films(regions: list[Region]) -> list[Film]:
    """Bring together what is told of one film, in the order of their names."""
    groups: dict[tuple[str, str, str], list[Region]] = defaultdict(list)
    for region in regions:
        groups[region.patient, region.side, region.view].append(region)
    return [Film(tuple(group)) for _, group in sorted(groups.items())]


def locate(film: Film, files: DicomFiles) -> tuple[Path, list[Path]] | str:
    """Find the files of a film.

    Returns:
        The film and the mask of each of its regions; or a sentence on why it is left out. A film is
        never kept without one of its masks, as its lesion would count as background.

    Raises:
        InputError: a file is no readable image.
    """
    paths = []
    for place in film.copies:
        path = choose_film(files.at((place,)))
        if path is None:
            return f"{place.folder} has several files, none of which is known to be the film"
        paths.append(path)
    sizes = {read_image_size(path) for path in paths}
    if len(sizes) > 1:
        return (
            "its copy with the masses and its copy with the calcifications differ in size, so that "
            "none of the two has all lesions"
        )
    masks = []
    for region in film.regions:
        mask = choose_mask(files.at(region.cutouts), next(iter(sizes)))
        if mask is None:
            folder = region.cutouts[0].folder
            return f"none of the files of {folder}, or several, can be the mask of the lesion"
        masks.append(mask)
    return paths[0], masks
