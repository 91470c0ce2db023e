"""An encoder from torchvision's weights: ResNet-50, -101 or -152, alone or in a DeepLab-v3 or FCN.

Torchvision's names appear here and nowhere else. Dilation changes no shape, so plain ResNets fit the dilated one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.checkpoints.reading import read_weight_file
from pellucid.errors import CheckpointError
from pellucid.layers import DilatedResNet

_BACKBONE = "backbone."  # before the names of a ResNet inside a segmentation network
_DISMISSED = {
    "fc.": "classifies pictures",
    "classifier.": "segments by the classes of its own training",
    "aux_classifier.": "serves training only",
}
_STEM = {"stem": "conv1", "stem_norm": "bn1"}
_IN_BLOCK = {
    "reduce": "conv1",
    "reduce_norm": "bn1",
    "spatial": "conv2",
    "spatial_norm": "bn2",
    "expand": "conv3",
    "expand_norm": "bn3",
    "shortcut": "downsample.0",
    "shortcut_norm": "downsample.1",
}
_COUNTER = "num_batches_tracked"  # of batch normalisation; files from before torch 0.4.1 lack it
_MOST_BLOCKS = 512


class EncoderWeights(NamedTuple):
    """What a file says about an encoder.

    Attributes:
        blocks: bottlenecks of each stage.
        width: channels of the first convolution.
        tensors: under our names, each once.
        dismissed: torchvision's name of every other tensor → why it is left out.
    """

    blocks: tuple[int, ...]
    width: int
    tensors: dict[str, Tensor]
    dismissed: dict[str, str]


def load_encoder(path: str | Path) -> DilatedResNet:
    """Build a `DilatedResNet` from torchvision's weights, to be given to `CATNet(config, encoder)`.

    Every tensor is used exactly once, or left out for a reason that `describe_encoder` gives. The encoder is in float32
    and in evaluation mode, and its parameters can be trained.

    Args:
        path: safetensors, or a PyTorch file.

    Raises:
        CheckpointError: the file cannot be read safely, or does not hold exactly a ResNet of bottlenecks.
    """
    described = describe_encoder(path)
    with torch.device("meta"):
        encoder = DilatedResNet(described.blocks, described.width)
    encoder.load_state_dict(_in_float32(described.tensors), strict=True, assign=True)
    return encoder.eval().requires_grad_()


def describe_encoder(path: str | Path) -> EncoderWeights:
    """Find what a file says about an encoder; takes and raises what `load_encoder` does."""
    path = Path(path)
    weights = read_weight_file(path)
    dismissed = {name: why for name in weights.tensors if (why := _why_dismissed(name)) is not None}
    theirs = {name.removeprefix(_BACKBONE): tensor for name, tensor in weights.tensors.items() if name not in dismissed}
    blocks = tuple(_count(theirs, f"layer{stage}.") for stage in (1, 2, 3, 4))
    if "conv1.weight" not in theirs or "layer1.0.conv3.weight" not in theirs or not 4 <= sum(blocks) <= _MOST_BLOCKS:
        raise CheckpointError(f"{path} holds no ResNet of bottlenecks, such as torchvision's ResNet-50 and -101")
    width = theirs["conv1.weight"].shape[0]
    return EncoderWeights(blocks, width, _fitted(path, theirs, blocks, width), dismissed)


def official_name(name: str) -> str:
    """Translate the name of one of our encoder's parameters or buffers into torchvision's."""
    module, parameter = name.rsplit(".", 1)
    if module in _STEM:
        return f"{_STEM[module]}.{parameter}"
    _, stage, block, part = module.split(".")
    return f"layer{int(stage) + 1}.{block}.{_IN_BLOCK[part]}.{parameter}"


def _why_dismissed(name: str) -> str | None:
    return next((why for prefix, why in _DISMISSED.items() if name.startswith(prefix)), None)


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".", 1)[0] for name in tensors if name.startswith(prefix)})


def _fitted(path: Path, theirs: Mapping[str, Tensor], blocks: tuple[int, ...], width: int) -> dict[str, Tensor]:
    """Return the tensors under our names, after checking names, shapes and values."""
    try:
        with torch.device("meta"):
            expected = DilatedResNet(blocks, width).state_dict()
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} looks like a ResNet but is not whole: {error}") from error
    names = {official_name(name): name for name in expected}
    counters = {name: torch.tensor(0) for name in names if name.endswith(_COUNTER) and name not in theirs}
    if misfit := names.keys() ^ (theirs.keys() | counters.keys()):
        raise CheckpointError(f"{path} does not fit a ResNet of {blocks} bottlenecks (first: {min(misfit)})")
    tensors = {names[name]: tensor for name, tensor in (*theirs.items(), *counters.items())}
    for name, tensor in tensors.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape or tensor.is_floating_point() != wanted.is_floating_point():
            raise CheckpointError(
                f"{path} does not fit a ResNet of {blocks} bottlenecks: {official_name(name)} is "
                f"{tuple(tensor.shape)} of {tensor.dtype} and should be {tuple(wanted.shape)}"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.to(torch.float32)).all()):
            raise CheckpointError(f"{path} is damaged: {official_name(name)} holds values that are not finite numbers")
    return tensors


def _in_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.to(torch.float32) if t.is_floating_point() else t for name, t in tensors.items()}
