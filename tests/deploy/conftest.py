from tests.e2e.conftest import background, program, sandbox, start_gated
from tests.objects.conftest import in_s3

__all__ = ["background", "in_s3", "program", "sandbox", "start_gated"]
