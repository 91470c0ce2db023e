"""The questions that `test_contracts.py` asks every row of `contracts.py`: one function each, which takes the row."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.func import functional_call

from contracts import ModuleRow, OpRow
from tolerances import assert_close

_HALF_PRECISION = (torch.bfloat16, torch.float16)
_GRADIENT_MODES = (torch.no_grad, torch.enable_grad)


@contextmanager
def many_stripes() -> Generator[None, None, None]:
    """Make stripes as low as they can be, so that a small picture is cut into several."""
    with mock.patch("pellucid.ops.row_stripes._STRIPE_VALUES", 1):
        yield


def randomise(module: nn.Module) -> nn.Module:
    """Leave no parameter at 0 or 1, where a forgotten one would not show."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.eval()


def _map(function: Callable[[Tensor], Tensor], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Apply a function to the tensors among the arguments."""
    return tuple(function(a) if isinstance(a, Tensor) else a for a in arguments)


def _value_and_gradients(function: Callable[..., Tensor], arguments: tuple[Any, ...], weight: Tensor) -> list[Tensor]:
    """The value, and the gradients of ⟨weight, value⟩ with respect to each tensor argument."""
    arguments = _map(lambda t: t.detach().clone().requires_grad_(), arguments)
    value = function(*arguments)
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    return [value.detach(), *torch.autograd.grad(value, tensors, weight.to(value.dtype))]


def _assert_all_close(actual: list[Tensor], expected: list[Tensor]) -> None:
    """Compare values and gradients on one scale: where all pixels are one, some gradients are nothing but rounding."""
    scale = max(float(t.abs().max()) for t in expected)
    for mine, wanted in zip(actual, expected, strict=True):
        assert_close(mine, wanted, scale=scale)


def _compiled(function: Any) -> Any:
    """Trace the whole; run it eagerly, as a stranger's machine may have no C++ compiler."""
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=False)


# Ops


def op_equals_reference(row: OpRow) -> None:
    """Values and gradients, at odd sizes, in float64 and float32."""
    for size in ((1, 1, 1), (2, 1, 5), (1, 7, 3), (3, 9, 11)):
        inputs = row.inputs(*size)
        weight = torch.randn_like(row.reference(*inputs))
        expected = _value_and_gradients(row.reference, inputs, weight)
        for dtype in (torch.float64, torch.float32):
            cast = _map(lambda t, dtype=dtype: t.to(dtype), inputs)
            _assert_all_close(_value_and_gradients(row.op, cast, weight), expected)
            with torch.no_grad():
                assert_close(row.op(*cast), expected[0])
                if dtype in row.fast_dtypes:
                    assert_close(row.fast(*cast), expected[0])


def op_equals_reference_on_black(row: OpRow) -> None:
    """Where the pictures are zero everywhere, values and gradients are the reference's, and finite."""
    inputs = row.inputs(1, 3, 4)
    inputs = (*(torch.zeros_like(t) for t in inputs[: row.pictures]), *inputs[row.pictures :])
    weight = torch.randn_like(row.reference(*inputs))
    _assert_all_close(_value_and_gradients(row.op, inputs, weight), _value_and_gradients(row.reference, inputs, weight))


def op_gives_each_gradient_alone(row: OpRow) -> None:
    """An argument that alone is trained gets the gradient that it gets when all are."""
    inputs = row.inputs(1, 5, 3)
    weight = torch.randn_like(row.reference(*inputs))
    _, *expected = _value_and_gradients(row.reference, inputs, weight)
    scale = max(float(t.abs().max()) for t in expected)
    for dtype in (torch.float64, torch.float32):
        tensors = [i for i, argument in enumerate(inputs) if isinstance(argument, Tensor)]
        for i, wanted in zip(tensors, expected, strict=True):
            arguments = list(_map(lambda t, dtype=dtype: t.to(dtype), inputs))
            arguments[i] = arguments[i].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(row.op(*arguments), arguments[i], weight.to(dtype))
            assert_close(gradient, wanted, scale=scale)


def op_gradcheck(row: OpRow) -> None:
    """Gradients are those of finite differences."""
    arguments = _map(lambda t: t.requires_grad_(), row.inputs(1, 2, 3))
    assert torch.autograd.gradcheck(row.op, arguments)


