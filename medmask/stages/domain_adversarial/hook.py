"""Adversarial alignment of source and target features (DANN, Ganin and Lempitsky, 2015)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medmask.data.loaders import TrainLoader
from medmask.errors import InputError
from medmask.modeling import Domain, MedMask, SupervisedStep
from medmask.modeling.transformer import TransformerOutput
from medmask.stages.domain_adversarial.discriminators import (
    DomainDiscriminators,
    domain_accuracy,
    domain_loss,
)
from medmask.stages.loss_hook import LossHook
from medmask.utils.distributed import average_over_processes


class DomainAdversarialHook(LossHook):
    """Adds the losses of domain discriminators to every step, on source and on target images.

    ``loss_domain_backbone``, ``loss_domain_encoder`` and ``loss_domain_decoder``: cross-entropy
    between the discriminators' answers and the step's domain, over all positions that are not
    padding. Target images are those of a teacher's steps, or, with a loader, the hook's own: it
    then takes steps on them without any labels.

    Logged, besides: ``domain_accuracy/...``, the share of positions whose domain is told right,
    source and target counting half each, and all processes alike. 0.5 means that the features tell
    nothing any more.
    """

    module_name = "discriminators"
    module: DomainDiscriminators

    def __init__(
        self,
        *,
        backbone_weight: float = 0.3,
        encoder_weight: float = 1.0,
        decoder_weight: float = 1.0,
        loader: TrainLoader | None = None,
    ) -> None:
        """Create the hook.

        Args:
            backbone_weight: of the loss on the backbone's coarsest map.
            encoder_weight: of the loss on the encoder's memory.
            decoder_weight: of the loss on the decoder's queries.
            loader: of target images, where no teacher takes steps on them.
        """
        super().__init__(loader)
        self.backbone_weight = backbone_weight
        self.encoder_weight = encoder_weight
        self.decoder_weight = decoder_weight
        self._forget()

    def build(self, detector: MedMask) -> None:
        # Each backbone map is a level of its own size; the neck's further levels come after them.
        self.coarsest_level = len(detector.neck.in_features) - 1
        self.coarsest = detector.neck.in_features[self.coarsest_level]
        discriminators = DomainDiscriminators(
            backbone_channels=detector.backbone.output_shape()[self.coarsest].channels,
            embed_dim=detector.transformer.embed_dim,
            num_levels=detector.transformer.num_levels,
        )
        self.register_module(detector, discriminators)

    def before_train(self) -> None:
        has_target_steps = any(hook.makes_target_steps for hook in self.trainer.loss_hooks)
        if not has_target_steps and self.loader is None:
            raise InputError(
                "loss_hooks.domain_adversarial sees source images only, because no hook takes "
                "steps on target images: set its loader, or add a TeacherHook to loss_hooks"
            )
        if has_target_steps and self.loader is not None:
            raise InputError(
                "loss_hooks.domain_adversarial.loader is set, but the teacher takes steps on "
                "target images already: leave one of them out"
            )
        super().before_train()

    def before_step(self) -> None:
        self._forget()

    def output_losses(self, step: SupervisedStep) -> dict[str, Tensor]:
        return self._losses(step.features, step.outputs, step.domain)

    def step_losses(self) -> dict[str, Tensor]:
        if self.loader is None:
            return {}
        losses = self.trainer.model(self.next_batch(), step=self._target_losses)
        return {f"{name}_target": loss for name, loss in losses.items()}

    def after_step(self) -> None:
        # (3,) of each domain, over the batches of the iteration
        of_domain = [torch.stack(each).mean(0) for each in self._accuracies.values() if each]
        accuracies = average_over_processes(torch.stack(of_domain).mean(0))
        names = ("backbone", "encoder", "decoder")
        values = dict(zip(names, accuracies.tolist(), strict=True))
        self.trainer.storage.put_scalars(**{f"domain_accuracy/{k}": v for k, v in values.items()})

    def _forget(self) -> None:
        self._accuracies: dict[Domain, list[Tensor]] = {domain: [] for domain in Domain}

    def _target_losses(
        self, detector: MedMask, batched_inputs: list[dict[str, Any]]
    ) -> dict[str, Tensor]:
        images = detector.preprocess_image(batched_inputs)
        return self._losses(*detector.compute_outputs(images), Domain.TARGET)

    def _losses(
        self, features: Mapping[str, Tensor], outputs: TransformerOutput, domain: Domain
    ) -> dict[str, Tensor]:
        tokens = outputs.tokens
        paddings = tokens.split_levels(tokens.padding_mask)
        map_padding = paddings[self.coarsest_level]
        logits = self.module(
            features[self.coarsest],
            tokens.split_levels(outputs.memory),
            outputs.decoder.queries,
            backbone_padding=map_padding,
            memory_paddings=paddings,
        )
        answer = 0 if domain is Domain.SOURCE else 1
        backbone = (logits.backbone, answer, map_padding)
        encoder = (logits.encoder, answer, tokens.padding_mask)
        decoder = (logits.decoder, answer)
        self._accuracies[domain].append(
            torch.stack([domain_accuracy(*judged) for judged in (backbone, encoder, decoder)])
        )
        return {
            "loss_domain_backbone": self.backbone_weight * domain_loss(*backbone),
            "loss_domain_encoder": self.encoder_weight * domain_loss(*encoder),
            "loss_domain_decoder": self.decoder_weight * domain_loss(*decoder),
        }
