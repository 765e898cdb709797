#!/usr/bin/env bats
# The Python module: arrays to the bytes that the programs make, and back.
load helper

# needs_numpy: sets $python, one that has numpy; skips the test where there is none, or where the
# library has a sanitizer's code.
needs_numpy() {
	local name
	case $(cat "$B/flags") in *-fsanitize*) skip "optional: Python has no sanitizer" ;; esac
	for name in python3 /usr/bin/python3; do
		if $name -c 'import numpy' 2>/dev/null; then
			python=$name
			return
		fi
	done
	skip "no python3 with numpy"
}

# py CODE [ARGUMENT]...: runs a program that knows the module, and a function that reads PNM of 8 or 16 bits
py() {
	local code=$1
	shift
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$B/python "$python" - "$@" <<END
import sys, numpy, vae
def pnm(name):
    data = open(name, "rb").read()
    kind, width, height, maxval = data.split(None, 4)[:4]
    depth = {b"P5": 1, b"P6": 3}[kind]
    samples = numpy.frombuffer(data, ">u2" if int(maxval) > 255 else "u1", int(width) * int(height) * depth,
        len(data) - int(width) * int(height) * depth * (2 if int(maxval) > 255 else 1))
    shape = (int(height), int(width), depth)[: 2 if depth == 1 else 3]
    return samples.reshape(shape)
$code
END
}

@test "the bytes of the programs, and their pictures" {
	needs_numpy
	photo 70 50 >x.ppm
	ppmtopgm x.ppm | pamdepth 65535 >deep.pgm
	vae-enc -q 30 x.ppm | vae-quant >x.lat
	vae-enc deep.pgm | vae-quant >deep.lat
	vae-enc --lossless deep.pgm | vae-quant >exact.lat
	vae-dec x.lat >back.ppm
	vae-dec --reduce 8 x.lat >small.ppm
	ppmmake red 40 30 >flat.ppm
	vae-enc flat.ppm | vae-quant >flat.lat
	vae-enc --exact none flat.ppm | vae-quant >modelled.lat
	differ flat.lat modelled.lat
	quiet py '
flat = pnm("flat.ppm")
assert vae.compress(flat) == vae.compress(flat, exact="auto") == open("flat.lat", "rb").read()
assert vae.compress(flat, exact="none") == open("modelled.lat", "rb").read()
try: vae.compress(flat, exact="all")
except ValueError: pass
else: raise AssertionError("exact=all is accepted")
assert vae.compress(pnm("x.ppm"), 30) == open("x.lat", "rb").read()
deep = pnm("deep.pgm")
assert vae.compress(deep.astype(numpy.uint16)) == vae.compress(deep) == open("deep.lat", "rb").read()
assert vae.compress(deep, lossless=True) == open("exact.lat", "rb").read()
data = open("x.lat", "rb").read()
back = vae.decompress(data)
assert back.dtype == numpy.uint8 and (back == pnm("back.ppm")).all()
assert (vae.decompress(bytearray(data), reduce=8) == pnm("small.ppm")).all()
assert (vae.decompress(memoryview(data), threads=2, model=vae.Model()) == back).all()
exact = vae.decompress(open("exact.lat", "rb").read())
assert exact.dtype == numpy.uint16 and exact.shape == (50, 70) and (exact == deep).all()
'
}

# The module repeats the structs of vae.h: the same fields in the same places, of the same size.
@test "the structs of the module are those of vae.h" {
	needs_numpy
	py '
import ctypes
names = {"error": "_Error", "pixels": "_Pixels", "geometry": "_Geometry", "head": "_Head",
         "codes_metadata": "_Metadata",
         "compress_options": "_CompressOptions", "decompress_options": "_DecompressOptions"}
for c, python in names.items():
    kind = getattr(vae, python)
    for field, *_ in kind._fields_:
        print("put(offsetof(struct vae_%s, %s), %d);" % (c, field, getattr(kind, field).offset))
    print("put(sizeof(struct vae_%s), %d);" % (c, ctypes.sizeof(kind)))
' >places
	{
		echo '#include <stddef.h>'
		echo '#include <vae.h>'
		echo 'static int wrong;'
		echo 'static void put(size_t c, size_t python) { wrong += c != python; }'
		echo "int main(void) { $(cat places) return wrong; }"
	} >places.c
	${CC:-cc} -I "$ROOT/lib" -o places places.c
	./places
}

@test "arrays of every layout" {
	needs_numpy
	quiet py '
rng = numpy.random.default_rng(7)
for channels in (1, 2, 3, 4):
    for kind, maxval in ((numpy.uint8, None), (numpy.uint16, None), (numpy.uint16, 1023), (numpy.uint8, 1)):
        white = maxval or numpy.iinfo(kind).max
        a = rng.integers(0, white + 1, (40, 33, channels)).astype(kind)
        for view in (a, a[::2], a[:, ::2], a[::-1], a[5:30, 3:20],
                     a.transpose(1, 0, 2), numpy.asfortranarray(a)):
            data = vae.compress(view, lossless=True, maxval=maxval)
            back = vae.decompress(data)
            want = view[:, :, 0] if channels == 1 else view
            assert back.shape == want.shape and (back == want).all()
            info = vae.describe(data)
            assert info[:5] == (view.shape[1], view.shape[0], channels, 16 if white > 255 else 8, white), info
            assert info.quality is None and info.model is None
'
}

