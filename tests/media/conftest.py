"""One shop for each test that asks for a till."""

from tests.desk.conftest import till

__all__ = ["till"]
