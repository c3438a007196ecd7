from tests.e2e.conftest import background, program, sandbox, start_sandbox

__all__ = ["background", "program", "sandbox", "start_sandbox"]
