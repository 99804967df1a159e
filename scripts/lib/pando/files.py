# SPDX-License-Identifier: BSD-2-Clause
"""Templates as files on the host: what Pando saves (docs/template-format.md), compressed. zstd where Debian's python3-zstandard is
installed, else gzip; what a file is says its first bytes, so each reads what the other has written, and `zstd -d` or `gunzip` give
the bare template. A bare template is taken as well."""

import gzip
import os
import pathlib

from .errors import PandoError

try:
    import zstandard
except ImportError:
    zstandard = None

ZSTD, GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
CHUNK = 1 << 20


class Writer:
    """A sink for Connection.request(): compresses into FILE.part, which becomes FILE when all is there and done() is called.
    `raw` and `packed` count bytes before and after."""

    def __init__(self, path, progress=None):
        self.path = pathlib.Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.raw = 0
        self.packed = 0
        self._progress = progress
        self._file = open(self.part, "wb")
        self._packer = None

    def __call__(self, piece, total):
        if self._packer is None:
            self._packer = _packer(self._file, total)
        self._packer.write(piece)
        self.raw += len(piece)
        if self._progress:
            self._progress(self.raw, total)

    def done(self):
        if self._packer is None:
            raise PandoError("Pando sent an empty template")
        if zstandard:
            self._packer.flush(zstandard.FLUSH_FRAME)
        else:
            self._packer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self.packed = self._file.tell()
        self._file.close()
        self.part.replace(self.path)

    def abandon(self):
        self._file.close()
        self.part.unlink(missing_ok=True)


def _packer(file, total):
    if zstandard:
        return zstandard.ZstdCompressor(level=3, threads=2, write_checksum=True).stream_writer(file, size=total)
    return gzip.open(file, "wb", 3)


def _unpacked(file):
    """A binary file that reads what a compressed one holds."""
    start = file.read(4)
    file.seek(0)
    if start == ZSTD:
        if not zstandard:
            raise PandoError(f"{file.name}: packed with zstd, and python3-zstandard is not installed")
        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    if start[:2] == GZIP:
        return gzip.open(file, "rb")
    return file


def open_template(path):
    """(file to read the bare template from, its length). All of it has been unpacked once, so a file that is cut off or damaged is
    refused before Pando hears of it."""
    length = 0
    try:
        with open(path, "rb") as file:
            reader = _unpacked(file)
            while piece := reader.read(CHUNK):
                length += len(piece)
            if reader is file and not length:
                raise PandoError(f"{path}: is empty")
            _check_end(file, reader)
        again = open(path, "rb")
        return _unpacked(again), length
    except PandoError:
        raise
    except FileNotFoundError:
        raise PandoError(f"{path}: no such file") from None
    except (OSError, EOFError) as error:
        raise PandoError(f"{path}: {error}") from None
    except Exception as error:  # zlib's and zstd's own have no common base
        raise PandoError(f"{path}: broken: {error}") from None


def _check_end(file, reader):
    """zstd's reader ends quietly where its file does, whole or not; the length that it began with tells."""
    if not zstandard or not isinstance(reader, zstandard.ZstdDecompressionReader):
        return
    file.seek(0)
    expected = zstandard.frame_content_size(file.read(18))
    if expected >= 0 and reader.tell() != expected:
        raise PandoError(f"{file.name}: broken: cut off after {reader.tell()} of {expected} bytes")
