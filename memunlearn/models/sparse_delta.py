"""Training chosen weights only: the base model is frozen, and a trained delta is added to it.

Beside `SparseDelta`, the delta of a mask, other kinds can be attached (`low_rank_delta`, `subnet_delta`).

Zeroing gradients would not do: weight decay and momentum move weights whose gradient is zero (published_code.md, 1). Here the
optimizer never sees any weight but the K chosen ones, so every optimizer leaves the others bit for bit as they were.

Names are those of the plain model's `named_parameters()`, whether or not deltas are attached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from memunlearn.errors import UserError


@runtime_checkable
class Delta(Protocol):
    """A parametrization of one weight matrix that starts from the frozen base."""

    def trained(self) -> dict[str, nn.Parameter]:
        """What there is to train, by what is put behind the weight's name."""

    def change(self, base: Tensor, trained: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor]:
        """What these values in place of `trained` add to the base: flat positions (None: everywhere) and deltas."""

    def make_no_change(self) -> None:
        """The effective weight is the base, bit for bit."""


MakeDelta = Callable[[nn.Module, Tensor, Tensor | None], nn.Module]
"""Given the module that holds a weight, the weight and the chosen flat positions (None: all of it), makes its `Delta`."""


class SparseDelta(nn.Module):
    """effective = base with `delta` added at `indices`; with indices None, base + delta.

    delta: fp32 Parameter, [K_tensor], or the base's shape if indices is None. indices: int64 [K_tensor], sorted flat positions.
    Weight decay on delta pulls towards the base.
    """

    indices: Tensor | None

    def __init__(self, base: Tensor, indices: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("indices", None if indices is None else indices.to(base.device, copy=True))
        self.delta = nn.Parameter(_no_change(torch.empty(base.shape if indices is None else len(indices), device=base.device)))

    def forward(self, base: Tensor) -> Tensor:
        """base: [rows, columns]; returns the effective weight of the same shape."""
        if self.indices is None:
            return base + self.delta
        return base.flatten().index_add(0, self.indices, self.delta).view_as(base)

    def trained(self) -> dict[str, nn.Parameter]:
        """The delta, under the weight's own name."""
        return {"": self.delta}

    def change(self, base: Tensor, trained: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor]:
        """Copies of the positions and of the delta."""
        return None if self.indices is None else self.indices.clone(), trained[""].detach().clone()

    @torch.no_grad()
    def make_no_change(self) -> None:
        """The effective weight is the base, bit for bit."""
        _no_change(self.delta)


def _no_change(delta: Tensor) -> Tensor:
    return delta.fill_(-0.0)  # x + -0.0 is x for every x; x + 0.0 would turn a -0.0 of the base into 0.0


def base_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The base weights by plain name, deltas left out; a tied tensor once. Not copies."""
    base: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if re.search(r"(^|\.)parametrizations\.\w+\.0\.\w+$", name) is None:
            base[re.sub(r"(^|\.)parametrizations\.(\w+)\.original$", r"\1\2", name)] = parameter
    return base


def owner_of(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds the parameter `name`, and the parameter's name in it."""
    path, _, attribute = name.rpartition(".")
    return model.get_submodule(path), attribute


def is_attached(model: nn.Module) -> bool:
    """Whether `model` has deltas."""
    return bool(modules_with_deltas(model))


def sparse_delta(module: nn.Module, base: Tensor, indices: Tensor | None) -> SparseDelta:
    """The `MakeDelta` of a mask."""
    return SparseDelta(base, indices)


def attach(model: nn.Module, indices: Mapping[str, Tensor | None], make: MakeDelta = sparse_delta) -> None:
    """Freezes every weight of `model` and gives each tensor in `indices` a trainable delta, at first without effect.

    make: the kind of delta. `indices`: per tensor the flat positions to train (int64, sorted, unique), or None for all of it; a
    tensor with none is left alone. Everything is checked before anything is changed. Raises UserError if deltas are attached
    already, if a weight is unknown, tied or not fp32, or if indices are not what is said above.
    """
    if any(parametrize.is_parametrized(module) for module in model.modules()):
        raise UserError(
            "this model already carries deltas or other parametrizations: take them away first with remove_patch(model)"
        )
    parameters = base_parameters(model)
    chosen = {name: flat for name, flat in indices.items() if flat is None or flat.numel()}
    if not chosen:
        raise UserError("no weight is chosen: a mask needs at least one")
    for name, flat in chosen.items():
        if name not in parameters:
            raise UserError(f"this model has no weight {name}: was the mask or patch made for another model?")
        _check_trainable(model, name, parameters[name])
        if flat is not None:
            _check_indices(name, flat, parameters[name].numel())
    model.requires_grad_(False)
    for name, flat in chosen.items():
        module, attribute = owner_of(model, name)
        parametrize.register_parametrization(module, attribute, make(module, parameters[name], flat))


def _check_trainable(model: nn.Module, name: str, parameter: Tensor) -> None:
    if parameter.dtype != torch.float32:
        raise UserError(
            f"{name} is {parameter.dtype}, and small deltas vanish in anything below fp32: load the model in fp32 "
            "and use trainer.precision=bf16-mixed to train faster"
        )
    names = [other for other, tensor in model.named_parameters(remove_duplicate=False) if tensor is parameter]
    if len({owner_of(model, other) for other in names}) > 1:
        raise UserError(
            f"{name} is tied ({', '.join(names)}): a delta on one would part them; leave tied weights out of the mask"
        )


def _check_indices(name: str, flat: Tensor, size: int) -> None:
    if flat.dtype != torch.int64 or flat.ndim != 1:
        raise UserError(f"{name}: indices must be a flat int64 tensor, not {list(flat.shape)} of {flat.dtype}")
    if bool((flat.diff() <= 0).any()) or int(flat[0]) < 0 or int(flat[-1]) >= size:
        raise UserError(f"{name}: indices must be sorted, unique and within 0 .. {size - 1}")


def detach(model: nn.Module) -> None:
    """Takes every delta away: the base weights are back, bit for bit, and all of them require gradients (as after loading)."""
    for _, module in modules_with_deltas(model):
        restore_plain(module, {attribute: cast(nn.Parameter, chain.original) for attribute, chain in _chains(module).items()})
    model.requires_grad_(True)


def restore_plain(module: nn.Module, tensors: Mapping[str, nn.Parameter]) -> None:
    """Makes a module with deltas plain again, with these parameters in their place.

    `parametrize.remove_parametrizations` also deletes the property from the module's class, and a deep copy shares that
    class: removing from one would break the other.
    """
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for attribute, tensor in tensors.items():
        module.register_parameter(attribute, tensor)


def delta_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """What there is to train: the delta of each tensor, by the tensor's plain name (with `.A` and `.B`, or `.scores`, behind it
    where the delta is of another kind)."""
    return {f"{name}{part}": value for name, delta, _ in _deltas(model) for part, value in delta.trained().items()}


def delta_positions(model: nn.Module) -> dict[str, Tensor | None]:
    """Where each delta of a mask is added, by the tensor's plain name: flat positions, not copies; None: all of the tensor."""
    return {name: delta.indices for name, delta, _ in _deltas(model) if isinstance(delta, SparseDelta)}


def read_deltas(model: nn.Module, trained: Mapping[str, Tensor] | None = None) -> dict[str, tuple[Tensor | None, Tensor]]:
    """Copies of (indices or None, delta) by plain name, on the model's device.

    trained: values of `delta_parameters` to read them from, None for those of now.
    """
    values = delta_parameters(model) if trained is None else trained
    return {
        name: delta.change(base, {part: values[f"{name}{part}"] for part in delta.trained()})
        for name, delta, base in _deltas(model)
    }


@torch.no_grad()
def write_deltas(model: nn.Module, deltas: Mapping[str, Tensor]) -> None:
    """Sets the attached deltas, in place (an optimizer keeps its parameters).

    Raises UserError if `deltas` names other tensors than are attached, or has other shapes.
    """
    attached = delta_parameters(model)
    if attached.keys() != deltas.keys():
        odd = sorted(attached.keys() ^ deltas.keys())
        raise UserError(f"these deltas are not for the mask that is attached: {odd[0]} is in only one of them")
    for name, delta in deltas.items():
        if delta.shape != attached[name].shape:
            raise UserError(f"{name}: {list(delta.shape)} deltas for a mask that needs {list(attached[name].shape)}")
    for name, delta in deltas.items():
        attached[name].copy_(delta)


@torch.no_grad()
def zero_deltas(model: nn.Module) -> None:
    """Makes the attached model its base again, bit for bit, in place: what stands between two trials."""
    for _, delta, _ in _deltas(model):
        delta.make_no_change()


def modules_with_deltas(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """(path, module) of the modules whose parameters have deltas."""
    return [
        (path, module)
        for path, module in model.named_modules()
        if parametrize.is_parametrized(module) and any(isinstance(chain[0], Delta) for chain in _chains(module).values())
    ]


def _chains(module: nn.Module) -> dict[str, parametrize.ParametrizationList]:
    return dict(cast(nn.ModuleDict, module.parametrizations).items())  # type: ignore[arg-type]


def _deltas(model: nn.Module) -> Iterator[tuple[str, Delta, Tensor]]:
    """(plain name, delta, base weight) of every weight that has one."""
    for path, module in modules_with_deltas(model):
        for attribute, chain in _chains(module).items():
            yield f"{path}.{attribute}".removeprefix("."), cast(Delta, chain[0]), chain.original
