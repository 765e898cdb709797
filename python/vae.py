"""vae - numpy arrays to the bytes of .lat files and back, by libvae: vae-python(3).

    import vae
    data = vae.compress(pixels, quality=55)    # height x width, or height x width x 1 to 4 channels
    pixels = vae.decompress(data)

Pixels are arrays of uint8 or uint16: grey, grey and alpha, RGB, or RGB and alpha; 0 is black, and
transparent. Functions may be called by several threads at once. Failures raise VaeError.
"""
import collections
import ctypes
import operator
import os
import threading

import numpy

__all__ = ["Info", "Model", "VaeError", "compress", "decompress", "describe"]
__version__ = "@VERSION@"
_SONAME = "@SONAME@"


class VaeError(Exception):
    """A failure of the library: a text of one line, and .code, a number of vae.h's enum vae_err."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code

    def __reduce__(self):  # how pools of processes hand it on
        return VaeError, (str(self), self.code)


# ---- the C interface, as vae.h has it ---------------------------------------------------------

_ESTOP = -7
_KINDS = {"icc": 1, "exif": 2, "xmp": 3}
_NAMES = {number: name for name, number in _KINDS.items()}


class _Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("offset", ctypes.c_int64), ("text", ctypes.c_char * 400)]


class _Pixels(ctypes.Structure):
    _fields_ = [("width", ctypes.c_uint32), ("height", ctypes.c_uint32), ("channels", ctypes.c_int),
                ("bits", ctypes.c_int), ("maxval", ctypes.c_uint16), ("stride", ctypes.c_size_t),
                ("samples", ctypes.c_void_p)]


class _Geometry(ctypes.Structure):
    _fields_ = [("width", ctypes.c_uint32), ("height", ctypes.c_uint32), ("maxval", ctypes.c_uint16),
                ("format", ctypes.c_int), ("tuple", ctypes.c_int)]


class _Head(ctypes.Structure):
    _fields_ = [("geometry", _Geometry), ("model_id", ctypes.c_uint64), ("quality", ctypes.c_uint16),
                ("rows", ctypes.c_uint32), ("columns", ctypes.c_uint32),
                ("channels", ctypes.c_uint32), ("mixed", ctypes.c_bool)]


class _Metadata(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t),
                ("damaged", ctypes.c_bool)]


_Progress = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_double)
_Found = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Metadata),
                          ctypes.POINTER(_Error))


class _CompressOptions(ctypes.Structure):
    _fields_ = [("quality", ctypes.c_double), ("lossless", ctypes.c_bool),
                ("keep_invisible", ctypes.c_bool), ("no_exact", ctypes.c_bool),
                ("effort", ctypes.c_int), ("threads", ctypes.c_int), ("progress", _Progress),
                ("context", ctypes.c_void_p),
                ("metadata", ctypes.POINTER(_Metadata)), ("metadata_count", ctypes.c_int)]


class _DecompressOptions(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_int), ("reduce", ctypes.c_int),
                ("max_pixels", ctypes.c_uint64), ("progress", _Progress),
                ("context", ctypes.c_void_p), ("metadata", _Found),
                ("metadata_context", ctypes.c_void_p)]


def _open():
    """Loads the library that was built or installed with this file, or else the system's."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    beside = [os.path.join(f, _SONAME) for f in (folder, os.path.dirname(folder))]
    lib = ctypes.CDLL(next(filter(os.path.exists, beside), _SONAME))
    pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    error, pixels = ctypes.POINTER(_Error), ctypes.POINTER(_Pixels)
    for name, result, *arguments in [
            ("version", text),
            ("model_find", ctypes.c_int, ctypes.POINTER(pointer), text, error),
            ("model_load_memory", ctypes.c_int, ctypes.POINTER(pointer), pointer, size, error),
            ("model_free", None, pointer),
            ("model_id", ctypes.c_uint64, pointer),
            ("model_arch", text, pointer),
            ("model_path", text, pointer),
            ("compress_defaults", None, ctypes.POINTER(_CompressOptions)),
            ("compress", ctypes.c_int, ctypes.POINTER(pointer), ctypes.POINTER(size), pointer, pixels,
             ctypes.POINTER(_CompressOptions), error),
            ("decompress", ctypes.c_int, pixels, pointer, pointer, size,
             ctypes.POINTER(_DecompressOptions), error),
            ("codes_describe", ctypes.c_int, ctypes.POINTER(_Head), pixels, pointer, size,
             ctypes.c_uint64, error)]:
        function = getattr(lib, "vae_" + name)
        function.restype, function.argtypes = result, arguments
    if lib.vae_version().decode() != __version__:
        raise ImportError("this module is of version %s, %s of %s"
                          % (__version__, _SONAME, lib.vae_version().decode()))
    return lib


