"""Networks and crops that are so small that a step takes no time."""

import pytest

from little_self import with_little_networks


@pytest.fixture(autouse=True)
def _little(monkeypatch):
    with_little_networks(monkeypatch)