@test "models, metadata, progress" {
	needs_numpy
	photo 300 200 >x.ppm
	quiet py '
x = pnm("x.ppm")
model, again = vae.Model("tiny"), vae.Model(data=open(sys.argv[1], "rb").read())
assert model.id == again.id and model.arch.startswith("photo ") and model.path.endswith("tiny.safetensors")
assert again.path is None
seen, found = [], {}
data = vae.compress(x, 50, model=again, xmp=b"<x/>", exif=b"II*\0abcdef", progress=seen.append)
assert seen == sorted(seen) and seen[-1] == 1
del again
info = vae.describe(data)
assert info.model == model.id and info.quality == 50
for q in (0, 30, 37.5, 55, 70, 100):
    assert vae.describe(vae.compress(x[:16, :16], q, model=model)).quality == q
seen.clear()
vae.decompress(data, metadata=found, progress=seen.append)
assert found == {"xmp": b"<x/>", "exif": b"II*\0abcdef"} and seen[-1] == 1
bare = len(vae.compress(x, 50, model=model))
two = data + vae.compress(x, 50, model=model, xmp=b"<y/>")[bare:]
vae.decompress(two, metadata=found)
assert found["xmp"] == b"<x/>", "of two of a kind the first counts"
' "$DATA/tiny.safetensors"
}

@test "what fails raises" {
	needs_numpy
	quiet py '
x = numpy.zeros((20, 20, 3), numpy.uint8)
data = vae.compress(x)
def raises(kind, code, *arguments, **options):
    try:
        code(*arguments, **options)
    except kind as error:
        return error
    raise AssertionError("nothing was raised by %s" % code)
assert raises(vae.VaeError, vae.compress, x, 101).code == -6
assert raises(vae.VaeError, vae.compress, x, maxval=1 + 255).code == -6
raises(ValueError, vae.compress, numpy.zeros((4, 4, 5), numpy.uint8))
raises(ValueError, vae.compress, numpy.zeros(4, numpy.uint8))
raises(TypeError, vae.compress, numpy.zeros((4, 4)))
assert raises(vae.VaeError, vae.decompress, data[:-3]).code == -3
assert raises(vae.VaeError, vae.decompress, b"").code == -3
assert raises(vae.VaeError, vae.decompress, data + data).code == -3
assert raises(vae.VaeError, vae.decompress, data, max_pixels=10).code == -4
assert raises(vae.VaeError, vae.Model, "none").code == -5
assert raises(vae.VaeError, vae.Model, data=b"x").code == -5
assert raises(vae.VaeError, vae.compress, x, icc=b"x").code == -6
assert raises(vae.VaeError, vae.compress, x, progress=lambda share: False).code == -7
def interrupt(share):
    raise KeyboardInterrupt
raises(KeyboardInterrupt, vae.decompress, data, progress=interrupt)
for code, argument in ((vae.compress, x), (vae.decompress, data)):
    raises(TypeError, code, argument, progress=3)
    raises(TypeError, code, argument, model="photo")
raises(TypeError, vae.decompress, vae.compress(x, xmp=b"<x/>"), metadata=[])
assert raises(vae.VaeError, vae.compress, x, progress=lambda share: numpy.bool_(False)).code == -7
raises(ValueError, vae.Model, "photo\0")
'
}

# What ctypes would cut to fit is refused; it took 65791 for 255, and -1 for 2^64 - 1.
@test "numbers that their C types do not hold raise" {
	needs_numpy
	quiet py '
x = numpy.zeros((20, 20, 3), numpy.uint8)
data = vae.compress(x)
for code, name, values in ((vae.compress, "maxval", (65536 + 255, 65536, -1)),
        (vae.compress, "effort", (2**32 + 1, -2**31 - 1)), (vae.compress, "threads", (2**32, -2**40)),
        (vae.decompress, "threads", (2**32,)), (vae.decompress, "reduce", (2**32, 2**32 + 8)),
        (vae.decompress, "max_pixels", (-1, 2**64)), (vae.describe, "max_pixels", (-1, 2**64))):
    for value in values:
        try:
            code(data if code is not vae.compress else x, **{name: value})
        except ValueError as error:
            assert str(error).startswith("%s is %d: " % (name, value)), error
        else:
            raise AssertionError("%s=%d is accepted" % (name, value))
assert vae.decompress(data, threads=numpy.int64(1), max_pixels=2**64 - 1).shape == x.shape
'
}

# A copy that freed the same model again was a use of freed memory.
@test "models and errors are copied, errors pickled" {
	needs_numpy
	quiet py '
import copy, pickle
model = vae.Model("tiny")
for again in (copy.copy(model), copy.deepcopy([model])[0]):
    assert again is model
del again, model
vae.Model.__new__(vae.Model)
for error in (vae.VaeError("damaged", -3),):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is vae.VaeError and str(again) == "damaged" and again.code == -3
'
}

@test "several threads at once" {
	needs_numpy
	photo 64 48 >x.ppm
	quiet py '
import concurrent.futures
x = pnm("x.ppm")
want = vae.compress(x, threads=1)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert all(data == want for data in pool.map(lambda _: vae.compress(x, threads=1), range(8)))
'
}
