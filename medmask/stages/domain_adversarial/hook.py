"""Adversarial alignment of source and target features (DANN, Ganin and Lempitsky, 2015)."""

from torch import Tensor

from medmask.errors import InputError
from medmask.modeling import DetectionPass, Domain, MedMask
from medmask.stages.domain_adversarial.discriminators import DomainDiscriminators, domain_loss
from medmask.stages.loss_hook import LossHook
from medmask.stages.mean_teacher.hook import TeacherHook


class DomainAdversarialHook(LossHook):
    """Adds the losses of domain discriminators to every supervised pass.

    ``loss_domain_backbone``, ``loss_domain_encoder`` and ``loss_domain_decoder``: cross-entropy
    between the discriminators' answers and the pass's domain, over all positions that are not
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
        coarsest = detector.backbone.output_shape()[detector.neck.in_features[-1]]
        discriminators = DomainDiscriminators(
            backbone_channels=coarsest.channels,
            embed_dim=detector.transformer.embed_dim,
            num_levels=detector.transformer.num_levels,
        )
        self.register_module(detector, discriminators)

    def before_train(self) -> None:
        if not any(isinstance(hook, TeacherHook) for hook in self.trainer.loss_hooks):
            raise InputError(
                "DomainAdversarialHook sees source images only, because no hook makes passes on "
                "target images: add a TeacherHook to loss_hooks"
            )

    def pass_losses(self, model: MedMask, detection: DetectionPass) -> dict[str, Tensor]:
        transformer = detection.transformer
        tokens = transformer.features
        name = model.neck.in_features[-1]  # the coarsest map
        logits = self.module(
            detection.features[name],
            tokens.split_levels(transformer.memory),
            transformer.decoder.queries,
        )
        # Each backbone map is a level of its own size; the neck's further levels come after them.
        level = len(model.neck.in_features) - 1
        map_padding = tokens.split_levels(tokens.padding_mask)[level]
        domain = 0 if detection.domain is Domain.SOURCE else 1
        backbone = domain_loss(logits.backbone, domain, map_padding)
        encoder = domain_loss(logits.encoder, domain, tokens.padding_mask)
        decoder = domain_loss(logits.decoder, domain)
        return {
            "loss_domain_backbone": self.backbone_weight * backbone,
            "loss_domain_encoder": self.encoder_weight * encoder,
            "loss_domain_decoder": self.decoder_weight * decoder,
        }