def op_in_half_precision(row: OpRow) -> None:
    """Inputs in half precision give the reference's value for these inputs, in their type."""
    for dtype in _HALF_PRECISION:
        inputs = _map(lambda t, dtype=dtype: t.to(dtype), row.inputs(2, 9, 11))
        expected = row.reference(*_map(lambda t: t.to(torch.float64), inputs))
        for mode in _GRADIENT_MODES:
            with mode():
                value = row.op(*_map(lambda t: t.detach().requires_grad_(), inputs))
            assert value.dtype == dtype
            assert_close(value, expected)


def op_ignores_memory_format(row: OpRow) -> None:
    """Pictures stored as (B, C, H, W), or as every other column of larger ones, give the same values."""
    for dtype in (torch.float64, torch.float32):
        inputs = _map(lambda t, dtype=dtype: t.to(dtype), row.inputs(2, 5, 7))
        pictures, others = inputs[: row.pictures], inputs[row.pictures :]
        planar = [t.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1) for t in pictures]
        strided = [t.repeat_interleave(2, dim=2)[:, :, ::2] for t in pictures]
        for stored in (planar, strided):
            assert_close(row.op(*stored, *others), row.op(*inputs))


def op_takes_batches(row: OpRow) -> None:
    """A batch gives what its pictures give one by one."""
    for dtype in (torch.float64, torch.float32):
        inputs = _map(lambda t, dtype=dtype: t.to(dtype), row.inputs(3, 5, 7))
        pictures, others = inputs[: row.pictures], inputs[row.pictures :]
        singly = [row.op(*(t[i : i + 1] for t in pictures), *others) for i in range(3)]
        assert_close(row.op(*inputs), torch.cat(singly))


def op_compiles(row: OpRow) -> None:
    """Traced whole, it gives the same values and gradients."""
    inputs = row.inputs(2, 5, 7)
    weight = torch.randn_like(row.op(*inputs))
    compiled = _compiled(row.op)
    _assert_all_close(_value_and_gradients(compiled, inputs, weight), _value_and_gradients(row.op, inputs, weight))


def op_exports(row: OpRow) -> None:
    """An exported program gives the same values."""
    inputs = row.inputs(2, 5, 7)

    class Exported(nn.Module):
        def forward(self, *arguments: Any) -> Tensor:
            return row.op(*arguments)

    assert_close(torch.export.export(Exported(), inputs).module()(*inputs), row.op(*inputs))


def op_is_device_free(row: OpRow) -> None:
    """No tensor is made on a device of the op's own choice, nor a value read: it runs on shapes alone."""
    inputs = row.inputs(2, 5, 7)
    assert row.op(*_map(lambda t: t.to("meta"), inputs)).shape == row.op(*inputs).shape


OP_QUESTIONS = (
    op_equals_reference,
    op_equals_reference_on_black,
    op_gives_each_gradient_alone,
    op_gradcheck,
    op_in_half_precision,
    op_ignores_memory_format,
    op_takes_batches,
    op_compiles,
    op_exports,
    op_is_device_free,
)


# Layers and networks


def _built(row: ModuleRow, batch: int = 1, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Tensor]:
    """The row's module, and a picture of its last size."""
    return randomise(row.make().to(dtype)), torch.randn(batch, row.channels, *row.sizes[-1], dtype=dtype)


def _module_gradients(module: nn.Module, x: Tensor, weight: Tensor) -> list[Tensor]:
    """The value, and the gradients of ⟨weight, value⟩ with respect to the input and each parameter."""
    x = x.detach().clone().requires_grad_()
    value = module(x)
    return [value.detach(), *torch.autograd.grad(value, [x, *module.parameters()], weight)]


def module_takes_odd_sizes(row: ModuleRow) -> None:
    """The documented shape, finite, at every size; the input is left as it was."""
    module, _ = _built(row)
    for size in row.sizes:
        x = torch.randn(2, row.channels, *size)
        before = x.clone()
        for mode in _GRADIENT_MODES:
            with mode():
                y = module(x)
            assert tuple(y.shape) == (2, *row.result(*size))
            assert bool(torch.isfinite(y).all())
        assert torch.equal(x, before)


