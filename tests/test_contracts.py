"""Asks every row of `contracts.py` every question of `checklist.py` and `checkpoint_checklist.py`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import pellucid.layers
import pellucid.ops
from checklist import LAYER_QUESTIONS, NETWORK_QUESTIONS, OP_QUESTIONS
from checkpoint_checklist import CHECKPOINT_QUESTIONS
from contracts import CHECKPOINTS, LAYERS, NETWORKS, OPS
from pellucid.checkpoints import SYSTEMS


def _every(rows: Sequence[Any], questions: Sequence[Callable[..., None]]) -> pytest.MarkDecorator:
    cases = [pytest.param(row, ask, id=f"{row.name}-{ask.__name__}") for row in rows for ask in questions]
    return pytest.mark.parametrize(("row", "ask"), cases)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@_every(OPS, OP_QUESTIONS)
def test_op(row: Any, ask: Callable[..., None]) -> None:
    ask(row)


@_every(LAYERS, LAYER_QUESTIONS)
def test_layer(row: Any, ask: Callable[..., None]) -> None:
    ask(row)


@_every(NETWORKS, NETWORK_QUESTIONS)
def test_network(row: Any, ask: Callable[..., None]) -> None:
    ask(row)


@_every(CHECKPOINTS, CHECKPOINT_QUESTIONS)
def test_checkpoint(row: Any, ask: Callable[..., None], tmp_path: Path) -> None:
    ask(row, tmp_path)


def test_everything_public_has_a_row() -> None:
    """A new op folder, layer, network or system cannot be forgotten here."""
    folder = next(iter(pellucid.ops.__path__))
    ops = {path.parent.name for path in Path(folder).glob("*/reference.py")}
    assert ops == {row.name.split("-")[0] for row in OPS}
    layers = {name for name, value in vars(pellucid.layers).items() if isinstance(value, type)}
    assert layers == {row.name.split("-")[0] for row in LAYERS}
    networks = {system.network.__name__ for system in SYSTEMS.values()}
    assert networks == {row.name.split("-")[0] for row in NETWORKS}
    assert set(SYSTEMS) == {row.system for row in CHECKPOINTS}
