"""LoRA (Hu et al. 2021, arXiv:2106.09685) by `peft`: small matrices that learn beside frozen ones."""

import copy
import importlib.util

from pydantic import Field
from torch import nn

from humtune.config import Settings
from humtune.errors import UsageError, first_line

ATTENTION = ("q_proj", "v_proj", "query", "value")  # as published; models name them one way or the other
FEED_FORWARD = ("intermediate_dense", "output_dense")
READS_WEIGHTS = ("wavlm",)  # whose attention reads the weights of its layers, past what is added to them


class LoRA(Settings):
    """Which layers get such matrices, and how large."""

    rank: int = Field(8, ge=1, description="of what is added to a layer's weights")
    alpha: float = Field(16.0, gt=0, description="what is added counts alpha / rank times")
    targets: tuple[str, ...] = Field(
        (), description="layers by the ends of their names; none: the queries and values of attention"
    )


def adapted(network: nn.Module, settings: LoRA, name: str) -> nn.Module:
    """A model of transformers with matrices beside its layers, which alone learn.

    A UsageError where peft is not installed, or the model has no such layers.
    """
    if importlib.util.find_spec("peft") is None:
        raise UsageError("backbone.tune = lora needs peft, which is not installed; pip install peft")
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules=list(_targets(network, settings))
    )
    try:
        inject_adapter_in_model(config, network)
    except ValueError as error:
        raise UsageError(
            f"backbone.lora.targets: {name}: LoRA can't be added ({first_line(error)}); name some of its "
            f"linear layers: {', '.join(_linear(network))}"
        ) from error
    return network


def merged(network: nn.Module) -> nn.Module:
    """A copy without such matrices, whose layers' weights are what both were together."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    network = copy.deepcopy(network)
    for name, layer in list(network.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            network.set_submodule(name, layer.get_base_layer())
    return network


def _targets(network: nn.Module, settings: LoRA) -> tuple[str, ...]:
    """The ends of the names of the layers: the given ones, or those that do for the model and it has."""
    if settings.targets:
        return settings.targets
    kind = network.model.config.model_type  # type: ignore[union-attr]
    return FEED_FORWARD if kind in READS_WEIGHTS else ATTENTION


def _linear(network: nn.Module) -> list[str]:
    layers = (name for name, layer in network.named_modules() if isinstance(layer, nn.Linear))
    return sorted({name.rpartition(".")[2] for name in layers})
