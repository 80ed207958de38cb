"""torch.compile as training uses it."""

import platform
from collections.abc import Callable

import torch
from torch import Tensor, nn

from humtune.errors import HumtuneError


def compiled(network: nn.Module) -> Callable[..., Tensor]:
    """The network as code of its own for each shape that comes, so that a resumed run computes alike.

    What was compiled in this process for another configuration is dropped: PyTorch keeps eight shapes of a
    module, and computes any more without saying so uncompiled. Raises HumtuneError where it can't compile.
    """
    from torch._dynamo.exc import TorchDynamoException  # seconds, which only those who compile shall wait

    torch.compiler.reset()
    faster = torch.compile(network, dynamic=False)

    def compute(*inputs: Tensor) -> Tensor:
        try:
            features: Tensor = faster(*inputs)
        except TorchDynamoException as error:
            why = str(error).strip().partition("\n")[0]
            raise HumtuneError(
                f"torch.compile can't compile on {platform.node()} ({why}); search with --no-compile"
            ) from error
        return features

    return compute
