"""pellucid: photographs restored, by efficient-attention transformers as layers, as networks and as a tool.

The names below are loaded when first used, so that `import pellucid` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.checkpoints import create, load
    from pellucid.errors import PellucidError
    from pellucid.images import Picture
    from pellucid.selfsupervised import denoise_self
    from pellucid.tasks import restore

__version__ = "0.1.0"
__all__ = ["PellucidError", "Picture", "__version__", "create", "denoise_self", "load", "restore"]

_HOMES = {
    "PellucidError": "pellucid.errors",
    "Picture": "pellucid.images",
    "create": "pellucid.checkpoints",
    "denoise_self": "pellucid.selfsupervised",
    "load": "pellucid.checkpoints",
    "restore": "pellucid.tasks",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