def module_infers_as_it_trains(row: ModuleRow) -> None:
    """What runs where no gradient is recorded, cut into many stripes or not, equals what records them."""
    for dtype in (torch.float64, torch.float32):
        module, x = _built(row, batch=2, dtype=dtype)
        expected = module(x)
        with torch.no_grad(), many_stripes():
            assert_close(module(x), expected)
        with torch.inference_mode():
            assert_close(module(x), expected)


def module_gradcheck(row: ModuleRow) -> None:
    """Gradients of the input and of every parameter are those of finite differences."""
    module = randomise(row.make().to(torch.float64))
    size = next(size for size in row.sizes if min(size) > 1)
    x = torch.randn(1, row.channels, *size, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in module.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *module.parameters()), fast_mode=True)


def module_trains_partly_frozen(row: ModuleRow) -> None:
    """A parameter trained alone gets the gradient that it gets when all are, though other paths may then be open."""
    for dtype in (torch.float64, torch.float32):
        module, x = _built(row, dtype=dtype)
        weight = torch.randn_like(module(x))
        _, _, *expected = _module_gradients(module, x, weight)
        scale = max(float(t.abs().max()) for t in expected)
        module.requires_grad_(False)
        for parameter, wanted in zip(module.parameters(), expected, strict=True):
            parameter.requires_grad_(True)
            with many_stripes():
                (gradient,) = torch.autograd.grad(module(x), parameter, weight)
            assert_close(gradient, wanted, scale=scale)
            parameter.requires_grad_(False)


def module_in_half_precision(row: ModuleRow) -> None:
    """Under autocast, and with its own parameters and input in bfloat16."""
    module, x = _built(row, batch=2)
    half = deepcopy(module).to(torch.bfloat16)
    expected = deepcopy(half).to(torch.float64)(x.to(torch.bfloat16).to(torch.float64))
    for mode in _GRADIENT_MODES:
        with mode(), many_stripes():
            with torch.autocast("cpu", torch.bfloat16):
                actual = module(x)
            assert_close(actual, module(x), torch.bfloat16)
            assert_close(half(x.to(torch.bfloat16)), expected)


def module_ignores_memory_format(row: ModuleRow) -> None:
    """Channels last, channels first, or every other column of a larger picture: the same values."""
    module, x = _built(row, batch=2)
    expected = module(x)
    for mode in _GRADIENT_MODES:
        with mode():
            assert_close(module(x.contiguous(memory_format=torch.channels_last)), expected)
            assert_close(module(x.repeat_interleave(2, dim=3)[..., ::2]), expected)


def module_takes_batches(row: ModuleRow) -> None:
    """A batch gives what its pictures give one by one."""
    module, x = _built(row, batch=3)
    for mode in _GRADIENT_MODES:
        with mode():
            assert_close(module(x), torch.cat([module(picture) for picture in x.split(1)]))


def module_compiles(row: ModuleRow) -> None:
    """Traced whole, it gives the same values."""
    module, x = _built(row)
    compiled = _compiled(module)
    with torch.no_grad():
        assert_close(compiled(x), module(x))


def module_compiles_for_training(row: ModuleRow) -> None:
    """Traced whole, it gives the same values and gradients."""
    module, x = _built(row)
    weight = torch.randn_like(module(x))
    compiled = _compiled(module)
    _assert_all_close(_module_gradients(compiled, x, weight), _module_gradients(module, x, weight))


def module_exports(row: ModuleRow) -> None:
    """An exported program gives the same values."""
    module, x = _built(row)
    assert_close(torch.export.export(module, (x,)).module()(x), module(x))


def module_is_device_free(row: ModuleRow) -> None:
    """No tensor is made on a device of the module's own choice, nor a value read: it runs on shapes alone."""
    with torch.device("meta"):
        module = row.make()
    for mode in _GRADIENT_MODES:
        with mode():
            y = module(torch.empty(2, row.channels, *row.sizes[-1], device="meta"))
        assert tuple(y.shape) == (2, *row.result(*row.sizes[-1]))


NETWORK_QUESTIONS = (
    module_takes_odd_sizes,
    module_infers_as_it_trains,
    module_gradcheck,
    module_in_half_precision,
    module_ignores_memory_format,
    module_takes_batches,
    module_compiles,
    module_exports,
    module_is_device_free,
)
# A network is wired from layers, so what costs seconds is asked of the layers alone.
LAYER_QUESTIONS = (*NETWORK_QUESTIONS, module_trains_partly_frozen, module_compiles_for_training)
