"""Photographs in files and in memory: what is read comes back whole, bit depth, transparency and metadata included."""

from pellucid.images.picture import Metadata, Picture, PictureHeader
from pellucid.images.reading import is_picture, open_pages, open_picture, read_header, read_pages, read_picture
from pellucid.images.stream import PictureStream
from pellucid.images.writing import FORMATS, bytes_to_write, unsupported, write_pages, write_picture

__all__ = [
    "FORMATS",
    "Metadata",
    "Picture",
    "PictureHeader",
    "PictureStream",
    "bytes_to_write",
    "is_picture",
    "open_pages",
    "open_picture",
    "read_header",
    "read_pages",
    "read_picture",
    "unsupported",
    "write_pages",
    "write_picture",
]
