"""Retrieval of the expert's embeddings of held-out images, by stores of the evaluated data set."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medmask.errors import InputError
from medmask.experts import ExpertStore
from medmask.modeling import MedMask
from medmask.stages.distillation.heads import ExpertDistillation
from medmask.stages.distillation.retrieval import StudentRetrieval
from medmask.stages.distillation.store_lookup import store_of
from medmask.stages.learning import LearningMeasure, Sample, observing

logger = logging.getLogger(__name__)


class HeldOutStores:
    """Expert stores of the evaluated data set; without any nothing is measured.

    Attributes:
        stores: those that are open.
    """

    def __init__(self, folders: Sequence[str], key: str) -> None:
        """Name the stores; no file is read.

        Args:
            folders: one for each store.
            key: of the hook in the config, for messages.
        """
        self.stores: list[ExpertStore] = []
        self._folders = folders
        self._key = key

    def open(self) -> None:
        """Open the stores.

        Raises:
            InputError: a folder holds no store.
        """
        self.stores = [ExpertStore(folder) for folder in self._folders]

    def check(self, records: Sequence[dict[str, Any]]) -> None:
        """Refuse stores of other images than the held-out ones.

        Args:
            records: the dataset dicts of the held-out images.

        Raises:
            InputError: the stores hold fewer than two of the images, or one has changed.
        """
        if not self.stores:
            return
        found = [(store_of(record, self.stores), record) for record in records]
        try:
            for store in self.stores:
                store.check([record for holding, record in found if holding is store])
        except InputError as error:
            raise InputError(
                f"{error} ({self._key}.held_out_stores must name stores of dataloader.test.dataset)"
            ) from None
        if sum(store is not None for store, _ in found) < min(2, len(records)):
            raise InputError(
                f"{self._key}.held_out_stores ({', '.join(self._folders)}) hold fewer than "
                f"two of the {len(records)} held-out images of dataloader.test: make stores of its "
                "data set by medmask extract-embeddings"
            )

    def measure(
        self, detector: MedMask, distillation: ExpertDistillation, samples: Iterable[Sample]
    ) -> Mapping[str, LearningMeasure]:
        """Measure how often the student's embedding finds the expert's.

        Args:
            detector: the student.
            distillation: its heads, which make the embeddings.
            samples: held-out images; those that no store holds are passed over.

        Returns:
            The measures of :meth:`StudentRetrieval.measures`; none without stores.
        """
        if not self.stores:
            logger.info(
                "Retrieval of the expert's embeddings is not measured: name expert stores of "
                f"dataloader.test.dataset in {self._key}.held_out_stores."
            )
            return {}
        retrieval = StudentRetrieval(detector, distillation)
        with observing(detector):
            for sample in samples:
                store = store_of(sample, self.stores)
                if store is not None:
                    retrieval.add(sample, store[sample["image_id"]])
        return retrieval.measures()
