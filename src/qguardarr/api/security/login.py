"""What a person sends to log in."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from qguardarr.api.bodies import Incoming

_EXAMPLE: Final[JsonDict] = {"username": "me", "password": "correct horse battery staple"}


class Login(Incoming):
    """Body of a login: a name and a password, or the API key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    username: Annotated[str, Field(max_length=256, description="`auth.username` of the configuration.")] = ""
    password: Annotated[str, Field(max_length=1024, description="The password.", repr=False)] = ""
    api_key: Annotated[
        str, Field(max_length=1024, description="The API key, in place of name and password.", repr=False)
    ] = ""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        named = self.model_fields_set >= {"username", "password"}
        if (self.username or self.password) if self.api_key else not named:
            raise PydanticCustomError("login", "needs username and password, or api_key alone")
        return self
