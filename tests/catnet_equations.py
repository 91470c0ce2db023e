"""CAT-Net's equations written out, from a state dict alone: what the layers and the network are checked against.

Nothing of pellucid is used but, to record, names and shapes. Shots, streams and pictures are loops; features are
enlarged and joined, all scores are held, and masks are written as the specification writes them.
`python tests/catnet_equations.py` records the golden file of a little network in `golden/`, which is therefore ours:
the authors released no weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

State = Mapping[str, Tensor]


def part(state: State, prefix: str) -> State:
    """The tensors of a module inside another."""
    return {name.removeprefix(f"{prefix}."): t for name, t in state.items() if name.startswith(f"{prefix}.")}


def convolution(state: State, name: str, x: Tensor, **geometry: int) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **geometry)


def batch_norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance, gamma, beta = (
        state[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return gamma * (x - mean) / (variance + 1e-5).sqrt() + beta


def layer_norm(state: State, name: str, tokens: Tensor) -> Tensor:
    """Of tokens, L×C."""
    mean, variance = tokens.mean(1, keepdim=True), tokens.var(1, keepdim=True, correction=0)
    return state[f"{name}.weight"] * (tokens - mean) / (variance + 1e-5).sqrt() + state[f"{name}.bias"]


def encoder(state: State, x: Tensor) -> Tensor:
    """A dilated ResNet of output stride 8, in evaluation order."""
    x = batch_norm(state, "stem_norm", convolution(state, "stem", x, stride=2, padding=3)).relu()
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage, stride, first, later in ((0, 1, 1, 1), (1, 2, 1, 1), (2, 1, 1, 2), (3, 1, 2, 4)):
        block = 0
        while f"stages.{stage}.{block}.reduce.weight" in state:
            at, s, d = f"stages.{stage}.{block}", (1 if block else stride), (later if block else first)
            y = batch_norm(state, f"{at}.reduce_norm", convolution(state, f"{at}.reduce", x)).relu()
            y = convolution(state, f"{at}.spatial", y, stride=s, padding=d, dilation=d)
            y = batch_norm(state, f"{at}.spatial_norm", y).relu()
            y = batch_norm(state, f"{at}.expand_norm", convolution(state, f"{at}.expand", y))
            if f"{at}.shortcut.weight" in state:
                x = batch_norm(state, f"{at}.shortcut_norm", convolution(state, f"{at}.shortcut", x, stride=s))
            x, block = (x + y).relu(), block + 1
    return x


def masked_average(features: Tensor, mask: Tensor) -> Tensor:
    """MAP of features C×h×w and a mask H×W, for which the features are enlarged."""
    enlarged = F.interpolate(features[None], mask.shape, mode="bilinear", align_corners=False)[0]
    return (enlarged * mask).sum((1, 2)) / (mask.sum() + 1e-5)


def prototype(shots: list[Tensor], masks: list[Tensor]) -> Tensor:
    """The mean over shots, C."""
    return torch.stack([masked_average(F_s, M) for F_s, M in zip(shots, masks, strict=True)]).mean(0)


def prior(shots: list[Tensor], query: Tensor, masks: list[Tensor]) -> Tensor:
    """π of a query C×h×w: the largest cosine with a masked support pixel of any shot, stretched to 0..1."""
    q = query.flatten(1).T  # L C
    resized = [F.interpolate(M[None, None], F_s.shape[1:], mode="bilinear", align_corners=True)[0]
               for F_s, M in zip(shots, masks, strict=True)]  # fmt: skip
    s = torch.cat([(m * F_s).flatten(1).T for m, F_s in zip(resized, shots, strict=True)])
    pi = (q @ s.T / (q.norm(dim=1)[:, None] * s.norm(dim=1)[None] + 1e-7)).max(1).values
    return ((pi - pi.min()) / (pi.max() - pi.min() + 1e-7)).view(1, *query.shape[1:])


def mife(state: State, shots: list[Tensor], query: Tensor, masks: list[Tensor]) -> tuple[list[Tensor], Tensor, Tensor]:
    """F^s₀ of every shot, F^q₀, and ρ₀ (h×w)."""
    p = prototype(shots, masks)[:, None, None]
    fused = [convolution(state, "support_fusion", torch.cat([F_s, p.expand_as(F_s)])[None])[0] for F_s in shots]
    joined = torch.cat([query, p.expand_as(query), prior(shots, query, masks)])
    query = convolution(state, "query_fusion", joined[None])[0]
    hidden = convolution(state, "classifier.0", query[None], padding=1).relu()
    return fused, query, torch.sigmoid(convolution(state, "classifier.2", hidden)[0, 0])


def linear(state: State, name: str, tokens: Tensor, rows: slice = slice(None)) -> Tensor:
    """A 1×1 convolution on tokens; some of its outputs."""
    return tokens @ state[f"{name}.weight"][rows, :, 0, 0].T + state[f"{name}.bias"][rows]


def multi_layer(state: State, name: str, tokens: Tensor) -> Tensor:
    return linear(state, f"{name}.2", linear(state, f"{name}.0", tokens).relu())


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, keep: Tensor | None = None) -> Tensor:
    """softmax(QKᵀ/√d)V, head by head; `keep` chooses the keys."""
    merged = []
    for Q, K, V in zip(q.chunk(heads, 1), k.chunk(heads, 1), v.chunk(heads, 1), strict=True):
        scores = Q @ K.T / Q.shape[1] ** 0.5
        if keep is not None and bool(keep.any()):
            scores[:, ~keep] = -torch.inf
        weights = (scores - scores.max(1, keepdim=True).values).exp()
        merged.append(weights / weights.sum(1, keepdim=True) @ V)
    return torch.cat(merged, 1)


def within(state: State, tokens: Tensor, heads: int) -> Tensor:
    """X = LN(MLP(softmax(QKᵀ/√d)V) + F)."""
    C = tokens.shape[1]
    D = (state["qkv.weight"].shape[0] - C) // 2
    q, k, v = (linear(state, "qkv", tokens, rows) for rows in (slice(D), slice(D, 2 * D), slice(2 * D, None)))
    return layer_norm(state, "norm", multi_layer(state, "mlp", softmax_attention(q, k, v, heads)) + tokens)


def cross(state: State, x: Tensor, source: Tensor, mask: Tensor, heads: int, mask_mode: str) -> Tensor:
    """M ⊙ (softmax(QKᵀ/√d)V), or with the mask choosing keys; the mask is of the rows or of the keys, as L values."""
    D = state["query.weight"].shape[0]
    q, k = linear(state, "query", x), linear(state, "key_value", source, slice(D))
    v = linear(state, "key_value", source, slice(D, None))
    if mask_mode == "keys":
        return softmax_attention(q, k, v, heads, keep=mask > 0)
    return mask[:, None] * softmax_attention(q, k, v, heads)


def across(state: State, x: Tensor, source: Tensor, mask: Tensor, heads: int, mask_mode: str) -> Tensor:
    """Y = LN(X + O), F = LN(Y + MLP(Y))."""
    y = layer_norm(state, "norm1", x + cross(part(state, "attention"), x, source, mask, heads, mask_mode))
    return layer_norm(state, "norm2", y + multi_layer(state, "mlp", y))


def nearest(mask: Tensor, features: Tensor) -> Tensor:
    """A mask H×W on the grid of features C×h×w, as L values."""
    return F.interpolate(mask[None, None], features.shape[1:], mode="nearest").flatten()


def cmat(
    state: State,
    shots: list[Tensor],
    query: Tensor,
    masks: list[Tensor],
    query_mask: Tensor,
    heads: int,
    mask_mode: str,
) -> tuple[list[Tensor], Tensor]:
    """A block; masks of any size."""
    streams = 1 if "within.1.norm.weight" not in state else 2
    own = [part(state, f"within.{i % streams}") for i in (0, 1)]
    other = [part(state, f"across.{i % streams}") for i in (0, 1)]
    M_s = [nearest(M, F_s) for F_s, M in zip(shots, masks, strict=True)]
    M_q = nearest(query_mask, query)
    X_s = [within(own[0], F_s.flatten(1).T, heads) for F_s in shots]
    X_q, all_shots = within(own[1], query.flatten(1).T, heads), torch.cat(X_s)
    rows = mask_mode == "rows"
    new_shots = [across(other[0], X, X_q, M if rows else M_q, heads, mask_mode) for X, M in zip(X_s, M_s, strict=True)]
    new_query = across(other[1], X_q, all_shots, M_q if rows else torch.cat(M_s), heads, mask_mode)
    return [X.T.view_as(F_s) for X, F_s in zip(new_shots, shots, strict=True)], new_query.T.view_as(query)


def head(state: State, shots: list[Tensor], query: Tensor, masks: list[Tensor], alpha: float) -> Tensor:
    """ρ of a query, h×w: by the threshold t if there is one, by the softmax over two prototypes if not."""
    cosine = [
        F.cosine_similarity(query, prototype(shots, of_class)[:, None, None], dim=0)
        for of_class in (masks, [1 - M for M in masks])
    ]
    if "t" in state:
        anomaly = -alpha * cosine[0]
        return 1 - torch.sigmoid(0.5 * (anomaly - state["t"]))
    return torch.softmax(alpha * torch.stack(cosine), dim=0)[0]


def catnet(
    state: State, support: Tensor, masks: Tensor, query: Tensor, *, heads: int = 1, mask_mode: str = "rows",
    alpha: float = 20.0, dilated_threshold: float = 0.4, iterations: int | None = None,
) -> tuple[Tensor, list[list[Tensor]]]:  # fmt: skip
    """The probabilities (B, 2, H, W), and ρ_0 … ρ_N on the grid of each episode."""
    found: list[Tensor] = []
    rhos: list[list[Tensor]] = []
    for images, labels, image in zip(support, masks, query, strict=True):
        M_s = list(labels)
        F_s = [convolution(state, "reduce", encoder(part(state, "encoder"), x[None]))[0] for x in images]
        F_q = convolution(state, "reduce", encoder(part(state, "encoder"), image[None]))[0]
        F_s, F_q, rho = mife(part(state, "mife"), F_s, F_q, M_s)
        block = 0
        rhos.append([rho])
        while f"cmats.{block}.within.0.norm.weight" in state and block != iterations:
            dilated = (rho > dilated_threshold).to(rho.dtype)
            F_s, F_q = cmat(part(state, f"cmats.{block}"), F_s, F_q, M_s, dilated, heads, mask_mode)
            rho, block = head(part(state, "head"), F_s, F_q, M_s, alpha), block + 1
            rhos[-1].append(rho)
        both = torch.stack([1 - rho, rho])[None]
        found.append(F.interpolate(both, image.shape[1:], mode="bilinear", align_corners=True))
    return torch.cat(found), rhos


def random_values(names_and_shapes: State, generator: torch.Generator) -> dict[str, Tensor]:
    """A state of which no value is 0 or 1, and which keeps features of size 1."""
    state: dict[str, Tensor] = {}
    for name, like in names_and_shapes.items():
        noise = torch.randn(like.shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            state[name] = 0.5 + noise.abs()
        elif like.ndim == 4:
            state[name] = noise * (1.5 / like[0].numel()) ** 0.5
        else:
            state[name] = 0.2 * noise + ("norm" in name and name.endswith("weight"))
    return state


SEED = 1  # of the first state whose dilated masks are neither empty nor full in any iteration
LITTLE: dict[str, Any] = {
    "blocks": (1, 1, 1, 2), "features": 64, "channels": 12, "iterations": 2, "key_channels": 4,
}  # fmt: skip


def record(path: Path) -> None:
    """Write NAME.pth and NAME.io.safetensors: two episodes of two shots."""
    from safetensors.torch import save_file

    from pellucid.models.catnet import CATNet, CATNetConfig

    generator = torch.Generator().manual_seed(SEED)
    with torch.device("meta"):
        names_and_shapes = CATNet(CATNetConfig(**LITTLE)).state_dict()
    state = random_values(names_and_shapes, generator)
    support, query = torch.randn(2, 2, 3, 45, 38, generator=generator), torch.randn(2, 3, 33, 50, generator=generator)
    masks = torch.zeros(2, 2, 45, 38)
    masks[0, 0, 5:20, 4:30], masks[0, 1, 22:40, 10:20], masks[1, 0, 9:33, 20:], masks[1, 1, 30:, 3:9] = 1, 1, 1, 1
    exact, rhos = catnet(
        {name: t.double() for name, t in state.items()}, support.double(), masks.double(), query.double()
    )
    handed_on = torch.stack([rho for episode in rhos for rho in episode[:-1]])
    assert float((handed_on - 0.4).abs().min()) > 2e-3, "rounding could move a pixel across the threshold"
    inside = (handed_on > 0.4).flatten(1)
    assert bool((inside.any(1) & ~inside.all(1)).all()), "a dilated mask is empty or full"
    torch.save(state, path.with_suffix(".pth"))
    content = {"input.0": support, "input.1": masks, "input.2": query, "output": exact.float()}
    save_file(content, path.with_suffix(".io.safetensors"))


if __name__ == "__main__":
    record(Path(__file__).parent / "golden" / "catnet_little")
