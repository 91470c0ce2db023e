"""CloFormer's weights: recognise, infer the configuration from names and shapes, rename.

The authors have released none; this is the layout in which their code saves. Their names appear here and nowhere else.
"""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from pellucid.checkpoints.system import System, UnstatedError
from pellucid.models.cloformer import CLOFORMER_PRESETS, CloFormer, CloFormerConfig

_OUTSIDE = {
    **{f"stem.{i}.convolution": f"patch_embed.conv{i + 1}.conv.0" for i in range(4)},
    **{f"stem.{i}.norm": f"patch_embed.conv{i + 1}.conv.1" for i in range(4)},
    "stem.4": "patch_embed.conv5",
    "stem.5": "patch_embed.layernorm",
    "norm": "norm",
    "head": "head",
}
_IN_BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "mixer.query": "attn.global_q",
    "mixer.key_value": "attn.global_kv",
    "mixer.project": "attn.proj",
    "feedforward.expand": "mlp.fc1",
    "feedforward.depthwise": "mlp.dwconv",
    "feedforward.project": "mlp.fc2",
    "shortcut.convolution": "downsample.0",
    "shortcut.norm": "downsample.1",
    "shortcut.project": "downsample.2",
}
_IN_BRANCH = {
    "qkv": "attn.qkvs.{}",
    "depthwise": "attn.convs.{}",
    "w1": "attn.act_blocks.{}.act_block.0",
    "w2": "attn.act_blocks.{}.act_block.2",
}
# The weights tell neither: each published tuple of widths belongs to one of heads and one of pools.
_PUBLISHED = {preset.widths: (preset.heads, preset.pools) for preset in CLOFORMER_PRESETS.values()}


def recognise(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a CloFormer checkpoint."""
    return {"patch_embed.conv5.weight", "layers.0.blocks.0.mlp.dwconv.weight"} <= set(tensors)


def infer_config(
    tensors: Mapping[str, Tensor], num_heads: Sequence[int] | None = None, window_sizes: Sequence[int] | None = None
) -> CloFormerConfig:
    """Read every hyper-parameter off the names and shapes, but for the two that they do not tell.

    Args:
        tensors: under the authors' names.
        num_heads: heads of each stage; those of the published networks where the widths are theirs.
        window_sizes: side of the pooling window of each stage; likewise. Not asked for without a global branch.

    Raises:
        KeyError, ValueError: the tensors do not form a CloFormer.
        UnstatedError: the widths were never published and something is not given.
    """
    first = [f"layers.{stage}.blocks.0" for stage in range(_count(tensors, "layers."))]
    expansions = [tensors[f"{block}.mlp.fc1.weight"].shape[:2] for block in first]
    widths = tuple(width for _, width in expansions)
    branches = [range(_count(tensors, f"{block}.attn.qkvs.")) for block in first]
    local = [
        [tensors[f"{block}.attn.convs.{i}.weight"].shape[0] // 3 for i in indices]
        for block, indices in zip(first, branches, strict=True)
    ]
    pooled = [_rows(tensors, f"{block}.attn.global_q.weight") for block in first]
    heads, pools = _unstated(widths, num_heads, window_sizes, pooled=any(pooled))
    return CloFormerConfig(
        in_channels=tensors["patch_embed.conv1.conv.0.weight"].shape[1],
        classes=tensors["head.weight"].shape[0],
        widths=widths,
        blocks=tuple(_count(tensors, f"layers.{stage}.blocks.") for stage in range(len(first))),
        heads=heads,
        splits=tuple(
            _split((*channels, of_global), width, h)
            for channels, of_global, width, h in zip(local, pooled, widths, heads, strict=True)
        ),
        kernels=tuple(
            tuple(tensors[f"{block}.attn.convs.{i}.weight"].shape[-1] for i in indices)
            for block, indices in zip(first, branches, strict=True)
        ),
        pools=pools,
        expansions=tuple(hidden / width for hidden, width in expansions),
        feedforward_kernels=tuple(tensors[f"{block}.mlp.dwconv.weight"].shape[-1] for block in first),
    )


def official_name(name: str) -> str:
    """Translate the name of one of our parameters or buffers into the authors'."""
    module, parameter = name.rsplit(".", 1)
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.{parameter}"
    inside = re.fullmatch(r"stages\.(\d+\.blocks\.\d+)\.(?:mixer\.local\.(\d+)\.)?(.+)", module)
    if inside is None:
        raise KeyError(name)
    block, branch, part = inside.groups()
    theirs = _IN_BLOCK[part] if branch is None else _IN_BRANCH[part].format(branch)
    return f"layers.{block}.{theirs}.{parameter}"


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".", 1)[0] for name in tensors if name.startswith(prefix)})


def _rows(tensors: Mapping[str, Tensor], name: str) -> int:
    return tensors[name].shape[0] if name in tensors else 0


def _unstated(
    widths: tuple[int, ...], heads: Sequence[int] | None, pools: Sequence[int] | None, *, pooled: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return heads and pools: those given, else the published ones."""
    published_heads, published_pools = _PUBLISHED.get(widths, (None, None))
    if not pooled:  # then the pools mean nothing
        published_pools = published_pools or (1,) * len(widths)
    heads, pools = heads or published_heads, pools or published_pools
    missing = [f"{keyword}=(…)" for keyword, t in (("num_heads", heads), ("window_sizes", pools)) if t is None]
    if heads is None or pools is None:
        numbers = f"{len(widths)} numbers" + " each" * (len(missing) > 1)
        raise UnstatedError(f"its widths {widths} were never published, so give {' and '.join(missing)}, {numbers}")
    return tuple(heads), tuple(pools)


def _split(channels: tuple[int, ...], width: int, heads: int) -> tuple[int, ...]:
    """Turn the channels of the branches into heads of width / heads channels."""
    if heads < 1 or any(n * heads % width for n in channels):
        raise ValueError(f"branches of {', '.join(map(str, channels))} channels cannot have {heads} heads together")
    return tuple(n * heads // width for n in channels)


def _input_rule(config: CloFormerConfig) -> str:
    side = config.smallest_side
    return f"{side}×{side} or larger, normalised with ImageNet's mean and deviation; published results are at 224×224"


SYSTEM = System(
    title="CloFormer",
    network=CloFormer,
    config=CloFormerConfig,
    presets=CLOFORMER_PRESETS,
    recognise=recognise,
    infer_config=infer_config,
    official_name=official_name,
    settings=("num_heads", "window_sizes"),
    input_rule=_input_rule,
    licence="The authors' code is under the MIT licence; they have released no weights.",
)
