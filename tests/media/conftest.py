"""One shop for each test that asks for a till."""

from tests.desk.conftest import lone, till

__all__ = ["lone", "till"]