_lib = _open()
_free = ctypes.CDLL(None).free
_free.restype, _free.argtypes = None, [ctypes.c_void_p]


def _call(name, *arguments):
    error = _Error()
    code = getattr(_lib, "vae_" + name)(*arguments, ctypes.byref(error))
    if code < 0:
        raise VaeError(error.text.decode("utf-8", "replace"), code)


def _memory(data):
    """The address of data's bytes, their number, and what keeps them there."""
    view = memoryview(data).cast("B")
    array = numpy.frombuffer(view if view.nbytes else bytes(1), dtype=numpy.uint8)
    return array.ctypes.data, view.nbytes, array


_INT, _UINT16, _UINT64 = range(-1 << 31, 1 << 31), range(1 << 16), range(1 << 64)


def _number(name, value, kind):
    """An integer of the caller's; ctypes would drop the bits that its C type does not have."""
    number = operator.index(value)
    if number not in kind:
        raise ValueError("%s is %d: %d to %d are possible" % (name, number, kind[0], kind[-1]))
    return number


class _Callbacks:
    """What the library calls: the caller's progress, and a dict that is given metadata; and what
    they raised, which must not pass through C."""

    def __init__(self, progress, metadata=None):
        self.function, self.metadata, self.raised, self.kinds = progress, metadata, None, set()
        self.progress = _Progress(self.call) if progress is not None else _Progress()
        self.found = _Found(self.keep) if metadata is not None else _Found()

    def call(self, _, share):
        try:
            answer = self.function(share)
            return not isinstance(answer, (bool, numpy.bool_)) or bool(answer)
        except BaseException as raised:  # KeyboardInterrupt, too
            self.raised = raised
            return False

    def keep(self, _, item, __):
        try:
            m = item.contents
            if not m.damaged and m.kind not in self.kinds:  # of two of a kind the first counts
                self.kinds.add(m.kind)
                self.metadata[_NAMES.get(m.kind, "unknown")] = ctypes.string_at(m.data, m.bytes)
            return 0
        except BaseException as raised:
            self.raised = raised
            return _ESTOP

    def run(self, name, *arguments):
        try:
            _call(name, *arguments)
        except VaeError as error:
            if self.raised is not None and error.code == _ESTOP:
                raise self.raised from None
            raise


# ---- models -----------------------------------------------------------------------------------


class Model:
    """A model, by its name or path (None: $VAE_MODEL, or else "photo"), or of the bytes of its file.

    May be used by several threads at once. Its copies are itself."""

    _handle = None

    def __init__(self, name=None, data=None):
        self._handle = ctypes.c_void_p()
        if data is None:
            name = None if name is None else os.fsencode(name)
            if name is not None and b"\0" in name:
                raise ValueError("a model's name has a null byte: %r" % name)
            _call("model_find", ctypes.byref(self._handle), name)
        else:
            address, size, self._kept = _memory(data)
            _call("model_load_memory", ctypes.byref(self._handle), address, size)

    def __del__(self, free=_lib.vae_model_free):  # _lib may be gone when Python ends
        free(self._handle)

    def __copy__(self):
        return self

    def __deepcopy__(self, _):
        return self

    @property
    def id(self):
        """Its id, 16 hexadecimal digits."""
        return "%016x" % _lib.vae_model_id(self._handle)

    @property
    def arch(self):
        """Its architecture: a line of vae-model(5)."""
        return _lib.vae_model_arch(self._handle).decode()

    @property
    def path(self):
        """The file it was loaded from, or None."""
        path = _lib.vae_model_path(self._handle)
        return None if path is None else os.fsdecode(path)


_default = None
_default_lock = threading.Lock()


def _default_model():
    global _default
    with _default_lock:
        if _default is None:
            _default = Model()
        return _default


def _handle_of(model):
    if model is not None and not isinstance(model, Model):
        raise TypeError("model is a vae.Model or None, not %r" % (model,))
    return model._handle if model is not None else None


# ---- arrays and bytes -------------------------------------------------------------------------


def _pixels_of(array, maxval):
    """A struct vae_pixels of an array, and the array that it points to, a copy where need be."""
    array = numpy.asarray(array)
    if array.dtype.kind != "u" or array.itemsize > 2:
        raise TypeError("samples of %s: uint8 and uint16 are possible" % array.dtype)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or not 1 <= array.shape[2] <= 4:
        raise ValueError("an array of shape %s: height x width, or height x width x 1 to 4, is "
                         "possible" % (array.shape,))
    height, width, channels = array.shape
    size = array.itemsize
    if (not array.dtype.isnative or array.strides[1:] != (channels * size, size) or
            array.strides[0] < width * channels * size):
        array = numpy.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return _Pixels(width, height, channels, 8 * size, maxval, array.strides[0],
                   array.ctypes.data), array


