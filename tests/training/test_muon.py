"""Muon moves singular values close to one, and updates every matrix as if it were alone."""

import pytest
import torch
from torch import nn

from pellucid.training.muon import Muon, orthogonalised

BAND = (0.65, 1.25)  # where five iterations leave singular values of 1 % of the matrix's norm and more
SHAPES = [(1, 1), (4, 4), (16, 9), (9, 16), (3, 40), (40, 3), (1, 7), (7, 1)]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def with_singular_values(rows, columns, values):
    """U diag(values) Vᵀ with random U and V."""
    u = torch.linalg.qr(torch.randn(rows, len(values), dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(columns, len(values), dtype=torch.float64))[0]
    return (u * values) @ v.mT, u, v


def parameter_and_gradient(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    parameter = nn.Parameter(torch.randn(shape, generator=generator))
    parameter.grad = torch.randn(shape, generator=generator)
    return parameter


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e6])
def test_singular_values_end_in_the_band(rows, columns, size):
    count = min(rows, columns)
    values = torch.logspace(-1.5, 0, count, dtype=torch.float64) if count > 1 else torch.ones(1, dtype=torch.float64)
    matrix, u, v = with_singular_values(rows, columns, values * size)
    result = orthogonalised(matrix.float().unsqueeze(0))[0].double()
    found = torch.linalg.svdvals(result)
    assert found.min() > BAND[0]
    assert found.max() < BAND[1]
    # The singular vectors stay: in their basis the result is diagonal.
    inner = u.mT @ result @ v
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-3
    assert inner.diagonal().min() > 0


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_tall_is_wide_turned(rows, columns):
    matrices = torch.randn(3, rows, columns)
    torch.testing.assert_close(orthogonalised(matrices.mT), orthogonalised(matrices).mT, atol=1e-5, rtol=1e-5)


def test_together_is_as_one_at_a_time():
    matrices = torch.randn(5, 8, 12) * torch.tensor([1e-3, 1, 10, 1e4, 1]).view(-1, 1, 1)
    alone = torch.cat([orthogonalised(matrix.unsqueeze(0)) for matrix in matrices])
    torch.testing.assert_close(orthogonalised(matrices), alone, atol=1e-5, rtol=1e-5)


def test_zero_stays_zero_and_finite():
    assert (orthogonalised(torch.zeros(2, 3, 5)) == 0).all()


def test_matrices_are_not_changed():
    matrices = torch.randn(2, 4, 6)
    before = matrices.clone()
    orthogonalised(matrices)
    assert torch.equal(matrices, before)


@pytest.mark.parametrize("shape", [(16, 8, 3, 3), (16, 16, 1, 1), (8, 32), (4, 2, 3)])
def test_update_has_the_size_of_an_adam_update(shape):
    """A root mean square of 0.2 · lr, within the band."""
    parameter = parameter_and_gradient(shape, 0)
    before = parameter.detach().clone()
    Muon([parameter], lr=0.1).step()
    update = parameter.detach() - before
    size = update.square().mean().sqrt().item() / (0.2 * 0.1)
    assert BAND[0] * 0.8 < size < BAND[1]
    assert (update * parameter.grad).sum() < 0


def test_a_group_is_updated_as_one_at_a_time():
    shapes = [(8, 4, 3, 3), (8, 4, 3, 3), (4, 8), (8, 36), (8, 4), (4, 8)]
    together = [parameter_and_gradient(shape, i) for i, shape in enumerate(shapes)]
    alone = [parameter_and_gradient(shape, i) for i, shape in enumerate(shapes)]
    muons = [Muon(together, lr=0.02)], [Muon([parameter], lr=0.02) for parameter in alone]
    for _ in range(3):
        for muon in (*muons[0], *muons[1]):
            muon.step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_momentum_is_nesterovs():
    parameter, lr, beta = parameter_and_gradient((6, 10), 1), 0.05, 0.9
    expected, gradients, average = parameter.detach().clone(), torch.randn(3, 6, 10), torch.zeros(6, 10)
    muon = Muon([parameter], lr=lr, momentum=beta)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        muon.step()
        average = beta * average + (1 - beta) * gradient
        direction = (1 - beta) * gradient + beta * average
        expected -= 0.2 * lr * 10**0.5 * orthogonalised(direction.unsqueeze(0))[0]
    torch.testing.assert_close(parameter.detach(), expected, atol=1e-5, rtol=1e-5)


def test_parameter_without_gradient_stays():
    moving, resting = parameter_and_gradient((4, 4), 0), parameter_and_gradient((4, 4), 1)
    resting.grad = None
    before = resting.detach().clone()
    Muon([moving, resting], lr=0.1).step()
    assert torch.equal(resting, before)


def test_closure_is_called_with_gradients_on_and_its_loss_returned():
    parameter = nn.Parameter(torch.randn(4, 6))
    muon = Muon([parameter], lr=0.01)

    def closure():
        muon.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    losses = [muon.step(closure).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)


def test_state_goes_on_exactly():
    gradients = torch.randn(4, 5, 7)

    def steps(parameter, muon, part):
        for gradient in part:
            parameter.grad = gradient.clone()
            muon.step()

    whole = parameter_and_gradient((5, 7), 3)
    steps(whole, Muon([whole], lr=0.1), gradients)
    first = parameter_and_gradient((5, 7), 3)
    muon = Muon([first], lr=0.1)
    steps(first, muon, gradients[:2])
    second = nn.Parameter(first.detach().clone())
    resumed = Muon([second], lr=0.1)
    resumed.load_state_dict(muon.state_dict())
    steps(second, resumed, gradients[2:])
    assert torch.equal(whole, second)
