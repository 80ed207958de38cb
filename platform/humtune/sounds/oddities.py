"""What is odd about a recording, gathered as its samples pass."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CLIPPED = 1e-3  # share of samples at full scale from which a recording is called clipped

_FULL = np.iinfo(np.int16)
_FEW = 8  # steps of 16 bit: sound that stays within them is next to nothing
_DEAD = 1e-6  # of the loudest channel's power: a channel below is silent (60 dB)
_CANCELLED = 0.25  # of the power that independent channels would leave in their mix: opposite ones leave less
_NAMED = 3  # silent channels that a note names


class Oddities:
    """Looks at a recording's frames as the file has them, and at the samples that come of them."""

    def __init__(self, channels: int) -> None:
        """`channels` that are mixed down; 1 where there is one, or one is chosen."""
        self.channels, self.samples = channels, 0
        self.beyond = False  # whether floats went beyond full scale, and were clipped
        self._full, self._zeros, self._lowest, self._highest = 0, 0, int(_FULL.max), int(_FULL.min)
        self._sum = self._squares = 0.0
        self._frames = 0
        self._first: list[float] = []  # frame
        self._moves = False  # whether any frame differs from the first
        self._sums = np.zeros((2, channels + 1))  # of each channel and of the mix: values, and their squares

    def frames(self, frames: NDArray[np.number], mix: NDArray[np.float64]) -> None:
        """Look at frames [n, channels], of any scale, and at their mix [n], of the same."""
        self._first = self._first or frames[0].tolist()
        self._moves = self._moves or bool((frames != self._first).any())
        if self.channels > 1:
            self._frames += len(frames)
            self._sums += np.array([_sums(values) for values in (*frames.T, mix)]).T

    def block(self, block: NDArray[np.int16]) -> None:
        """Look at a block of the samples that come of it."""
        if not len(block):
            return
        self.samples += len(block)
        lowest, highest = int(block.min()), int(block.max())
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        for full, reached in ((_FULL.min, lowest), (_FULL.max, highest)):
            if reached == full:
                self._full += int(np.count_nonzero(block == full))
        self._zeros += len(block) - int(np.count_nonzero(block))
        total, squares = _sums(block)
        self._sum, self._squares = self._sum + total, self._squares + squares

    @property
    def silent(self) -> str | None:
        """Why there is no sound in it from end to end, and what to do; None where there is some."""
        if not self._moves:
            value = "the same" if any(self._first) else "0"
            return f"silent from end to end, every sample is {value}: delete it, or record it again"
        if self._lowest == self._highest:
            if self.channels > 1 and self._cancels:
                return f"silent from end to end, {self._cancelling}"
            return "silent from end to end, too quiet for 16 bit: make it louder, or delete it"
        return None

    def sentences(self) -> Iterator[str]:
        """What a listener should know of the sound, once it has passed."""
        if self.channels > 1 and self._moves:
            yield from self._of_channels()
        if self.silent:
            yield "silent from end to end"
            return
        if self._full > CLIPPED * self.samples:
            yield f"clipped, more than {CLIPPED:.1%} of it at full scale"
        elif self.beyond:
            yield "beyond full scale in places, where it is clipped"
        if self._highest - self._lowest <= _FEW:
            yield f"hardly any sound in it, all of it within {_FEW} steps of 16 bit"
        elif 2 * self._zeros > self.samples:
            yield "zeros for more than half of it"
        if 2 * self._sum**2 > self.samples * self._squares:  # mean² > variance
            yield "a DC offset that is greater than the sound"

    def _of_channels(self) -> Iterator[str]:
        powers = self._powers[:-1]
        dead = np.flatnonzero(powers <= _DEAD * powers.max())
        if 0 < len(dead) < self.channels:
            names = ", ".join(str(i + 1) for i in dead[:_NAMED]) + (" …" if len(dead) > _NAMED else "")
            live = int(np.flatnonzero(powers > _DEAD * powers.max())[0]) + 1
            yield (
                f"channel{'s' * (len(dead) > 1)} {names} of {self.channels} silent, "
                f"which makes the mix quieter; --channel {live} reads one alone"
            )
        if self._cancels:
            yield self._cancelling

    @property
    def _powers(self) -> NDArray[np.float64]:
        """Variance of each channel and of the mix."""
        means, squares = self._sums / max(1, self._frames)
        variances: NDArray[np.float64] = np.maximum(squares - means**2, 0.0)
        return variances

    @property
    def _cancels(self) -> bool:
        *powers, mix = self._powers
        return bool(mix < _CANCELLED * sum(powers) / self.channels**2)

    @property
    def _cancelling(self) -> str:
        return f"its {self.channels} channels cancel each other in the mix; --channel 1 reads one alone"


def _sums(values: NDArray[np.number]) -> tuple[float, float]:
    """Of values and of their squares."""
    values = values.astype(np.float64)
    return float(values.sum()), float(np.einsum("i,i", values, values))  # BLAS would take all cores for it
