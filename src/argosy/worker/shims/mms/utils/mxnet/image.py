"""`mms.utils.mxnet.image` of the old server: images as MXNet arrays."""

import base64
import importlib
import io
from typing import Any, Optional, Tuple

mx: Any = importlib.import_module("mxnet")
img: Any = importlib.import_module("mxnet.image")


def transform_shape(img_arr: Any, dim_order: str = "NCHW") -> Any:
    """An image of order HWC as a batch of one, of order NCHW or NHWC. Raises ValueError for another order."""
    if dim_order not in ("NCHW", "NHWC"):
        raise ValueError("dim_order must be 'NCHW' or 'NHWC'.")
    return mx.nd.expand_dims(mx.nd.transpose(img_arr, (2, 0, 1)) if dim_order == "NCHW" else img_arr, axis=0)


def read(buf: Any, flag: int = 1, to_rgb: bool = True, out: Any = None) -> Any:
    """Decode an image file to an array of order HWC; flag 0 gives one grey channel."""
    return img.imdecode(buf, flag, to_rgb, out)


def write(img_arr: Any, flag: int = 1, format: str = "jpeg", dim_order: str = "CHW") -> str:
    """Encode an array of order CHW or HWC as an image file in base64; flag 0 means grey. Needs Pillow. Raises ValueError for another order."""
    if dim_order not in ("CHW", "HWC"):
        raise ValueError("dim_order must be 'CHW' or 'HWC'.")
    if dim_order == "CHW":
        img_arr = mx.nd.transpose(img_arr, (1, 2, 0))
    if flag != 1:
        img_arr = mx.nd.reshape(img_arr, (img_arr.shape[0], img_arr.shape[1]))
    pixels = img_arr.astype("uint8").asnumpy()
    output = io.BytesIO()
    importlib.import_module("PIL.Image").fromarray(pixels, "RGB" if flag == 1 else "L").save(output, format=format)
    return base64.b64encode(output.getvalue()).decode("ascii")


def resize(src: Any, new_width: int, new_height: int, interp: int = 2) -> Any:
    """An image of order HWC in another size, in pixels; `interp` is OpenCV's number of the method."""
    return img.imresize(src, new_width, new_height, interp)


def fixed_crop(src: Any, x0: int, y0: int, w: int, h: int, size: Optional[Tuple[int, int]] = None, interp: int = 2) -> Any:
    """A piece of an image of order HWC, resized to `size` (width, height) if given."""
    return img.fixed_crop(src, x0, y0, w, h, size, interp)


def color_normalize(src: Any, mean: Any, std: Any = None) -> Any:
    """An image as floats, less the mean and divided by the deviation of each colour."""
    return img.color_normalize(src.astype("float32"), mean, std)
