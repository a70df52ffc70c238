"""The settings in force, and where each value comes from."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Depends

from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.security.dependencies import Context, caller
from qguardarr.engine.origins import SettingRow, setting_rows

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])


class Configuration(msgspec.Struct, kw_only=True):
    """The configuration in force."""

    file: str
    """Path of the configuration file."""
    settings: list[SettingRow]
    """All settings, also those that have their defaults."""


@router.get(
    "/config",
    summary="Settings, and where they come from",
    description="A variable of the environment takes precedence over the file, the file over the default. Secrets "
    "are masked.",
    responses=answers(Configuration),
)
async def get_configuration(context: Context) -> JsonResponse:
    rows = setting_rows(context.configuration(), context.origins())
    return JsonResponse(Configuration(file=context.status().config_path, settings=rows))
