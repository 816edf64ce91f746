"""Reads checkpoints of any program without running anything that is in them; writes tensors atomically.

The writers of torch and safetensors hide a full disk behind errors of their own; bytes from memory do not.
"""

from __future__ import annotations

import argparse
import codecs
import errno
import io
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from idbench.errors import TargetError
from idbench.storage import require_regular, storage_errors, write_bytes

UNREADABLE: Final = (
    *(RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError, OSError),
    pickle.UnpicklingError,
)
"""What torch raises for files that are not checkpoints, or not whole."""

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net")
"""Keys under which trainers keep the state dict next to their own state. Under any other key a state dict is found if
it is the only one; of trained weights and their moving average, the trained ones are read."""

_PREFIXES = ("module.", "model.", "net.", "network.", "clip.", "clip_model.", "base_model.")
"""What names of tensors begin with after DistributedDataParallel, Lightning and others."""

_INSERTED = re.compile(
    r"(?<![^.])(?:_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.|(?<=\.)module\."
)
"""What torch.compile, Fabric, FSDP, activation checkpointing and DistributedDataParallel around a single tower put
into names, wherever they wrap a module."""

_PLAIN = (bool, int, float, str, type(None))
"""What trainers keep beside tensors and changes nothing in what the model computes, a number of steps for example."""

_DEEPEST = 8
"""Mappings within each other that are looked into."""

_OPENAI = frozenset({"input_resolution", "context_length", "vocab_size"})
"""What OpenAI's code keeps with the weights; all of it follows from the architecture."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of a checkpoint under the names that open_clip gives them.

    Args:
        tensors: by name, on the CPU.
        by_openai: whether OpenAI's code wrote it, whose models all have QuickGELU.
    """

    tensors: dict[str, torch.Tensor]
    by_openai: bool = False


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint; see `read_checkpoint_file`."""
    return read_checkpoint_file(path).tensors


def read_checkpoint_file(path: Path) -> Checkpoint:
    """The tensors of a checkpoint from any program: safetensors, a state dict alone or wrapped, a TorchScript archive.

    The kind follows from the first bytes, not from the ending. Prefixes that all names share are removed.

    Raises:
        TargetError: damaged, holds code, holds anything but a state dict, or holds NaN.
    """
    with storage_errors(path):
        content = _read_any(path)
    tensors, by_openai = _state_dict(content, path)
    for name, tensor in tensors.items():
        _check_plain(name, tensor, path)
        if tensor.is_floating_point() and not _finite(tensor):
            raise TargetError(
                f"{path} holds NaN or infinite weights (first in {name}).", hint="Its training failed: use another one."
            )
    return Checkpoint(tensors, by_openai)


def _check_plain(name: str, tensor: torch.Tensor, path: Path) -> None:
    """Reject what cannot be copied into a model as it is.

    Raises:
        TargetError: quantized, sparse, complex, without numbers, or more numbers than the file has.
    """
    kinds = (
        (tensor.is_quantized, "is quantized"),
        (tensor.layout != torch.strided, "is sparse"),
        (tensor.is_complex(), "holds complex numbers"),
        (tensor.is_meta, "holds no numbers"),
    )
    what = next((what for wrong, what in kinds if wrong), None)
    if what is not None:
        raise TargetError(
            f"{path} holds no plain weights: {name} {what}.", hint="Save the model's weights as float32 or float16."
        )
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise _damaged(path)  # a few numbers that claim to fill a tensor of any size


def _finite(tensor: torch.Tensor) -> bool:
    # Eight bits have no such test of their own.
    return bool(torch.isfinite(tensor.float() if tensor.element_size() < 2 else tensor).all())


def _read_any(path: Path) -> object:
    require_regular(path)
    with path.open("rb") as file:
        head = file.read(512)
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head.startswith(b"PK") and _is_torchscript(path):
        return _read_torchscript(path)
    if head.startswith(b"PK"):
        _check_archive(path)
    if head.startswith(b"PK") or _PICKLE.match(head):
        return _read_torch(path)
    raise _no_checkpoint(path, head)


def _check_archive(path: Path) -> None:
    """Reject zip archives that hold no pickle of torch, which is a zip archive itself.

    Raises:
        TargetError: with what it holds instead.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(entry.filename).name for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, ValueError):
        return  # damaged, as torch will say
    if not names or "data.pkl" in names:
        return
    if all(name.endswith(".npy") for name in names):
        raise TargetError(f"{path} holds arrays of NumPy.", hint="Save the state dict with torch, or as safetensors.")
    raise TargetError(f"{path} is a zip archive with {names[0]} in it.", hint="Unpack it, and name the checkpoint.")


