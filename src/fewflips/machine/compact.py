"""Descriptions that leave out what is as by default, so that those of older machines stay as they were."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Compact(BaseModel):
    """A part of a machine, some of whose fields are written only where they differ from their default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    left_out: ClassVar[tuple[str, ...]] = ()
    """Names of these fields."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        for name in self.left_out:
            if getattr(self, name) == type(self).model_fields[name].default:
                content.pop(name, None)
        return content

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of the fields, of which some may be left out."""
        found = handler(_as_validated(schema))
        fields = handler.resolve_ref_schema(found)
        if "required" in fields:
            fields["required"] = [name for name in fields["required"] if name not in cls.left_out]
        return found


def _as_validated(schema: Any) -> Any:
    """A schema without the serializer, which pydantic takes for an object of any fields; within validators too."""
    kept = {name: part for name, part in schema.items() if name != "serialization"}
    if kept["type"].startswith("function-"):
        kept["schema"] = _as_validated(kept["schema"])
    return kept
