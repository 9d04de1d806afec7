"""Labels of whole images, without boxes, as in RSNA and CMMD; the stage sets the loader."""

from detectron2.config import LazyCall as L

from medmask.stages.image_labels import ImageLabelHook, LogSumExpPooling

image_labels = L(ImageLabelHook)(
    loader="???",  # of records with the field
    pooling=L(LogSumExpPooling)(sharpness=5.0),  # or NoisyOrPooling()
    weight=1.0,
    class_id=0,
    field="malignant",  # true or false; "lesion" for detectors of any lesion
    negatives=True,  # False where malignant images teach any lesion: others may show benign ones
)
