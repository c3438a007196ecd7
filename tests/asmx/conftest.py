import os
from collections.abc import Iterator

import pytest

from tests.asmx.server import AsmxService, missing, running


@pytest.fixture(scope="session")
def asmx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsmxService]:
    """The real service. Without its software the tests are skipped, but fail where CI is set to true."""
    if absent := missing():
        reason = f"not installed: {', '.join(absent)} (packages: tests/asmx/apt-packages.txt)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with running(tmp_path_factory.mktemp("asmx")) as service:
        yield service
