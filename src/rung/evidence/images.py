"""Images as people pass them, paths and PIL images: known by their content, opened upright in RGB, or given a reason why not."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path, PurePath
from typing import Any, Self

import numpy as np

from rung.messages import message, tr

# Endings by which a name is taken for an image's. The last four are images that rung does not read, so that they get
# their reason and not silence.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
    *(".dcm", ".dicom", ".heic", ".heif"),
)
# What Pillow may try: among the rest is a format that starts another program (EPS), and rare ones that nobody checks.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
_WITH_ALPHA = {"RGBA", "RGBa", "LA", "PA"}
_LONGEST = 100  # times the shorter side: scaled until that fills a model's window, a longer image would fill the memory
_AS_SEEN = "image 1"  # counts the ways in which pixels were ever made RGB here, so that no cache mixes two of them


class ImageError(ValueError):
    """An image cannot be read; the message is the reason that its row gets."""


class Picture(str):
    """An image by its content: as a string it is a hash, so that it is looked up, sorted and computed once as a text is.

    source is its path or the PIL image; fault says why it cannot be read, as far as that is known before it is opened.
    """

    source: Any
    fault: str | None

    def __new__(cls, key: str = "", source: Any = None, fault: str | None = None) -> Self:
        """The image whose content is named by `key`."""
        made = super().__new__(cls, key)
        made.source, made.fault = source, fault
        return made

    @classmethod
    def of(cls, item: object) -> Self:
        """A path (of any file) or a PIL image by its content; anything else has a fault.

        Of a path only the bytes are hashed: the pixels are read later, a few images at a time.
        """
        if isinstance(item, cls):
            return item
        try:
            return cls(f"{_AS_SEEN} {_digest(item)}", item)
        except ImageError as error:
            return cls(str(item)[:1000] if isinstance(item, str | PurePath) else "", item, str(error))


def is_image(item: object) -> bool:
    """Whether `item` can be nothing but an image: a `Picture`, a `pathlib` path or a PIL image; a string may be anything."""
    return isinstance(item, Picture | PurePath) or _is_pil(item)


def names_image(text: str) -> bool:
    """Whether a string is the path of an image: it ends like one, or there is such a file.

    >>> names_image("Cat.PNG"), names_image("a cat")
    (True, False)
    """
    return text.lower().endswith(SUFFIXES) or os.path.exists(text)  # however long the text is


def rgb(item: object) -> Any:
    """The image in RGB as people see it: upright by its EXIF, its first frame, on white where it is transparent.

    Images of more than 8 bits a pixel (16-bit PNG and TIFF, as microscopes and scanners write them) are stretched from their
    own darkest to their own brightest pixel, where Pillow would clip them to white: their absolute values are lost.
    Raises ImageError, with the reason, for what cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    source: Any = item.source if isinstance(item, Picture) else item
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities of a file that can be read all the same
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _opened(source) as image:
                _check_shape(*image.size)
                return _in_rgb(_upright(image))
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(tr("the image is too large: {error}", error=error)) from None
    except UnidentifiedImageError:
        raise ImageError(_unknown(Path(source))) from None
    except Exception as error:  # noqa: BLE001 - a decoder may fail on a broken file in any way; it costs that row only
        raise ImageError(tr("the image is damaged: {error}", error=str(error) or type(error).__name__)) from None


def fault(item: object) -> str | None:
    """Why an image cannot be read, or None; it is opened for that."""
    try:
        rgb(item)
    except ImageError as error:
        return str(error)
    return None


def _digest(item: object) -> str:
    """sha256 of a file's bytes, or of a PIL image's pixels in RGB."""
    if _is_pil(item):
        seen = rgb(item)
        return hashlib.sha256(f"{seen.size}".encode() + seen.tobytes()).hexdigest()
    path = _path(item)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(tr("{path} cannot be read: {error}", path=path, error=error.strerror or error)) from None


def _path(item: object) -> Path:
    """The regular file that `item` names. Raises ImageError for what is no name, and for what is no file."""
    if item is None or str(item).strip() in ("", "nan", "NaT", "<NA>"):
        raise ImageError(tr("the image is missing"))
    if not isinstance(item, str | PurePath):
        raise ImageError(tr("not an image but {kind}", kind=type(item).__name__))
    path = Path(item).expanduser()
    try:
        if path.is_file():
            return path
        what = message("{path} is no image file") if path.exists() else message("{path} is not there")
    except (OSError, ValueError):  # a name that no file can have, or a folder that may not be entered
        raise ImageError(tr("{path!r} cannot be read", path=str(path)[:200])) from None
    raise ImageError(tr(what, path=path))


def _is_pil(item: object) -> bool:
    pil = sys.modules.get("PIL.Image")  # where it was never imported, nothing can be of its kind
    return pil is not None and isinstance(item, pil.Image)


def _opened(source: Any) -> AbstractContextManager[Any]:
    """An image that is given stays open and as it is; a file is opened by the decoders that are allowed."""
    from PIL import Image

    if _is_pil(source):
        return nullcontext(source)
    Image.init()
    opened: AbstractContextManager[Any] = Image.open(_path(source), formats=[f for f in _FORMATS if f in Image.OPEN])
    return opened


def _check_shape(width: int, height: int) -> None:
    if not width or not height:
        raise ImageError(tr("the image has no pixels"))
    if max(width, height) > _LONGEST * min(width, height):
        raise ImageError(
            tr(
                "the image is {width} x {height} pixels: a strip too long for its width to be read",
                width=width,
                height=height,
            )
        )


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    with suppress(Exception):  # broken EXIF is no reason to refuse the pixels
        return ImageOps.exif_transpose(image)
    return image


def _in_rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _stretched(image)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        clear = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return image.convert("RGB")


def _stretched(image: Any) -> Any:
    """An image of wide values in RGB, its smallest value black and its largest white; what is not finite is black."""
    from PIL import Image

    values = np.asarray(image, dtype=np.float64)
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    scaled = (np.where(finite, values, low) - low) * (255 / (high - low) if high > low else 0.0)
    return Image.fromarray(scaled.round().astype(np.uint8)).convert("RGB")


def _unknown(path: Path) -> str:
    """Why a file is no image, with what to do about the two kinds that people have most."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return tr(
            "the file is DICOM, which rung does not read: convert it to PNG, such as with  dcm2img IN.dcm OUT.png"
        )
    if start[4:8] == b"ftyp":
        return tr("the file is HEIC or a video, which rung does not read: save it as JPEG or PNG")
    return tr("the file is no image that rung can read") if start else tr("the file is empty")
