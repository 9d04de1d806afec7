"""Content items of a structured report as datasets, also those that refer to another item.

highdicom's items hold their values; the templates of mammography CAD want references to the
images of one library instead (PS3.3 C.17.3.2.5, by-reference relationships).
"""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import format_number_as_ds

CONTAINS = "CONTAINS"
HAS_PROPERTIES = "HAS PROPERTIES"
HAS_CONCEPT_MOD = "HAS CONCEPT MOD"
HAS_ACQ_CONTEXT = "HAS ACQ CONTEXT"
INFERRED_FROM = "INFERRED FROM"
SELECTED_FROM = "SELECTED FROM"


def container(
    relationship: str | None, name: Code, children: Sequence[Dataset], template: str | None = None
) -> Dataset:
    """A heading and what is below it; the root has no relationship, but a template."""
    item = _item(relationship, "CONTAINER", name, children)
    item.ContinuityOfContent = "SEPARATE"
    if template is not None:
        identification = Dataset()
        identification.MappingResource = "DCMR"
        identification.TemplateIdentifier = template
        item.ContentTemplateSequence = [identification]
    return item


def code(relationship: str, name: Code, value: Code, children: Sequence[Dataset] = ()) -> Dataset:
    item = _item(relationship, "CODE", name, children)
    item.ConceptCodeSequence = [_coded(value)]
    return item


def text(relationship: str, name: Code, value: str) -> Dataset:
    item = _item(relationship, "TEXT", name)
    item.TextValue = value
    return item


def number(relationship: str, name: Code, value: float, unit: Code) -> Dataset:
    item = _item(relationship, "NUM", name)
    measured = Dataset()
    measured.NumericValue = format_number_as_ds(value)
    measured.FloatingPointValue = value
    measured.MeasurementUnitsCodeSequence = [_coded(unit)]
    item.MeasuredValueSequence = [measured]
    return item


def coordinates(
    relationship: str,
    name: Code,
    graphic_type: str,
    points: Sequence[float],
    children: Sequence[Dataset],
) -> Dataset:
    """Points on an image, (column, row) after (column, row); the children tell the image."""
    item = _item(relationship, "SCOORD", name, children)
    item.GraphicType = graphic_type
    item.GraphicData = list(points)
    return item


def image(relationship: str, header: Dataset, children: Sequence[Dataset]) -> Dataset:
    """A reference to an image."""
    item = _item(relationship, "IMAGE", None, children)
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    item.ReferencedSOPSequence = [reference]
    return item


def by_reference(relationship: str, place: Sequence[int]) -> Dataset:
    """A relationship with an item that stands elsewhere in the tree.

    Args:
        relationship: its type.
        place: of the item: numbers of the children on the way to it, counted from 1; the first
            is 1, for the root.
    """
    item = Dataset()
    item.RelationshipType = relationship
    item.ReferencedContentItemIdentifier = list(place)
    return item


def _item(
    relationship: str | None, value_type: str, name: Code | None, children: Sequence[Dataset] = ()
) -> Dataset:
    item = Dataset()
    if relationship is not None:
        item.RelationshipType = relationship
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = [_coded(name)]
    if children:
        item.ContentSequence = list(children)
    return item


def _coded(value: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = value.value
    item.CodingSchemeDesignator = value.scheme_designator
    item.CodeMeaning = value.meaning
    return item