_PICKLE: Final = re.compile(rb"\x80[\x02-\x05]")
"""How pickles of protocols 2 to 5 begin; before version 1.6 torch wrote checkpoints as several of them."""

_UNPACK: Final = "Unpack it, and name the checkpoint."
_CONVERT: Final = "Use the model's weights as torch or safetensors save them."
_NOT_CHECKPOINTS: Final = (
    (
        rb"version https://git-lfs",
        "only says where Git LFS keeps the checkpoint",
        "Fetch the file itself: run git lfs pull in its repository.",
    ),
    (rb"<", "is a web page or XML, not a checkpoint", "Fetch it again, and look at what the server answers."),
    (rb"\{", "is text, not a checkpoint", "Name the file of the weights; a configuration goes behind arch=."),
    (rb"\x1f\x8b|\x28\xb5\x2f\xfd|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "is compressed", _UNPACK),
    (rb"GGUF", "is a file of llama.cpp (GGUF)", _CONVERT),
    (rb"\x89HDF", "is a file of Keras (HDF5)", _CONVERT),
    (rb"\x93NUMPY", "is an array of NumPy", _CONVERT),
    (rb"\x08[\x01-\x1f]\x12", "is a file of ONNX", _CONVERT),
    (rb"[\x81-\x8f][\xa1-\xbf]\w", "is a file of Flax (MessagePack)", _CONVERT),
)
"""How files begin that are mistaken for checkpoints, what they are, and what to do."""

_PART: Final = re.compile(r"-\d{5}-of-\d{5}\.")
"""In the name of one of the files into which large models are divided."""
_TAR: Final = slice(257, 262)
"""Where a tar archive says what it is."""


def _no_checkpoint(path: Path, head: bytes) -> TargetError:
    """What a file is that begins as no checkpoint does."""
    if not head:
        return TargetError(f"{path} is empty, so it is damaged or not a checkpoint.", hint="Fetch or save it again.")
    if head[_TAR].startswith(b"ustar"):
        return TargetError(f"{path} is a tar archive.", hint=_UNPACK)
    if head.startswith(b"{") and path.name.endswith(".index.json"):
        return divided(path)
    for beginning, what, hint in _NOT_CHECKPOINTS:
        if re.match(beginning, head.lstrip()):
            return TargetError(f"{path} {what}.", hint=hint)
    return _damaged(path)


def divided(path: Path) -> TargetError:
    """That a file is one of several in which a model lies."""
    return TargetError(
        f"The model of {path} is in several files, and a target is one file, which its hash pins.",
        hint="Load the state dicts of all of them, and save them together as one file.",
    )


def is_part(path: Path) -> bool:
    """Whether a file's name says that it is one of several in which a model lies."""
    return _PART.search(path.name) is not None


def _state_dict(content: object, path: Path) -> tuple[dict[str, torch.Tensor], bool]:
    """The state dict in what was read, unwrapped, with its names as open_clip has them."""
    found = {str(name): value for name, value in _unwrapped(content, path).items()}
    plain = [name for name in found if isinstance(found[name], _PLAIN) and name.rpartition(".")[2] not in _OPENAI]
    state = _without_prefixes({name: value for name, value in found.items() if name not in plain})
    by_openai = state.keys() >= _OPENAI
    # A causal mask is computed, not trained; TorchScript saves it anyway, infinities included.
    kept = {name: value for name, value in state.items() if name not in _OPENAI and not name.endswith("attn_mask")}
    if not kept or not all(isinstance(value, torch.Tensor) for value in kept.values()):
        raise _no_state_dict(path)
    return kept, by_openai


def _unwrapped(content: object, path: Path) -> Mapping[Any, Any]:
    """The innermost mapping that holds tensors.

    Raises:
        TargetError: there is none, or several under names that do not say which one is meant.
    """
    while isinstance(content, Mapping):
        known = [key for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
        others = [] if known else [key for key, value in content.items() if _is_state(value)]
        if len(others) > 1:
            raise TargetError(
                f"{path} holds several state dicts: {', '.join(map(str, others[:6]))}.",
                hint="Save the one that is meant as a file of its own.",
            )
        if not known and not others:
            return content
        content = content[(known or others)[0]]
    raise _no_state_dict(path)


def _is_state(content: object, depth: int = 0) -> bool:
    """Whether something is a state dict, wrapped or not. Optimizers keep tensors too, whose names have no dots."""
    if not isinstance(content, Mapping) or depth > _DEEPEST or not all(isinstance(key, str) for key in content):
        return False
    if any(isinstance(content.get(key), Mapping) for key in _WRAPPERS):
        return True
    values = [value for value in content.values() if not isinstance(value, _PLAIN)]
    if values and all(isinstance(value, torch.Tensor) for value in values):
        return depth == 0 or any("." in key for key in content)
    return any(_is_state(value, depth + 1) for value in values)


def _without_prefixes(state: dict[str, Any]) -> dict[str, Any]:
    state = {_INSERTED.sub("", name): value for name, value in state.items()}
    state.pop("n_averaged", None)  # how often torch's AveragedModel was updated
    while prefix := next((one for one in _PREFIXES if state and all(name.startswith(one) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _no_state_dict(path: Path) -> TargetError:
    return TargetError(f"{path} holds no state dict.", hint="Save model.state_dict() and use that file.")


def _damaged(path: Path) -> TargetError:
    return TargetError(f"{path} is damaged or not a checkpoint.", hint="Fetch or save it again.")


def _read_safetensors(path: Path) -> Mapping[str, object]:
    try:
        return dict(safetensors.torch.load_file(path))
    except (SafetensorError, ValueError) as error:
        raise _damaged(path) from error


def _read_torch(path: Path) -> object:
    try:
        with _numbers_allowed(), path.open("rb") as file:  # by its path torch would judge a file by its ending
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "weights only" in str(error).lower():
            named = re.search(r"GLOBAL ([\w.]+)", str(error))
            raise TargetError(
                f"{path} holds more than weights{f' ({named[1]})' if named else ''}: opening it could run code, so it "
                "is not opened.",
                hint="Save the state dict alone, best as safetensors.",
            ) from error
        raise _damaged(path) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # torch seeks to where the file would go on if it were whole
            raise _damaged(path) from error
        raise
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
        raise _damaged(path) from error


def _numbers_allowed() -> AbstractContextManager[None]:
    """Let numpy's numbers and a trainer's parsed options be read along with tensors: they are data.

    open_clip left learning rates as numpy's in the optimizer's state until 2023, and many trainers save their options;
    torch then rejects the whole file.
    """
    if not hasattr(torch.serialization, "safe_globals"):  # torch before 2.5 rejects them
        return nullcontext()
    scalar: Any = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]  # numpy 1 and 2
    allowed: AbstractContextManager[None] = torch.serialization.safe_globals(
        [*names, np.dtype, *kinds, codecs.encode, argparse.Namespace]
    )
    return allowed


# TorchScript archives, as OpenAI publishes them, are code with weights. torch.jit.load would compile that code and run
# parts of it on loading. The weights alone can be read without that: a pickle of plain objects, and raw bytes.


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError):
        return False


def _read_torchscript(path: Path) -> dict[str, object]:
    """The parameters and buffers of a TorchScript archive by their names; none of its code is compiled or run."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(
                entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist() if "/data" in entry.filename
            ):
                raise _damaged(path)  # torch stores; what is compressed may unpack to anything
            root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
            model = _ArchiveReader(archive, root).load()
            if not isinstance(model, _Module):
                raise _no_state_dict(path)
            found: dict[str, object] = {}
            _collect(model, "", _Declarations(archive, root), found)
            return found
    except (*UNREADABLE, zipfile.BadZipFile, StopIteration, RecursionError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _damaged(path) from error


class _Module:
    """A module of an archive: its attributes, and nothing that could run."""

    kind = ""


class _ArchiveReader(pickle.Unpickler):
    """Reads `data.pkl`: modules become bags of attributes; anything else but tensors is rejected."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self._archive, self._root = archive, root
        self._storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Stand-ins for the few names that archives need; no import."""
        if module.startswith("__torch__"):
            return type(name, (_Module,), {"kind": f"{module}.{name}"})
        if module == "torch" and name.endswith("Storage"):
            return name
        known: dict[tuple[str, str], Callable[..., object]] = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
            ("collections", "OrderedDict"): OrderedDict,
            ("torch.jit._pickle", "restore_type_tag"): lambda value, _: value,
        }
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return lambda value: value
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is not data")
        return known[module, name]

    def persistent_load(self, pid: Any) -> torch.Tensor:
        """The numbers of a storage, in one dimension."""
        _, kind, key, _, count = pid
        if key not in self._storages:
            raw = bytearray(self._archive.read(f"{self._root}data/{key}"))
            numbers = torch.frombuffer(raw, dtype=_dtype(kind)) if raw else torch.empty(0, dtype=_dtype(kind))
            if len(numbers) < count:
                raise pickle.UnpicklingError(f"storage {key} is too short")
            self._storages[key] = numbers
        return self._storages[key]


def _dtype(storage: str) -> torch.dtype:
    names = {"Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64", "BFloat16": "bfloat16"}
    kind = storage.removesuffix("Storage")
    found = getattr(torch, names.get(kind, kind.lower()), None)
    if not isinstance(found, torch.dtype):
        raise pickle.UnpicklingError(f"{storage} is not a kind of numbers")
    return found


def _rebuild(
    storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> torch.Tensor:
    if math.prod(size) > len(storage):  # memory for numbers that are not there
        raise pickle.UnpicklingError("a tensor is larger than its storage")
    return torch.as_strided(storage, size, stride, offset).clone()


class _Declarations:
    """Which attributes of an archive's modules are parameters and buffers: its code's text says so."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        self._archive, self._root = archive, root
        self._known: dict[str, frozenset[str]] = {}

    def of(self, kind: str) -> frozenset[str]:
        """Names of the parameters and buffers of a class."""
        if kind not in self._known:
            module, _, name = kind.rpartition(".")
            text = self._archive.read(f"{self._root}code/{module.replace('.', '/')}.py").decode()
            body = re.search(rf"^class {re.escape(name)}\(Module\):\n((?:  .*\n?|\n)*)", text, re.MULTILINE)
            lists = re.findall(r"^  __(?:parameters|buffers)__ = \[(.*)\]$", body[1] if body else "", re.MULTILINE)
            self._known[kind] = frozenset(re.findall(r'"([^"]+)"', " ".join(lists)))
        return self._known[kind]


def _collect(module: _Module, prefix: str, declared: _Declarations, found: dict[str, object]) -> None:
    for name, value in vars(module).items():
        if isinstance(value, _Module):
            _collect(value, f"{prefix}{name}.", declared, found)
        elif isinstance(value, torch.Tensor) and name in declared.of(module.kind):
            found[f"{prefix}{name}"] = value


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically.

    Raises:
        StorageError: no space or no permission.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(ready, None if metadata is None else dict(metadata)))


def check_finite(tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """Refuse weights that are not finite; the loss looks normal until the step after.

    Raises:
        TargetError: one of them is NaN or infinite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TargetError(
                f"The training of {what} diverged: its weights are NaN or infinite (first in {name}).",
                hint="Lower the learning rate.",
            )


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training for `torch.load(..., weights_only=True)`, atomically.

    Raises:
        StorageError: no space or no permission.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_bytes(path, buffer.getvalue())


def read_checkpoint(path: Path, training: str) -> dict[str, Any] | None:
    """What `write_checkpoint` wrote; None without a file, or if it is damaged or of another training.

    Args:
        path: the checkpoint.
        training: what its `id` must be.
    """
    if not path.is_file():
        return None
    try:
        # To the CPU first: the optimizer counts its steps there, and would wait for a GPU at each of them.
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return saved if saved["id"] == training else None
    except UNREADABLE:
        return None
