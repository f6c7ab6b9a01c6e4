"""Common properties of all records."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """An immutable record without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def schema_with_optional(schema: CoreSchema, handler: GetJsonSchemaHandler, *optional: str) -> JsonSchemaValue:
    """The JSON Schema of a record's fields, some of which its serializer may leave out.

    Parameters
    ----------
    schema : CoreSchema
        Of the record, as pydantic gives it to ``__get_pydantic_json_schema__``.
    handler : GetJsonSchemaHandler
        Likewise.
    *optional : str
        Fields that may be left out.

    Returns
    -------
    JsonSchemaValue
        That of the fields, not of what the serializer returns.
    """
    found = handler({name: part for name, part in schema.items() if name != "serialization"})
    fields = handler.resolve_ref_schema(found)
    if "required" in fields:
        fields["required"] = [name for name in fields["required"] if name not in optional]
    return found
