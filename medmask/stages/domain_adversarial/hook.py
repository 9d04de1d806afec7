"""Adversarial alignment of source and target features (DANN, Ganin and Lempitsky, 2015)."""

from torch import Tensor

from medmask.errors import InputError
from medmask.modeling import Domain, MedMask, SupervisedStep
from medmask.stages.domain_adversarial.discriminators import DomainDiscriminators, domain_loss
from medmask.stages.loss_hook import LossHook


class DomainAdversarialHook(LossHook):
    """Adds the losses of domain discriminators to every supervised step.

    ``loss_domain_backbone``, ``loss_domain_encoder`` and ``loss_domain_decoder``: cross-entropy
    between the discriminators' answers and the step's domain, over all positions that are not
    padding.
    """

    module_name = "discriminators"
    module: DomainDiscriminators

    def __init__(
        self,
        *,
        backbone_weight: float = 0.3,
        encoder_weight: float = 1.0,
        decoder_weight: float = 1.0,
    ) -> None:
        """Create the hook; the weights are those of the three losses."""
        super().__init__()
        self.backbone_weight = backbone_weight
        self.encoder_weight = encoder_weight
        self.decoder_weight = decoder_weight

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
        if not any(hook.makes_target_steps for hook in self.trainer.loss_hooks):
            raise InputError(
                "loss_hooks.domain_adversarial sees source images only, because no hook takes "
                "steps on target images: add a TeacherHook to loss_hooks"
            )

    def output_losses(self, step: SupervisedStep) -> dict[str, Tensor]:
        outputs, tokens = step.outputs, step.outputs.tokens
        logits = self.module(
            step.features[self.coarsest],
            tokens.split_levels(outputs.memory),
            outputs.decoder.queries,
        )
        map_padding = tokens.split_levels(tokens.padding_mask)[self.coarsest_level]
        domain = 0 if step.domain is Domain.SOURCE else 1
        backbone = domain_loss(logits.backbone, domain, map_padding)
        encoder = domain_loss(logits.encoder, domain, tokens.padding_mask)
        decoder = domain_loss(logits.decoder, domain)
        return {
            "loss_domain_backbone": self.backbone_weight * backbone,
            "loss_domain_encoder": self.encoder_weight * encoder,
            "loss_domain_decoder": self.decoder_weight * decoder,
        }