def compress(pixels, quality=55, *, lossless=False, exact="auto", model=None, maxval=None,
             effort=None, keep_invisible=False, threads=0, progress=None, icc=None, exif=None,
             xmp=None):
    """Returns the bytes of a .lat file.

    exact: "auto" keeps text and drawings as they are, "none" leaves all pixels to the model. maxval:
    white, where it is not the greatest number of the array's type. model: a Model. effort: 0 to 9.
    threads: 0 for one for each core. progress: a function that is given the share done, 0 to 1; where
    it returns False, the call ends with VaeError. icc, exif, xmp: bytes that travel with the picture;
    Exif begins with its TIFF header."""
    shape, kept = _pixels_of(pixels, 0 if maxval is None else _number("maxval", maxval, _UINT16))
    given = [(_KINDS[kind], _memory(data))
             for kind, data in (("icc", icc), ("exif", exif), ("xmp", xmp)) if data is not None]
    metadata = (_Metadata * max(len(given), 1))(
        *[_Metadata(kind, address, size, False) for kind, (address, size, _) in given])
    callbacks = _Callbacks(progress)
    options = _CompressOptions()
    _lib.vae_compress_defaults(ctypes.byref(options))
    options.quality, options.lossless, options.keep_invisible = quality, lossless, keep_invisible
    if exact not in ("auto", "none"):
        raise ValueError("exact is auto or none, not %r" % (exact,))
    options.no_exact = exact == "none"
    if effort is not None:
        options.effort = _number("effort", effort, _INT)
    options.threads, options.progress = _number("threads", threads, _INT), callbacks.progress
    options.metadata, options.metadata_count = metadata, len(given)
    if model is None and not lossless:
        model = _default_model()
    result, count = ctypes.c_void_p(), ctypes.c_size_t()
    callbacks.run("compress", ctypes.byref(result), ctypes.byref(count), _handle_of(model),
                  ctypes.byref(shape), ctypes.byref(options))
    del kept
    try:
        return ctypes.string_at(result, count.value)
    finally:
        _free(result)


Info = collections.namedtuple("Info", "width height channels bits maxval quality model")
Info.__doc__ = """The header of codes. bits: 8 or 16, of a sample. quality: 0 to 100. model: its id. Both are
None if all samples are exact."""


def _quality(stored):
    """Returns a quality of 16 bits as 0 to 100, with the fewest decimals that name the same one."""
    exact = 100 * stored / 65535
    rounded = (round(exact, digits) for digits in range(16))
    return next(q for q in rounded if int(q / 100 * 65535 + 0.5) == stored)  # as when encoded


def describe(data, max_pixels=0):
    """Returns the Info of codes, without decoding them."""
    address, size, kept = _memory(data)
    head, shape = _Head(), _Pixels()
    _call("codes_describe", ctypes.byref(head), ctypes.byref(shape), address, size,
          _number("max_pixels", max_pixels, _UINT64))
    del kept
    lossy = head.channels > 0
    return Info(shape.width, shape.height, shape.channels, shape.bits, shape.maxval,
                _quality(head.quality) if lossy else None,
                "%016x" % head.model_id if lossy else None)


def decompress(data, *, model=None, reduce=1, threads=0, max_pixels=0, progress=None, metadata=None):
    """Returns the picture of the bytes of a .lat file: an array of height x width for grey, height x
    width x channels otherwise; of uint8 where maxval is below 256, else uint16.

    model: None for the one that the codes name. reduce: 4 or 8 decodes at a quarter or an eighth
    of the width and height. max_pixels: larger pictures raise VaeError; 0 for 2^28. metadata: a dict
    that receives the metadata of the picture, as "icc", "exif" and "xmp". threads, progress: as in
    compress."""
    info = describe(data, max_pixels)
    reduce = _number("reduce", reduce, _INT)
    height, width = -(-info.height // max(reduce, 1)), -(-info.width // max(reduce, 1))
    array = numpy.empty((height, width, info.channels),
                        numpy.uint8 if info.bits == 8 else numpy.uint16)
    shape = _Pixels(width, height, info.channels, info.bits, 0, array.strides[0], array.ctypes.data)
    callbacks = _Callbacks(progress, metadata)
    options = _DecompressOptions(threads=_number("threads", threads, _INT), reduce=reduce,
                                 max_pixels=max_pixels, progress=callbacks.progress,
                                 metadata=callbacks.found)
    address, size, kept = _memory(data)
    callbacks.run("decompress", ctypes.byref(shape), _handle_of(model), address, size,
                  ctypes.byref(options))
    del kept
    return array[:, :, 0] if info.channels == 1 else array
