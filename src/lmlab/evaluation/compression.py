"""What general compressors make of the test text, alone and after the training text; decided by the bytes alone."""

import lzma
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from lmlab.evaluation.settings import BaselineSettings

# liblzma's least dictionary.
LEAST_XZ_DICTIONARY = 4096


def xz_size(text: bytes, *, preset: int) -> int:
    """Bytes of the text as raw LZMA2, the whole text as dictionary; no container, no checksum."""
    dictionary = max(len(text), LEAST_XZ_DICTIONARY)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset | lzma.PRESET_EXTREME, "dict_size": dictionary}]
    return len(lzma.compress(text, format=lzma.FORMAT_RAW, filters=filters))


def zstd_size(text: bytes, *, level: int, training: bytes) -> int:
    """Bytes of the text as one zstd frame, with the training text as raw dictionary where it is not empty."""
    import zstandard

    dictionary = zstandard.ZstdCompressionDict(training, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if training else None
    window_log = min(max((len(text) + len(training)).bit_length(), zstandard.WINDOWLOG_MIN), zstandard.WINDOWLOG_MAX)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(text),
        dict_size=len(training),
        window_log=window_log,
        write_checksum=False,
        write_content_size=False,
        write_dict_id=False,
        threads=0,
    )
    return len(zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(text))


@contextmanager
def compressed_sizes(
    test: bytes, training: bytes, settings: BaselineSettings
) -> Iterator[Callable[[], dict[str, int]]]:
    """A function that waits for the bytes that each compressor needs; they work in threads meanwhile.

    xz after the training text is what the test text adds to the size of the training text.
    """
    level, preset = settings.zstd_level, settings.xz_preset
    with ThreadPoolExecutor(max_workers=2) as pool:
        # The long ones first.
        both = pool.submit(xz_size, training + test, preset=preset)
        alone = pool.submit(xz_size, training, preset=preset)
        zstd_after = pool.submit(zstd_size, test, level=level, training=training)
        xz = pool.submit(xz_size, test, preset=preset)
        zstd = pool.submit(zstd_size, test, level=level, training=b"")
        try:
            yield lambda: {
                "xz": xz.result(),
                "zstd": zstd.result(),
                "xz_with_training": both.result() - alone.result(),
                "zstd_with_training": zstd_after.result(),
            }
        finally:
            # If the caller failed, what has not begun never does.
            pool.shutdown(wait=False, cancel_futures=True)
