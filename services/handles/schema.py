"""The schemas of the handle store: `services.common.schema` over the revisions in ``migrations``."""

from pathlib import Path
from typing import Final

from services.common import schema

BASE: Final = schema.BASE
HEAD: Final = schema.HEAD

_SCHEMA: Final = schema.Schema(
    scripts=Path(__file__).parent / "migrations", remedy="filo handles migrate", lock=0x46696C6F
)

migrate = _SCHEMA.migrate
check = _SCHEMA.check
known = _SCHEMA.known
current = _SCHEMA.current
