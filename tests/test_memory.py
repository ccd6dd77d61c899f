import mmap
import sys

import numpy as np
import pytest

from lmlab.memory import forget_peak_memory, peak_memory_megabytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process forget its peak")
def test_the_peak_is_that_since_it_was_forgotten() -> None:
    forget_peak_memory()
    before = peak_memory_megabytes()
    # A mapping of its own: memory that the C library kept from earlier would be no new memory.
    large = mmap.mmap(-1, 200_000_000)
    np.frombuffer(large, np.uint8)[:] = 1
    with_it = peak_memory_megabytes()
    assert with_it - before == pytest.approx(200, abs=20)
    large.close()
    # The kernel gathers its counts in batches of pages.
    assert peak_memory_megabytes() == pytest.approx(with_it, abs=2)
    forget_peak_memory()
    assert peak_memory_megabytes() < with_it - 150
