"""What a file seems to be, for the browser that shows it.

The first bytes decide where they can; the name's extension where they say nothing. Whether a
type is dangerous to show is not decided here: the route serves every type in a sandbox.
"""

import codecs
from pathlib import PurePosixPath

SNIFFED_BYTES = 1_024

_TEXT = "; charset=utf-8"
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"BM", "image/bmp"),
    (0, b"\x00\x00\x01\x00", "image/x-icon"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"\x00asm", "application/wasm"),
)
_MARKUP = (
    (b"<!doctype html", "text/html"),
    (b"<html", "text/html"),
    (b"<svg", "image/svg+xml"),
)
_BINARY_EXTENSIONS = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".mp3": "audio/mpeg",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".zip": "application/zip",
}
_TEXT_EXTENSIONS = {
    ".css": "text/css",
    ".csv": "text/csv",
    ".htm": "text/html",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".xhtml": "application/xhtml+xml",
    ".xml": "application/xml",
}


def sniff_media_type(head: bytes, name: str) -> str:
    """Say what a file is by its first `SNIFFED_BYTES` bytes and its name."""
    for offset, signature, media_type in _SIGNATURES:
        if head.startswith(signature, offset) and _is_binary_enough(head, media_type):
            return media_type
    extension = PurePosixPath(name).suffix.lower()
    if not _is_text(head):
        return _BINARY_EXTENSIONS.get(extension, "application/octet-stream")
    if extension in _TEXT_EXTENSIONS:
        return _TEXT_EXTENSIONS[extension] + _TEXT
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:14].lower()
    for opening, media_type in _MARKUP:
        if start.startswith(opening):
            return media_type + _TEXT
    return "text/plain" + _TEXT


def _is_binary_enough(head: bytes, media_type: str) -> bool:
    """Whether a short signature such as `BM` can be believed: a text may begin with it too."""
    return media_type not in ("image/bmp", "audio/wav", "image/webp") or not _is_text(head)


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        # The last letter may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=False)
    except UnicodeDecodeError:
        return False
    return True
