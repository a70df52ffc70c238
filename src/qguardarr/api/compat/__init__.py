"""The paths of the earlier Qguardarr, with their old fields and units.

There a limit of -1 is unlimited, and `…_mbps` means MiB/s (1,048,576 bytes/s), not megabit. Figures whose cause is gone
(a cache of matches) are null. Answers are plain dicts, since they never change: `docs/openapi_compat.json` describes
them, and `tests/process/test_api_schema.py` holds a running daemon to it.
"""
