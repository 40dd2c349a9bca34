"""What every section of the parameters is made of: frozen records, and types that say their
range.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=60)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Sha1 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]

Url = Annotated[str, Field(pattern=r"^https?://\S+$")]

Positive = Annotated[float, Field(gt=0)]

NotNegative = Annotated[float, Field(ge=0)]

Fraction = Annotated[float, Field(gt=0, lt=1)]

Share = Annotated[float, Field(ge=0, le=1)]

PositiveShare = Annotated[float, Field(gt=0, le=1)]

Count = Annotated[int, Field(ge=1)]

Seed = Annotated[int, Field(ge=0, lt=2**31)]

Pixels = Annotated[int, Field(ge=8, le=4096)]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def section(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass; parsing refuses unknown keys, NaN, silent conversions and
    its `problems`.
    """
    cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # type: ignore[attr-defined]
    if hasattr(cls, "problems"):
        cls.refuse_problems = model_validator(mode="after")(_refuse_problems)  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


def _refuse_problems(record: Any) -> Any:
    """Pydantic's hook for what no single value shows; it runs where the values themselves are
    sound.
    """
    if problems := list(record.problems()):
        raise ValueError("\n".join(problems))
    return record


def plain(value: Any) -> Any:
    """A record as JSON-able data, the inverse of `parse`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value
