"""A DICOM node: studies come by C-STORE, results go back by C-STORE.

::

    options            all that a node can be told
    pynetdicom_import  the optional package for the network
    bounded_dataset    objects that are too large, cut off while they come
    received_object    headers of what comes: mammograms pass, others are refused
    spool              queues on disk: images, results and a status for each study
    study_status       the status of a study
    arrivals           when studies have last grown, and which of them are complete
    reception          answers to C-STORE: checks, writes, acknowledges
    server             AE, presentation contexts, allowed titles, TLS
    scoring            from the images of a study to its results
    sending            results to their destination, again until they are there
    node               all of it, and going on after a kill
"""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.node.node import Node
    from medmask.node.options import Destination, NodeOptions, TLSFiles

__all__ = ["Destination", "Node", "NodeOptions", "TLSFiles"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Destination": "medmask.node.options",
        "Node": "medmask.node.node",
        "NodeOptions": "medmask.node.options",
        "TLSFiles": "medmask.node.options",
    },
)
